"""Figures of results: they show chance and galleries, and say so when there is nothing to draw."""

import types

import numpy as np
import pytest
from figure_texts import assert_readable
from matplotlib.figure import Figure

from helpers import evaluation
from helpers.face_features import AttributeReader
from helpers.measuring import failures
from helpers.measuring import measures as m
from helpers.plots import attributes, results


def _report(people):
    random = np.random.default_rng(0)
    features = random.standard_normal((people, 128)).astype(np.float32)
    measured = m.Measured(
        [f"p{number}" for number in range(people)],
        np.array(list("FM" * people))[:people],
        np.linspace(20, 70, people),
        features + random.standard_normal((people, 128)),
        features,
        features,
    )
    sample = random.standard_normal((60, 128))
    reader = AttributeReader.fit(sample, list("FM" * 30), np.linspace(18, 80, 60))
    return m.assess(measured, np.zeros(128), reader, 40, {"latent": features})


def _texts(figure):
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [axes.get_title(), axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()]
        texts += [text.get_text() for text in axes.texts]
    return " ".join([*texts, *(t.get_text() for t in (figure._supxlabel, figure._suptitle) if t)])


def test_retrieval_shows_chance_for_every_k_and_says_how_large_the_gallery_is():
    report = _report(40)
    figure = results.retrieval(report)
    lines = [segment for c in figure.axes[0].collections for segment in c.get_segments()]
    heights = {round(float(line[0][1]), 3) for line in lines if line[0][1] == line[1][1]}
    assert {2.5, 5.0, 12.5, 25.0} <= heights
    assert "40 faces" in _texts(figure) and "95 % intervals" in _texts(figure)


def test_matched_draws_a_chance_line_in_each_gallery():
    report = _report(40)
    figure = results.matched(report, k=10)
    for axes, gallery in zip(figure.axes, m.GALLERIES, strict=True):
        chance = 100 * report["retrieval"][gallery]["chance"]["10"]
        assert any(np.allclose(line.get_xdata(), chance) for line in axes.lines)


def test_matched_asks_for_no_more_faces_than_guessing_would_find_anyway():
    large, small = _report(400), _report(40)
    assert "R@1 (%)" in _texts(results.matched(small))
    for report in (large, small):
        smallest = report["retrieval"]["sex_and_age_matched"]["chance"]
        k = _texts(results.matched(report)).split("R@")[1].split()[0]
        assert k == "1" or smallest[k] <= 0.2


def test_apparent_shows_counts_and_the_constant_guess():
    report = _report(40)
    figure = attributes.apparent(report)
    assert_readable(figure)
    said = _texts(figure)
    assert str(report["apparent"]["sex"]["confusion"][0][0]) in said
    assert "always saying the same 50 %" in said


def test_similarities_say_both_means():
    said = _texts(results.similarities(np.full(10, 0.5), np.full((10, 9), 0.1)))
    assert "own face 0.50" in said and "0.10" in said


@pytest.mark.parametrize("pair_count", [1, 3])
def test_pairs_are_drawn_with_marked_faces(pair_count):
    pair = evaluation.Pair(
        clip_id="c",
        speaker_id="somebody",
        split="test",
        sex="",
        age=float("nan"),
        waveform=np.random.default_rng(0).standard_normal(96_000).astype(np.float32),
        crop=np.zeros((224, 224, 3), np.uint8),
        feature=np.zeros(128),
        predicted=np.zeros(128),
        face=np.full((128, 128, 3), 100, np.uint8),
    )
    figure = results.voices_to_faces([pair] * pair_count)
    assert isinstance(figure, Figure) and "somebody" in _texts(figure)
    shown = [image.get_array() for axes in figure.axes for image in axes.get_images()]
    faces = [image for image in shown if image.shape == (128, 128, 3)]
    assert len(faces) == pair_count
    assert all((np.asarray(face) != 100).any() for face in faces), "faces without a mark"


def test_failures_are_shown_with_their_rule_and_a_marked_face():
    pair = types.SimpleNamespace(
        speaker_id="somebody",
        sex="F",
        age=30.0,
        waveform=np.zeros(96_000, np.float32),
        crop=np.zeros((224, 224, 3), np.uint8),
        face=np.full((128, 128, 3), 100, np.uint8),
    )
    chosen = [failures.Failure(0, "rank", 80.0, "rank at 80 % of the gallery")]
    figure = results.failures(chosen, [pair])
    assert "rank at 80 % of the" in _texts(figure).replace("\n", " ")
    far = results.failures([failures.Failure(0, "unfamiliar", 0.5, "distance 0.50")], [pair])
    assert "unfamiliar: distance 0.50; F, 30" in _texts(far).replace("\n", " ")
    drawn = figure.axes[1].get_images()[0].get_array()
    assert (drawn == 255).any(), "a face without a mark"
    assert "no" in _texts(results.failures([], [pair]))


def test_a_voice_and_its_face_stand_side_by_side():
    spectrogram = np.random.default_rng(0).random((598, 257, 2))
    face, crop = np.zeros((256, 256, 3), np.uint8), np.zeros((224, 224, 3), np.uint8)
    assert len(results.voice_and_face(spectrogram, face).axes) == 2
    assert len(results.voice_and_face(spectrogram, face, crop, "text").axes) == 3


def test_with_nothing_to_draw_the_figure_says_so():
    few = _report(3)
    for figure in (results.retrieval(few), results.matched(few), attributes.apparent(few)):
        assert "Too few" in _texts(figure)
    assert "no pair" in _texts(results.voices_to_faces([]))
    assert "Too few" in _texts(results.similarities(np.zeros(1), np.zeros(0)))
