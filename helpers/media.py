"""Everything that decodes or encodes audio and video, with PyAV.

PyAV brings its own FFmpeg libraries, so nothing has to be installed on the machine. Times are in
seconds from the beginning of the file, pictures are RGB, sound is mono float32 from -1 to 1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from helpers.settings import CLIP_LINES, CLIP_RATE, SAMPLE_RATE

Source = Path | str | bytes
"""A media file, or its content."""

LONGEST_CLIP_SECONDS = 20.0
"""A clip is cut off here; the voice encoder hears six seconds."""
SHORTEST_SECONDS = 0.5
"""Less video or sound than this is no clip."""

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf,ogg,wav,w64,flac,"
    "mp3,aac,aiff,caf,amr,ivf,h264,hevc,m4v"
)
# Playlists are not on the list: they name other files and addresses, and opening a clip must
# never open anything else. For the same reason no protocol may be used.
_OPEN_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
_VIDEO_OPTIONS = {"preset": "superfast", "crf": "23"}
_AUDIO_OPTIONS = {"aac_coder": "fast"}
_AUDIO_BITS_PER_SECOND = 64_000
_MICROSECONDS = 1_000_000
_SEEK_MARGIN_SECONDS = 1.0


class MediaError(Exception):
    """A media file cannot be used.

    Attributes:
        reason: One short plain sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a media file holds.

    Attributes:
        duration_s: Length of the longest stream.
        width: Width in square pixels as shown, rotation applied; 0 without video.
        height: Height in pixels as shown, rotation applied; 0 without video.
        rate: Mean frames per second; 0.0 without video.
        has_video: Whether there is a video stream of which at least one frame can be decoded.
        has_audio: Whether there is an audio stream.
        sample_rate: Samples per second of the sound; 0 without sound.
        channels: Channels of the sound; 0 without sound.
        video_codec: For example `h264`; empty without video.
        rotation: Degrees counter-clockwise that the player turns the picture: 0, 90, 180 or 270.
    """

    duration_s: float
    width: int
    height: int
    rate: float
    has_video: bool
    has_audio: bool
    sample_rate: int
    channels: int
    video_codec: str
    rotation: int


def probe(source: Source) -> Probe:
    """Looks at the streams of a media file and decodes its first picture.

    Args:
        source: File, or its content as bytes.

    Returns:
        What the file holds.

    Raises:
        MediaError: The file is missing, empty, or no media file.
    """
    with _opened(source) as container:
        video, audio = _video_stream(container), _audio_stream(container)
        frame = _first_frame(container, video) if video else None
        width, height = _shown_size(frame) if frame else (0, 0)
        return Probe(
            duration_s=_duration(source, container),
            width=width,
            height=height,
            rate=float(video.average_rate or 0) if frame else 0.0,
            has_video=frame is not None,
            has_audio=audio is not None,
            sample_rate=audio.rate if audio else 0,
            channels=audio.channels if audio else 0,
            video_codec=video.codec_context.name if frame else "",
            rotation=_rotation(frame) if frame else 0,
        )


def read_frames(
    source: Source, times: Sequence[float], lines: int | None = CLIP_LINES
) -> list[tuple[float, np.ndarray]]:
    """Reads the first picture at or after each time.

    The pictures are decoded in order, because seeking costs more and is wrong by a frame or two
    where the frame rate varies. Rotation and pixels that are not square are put right.

    Args:
        source: File, or its content as bytes.
        times: Seconds from the beginning of the file.
        lines: Greatest height in pixels; None keeps the height of the file.

    Returns:
        A pair per time, in the order of time: the picture's own time in seconds and uint8
        (height, width, 3) RGB. Times after the last picture give nothing.

    Raises:
        MediaError: The file cannot be read or has no video.
    """
    wanted = sorted(times)
    pictures: list[tuple[float, np.ndarray]] = []
    with _opened(source) as container:
        to_array = _Shaper(lines)
        for time_s, frame in _frames(source, container, wanted[0] if wanted else 0.0):
            picture = None
            while wanted and time_s + 1e-6 >= wanted[0]:
                picture = to_array.rgb(frame) if picture is None else picture
                pictures.append((time_s, picture))
                wanted.pop(0)
            if not wanted:
                break
    return pictures


def read_audio(
    source: Source, start_s: float = 0.0, seconds: float | None = None, rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Reads sound of any codec, sampling rate and number of channels.

    The channels are averaged here: the resampler of FFmpeg adds them in float, which makes stereo
    louder by the square root of two.

    Args:
        source: File, or its content as bytes.
        start_s: Where to begin, in seconds from the beginning of the file.
        seconds: How much to read; None reads to the end.
        rate: Samples per second wanted.

    Returns:
        float32 (samples,) mono, -1 to 1. Shorter than asked for where the file ends.

    Raises:
        MediaError: The file cannot be read or has no sound.
    """
    import av

    limit = math.inf if seconds is None else start_s + seconds
    chunks: list[np.ndarray] = []
    with _opened(source) as container:
        stream = _audio_stream(container)
        if stream is None:
            raise MediaError("The file has no sound.")
        origin = _origin(container)
        if start_s > _SEEK_MARGIN_SECONDS:
            _seek(container, origin + start_s - _SEEK_MARGIN_SECONDS)
        resampler, first, end = None, None, 0.0
        for frame in _decoded(container, stream):
            if first is None:
                first = (frame.time or 0.0) - origin
                resampler = av.AudioResampler("fltp", frame.layout, rate)
            chunks += [part.to_ndarray().mean(axis=0) for part in resampler.resample(frame)]
            end = (frame.time or 0.0) - origin + frame.samples / frame.sample_rate
            if end > limit + 0.1:
                break
        if resampler is not None:
            chunks += [part.to_ndarray().mean(axis=0) for part in resampler.resample(None)]
    if not chunks:
        return np.zeros(0, np.float32)
    sound = np.concatenate(chunks).astype(np.float32)
    # Sound may begin after the picture: silence fills the gap. What was decoded before the start
    # is dropped.
    offset = round((first - start_s) * rate)
    sound = np.concatenate([np.zeros(offset, np.float32), sound]) if offset > 0 else sound[-offset:]
    if seconds is not None:
        sound = sound[: round(seconds * rate)]
    return np.clip(sound, -1.0, 1.0)


