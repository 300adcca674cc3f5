"""From the feature of a face to the face: network, losses and training.

The feature says who, not how the light fell or which way the head was turned, so the network
learns the average of all pictures that a feature may belong to. That makes them frontal, evenly
lit and a little soft; `adversarial` then brings the detail of a picture back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from helpers import training
from helpers.adversarial import GanTrainer, depth_to_space, discriminator
from helpers.pairs import FaceBatches, Faces, faces_of
from helpers.settings import ALIGNED_SIZE, FEATURE_DEVIATION, FEATURE_SIZES

__all__ = [
    "Faces",
    "SampleGrid",
    "discriminator",
    "enough_to_train",
    "faces_of",
    "generator",
    "load",
    "refine_with_gan",
    "released",
    "to_faces",
    "train_decoder",
]

MINIMUM_FACES = 128
"""With fewer faces than this, training learns the faces by heart and nothing else."""
RELEASED = Path(__file__).parent / "pretrained" / "face_decoder.keras"


# --- the network ---------------------------------------------------------------------------------


def generator(
    feature_size: int = FEATURE_SIZES["dlib"],
    centre: np.ndarray | None = None,
    mean_face: np.ndarray | None = None,
    width: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """Makes the face decoder: feature (batch, feature_size) -> face (batch, 128, 128, 3), 0 to 1.

    Untrained it gives the mean face; it learns what a feature changes in it. A 4x4 map is doubled
    four times; at each size the feature says once more which channels count, and colours are
    added. The last doubling, to 128x128, only rearranges channels into pixels, so that no
    convolution has to work on more than 64x64.

    Args:
        feature_size: Length of the face feature.
        centre: Mean feature of the training faces, (feature_size,); zeros if not given.
        mean_face: Mean of the training faces, (128, 128, 3), 0 to 1; grey if not given.
        width: Factor on the number of channels; 1 gives 2.4 million parameters.
        seed: Seed of the initial weights.
    """
    keras.utils.set_random_seed(seed)
    channels = [max(8, round(width * n)) for n in (192, 192, 144, 96, 48)]
    feature = keras.Input((feature_size,), name="feature")
    standardise = Standardise(1 / FEATURE_DEVIATION, name="standardise")
    style = layers.Dense(channels[0])(standardise(feature))
    style = layers.Dense(channels[0])(layers.LeakyReLU(0.2)(style))
    style = layers.LeakyReLU(0.2, name="style")(style)
    x = layers.Dense(4 * 4 * channels[0])(style)
    x = layers.Reshape((4, 4, channels[0]))(x)
    colours = layers.Conv2D(3, 1, kernel_initializer="zeros")(x)
    for count in channels[1:]:
        x = layers.UpSampling2D()(layers.Conv2D(count, 1)(x))
        y = x
        for _ in range(2):
            y = layers.LeakyReLU(0.2)(Modulate()([y, style]))
            y = layers.Conv2D(count, 3, padding="same")(y)
        x = layers.Add()([x, y])
        colours = layers.UpSampling2D(interpolation="bilinear")(colours)
        more = layers.Conv2D(3, 1, kernel_initializer="zeros")(x)
        colours = layers.Add()([colours, more])
    x = layers.LeakyReLU(0.2)(Modulate()([x, style]))
    x = layers.Conv2D(12, 3, padding="same", kernel_initializer="zeros")(x)
    colours = layers.UpSampling2D(interpolation="bilinear")(colours)
    add_mean_face = AddMeanFace(name="mean_face")
    face = add_mean_face(layers.Add()([colours, DepthToSpace()(x)]))
    face = layers.Activation("sigmoid", dtype="float32", name="face")(face)
    decoder = keras.Model(feature, face, name="face_decoder")
    if centre is not None:
        standardise.centre.assign(np.asarray(centre, "float32"))
    if mean_face is not None:
        mean_face = np.clip(np.asarray(mean_face, "float32"), 0.02, 0.98)
        add_mean_face.mean_face.assign(np.log(mean_face / (1 - mean_face)))
    return decoder


@keras.saving.register_keras_serializable(package="speech2face")
class Standardise(layers.Layer):
    """Subtracts the mean feature, a weight that is not trained, and scales: (batch, n)."""

    def __init__(self, scale: float = 1.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def build(self, input_shape):
        """Makes the weight `centre`, (n,)."""
        self.centre = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="centre"
        )

    def call(self, feature):
        """Returns numbers around 1."""
        return self.scale * (feature - self.centre)

    def get_config(self):
        """Returns what is needed to make the layer again."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="speech2face")
