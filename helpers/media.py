"""Everything that decodes or encodes audio and video, with PyAV.

PyAV brings its own FFmpeg libraries, so nothing has to be installed on the machine. Times are in
seconds from the beginning of the file, pictures are RGB, sound is mono float32 from -1 to 1.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from helpers import streams
from helpers.settings import CLIP_LINES, CLIP_RATE, LONGEST_CLIP_SECONDS, SAMPLE_RATE
from helpers.streams import MediaError, Source

SHORTEST_SECONDS = 0.5
"""Less video or sound than this is no clip."""

# Measured on 162 drawn frames of 480x360: `ultrafast` takes 0.11 s of one core and 250 kB where
# `superfast` takes 0.19 s and 173 kB. Real footage, with its noise, is worth the slower one.
_DRAWN_VIDEO = {"preset": "ultrafast", "crf": "26"}
_REAL_VIDEO = {"preset": "superfast", "crf": "23"}
_AUDIO_OPTIONS = {"aac_coder": "fast"}
_AUDIO_BITS_PER_SECOND = 64_000
_CANCELLED = 0.01
"""Share of the loudest channel below which the mean of all is what is left of opposite phases. One
channel of 64, all others silent, leaves more."""


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
    with streams.opened(source) as container:
        video, audio = streams.video_stream(container), streams.audio_stream(container)
        frame = streams.first_frame(container, video) if video else None
        width, height = streams.shown_size(video, frame) if frame else (0, 0)
        return Probe(
            duration_s=_duration(source, container),
            width=width,
            height=height,
            rate=float(video.average_rate or 0) if frame else 0.0,
            has_video=frame is not None,
            has_audio=audio is not None,
            sample_rate=audio.rate if audio else 0,
            channels=audio.channels if audio else 0,
            video_codec=video.codec_context.codec.canonical_name if frame else "",
            rotation=streams.rotation(frame) if frame else 0,
        )


def stream_seconds(source: Source) -> tuple[float, float]:
    """Measures how much video and sound a file really holds, from its packets.

    The header of a file that was cut short still promises the whole length.

    Args:
        source: File, or its content as bytes.

    Returns:
        Seconds of video and seconds of sound, each counted from the beginning of the file.

    Raises:
        MediaError: The file is missing, empty, or no media file.
    """
    with streams.opened(source) as container:
        origin = streams.start_time(container)
        seconds = {None: 0.0}
        kinds = [streams.video_stream(container), streams.audio_stream(container)]
        for packet in container.demux([stream for stream in kinds if stream]):
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base) - origin
                seconds[packet.stream] = max(end, seconds.get(packet.stream, 0.0))
        return tuple(seconds.get(stream, 0.0) for stream in kinds)


def longest_gap(source: Source) -> float:
    """Finds the longest time in which neither stream may have gone on, from its packets.

    Args:
        source: File, or its content as bytes.

    Returns:
        The greatest distance between two pictures, or between two packets of sound, in seconds.

    Raises:
        MediaError: The file is missing, empty, or no media file.
    """
    with streams.opened(source) as container:
        kinds = [streams.video_stream(container), streams.audio_stream(container)]
        times: dict = {stream: [] for stream in kinds if stream}
        for packet in container.demux(list(times)):
            if packet.pts is not None:
                times[packet.stream].append(float(packet.pts * packet.time_base))
        return max(
            (float(np.diff(sorted(t)).max()) for t in times.values() if len(t) > 1), default=0.0
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
    with streams.opened(source) as container:
        to_array = streams.Shaper(container, lines)
        for time_s, frame in streams.frames(source, container, wanted[0] if wanted else 0.0):
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
    louder by the square root of two. Where they cancel each other, the loudest one is taken.

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
    with streams.opened(source) as container:
        stream = streams.audio_stream(container)
        if stream is None:
            raise MediaError("The file has no sound.")
        origin = streams.start_time(container)
        if start_s > streams.SEEK_MARGIN_SECONDS:
            streams.seek(container, origin + start_s - streams.SEEK_MARGIN_SECONDS)
        resampler, first, end = None, None, 0.0
        for frame in streams.decoded(container, stream):
            if first is None:
                first = (frame.time or 0.0) - origin
                # With eight planes or more PyAV reads wild memory, so the channels are interleaved.
                resampler = av.AudioResampler("flt", frame.layout, rate)
            chunks += [_channels(part) for part in resampler.resample(frame)]
            end = (frame.time or 0.0) - origin + frame.samples / frame.sample_rate
            if end > limit + 0.1:
                break
        if resampler is not None:
            chunks += [_channels(part) for part in resampler.resample(None)]
    if not chunks:
        return np.zeros(0, np.float32)
    sound = _mono(np.concatenate(chunks))
    # Sound may begin after the picture: silence fills the gap. What was decoded before the start
    # is dropped.
    offset = round((first - start_s) * rate)
    sound = np.concatenate([np.zeros(offset, np.float32), sound]) if offset > 0 else sound[-offset:]
    if seconds is not None:
        sound = sound[: round(seconds * rate)]
    return np.clip(sound, -1.0, 1.0)


def normalise(
    source: Source, start_s: float = 0.0, end_s: float | None = None, rate: float = CLIP_RATE
) -> bytes:
    """Cuts a piece out of a video and brings it into the form of all clips.

    Args:
        source: File, or its content as bytes.
        start_s: Where the clip begins, in seconds.
        end_s: Where it ends; None means the end of the file. A clip is never longer than
            `LONGEST_CLIP_SECONDS`.
        rate: Frames per second of the clip.

    Returns:
        MP4 with H.264 at that rate, at most 360 lines, turned upright with square
        pixels, and AAC at 16 kHz, mono.

    Raises:
        MediaError: The file cannot be read, has no video or no sound, or ends before the piece
            that was asked for.
    """
    limit = start_s + LONGEST_CLIP_SECONDS
    limit = limit if end_s is None else min(limit, end_s)
    sound = read_audio(source, start_s, limit - start_s)
    with streams.opened(source) as container:
        timed = streams.frames(source, container, start_s)
        shaper = streams.Shaper(container, CLIP_LINES)
        return _encode(_even_pace(timed, start_s, limit, shaper, rate), sound, rate, _REAL_VIDEO)


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
    return _encode(pictures, audio, rate, _DRAWN_VIDEO)


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


def _duration(source: Source, container) -> float:
    """Length in seconds; read from the packets where the file does not say (live recordings)."""
    if container.duration:
        return container.duration / streams.MICROSECONDS
    return max(stream_seconds(source))


def _channels(frame) -> np.ndarray:
    """Returns interleaved sound as float32 (samples, channels)."""
    return frame.to_ndarray().reshape(-1, len(frame.layout.channels))


def _mono(sound: np.ndarray) -> np.ndarray:
    """Averages the channels of (samples, channels); of those that cancel out, takes the loudest."""
    mean, loudness = sound.mean(axis=1), np.abs(sound).sum(axis=0)
    vanishes = np.abs(mean).sum() < _CANCELLED * loudness.max()
    return sound[:, np.argmax(loudness)] if vanishes else mean


def _even_pace(
    timed: Iterator, start_s: float, end_s: float, shaper: streams.Shaper, rate: float
) -> Iterator:
    """Yields a frame for each 1/rate s of the clip: the one that a player shows in its middle."""
    moments = (start_s + (number + 0.5) / rate for number in itertools.count())
    moment = next(moments)
    shown, shown_until = None, start_s
    for time_s, frame in timed:
        while shown is not None and moment < min(time_s, end_s):
            yield shaper.planar(shown)
            moment = next(moments)
        if time_s >= end_s:
            return
        shown, shown_until = (
            frame,
            time_s + (float((frame.duration or 0) * frame.time_base) or 1 / rate),
        )
    while shown is not None and moment < min(shown_until, end_s):
        yield shaper.planar(shown)
        moment = next(moments)


def _encode(pictures: Iterable, audio: np.ndarray, rate: float, quality: dict) -> bytes:
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
        video = container.add_stream("libx264", rate=rate, options=quality)
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
