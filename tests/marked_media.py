"""Videos that tell what they are and which second is shown: in the picture and in the sound.

Every picture carries its number as bars, shifted by the number of the video; the sound changes its
pitch every second. So a clip can be told from any other piece, and from any other video.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import synthetic_media as made

from helpers import media

SECONDS = 8.0
RATE = 25


def frequency(video: int, second: int) -> float:
    """Pitch of the sound in a second of a video, in Hz."""
    return 400.0 + 130.0 * ((3 * second + 5 * video) % 11)


def marked_video(video: int, kind: str = "mp4") -> bytes:
    """Makes a video of `SECONDS`, 320x240, with one key picture a second."""
    moments = np.arange(round(SECONDS * 16_000)) / 16_000
    pitch = np.array([frequency(video, second) for second in range(round(SECONDS))])
    phase = np.cumsum(pitch[moments.astype(int)]) / 16_000
    sound = (0.3 * np.sin(2 * np.pi * phase)).astype(np.float32)[None]
    return made.media_file(
        kind, seconds=SECONDS, sound=sound, first=50 * video, options={"g": "25", "bf": "0"}
    )


def problems(clip: bytes, video: int, start_s: float, end_s: float) -> list[str]:
    """Says what is wrong with a clip that should be this piece of this video; empty if nothing."""
    found = []
    length = end_s - start_s
    seconds = media.stream_seconds(clip)
    if max(abs(each - length) for each in seconds) > 0.25:
        found.append(f"lasts {seconds[0]:.2f} and {seconds[1]:.2f} s, not {length:.2f} s")
    times = np.arange(0.1, length - 0.1, 0.2)
    for time_s, (_, picture) in zip(times, media.read_frames(clip, times), strict=False):
        wanted = (50 * video + round((start_s + time_s) * RATE)) % 256
        off = (made.number_in(picture) - wanted + 128) % 256 - 128
        if abs(off) > 2:
            found.append(f"shows another picture at {time_s:.1f} s, {off} away")
    sound = media.read_audio(clip)
    for second in range(int(np.ceil(start_s)), int(end_s)):
        begin = round((second + 0.2 - start_s) * 16_000)
        piece = sound[begin : begin + 9_600]
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 16_000))
        if abs(float(spectrum.argmax()) - frequency(video, second)) > 15:
            found.append(f"sounds of something else in second {second}")
    return found


def streamed(mp4: Path, folder: Path) -> None:
    """Writes a video as streams: `hls/` in segments, `split/` with its sound apart, `dash/`."""
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    hls = ["-hls_time", "2", "-hls_playlist_type", "vod", "-f", "hls"]
    jobs = {
        "hls": [*hls, "stream.m3u8"],
        "split": [
            *("-map", "0:v", "-map", "0:a", "-var_stream_map", "v:0,agroup:a a:0,agroup:a"),
            *("-master_pl_name", "stream.m3u8", "-hls_segment_filename", "s%v_%d.ts"),
            *(*hls, "part%v.m3u8"),
        ],
        "dash": ["-seg_duration", "2", "-f", "dash", "stream.mpd"],
    }
    for name, arguments in jobs.items():
        (folder / name).mkdir(parents=True)
        command = [exe, "-loglevel", "error", "-i", str(mp4.resolve()), "-c", "copy", *arguments]
        subprocess.run(command, cwd=folder / name, check=True)
