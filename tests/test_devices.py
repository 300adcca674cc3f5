"""16 bits in training and never in the file; two devices that end where one does; JAX as well."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_trainings
from tiny_trainings import TRAININGS

from helpers import training, voice_encoder
from helpers.networks import voice_networks
from helpers.training import adversarial, devices

HERE = Path(__file__).parent
BACKENDS = ("tensorflow", "jax")


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "generation", "policy"),
    [
        ("float32", 9, "float32"),
        ("auto", None, "float32"),
        ("auto", 6, "float32"),
        ("auto", 7, "mixed_float16"),
        ("auto", 8, "mixed_bfloat16"),
        ("mixed", 7, "mixed_float16"),
        ("mixed", None, "mixed_bfloat16"),
    ],
)
def test_the_numbers_suit_the_machine(precision, generation, policy, monkeypatch):
    monkeypatch.setattr(devices, "_gpu_generation", lambda: generation)
    assert devices.precision_policy(precision) == policy


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match="auto, float32, mixed"):
        devices.precision_policy("half")


def test_layers_within_a_layer_keep_32_bits_with_it():
    waveform = keras.Input((10, 4))
    x = voice_networks.AttentivePooling()(waveform)
    network = keras.Model(waveform, keras.layers.Dense(2)(keras.layers.Dense(3)(x)))
    copied = devices.Workplace("mixed").copy(network)
    assert copied.layers[1].look.compute_dtype == "float32"
    assert copied.layers[2].compute_dtype == "bfloat16"
    given = np.random.default_rng(0).standard_normal((2, 10, 4))
    np.testing.assert_allclose(copied(given), network(given), atol=0.05)


def test_sums_spectrograms_and_outputs_keep_32_bits():
    copied = devices.Workplace("mixed").copy(tiny_trainings.encoder())
    short = {type(layer).__name__: layer.compute_dtype == "bfloat16" for layer in copied.layers}
    assert short["Activation"]
    assert not short["BatchNormalization"]
    assert not short["GlobalAveragePooling1D"]
    assert not short["MaskSpectrum"]
    assert not short["AddCentre"]
    assert not short["InputLayer"]
    assert copied.layers[3].compute_dtype == "bfloat16"
    assert {weight.dtype for weight in copied.weights if weight.name == "kernel"} == {"float32"}


def test_a_critic_of_16_bits_judges_nearly_alike():
    keras.utils.set_random_seed(0)
    critic = adversarial.discriminator(6, width=0.1)
    face, feature = np.random.default_rng(0).random((2, 128, 128, 3)), np.zeros((2, 6))
    score, *maps = critic([face, feature])
    score16, *maps16 = devices.Workplace("mixed").copy(critic)([face, feature])
    for one, other in zip([score, *maps], [score16, *maps16], strict=True):
        assert keras.backend.standardize_dtype(other.dtype) == "float32"
        np.testing.assert_allclose(other, one, atol=0.05)
    assert not np.array_equal(maps[-1], maps16[-1])


def error_on_known_examples(what, network):
    """Mean error on the training examples as they are: the loss varies them in every step."""
    if what == "encoder":
        pairs = tiny_trainings.pairs()
        return np.abs(voice_encoder.predict(network, pairs) - pairs.features).mean()
    faces = tiny_trainings.faces()
    drawn = network.predict_on_batch(faces.features)
    return np.abs(drawn - faces.images / np.float32(255)).mean()


@pytest.mark.parametrize(("what", "generation"), [("encoder", 7), ("decoder", 8), ("gan", 8)])
def test_what_was_trained_with_16_bits_is_saved_as_a_network_of_32(
    what, generation, monkeypatch, tmp_path
):
    monkeypatch.setattr(devices, "_gpu_generation", lambda: generation)
    network = tiny_trainings.encoder() if what == "encoder" else tiny_trainings.decoder()
    before = error_on_known_examples(what, network)
    _, curves = TRAININGS[what](network, precision="mixed")
    assert all(np.isfinite(values).all() for values in curves.values())
    assert error_on_known_examples(what, network) < before
    training.save(network, tmp_path / "network.keras")
    loaded = training.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    assert {layer.dtype_policy.name for layer in loaded._flatten_layers()} == {"float32"}


# --- devices -------------------------------------------------------------------------------------


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(ValueError, match="gpus=64 is not valid: this machine has"):
        devices.Workplace(gpus=64)


def test_all_gpus_are_none_without_a_gpu():
    assert devices.Workplace(gpus=0).plain


def test_a_batch_that_cannot_be_divided_names_the_next_size_that_can():
    place = devices.Workplace()
    place.devices = ["one", "two", "three"]
    place.check_batch(6)
    with pytest.raises(ValueError, match="batch_size=7 .* 3 devices: take 9"):
        place.check_batch(7)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What trainings end with on each backend, in processes of their own."""
    folder = tmp_path_factory.mktemp("devices")
    found = {}
    for backend in BACKENDS:
        if backend == "jax":
            pytest.importorskip("jax")
        file = folder / f"{backend}.npz"
        subprocess.run(
            [sys.executable, HERE / "training_devices.py", file],
            check=True,
            env={**os.environ, "KERAS_BACKEND": backend},
        )
        with np.load(file) as arrays:
            found[backend] = {name: arrays[name] for name in arrays.files}
    return found


def values(run, key):
    return [value for name, value in run.items() if name.rpartition("/")[0] == key]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "what"),
    [*(("tensorflow", what) for what in TRAININGS), ("jax", "encoder"), ("jax", "decoder")],
)
def test_two_devices_end_where_one_does(backend, what, runs):
    one, two = (values(runs[backend], f"{what} on {count}") for count in ("one", "two"))
    assert one
    for alone, together in zip(one, two, strict=True):
        np.testing.assert_allclose(together, alone, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_a_killed_training_on_jax_ends_like_an_unbroken_one(runs):
    unbroken, resumed = (values(runs["jax"], f"encoder {how}") for how in ("unbroken", "resumed"))
    assert unbroken
    for expected, found in zip(unbroken, resumed, strict=True):
        np.testing.assert_array_equal(found, expected)
