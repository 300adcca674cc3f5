"""Hiding a patch of a voice changes what is in that patch, and shows what a network looks at."""

from __future__ import annotations

import numpy as np
import pytest
from figure_texts import assert_readable

from helpers import demo
from helpers.measuring import occlusion
from helpers.plots import correlation as correlation_plots
from helpers.settings import SAMPLE_RATE

SECONDS = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
SOUND = (
    (np.sin(2 * np.pi * 700 * SECONDS) + np.sin(2 * np.pi * 2700 * SECONDS))
    * (SECONDS % 1 < 0.8)
    / 4
).astype(np.float32)
"""Two tones, with a pause in every second."""


def level(waveform: np.ndarray, start: float, end: float, hertz: float) -> float:
    part = waveform[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
    turning = np.exp(-2j * np.pi * hertz * np.arange(len(part)) / SAMPLE_RATE)
    return float(np.abs(np.mean(part * turning)))


class Listener:
    """Stands for an encoder that hears one thing: 2,700 Hz from 2 to 3 s."""

    def predict_on_batch(self, waveforms: np.ndarray) -> np.ndarray:
        heard = [level(waveform, 2.1, 2.7, 2700) for waveform in waveforms]
        return np.array([[40 * each, 1, 0] for each in heard], np.float32)


@pytest.fixture(autouse=True)
def centre(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "centre", lambda _: np.zeros(3))


def test_only_the_patch_becomes_as_quiet_as_the_pauses() -> None:
    (hidden,) = occlusion.hide(SOUND, [(2, 3, 2200, 3200)])
    assert hidden.shape == SOUND.shape and hidden.dtype == np.float32
    assert level(hidden, 2.1, 2.7, 2700) < 0.03 * level(SOUND, 2.1, 2.7, 2700)
    for start, hertz in ((2.1, 700), (1.1, 2700), (3.1, 2700)):
        same = level(SOUND, start, start + 0.6, hertz)
        assert level(hidden, start, start + 0.6, hertz) == pytest.approx(same, rel=0.05)


def test_the_map_finds_the_place_that_a_network_looks_at() -> None:
    line = np.array([-1.0, 0, 0])
    found = occlusion.occlude(Listener(), SOUND, line, seconds=1)
    assert found.moved.shape == found.towards_male.shape == (len(occlusion.BANDS) - 1, 6)
    row, column = np.unravel_index(np.argmax(found.moved), found.moved.shape)
    assert (found.bands[row], found.times[column]) == (2200, 2)
    assert found.moved[row, column] > 0.8
    # Hiding it takes the first number away, and the line points to less of it.
    assert found.towards_male[row, column] > 100
    others = np.delete(found.moved.ravel(), row * 6 + column)
    assert others.max() < 0.1


def test_hiding_a_band_all_the_time_finds_the_band() -> None:
    shares = occlusion.bands_hidden(Listener(), [SOUND, SOUND])
    assert shares.shape == (2, len(occlusion.BANDS) - 1)
    assert occlusion.BANDS[int(np.argmax(shares[0]))] == 2200
    np.testing.assert_allclose(shares[0], shares[1])


def test_a_silent_voice_stays_silent() -> None:
    assert not occlusion.hide(np.zeros(96_000, np.float32), [(0, 1, 0, 8000)]).any()


def test_the_line_between_the_sexes_needs_both() -> None:
    features = np.array([[0.0, 0], [0, 2], [4, 1], [9, 9]])
    assert occlusion.sex_line(features, ["F", "F", "M", ""]).tolist() == [4, 0]
    with pytest.raises(ValueError, match="one sex is missing"):
        occlusion.sex_line(features, ["F"] * 4)


def test_figures_are_drawn() -> None:
    found = occlusion.occlude(Listener(), SOUND, np.array([-1.0, 0, 0]), seconds=2)
    *_, scale = correlation_plots.occlusion(found, np.ones((598, 257, 2))).axes
    assert scale.get_ylabel() == "female  <  apparent sex (%)  >  male"
    for drawn in (
        correlation_plots.occlusion(found, np.ones((598, 257, 2))),
        correlation_plots.occlusion(
            occlusion.occlude(Listener(), SOUND, seconds=2), np.ones((9, 9, 2))
        ),
        correlation_plots.bands(
            {"women": np.ones((3, 8)), "men": np.ones((0, 8))}, occlusion.BANDS
        ),
    ):
        assert_readable(drawn)
        assert all(place.get_xlabel() for place in drawn.axes if place.get_title(loc="left"))
