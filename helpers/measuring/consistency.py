"""Does a voice give the same face again, later in the recording and in another recording?

A face that changes with every sentence says more about the sentence than about the speaker. So
predictions from two stretches of one voice are compared with each other, beside predictions from
the voices of two people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.measuring.intervals import bootstrap_interval
from helpers.measuring.verification import cosine_scores

CHANCE = 0.5


def consistency(
    first: np.ndarray,
    second: np.ndarray,
    identities: Sequence,
    centre: np.ndarray,
    groups: Sequence | None = None,
) -> dict:
    """Compares predictions from two stretches of each voice, within and between speakers.

    Args:
        first: Features predicted from one stretch of each voice, (n, d).
        second: From another stretch, or another recording, of the same voice, (n, d).
        identities: Who row i is.
        centre: Mean feature of the training people, (d,).
        groups: A label for each row, such as the sex: other people are then those of the group.

    Returns:
        count; within and between: mean and standard deviation of the cosine for one and for two
        people; told_apart: how often a pair of one person is more alike than a pair with somebody
        else, 0 to 1, with its 95 % interval over people; chance, 0.5.

    Raises:
        ValueError: There is nobody else to compare with.
    """
    alike = cosine_scores(first, second, centre)
    people = np.unique([str(name) for name in identities], return_inverse=True)[1]
    labels = np.zeros(len(people)) if groups is None else np.asarray(groups)
    others = (people[:, None] != people) & (labels[:, None] == labels)
    rows = np.flatnonzero(others.any(axis=1))
    if not len(rows):
        raise ValueError("Consistency needs 2 people or more; here is one.")
    own, other = np.diag(alike), alike[others]
    nearer = (alike < own[:, None]) + 0.5 * (alike == own[:, None])
    shares = np.array([nearer[row][others[row]].mean() for row in rows])
    low, high = bootstrap_interval(shares, people[rows])
    return {
        "count": len(own),
        "within": _mean_and_deviation(own),
        "between": _mean_and_deviation(other),
        "told_apart": round(float(shares.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "chance": CHANCE,
    }


def _mean_and_deviation(values: np.ndarray) -> list[float]:
    return [round(float(values.mean()), 4), round(float(values.std()), 4)]
