"""From the lips to the file: room, microphone, noise, electronics and level of a recording."""

from __future__ import annotations

import numpy as np
import scipy.fft

from helpers.archipelago.islanders import generator
from helpers.settings import SAMPLE_RATE

_HUM_HARMONICS = np.arange(1, 9)
_STEP = SAMPLE_RATE // 100
_SLOW = 20
_RELEASE = np.hanning(2 * _SLOW + 3)[1:-1] / (_SLOW + 1)
_EDGE = np.array([0.25, 0.5, 0.25])


def record(
    clean: np.ndarray, microphone: int, room: int, random: np.random.Generator
) -> np.ndarray:
    """Records a voice.

    Args:
        clean: Waveform at the lips, float32 (n,) at 16 kHz.
        microphone: Seed of the microphone.
        room: Seed of the room: its reverberation, and the noise in it.
        random: What differs between recordings: distance, noise, level.

    Returns:
        Waveform, float32 (n,) within -1..1; -35 to -15 dBFS.
    """
    samples = len(clean)
    response = _room_response(generator("room", room), random)
    points = scipy.fft.next_fast_len(samples + len(response), real=True)
    spectrum = scipy.fft.rfft(clean, points) * scipy.fft.rfft(response, points)
    hertz = np.arange(len(spectrum)) * (SAMPLE_RATE / points)
    curve = _microphone_curve(generator("micro", microphone), hertz)
    device = generator("device", microphone)
    line = _line(device, hertz)
    voice = scipy.fft.irfft(spectrum * (curve * line), points)[:samples]
    noise = _noise(generator("noise", room), hertz, curve, line, random, points)[:samples]
    ratio = np.clip(32 + 9 * random.standard_normal(), 12, 55)
    noise *= _level(voice) / _level(noise) * 10 ** (-ratio / 20)
    recorded = _electronics(voice + noise, device)
    wanted = 10 ** (random.uniform(-35, -15) / 20)
    recorded *= wanted / _level(recorded)
    peak = float(np.abs(recorded).max())
    if peak > 0.97:
        recorded *= 0.97 / peak
    return recorded.astype(np.float32)


def _level(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform)))) + 1e-9


def _room_response(room: np.random.Generator, random: np.random.Generator) -> np.ndarray:
    """Exponentially decaying noise after a direct sound and early reflections."""
    decay = room.uniform(0.1, 0.7)
    length = int(SAMPLE_RATE * min(decay, 0.4))
    times = np.arange(length) / SAMPLE_RATE
    tail = room.standard_normal(length) * np.exp(-6.9 * times / decay)
    # Walls and air swallow high frequencies: a running mean darkens the tail.
    tail = np.convolve(tail, np.ones(4) / 4)[:length] + 0.25 * tail
    tail[: int(0.004 * SAMPLE_RATE)] = 0
    for _ in range(5):
        tail[int(room.uniform(0.002, 0.02) * SAMPLE_RATE)] += room.normal(0, 2.5)
    tail /= np.sqrt(np.sum(tail**2))
    direct_to_reverberant = room.uniform(2, 24) + random.normal(0, 1.5)
    response = tail * 10 ** (-direct_to_reverberant / 20)
    response[0] += 1
    return response.astype(np.float32)


def _microphone_curve(microphone: np.random.Generator, hertz: np.ndarray) -> np.ndarray:
    """Smooth random gain over frequency, with the limits of the band."""
    knots = np.array([50, 150, 400, 1000, 2000, 3500, 5500, 8000])
    levels = microphone.normal(0, 2.8, len(knots)) + microphone.normal(0, 1.2) * np.arange(8)
    levels -= levels[2:5].mean()
    octaves = np.log2(np.maximum(hertz, 20))
    decibels = np.interp(octaves, np.log2(knots), levels)
    low = microphone.uniform(40, 120) if microphone.random() < 0.7 else microphone.uniform(120, 300)
    decibels -= 10 * np.log10(1 + (low / np.maximum(hertz, 5)) ** 4)
    if microphone.random() < 0.25:
        high = microphone.uniform(3300, 7500)
        decibels -= 10 * np.log10(1 + (hertz / high) ** 12)
    return (10 ** (decibels / 20)).astype(np.float32)


