"""One shard of a table: made, checked, written and read, on this machine or on another one.

What travels to another machine and back is plain data: names, numbers and bytes. So nobody but the
worker needs this package, and nothing depends on a file system that machines share.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from helpers import workers
from helpers.settings import SHARD_CLIPS, Settings
from helpers.storage import remote
from helpers.storage.stages import STAGES, copy_name, damaged


def digest(keys: Sequence[str]) -> str:
    """Returns a fingerprint of the keys of a shard, in their order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def checked(rows: Sequence[Mapping], keys: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Turns the rows of a shard into a table, in the order of the keys.

    Args:
        rows: One or more for each key.
        keys: The clips that were asked for.
        schema: Columns and types. If there is a column `clip_id`, it holds the key.

    Raises:
        ValueError: A clip was lost or not asked for, or a column is not known.
    """
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
    return pa.Table.from_pylist(list(rows), schema=schema)


def write(rows: pa.Table, target: Path | IO[bytes]) -> None:
    """Writes the rows of a shard; every page gets a checksum of its own."""
    pq.write_table(
        rows, target, row_group_size=SHARD_CLIPS, compression="zstd", write_page_checksum=True
    )


def read(source: Path | IO[bytes], columns: Sequence[str] | None = None) -> list[dict]:
    """Returns the rows of a shard; of the columns named, or of all."""
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        return file.read(columns=columns).to_pylist()


def address(function: Callable) -> str:
    """Returns the name by which another machine finds a function, such as `helpers.x:y`."""
    return f"{function.__module__}:{function.__name__}"


def make(job: Mapping) -> dict[str, object]:
    """Makes a shard on a worker of a cluster.

    Args:
        job: Plain data: `function` (see `address`), `settings` (fields of `Settings`), `schema`
            (serialised), and what the function gets: `rows`, or a `source` to read them from (its
            `stage`, `root`, `name`, `sha256` and `columns`). `target` says where the shard goes:
            `root` and `address` of the table, and `file`; None sends it back.

    Returns:
        `size`, `sha256`, `rows` (their number) and `content`, the bytes of the shard unless the job
        named a target.

    Raises:
        DamagedTable: The source does not match its checksum.
    """
    given = job["rows"]
    if job["source"] is not None:
        source = job["source"]
        given = read(io.BytesIO(_content(source)), source["columns"])
    # The driver's folder is on another machine; weights that are fetched go into one of this one.
    folder = Path(tempfile.gettempdir()) / "speech2face"
    settings = Settings(**{**job["settings"], "workspace": str(folder)})
    module, _, name = job["function"].partition(":")
    with workers.alone():
        made = getattr(importlib.import_module(module), name)(given, settings)
    schema = pa.ipc.read_schema(pa.py_buffer(job["schema"]))
    return _sent(checked(made, [row["clip_id"] for row in given], schema), job["target"])


def empty(job: Mapping) -> dict[str, object]:
    """Empties a column of a shard on a worker.

    Args:
        job: `source` and `target` as in `make`, and the `column`.

    Returns:
        As `make`.
    """
    rows = pq.read_table(io.BytesIO(_content(job["source"])))
    return _sent(without(rows, job["column"]), job["target"])


def without(rows: pa.Table, column: str) -> pa.Table:
    """Returns the rows with nothing in a column."""
    place = rows.schema.get_field_index(column)
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.nulls(len(rows), field.type))


def intact(job: Mapping) -> bool:
    """Tells on a worker whether a shard matches its checksum.

    Args:
        job: `root`, `name` and `sha256`.
    """
    try:
        remote.Place(job["root"]).read(job["name"], job["sha256"])
    except OSError:
        return False
    return True


def _sent(rows: pa.Table, target: Mapping | None) -> dict[str, object]:
    """Writes a shard to its target, or returns it with what the index will say of it."""
    buffer = io.BytesIO()
    write(rows, buffer)
    content = buffer.getvalue()
    known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": len(rows)}
    if target is None:
        return {**known, "content": content}
    remote.write(target["root"], copy_name(target["address"], target["file"], known), content)
    return {**known, "content": None}


def _content(source: Mapping) -> bytes:
    try:
        return remote.Place(source["root"]).read(source["name"], source["sha256"])
    except OSError as error:
        where = f"{source['root']}/{source['name']}"
        raise damaged(STAGES[source["stage"]], where) from error
