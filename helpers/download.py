"""Notebook 01: a row of the manifest becomes a clip.

A clip comes out of the Archipelago, from a file or from a web server. Whatever happens to a row,
the row gets a status and a plain reason, and the others go on:

- `ok`: the clip is there.
- `gone`: the file or the page no longer exists.
- `blocked`: the server wants no more requests from us; the whole batch stops.
- `rejected`: what came cannot be used, now or later: no sound, no video, too short.
- `failed`: it did not work this time: no connection, the server is in trouble.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from helpers import media, web
from helpers.web import Refusal

if TYPE_CHECKING:
    from helpers.rows import Row
    from helpers.session import Session
    from helpers.tables import Report

STATUSES = ("ok", "gone", "blocked", "rejected", "failed")
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("speaker_id", pa.string()),
        ("split", pa.string()),
        ("sex", pa.string()),
        ("age", pa.float32()),
        ("group", pa.string()),
        ("language", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("video", pa.large_binary()),
        ("duration_s", pa.float32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("face_x", pa.float32()),
        ("face_y", pa.float32()),
    ]
)
"""Columns of the table `clips`; `video` is empty unless the status is `ok`."""
LATENTS_SCHEMA = pa.schema(
    [
        ("speaker_id", pa.string()),
        ("number", pa.int64()),
        ("split", pa.string()),
        ("sex", pa.string()),
        *((name, pa.float32()) for name in ("age", "size", "mouth")),
        ("island", pa.int32()),
        *((name, pa.string()) for name in ("hair_style", "eye_colour")),
        *((name, pa.float32()) for name in ("hair_colour", "skin", "beard")),
        ("glasses", pa.bool_()),
        ("scar", pa.int32()),
        ("shape", pa.list_(pa.float32())),
        *((name, pa.float32()) for name in ("pitch", "tempo")),
        ("tone", pa.list_(pa.float32())),
        ("language", pa.int32()),
        *((name, pa.int64()) for name in ("microphone", "room")),
    ]
)
"""Columns of the table `latents`: the truth about the islanders, for evaluation only."""

_TOLERANCE_SECONDS = 0.25
_DISK_FULL = "The disk is full."


class BatchStop(RuntimeError):  # noqa: N818 - the word that the series uses
    """Going on with the batch is pointless: the server blocks us, or the disk is full."""


def download(row: Row) -> dict[str, object]:
    """Gets the clip of one row. Never raises: what went wrong becomes status and reason.

    Args:
        row: Row of a manifest.

    Returns:
        A row of the table `clips`, see `SCHEMA`.
    """
    clip: dict[str, object] = dict.fromkeys(SCHEMA.names)
    for name in ("clip_id", "speaker_id", "split", "sex", "age", "group", "language"):
        clip[name] = getattr(row, name)
    clip |= {"face_x": row.face_x, "face_y": row.face_y, "status": "ok", "reason": ""}
    try:
        clip |= _clip(row)
    except Refusal as refusal:
        clip |= {"status": refusal.status, "reason": refusal.reason}
    except media.MediaError as error:
        clip |= {"status": "rejected", "reason": error.reason}
    except FileNotFoundError:
        missing = "The file is missing."
        reason = missing if row.source == "file" else "The source no longer has the clip."
        clip |= {"status": "gone", "reason": reason}
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = _DISK_FULL if full else f"The system reports: {error.strerror or error}."
        clip |= {"status": "failed", "reason": reason}
    except Exception as error:  # one odd file must not end a batch of thousands
        clip |= {"status": "failed", "reason": f"Unexpected {type(error).__name__}: {error}"}
    return clip


def build_clips(session: Session) -> Report:
    """Builds the table `clips` from the manifest, shard by shard; goes on where it stopped.

    Local rows are made by several processes. Web servers are asked for one file at a time.

    Args:
        session: The running session.

    Returns:
        How many shards were made and kept.

    Raises:
        BatchStop: A server blocks us or the disk is full. Finished shards are safe.
    """
    from tqdm.auto import tqdm

    from helpers.workers import parallel_map

    rows = {row.clip_id: row for row in session.manifest.rows}

    def make(keys: list[str]) -> list[dict[str, object]]:
        local = [key for key in keys if rows[key].source != "https"]
        clips = dict(zip(local, parallel_map(download, [rows[k] for k in local]), strict=True))
        for clip in clips.values():
            _stop_if_pointless(clip)
        fetched = [key for key in keys if key not in clips]
        for key in tqdm(fetched, "web", leave=False, unit="clip", disable=not fetched):
            clips[key] = download(rows[key])
            _stop_if_pointless(clips[key])
        return [clips[key] for key in keys]

    return session.workspace.table("clips").build(list(rows), make, SCHEMA)


def build_latents(session: Session) -> Report | None:
    """Builds the table `latents`: the truth about the islanders that the manifest names.

    Args:
        session: The running session.

    Returns:
        How many shards were made and kept; None where no row comes from the Archipelago.
    """
    from helpers.archipelago import islanders

    numbers = {
        row.speaker_id: int(row.locator.split("/")[0])
        for row in session.manifest.rows
        if row.source == "archipelago"
    }
    if not numbers:
        return None

    def make(keys: list[str]) -> list[dict[str, object]]:
        rows = islanders.latents(numbers[key] for key in keys)
        return [{"speaker_id": key, **row} for key, row in zip(keys, rows, strict=True)]

    return session.workspace.table("latents").build(list(numbers), make, LATENTS_SCHEMA)


# --- from row to clip ----------------------------------------------------------------------------


def _clip(row: Row) -> dict[str, object]:
    """Gets the video of a row and checks that it is a whole clip with picture and sound."""
    if row.source == "archipelago":
        from helpers.archipelago import clips

        video = clips.render(row.locator)
        checked = _checked(video, media.probe(video).duration_s)
        if row.face_x is None:
            checked["face_x"], checked["face_y"] = clips.face_position(row.locator)
        return checked
    if row.source == "file":
        return _checked(*_cut(Path(row.locator).expanduser(), row))
    if row.source == "https":
        # The folder is private to the clip: two rows may come from files of the same name.
        with tempfile.TemporaryDirectory(prefix="clip-") as folder:
            path = Path(folder) / "download"
            web.fetch(row.locator, path)
            return _checked(*_cut(path, row))
    raise Refusal("rejected", f"Clips from {row.source} cannot be downloaded by this version.")


def _cut(path: Path, row: Row) -> tuple[bytes, float]:
    """Cuts the row's piece out of a file; returns it and the seconds that it should have."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "missing", str(path))
    whole = media.probe(path)
    _require_streams(whole)
    start_s, end_s = row.start_s, row.end_s
    if start_s >= whole.duration_s:
        raise Refusal(
            "rejected",
            f"The piece begins at {start_s:.1f} s, but the video ends at {whole.duration_s:.1f} s.",
        )
    if end_s is not None and end_s > whole.duration_s + _TOLERANCE_SECONDS:
        raise Refusal(
            "rejected",
            f"The piece ends at {end_s:.1f} s, but the video ends at {whole.duration_s:.1f} s.",
        )
    end_s = whole.duration_s if end_s is None else end_s
    promised = min(end_s - start_s, media.LONGEST_CLIP_SECONDS)
    return media.normalise(path, start_s, start_s + promised), promised


