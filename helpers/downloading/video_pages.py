"""A piece of a video on YouTube, or on a web page, through yt-dlp and ffmpeg.

yt-dlp finds out where the video lies, ffmpeg fetches the seconds that are wanted. That is quick,
but ffmpeg calls half a piece a success, so nothing it says or makes is taken on trust: where there
is any doubt, yt-dlp fetches the whole video, which it checks, and the piece is cut here.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers import media
from helpers.downloading import gate
from helpers.downloading.addresses import Refusal
from helpers.downloading.web import BLOCKED_WORDS, Limits
from helpers.settings import Settings

TOLERANCE_SECONDS = 0.25
"""A piece that is shorter or longer by more than this is not what was asked for."""
LONGEST_WHOLE_SECONDS = 1200.0
"""A longer video is not fetched whole for the sake of one piece."""
RUNTIMES = ("deno", "node", "bun", "quickjs")
"""What can solve YouTube's JavaScript puzzles for yt-dlp; one of them is enough."""
_PIECE_SHARE = 0.2
"""Share of the time for a video that ffmpeg may take for a piece of it."""

WATCH = "https://www.youtube.com/watch?v="
"""What comes before the id of a video."""
_PROTOCOLS = "[protocol~='^(https?|m3u8.*|http_dash_segments.*)$']"
_FORMAT = f"bv*{_PROTOCOLS}+ba{_PROTOCOLS}/b{_PROTOCOLS}"
# Small pictures are enough. For a piece, streams in segments: YouTube slows ffmpeg down on whole
# files. For a whole file the other way round.
_PIECE_FIRST = ["res:360", "proto:m3u8", "vcodec:h264", "acodec:aac"]
_WHOLE_FIRST = ["res:360", "proto:https", "vcodec:h264", "acodec:aac"]
# The address of a page must not lead to a service whose terms nobody has accepted.
_EXTRACTORS = {"youtube": ["^youtube$"], "page": ["^generic$", "^html5$", "^generic:quoted-html$"]}
_NETWORK = "http,https,tls,tcp,httpproxy,crypto,data"
# Without these a connection that breaks off gives a short piece, and one that stalls never ends.
_PATIENCE = [
    *("-reconnect", "1", "-reconnect_streamed", "1", "-reconnect_on_network_error", "1"),
    *("-reconnect_delay_max", "8"),
]
# ffmpeg leaves out what it cannot get and goes on; these words are all that it says about it.
_DOUBTS = re.compile(
    r"fail|error|skip|invalid|corrupt|missing|discontinu|non-monoton|could not|unable|reconnect",
    re.IGNORECASE,
)
_REASONS = (
    ("gone", "The video is private.", r"private video|video is private"),
    ("gone", "The video was removed.", r"removed|terminated|copyright|deleted|no longer"),
    (
        "rejected",
        "The video is only for people who are signed in.",
        r"confirm your age|age.restricted|members.only|join this channel|sign in|log ?in|account",
    ),
    ("rejected", "The video is not shown in this country.", r"country|geo.?restrict|location"),
    ("rejected", "The video has not been shown yet.", r"premiere|live event|will begin|upcoming"),
    ("gone", "The video is not available.", r"video (is )?unavailable|not available$|not exist"),
    (
        "rejected",
        "There is no video on the page that could be found.",
        r"unsupported url|no video formats|no suitable extractor",
    ),
    (
        "rejected",
        "The address leads on to another scheme, which is refused.",
        r"redirection to url|url scheme|url type|file:// url|connection adapters",
    ),
    ("failed", "The server broke off or stopped sending.", r"bytes read|timed? ?out|reset|aborted"),
    ("failed", "There is no connection to the server.", r"connection|proxy|resolve|transport"),
)


