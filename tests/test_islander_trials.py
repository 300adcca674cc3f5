"""Islanders made for measuring: voices, pictures and what the released networks make of them."""

import numpy as np
import pytest

from helpers.archipelago import voices
from helpers.archipelago.islanders import islander
from helpers.measuring import islander_trials
from helpers.measuring.language import foreign_language

NUMBERS = (1_000_000, 1_000_001)


@pytest.fixture(scope="module")
def made():
    return islander_trials.measure_islanders((NUMBERS, True))


def test_everything_is_made_for_each_islander(made):
    shapes = {name: array.shape[1:] for name, array in made.items() if name != "number"}
    features = ("predicted", "features", "reconstructed", "early", "late", "again", "abroad")
    for name in (*features, "decoded", "another_face"):
        assert shapes[name] == (128,) and np.isfinite(made[name]).all(), name
    assert shapes["landmarks"] == (68, 2) and shapes["drawn_landmarks"] == (2, 68, 2)
    assert (made["pitch"] > 60).all() and (made["pitch"] < 400).all()
    for number, (own, other) in zip(NUMBERS, made["islands"], strict=True):
        assert own == islander(number).island != other == foreign_language(islander(number))[0]


def test_shorter_other_and_foreign_recordings_give_other_predictions(made):
    for name in ("early", "late", "again", "abroad"):
        assert np.abs(made[name] - made["predicted"]).max() > 1e-3, name
    assert np.abs(made["early"] - made["late"]).max() > 1e-3
    assert np.abs(made["another_face"] - made["features"]).max() > 1e-3


def test_without_further_recordings_their_rows_are_empty(made):
    less = islander_trials.measure_islanders((NUMBERS[:1], False))
    assert set(less) == set(made), "rows of both kinds fit together"
    assert np.allclose(less["predicted"][0], made["predicted"][0], atol=1e-4)
    for name in ("again", "abroad", "another_face", "pitch"):
        assert np.isnan(less[name]).all(), name
    assert less["islands"][0].tolist() == [islander(NUMBERS[0]).island, -1]


def test_a_foreign_language_changes_what_is_said_and_nothing_else():
    person = islander(NUMBERS[0])
    own = voices.persona(person).accent
    spoken = voices.speak(person, 1, seconds=1.0)
    assert np.array_equal(spoken, voices.speak(person, 1, seconds=1.0, accent=own))
    foreign = voices.speak(person, 1, seconds=1.0, accent=foreign_language(person)[1])
    assert foreign.shape == spoken.shape and not np.array_equal(spoken, foreign)


def test_the_pitch_of_silence_is_unknown():
    assert np.isnan(islander_trials.pitch_of(np.zeros(32_000, np.float32)))
    tone = 0.3 * np.sign(np.sin(2 * np.pi * 150 * np.arange(32_000) / 16_000))
    assert islander_trials.pitch_of(tone.astype(np.float32)) == pytest.approx(150, rel=0.03)
