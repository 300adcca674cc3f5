"""Networks are saved so that other releases of Keras open them."""

import json
import zipfile

import keras
import numpy as np
import pytest

from helpers import training


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    inside = keras.Input((8,))
    x = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Dense(4)(inside))
    return keras.Model(inside, keras.layers.LeakyReLU(0.2)(x))


def arguments(path):
    with zipfile.ZipFile(path) as file:
        layers = json.loads(file.read("config.json"))["config"]["layers"]
    return {layer["class_name"]: layer["config"] for layer in layers}


def test_a_saved_network_computes_the_same(network, tmp_path):
    training.save(network, tmp_path / "network.keras")
    loaded = training.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    x = np.random.default_rng(0).standard_normal((3, 8)).astype("float32")
    np.testing.assert_array_equal(loaded(x), network(x))


def test_arguments_at_their_default_are_not_written(network, tmp_path):
    training.save(network, tmp_path / "network.keras")
    written = arguments(tmp_path / "network.keras")
    assert "epsilon" not in written["BatchNormalization"]
    assert written["BatchNormalization"]["momentum"] == 0.9
    assert written["Dense"]["units"] == 4


def test_saving_replaces_the_file_and_leaves_nothing_else(network, tmp_path):
    for _ in range(2):
        training.save(network, tmp_path / "network.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["network.keras"]


def test_a_network_that_is_not_there_is_named_with_the_notebook_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="voice encoder.*04_voice_encoder"):
        training.load(tmp_path / "none.keras", "voice encoder", "04_voice_encoder")