def normalise(source: Source, start_s: float = 0.0, end_s: float | None = None) -> bytes:
    """Cuts a piece out of a video and brings it into the form of all clips.

    Args:
        source: File, or its content as bytes.
        start_s: Where the clip begins, in seconds.
        end_s: Where it ends; None means the end of the file. A clip is never longer than
            `LONGEST_CLIP_SECONDS`.

    Returns:
        MP4 with H.264 at 25 frames per second, at most 360 lines, turned upright with square
        pixels, and AAC at 16 kHz, mono.

    Raises:
        MediaError: The file cannot be read, has no video or no sound, or ends before the piece
            that was asked for.
    """
    limit = start_s + LONGEST_CLIP_SECONDS
    limit = limit if end_s is None else min(limit, end_s)
    sound = read_audio(source, start_s, limit - start_s)
    with _opened(source) as container:
        timed = _frames(source, container, start_s)
        return _encode(_even_pace(timed, start_s, limit, _Shaper(CLIP_LINES)), sound, CLIP_RATE)


def write_video(frames: Iterable[np.ndarray], audio: np.ndarray, rate: float = CLIP_RATE) -> bytes:
    """Encodes pictures and sound as a clip.

    Args:
        frames: uint8 (height, width, 3) RGB, all of one size. An odd last row or column is lost.
        audio: float32 (samples,) mono at 16 kHz, -1 to 1. No samples: a video without sound.
        rate: Frames per second.

    Returns:
        MP4 with H.264 and AAC, the index in front.

    Raises:
        MediaError: There are no frames.
    """
    import av

    pictures = (
        av.VideoFrame.from_ndarray(
            np.ascontiguousarray(frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2]), "rgb24"
        )
        for frame in frames
    )
    return _encode(pictures, audio, rate)


