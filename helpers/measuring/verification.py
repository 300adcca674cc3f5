"""Are two recordings of one person? Voice-to-voice verification, with its equal error rate.

A threshold on the similarity of two recordings makes two kinds of errors: strangers accepted, and
the same person refused. Where both are equally frequent lies the equal error rate (EER); guessing
has 50 %. Nothing here was trained to tell voices apart: the question is how much of a person is
left in the face that a network expects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.measuring.intervals import resampled_people
from helpers.measuring.retrieval import check_features, unit

CHANCE = 0.5
LEAST_PEOPLE = 5
_RESAMPLES = 300
_STEPS = 2_000


def verify(
    scores: np.ndarray, identities: Sequence, groups: Sequence | None = None, seed: int = 0
) -> dict:
    """Measures the equal error rate over all pairs of a first and a second recording.

    Args:
        scores: How alike first recording i and second recording j are, (n, n); larger is more
            alike. Row i and column i are of one person, in different recordings.
        identities: Who row i is.
        groups: A label for each row, such as the sex: strangers are then compared only within a
            group. None compares with all.
        seed: Seed of the bootstrap.

    Returns:
        eer with its 95 % interval, bootstrapped over people (all pairs of a drawn person come with
        it), chance, and how many pairs were the same person (same) and strangers (different).

    Raises:
        ValueError: A score is not finite, or there are fewer than 5 people, or no strangers.
    """
    scores = np.asarray(scores, float)
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(f"The score of recordings {row} and {column} is not finite.")
    person = np.unique([str(name) for name in identities], return_inverse=True)[1]
    people = person.max() + 1
    if people < LEAST_PEOPLE:
        raise ValueError(f"Verification needs {LEAST_PEOPLE} people or more; here are {people}.")
    labels = np.zeros(len(person)) if groups is None else np.asarray(groups)
    same = person[:, None] == person
    strangers = ~same & (labels[:, None] == labels)
    if not strangers.any():
        raise ValueError("There is no pair of strangers to compare.")
    # Only the order of the scores counts, so quantiles of them are fine enough as thresholds.
    edges = np.quantile(scores[same | strangers], np.linspace(0, 1, _STEPS)[1:-1])
    step = np.searchsorted(edges, scores)
    first, second = (np.broadcast_to(who, same.shape) for who in (person[:, None], person))

    def rate(weights: np.ndarray) -> float:
        pairs = np.where(same, weights[first], weights[first] * weights[second])
        counts = [
            np.bincount(step[chosen], weights=pairs[chosen], minlength=_STEPS)
            for chosen in (same, strangers)
        ]
        return _crossing(*counts)

    drawn = [rate(weights) for weights in resampled_people(people, seed, _RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {
        "eer": round(equal_error_rate(scores[same], scores[strangers]), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "chance": CHANCE,
        "same": int(same.sum()),
        "different": int(strangers.sum()),
    }


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Returns the rate at which as many strangers are accepted as same people are refused.

    Args:
        same: Scores of pairs of one person, any number.
        different: Scores of pairs of strangers, any number.
    """
    steps = np.unique(np.concatenate([same, different]))
    counts = [
        np.bincount(np.searchsorted(steps, scores), minlength=len(steps))
        for scores in (same, different)
    ]
    return _crossing(*counts)


def errors(same: np.ndarray, different: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns shares of strangers accepted and of same people refused, from strict to lenient."""
    steps = np.unique(np.concatenate([same, different]))[::-1]
    accepted = (np.asarray(different)[:, None] >= steps).mean(0)
    refused = (np.asarray(same)[:, None] < steps).mean(0)
    return np.concatenate([[0], accepted]), np.concatenate([[1], refused])


def _crossing(same: np.ndarray, different: np.ndarray) -> float:
    """Equal error rate from the counts at each score, in rising order of the scores."""
    refused = np.concatenate([[0], np.cumsum(same) / same.sum()])
    accepted = 1 - np.concatenate([[0], np.cumsum(different) / different.sum()])
    gap = refused - accepted  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(refused[before] + share * (refused[after] - refused[before]))


def cosine_scores(
    first: np.ndarray, second: np.ndarray, centre: np.ndarray | None = None
) -> np.ndarray:
    """Returns the cosine of each first and each second feature, (n, n).

    Args:
        first: Features of the first recordings, (n, d).
        second: Features of the second ones, (n, d).
        centre: Mean feature, subtracted before.
    """
    middle = 0 if centre is None else centre
    first, second = check_features(first, "first"), check_features(second, "second")
    return unit(first - middle) @ unit(second - middle).T


def pitch_scores(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns how near the pitches of two recordings are, in octaves below 0, (n, n).

    This is what somebody does who hears nothing but how high a voice is.

    Args:
        first: Median fundamental frequencies in hertz, (n,); where none was found, NaN, the
            median of the others is taken.
        second: Those of the second recordings, (n,).
    """
    octaves = [np.log2(np.asarray(hertz, float)) for hertz in (first, second)]
    usual = np.nanmedian(np.concatenate(octaves))
    first, second = (np.where(np.isfinite(values), values, usual) for values in octaves)
    return -np.abs(first[:, None] - second)