def _line(device: np.random.Generator, hertz: np.ndarray) -> np.ndarray:
    """What passes between microphone and file: all, a telephone's band, or what a codec keeps."""
    kind = device.random()
    if kind < 0.06:
        low, high = device.uniform(250, 350), device.uniform(3300, 3700)
        passed = 1 / np.sqrt((1 + (low / np.maximum(hertz, 5)) ** 8) * (1 + (hertz / high) ** 24))
    elif kind < 0.30:
        # MP3 and its like cut off sharply, the lower the fewer bits they have.
        passed = 1 / np.sqrt(1 + (hertz / device.uniform(4500, 7500)) ** 120)
    else:
        passed = np.ones(len(hertz))
    return passed.astype(np.float32)


def _electronics(recorded: np.ndarray, device: np.random.Generator) -> np.ndarray:
    """Automatic gain, overdriven inputs and noise gates; most devices have none of them."""
    gain, overdriven, gated = device.random(3) < (0.20, 0.08, 0.12)
    strength, headroom, threshold = device.uniform((0.2, 0.35, 20), (0.6, 0.8, 35))
    kept = 0.0 if device.random() < 0.5 else device.uniform(0.03, 0.3)
    soft = device.random() < 0.5
    if gain or gated:
        steps = np.arange(0, len(recorded), _STEP)
        power = np.add.reduceat(np.square(recorded), steps) / _STEP
        loudness = 10 * np.log10(power / _level(recorded) ** 2 + 1e-9)
        factor = np.ones(len(steps))
        if gain:
            slow = np.convolve(np.pad(loudness, _SLOW, mode="edge"), _RELEASE, "valid")
            factor *= 10 ** (-strength * np.clip(slow, -15, 15) / 20)
        if gated:
            heard = np.convolve(loudness > -threshold, np.ones(13), "same") > 0
            factor *= np.convolve(np.pad(np.where(heard, 1, kept), 1, mode="edge"), _EDGE, "valid")
        recorded = recorded * np.interp(np.arange(len(recorded)), steps + _STEP // 2, factor)
    if overdriven:
        limit = headroom * np.abs(recorded).max()
        recorded = limit * np.tanh(recorded / limit) if soft else np.clip(recorded, -limit, limit)
    return recorded


def _noise(
    room: np.random.Generator,
    hertz: np.ndarray,
    curve: np.ndarray,
    line: np.ndarray,
    random: np.random.Generator,
    points: int,
) -> np.ndarray:
    """Noise of a room: hiss between white and brown, mains hum, distant babble."""
    slope = room.uniform(0.2, 1.8)
    hum, babble = room.random() < 0.25, room.random() < 0.2
    mains = 50 if room.random() < 0.5 else 60
    shape = (np.maximum(hertz, 30) / 1000) ** (-slope / 2)
    parts = random.standard_normal((2, len(hertz)), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * shape.astype(np.float32) * ((0.3 + 0.7 * curve) * line)
    noise = scipy.fft.irfft(spectrum, points)
    noise /= _level(noise)
    times = np.arange(points) / SAMPLE_RATE
    if hum:
        heights = room.uniform(0.05, 1, len(_HUM_HARMONICS)) / _HUM_HARMONICS
        angles = 2 * np.pi * mains * _HUM_HARMONICS[:, None] * times[: SAMPLE_RATE // 10]
        one = (heights[:, None] * np.sin(angles + room.uniform(0, 6, (8, 1)))).sum(0)
        noise += 0.7 * np.resize(one / _level(one), points)
    if babble:
        parts = random.standard_normal((2, len(hertz)), dtype=np.float32)
        shape = 1 / (1 + (hertz / 600) ** 2) * (hertz > 120)
        voices = scipy.fft.irfft((parts[0] + 1j * parts[1]) * shape.astype(np.float32), points)
        syllables = np.repeat(random.uniform(0.2, 1.2, points // 2400 + 2), 2400)
        syllables = np.convolve(syllables, np.ones(1200) / 1200, "same")[:points]
        voices *= syllables
        noise += voices / _level(voices)
    return noise
