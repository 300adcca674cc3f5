"""Demo: a voice becomes a marked face; what cannot be used becomes a row with a plain reason."""

import base64
import csv
import os
import types
from pathlib import Path

import numpy as np
import pytest

from helpers import demo, face_features, media, session
from helpers.archipelago.islanders import islander
from helpers.settings import FIRST_TEST_ISLANDER, SAMPLE_RATE

VOICES = Path(__file__).parents[1] / "../shared/real_media/voices"


def _tone(seconds, hz=200.0, level=0.3):
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


class Network:
    """A function in place of a network: it answers what `demo` asks of one."""

    def __init__(self, function, input_shape, output_shape, name="stand_in"):
        self.predict_on_batch = function
        self.name = name
        self.input_shape = input_shape
        self.inputs, self.outputs = [np.zeros((1, input_shape[1] or 1))], [np.zeros(output_shape)]


def _loudness(waveforms):
    assert waveforms.shape[1:] == (96_000,)
    return np.repeat(np.abs(waveforms).mean(1, keepdims=True), 128, 1)


def _decoder_of(function):
    return Network(function, (None, 128), (1, 128, 128, 3), "face_decoder-of-dlib")


_encoder = Network(_loudness, (None, 96_000), (1, 128))
_decoder = _decoder_of(lambda features: np.full((len(features), 128, 128, 3), 0.5, np.float32))


@pytest.fixture(autouse=True)
def _reader(monkeypatch):
    """A reader of sex and age, so that no released file is needed."""
    random = np.random.default_rng(0)
    features = random.standard_normal((60, 128)).astype(np.float32)
    reader = face_features.AttributeReader.fit(features, list("FM" * 30), np.linspace(18, 80, 60))
    monkeypatch.setattr(face_features, "released_attribute_reader", lambda: reader)


def test_a_waveform_becomes_a_marked_face():
    made = demo.reconstruct(_tone(6), _encoder, _decoder)
    assert made.face.shape == (256, 256, 3) and made.face.dtype == np.uint8
    plain = np.full_like(made.face, 128)
    changed = (made.face != plain).any(axis=2)
    assert 0.001 < changed.mean() < 0.1, "the mark should be there, and small"
    assert made.feature.shape == (128,)
    assert made.waveform.shape == (96_000,) and made.spectrogram.shape == (598, 257, 2)
    assert made.apparent_sex in "FM" and 18 <= made.apparent_age <= 80
    assert made.seconds > 0


def test_several_voices_at_once_become_the_same_faces():
    sounds = np.stack([_tone(6), _tone(6, hz=120)])
    both = demo.reconstruct_voices(sounds, _encoder, _decoder, looked_at=1)
    for made, sound in zip(both, sounds, strict=True):
        alone = demo.reconstruct(sound, _encoder, _decoder)
        assert np.array_equal(made.face, alone.face)
        assert made.feature == pytest.approx(alone.feature)
    assert both[0].apparent_sex in "FM" and not both[1].apparent_sex


def test_an_encoder_and_a_decoder_for_other_features_are_refused():
    from helpers.training import WrongFeatures

    def predict(waveforms):
        return np.zeros((len(waveforms), 4096), np.float32)

    encoder = Network(predict, (None, 96_000), (1, 4096))
    with pytest.raises(WrongFeatures, match="'dlib'.*'vggface'"):
        demo.reconstruct(_tone(6), encoder, _decoder)


def test_a_keras_model_can_be_used_as_it_is():
    import keras

    voice = keras.Input((96_000,))
    pooled = keras.layers.Reshape((128, 750))(voice)
    encoder = keras.Model(voice, keras.ops.mean(pooled, axis=2))
    feature = keras.Input((128,))
    face = keras.layers.Dense(128 * 128 * 3, activation="sigmoid")(feature)
    decoder = keras.Model(feature, keras.layers.Reshape((128, 128, 3))(face))
    assert demo.reconstruct(_tone(6), encoder, decoder).face.shape == (256, 256, 3)


def test_int16_and_float_are_the_same_voice():
    sound = _tone(6)
    assert demo.hear(media.to_int16(sound)) == pytest.approx(demo.hear(sound), abs=1e-4)


def test_silence_at_the_beginning_is_skipped():
    sound = np.concatenate([np.zeros(5 * SAMPLE_RATE, np.float32), _tone(7)])
    heard = demo.hear(sound)
    assert np.abs(heard[SAMPLE_RATE : 2 * SAMPLE_RATE]).max() == pytest.approx(0.3, abs=0.01)
    assert np.abs(heard[-SAMPLE_RATE:]).max() == pytest.approx(0.3, abs=0.01)


