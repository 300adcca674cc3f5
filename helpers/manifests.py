"""Rows of a corpus: what a manifest says, what it must not say, and who is in which split."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from helpers.corpora import (
    archipelago,
    avspeech,
    crema_d,
    exclusions,
    grid,
    lists,
    my_videos,
    ravdess,
)
from helpers.corpora.choosing import Choice, split_of, thinned
from helpers.corpora.my_videos import speakers_to_split
from helpers.corpora.rows import COLUMNS, SOURCES, ManifestError, Row, check_names, validate
from helpers.session import default_workspace
from helpers.settings import Settings

__all__ = [
    "Manifest",
    "ManifestError",
    "Row",
    "load",
    "read_csv",
    "speakers_to_split",
    "split_of",
    "validate",
    "write_csv",
]

_CORPORA = {
    "archipelago": archipelago,
    "my_videos": my_videos,
    "crema_d": crema_d,
    "ravdess": ravdess,
    "grid": grid,
    "avspeech": avspeech,
}
"""The rooms with a function `rows(settings, choice)`."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The rows of a corpus, checked.

    Attributes:
        rows: In the order in which they are fetched.
        left_out: Rows that `data_manifest/exclusions.csv` leaves out, each with the reason.
    """

    rows: tuple[Row, ...]
    left_out: tuple[tuple[Row, str], ...] = dataclasses.field(default=(), compare=False)

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ when the clips differ.

        A file counts by what is in it, not by where it lies, so a replaced video makes new tables
        and a moved folder does not.
        """
        digest = hashlib.sha256()
        for row in self.rows:
            values = dataclasses.asdict(row)
            if row.source == "file":
                values["locator"] = _file_digest(Path(row.locator).expanduser())
            digest.update(json.dumps(values, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()[:16]

    def speakers(self, split: str | None = None) -> list[str]:
        """Returns the speakers of a split, or all, in the order of their first row."""
        return list(dict.fromkeys(r.speaker_id for r in self.rows if split in (None, r.split)))

    def select(self, **values: object) -> Manifest:
        """Returns the rows that have these values, such as `select(split="test", sex="F")`."""
        unknown = [name for name in values if name not in COLUMNS]
        if unknown:
            raise ValueError(f"There is no column {unknown[0]!r}; columns: {', '.join(COLUMNS)}.")
        return Manifest(
            tuple(r for r in self.rows if all(getattr(r, n) == v for n, v in values.items()))
        )

    def at_most(self, count: int) -> Manifest:
        """Returns at most so many rows, taken evenly from beginning to end; 0 takes all."""
        return Manifest(tuple(thinned(self.rows, count)))


def load(settings: Settings) -> Manifest:
    """Returns the manifest that the settings ask for.

    What `data_manifest/exclusions.csv` names is left out, whatever the corpus.

    Args:
        settings: `corpus`, `mode`, `videos`, `manifest`, `rows`, `row_range`, `clip_seconds`,
            `corpus_at`, `allow_private_addresses` and `workspace` matter.

    Raises:
        ManifestError: The folder, file or published list is missing or empty, a row is not valid,
            or nothing is left.
    """
    choice = Choice.of(settings)
    if settings.corpus == "manifest":
        rows = choice(_own_csv(settings).rows)
    else:
        rows = _CORPORA[settings.corpus].rows(settings, choice)
        if settings.corpus in ("crema_d", "ravdess", "grid"):
            rows = validate(rows, settings.corpus, private=settings.allow_private_addresses)
    listed = exclusions.read(default_workspace(settings.workspace))
    kept, left_out = exclusions.without(rows, listed)
    if not kept:
        raise ManifestError(
            f"No rows are left of the {len(left_out)} chosen ones: all are in the "
            f"list of exclusions, {exclusions.FILE}."
        )
    return Manifest(tuple(_shortened(row, settings.clip_seconds) for row in kept), tuple(left_out))


def _own_csv(settings: Settings) -> Manifest:
    """Reads the user's manifest; one that comes from an address may not name files here."""
    private = settings.allow_private_addresses
    if not settings.manifest.startswith(("https://", "http://")):
        return read_csv(Path(settings.manifest), private=private)
    allowed = SOURCES if private else tuple(name for name in SOURCES if name != "file")
    name = settings.manifest.rsplit("/", 1)[-1][:80] or settings.manifest[:80]
    path = lists.fetched(settings.manifest, settings)
    return read_csv(path, name=name, allowed=allowed, private=private)


def _shortened(row: Row, seconds: float) -> Row:
    if row.end_s is None or row.end_s - row.start_s <= seconds:
        return row
    return dataclasses.replace(row, end_s=row.start_s + seconds)


def read_csv(path: Path, name: str = "", **checks: object) -> Manifest:
    """Reads and checks a manifest.

    Args:
        path: CSV with a line of column names, UTF-8. A relative path in `locator` starts from the
            folder of this file.
        name: What messages call it; empty takes the name of the file.
        **checks: `allowed`, `private` and `shown` of `rows.validate`.

    Raises:
        ManifestError: It cannot be read, or a row is not valid; names line and column.
    """
    path = Path(path).expanduser()
    name = name or path.name
    lines: list[tuple[int, list[str]]] = []
    begin = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for values in reader:
                lines += [(begin, values)] if values else []
                begin = reader.line_num + 1  # A quoted value may go over several lines.
    except FileNotFoundError:
        raise ManifestError(f"There is no manifest {path}.") from None
    except UnicodeDecodeError:
        line = _first_odd_line(path.read_bytes())
        raise ManifestError(
            f"{name}, line {line}: it is not UTF-8. Save the file as CSV in UTF-8."
        ) from None
    except (OSError, csv.Error) as error:
        raise ManifestError(f"{name} cannot be read as CSV in UTF-8: {error}.") from error
    if not lines:
        raise ManifestError(f"{name}, line 1: the file is empty; it should name the columns.")
    names = [column.strip() for column in lines[0][1]]
    if len(names) == 1 and (other := next((c for c in ";\t|" if c in names[0]), "")):
        raise ManifestError(
            f"{name}, line 1: the columns are separated by {other!r}; separate them by ','."
        )
    check_names(names, name)
    for line, values in lines[1:]:
        if len(values) != len(names):
            raise ManifestError(
                f"{name}, line {line}: {len(values)} values for {len(names)} columns."
            )
    raw = [dict(zip(names, (v.strip() for v in values), strict=True)) for _, values in lines[1:]]
    rows = validate(raw, name, [line for line, _ in lines[1:]], **checks)
    here = path.resolve().parent
    return Manifest(
        tuple(
            dataclasses.replace(row, locator=str(here / Path(row.locator).expanduser()))
            if row.source == "file"
            else row
            for row in rows
        )
    )


def _first_odd_line(content: bytes) -> int:
    """Returns the number of the first line that is not UTF-8."""
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1


def write_csv(manifest: Manifest, path: Path) -> None:
    """Writes a manifest that `read_csv` reads back as the same rows.

    It refuses those of your own files whose names no manifest may have, such as names that are
    not UTF-8: these are written as they are.
    """
    with Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write_rows(manifest.rows, file)


def write_rows(rows: Iterable[Row], file: TextIO) -> None:
    """Writes rows as CSV into an open file.

    Args:
        rows: The rows.
        file: Opened with `newline=""`.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow("" if v is None else v for v in dataclasses.astuple(row))


def _file_digest(path: Path) -> str:
    """Returns a digest of a file's size, beginning and end: quick also for long videos."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(65536))
            file.seek(max(0, size - 65536))
            digest.update(file.read(65536))
    except OSError:
        return "gone"
    return f"{size}-{digest.hexdigest()}"
