"""Networks are saved so that other releases of Keras open them."""

import inspect
import json
import zipfile

import keras
import numpy as np
import pytest

from helpers import training
from helpers.pretrained import recipe

RELEASED = (recipe.ENCODER, recipe.DECODER)


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    inside = keras.Input((8,))
    x = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Dense(4)(inside))
    return keras.Model(inside, keras.layers.LeakyReLU(0.2)(x))


def layers_of(path):
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json"))["config"]["layers"]


def arguments(path):
    layers = layers_of(path)
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


# --- the released weights ------------------------------------------------------------------------


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_a_released_network_names_no_argument_at_its_default(path):
    """Colab's Keras may be older than the one that wrote the file, and not know the argument."""
    assert path.is_file()
    layers = [layer for layer in layers_of(path) if layer["module"] == "keras.layers"]
    assert layers
    for layer in layers:
        kind = getattr(keras.layers, layer["class_name"])
        for name, value in layer["config"].items():
            argument = inspect.signature(kind).parameters.get(name)
            assert argument is None or value != argument.default, f"{layer['class_name']}, {name}"
    assert "epsilon" not in arguments(path).get("BatchNormalization", {})


def test_what_is_released_takes_at_most_25_megabytes():
    files = [path for path in recipe.FOLDER.iterdir() if path.is_file()]
    assert {*RELEASED, recipe.ISLANDER_FEATURES, recipe.RECIPE} <= set(files)
    assert sum(path.stat().st_size for path in files) <= 25e6
