"""Measures of the head as anthropology takes them, on true faces and on faces from voices.

Speech2Face (table 2) reports twelve correlations; its material holds a thirteenth, philtrum width,
which was not significant and is missing in the table. Here all thirteen are reported, with p-values
corrected for their number, with a baseline of random pairs, and with sex and age held fixed: a
correlation that vanishes then was one of sex and age.

The paper does not print its definitions. These follow the names, after Farkas (1994),
"Anthropometry of the Head and Face", on the 68 landmarks of iBUG 300-W. Lengths are divided by the
distance of the eyes, areas by its square, so that the size of the picture plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.measuring.intervals import correlation_interval

NAMES = (
    "upper lip height",
    "lateral upper lip heights",
    "jaw width",
    "nose height",
    "nose width",
    "labio-oral region",
    "mandibular index",
    "intercanthal index",
    "nasal index",
    "vermilion height index",
    "mouth-face width index",
    "nose area",
    "philtrum width",
)
"""The measures, in the order of `measures`; the last is the one that the paper left out."""
PUBLISHED = (0.16, 0.26, 0.11, 0.14, 0.35, 0.17, 0.20, 0.21, 0.38, 0.29, 0.20, 0.28, 0.038)
"""Pearson's r of Speech2Face for each, on 1,000 pictures; faces from features against faces from
voices, sex and age not held fixed."""
LEAST_FACES = 20
_RANDOM_PAIRINGS = 50


def measures(landmarks: np.ndarray) -> np.ndarray:
    """Takes the thirteen measures.

    Args:
        landmarks: (n, 68, 2) in pixels, as `face_features.landmarks` gives them.

    Returns:
        (n, 13), in the order of `NAMES`; lengths in eye distances, indices as ratios.
    """
    points = np.asarray(landmarks, float)

    def between(first: int, second: int) -> np.ndarray:
        return np.hypot(*(points[:, first] - points[:, second]).T)

    left, right = (points[:, eye].mean(axis=1) for eye in (slice(36, 42), slice(42, 48)))
    eyes = np.hypot(*(right - left).T)
    nose_height, nose_width, jaw = between(27, 33), between(31, 35), between(4, 12)
    mouth = points[:, [62, 66]].mean(axis=1)
    lower_face = np.hypot(*(mouth - points[:, 8]).T)
    return np.stack(
        [
            between(33, 62) / eyes,  # subnasale to the lower edge of the upper lip
            (between(31, 50) + between(35, 52)) / 2 / eyes,  # wings of the nose to the lip
            jaw / eyes,
            nose_height / eyes,
            nose_width / eyes,
            between(33, 57) / eyes,  # subnasale to the lower edge of the lower lip
            lower_face / jaw,
            between(39, 42) / between(36, 45),
            nose_width / nose_height,
            between(51, 62) / np.maximum(between(66, 57), 1e-6),
            between(48, 54) / between(1, 15),
            _area(points[:, [27, 31, 32, 33, 34, 35]]) / eyes**2,
            between(50, 52) / eyes,
        ],
        axis=1,
    )


def _area(corners: np.ndarray) -> np.ndarray:
    """Area of polygons, (n, corners, 2) -> (n,)."""
    x, y = corners[..., 0], corners[..., 1]
    return np.abs(np.sum(x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1), axis=1)) / 2


def correlations(
    true: np.ndarray,
    drawn: np.ndarray,
    sex: np.ndarray,
    age: np.ndarray,
    identities: Sequence,
    seed: int = 0,
) -> list[dict]:
    """Correlates the measures of true faces with those of faces drawn from voices.

    Args:
        true: Landmarks of the true faces, (n, 68, 2).
        drawn: Landmarks of the drawn faces, (n, 68, 2).
        sex: `F` or `M`, (n,).
        age: Years, (n,).
        identities: Who row i is.
        seed: Seed of the bootstrap and of the random pairs.

    Returns:
        For each measure, all thirteen, a dict: measure; r (Pearson) with interval, p and p_holm;
        random_pairs (what |r| is on average when drawn faces are dealt out at random); partial
        (r with sex and age held fixed) with partial_interval, partial_p and partial_p_holm;
        published (the paper's r).

    Raises:
        ValueError: Fewer than 20 faces.
    """
    if len(true) < LEAST_FACES:
        raise ValueError(f"Correlations need {LEAST_FACES} faces or more; here are {len(true)}.")
    ours, theirs = measures(true), measures(drawn)
    held = held_fixed(sex, age)
    rows, random = [], np.random.default_rng(seed)
    shuffles = [random.permutation(len(ours)) for _ in range(_RANDOM_PAIRINGS)]
    for number, name in enumerate(NAMES):
        x, y = ours[:, number], theirs[:, number]
        inside, outside = without(x, held), without(y, held)
        row = {"measure": name, **_correlation(x, y, 0)}
        row["interval"] = _rounded(correlation_interval(x, y, identities, seed))
        chance = np.mean([abs(pearson(x, y[order])) for order in shuffles])
        row["random_pairs"] = round(float(chance), 3)
        partial = _correlation(inside, outside, held.shape[1] - 1)
        row |= {"partial": partial["r"], "partial_p": partial["p"]}
        row["partial_interval"] = _rounded(correlation_interval(inside, outside, identities, seed))
        row["published"] = PUBLISHED[number]
        rows.append(row)
    for p in ("p", "partial_p"):
        for row, corrected in zip(rows, holm([row[p] for row in rows]), strict=True):
            row[f"{p}_holm"] = corrected
    return rows


def held_fixed(sex: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Returns what is held fixed, (n, 6): a constant, sex, age and its square, for each sex."""
    male = (np.asarray(sex) == "M").astype(float)
    years = (np.asarray(age, float) - 45) / 15
    columns = [np.ones_like(years), male, years, years**2, male * years, male * years**2]
    return np.stack(columns, axis=1)


def without(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns what a linear regression on the columns of `known`, (n, p), leaves of `values`."""
    return values - known @ np.linalg.lstsq(known, values, rcond=None)[0]


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Pearson's r; 0 where one side does not vary."""
    first, second = first - np.mean(first), second - np.mean(second)
    spread = float(np.sqrt(np.sum(first**2) * np.sum(second**2)))
    return float(np.sum(first * second)) / spread if spread > 1e-12 else 0.0


def p_value(r: float, count: int, held: int = 0) -> float:
    """Returns the two-sided p-value of Pearson's r, from Student's t.

    Args:
        r: The correlation.
        count: Number of pairs.
        held: How many variables were held fixed.
    """
    from scipy.stats import t

    freedom = count - 2 - held
    if freedom < 1:
        return 1.0
    return float(2 * t.sf(abs(r) * np.sqrt(freedom / max(1 - r * r, 1e-300)), freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, after Holm (1979); in the order given."""
    order = np.argsort(p_values)
    scaled = [p_values[place] * (len(p_values) - step) for step, place in enumerate(order)]
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return corrected.tolist()


def _correlation(first: np.ndarray, second: np.ndarray, held: int) -> dict[str, float]:
    r = pearson(first, second)
    return {"r": round(r, 4), "p": p_value(r, len(first), held)}


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(end, 4) for end in interval]
