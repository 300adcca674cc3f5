"""Trained on some people only, a model gives everybody the faces of those."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import face_features
from helpers.measuring import training_sets
from helpers.settings import FIRST_TEST_ISLANDER


@pytest.fixture(scope="module")
def people() -> training_sets.People:
    return training_sets.training_people(1200)


@pytest.fixture(scope="module")
def heard() -> training_sets.People:
    return training_sets.heard_people(60)


def test_nobody_is_both_trained_on_and_heard(people, heard) -> None:
    from helpers.measuring import oracles

    assert oracles.training_islanders().numbers.max() < FIRST_TEST_ISLANDER
    assert len(people) == 1200 and len(heard) == 60 and not len(heard.features)
    assert len(set(people.island)) == 6


def test_every_training_set_is_large_enough_and_only_the_first_has_everybody(people) -> None:
    for name, who in training_sets.TRAINING_SETS.items():
        chosen = who(people)
        assert chosen.sum() >= 50
        assert chosen.all() == (name == "everybody")


def test_the_same_voices_get_faces_of_those_who_were_trained_on(people, heard) -> None:
    reader = face_features.released_attribute_reader()
    looks_male = {
        name: reader.sex(
            training_sets.predicted(people, training_sets.TRAINING_SETS[name](people), heard)
        )
        for name in ("everybody", "women only", "men only")
    }
    women = heard.sex == "F"
    assert np.mean((looks_male["everybody"] > 0.5) == ~women) > 0.95
    assert np.mean(looks_male["women only"] > 0.5) < 0.1
    assert np.mean(looks_male["men only"] > 0.5) > 0.9


def test_one_island_only_moves_the_average_face_towards_that_island(people, heard) -> None:
    everybody, brindle = (
        training_sets.predicted(people, training_sets.TRAINING_SETS[name](people), heard).mean(0)
        for name in ("everybody", "Brindle only")
    )
    islanders = people.features[people.island == "Brindle"].mean(0)
    before, after = (np.linalg.norm(mean - islanders) for mean in (everybody, brindle))
    assert after < 0.4 * before


def test_too_few_to_train_on_are_refused(people, heard) -> None:
    with pytest.raises(ValueError, match="50 people or more"):
        training_sets.predicted(people, np.arange(len(people)) < 49, heard)


def test_the_outcomes_count_whom_a_training_set_does_not_know(people) -> None:
    reader = face_features.released_attribute_reader()
    found = {one.name: one for one in training_sets.outcomes(reader, people)}
    assert list(found) == list(training_sets.TRAINING_SETS)
    everybody = found["everybody"]
    assert everybody.trained_on == 1200 and everybody.means.shape == (4, 128)
    assert everybody.women_right > 0.95 and everybody.men_right > 0.95
    assert found["women only"].men_right < 0.1 and found["men only"].women_right < 0.1
    assert found["over 60 only"].error_of_young > everybody.error_of_young + 5
    assert everybody.row()["women drawn as women"].endswith("%")


def test_within_a_sex_a_higher_voice_makes_no_woman_but_over_all_people_it_does(people) -> None:
    reader = face_features.released_attribute_reader()
    mean, found = people.features.mean(0), training_sets.axes(people)

    def looks_male(name: str) -> float:
        low, high = (reader.sex((mean + step * found[name])[None])[0] for step in (-2, 2))
        return float(low - high)

    assert looks_male("low to high voice") > 0.8
    assert looks_male("the same within a sex") < 0.5
    young, old = (
        reader.age((mean + step * found["young to old, within a sex"])[None])[0] for step in (-2, 2)
    )
    assert old > young + 20