class Pace:
    """Sees to it that requests keep their distance, whoever makes them in this process.

    Attributes:
        videos_s: Least and greatest pause before a video, in seconds; the pause is drawn between.
        requests_s: Pause between the requests that finding one video takes, in seconds.
    """

    def __init__(self, videos_s: tuple[float, float], requests_s: float) -> None:
        self.videos_s, self.requests_s = videos_s, requests_s
        self._turn = threading.Lock()
        self._last = -1e9

    def wait(self) -> None:
        """Waits until the next video may be asked for."""
        with self._turn:
            pause = self._last + random.uniform(*self.videos_s) - time.monotonic()
            time.sleep(max(0.0, pause))
            self._last = time.monotonic()


PACES = {"youtube": Pace((5.0, 10.0), 0.75), "page": Pace((1.0, 2.0), 0.5)}
"""How often each source is asked. YouTube lets a guest see some 300 videos an hour."""


class Video:
    """A video that yt-dlp has found. Get it from `opened`.

    Attributes:
        duration_s: Its length in seconds, None where the page does not say.
    """

    def __init__(self, downloader, found: Mapping, folder: Path, watch: gate.Gate) -> None:
        self._downloader, self._found = downloader, found
        self._folder, self._gate = folder, watch
        self._formats = _resolved(downloader, found, _PIECE_FIRST)
        self.duration_s: float | None = self._formats.get("duration")

    def piece(self, start_s: float, end_s: float) -> Path | None:
        """Fetches some seconds of the video, and no more of it than that takes.

        Args:
            start_s: Where the piece begins, in seconds.
            end_s: Where it ends.

        Returns:
            MP4 with exactly this piece; None where there is any doubt about it: ffmpeg complained,
            picture or sound is missing, has a hole or another length.

        Raises:
            Refusal: The server wants no more requests, or there was too much of something.
        """
        self._gate.begin()
        path = self._folder / f"piece-{round(start_s * 1000)}-{round(end_s * 1000)}.mp4"
        ffmpeg = self._downloader.params["ffmpeg_location"]
        said = self._ffmpeg([ffmpeg, *_arguments(self._formats, start_s, end_s - start_s, path)])
        if self._gate.refusal is not None:
            raise self._gate.refusal
        if said is None or _DOUBTS.search(said):
            return None
        try:
            seconds = media.stream_seconds(path)
            whole = max(abs(s - (end_s - start_s)) for s in seconds) <= TOLERANCE_SECONDS
            return path if whole and media.longest_gap(path) <= TOLERANCE_SECONDS else None
        except media.MediaError:
            return None

    def whole(self) -> Path:
        """Fetches the whole video with yt-dlp's own downloader, once.

        Returns:
            The file.

        Raises:
            Refusal: With the status and reason that the row gets.
        """
        done = next(self._folder.glob("whole.*"), None)
        if done is not None:
            return done
        if (self.duration_s or 0) > LONGEST_WHOLE_SECONDS:
            raise Refusal("failed", "The piece did not come, and the video is too long to fetch.")
        self._gate.begin()
        with _plain_words(self._gate):
            info = _resolved(self._downloader, self._found, _WHOLE_FIRST, download=True)
        files = [entry.get("filepath") for entry in info.get("requested_downloads") or ()]
        if len(files) != 1 or not files[0] or not Path(files[0]).exists():
            raise Refusal("failed", "The video did not come.")
        return Path(files[0])

    def _ffmpeg(self, command: list[str]) -> str | None:
        """Runs ffmpeg through the gate; returns what it said, None where it failed."""
        environment = {name: v for name, v in os.environ.items() if name.lower() != "no_proxy"}
        environment |= {"http_proxy": self._gate.url, "HTTP_PROXY": self._gate.url}
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._gate.limits.total_s * _PIECE_SHARE,
            )
        except subprocess.TimeoutExpired:
            return None
        return None if done.returncode else done.stderr.decode(errors="replace")


