"""Source and filter: plain speech on one note becomes the speech of one person.

The envelope of the plain speech is measured frame by frame, bent to the person's vocal tract and
excited anew by that person's glottal pulses and breath (after Kawahara, Masuda-Katsuse and de
Cheveigné 1999, Speech Communication 27, 187-207). The plain speech stands on one known note, which
makes the measuring exact and quick.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.lib.stride_tricks import sliding_window_view

from helpers.archipelago.melody import FRAME
from helpers.archipelago.speech_synthesis import ESPEAK_RATE, MONOTONE
from helpers.settings import SAMPLE_RATE

PLAIN_LENGTH = 17.0
"""Length in cm of the vocal tract that espeak-ng's formants belong to."""
_AVERAGE_LENGTH = 15.7

_PERIOD = ESPEAK_RATE // MONOTONE
_PLAIN_HOP = _PERIOD // 2
_PLAIN_BINS = _PERIOD + 1
_HOP = int(SAMPLE_RATE * FRAME)
_WINDOW = 4 * _HOP
_FFT = 512
_BINS = _FFT // 2 + 1
_CONTRAST = np.float32(0.72)
_BANDS = np.array([0, 400, 800, 1300, 2000, 2800, 3800, 5000, 6500, 8500, 11025])

# Long-term average speech spectrum, men and women together: dB in third-octave bands.
# Byrne et al. (1994), J. Acoust. Soc. Am. 96, 2108-2120.
_HUMAN_BANDS = 1000 * 2.0 ** (np.arange(-12, 10) / 3)
_HUMAN_LEVELS = np.array(
    [38.6, 43.5, 54.4, 57.7, 56.8, 60.2, 60.3, 59.0, 62.1, 62.1, 60.5]
    + [56.8, 53.7, 53.0, 52.0, 48.7, 48.1, 46.8, 45.6, 44.5, 44.3, 43.7]
)
# The same of the plain speech of all 18 voices, 8 texts each.
_PLAIN_BANDS = np.append(_HUMAN_BANDS, 10_080)
_PLAIN_LEVELS = np.array(
    [0.9, 1.8, 2.7, 4.1, 5.3, 6.6, 8.0, 9.3, 9.7, 9.3, 7.8, 7.2]
    + [4.6, 1.3, -1.6, -4.7, -4.1, -6.5, -10.8, -16.4, -18.6, -20.5, -27.9]
)


@dataclasses.dataclass(frozen=True)
class Tract:
    """Glottis and vocal tract of one person.

    Attributes:
        length: Vocal-tract length in cm.
        first: Relative shift of the region of the first formant: how open the jaw is held.
        second: Relative shift of the region of the second formant.
        third: Relative shift of the region of the third formant, and a quarter of it above.
        brightness: Gain above 2 kHz in dB: spread lips bright, rounded lips dark.
        tilt: Spectral tilt in dB an octave above 500 Hz, relative to the average voice.
        chest: Gain around 640 Hz in dB.
        presence: Gain around 2 kHz in dB.
        ring: Gain around 3.2 kHz in dB: a tight or a wide throat.
        air: Gain above 4.6 kHz in dB.
        first_harmonic: Gain of the first harmonic in dB: an open, breathy glottis strengthens it.
        breathiness: Aspiration noise, 0 (none) to 1.
        jitter: Standard deviation of the period, relative.
        shimmer: Standard deviation of the amplitude of pulses, relative.
    """

    length: float
    first: float
    second: float
    third: float
    brightness: float
    tilt: float
    chest: float
    presence: float
    ring: float
    air: float
    first_harmonic: float
    breathiness: float
    jitter: float
    shimmer: float


