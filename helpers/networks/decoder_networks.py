"""The network that makes a face of a feature, and its layers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from helpers import pretrained, weights
from helpers.networks.face_warp import MEAN_SHAPE, Warp
from helpers.settings import ALIGNED_SIZE, FEATURE_DEVIATION, FEATURE_SIZES

LINEAR_SIZE = 64
"""Side of the picture that the linear part of a texture paints."""
LINEAR_AXES = 128
"""At most so many directions of a feature does the linear part look at."""


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear map from standardised features to shapes and textures, to start a decoder with.

    Attributes:
        axes: (n, a): directions of the feature; a is the smaller of n and `LINEAR_AXES`.
        shapes: (a, 136): how the landmarks move, in pixels, along each direction.
        textures: (a, 64 * 64 * 3): how the texture changes, before the sigmoid.
    """

    axes: np.ndarray
    shapes: np.ndarray
    textures: np.ndarray


def generator(
    feature_size: int = FEATURE_SIZES["dlib"],
    centre: np.ndarray | None = None,
    mean_face: np.ndarray | None = None,
    width: float = 1.0,
    seed: int = 0,
    mean_shape: np.ndarray | None = None,
    deviation: float = FEATURE_DEVIATION,
    linear: Linear | None = None,
) -> keras.Model:
    """Makes the face decoder: feature (batch, feature_size) -> face (batch, 128, 128, 3), 0 to 1.

    Two networks look at the feature. `landmarks` says where the parts of the face are, `texture`
    what they look like; `warp` puts them together. Each has a linear part, which `linear` fills
    with the best linear guess, and a deep part, which says nothing at first and learns the rest.
    Without `linear` they start from the mean shape and the mean face.

    Args:
        feature_size: Length of the face feature.
        centre: Mean feature of the training faces, (feature_size,); zeros if not given.
        mean_face: Mean texture of the training faces, (128, 128, 3), 0 to 1; grey if not given.
        width: Factor on the number of channels; 1 gives 3.9 million parameters.
        seed: Seed of the initial weights.
        mean_shape: Mean landmarks of the training faces, (68, 2), in pixels; those of islanders
            if not given.
        deviation: Typical deviation of one number of a feature from its mean.
        linear: What the linear parts start with, as `Targets.linear` fits it.
    """
    keras.utils.set_random_seed(seed)
    feature = keras.Input((feature_size,), name="feature")
    landmarks = landmark_network(feature_size, centre, mean_shape, width, deviation, linear)
    texture = texture_network(feature_size, centre, mean_face, width, deviation, linear)
    face = Warp(name="warp")([texture(feature), landmarks(feature)])
    return keras.Model(feature, face, name="face_decoder")


def landmark_network(
    feature_size: int,
    centre: np.ndarray | None = None,
    mean_shape: np.ndarray | None = None,
    width: float = 1.0,
    deviation: float = FEATURE_DEVIATION,
    linear: Linear | None = None,
) -> keras.Model:
    """Makes the network `landmarks`: feature (batch, n) -> (batch, 68, 2), x, y in pixels.

    Arguments are those of `generator`.
    """
    mean_shape = MEAN_SHAPE if mean_shape is None else np.asarray(mean_shape, "float32")
    feature = keras.Input((feature_size,), name="feature")
    standardise = Standardise(1 / deviation, name="standardise")
    standardised = Strengthen(name="strengthen")(standardise(feature))
    x = standardised
    for _ in range(2):
        x = layers.LeakyReLU(0.2)(layers.Dense(max(8, round(width * 256)))(x))
    moved = layers.Dense(mean_shape.size, kernel_initializer="zeros")(x)
    linear_part = layers.Dense(
        mean_shape.size, use_bias=False, kernel_initializer="zeros", name="linear"
    )
    moved = layers.Add()([moved, linear_part(standardised)])
    add_mean_shape = AddMean(name="mean_shape", dtype="float32")
    points = add_mean_shape(layers.Reshape(mean_shape.shape)(moved))
    network = keras.Model(feature, points, name="landmarks")
    add_mean_shape.mean.assign(mean_shape)
    if centre is not None:
        standardise.centre.assign(np.asarray(centre, "float32"))
    if linear is not None:
        linear_part.kernel.assign(linear.axes @ linear.shapes)
    return network


