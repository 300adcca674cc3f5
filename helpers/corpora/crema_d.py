"""CREMA-D: 91 actors say twelve sentences; see `data_manifest/crema_d.md`."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from helpers.corpora import lists
from helpers.corpora.choosing import Choice, dealt, recipe, thinned
from helpers.corpora.rows import WHOLE, ManifestError, Row
from helpers.settings import Settings

_NAME = re.compile(r"(\d{4})_[A-Z]{3}_([A-Z]{3})_(XX|LO|MD|HI)")
_LARGEST_LIST = 5_000_000


def rows(settings: Settings, choice: Choice) -> list[Row]:
    """Makes the rows from the corpus's list of clips and its list of actors.

    Args:
        settings: `mode`, `corpus_at` and `workspace` matter.
        choice: Which of the clips to take.

    Raises:
        ManifestError: A list cannot be had, or is not as published.
    """
    plan = recipe("crema_d")
    at = lists.base(settings, plan["at"])
    lists_at = lists.base(settings, plan["lists_at"])
    actors = {row["ActorID"]: row for row in _read(settings, f"{lists_at}/{plan['actors']}")}
    listed = _read(settings, f"{lists_at}/{plan['clips']}")
    try:
        sexes = {actor: row["Sex"][0].upper() for actor, row in actors.items()}
        splits = dealt(sexes)
        clips = _of_mode([_parts(row["Filename"]) for row in listed], plan[settings.mode])
        return [
            Row(
                clip_id=name,
                corpus="crema_d",
                source="https",
                locator=f"{at}/{plan['folder']}/{name}{plan['ending']}",
                speaker_id=f"crema_d-{actor}",
                split=splits[actor],
                sex=sexes[actor],
                age=float(actors[actor]["Age"]),
                group=actors[actor]["Race"],
                language="en",
                **WHOLE,
            )
            for name, actor, _ in choice(clips)
        ]
    except (KeyError, IndexError, ValueError) as error:
        raise ManifestError(
            f"The lists of CREMA-D at {lists_at} are not as published: {error!r} is missing or "
            f"odd. Delete {lists.kept('', settings).parent} and try again."
        ) from error


def _parts(name: str) -> tuple[str, str, str]:
    """Reads a name such as 1001_IEO_NEU_XX: actor, sentence, emotion, how strong it is."""
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(name)
    return name, found[1], found[2]


def _of_mode(clips: list[tuple[str, str, str]], plan: dict) -> list[tuple[str, str, str]]:
    """Keeps the emotions of the mode, and at most so many clips of each actor."""
    by_actor: dict[str, list] = {}
    for clip in clips:
        if clip[2] in plan["emotions"]:
            by_actor.setdefault(clip[1], []).append(clip)
    return [clip for own in by_actor.values() for clip in thinned(own, plan["clips_each"])]


def _read(settings: Settings, address: str) -> list[dict[str, str]]:
    path: Path = lists.fetched(address, settings, _LARGEST_LIST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        path.unlink(missing_ok=True)
        raise ManifestError(f"The list at {address} is no CSV in UTF-8: {error}.") from error