def speak_as(
    plain: np.ndarray,
    tract: Tract,
    hertz: np.ndarray,
    creak: np.ndarray,
    random: np.random.Generator,
    samples: int,
) -> np.ndarray:
    """Lets a person say what plain speech says.

    Args:
        plain: Speech of `speech_synthesis.synthesise`, float32 at `ESPEAK_RATE`.
        tract: The person's glottis and vocal tract.
        hertz: Fundamental frequency every `FRAME`, for at least `samples`.
        creak: Creakiness 0..1 every `FRAME`.
        random: Source of jitter, shimmer and noise.
        samples: Length of the result at 16 kHz.

    Returns:
        Waveform, float32 (samples,), on an arbitrary level.
    """
    frames = samples // _HOP + 3
    power, noisy = _measure(plain, frames)
    envelope = _bend(power, tract, float(np.median(hertz)))
    gain, weakness = _dynamics(power, noisy)
    envelope += gain
    periodic, breath = _excite(tract, hertz, creak, random, samples + _WINDOW)
    noise_share = _noise_share(np.maximum(noisy, weakness[:, None]), tract)
    spectrum = _spectra(periodic, frames) * np.sqrt(1 - noise_share)
    spectrum += _spectra(breath, frames) * np.sqrt(noise_share)
    spectrum *= _minimum_phase(envelope)
    return _overlap_add(scipy.fft.irfft(spectrum, _FFT))[:samples]


