"""The paper's encoder to the unit, the published one beside it, and what every network shares."""

import keras
import numpy as np
import pytest
import voice_backend
from other_backend import computed_on_both

from helpers import spectrogram, training
from helpers.networks import voice_layers, voice_networks
from helpers.settings import SPEECH_SAMPLES

# Channels of the nine convolutions, and what is left of 598 x 257 after each, with its maximum.
CHANNELS = (64, 64, 128, 128, 128, 256, 512, 512, 512)
OUTPUTS = [
    "595 x 254 x 64",
    "592 x 251 x 64",
    "589 x 248 x 128",
    "291 x 245 x 128",
    "142 x 242 x 128",
    "68 x 239 x 256",
    "31 x 236 x 512",
    "14 x 117 x 512",
    "6 x 57 x 512",
]


def parameters_of_the_paper(feature_size):
    """What table 1 gives, worked out: kernels, biases, four numbers a normalised channel."""
    inputs = (2, *CHANNELS[:-1])
    convolutions = sum(4 * 4 * n * m + m for n, m in zip(inputs, CHANNELS, strict=True))
    norms = sum(4 * m for m in CHANNELS)
    hidden = 57 * 512 * 4096 + 4096
    return convolutions + norms + hidden + 4096 * feature_size + feature_size


def voices(count=2, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((count, SPEECH_SAMPLES), "float32")


@pytest.fixture(scope="module")
def narrow():
    return voice_networks.paper(8, np.full(8, 0.3), width=1 / 16, deviation=0.05)


# --- the paper -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return voice_networks.paper()


def test_the_paper_has_148_million_parameters_to_the_unit(whole):
    centre = 4096 + 1  # Mean feature and scale; not the paper's, and 0 and 1 unless given.
    assert parameters_of_the_paper(4096) == 148_067_584
    assert whole.count_params() == 148_067_584 + centre


def test_the_paper_for_another_feature_differs_in_the_last_layer_only():
    network = voice_networks.paper(128)
    assert network.count_params() == parameters_of_the_paper(128) + 128 + 1 == 131_810_817


def test_each_convolution_leaves_what_table_1_says(whole):
    table = voice_networks.layer_table(whole)
    assert [row["output"] for row in table if row["layer"].startswith("conv")] == OUTPUTS
    assert whole.get_layer("spectrogram").output.shape == (None, 598, 257, 2)
    assert whole.get_layer("flatten").output.shape == (None, 29_184)
    assert sum(row["parameters"] for row in table) == whole.count_params()
    # 4 x 4 x 2 numbers go into each of the 595 x 254 x 64 that the first convolution puts out.
    assert table[0]["multiplications"] == pytest.approx(595 * 254 * 64 * 32 / 1e6, abs=0.1)
    # The same without building it.
    assert voice_networks.paper_table() == table
    totals = voice_networks.totals({"paper": table, "none": []})
    assert totals[0]["parameters"] == whole.count_params()
    assert totals[1] == {"network": "none", "layers": 0, "parameters": 0, "multiplications": 0}


def test_each_convolution_is_followed_by_relu_and_then_by_normalisation(narrow):
    names = [layer.name for layer in narrow.layers]
    for number in range(1, 10):
        order = [names.index(f"{kind}{number}") for kind in ("conv", "relu", "norm")]
        assert order == sorted(order)
    assert names.index("conv9") < names.index("mean_over_time") < names.index("relu9")
    assert narrow.get_layer("fc2").activation is keras.activations.linear


def test_maxima_are_taken_over_time_only(narrow):
    pools = [layer for layer in narrow.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert [layer.pool_size for layer in pools] == [(2, 1)] * 4


def test_without_centre_the_paper_predicts_the_feature_itself(whole):
    layer = whole.get_layer("centre")
    assert float(layer.scale) == 1.0
    np.testing.assert_array_equal(voice_networks.centre_of(whole), np.zeros(4096))


def test_normalisation_can_be_left_out(narrow):
    for build in (voice_networks.paper, voice_networks.compact):
        network = build(8, width=1 / 16, batch_norm=False)
        kinds = [type(layer).__name__ for layer in network.layers]
        assert "BatchNormalization" not in kinds
        assert np.isfinite(network.predict_on_batch(voices())).all()
    # What the normalisation would have brought is a bias of each convolution.
    convolution = next(la for la in network.layers if isinstance(la, keras.layers.Conv2D))
    assert convolution.use_bias


# --- what goes in --------------------------------------------------------------------------------


def test_published_hears_magnitude_and_plain_phase():
    waveform = voices(1)
    heard = np.asarray(voice_layers.MagnitudePhase()(waveform))[0]
    frames = np.lib.stride_tricks.sliding_window_view(waveform[0], 400)[::160]
    spectrum = np.fft.rfft(frames * spectrogram.hann(400), n=512)
    assert heard.shape == (598, 257, 2)
    np.testing.assert_allclose(heard[..., 0], np.abs(spectrum) ** 0.3, atol=2e-3)
    # Both ends of the circle are the same phase.
    turned = np.exp(1j * heard[..., 1]) - spectrum / np.abs(spectrum)
    assert np.percentile(np.abs(turned), 99) < 1e-2


def test_the_paper_hears_real_and_imaginary_part(narrow):
    """Earlier re-implementations gave magnitude and phase, which no error tells."""
    hears = keras.Model(narrow.input, narrow.get_layer("spectrogram").output)
    heard = hears.predict_on_batch(voices(1))[0]
    np.testing.assert_allclose(heard, spectrogram.spectrogram_numpy(voices(1)[0]), atol=5e-2)
    # A magnitude has no sign; a real part is as often below zero as above.
    assert 0.45 < np.mean(heard[..., 0] < 0) < 0.55
    # Silence is silent. A phase would be as large there as in speech.
    quiet = hears.predict_on_batch(1e-4 * voices(1))[0]
    assert np.abs(quiet).max() < 0.1 * np.abs(heard).max()
    phase = np.asarray(voice_layers.MagnitudePhase()(1e-4 * voices(1)))[0, ..., 1]
    assert np.abs(phase).max() > 3


def test_published_has_the_layers_of_the_paper(narrow):
    other = voice_networks.published(8, width=1 / 16)
    assert other.count_params() == narrow.count_params()
    assert [layer.name for layer in other.layers[2:]] == [la.name for la in narrow.layers[2:]]


# --- what every network shares -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compact", "paper", "published"])
def test_networks_are_built_by_name_saved_and_loaded(name, tmp_path):
    centre = np.linspace(0, 1, 8)
    network = voice_networks.build(name, 8, centre, seed=3, width=1 / 16, deviation=0.01)
    np.testing.assert_allclose(voice_networks.centre_of(network), centre, rtol=1e-6)
    features = network.predict_on_batch(voices())
    assert features.shape == (2, 8)
    assert np.abs(features - centre).max() < 1  # The network works with numbers around 1.
    training.save(network, tmp_path / "network.keras")
    again = training.load(tmp_path / "network.keras", "voice encoder", "04_voice_encoder")
    np.testing.assert_array_equal(again.predict_on_batch(voices()), features)
    other = voice_networks.build(name, 8, centre, seed=4, width=1 / 16, deviation=0.01)
    assert not np.allclose(other.predict_on_batch(voices()), features)


def test_an_unknown_network_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="'large'.*compact, paper, published"):
        voice_networks.build("large")


# --- backends ------------------------------------------------------------------------------------


def test_networks_losses_and_training_are_the_same_on_jax(tmp_path):
    """The same files, opened by another process on another backend, compute the same."""
    pytest.importorskip("jax", reason="JAX is not installed.")
    for name in voice_backend.NETWORKS:
        network = voice_networks.build(name, voice_backend.SIZE, seed=1, width=1 / 16)
        training.save(network, tmp_path / f"{name}.keras")
    here, there = computed_on_both(voice_backend, tmp_path)
    for name, value in here.items():
        # Adam's first step is as long for a tiny gradient as for a large one, so in training
        # rounding decides where some weights go.
        tolerance = 0.02 if name in ("steps", "trained_features") else 1e-4
        np.testing.assert_allclose(there[name], value, tolerance, tolerance, err_msg=name)


def test_the_network_of_the_paper_hears_the_spectrogram_that_was_chosen():
    sizes = {"window": 4096, "hop": 350, "fft_points": 4096, "power": 1.0}
    network = voice_networks.build("paper", 8, spectrogram=sizes, width=1 / 32)
    assert network.get_layer("spectrogram").output.shape[1:] == (263, 2049, 2)
    assert voice_networks.build("compact", 8, spectrogram=sizes, width=0.1).output.shape[-1] == 8
