"""The page in a real browser: one server and one Chromium for all tests of this folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from helpers import media
from helpers.archipelago import voices
from helpers.archipelago.islanders import islander

HOME = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
LEFT_BEHIND = ("AbortError", "Connection errored out")
"""What Gradio says in the console of a page that is left in the middle of an answer."""
READY_SECONDS = 600
WAIT_MS = 300_000
"""Tests may run on a busy machine; `figures.py` measures what the page takes on a quiet one."""


class Server:
    """`python -m helpers demo` as a process of its own.

    Attributes:
        url: Where the page is.
        folder: The private folder of uploads.
        ready_seconds: From the command to "Ready".
        process: The running command.
    """

    def __init__(self, temporary: Path) -> None:
        self.log = temporary / "server.log"
        environment = os.environ | {"TMPDIR": str(temporary), "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-m", "helpers", "demo"]
        started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=HOME, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        while "Ready after" not in self.said():
            if self.process.poll() is not None or time.monotonic() - started > READY_SECONDS:
                self.stop()
                raise RuntimeError(f"The page did not come up:\n{self.said()[-3000:]}")
            time.sleep(0.1)
        self.ready_seconds = time.monotonic() - started
        self.url = re.search(r"The page is at (\S+)", self.said())[1]
        self.folder = next(temporary.glob("speech2face-demo-*"))

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """The page, served by the command that people use."""
    if not CHROMIUM.is_file():
        pytest.skip(
            f"no browser: {CHROMIUM} is not there; install it with apt-get install chromium"
        )
    temporary = Path(tempfile.mkdtemp(prefix="demo-test-"))
    running = Server(temporary)
    yield running
    running.stop()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="package")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice as a WAV file; the fake microphone plays it."""
    file = tmp_path_factory.mktemp("voice") / "voice.wav"
    media.write_wav(file, voices.speak(islander(1_000_001), 0))
    return file


@pytest.fixture(scope="package")
def chromium(server: Server, spoken: Path):
    """Debian's Chromium with a microphone that plays `spoken`."""
    api = pytest.importorskip("playwright.sync_api")
    api.expect.set_options(timeout=WAIT_MS)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={spoken}"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, server: Server) -> Iterator[Callable]:
    """Opens the page as a new visitor, and with `visit.reload` once more.

    At the end nothing must have gone wrong in the console.
    """
    contexts, wrong, leaving = [], [], set()

    def open_page(width: int = 1280, height: int = 900, before: str = ""):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, permissions=["microphone"]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(before)
        page.on("console", lambda said: note(page, str(said.text), said.type == "error"))
        page.on("pageerror", lambda error: note(page, str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if _outside(asked.url) else None)
        page.goto(server.url)
        page.get_by_role("button", name="Young woman").wait_for()
        return page

    def reload(page) -> None:
        """Whatever a page says that is being left is no matter."""
        leaving.add(page)
        page.reload()
        leaving.remove(page)
        page.get_by_role("button", name="Young woman").wait_for()

    def note(page, text: str, error: bool = True) -> None:
        if error and page not in leaving and not any(left in text for left in LEFT_BEHIND):
            wrong.append(text)

    def _outside(url: str) -> bool:
        return not url.startswith((server.url, "data:", "blob:"))

    open_page.reload = reload
    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, "console errors, or requests to elsewhere"


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What people upload, mostly by mistake."""
    folder = tmp_path_factory.mktemp("uploads")
    random = np.random.default_rng(0)
    time_s = np.arange(96_000) / 16_000
    voice = voices.speak(islander(1_000_030), 1)
    sounds = {
        "silent": np.zeros(96_000),
        "short": 0.3 * np.sin(2 * np.pi * 200 * time_s[:3200]),
        "noise": 0.1 * random.standard_normal(96_000),
        "music": _melody(random),
        "clipped": np.clip(voice / np.abs(voice).max() * 30, -1, 1),
        "islander": np.append(voice, voices.speak(islander(1_000_030), 2)[:32_000]),
    }
    for name, sound in sounds.items():
        media.write_wav(folder / f"{name}.wav", sound.astype(np.float32))
    _write_channels(folder / "eight-channels.wav", voice, 8)
    _write_silent_flac(folder / "thirty-minutes.flac", minutes=30)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.txt").write_text("This is not a voice.\n" * 50)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    with (folder / "large.wav").open("wb") as large:
        large.truncate(200 * 2**20)
    return folder


def _write_channels(file: Path, sound: np.ndarray, channels: int) -> None:
    """Writes a WAV file with the same sound in each channel."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.repeat(media.to_int16(sound), channels).tobytes())


def _write_silent_flac(file: Path, minutes: int) -> None:
    """Writes a file that is long, and yet so small that only its length can be wrong with it."""
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 60 * 16_000), np.int16), "s16", "mono")
    silence.sample_rate = 16_000
    with av.open(file, "w") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        for minute in range(minutes):
            silence.pts = minute * silence.samples
            container.mux(stream.encode(silence))
        container.mux(stream.encode(None))


def _melody(random: np.random.Generator) -> np.ndarray:
    """Six seconds of plucked notes."""
    sound = np.zeros(96_000)
    for start in range(0, 96_000, 4000):
        hertz = 220 * 2 ** (random.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        time_s = np.arange(min(8000, len(sound) - start)) / 16_000
        for harmonic in range(1, 6):
            note = np.exp(-3 * time_s) * np.sin(2 * np.pi * hertz * harmonic * time_s)
            sound[start : start + len(time_s)] += note / harmonic
    return 0.3 * sound / np.abs(sound).max()
