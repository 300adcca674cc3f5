"""The embedded corpus: talking islanders; see `data_manifest/archipelago.md`."""

from __future__ import annotations

from collections.abc import Iterator

from helpers.archipelago.islanders import ISLANDS, islander
from helpers.corpora.choosing import Choice, recipe
from helpers.corpora.rows import Row, validate
from helpers.settings import FIRST_TEST_ISLANDER, Settings


def rows(settings: Settings, choice: Choice) -> list[Row]:
    """Makes the rows of the embedded corpus, after `data_manifest/archipelago.toml`.

    Args:
        settings: `mode` says how many there are.
        choice: Which of them to take.
    """
    plan = recipe("archipelago")[settings.mode]
    clips = []
    for place, number in enumerate(_numbers("train", plan["training_islanders"])):
        clips += [f"{number}/{clip}" for clip in range(plan["clips_each"])]
        fault, rest = divmod(place, plan["broken_every"])
        if not rest and fault < len(plan["broken"]):
            clips.append(f"{number}/{plan['clips_each']}/{plan['broken'][fault]}")
    clips += [f"{number}/0" for number in _numbers("validation", plan["validation_islanders"])]
    clips += [f"{FIRST_TEST_ISLANDER + n}/0" for n in range(plan["test_islanders"])]
    return validate([_row(locator) for locator in choice(clips)], "archipelago")


def _row(locator: str) -> Row:
    from helpers.archipelago.clips import face_position
    from helpers.archipelago.sentences import VOICES

    number, clip = (int(part) for part in locator.split("/")[:2])
    person = islander(number)
    # Two digits are a few pixels, and the same on every machine; more would not be, and would
    # make other tables there.
    face_x, face_y = (round(min(max(place, 0.0), 1.0), 2) for place in face_position(locator))
    return Row(
        clip_id=f"islander-{number}-clip-{clip}",
        corpus="archipelago",
        source="archipelago",
        locator=locator,
        start_s=0.0,
        end_s=None,
        face_x=face_x,
        face_y=face_y,
        speaker_id=f"islander-{number}",
        split=person.split,
        sex=person.sex,
        age=person.age,
        group=ISLANDS[person.island],
        language=VOICES[person.island][person.language],
    )


def _numbers(split: str, count: int) -> Iterator[int]:
    number = 0
    while count:
        if islander(number).split == split:
            yield number
            count -= 1
        number += 1
