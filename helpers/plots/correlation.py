"""Figures of what goes with what: voices and faces as a heat map, a prediction's telling places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.measuring.correlation import FACE_MEASURES, VOICE_MEASURES
from helpers.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

    from helpers.measuring.correlation import Correlations
    from helpers.measuring.occlusion import Occlusion

_LEVELS = (0.05, 0.01, 0.001)


def heat_map(found: Mapping[str, Correlations], title: str = "") -> Figure:
    """Draws which measures of a voice go with which measures of a face.

    Args:
        found: Heading of each panel to what `correlation.correlations` returned.
        title: Heading; empty says what is drawn.

    Returns:
        A panel each, one under the other. Colours are correlations; a star stands for a p-value
        below 0.05 after correction, two for 0.01, three for 0.001.
    """
    found = {name: table for name, table in found.items() if table.people}
    if not found:
        return style.empty("Too few people with both a voice and a face to correlate.")
    size = (12.5, 4.6 * len(found) + 2.2)
    drawn, axes = style.figure(
        len(found), 1, size, title or "What goes with what?", sharex=True, sharey=True
    )
    limit = max(0.5, *(float(np.abs(table.r).max()) for table in found.values()))
    for place, (name, table) in zip(axes[:, 0], found.items(), strict=True):
        image = place.imshow(table.r, cmap=style.DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
        place.grid(visible=False)
        for row, column in np.ndindex(*table.r.shape):
            stars = "*" * sum(table.corrected[row, column] < level for level in _LEVELS)
            if stars:
                strong = abs(table.r[row, column]) > 0.7 * limit
                place.text(
                    column,
                    row,
                    f"{table.r[row, column]:.2f}\n{stars}",
                    color="white" if strong else style.BLACK,
                    **{
                        "ha": "center",
                        "va": "center",
                        "fontsize": style.SMALLEST,
                        "linespacing": 0.9,
                    },
                )
        place.set_yticks(range(len(VOICE_MEASURES)), list(VOICE_MEASURES.values()))
        place.set_title(
            f"{name}: {table.people} people, {table.significant()} of {table.r.size} pairs marked"
        )
    axes[-1, 0].set_xticks(range(len(FACE_MEASURES)), FACE_MEASURES, rotation=40, ha="right")
    drawn.colorbar(image, ax=axes, label="rank correlation (Spearman)", shrink=0.6)
    style.caption(
        drawn,
        "Numbers where the p-value, corrected for the number of pairs (Benjamini and Hochberg), is "
        "below 0.05 (*), 0.01 (**) or 0.001 (***). Lengths of a face are in distances of its eyes, "
        "its area in squares of them; an index is a ratio.",
    )
    return drawn


def occlusion(found: Occlusion, spectrogram: np.ndarray, title: str = "") -> Figure:
    """Draws a spectrogram and, beside it, what hiding each patch does to the prediction.

    Args:
        found: What `occlusion.occlude` returned.
        spectrogram: Compressed real and imaginary parts of the same voice, (frames, 257, 2).
        title: Heading; empty says what is drawn.
    """
    title = title or "Where in the sound is the face?"
    panels = 2 if found.towards_male is None else 3
    drawn, axes = style.figure(1, panels, (5.0 * panels, 4.6), title, sharey=True)
    loudness = np.hypot(spectrogram[..., 0], spectrogram[..., 1]).T
    first, last = axes[0, 0], found.times[-1]
    first.imshow(
        loudness,
        origin="lower",
        aspect="auto",
        extent=(0, last, 0, 8),
        vmax=np.quantile(loudness, 0.995),
    )
    first.set(title="the voice", ylabel="frequency (kHz)")
    moved = 100 * found.moved
    image = _patches(axes[0, 1], found, moved, style.SEQUENTIAL, 0, float(moved.max()))
    axes[0, 1].set_title("how far the face moves (%)")
    drawn.colorbar(image, ax=axes[0, 1])
    text = (
        "Second: distance between the features predicted with and without the patch, in per cent "
        "of the distance from the mean face."
    )
    if found.towards_male is not None:
        most = max(float(np.abs(found.towards_male).max()), 1e-6)
        place = axes[0, 2]
        image = _patches(place, found, found.towards_male, style.DIVERGING, -most, most)
        place.set_title("how it looks without the patch")
        drawn.colorbar(image, ax=place, label="female  <  apparent sex (%)  >  male")
        text += (
            " Third: shift along the line from women's mean face to men's, in per cent of its "
            "length."
        )
    for place in axes[0]:
        place.set(xlabel="time (s)", ylim=(0, 8))
        place.grid(visible=False)
    style.caption(drawn, text)
    return drawn


def bands(found: Mapping[str, np.ndarray], edges: Sequence[float], title: str = "") -> Figure:
    """Draws how far a face moves when one band of frequencies is hidden all the time.

    Args:
        found: Name of each group of voices to what `occlusion.bands_hidden` returned, (n, bands).
        edges: Edges of the bands in Hz, one more than there are bands.
        title: Heading.
    """
    found = {name: values for name, values in found.items() if len(values)}
    if not found:
        return style.empty("There is no voice to hide anything of.")
    drawn, axes = style.figure(size=(10.0, 4.4), title=title or "Which frequencies tell?")
    place = axes[0, 0]
    steps, width = np.arange(len(edges) - 1), 0.8 / len(found)
    for number, (name, values) in enumerate(found.items()):
        left = steps + (number - (len(found) - 1) / 2) * width
        mean = 100 * values.mean(axis=0)
        error = 100 * values.std(axis=0) / np.sqrt(len(values))
        place.bar(left, mean, 0.92 * width, label=f"{name}: {len(values)} voices")
        place.errorbar(left, mean, error, fmt="none", color=style.BLACK, capsize=3)
    names = [f"{low:,.0f}–\n{high:,.0f}" for low, high in zip(edges, edges[1:], strict=False)]
    place.set_xticks(steps, names)
    place.grid(axis="x", visible=False)
    place.set(xlabel="band that is hidden (Hz)", ylabel="how far the face moves (%)")
    place.legend()
    style.caption(
        drawn,
        "In per cent of the distance between prediction and mean face. Thin lines: one standard "
        "error of the mean.",
    )
    return drawn


def _patches(
    place: Axes, found: Occlusion, values: np.ndarray, colours: str, low: float, high: float
) -> QuadMesh:
    kilohertz = found.bands / 1000
    return place.pcolormesh(found.times, kilohertz, values, cmap=colours, vmin=low, vmax=high)
