"""Phonetics: known sounds measure what they are, islanders what is reported of people."""

import csv
import dataclasses
import itertools

import numpy as np
import pytest
import scipy.signal

from helpers import media
from helpers.archipelago import phonetics, voices
from helpers.archipelago.islanders import islander
from helpers.settings import SAMPLE_RATE


def _vowel(pitch=160, formants=(500, 1500, 2500, 3500), seconds=2.0):
    """Pulses through resonators 80 Hz wide; a period should be whole samples long."""
    count = int(seconds * SAMPLE_RATE)
    sound = np.diff(np.floor(np.arange(count + 1) * pitch / SAMPLE_RATE))
    # A glottis gives less the higher the frequency, lips more.
    sound = scipy.signal.lfilter([1], [1, -0.97], sound)
    for hertz in formants:
        radius = np.exp(-np.pi * 80 / SAMPLE_RATE)
        angle = 2 * np.pi * hertz / SAMPLE_RATE
        sound = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], sound)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def _women(count, **changes):
    women = (person for person in map(islander, range(1000)) if person.sex == "F")
    return [dataclasses.replace(person, **changes) for person in itertools.islice(women, count)]


def _means(people):
    """Mean of every measure over one utterance of each."""
    measured = [dataclasses.astuple(phonetics.measure(voices.studio(one, 0))) for one in people]
    return phonetics.Voice(*np.mean(measured, 0))


@pytest.fixture(scope="module")
def studio():
    """Sex and measures of 24 islanders, without room and microphone."""
    people = map(islander, range(24))
    return [(one.sex, phonetics.measure(voices.studio(one, 0))) for one in people]


@pytest.mark.parametrize("pitch", [80, 100, 160, 200, 320])
def test_pitch_of_a_known_vowel(pitch):
    found = phonetics.measure(_vowel(pitch))
    assert found.pitch == pytest.approx(pitch, rel=0.01)
    assert found.pitch_spread < 0.2


@pytest.mark.parametrize("length", [14.0, 17.5])
def test_formants_and_tract_of_a_known_vowel(length):
    odd = np.array([1, 3, 5, 7])
    wanted = odd * phonetics.SOUND_SPEED / (4 * length)
    found = phonetics.measure(_vowel(100, wanted))
    assert (found.first, found.second, found.third) == pytest.approx(tuple(wanted[:3]), rel=0.05)
    assert found.tract_length == pytest.approx(length, rel=0.03)


def test_noise_lowers_harmonicity_by_what_it_adds():
    vowel = _vowel()
    noise = np.random.default_rng(0).standard_normal(len(vowel)).astype(np.float32)
    noise *= np.sqrt(np.mean(vowel**2))
    found = [phonetics.measure(vowel + 10 ** (-ratio / 20) * noise) for ratio in (30, 15, 5)]
    clear, less, noisy = (one.harmonicity for one in found)
    assert less == pytest.approx(15, abs=1.5)
    assert noisy == pytest.approx(5, abs=1.5)
    assert clear > less + 8
    assert found[0].prominence > found[1].prominence > found[2].prominence


def test_tempo_counts_syllables():
    vowel = _vowel(seconds=3.0)
    times = np.arange(len(vowel)) / SAMPLE_RATE
    assert phonetics.measure(vowel * np.sin(np.pi * 4 * times) ** 2).tempo == pytest.approx(4, 0.1)


def test_tilt_rises_with_the_treble():
    vowel = _vowel()
    assert phonetics.measure(np.diff(vowel)).tilt > phonetics.measure(vowel).tilt + 5


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros(8000, np.float32), "one second"),
        (np.zeros((2, 16_000), np.float32), "one second"),
        (np.zeros(32_000, np.float32), "voiced"),
        (np.random.default_rng(0).standard_normal(32_000), "voiced"),
    ],
)
def test_what_is_not_speech_is_refused(sound, message):
    with pytest.raises(ValueError, match=message):
        phonetics.measure(sound)


def test_statistics_name_what_they_cannot_use():
    with pytest.raises(ValueError, match="no voices"):
        phonetics.statistics([])
    with pytest.raises(ValueError, match="'x'"):
        phonetics.statistics([("x", phonetics.measure(_vowel()))])


# What a measure may differ from the report: running speech is not vowels in words.
_TOLERANCES = {
    "pitch": 0.0,
    "pitch_spread": 0.3,
    "first": 90.0,
    "second": 130.0,
    "third": 200.0,
    "tract_length": 0.6,
    "tempo": 0.4,
    "tilt": 4.0,
}


