"""What visitors send and what the page makes of it, without a browser."""

from __future__ import annotations

import io
import os
import re
import stat
import types
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
import numpy as np
import pytest

from helpers import demo, media
from helpers.archipelago import voices
from helpers.archipelago.islanders import islander
from helpers.settings import SAMPLE_RATE
from helpers.spectrogram import six_seconds
from helpers.web_demo import (
    engine,
    page,
    pictures,
    safety,
    usual_voices,
    voice_measures,
    your_voice,
)

HOME = Path(__file__).resolve().parents[1]
TIME = np.arange(96_000) / SAMPLE_RATE


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Six seconds of an islander."""
    return voices.speak(islander(1_000_030), 1)


class Painter(engine.Engine):
    """Makes faces without networks: as many as there are waveforms, all alike."""

    def faces(
        self, voices: Sequence[np.ndarray], looked_at: int | None = None
    ) -> list[demo.Reconstruction]:
        return [
            demo.Reconstruction(
                face=np.full((256, 256, 3), 99, np.uint8),
                feature=np.ones(128, np.float32),
                waveform=six_seconds(voice),
                apparent_sex="F",
                apparent_age=41.0,
                seconds=0.1,
            )
            for voice in voices
        ]

    def centre(self) -> np.ndarray:
        return np.zeros(128, np.float32)


class Clock:
    """A clock that stands still, and timers that go off when it is put forward."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self._due: list[tuple[float, Callable, list]] = []

    def time(self) -> float:
        return self.now

    def Timer(self, seconds: float, act: Callable, arguments: list):  # noqa: N802
        entry = (self.now + seconds, act, arguments)
        return types.SimpleNamespace(start=lambda: self._due.append(entry))

    def put_forward(self, seconds: float) -> None:
        """Lets so many seconds pass, and what falls due in them happen."""
        until = self.now + seconds
        while self._due and (entry := min(self._due, key=lambda one: one[0]))[0] <= until:
            self._due.remove(entry)
            self.now, act, arguments = entry
            act(*arguments)
        self.now = until


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(safety, "time", standing)
    monkeypatch.setattr(safety, "threading", standing)
    return standing


@pytest.fixture
def uploaded(tmp_path: Path, clock: Clock):
    """Writes a file as Gradio does: in a folder of its own, or over the one of the same name."""

    def write(content: bytes | np.ndarray, name: str = "voice.wav") -> Path:
        file = tmp_path / "0123" / name
        file.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            media.write_wav(file, content.astype(np.float32))
        os.utime(file, (clock.now, clock.now))
        return file

    return write


def test_the_folder_of_uploads_is_private(monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    folder = safety.private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)


def test_an_upload_is_answered_and_deleted(uploaded, speech, clock):
    file = uploaded(speech)
    said = your_voice.from_upload(Painter(), file)
    assert said.count("<img") == 6 and "How sure?" in said and "Download the picture" in said
    accuracy = engine.measured()["apparent"]["sex"]["balanced_accuracy"]
    assert f"<td>{accuracy:.1%}</td>" in said
    clock.put_forward(safety.DELETED_AFTER_ANSWER_SECONDS)
    assert not file.parent.exists()


def test_of_a_long_recording_all_is_heard_and_the_first_seconds_are_set_beside(uploaded, speech):
    said = your_voice.from_upload(Painter(), uploaded(np.tile(speech, 2)))
    for caption in ("Face from 12 s of voice", "From the first 6 s", "From the first 3 s"):
        assert caption in said
    assert "What it heard, the first 6 s" in said and "3 seconds against 6" in said


def test_of_little_voice_the_page_says_so_and_shows_no_face_of_its_beginning(uploaded, speech):
    first = int(np.argmax(np.abs(speech) > 0.1 * np.abs(speech).max()))
    piece = speech[first : first + int(0.96 * SAMPLE_RATE)]
    late = np.append(piece, np.zeros(96_000))  # A pause at the end is no voice either.
    for sound, repeated in ((piece, True), (late, False)):
        heard = safety.examine(demo.whole_voice(uploaded(sound)))
        said = your_voice.answer(Painter(), heard)
        assert f"Only {heard.length} of voice" in said and 0.5 <= float(heard.length[:-2]) <= 0.9
        assert f"Face from {heard.length} of voice" in said
        assert ("repeated to fill six" in said) == repeated
        assert "As sure as it gets" not in said
        assert "From the first" not in said and "seconds against" not in said


def test_of_four_seconds_the_first_three_are_set_beside(uploaded, speech):
    said = your_voice.from_upload(Painter(), uploaded(speech[: int(4.4 * SAMPLE_RATE)]))
    assert "From the first 3 s" in said and "3 seconds against 4" in said
    assert "repeated to fill" not in said


