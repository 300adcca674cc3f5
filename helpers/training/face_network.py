"""A small network that sees in an aligned face what dlib sees, and that has gradients.

dlib gives a descriptor, but not how it would change if a pixel changed. This network learned to
agree with it (distillation), on pictures of faces and on pictures that decoders draw. With it a
decoder can be told: this does not look like the person yet.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from helpers import face_features, pretrained, training
from helpers.networks import face_warp
from helpers.networks.decoder_networks import Standardise
from helpers.settings import ALIGNED_SIZE, FEATURE_DEVIATION, FEATURE_SIZES
from helpers.training.adversarial import space_to_depth
from helpers.training.face_targets import TargetBatches, Targets
from helpers.training.pairs import Shuffled

_SHIFT = 2
"""Pixels by which pictures are shifted in training; dlib aligns the face anew, so to it nothing
has changed."""


# --- the network ---------------------------------------------------------------------------------


def face_network(
    centre: np.ndarray | None = None, width: float = 1.0, seed: int = 0
) -> keras.Model:
    """Makes the network: aligned face (batch, 128, 128, 3), 0 to 1 -> feature (batch, 128).

    Untrained it gives the mean feature.

    Args:
        centre: Mean feature, (128,); zeros if not given.
        width: Factor on the number of channels; 1 gives 1.4 million parameters.
        seed: Seed of the initial weights.
    """
    keras.utils.set_random_seed(seed)
    counts = [max(8, round(width * count)) for count in (40, 80, 160, 256)]
    face = keras.Input((ALIGNED_SIZE, ALIGNED_SIZE, 3), name="face")
    x = _convolution(FoldPixels(name="fold")(face), counts[0])
    for index, count in enumerate(counts):
        if index:
            x = _convolution(x, count, strides=2)
        y = layers.Conv2D(count, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization(momentum=0.9)(y)]))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    small = keras.initializers.RandomNormal(stddev=0.01)
    deviation = layers.Dense(FEATURE_SIZES["dlib"], kernel_initializer=small, name="deviation")
    mean = Unstandardise(FEATURE_DEVIATION, dtype="float32", name="feature")
    network = keras.Model(face, mean(deviation(x)), name="face_network")
    if centre is not None:
        mean.centre.assign(np.asarray(centre, "float32"))
    return network


def _convolution(x, count: int, strides: int = 1):
    x = layers.Conv2D(count, 3, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


@keras.saving.register_keras_serializable(package="speech2face")
class Unstandardise(Standardise):
    """Scales numbers around 1 to those of a feature and adds the mean feature: (batch, n)."""

    def call(self, deviation):
        """Returns the feature."""
        return self.scale * deviation + self.centre


@keras.saving.register_keras_serializable(package="speech2face")
class FoldPixels(layers.Layer):
    """Brings faces to -1..1 and 4x4 pixels into channels: (b, 128, 128, 3) -> (b, 32, 32, 48)."""

    def call(self, face):
        """Returns the folded face."""
        return space_to_depth(space_to_depth(2 * face - 1))


def agreement(network: keras.Model, images: np.ndarray, features: np.ndarray) -> dict[str, float]:
    """Measures how well a network agrees with dlib.

    Args:
        network: As `face_network` makes it.
        images: uint8 (n, 128, 128, 3).
        features: dlib's descriptors of them, (n, 128).

    Returns:
        `r2`, the share of the variance explained, and `cosine`, the mean cosine of both, seen
        from the mean feature.
    """
    seen = network.predict(images.astype("float32") / 255, batch_size=64, verbose=0)
    centre = features.mean(axis=0)
    rest = np.square(seen - features).sum() / np.square(features - centre).sum()
    lengths = np.linalg.norm(seen - centre, axis=1) * np.linalg.norm(features - centre, axis=1)
    cosine = ((seen - centre) * (features - centre)).sum(axis=1) / np.maximum(lengths, 1e-9)
    return {"r2": float(1 - rest), "cosine": float(cosine.mean())}


def load(path: Path | str) -> keras.Model:
    """Loads a face network: aligned face (batch, 128, 128, 3), 0 to 1 -> feature (batch, 128).

    Raises:
        FileNotFoundError: The file is not there.
        BadWeights: It is no face network, or damaged.
    """
    takes, gives = (None, ALIGNED_SIZE, ALIGNED_SIZE, 3), (None, FEATURE_SIZES["dlib"])
    return training.load(path, "face network", "05_face_decoder", takes, gives)


@functools.cache
def released() -> keras.Model:
    """Loads the released network, once."""
    return load(pretrained.FACE_NETWORK)


# --- what it learns from -------------------------------------------------------------------------


def describe_aligned(images: Sequence[np.ndarray], teacher: keras.Model) -> np.ndarray:
    """Describes aligned faces as notebook 02 describes a face in a picture.

    Args:
        images: (128, 128, 3) uint8 RGB each.
        teacher: As `dlib_network.recognition_network` makes it.

    Returns:
        (n, 128) float32.
    """
    chips = np.stack([face_features.chip(*face_warp.enlarged(image)) for image in images])
    parts = [
        ops.convert_to_numpy(teacher(chips[start : start + 32].astype("float32"), training=False))
        for start in range(0, len(chips), 32)
    ]
    return np.concatenate(parts)


def pictures(
    targets: Targets, count: int, decoders: Sequence[keras.Model] = (), seed: int = 0
) -> np.ndarray:
    """Makes pictures to learn from: true faces, mixed faces, and faces drawn by decoders.

    Each is shifted, turned, lit, spotted, blurred and roughened a little.

    Args:
        targets: Faces and their features.
        count: How many pictures.
        decoders: feature -> face; where there are any, they draw half of the pictures.
        seed: Seed of it all.

    Returns:
        uint8 (count, 128, 128, 3).
    """
    batches = TargetBatches(targets, 32, mixed=0.4, seed=seed)
    made: list[np.ndarray] = []
    while len(made) < count:
        number = len(made) // batches.batch_size
        if number % len(batches) == 0:
            batches.begin(number // len(batches))
        features, target = batches[number % len(batches)]
        turn = number % (2 * len(decoders) or 1)
        if turn % 2:
            faces = ops.convert_to_numpy(decoders[turn // 2](features.astype("float32")))
        else:
            mixed = target["mixed"] > 0
            warped = face_warp.face_of(target["texture"], target["landmarks"])
            faces = np.where(mixed[:, None, None, None], np.asarray(warped), target["image"])
        random = np.random.default_rng([seed, 1, number])
        made += [_varied(face, random) for face in faces]
    return np.stack(made[:count])


def _varied(face: np.ndarray, random: np.random.Generator) -> np.ndarray:
    import cv2

    side, middle = ALIGNED_SIZE, (ALIGNED_SIZE - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), random.normal(0, 2), random.normal(1, 0.02))
    turn[:, 2] += random.normal(0, 1.5, 2)
    face = cv2.warpAffine(
        face, turn, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    face = np.clip(face, 0, 1) ** np.exp(random.normal(0, 0.15))
    face = face * (1 + random.normal(0, 0.05, 3)) + random.normal(0, 0.02)
    if random.random() < 0.4:
        face = cv2.GaussianBlur(face, (0, 0), random.uniform(0.4, 1.5))
    if random.random() < 0.5:
        # Spots of colour where faces have none: what a decoder would try to please the network.
        spots = random.normal(0, random.uniform(0.02, 0.15), (*(random.integers(3, 17, 2)), 3))
        face = face + cv2.resize(spots, (side, side), interpolation=cv2.INTER_CUBIC)
    if random.random() < 0.4:
        face = face + random.uniform(0, 0.04) * random.standard_normal(face.shape)
    return np.round(255 * np.clip(face, 0, 1)).astype("uint8")


class _PictureBatches(Shuffled):
    """Batches of pictures, shifted anew each time, and their features."""

    def __init__(self, images: np.ndarray, features: np.ndarray, batch_size: int, seed: int):
        super().__init__(len(images), batch_size, seed)
        self.images, self.features = images, features

    def __getitem__(self, index: int):
        chosen, random = self.chosen(index)
        shifts = random.integers(-_SHIFT, _SHIFT + 1, (len(chosen), 2))
        images = [
            np.roll(self.images[row], shift, axis=(0, 1))
            for row, shift in zip(chosen, shifts, strict=True)
        ]
        return np.stack(images).astype("float32") / 255, self.features[chosen]


def train_face_network(
    network: keras.Model,
    images: np.ndarray,
    features: np.ndarray,
    epochs: int = 5,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    folder: Path | None = None,
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Trains a network to see what dlib sees.

    Args:
        network: As `face_network` makes it; changed in place.
        images: uint8 (n, 128, 128, 3), as `pictures` makes them.
        features: dlib's descriptors of them, (n, 128), as `describe_aligned` gives them.
        epochs: Passes over the pictures.
        batch_size: Pictures in one step.
        learning_rate: Largest learning rate.
        seed: Seed of the order.
        folder: Where to keep the state after each epoch.
        verbose: As in `keras.Model.fit`.

    Returns:
        One list for each measure, with one number for each epoch.
    """
    keras.utils.set_random_seed(seed)
    batches = _PictureBatches(images, features.astype("float32"), batch_size, seed)
    trainer = keras.Model(network.inputs, network.outputs[0], name="face_network_trainer")
    trainer.compile(
        training.optimizer(learning_rate, epochs * len(batches), weight_decay=0.01),
        loss=distillation_loss,
    )
    return training.fit(trainer, batches, epochs, folder, [], verbose, trained=network)


def distillation_loss(wanted, seen):
    """Returns the squared distance in typical deviations: 1 for a network that knows nothing."""
    return ops.mean(ops.square((wanted - seen) / FEATURE_DEVIATION), axis=-1)


def distil(
    targets: Targets,
    decoders: Sequence[keras.Model] = (),
    count: int = 12_800,
    epochs: int = 6,
    seed: int = 0,
    folder: Path | None = None,
    verbose: int = 0,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Makes pictures, lets dlib describe them and trains a network on them.

    Args:
        targets: Faces and their features.
        decoders: Decoders that draw half of the pictures.
        count: How many pictures.
        epochs: Passes over the pictures.
        seed: Seed of pictures and training.
        folder: Where to keep the state after each epoch.
        verbose: As in `keras.Model.fit`.

    Returns:
        The network, and one list for each measure.
    """
    from helpers.faces.dlib_network import recognition_network

    images = pictures(targets, count, decoders, seed)
    features = describe_aligned(images, recognition_network())
    network = face_network(features.mean(axis=0), seed=seed)
    settings = {"epochs": epochs, "seed": seed, "folder": folder, "verbose": verbose}
    return network, train_face_network(network, images, features, **settings)
