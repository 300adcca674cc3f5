"""Measures voices as phonetics does, and sets islanders beside what is reported of people.

Every measure works on any speech at 16 kHz, of islanders and of people alike, without knowing who
speaks. What is measured comes from the sound alone; how the sound was made plays no part in it.

- Pitch: autocorrelation after Boersma (1993), "Accurate short-term analysis of the fundamental
  frequency and the harmonics-to-noise ratio of a sampled sound", in two passes as in De Looze and
  Hirst (2008), "Detecting changes in key and range": the second looks only within an octave of
  where the first found the speaker. The harmonics-to-noise ratio is Boersma's, too.
- Formants: linear prediction, Markel and Gray (1976), Linear Prediction of Speech. The length of
  the vocal tract from their spacing: Reby and McComb (2003), Animal Behaviour 65, 519-530.
- Cepstral peak prominence: Hillenbrand and Houde (1996), J. Speech Hear. Res. 39, 311-321.
- Tempo: syllable nuclei after De Jong and Wempe (2009), Behavior Research Methods 41, 385-390.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.fft
import scipy.signal
from numpy.lib.stride_tricks import sliding_window_view

from helpers.archipelago import voices
from helpers.archipelago.islanders import Islander
from helpers.settings import SAMPLE_RATE

SOUND_SPEED = 35_000
"""Centimetres a second, in warm and moist air."""

_HOP = SAMPLE_RATE // 100
_FRAME = SAMPLE_RATE // 20
_FFT = 2048
_LOWEST, _HIGHEST = 65.0, 400.0
_PERIODIC = 0.45
_OCTAVE_COST = 0.02

_FORMANT_RATE = 11_000
_FORMANT_FRAME = 275
_ORDER = 12
_FORMANTS = 4


@dataclasses.dataclass(frozen=True)
class Voice:
    """What phonetics measures of one recording.

    Attributes:
        pitch: Median fundamental frequency in Hz.
        pitch_spread: Spread of the fundamental frequency in semitones: the standard deviation of a
            normal distribution with the same quartiles, which creak does not disturb.
        first, second, third: Median frequencies of the first three formants in Hz.
        tract_length: Length in cm of the vocal tract that the four lowest formants belong to.
        tempo: Syllables a second, pauses included.
        harmonicity: Harmonics-to-noise ratio of the voiced sounds in dB.
        prominence: Cepstral peak prominence of the voiced sounds in dB: how far the harmonics stand
            out over the whole spectrum.
        tilt: Level above 1 kHz relative to that below, in dB.
    """

    pitch: float
    pitch_spread: float
    first: float
    second: float
    third: float
    tract_length: float
    tempo: float
    harmonicity: float
    prominence: float
    tilt: float


def measure(waveform: np.ndarray) -> Voice:
    """Measures one recording.

    Args:
        waveform: Speech, (n,) at 16 kHz, at least a second; five or more make steady numbers.

    Returns:
        The measures.

    Raises:
        ValueError: The waveform is not one row of at least a second, or less than a fifth of a
            second of it is voiced.
    """
    waveform = np.asarray(waveform, np.float32)
    if waveform.ndim != 1 or len(waveform) < SAMPLE_RATE:
        raise ValueError(f"Give one second of sound or more, not an array {waveform.shape}.")
    waveform = waveform - waveform.mean()
    frames = sliding_window_view(waveform, _FRAME)[::_HOP]
    window = np.hanning(_FRAME).astype(np.float32)
    power = np.abs(scipy.fft.rfft(frames * window, _FFT)) ** 2
    energy = power.sum(1)
    hertz, likeness = _track(power, window)
    voiced = (energy > _share(energy, -25)) & (likeness > _PERIODIC)
    if voiced.sum() < 20:
        raise ValueError("Less than a fifth of a second of this sound is voiced; is it speech?")
    semitones = 12 * np.log2(hertz[voiced])
    formants = _formants(waveform, voiced & (energy > _share(energy, -15)))
    first, second, third, _ = np.median(formants, 0)
    periodic = np.clip(likeness[voiced], 0.01, 0.9999)
    places = np.arange(_FFT // 2 + 1) * SAMPLE_RATE / _FFT
    average = power[energy > _share(energy, -25)].mean(0)
    high = average[(places >= 1000) & (places < 5000)].sum()
    low = average[(places >= 50) & (places < 1000)].sum()
    return Voice(
        pitch=float(np.median(hertz[voiced])),
        pitch_spread=float(np.subtract(*np.percentile(semitones, (75, 25))) / 1.349),
        first=float(first),
        second=float(second),
        third=float(third),
        tract_length=_tract_length(formants),
        tempo=_tempo(waveform, voiced),
        harmonicity=float(np.median(10 * np.log10(periodic / (1 - periodic)))),
        prominence=_prominence(power[voiced]),
        tilt=float(10 * np.log10(high / low)),
    )


def _share(energy: np.ndarray, decibels: float) -> float:
    """Returns the energy so many decibels from the loud frames."""
    return float(np.percentile(energy, 95)) * 10 ** (decibels / 10)


def _track(power: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns fundamental frequency in Hz and periodicity 0..1 of every frame."""
    own = scipy.fft.irfft(np.abs(scipy.fft.rfft(window, _FFT)) ** 2)
    most = int(SAMPLE_RATE / _LOWEST) + 2
    correlation = scipy.fft.irfft(power)[:, :most] / own[:most]
    correlation /= correlation[:, :1] + 1e-12
    hertz, likeness = _peaks(correlation, _LOWEST, _HIGHEST)
    sure = (power.sum(1) > _share(power.sum(1), -25)) & (likeness > _PERIODIC)
    if sure.sum() < 20:
        return hertz, likeness
    # The median bears it when many frames took a strong harmonic for the lowest.
    usual = np.median(hertz[sure])
    return _peaks(correlation, max(_LOWEST, 0.5 * usual), min(_HIGHEST, 1.9 * usual))


