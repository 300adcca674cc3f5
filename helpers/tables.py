"""Tables and checkpoints: what flows from one notebook to the next, checksummed and resumable.

A table is a folder of Parquet shards, each of some 64 clips, and an `index.json` written last. The
folder's name is a fingerprint of the settings that shape the table and of what it was made from, so
changed settings make a new table and never mix with an old one.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from helpers.drive import Mirror, locked, read_json, write_json, written_whole
from helpers.settings import SHARD_CLIPS, Settings
from helpers.stages import (
    FORMAT,
    INDEX,
    STAGES,
    Checkpoints,
    DamagedTable,
    MissingTable,
    Stage,
    Stored,
    missing,
)

__all__ = [
    "STAGES",
    "Checkpoints",
    "DamagedTable",
    "MissingTable",
    "Report",
    "Table",
    "Workspace",
]

LEDGER = "ledger"
"""Folder of the workspace where each notebook notes its time and memory."""
RECOGNITION = "recognition"
"""Folder of the workspace for the weights of recognition networks that had to be fetched."""
_BATCH_ROWS = 16
"""Rows held in memory at a time while a table is read row by row."""


class HasFingerprint(Protocol):
    """What a workspace wants from a manifest."""

    @property
    def fingerprint(self) -> str:
        """Differs for manifests whose clips differ."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What `Table.build` did.

    Attributes:
        made: Keys (clips) made just now.
        kept: Keys that were there already.
        rows: Rows of the whole table.
        seconds: Time that the build took just now.
    """

    made: int
    kept: int
    rows: int
    seconds: float

    def __str__(self) -> str:
        rate = f", {self.made / self.seconds:.2f} a second" if self.made else ""
        return f"{self.made} made, {self.kept} kept, {self.rows} rows, {self.seconds:.1f} s{rate}"

    def metrics(self) -> dict[str, float]:
        """Returns `clips_made`, and where it is not 0 `build_seconds` and `clips_per_second`."""
        if not self.made:
            return {"clips_made": 0}
        rate = round(self.made / self.seconds, 3)
        seconds = round(self.seconds, 2)
        return {"clips_made": self.made, "build_seconds": seconds, "clips_per_second": rate}


class Workspace:
    """The folder with all tables and checkpoints of one or many runs, and its mirror on Drive.

    Attributes:
        local: The folder.
        settings: Settings of the run.
        mirror: Copies on Google Drive; without Drive it does nothing.
    """

    def __init__(self, local: Path, settings: Settings, drive: Path | None = None) -> None:
        self.local = Path(local).expanduser().resolve()
        self.settings = settings
        self.mirror = Mirror(drive)
        self._manifest: HasFingerprint | None = None

    def use(self, manifest: HasFingerprint) -> Workspace:
        """Says which manifest the tables are made from. Returns the workspace itself."""
        self._manifest = manifest
        return self

    def table(self, name: str) -> Table:
        """Returns a table for the stage that makes it.

        Args:
            name: `clips`, `latents`, `faces` or `speech`.

        Raises:
            MissingTable: What the table is made from is not complete.
        """
        return Table(self.local, self.mirror, *self._identity(name))

    def require(self, name: str) -> Table:
        """Returns a complete table whose every shard has just been compared with its checksum.

        Shards that are missing or damaged here are fetched from Drive where it has them.

        Args:
            name: `clips`, `latents`, `faces` or `speech`.

        Raises:
            MissingTable: The table, or one it is made from, is not complete.
            DamagedTable: A shard is damaged and Drive has no good copy.
        """
        table = self.table(name)
        table.verify()
        return table

    def checkpoints(self, name: str) -> Checkpoints:
        """Returns the checkpoints of a training: there already, or to be filled.

        Args:
            name: `encoder` or `decoder`.

        Raises:
            MissingTable: A table it is trained on is not complete.
        """
        return Checkpoints(self.local, self.mirror, *self._identity(name))

    def delete_everything(self) -> list[Path]:
        """Deletes all tables, checkpoints, ledgers and fetched weights, here and on Drive.

        Nothing else in these folders' neighbourhood is touched.

        Returns:
            The folders that were deleted.
        """
        deleted = []
        for name in (*STAGES, LEDGER, RECOGNITION):
            if (self.local / name).exists():
                shutil.rmtree(self.local / name)
                deleted.append(self.local / name)
            if self.mirror.delete(name):
                deleted.append(self.mirror.folder / name)
        return deleted

    def _identity(self, name: str) -> tuple[Stage, dict]:
        if name not in STAGES:
            raise ValueError(f"There is no table {name!r}. Choose one of: {', '.join(STAGES)}.")
        stage = STAGES[name]
        return stage, {
            "format": FORMAT,
            "name": name,
            "edition": stage.edition,
            "settings": {field: getattr(self.settings, field) for field in sorted(stage.fields)},
            "inputs": {other: self._content(other) for other in stage.inputs},
        }

    def _content(self, name: str) -> str:
        if name == "manifest":
            if self._manifest is None:
                raise ValueError("The workspace has no manifest yet: call use(manifest) first.")
            return self._manifest.fingerprint
        # The index is enough here: whoever reads the table itself asks for it with `require`.
        table = self.table(name)
        if not table.complete:
            raise missing(table.stage)
        return table.content


class Table(Stored):
    """Rows of one kind, in shards. Get it from `Workspace.table` or `Workspace.require`.

    Attributes:
        name: Such as `clips`.
        folder: Where the shards are.
        fingerprint: Of the settings and inputs, 16 hexadecimal digits.
    """

    @property
    def content(self) -> str:
        """Fingerprint of what is in the table: a sha256 over the checksums of its shards."""
        files = self._index()["files"]
        text = " ".join(files[file]["sha256"] for file in sorted(files))
        return hashlib.sha256(text.encode()).hexdigest()

    def verify(self) -> None:
        """Compares every shard with its checksum and fetches missing ones from Drive.

        Raises:
            MissingTable: The table is not complete.
            DamagedTable: A shard is damaged and Drive has no good copy.
        """
        index = self._index()
        if not index["complete"]:
            raise missing(self.stage)
        for file, entry in index["files"].items():
            if not self._ready(file, entry):
                raise DamagedTable(
                    f"The table {self.name!r} is damaged: {self.folder / file} does not match its "
                    f"checksum. Run notebook {self.stage.notebook} again (same settings): it "
                    "remakes this shard and keeps the others."
                )
        if read_json(self.folder / INDEX) != index:
            write_json(self.folder / INDEX, index)

    def build(
        self,
        keys: Sequence[str],
        make: Callable[[list[str]], list[dict]],
        schema: pa.Schema,
        progress: bool = True,
    ) -> Report:
        """Makes the shards that are missing. A second call finds nothing to do.

        Every shard is written whole and noted in the index at once, so a stopped run loses at most
        the shard it was at. Sessions that build the same table wait for each other.

        Args:
            keys: One key (clip_id) per clip, in the order that the rows should have.
            make: Gets the keys of one shard and returns their rows: one or more for each key.
            schema: Columns and types. If there is a column `clip_id`, it holds the key.
            progress: Show a progress bar.

        Returns:
            How many keys were made and kept.

        Raises:
            ValueError: A key is there twice, or `make` returned rows that do not fit.
        """
        keys = list(keys)
        twice = [key for key, times in collections.Counter(keys).items() if times > 1]
        if twice:
            raise ValueError(f"The key {twice[0]!r} is there more than once.")
        with locked(self.folder, f"the table {self.name!r}"):
            return self._build(keys, make, schema, progress)

    def _build(self, keys: list[str], make: Callable, schema: pa.Schema, progress: bool) -> Report:
        started = time.perf_counter()
        columns = {field.name: str(field.type) for field in schema}
        shards = {
            f"{start // SHARD_CLIPS:05d}.parquet": keys[start : start + SHARD_CLIPS]
            for start in range(0, len(keys), SHARD_CLIPS)
        }
        index = self._index()
        known = index["files"] if index.get("columns") == columns else {}
        files = {
            file: known[file]
            for file, group in shards.items()
            if file in known
            and known[file]["keys"] == _digest(group)
            and self._ready(file, known[file])
        }
        kept = sum(len(shards[file]) for file in files)
        if len(files) < len(shards):
            self._write_index(files, False, columns=columns)
            self._make_missing(shards, files, make, schema, columns, progress)
        files = {file: files[file] for file in shards}
        if read_json(self.folder / INDEX) != {**index, "complete": True, "files": files}:
            self._write_index(files, True, columns=columns)
        for path in self.folder.glob("*.parquet"):
            if path.name not in files:
                path.unlink()
        self._publish(files, fresh=False)
        rows = sum(entry["rows"] for entry in files.values())
        return Report(len(keys) - kept, kept, rows, time.perf_counter() - started)

    def _make_missing(
        self,
        shards: dict[str, list[str]],
        files: dict[str, dict],
        make: Callable,
        schema: pa.Schema,
        columns: dict[str, str],
        progress: bool,
    ) -> None:
        from tqdm.auto import tqdm

        total = sum(len(group) for group in shards.values())
        kept = sum(len(shards[file]) for file in files)
        with tqdm(
            total=total, initial=kept, desc=self.name, unit="clip", disable=not progress
        ) as bar:
            for file, group in shards.items():
                if file in files:
                    continue
                rows = _checked(make(list(group)), group, schema)
                with written_whole(self.folder / file) as part:
                    pq.write_table(rows, part, row_group_size=SHARD_CLIPS, compression="zstd")
                files[file] = {**self._entry(file), "rows": len(rows), "keys": _digest(group)}
                del rows
                self._write_index(files, False, columns=columns)
                self._publish({file: files[file]}, fresh=True)
                bar.update(len(group))

    def read(self, columns: Sequence[str] | None = None, where: Mapping | None = None) -> pa.Table:
        """Returns columns of the table in memory.

        Args:
            columns: Their names; None for all.
            where: Column to value, or to a list of values: only rows that have one of them.

        Returns:
            The rows in the order of the keys.
        """
        where = where or {}
        parts = []
        for path in self._paths():
            with pq.ParquetFile(path) as file:
                # The columns of the condition first: most shards hold no such row, and a shard of
                # videos is large.
                kept = _kept(file.read(columns=list(where)), where) if where else None
                if kept is None:
                    parts.append(file.read(columns=columns))
                elif len(kept):
                    parts.append(file.read(columns=columns).take(kept))
                else:
                    empty = file.schema_arrow.empty_table()
                    parts.append(empty if columns is None else empty.select(list(columns)))
        return pa.concat_tables(parts)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict]:
        """Goes through the rows in the order of the keys, holding a few in memory at a time.

        Args:
            columns: Names of the columns wanted; None for all.

        Yields:
            Column name to value.
        """
        for path in self._paths():
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    yield from batch.to_pylist()

    def counts(self, column: str) -> dict[str, int]:
        """Returns how often each value of a column occurs, the most frequent first."""
        return dict(collections.Counter(row[column] for row in self.rows([column])).most_common())

    def _paths(self) -> list[Path]:
        index = self._index()
        if not index["complete"]:
            raise missing(self.stage)
        if any(not (self.folder / file).exists() for file in index["files"]):
            self.verify()
        return [self.folder / file for file in index["files"]]


def _kept(rows: pa.Table, where: Mapping) -> np.ndarray:
    """Returns the numbers of the rows that meet the condition."""
    keep = np.ones(len(rows), bool)
    for column, value in where.items():
        values = value if isinstance(value, (list, tuple, set)) else [value]
        wanted = pa.array(list(values), rows[column].type)
        keep &= pc.is_in(rows[column], wanted).to_numpy()
    return np.flatnonzero(keep)


def _digest(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def _checked(rows: list[dict], keys: list[str], schema: pa.Schema) -> pa.Table:
    for row in rows:
        unknown = [name for name in row if name not in schema.names]
        if unknown:
            raise ValueError(f"A row has the column {unknown[0]!r}, which the table does not have.")
    if "clip_id" in schema.names:
        place = {key: number for number, key in enumerate(keys)}
        found = {row["clip_id"] for row in rows}
        if found != set(keys):
            odd = sorted(found.symmetric_difference(keys))[0]
            raise ValueError(f"The clip {odd!r} was {'not asked for' if odd in found else 'lost'}.")
        rows = sorted(rows, key=lambda row: place[row["clip_id"]])
    return pa.Table.from_pylist(rows, schema=schema)
