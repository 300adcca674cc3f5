"""Small media files for tests: the picture tells its own number, the sound has a click in it."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

BITS = 8
CLICK_S = 1.0


def numbered_picture(number: int, width: int = 320, height: int = 240) -> np.ndarray:
    """Draws a number as bars of 0 (black) and 1 (white) along the top, red left, blue below."""
    picture = np.full((height, width, 3), 96, np.uint8)
    picture[height // 2 :, : width // 4] = (220, 30, 30)
    picture[-height // 4 :, width // 4 :] = (30, 30, 220)
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 16
        picture[: height // 4, edges[bit] : edges[bit + 1]] = value
    return picture


def number_in(picture: np.ndarray) -> int:
    """Reads the number that `numbered_picture` drew."""
    height, width = picture.shape[:2]
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    values = picture[height // 8, centres].mean(axis=-1) > 126
    return int(sum(1 << bit for bit in range(BITS) if values[bit]))


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """Float32 (channels, samples): a quiet hum with one loud click at `CLICK_S`."""
    moments = np.arange(round(seconds * rate)) / rate
    sound = 0.1 * np.sin(2 * np.pi * 220 * moments)
    sound[np.abs(moments - CLICK_S) < 0.001] = 0.9
    return np.tile(sound.astype(np.float32), (channels, 1))


def media_file(
    kind: str = "mp4",
    video: str | None = "libx264",
    audio: str | None = "aac",
    seconds: float = 2.0,
    times: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 16_000,
    size: tuple[int, int] = (320, 240),
    pixel_aspect: int = 1,
    first: int = 0,
    options: dict[str, str] | None = None,
) -> bytes:
    """Makes a media file; picture n is shown at `times[n]`, or 25 to the second.

    The numbers that the pictures carry count from `first`; `options` are those of the encoder.
    """
    scheduler = _scheduler()
    unit = Fraction(1, 25 if times is None else 1000)
    times = np.arange(round(seconds * 25)) / 25 if times is None else times
    sound = tone(seconds, sound_rate) if sound is None else sound
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        if audio:
            layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(sound)]
            stream = container.add_stream(audio, rate=sound_rate, layout=layout)
            interleaved = np.ascontiguousarray(sound.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, "flt", layout)
            frame.sample_rate, frame.pts = sound_rate, 0
            heard = [*stream.encode(frame), *stream.encode(None)]
        if video:
            chosen = {"preset": "12"} if video == "libsvtav1" else {}
            pictures = container.add_stream(video, rate=25, options=chosen | (options or {}))
            pictures.width, pictures.height = size
            pictures.pix_fmt = "yuv420p"
            pictures.codec_context.sample_aspect_ratio = pixel_aspect
            pictures.codec_context.time_base = unit
            for number, moment in enumerate(times):
                picture = av.VideoFrame.from_ndarray(
                    numbered_picture(first + number, *size), "rgb24"
                )
                picture.pts, picture.time_base = round(moment / unit), unit
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if audio:
            container.mux(heard)
    # Where it may, SVT-AV1 makes its caller a real-time process, and all that is started later.
    if scheduler is not None:
        os.sched_setscheduler(0, *scheduler)
    return buffer.getvalue()


def _scheduler() -> tuple | None:
    """How this process is scheduled, where the system tells."""
    if not hasattr(os, "sched_getscheduler"):
        return None
    return os.sched_getscheduler(0), os.sched_getparam(0)


def turned(mp4: bytes, quarter_turns: int) -> bytes:
    """Marks the video of an MP4 as to be turned clockwise, as phones do (display matrix)."""
    one = 1 << 16
    turn = {1: (0, one, -one, 0), 2: (-one, 0, 0, -one), 3: (0, -one, one, 0)}[quarter_turns]
    matrix = struct.pack(">9i", turn[0], turn[1], 0, turn[2], turn[3], 0, 0, 0, 1 << 30)
    plain = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    start = mp4.index(b"tkhd")
    while struct.unpack(">I", mp4[start + 80 : start + 84])[0] == 0:  # Width 0: a track of sound.
        start = mp4.index(b"tkhd", start + 4)
    place = mp4.index(plain, start)
    return mp4[:place] + matrix + mp4[place + len(plain) :]
