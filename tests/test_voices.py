"""The voices of the Archipelago: deterministic, on the right pitch, and each its own."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.archipelago import acoustics, sentences, speech_synthesis, voices
from helpers.archipelago.islanders import generator, islander


def _people(sex, count):
    found = (islander(number) for number in range(10_000))
    return list(itertools.islice((person for person in found if person.sex == sex), count))


def _pitch(waveform):
    """Semitones above 100 Hz of the voiced frames, from the peak of the autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 800)[::160]
    frames = frames[np.square(frames).mean(1) > 0.2 * np.square(waveform).mean()]
    power = np.abs(np.fft.rfft(frames * np.hanning(800), 2048)) ** 2
    window = np.abs(np.fft.rfft(np.hanning(800), 2048)) ** 2
    likeness = np.fft.irfft(power)[:, :300] / np.fft.irfft(window)[:300]
    likeness /= likeness[:, :1]
    lags = np.arange(36, 250)
    # The shortest lag that is nearly as good as the best one, against octave errors.
    good = likeness[:, 36:250] > 0.92 * likeness[:, 36:250].max(1, keepdims=True)
    rough = np.argmax(good, 1)
    near = np.clip(rough[:, None] + np.arange(12), 0, len(lags) - 1)
    best = np.take_along_axis(
        near, np.argmax(np.take_along_axis(likeness[:, 36:250], near, 1), 1)[:, None], 1
    )[:, 0]
    voiced = likeness[np.arange(len(best)), lags[best]] > 0.7
    return 12 * np.log2(160 / lags[best][voiced])


def test_same_voice_again_whatever_was_said_before():
    person = islander(12)
    first = voices.speak(person, 0)
    voices.speak(islander(13), 1)
    speech_synthesis.synthesise("Something quite different.", "de", 150)
    assert np.array_equal(first, voices.speak(person, 0))


def test_same_voice_in_another_process():
    code = (
        "import hashlib; from helpers.archipelago import islanders, voices;"
        "voices.speak(islanders.islander(3), 2, 1.5);"
        "wave = voices.speak(islanders.islander(12), 1, 2.0);"
        "print(hashlib.sha256(wave.tobytes()).hexdigest())"
    )
    sums = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=Path(__file__).parents[1],
        )
        sums.add(run.stdout)
    assert len(sums) == 1


@pytest.mark.parametrize("number", range(6))
def test_form_of_the_sound(number):
    sound = voices.speak(islander(number), 0)
    assert sound.shape == (96_000,)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    peak, level = np.abs(sound).max(), 10 * np.log10(np.mean(sound**2))
    assert 0.01 < peak <= 0.97 + 1e-6
    assert -45 < level < -12
    assert voices.studio(islander(number), 0, 2.5).shape == (40_000,)


def test_no_clicks():
    for person in _people("F", 2) + _people("M", 2):
        sound = voices.studio(person, 0)
        steps = np.abs(np.diff(sound))
        assert steps.max() < 5 * np.percentile(steps, 99.8)
        assert abs(sound.mean()) < 0.01


def test_utterances_differ():
    person = islander(5)
    one, other = voices.studio(person, 0), voices.studio(person, 1)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


@pytest.mark.parametrize(("sex", "low", "high"), [("M", 108, 132), ("F", 188, 212)])
def test_pitch_of_the_sexes(sex, low, high):
    people = [islander(number) for number in range(2000) if islander(number).sex == sex]
    means = [voices.persona(person).melody.mean for person in people]
    assert low < 100 * 2 ** (np.mean(means) / 12) < high
    assert 2.6 < np.std(means) < 3.5


def test_the_pitch_of_the_sexes_overlaps_as_in_people():
    pitch = {"F": [], "M": []}
    for person in map(islander, range(1500)):
        pitch[person.sex].append(voices.persona(person).melody.mean)
    # Of 30 women who read aloud 4 were below 160 Hz.
    women = np.mean(np.array(pitch["F"]) < 12 * np.log2(1.6))
    men = np.mean(np.array(pitch["M"]) > 12 * np.log2(1.6))
    assert 0.06 < women < 0.18
    assert 0.02 < men < 0.12


def test_a_low_womans_voice_keeps_a_womans_vocal_tract():
    low = [dataclasses.replace(person, pitch=-2.0) for person in _people("F", 100)]
    tracts = [voices.persona(person).tract.length for person in low]
    men = [voices.persona(person).tract.length for person in _people("M", 100)]
    assert np.mean(tracts) < np.mean(men) - 2