def _measure(plain: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Measures power spectra and how noisy each band is, at multiples of `FRAME`."""
    padded = np.pad(plain, 2 * _PERIOD)
    windows = sliding_window_view(padded, 2 * _PERIOD)[::_PLAIN_HOP]
    window = np.hanning(2 * _PERIOD + 1)[:-1].astype(np.float32)
    spectra = scipy.fft.rfft(windows * window)
    power = spectra.real**2 + spectra.imag**2
    # Two frames are one period apart: what repeats itself is voice, what does not is noise.
    edges = np.searchsorted(np.arange(_PLAIN_BINS) * ESPEAK_RATE / (2 * _PERIOD), _BANDS[:-1])
    agreement = spectra[2:].real * spectra[:-2].real + spectra[2:].imag * spectra[:-2].imag
    sums = np.add.reduceat(power, edges, axis=1)
    together = np.add.reduceat(agreement, edges, axis=1)
    coherence = together / (np.sqrt(sums[2:] * sums[:-2]) + 1e-9)
    coherence = np.pad(coherence, ((1, 1), (0, 0)), mode="edge")
    # Frame i is centred _PLAIN_HOP * i - _PERIOD samples into the speech.
    places = (np.arange(frames) * FRAME * ESPEAK_RATE + _PERIOD) / _PLAIN_HOP
    places = np.minimum(places, len(power) - 1.001)
    index = places.astype(int)
    share = (places - index).astype(np.float32)[:, None]
    power = power[index] * (1 - share) + power[index + 1] * share
    coherence = coherence[index] * (1 - share) + coherence[index + 1] * share
    return power, np.clip((0.80 - coherence) / 0.70, 0.0, 1.0)


def _bend(power: np.ndarray, tract: Tract, hertz: float) -> np.ndarray:
    """Returns the log amplitude envelope of the person's voice, (frames, _BINS)."""
    target = np.arange(_BINS) * SAMPLE_RATE / _FFT
    plain = _plain_frequency(target, tract)
    places = np.arange(_PLAIN_BINS) * ESPEAK_RATE / (2 * _PERIOD)
    # A triangle as wide as the distance of two harmonics smooths them away; it grows wider where
    # losses in a human throat blur the formants, which espeak-ng leaves as narrow peaks.
    width = MONOTONE + 330 / (1 + np.exp(-(plain - 3600) / 500))
    weights = np.clip(1 - np.abs(places[:, None] - plain) / width, 0, None)
    weights /= weights.sum(0)
    envelope = np.log(_product(power, weights) + 1e-8) / 2
    # Bent by the average length only, so that a long tract keeps its dark long-term spectrum.
    gain = _human_spectrum(target) - _plain_spectrum(target * (_AVERAGE_LENGTH / PLAIN_LENGTH))
    octaves = np.log2(np.maximum(target, 60) / 500)
    gain = gain + tract.tilt * np.clip(octaves, 0, 3.5)
    gain += tract.brightness / (1 + np.exp(-(target - 2000) / 250))
    gain += tract.chest * np.exp(-0.5 * ((octaves - 0.35) / 0.5) ** 2)
    gain += tract.presence * np.exp(-0.5 * ((octaves - 2.0) / 0.6) ** 2)
    gain += tract.ring * np.exp(-0.5 * ((octaves - 2.68) / 0.3) ** 2)
    gain += tract.air / (1 + np.exp(-(target - 4600) / 400))
    gain += tract.first_harmonic / (1 + (target / (1.6 * hertz)) ** 6)
    gain -= 18 / (1 + (target / 65) ** 4)
    return envelope + (gain * (np.log(10) / 20)).astype(np.float32)


def _dynamics(power: np.ndarray, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a gain to add to the envelope, (frames, _BINS), and how breathy weakness makes it.

    espeak-ng keeps its sounds on one level. In human speech weak sounds are weaker and less voiced,
    and fricatives are stronger above 2 kHz.
    """
    level = 10 * np.log10(power.sum(1) + 1e-6)
    loud = np.percentile(level, 85)
    drop = np.maximum(0.8 * np.minimum(level - loud, 0), -30)
    kernel = np.hanning(9)[1:-1]
    drop = np.convolve(np.pad(drop, 3, mode="edge"), kernel / kernel.sum(), "valid")
    target = np.arange(_BINS) * SAMPLE_RATE / _FFT
    rise = 1 / (1 + np.exp(-(target - 2600) / 500))
    hiss = 9 * np.clip((noisy[:, 5:8].mean(1) - 0.3) / 0.5, 0, 1)
    # espeak-ng's vowels end near 5 kHz; there is breath above that in people.
    air = 7 * (1 - np.clip(noisy[:, 5:8].mean(1) / 0.5, 0, 1))
    high = 1 / (1 + np.exp(-(target - 5200) / 250))
    gain = drop[:, None] + hiss[:, None] * rise + air[:, None] * high
    weakness = np.clip((-drop - 10) / 22, 0, 0.9).astype(np.float32)
    return (gain * (np.log(10) / 20)).astype(np.float32), weakness


def _plain_frequency(target: np.ndarray, tract: Tract) -> np.ndarray:
    """Says which frequency of the plain speech is heard at each frequency of the person."""
    plain = target * (tract.length / PLAIN_LENGTH)
    octaves = np.log2(np.maximum(plain, 50))
    first = np.exp(-0.5 * ((octaves - np.log2(550)) / 0.45) ** 2)
    second = np.exp(-0.5 * ((octaves - np.log2(1500)) / 0.42) ** 2)
    third = 1 / (1 + np.exp(-(octaves - np.log2(2250)) / 0.09))
    fourth = 1 / (1 + np.exp(-(octaves - np.log2(3000)) / 0.08))
    # The length moves all formants alike; lips hardly move those above the third.
    third -= 0.75 / (1 + np.exp(-(octaves - np.log2(3200)) / 0.08))
    # The constants: measured against people, espeak-ng's second and fourth formants are low.
    shift = (0.03 + tract.second) * second + tract.third * third + 0.04 * fourth
    shift = shift + tract.first * first
    return np.minimum(plain / (1 + shift), 10_900)


def _noise_share(noisy: np.ndarray, tract: Tract) -> np.ndarray:
    """Returns the share of noise in the power, (frames, _BINS)."""
    target = np.arange(_BINS) * SAMPLE_RATE / _FFT
    centres = (_BANDS[1:] + _BANDS[:-1]) / 2
    spread = _interpolation(centres, _plain_frequency(target, tract))
    edge = 6500 - 4800 * tract.breathiness
    # Little of it is under the low harmonics, but it is there that it is heard as hoarse.
    low = 0.002 + 0.22 * tract.breathiness**2
    breath = low + (0.25 + 0.6 * tract.breathiness) / (1 + np.exp(-(target - edge) / 900))
    heard = (1 - _product(noisy, spread)) * (1 - np.minimum(breath, 0.97).astype(np.float32))
    return np.clip(1 - heard, 0.0, 1.0)


def _excite(
    tract: Tract,
    hertz: np.ndarray,
    creak: np.ndarray,
    random: np.random.Generator,
    samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes glottal pulses and breath, both with unit power."""
    times = np.arange(len(hertz)) * _HOP
    fine = np.interp(np.arange(samples), times, hertz)
    phase = np.cumsum(fine) / SAMPLE_RATE
    pulses = np.interp(np.arange(1, int(phase[-1])), phase, np.arange(samples))
    period = SAMPLE_RATE / fine[pulses.astype(int)]
    rough = np.interp(pulses, times, creak)
    jitter = tract.jitter * (1 + 0.02 / max(tract.jitter, 1e-4) * rough)
    pulses = pulses + period * jitter * random.standard_normal(len(pulses)) / np.sqrt(2)
    shimmer = tract.shimmer + 0.12 * rough
    heights = np.sqrt(period) * np.exp(shimmer * random.standard_normal(len(pulses)))
    taps = np.arange(-7, 9)
    first = np.floor(pulses)
    distance = taps[None] - (pulses - first)[:, None]
    kernel = np.sinc(distance) * np.cos(np.pi * distance / 18) ** 2
    places = np.clip(first[:, None] + taps[None], 0, samples - 1).astype(int)
    periodic = np.bincount(places.ravel(), (heights[:, None] * kernel).ravel(), samples)
    breath = random.standard_normal(samples, dtype=np.float32)
    # Air flows while the glottis is open, so breath is stronger in one half of the period.
    breath *= (0.92 + 0.55 * np.cos(2 * np.pi * phase)).astype(np.float32)
    return periodic.astype(np.float32), breath


def _spectra(waveform: np.ndarray, frames: int) -> np.ndarray:
    padded = np.pad(waveform, (_WINDOW // 2, _WINDOW))
    windows = sliding_window_view(padded, _WINDOW)[::_HOP][:frames]
    return scipy.fft.rfft(windows * np.hanning(_WINDOW + 1)[:-1].astype(np.float32), _FFT)


def _minimum_phase(envelope: np.ndarray) -> np.ndarray:
    cepstrum = scipy.fft.irfft(envelope, _FFT)
    # espeak-ng speaks every sound carefully; people differ less from sound to sound.
    usual = cepstrum[:, 3:60].mean(0)
    cepstrum[:, 3:60] = usual + _CONTRAST * (cepstrum[:, 3:60] - usual)
    cepstrum[:, 1 : _FFT // 2] *= 2
    cepstrum[:, _FFT // 2 + 1 :] = 0
    return np.exp(scipy.fft.rfft(cepstrum))


def _overlap_add(pieces: np.ndarray) -> np.ndarray:
    """Adds pieces of _FFT samples, _HOP apart; the first is centred on the first sample."""
    count = len(pieces)
    whole = -(-_FFT // _HOP)
    padded = np.pad(pieces, ((0, 0), (0, whole * _HOP - _FFT)))
    result = np.zeros((count + whole, _HOP), np.float32)
    for part in range(whole):
        result[part : part + count] += padded[:, part * _HOP : (part + 1) * _HOP]
    return result.ravel()[_WINDOW // 2 :] / 2


def _human_spectrum(hertz: np.ndarray) -> np.ndarray:
    """Average density of human speech in dB."""
    density = _HUMAN_LEVELS - 10 * np.log10(_HUMAN_BANDS)
    return np.interp(np.log(np.maximum(hertz, 30)), np.log(_HUMAN_BANDS), density)


def _plain_spectrum(hertz: np.ndarray) -> np.ndarray:
    """Average density of the plain speech in dB."""
    return np.interp(np.log(np.maximum(hertz, 30)), np.log(_PLAIN_BANDS), _PLAIN_LEVELS)


def _product(frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiplies by a matrix that is mostly zeros.

    It is quick, and unlike a dense product it does not depend on the number of threads: a voice is
    the same to the last bit in every process.
    """
    return frames @ scipy.sparse.csr_array(weights.astype(np.float32))


def _interpolation(centres: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Matrix (centres, places) of linear interpolation, constant beyond the ends."""
    columns = [np.interp(places, centres, row) for row in np.eye(len(centres))]
    return np.array(columns, np.float32)
