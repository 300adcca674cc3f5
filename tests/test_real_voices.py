"""Real voices: the table of a folder, and the share of faces that look of the right sex."""

import types

import numpy as np
import pytest

from helpers import demo
from helpers.measuring import real_voices, report


def _folder(tmp_path, text="file,sex\na.wav,F\nb.wav,M\n", files=("a.wav", "b.wav")):
    for name in files:
        (tmp_path / name).write_bytes(b"sound")
    (tmp_path / "speakers.csv").write_text(text)
    return tmp_path


def test_recordings_and_sexes_are_read(tmp_path):
    found = real_voices.listed(_folder(tmp_path))
    assert [(path.name, sex) for path, sex in found] == [("a.wav", "F"), ("b.wav", "M")]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("file,gender\na.wav,F\n", ValueError, "no column sex"),
        ("file,sex\na.wav,F\nb.wav,male\n", ValueError, "line 3: sex is F or M, not 'male'"),
        ("file,sex\na.wav,F\nc.wav,M\n", FileNotFoundError, "line 3: there is no file 'c.wav'"),
        ("file,sex\na.wav,F\n../b.wav,M\n", FileNotFoundError, "no file '../b.wav'"),
        ("file,sex\na.wav,F\n", ValueError, "nobody of sex M"),
        ("file,sex\n", ValueError, "nobody of sex F or M"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_the_line(tmp_path, text, error, says):
    with pytest.raises(error, match=says):
        real_voices.listed(_folder(tmp_path, text))


def test_a_folder_without_a_table_says_what_it_should_hold(tmp_path):
    with pytest.raises(FileNotFoundError, match="one CSV file with the columns file and sex"):
        real_voices.listed(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        real_voices.listed(tmp_path / "absent")


def test_the_sexes_are_counted_one_by_one():
    true, looks = ["F"] * 30 + ["M"] * 30, ["F"] * 22 + ["M"] * 38
    found = real_voices.summary([f"v{n}" for n in range(60)], true, looks)
    assert found["balanced_accuracy"] == pytest.approx((22 / 30 + 1) / 2, abs=1e-4)
    assert found["right"]["F"][:2] == [22, 30] and found["right"]["M"][:2] == [30, 30]
    low, high = found["right"]["F"][2]
    assert (low, high) == pytest.approx((0.5555, 0.8582), abs=1e-3)
    assert found["interval"][0] < found["balanced_accuracy"] < found["interval"][1]
    assert found["wrong"] == [f"v{n}" for n in range(22, 30)]
    text = report.real_voices_lines({**found, "unusable": []})
    assert "F: 22 of 30 right" in text and "constant guess 50.0%" in text


def test_a_file_that_is_no_voice_is_named_and_the_others_are_measured(tmp_path):
    rate, seconds = 16_000, 4
    time = np.arange(rate * seconds) / rate
    for name, pitch in (("low", 110), ("high", 220)):
        wave = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
        _write(tmp_path / f"{name}.wav", 0.2 * wave)
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    table = "file,sex\nlow.wav,M\nhigh.wav,F\nbroken.wav,F\n"
    (tmp_path / "speakers.csv").write_text(table)
    found = real_voices.real_voices(tmp_path)
    assert found["count"] == 2 and [row["file"] for row in found["unusable"]] == ["broken.wav"]


def test_people_that_nobody_made_up(real_media):
    found = real_voices.real_voices(real_media / "voices")
    assert found["count"] == 60 and not found["unusable"]
    assert found["balanced_accuracy"] >= 0.9


def test_a_sex_without_a_usable_voice_is_named_with_the_number_that_would_do(tmp_path, monkeypatch):
    def reconstruct(path, *_):
        if path.name == "a.wav":
            raise demo.UnusableVoice("It is silent.")
        return types.SimpleNamespace(apparent_sex="M")

    monkeypatch.setattr(demo, "reconstruct", reconstruct)
    says = "Of 2 voices 0 of sex F and 1 of sex M could be used; at least 1 of each"
    with pytest.raises(ValueError, match=says):
        real_voices.real_voices(_folder(tmp_path))


def _write(path, wave):
    import wave as waves

    with waves.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((wave * 32767).astype("<i2").tobytes())
