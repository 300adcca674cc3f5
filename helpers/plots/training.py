"""Figures of notebooks 04 and 05: how a network learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style
from helpers.plots.faces import mark_generated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measures = Mapping[str, Sequence[float]]
"""One list for each measure, with one number for each epoch."""

_NAMES = {
    "loss": "Loss",
    "direction": "Direction term",
    "distance": "Distance term",
    "contrastive": "Contrastive term",
    "decoder": "Decoder term",
    "distillation": "Distillation term",
    "val_l1": "L1 of pixels, validation",
    "critic": "Discriminator",
    "score": "Score of drawn faces",
    "maps": "Matching maps",
    "landmarks": "Landmarks (square pixels)",
    "texture": "Texture",
    "image": "Picture",
    "identity": "Identity",
}

_OWN = ("texture", "image", "identity")
"""Terms of the decoder's loss that are of one size."""


def encoder_curves(measures: Measures) -> Figure:
    """Draws loss and retrieval of the voice encoder, epoch by epoch.

    Args:
        measures: What `voice_encoder.train` returns or `training.LiveFigure` hands over.
    """
    drawn, axes = style.figure(1, 2, (12, 4.6))
    terms = ("loss", "decoder", "direction", "distance", "distillation", "contrastive")
    _lines(axes[0, 0], measures, terms, "loss")
    if "distillation" in measures:  # The paper's terms differ by factors of a thousand.
        axes[0, 0].set(yscale="log", ylabel="loss, and its terms before their weights")
    _recall(axes[0, 1], measures)
    return drawn


def decoder_curves(measures: Measures) -> Figure:
    """Draws the error of the face decoder, epoch by epoch.

    Args:
        measures: What `face_decoder.train_decoder` returns.
    """
    drawn, axes = style.figure(1, 3, (14, 4.4))
    _lines(axes[0, 0], measures, _OWN, "term of the loss")
    _lines(axes[0, 1], measures, ("landmarks",), "square pixels")
    _lines(axes[0, 2], measures, ("val_l1",), "mean error of a pixel (0 to 1)")
    return drawn


def adversarial_curves(measures: Measures) -> Figure:
    """Draws the terms of the adversarial training, epoch by epoch.

    Args:
        measures: What `face_decoder.refine_with_gan` returns. Its `score` is a term of the loss:
            the score of drawn faces times -1, and is turned round here.
    """
    if "score" in measures:
        measures = {**measures, "score": -np.asarray(measures["score"])}
    drawn, axes = style.figure(1, 2, (12, 4.4))
    _lines(axes[0, 0], measures, ("critic", "score"), "loss, or score (above 0: real)")
    _lines(axes[0, 1], measures, (*_OWN, "maps"), "term of the generator")
    return drawn


def sample_grid(
    faces: np.ndarray, truth: np.ndarray | None = None, title: str = "The same features each epoch"
) -> Figure:
    """Shows the same few faces after each epoch; the true faces come last.

    Args:
        faces: What `face_decoder.SampleGrid` collected, uint8 (epochs, n, 128, 128, 3).
        truth: True faces, uint8 (n, 128, 128, 3).
        title: Heading.
    """
    epochs = len(faces)
    shown = sorted({round(e) for e in np.linspace(0, epochs - 1, min(6, epochs))})
    rows = [(f"epoch {epoch + 1}", _marked(faces[epoch])) for epoch in shown]
    if truth is not None:
        rows.append(("true", truth))
    return _grid(rows, title)


def anatomy(
    shapes: np.ndarray,
    textures: np.ndarray,
    faces: np.ndarray,
    mean: np.ndarray,
    generated: bool = True,
) -> Figure:
    """Shows what faces are made of: landmarks, texture, and both put together.

    Args:
        shapes: Landmarks, (n, 68, 2), in pixels.
        textures: (n, 128, 128, 3), 0 to 1.
        faces: What the warp made of both, (n, 128, 128, 3), 0 to 1.
        mean: The shape of all textures, (68, 2).
        generated: Whether a network drew them; textures and faces are marked then.

    Returns:
        A column for each face. Grey dots are the mean shape, blue ones the landmarks; a line goes
        from the one towards the other, five times as far.
    """
    count, side = len(faces), faces.shape[1]
    drawn, axes = style.figure(3, count, (2.1 * count + 0.8, 6.8), "Landmarks + texture = face")
    ends = mean + 5 * (np.asarray(shapes) - mean)
    low, high = ends.min() - 5, ends.max() + 5  # the same for all of them
    for column, shape in enumerate(shapes):
        place = axes[0, column]
        style.picture(place, np.ones((side, side, 3)))
        lines = np.stack([mean, ends[column]]).transpose(2, 0, 1)
        place.plot(*lines, color=style.SKY_BLUE, linewidth=1)
        place.plot(*shape.T, ".", color=style.BLUE, markersize=5)
        place.plot(*mean.T, ".", color=style.GREY, markersize=3)
        place.set(xlim=(low, high), ylim=(high, low))
        for row, picture in ((1, textures[column]), (2, faces[column])):
            made = np.round(255 * np.clip(picture, 0, 1)).astype("uint8")
            style.picture(axes[row, column], mark_generated(made) if generated else made)
    for place, name in zip(axes[:, 0], ("landmarks", "texture", "face"), strict=True):
        place.set_ylabel(name)
    return drawn


def _lines(axis: Axes, measures: Measures, names: Sequence[str], label: str) -> None:
    for name in names:
        if name in measures:
            epochs = np.arange(1, len(measures[name]) + 1)
            axis.plot(epochs, measures[name], "o-", label=_NAMES[name])
    axis.set(xlabel="epoch", ylabel=label)
    axis.xaxis.get_major_locator().set_params(integer=True)
    style.legend_above(axis)


def _recall(axis: Axes, measures: Measures) -> None:
    if "val_recall_10" not in measures:
        axis.text(0.5, 0.5, "No validation speakers", ha="center", transform=axis.transAxes)
        axis.set_axis_off()
        return
    epochs = np.arange(1, len(measures["val_recall_10"]) + 1)
    for k, colour in ((1, style.ORANGE), (10, style.BLUE)):
        recall = 100 * np.asarray(measures[f"val_recall_{k}"])
        axis.plot(epochs, recall, "o-", color=colour, label=f"R@{k}")
        chance = 100 * measures[f"val_chance_{k}"][-1]
        axis.axhline(chance, **{**style.CHANCE, "color": colour}, label=f"chance of R@{k}")
    axis.set(xlabel="epoch", ylabel="validation: right face found (%)", ylim=(0, None))
    axis.xaxis.get_major_locator().set_params(integer=True)
    style.legend_above(axis)


def _marked(faces: np.ndarray) -> np.ndarray:
    return np.stack([mark_generated(face) for face in faces])


def _grid(rows: Sequence[tuple[str, np.ndarray]], title: str) -> Figure:
    columns = len(rows[0][1])
    size = (1.5 * columns + 0.6, 1.5 * len(rows) + 0.6)
    drawn, axes = style.figure(len(rows), columns, size, title)
    for row, (name, faces) in zip(axes, rows, strict=True):
        for axis, face in zip(row, faces, strict=True):
            style.picture(axis, face)
        row[0].set_ylabel(name)
    return drawn
