"""Layers of the voice encoders that Keras does not have."""

from __future__ import annotations

import keras
from keras import layers, ops

from helpers.spectrogram import Spectrogram


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


@keras.saving.register_keras_serializable(package="speech2face")
class MagnitudePhase(Spectrogram):
    """Compressed magnitude and plain phase: waveform (batch, samples) -> (batch, frames, 257, 2).

    Not the paper's spectrogram: earlier re-implementations took it for that. The magnitude is
    raised to 0.3, the phase, -pi to pi, stays as it is. Phase jumps from pi to -pi, and turns with
    the place of the window: half of what the network hears is close to noise.

    Args:
        power: Exponent of the magnitude.
    """

    def call(self, waveform):
        """Returns magnitude and phase, float32."""
        real, imaginary = self.spectrum(waveform)
        power = ops.square(real) + ops.square(imaginary)
        magnitude = ops.power(power, self.power / 2)
        return ops.stack([magnitude, ops.arctan2(imaginary, real)], axis=-1)
