"""Settings: what a run is; a wrong value names the valid ones."""

from __future__ import annotations

import dataclasses

import pytest

from helpers import settings
from helpers.settings import Settings


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
        ({"patience": -1}, ["patience=-1", "negative"]),
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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sample_rate": 8000}, ["16,000 samples per second"]),
        ({"clip_seconds": 60}, ["1 to 20"]),
        ({"clip_rate": 0}, ["5 to 60"]),
        ({"detector": "haar"}, ["mtcnn", "hog"]),
        ({"verbosity": "loud"}, ["quiet", "verbose"]),
        ({"window": 1024}, ["window=1024", "fft_points=512"]),
        ({"hop": 1000}, ["40 to 350"]),
        ({"power": 2}, ["0.05 to 1"]),
    ],
)
def test_the_knobs_of_earlier_tools_have_their_equal_and_their_limits(values, words):
    with pytest.raises(ValueError) as caught:
        Settings.make(**values)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "knob", [{"window": 512}, {"hop": 200}, {"fft_points": 1024}, {"power": 1}]
)
def test_another_spectrogram_is_refused_where_the_released_weights_would_hear_it(knob):
    assert Settings.make(**knob, network="paper", weights="trained").spectrogram.items() >= set(
        knob.items()
    )
    Settings.make(**knob)  # notebook 03 only looks at it
    for other in ({"weights": "released"}, {"network": "compact"}):
        with pytest.raises(ValueError, match="released weights hear a window of 400") as caught:
            Settings.make(**knob, **other)
        assert "weights='trained'" in str(caught.value)


def test_the_form_of_a_notebook_becomes_its_settings():
    names = {"CORPUS": "archipelago", "ROWS": 5, "MORE": {"clip_seconds": 6}, "np": object()}
    assert Settings.from_form(names) == Settings.make(rows=5, clip_seconds=6)


@pytest.mark.parametrize(
    ("more", "words"),
    [({"clip_second": 6}, "Did you mean 'clip_seconds'"), ("clip_seconds=6", "it should be like")],
)
def test_a_wrong_line_of_more_settings_is_named(more, words):
    with pytest.raises(ValueError, match=words):
        Settings.from_form({"MORE": more})


def test_settings_do_not_change_under_way():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.make().seed = 1


def test_the_spectrogram_has_the_size_of_the_paper():
    assert (settings.WINDOW_SAMPLES, settings.HOP_SAMPLES, settings.FFT_POINTS) == (400, 160, 512)
    assert settings.SPEECH_SAMPLES == 96_000


def test_every_setting_is_described():
    for field in dataclasses.fields(Settings):
        assert f"    {field.name}: " in Settings.__doc__


def test_a_whole_number_for_a_weight_is_the_same_setting() -> None:
    assert repr(Settings.make(contrastive=1).contrastive) == "1.0"