@pytest.mark.parametrize("sex", ["F", "M"])
def test_pitch_is_what_was_asked_for(sex):
    errors = []
    for person in _people(sex, 4):
        measured = _pitch(voices.studio(person, 0, 4.0))
        errors.append(np.median(measured) - voices.persona(person).melody.mean)
    assert abs(np.mean(errors)) < 1.2
    assert np.max(np.abs(errors)) < 3


def test_melody_is_smooth():
    for person in _people("F", 1) + _people("M", 1):
        steps = np.abs(np.diff(_pitch(voices.studio(person, 1, 3.0))))
        assert np.median(steps) < 0.6


def test_long_vocal_tracts_lower_the_formants():
    shifts = []
    grid = np.geomspace(700, 5500, 800)
    for person in _people("F", 3):
        curves = []
        for size in (-2.0, 2.0):
            sound = voices.studio(dataclasses.replace(person, size=size), 0)
            frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160] * np.hanning(400)
            decibels = 10 * np.log10(np.square(np.abs(np.fft.rfft(frames, 512))).mean(0))
            smooth = np.convolve(decibels, np.ones(7) / 7, "same")
            curve = np.interp(grid, np.arange(257) * 31.25, smooth)
            curves.append(curve - np.polyval(np.polyfit(np.log(grid), curve, 2), np.log(grid)))
        short, long = curves
        likeness = [np.corrcoef(short[lag:], long[: 800 - lag])[0, 1] for lag in range(160)]
        shifts.append((5500 / 700) ** (np.argmax(likeness) / 799))
    # The vocal tract of the small one is 1.17 times shorter.
    assert 1.08 < np.median(shifts) < 1.28


def test_size_explains_most_of_the_vocal_tract_within_a_sex():
    people = [islander(number) for number in range(1500)]
    people = [person for person in people if person.sex == "F"]
    lengths = [voices.persona(person).tract.length for person in people]
    assert np.corrcoef(lengths, [person.size for person in people])[0, 1] ** 2 > 0.6


def test_parameters():
    numbers = np.array([voices.voice_parameters(islander(number)) for number in range(300)])
    assert numbers.shape == (300, len(voices.PARAMETER_NAMES))
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()
    accents = [name.startswith("accent_") for name in voices.PARAMETER_NAMES]
    assert (numbers[:, accents].sum(1) == 1).all()
    assert (numbers.std(0) > 0).all()


def test_every_accent_speaks():
    for accent in voices.ACCENTS:
        words = sentences.text(accent, generator("test", 0), 1)
        waveform, phonemes = speech_synthesis.synthesise(words, accent, 170)
        assert 1 < len(waveform) / speech_synthesis.ESPEAK_RATE < 12
        assert any(sound.stress == 2 for sound in phonemes)


def test_unknown_voice_is_named():
    with pytest.raises(speech_synthesis.SpeechError, match="klingon-2"):
        speech_synthesis.synthesise("Hello", "klingon-2", 170)


def test_recording_is_not_always_the_same_room_and_microphone():
    clean = voices.studio(islander(1), 0, 2.0)
    one = acoustics.record(clean, 1, 1, generator("test", 1))
    other = acoustics.record(clean, 2, 1, generator("test", 1))
    assert not np.allclose(one, other)


def test_devices_differ_in_band_gain_and_gate():
    clean = voices.studio(islander(1), 0, 1.5)
    clean[8000:14_000] *= 0.001
    bands, pauses = [], []
    for device in range(150):
        sound = acoustics.record(clean, device, device, generator("test", device))
        power = np.abs(np.fft.rfft(sound)) ** 2
        share = np.cumsum(power) / power.sum()
        bands.append(8000 * np.searchsorted(share, 0.9999) / len(power))
        pauses.append(np.abs(sound[10_500:11_500]).max())
    bands, pauses = np.array(bands), np.array(pauses)
    assert 0.02 < np.mean(bands < 4300) < 0.20  # telephones and dull microphones
    assert 0.10 < np.mean((bands > 4300) & (bands < 7300)) < 0.5  # codecs
    assert np.mean(bands > 7300) > 0.35
    assert 0.005 < np.mean(pauses == 0) < 0.15  # gates that leave nothing
    assert np.median(pauses) > 0


@pytest.mark.parametrize(
    ("number", "levels"),
    [
        (12, [-22.24, -22.07, -19.53, -23.33, -20.51, -20.82]),
        (1_000_007, [-24.18, -22.63, -19.04, -25.00, -23.58, -23.40]),
    ],
)
def test_the_voices_are_those_that_the_released_weights_heard(number, levels):
    seconds = voices.speak(islander(number), 0).reshape(6, -1)
    assert 10 * np.log10(np.square(seconds).mean(1)) == pytest.approx(levels, abs=0.1)