def test_an_encoder_for_any_length_hears_all_of_a_voice_and_another_one_six_seconds():
    heard = []

    def predict(waveforms):
        heard.append(waveforms.shape)
        return np.zeros((len(waveforms), 128), np.float32)

    encoder = Network(predict, (None, None), (1, 128))
    for seconds in (3, 9):
        made = demo.reconstruct(_tone(seconds), encoder, _decoder)
        assert made.waveform.shape == (96_000,)
    assert heard == [(1, 3 * SAMPLE_RATE), (1, 9 * SAMPLE_RATE)]


def test_a_short_voice_is_repeated():
    heard = demo.hear(_tone(2))
    assert heard[:1000] == pytest.approx(heard[32_000:33_000])


@pytest.mark.parametrize(
    ("sound", "says"),
    [
        (np.zeros(96_000, np.float32), "silence"),
        (np.zeros(0, np.float32), "shape"),
        (_tone(0.2), "0.2 s of sound; 0.5 s are needed"),
        (_tone(0.48), "Only 0.4 s of sound; 0.5 s are needed"),
        (np.full(96_000, np.nan, np.float32), "not numbers"),
        (np.append(_tone(6), np.float32(np.inf)), "not numbers"),
        (np.zeros((2, 96_000), np.float32), "shape"),
        (20_000 * _tone(6), "between -1 and 1"),
        (np.array(["voice"] * 10), "float or int16"),
    ],
    ids=[
        "silence",
        "empty",
        "short",
        "nearly-enough",
        "nan",
        "infinite",
        "stereo",
        "too-loud",
        "text",
    ],
)
def test_an_unusable_waveform_says_why(sound, says):
    with pytest.raises(demo.UnusableVoice, match=says):
        demo.hear(sound)


def test_of_a_file_only_what_was_searched_is_called_silent(tmp_path):
    silence = np.zeros(31 * SAMPLE_RATE, np.float32)
    media.write_wav(tmp_path / "late.wav", np.append(silence, _tone(6)))
    media.write_wav(tmp_path / "silent.wav", silence[: 6 * SAMPLE_RATE])
    with pytest.raises(demo.UnusableVoice, match="silence in the first half minute: cut off the"):
        demo.whole_voice(tmp_path / "late.wav")
    with pytest.raises(demo.UnusableVoice, match="only silence.$"):
        demo.whole_voice(tmp_path / "silent.wav")


@pytest.fixture
def voices(tmp_path):
    """A folder with good and bad files."""
    folder = tmp_path / "voices"
    (folder / "again").mkdir(parents=True)
    media.write_wav(folder / "good.wav", _tone(3))
    media.write_wav(folder / "again" / "good.wav", _tone(3, hz=120))
    media.write_wav(folder / "again" / "Good-2.wav", _tone(3, hz=150))
    media.write_wav(folder / "silent.wav", np.zeros(48_000, np.float32))
    media.write_wav(folder / "short.wav", _tone(0.2))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound\n" * 100)
    (folder / "picture.png").write_bytes(demo.png(np.zeros((64, 64, 3), np.uint8)))
    header = b"RIFF\x24\x00\x06\x00WAVEfmt \x10\x00\x00\x00\x03\x00\x01\x00\x80\x3e\x00\x00"
    samples = np.full(96_000, np.nan, np.float32).tobytes()
    header += b"\x00\xfa\x00\x00\x04\x00\x20\x00data" + len(samples).to_bytes(4, "little")
    (folder / "nan.wav").write_bytes(header + samples)
    return folder


def test_bad_files_become_rows_and_the_rest_goes_on(voices, tmp_path):
    bad = ["missing.wav", "empty.wav", "text.wav", "picture.png", "silent.wav", "short.wav"]
    names = [*bad, "nan.wav", "again", "good.wav"]
    rows = demo.reconstruct_files([voices / n for n in names], tmp_path / "out", _encoder, _decoder)
    assert [row["status"] for row in rows] == ["failed", *["rejected"] * 7, "ok"]
    for row in rows[:-1]:
        assert row["reason"].endswith(".") and len(row["reason"]) > 10
        assert "Error" not in row["reason"] and not row["face"]
    assert (tmp_path / "out" / "good.png").is_file()


def test_results_csv_has_a_row_per_file(voices, tmp_path):
    files = [voices / "good.wav", str(voices / "silent.wav")]
    rows = demo.reconstruct_files(files, tmp_path / "out", _encoder, _decoder)
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert tuple(read[0]) == demo.FIELDS == tuple(rows[0])
    assert [row["status"] for row in read] == ["ok", "rejected"]
    assert read[0]["face"] == "good.png" and read[0]["apparent_sex"] in "FM"
    assert float(read[0]["seconds"]) > 0 and 18 <= float(read[0]["apparent_age"]) <= 80


