"""dlib's recognition network in Keras: the same numbers, many faces at once, and gradients.

Its weights are read from dlib's own file, which comes inside the `face_recognition_models` wheel.
It describes the faces of notebook 02, and is the teacher of the small network in
`training.face_network`.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops

from helpers import face_features

CHIP_SIZE = 150
"""Side of the face that the network looks at, in pixels."""
_COLOUR_MEAN = (122.782, 117.001, 104.298)
_TENSOR = b"\x01\x02"
"""What dlib writes before a tensor: its version, 2, as an integer of one byte."""
_LEVELS = ((64, 4), (128, 3), (256, 3), (256, 1))
"""Channels and residual blocks of each level after the first."""


def recognition_network() -> keras.Model:
    """Builds ResNet-29 as in dlib's example `dnn_face_recognition_ex.cpp`, with its weights.

    Returns:
        chip (batch, 150, 150, 3) RGB, 0 to 255 -> descriptor (batch, 128).

    Raises:
        helpers.weights.MissingModel: The wheel is not installed.
    """
    tensors = _tensors()
    chip = keras.Input((CHIP_SIZE, CHIP_SIZE, 3), name="chip")
    offset = [-value / 256 for value in _COLOUR_MEAN]
    x = layers.Rescaling(1 / 256, offset)(chip)
    x = layers.MaxPooling2D(3, 2)(layers.ReLU()(_convolution(x, tensors, 32, 7, 2)))
    for _ in range(3):
        x = _block(x, tensors, 32, 1)
    for count, blocks in _LEVELS:
        for index in range(blocks):
            x = _block(x, tensors, count, 1 if index else 2)
    dense = layers.Dense(128, use_bias=False, name="descriptor")
    descriptor = dense(layers.GlobalAveragePooling2D()(x))
    dense.set_weights([next(tensors).reshape(256, 128)])
    return keras.Model(chip, descriptor, name="dlib_network")


def _tensors() -> Iterator[np.ndarray]:
    """Yields the weights in dlib's file, from the picture to the descriptor.

    An integer is a byte with its length and then its bytes. A tensor is its version, four
    integers for its shape, and its numbers. All else in the file is passed over.
    """
    name = "dlib_face_recognition_resnet_model_v1.dat"
    data = (face_features.models_folder() / name).read_bytes()
    place = data.find(_TENSOR)
    while place >= 0:
        start, shape = place + len(_TENSOR), []
        while len(shape) < 4 and start < len(data) and 1 <= data[start] <= 8:
            end = start + 1 + data[start]
            shape.append(int.from_bytes(data[start + 1 : end], "little"))
            start = end
        size = int(np.prod(shape)) if len(shape) == 4 and shape[2:] == [1, 1] else 0
        if size >= 64 and start + 4 * size <= len(data):
            yield np.frombuffer(data, "<f4", size, start)
            place = start + 4 * size - 1
        place = data.find(_TENSOR, place + 1)


def _convolution(x, tensors: Iterator[np.ndarray], count: int, size: int, strides: int):
    """A convolution and the scaling that follows it, in one layer."""
    kernel, scale = next(tensors), next(tensors)
    kernel, bias = kernel[:-count], kernel[-count:]
    kernel = kernel.reshape(count, x.shape[-1], size, size).transpose(2, 3, 1, 0)
    gamma, beta = scale[:count], scale[count:]
    padding = "same" if strides == 1 else "valid"
    layer = layers.Conv2D(count, size, strides, padding)
    y = layer(x)
    layer.set_weights([kernel * gamma, bias * gamma + beta])
    return y


def _block(x, tensors: Iterator[np.ndarray], count: int, strides: int):
    """Two convolutions beside a short cut; what one of the two lacks in size is zeros."""
    y = layers.ReLU()(_convolution(x, tensors, count, 3, strides))
    y = _convolution(y, tensors, count, 3, 1)
    short = x if strides == 1 else layers.AveragePooling2D(2)(x)
    side = max(y.shape[1], short.shape[1])
    return layers.ReLU()(layers.Add()([_Fill(side, count)(y), _Fill(side, count)(short)]))


class _Fill(layers.Layer):
    """Adds zeros below, at the right and behind, up to a side and a number of channels."""

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.side, self.channels = side, channels

    def call(self, maps):
        _, height, width, channels = maps.shape
        missing = (self.side - height, self.side - width, self.channels - channels)
        return ops.pad(maps, [(0, 0), *((0, count) for count in missing)])
