"""Settings: what a run is; a wrong value names the valid ones."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from conftest import ROOT

from helpers import settings
from helpers.settings import Settings

HEAVY = "tensorflow keras librosa dlib cv2 mtcnn av sklearn matplotlib"


def test_the_default_run_is_the_embedded_corpus_in_quick_mode():
    made = Settings.make()
    assert (made.corpus, made.mode, made.use_drive) == ("archipelago", "quick", False)


def test_the_mode_fills_in_what_is_left_open():
    quick, full = Settings.make(), Settings.make(mode="full")
    assert full.encoder_epochs > quick.encoder_epochs > 0
    assert full.frames_per_clip > quick.frames_per_clip > 0


def test_zero_takes_the_number_of_the_mode():
    assert Settings.make(mode="full", encoder_epochs=0) == Settings.make(mode="full")


def test_a_number_of_ones_own_wins_over_the_mode():
    assert Settings.make(mode="full", encoder_epochs=3).encoder_epochs == 3


def test_zero_stays_zero_where_it_has_a_meaning():
    assert Settings.make(contrastive=0).contrastive == 0
    assert Settings.make(seed=0).seed == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"corpsu": "archipelago"}, ["'corpsu'", "Did you mean 'corpus'", "encoder_epochs"]),
        ({"corpus": "avspeach"}, ["'avspeach'", "archipelago", "my_videos", "manifest"]),
        ({"mode": "fast"}, ["'fast'", "quick", "full"]),
        ({"features": "vgg"}, ["'vgg'", "dlib"]),
        ({"seed": "one"}, ["seed='one'", "int"]),
        ({"seed": True}, ["seed=True", "int"]),
        ({"use_drive": 1}, ["use_drive=1", "bool"]),
        ({"batch_size": -1}, ["batch_size=-1", "negative"]),
        ({"batch_size": 0}, ["batch_size=0", "1 to"]),
        ({"seed": 2**32}, ["seed=4294967296", "0 to"]),
        ({"contrastive": float("nan")}, ["contrastive=nan", "finite"]),
        ({"corpus": "my_videos"}, ["videos=FOLDER"]),
        ({"corpus": "manifest"}, ["manifest=FILE"]),
    ],
)
def test_a_wrong_setting_names_the_valid_ones(values, words):
    with pytest.raises(ValueError) as caught:
        Settings.make(**values)
    for word in words:
        assert word in str(caught.value)


def test_settings_do_not_change_under_way():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.make().seed = 1


def test_the_spectrogram_has_the_size_of_the_paper():
    assert (settings.SPECTROGRAM_FRAMES, settings.SPECTROGRAM_BINS) == (598, 257)
    assert settings.SPEECH_SAMPLES == 96_000


def test_every_setting_is_described():
    for field in dataclasses.fields(Settings):
        assert f"    {field.name}: " in Settings.__doc__


@pytest.mark.parametrize(
    ("room", "banned"),
    [
        ("settings", f"{HEAVY} numpy pyarrow"),
        ("packages", f"{HEAVY} numpy pyarrow"),
        ("workers", f"{HEAVY} numpy pyarrow"),
        ("session", f"{HEAVY} numpy pyarrow"),
        ("drive", f"{HEAVY} numpy pyarrow"),
        ("tables", HEAVY),
        ("rows", HEAVY),
        ("manifests", HEAVY),
    ],
)
def test_a_foundation_room_loads_nothing_heavy(room, banned):
    check = f"import sys, helpers.{room}; print(*set({banned.split()!r}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_a_whole_number_for_a_weight_is_the_same_setting() -> None:
    assert repr(Settings.make(contrastive=1).contrastive) == "1.0"
