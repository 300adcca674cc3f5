"""Directions in the space of faces: what changes from low to high voices, from young to old.

A direction is found by regression: how much does each number of the feature change when the voice
is one standard deviation higher, everything that is held fixed being equal? Walking along it from
the mean face and drawing each step shows the change. It is a change of means over people, and not
what would happen to one person's face.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.measuring.craniofacial import without

LEAST_PEOPLE = 20


def direction(
    features: np.ndarray, values: Sequence[float], held: np.ndarray | None = None
) -> np.ndarray:
    """Finds how features change with a value that belongs to each of them.

    Args:
        features: (n, d), true or predicted.
        values: What they should go with, such as pitch or age, (n,); NaN is left out.
        held: What is held fixed, (n,) or (n, p) numbers; None holds nothing.

    Returns:
        (d,): the change of the feature that goes with one standard deviation of the value.

    Raises:
        ValueError: Fewer than 20 people have a value, or it is the same for all.
    """
    values = np.asarray(values, float)
    known = np.isfinite(values)
    fixed = np.ones((len(values), 1))
    if held is not None:
        fixed = np.column_stack([fixed, np.asarray(held, float).reshape(len(values), -1)])
        known &= np.isfinite(fixed).all(axis=1)
    if known.sum() < LEAST_PEOPLE or np.ptp(values[known]) == 0:
        raise ValueError(
            f"A direction needs {LEAST_PEOPLE} people whose values differ; here are {known.sum()}."
        )
    spread = values[known].std()
    x, y = without(values[known], fixed[known]), without(features[known], fixed[known])
    return spread * (x @ y) / max(float(x @ x), 1e-12)


def walk(
    centre: np.ndarray, step: np.ndarray, places: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3)
) -> np.ndarray:
    """Walks through the space of faces.

    Args:
        centre: Where to start, (d,).
        step: What one step adds, (d,).
        places: Which steps to show; 0 is the start.

    Returns:
        (places, d) features.
    """
    return (centre + np.outer(places, step)).astype(np.float32)


def group_means(
    features: np.ndarray, groups: Sequence[str], least: int = 3
) -> dict[str, tuple[np.ndarray, int]]:
    """Returns the average feature of each group of people.

    Args:
        features: (n, d).
        groups: Which group each belongs to, n names; an empty name belongs to none.
        least: People that a group needs, so that nobody's own face is shown as an average.

    Returns:
        Name of the group -> its mean feature, (d,), and how many people it is of.
    """
    groups = np.asarray(groups)
    means = {}
    for name in sorted(set(groups) - {""}):
        rows = groups == name
        if rows.sum() >= least:
            means[str(name)] = features[rows].mean(axis=0), int(rows.sum())
    return means


def averages(
    features: np.ndarray, sex: Sequence[str], age: Sequence[float], groups: Sequence[str]
) -> dict[str, tuple[np.ndarray, int]]:
    """Returns the average feature of women and men, of young and old, and of each further group.

    Args:
        features: (n, d), true or predicted.
        sex: `F`, `M` or empty, (n,).
        age: Years, NaN where unknown, (n,).
        groups: A further group of each, such as the island; may be empty, (n,).

    Returns:
        As `group_means`; groups of fewer than three people are left out.
    """
    names = {"F": "women", "M": "men"}
    sexes = [names.get(each, "") for each in sex]
    ages = ["under 35" if years < 35 else "over 60" if years > 60 else "" for years in age]
    return {
        name: mean
        for labels in (sexes, ages, groups)
        for name, mean in group_means(features, labels).items()
    }
