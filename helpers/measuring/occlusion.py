"""Which part of the sound a prediction rests on: hide a patch of it, and see the face move.

After Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", who moved a
grey square over a picture. Here the square moves over time and frequency. A patch is hidden by
making it as quiet as the pauses of the same recording, and the sound is put together again, so
that any network that takes a waveform can be asked.

What such a map shows is what *this network* uses for *this voice*. A hole in a voice is itself
something that the network has hardly heard in training, and where two places say the same thing,
hiding one of them changes little.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import demo
from helpers.settings import FFT_POINTS, HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES

if TYPE_CHECKING:
    import keras

BANDS = (0, 250, 500, 1000, 1500, 2200, 3200, 4700, 8000)
"""Edges in Hz of the bands that are hidden: about as wide as the ear hears them."""
_PAUSE = 10
"""Percentile of a frequency's level over time that stands for the pauses."""


@dataclasses.dataclass(frozen=True)
class Occlusion:
    """What hiding each patch of a voice does to the predicted face.

    Attributes:
        times: Edges of the patches in seconds, (t + 1,).
        bands: Edges of the patches in Hz, (b + 1,).
        moved: Distance between the features predicted with and without the patch, as a share of
            the distance from the mean face, (b, t).
        towards_male: Shift along the line from women's mean face to men's, in per cent of the
            length of that line, (b, t): above 0 the face looks more male without the patch.
            None where there is no line.
    """

    times: np.ndarray
    bands: np.ndarray
    moved: np.ndarray
    towards_male: np.ndarray | None


def occlude(
    encoder: keras.Model,
    waveform: np.ndarray,
    line: np.ndarray | None = None,
    bands: Sequence[float] = BANDS,
    seconds: float = 0.5,
) -> Occlusion:
    """Hides each patch of a voice in turn.

    Args:
        encoder: Waveform -> feature.
        waveform: The voice, (samples,), 16 kHz.
        line: From women's mean feature to men's, (d,), as `sex_line` gives it; None
            leaves the shift along it out.
        bands: Edges of the bands in Hz, rising.
        seconds: Width of a patch.
    """
    bands, whole = np.asarray(bands, float), len(waveform) / SAMPLE_RATE
    times = np.linspace(0, whole, max(1, round(whole / seconds)) + 1)
    patches = [
        (start, end, low, high)
        for low, high in zip(bands, bands[1:], strict=False)
        for start, end in zip(times, times[1:], strict=False)
    ]
    moves = _moves(encoder, waveform, patches)
    shape = (len(bands) - 1, len(times) - 1)
    return Occlusion(
        times=times,
        bands=bands,
        moved=np.linalg.norm(moves, axis=1).reshape(shape) / _distance(encoder, waveform),
        towards_male=None if line is None else 100 * (moves @ line / (line @ line)).reshape(shape),
    )


def bands_hidden(
    encoder: keras.Model, waveforms: Sequence[np.ndarray], bands: Sequence[float] = BANDS
) -> np.ndarray:
    """Hides each band of frequencies of each voice, all the time.

    Args:
        encoder: Waveform -> feature.
        waveforms: The voices, (samples,) each, 16 kHz.
        bands: Edges of the bands in Hz, rising.

    Returns:
        (n, bands): how far the predicted feature moves, as a share of its distance from the mean
        face.
    """
    shares = np.empty((len(waveforms), len(bands) - 1))
    for row, waveform in enumerate(waveforms):
        end = len(waveform) / SAMPLE_RATE
        patches = [(0, end, low, high) for low, high in zip(bands, bands[1:], strict=False)]
        moved = np.linalg.norm(_moves(encoder, waveform, patches), axis=1)
        shares[row] = moved / _distance(encoder, waveform)
    return shares


def sex_line(features: np.ndarray, sex: Sequence[str]) -> np.ndarray:
    """Returns the line from women's mean feature to men's, (d,).

    Args:
        features: (n, d), of true faces or predicted from voices.
        sex: `F` or `M`, (n,); others are left out.

    Raises:
        ValueError: One of the sexes is missing.
    """
    sex = np.asarray(sex)
    if not {"F", "M"} <= set(sex):
        raise ValueError("The line between the sexes needs a face of each; one sex is missing.")
    return features[sex == "M"].mean(axis=0) - features[sex == "F"].mean(axis=0)


def _moves(encoder: keras.Model, waveform: np.ndarray, patches: Sequence[tuple]) -> np.ndarray:
    """How the predicted feature changes when each patch is hidden, (patches, d)."""
    predicted = demo.predict(encoder, hide(waveform, [(), *patches]))
    return predicted[1:] - predicted[0]


def _distance(encoder: keras.Model, waveform: np.ndarray) -> float:
    whole = demo.predict(encoder, np.asarray(waveform, np.float32)[None])[0]
    return max(float(np.linalg.norm(whole - demo.centre(encoder))), 1e-6)


def hide(waveform: np.ndarray, patches: Sequence[tuple]) -> np.ndarray:
    """Makes patches of time and frequency, one at a time, as quiet as the recording's pauses.

    Args:
        waveform: (samples,), 16 kHz.
        patches: From and to in seconds, from and to in Hz each; an empty one hides nothing.

    Returns:
        float32 (patches, samples).
    """
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    waveform = np.asarray(waveform, np.float64)
    window = hann(WINDOW_SAMPLES, sym=False)
    transform = ShortTimeFFT(window, HOP_SAMPLES, SAMPLE_RATE, mfft=FFT_POINTS)
    spectrum = transform.stft(waveform)
    level = np.abs(spectrum)
    pause = np.percentile(level, _PAUSE, axis=1, keepdims=True)
    quiet = spectrum * np.minimum(1, pause / np.maximum(level, 1e-12))
    hertz, seconds = transform.f, transform.t(len(waveform))
    made = np.empty((len(patches), len(waveform)), np.float32)
    for row, patch in enumerate(patches):
        changed = spectrum.copy()
        if patch:
            start, end, low, high = patch
            # The last band takes in its upper edge, so that nothing is left at 8,000 Hz.
            top = hertz <= high if high >= SAMPLE_RATE / 2 else hertz < high
            rows = (hertz >= low) & top
            place = np.ix_(rows, (seconds >= start) & (seconds < end))
            changed[place] = quiet[place]
        made[row] = transform.istft(changed, k1=len(waveform))
    return made
