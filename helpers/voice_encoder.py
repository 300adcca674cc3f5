"""From a voice to the feature of a face: training and predicting.

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
from helpers.networks import decoder_networks
from helpers.networks.voice_networks import centre_of, compact, load, paper, released
from helpers.session import device
from helpers.settings import SAMPLE_RATE
from helpers.training import devices
from helpers.training.pairs import Batches, Pairs, enough_to_train, pairs_of
from helpers.training.voice_losses import (
    FaceHeads,
    Loss,
    LossWeights,
    PaperLoss,
    contrastive_loss,
    direction_loss,
    distance_loss,
    face_heads,
    loss_terms,
    terms_of,
)

__all__ = [
    "PAPER_BATCH",
    "FaceHeads",
    "LossWeights",
    "NeedsGPU",
    "Pairs",
    "PaperLoss",
    "calibrate",
    "centre_of",
    "check_machine",
    "compact",
    "contrastive_loss",
    "direction_loss",
    "distance_loss",
    "enough_to_train",
    "face_heads",
    "load",
    "pairs_of",
    "paper",
    "paper_heads",
    "paper_optimizer",
    "predict",
    "released",
    "train",
]

TRAINING_SECONDS = 4.0
"""Training hears stretches of this length: cheaper, and never the same stretch twice."""
PAPER_BATCH = 8
"""Pairs in one step of the paper's network (Speech2Face, section 4)."""
PAPER_STEP_SECONDS = 30
"""What such a step takes on two cores; on a GPU it is a fraction of a second."""
PAPER_MEMORY_GB = 9
"""Memory of that process at most, saving included."""


# --- the loss ------------------------------------------------------------------------------------