def texture_network(
    feature_size: int,
    centre: np.ndarray | None = None,
    mean_face: np.ndarray | None = None,
    width: float = 1.0,
    deviation: float = FEATURE_DEVIATION,
    linear: Linear | None = None,
) -> keras.Model:
    """Makes the network `texture`: feature (batch, n) -> (batch, 128, 128, 3), 0 to 1.

    The linear part adds up pictures of 64x64, one for each direction of the feature. In the deep
    part, a 4x4 map is doubled five times. At each size the feature says once more which channels
    count, and colours are added. The last convolution works on 128x128 with few channels: to
    rearrange the channels of 64x64 into pixels would be faster, and leaves a pattern of dots.

    Arguments are those of `generator`.
    """
    first, *channels, fine = [max(8, round(width * n)) for n in (192, 192, 128, 64, 32, 16)]
    feature = keras.Input((feature_size,), name="feature")
    standardise = Standardise(1 / deviation, name="standardise")
    standardised = Strengthen(name="strengthen")(standardise(feature))
    axes = layers.Dense(min(feature_size, LINEAR_AXES), use_bias=False, name="axes")
    pictures = layers.Dense(
        3 * LINEAR_SIZE**2, use_bias=False, kernel_initializer="zeros", name="linear"
    )
    painted = layers.Reshape((LINEAR_SIZE, LINEAR_SIZE, 3))(pictures(axes(standardised)))
    style = layers.Dense(first)(standardised)
    style = layers.Dense(first)(layers.LeakyReLU(0.2)(style))
    style = layers.LeakyReLU(0.2, name="style")(style)
    x = layers.Reshape((4, 4, first))(layers.Dense(4 * 4 * first)(style))
    colours = layers.Conv2D(3, 1, kernel_initializer="zeros")(x)
    for count in channels:
        x = layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(count, 1)(x))
        y = x
        for _ in range(2):
            y = layers.LeakyReLU(0.2)(Modulate()([y, style]))
            y = layers.Conv2D(count, 3, padding="same")(y)
        x = layers.Add()([x, y])
        colours = layers.UpSampling2D(interpolation="bilinear")(colours)
        more = layers.Conv2D(3, 1, kernel_initializer="zeros")(x)
        colours = layers.Add()([colours, more])
    x = layers.Conv2D(fine, 3, padding="same")(layers.LeakyReLU(0.2)(Modulate()([x, style])))
    x = layers.LeakyReLU(0.2)(layers.UpSampling2D(interpolation="bilinear")(x))
    x = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros")(x)
    colours = layers.Add()([colours, painted])
    colours = layers.UpSampling2D(interpolation="bilinear")(colours)
    colours = layers.Add()([colours, x])
    add_mean_face = AddMeanFace(name="mean_face")
    face = layers.Activation("sigmoid", dtype="float32", name="face")(add_mean_face(colours))
    network = keras.Model(feature, face, name="texture")
    if centre is not None:
        standardise.centre.assign(np.asarray(centre, "float32"))
    if mean_face is not None:
        mean_face = np.clip(np.asarray(mean_face, "float32"), 0.02, 0.98)
        add_mean_face.mean_face.assign(np.log(mean_face / (1 - mean_face)))
    if linear is not None:
        axes.kernel.assign(linear.axes)
        pictures.kernel.assign(linear.textures)
    return network


