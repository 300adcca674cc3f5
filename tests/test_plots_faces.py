"""Figures of faces can be drawn of anything; generated faces bear a mark."""

import numpy as np
import pytest
from figure_texts import assert_readable

from helpers.face_crop import template, to_jpeg
from helpers.faces.face_detection import Detection
from helpers.plots import faces

PICTURE = np.full((128, 128, 3), 120, np.uint8)


@pytest.mark.parametrize("side", [16, 64, 128, 256, 512])
@pytest.mark.parametrize("value", [0, 255])
def test_the_mark_is_visible_small_and_leaves_the_original_alone(side, value):
    face = np.full((side, side, 3), value, np.uint8)
    marked = faces.mark_generated(face)
    assert marked.shape == face.shape and marked.dtype == np.uint8
    changed = (marked != face).any(axis=2)
    assert 0.002 < changed.mean() < 0.12
    assert not changed[: side // 2].any()
    assert (face == value).all()


def test_figures_are_drawn():
    box = Detection((30, 30, 60, 70), np.full((5, 2), 50, np.float32), 0.99)
    other = Detection((80, 30, 30, 30), np.full((5, 2), 90, np.float32), 0.95)
    row = {
        **{"clip_id": "a-very-long-name-of-a-clip", "status": "ok", "time_s": 1.0},
        **{"crop": to_jpeg(PICTURE), "aligned": to_jpeg(PICTURE), "frontality": 0.9},
    }
    rejected = {"clip_id": "b", "status": "rejected", "reason": "No face was found in 2 frames."}
    figures = [
        faces.detections([PICTURE] * 3, [[box, other], [other], []], [box, None, None]),
        faces.crops([row, rejected] * 5, title="Crops"),
        faces.side_by_side({"true": [PICTURE, None], "voice": [PICTURE / 255]}, ["one", "two"]),
        faces.canonical([PICTURE] * 9, template()),
        faces.generated({"low to high": [PICTURE] * 3, "islands": [PICTURE]}, ["-1", "0", "1"]),
    ]
    for figure in figures:
        assert_readable(figure)
        assert len(figure.axes) > 1


def test_rows_of_features_are_grouped_by_person_and_leave_out_what_never_differs():
    values = np.random.default_rng(0).standard_normal((5, 4096))
    values[:, ::2] = 0
    drawn = faces.features(values, ["one", "one", "two", "two", "three"])
    drawn.canvas.draw()
    place, shades = drawn.axes
    assert place.images[0].get_array().shape == (5, 128)
    assert np.isfinite(place.images[0].get_array()).all()
    assert [label.get_text() for label in place.get_yticklabels()] == ["one", "two", "three"]
    assert list(place.get_yticks()) == [0.5, 2.5, 4.0]
    assert "of 4,096" in place.get_xlabel()
    assert "SD" in shades.get_ylabel()


def test_every_generated_face_that_is_shown_bears_the_mark():
    drawn = faces.generated({"walk": np.stack([PICTURE] * 3)})
    for place in drawn.axes:
        assert (place.images[0].get_array() == 255).any()


def test_nothing_to_draw_is_said():
    for figure in (
        faces.detections([], [], []),
        faces.crops([]),
        faces.side_by_side({}),
        faces.canonical([], template()),
        faces.features(np.empty((0, 128)), []),
    ):
        assert "no f" in figure.axes[0].texts[0].get_text()
