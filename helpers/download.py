"""Notebook 01: a row of the manifest becomes a clip.

A clip comes out of the Archipelago, from a file, from a web server or from a page with a video on
it. Every clip is probed before it counts. Whatever happens to a row, the row gets a status and a
plain reason, and the others go on:

- `ok`: the clip is there.
- `gone`: the file or the page no longer exists.
- `blocked`: the server wants no more requests from us; the whole batch stops.
- `rejected`: what came cannot be used, now or later: no sound, no video, too short.
- `failed`: it did not work this time: no connection, the server is in trouble. Two later runs try
  such a row again.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import math
import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from helpers import media
from helpers.downloading import preflight, video_pages, waiting, web
from helpers.downloading.web import Refusal
from helpers.settings import CLIP_RATE, Settings

if TYPE_CHECKING:
    from helpers.corpora.rows import Row
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

_LOCAL = ("archipelago", "file")
_DISK_FULL = "The disk is full."


class BatchStop(RuntimeError):  # noqa: N818 - the word that the series uses
    """Going on is pointless: a server blocks us, the disk is full, or a package is missing."""


def download(row: Row, settings: Settings | None = None) -> dict[str, object]:
    """Gets the clip of one row. What went wrong becomes status and reason.

    Args:
        row: Row of a manifest.
        settings: `clip_rate`, `clip_seconds`, `allow_private_addresses`, `accept_youtube_terms`
            and `cookies` matter; None takes the defaults.

    Returns:
        A row of the table `clips`, see `SCHEMA`.

    Raises:
        BatchStop: A package is missing on this machine.
    """
    return download_together([row], settings)[0]


def download_together(rows: Sequence[Row], settings: Settings | None = None) -> list[dict]:
    """Gets the clips of rows that lie in one video, which is looked for only once.

    Args:
        rows: Rows of the same source and locator.
        settings: As in `download`.

    Returns:
        Rows of the table `clips`, in the same order.

    Raises:
        BatchStop: A package is missing on this machine.
    """
    settings = settings or Settings()
    source, locator = rows[0].source, rows[0].locator
    if source not in video_pages.PACES:
        return [_reported(row, functools.partial(_clip, row, settings)) for row in rows]
    try:
        with video_pages.opened(source, locator, settings, _limits(settings)) as video:
            return [
                _reported(row, functools.partial(_page_clip, video, row, settings)) for row in rows
            ]
    except BatchStop:
        raise
    except Exception as error:  # the same for all rows: there is no video to cut
        return [_reported(row, functools.partial(_raise, error)) for row in rows]


def _reported(row: Row, make: Callable[[], dict[str, object]]) -> dict[str, object]:
    """Makes a clip; what goes wrong becomes status and reason."""
    clip: dict[str, object] = dict.fromkeys(SCHEMA.names)
    for name in ("clip_id", "speaker_id", "split", "sex", "age", "group", "language"):
        clip[name] = getattr(row, name)
    clip |= {"face_x": row.face_x, "face_y": row.face_y, "status": "ok", "reason": ""}
    try:
        clip |= make()
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
    except ImportError as error:  # every row would fail, and none is to blame
        raise BatchStop(
            f"On {platform.node()} a package is missing: {error}. Install there what "
            "requirements.txt names: pip install -r requirements.txt"
        ) from error
    except Exception as error:  # one odd file must not end a batch of thousands
        clip |= {"status": "failed", "reason": f"Unexpected {type(error).__name__}: {error}"}
    return clip


def _raise(error: Exception) -> dict[str, object]:
    raise error


def build_clips(session: Session) -> Report:
    """Builds the table `clips` from the manifest, shard by shard; goes on where it stopped.

    Local rows are made by several processes. Web servers are asked for one file at a time. Rows
    that failed in an earlier run are tried again, in two later runs at most.

    Args:
        session: The running session.

    Returns:
        How many shards were made and kept.

    Raises:
        BatchStop: A server blocks us, the disk is full, a package is missing, or YouTube's terms
            are not accepted. Finished shards are safe.
    """
    youtube = any(row.source == "youtube" for row in session.manifest.rows)
    if youtube and not (answer := preflight.allowed(session.workspace.settings)).ready:
        raise BatchStop(answer.sentence)
    rows = [dataclasses.asdict(row) for row in session.manifest.rows]
    # The workers of a cluster do not see the files of this machine.
    anywhere = all(row["source"] != "file" for row in rows)
    table = session.workspace.table("clips")
    retry = {"status": "failed"}
    return table.build_from_rows(rows, clips_of_shard, SCHEMA, retry=retry, anywhere=anywhere)


def clips_of_shard(rows: list[dict], settings: Settings) -> list[dict[str, object]]:
    """Gets the clips of some rows, on this machine or on a worker of a cluster.

    Args:
        rows: Rows of the manifest, as plain data.
        settings: The settings of the run.

    Returns:
        Rows of the table `clips`, in the order of `rows`.

    Raises:
        BatchStop: See `build_clips`.
    """
    from tqdm.auto import tqdm

    from helpers.corpora.rows import Row
    from helpers.workers import parallel_map

    wanted = [Row(**row) for row in rows]
    local = [(row, settings) for row in wanted if row.source in _LOCAL]
    clips = {clip["clip_id"]: clip for clip in parallel_map(_download_local, local)}
    for row, _ in local:
        _stop_if_pointless(row, clips[row.clip_id])
    remote = [row for row in wanted if row.source not in _LOCAL]
    videos: dict[tuple, list[Row]] = {}
    for row in remote:
        clips[row.clip_id] = waiting.find(row, settings, SCHEMA)
        if clips[row.clip_id] is None:
            videos.setdefault((row.source, row.locator), []).append(row)
    quiet = not videos or settings.verbosity == "quiet"
    for group in tqdm(videos.values(), "web", leave=False, unit="video", disable=quiet):
        for row, clip in zip(group, download_together(group, settings), strict=True):
            _stop_if_pointless(row, clip)
            waiting.keep(row, settings, clip, SCHEMA)
            clips[row.clip_id] = clip
    for row in remote:
        waiting.drop(row, settings)
    made = [clips[row.clip_id] for row in wanted]
    if settings.verbosity == "verbose":
        for clip in made:
            tqdm.write(f"{clip['clip_id']}: {clip['status']} {clip['reason']}".rstrip())
    return made


def _download_local(task: tuple[Row, Settings]) -> dict[str, object]:
    return download(*task)


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


def _clip(row: Row, settings: Settings) -> dict[str, object]:
    """Gets the video of a row and checks that it is a whole clip with picture and sound."""
    if row.source == "archipelago":
        from helpers.archipelago import clips

        video = clips.render(row.locator)
        seconds = media.probe(video).duration_s
        if settings.clip_rate != CLIP_RATE or settings.clip_seconds < seconds:
            seconds = min(seconds, settings.clip_seconds)
            video = media.normalise(video, 0.0, seconds, settings.clip_rate)
        checked = _checked(video, seconds)
        if row.face_x is None:
            checked["face_x"], checked["face_y"] = clips.face_position(row.locator)
        return checked
    if row.source == "file":
        return _checked(*_cut(Path(row.locator).expanduser(), row, settings))
    if row.source not in ("https", "zip"):
        raise Refusal("rejected", f"Clips from {row.source} cannot be downloaded by this version.")
    # The folder is private to the clip: two rows may come from files of the same name.
    with tempfile.TemporaryDirectory(prefix="clip-") as folder:
        path = Path(folder) / "download"
        if row.source == "zip":
            from helpers.corpora.remote_zip import fetch_member

            fetch_member(row.locator, path, _limits(settings))
        else:
            web.fetch(row.locator, path, _limits(settings))
        with path.open("rb") as file:
            begin = file.read(512)
        if begin.startswith(b"version https://git-lfs"):
            reason = "The address gives a pointer of Git LFS, not the video that it points to."
            raise Refusal("rejected", reason)
        if row.source == "https" and video_pages.is_playlist(begin):
            # The file names the pieces of a stream. They can be anywhere, so yt-dlp gets them.
            with video_pages.opened("page", row.locator, settings, _limits(settings)) as video:
                return _page_clip(video, row, settings)
        return _checked(*_cut(path, row, settings))


def _page_clip(video: video_pages.Video, row: Row, settings: Settings) -> dict[str, object]:
    """Cuts a clip out of a video on a page: the piece alone, or where in doubt out of the whole."""
    end_s = math.inf if row.end_s is None else row.end_s
    end_s = min(end_s, row.start_s + settings.clip_seconds)
    if video.duration_s is not None:
        _require_inside(row, video.duration_s)
        end_s = min(end_s, video.duration_s)
    piece = video.piece(row.start_s, end_s)
    if piece is None:
        return _checked(*_cut(video.whole(), row, settings))
    promised = end_s - row.start_s
    return _checked(media.normalise(piece, 0.0, promised, settings.clip_rate), promised)


def _cut(path: Path, row: Row, settings: Settings) -> tuple[bytes, float]:
    """Cuts the row's piece out of a file; returns it and the seconds that it should have."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "missing", str(path))
    whole = media.probe(path)
    _require_streams(whole)
    _require_inside(row, whole.duration_s)
    end_s = whole.duration_s if row.end_s is None else min(row.end_s, whole.duration_s)
    promised = min(end_s - row.start_s, settings.clip_seconds)
    end_s = row.start_s + promised
    return media.normalise(path, row.start_s, end_s, settings.clip_rate), promised