class Modulate(layers.Layer):
    """Scales and shifts the channels of a map as a style says.

    Takes a map (batch, h, w, c) and a style (batch, s); returns a map of the same shape.

    Each pixel's channels are first brought to the same length, which keeps the training stable.
    """

    def build(self, input_shape):
        """Makes the layer that reads scale and shift from the style."""
        maps, style = input_shape
        self.read = layers.Dense(2 * maps[-1], kernel_initializer="zeros")
        self.read.build(style)

    def call(self, inputs):
        """Returns the modulated map."""
        maps, style = inputs
        scale, shift = ops.split(self.read(style)[:, None, None, :], 2, axis=-1)
        length = ops.mean(ops.square(maps), axis=-1, keepdims=True)
        return maps * ops.rsqrt(length + 1e-6) * (1 + scale) + shift

    def compute_output_shape(self, input_shape):
        """Returns the shape of the map."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="speech2face")
class AddMeanFace(layers.Layer):
    """Adds the mean face, before the sigmoid, a weight that is not trained: (b, h, w, 3)."""

    def build(self, input_shape):
        """Makes the weight `mean_face`, (h, w, 3)."""
        self.mean_face = self.add_weight(
            shape=input_shape[1:], initializer="zeros", trainable=False, name="mean_face"
        )

    def call(self, face):
        """Returns the face."""
        return face + self.mean_face


@keras.saving.register_keras_serializable(package="speech2face")
class DepthToSpace(layers.Layer):
    """Rearranges channels into pixels: (batch, h, w, 4 c) -> (batch, 2 h, 2 w, c)."""

    def call(self, maps):
        """Returns a map twice as high and wide."""
        return depth_to_space(maps)


# --- the loss ------------------------------------------------------------------------------------


def face_weights(size: int = ALIGNED_SIZE) -> np.ndarray:
    """Returns how much each pixel counts, (size, size, 1), mean 1: the background less.

    An aligned face fills an upright oval in the middle of the picture.
    """
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    inside = 1 / (1 + np.exp(12 * (np.hypot(across / 0.8, down / 0.95) - 1)))
    weights = 0.25 + 0.75 * inside
    return (weights / weights.mean()).astype("float32")[:, :, None]


def reconstruction_loss(face, made):
    """Returns the L1 distance of pictures at three sizes plus that of their edges.

    Pixels alone leave faces soft; the edges, differences of neighbouring pixels, ask for detail.

    Args:
        face: True faces, (batch, 128, 128, 3), 0 to 1.
        made: Decoded faces.
    """
    error = (face - made) * face_weights(face.shape[1])
    edges = ops.mean(ops.abs(error[:, 1:] - error[:, :-1]))
    edges = edges + ops.mean(ops.abs(error[:, :, 1:] - error[:, :, :-1]))
    loss = ops.mean(ops.abs(error)) + edges
    for size in (4, 16):
        loss = loss + ops.mean(ops.abs(ops.average_pool(error, size, size)))
    return loss


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
    faces: Faces,
    validation: Faces | None = None,
    epochs: int = 8,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Trains a decoder to reconstruct faces from their features.

    Args:
        decoder: Network to train, as `generator` makes it; changed in place.
        faces: What to learn from.
        validation: Faces of other speakers; adds `val_loss` and `val_l1` to the measures.
        epochs: Passes over the faces.
        batch_size: Faces in one step.
        learning_rate: Largest learning rate; it rises for a twentieth of the steps, then falls.
        seed: Seed of the order.
        folder: Where to keep the state after each epoch. A run that was killed goes on from there.
        callbacks: Keras callbacks besides, such as `SampleGrid`.
        verbose: As in `keras.Model.fit`.

    Returns:
        One list for each measure, with one number for each epoch.
    """
    keras.utils.set_random_seed(seed)
    batches = FaceBatches(faces, batch_size, seed=seed)
    # A model of its own holds the optimiser, so that the decoder's file stays small.
    trainer = keras.Model(decoder.inputs, decoder.outputs[0], name="face_decoder_trainer")
    trainer.compile(
        training.optimizer(learning_rate, epochs * len(batches)),
        loss=reconstruction_loss,
        metrics=[keras.metrics.MeanAbsoluteError(name="l1")],
    )
    measures = []
    if validation is not None and len(validation):
        measures = [_Validation(decoder, validation)]
    return training.fit(trainer, batches, epochs, folder, [*measures, *callbacks], verbose)


def refine_with_gan(
    decoder: keras.Model,
    faces: Faces,
    validation: Faces | None = None,
    epochs: int = 2,
    batch_size: int = 32,
    learning_rate: float = 2e-4,
    seed: int = 0,
    folder: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Sharpens a trained decoder against a discriminator; see `adversarial.GanTrainer`.

    The decoder gets the moving average of its weights, in place. Arguments and result are those of
    `train_decoder`.
    """
    keras.utils.set_random_seed(seed)
    batches = FaceBatches(faces, batch_size, seed=seed + 1)
    critic = discriminator(faces.features.shape[1], faces.centre(), seed=seed)
    steps = epochs * len(batches)
    # The moving average covers about the last tenth of a short training, and never more than a
    # hundred steps.
    memory = 1 - min(0.2, max(0.01, 10 / steps))
    trainer = GanTrainer(decoder, critic, reconstruction_loss, memory=memory)
    trainer.compile(training.optimizer(learning_rate, steps, beta_1=0.5))
    measures = []
    if validation is not None and len(validation):
        measures = [_Validation(trainer.average, validation)]
    for callback in callbacks:
        if isinstance(callback, SampleGrid):
            callback.decoder = trainer.average
    history = training.fit(trainer, batches, epochs, folder, [*measures, *callbacks], verbose)
    decoder.set_weights(trainer.average.get_weights())
    return history


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
    """Decodes features (n, feature_size) into uint8 RGB faces (n, 128, 128, 3)."""
    if not len(features):
        return np.zeros((0, ALIGNED_SIZE, ALIGNED_SIZE, 3), "uint8")
    made = [
        decoder.predict_on_batch(features[start : start + batch_size])
        for start in range(0, len(features), batch_size)
    ]
    return np.round(255 * np.clip(np.concatenate(made), 0, 1)).astype("uint8")


# --- loading -------------------------------------------------------------------------------------


def load(path: Path | str) -> keras.Model:
    """Loads a decoder: feature (batch, feature_size) -> face (batch, 128, 128, 3), 0 to 1.

    Raises:
        FileNotFoundError: The file is not there.
    """
    return training.load(path, "face decoder", "05_face_decoder")


def released() -> keras.Model:
    """Loads the released face decoder."""
    return load(RELEASED)