def test_as_sure_as_it_gets_has_a_limit(speech):
    usual = safety.examine(voices.studio(islander(1_000_100), 0))
    assert usual_voices.judge(usual.measures).level == "usual"
    said = your_voice.answer(Painter(), usual)
    assert "As sure as it gets" in said and "does not notice two people" in said


def test_with_the_answer_everything_that_belongs_to_it_is_replaced(uploaded, speech):
    """The script of the page puts a refusal into `.answer`: all of a face has to lie in it."""
    said = your_voice.from_upload(Painter(), uploaded(speech))
    assert said.startswith('<div class="answer">')
    depths = np.cumsum([1 if tag == "<div" else -1 for tag in re.findall("<div|</div", said)])
    assert depths.min() == depths[-1] == 0 and list(depths).count(0) == 1


def test_an_islander_is_heard_also_in_a_noisy_room():
    """Uploaded, recording 31 of this islander would be taken for noise."""
    said = your_voice.from_sample(Painter(), "small woman", 31)
    assert "The islander who spoke" in said and 'role="alert"' not in said


def test_a_file_that_cannot_be_used_is_deleted_too(uploaded, clock):
    file = uploaded(b"no sound", "voice.txt")
    said = your_voice.from_upload(Painter(), file)
    assert 'role="alert"' in said and "<img" not in said
    clock.put_forward(safety.DELETED_AFTER_ANSWER_SECONDS)
    assert not file.parent.exists()


def test_what_was_recorded_can_be_fetched_by_the_page_for_a_moment(uploaded, clock):
    file = uploaded(b"sound")
    with safety.used_once(file) as same:
        assert same == file
    clock.put_forward(safety.DELETED_AFTER_ANSWER_SECONDS - 1)
    assert file.exists()
    clock.put_forward(1)
    assert not file.parent.exists()


def test_what_two_visitors_send_stays_for_the_second(uploaded, clock):
    """Gradio keeps one file where the content is the same."""
    file = uploaded(b"sound")
    with safety.used_once(file):
        pass
    clock.put_forward(6)
    uploaded(b"sound")
    clock.put_forward(safety.DELETED_AFTER_ANSWER_SECONDS - 1)
    assert file.exists()
    clock.put_forward(1)
    assert not file.parent.exists()


def test_a_recording_that_is_gone_is_asked_for_again(tmp_path):
    with pytest.raises(demo.UnusableVoice, match="Please send it again"):
        safety.listen(tmp_path / "gone.wav")


def test_a_name_with_html_in_it_does_no_harm(uploaded):
    said = your_voice.from_upload(Painter(), uploaded(b"x", "<script>alert(1)<script>.wav"))
    assert "<script>" not in said


