"""From a voice to the feature of a face: training, predicting and loading.

Only the voice's network learns. What it should predict, the feature of the speaker's face, comes
from a face recognition network that stays as it is (Speech2Face, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from helpers import media, training
from helpers.measuring import retrieval
from helpers.pairs import MINIMUM_PAIRS, Batches, Pairs, enough_to_train, pairs_of
from helpers.voice_losses import (
    LossWeights,
    contrastive_loss,
    direction_loss,
    distance_loss,
    normalise,
)
from helpers.voice_networks import (
    AddCentre,
    AttentivePooling,
    build,
    centre_of,
    compact,
    paper,
)

__all__ = [
    "MINIMUM_PAIRS",
    "AddCentre",
    "AttentivePooling",
    "LossWeights",
    "Pairs",
    "build",
    "calibrate",
    "centre_of",
    "compact",
    "contrastive_loss",
    "direction_loss",
    "distance_loss",
    "enough_to_train",
    "load",
    "normalise",
    "pairs_of",
    "paper",
    "predict",
    "released",
    "train",
]

TRAINING_SECONDS = 4.0
"""Training hears stretches of this length: cheaper, and never the same stretch twice."""
RELEASED = Path(__file__).parent / "pretrained" / "voice_encoder.keras"


# --- the loss ------------------------------------------------------------------------------------


class VoiceEncoderTrainer(keras.Model):
    """Trains an encoder with the weighted sum of the three losses.

    Args:
        encoder: The network to train, as `compact` makes it.
        weights: How much each term of the loss counts.
    """

    def __init__(self, encoder: keras.Model, weights: LossWeights) -> None:
        super().__init__(name="voice_encoder_trainer")
        self.encoder, self.weights_of_loss = encoder, weights
        self.log_temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(float(np.log(weights.temperature))),
            trainable=weights.learn_temperature,
            name="log_temperature",
        )
        self.terms = {
            name: keras.metrics.Mean(name=name)
            for name in ("direction", "distance", "contrastive")
            if getattr(weights, name)
        }
        self.built = True

    def call(self, waveform, training=None):
        """Returns the predicted features."""
        return self.encoder(waveform, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss; `y` holds `feature` (batch, n) and `speaker` (batch,)."""
        centre = self.encoder.get_layer("centre").centre
        face, voice = y["feature"] - centre, y_pred - centre
        loss = 0.0
        for name, metric in self.terms.items():
            if name == "direction":
                term = direction_loss(face, voice)
            elif name == "distance":
                term = distance_loss(face, voice)
            else:
                temperature = ops.exp(self.log_temperature)
                term = contrastive_loss(face, voice, y["speaker"], temperature)
            metric.update_state(term)
            loss = loss + getattr(self.weights_of_loss, name) * term
        return loss


# --- training ------------------------------------------------------------------------------------


def train(
    encoder: keras.Model,
    pairs: Pairs,
    validation: Pairs | None = None,
    epochs: int = 6,
    batch_size: int = 32,
    weights: LossWeights | None = None,
    learning_rate: float = 1e-3,
    seed: int = 0,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Trains an encoder and measures retrieval on the validation speakers after each epoch.

    Args:
        encoder: Network to train, as `compact` makes it; changed in place.
        pairs: What to learn from.
        validation: Speakers that are not in `pairs`; also for `calibrate` at the end.
        epochs: Passes over the pairs.
        batch_size: Pairs in one step.
        weights: How much each term of the loss counts.
        learning_rate: Largest learning rate; it rises for a twentieth of the steps, then falls.
        seed: Seed of the order and of the stretches.
        folder: Where to keep the state after each epoch. A run that was killed goes on from there.
        callbacks: Keras callbacks besides, such as `training.LiveFigure`.
        verbose: As in `keras.Model.fit`.

    Returns:
        One list for each measure, with one number for each epoch.
    """
    keras.utils.set_random_seed(seed)
    batches = Batches(pairs, batch_size, TRAINING_SECONDS, seed)
    trainer = VoiceEncoderTrainer(encoder, weights or LossWeights())
    steps = epochs * len(batches)
    trainer.compile(training.optimizer(learning_rate, steps, weight_decay=1e-3))
    measures = [] if validation is None or not len(validation) else [RetrievalCallback(validation)]
    history = training.fit(trainer, batches, epochs, folder, [*measures, *callbacks], verbose)
    if measures:
        calibrate(encoder, validation)
    return history


def calibrate(encoder: keras.Model, pairs: Pairs) -> float:
    """Sets how far predictions go from the mean feature, so that their squared error is smallest.

    Retrieval by cosine does not change. Where a voice says little, faces come out closer to the
    mean face, as they should.

    Args:
        encoder: A trained encoder; changed in place.
        pairs: Speakers that it was not trained with.

    Returns:
        The factor on the deviation.
    """
    centre = centre_of(encoder)
    voice, face = predict(encoder, pairs) - centre, pairs.features - centre
    factor = max(0.0, float(np.sum(voice * face) / (np.sum(voice**2) + 1e-9)))
    layer = encoder.get_layer("centre")
    layer.scale.assign(factor * layer.scale)
    return factor


class RetrievalCallback(keras.callbacks.Callback):
    """After each epoch, how often the right face comes first among the validation faces.

    Adds `val_cosine`, `val_recall_1`, `val_recall_10`, `val_chance_1` and `val_chance_10` to the
    measures of the epoch.

    Args:
        pairs: Validation pairs.
    """

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self.pairs = pairs

    def on_epoch_end(self, epoch, logs=None):
        """Measures retrieval and adds it to `logs`."""
        if logs is None:
            return
        encoder = self.model.encoder
        logs.update(validation_measures(encoder, predict(encoder, self.pairs), self.pairs))


def validation_measures(encoder: keras.Model, predicted: np.ndarray, pairs: Pairs) -> dict:
    """Returns cosine and retrieval of predicted features, with chance, as plain numbers."""
    centre = centre_of(encoder)
    face, voice = pairs.features - centre, predicted - centre
    norms = np.linalg.norm(face, axis=1) * np.linalg.norm(voice, axis=1)
    found = retrieval.retrieval(predicted, pairs.features, pairs.speakers, centre)
    measures = {"val_cosine": float(np.mean(np.sum(face * voice, axis=1) / (norms + 1e-9)))}
    for k in (1, 10):
        measures[f"val_recall_{k}"] = found.recall[k]
        measures[f"val_chance_{k}"] = found.chance[k]
    return measures


def predict(encoder: keras.Model, pairs: Pairs, batch_size: int = 32) -> np.ndarray:
    """Returns the predicted features of all pairs, float32 of shape (n, feature_size)."""
    batches = range(0, len(pairs), batch_size)
    waveforms = (media.from_int16(pairs.waveforms[i : i + batch_size]) for i in batches)
    return np.concatenate([encoder.predict_on_batch(batch) for batch in waveforms])


# --- loading -------------------------------------------------------------------------------------


def load(path: Path | str) -> keras.Model:
    """Loads an encoder that takes a waveform: 16 kHz mono, -1 to 1, (batch, samples).

    Raises:
        FileNotFoundError: The file is not there.
    """
    return training.load(path, "voice encoder", "04_voice_encoder")


def released() -> keras.Model:
    """Loads the released voice encoder."""
    return load(RELEASED)
