"""From a voice to the feature of a face: network, losses and training.

Only the voice's network learns. What it should predict, the feature of the speaker's face, comes
from a face recognition network that stays as it is (Speech2Face, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from helpers import media, training
from helpers.augmentation import DistortSpectrum, MaskSpectrum
from helpers.measuring import retrieval
from helpers.pairs import MINIMUM_PAIRS, Batches, Pairs, enough_to_train, pairs_of
from helpers.settings import FEATURE_DEVIATION, FEATURE_SIZES
from helpers.spectrogram import LogMel, RemoveChannel
from helpers.voice_losses import (
    LossWeights,
    contrastive_loss,
    direction_loss,
    distance_loss,
    normalise,
)

__all__ = [
    "MINIMUM_PAIRS",
    "LossWeights",
    "Pairs",
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
    "predict",
    "released",
    "train",
]

TRAINING_SECONDS = 4.0
"""Training hears stretches of this length: cheaper, and never the same stretch twice."""
RELEASED = Path(__file__).parent / "pretrained" / "voice_encoder.keras"


# --- the network ---------------------------------------------------------------------------------


def compact(
    feature_size: int = FEATURE_SIZES["dlib"],
    centre: np.ndarray | None = None,
    width: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """Makes the compact voice encoder: waveform (batch, samples) -> feature (batch, feature_size).

    A log-mel spectrogram without the microphone goes through three two-dimensional convolutions,
    which see harmonics and formants wherever they lie, and four one-dimensional ones, which see
    how they move. Attention chooses the moments that count; their mean and spread become the
    feature's deviation from the mean face.

    Args:
        feature_size: Length of the face feature.
        centre: Mean feature of the training speakers, (feature_size,); zeros if not given.
        width: Factor on the number of channels; 1 gives 2 million parameters.
        seed: Seed of the initial weights and of the augmentation.
    """
    keras.utils.set_random_seed(seed)
    channels = [max(8, round(width * n)) for n in (32, 64, 96, 320, 512)]
    waveform = keras.Input((None,), name="waveform")
    x = LogMel(remove_channel=False, name="log_mel")(waveform)
    x = DistortSpectrum(seed=seed, name="distort")(x)
    x = RemoveChannel(name="remove_channel")(x)
    x = MaskSpectrum(seed=seed, name="mask")(x)
    x = layers.Reshape((-1, x.shape[-1], 1), name="one_channel")(x)
    for index, strides in enumerate(((1, 2), (2, 2), (1, 2))):
        size = 5 if index == 0 else 3
        x = layers.Conv2D(channels[index], size, strides, padding="same", use_bias=False)(x)
        x = _normalised(x)
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]), name="bands_to_channels")(x)
    x = _normalised(layers.Conv1D(channels[3], 1, use_bias=False)(x))
    for dilation in (1, 2, 3):
        y = layers.Conv1D(channels[3], 3, padding="same", dilation_rate=dilation, use_bias=False)(x)
        x = layers.Add()([x, _normalised(y)])
    x = _normalised(layers.Conv1D(channels[4], 1, use_bias=False)(x))
    x = AttentivePooling(name="pooling")(x)
    x = layers.Dropout(0.1, seed=seed)(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dense(channels[3], activation="relu")(x)
    x = layers.Dense(feature_size, dtype="float32", name="deviation")(x)
    add_centre = AddCentre(FEATURE_DEVIATION, dtype="float32", name="centre")
    encoder = keras.Model(waveform, add_centre(x), name="voice_encoder")
    if centre is not None:
        add_centre.centre.assign(np.asarray(centre, "float32"))
    return encoder


def _normalised(x):
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))


@keras.saving.register_keras_serializable(package="speech2face")
class AttentivePooling(layers.Layer):
    """Mean and spread over time, weighted by attention: (batch, frames, n) -> (batch, 2 n).

    After Okabe et al. 2018, "Attentive statistics pooling for deep speaker embedding".
    """

    def build(self, input_shape):
        """Makes the two small layers that weigh the frames."""
        self.look = layers.Dense(64, activation="tanh")
        self.weigh = layers.Dense(input_shape[-1])
        self.look.build(input_shape)
        self.weigh.build((*input_shape[:-1], 64))

    def call(self, x):
        """Returns the weighted means followed by the weighted standard deviations."""
        weights = ops.softmax(self.weigh(self.look(x)), axis=1)
        mean = ops.sum(weights * x, axis=1)
        variance = ops.sum(weights * ops.square(x), axis=1) - ops.square(mean)
        return ops.concatenate([mean, ops.sqrt(ops.maximum(variance, 1e-4))], axis=-1)

    def compute_output_shape(self, input_shape):
        """Returns (batch, 2 n)."""
        return (input_shape[0], 2 * input_shape[-1])


@keras.saving.register_keras_serializable(package="speech2face")
class AddCentre(layers.Layer):
    """Turns a deviation into a feature: centre + scale * deviation, (batch, n) -> (batch, n).

    Args:
        scale: Typical deviation of one number of the feature, so that the layer before works
            with numbers around 1.
    """

    def __init__(self, scale: float = 1.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.initial_scale = scale

    def build(self, input_shape):
        """Makes the weights `centre`, (n,), the mean feature, and `scale`; none is trained."""
        self.centre = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="centre"
        )
        self.scale = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_scale),
            trainable=False,
            name="scale",
        )

    def call(self, deviation):
        """Returns the features."""
        return self.scale * deviation + self.centre

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return input_shape

    def get_config(self):
        """Returns what is needed to make the layer again."""
        return {**super().get_config(), "scale": self.initial_scale}


def centre_of(encoder: keras.Model) -> np.ndarray:
    """Returns the mean feature that an encoder starts from, float32 of shape (feature_size,)."""
    return np.asarray(ops.convert_to_numpy(encoder.get_layer("centre").centre))


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
