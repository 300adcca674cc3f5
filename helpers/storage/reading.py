"""How a table is read: never a shard that does not match its checksum, and little at a time."""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.storage import shards
from helpers.storage.building import matching
from helpers.storage.drive import read_json
from helpers.storage.remote import Place
from helpers.storage.stages import (
    INDEX,
    MissingTable,
    Stored,
    copy_name,
    damaged,
    late,
    missing,
)

_BATCH_ROWS = 16
"""Rows held in memory at a time while a table is read row by row."""
_READ_WHOLE = 4 * 2**20
"""Shards up to this size are read as a whole in a folder on the network, larger ones in parts."""


class Readable(Stored):
    """What a table is for whoever reads it; see `tables.Table`."""

    @property
    def content(self) -> str:
        """Fingerprint of what is in the table: a sha256 over the checksums of its shards.

        Shards whose videos were dropped count as if these were still there.
        """
        files = self.index()["files"]
        text = " ".join(files[f].get("whole", files[f]["sha256"]) for f in sorted(files))
        return hashlib.sha256(text.encode()).hexdigest()

    def verify(self) -> None:
        """Compares every shard of the latest edition with its checksum; fetches missing ones.

        Raises:
            MissingTable: The table is not complete.
            DamagedTable: A shard is damaged and Drive has no good copy.
        """
        index = self.latest()
        if not index["complete"]:
            raise missing(self.stage)
        for file, entry in index["files"].items():
            stays_there = isinstance(self.mirror, Place) and not (self.folder / file).exists()
            if not stays_there and not self.ready(file, entry):
                raise damaged(self.stage, self.folder / file)
        if read_json(self.folder / INDEX) != index:
            self.adopt(index)

    def read(self, columns: Sequence[str] | None = None, where: Mapping | None = None) -> pa.Table:
        """Returns columns of the table in memory.

        Args:
            columns: Their names; None for all.
            where: Column to value, or to a list of values: only rows that have one of them.

        Returns:
            The rows in the order of the keys.

        Raises:
            MissingTable: The table is not complete, or a column was dropped.
            DamagedTable: A shard is damaged.
        """
        where = where or {}

        def wanted(file: pq.ParquetFile) -> Iterator[pa.Table]:
            # The columns of the condition first: most shards hold no such row, and a shard of
            # videos is large.
            kept = matching(file.read(columns=list(where)), where) if where else None
            if kept is None:
                yield file.read(columns=columns)
            elif len(kept):
                yield file.read(columns=columns).take(kept)
            else:
                empty = file.schema_arrow.empty_table()
                yield empty if columns is None else empty.select(list(columns))

        return pa.concat_tables(self._from_each(columns, wanted))

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict]:
        """Goes through the rows in the order of the keys, holding a few in memory at a time.

        Args:
            columns: Names of the columns wanted; None for all.

        Returns:
            Of each row, column name to value.

        Raises:
            MissingTable: As `read`, when the first row is asked for.
            DamagedTable: As `read`, at its shard.
        """

        def wanted(file: pq.ParquetFile) -> Iterator[dict]:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                yield from batch.to_pylist()

        return self._from_each(columns, wanted)

    def counts(self, column: str) -> dict[str, int]:
        """Returns how often each value of a column occurs, the most frequent first."""
        return dict(collections.Counter(row[column] for row in self.rows([column])).most_common())

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns that were emptied to save the disk: none, or the videos."""
        files = self.index()["files"].values()
        return ("video",) if any("whole" in entry for entry in files) else ()

    def follows(self, source: Readable) -> bool:
        """Tells whether the table is complete, with the clips that came late to its source."""
        index = self.index()
        there = source.index()["files"].items()
        return index["complete"] and not any(late(e, index["files"].get(f, {})) for f, e in there)

    def shard(
        self, file: str, entry: Mapping, columns: Sequence[str], clips: Sequence[str] | None = None
    ) -> list[dict]:
        """Returns columns of a shard, compared with its checksum.

        Args:
            file: Its name, such as `00000.parquet`.
            entry: What the index says of it.
            columns: Names of the columns wanted.
            clips: Only the rows of these, which came late (see `stages.late`); None for all.

        Raises:
            MissingTable: A column was dropped.
            DamagedTable: The shard is damaged and there is no good copy.
        """
        self._refuse_dropped(columns, "whole" in entry and clips is None)
        if not self.ready(file, entry):
            raise damaged(self.stage, self.folder / file)
        rows = shards.read(self.folder / file, columns)
        return rows if clips is None else [row for row in rows if row["clip_id"] in clips]

    @contextlib.contextmanager
    def opened(self, file: str, entry: Mapping) -> Iterator[pq.ParquetFile]:
        """Opens a shard; one that lies in `Settings.tables_at` is read in parts, where it is.

        Raises:
            DamagedTable: It is not there, altered, or cannot be read to its end.
        """
        path = self.folder / file
        here = path.exists() or not isinstance(self.mirror, Place)
        if here and not self.ready(file, entry):
            raise damaged(self.stage, path)
        copy = copy_name(self.address, file, entry)
        try:
            content = self._content_of(path if here else copy, entry)
            with content, _parquet(content) as shard:
                yield shard
        except OSError as error:
            raise damaged(self.stage, path if here else self.mirror.where(copy)) from error

    def _content_of(self, where: Path | str, entry: Mapping) -> IO[bytes]:
        """Opens the content of a shard, here (a path) or in the mirror (a name)."""
        if isinstance(where, Path):
            return where.open("rb")
        if entry["size"] > _READ_WHOLE:  # Only a few columns of it; each page has a checksum.
            return self.mirror.open(where)
        return io.BytesIO(self.mirror.read(where, entry["sha256"]))

    def _from_each(
        self, columns: Sequence[str] | None, wanted: Callable[[pq.ParquetFile], Iterator[Any]]
    ) -> Iterator[Any]:
        """Goes through what is wanted of each shard, in their order."""
        index = self.index()
        if not index["complete"]:
            raise missing(self.stage)
        self._refuse_dropped(columns or (), bool(self.dropped))
        for file, entry in index["files"].items():
            with self.opened(file, entry) as shard:
                yield from wanted(shard)

    def _refuse_dropped(self, columns: Sequence[str], slim: bool) -> None:
        if slim and "video" in columns:
            raise MissingTable(
                f"The videos of the table {self.name!r} were dropped once faces and speech were "
                f"made. To have them back, set keep_clips to True and run notebook "
                f"{self.stage.notebook} again (otherwise the same settings): it makes them anew."
            )


def _parquet(content: IO[bytes]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(content, page_checksum_verification=True)
    except pa.ArrowInvalid as error:
        raise OSError(errno.EIO, "This is not a whole Parquet file") from error