def _checked(video: bytes, promised: float) -> dict[str, object]:
    """Returns what the table says about a clip, or refuses it."""
    found = media.probe(video)
    video_s, sound_s = media.stream_seconds(video)
    if max(video_s, sound_s) < promised - 2 * _TOLERANCE_SECONDS:
        raise Refusal(
            "rejected",
            f"The file is cut short: {max(video_s, sound_s):.1f} of {promised:.1f} s can be read.",
        )
    _require_streams(found)
    for name, seconds in (("video", video_s), ("sound", sound_s)):
        if seconds < media.SHORTEST_SECONDS:
            raise Refusal("rejected", f"There is only {seconds:.1f} s of {name}.")
    return {
        "video": video,
        "duration_s": round(found.duration_s, 3),
        "width": found.width,
        "height": found.height,
        "sha256": hashlib.sha256(video).hexdigest(),
    }


def _require_streams(found: media.Probe) -> None:
    if not found.has_video:
        raise Refusal("rejected", "The file has no video.")
    if not found.has_audio:
        raise Refusal("rejected", "The file has no sound.")


def _stop_if_pointless(clip: dict[str, object]) -> None:
    if clip["status"] == "blocked":
        raise BatchStop(
            f"The batch stops at clip {clip['clip_id']!r}. {clip['reason']} Going on would make it "
            "worse. Finished shards are kept: wait some hours and run this cell again."
        )
    if clip["reason"] == _DISK_FULL:
        raise BatchStop(
            f"The batch stops at clip {clip['clip_id']!r}: the disk is full. Finished shards are "
            "kept: make room, or take fewer rows, and run this cell again."
        )
