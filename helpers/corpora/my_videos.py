"""A folder of videos of your own; see `data_manifest/my_videos.md`."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from helpers.corpora.choosing import Choice, recipe, split_of
from helpers.corpora.rows import ManifestError, Row, validate
from helpers.settings import Settings


def rows(settings: Settings, choice: Choice) -> list[Row]:
    """Makes the rows of the folder that the settings name.

    Args:
        settings: `videos` matters.
        choice: Which of the videos to take.

    Raises:
        ManifestError: There is no such folder, or nothing in it.
    """
    return list(choice(from_folder(Path(settings.videos))))


def speakers_to_split() -> int:
    """Returns how many people a folder of videos needs for some of them to be trained with."""
    return recipe("my_videos")["speakers_for_training"]


def from_folder(folder: Path) -> list[Row]:
    """Makes rows from a folder of videos, after the rule in `data_manifest/my_videos.toml`.

    Each file is a speaker of its own; in a sub-folder all files are of the speaker that it is named
    after. Every file becomes a row, also one that is no video: notebook 01 says why it cannot be
    used. Hidden files are left out.

    Args:
        folder: The folder.

    Raises:
        ManifestError: There is no such folder, or nothing in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ManifestError(
            f"There is no folder {folder}. Set videos to the folder of your videos."
        )
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [(path, p) for p in inside if p.is_file() and not p.name.startswith(".")]
    if not files:
        raise ManifestError(f"There are no files in {folder}. Put your videos there.")
    taken: set[str] = set()
    people = {
        top: _identifier(top.stem if top.is_file() else top.name, top.name) for top, _ in files
    }
    if len(set(people.values())) < len(people):  # anna.mp4 beside anna.webm or the folder anna
        people = {top: _identifier(top.name, top.name) for top in people}
    small = len(people) < speakers_to_split()
    made = []
    for top, path in files:
        relative = str(path.relative_to(folder))
        clip_id = _identifier(str(path.relative_to(folder).with_suffix("")), relative)
        if clip_id in taken:
            clip_id = _identifier(relative, relative)
        taken.add(clip_id)
        speaker = people[top]
        split = "test" if small else split_of(speaker)
        locator = str(path.resolve())
        made.append(
            Row(clip_id, "my_videos", "file", locator, 0.0, None, None, None, speaker, split)
        )
    return validate(made, str(folder), own=True)


def _identifier(text: str, original: str) -> str:
    """Makes an identifier from a file name; a changed one gets digits that keep it unique."""
    plain = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9_.-]+", "-", text)).strip("-.")[:80]
    if plain == text:
        return plain
    return f"{plain or 'clip'}-{hashlib.sha256(os.fsencode(original)).hexdigest()[:6]}"
