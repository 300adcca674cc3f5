"""Clips from the web that wait for their shard to be whole, so that a stop loses none of them.

A server that blocks us does so in the middle of a shard. Without this room the clips before would
be lost, and asked for again from a server that has had enough of us.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.settings import Settings
from helpers.storage.drive import written_whole
from helpers.storage.stages import STAGES
from helpers.tables import WAITING

if TYPE_CHECKING:
    from helpers.corpora.rows import Row


def find(row: Row, settings: Settings, schema: pa.Schema) -> dict[str, object] | None:
    """Returns the clip of a row that an interrupted run has left, or None.

    Args:
        row: Row of the manifest.
        settings: Of the run.
        schema: Columns of the table `clips`.
    """
    try:
        found = pq.read_table(_file(row, settings), page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return None
    return found.to_pylist()[0] if found.schema == schema and len(found) == 1 else None


def keep(row: Row, settings: Settings, clip: dict[str, object], schema: pa.Schema) -> None:
    """Puts a clip down until its shard is whole. One that failed is better asked for again.

    Args:
        row: Row of the manifest.
        settings: Of the run.
        clip: Row of the table `clips`.
        schema: Its columns.

    Raises:
        OSError: The disk is full.
    """
    if clip["status"] not in ("failed", "blocked"):
        with written_whole(_file(row, settings)) as part:
            pq.write_table(pa.Table.from_pylist([clip], schema), part, write_page_checksum=True)


def drop(row: Row, settings: Settings) -> None:
    """Takes a clip away: its shard is whole, or there is none."""
    with contextlib.suppress(OSError):
        _file(row, settings).unlink(missing_ok=True)


def _file(row: Row, settings: Settings) -> Path:
    """Named after all that shapes the clip: no name out of a manifest becomes a path."""
    stage = STAGES["clips"]
    shape = [dataclasses.asdict(row), stage.edition, *(getattr(settings, n) for n in stage.fields)]
    name = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:32]
    return Path(settings.workspace) / WAITING / f"{name}.parquet"
