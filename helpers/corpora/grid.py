"""GRID: 33 people say a thousand short commands each; see `data_manifest/grid.md`."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from helpers.corpora import lists, remote_zip
from helpers.corpora.choosing import Choice, dealt, recipe, thinned
from helpers.corpora.rows import WHOLE, ManifestError, Row
from helpers.downloading import web
from helpers.settings import Settings

_SENTENCE = re.compile(r"[blps][bgrw][abiw][a-z][1-9z][anps]")
"""Six letters: command, colour, preposition, letter, digit, adverb, as in `bbaf2n`."""


def rows(settings: Settings, choice: Choice) -> list[Row]:
    """Makes the rows from the list of people and the tables of contents of their archives.

    Args:
        settings: `mode`, `corpus_at` and `workspace` matter.
        choice: Which of the clips to take.

    Raises:
        ManifestError: An archive cannot be had, or holds no clips.
    """
    plan = recipe("grid")
    at = lists.base(settings, plan["at"])
    sexes = dict.fromkeys(plan["women"], "F") | dict.fromkeys(plan["men"], "M")
    splits = dealt({_speaker(person): sex for person, sex in sexes.items()})
    clips = []
    for person in sorted(sexes):
        archive = f"{at}/{plan['archive'].format(person=person)}"
        members = _members(archive, settings)
        clips += [(person, archive, m) for m in thinned(members, plan[settings.mode]["clips_each"])]
    return [
        Row(
            clip_id=f"grid-s{person}-{PurePosixPath(member).stem}",
            corpus="grid",
            source="zip",
            locator=f"{archive}#{member}",
            speaker_id=_speaker(person),
            split=splits[_speaker(person)],
            sex=sexes[person],
            language="en",
            **WHOLE,
        )
        for person, archive, member in choice(clips)
    ]


def _members(archive: str, settings: Settings) -> list[str]:
    """Returns the clips in an archive by name, from the workspace where they were listed before."""
    path = lists.kept(archive, settings)
    if path.is_file():
        return path.read_text(encoding="utf-8").split()
    try:
        listed = remote_zip.members(archive, web.Limits(private=settings.allow_private_addresses))
    except web.Refusal as refusal:
        raise lists.unreachable(archive, refusal) from refusal
    members = sorted(name for name in listed if _is_clip(PurePosixPath(name)))
    if not members:
        raise ManifestError(f"The archive {archive} holds no clips of GRID such as s1/bbaf2n.mpg.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(members), encoding="utf-8")
    return members


def _is_clip(member: PurePosixPath) -> bool:
    return member.suffix == ".mpg" and bool(_SENTENCE.fullmatch(member.stem))


def _speaker(person: int) -> str:
    return f"grid-s{person}"
