"""The melody of an utterance: fundamental frequency from sounds and a person's habits.

A superposition of slow fall and local accents, after Fujisaki and Hirose (1984), "Analysis of voice
fundamental frequency contours for declarative sentences of Japanese", J. Acoust. Soc. Japan 5:
every clause declines, stressed syllables rise above it, the last of them falls, and slow drift and
tremor lie over all of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from helpers.archipelago.speech_synthesis import Phoneme

FRAME = 0.005
"""Seconds from one value of a contour to the next."""


@dataclasses.dataclass(frozen=True)
class Melody:
    """How a person's pitch moves.

    Attributes:
        mean: Mean fundamental frequency, in semitones above 100 Hz.
        range: Typical standard deviation within an utterance, in semitones.
        tremor: Depth of the 4 to 6 Hz tremor, in semitones.
        creak: Share of clauses that end in creak, 0..1.
        lateness: How late in the syllable an accent peaks, in seconds; a habit of the island.
        ending: How far a clause falls (negative) or rises at its end, in units of the range.
    """

    mean: float
    range: float
    tremor: float
    creak: float
    lateness: float
    ending: float


def contour(
    phonemes: Sequence[Phoneme], seconds: float, melody: Melody, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one melody for the sounds of an utterance.

    Args:
        phonemes: Sounds in order, with times and stress.
        seconds: Length of the contour.
        melody: The person's habits.
        random: Source of what differs between utterances.

    Returns:
        Fundamental frequency in Hz and creakiness 0..1, both float32 with a value every `FRAME`.
    """
    count = int(np.ceil(seconds / FRAME)) + 1
    times = np.arange(count, dtype=np.float32) * np.float32(FRAME)
    shape = np.zeros(count, np.float32)
    creak = np.zeros(count, np.float32)
    for start, end in _clauses(phonemes, seconds):
        inside = (times >= start) & (times < end)
        place = (times[inside] - start) / max(end - start, 0.3)
        fall = random.uniform(0.5, 1.1)
        shape[inside] += fall * (0.8 - 1.6 * place)
        last = np.clip(1 - (end - times[inside]) / 0.28, 0, 1)
        shape[inside] += melody.ending * random.uniform(0.4, 1.3) * last**1.5
        if random.random() < melody.creak:
            length = random.uniform(0.12, 0.35)
            creak[inside] = np.clip(1.6 - (end - times[inside]) / length, 0, 1)
    shape += _accents(phonemes, times, melody, random)
    shape += 0.25 * _drift(count, 0.35, random)
    heard = _voiced(phonemes, times)
    shape -= shape[heard].mean() if heard.any() else 0.0
    spread = shape[heard].std() if heard.any() else 1.0
    semitones = shape * np.float32(melody.range * random.uniform(0.85, 1.15) / max(spread, 0.3))
    # Beyond twice the range a voice compresses its melody rather than leaving its register.
    limit = 3.0 * melody.range
    semitones = limit * np.tanh(semitones / limit)
    turns = random.uniform(4.0, 6.0) * times + random.random()
    tremor = np.sin(2 * np.pi * turns + _drift(count, 1, random))
    semitones += melody.tremor * tremor.astype(np.float32) + 0.08 * _drift(count, 12, random)
    semitones += melody.mean + 0.4 * random.standard_normal()
    hertz = 100 * 2 ** (semitones / 12)
    return (hertz * (1 - 0.42 * creak)).astype(np.float32), creak


def _clauses(phonemes: Sequence[Phoneme], seconds: float) -> list[tuple[float, float]]:
    clauses, start = [], None
    for phoneme in phonemes:
        pause = phoneme.name.startswith("_")
        if start is None and not pause:
            start = phoneme.start
        elif start is not None and pause and phoneme.start - start > 0.25:
            clauses.append((start, phoneme.start))
            start = None
    if start is not None:
        clauses.append((start, seconds))
    return clauses


def _accents(
    phonemes: Sequence[Phoneme],
    times: np.ndarray,
    melody: Melody,
    random: np.random.Generator,
) -> np.ndarray:
    shape = np.zeros(len(times), np.float32)
    for index, phoneme in enumerate(phonemes[:-1]):
        if phoneme.stress == 0:
            continue
        height = random.uniform(0.2, 1.9) if phoneme.stress == 2 else random.uniform(0, 0.7)
        if random.random() < 0.15:
            height = -0.6 * height
        length = float(np.clip(phonemes[index + 1].start - phoneme.start, 0.05, 0.3))
        peak = phoneme.start + 0.5 * length + melody.lateness + 0.02 * random.standard_normal()
        width = random.uniform(0.06, 0.11)
        shape += np.float32(height) * np.exp(-0.5 * ((times - peak) / np.float32(width)) ** 2)
    return shape


def _voiced(phonemes: Sequence[Phoneme], times: np.ndarray) -> np.ndarray:
    heard = np.zeros(len(times), bool)
    for phoneme, following in zip(phonemes, [*phonemes[1:], None], strict=True):
        end = following.start if following else times[-1]
        if not phoneme.name.startswith("_"):
            heard[int(phoneme.start / FRAME) : int(end / FRAME)] = True
    return heard


def _drift(count: int, hertz: float, random: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit variance that turns about `hertz` times a second."""
    knots = max(4, int(count * FRAME * hertz * 2) + 3)
    values = random.standard_normal(knots)
    places = np.linspace(0, knots - 1.001, count)
    index = places.astype(int)
    share = places - index
    share = share * share * (3 - 2 * share)
    smooth = values[index] * (1 - share) + values[index + 1] * share
    return (smooth * 1.2).astype(np.float32)
