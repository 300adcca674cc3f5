"""Figures of the trainings: everything that was measured is in them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.face_warp import MEAN_SHAPE
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
    # Drawn faces carry their mark, textures are no faces.
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert np.ptp(shown[4]) == 0
    assert shown[8].max() == 255
    true = training.anatomy(MEAN_SHAPE[None], faces[:1], faces[:1], MEAN_SHAPE, generated=False)
    assert np.ptp(true.axes[2].get_images()[0].get_array()) == 0


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
