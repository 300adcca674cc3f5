"""How a table is made: the shards that are missing, here or on a cluster, and nothing twice.

Every shard is written whole and noted in the index at once, so a stopped run loses at most the
shard it was at (on a cluster, those that workers were at).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from helpers.settings import Settings
from helpers.storage import shards
from helpers.storage.cluster import Cluster
from helpers.storage.drive import locked, read_json, written_whole
from helpers.storage.remote import Place, Unreachable
from helpers.storage.stages import INDEX, copy_name, damaged, late

if TYPE_CHECKING:
    from helpers.tables import Table

_MOST_RETRIES = 2
"""How often a later build tries rows again that a passing trouble left without a result."""
_SMALL_INDEX = 1_000
"""Shards up to which the index is written after each of them; beyond, it costs too much."""
_INDEX_EVERY_S = 15.0
"""How often it is written then; the shards between are in the journal."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a build did.

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


@dataclasses.dataclass(frozen=True)
class Part:
    """What one shard is made from.

    Attributes:
        keys: Fingerprint of its keys, in their order.
        clips: How many keys there are.
        give: Reads what the making function gets: the keys themselves, or rows with a `clip_id`;
            from a table, given `clips`, the rows of these alone.
        source: Where a worker reads that by itself (see `shards.make`); None where it is sent.
        origin: What the index says of the shard that it is made from; empty where there is none.
    """

    keys: str
    clips: int
    give: Callable[..., list]
    source: Mapping | None = None
    origin: Mapping = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Making:
    """How rows are made from what `Part.give` returns.

    Attributes:
        make: Called here, with that and nothing else.
        address: Name by which the workers of a cluster find a function of rows and settings; empty
            where the work has to be done here.
        settings: What they call it with.
        retry: Column to value: rows of earlier builds that have it are made again.
        again: Shards for which this holds are made again: of their entry in the index.
    """

    make: Callable[[list], list[dict]]
    address: str = ""
    settings: Settings | None = None
    retry: Mapping[str, object] = dataclasses.field(default_factory=dict)
    again: Callable[[Mapping], bool] = lambda entry: False


