"""Tables and checkpoints: what flows from one notebook to the next, checksummed and resumable.

A table is a folder of Parquet shards, each of some 64 clips, and an `index.json` written last. The
folder's name is a fingerprint of the settings that shape the table and of what it was made from, so
changed settings make a new table and never mix with an old one.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from helpers.settings import SHARD_CLIPS, Settings
from helpers.storage import shards
from helpers.storage.building import Builder, Making, Part, Report
from helpers.storage.cluster import Cluster
from helpers.storage.drive import Mirror
from helpers.storage.dropping import emptied
from helpers.storage.reading import Readable
from helpers.storage.remote import Place
from helpers.storage.stages import (
    FORMAT,
    LISTS,
    STAGES,
    Checkpoints,
    DamagedTable,
    MissingTable,
    Stage,
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
WAITING = "waiting"
"""Folder of the workspace for clips from the web whose shard is not whole yet."""


class HasFingerprint(Protocol):
    """What a workspace wants from a manifest."""

    @property
    def fingerprint(self) -> str:
        """Differs for manifests whose clips differ."""


class Workspace:
    """The folder with all tables and checkpoints of one or many runs, and its mirror on Drive.

    Attributes:
        local: The folder.
        settings: Settings of the run.
        mirror: Copies on Google Drive, or where `Settings.tables_at` says; without, it does
            nothing.
        cluster: Workers that make the shards of tables; None makes them here.
    """

    def __init__(self, local: Path, settings: Settings, drive: Path | None = None) -> None:
        self.local = Path(local).expanduser().resolve()
        self.settings = settings
        self.mirror = Place(settings.tables_at) if settings.tables_at else Mirror(drive)
        self.cluster: Cluster | None = None
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
        return Table(self, *self._identity(name))

    def require(self, name: str) -> Table:
        """Returns a complete table whose every shard has just been compared with its checksum.

        Shards that are missing or damaged here are fetched from Drive where it has them. Those in
        a folder of `Settings.tables_at` stay there and are compared when they are read.

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

    def drop_clips(self) -> None:
        """Empties the videos of `clips` where `keep_clips` is off and nobody needs them any more.

        The rows stay, and `faces` and `speech` stay valid.
        """
        if self.settings.keep_clips:
            return
        clips = self.table("clips")
        if self.table("faces").follows(clips) and self.table("speech").follows(clips):
            freed = emptied(clips, "video", self.cluster)
            if freed:
                print(f"The clips were dropped: {freed / 2**20:,.0f} MB are free again.")

    def delete_everything(self) -> list[str]:
        """Deletes all tables, checkpoints, ledgers and fetched weights, here and on the mirror.

        Nothing else in these folders' neighbourhood is touched.

        Returns:
            The folders that were deleted.
        """
        deleted = []
        for name in (*STAGES, LEDGER, LISTS, RECOGNITION, WAITING):
            if (self.local / name).exists():
                shutil.rmtree(self.local / name)
                deleted.append(str(self.local / name))
            if self.mirror.delete(name):
                deleted.append(self.mirror.where(name))
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