def _peaks(correlation: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns frequency and height of the highest peak of each row between two frequencies."""
    lags = np.arange(int(SAMPLE_RATE / high), int(SAMPLE_RATE / low) + 1)
    before, peak, after = (correlation[:, lags + step] for step in (-1, 0, 1))
    # The slope that comes down from no lag at all is no peak.
    peaks = np.where((peak >= before) & (peak >= after), peak, -1)
    # Two periods are as alike as one: the shorter is meant.
    best = np.argmax(peaks - _OCTAVE_COST * np.log2(lags / lags[0]), 1) + lags[0]
    rows = np.arange(len(best))
    before, peak, after = (correlation[rows, best + step] for step in (-1, 0, 1))
    bend = before - 2 * peak + after
    # The top of the parabola through three points lies between the samples.
    offset = np.where(bend < 0, 0.5 * (before - after) / np.minimum(bend, -1e-9), 0.0)
    return SAMPLE_RATE / (best + np.clip(offset, -0.5, 0.5)), peak


def _formants(waveform: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the four lowest formants in Hz, (frames, 4), of chosen frames that have four."""
    slow = scipy.signal.resample_poly(waveform, _FORMANT_RATE // 1000, SAMPLE_RATE // 1000)
    slow = scipy.signal.lfilter([1, -0.97], 1, slow)
    middles = (np.flatnonzero(chosen) * _HOP + _FRAME / 2) * _FORMANT_RATE / SAMPLE_RATE
    starts = (middles - _FORMANT_FRAME / 2).astype(int)
    frames = sliding_window_view(slow, _FORMANT_FRAME)[starts] * np.hamming(_FORMANT_FRAME)
    products = scipy.fft.irfft(np.abs(scipy.fft.rfft(frames, 1024)) ** 2)[:, : _ORDER + 1]
    products[:, 0] = products[:, 0] * 1.0001 + 1e-12
    distance = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    weights = np.linalg.solve(products[:, distance], products[:, 1:, None])[..., 0]
    companion = np.zeros((len(weights), _ORDER, _ORDER))
    companion[:, 0] = weights
    companion[:, np.arange(1, _ORDER), np.arange(_ORDER - 1)] = 1
    poles = np.linalg.eigvals(companion)
    hertz = np.angle(poles) * _FORMANT_RATE / (2 * np.pi)
    widths = -np.log(np.abs(poles) + 1e-9) * _FORMANT_RATE / np.pi
    # Poles that are wide, or at the very ends, shape the tilt of the spectrum.
    likely = (hertz > 200) & (hertz < 5200) & (widths < 500)
    found = np.sort(np.where(likely, hertz, np.inf), 1)[:, :_FORMANTS]
    found = found[np.isfinite(found[:, -1])]
    if not len(found):
        raise ValueError("No frame of this sound has four formants below 5.2 kHz; is it speech?")
    return found


def _tract_length(formants: np.ndarray) -> float:
    """Returns the length in cm of the even tube whose resonances lie nearest to the formants."""
    odd = np.arange(1, 2 * _FORMANTS, 2) / 2
    spacing = np.median(formants @ odd / np.sum(odd**2))
    return float(SOUND_SPEED / (2 * spacing))


def _prominence(power: np.ndarray) -> float:
    """Returns how far the peak of the cepstrum stands above its trend, in dB, on average."""
    logarithm = 10 * np.log10(power + 1e-9 * power.max(1, keepdims=True))
    lags = np.arange(int(SAMPLE_RATE / _HIGHEST), int(SAMPLE_RATE / _LOWEST))
    cepstrum = scipy.fft.irfft(logarithm)[:, lags]
    slope, offset = np.polyfit(lags, cepstrum.T, 1)
    above = cepstrum - (slope[:, None] * lags + offset[:, None])
    return float(above[np.arange(len(above)), cepstrum.argmax(1)].mean())


def _tempo(waveform: np.ndarray, voiced: np.ndarray) -> float:
    """Returns voiced peaks of loudness a second that rise at least 2 dB above what is around."""
    band = scipy.signal.butter(2, (300, 3000), "bandpass", fs=SAMPLE_RATE, output="sos")
    kernel = np.hanning(int(0.06 * SAMPLE_RATE))
    power = scipy.signal.fftconvolve(scipy.signal.sosfilt(band, waveform) ** 2, kernel, "same")
    loudness = 10 * np.log10(np.maximum(power[_FRAME // 2 :: _HOP][: len(voiced)], 1e-10))
    quiet = np.percentile(loudness, 95) - 25
    peaks, _ = scipy.signal.find_peaks(loudness, height=quiet, prominence=2)
    return float(voiced[peaks].sum() * SAMPLE_RATE / len(waveform))


@dataclasses.dataclass(frozen=True)
class Report:
    """What is reported of people.

    Attributes:
        measure: Name of a measure of `Voice`.
        unit: Its unit.
        women, men: Lowest and highest value that is reported of the average, or of most speakers
            in the case of the pitch; None where each definition and recording gives another.
        source: Who reports it.
    """

    measure: str
    unit: str
    women: tuple[float, float] | None
    men: tuple[float, float] | None
    source: str


_VOWELS = "Peterson and Barney (1952), Hillenbrand et al. (1995): mean of the vowels in words"

REPORTS = (
    Report("pitch", "Hz", (165, 255), (85, 155), "Fitch and Holbrook (1970) after Baken (2000)"),
    Report("pitch_spread", "semitones", (2, 4), (2, 4), "Traunmüller and Eriksson (1995)"),
    Report("first", "Hz", (575, 615), (502, 523), _VOWELS),
    Report("second", "Hz", (1694, 1761), (1420, 1511), _VOWELS),
    Report("third", "Hz", (2783, 2860), (2386, 2511), _VOWELS),
    Report(
        "tract_length",
        "cm",
        (14.1, 15.3),
        (16.9, 17.4),
        "Goldstein (1980); from the third formant of Hillenbrand et al. (1995)",
    ),
    Report("tempo", "syllables/s", (3.9, 5.6), (3.9, 5.6), "Gündüz and Cangi (2024), Amir (2016)"),
    Report("harmonicity", "dB", None, None, ""),
    Report("prominence", "dB", None, None, ""),
    Report(
        "tilt", "dB", (-11.1, -11.1), (-11.1, -11.1), "Byrne et al. (1994): both sexes together"
    ),
)
"""What is reported of the speech of adults, in the order of `Voice`."""


def statistics(voices_by_sex: Iterable[tuple[str, Voice]]) -> list[dict[str, object]]:
    """Summarises measured voices by sex, beside what is reported.

    Args:
        voices_by_sex: Sex (`F` or `M`) and measures of each speaker.

    Returns:
        One row for each measure and sex that occurs: measure, unit, sex, count, mean, sd (between
        speakers), low and high (as reported; None where nothing comparable is), source.

    Raises:
        ValueError: There are no voices, or a sex is neither `F` nor `M`.
    """
    measured: dict[str, list[Voice]] = {"F": [], "M": []}
    for sex, voice in voices_by_sex:
        if sex not in measured:
            raise ValueError(f"Sex is F or M, not {sex!r}.")
        measured[sex].append(voice)
    if not any(measured.values()):
        raise ValueError("There are no voices to summarise.")
    rows = []
    for report in REPORTS:
        for sex, reported in (("F", report.women), ("M", report.men)):
            values = [getattr(voice, report.measure) for voice in measured[sex]]
            if not values:
                continue
            low, high = reported or (None, None)
            rows.append(
                {
                    "measure": report.measure,
                    "unit": report.unit,
                    "sex": sex,
                    "count": len(values),
                    "mean": float(np.mean(values)),
                    "sd": float(np.std(values)),
                    "low": low,
                    "high": high,
                    "source": report.source,
                }
            )
    return rows


def voice_statistics(
    islanders: Iterable[Islander], seconds: float = 6.0
) -> list[dict[str, object]]:
    """Measures one utterance of each islander, without room and microphone.

    Args:
        islanders: Who speaks; some 30 of each sex make steady numbers, in about 0.1 s each.
        seconds: Length of each utterance.

    Returns:
        Rows as `statistics` gives.

    Raises:
        SpeechError: espeak-ng does not load.
        ValueError: There are no islanders, or an utterance is under a second.
    """
    return statistics(
        (person.sex, measure(voices.studio(person, 0, seconds))) for person in islanders
    )


def markdown(rows: Sequence[dict[str, object]]) -> str:
    """Writes rows of `statistics` as a Markdown table, one line each."""
    lines = [
        "| measure | sex | speakers | mean | SD | reported | by |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        digits = 0 if row["unit"] == "Hz" else 1
        mean, spread = (f"{row[name]:.{digits}f}" for name in ("mean", "sd"))
        if row["low"] is None:
            reported = ""
        elif row["low"] == row["high"]:
            reported = f"{row['low']:g}"
        else:
            reported = f"{row['low']:g} to {row['high']:g}"
        name = str(row["measure"]).replace("_", " ")
        cells = (f"{name} ({row['unit']})", row["sex"], row["count"], mean, spread, reported)
        lines.append("| " + " | ".join(str(cell) for cell in (*cells, row["source"])) + " |")
    return "\n".join(lines)
