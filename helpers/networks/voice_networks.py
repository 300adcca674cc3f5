"""Networks that hear a voice and predict the feature of a face.

`compact` is what the series trains by default, `paper` is the encoder of Speech2Face layer by
layer, and `published` is the same ladder as a public re-implementation feeds it, for comparison.
All three take a waveform and end with a layer `centre`, so that whatever works with one of them
works with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from helpers import pretrained, weights
from helpers.networks.augmentation import DistortSpectrum, MaskSpectrum
from helpers.networks.voice_layers import AddCentre, AttentivePooling, MagnitudePhase
from helpers.settings import (
    FEATURE_DEVIATION,
    FEATURE_SIZES,
    SPEECH_SAMPLES,
)
from helpers.spectrogram import LogMel, RemoveChannel, Spectrogram

PAPER_HIDDEN = 4096
"""Numbers between the two fully connected layers of the paper's encoder."""
_PAPER_LADDER = (
    # channels, stride, maximum over two frames afterwards
    (64, 1, False),
    (64, 1, False),
    (128, 1, True),
    (128, 1, True),
    (128, 1, True),
    (256, 1, True),
    (512, 1, False),
    (512, 2, False),
    (512, 2, False),
)
"""The convolutions of Speech2Face, table 1; all 4x4."""


def build(
    name: str,
    feature_size: int = FEATURE_SIZES["dlib"],
    centre: np.ndarray | None = None,
    seed: int = 0,
    spectrogram: Mapping[str, float] | None = None,
    **options: object,
) -> keras.Model:
    """Makes the network of that name.

    Args:
        name: `compact`, `paper` or `published`.
        feature_size: Length of the face feature.
        centre: Mean feature of the training speakers, (feature_size,); zeros if not given.
        seed: Seed of the initial weights.
        spectrogram: `Settings.spectrogram`; only the network of the paper hears it.
        **options: `width`, `deviation` or `batch_norm`, as the network takes them.

    Raises:
        ValueError: There is no network of that name; the message names those that there are.
    """
    networks = {"compact": compact, "paper": paper, "published": published}
    if name not in networks:
        raise ValueError(
            f"There is no voice network {name!r}. Choose one of: {', '.join(networks)}."
        )
    if name == "paper":
        options["spectrogram"] = spectrogram
    return networks[name](feature_size=feature_size, centre=centre, seed=seed, **options)


# --- the compact network -------------------------------------------------------------------------