@contextlib.contextmanager
def opened(source: str, locator: str, settings: Settings, limits: Limits) -> Iterator[Video]:
    """Finds a video; deletes everything that was fetched at the end.

    Args:
        source: `youtube`, or `page` for any address with a video on it or behind it.
        locator: Id of a YouTube video, or an address.
        settings: `accept_youtube_terms` and `cookies` matter.
        limits: Bytes and seconds for the video and all its pieces.

    Yields:
        The video.

    Raises:
        Refusal: With the status and reason that the row gets.
    """
    import yt_dlp

    youtube = source == "youtube"
    if youtube and not settings.accept_youtube_terms:
        raise Refusal("rejected", "ACCEPT_YOUTUBE_TERMS is False: read YouTube's terms first.")
    if youtube and not re.fullmatch(r"[A-Za-z0-9_-]{11}", locator):
        raise Refusal("rejected", "This is not the id of a YouTube video.")
    address = WATCH + locator if youtube else locator
    PACES[source].wait()
    with tempfile.TemporaryDirectory(prefix="video-") as name, gate.opened(limits) as watch:
        folder = Path(name)
        options = _options(source, folder, watch)
        if youtube and settings.cookies:
            options["cookiefile"] = str(_private_copy(Path(settings.cookies), folder))
        with yt_dlp.YoutubeDL(options) as downloader:
            with _plain_words(watch):
                found = downloader.extract_info(address, download=False, process=False)
                video = Video(downloader, found or {}, folder, watch)
            yield video


def is_playlist(begin: bytes) -> bool:
    """Tells whether a file lists the pieces of a stream (HLS or DASH) instead of being a video.

    Args:
        begin: The first 500 bytes of the file, or so.
    """
    return begin.lstrip().startswith(b"#EXTM3U") or b"<MPD" in begin


def _options(source: str, folder: Path, watch: gate.Gate) -> dict[str, object]:
    return {
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Silent(),
        "allowed_extractors": _EXTRACTORS[source],
        "js_runtimes": {name: {} for name in RUNTIMES},
        "proxy": watch.url,
        "ffmpeg_location": str(_caller_of_ffmpeg(folder)),
        "paths": {"home": str(folder)},
        "outtmpl": {"default": "whole.%(ext)s"},
        "format": _FORMAT,
        "merge_output_format": "mp4",
        "fixup": "never",
        "noplaylist": True,
        "continuedl": False,
        "socket_timeout": watch.limits.stall_s,
        "retries": 2,
        "fragment_retries": 2,
        "extractor_retries": 1,
        # A segment that is left out would move everything behind it.
        "skip_unavailable_fragments": False,
        "sleep_interval_requests": PACES[source].requests_s,
        "geo_bypass": False,
        "ignoreerrors": False,
    }


def ffmpeg_path() -> str:
    """Returns the ffmpeg to use: that of the package imageio-ffmpeg.

    Raises:
        Refusal: There is none for this machine.
    """
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise Refusal("failed", "There is no ffmpeg: install imageio-ffmpeg.") from error


def _caller_of_ffmpeg(folder: Path) -> Path:
    """Writes a program that calls ffmpeg so that it leaves this machine's character sets alone.

    The ffmpeg 7.0.2 of imageio-ffmpeg 0.6.0 is linked statically. On another C library than its
    own the character sets it loads for the title of a transport stream make it crash, so that no
    stream in segments would come. UTF-8 needs none of them.
    """
    path = folder / "ffmpeg"
    path.write_text(f'#!/bin/sh\nGCONV_PATH=/nonexistent exec {shlex.quote(ffmpeg_path())} "$@"\n')
    path.chmod(0o700)
    return path if os.access(path, os.X_OK) else Path(ffmpeg_path())  # a folder without programs


def _private_copy(cookies: Path, folder: Path) -> Path:
    """Copies the cookies: yt-dlp writes into the file, which may lie on a shared Drive."""
    copied = folder / "cookies.txt"
    try:
        shutil.copyfile(cookies.expanduser(), copied)
    except OSError as error:
        raise Refusal("failed", "The file of COOKIES cannot be read.") from error
    copied.chmod(0o600)
    return copied


