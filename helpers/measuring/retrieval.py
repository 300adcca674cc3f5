"""Retrieval: how often the voice's feature finds the right face among many.

Pure functions on arrays. Every result states the size of its gallery and what chance would give,
because a recall means nothing without them: R@10 of 10 % is chance in a gallery of 100 faces and a
hundred times chance in one of 10,000.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from helpers.measuring.intervals import bootstrap_interval, ratio_interval

RECALL_AT = (1, 2, 5, 10)
"""The K of R@K (Speech2Face, table 4)."""
METRICS = ("cosine", "l1", "l2")
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
        percentile_interval: 95 % interval of the percentile rank.
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
    percentile_interval: tuple[float, float]

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
            "percentile_interval": [round(end, 2) for end in self.percentile_interval],
        }


def chance(sizes: int | Sequence[int], k: int) -> float:
    """Returns the recall at `k` that guessing reaches: the mean of min(k, size) / size.

    Args:
        sizes: Size of the gallery, or the size of each query's own (matched) gallery.
        k: How many of the first faces count.
    """
    sizes = np.atleast_1d(np.asarray(sizes, float))
    return float(np.mean(np.minimum(k, sizes) / sizes))


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Where each query's own face came in its gallery.

    Attributes:
        better: How many faces lie before the own one, (n,).
        ties: How many faces score the same as the own one, itself included, (n,). Ties are broken
            at random, in expectation.
        sizes: Faces each query was compared with, the own one included, (n,).
        people: Who each query is, (n,).
        gallery_size: Faces in the whole gallery.
    """

    better: np.ndarray
    ties: np.ndarray
    sizes: np.ndarray
    people: np.ndarray
    gallery_size: int

    @property
    def places(self) -> np.ndarray:
        """Rank of each own face, (n,); 1 is best."""
        return self.better + (self.ties + 1) / 2

    @property
    def percentiles(self) -> np.ndarray:
        """Ranks in per cent of the candidates, (n,): 0 is best, 50 is chance."""
        return 100 * (self.places - 0.5) / self.sizes

    def found(self, k: int) -> np.ndarray:
        """Returns whether each own face is among the first `k`, 0 to 1, (n,)."""
        return np.clip((k - self.better) / self.ties, 0, 1)

    def found_in(self, k: int, size: int) -> np.ndarray:
        """Returns what `found` would be in random galleries of another size, exactly.

        The own face and `size` - 1 of the others are drawn without replacement, so the number of
        better ones among them follows the hypergeometric distribution.

        Args:
            k: How many of the first faces count.
            size: Faces in the smaller gallery.

        Raises:
            ValueError: A query had fewer candidates than that.
        """
        from scipy.stats import hypergeom

        if self.sizes.min() < size:
            raise ValueError(
                f"A gallery of {size} needs {size} faces or more; here are {self.sizes.min():.0f}."
            )
        before = np.round(self.places - 1).astype(int)
        return hypergeom.cdf(k - 1, self.sizes.astype(int) - 1, before, size - 1)

    def summary(self, seed: int = 0) -> Retrieval:
        """Turns the ranks into recalls with chance and intervals.

        Args:
            seed: Seed of the bootstrap, which draws people and not queries.
        """
        found = {k: self.found(k) for k in RECALL_AT}
        percentiles = self.percentiles
        low, high = bootstrap_interval(percentiles / 100, self.people, seed)
        return Retrieval(
            gallery_size=self.gallery_size,
            candidates=float(np.mean(self.sizes)),
            queries=len(self.better),
            people=len(np.unique(self.people)),
            chance={k: chance(self.sizes, k) for k in RECALL_AT},
            recall={k: float(values.mean()) for k, values in found.items()},
            interval={k: bootstrap_interval(v, self.people, seed) for k, v in found.items()},
            median_rank=float(np.median(self.places)),
            percentile_rank=float(np.mean(percentiles)),
            percentile_interval=(100 * low, 100 * high),
        )


