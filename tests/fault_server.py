"""Rows whose sources misbehave in every way there is, and what should become of each of them.

`lay_out` puts marked videos on a server, as files, pages and streams; `faulty_rows` deals rows out
over all faults. `judge` compares a clip with the truth: its status, and if it is `ok` its content.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import marked_media
from manifest_rows import row
from range_server import RangeServer

from helpers.corpora.rows import Row

VIDEOS = 4
KINDS = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    "ts": "video/mp2t",
    "html": "text/html; charset=utf-8",
}

FAULTS = {
    # name: (source, address, status); {v} is the number of the video, {n} that of the row
    "file": ("https", "{v}.mp4", "ok"),
    "file, redirected": ("https", "go?to=/{v}.mp4", "ok"),
    "file, Range unsupported": ("https", "{v}.mp4?norange", "ok"),
    "file, dropped once": ("https", "{v}.mp4?drop=9000&of={n}", "ok"),
    "file, dropped once, no Range": ("https", "{v}.mp4?drop=9000&norange&of={n}", "ok"),
    "file, 503 once": ("https", "{v}.mp4?status=503&times=1&of={n}", "ok"),
    "file, dropped always": ("https", "{v}.mp4?breaks=9000", "failed"),
    "file, stalled": ("https", "{v}.mp4?stall=9000", "failed"),
    "file, 403": ("https", "{v}.mp4?status=403", "failed"),
    "file, 503": ("https", "{v}.mp4?status=503", "failed"),
    "file, 404": ("https", "absent-{v}.mp4", "gone"),
    "file, 429": ("https", "{v}.mp4?status=429", "blocked"),
    "file, not a bot": ("https", "{v}.mp4?status=403&page=Show+you+are+not+a+bot", "blocked"),
    "file, past the end": ("https", "{v}.mp4?past", "rejected"),
    "file, partly past the end": ("https", "{v}.mp4?partly", "rejected"),
    "file, Git LFS": ("https", "lfs.mp4", "rejected"),
    "file, a web page": ("https", "{v}.html", "rejected"),
    "file, to file://": ("https", "go?to=file:///etc/passwd", "rejected"),
    "file, HLS": ("https", "{v}/hls/stream.m3u8", "ok"),
    "page": ("page", "{v}.html", "ok"),
    "page, a file": ("page", "{v}.mp4", "ok"),
    "page, Range unsupported": ("page", "{v}.mp4?norange", "ok"),
    "page, dropped once": ("page", "{v}.mp4?drop=9000&ranged&of={n}", "ok"),
    "page, HLS": ("page", "{v}/hls/stream.m3u8", "ok"),
    "page, split": ("page", "{v}/split/stream.m3u8", "ok"),
    "page, DASH": ("page", "{v}/dash/stream.mpd", "ok"),
    "page, dropped always": ("page", "{v}.mp4?breaks=9000", "failed"),
    "page, stalled": ("page", "{v}.mp4?stall=9000", "failed"),
    "page, 403": ("page", "{v}.mp4?status=403", "failed"),
    "page, 403 behind it": ("page", "{v}-403.html", "failed"),
    "page, 404": ("page", "absent-{v}.html", "gone"),
    "page, 404 behind it": ("page", "{v}-404.html", "gone"),
    "page, segment gone": ("page", "{v}/hls/holed.m3u8", "gone"),
    "page, 429": ("page", "{v}.mp4?status=429", "blocked"),
    "page, 429 behind it": ("page", "{v}-429.html", "blocked"),
    "page, past the end": ("page", "{v}.mp4?past", "rejected"),
    "page, HLS past the end": ("page", "{v}/hls/stream.m3u8?past", "rejected"),
    "page, partly past the end": ("page", "{v}.mp4?partly", "rejected"),
    "page, Git LFS": ("page", "lfs.mp4", "rejected"),
    "page, no video": ("page", "empty.html", "rejected"),
    "page, to file://": ("page", "go?to=file:///etc/passwd", "rejected"),
    "page, segments of file://": ("page", "{v}/hls/evil.m3u8", "rejected"),
}


def lay_out(server: RangeServer) -> None:
    """Puts the videos on the server: as files, behind pages, as streams."""
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for video in range(VIDEOS):
            files[f"{video}.mp4"] = marked_media.marked_video(video)
            path = folder / f"{video}.mp4"
            path.write_bytes(files[path.name])
            marked_media.streamed(path, folder / str(video))
            page = "<html><body><video src='/{}.mp4{}'></video></body></html>"
            files[f"{video}.html"] = page.format(video, "").encode()
            for status in ("403", "404", "429"):
                behind = page.format(video, f"?status={status}")
                files[f"{video}-{status}.html"] = behind.encode()
        for path in folder.rglob("*/*/*"):
            files[str(path.relative_to(folder))] = path.read_bytes()
    for video in range(VIDEOS):
        hls = files[f"{video}/hls/stream.m3u8"]
        files[f"{video}/hls/holed.m3u8"] = hls.replace(b"stream2.ts", b"absent.ts")
        files[f"{video}/hls/evil.m3u8"] = hls.replace(b"stream2.ts", b"file:///etc/passwd")
    files["lfs.mp4"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n"
    files["empty.html"] = b"<html><body>There was a video here once.</body></html>"
    server.files |= files
    for file in files:
        server.kinds[file] = KINDS.get(file.rsplit(".", 1)[-1], "video/mp4")


def faulty_rows(server: RangeServer, count: int) -> list[tuple[Row, str]]:
    """Deals out rows over all faults; with each the name of its fault."""
    pieces = itertools.cycle([(0.0, 3.0), (2.0, 5.0), (3.32, 6.72), (4.96, 8.0), (1.0, 7.5)])
    names = itertools.islice(itertools.cycle(FAULTS), count)
    rows = []
    for number, (fault, (start_s, end_s)) in enumerate(zip(names, pieces, strict=False)):
        source, address, _ = FAULTS[fault]
        video = number % VIDEOS
        if "partly past" in fault:
            start_s, end_s = 6.0, 9.0
        elif "past the end" in fault:
            start_s, end_s = 40.0, 46.0
        elif "segment" in fault:
            start_s, end_s = 3.0, 7.0
        locator = server.url(address.format(v=video, n=number))
        asked_for = row(
            locator,
            source,
            clip_id=f"clip-{number}",
            start_s=start_s,
            end_s=end_s,
            speaker_id=f"video-{video}",
        )
        rows.append((asked_for, fault))
    return rows


def judge(row: Row, fault: str, clip: dict[str, object]) -> list[str]:
    """Says what is wrong with the outcome of a row; empty if nothing."""
    wanted = FAULTS[fault][2]
    if clip["status"] != wanted:
        return [f"{fault}: {clip['status']} instead of {wanted}: {clip['reason']}"]
    if wanted != "ok":
        return [] if clip["video"] is None else [f"{fault}: not ok, and yet a video"]
    video = int(row.speaker_id.split("-")[1])
    found = marked_media.problems(clip["video"], video, row.start_s, row.end_s)
    return [f"{fault} {row.locator} {row.start_s}-{row.end_s}: {text}" for text in found]
