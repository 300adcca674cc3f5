"""Figures of notebook 04 about the loss: how each term pulls, and how fast a network learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pulls(sizes: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draws how strongly each term of a loss pulls at a predicted feature.

    Args:
        sizes: When -> what `voice_losses.gradient_sizes` returned then.
        title: Heading.
    """
    terms = list(dict.fromkeys(name for measured in sizes.values() for name in measured))
    if not terms:
        return style.empty("No term of the loss is on.")
    drawn, axes = style.figure(size=(9, 1.4 + 0.5 * len(terms) * len(sizes)), title=title)
    axis, height = axes[0, 0], 0.8 / len(sizes)
    for number, (when, measured) in enumerate(sizes.items()):
        places = np.arange(len(terms)) + height * (number - (len(sizes) - 1) / 2)
        values = [measured.get(name, np.nan) for name in terms]
        bars = axis.barh(places, values, 0.9 * height, color=style.COLOURS[number], label=when)
        axis.bar_label(
            bars,
            [f"{v:,.0f}" if v >= 100 else f"{v:.2g}" for v in values],
            padding=4,
            fontsize=style.SMALLEST,
        )
    axis.set(xscale="log", xlabel="length of the gradient, term times its weight (log scale)")
    axis.set_yticks(range(len(terms)), terms)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    if len(sizes) > 1:
        axis.legend()
    return drawn


def learning_rates(steps: Sequence[int], rates: Mapping[str, Sequence[float]]) -> Figure:
    """Draws learning rates over the steps of a training.

    Args:
        steps: Steps at which they were taken.
        rates: Name of the schedule -> learning rates, one for each step.
    """
    drawn, axes = style.figure(size=(9, 3.6))
    for name, values in rates.items():
        axes[0, 0].plot(steps, values, label=name)
    axes[0, 0].set(yscale="log", xlabel="training step", ylabel="learning rate")
    axes[0, 0].xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axes[0, 0].legend()
    return drawn