def retrieval(
    predicted: np.ndarray,
    gallery: np.ndarray,
    identities: Sequence,
    centre: np.ndarray | None = None,
    metric: str = "cosine",
    groups: Sequence | None = None,
    rows: Sequence[int] | None = None,
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
        rows: Which rows to ask for; the gallery stays whole. None asks for all.

    Raises:
        ValueError: Shapes do not fit, a feature is not finite or the metric does not exist.
    """
    return ranked(predicted, gallery, identities, centre, metric, groups, rows).summary()


def ranked(
    predicted: np.ndarray,
    gallery: np.ndarray,
    identities: Sequence,
    centre: np.ndarray | None = None,
    metric: str = "cosine",
    groups: Sequence | None = None,
    rows: Sequence[int] | None = None,
) -> Ranks:
    """Does what `retrieval` does and returns each query's rank; same arguments."""
    gallery = check_features(gallery, "gallery")
    asked = np.arange(len(gallery)) if rows is None else np.asarray(rows, int)
    predicted = np.asarray(predicted, float)
    if predicted.shape != gallery.shape:
        raise ValueError(
            f"predicted {predicted.shape} and gallery {gallery.shape} should have one shape: "
            "row i of both belongs together."
        )
    predicted = check_features(predicted[asked], "predicted", asked)
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r} is not valid. Choose one of: {', '.join(METRICS)}.")
    if centre is not None:
        predicted, gallery = predicted - centre, gallery - centre
    people = _labels(identities, len(gallery), "identities")
    allowed = _labels(groups, len(gallery), "groups")
    better, ties, sizes = (np.zeros(len(asked)) for _ in range(3))
    for start in range(0, len(asked), _BLOCK):
        here = slice(start, start + _BLOCK)
        some = asked[here]
        scores = similarity_matrix(predicted[here], gallery, metric)
        own = scores[np.arange(len(some)), some][:, None]
        candidate = (allowed[some, None] == allowed) & (people[some, None] != people)
        better[here] = (candidate & (scores > own + _TIE)).sum(1)
        ties[here] = 1 + (candidate & (np.abs(scores - own) <= _TIE)).sum(1)
        sizes[here] = 1 + candidate.sum(1)
    return Ranks(better, ties, sizes, people[asked], len(gallery))


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
    return Ranks(np.zeros(len(known)), ties, 1 + candidate.sum(1), people, len(known)).summary()


def recall_ratio(ranks: Ranks, yardstick: Ranks, k: int = 10) -> dict[str, object]:
    """Compares the recall of two predictors on the same queries.

    Args:
        ranks: Of the predictor.
        yardstick: Of what it is compared with, such as the voice oracle.
        k: The K of R@K.

    Returns:
        `recall` and `yardstick` (both 0 to 1), `ratio` and its 95 % `interval` (paired bootstrap
        over people). Ratio and interval are None where the yardstick finds nothing.
    """
    if not np.array_equal(ranks.people, yardstick.people):
        raise ValueError("Both should have been asked for the same people in the same order.")
    found, other = ranks.found(k), yardstick.found(k)
    result = {"recall": round(float(found.mean()), 5), "yardstick": round(float(other.mean()), 5)}
    if not other.any():
        return {**result, "ratio": None, "interval": None}
    ends = ratio_interval(found, other, ranks.people)
    ratio = round(float(found.mean() / other.mean()), 4)
    return {**result, "ratio": ratio, "interval": [round(end, 4) for end in ends]}


def in_small_gallery(ranks: Ranks, size: int = 100) -> dict[str, object] | None:
    """What R@K would be in galleries of another size, from the same ranks.

    A recall depends on the gallery; only at one size can two results be compared. Most published
    tables of this field have 100 faces in the gallery, or count per cent, which is the same.

    Args:
        ranks: In the gallery that there is.
        size: Faces in the gallery to compute for.

    Returns:
        `gallery_size`, and `chance`, `recall` and `interval` by K as in `Retrieval.as_dict`; None
        where there are fewer faces.
    """
    if ranks.sizes.min() < size:
        return None
    found = {str(k): ranks.found_in(k, size) for k in RECALL_AT}
    ends = {k: bootstrap_interval(values, ranks.people) for k, values in found.items()}
    return {
        "gallery_size": size,
        "chance": {str(k): k / size for k in RECALL_AT},
        "recall": {k: round(float(values.mean()), 5) for k, values in found.items()},
        "interval": {k: [round(end, 5) for end in both] for k, both in ends.items()},
    }


def similarity_matrix(queries: np.ndarray, gallery: np.ndarray, metric: str) -> np.ndarray:
    """Returns how alike each query and each face are, (queries, gallery); larger is more alike."""
    if metric == "cosine":
        return unit(queries) @ unit(gallery).T
    from scipy.spatial.distance import cdist

    return -cdist(queries, gallery, {"l1": "cityblock", "l2": "euclidean"}[metric])


def unit(features: np.ndarray) -> np.ndarray:
    """Scales each feature of (n, d) to length 1; one of length 0 stays as it is."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def check_features(values: np.ndarray, name: str, rows: Sequence[int] | None = None) -> np.ndarray:
    """Returns features as float64, (n, d), or says which row is wrong.

    Args:
        values: Features.
        name: What they are called in the message.
        rows: Numbers of the rows, where these are some rows of a larger array.

    Raises:
        ValueError: There is none, the shape is another, or a value is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"{name} should be of shape (n, d) with n at least 1, not {values.shape}.")
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        first = bad[0] if rows is None else rows[bad[0]]
        more = f" ({len(bad)} rows do)" if len(bad) > 1 else ""
        raise ValueError(f"Row {first} of {name} holds a value that is not finite{more}.")
    return values


def _labels(labels: Sequence | None, count: int, name: str) -> np.ndarray:
    """Labels as whole numbers, so that comparing two is cheap; None gives all the same one."""
    if labels is None:
        return np.zeros(count, int)
    labels = np.asarray([str(label) for label in labels])
    if len(labels) != count:
        raise ValueError(f"There are {count} rows, but {len(labels)} {name}.")
    return np.unique(labels, return_inverse=True)[1]