def with_parts(decoder: keras.Model) -> keras.Model:
    """Returns a network that also tells what the face was made of.

    Args:
        decoder: As `generator` makes it, or one without parts; the weights are shared.

    Returns:
        feature (batch, n) -> dict of `landmarks` (batch, 68, 2), `texture` and `face`
        (batch, 128, 128, 3); of a decoder without parts `face` only.
    """
    feature = keras.Input(decoder.input_shape[1:], name="feature")
    if not any(layer.name == "warp" for layer in decoder.layers):
        return keras.Model(feature, {"face": decoder(feature)}, name="face_decoder_parts")
    landmarks = decoder.get_layer("landmarks")(feature)
    texture = decoder.get_layer("texture")(feature)
    face = decoder.get_layer("warp")([texture, landmarks])
    parts = {"landmarks": landmarks, "texture": texture, "face": face}
    return keras.Model(feature, parts, name="face_decoder_parts")


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
class Strengthen(layers.Layer):
    """Makes weak features stronger, in the same direction: (batch, n), standardised.

    A voice says less about a face than a picture does, so features predicted from voices lie nearer
    to the mean than any true one. What they say should be drawn almost as clearly. They are not
    brought to full length: what they do not say they must not say, either.

    Args:
        half: Length, as a share of the usual one, at which a feature comes to 0.7 of the most.
    """

    def __init__(self, half: float = 0.5, **kwargs) -> None:
        super().__init__(**kwargs)
        self.half = half

    def call(self, standardised):
        """Returns features of which the longest are of length 1, by the mean of squares."""
        length = ops.mean(ops.square(standardised), axis=-1, keepdims=True)
        return standardised * ops.rsqrt(length + self.half**2)

    def get_config(self):
        """Returns what is needed to make the layer again."""
        return {**super().get_config(), "half": self.half}


@keras.saving.register_keras_serializable(package="speech2face")
class Modulate(layers.Layer):
    """Scales and shifts the channels of a map as a style says.

    Takes a map (batch, h, w, c) and a style (batch, s); returns a map of the same shape.

    Each pixel's channels are first brought to the same length, which keeps the training stable.
    """

    half_ready = True

    def build(self, input_shape):
        """Makes the layer that reads scale and shift from the style."""
        maps, style = input_shape
        self.read = layers.Dense(2 * maps[-1], kernel_initializer="zeros")
        self.read.build(style)

    def call(self, inputs):
        """Returns the modulated map."""
        maps, style = inputs
        scale, shift = ops.split(self.read(style)[:, None, None, :], 2, axis=-1)
        # Squares need 32 bits, also where the rest computes with 16.
        length = ops.mean(ops.square(ops.cast(maps, "float32")), axis=-1, keepdims=True)
        shrink = ops.cast(ops.rsqrt(length + 1e-6), maps.dtype)
        return maps * shrink * (1 + scale) + shift

    def compute_output_shape(self, input_shape):
        """Returns the shape of the map."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="speech2face")
class AddMean(layers.Layer):
    """Adds a mean, a weight that is not trained: (batch, ...) of the mean's shape."""

    def build(self, input_shape):
        """Makes the weight `mean`."""
        self.mean = self.add_weight(
            shape=input_shape[1:], initializer="zeros", trainable=False, name="mean"
        )

    def call(self, values):
        """Returns the values with the mean added."""
        return values + self.mean


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


# --- loading -------------------------------------------------------------------------------------


def load(path: Path | str) -> keras.Model:
    """Loads a decoder: feature (batch, feature_size) -> face (batch, 128, 128, 3), 0 to 1.

    Raises:
        FileNotFoundError: The file is not there.
        BadWeights: It is no face decoder, or damaged.
    """
    gives = (None, ALIGNED_SIZE, ALIGNED_SIZE, 3)
    return weights.load(path, "face decoder", "05_face_decoder", (None, None), gives)


def released(features: str = "dlib") -> keras.Model:
    """Loads the released face decoder.

    Args:
        features: Kind of face feature that it should draw.

    Raises:
        WrongFeatures: The released decoder draws features of another kind.
    """
    decoder = load(pretrained.FACE_DECODER)
    weights.check_features(decoder, features)
    return decoder