def compact(
    feature_size: int = FEATURE_SIZES["dlib"],
    centre: np.ndarray | None = None,
    width: float = 1.0,
    seed: int = 0,
    deviation: float = FEATURE_DEVIATION,
    batch_norm: bool = True,
) -> keras.Model:
    """Makes the compact voice encoder: waveform (batch, samples) -> feature (batch, feature_size).

    A log-mel spectrogram without the microphone goes through three two-dimensional convolutions,
    which see harmonics and formants wherever they lie, and six one-dimensional ones, which see
    how they move. Attention chooses the moments that count; their mean and spread become the
    feature's deviation from the mean face.

    Args:
        feature_size: Length of the face feature.
        centre: Mean feature of the training speakers, (feature_size,); zeros if not given.
        width: Factor on the number of channels; 1 gives 3.3 million parameters.
        seed: Seed of the initial weights and of the augmentation.
        deviation: Typical deviation of one number of the feature from its mean.
        batch_norm: False leaves out batch normalisation, to see what it is worth.
    """

    def normalised(x):
        if batch_norm:
            x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.Activation("relu")(x)

    keras.utils.set_random_seed(seed)
    bias = not batch_norm  # Batch normalisation brings a bias of its own.
    channels = [max(8, round(width * n)) for n in (32, 64, 96, 384, 768)]
    waveform = keras.Input((None,), name="waveform")
    x = LogMel(remove_channel=False, name="log_mel")(waveform)
    x = DistortSpectrum(seed=seed, name="distort")(x)
    x = RemoveChannel(name="remove_channel")(x)
    x = MaskSpectrum(seed=seed, name="mask")(x)
    x = layers.Reshape((-1, x.shape[-1], 1), name="one_channel")(x)
    for index, strides in enumerate(((1, 2), (2, 2), (1, 2))):
        size = 5 if index == 0 else 3
        x = layers.Conv2D(channels[index], size, strides, padding="same", use_bias=bias)(x)
        x = normalised(x)
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]), name="bands_to_channels")(x)
    x = normalised(layers.Conv1D(channels[3], 1, use_bias=bias)(x))
    for dilation in (1, 2, 3, 4):
        y = layers.Conv1D(channels[3], 3, padding="same", dilation_rate=dilation, use_bias=bias)(x)
        x = layers.Add()([x, normalised(y)])
    x = normalised(layers.Conv1D(channels[4], 1, use_bias=bias)(x))
    x = AttentivePooling(name="pooling")(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Dense(channels[3], activation="relu")(layers.Dropout(0.1, seed=seed)(x))
    x = layers.Dense(feature_size, dtype="float32", name="deviation")(x)
    return _around(centre, deviation, waveform, x)


def _around(centre: np.ndarray | None, deviation: float, waveform, x) -> keras.Model:
    """Ends a network: the feature is the centre plus what the network says."""
    add_centre = AddCentre(deviation, dtype="float32", name="centre")
    encoder = keras.Model(waveform, add_centre(x), name="voice_encoder")
    if centre is not None:
        add_centre.centre.assign(np.asarray(centre, "float32"))
    return encoder


def centre_of(encoder: keras.Model) -> np.ndarray:
    """Returns the mean feature that an encoder starts from, float32 of shape (feature_size,)."""
    return np.asarray(ops.convert_to_numpy(encoder.get_layer("centre").centre))


# --- the paper's network -------------------------------------------------------------------------


def paper(
    feature_size: int = FEATURE_SIZES["vggface"],
    centre: np.ndarray | None = None,
    width: float = 1.0,
    seed: int = 0,
    deviation: float = 1.0,
    batch_norm: bool = True,
    spectrogram: Mapping[str, float] | None = None,
) -> keras.Model:
    """Makes the encoder of Speech2Face: waveform (batch, 96000) -> feature (batch, feature_size).

    Nine 4x4 convolutions without padding over a spectrogram of 598 x 257 x 2. Maxima are taken
    over time only, so that frequencies, and with them formants, stay where they are; the mean
    over all that is left of time makes 57 x 512 numbers, and two fully connected layers a feature
    (table 1 of the paper). A convolution is followed by ReLU and then by batch normalisation.

    Without a GPU, a training step of 8 clips takes half a minute on two cores and 8.6 GB, if
    `session.spare_memory` was called before TensorFlow was imported, as `session.start` does.

    The paper predicts the feature itself: that is what this does without `centre` and with
    `deviation` 1. With them the network starts from the mean face, and works with numbers around 1
    whatever the feature.

    Args:
        feature_size: Length of the face feature; the paper's is 4,096.
        centre: Mean feature of the training speakers, (feature_size,); zeros if not given.
        width: Factor on the number of channels; 1 gives the paper's 148 million parameters.
        seed: Seed of the initial weights.
        deviation: Typical deviation of one number of the feature from its mean.
        batch_norm: False leaves out batch normalisation, as in the paper's ablation.
        spectrogram: What `Spectrogram` takes, such as `Settings.spectrogram`; None is the paper's.
    """
    keras.utils.set_random_seed(seed)
    waveform = keras.Input((SPEECH_SAMPLES,), name="waveform")
    x = Spectrogram(name="spectrogram", **(spectrogram or {}))(waveform)
    x = _ladder(x, feature_size, width, batch_norm, 0.9)
    return _around(centre, deviation, waveform, x)


def published(
    feature_size: int = FEATURE_SIZES["vggface"],
    centre: np.ndarray | None = None,
    width: float = 1.0,
    seed: int = 0,
    deviation: float = 1.0,
) -> keras.Model:
    """Makes the encoder as a public re-implementation in Keras has it, to compare with.

    The layers are the paper's. What goes in is not: `MagnitudePhase` where the paper has the real
    and the imaginary part. Batch normalisation has the memory that Keras gives it by default.
    See github.com/saiteja-talluri/Speech2Face, model.py and preprocess/speaker.py.

    Args:
        feature_size: Length of the face feature.
        centre: Mean feature of the training speakers; the original has none: zeros if not given.
        width: Factor on the number of channels.
        seed: Seed of the initial weights.
        deviation: Typical deviation of one number of the feature; the original has none: 1.
    """
    keras.utils.set_random_seed(seed)
    waveform = keras.Input((SPEECH_SAMPLES,), name="waveform")
    x = MagnitudePhase(name="magnitude_phase")(waveform)
    x = _ladder(x, feature_size, width, batch_norm=True, momentum=0.99)
    return _around(centre, deviation, waveform, x)


def _ladder(x, feature_size: int, width: float, batch_norm: bool, momentum: float):
    """Table 1 of Speech2Face: (batch, 598, 257, 2) -> (batch, feature_size)."""
    last = len(_PAPER_LADDER)
    for number, (channels, stride, halve) in enumerate(_PAPER_LADDER, 1):
        channels = max(4, round(width * channels))
        x = layers.Conv2D(channels, 4, stride, padding="valid", name=f"conv{number}")(x)
        if number == last:
            x = layers.AveragePooling2D((x.shape[1], 1), name="mean_over_time")(x)
        x = layers.Activation("relu", name=f"relu{number}")(x)
        if batch_norm:
            x = layers.BatchNormalization(momentum=momentum, name=f"norm{number}")(x)
        if halve:
            x = layers.MaxPooling2D((2, 1), name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    hidden = max(4, round(width * PAPER_HIDDEN))
    x = layers.Dense(hidden, activation="relu", name="fc1")(x)
    return layers.Dense(feature_size, dtype="float32", name="fc2")(x)


# --- what a network costs ------------------------------------------------------------------------


def layer_table(network: keras.Model, samples: int = SPEECH_SAMPLES) -> list[dict]:
    """Lists the layers that have weights, with what they put out and what they cost.

    Args:
        network: A voice encoder.
        samples: Length of the waveform that it hears.

    Returns:
        One dictionary a layer: `layer`, `output` (shape without the batch), `parameters`, and
        `multiplications` for one waveform, in millions.
    """
    kept = [layer for layer in network.layers if layer.count_params()]
    outputs = keras.Model(network.input, [layer.output for layer in kept])
    shapes = [
        tuple(one.shape) for one in outputs.compute_output_spec(keras.KerasTensor((1, samples)))
    ]
    return [
        {
            "layer": layer.name,
            "output": " x ".join(str(size) for size in shape[1:]),
            "parameters": layer.count_params(),
            "multiplications": round(_multiplications(layer, shape) / 1e6, 1),
        }
        for layer, shape in zip(kept, shapes, strict=True)
    ]


def paper_table(
    feature_size: int = FEATURE_SIZES["vggface"], spectrogram: Mapping[str, float] | None = None
) -> list[dict]:
    """Works out `layer_table(paper(feature_size))` without building the network: no 0.6 GB.

    Args:
        feature_size: Length of the face feature.
        spectrogram: As in `paper`.
    """
    rows = []

    def add(layer: str, output: tuple[int, ...], parameters: int, multiplications: int) -> None:
        shape = " x ".join(map(str, output))
        cost = round(multiplications / 1e6, 1)
        row = {"layer": layer, "output": shape, "parameters": parameters, "multiplications": cost}
        rows.append(row)

    heard = Spectrogram(**(spectrogram or {})).compute_output_shape((1, SPEECH_SAMPLES))
    frames, bins, before = heard[1:]
    for number, (channels, stride, halve) in enumerate(_PAPER_LADDER, 1):
        frames, bins = ((size - 4) // stride + 1 for size in (frames, bins))
        kernel, output = 4 * 4 * before * channels, (frames, bins, channels)
        add(f"conv{number}", output, kernel + channels, frames * bins * kernel)
        if number == len(_PAPER_LADDER):
            frames = 1
        add(f"norm{number}", (frames, bins, channels), 4 * channels, 0)
        frames, before = (frames // 2 if halve else frames), channels
    sizes = (bins * before, PAPER_HIDDEN, feature_size)
    for name, inputs, outputs in (("fc1", *sizes[:2]), ("fc2", *sizes[1:])):
        add(name, (outputs,), inputs * outputs + outputs, inputs * outputs)
    add("centre", (feature_size,), feature_size + 1, 0)
    return rows


def totals(tables: dict[str, list[dict]]) -> list[dict]:
    """Sums up what several networks cost.

    Args:
        tables: Name of the network -> what `layer_table` returned.

    Returns:
        One dictionary a network: `network`, `layers` (with weights), `parameters`, and
        `multiplications`, in millions.
    """
    rows = []
    for name, table in tables.items():
        row = {"network": name, "layers": len(table)}
        for key in ("parameters", "multiplications"):
            row[key] = round(sum(layer[key] for layer in table))
        rows.append(row)
    return rows


def _multiplications(layer: keras.layers.Layer, shape: tuple[int, ...]) -> int:
    """Every place of a convolution multiplies its whole kernel; other layers cost next to none."""
    kernel = getattr(layer, "kernel", None)
    return 0 if kernel is None else int(np.prod(kernel.shape) * np.prod(shape[1:-1], dtype=int))


# --- loading -------------------------------------------------------------------------------------


def load(path: Path | str) -> keras.Model:
    """Loads an encoder that takes a waveform: 16 kHz mono, -1 to 1, (batch, samples).

    Raises:
        FileNotFoundError: The file is not there.
        BadWeights: It is no voice encoder, or damaged.
    """
    return weights.load(path, "voice encoder", "04_voice_encoder", (None, None), (None, None))


def released(features: str = "dlib") -> keras.Model:
    """Loads the released voice encoder.

    Args:
        features: Kind of face feature that it should predict.

    Raises:
        WrongFeatures: The released encoder predicts features of another kind.
    """
    encoder = load(pretrained.VOICE_ENCODER)
    weights.check_features(encoder, features)
    return encoder
