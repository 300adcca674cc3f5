"""How alike predicted and true features are, beside the same with somebody else's face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.measuring.retrieval import METRICS, check_features, unit

MEASURES = (*METRICS, "angle")
"""Cosine of the deviations from the mean face, L1 and L2 distance of the features, and the angle
in degrees that belongs to the cosine (Speech2Face, table 3, gives these)."""


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
        centre: Mean feature of the training people, (d,); for cosine and angle. Without it all
            faces are alike, and every method looks good.
        seed: Seed of the shuffling.

    Returns:
        `{"cosine": {"true": [mean, SD], "shuffled": [mean, SD]}, "l1": ..., "l2": ...,
        "angle": ...}`.
    """
    true, shuffled = pair_similarities(predicted, gallery, identities, centre, seed)
    return {
        measure: {
            name: [round(float(values[measure].mean()), 5), round(float(values[measure].std()), 5)]
            for name, values in (("true", true), ("shuffled", shuffled))
        }
        for measure in MEASURES
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
        True and shuffled, each a dict from measure to one value per pair, (n,).
    """
    predicted, gallery = check_features(predicted, "predicted"), check_features(gallery, "gallery")
    people = np.unique([str(name) for name in identities], return_inverse=True)[1]
    random = np.random.default_rng(seed)
    others = gallery[[_somebody_else(people, row, random) for row in range(len(people))]]
    true, shuffled = (
        {measure: pairwise(predicted, faces, measure, centre) for measure in MEASURES}
        for faces in (gallery, others)
    )
    return true, shuffled


def pairwise(
    first: np.ndarray, second: np.ndarray, measure: str, centre: np.ndarray | None = None
) -> np.ndarray:
    """Returns cosine, angle in degrees, or L1 or L2 distance, of row i and row i, (n,)."""
    if measure in ("cosine", "angle"):
        middle = 0 if centre is None else centre
        cosine = (unit(first - middle) * unit(second - middle)).sum(1)
        return cosine if measure == "cosine" else np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return np.linalg.norm(first - second, ord={"l1": 1, "l2": 2}[measure], axis=1)


def _somebody_else(people: np.ndarray, row: int, random: np.random.Generator) -> int:
    others = np.flatnonzero(people != people[row])
    return int(random.choice(others)) if len(others) else row
