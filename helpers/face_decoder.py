"""From the feature of a face to the face: network, losses and training.

The feature says who, not how the light fell or which way the head was turned, so the network
learns the average of all pictures that a feature may belong to. That makes them frontal, evenly
lit and a little soft; `adversarial` then brings the detail of a picture back. The networks are in
`decoder_networks`, what they learn from in `face_targets`, what they are judged by in
`face_losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from helpers import training
from helpers.networks.decoder_networks import generator, load, released, with_parts
from helpers.settings import ALIGNED_SIZE
from helpers.training.adversarial import GanTrainer, discriminator
from helpers.training.face_losses import DecoderLoss, DecoderTrainer, reconstruction_loss
from helpers.training.face_targets import TargetBatches, Targets, targets_of
from helpers.training.pairs import Faces, faces_of

__all__ = [
    "Faces",
    "SampleGrid",
    "Targets",
    "discriminator",
    "enough_to_train",
    "faces_of",
    "generator",
    "load",
    "reconstruction_loss",
    "refine_with_gan",
    "released",
    "targets_of",
    "to_faces",
    "train_decoder",
    "with_parts",
]

MINIMUM_FACES = 128
"""With fewer faces than this, training learns the faces by heart and nothing else."""


# --- training ------------------------------------------------------------------------------------


def enough_to_train(faces: Faces) -> str | None:
    """Returns None if there are enough faces to train with, else one sentence that says why not."""
    if len(faces) >= MINIMUM_FACES:
        return None
    return (
        f"There are {len(faces)} faces, and training needs at least {MINIMUM_FACES}: the released "
        "weights are used instead."
    )


def train_decoder(
    decoder: keras.Model,
    faces: Faces | Targets,
    validation: Faces | None = None,
    epochs: int = 8,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    patience: int | None = None,
    precision: str = "float32",
    gpus: int = 1,
    identity: keras.Model | None = None,
) -> dict[str, list[float]]:
    """Trains a decoder to reconstruct faces from their features.

    Args:
        decoder: Network to train, as `generator` makes it; changed in place.
        faces: What to learn from, taken apart already or not.
        validation: Faces of other speakers; adds `val_l1` to the measures. The weights of the epoch
            with the smallest one are kept.
        epochs: Passes over the faces.
        batch_size: Faces in one step.
        learning_rate: Largest learning rate; it rises for a twentieth of the steps, then falls.
        seed: Seed of the order.
        folder: Where to keep the state; a run that was killed goes on from there and ends with the
            same weights as an unbroken one.
        callbacks: Keras callbacks besides, such as `SampleGrid`.
        verbose: As in `keras.Model.fit`.
        patience: Epochs without a better `val_l1` after which to stop; 0 or None never stops early.
        precision: `float32`, `mixed`, or `auto`; the decoder itself stays a network of 32 bits.
        gpus: GPUs that train together; 0 takes all there are.
        identity: Network that says who a face looks like, as `face_network.released()`; None
            leaves the identity term out.

    Returns:
        One list for each measure, with one number for each epoch.

    Raises:
        ValueError: A speaker is both in `faces` and in `validation`, a feature is not finite, or
            there are fewer GPUs.
        WrongFeatures: The faces have features of another kind than the decoder takes.
        TrainingStopped: The loss is not finite; the message says where and what to do.
    """
    targets = _check_data(decoder, faces, validation)
    keras.utils.set_random_seed(seed)
    batches = TargetBatches(targets, batch_size, seed=seed)
    place = training.Workplace(precision, gpus)
    trained = place.copy(decoder)
    loss = DecoderLoss(place.copy(identity), batches.centre)
    with place.scope():
        trainer = DecoderTrainer(trained, loss)
        optimizer = training.optimizer(learning_rate, epochs * len(batches))
        trainer.compile(place.optimizer(optimizer))
    measures = [_Validation(decoder, validation)] if validation else []
    return training.fit(
        trainer,
        batches,
        epochs,
        folder,
        [*measures, *callbacks],
        verbose,
        trained=trained,
        given=decoder,
        watch=training.Watch("val_l1", patience=patience),
        place=place,
    )


def refine_with_gan(
    decoder: keras.Model,
    faces: Faces | Targets,
    validation: Faces | None = None,
    epochs: int = 2,
    batch_size: int = 32,
    learning_rate: float = 2e-4,
    seed: int = 0,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    precision: str = "float32",
    gpus: int = 1,
    identity: keras.Model | None = None,
) -> dict[str, list[float]]:
    """Sharpens a trained decoder against a discriminator; see `adversarial.GanTrainer`.

    The decoder gets the moving average of its weights, in place. Arguments, result and errors are
    those of `train_decoder`; but no epoch counts as the best, because detail costs some `val_l1`.
    """
    targets = _check_data(decoder, faces, validation)
    keras.utils.set_random_seed(seed)
    batches = TargetBatches(targets, batch_size, seed=seed + 1)
    steps = epochs * len(batches)
    # The moving average covers about the last tenth of a short training, and never more than a
    # hundred steps.
    memory = 1 - min(0.2, max(0.01, 10 / steps))
    place = training.Workplace(precision, gpus)
    trained = place.copy(decoder)
    loss = DecoderLoss(place.copy(identity), batches.centre)
    with place.scope():
        critic = discriminator(targets.faces.features.shape[1], batches.centre, seed=seed)
        trainer = GanTrainer(trained, place.prepare(critic), loss, memory=memory)
        trainer.compile(place.optimizer(training.optimizer(learning_rate, steps, beta_1=0.5)))
    # Where a copy is trained, the decoder may already show what it will be in the end.
    shown = trainer.average if trained is decoder else decoder
    measures = [_Validation(shown, validation)] if validation else []
    for callback in callbacks:
        if isinstance(callback, SampleGrid):
            callback.decoder = shown
    try:
        history = training.fit(
            trainer,
            batches,
            epochs,
            folder,
            [*measures, *callbacks],
            verbose,
            trained=trainer.average,
            given=shown,
            place=place,
        )
    except training.TrainingStopped:
        decoder.set_weights(trainer.average.get_weights())
        raise
    decoder.set_weights(trainer.average.get_weights())
    return history


def _check_data(decoder: keras.Model, faces: Faces | Targets, validation: Faces | None) -> Targets:
    """Checks that decoder and faces fit together; takes the faces apart if need be."""
    known = faces.faces if isinstance(faces, Targets) else faces
    training.check_features(decoder, known.features)
    if validation is not None:
        training.check_features(decoder, validation.features, "validation features")
        training.check_speakers_apart(known.speakers, validation.speakers)
    return faces if isinstance(faces, Targets) else targets_of(faces)


class _Validation(keras.callbacks.Callback):
    """Adds `val_l1`, the mean distance of pixels 0 to 1, to the measures of each epoch."""

    def __init__(self, decoder: keras.Model, faces: Faces) -> None:
        super().__init__()
        self.decoder, self.faces = decoder, faces

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            made = to_faces(self.decoder, self.faces.features).astype("float32")
            logs["val_l1"] = float(np.abs(made - self.faces.images).mean() / 255)


class SampleGrid(keras.callbacks.Callback):
    """Decodes the same few features after each epoch, so that one can watch faces appear.

    Args:
        decoder: Network that makes the faces.
        features: Features to decode, (n, feature_size).
        show: Called with the faces so far, uint8 (epochs, n, 128, 128, 3), after each epoch; a
            figure it returns is shown in place of the last one.
    """

    def __init__(
        self, decoder: keras.Model, features: np.ndarray, show: Callable | None = None
    ) -> None:
        super().__init__()
        self.decoder, self.features, self.draw = decoder, features, show
        self.faces: list[np.ndarray] = []
        self.figure = training.LiveFigure(show) if show else None

    def on_epoch_end(self, epoch, logs=None):
        """Decodes the features and shows them."""
        self.faces.append(to_faces(self.decoder, self.features))
        if self.figure is not None:
            self.figure.show(self.draw(np.stack(self.faces)))


def to_faces(decoder: keras.Model, features: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Decodes features into faces.

    Args:
        decoder: Network that draws them.
        features: (n, feature_size).
        batch_size: Faces at a time.

    Returns:
        uint8 RGB (n, 128, 128, 3).

    Raises:
        WrongFeatures: The features are of another kind than the decoder draws.
        ValueError: A feature is not finite; the message names its row.
    """
    if not len(features):
        return np.zeros((0, ALIGNED_SIZE, ALIGNED_SIZE, 3), "uint8")
    training.check_features(decoder, features)
    made = [
        decoder.predict_on_batch(features[start : start + batch_size])
        for start in range(0, len(features), batch_size)
    ]
    return np.round(255 * np.clip(np.concatenate(made), 0, 1)).astype("uint8")
