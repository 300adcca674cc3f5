"""Which measures of a voice go with which measures of a face: found where it is, and only there."""

from __future__ import annotations

import types

import numpy as np
import pytest
from figure_texts import assert_readable

from helpers.measuring import correlation, craniofacial
from helpers.plots import correlation as correlation_plots

PEOPLE = 200


def people(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voices, faces and sexes in which sex moves pitch and jaw, and the throat the face's height.

    Within a sex nothing goes with pitch; vocal-tract length goes with the height index.
    """
    random = np.random.default_rng(seed)
    sex = np.array(["F", "M"] * (PEOPLE // 2))
    male = sex == "M"
    voice = random.standard_normal((PEOPLE, len(correlation.VOICE_MEASURES)))
    face = random.standard_normal((PEOPLE, len(correlation.FACE_MEASURES)))
    voice[:, 0] -= 4 * male
    face[:, 2] += 4 * male
    face[:, 13] += 2 * voice[:, 5]
    return voice, face, sex


def test_what_is_only_sex_vanishes_when_sex_is_held_fixed() -> None:
    voice, face, sex = people()
    plain, fixed = (correlation.correlations(voice, face, held) for held in (None, sex))
    assert plain.r[0, 2] < -0.6 and plain.corrected[0, 2] < 0.001
    assert abs(fixed.r[0, 2]) < 0.2 and fixed.corrected[0, 2] > 0.05
    assert plain.r[5, 13] > 0.7 and fixed.r[5, 13] > 0.7
    assert fixed.strongest(1)[0]["voice"] == "vocal-tract length (cm)"
    assert fixed.strongest(1)[0]["face"] == "face height index"
    assert (plain.held, fixed.held) == ("", "sex") and fixed.people == PEOPLE


def test_correction_leaves_next_to_nothing_of_luck() -> None:
    """One in twenty of the plain p-values is below 0.05 by luck; of the corrected, hardly any."""
    voice, face, sex = people()
    lucky, left = 0, 0
    for seed in range(5):
        shuffled = correlation.dealt_out_at_random(face, sex, seed)
        found = correlation.correlations(voice, shuffled, sex)
        lucky, left = lucky + (found.p < 0.05).sum(), left + found.significant()
    assert 15 < lucky < 70  # 37 are expected
    assert left <= 3


def test_dealing_out_keeps_everybody_within_the_own_sex() -> None:
    _, face, sex = people()
    dealt = correlation.dealt_out_at_random(np.column_stack([face, sex == "M"]), sex)
    assert (dealt[:, -1] == (sex == "M")).all()
    assert sorted(dealt[:, 0]) == sorted(face[:, 0]) and (dealt[:, 0] != face[:, 0]).any()


def test_people_without_a_measure_or_of_unknown_sex_are_left_out_and_too_few_say_nothing() -> None:
    voice, face, sex = people()
    voice[:30, 0] = np.nan
    sex[50:60] = ""
    found = correlation.correlations(voice, face, sex)
    assert found.people == PEOPLE - 10 and np.isfinite(found.r).all()
    few = correlation.correlations(voice[:19], face[:19])
    assert few.people == 0 and not few.r.any() and few.significant() == 0
    assert few.strongest() == []
    with pytest.raises(ValueError, match="200 voices and 199 faces"):
        correlation.correlations(voice, face[:-1])


def test_an_odd_recording_counts_no_more_than_its_rank() -> None:
    voice, face, sex = people()
    before = correlation.correlations(voice, face).r[5, 13]
    voice[0, 5] = 1e6
    assert abs(correlation.correlations(voice, face).r[5, 13] - before) < 0.05


def test_a_whisper_gives_no_numbers_and_stops_nobody() -> None:
    hiss = np.random.default_rng(0).standard_normal(96_000).astype(np.float32) / 10
    assert np.isnan(correlation.measure_voice(hiss)).all()
    assert np.isnan(correlation.measure_voice(np.zeros(10, np.float32))).all()


def test_faces_are_measured_in_ratios_that_do_not_depend_on_the_size_of_the_picture() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (4, 68, 2))
    small, large = correlation.measure_faces(points), correlation.measure_faces(3 * points)
    assert small.shape == (4, len(correlation.FACE_MEASURES))
    np.testing.assert_allclose(small[:, :-1], large[:, :-1])
    np.testing.assert_allclose(small[:, :13], craniofacial.measures(points))
    assert np.isnan(small[:, -1]).all()
    aged = correlation.measure_faces(points, np.array([20.0, 30, 40, 50]))
    assert aged[:, -1].tolist() == [20, 30, 40, 50]


class _Table:
    def __init__(self, rows: list[dict]) -> None:
        self._rows = rows

    def rows(self, _columns: list[str]) -> list[dict]:
        return self._rows


def test_of_a_run_one_voice_and_the_most_frontal_faces_of_each_person_are_measured() -> None:
    from helpers.archipelago import voices
    from helpers.archipelago.islanders import islander

    spoken = [(32767 * voices.speak(islander(number), 0)).astype("<i2") for number in (3, 4)]
    speech = [
        {"speaker_id": "a", "status": "ok", "waveform": spoken[0].tobytes()},
        {"speaker_id": "a", "status": "ok", "waveform": spoken[1].tobytes()},
        {"speaker_id": "c", "status": "rejected", "waveform": None},
        {"speaker_id": "b", "status": "ok", "waveform": spoken[1].tobytes()},
    ]
    random = np.random.default_rng(0)
    points = {name: random.uniform(0, 100, (68, 2)) for name in ("side", "front", "other")}
    faces = [
        {"clip_id": clip, "speaker_id": who, "status": "ok", "frontality": frontal}
        | {"landmarks": points[name].ravel(), "feature": np.zeros(128)}
        for clip, who, frontal, name in (
            ("1", "a", 0.2, "side"),
            ("1", "a", 0.9, "front"),
            ("2", "a", 0.5, "other"),
        )
    ]
    tables = {"speech": _Table(speech), "faces": _Table(faces)}
    rows = [types.SimpleNamespace(speaker_id="a", sex="F")]
    session = types.SimpleNamespace(
        workspace=types.SimpleNamespace(require=tables.__getitem__),
        manifest=types.SimpleNamespace(rows=rows),
    )
    voice = correlation.voices_of(session, run=map)
    assert list(voice.people) == ["a", "b"] and voice.sex.tolist() == ["F", ""]
    assert np.isfinite(voice.values).all() and len(voice.pitch("F")) == len(voice.pitch(None)) == 1
    face = correlation.faces_of(session, voice.people)
    expected = correlation.measure_faces(np.stack([points["front"], points["other"]])).mean(0)
    np.testing.assert_allclose(face[0], expected)
    assert np.isnan(face[1]).all()


def test_the_heat_map_marks_what_is_significant() -> None:
    voice, face, sex = people()
    tables = {
        "all people": correlation.correlations(voice, face),
        "sex held fixed": correlation.correlations(voice, face, sex),
    }
    drawn = correlation_plots.heat_map(tables)
    assert_readable(drawn)
    names = [label.get_text() for label in drawn.axes[1].get_xticklabels()]
    assert "apparent age (years)" in names
    assert "distances of its eyes" in drawn.get_supxlabel().replace("\n", " ")
    for place, table in zip(drawn.axes, tables.values(), strict=False):
        assert len(place.texts) == table.significant()
        assert f"{table.significant()} of 150" in place.get_title(loc="left")
    assert "Too few" in correlation_plots.heat_map({}).axes[0].texts[0].get_text()
