"""How well drawn faces show what was to be drawn, as dlib sees them.

The network in `face_network` must not judge here: it has taught the decoder, and a decoder can
learn to please its teacher. dlib has never told a decoder anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers import face_features
from helpers.measuring.retrieval import retrieval
from helpers.networks import face_warp


def seen_features(images: Sequence[np.ndarray]) -> np.ndarray:
    """Describes aligned faces, true or drawn, with dlib.

    Args:
        images: (128, 128, 3) uint8 RGB each.

    Returns:
        (n, 128) float32.
    """
    found = [face_features.describe(*face_warp.enlarged(image)) for image in images]
    return np.array(found, np.float32).reshape(-1, 128)


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns how far two clouds of features are apart (Heusel et al. 2017, with faces' features).

    Both clouds are taken for normal distributions: the squared distance of the means, plus what
    has to be moved to turn one covariance into the other. It is larger for fewer faces, so compare
    it only among clouds of the same sizes.

    Args:
        one: (n, d) features.
        other: (m, d) features.

    Raises:
        ValueError: One of them has fewer than two rows.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"{len(one)} and {len(other)} features: a covariance needs two or more.")
    one, other = np.asarray(one, float), np.asarray(other, float)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    apart = np.square(one.mean(axis=0) - other.mean(axis=0)).sum()
    return float(apart + np.trace(first) + np.trace(second) - 2 * shared)


def judge(
    seen: np.ndarray,
    wanted: np.ndarray,
    true: np.ndarray,
    identities: Sequence[str],
    centre: np.ndarray,
) -> dict[str, float]:
    """Measures drawn faces by their features.

    Args:
        seen: What dlib sees in the drawn faces, (n, 128).
        wanted: The features that were to be drawn, (n, 128).
        true: What dlib sees in the true pictures that the decoder was trained to draw, or in
            others of the same people, (n, 128).
        identities: Whose faces these are.
        centre: Mean feature of the training people.

    Returns:
        `frechet`, distance of the clouds of drawn and true features; `identity`, mean cosine of
        seen and wanted, both seen from the centre; `recall_10`, how often the true face is among
        the ten that are most like the drawn one, and `chance_10`.
    """
    lengths = np.linalg.norm(seen - centre, axis=1) * np.linalg.norm(wanted - centre, axis=1)
    cosine = ((seen - centre) * (wanted - centre)).sum(axis=1) / np.maximum(lengths, 1e-9)
    found = retrieval(seen, true, identities, centre)
    return {
        "frechet": frechet_distance(seen, true),
        "identity": float(cosine.mean()),
        "recall_10": float(found.recall[10]),
        "chance_10": float(found.chance[10]),
    }
