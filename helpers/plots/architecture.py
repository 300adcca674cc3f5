"""Pictures of networks, drawn from their own layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style
from helpers.settings import FFT_POINTS, HOP_SAMPLES, SPEECH_SAMPLES, WINDOW_SAMPLES

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = {
    "sound": style.GREY,
    "convolution": style.SKY_BLUE,
    "pooling": style.ORANGE,
    "fully connected": style.GREEN,
    "feature": style.VERMILION,
}
_OWN_BLOCK = {
    "InputLayer": "sound",
    "LogMel": "sound",
    "Spectrogram": "sound",
    "Conv1D": "convolution",
    "Conv2D": "convolution",
    "AttentivePooling": "pooling",
    "AveragePooling2D": "pooling",
    "MaxPooling2D": "pooling",
    "Dense": "fully connected",
    "AddCentre": "feature",
}
"""Layers that are drawn as a block; all others belong to the block before them."""
_CENTRE = "+ mean\nface"
"""What the layer is called that adds the mean face."""


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of the picture: a layer, with the small layers that follow it.

    Attributes:
        name: What is written above it.
        kind: What colours it, one of the keys of the legend.
        shape: What it puts out, without the batch: (frames, bands, channels), (frames, channels)
            or (numbers,).
        parameters: Numbers to learn, with those of the small layers that follow.
        added: Whether its input is added to its output (a skip connection).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    added: bool = False


def blocks(network: keras.Model, samples: int) -> list[Block]:
    """Reads the blocks of a network from its layers.

    Args:
        network: A voice encoder, waveform -> feature.
        samples: Length of the waveform that it hears.
    """
    import keras

    layers = list(network.layers)
    outputs = keras.Model(network.input, [layer.output for layer in layers])
    shapes = outputs.compute_output_spec(keras.KerasTensor((1, samples)))
    found: list[Block] = []
    for layer, output in zip(layers, shapes, strict=True):
        shape, count = tuple(output.shape[1:]), layer.count_params()
        kind = _OWN_BLOCK.get(type(layer).__name__)
        if kind is None and found:
            last = found[-1]
            # Laid flat for the next layer, the numbers are still those of frames and bands.
            shape = last.shape if len(shape) < len(last.shape) else shape
            added = last.added or type(layer).__name__ == "Add"
            found[-1] = dataclasses.replace(
                last, shape=shape, parameters=last.parameters + count, added=added
            )
        else:
            found.append(Block(_name(layer), kind or "sound", shape, count))
    return found


def blocks_of_table(
    rows: Sequence[Mapping], spectrogram: Mapping[str, float] | None = None
) -> list[Block]:
    """Reads blocks from a table of layers, for a network that is too large to build for a picture.

    Args:
        rows: What `voice_networks.paper_table` returned.
        spectrogram: What it was asked about, such as `Settings.spectrogram`; None is the paper's.
    """
    sizes = {"window": WINDOW_SAMPLES, "hop": HOP_SAMPLES, "fft_points": FFT_POINTS}
    sizes |= spectrogram or {}
    frames = 1 + (SPEECH_SAMPLES - sizes["window"]) // sizes["hop"]
    found = [Block("spectrogram", "sound", (frames, sizes["fft_points"] // 2 + 1, 2), 0)]
    for row in rows:
        shape = tuple(int(size) for size in row["output"].split(" x "))
        name, count = row["layer"], row["parameters"]
        if name.startswith("norm"):
            found[-1] = dataclasses.replace(
                found[-1], shape=shape, parameters=found[-1].parameters + count
            )
            continue
        kind = "convolution" if len(shape) == 3 else "fully connected"
        if name == "centre":
            name, kind = _CENTRE, "feature"
        found.append(Block(name, kind, shape, count))
    return found


def networks(shown: Mapping[str, Sequence[Block]], title: str = "") -> Figure:
    """Draws networks under each other, their blocks from left to right.

    Args:
        shown: Name of each network to its blocks.
        title: Heading.

    Returns:
        A figure. A block is as high as there are bands of frequency, as wide as there are channels,
        and as deep as there are frames of time, all three on a logarithmic scale.
    """
    longest = max(len(parts) for parts in shown.values())
    drawn, axes = style.figure(
        len(shown), 1, (max(9.0, 1.1 * longest), 3.9 * len(shown) + 0.5), title
    )
    for place, (name, parts) in zip(axes[:, 0], shown.items(), strict=True):
        _network(place, parts)
        total = sum(part.parameters for part in parts)
        place.set_title(f"{name}: {total / 1e6:,.1f} million parameters")
    kinds = [kind for kind in _KINDS if any(b.kind == kind for p in shown.values() for b in p)]
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=_KINDS[kind], label=kind) for kind in kinds]
    drawn.legend(handles=handles, loc="outside upper right", ncols=len(kinds))
    style.caption(
        drawn,
        "Under each block: what it puts out (frames × bands × channels, or numbers), and how many "
        "numbers it holds. Sizes are drawn on a logarithmic scale. Bent arrows go around a "
        "block, and what went in is added to what comes out.",
    )
    return drawn


def _network(place: Axes, parts: Sequence[Block]) -> None:
    place.set_axis_off()
    left = 0.0
    for number, part in enumerate(parts):
        frames, bands, channels = _sizes(part)
        wide, high, deep = 0.06 * _log(channels), 0.24 * _log(bands), 0.09 * _log(frames)
        _cuboid(place, left, wide, high, deep, _KINDS[part.kind])
        middle = left + (wide + deep) / 2
        place.text(middle, high / 2 + deep + 0.25, part.name, ha="center", fontsize=style.SMALLEST)
        below = " × ".join(f"{size:,}" for size in part.shape)
        if len(below) > 7:  # wider than its block
            below = below.replace(" × ", "\n× ")
        if part.parameters:
            below += f"\n{_short(part.parameters)}"
        small = {"fontsize": style.SMALLEST, "color": style.GREY}
        place.text(middle, -1.75, below, ha="center", va="top", **small)
        if part.added:  # the way around the block
            place.annotate(
                "",
                (left + wide + deep + 0.1, 0.2),
                (left - 0.3, 0.05),
                arrowprops={
                    "arrowstyle": "->",
                    "connectionstyle": "arc3,rad=-0.5",
                    "color": style.BLACK,
                    "linewidth": 1.2,
                },
            )
        if number < len(parts) - 1:
            start = left + wide + 0.6 * deep
            left = left + max(wide + deep + 0.45, 1.5)
            place.annotate("", (left - 0.04, 0), (start + 0.04, 0), arrowprops={"arrowstyle": "->"})
    place.set(xlim=(-0.5, left + 1.2), ylim=(-3.1, 2.7))


def _cuboid(place: Axes, left: float, wide: float, high: float, deep: float, colour: str) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Polygon

    low, top, right, back = -high / 2, high / 2, left + wide, 0.5 * deep
    tone = np.array(to_rgb(colour))
    front = [(left, low), (right, low), (right, top), (left, top)]
    roof = [(left, top), (right, top), (right + deep, top + back), (left + deep, top + back)]
    side = [(right, low), (right + deep, low + back), (right + deep, top + back), (right, top)]
    sides = ((front, tone), (roof, tone + 0.5 * (1 - tone)), (side, 0.72 * tone))
    for corners, face in sides:
        place.add_patch(Polygon(corners, facecolor=face, edgecolor="white", linewidth=0.7))


def _sizes(part: Block) -> tuple[int, int, int]:
    """Frames, bands and channels of what a block puts out; a feature is drawn as bands."""
    shape = part.shape
    if len(shape) == 3:
        return shape
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return (shape[0], 1, 1) if part.kind == "sound" else (1, shape[0], 1)


def _log(size: int) -> float:
    return 1 + float(np.log2(max(size, 1)))


def _name(layer: keras.layers.Layer) -> str:
    """A short name: what somebody called it, or what it is."""
    kinds = {"InputLayer": "waveform", "AddCentre": _CENTRE, "AttentivePooling": "attention"}
    kind = type(layer).__name__
    if kind in kinds:
        return kinds[kind]
    size = getattr(layer, "kernel_size", None)
    if size:
        steps = getattr(layer, "dilation_rate", (1,))[0]
        return "conv " + "×".join(map(str, size)) + (f"\nevery {steps}" if steps > 1 else "")
    return {"LogMel": "log-mel", "Spectrogram": "spectrogram", "Dense": "dense"}.get(
        kind, layer.name
    )


def _short(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"