def _resolved(downloader, found: Mapping, order: list[str], download: bool = False) -> dict:
    """Lets yt-dlp choose among the formats of what it found."""
    if found.get("_type") in ("playlist", "multi_video"):
        raise Refusal("rejected", "The page has several videos: give the address of one.")
    downloader.params["format_sort"] = order
    info = downloader.process_ie_result(copy.deepcopy(dict(found)), download=download)
    if not info or info.get("_type", "video") != "video":
        raise Refusal("rejected", "The page has several videos: give the address of one.")
    if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
        raise Refusal("rejected", "The video is live: its seconds cannot be counted.")
    return info


def _arguments(info: Mapping, start_s: float, seconds: float, path: Path) -> list[str]:
    """What ffmpeg is told to cut a piece, to the picture, out of one stream or two."""
    streams = info.get("requested_formats") or [info]
    wait = max(float(stream.get("available_at") or 0) for stream in streams) - time.time()
    time.sleep(min(max(0.0, wait), 60.0))
    told = ["-nostdin", "-y", "-hide_banner", "-loglevel", "warning"]
    for stream in streams:
        headers = "".join(f"{k}: {v}\r\n" for k, v in (stream.get("http_headers") or {}).items())
        told += ["-protocol_whitelist", _NETWORK, "-rw_timeout", "15000000", *_PATIENCE]
        told += ["-headers", headers, "-ss", f"{start_s:.3f}", "-t", f"{seconds:.3f}"]
        told += ["-i", stream["url"]]
    if len(streams) > 1:
        for number, stream in enumerate(streams):
            kind = "v:0" if stream.get("vcodec") not in (None, "none") else "a:0"
            told += ["-map", f"{number}:{stream.get('manifest_stream_number', kind)}"]
    told += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]
    return [*told, "-c:a", "aac", "-f", "mp4", str(path)]


# --- what went wrong -----------------------------------------------------------------------------


@contextlib.contextmanager
def _plain_words(watch: gate.Gate) -> Iterator[None]:
    """Turns whatever yt-dlp raises into a status and a plain reason."""
    from yt_dlp.utils import YoutubeDLError

    try:
        yield
    except YoutubeDLError as error:
        raise watch.refusal or refusal(error) from error


def refusal(error: Exception) -> Refusal:
    """Says what an error of yt-dlp means for the row.

    Args:
        error: Any `yt_dlp.utils.YoutubeDLError`.

    Returns:
        `blocked` where going on makes it worse, `gone` or `rejected` where nothing will help,
        `failed` where a later run may.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    all_said = " ".join([text, *map(str, _chain(error))])
    status = next((s for e in _chain(error) if (s := getattr(e, "status", None))), None)
    if status is None and (found := re.search(r"HTTP Error (\d{3})", text)):
        status = int(found[1])
    if BLOCKED_WORDS.search(all_said.encode()) or status == 429:
        return Refusal("blocked", "The server takes us for a robot or wants no more requests.")
    if status in (404, 410):
        return Refusal("gone", f"The server no longer has the video ({status}).")
    if status is not None:
        return Refusal("failed", f"The server refuses the video ({status}).")
    for kind, reason, pattern in _REASONS:
        if re.search(pattern, all_said, re.IGNORECASE):
            return Refusal(kind, reason)
    words = re.sub(r"^(ERROR: )?(\[[^\]]*\] )?([\w-]+: )?", "", text).split(";")[0]
    words = re.sub(r"[^ -~]|https?://\S+", "", words)[:60].strip(" .")
    return Refusal("failed", f"yt-dlp reports: {words or type(error).__name__}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = (getattr(error, "exc_info", None) or (None, None))[1]
        cause = getattr(error, "cause", None)
        cause = cause if isinstance(cause, BaseException) else None
        error = inner or cause or error.__cause__


class _Silent:
    """yt-dlp's messages are not for the page; its errors are raised."""

    def debug(self, message: str) -> None: ...

    info = warning = error = debug
