"""Figures of the loss: every term is named with its number, and nothing to draw says so."""

import numpy as np

from helpers.plots import losses, training


def _labels(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_each_term_has_its_bar_and_its_number():
    sizes = {
        "start": {"decoder": 12.0, "direction": 0.5},
        "later": {"decoder": 3.0, "direction": 40.0},
    }
    axis = losses.pulls(sizes, "Pulls").axes[0]
    assert _labels(axis) == ["decoder", "direction"]
    assert [patch.get_width() for patch in axis.patches] == [12.0, 0.5, 3.0, 40.0]
    assert [text.get_text() for text in axis.texts] == ["12", "0.5", "3", "40"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["start", "later"]
    assert axis.get_xscale() == "log"


def test_a_loss_without_terms_says_so():
    drawn = losses.pulls({"start": {}})
    assert "No term" in " ".join(text.get_text() for axis in drawn.axes for text in axis.texts)


def test_learning_rates_are_drawn_over_the_steps():
    steps = [0, 10_000, 20_000]
    axis = losses.learning_rates(steps, {"paper": [1e-3, 9.5e-4, 9e-4]}).axes[0]
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), steps)
    assert axis.get_legend().get_texts()[0].get_text() == "paper"


def test_the_curves_show_the_terms_of_either_loss():
    for terms, scale in ((("direction", "distance"), "linear"), (("distillation",), "log")):
        measures = {name: [2.0, 1.0] for name in ("loss", *terms)}
        axis = training.encoder_curves(measures).axes[0]
        assert len(axis.lines) == 1 + len(terms)
        assert axis.get_yscale() == scale
