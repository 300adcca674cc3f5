"""What visitors send: kept in a private folder, checked, read, and deleted.

Every refusal is a sentence that says what is wrong, and one that says what to do.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers import demo, media
from helpers.settings import SAMPLE_RATE
from helpers.streams import MediaError
from helpers.web_demo import voice_measures

LARGEST_MB = 25
LONGEST_SECONDS = 120
SHORT_SECONDS = 3
"""Of less voice the page says that it is little. The paper compares faces from 3 s and from 6 s."""
CLIPPED_SHARE = 0.005
"""More of the samples than this at the highest level: the recording is overdriven. An undistorted
voice has about a tenth of it."""
DELETED_AFTER_ANSWER_SECONDS = 10.0
DELETED_AFTER_SECONDS = 60
"""Uploads that nobody asked a face for are deleted after this time."""

_KINDS = {b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"GIF8": "a picture"}
_KINDS |= {b"%PDF": "a PDF document", b"PK\x03\x04": "a zip archive or an office document"}
_CHOOSE = "Choose a sound file (WAV, MP3, M4A, OGG, FLAC) or a video in which one person speaks."
_AGAIN = "Speak for about six seconds, near the microphone, and try again."
_ADVICE = {
    "The file is empty.": "Choose another file, or record your voice here.",
    demo.SILENT: "Check that the right microphone is chosen and not muted. " + _AGAIN,
    demo.SILENT_AT_FIRST: "Ten seconds in which one person speaks are enough.",
}


@dataclasses.dataclass(frozen=True)
class Heard:
    """A recording in which somebody speaks.

    Attributes:
        voice: From the first sound on, up to half a minute, float32 (samples,) at 16 kHz.
        measures: What `voice_measures.measure` says of the six seconds.
        warnings: Sentences about what is not as it should be: too little, or overdriven.
    """

    voice: np.ndarray
    measures: np.ndarray
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the voice; where there is only a little of it, of its sounds alone."""
        from helpers.spectrogram import seconds_of_sound

        sounds = seconds_of_sound(self.voice)
        return sounds if sounds < SHORT_SECONDS else len(self.voice) / SAMPLE_RATE

    @property
    def length(self) -> str:
        """How long the voice is, for the page; of a little, tenths of a second, rounded down."""
        little = self.seconds < SHORT_SECONDS
        return f"{int(10 * self.seconds) / 10} s" if little else f"{self.seconds:.0f} s"

    @property
    def waveform(self) -> np.ndarray:
        """The first six seconds of the voice; a shorter one is repeated. float32 (96000,)."""
        from helpers.spectrogram import six_seconds

        return six_seconds(self.voice)


def private_folder() -> Path:
    """Makes the folder for uploads, which only this user can read, and hands it to Gradio.

    It is deleted with everything in it when the program ends. Call it before Gradio makes a page.
    """
    folder = Path(tempfile.mkdtemp(prefix="speech2face-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


@contextlib.contextmanager
def used_once(path: str | Path | None) -> Iterator[Path | None]:
    """Deletes an uploaded file and the folder that Gradio made for it, soon after the `with` block.

    Not at once: the page's player fetches what was recorded, and may be slower than the face. And
    Gradio keeps one file where two visitors send the same: it stays for whoever sent it last.
    """
    file = Path(path) if path else None
    try:
        yield file
    finally:
        if file is not None:
            _delete_later(file, DELETED_AFTER_ANSWER_SECONDS)


def _delete_later(file: Path, seconds: float) -> None:
    timer = threading.Timer(seconds, _delete, [file])
    timer.daemon = True  # With the program the whole folder goes.
    timer.start()


def _delete(file: Path) -> None:
    with contextlib.suppress(OSError):  # It is gone, or another file lies beside it.
        young = file.stat().st_mtime + DELETED_AFTER_ANSWER_SECONDS - time.time()
        if young > 0:
            _delete_later(file, young)
            return
        file.unlink()
        file.parent.rmdir()


def listen(path: str | Path) -> Heard:
    """Reads an upload and decides whether a face can be made from it.

    Args:
        path: The uploaded file.

    Returns:
        What was heard.

    Raises:
        helpers.demo.UnusableVoice: With a sentence that says what is wrong and one that says what
            to do.
    """
    path = Path(path)
    if not path.is_file():
        raise demo.UnusableVoice("The recording is no longer here. Please send it again.")
    if path.stat().st_size > LARGEST_MB * 2**20:
        raise demo.UnusableVoice(
            f"The file has {path.stat().st_size / 2**20:.0f} MB; at most {LARGEST_MB} MB are "
            "taken. Cut out ten seconds in which one person speaks."
        )
    try:
        seconds = media.probe(path).duration_s
    except MediaError as error:
        raise demo.UnusableVoice(_unreadable(path, error.reason)) from error
    if seconds > LONGEST_SECONDS:
        raise demo.UnusableVoice(
            f"The recording is {_minutes(seconds)} long; at most {_minutes(LONGEST_SECONDS)} are "
            "taken. Cut out ten seconds in which one person speaks."
        )
    try:
        heard = examine(demo.whole_voice(path))
    except demo.UnusableVoice as error:
        if isinstance(error.__cause__, MediaError):
            raise demo.UnusableVoice(_unreadable(path, error.reason)) from error
        raise demo.UnusableVoice(f"{error.reason} {_ADVICE.get(error.reason, _AGAIN)}") from error
    no_voice = voice_measures.why_no_voice(heard.measures)
    if no_voice:
        raise demo.UnusableVoice(
            f"{no_voice} Choose a recording of one person who speaks, without "
            "music, or record your own voice here."
        )
    return heard


def examine(voice: np.ndarray) -> Heard:
    """Measures a voice that is known to be one.

    Args:
        voice: What `demo.whole_voice` returned, or the voice of an islander, (samples,).
    """
    from helpers.spectrogram import six_seconds

    waveform = six_seconds(voice)
    heard, warnings = Heard(voice, voice_measures.measure(waveform)), []
    if heard.seconds < SHORT_SECONDS:
        repeated = ", repeated to fill six" if len(voice) < len(waveform) else ""
        warnings.append(f"Only {heard.length} of voice{repeated}. Speak for about six seconds.")
    if clipped_share(waveform) > CLIPPED_SHARE:
        warnings.append(
            "The recording is overdriven: its loud parts are cut off, which changes the sound of "
            "the voice. Go further from the microphone or turn it down, and record again."
        )
    return dataclasses.replace(heard, warnings=tuple(warnings))


def clipped_share(waveform: np.ndarray) -> float:
    """Returns which share of the samples lies within 2 % of the highest level, 0 to 1."""
    loudness = np.abs(waveform)
    return float(np.mean(loudness > 0.98 * loudness.max()))


def _unreadable(path: Path, reason: str) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start in _KINDS or start[:3] in _KINDS:
        return f"This is {_KINDS.get(start) or _KINDS[start[:3]]}, not a recording. {_CHOOSE}"
    return f"{reason} {_ADVICE.get(reason, _CHOOSE)}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
