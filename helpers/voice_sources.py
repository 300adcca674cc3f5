"""Where a voice to try comes from: an upload, the microphone, or the Archipelago."""

from __future__ import annotations

import base64

import numpy as np

from helpers import media
from helpers.archipelago.islanders import islander
from helpers.settings import SPEECH_SECONDS

BUNDLED_VOICES = {
    "young woman": 1_000_039,
    "older woman": 1_000_030,
    "small woman": 1_000_037,
    "young man": 1_000_067,
    "older man": 1_000_001,
    "large man": 1_000_140,
}
"""Voices to try without a file: test islanders, which no network was trained on."""
_RECORD = """
(async () => {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({audio: true});
    const recorder = new MediaRecorder(stream);
    const parts = [];
    recorder.ondataavailable = event => parts.push(event.data);
    const stopped = new Promise(resolve => { recorder.onstop = resolve; });
    recorder.start();
    await new Promise(resolve => setTimeout(resolve, SECONDS * 1000));
    recorder.stop();
    await stopped;
    stream.getTracks().forEach(track => track.stop());
    const reader = new FileReader();
    const read = new Promise(resolve => { reader.onloadend = resolve; });
    reader.readAsDataURL(new Blob(parts));
    await read;
    return reader.result;
  } catch (error) {
    return 'error: ' + error.message;
  }
})()
"""


def upload() -> bytes:
    """Asks for a sound file in Colab and returns its content.

    Raises:
        ValueError: Not in Colab, or nothing was chosen.
    """
    from helpers import session

    if not session.in_colab():
        raise ValueError("Uploading works in Colab. Here, give the path of a file instead.")
    files = session.upload_files()
    if not files:
        raise ValueError("No file was chosen. Run the cell again and choose a sound file.")
    return next(iter(files.values()))


def record(seconds: float = SPEECH_SECONDS) -> np.ndarray:
    """Records from the microphone of the browser in Colab.

    Args:
        seconds: Length of the recording, 1 to 60.

    Returns:
        float32 (samples,), 16 kHz, -1 to 1.

    Raises:
        ValueError: Not in Colab, a length that is not valid, or no microphone.
    """
    from helpers import session

    if not 1 <= seconds <= 60:
        raise ValueError(f"seconds={seconds!r} is not valid: record 1 to 60 seconds.")
    if not session.in_colab():
        raise ValueError("Recording works in Colab. Here, give the path of a file instead.")
    answer = session.evaluate_javascript(_RECORD.replace("SECONDS", str(float(seconds))))
    kind, _, content = str(answer).partition("base64,")
    if not kind.startswith("data:"):
        raise ValueError(
            f"The browser did not record ({answer}). Allow the microphone for this page and run "
            "the cell again."
        )
    try:
        return media.read_audio(base64.b64decode(content))
    except media.MediaError as error:
        raise ValueError(f"The recording cannot be read: {error.reason}") from error


def bundled_voice(name: str, recording: int = 0) -> np.ndarray:
    """Renders the voice of a test islander.

    Args:
        name: One of `BUNDLED_VOICES`.
        recording: Number of the recording, 0 or more. Each has other words, and about half of
            them another microphone, and likewise another room.

    Returns:
        float32 (96000,), 16 kHz, -1 to 1.

    Raises:
        ValueError: There is no such voice; the message names those there are. Or the number of
            the recording is negative.
    """
    from helpers.archipelago import voices

    if name not in BUNDLED_VOICES:
        raise ValueError(f"There is no voice {name!r}. Choose one of: {', '.join(BUNDLED_VOICES)}.")
    if recording < 0:
        raise ValueError(f"recording={recording!r} is not valid: take 0 or more.")
    return voices.speak(islander(BUNDLED_VOICES[name]), recording)


def bundled_face(name: str) -> np.ndarray:
    """Paints the true face behind a bundled voice, uint8 (256, 256, 3) RGB.

    Args:
        name: One of `BUNDLED_VOICES`.
    """
    from helpers.archipelago import portraits

    return portraits.portrait(islander(BUNDLED_VOICES[name]))