def test_islanders_measure_what_is_reported_of_people(studio):
    rows = phonetics.statistics(studio)
    assert len(rows) == 2 * len(phonetics.REPORTS)
    assert sum(row["count"] for row in rows if row["measure"] == "pitch") == 24
    for row in rows:
        assert row["sd"] > 0
        if row["low"] is None:
            continue
        tolerance = _TOLERANCES[row["measure"]]
        assert row["low"] - tolerance <= row["mean"] <= row["high"] + tolerance, row


def test_the_table_says_what_was_measured(studio):
    lines = phonetics.markdown(phonetics.statistics(studio)).splitlines()
    assert len(lines) == 2 + 2 * len(phonetics.REPORTS)
    assert len({line.count("|") for line in lines}) == 1
    assert any("165 to 255" in line and "pitch (Hz)" in line for line in lines)


def test_one_call_measures_islanders():
    rows = phonetics.voice_statistics(_women(2), seconds=2.0)
    assert {row["sex"] for row in rows} == {"F"}
    assert {row["count"] for row in rows} == {2}


def test_age_lowers_slows_and_roughens_womens_voices():
    young, old = (_means(_women(3, age=age)) for age in (22.0, 76.0))
    assert 1.5 < 12 * np.log2(young.pitch / old.pitch) < 5
    assert old.tempo < 0.88 * young.tempo
    assert old.harmonicity < young.harmonicity - 0.8
    assert old.prominence < young.prominence - 0.25


def test_a_long_vocal_tract_lowers_the_formants():
    small, large = (_means(_women(3, size=size)) for size in (-1.5, 1.5))
    # 16 % longer: of that the even tube should show at least half.
    assert 1.08 < large.tract_length / small.tract_length < 1.22
    assert large.third < 0.93 * small.third


def _envelopes(person):
    """Log spectral envelopes of an utterance, (frames, 257)."""
    frames = np.lib.stride_tricks.sliding_window_view(voices.studio(person, 0), 400)[::640]
    power = np.abs(np.fft.rfft(frames * np.hanning(400), 512)) ** 2
    cepstrum = np.fft.irfft(np.log(power + 1e-7))
    cepstrum[:, 20:-19] = 0
    return np.fft.rfft(cepstrum).real


def _moved(before, after, low, high):
    """By which factor what lay between two frequencies has moved up, frame by frame."""
    hertz, grid = np.arange(257) * 31.25, np.geomspace(low, high, 60)

    def shapes(envelopes, factor):
        shape = np.array([np.interp(grid * factor, hertz, row) for row in envelopes])
        shape -= shape.mean(1, keepdims=True)
        # Without what all frames have in common, which is gain and no formant.
        return (shape - shape.mean(0)).ravel()

    factors = np.arange(0.94, 1.24, 0.02)
    fixed = shapes(before, 1)
    likeness = [np.corrcoef(fixed, shapes(after, factor))[0, 1] for factor in factors]
    return factors[np.argmax(likeness)]


def test_a_wide_mouth_raises_the_second_and_third_formants():
    person = _women(1)[0]
    narrow, wide = (dataclasses.replace(person, mouth=mouth) for mouth in (-1.5, 1.5))
    before, after = _envelopes(narrow), _envelopes(wide)
    # Three standard deviations of 5 and 4 %.
    assert 1.09 < _moved(before, after, 1100, 2300) < 1.17
    assert 1.08 < _moved(before, after, 2300, 3400) < 1.17
    assert phonetics.measure(voices.studio(wide, 0)).third > 1.05 * (
        phonetics.measure(voices.studio(narrow, 0)).third
    )


def test_breath_is_noise():
    plain, breathy = (_means(_women(3, tone=(breath, 0, 0, 0))) for breath in (-2.5, 2.5))
    assert breathy.harmonicity < plain.harmonicity - 1
    assert breathy.prominence < plain.prominence - 0.4


def test_people_lie_within_the_spread_of_recorded_islanders(real_media):
    recorded = [
        (one.sex, phonetics.measure(voices.speak(one, 0))) for one in map(islander, range(24))
    ]
    made = phonetics.statistics(recorded)
    folder = real_media / "voices"
    with (folder / "speakers.csv").open(newline="") as lines:
        listed = [(row["sex"], folder / row["file"]) for row in csv.DictReader(lines)][::2]
    measured = [
        (sex, phonetics.measure(media.read_audio(path, seconds=6.0))) for sex, path in listed
    ]
    for mine, people in zip(made, phonetics.statistics(measured), strict=True):
        distance = (people["mean"] - mine["mean"]) / mine["sd"]
        assert abs(distance) < 2, (people["measure"], people["sex"], distance)
        # Nor do they all stand in one corner of what people do.
        assert mine["sd"] > 0.35 * people["sd"], (people["measure"], people["sex"])
