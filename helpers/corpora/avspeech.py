"""AVSpeech: pieces of YouTube videos, after its own CSV; see `data_manifest/avspeech.md`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers.corpora import lists
from helpers.corpora.choosing import Choice, recipe, split_of
from helpers.corpora.rows import ManifestError, Row, validate
from helpers.settings import Settings

_COLUMNS = ("locator", "start_s", "end_s", "face_x", "face_y")
"""Columns of AVSpeech's CSV, which has no line of names."""


def rows(settings: Settings, choice: Choice, shown: int = 5) -> list[Row]:
    """Makes rows from AVSpeech's CSV: video, start, end, x, y of the face.

    Only the chosen lines are read into memory, for there are 2.6 million.

    Args:
        settings: `manifest` (the CSV: a path or an address), `mode`, `workspace` matter.
        choice: Which of the lines to take; none given takes as many as the recipe says.
        shown: How many problems to name.

    Raises:
        ManifestError: The file cannot be had or read, or a chosen line is not valid.
    """
    address = settings.manifest.startswith(("https://", "http://"))
    path = lists.fetched(settings.manifest, settings) if address else Path(settings.manifest)
    path = path.expanduser()
    name = settings.manifest.rsplit("/", 1)[-1][:80]
    if choice == Choice() and not settings.row_range:
        choice = Choice(most=recipe("avspeech")[settings.mode]["rows"])
    try:
        with path.open("rb") as file:
            count = sum(1 for line in file if line.strip())
        chosen = choice(range(count))
        found = list(_lines(path, chosen))
        short = [(line, len(values)) for line, values in found if len(values) != len(_COLUMNS)]
    except FileNotFoundError:
        raise ManifestError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{name} cannot be read as AVSpeech's CSV: {error}.") from error
    if short:
        line, size = short[0]
        raise ManifestError(f"{name}, line {line}: {size} values, not 5: video, start, end, x, y.")
    lines = [line for line, _ in found]
    return validate([_row(values) for _, values in found], name, lines, shown=shown)


def _lines(path: Path, chosen: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of each chosen line, from 1, and its values."""
    wanted = chosen if isinstance(chosen, range) else set(chosen)
    with path.open(encoding="utf-8-sig", newline="") as file:
        full = (line for line in enumerate(file, 1) if line[1].strip())
        for place, (number, line) in enumerate(full):
            if place in wanted:
                yield number, next(csv.reader([line], strict=True))


def _row(values: list[str]) -> dict[str, object]:
    """Makes a row of a line; what is wrong with it shows when rows are checked."""
    row = dict(zip(_COLUMNS, (value.strip() for value in values), strict=True))
    video = row["locator"]
    return row | {
        "clip_id": f"v_{video}_{_milliseconds(row['start_s'])}_{_milliseconds(row['end_s'])}",
        "corpus": "avspeech",
        "source": "youtube",
        "speaker_id": f"v_{video}",
        "split": split_of(video),
    }


def _milliseconds(seconds: str) -> str:
    """Writes a time as part of a name; one that is none stays as it is and is refused later."""
    try:
        return f"{round(float(seconds) * 1000):06d}"
    except (ValueError, OverflowError):
        return seconds
