"""Figures of apparent sex and age: how the faces made from voices look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def apparent(report: Mapping, title: str = "How the generated faces look") -> Figure:
    """Draws true against apparent sex, and against apparent age by decade and in years.

    Args:
        report: What `evaluation.evaluate_released` or `evaluate_tables` returned.
        title: Heading.
    """
    found = report.get("apparent", {})
    if not found:
        return style.empty("Too few people of known sex or age, or no face was found.")
    panels = len(found) + ("age" in found)
    ratios = [1.0] * ("sex" in found) + [1.25, 1.15] * ("age" in found)
    drawn, axes = style.figure(
        1, panels, (4.3 * panels, 4.8), title, gridspec_kw={"width_ratios": ratios}
    )
    places = list(axes[0])
    notes = []
    if "sex" in found:
        names = ["woman", "man"]
        _confusion(places.pop(0), np.array(found["sex"]["confusion"]), names, "apparent sex")
        notes.append(
            f"Sex: balanced accuracy {100 * found['sex']['balanced_accuracy']:.0f} %, always "
            f"saying the same {100 * found['sex']['constant_guess']:.0f} %."
        )
    if "age" in found:
        age = found["age"]
        _confusion(places.pop(0), np.array(age["confusion"]), age["decades"], "apparent age")
        _age_errors(places.pop(0), age)
        notes.append(
            f"Age within one decade: {100 * age['within_one_decade']:.0f} %, constant guess "
            f"{100 * age['within_constant_guess']:.0f} %, true faces "
            f"{100 * age['true_faces']['within_one_decade']:.0f} %; r = {age['correlation']:.2f}."
        )
    style.caption(drawn, " ".join(notes))
    return drawn


def _confusion(place: Axes, counts: np.ndarray, names: Sequence[str], title: str) -> None:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    place.imshow(shares, vmin=0, vmax=1, cmap=style.SEQUENTIAL, aspect="auto")
    place.grid(visible=False)
    few = len(names) < 4
    place.set_xticks(range(len(names)), names)
    place.set_yticks(range(len(names)), names)
    for row, column in np.ndindex(*counts.shape):
        share = f"{100 * shares[row, column]:.0f}"
        text = f"{counts[row, column]}\n{share} %" if few else share
        colour = style.BLACK if shares[row, column] > 0.5 else "white"
        size = 14 if few else style.SMALLEST
        place.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    place.set(xlabel="looks", ylabel="is", title=title if few else f"{title} (% of a row)")


def _age_errors(place: Axes, age: Mapping) -> None:
    errors = {
        "generated faces": age["mean_absolute_error"],
        "constant guess": age["constant_guess"],
        "true faces": age["true_faces_mean_absolute_error"],
    }
    colours = [style.BLUE, style.GREY, style.LIGHT_GREY]
    place.barh(list(errors), list(errors.values()), color=colours)
    for row, error in enumerate(errors.values()):
        place.text(error, row, f" {error:.1f}", va="center", fontsize=style.SMALLEST)
    place.invert_yaxis()
    place.grid(axis="y", visible=False)
    place.set_xlim(0, 1.2 * max(errors.values()))
    place.set(xlabel="mean absolute error (years)", title="apparent age")