class Builder:
    """Builds one table once.

    Args:
        table: Where it goes.
        parts: What each shard is made from, by its file name, in order.
        making: How.
        schema: Columns and types.
        cluster: Workers that make the shards; None makes them here.
        progress: Show a progress bar.
    """

    def __init__(
        self,
        table: Table,
        parts: Mapping[str, Part],
        making: Making,
        schema: pa.Schema,
        cluster: Cluster | None,
        progress: bool,
    ) -> None:
        self.table, self.parts, self.making, self.schema = table, parts, making, schema
        self.cluster = cluster if making.address else None
        self.progress = progress
        self.columns = {field.name: str(field.type) for field in schema}
        # Workers reach the folder of the tables by themselves; then nothing passes through here.
        self.place = table.mirror if isinstance(table.mirror, Place) else None
        self.direct = self.cluster is not None and self.place is not None
        self.known: dict = {"files": {}}
        self.files: dict[str, dict] = {}
        self._written = -math.inf
        self._unwritten = False
        self._outdated: list[str] = []

    def build(self) -> Report:
        """Makes what is missing; sessions that build the same table wait for each other."""
        with locked(self.table.folder, f"the table {self.table.name!r}"):
            return self._build()

    def _build(self) -> Report:
        started = time.perf_counter()
        index = self.known = self.table.latest()
        if self.direct and not self.place.takes(self.table.address):
            # What workers wrote there would be known to nobody, or hide what is there.
            where = self.place.where(self.table.address)
            raise Unreachable(f"The index in {where} cannot be read. Run the notebook again later.")
        self.files = self._kept(index["files"] if index.get("columns") == self.columns else {})
        kept = sum(self.parts[file].clips for file in self.files)
        self._forget_replaced()
        try:
            if self.making.retry:
                kept -= self._make_again()
            kept -= self._catch_up()
            if len(self.files) < len(self.parts):
                self._write_index()
                self._make_missing()
        finally:
            if self._unwritten:
                self._write_index()
        self.files = {file: self.files[file] for file in self.parts}
        done = {"complete": True, "edition": self._edition(), "files": self.files}
        if read_json(self.table.folder / INDEX) != {**index, **done}:
            self._write_index()
        for path in self.table.folder.glob("*.parquet"):
            if path.name not in self.files:
                path.unlink()
        if self.direct:
            self.table.publish_index()
        else:
            self.table.publish(self.files, fresh=False)
        clips = sum(part.clips for part in self.parts.values())
        rows = sum(entry["rows"] for entry in self.files.values())
        return Report(clips - kept, kept, rows, time.perf_counter() - started)

    def _kept(self, known: Mapping[str, dict]) -> dict[str, dict]:
        """Returns the shards that are there and right."""
        here = {
            file: known[file]
            for file, part in self.parts.items()
            if file in known
            and known[file]["keys"] == part.keys
            and not self.making.again(known[file])
        }
        if not self.direct:
            return {file: entry for file, entry in here.items() if self.table.ready(file, entry)}
        jobs = (
            (file, {"root": self.place.root, "name": self._copy(file, entry), **entry})
            for file, entry in here.items()
        )
        right = dict(self.cluster.run("helpers.storage.shards:intact", jobs))
        for file in here:
            if not right[file]:
                where = self.table.mirror.where(self._copy(file, here[file]))
                print(f"{where} does not match its checksum and is made again.")
        return {file: entry for file, entry in here.items() if right[file]}

    def _copy(self, file: str, entry: Mapping) -> str:
        return copy_name(self.table.address, file, entry)

    def _make_missing(self) -> None:
        from tqdm.auto import tqdm

        todo = [file for file in self.parts if file not in self.files]
        total = sum(part.clips for part in self.parts.values())
        kept = total - sum(self.parts[file].clips for file in todo)
        made = self._here(todo) if self.cluster is None else self._on_the_cluster(todo)
        with tqdm(
            total=total,
            initial=kept,
            desc=self.table.name,
            unit="clip",
            disable=not self.progress,
        ) as bar:
            for file, entry in made:
                self.files[file] = {**entry, "keys": self.parts[file].keys}
                if not self.direct:
                    self._publish(file)
                self._note(file)
                bar.update(self.parts[file].clips)

    def _here(self, todo: Sequence[str]) -> Iterator[tuple[str, dict]]:
        for file in todo:
            given = self.parts[file].give()
            rows = shards.checked(self.making.make(given), _keys(given), self.schema)
            del given
            with written_whole(self.table.folder / file) as part:
                shards.write(rows, part)
            yield file, {**self.table.entry_of(file), "rows": len(rows)}

    def _on_the_cluster(self, todo: Sequence[str]) -> Iterator[tuple[str, dict]]:
        for file, made in self.cluster.run("helpers.storage.shards:make", self._jobs(todo)):
            content = made.pop("content")
            if content is not None:
                with written_whole(self.table.folder / file) as part:
                    part.write_bytes(content)
            yield file, made

    def _jobs(self, todo: Sequence[str]) -> Iterator[tuple[str, dict]]:
        same = {
            "function": self.making.address,
            "settings": dataclasses.asdict(self.making.settings),
            "schema": self.schema.serialize().to_pybytes(),
        }
        for file in todo:
            part = self.parts[file]
            target = self.direct and {
                "root": self.place.root,
                "address": self.table.address,
                "file": file,
            }
            source = part.source if self.direct else None
            rows = part.give() if source is None else None
            yield file, {**same, "rows": rows, "source": source, "target": target or None}

    def _publish(self, file: str) -> None:
        """Copies a shard that was made here to the mirror."""
        self.table.mirror.publish(self.table.folder / file, self._copy(file, self.files[file]))

    def _note(self, file: str) -> None:
        """Notes a shard that was made just now."""
        due = time.monotonic() - self._written >= _INDEX_EVERY_S
        if due or len(self.files) <= _SMALL_INDEX:
            self._write_index()
        else:
            self.table.note(file, self.files[file])
            self._unwritten = True

    def _write_index(self) -> None:
        known = {file: self.files[file] for file in self.parts if file in self.files}
        complete, edition = len(known) == len(self.parts), self._edition()
        self.table.write_index(known, complete, columns=self.columns, edition=edition)
        if self.table.publish_index() and self._outdated:
            named = {self._copy(file, entry) for file, entry in known.items()}
            for copy in set(self._outdated) - named:
                self.table.mirror.remove(copy)
            self._outdated.clear()
        self._written, self._unwritten = time.monotonic(), False

    def _edition(self) -> int:
        """Returns the number of the index; each shard that is not what it was raises it."""
        before = self.known["files"]
        changed = (
            file in before and before[file]["sha256"] != entry["sha256"]
            for file, entry in self.files.items()
        )
        return self.known.get("edition", 0) + sum(changed)

    # --- rows that failed before ---

    def _make_again(self) -> int:
        """Makes rows of earlier builds again; returns how many keys that were."""
        tried, retry = 0, self.making.retry
        for file, entry in list(self.files.items()):
            retries = entry.get("retries", 0)
            if retries >= _MOST_RETRIES:
                continue
            with self.table.opened(file, entry) as shard:
                known = shard.read(columns=["clip_id", *retry])
            keys = list(dict.fromkeys(known.take(matching(known, retry))["clip_id"].to_pylist()))
            if not keys:
                continue
            tried += len(keys)
            wanted = set(keys)
            given = [one for one in self.parts[file].give() if _key(one) in wanted]
            made = shards.checked(self.making.make(given), keys, self.schema)
            helped = wanted - set(made.take(matching(made, retry))["clip_id"].to_pylist())
            new = {**entry, "retries": retries + 1}
            if helped and self.table.ready(file, entry):
                new |= self._exchanged(file, made, helped)
                if "whole" in entry:  # What is made from this table catches up with these alone.
                    new["late"] = [*entry.get("late", ()), *sorted(helped)]
            self._replace(file, new)
        return tried

    def _catch_up(self) -> int:
        """Makes the rows of clips that came after the others were dropped; returns how many."""
        done = 0
        for file, entry in list(self.files.items()):
            part = self.parts[file]
            keys = late(part.origin, entry)
            if not keys:
                continue
            if not self.table.ready(file, entry):
                raise damaged(self.table.stage, self.table.folder / file)
            made = shards.checked(self.making.make(part.give(clips=keys)), keys, self.schema)
            new = {**entry, "late": [*entry.get("late", ()), *keys]}
            self._replace(file, new | self._exchanged(file, made, set(keys)))
            done += len(keys)
        return done

    def _replace(self, file: str, new: dict) -> None:
        """Notes the new edition of a shard.

        The mirror keeps the copy of the old one until a later build: other sessions may still read
        it.
        """
        old, self.files[file] = self.files[file], new
        if new["sha256"] != old["sha256"]:
            new["replaces"] = old["sha256"]
            self._publish(file)
        self._note(file)

    def _forget_replaced(self) -> None:
        """Lets go of the copies that an earlier build has replaced."""
        reached = self.table.mirror.takes(self.table.address)
        for file, entry in self.files.items():
            if reached and "replaces" in entry:
                entry = dict(entry)
                self._outdated.append(self._copy(file, {"sha256": entry.pop("replaces")}))
                self.files[file] = entry

    def _exchanged(self, file: str, made: pa.Table, helped: set[str]) -> dict[str, object]:
        """Puts rows that came out better into their shard, in the place of the old ones."""
        path = self.table.folder / file
        old = pq.read_table(path, schema=self.schema)
        better = pa.array(list(helped))
        parts = [
            old.filter(pc.invert(pc.is_in(old["clip_id"], better))),
            made.filter(pc.is_in(made["clip_id"], better)),
        ]
        order = list(dict.fromkeys(old["clip_id"].to_pylist()))
        rows = shards.checked(pa.concat_tables(parts).to_pylist(), order, self.schema)
        with written_whole(path) as part:
            shards.write(rows, part)
        return {**self.table.entry_of(file), "rows": len(rows)}


def matching(rows: pa.Table, where: Mapping) -> np.ndarray:
    """Returns the numbers of the rows that meet a condition: column to value or list of values."""
    keep = np.ones(len(rows), bool)
    for column, value in where.items():
        values = value if isinstance(value, (list, tuple, set)) else [value]
        wanted = pa.array(list(values), rows[column].type)
        keep &= pc.is_in(rows[column], wanted).to_numpy()
    return np.flatnonzero(keep)


def _key(given: str | Mapping) -> str:
    return given if isinstance(given, str) else given["clip_id"]


def _keys(given: Sequence[str | Mapping]) -> list[str]:
    return [_key(one) for one in given]
