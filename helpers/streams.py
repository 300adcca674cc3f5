"""How a media file is opened and decoded with PyAV: the plumbing under `helpers.media`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

Source = Path | str | bytes
"""A media file, or its content."""

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf,ogg,wav,w64,flac,"
    "mp3,aac,aiff,caf,amr,ivf,h264,hevc,m4v"
)
# Playlists are not on the list: they name other files and addresses, and opening a clip must
# never open anything else. For the same reason no protocol may be used.
_OPEN_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
MICROSECONDS = 1_000_000
SEEK_MARGIN_SECONDS = 1.0


class MediaError(Exception):
    """A media file cannot be used.

    Attributes:
        reason: One short plain sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _content(source: Source) -> io.BufferedIOBase:
    if isinstance(source, bytes):
        file: io.BufferedIOBase = io.BytesIO(source)
    else:
        try:
            file = io.BufferedReader(io.FileIO(source))
        except FileNotFoundError:
            raise MediaError("The file is missing.") from None
        except OSError as error:
            raise MediaError(f"The file cannot be opened: {error.strerror}.") from None
    if not file.seek(0, io.SEEK_END):
        file.close()
        raise MediaError("The file is empty.")
    file.seek(0)
    return file


@contextlib.contextmanager
def opened(source: Source) -> Iterator:
    """Opens a media file for reading; everything FFmpeg complains about becomes a MediaError."""
    import av

    av.logging.set_level(av.logging.PANIC)
    with _content(source) as file:
        try:
            with av.open(file, options=_OPEN_OPTIONS) as container:
                yield container
        except av.FFmpegError as error:
            raise MediaError("The file is damaged, or is not audio or video.") from error


def video_stream(container):
    """The first stream of moving pictures, or None. Cover pictures of songs do not count."""
    import av

    cover = av.stream.Disposition.attached_pic
    streams = (s for s in container.streams.video if not s.disposition & cover)
    return next((s for s in streams if s.codec_context), None)


def audio_stream(container):
    """The first stream of sound, or None."""
    return next((s for s in container.streams.audio if s.codec_context), None)


def start_time(container) -> float:
    """Time stamp of the beginning of the file, in seconds: often 0, 0.5 in MPEG-1."""
    return (container.start_time or 0) / MICROSECONDS


def seek(container, time_s: float) -> None:
    """Goes to the last key picture before a time stamp; stays where the file cannot be sought."""
    import av

    with contextlib.suppress(av.FFmpegError):
        container.seek(int(time_s * MICROSECONDS))


def decoded(container, stream) -> Iterator:
    """Decodes a stream to its end; packets that cannot be decoded are left out."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            continue


def frames(source: Source, container, start_s: float) -> Iterator[tuple[float, object]]:
    """Yields (time in seconds, frame) from a little before `start_s` on."""
    stream = video_stream(container)
    if stream is None:
        raise MediaError("The file has no video.")
    stream.codec_context.thread_count = 1
    origin = start_time(container)
    if start_s > 2 * SEEK_MARGIN_SECONDS:
        seek(container, origin + start_s - SEEK_MARGIN_SECONDS)
    for number, frame in enumerate(decoded(container, stream)):
        if frame.time is None:
            continue
        time_s = frame.time - origin
        if number == 0 and time_s > start_s > 2 * SEEK_MARGIN_SECONDS:
            # The seek went too far, as it does in files without an index: decode from the front.
            with opened(source) as again:
                yield from frames(source, again, 0.0)
            return
        yield time_s, frame


def first_frame(container, stream):
    """Decodes the first picture, or None; reading starts from the front again."""
    frame = next(decoded(container, stream), None)
    seek(container, 0.0)
    return frame


def rotation(frame) -> int:
    """Quarter turns counter-clockwise that the file asks for, in degrees: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) % 4 * 90


def shown_size(stream, frame) -> tuple[int, int]:
    """Width and height as a player shows them: square pixels, upright."""
    width = round(frame.width * float(stream.sample_aspect_ratio or 1))
    size = (width, frame.height)
    return size[::-1] if rotation(frame) % 180 else size


class Shaper:
    """Shrinks frames to a height, makes the pixels square and turns the picture upright.

    One converter serves a whole file: making a new one for each frame takes longer than using it.

    Args:
        container: The opened file.
        lines: Greatest height; None keeps the height.
    """

    def __init__(self, container, lines: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._stream = video_stream(container)
        self._lines = lines
        self._reformatter = VideoReformatter()

    def _stored_size(self, frame) -> tuple[int, int]:
        """Size before turning; both even, as H.264 needs."""
        width, height = shown_size(self._stream, frame)
        scale = min(1.0, self._lines / height) if self._lines else 1.0
        width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        return (height, width) if rotation(frame) % 180 else (width, height)

    def rgb(self, frame) -> np.ndarray:
        """Returns uint8 (height, width, 3)."""
        width, height = self._stored_size(frame)
        shaped = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
        return np.ascontiguousarray(np.rot90(shaped.to_ndarray(), rotation(frame) // 90))

    def planar(self, frame):
        """Returns a frame in the encoder's pixel format."""
        import av

        if rotation(frame):
            return av.VideoFrame.from_ndarray(self.rgb(frame), "rgb24")
        width, height = self._stored_size(frame)
        return self._reformatter.reformat(frame, width, height, "yuv420p", interpolation="AREA")
