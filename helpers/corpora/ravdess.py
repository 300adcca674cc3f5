"""RAVDESS: 24 actors say two sentences; see `data_manifest/ravdess.md`."""

from __future__ import annotations

import itertools

from helpers.corpora import lists
from helpers.corpora.choosing import Choice, dealt, recipe
from helpers.corpora.rows import WHOLE, Row
from helpers.settings import Settings


def rows(settings: Settings, choice: Choice) -> list[Row]:
    """Makes the rows from the naming rule alone; no list is needed.

    Args:
        settings: `mode` and `corpus_at` matter.
        choice: Which of the clips to take.
    """
    plan = recipe("ravdess")
    at = lists.base(settings, plan["at"])
    splits = dealt({_speaker(actor): sex_of(actor) for actor in _actors(plan)})
    clips = [
        (actor, name)
        for actor in _actors(plan)
        for name in names_of(actor, plan[settings.mode]["emotions"])
    ]
    return [
        Row(
            clip_id=f"ravdess-{name}",
            corpus="ravdess",
            source="zip",
            locator=f"{at}/{plan['archive'].format(actor=actor)}"
            f"#{plan['member'].format(actor=actor, name=name)}",
            speaker_id=_speaker(actor),
            split=splits[_speaker(actor)],
            sex=sex_of(actor),
            language="en",
            **WHOLE,
        )
        for actor, name in choice(clips)
    ]


def sex_of(actor: int) -> str:
    """Returns the sex of an actor: those with odd numbers are men."""
    return "M" if actor % 2 else "F"


def names_of(actor: int, emotions: list[int]) -> list[str]:
    """Lists the files with picture and sound of one actor, without their ending.

    A name has seven numbers: 01 (picture and sound), 01 (speech), emotion, strength, sentence,
    repetition and actor. Neutral speech (emotion 1) has one strength, all others have two.

    Args:
        actor: 1 to 24.
        emotions: 1 to 8.
    """
    return [
        f"01-01-{emotion:02}-{strength:02}-{sentence:02}-{repetition:02}-{actor:02}"
        for emotion, strength, sentence, repetition in itertools.product(
            emotions, (1, 2), (1, 2), (1, 2)
        )
        if (emotion, strength) != (1, 2)
    ]


def _actors(plan: dict) -> range:
    return range(1, plan["actors"] + 1)


def _speaker(actor: int) -> str:
    return f"ravdess-{actor:02}"
