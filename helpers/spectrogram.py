"""From a clip to the waveform that the voice encoder hears, and to its spectrograms.

The waveform is stored and the spectrogram is a layer, so that a saved network takes a waveform.
`Spectrogram` is the one of Speech2Face (section 3); `LogMel` is the one of the compact network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import pyarrow as pa
from keras import ops

from helpers import media
from helpers.settings import (
    FFT_POINTS,
    HOP_SAMPLES,
    POWER,
    SAMPLE_RATE,
    SPEECH_SAMPLES,
    SPEECH_SECONDS,
    WINDOW_SAMPLES,
    Settings,
)

SHORTEST_SOUND_SECONDS = 0.5
"""A clip with less sound than this is rejected."""
SILENCE_DBFS = -60.0
"""Sound below this level, in decibels below full scale, is silence."""
SOUND_RANGE_DB = 40.0
"""Sound this much below the loudest part of a clip is a pause."""
LOWEST_PITCH_HZ = 60.0
HIGHEST_PITCH_HZ = 400.0
PERIODICITY = 0.5
"""A frame whose autocorrelation at the period is lower than this is unvoiced."""

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("speaker_id", pa.string()),
        ("split", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("waveform", pa.binary()),
        ("speech_s", pa.float64()),
        ("level", pa.float64()),
        ("peak", pa.float64()),
    ]
)
"""Columns of the `speech` table. `waveform` is int16, 16 kHz mono, 6 s; `level` is in dBFS."""


def hann(samples: int) -> np.ndarray:
    """Returns the periodic Hann window, float32 of shape (samples,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype("float32")


def power_law(spectrum, power: float = POWER):
    """Compresses a spectrum: sgn(S) |S|^0.3, on real and imaginary parts separately.

    Quiet parts come up and loud parts down, as in the ear, and the sign keeps the phase.

    Args:
        spectrum: Real array or tensor of any shape.
        power: Exponent; 1 changes nothing.
    """
    return ops.sign(spectrum) * ops.power(ops.abs(spectrum), power)


@keras.saving.register_keras_serializable(package="speech2face")
class Spectrogram(keras.layers.Layer):
    """Speech2Face's spectrogram: waveform (batch, samples) -> (batch, frames, 257, 2).

    Each frame is one 400-sample window, so that 6 s give 1 + (96000 - 400) // 160 = 598 frames.
    Libraries that put the window in the middle of 512 samples give 597.

    Args:
        power: Exponent of the power law; 1 gives the plain spectrum.
        window: Samples of the Hann window.
        hop: Samples from one window to the next.
        fft_points: Points of the Fourier transform.
    """

    def __init__(
        self,
        power: float = POWER,
        window: int = WINDOW_SAMPLES,
        hop: int = HOP_SAMPLES,
        fft_points: int = FFT_POINTS,
        **kwargs,
    ) -> None:
        kwargs["dtype"] = "float32"  # There is no Fourier transform in half precision.
        super().__init__(**kwargs)
        self.power, self.hop, self.fft_points = power, hop, fft_points
        self.window = hann(window)

    def call(self, waveform):
        """Returns the compressed real and imaginary parts, float32."""
        return power_law(ops.stack(self.spectrum(waveform), axis=-1), self.power)

    def spectrum(self, waveform):
        """Returns real and imaginary part of each window, (batch, frames, 257) each."""
        frames = ops.extract_sequences(waveform, len(self.window), self.hop)
        return ops.rfft(frames * self.window, fft_length=self.fft_points)

    def compute_output_shape(self, input_shape):
        """Returns (batch, frames, 257, 2)."""
        frames = _frames(input_shape[1], len(self.window), self.hop)
        return (input_shape[0], frames, self.fft_points // 2 + 1, 2)

    def get_config(self):
        """Returns what is needed to make the layer again."""
        sizes = {"window": len(self.window), "hop": self.hop, "fft_points": self.fft_points}
        return {**super().get_config(), "power": self.power, **sizes}


def spectrogram_numpy(waveform: np.ndarray, power: float = POWER) -> np.ndarray:
    """Computes what `Spectrogram` computes, for one waveform, in NumPy.

    Args:
        waveform: Float array of shape (samples,), -1 to 1.
        power: Exponent of the power law.

    Returns:
        Float32 array of shape (frames, 257, 2).
    """
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(frames * hann(WINDOW_SAMPLES), n=FFT_POINTS)
    parts = np.stack([spectrum.real, spectrum.imag], axis=-1)
    return (np.sign(parts) * np.abs(parts) ** power).astype("float32")


def mel_filters(bands: int, fft_points: int, lowest_hz: float, highest_hz: float) -> np.ndarray:
    """Returns triangular mel filters of equal area, float32 of shape (fft_points // 2 + 1, bands).

    The mel scale is 2595 log10(1 + f / 700), so that bands are narrow enough at low frequencies
    to tell harmonics apart.
    """
    mels = np.linspace(*(2595 * np.log10(1 + np.array([lowest_hz, highest_hz]) / 700)), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(fft_points // 2 + 1) * SAMPLE_RATE / fft_points
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rise, fall))
    return (triangles / triangles.sum(axis=0)).astype("float32")


@keras.saving.register_keras_serializable(package="speech2face")
class LogMel(keras.layers.Layer):
    """Log-mel spectrogram: waveform (batch, samples) -> (batch, frames, bands).

    The window is long (64 ms), so that the harmonics of a voice, and with them its fundamental
    frequency, stay apart. Values are natural logarithms of power relative to the mean power of the
    clip, with a soft floor, so that the level of the recording does not matter.

    Args:
        bands: Mel bands.
        window: Samples of the Hann window, also points of the Fourier transform.
        hop: Samples from one frame to the next.
        lowest_hz: Lower edge of the first band.
        highest_hz: Upper edge of the last band.
        floor: Power, relative to the clip's mean, at which the soft floor lies.
        remove_channel: Whether to apply `RemoveChannel` as well.
    """

    def __init__(
        self,
        bands: int = 96,
        window: int = 1024,
        hop: int = 320,
        lowest_hz: float = 50.0,
        highest_hz: float = 7600.0,
        floor: float = 1e-5,
        remove_channel: bool = True,
        **kwargs,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.config = {
            "bands": bands,
            "window": window,
            "hop": hop,
            "lowest_hz": lowest_hz,
            "highest_hz": highest_hz,
            "floor": floor,
            "remove_channel": remove_channel,
        }
        self.window = hann(window)
        self.filters = mel_filters(bands, window, lowest_hz, highest_hz)

    def call(self, waveform):
        """Returns the log-mel spectrogram, float32."""
        size = self.config["window"]
        frames = ops.extract_sequences(waveform, size, self.config["hop"])
        real, imaginary = ops.rfft(frames * self.window, fft_length=size)
        power = ops.matmul(ops.square(real) + ops.square(imaginary), self.filters)
        mean = ops.mean(power, axis=(1, 2), keepdims=True)
        log_mel = ops.log(power / (mean + 1e-12) + self.config["floor"])
        return without_channel(log_mel) if self.config["remove_channel"] else log_mel

    def compute_output_shape(self, input_shape):
        """Returns (batch, frames, bands)."""
        frames = _frames(input_shape[1], self.config["window"], self.config["hop"])
        return (input_shape[0], frames, self.config["bands"])

    def get_config(self):
        """Returns what is needed to make the layer again."""
        return {**super().get_config(), **self.config}


def without_channel(log_mel, smoothing: float = 8.0):
    """Removes the smoothed mean spectrum, and with it the level, from log-mel spectrograms.

    A microphone or a line multiplies each frequency by a constant, which adds a constant to its
    logarithm; subtracting the mean over time takes it away. Microphones change slowly over
    frequency and the harmonics of a voice fast, so the mean is smoothed over frequency first, and
    harmonics stay. Loud frames count more, so that the mean is that of the voice and not that of
    the pauses.

    Args:
        log_mel: Tensor of shape (batch, frames, bands), natural logarithms of power.
        smoothing: Standard deviation of the smoothing, in bands; 0 removes the mean as it is.
    """
    loudness = ops.exp(0.3 * ops.max(log_mel, axis=2, keepdims=True))
    weights = loudness / ops.sum(loudness, axis=1, keepdims=True)
    mean = ops.sum(weights * log_mel, axis=1, keepdims=True)
    if smoothing:
        bands = np.arange(log_mel.shape[2])
        bell = np.exp(-(((bands[:, None] - bands) / smoothing) ** 2) / 2)
        mean = ops.matmul(mean, (bell / bell.sum(axis=0)).astype("float32"))
    return log_mel - mean


@keras.saving.register_keras_serializable(package="speech2face")
class RemoveChannel(keras.layers.Layer):
    """Takes the microphone out of a log-mel spectrogram; see `without_channel`.

    Args:
        smoothing: Standard deviation of the smoothing, in bands.
    """

    def __init__(self, smoothing: float = 8.0, **kwargs) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, log_mel):
        """Returns a tensor of the same shape, (batch, frames, bands)."""
        return without_channel(log_mel, self.smoothing)

    def get_config(self):
        """Returns what is needed to make the layer again."""
        return {**super().get_config(), "smoothing": self.smoothing}


def fundamental_frequency(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follows the fundamental frequency of a voice, with librosa's YIN.

    YIN gives a frequency for every frame; frames that are quiet, aperiodic or jump are called
    unvoiced here. That takes 20 ms for 6 s, pYIN 330 ms; on LibriSpeech 99 % of the frequencies
    agree within 5 %.

    Args:
        waveform: Float array of shape (samples,), 16 kHz, -1 to 1.

    Returns:
        Times in seconds and frequencies in hertz, float arrays of the same shape (frames,), one
        frame every 10 ms; NaN where there is no voice.
    """
    import librosa

    size, hop = 1024, HOP_SAMPLES
    waveform = np.asarray(waveform, dtype="float32")
    if len(waveform) < size:
        return np.zeros(0), np.zeros(0)
    hz = librosa.yin(
        waveform,
        fmin=LOWEST_PITCH_HZ,
        fmax=HIGHEST_PITCH_HZ,
        sr=SAMPLE_RATE,
        frame_length=size,
        hop_length=hop,
        center=False,
    )
    frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop][: len(hz)]
    times = (np.arange(len(hz)) * hop + size / 2) / SAMPLE_RATE
    level = decibels(np.sqrt(np.mean(frames**2, axis=1)))
    loud = level > max(SILENCE_DBFS, level.max() - SOUND_RANGE_DB + 10)
    step = np.abs(np.diff(np.log2(hz)))
    smooth = np.minimum(np.append(step, 1), np.append(1, step)) < 1 / 12
    voiced = loud & smooth & (_periodicity(frames, SAMPLE_RATE / hz) > PERIODICITY)
    return times, np.where(voiced, hz, np.nan)


def decibels(amplitude):
    """Converts an amplitude (full scale is 1) to dBFS; silence is -120."""
    return 20 * np.log10(np.maximum(amplitude, 1e-6))


def six_seconds(waveform: np.ndarray) -> np.ndarray:
    """Returns the first 6 s of a waveform; a shorter one is repeated until it fills them.

    Args:
        waveform: Array of shape (samples,), 16 kHz.

    Returns:
        Array of shape (96000,).

    Raises:
        ValueError: The waveform is empty.
    """
    if not len(waveform):
        raise ValueError("The waveform is empty: there is nothing to repeat.")
    return np.resize(waveform[:SPEECH_SAMPLES], SPEECH_SAMPLES)


def seconds_of_sound(waveform: np.ndarray) -> float:
    """Returns how many seconds of a 16 kHz waveform are neither silence nor pause."""
    size = SAMPLE_RATE // 50
    whole = math.ceil(len(waveform) / size) * size
    frames = np.resize(np.append(waveform, np.zeros(whole - len(waveform))), (whole // size, size))
    level = decibels(np.sqrt(np.mean(frames**2, axis=1)))
    sound = level > max(SILENCE_DBFS, level.max(initial=-120) - SOUND_RANGE_DB)
    return float(np.sum(sound) * size / SAMPLE_RATE)


def speech_of_clip(row: Mapping) -> dict:
    """Turns one row of the `clips` table into one row of the `speech` table.

    Args:
        row: A row with clip_id, speaker_id, split, status, reason and video (bytes).

    Returns:
        A row as in `SCHEMA`. A clip that was not `ok` keeps its status and reason; one without
        enough sound is `rejected` with a plain reason.
    """
    speech = {name: row[name] for name in ("clip_id", "speaker_id", "split", "status", "reason")}
    speech |= {"waveform": None, "speech_s": 0.0, "level": None, "peak": None}
    if row["status"] != "ok":
        return speech
    try:
        waveform = media.read_audio(row["video"], seconds=SPEECH_SECONDS)
    except media.MediaError as error:
        return speech | {"status": "rejected", "reason": error.reason}
    level = float(decibels(np.sqrt(np.mean(waveform**2)))) if len(waveform) else -120.0
    peak = float(np.abs(waveform).max(initial=0))
    sound = seconds_of_sound(waveform)
    speech |= {"speech_s": sound, "level": level, "peak": peak}
    if decibels(peak) < SILENCE_DBFS:
        return speech | {"status": "rejected", "reason": "The sound track is silent."}
    if sound < SHORTEST_SOUND_SECONDS:
        reason = f"Only {sound:.1f} s of sound; {SHORTEST_SOUND_SECONDS} s are needed."
        return speech | {"status": "rejected", "reason": reason}
    return speech | {"waveform": media.to_int16(six_seconds(waveform)).tobytes()}


def build_speech(session):
    """Makes the `speech` table from the `clips` table, shard by shard.

    Args:
        session: The session of the run.

    Returns:
        The table's report: rows made, kept and all.
    """
    workspace = session.workspace
    clips = workspace.require("clips")
    columns = ["clip_id", "speaker_id", "split", "status", "reason", "video"]
    report = workspace.table("speech").build_from(clips, speech_of_shard, SCHEMA, columns)
    workspace.drop_clips()
    return report


def speech_of_shard(rows: Sequence[Mapping], settings: Settings) -> list[dict]:
    """Makes the rows of the `speech` table of a shard of clips; no setting shapes them."""
    return [speech_of_clip(row) for row in rows]


def _frames(samples: int | None, window: int, hop: int) -> int | None:
    return None if samples is None else 1 + (samples - window) // hop


def _periodicity(frames: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Returns each frame's correlation with itself one period later, -1 to 1."""
    size = frames.shape[1]
    lags = np.round(periods).astype(int)
    later = np.minimum(np.arange(size) + lags[:, None], size - 1)
    kept = np.arange(size) + lags[:, None] < size
    one, other = frames * kept, np.take_along_axis(frames, later, axis=1) * kept
    power = np.sqrt(np.sum(one**2, axis=1) * np.sum(other**2, axis=1))
    return np.sum(one * other, axis=1) / np.maximum(power, 1e-9)
