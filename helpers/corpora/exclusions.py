"""Who and what is left out of every corpus: `data_manifest/exclusions.csv`.

Somebody who does not want to be in a corpus, or a clip that is broken, gets a line there. It is
read whenever a manifest is loaded. A second file of the same form, `exclusions.csv` in the
workspace, holds what a class or a lab wants to leave out beside that.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from helpers.corpora.choosing import FOLDER
from helpers.corpora.rows import ManifestError, Row

FILE = "exclusions.csv"
KINDS = ("clip", "speaker", "video")
"""What a line can leave out: a `clip_id`, a `speaker_id`, or whatever has a `locator`."""
_COLUMNS = ["kind", "id", "reason"]

Exclusions = dict[tuple[str, str], str]
"""Kind and id -> reason."""


def read(*folders: Path) -> Exclusions:
    """Reads the lists of what is left out.

    Args:
        *folders: Folders beside `data_manifest` that may have such a list.

    Raises:
        ManifestError: A list cannot be read, or a line is not valid; names the line. Going on
            without it could show somebody who asked not to be shown.
    """
    found: Exclusions = {}
    for path in (folder / FILE for folder in (FOLDER, *folders)):
        if path.is_file():
            found |= _read(path)
    return found


def without(rows: Iterable[Row], exclusions: Exclusions) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Leaves out what is on a list.

    Args:
        rows: Rows of a corpus.
        exclusions: From `read`.

    Returns:
        The rows that stay, and those left out, each with the reason.
    """
    kept, out = [], []
    for row in rows:
        names = (("clip", row.clip_id), ("speaker", row.speaker_id), ("video", row.locator))
        reason = next((exclusions[name] for name in names if name in exclusions), None)
        if reason is None:
            kept.append(row)
        else:
            out.append((row, reason))
    return kept, out


def _read(path: Path) -> Exclusions:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [value.strip() for value in values]) for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} cannot be read as CSV in UTF-8: {error}.") from error
    lines = [(number, values) for number, values in lines if any(values)]
    if not lines or lines[0][1] != _COLUMNS:
        raise ManifestError(f"{path}, line 1: it should be {','.join(_COLUMNS)}.")
    found: Exclusions = {}
    for number, values in lines[1:]:
        if len(values) != len(_COLUMNS) or values[0] not in KINDS or not values[1]:
            kinds = ", ".join(KINDS)
            raise ManifestError(
                f"{path}, line {number}: it should be one of {kinds}, then an id and a reason."
            )
        found[values[0], values[1]] = values[2] or "no reason is given"
    return found