def _require_inside(row: Row, duration_s: float) -> None:
    """Refuses a piece that is not in the video, or not all of it."""
    ends = f"but the video ends at {duration_s:.1f} s."
    if row.start_s >= duration_s:
        raise Refusal("rejected", f"The piece begins at {row.start_s:.1f} s, {ends}")
    if row.end_s is not None and row.end_s > duration_s + video_pages.TOLERANCE_SECONDS:
        raise Refusal("rejected", f"The piece ends at {row.end_s:.1f} s, {ends}")


def _limits(settings: Settings) -> web.Limits:
    return dataclasses.replace(web.LIMITS, private=settings.allow_private_addresses)


def _checked(video: bytes, promised: float) -> dict[str, object]:
    """Returns what the table says about a clip, or refuses it."""
    found = media.probe(video)
    video_s, sound_s = media.stream_seconds(video)
    _require_seconds(max(video_s, sound_s), promised)
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


def _require_seconds(seconds: float, promised: float) -> None:
    if seconds < promised - video_pages.TOLERANCE_SECONDS:
        reason = f"The file is cut short: {seconds:.1f} of {promised:.1f} s can be read."
        raise Refusal("rejected", reason)


def _require_streams(found: media.Probe) -> None:
    if not found.has_video:
        raise Refusal("rejected", "The file has no video.")
    if not found.has_audio:
        raise Refusal("rejected", "The file has no sound.")


def _stop_if_pointless(row: Row, clip: dict[str, object]) -> None:
    if clip["status"] == "blocked":
        raise BatchStop(
            f"The batch stops at clip {row.clip_id!r}, {row.locator[:100]}. {clip['reason']} Going "
            "on would make it worse. Finished shards are kept: wait some hours and run this cell "
            "again. If it stops here every time, choose other rows, or leave this one out for good "
            f"with the line clip,{row.clip_id},blocked in data_manifest/exclusions.csv: both begin "
            "a new table."
        )
    if clip["reason"] == _DISK_FULL:
        raise BatchStop(
            f"The batch stops at clip {row.clip_id!r}: the disk is full. Finished shards are "
            "kept: make room, or take fewer rows, and run this cell again."
        )