def write_wav(path: Path, audio: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Writes sound as a 16-bit WAV file.

    Args:
        path: File to write.
        audio: float32 (samples,) mono, -1 to 1.
        rate: Samples per second.
    """
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(to_int16(audio).tobytes())


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Turns float sound, -1 to 1, into little-endian int16 of the same shape; clips beyond."""
    return np.round(np.clip(audio, -1.0, 1.0) * 32767).astype("<i2")


def from_int16(audio: np.ndarray | bytes) -> np.ndarray:
    """Turns int16 sound, or its bytes, into float32 from -1 to 1."""
    samples = np.frombuffer(audio, "<i2") if isinstance(audio, bytes) else audio
    return samples.astype(np.float32) / 32767


# --- decoding ------------------------------------------------------------------------------------


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
def _opened(source: Source) -> Iterator:
    """Opens a media file for reading; everything FFmpeg complains about becomes a MediaError."""
    import av

    av.logging.set_level(av.logging.PANIC)
    with _content(source) as file:
        try:
            with av.open(file, options=_OPEN_OPTIONS) as container:
                yield container
        except av.FFmpegError as error:
            raise MediaError(
                f"The file is damaged or not audio or video ({error.strerror})."
            ) from error


def _video_stream(container):
    """The first stream of moving pictures, or None. Cover pictures of songs do not count."""
    import av

    cover = av.stream.Disposition.attached_pic
    streams = (s for s in container.streams.video if not s.disposition & cover)
    return next((s for s in streams if s.codec_context), None)


def _audio_stream(container):
    return next((s for s in container.streams.audio if s.codec_context), None)


def _origin(container) -> float:
    """Time stamp of the beginning of the file, in seconds: often 0, 0.5 in MPEG-1."""
    return (container.start_time or 0) / _MICROSECONDS


def _seek(container, time_s: float) -> None:
    import av

    with contextlib.suppress(av.FFmpegError):
        container.seek(int(time_s * _MICROSECONDS))


def _decoded(container, stream) -> Iterator:
    """Decodes a stream to its end; packets that cannot be decoded are left out."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            continue


def _frames(source: Source, container, start_s: float) -> Iterator[tuple[float, object]]:
    """Yields (time in seconds, frame) from a little before `start_s` on."""
    stream = _video_stream(container)
    if stream is None:
        raise MediaError("The file has no video.")
    stream.codec_context.thread_count = 1
    origin = _origin(container)
    if start_s > 2 * _SEEK_MARGIN_SECONDS:
        _seek(container, origin + start_s - _SEEK_MARGIN_SECONDS)
    for number, frame in enumerate(_decoded(container, stream)):
        if frame.time is None:
            continue
        time_s = frame.time - origin
        if number == 0 and time_s > start_s > 2 * _SEEK_MARGIN_SECONDS:
            # The seek went too far, as it does in files without an index: decode from the front.
            with _opened(source) as again:
                yield from _frames(source, again, 0.0)
            return
        yield time_s, frame


def _first_frame(container, stream):
    frame = next(_decoded(container, stream), None)
    _seek(container, 0.0)
    return frame


def _rotation(frame) -> int:
    """Quarter turns counter-clockwise that the file asks for, in degrees: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) % 4 * 90


def _shown_size(frame) -> tuple[int, int]:
    """Width and height as a player shows them: square pixels, upright."""
    aspect = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
    width = round(frame.width * float(aspect)) if aspect else frame.width
    size = (width, frame.height)
    return size[::-1] if _rotation(frame) % 180 else size


