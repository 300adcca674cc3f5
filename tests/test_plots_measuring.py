"""Figures of the further measures: chance and intervals are on the page, or a reason why not."""

import numpy as np
import pytest
from figure_texts import assert_readable

from helpers.measuring import craniofacial
from helpers.plots import measuring


def _texts(figure):
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [axes.get_title(), axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()]
        texts += [label.get_text() for label in (*axes.get_yticklabels(), *axes.get_xticklabels())]
        if axes.get_legend():
            texts += [text.get_text() for text in axes.get_legend().get_texts()]
    return " ".join([*texts, *(t.get_text() for t in (figure._supxlabel, figure._suptitle) if t)])


def _verticals(axes):
    return [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]


def _found(recall, low, high, chance=0.1):
    return {
        "recall": {"1": 0.1, "10": recall},
        "interval": {"1": [0.0, 0.2], "10": [low, high]},
        "chance": {"1": 0.01, "10": chance},
        "gallery_size": 100,
    }


def test_all_thirteen_heads_are_drawn_and_only_the_sure_ones_filled():
    rows = [
        {
            "measure": name,
            "r": 0.3,
            "interval": [0.1, 0.5],
            "p_holm": 0.001 if number else 0.5,
            "partial": 0.1,
            "partial_interval": [-0.1, 0.3],
            "partial_p_holm": 0.9,
            "random_pairs": 0.05,
            "published": 0.2,
        }
        for number, name in enumerate(craniofacial.NAMES)
    ]
    figure = measuring.craniofacial({"craniofacial": {"faces": 80, "true": rows}})
    said = _texts(figure)
    assert all(name in said for name in craniofacial.NAMES)
    assert "Speech2Face" in said and "random pairs" in said and "80 faces" in said
    whites = [
        sum(line.get_markerfacecolor() == "white" for line in axes.lines) for axes in figure.axes
    ]
    assert whites == [1, 13]


def test_seconds_show_chance_and_somebody_elses_face():
    similar = {"angle": {"true": [60.0, 5.0], "shuffled": [88.0, 6.0]}}
    each = {"retrieval": dict.fromkeys(("cosine", "l1", "l2"), _found(0.4, 0.3, 0.5))}
    figure = measuring.lengths(
        {
            "lengths": {"people": 80, "3": each | {"similarity": similar}}
            | {"6": each | {"similarity": similar}}
        }
    )
    said = _texts(figure)
    assert "chance" in said and "somebody else's" in said and "100 faces" in said
    assert any(np.allclose(line.get_ydata(), 10) for line in figure.axes[0].lines)


def test_recordings_show_that_guessing_has_half():
    told = {"told_apart": 0.8, "interval": [0.7, 0.9]}
    equal = {"eer": 0.3, "interval": [0.2, 0.4]}
    figure = measuring.recordings(
        {
            "consistency": {"people": 50, "over_time": {"all": told, "same_sex": told}},
            "verification": {"people": 50, "all": {"network": equal, "pitch": equal}},
        }
    )
    assert all(50 in _verticals(axes) for axes in figure.axes)
    assert "pitch only" in _texts(figure) and "same sex" in _texts(figure)


def test_languages_show_the_yardstick_beside_the_change():
    rows = [{"language": "fr", "recall": 0.5, "interval": [0.3, 0.7], "chance": 0.1}]
    change = {"count": 50, "moved": 0.4, "moved_interval": [0.3, 0.5]}
    change |= {"moved_own": 0.02, "moved_own_interval": [-0.05, 0.1]}
    asked = {"own": _found(0.4, 0.3, 0.5), "abroad": _found(0.2, 0.1, 0.3)}
    figure = measuring.language(
        {"language": {"counterfactual": change, "retrieval": asked, "by_language": rows}}
    )
    said = _texts(figure)
    assert "another sentence" in said and "another language" in said and "fr" in said
    assert pytest.approx(10) in _verticals(figure.axes[1])
    assert pytest.approx(10) in _verticals(figure.axes[2])
    assert_readable(figure)


def test_many_languages_have_room_for_their_names():
    rows = [
        {"language": f"island {n}", "recall": 0.5, "interval": [0.3, 0.7], "chance": 0.1}
        for n in range(30)
    ]
    change = {"count": 50, "moved": 0.4, "moved_interval": [0.3, 0.5]}
    change |= {"moved_own": 0.02, "moved_own_interval": [-0.05, 0.1]}
    asked = {"own": _found(0.4, 0.3, 0.5), "abroad": _found(0.2, 0.1, 0.3)}
    figure = measuring.language(
        {"language": {"counterfactual": change, "retrieval": asked, "by_language": rows}}
    )
    assert_readable(figure)
    boxes = [label.get_window_extent() for label in figure.axes[2].get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in zip(boxes, boxes[1:], strict=False))


def test_maps_are_coloured_by_sex_age_and_group_and_warn_of_distances():
    places = np.random.default_rng(0).uniform(-1, 1, (12, 2))
    figure = measuring.neighbours(
        {"predicted": places, "true": places},
        list("FM" * 6),
        np.linspace(20, 70, 12),
        ["north", "south", ""] * 4,
    )
    said = _texts(figure)
    for part in ("woman", "man", "north", "age (years)", "predicted", "true", "distances"):
        assert part in said
    assert_readable(figure)


def test_ablations_show_chance_intervals_and_three_seconds():
    row = {"recall_10": 0.4, "interval": [0.3, 0.5], "recall_10_3s": 0.35, "chance": 0.1}
    rows = [
        {**row, "question": question, "variant": f"v{n}", "gallery": 90, "steps": 40}
        for n, question in enumerate(("loss", "loss", "network"))
    ]
    figure = measuring.ablations({"rows": rows})
    assert "loss: v1" in _texts(figure) and "90 voices" in _texts(figure)
    assert pytest.approx(10) in _verticals(figure.axes[0])
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert len(diamonds) == 3


def test_with_nothing_to_draw_the_figure_says_so():
    said = {
        measuring.craniofacial: "Too few faces",
        measuring.lengths: "Too few people",
        measuring.recordings: "recorded twice",
        measuring.language: "Only islanders",
    }
    for draw, words in said.items():
        assert words in draw({}).axes[0].texts[0].get_text()
