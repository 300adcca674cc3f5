"""What training does to log-mel spectrograms so that the network learns voices, not recordings.

Both layers do nothing outside training. They work on log-mel spectrograms, where a microphone is
an addition and noise a sum of powers, because that costs a hundredth of filtering waveforms.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops, random

NEPERS_PER_DECIBEL = float(np.log(10) / 10)
"""Natural logarithm of power for one decibel."""


@keras.saving.register_keras_serializable(package="speech2face")
class DistortSpectrum(keras.layers.Layer):
    """Another microphone, another line, other noise: (batch, frames, bands) -> the same shape.

    Each clip gets a smooth random frequency response, sometimes the narrow band of a telephone,
    and noise of random level and colour. The level of the clip is not varied: `LogMel` has already
    taken it out.

    Args:
        response_db: Standard deviation of the frequency response, in decibels.
        noise_db: Range of the signal-to-noise ratio, in decibels.
        narrow_share: Share of clips that lose everything above a random band.
        seed: Seed of everything random.
    """

    def __init__(
        self,
        response_db: float = 6.0,
        noise_db: tuple[float, float] = (5.0, 45.0),
        narrow_share: float = 0.1,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.config = {
            "response_db": response_db,
            "noise_db": tuple(noise_db),
            "narrow_share": narrow_share,
            "seed": seed,
        }
        self.seed_generator = random.SeedGenerator(seed)

    def call(self, log_mel, training=None):
        """Returns the distorted log-mel spectrogram; the given one outside training."""
        if not training:
            return log_mel
        bands = log_mel.shape[2]
        position = np.linspace(-1, 1, bands, dtype="float32")
        log_mel = log_mel + self._response(log_mel, position)
        return ops.logaddexp(log_mel, self._noise(log_mel, position))

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return input_shape

    def get_config(self):
        """Returns what is needed to make the layer again."""
        return {**super().get_config(), **self.config}

    def _response(self, log_mel, position: np.ndarray):
        """Returns a frequency response for each clip, (batch, 1, bands)."""
        batch = ops.shape(log_mel)[0]
        waves = np.stack([np.cos(np.pi * k * (position + 1) / 2) / k for k in range(1, 7)])
        amplitude = random.normal((batch, 1, len(waves)), seed=self.seed_generator)
        size = self.config["response_db"] * NEPERS_PER_DECIBEL
        response = size * ops.matmul(amplitude, waves.astype("float32"))
        edge = random.uniform((batch, 1, 1), 0.35, 1.0, seed=self.seed_generator)
        chosen = random.uniform((batch, 1, 1), seed=self.seed_generator)
        narrow = ops.logical_and(chosen < self.config["narrow_share"], position > edge)
        return response - 40 * NEPERS_PER_DECIBEL * ops.cast(narrow, "float32")

    def _noise(self, log_mel, position: np.ndarray):
        """Returns the noise's log-mel spectrogram, (batch, frames, bands)."""
        batch = ops.shape(log_mel)[0]
        ratio = random.uniform((batch, 1, 1), *self.config["noise_db"], seed=self.seed_generator)
        # White noise is level over frequency, pink noise falls by 3 dB an octave. From the lowest
        # to the highest band there are some seven octaves.
        slope = random.uniform((batch, 1, 1), -2.5, 0.5, seed=self.seed_generator)
        speech = ops.log(ops.mean(ops.exp(log_mel), axis=(1, 2), keepdims=True))
        flicker = random.normal(ops.shape(log_mel), stddev=0.8, seed=self.seed_generator)
        return speech - ratio * NEPERS_PER_DECIBEL + slope * position + flicker


@keras.saving.register_keras_serializable(package="speech2face")
class MaskSpectrum(keras.layers.Layer):
    """Hides random bands and stretches of time, as SpecAugment does (Park et al. 2019).

    Args:
        masks: Masks on each axis.
        share: Largest share of an axis that one mask hides.
        seed: Seed of everything random.
    """

    def __init__(self, masks: int = 2, share: float = 0.1, seed: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.masks, self.share, self.seed = masks, share, seed
        self.seed_generator = random.SeedGenerator(seed)

    def call(self, spectrum, training=None):
        """Returns the spectrum with zeros in the masks; the given one outside training."""
        if not training:
            return spectrum
        batch, frames, bands = ops.shape(spectrum)
        for _ in range(self.masks):
            spectrum = spectrum * ops.expand_dims(self._kept(batch, frames), 2)
            spectrum = spectrum * ops.expand_dims(self._kept(batch, bands), 1)
        return spectrum

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return input_shape

    def get_config(self):
        """Returns what is needed to make the layer again."""
        mine = {"masks": self.masks, "share": self.share, "seed": self.seed}
        return {**super().get_config(), **mine}

    def _kept(self, batch, size):
        position = ops.cast(ops.arange(size), "float32") / ops.cast(size, "float32")
        width = random.uniform((batch, 1), 0, self.share, seed=self.seed_generator)
        start = random.uniform((batch, 1), seed=self.seed_generator) * (1 - width)
        hidden = ops.logical_and(position >= start, position < start + width)
        return 1 - ops.cast(hidden, self.compute_dtype)
