"""The voice workshop and Guess who, without a browser."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from helpers.archipelago import phonetics, voices
from helpers.archipelago.islanders import islander
from helpers.settings import FIRST_TEST_ISLANDER
from helpers.web_demo import engine, guess_who, workshop


def test_a_voice_of_the_workshop_is_always_the_same():
    voice = workshop.Voice(pitch=120)
    assert np.array_equal(workshop.speak(voice), workshop.speak(voice))
    assert workshop.speak(voice).shape == (96_000,)


@pytest.mark.parametrize(
    ("low", "high", "measure", "factor"),
    [
        ({"pitch": 110}, {"pitch": 220}, "pitch", 2.0),
        ({"tract": 14.0}, {"tract": 18.0}, "tract_length", 18 / 14),
        ({"tempo": 110}, {"tempo": 230}, "tempo", 1.6),
    ],
)
def test_a_slider_moves_what_it_says(low, high, measure, factor):
    first, second = (
        getattr(phonetics.measure(workshop.speak(workshop.Voice(**some))), measure)
        for some in (low, high)
    )
    assert second / first == pytest.approx(factor, rel=0.2)


def test_breath_makes_a_voice_less_periodic():
    clear, breathy = (
        phonetics.measure(workshop.speak(workshop.Voice(breathiness=share))).harmonicity
        for share in (0.05, 0.9)
    )
    assert breathy < clear - 2


def test_another_accent_says_something_else():
    languages = list(workshop.ACCENTS)
    assert len(languages) == 18 and set(workshop.ACCENTS.values()) == set(voices.ACCENTS)
    one, other = (workshop.speak(workshop.Voice(accent=name)) for name in languages[:2])
    assert np.abs(one - other).max() > 0.05


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [(0, None, "Pitch"), (1, 99, "13 to 19"), (4, "old", "Age"), (5, "Martian", "no accent")],
)
def test_what_is_no_slider_value_is_answered_with_a_sentence(field, value, says):
    values = [slider.start for slider in workshop.SLIDERS] + ["Aurel: English", 0]
    values[field] = value
    face, sound = workshop.answer(engine.Engine(), *values)
    assert says in face and 'role="alert"' in face and not sound
    assert "None" not in face


@pytest.mark.parametrize("gallery", guess_who.GALLERIES)
def test_four_different_test_islanders_of_one_kind(gallery):
    for seed in range(20):
        question = guess_who.new_round(gallery, np.random.default_rng(seed))
        people = [islander(number) for number in question.people]
        assert len({person.number for person in people}) == 4
        assert all(person.number >= FIRST_TEST_ISLANDER for person in people)
        if gallery != "anybody":
            assert len({person.sex for person in people}) == 1
        if gallery == "same sex and age":
            ages = [person.age for person in people]
            assert max(ages) - min(ages) <= 2 * guess_who.YEARS_APART


def test_every_place_speaks_equally_often():
    speakers = [
        guess_who.new_round("anybody", np.random.default_rng(seed)).speaker for seed in range(400)
    ]
    assert min(np.bincount(speakers, minlength=4)) > 70


def test_an_unknown_gallery_is_refused():
    with pytest.raises(ValueError, match="anybody, same sex"):
        guess_who.new_round("everybody")


@pytest.mark.parametrize(
    ("votes", "share"), [((0, 3, 1, 0), 1), ((2, 2, 0, 0), 0.5), ((5, 3, 0, None), 0)]
)
def test_a_tie_counts_as_its_share(votes, share):
    assert guess_who.class_share(votes, speaker=1) == share


@pytest.mark.parametrize(
    "votes", [(0, 0, 0, 0), (None,) * 4, (-1, 2, 0, 0), (0, 99_999, 0, 0), ("many", 1, 0, 0)]
)
def test_no_votes_are_not_counted(votes):
    with pytest.raises(ValueError, match="votes|voted"):
        guess_who.class_share(votes, speaker=1)


def _game(gallery: str = "same sex") -> guess_who.Game:
    return guess_who.Game(guess_who.Round((1, 2, 3, 4), 1, gallery, 0))


def test_the_score_runs_on_for_each_gallery_and_a_round_counts_once():
    game = guess_who.settle(_game(), (0, 1, 0, 0), model=0)
    again = guess_who.settle(game, (0, 1, 0, 0), model=0)
    assert again.score() == guess_who.Score(1, {"class": 1.0, "model": 0.0})
    other = guess_who.Game(_game("anybody").round, scores=again.scores)
    assert other.score() == guess_who.Score()
    said = guess_who.score_table(again)
    assert "1 of 1, 100%" in said and "0 of 1, 0%" in said and "25%" in said


def test_the_score_comes_back_from_what_the_browser_kept():
    game = guess_who.settle(_game(), (0, 1, 1, 0), model=1)
    kept = json.loads(json.dumps(game.kept()))
    again = guess_who.Game().resumed(kept)
    assert again.scores == game.scores and again.round is None
    assert "Score, same sex" in guess_who.score_table(again)
    assert "0.5 of 1, 50%" in guess_who.score_table(again)


@pytest.mark.parametrize(
    "kept", [None, 3, "same sex", {"same sex": None}, {"same sex": [1]}, {"same sex": [1, "x", 0]}]
)
def test_what_no_browser_kept_changes_no_score(kept):
    game = guess_who.settle(_game(), (0, 1, 0, 0), model=1)
    assert game.resumed(kept) == game


def test_one_vote_is_not_called_votes():
    faces = guess_who.revealed(_game().round, (0, 1, 2, 0), 0, np.zeros(4))
    counts = [re.search(r"\d votes?", face)[0] for face in faces]
    assert counts == ["0 votes", "1 vote", "2 votes", "0 votes"]


def test_the_answer_names_the_speaker_and_both_outcomes():
    question = guess_who.Round((1_000_001, 1_000_002, 1_000_003, 1_000_004), 2, "anybody", 0)
    said = guess_who.result(question, share=0.0, model=2)
    assert "C speaks" in said and "class was wrong" in said and "model was right" in said
    faces = guess_who.revealed(question, (1, 0, 2, 0), 2, np.array([0.1, -0.2, 0.7, 0.0]))
    assert "the model&#x27;s answer" in faces[2] and "speaks" in faces[2] and "2 votes" in faces[2]
    assert "speaks" not in faces[0]


@pytest.mark.slow
def test_the_model_finds_the_speaker_far_more_often_than_chance():
    """32 rounds among four of one sex; chance is 8 right."""
    shared = engine.Engine()
    shared.start()
    right = 0
    for seed in range(32):
        question = guess_who.new_round("same sex", np.random.default_rng(seed))
        model, alike = guess_who.model_answer(shared, question, guess_who.voice_of(question))
        assert alike.shape == (4,)
        right += model == question.speaker
    assert right >= 18
