"""How the videos of a table leave the disk once everything was made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from helpers.storage import shards
from helpers.storage.cluster import Cluster
from helpers.storage.drive import locked, written_whole
from helpers.storage.remote import Place
from helpers.storage.stages import copy_name, damaged

if TYPE_CHECKING:
    from helpers.tables import Table


def emptied(table: Table, column: str, cluster: Cluster | None) -> int:
    """Empties a column of a complete table; its content keeps its fingerprint.

    Shards that were emptied before are left alone, unless clips came late to them.

    Args:
        table: The table.
        column: Such as `video`.
        cluster: Workers that do it where the table lies in a folder that they reach.

    Returns:
        How many bytes that has freed.
    """
    with locked(table.folder, f"the table {table.name!r}"):
        index = table.index()
        files, columns = dict(index["files"]), index["columns"]
        todo = {f: entry for f, entry in files.items() if "whole" not in entry or "late" in entry}
        direct = cluster is not None and isinstance(table.mirror, Place)
        jobs = ((file, _emptying(table, file, entry, column)) for file, entry in todo.items())
        made = (
            cluster.run("helpers.storage.shards:empty", jobs)
            if direct
            else _emptied(table, todo, column)
        )
        for edition, (file, entry) in enumerate(made, index.get("edition", 0) + 1):
            entry.pop("content", None)
            old, files[file] = files[file], {**files[file], **entry}
            files[file]["whole"] = old.get("whole", old["sha256"])
            files[file].pop("late", None)
            files[file].pop("replaces", None)
            table.write_index(files, True, columns=columns, edition=edition)
            if table.publish({} if direct else {file: files[file]}, fresh=True):
                _remove_others(table, file, old, files[file])
    return sum(entry["size"] - files[file]["size"] for file, entry in todo.items())


def _emptied(table: Table, todo: Mapping[str, dict], column: str) -> Iterator[tuple[str, dict]]:
    for file, entry in todo.items():
        if not table.ready(file, entry):
            raise damaged(table.stage, table.folder / file)
        rows = shards.without(pq.read_table(table.folder / file), column)
        with written_whole(table.folder / file) as part:
            shards.write(rows, part)
        yield file, table.entry_of(file)


def _emptying(table: Table, file: str, entry: Mapping, column: str) -> dict:
    source = table.place_of(file, entry)
    target = {"root": source["root"], "address": table.address, "file": file}
    return {"source": source, "target": target, "column": column}


def _remove_others(table: Table, file: str, old: Mapping, new: Mapping) -> None:
    """Takes the earlier copies of a shard off the mirror."""
    for digest in {old["sha256"], old.get("replaces")} - {new["sha256"], None}:
        table.mirror.remove(copy_name(table.address, file, {"sha256": digest}))
