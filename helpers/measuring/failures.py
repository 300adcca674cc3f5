"""Failures chosen by rule, so that nobody can choose the pictures.

Three rules, stated beside the pictures: the right face comes latest; the drawn face looks most
surely of the other sex; the voice is least like those that were trained on.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from helpers.measuring.retrieval import unit

RULES = {
    "rank": "the right face comes latest",
    "sex": "the drawn face looks most surely of the other sex",
    "unfamiliar": "the prediction is furthest from those of the training voices",
}
_NEIGHBOURS = 5


@dataclasses.dataclass(frozen=True)
class Failure:
    """One failure.

    Attributes:
        row: Which pair, an index.
        rule: One of `RULES`.
        value: What the rule goes by.
        text: The same for people.
    """

    row: int
    rule: str
    value: float
    text: str


def failures(
    percentiles: np.ndarray,
    sex: np.ndarray,
    looks_male: np.ndarray,
    distances: np.ndarray | None = None,
    count: int = 3,
) -> list[Failure]:
    """Chooses the worst pairs by each rule.

    Args:
        percentiles: Percentile rank of each own face, (n,): 0 is best, 50 chance.
        sex: `F`, `M` or empty, (n,).
        looks_male: How surely each drawn face looks male, 0 to 1; NaN where no face is found.
        distances: From the training voices, as `unfamiliarity` gives them; None leaves this out.
        count: How many by each rule.

    Returns:
        At most `count` for each rule, worst first. A drawn face of the right sex is no failure.
    """
    sex, looks_male = np.asarray(sex), np.asarray(looks_male, float)
    wrong = np.where(sex == "M", 1 - looks_male, np.where(sex == "F", looks_male, np.nan))
    values = {"rank": np.asarray(percentiles, float), "sex": np.where(wrong > 0.5, wrong, np.nan)}
    if distances is not None:
        values["unfamiliar"] = np.asarray(distances, float)
    words = {
        "rank": "rank at {:.0f} % of the gallery",
        "sex": "{:.0%} sure of the other sex",
        "unfamiliar": "distance {:.2f}",
    }
    chosen = []
    for rule, numbers in values.items():
        worst = np.argsort(-np.nan_to_num(numbers, nan=-np.inf), kind="stable")[:count]
        chosen += [
            Failure(int(row), rule, float(numbers[row]), words[rule].format(numbers[row]))
            for row in worst
            if np.isfinite(numbers[row])
        ]
    return chosen


def unfamiliarity(predicted: np.ndarray, trained: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Returns how far each prediction is from those of the training voices.

    Args:
        predicted: Features predicted from the voices tested, (n, d).
        trained: Features predicted from training voices, (m, d).
        centre: Mean feature of the training people, (d,).

    Returns:
        1 - cosine to the nearest five, on average, (n,): 0 for a voice like those trained on.
    """
    alike = unit(predicted - centre) @ unit(trained - centre).T
    nearest = np.sort(alike, axis=1)[:, -_NEIGHBOURS:]
    return 1 - nearest.mean(axis=1)
