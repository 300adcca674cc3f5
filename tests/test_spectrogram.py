"""The spectrogram is the one of the paper, to the sample, and sound without speech is refused."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from helpers import download, media, spectrogram
from helpers.settings import FFT_POINTS, HOP_SAMPLES, WINDOW_SAMPLES

SECOND = 16_000


def voice(hertz=150.0, seconds=6.0, level=0.2):
    """Returns a buzz with harmonics up to 4 kHz and a syllable every quarter of a second."""
    time = np.arange(round(seconds * SECOND)) / SECOND
    harmonics = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, int(4000 / hertz)))
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * time)
    return (level * syllables * harmonics / np.abs(harmonics).max()).astype("float32")


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(0, 0.1, (2, 96_000)).astype("float32")


# --- Spectrogram ---------------------------------------------------------------------------------


def test_six_seconds_give_598_frames_of_257_bins_and_two_parts(noise):
    layer = spectrogram.Spectrogram()
    assert layer(noise).shape == (2, 598, 257, 2)
    assert layer.compute_output_shape((2, 96_000)) == (2, 598, 257, 2)
    assert layer(keras.Input((96_000,))).shape == (None, 598, 257, 2)


def test_spectrogram_equals_numpy(noise):
    plain = np.asarray(spectrogram.Spectrogram(power=1.0)(noise))
    for one, waveform in zip(plain, noise, strict=True):
        np.testing.assert_allclose(one, spectrogram.spectrogram_numpy(waveform, 1.0), atol=2e-5)
    compressed = np.asarray(spectrogram.Spectrogram()(noise))[0]
    np.testing.assert_allclose(compressed, spectrogram.spectrogram_numpy(noise[0]), atol=2e-2)
    # Near zero the power law is steep, so that rounding shows there and nowhere else.
    assert np.median(np.abs(compressed - spectrogram.spectrogram_numpy(noise[0]))) < 1e-6


def test_spectrogram_equals_librosa_but_for_where_the_window_lies(noise):
    """Librosa puts the 400-sample window in the middle of 512 samples: 56 before it, 56 after.

    Without padding that leaves room for 597 frames. Padding by 56 samples on both sides gives our
    598, of the same samples, and each frame begins 56 samples earlier: a ramp in the phase.
    """
    librosa = pytest.importorskip("librosa")
    shape = {"n_fft": FFT_POINTS, "win_length": WINDOW_SAMPLES, "hop_length": HOP_SAMPLES}
    assert librosa.stft(noise[0], center=False, **shape).shape == (257, 597)
    theirs = librosa.stft(np.pad(noise[0], 56), center=False, **shape).T
    ours = np.asarray(spectrogram.Spectrogram(power=1.0)(noise[:1]))[0]
    ours = ours[..., 0] + 1j * ours[..., 1]
    assert ours.shape == theirs.shape == (598, 257)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=2e-5)
    ramp = np.exp(2j * np.pi * 56 * np.arange(257) / 512)
    np.testing.assert_allclose(ours, theirs * ramp, atol=2e-5)


def test_window_is_the_periodic_hann_window():
    from scipy.signal import get_window

    np.testing.assert_allclose(spectrogram.hann(400), get_window("hann", 400), atol=1e-7)


def test_power_law_keeps_the_sign_and_takes_the_power():
    given = np.array([-8.0, -1.0, 0.0, 1e-6, 1.0, 1000.0], "float32")
    expected = [-(8**0.3), -1, 0, 10**-1.8, 1, 10**0.9]
    np.testing.assert_allclose(np.asarray(spectrogram.power_law(given)), expected, rtol=1e-5)


def test_a_tone_lies_in_its_bin():
    tone = np.sin(2 * np.pi * 1000 * np.arange(96_000) / SECOND).astype("float32")
    size = np.hypot(*np.moveaxis(spectrogram.spectrogram_numpy(tone, 1.0), 2, 0))
    assert (size.argmax(axis=1) == 32).all()  # 1,000 Hz / (16,000 Hz / 512)
    np.testing.assert_allclose(size[:, 32], 100, rtol=1e-3)  # half of the window's sum


def test_layers_survive_saving(tmp_path, noise):
    waveform = keras.Input((96_000,))
    layers = [spectrogram.Spectrogram(power=0.5)(waveform), spectrogram.LogMel(bands=40)(waveform)]
    model = keras.Model(waveform, layers)
    model.save(tmp_path / "layers.keras")
    again = keras.models.load_model(tmp_path / "layers.keras")
    for one, other in zip(model(noise), again(noise), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


# --- LogMel --------------------------------------------------------------------------------------


def test_log_mel_does_not_hear_level_or_microphone():
    waveform = voice()[None]
    layer = spectrogram.LogMel()
    plain = np.asarray(layer(waveform))
    assert plain.shape == layer.compute_output_shape(waveform.shape) == (1, 297, 96)
    np.testing.assert_allclose(plain, np.asarray(layer(0.01 * waveform)), atol=2e-2)
    through_line = np.convolve(waveform[0], [1.0, -0.9])[None, :96_000].astype("float32")
    with_channel = spectrogram.LogMel(remove_channel=False)
    loud = plain > np.quantile(plain, 0.7)
    before = np.abs(np.asarray(with_channel(waveform)) - np.asarray(with_channel(through_line)))
    after = np.abs(plain - np.asarray(layer(through_line)))
    assert after[loud].mean() < 0.25 * before[loud].mean()


def test_log_mel_shows_harmonics():
    # 150 Hz apart, so that there is a dip between the first and the second.
    mean = np.asarray(spectrogram.LogMel(remove_channel=False)(voice(150.0)[None]))[0].mean(0)
    filters = spectrogram.mel_filters(96, 1024, 50.0, 7600.0)
    centres = (filters * np.arange(513)[:, None] * SECOND / 1024).sum(0)
    at = [int(np.abs(centres - hertz).argmin()) for hertz in (150, 225, 300)]
    assert mean[at[0]] - mean[at[1]] > 2
    assert mean[at[2]] - mean[at[1]] > 2


def test_mel_filters_are_averages():
    filters = spectrogram.mel_filters(96, 1024, 50.0, 7600.0)
    assert filters.shape == (513, 96)
    np.testing.assert_allclose(filters.sum(0), 1, rtol=1e-5)
    assert (filters >= 0).all()


# --- fundamental frequency -----------------------------------------------------------------------


@pytest.mark.parametrize("hertz", [90.0, 150.0, 240.0])
def test_fundamental_frequency_of_a_buzz(hertz):
    times, track = spectrogram.fundamental_frequency(voice(hertz))
    assert times.shape == track.shape
    np.testing.assert_allclose(np.diff(times), 0.01, atol=1e-9)
    assert np.nanmedian(track) == pytest.approx(hertz, rel=0.02)
    assert np.isfinite(track).mean() > 0.5


def test_noise_and_silence_have_no_pitch(noise):
    assert np.isnan(spectrogram.fundamental_frequency(noise[0])[1]).mean() > 0.95
    assert np.isnan(spectrogram.fundamental_frequency(np.zeros(SECOND))[1]).all()
    assert len(spectrogram.fundamental_frequency(np.zeros(100))[1]) == 0


# --- from clip to table --------------------------------------------------------------------------


def test_six_seconds_cuts_and_repeats():
    np.testing.assert_array_equal(spectrogram.six_seconds(np.arange(100_000)), np.arange(96_000))
    repeated = spectrogram.six_seconds(np.arange(40_000))
    np.testing.assert_array_equal(repeated[40_000:80_000], np.arange(40_000))
    assert repeated.shape == (96_000,)
    with pytest.raises(ValueError, match="empty"):
        spectrogram.six_seconds(np.zeros(0))


def test_seconds_of_sound_leaves_pauses_out():
    spoken = np.concatenate([np.zeros(2 * SECOND), voice(seconds=1.0), np.zeros(SECOND)])
    assert spectrogram.seconds_of_sound(spoken) == pytest.approx(1.0, abs=0.05)
    assert spectrogram.seconds_of_sound(np.zeros(SECOND)) == 0
    assert spectrogram.seconds_of_sound(np.zeros(0)) == 0


def wav(path, waveform):
    media.write_wav(path, waveform)
    return path.read_bytes()


def clip(video, status="ok", reason=""):
    return {
        "clip_id": "a-0",
        "speaker_id": "a",
        "split": "train",
        "status": status,
        "reason": reason,
        "video": video,
    }


def test_a_voice_becomes_a_row(tmp_path):
    waveform = voice(seconds=2.0)
    row = spectrogram.speech_of_clip(clip(wav(tmp_path / "a.wav", waveform)))
    assert set(row) == set(spectrogram.SCHEMA.names)
    assert (row["status"], row["reason"]) == ("ok", "")
    stored = media.from_int16(row["waveform"])
    assert stored.shape == (96_000,)
    np.testing.assert_allclose(stored, np.resize(waveform, 96_000), atol=1e-4)
    assert row["speech_s"] == pytest.approx(2.0, abs=0.1)
    assert row["peak"] == pytest.approx(np.abs(waveform).max(), abs=1e-3)
    assert row["level"] == pytest.approx(20 * np.log10(np.sqrt(np.mean(waveform**2))), abs=0.1)


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(6 * SECOND), "silent"),
        (1e-4 * np.ones(6 * SECOND), "silent"),
        (voice(seconds=0.2), "0.2 s of sound"),
        (np.append(np.zeros(SECOND), voice(seconds=0.3)), "0.3 s of sound"),
    ],
)
def test_too_little_sound_is_rejected(tmp_path, waveform, reason):
    row = spectrogram.speech_of_clip(clip(wav(tmp_path / "a.wav", waveform)))
    assert row["status"] == "rejected"
    assert reason in row["reason"]
    assert row["waveform"] is None


def test_a_broken_or_missing_clip_keeps_its_reason():
    row = spectrogram.speech_of_clip(clip(b"no video at all"))
    assert row["status"] == "rejected"
    assert row["reason"]
    row = spectrogram.speech_of_clip(clip(None, "gone", "The video was removed."))
    assert (row["status"], row["reason"]) == ("gone", "The video was removed.")


def test_each_clip_becomes_one_row_of_speech(workspace, tmp_path):
    video = wav(tmp_path / "a.wav", voice(seconds=1.0))
    rows = [clip(video) | {"clip_id": f"a-{n}"} for n in range(4)]
    rows[2] |= {"status": "gone", "reason": "The video was removed.", "video": None}
    keys = [row["clip_id"] for row in rows]
    workspace.table("clips").build(keys, lambda _: rows, download.SCHEMA, progress=False)
    assert spectrogram.build_speech(SimpleNamespace(workspace=workspace)).made == 4
    made = workspace.require("speech").read(["clip_id", "status"]).to_pylist()
    assert [row["clip_id"] for row in made] == keys
    assert [row["status"] for row in made] == ["ok", "ok", "gone", "ok"]


def test_window_hop_points_and_power_can_be_chosen(tmp_path):
    layer = spectrogram.Spectrogram(power=1, window=800, hop=200, fft_points=1024)
    waveform = np.sin(np.arange(16_000) / 5).astype("float32")[None]
    parts = np.asarray(layer(waveform))
    assert parts.shape == (1, 77, 513, 2) == layer.compute_output_shape((1, 16_000))
    again = spectrogram.Spectrogram.from_config(layer.get_config())
    assert np.array_equal(np.asarray(again(waveform)), parts)
