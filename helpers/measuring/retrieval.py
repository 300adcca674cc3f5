"""Retrieval: how often the voice's feature finds the right face among many.

Pure functions on arrays. Every result states the size of its gallery and what chance would give,
because a recall means nothing without them: R@10 of 10 % is chance in a gallery of 100 faces and a
hundred times chance in one of 10,000.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

RECALL_AT = (1, 2, 5, 10)
"""The K of R@K (Speech2Face, table 4)."""
METRICS = ("cosine", "l1", "l2")
RESAMPLES = 1_000
_TIE = 1e-9
_BLOCK = 512


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """How well queries found their own face.

    Attributes:
        gallery_size: Faces in the gallery.
        candidates: Faces that a query was compared with, on average; smaller than the gallery
            when the gallery is matched.
        queries: Number of queries.
        people: Number of different people among the queries.
        chance: K -> recall that guessing would reach, 0 to 1.
        recall: K -> share of queries whose own face is among the first K, 0 to 1.
        interval: K -> 95 % interval of the recall, bootstrapped over people.
        median_rank: Median rank of the own face; 1 is best.
        percentile_rank: Mean rank of the own face in per cent of the candidates: 0 is best, 50
            is chance, whatever the size of the gallery.
    """

    gallery_size: int
    candidates: float
    queries: int
    people: int
    chance: dict[int, float]
    recall: dict[int, float]
    interval: dict[int, tuple[float, float]]
    median_rank: float
    percentile_rank: float

    def as_dict(self) -> dict[str, object]:
        """Returns the same as plain numbers, lists and text keys, ready for JSON."""
        return {
            "gallery_size": self.gallery_size,
            "candidates": round(self.candidates, 1),
            "queries": self.queries,
            "people": self.people,
            "chance": {str(k): round(value, 5) for k, value in self.chance.items()},
            "recall": {str(k): round(value, 5) for k, value in self.recall.items()},
            "interval": {
                str(k): [round(low, 5), round(high, 5)] for k, (low, high) in self.interval.items()
            },
            "median_rank": round(self.median_rank, 1),
            "percentile_rank": round(self.percentile_rank, 2),
        }


def chance(sizes: int | Sequence[int], k: int) -> float:
    """Returns the recall at `k` that guessing reaches: the mean of min(k, size) / size.

    Args:
        sizes: Size of the gallery, or the size of each query's own (matched) gallery.
        k: How many of the first faces count.
    """
    sizes = np.atleast_1d(np.asarray(sizes, float))
    return float(np.mean(np.minimum(k, sizes) / sizes))


def retrieval(
    predicted: np.ndarray,
    gallery: np.ndarray,
    identities: Sequence,
    centre: np.ndarray | None = None,
    metric: str = "cosine",
    groups: Sequence | None = None,
) -> Retrieval:
    """Ranks the gallery for every predicted feature and looks for the own face.

    Args:
        predicted: Features predicted from voices, (n, d).
        gallery: Features of faces, (n, d); row i is the face that belongs to voice i.
        identities: Who row i is, n of them. Other rows of the same person are neither credited
            nor counted against a query: they are left out of its gallery.
        centre: Mean feature of the training people, (d,), subtracted before comparing.
        metric: `cosine`, `l1` or `l2`.
        groups: A label for each row, such as the sex: a query is compared only with faces of its
            own group (matched gallery). None compares with all.

    Raises:
        ValueError: Shapes do not fit, a feature is not finite or the metric does not exist.
    """
    predicted, gallery = _features(predicted, "predicted"), _features(gallery, "gallery")
    if predicted.shape != gallery.shape:
        raise ValueError(
            f"predicted {predicted.shape} and gallery {gallery.shape} should have one shape: "
            "row i of both belongs together."
        )
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r} is not valid. Choose one of: {', '.join(METRICS)}.")
    if centre is not None:
        predicted, gallery = predicted - centre, gallery - centre
    people = _labels(identities, len(gallery), "identities")
    allowed = _labels(groups, len(gallery), "groups")
    better, ties, sizes = (np.zeros(len(gallery)) for _ in range(3))
    for start in range(0, len(gallery), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(gallery)))
        scores = similarity_matrix(predicted[rows], gallery, metric)
        own = scores[np.arange(len(rows)), rows][:, None]
        candidate = (allowed[rows, None] == allowed) & (people[rows, None] != people)
        better[rows] = (candidate & (scores > own + _TIE)).sum(1)
        ties[rows] = 1 + (candidate & (np.abs(scores - own) <= _TIE)).sum(1)
        sizes[rows] = 1 + candidate.sum(1)
    return from_ranks(better, ties, sizes, people)


def attribute_oracle(
    knows: Sequence, identities: Sequence, groups: Sequence | None = None
) -> Retrieval:
    """What someone reaches who knows one attribute of the face and nothing else.

    The oracle puts all faces with the right attribute first, in random order; the result is the
    expectation over these orders, so no luck is in it.

    Args:
        knows: The attribute of each row, such as the sex, or the sex and the decade of the age.
        identities: Who row i is.
        groups: As in `retrieval`: the gallery is matched for these labels.
    """
    known = _labels(knows, len(knows), "knows")
    people = _labels(identities, len(known), "identities")
    allowed = _labels(groups, len(known), "groups")
    candidate = (allowed[:, None] == allowed) & (people[:, None] != people)
    ties = 1 + (candidate & (known[:, None] == known)).sum(1)
    return from_ranks(np.zeros(len(known)), ties, 1 + candidate.sum(1), people)


def from_ranks(
    better: np.ndarray, ties: np.ndarray, sizes: np.ndarray, identities: Sequence, seed: int = 0
) -> Retrieval:
    """Turns ranks into recalls with chance and intervals.

    Args:
        better: For each query, how many faces lie before the own one, (n,).
        ties: How many faces score the same as the own one, itself included, (n,). Ties are broken
            at random, in expectation.
        sizes: Faces each query was compared with, the own one included, (n,).
        identities: Who each query is; the bootstrap draws people, not queries, because two clips
            of one person are not two independent trials.
        seed: Seed of the bootstrap.
    """
    people = _labels(identities, len(better), "identities")
    recall, interval = {}, {}
    for k in RECALL_AT:
        found = np.clip((k - better) / ties, 0, 1)
        recall[k] = float(found.mean())
        interval[k] = bootstrap_interval(found, people, seed)
    ranks = better + (ties + 1) / 2
    return Retrieval(
        gallery_size=len(better),
        candidates=float(np.mean(sizes)),
        queries=len(better),
        people=len(np.unique(people)),
        chance={k: chance(sizes, k) for k in RECALL_AT},
        recall=recall,
        interval=interval,
        median_rank=float(np.median(ranks)),
        percentile_rank=float(100 * np.mean((ranks - 0.5) / sizes)),
    )


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
    _, person = np.unique(np.asarray(identities), return_inverse=True)
    count = np.bincount(person)
    total = np.bincount(person, weights=values)
    people = len(count)
    bound = 0.025 ** (1 / people)
    if values.max() == 0:
        return 0.0, 1 - bound
    if values.min() == 1:
        return bound, 1.0
    random = np.random.default_rng(seed)
    drawn = random.multinomial(people, np.full(people, 1 / people), size=RESAMPLES)
    low, high = np.quantile((drawn @ total) / (drawn @ count), (0.025, 0.975))
    return float(low), float(high)


def similarity_matrix(queries: np.ndarray, gallery: np.ndarray, metric: str) -> np.ndarray:
    """Returns how alike each query and each face are, (queries, gallery); larger is more alike."""
    if metric == "cosine":
        return _unit(queries) @ _unit(gallery).T
    from scipy.spatial.distance import cdist

    return -cdist(queries, gallery, {"l1": "cityblock", "l2": "euclidean"}[metric])


def pair_similarity(
    predicted: np.ndarray,
    gallery: np.ndarray,
    identities: Sequence,
    centre: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, dict[str, list[float]]]:
    """Compares predicted with true features, and with those of somebody else.

    Args:
        predicted: Features predicted from voices, (n, d).
        gallery: Features of the faces that belong to them, (n, d).
        identities: Who row i is.
        centre: Mean feature of the training people, (d,); for the cosine.
        seed: Seed of the shuffling.

    Returns:
        `{"cosine": {"true": [mean, SD], "shuffled": [mean, SD]}, "l1": ..., "l2": ...}`.
    """
    true, shuffled = pair_similarities(predicted, gallery, identities, centre, seed)
    return {
        metric: {
            name: [round(float(values[metric].mean()), 5), round(float(values[metric].std()), 5)]
            for name, values in (("true", true), ("shuffled", shuffled))
        }
        for metric in METRICS
    }


def pair_similarities(
    predicted: np.ndarray,
    gallery: np.ndarray,
    identities: Sequence,
    centre: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns each pair's similarities, and those with the face of somebody else.

    Args:
        predicted: As in `pair_similarity`, like the others.
        gallery: The true features.
        identities: Who row i is.
        centre: Mean feature of the training people.
        seed: Seed of the shuffling.

    Returns:
        True and shuffled, each a dict from metric to one value per pair, (n,).
    """
    predicted, gallery = _features(predicted, "predicted"), _features(gallery, "gallery")
    people = _labels(identities, len(gallery), "identities")
    random = np.random.default_rng(seed)
    others = gallery[[_somebody_else(people, row, random) for row in range(len(people))]]
    true, shuffled = (
        {metric: pairwise(predicted, faces, metric, centre) for metric in METRICS}
        for faces in (gallery, others)
    )
    return true, shuffled


def pairwise(
    first: np.ndarray, second: np.ndarray, metric: str, centre: np.ndarray | None = None
) -> np.ndarray:
    """Returns cosine, or L1 or L2 distance, of row i and row i, (n,)."""
    if metric == "cosine":
        middle = 0 if centre is None else centre
        return (_unit(first - middle) * _unit(second - middle)).sum(1)
    return np.linalg.norm(first - second, ord={"l1": 1, "l2": 2}[metric], axis=1)


def _somebody_else(people: np.ndarray, row: int, random: np.random.Generator) -> int:
    others = np.flatnonzero(people != people[row])
    return int(random.choice(others)) if len(others) else row


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _features(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"{name} should be of shape (n, d) with n at least 1, not {values.shape}.")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"Row {row} of {name} holds a value that is not finite.")
    return values


def _labels(labels: Sequence | None, count: int, name: str) -> np.ndarray:
    """Labels as whole numbers, so that comparing two is cheap; None gives all the same one."""
    if labels is None:
        return np.zeros(count, int)
    labels = np.asarray([str(label) for label in labels])
    if len(labels) != count:
        raise ValueError(f"There are {count} rows, but {len(labels)} {name}.")
    return np.unique(labels, return_inverse=True)[1]
