"""Figures of the trainings: everything that was measured is in them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.networks.face_warp import MEAN_SHAPE
from helpers.plots import training


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def labels(figure):
    return {line.get_label() for axis in figure.axes for line in axis.get_lines()}


def test_anatomy_has_landmarks_texture_and_face_of_each():
    faces = np.full((4, 128, 128, 3), 0.5)
    figure = training.anatomy(np.stack(4 * [MEAN_SHAPE]), faces, faces, MEAN_SHAPE)
    assert len(figure.axes) == 12
    assert [axis.get_ylabel() for axis in figure.axes[::4]] == ["landmarks", "texture", "face"]
    # What is drawn carries its mark: a texture looks like a face, too.
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert all(picture.max() == 255 for picture in shown[4:])
    true = training.anatomy(MEAN_SHAPE[None], faces[:1], faces[:1], MEAN_SHAPE, generated=False)
    assert all(np.ptp(axis.get_images()[0].get_array()) == 0 for axis in true.axes[1:])


def test_the_landmarks_of_all_faces_are_drawn_to_one_scale():
    faces = np.full((2, 128, 128, 3), 0.5)
    shapes = np.stack([MEAN_SHAPE, MEAN_SHAPE + 20])
    figure = training.anatomy(shapes, faces, faces, MEAN_SHAPE)
    first, second = figure.axes[:2]
    assert first.get_xlim() == second.get_xlim() == tuple(reversed(first.get_ylim()))
    assert first.get_xlim()[1] > (MEAN_SHAPE + 100).max()


def test_curves_show_the_terms_that_were_measured():
    terms = ("landmarks", "texture", "image", "identity", "val_l1")
    measures = {name: [0.3, 0.2] for name in terms}
    assert {"Landmarks (square pixels)", "Texture", "Picture", "Identity"} <= labels(
        training.decoder_curves(measures)
    )
    assert "Identity" not in labels(training.decoder_curves({"texture": [0.1], "val_l1": [0.1]}))
    measures |= {"critic": [1.0, 0.9], "score": [0.1, 0.2], "maps": [0.2, 0.2]}
    assert {"Discriminator", "Matching maps", "Identity"} <= labels(
        training.adversarial_curves(measures)
    )


def test_a_face_taken_for_real_has_a_score_above_zero():
    """In the loss of the generator the score counts less than nothing; a reader sees it upright."""
    figure = training.adversarial_curves({"critic": [1.0, 0.9], "score": [0.4, -0.3]})
    (score,) = (line for line in figure.axes[0].get_lines() if "Score" in line.get_label())
    assert list(score.get_ydata()) == [-0.4, 0.3]