def test_files_with_the_same_name_keep_their_own_faces(voices, tmp_path):
    files = [voices / "good.wav", voices / "again" / "good.wav", voices / "again" / "Good-2.wav"]
    rows = demo.reconstruct_files(files, tmp_path / "out", _encoder, _decoder)
    faces = [row["face"] for row in rows]
    assert len({name.casefold() for name in faces}) == 3
    assert sorted(faces) == sorted(path.name for path in (tmp_path / "out").glob("*.png"))


def test_a_file_name_that_is_no_text_does_not_cost_the_table(voices, tmp_path):
    odd = os.fsdecode(os.fsencode(voices) + b"/caf\xe9.wav")
    media.write_wav(Path(odd), _tone(2))
    rows = demo.reconstruct_files([odd, voices / "good.wav"], tmp_path / "out", _encoder, _decoder)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert b"caf\xe9" in (tmp_path / "out" / "results.csv").read_bytes()


def test_an_unexpected_error_is_a_row_too(voices, tmp_path):
    def broken(features):
        raise RuntimeError("no such weights")

    paths = [voices / "good.wav"]
    rows = demo.reconstruct_files(paths, tmp_path / "out", _encoder, _decoder_of(broken))
    assert rows[0]["status"] == "failed" and "no such weights" in rows[0]["reason"]


def test_real_voices_become_faces(tmp_path):
    files = sorted(VOICES.glob("*.flac"))[:3]
    if not files:
        pytest.skip("The real voices are not on this machine.")
    rows = demo.reconstruct_files(files, tmp_path, _encoder, _decoder)
    assert [row["status"] for row in rows] == ["ok"] * 3


def test_bundled_voices_are_those_of_test_islanders_and_fit_their_names():
    for name, number in demo.BUNDLED_VOICES.items():
        person = islander(number)
        assert number >= FIRST_TEST_ISLANDER
        assert person.sex == ("F" if "woman" in name else "M")
        assert (person.age > 65) == ("older" in name)
    voice = demo.bundled_voice("large man")
    assert voice.shape == (96_000,) and np.abs(voice).max() > 0.01
    with pytest.raises(ValueError, match="young woman, older woman"):
        demo.bundled_voice("robot")


def test_a_bundled_voice_has_several_recordings():
    first, second = (demo.bundled_voice("young man", number) for number in (0, 1))
    assert np.array_equal(first, demo.bundled_voice("young man"))
    assert first.shape == second.shape and not np.allclose(first, second, atol=0.01)
    with pytest.raises(ValueError, match="recording=-1"):
        demo.bundled_voice("young man", -1)


def test_outside_colab_uploading_and_recording_say_what_to_do(monkeypatch):
    monkeypatch.setattr(session, "in_colab", lambda: False)
    for ask in (demo.upload, demo.record):
        with pytest.raises(ValueError, match="give the path of a file"):
            ask()


def test_upload_returns_the_file(monkeypatch):
    monkeypatch.setattr(session, "in_colab", lambda: True)
    monkeypatch.setattr(session, "upload_files", lambda: {"a.wav": b"sound"})
    assert demo.upload() == b"sound"
    monkeypatch.setattr(session, "upload_files", dict)
    with pytest.raises(ValueError, match="No file was chosen"):
        demo.upload()


def test_a_recording_is_decoded(monkeypatch, tmp_path):
    media.write_wav(tmp_path / "r.wav", _tone(2))
    content = base64.b64encode((tmp_path / "r.wav").read_bytes()).decode()
    asked = types.SimpleNamespace(code="")

    def browser(code):
        asked.code = code
        return f"data:audio/webm;codecs=opus;base64,{content}"

    monkeypatch.setattr(session, "in_colab", lambda: True)
    monkeypatch.setattr(session, "evaluate_javascript", browser)
    assert len(demo.record(2)) == pytest.approx(2 * SAMPLE_RATE, abs=10)
    assert "2.0 * 1000" in asked.code
    for answer in ("error: Permission denied", None, "data:audio/webm;base64,AAAA"):
        monkeypatch.setattr(session, "evaluate_javascript", lambda code, answer=answer: answer)
        with pytest.raises(ValueError, match=r"did not record|cannot be read"):
            demo.record(2)
    with pytest.raises(ValueError, match="1 to 60"):
        demo.record(0)
