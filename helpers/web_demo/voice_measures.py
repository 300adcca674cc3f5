"""What a recording sounds like in a few numbers: is it a voice, and is it one like those known?

Nothing here knows of networks. The numbers are spectrogram statistics, so they mean the same
whichever encoder is in use.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft

from helpers.archipelago import phonetics
from helpers.settings import SAMPLE_RATE

PITCH_NAMES = ("pitch", "pitch range", "voiced share", "glide")
SPECTRUM_NAMES = tuple(f"spectrum {number}" for number in range(1, 9))
MOVEMENT_NAMES = tuple(f"movement {number}" for number in range(6))
RHYTHM_NAMES = ("syllables", "pauses")
PHONETIC_NAMES = (
    *("first", "second", "third", "tract_length"),
    *("harmonicity", "prominence", "tilt"),
)
NAMES = (*PITCH_NAMES, *SPECTRUM_NAMES, *MOVEMENT_NAMES, *RHYTHM_NAMES, *PHONETIC_NAMES)
"""What the numbers of `measure` are, in order."""

_WINDOW, _HOP = 512, 160
_BANDS = 40
_FRAMES_PER_SECOND = SAMPLE_RATE // _HOP


def measure(waveform: np.ndarray) -> np.ndarray:
    """Measures a recording.

    Args:
        waveform: Float array (samples,) at 16 kHz, a second or more, half of it not silent.

    Returns:
        float64 (27,), in the order of `NAMES`: median fundamental frequency in semitones above
        100 Hz and its spread in semitones; share of the sounding time that is voiced; how fast
        the pitch glides, in semitones a second; shape of the mean log spectrum and how much it
        moves, both as cepstral coefficients; share of the loudness movement that is at the pace
        of syllables (2 to 9 Hz); share of the time that is pause; and what `phonetics.Voice` calls
        so. NaN where nothing is voiced.
    """
    log_mel, loud = _log_mel(waveform)
    cepstrum = scipy.fft.dct(log_mel, axis=1, norm="ortho")
    spectrum = cepstrum[loud].mean(axis=0)[1:9]
    movement = cepstrum[loud].std(axis=0)[:6]
    rhythm = [_syllables(log_mel), 1 - loud.mean()]
    return np.concatenate(
        [_pitch(waveform, loud), spectrum, movement, rhythm, _phonetics(waveform)]
    )


def _phonetics(waveform: np.ndarray) -> list[float]:
    try:
        voice = phonetics.measure(waveform)
    except ValueError:  # Nothing is voiced, or there are no formants.
        return [np.nan] * len(PHONETIC_NAMES)
    return [getattr(voice, name) for name in PHONETIC_NAMES]


def _log_mel(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the log-mel spectrogram, (frames, 40), and which of its frames are no pause."""
    from helpers import spectrogram

    frames = np.lib.stride_tricks.sliding_window_view(waveform, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * spectrogram.hann(_WINDOW))) ** 2 @ _filters()
    level = 10 * np.log10(power.mean(axis=1) + 1e-12)
    loud = level > max(level.max() - 30, -90)
    return np.log(power + 1e-6 * power[loud].mean() + 1e-12), loud


@functools.cache
def _filters() -> np.ndarray:
    from helpers import spectrogram

    return spectrogram.mel_filters(_BANDS, _WINDOW, 80.0, 7000.0)


def _pitch(waveform: np.ndarray, loud: np.ndarray) -> list[float]:
    from helpers import spectrogram

    hertz = spectrogram.fundamental_frequency(waveform)[1]
    # At the ends of the range the search has found something else, such as the hum of the mains.
    low, high = 1.04 * spectrogram.LOWEST_PITCH_HZ, 0.99 * spectrogram.HIGHEST_PITCH_HZ
    hertz[(hertz < low) | (hertz > high)] = np.nan
    voiced = np.isfinite(hertz)
    share = voiced.sum() / max(1, loud.sum())
    if voiced.sum() < 10:
        return [np.nan, np.nan, share, np.nan]
    semitones = 12 * np.log2(hertz / 100)
    steps = np.abs(np.diff(semitones))
    glide = np.median(steps[np.isfinite(steps)]) if np.isfinite(steps).any() else np.nan
    spread = np.subtract(*np.nanquantile(semitones, (0.84, 0.16))) / 2
    return [np.nanmedian(semitones), spread, share, glide * _FRAMES_PER_SECOND]


def _syllables(log_mel: np.ndarray) -> float:
    """Returns which share of the movement below 20 Hz lies between 2 and 9 Hz."""
    movement = np.abs(np.fft.rfft(log_mel - log_mel.mean(axis=0), axis=0)) ** 2
    hertz = np.fft.rfftfreq(len(log_mel), 1 / _FRAMES_PER_SECOND)
    power = movement.sum(axis=1)
    near = power[(hertz >= 2) & (hertz <= 9)].sum()
    return float(near / (power[(hertz > 0.3) & (hertz <= 20)].sum() + 1e-12))


def why_no_voice(measures: np.ndarray) -> str:
    """Says why a recording does not hold one person's speech.

    In speech some of the sound is voiced, its pitch glides all the time, its spectrum moves from
    sound to sound, and there are pauses. Music and noise lack one of these altogether, or three of
    them to a good part. With the numbers below 85 % of 97 pieces of game music and effects were
    refused, of 60 recordings of people and 900 of islanders none. Noise that fills the pauses can
    make it wrong: later one of 240 recordings of the bundled islanders was refused.

    Args:
        measures: What `measure` returned.

    Returns:
        A sentence; empty where it may be speech.
    """
    said = dict(zip(NAMES, measures, strict=True))
    movement = sum(said[f"movement {number}"] for number in range(1, 5))
    if not said["voiced share"] >= 0.2:
        return "There is hardly any voice in it: it may be noise, or a whisper."
    if not said["glide"] >= 1.5:
        return "Its tones stand still as in music; the pitch of a voice that speaks glides."
    doubts = (
        said["voiced share"] < 0.35,
        said["glide"] < 3.0,
        movement < 8.5,
        said["pauses"] < 0.03,
        said["pitch range"] > 9.0,
    )
    if movement < 6.0 or sum(doubts) >= 3:
        return "This does not sound like one person who speaks: it may be music or noise."
    return ""