@pytest.mark.parametrize(
    ("content", "wrong", "advice"),
    [
        (b"", "empty", "Choose another file"),
        (b"This is text. " * 99, "not audio or video", "Choose a sound file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(999), "a picture, not a recording", "Choose a sound file"),
        (b"%PDF-1.7" + bytes(999), "a PDF document, not a recording", "Choose a sound file"),
        (np.zeros(96_000), "only silence", "microphone is chosen and not muted"),
        (np.zeros(31 * SAMPLE_RATE), "first half minute: cut off the beginning", "Ten seconds"),
        (0.3 * np.sin(1256 * TIME[:3200]), "0.2 s of sound", "about six seconds"),
        (0.3 * np.sin(1256 * TIME), "tones stand still", "one person who speaks"),
        (0.1 * np.random.default_rng(0).standard_normal(96_000), "noise", "without music"),
    ],
    ids=["empty", "text", "picture", "pdf", "silent", "late", "short", "tone", "noise"],
)
def test_a_bad_recording_gets_a_sentence_and_a_way_out(uploaded, content, wrong, advice):
    with pytest.raises(demo.UnusableVoice) as refused:
        safety.listen(uploaded(content))
    assert wrong in refused.value.reason and advice in refused.value.reason
    assert refused.value.reason.endswith(".")


def test_a_recording_of_thirty_minutes_is_refused_without_reading_it_all(uploaded):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(bytes(30 * 60 * 8000))
    with pytest.raises(demo.UnusableVoice, match="30 minutes long; at most 2 minutes.*Cut out"):
        safety.listen(uploaded(file.getvalue()))


def test_a_file_of_200_mb_is_refused_by_its_size(uploaded):
    file = uploaded(b"")
    with file.open("wb") as large:
        large.truncate(200 * 2**20)
    with pytest.raises(demo.UnusableVoice, match="200 MB; at most 25 MB.*Cut out"):
        safety.listen(file)


def test_overdriven_sound_is_used_with_a_warning(speech):
    assert not safety.examine(speech).warnings
    loud = np.clip(30 * speech / np.abs(speech).max(), -1, 1)
    (warning,) = safety.examine(loud).warnings
    assert "overdriven" in warning and "record again" in warning


def test_speech_is_taken_for_speech_and_other_sounds_are_not(speech):
    notes = np.repeat(220 * 2.0 ** (np.array([0, 4, 7, 12, 7, 4, 0, 5, 9, 12, 9, 5]) / 12), 8000)
    melody = 0.3 * np.sin(2 * np.pi * np.cumsum(notes) / SAMPLE_RATE)
    assert not voice_measures.why_no_voice(voice_measures.measure(speech))
    assert voice_measures.why_no_voice(voice_measures.measure(melody.astype(np.float32)))


def test_real_voices_are_taken_for_speech(real_media):
    for file in sorted((real_media / "voices").glob("*.flac"))[::12]:
        assert not voice_measures.why_no_voice(voice_measures.measure(demo.hear(file))), file.name


def test_the_measures_have_names():
    assert len(voice_measures.measure(voices.studio(islander(3), 0))) == len(voice_measures.NAMES)
    for names in usual_voices.GROUPS.values():
        assert set(names) <= set(voice_measures.NAMES)


def _recordings(random: np.random.Generator, count: int) -> list[np.ndarray]:
    return list(10 + random.standard_normal((count, len(voice_measures.NAMES))))


def test_what_is_unlike_the_training_is_said_to_be_so():
    random = np.random.default_rng(0)
    people = [one + 1.5 for one in _recordings(random, 60)]
    usual = usual_voices.learn(_recordings(random, 300), _recordings(random, 100), people)
    middle = np.full(len(voice_measures.NAMES), 10.0)
    assert usual_voices.judge(middle, usual).level == "usual"

    high = middle.copy()
    high[voice_measures.NAMES.index("pitch")] = 20
    verdict = usual_voices.judge(high, usual)
    assert verdict.level == "unlike"
    assert "cannot know" in verdict.text and "the pitch is higher" in verdict.text

    manner = middle.copy()
    for name in usual_voices.GROUPS["manner"]:
        manner[voice_measures.NAMES.index(name)] += 2.0
    assert usual_voices.judge(manner, usual).level == "outside"
    unvoiced = np.where(np.arange(len(middle)) < 4, np.nan, middle)
    assert usual_voices.judge(unvoiced, usual).level == "unlike"


def test_too_few_recordings_teach_nothing():
    some = _recordings(np.random.default_rng(0), 5)
    with pytest.raises(ValueError, match="At least 27 training voices"):
        usual_voices.learn(some, some, some)


def test_the_limits_that_come_with_the_page_take_islanders_in_and_a_squeak_out(speech):
    squeak = demo.hear(speech[::2].copy())  # Twice as high, and half as long a vocal tract.
    assert usual_voices.judge(voice_measures.measure(squeak)).level == "unlike"
    levels = [
        usual_voices.judge(voice_measures.measure(voices.speak(islander(number), 0))).level
        for number in range(1_000_100, 1_000_106)
    ]
    assert levels.count("unlike") <= 1, levels


def test_the_picture_to_keep_says_what_it_is_not():
    kept = pictures.to_keep(np.full((256, 256, 3), 200, np.uint8))
    from PIL import Image

    with Image.open(io.BytesIO(kept)) as image:
        assert image.size[0] == 512 and image.size[1] > 512
        assert np.asarray(image)[520:].min() < 100, "the notice is written below the face"


def test_a_player_holds_the_sound_itself(speech):
    said = pictures.player(speech, 'a "voice"')
    assert said.startswith('<audio controls src="data:audio/wav;base64,')
    assert "&quot;voice&quot;" in said and "autoplay" not in said


def test_networks_that_do_not_load_are_reported(monkeypatch):
    shared = engine.Engine()

    def broken() -> None:
        raise OSError("no such file")

    monkeypatch.setattr("helpers.session.load_tensorflow", broken)
    shared.start()
    with pytest.raises(RuntimeError, match="could not be loaded: no such file"):
        shared.wait()


def test_the_notebook_shows_the_page_in_colab_and_shares_it_with_nobody(monkeypatch, colab):
    """Left to itself, Gradio makes a public address in Colab."""
    shown, tunnels = [], []
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # Put back afterwards.
    monkeypatch.setattr("gradio.utils.colab_check", lambda: True)
    monkeypatch.setattr("gradio.networking.setup_tunnel", lambda **asked: tunnels.append(asked))
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr(engine.Engine, "start", lambda shared: None)
    notebook = nbformat.read(HOME / "notebooks/06_demo.ipynb", as_version=4)
    (cell,) = (cell.source for cell in notebook.cells if "WEB_DEMO = False" in cell.source)
    names = {"page": page}
    exec(cell.replace("WEB_DEMO = False", "WEB_DEMO = True"), names)
    served = names["web_demo"]
    try:
        assert served.is_colab and not tunnels
        assert served.share is False and served.share_url is None
        (script,) = shown
        assert f"({served.server_port}," in script.data and "gradio.live" not in script.data
    finally:
        served.close()
