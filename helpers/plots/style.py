"""One look for all figures: readable from the back row, also for colour-blind readers.

The colours are those of Okabe and Ito (2008), which people with the common forms of colour
blindness can tell apart.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#666666"
LIGHT_GREY = "#D9D9D9"

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY_BLUE, BLACK, YELLOW)
"""In the order in which lines and bars take them; the pale yellow comes last."""
STATUS_COLOURS = {
    "ok": GREEN,
    "gone": GREY,
    "blocked": PURPLE,
    "rejected": ORANGE,
    "failed": VERMILION,
}
"""Colour of each status of a row."""
CHANCE = {"color": GREY, "linestyle": ":", "linewidth": 2}
"""How a line of chance level is drawn."""
SEQUENTIAL = "cividis"
"""Colour map of quantities; the same for all kinds of colour vision."""
DIVERGING = "PuOr"
"""Colour map of quantities around zero."""
SMALLEST = 12
"""Points of the smallest text, which can still be read on a projector."""

_PARAMETERS = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.labelsize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT_GREY,
    "grid.linewidth": 0.8,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "legend.fontsize": SMALLEST,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "lines.markersize": 7,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
}


def apply() -> None:
    """Makes the look of the series the default of matplotlib."""
    import matplotlib as mpl

    mpl.rcParams.update(_PARAMETERS)
    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=COLOURS)
    _show_figures_in_notebook()


@functools.cache
def _show_figures_in_notebook() -> None:
    """Tells a notebook to show a Figure as a picture, which it does by itself only for pyplot."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {"png"})


def figure(
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] | None = None,
    title: str = "",
    **options: object,
) -> tuple[Figure, np.ndarray]:
    """Makes a figure in the look of the series.

    It belongs to no window and to no list of open figures: return it from the last line of a
    cell and it is shown once, drop it and its memory is free.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        size: Width and height in inches; None gives 5 by 3.4 for each of the axes, at most 13
            wide.
        title: Heading over all axes.
        **options: Passed on to `matplotlib.figure.Figure.subplots`, such as `sharex`.

    Returns:
        The figure and its axes as an array of objects (rows, columns).
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    apply()
    size = size or (min(13.0, max(7.0, 5.0 * columns)), max(3.6, 3.4 * rows))
    drawn = Figure(figsize=size, layout="constrained")
    axes = drawn.subplots(rows, columns, squeeze=False, **options)
    if title:
        drawn.suptitle(title, x=0.01, ha="left", fontsize=mpl.rcParams["font.size"] + 3)
    return drawn, axes


def picture(axes: Axes, image: np.ndarray, text: str = "", colour: str = BLACK) -> None:
    """Shows a picture without ticks, a caption under it.

    Args:
        axes: Where to draw.
        image: uint8 or float (height, width, 3) RGB, or (height, width).
        text: Caption; may have several lines.
        colour: Colour of the frame around the picture.
    """
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2 if colour != BLACK else 0.8)
    axes.set_xlabel(text, fontsize=SMALLEST, labelpad=4)


def legend_above(axes: Axes) -> None:
    """Puts the legend above the axes, where no line runs through it.

    Args:
        axes: Axes without a title of their own.
    """
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def caption(drawn: Figure, text: str) -> None:
    """Writes one line of explanation under a figure: what is seen, how many, what to notice.

    Args:
        drawn: Figure made by `figure`.
        text: Plain text; wrapped to the figure's width.
    """
    import textwrap

    characters = int(drawn.get_figwidth() * 11)
    filled = textwrap.fill(text, characters)
    drawn.supxlabel(filled, x=0.01, ha="left", fontsize=SMALLEST, color=GREY)


def empty(text: str) -> Figure:
    """Returns a figure that says why there is nothing to draw.

    Args:
        text: One plain sentence.
    """
    drawn, axes = figure(size=(7.0, 1.4))
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", transform=axes[0, 0].transAxes)
    return drawn
