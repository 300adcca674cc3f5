"""How sure a number is: 95 % intervals that count people and not clips.

Two clips of one person are not two independent trials, so the bootstrap draws people, with
replacement, and takes all that belongs to each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 1_000
_ENDS = (0.025, 0.975)


def bootstrap_interval(
    values: np.ndarray, identities: Sequence, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % interval of a mean, resampling people 1,000 times with replacement.

    Where all values are 0 or all are 1 there is nothing to resample; then the open end is the exact
    binomial bound (with n people and no hit, about 3.7 / n).

    Args:
        values: One value per query, 0 to 1, (n,).
        identities: Who each query is.
        seed: Seed of the resampling.
    """
    values = np.asarray(values, float)
    drawn, total, count = _drawn(values, identities, seed)
    bound = 0.025 ** (1 / drawn.shape[1])
    if values.max() == 0:
        return 0.0, 1 - bound
    if values.min() == 1:
        return bound, 1.0
    low, high = np.quantile((drawn @ total) / (drawn @ count), _ENDS)
    return float(low), float(high)


def ratio_interval(
    values: np.ndarray, yardstick: np.ndarray, identities: Sequence, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % interval of the ratio of two means on the same people.

    Both means are taken over the same draw of people (paired bootstrap), so that people who are
    easy or hard for both do not make the ratio look less sure than it is.

    Args:
        values: One value per query, (n,).
        yardstick: One value per query, (n,); not all 0.
        identities: Who each query is.
        seed: Seed of the resampling.
    """
    drawn, total, _ = _drawn(np.asarray(values, float), identities, seed)
    _, other, _ = _drawn(np.asarray(yardstick, float), identities, seed)
    below = drawn @ other
    low, high = np.quantile((drawn @ total)[below > 0] / below[below > 0], _ENDS)
    return float(low), float(high)


def correlation_interval(
    first: np.ndarray, second: np.ndarray, identities: Sequence, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % interval of Pearson's r, bootstrapped over people.

    Args:
        first: One value per row, (n,).
        second: One value per row, (n,).
        identities: Who each row is.
        seed: Seed of the resampling.
    """
    x, y = (np.asarray(values, float) - np.mean(values) for values in (first, second))
    sums = []
    for values in (x, y, x * x, y * y, x * y, np.ones_like(x)):
        drawn, total, _ = _drawn(values, identities, seed)
        sums.append(drawn @ total)
    sx, sy, sxx, syy, sxy, count = sums
    spread = np.sqrt(np.maximum((sxx - sx**2 / count) * (syy - sy**2 / count), 1e-300))
    low, high = np.quantile((sxy - sx * sy / count) / spread, _ENDS)
    return float(low), float(high)


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share, after Wilson (1927): fit for few trials, too.

    Args:
        right: How many of them, 0 to `count`.
        count: Independent trials, 1 or more.
    """
    z = 1.959964
    share, width = right / count, z * z / count
    middle = (share + width / 2) / (1 + width)
    half = z / (1 + width) * math.sqrt(share * (1 - share) / count + width / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


@functools.lru_cache(maxsize=4)
def resampled_people(people: int, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Returns how often each person is drawn in each resample, float (resamples, people)."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(people, np.full(people, 1 / people), size=resamples)
    drawn = drawn.astype(float)  # Products of whole numbers are a hundred times slower.
    drawn.flags.writeable = False  # All who ask for the same get this one.
    return drawn


def _drawn(
    values: np.ndarray, identities: Sequence, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws of people, (resamples, people), each person's sum of values, and number of values."""
    _, person = np.unique(np.asarray(identities), return_inverse=True)
    count = np.bincount(person)
    return resampled_people(len(count), seed), np.bincount(person, weights=values), count
