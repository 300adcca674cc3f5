"""Apparent sex and age of faces against the truth, beside the constant guess.

Apparent means: how a face looks to a linear model. It says nothing about a person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.measuring.intervals import bootstrap_interval, resampled_people

SEXES = ("F", "M")


def decades(age: np.ndarray) -> np.ndarray:
    """Returns the decade of each age as text: `20s`; empty where the age is unknown."""
    return np.array([f"{int(a // 10) * 10}s" if np.isfinite(a) else "" for a in age])


def apparent_sex(
    true: np.ndarray, looks_male: np.ndarray, identities: Sequence | None = None
) -> dict:
    """Compares true with apparent sex.

    Args:
        true: `F` or `M`, (n,).
        looks_male: Probability that the face looks male, 0 to 1, (n,).
        identities: Who row i is; None takes each row for a person of its own.

    Returns:
        count; confusion (rows true F, M; columns apparent F, M); balanced_accuracy (mean of the
        shares that are right for each sex), its 95 % interval, bootstrapped over people; and
        constant_guess, what always saying the same reaches.
    """
    true = np.asarray(true)
    apparent = np.where(np.asarray(looks_male) > 0.5, "M", "F")
    confusion = _confusion(true, apparent, SEXES)
    accuracy = _balanced(confusion)
    return {
        "count": len(true),
        "confusion": confusion.tolist(),
        "balanced_accuracy": round(accuracy, 4),
        "interval": _balanced_interval(true, apparent == true, identities),
        "constant_guess": round(1 / len(np.unique(true)), 4),
    }


def apparent_age(
    true: np.ndarray, looks: np.ndarray, usual_age: float, identities: Sequence | None = None
) -> dict:
    """Compares true with apparent age, in years and by decade.

    Args:
        true: Years, (n,).
        looks: Years that the face looks, (n,).
        usual_age: The constant guess, in years.
        identities: As in `apparent_sex`.

    Returns:
        count, mean_absolute_error and constant_guess (the error of always saying `usual_age`), in
        years, and correlation (Pearson's r; 0 where one side does not vary). Then by decade:
        `decades` with names, confusion (rows true, columns apparent), balanced_accuracy (mean over
        the true decades) with interval and balanced_constant_guess, and within_one_decade (the
        right decade or its neighbour) with within_interval and within_constant_guess, the best
        that always saying the same decade reaches.
    """
    true, looks = np.asarray(true, float), np.asarray(looks, float)
    varies = len(true) > 2 and np.std(true) > 0 and np.std(looks) > 0
    return {
        "count": len(true),
        "mean_absolute_error": round(float(np.mean(np.abs(true - looks))), 2),
        "constant_guess": round(float(np.mean(np.abs(true - usual_age))), 2),
        "correlation": round(float(np.corrcoef(true, looks)[0, 1]), 4) if varies else 0.0,
        **_by_decade(true // 10, looks // 10, identities),
    }


def _by_decade(true: np.ndarray, looks: np.ndarray, identities: Sequence | None) -> dict:
    named = np.arange(min(true.min(), looks.min()), max(true.max(), looks.max()) + 1)
    confusion = _confusion(true, looks, named)
    near = np.abs(true - looks) <= 1
    low, high = bootstrap_interval(near, range(len(near)) if identities is None else identities)
    constant = max(float(np.mean(np.abs(true - guess) <= 1)) for guess in named)
    return {
        "decades": [f"{int(decade) * 10}s" for decade in named],
        "confusion": confusion.tolist(),
        "balanced_accuracy": round(_balanced(confusion), 4),
        "interval": _balanced_interval(true, true == looks, identities),
        "balanced_constant_guess": round(1 / len(np.unique(true)), 4),
        "within_one_decade": round(float(near.mean()), 4),
        "within_interval": [round(low, 4), round(high, 4)],
        "within_constant_guess": round(constant, 4),
    }


def _confusion(true: np.ndarray, apparent: np.ndarray, names: Sequence) -> np.ndarray:
    return np.array(
        [[int(np.sum((true == row) & (apparent == column))) for column in names] for row in names]
    )


def _balanced(confusion: np.ndarray) -> float:
    there = confusion.sum(1) > 0
    return float(np.mean(np.diag(confusion)[there] / confusion.sum(1)[there]))


def _balanced_interval(
    true: np.ndarray, right: np.ndarray, identities: Sequence | None
) -> list[float]:
    """95 % interval of the balanced accuracy; classes that a draw leaves empty do not count."""
    names = np.arange(len(true)) if identities is None else np.asarray(identities)
    person = np.unique(names, return_inverse=True)[1]
    drawn = resampled_people(person.max() + 1)[:, person]
    shares = []
    for name in np.unique(true):
        members = drawn @ (true == name).astype(float)
        hits = drawn @ ((true == name) & right).astype(float)
        shares.append(np.where(members > 0, hits / np.maximum(members, 1), np.nan))
    low, high = np.quantile(np.nanmean(shares, axis=0), (0.025, 0.975))
    return [round(float(low), 4), round(float(high), 4)]