class Table(Readable):
    """Rows of one kind, in shards. Get it from `Workspace.table` or `Workspace.require`.

    Attributes:
        name: Such as `clips`.
        folder: Where the shards are.
        fingerprint: Of the settings and inputs, 16 hexadecimal digits.
    """

    def __init__(self, workspace: Workspace, stage: Stage, identity: dict) -> None:
        super().__init__(workspace.local, workspace.mirror, stage, identity)
        self.settings = workspace.settings
        self.cluster = workspace.cluster

    def build(
        self,
        keys: Sequence[str],
        make: Callable[[list[str]], list[dict]],
        schema: pa.Schema,
        progress: bool = True,
        retry: Mapping[str, object] | None = None,
    ) -> Report:
        """Makes the shards that are missing, here. A second call finds nothing to do.

        Every shard is written whole and noted in the index at once, so a stopped run loses at most
        the shard it was at. Sessions that build the same table wait for each other.

        Args:
            keys: One key (clip_id) per clip, in the order that the rows should have.
            make: Gets the keys of one shard and returns their rows: one or more for each key.
            schema: Columns and types. If there is a column `clip_id`, it holds the key.
            progress: Show a progress bar.
            retry: Column to value, as in `read`: rows of earlier builds that have it are made
                again, in two later builds at most. A shard changes only where that helped, so what
                was made from the table stays valid where it did not.

        Returns:
            How many keys were made and kept.

        Raises:
            ValueError: A key is there twice, or `make` returned rows that do not fit.
        """
        return self._build(_parts(list(keys)), Making(make, retry=retry or {}), schema, progress)

    def build_from_rows(
        self,
        rows: Sequence[dict],
        make: Callable[[list[dict], Settings], list[dict]],
        schema: pa.Schema,
        progress: bool = True,
        retry: Mapping[str, object] | None = None,
        anywhere: bool = True,
    ) -> Report:
        """Does what `build` does, from rows and on the cluster where there is one.

        Args:
            rows: Plain data with a `clip_id`, in the order that the table should have.
            make: Function of a module; gets the rows of one shard and the settings.
            schema: As in `build`.
            progress: As in `build`.
            retry: As in `build`.
            anywhere: False keeps the work on this machine.

        Returns:
            As `build`.
        """
        making = self._making(make, retry=retry or {})
        if not anywhere:
            making = Making(making.make, retry=making.retry, again=making.again)
        return self._build(_parts(list(rows)), making, schema, progress)

    def build_from(
        self,
        source: Table,
        make: Callable[[list[dict], Settings], list[dict]],
        schema: pa.Schema,
        columns: Sequence[str],
        progress: bool = True,
    ) -> Report:
        """Makes each shard from the same shard of another table, on the cluster if there is one.

        Of a shard that was dropped, the rows of clips that came late are made and added.

        Args:
            source: A complete table with one row for each clip.
            make: Function of a module; gets the rows of one shard of `source` and the settings.
            schema: As in `build`.
            columns: What `make` needs of `source`.
            progress: As in `build`.

        Returns:
            As `build`.

        Raises:
            MissingTable: `source` is not complete, or a column was dropped and is needed again.
            DamagedTable: A shard of `source` is damaged.
        """
        index = source.index()
        if not index["complete"]:
            raise missing(source.stage)
        parts = {}
        for file, entry in index["files"].items():
            give = functools.partial(source.shard, file, entry, columns)
            there = (
                None if "whole" in entry else {**source.place_of(file, entry), "columns": columns}
            )
            parts[file] = Part(entry["keys"], entry["rows"], give, there, entry)
        return self._build(parts, self._making(make), schema, progress)

    def _making(self, make: Callable, retry: Mapping[str, object] | None = None) -> Making:
        # Who makes the rows finds the workspace in the settings, also where these leave it open.
        settings = dataclasses.replace(self.settings, workspace=str(self.folder.parents[1]))
        return Making(
            lambda given: make(given, settings),
            shards.address(make),
            self.settings,
            retry or {},
            # Whoever wants to keep the clips wants those back that were dropped.
            again=lambda entry: "whole" in entry and self.settings.keep_clips,
        )

    def _build(
        self, parts: Mapping[str, Part], making: Making, schema: pa.Schema, progress: bool
    ) -> Report:
        progress = progress and self.settings.verbosity != "quiet"
        return Builder(self, parts, making, schema, self.cluster, progress).build()


def _parts(given: list) -> dict[str, Part]:
    """Cuts keys, or rows with a `clip_id`, into shards."""
    keys = [one if isinstance(one, str) else one["clip_id"] for one in given]
    twice = [key for key, times in collections.Counter(keys).items() if times > 1]
    if twice:
        raise ValueError(f"The key {twice[0]!r} is there more than once.")
    parts = {}
    for start in range(0, len(keys), SHARD_CLIPS):
        end = start + SHARD_CLIPS
        give = functools.partial(given.__getitem__, slice(start, end))
        some = keys[start:end]
        parts[f"{start // SHARD_CLIPS:05d}.parquet"] = Part(shards.digest(some), len(some), give)
    return parts
