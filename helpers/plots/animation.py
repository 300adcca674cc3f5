"""Faces that change while a network learns, as a picture that moves."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from helpers.plots import style
from helpers.plots.faces import mark_generated


class Animation:
    """A GIF that a notebook shows as the last line of a cell, and that lives on in its HTML.

    Attributes:
        data: The file, bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        code = base64.b64encode(self.data).decode()
        page = f'<img src="data:image/gif;base64,{code}" alt="Faces after each epoch">'
        return {"text/html": page, "image/gif": code}


def training_grid(
    faces: np.ndarray,
    truth: np.ndarray | None = None,
    seconds: float = 0.5,
    title: str = "Faces after each epoch",
) -> Animation:
    """Animates the same few faces over the epochs of a training.

    Args:
        faces: What `face_decoder.SampleGrid` collected, uint8 (epochs, n, 128, 128, 3).
        truth: True faces, uint8 (n, 128, 128, 3); they stand below and stay.
        seconds: How long each epoch is shown; the last one stays four times as long.
        title: Heading.

    Returns:
        The animation. Every drawn face bears the mark.

    Raises:
        ValueError: There is no epoch to show.
    """
    from PIL import Image

    if not len(faces):
        raise ValueError("There is no epoch to show: collect faces with face_decoder.SampleGrid.")
    pictures = [
        _frame(drawn, truth, f"{title}: {epoch + 1} of {len(faces)}")
        for epoch, drawn in enumerate(faces)
    ]
    # One palette for all frames, so that colours do not flicker from frame to frame. The first
    # epoch may have colours of its own.
    both_ends = np.concatenate([pictures[0], pictures[-1]])
    palette = Image.fromarray(both_ends).quantize(256)
    frames = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures
    ]
    milliseconds = [round(1000 * seconds)] * (len(frames) - 1) + [round(4000 * seconds)]
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0
    )
    return Animation(file.getvalue())


def _frame(drawn: np.ndarray, truth: np.ndarray | None, title: str) -> np.ndarray:
    """One epoch as a picture, uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    rows: list[tuple[str, Sequence[np.ndarray]]] = [("drawn", [mark_generated(f) for f in drawn])]
    if truth is not None:
        rows.append(("true", truth))
    size = (1.4 * len(drawn) + 0.6, 1.4 * len(rows) + 0.6)
    figure, axes = style.figure(len(rows), len(drawn), size, title)
    for line, (name, faces) in zip(axes, rows, strict=True):
        for place, face in zip(line, faces, strict=True):
            style.picture(place, face)
        line[0].set_ylabel(name)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