class VoiceEncoderTrainer(keras.Model):
    """Trains an encoder with the weighted sum of the terms of a loss.

    Args:
        encoder: The network to train, as `voice_networks` makes it.
        weights: Which loss, and how much each of its terms counts.
        heads: What the terms of `PaperLoss` look through.
    """

    def __init__(self, encoder: keras.Model, weights: Loss, heads: FaceHeads | None = None) -> None:
        super().__init__(name="voice_encoder_trainer")
        self.encoder, self.weights_of_loss = encoder, weights
        self.log_temperature = self._number(
            "log_temperature", np.log(weights.temperature), weights.learn_temperature
        )
        # Weights that are not trained, and not constants: so they lie where the network lies.
        self.heads = heads and FaceHeads(
            *(self._number(f"head_{name}", array) for name, array in vars(heads).items())
        )
        self.terms = {name: keras.metrics.Mean(name=name) for name in terms_of(weights)}
        self.built = True

    def _number(self, name: str, value, trainable: bool = False) -> keras.Variable:
        value = np.asarray(value, "float32")
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
            trainable=trainable,
            autocast=False,
            dtype="float32",
            name=name,
        )

    def call(self, waveform, training=None):
        """Returns the predicted features."""
        return self.encoder(waveform, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss; `y` holds `feature` (batch, n) and `speaker` (batch,)."""
        feature, speaker = devices.whole_batch(y["feature"]), devices.whole_batch(y["speaker"])
        terms = loss_terms(
            self.weights_of_loss,
            feature,
            devices.whole_batch(y_pred),
            speaker,
            self.encoder.get_layer("centre").centre,
            ops.exp(self.log_temperature),
            self.heads,
        )
        loss = 0.0
        for name, term in terms.items():
            self.terms[name].update_state(term)
            loss = loss + getattr(self.weights_of_loss, name) * term
        return devices.share(loss)


def paper_heads(session, pairs: Pairs) -> FaceHeads:
    """Collects what the terms of `PaperLoss` look through, as far as a run has it.

    For dlib's feature there is a decoder, the released one, and no last layer; for VGG-Face's it
    is the other way round. `face_heads` says what stands for what is not there.

    Args:
        session: The session of the run.
        pairs: Training pairs.
    """
    kind, seed = session.settings.features, session.settings.seed
    if kind == "dlib":
        return face_heads(pairs, decoder_networks.released(), seed=seed)
    from helpers.faces import recognition_weights, vgg_face

    path = recognition_weights.weights_file(session.workspace, kind)
    return face_heads(pairs, classifier=vgg_face.last_layer(kind, path), seed=seed)


def paper_optimizer(learning_rate: float = 1e-3) -> keras.optimizers.Optimizer:
    """Makes the optimiser of Speech2Face (section 4): Adam, x 0.95 after every 10,000 steps.

    The learning rate falls in stairs, which is not what an optimiser's old argument `decay` does:
    that divides by 1 + decay * step, and with 0.95 / 10,000 halves the rate in the first 10,500.

    Args:
        learning_rate: Learning rate of the first 10,000 steps.
    """
    schedule = keras.optimizers.schedules.ExponentialDecay(
        learning_rate, decay_steps=10_000, decay_rate=0.95, staircase=True
    )
    return keras.optimizers.Adam(schedule, beta_1=0.5, epsilon=1e-4)


# --- training ------------------------------------------------------------------------------------


def train(
    encoder: keras.Model,
    pairs: Pairs,
    validation: Pairs | None = None,
    epochs: int = 6,
    batch_size: int = 32,
    weights: Loss | None = None,
    learning_rate: float = 1e-3,
    seed: int = 0,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    heads: FaceHeads | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    patience: int | None = None,
    precision: str = "float32",
    gpus: int = 1,
) -> dict[str, list[float]]:
    """Trains an encoder and measures retrieval on the validation speakers after each epoch.

    Args:
        encoder: Network to train, as `voice_networks` makes it; changed in place.
        pairs: What to learn from.
        validation: Speakers that are not in `pairs`. The weights of the epoch with the largest
            `val_cosine` on them are kept, and `calibrate` sets how far predictions go.
        epochs: Passes over the pairs.
        batch_size: Pairs in one step.
        weights: Which loss, and how much each of its terms counts.
        learning_rate: Largest learning rate; it rises for a twentieth of the steps, then falls.
        seed: Seed of the order and of the stretches.
        folder: Where to keep the state; a run that was killed goes on from there and ends with the
            same weights as an unbroken one.
        callbacks: Keras callbacks besides, such as `training.LiveFigure`.
        verbose: As in `keras.Model.fit`.
        heads: What the terms of `PaperLoss` look through; `face_heads(pairs)` if not given.
        optimizer: In place of the one with that learning rate, such as `paper_optimizer()`.
        patience: Epochs without a better `val_cosine` after which to stop; 0 or None never stops
            early.
        precision: `float32`, `mixed`, or `auto`; the encoder itself stays a network of 32 bits.
        gpus: GPUs that train together; 0 takes all there are.

    Returns:
        One list for each measure, with one number for each epoch.

    Raises:
        ValueError: A speaker is both in `pairs` and in `validation`, or there are fewer GPUs.
        WrongFeatures: The pairs have features of another kind than the encoder predicts.
        TrainingStopped: The loss is not finite; the message says where and what to do.
    """
    training.check_features(encoder, pairs.features)
    if validation is not None:
        training.check_speakers_apart(pairs.speakers, validation.speakers)
    keras.utils.set_random_seed(seed)
    batches = Batches(pairs, batch_size, _seconds_heard(encoder), seed)
    weights = weights or LossWeights()
    if heads is None and isinstance(weights, PaperLoss):
        heads = face_heads(pairs, seed=seed)
    steps = epochs * len(batches)
    place = training.Workplace(precision, gpus)
    trained = place.copy(encoder)
    with place.scope():
        trainer = VoiceEncoderTrainer(trained, weights, heads)
        optimizer = optimizer or training.optimizer(learning_rate, steps, weight_decay=1e-3)
        trainer.compile(place.optimizer(optimizer))
    measures = [RetrievalCallback(encoder, validation)] if validation else []
    history = training.fit(
        trainer,
        batches,
        epochs,
        folder,
        [*measures, *callbacks],
        verbose,
        trained=trained,
        given=encoder,
        watch=training.Watch("val_cosine", largest=True, patience=patience),
        place=place,
    )
    if measures:
        calibrate(encoder, validation)
    return history


class NeedsGPU(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """A training would take too long without a GPU; the message says how long."""


def check_machine(network: str, steps: int, insist: bool = False) -> None:
    """Stops before a training of the paper's network on a machine without a GPU.

    Args:
        network: `compact` or `paper`.
        steps: Steps of the training.
        insist: Whether to train all the same, and only to say how long it takes.

    Raises:
        NeedsGPU: It is the paper's network, there is no GPU, and nobody insists.
    """
    if network != "paper" or device() != "CPU":
        return
    hours = steps * PAPER_STEP_SECONDS / 3600
    cost = (
        f"Without a GPU a step of the paper's network takes about {PAPER_STEP_SECONDS} s and "
        f"{PAPER_MEMORY_GB} GB; {steps:,} steps take about {hours:,.1f} hours."
    )
    if not insist:
        raise NeedsGPU(
            f"{cost} Choose a GPU (on Colab: Runtime, Change runtime type) or NETWORK = 'compact'; "
            "to train here all the same, set PAPER_WITHOUT_GPU = True in this cell."
        )
    print(cost)


def _seconds_heard(encoder: keras.Model) -> float:
    """Returns the length of the waveforms to train with: the network's, where it has one."""
    samples = encoder.input_shape[1]
    return TRAINING_SECONDS if samples is None else samples / SAMPLE_RATE


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
        encoder: Network to measure.
        pairs: Validation pairs.
    """

    def __init__(self, encoder: keras.Model, pairs: Pairs) -> None:
        super().__init__()
        self.encoder, self.pairs = encoder, pairs

    def on_epoch_end(self, epoch, logs=None):
        """Measures retrieval and adds it to `logs`."""
        if logs is None:
            return
        predicted = predict(self.encoder, self.pairs)
        logs.update(validation_measures(self.encoder, predicted, self.pairs))


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
