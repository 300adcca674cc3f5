"""A training as a picture that moves: one frame an epoch, every drawn face with its mark."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from helpers.plots import animation


def frames_of(made: animation.Animation) -> list[Image.Image]:
    file = Image.open(io.BytesIO(made.data))
    assert file.format == "GIF"
    found = []
    for number in range(file.n_frames):
        file.seek(number)
        found.append(file.convert("RGB"))
    return found


def test_there_is_a_frame_for_every_epoch_and_the_last_one_stays() -> None:
    faces = np.full((3, 2, 128, 128, 3), 40, np.uint8)
    faces[1], faces[2] = 120, 200
    made = animation.training_grid(faces, np.full((2, 128, 128, 3), 90, np.uint8), seconds=0.2)
    frames = frames_of(made)
    assert len(frames) == 3
    shown = [np.asarray(frame).reshape(-1, 3) for frame in frames]
    for pixels, value in zip(shown, (40, 120, 200), strict=True):
        assert (np.abs(pixels.astype(int) - value).max(1) < 6).mean() > 0.1
    file = Image.open(io.BytesIO(made.data))
    file.seek(2)
    assert file.info["duration"] == 800 and file.info["loop"] == 0


def test_colours_that_only_the_first_epoch_has_are_kept() -> None:
    faces = np.full((2, 1, 128, 128, 3), 120, np.uint8)
    faces[0] = (200, 40, 30)
    first = np.asarray(frames_of(animation.training_grid(faces))[0]).astype(int)
    assert (np.abs(first - (200, 40, 30)).max(2) < 12).mean() > 0.1


def test_the_mark_is_in_every_frame() -> None:
    faces = np.full((2, 1, 128, 128, 3), 40, np.uint8)
    from helpers.plots.faces import mark_generated

    assert (mark_generated(faces[0, 0]) == 255).any()
    for frame in frames_of(animation.training_grid(faces)):
        pixels = np.asarray(frame).astype(int)
        height, width = pixels.shape[:2]
        corner = pixels[height // 2 :, width // 2 :]
        inside = np.abs(corner - 40).max(2) < 30
        rows, columns = np.where(inside)
        part = corner[rows.min() : rows.max(), columns.min() : columns.max()]
        assert (part.min(2) > 180).any(), "The word GENERATED should be in the corner."


def test_a_notebook_shows_it_and_its_html_keeps_it() -> None:
    made = animation.training_grid(np.zeros((1, 1, 128, 128, 3), np.uint8))
    shown = made._repr_mimebundle_(include=None, exclude=None)
    assert shown["text/html"].startswith('<img src="data:image/gif;base64,')
    assert set(shown) == {"text/html", "image/gif"}


def test_without_an_epoch_there_is_nothing_to_animate() -> None:
    with pytest.raises(ValueError, match="no epoch"):
        animation.training_grid(np.zeros((0, 4, 128, 128, 3), np.uint8))
