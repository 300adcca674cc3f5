"""Tab 3, Guess who: one voice, four faces. A class votes, the model answers, both are counted."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Sequence

import numpy as np

from helpers.archipelago import portraits, voices
from helpers.archipelago.islanders import Islander, islander
from helpers.settings import FIRST_TEST_ISLANDER
from helpers.web_demo import engine, pictures
from helpers.web_demo.your_voice import cosines

LETTERS = "ABCD"
CHANCE = 1 / len(LETTERS)
GALLERIES = ("anybody", "same sex", "same sex and age")
"""Who the four are. With anybody, hearing the sex is half the answer."""
MOST_VOTES = 9_999
YEARS_APART = 7.0
"""Largest difference in age from the first of the four in the gallery `same sex and age`."""
_POOL = 20_000
_PORTRAIT_SIZE = 256
_NAMES = {"class": "The class", "model": "The model"}


@dataclasses.dataclass(frozen=True)
class Round:
    """One question: who of four test islanders speaks?

    Attributes:
        people: Numbers of the four, none of whom a network was trained on.
        speaker: Which of them speaks, 0 to 3.
        gallery: One of `GALLERIES`.
        recording: Which recording of the speaker.
    """

    people: tuple[int, ...]
    speaker: int
    gallery: str
    recording: int


@dataclasses.dataclass(frozen=True)
class Score:
    """What was right so far in one kind of gallery.

    Attributes:
        rounds: Questions answered.
        right: Name (`class`, `model`) -> how many were right; a tie with the right one counts as
            its share.
    """

    rounds: int = 0
    right: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(_NAMES, 0.0))

    def counted(self, **right: float) -> Score:
        """Returns the score after one more round."""
        total = {name: self.right[name] + right[name] for name in self.right}
        return Score(self.rounds + 1, total)


@dataclasses.dataclass(frozen=True)
class Game:
    """One visitor's game.

    Attributes:
        round: The question that is on the page; None before the first.
        answered: Whether its answer was shown.
        scores: Gallery -> score.
    """

    round: Round | None = None
    answered: bool = False
    scores: dict[str, Score] = dataclasses.field(default_factory=dict)

    def score(self) -> Score:
        """Returns the score of the gallery that is being played."""
        return self.scores.get(self.gallery, Score())

    @property
    def gallery(self) -> str:
        """The gallery that is being played, or is offered first."""
        return self.round.gallery if self.round else GALLERIES[1]

    def kept(self) -> dict[str, list[float]]:
        """Returns the scores as a browser keeps them: gallery -> rounds and who was right."""
        return {name: [score.rounds, *score.right.values()] for name, score in self.scores.items()}

    def resumed(self, kept: object) -> Game:
        """Returns the game with the scores that a browser kept; if they make no sense, as it is."""
        try:
            scores = {
                name: Score(
                    int(kept[name][0]), dict(zip(_NAMES, map(float, kept[name][1:]), strict=True))
                )
                for name in GALLERIES
                if name in kept
            }
        except (LookupError, TypeError, ValueError):
            return self
        return dataclasses.replace(self, scores=scores)


def new_round(gallery: str, random: np.random.Generator | None = None) -> Round:
    """Draws four test islanders and who of them speaks.

    Args:
        gallery: One of `GALLERIES`.
        random: Source of the draw; None takes a fresh one.

    Raises:
        ValueError: There is no such gallery.
    """
    if gallery not in GALLERIES:
        raise ValueError(f"There is no gallery {gallery!r}. Choose one of: {', '.join(GALLERIES)}.")
    random = random or np.random.default_rng()
    people: list[Islander] = []
    while len(people) < len(LETTERS):
        person = islander(FIRST_TEST_ISLANDER + int(random.integers(_POOL)))
        if all(person.number != other.number for other in people) and (
            not people or _fits(person, people[0], gallery)
        ):
            people.append(person)
    numbers = [person.number for person in people]
    random.shuffle(numbers)  # The first one drawn is nobody special.
    return Round(tuple(numbers), int(random.integers(4)), gallery, int(random.integers(4)))


def voice_of(question: Round) -> np.ndarray:
    """Lets the speaker of a round speak, float32 (96000,)."""
    return voices.speak(islander(question.people[question.speaker]), question.recording)


def model_answer(
    shared: engine.Engine, question: Round, waveform: np.ndarray
) -> tuple[int, np.ndarray]:
    """Asks the model which of the four faces belongs to the voice.

    Args:
        shared: What makes the faces.
        question: The round.
        waveform: What `voice_of` returned.

    Returns:
        Which face, 0 to 3, and how alike each one's feature is to the predicted one, cosines (4,).
    """
    faces = np.stack([shared.feature_of(portrait(number)) for number in question.people])
    predicted = shared.features(waveform[None])[0]
    alike = cosines(predicted, faces, shared.centre())
    return int(np.argmax(alike)), alike


def class_share(votes: Sequence[float | None], speaker: int) -> float:
    """Returns 1 if most voted for the speaker, a share if it is a tie, else 0.

    Args:
        votes: How many voted for each of the four.
        speaker: Which one is right, 0 to 3.

    Raises:
        ValueError: Nobody voted, or a number of votes is none.
    """
    counts = [vote or 0 for vote in votes]
    if not all(isinstance(vote, int | float) and 0 <= vote <= MOST_VOTES for vote in counts):
        raise ValueError(f"A number of votes goes from 0 to {MOST_VOTES:,}.")
    if not sum(counts):
        raise ValueError("Nobody has voted yet: press A, B, C or D, or write the votes below.")
    first = [index for index, count in enumerate(counts) if count == max(counts)]
    return 1 / len(first) if speaker in first else 0.0


def settle(game: Game, votes: Sequence[float | None], model: int) -> Game:
    """Counts an answered round; a round that was counted before stays as it is.

    Args:
        game: The game with an open round.
        votes: As in `class_share`.
        model: Which face the model chose.

    Raises:
        ValueError: As in `class_share`.
    """
    if game.answered or game.round is None:
        return game
    question = game.round
    right = {
        "class": class_share(votes, question.speaker),
        "model": float(model == question.speaker),
    }
    scores = game.scores | {question.gallery: game.score().counted(**right)}
    return dataclasses.replace(game, answered=True, scores=scores)


@functools.lru_cache(maxsize=200)
def portrait(number: int) -> np.ndarray:
    """Paints an islander, uint8 (256, 256, 3) RGB."""
    return portraits.portrait(islander(number), size=_PORTRAIT_SIZE)


def face(question: Round, index: int, marks: Sequence[str] = ()) -> str:
    """Shows one of the four faces; `marks` say what it turned out to be."""
    letter = LETTERS[index]
    caption = " · ".join([letter, *marks])
    mark = "truth" if "speaks" in " ".join(marks) else ""
    picture = portrait(question.people[index])
    return f'<div class="faces">{pictures.figure(picture, f"Face {letter}.", caption, mark)}</div>'


def revealed(
    question: Round, votes: Sequence[float | None], model: int, alike: np.ndarray
) -> list[str]:
    """Shows the four faces with the answer: who speaks, the votes, what the model made of it."""
    pieces = []
    for index in range(len(LETTERS)):
        count = int(votes[index] or 0)
        marks = [f"{count} {'vote' if count == 1 else 'votes'}", f"model {alike[index]:.2f}"]
        marks += ["the model's answer"] if index == model else []
        marks += ["speaks"] if index == question.speaker else []
        pieces.append(face(question, index, marks))
    return pieces


def result(question: Round, share: float, model: int) -> str:
    """Says in a sentence how a round ended."""
    speaker = LETTERS[question.speaker]
    people = {1.0: "was right", 0.0: "was wrong"}.get(share, "was undecided")
    machine = "was right" if model == question.speaker else f"said {LETTERS[model]} and was wrong"
    person = islander(question.people[question.speaker])
    who = {"F": "woman", "M": "man"}[person.sex]
    return note(
        f"{speaker} speaks, a {who} of {person.age:.0f} years. The class {people}, the model "
        f"{machine}."
    )


def note(text: str, problem: bool = False) -> str:
    """Shows a sentence below the faces."""
    return f'<p class="{"refusal" if problem else "result"}" role="status">{html.escape(text)}</p>'


def score_table(game: Game) -> str:
    """Shows the score of the gallery being played, against chance."""
    score = game.score()
    rows = []
    for name, title in _NAMES.items():
        share = score.right[name] / score.rounds if score.rounds else 0.0
        count = f"{score.right[name]:g} of {score.rounds}"
        rows.append(_bar(title, share, f"{count}, {share:.0%}" if score.rounds else "no round yet"))
    rows.append(_bar("Chance", CHANCE, f"{CHANCE:.0%}"))
    return f'<div class="score"><h3>Score, {game.gallery}</h3>{"".join(rows)}</div>'


def _bar(title: str, share: float, text: str) -> str:
    return (
        f'<div class="bar"><span>{title}</span><span class="track"><i style="width:{share:.1%}">'
        f'</i><b style="left:{CHANCE:.0%}"></b></span><span>{text}</span></div>'
    )


def _fits(person: Islander, first: Islander, gallery: str) -> bool:
    if gallery == "anybody":
        return True
    same = person.sex == first.sex
    return same and (gallery == "same sex" or abs(person.age - first.age) <= YEARS_APART)
