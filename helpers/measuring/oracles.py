"""Yardsticks that only Archipelago can give, because there the truth behind every voice is known.

- The voice oracle predicts the face feature from the exact parameters the voice was made with. No
  listener knows these better.
- The latent oracle predicts it from the latents that voice and face share: what a perfect voice,
  one that gives away everything it shares with the face, would allow.

Both are regressions fitted on training islanders, weighted so that they find faces best: see
`regress`. So they are yardsticks rather than limits. The demographic oracle needs no fitting: see
`retrieval.attribute_oracle`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.archipelago.islanders import ISLANDS, islander
from helpers.pretrained import ISLANDER_FEATURES

_RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_HIDDEN = (128, 128)
_ROUNDS = 60
_NETWORKS = 2
_SHRINKAGE = 0.1
"""How far the spread of what the fit leaves over is drawn towards one spread in all directions."""


@dataclasses.dataclass(frozen=True)
class TrainingIslanders:
    """Face features of the islanders the released weights were trained on.

    Attributes:
        numbers: Which islanders, (n,).
        features: Their face features, (n, d).
        sex: `F` or `M`, (n,).
        age: Years, (n,).
    """

    numbers: np.ndarray
    features: np.ndarray
    sex: np.ndarray
    age: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Mean feature, (d,)."""
        return self.features.mean(0)


@functools.cache
def training_islanders(path: Path = ISLANDER_FEATURES) -> TrainingIslanders:
    """Reads the features of the training islanders.

    Args:
        path: Parquet file with the columns number, feature, sex, age and split.

    Returns:
        The rows whose split is `train`.

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: It holds no training islander.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.name} is missing in {path.parent}: the oracles and the centre of the features "
            "need it. Fetch the repository whole, or make it anew: python -m helpers pretrain."
        )
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["number", "feature", "sex", "age", "split"])
    split = np.array(table["split"].to_pylist(), dtype=object)
    chosen = np.flatnonzero(split == "train")
    if not len(chosen):
        raise ValueError(f"{path} holds no row of the split 'train'.")
    table = table.take(chosen)
    return TrainingIslanders(
        numbers=table["number"].to_numpy(),
        features=np.stack(table["feature"].to_numpy()).astype(np.float32),
        sex=np.array(table["sex"].to_pylist()),
        age=table["age"].to_numpy().astype(np.float32),
    )


def shared_latents(number: int) -> np.ndarray:
    """Returns what voice and face of an islander share, as numbers.

    Args:
        number: The islander.

    Returns:
        float32 (5 + islands,): sex, age and its square, size, mouth, and the island as one of six.
    """
    person = islander(number)
    age = (person.age - 45) / 15
    island = np.eye(len(ISLANDS))[person.island]
    sex = 1.0 if person.sex == "M" else -1.0
    return np.array([sex, age, age**2, person.size, person.mouth, *island], np.float32)


def voice_parameters(number: int) -> np.ndarray:
    """Returns the parameters that an islander's voice is made with, float32 (p,)."""
    from helpers.archipelago import voices

    return voices.voice_parameters(islander(number))


def oracle_features(
    inputs: str, numbers: Sequence[int], training: TrainingIslanders | None = None
) -> np.ndarray:
    """Predicts the face features of islanders from what the oracle knows about them.

    Args:
        inputs: `voice` (the voice's parameters) or `latent` (the shared latents).
        numbers: The islanders to predict for.
        training: Training islanders; None takes the released ones.

    Returns:
        Predicted features, (n, d).
    """
    describe = {"voice": voice_parameters, "latent": shared_latents}[inputs]
    training = training or training_islanders()
    known = np.stack([describe(number) for number in training.numbers])
    asked = np.stack([describe(number) for number in numbers])
    return regress(known, training.features, asked)


def regress(
    inputs: np.ndarray, features: np.ndarray, asked: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Fits inputs to features, and weighs the directions of the face by how sure the fit is there.

    Most of a face has nothing to do with the inputs, so what is fitted drowns in what is not. A
    linear ridge regression withstands that best with few islanders, small networks see what is not
    linear with many; their mean was nearly as good as the better one in every case tried.

    The mean of all faces that fit the inputs is not what finds a face best. As in Fisher's linear
    discriminant, the predicted deviation from the mean face is multiplied by the inverse
    covariance of what the fit leaves over: directions in which faces differ for other reasons
    count less. On validation islanders that found a fifth more faces.

    Args:
        inputs: Inputs of the training islanders, (n, p).
        features: Their features, (n, d).
        asked: Inputs to predict for, (m, p).
        seed: Seed of weights and batches.

    Returns:
        Features to look for by cosine, float32 (m, d).
    """
    import warnings

    import threadpoolctl
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import RidgeCV
    from sklearn.neural_network import MLPRegressor
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(inputs)
    known, asked = scaler.transform(inputs), scaler.transform(asked)
    centre = features.mean(0)
    # One scale for all components keeps their proportions, which the cosine looks at.
    spread = float(features.std()) or 1.0
    wanted = (features - centre) / spread
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        # The number of rounds is a budget; where it ends the fit, that is meant.
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [
            RidgeCV(_RIDGE_PENALTIES),
            *(
                MLPRegressor(
                    hidden_layer_sizes=_HIDDEN,
                    alpha=1.0,
                    batch_size=min(128, len(known)),
                    max_iter=_ROUNDS,
                    early_stopping=len(known) >= 100,
                    n_iter_no_change=6,
                    random_state=seed + number,
                )
                for number in range(_NETWORKS)
            ),
        ]
        for model in models:
            model.fit(known, wanted)

        def fitted(some: np.ndarray) -> np.ndarray:
            linear, *curved = (model.predict(some) for model in models)
            return (linear + np.mean(curved, axis=0)) / 2

        left = np.atleast_2d(np.cov((wanted - fitted(known)).T))
        level = float(np.trace(left)) / len(left)
        left = (1 - _SHRINKAGE) * left + _SHRINKAGE * level * np.eye(len(left))
        predicted = level * np.linalg.solve(left, fitted(asked).T).T
    return (centre + spread * predicted).astype(np.float32)
