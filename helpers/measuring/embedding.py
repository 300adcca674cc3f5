"""Many features on one page: t-SNE puts those that are alike beside each other.

t-SNE keeps neighbours and nothing else: sizes of clusters and distances between them mean nothing
(Wattenberg, Viégas and Johnson 2016, "How to use t-SNE effectively").
"""

from __future__ import annotations

import numpy as np

from helpers.measuring.retrieval import check_features, unit

LEAST_POINTS = 10
_PERPLEXITY = 30.0


def neighbours_map(features: np.ndarray, centre: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places features on a plane so that those with a high cosine lie side by side.

    Args:
        features: Features, (n, d).
        centre: Mean feature of the training people, (d,).
        seed: Seed of t-SNE.

    Returns:
        Places, (n, 2), without a unit; each axis from -1 to 1.

    Raises:
        ValueError: Fewer than 10 features, or one is not finite.
    """
    import threadpoolctl
    from sklearn.manifold import TSNE

    features = check_features(features, "features")
    if len(features) < LEAST_POINTS:
        raise ValueError(f"A map needs {LEAST_POINTS} features or more; here are {len(features)}.")
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    with threadpoolctl.threadpool_limits(1):  # The same picture every time.
        places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(
            unit(features - centre).astype(np.float32)
        )
    places = places - (places.max(0) + places.min(0)) / 2
    return places / np.maximum(np.abs(places).max(0), 1e-9)