def _duration(source: Source, container) -> float:
    """Length in seconds; read from the packets where the file does not say (live recordings)."""
    if container.duration:
        return container.duration / _MICROSECONDS
    with _opened(source) as again:
        origin = _origin(again)
        ends = [
            float((packet.pts + (packet.duration or 0)) * packet.time_base) - origin
            for packet in again.demux()
            if packet.pts is not None
        ]
    return max(ends, default=0.0)


class _Shaper:
    """Shrinks frames to a height, makes the pixels square and turns the picture upright.

    One converter serves a whole file: making a new one for each frame takes longer than using it.
    """

    def __init__(self, lines: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._lines = lines
        self._reformatter = VideoReformatter()

    def _stored_size(self, frame) -> tuple[int, int]:
        """Size before turning; both even, as H.264 needs."""
        width, height = _shown_size(frame)
        scale = min(1.0, self._lines / height) if self._lines else 1.0
        width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        return (height, width) if _rotation(frame) % 180 else (width, height)

    def rgb(self, frame) -> np.ndarray:
        """Returns uint8 (height, width, 3)."""
        width, height = self._stored_size(frame)
        shaped = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
        return np.ascontiguousarray(np.rot90(shaped.to_ndarray(), _rotation(frame) // 90))

    def planar(self, frame):
        """Returns a frame in the encoder's pixel format."""
        import av

        if _rotation(frame):
            return av.VideoFrame.from_ndarray(self.rgb(frame), "rgb24")
        width, height = self._stored_size(frame)
        return self._reformatter.reformat(frame, width, height, "yuv420p", interpolation="AREA")


def _even_pace(timed: Iterator, start_s: float, end_s: float, shaper: _Shaper) -> Iterator:
    """Yields a frame for each 1/25 s of the clip: the one that a player shows at that moment."""
    shown, tick = None, 0
    for time_s, frame in timed:
        while shown is not None and start_s + tick / CLIP_RATE < min(time_s, end_s) - 1e-6:
            yield shaper.planar(shown)
            tick += 1
        shown = frame
        if time_s >= end_s:
            return
    if shown is not None and start_s + tick / CLIP_RATE < end_s - 1e-6:
        yield shaper.planar(shown)


# --- encoding ------------------------------------------------------------------------------------


def _encode(pictures: Iterable, audio: np.ndarray, rate: float) -> bytes:
    """Encodes PyAV frames of one size and 16 kHz mono sound as MP4 in memory."""
    import av
    from av.video.reformatter import VideoReformatter

    pictures = iter(pictures)
    first = next(pictures, None)
    if first is None:
        raise MediaError("There is no picture in this piece of the video.")
    buffer = io.BytesIO()

    def open_again(_url: str, flags: int, _options: dict) -> io.BytesIO:
        # To put the index in front, FFmpeg opens what it has written a second time, for reading.
        return io.BytesIO(buffer.getvalue()) if flags == 1 else buffer

    with av.open(
        buffer, "w", format="mp4", options={"movflags": "+faststart"}, io_open=open_again
    ) as container:
        video = container.add_stream("libx264", rate=rate, options=_VIDEO_OPTIONS)
        video.width, video.height, video.pix_fmt = first.width, first.height, "yuv420p"
        video.codec_context.thread_count = 1
        if len(audio):
            sound = container.add_stream("aac", rate=SAMPLE_RATE, options=_AUDIO_OPTIONS)
            sound.layout, sound.bit_rate = "mono", _AUDIO_BITS_PER_SECOND
            samples = np.ascontiguousarray(audio[None], np.float32)
            whole = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            whole.sample_rate, whole.pts = SAMPLE_RATE, 0
            container.mux([*sound.encode(whole), *sound.encode(None)])
        reformatter = VideoReformatter()
        for number, frame in enumerate(itertools.chain([first], pictures)):
            picture = reformatter.reformat(frame, format="yuv420p", threads=1)
            picture.pts, picture.time_base = number, 1 / video.codec_context.rate
            picture.pict_type = 0
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return buffer.getvalue()
