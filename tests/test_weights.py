"""Networks as files: for other releases of Keras, of half the size, refused when not right."""

import inspect
import json
import zipfile

import keras
import numpy as np
import pytest

from helpers import pretrained, settings, weights
from helpers.pretrained import recipe

RELEASED = (pretrained.VOICE_ENCODER, pretrained.FACE_DECODER)


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
    weights.save(network, tmp_path / "network.keras")
    loaded = weights.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    x = np.random.default_rng(0).standard_normal((3, 8)).astype("float32")
    np.testing.assert_array_equal(loaded(x), network(x))


def test_arguments_at_their_default_are_not_written(network, tmp_path):
    weights.save(network, tmp_path / "network.keras")
    written = arguments(tmp_path / "network.keras")
    assert "epsilon" not in written["BatchNormalization"]
    assert written["BatchNormalization"]["momentum"] == 0.9
    assert written["Dense"]["units"] == 4


def test_saving_replaces_the_file_and_leaves_nothing_else(network, tmp_path):
    for _ in range(2):
        weights.save(network, tmp_path / "network.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["network.keras"]


def test_a_network_that_is_not_there_is_named_with_the_notebook_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="voice encoder.*04_voice_encoder"):
        weights.load(tmp_path / "none.keras", "voice encoder", "04_voice_encoder")


# --- 16 bits -------------------------------------------------------------------------------------


def test_half_a_file_gives_a_network_of_32_bits_that_computes_nearly_the_same(network, tmp_path):
    weights.save(network, tmp_path / "network.keras", half=True)
    loaded = weights.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    x = np.random.default_rng(0).standard_normal((3, 8)).astype("float32")
    np.testing.assert_allclose(loaded(x), network(x), atol=2e-3)


def test_vectors_keep_all_their_bits(network, tmp_path):
    variance = network.layers[2].moving_variance
    variance.assign([1e-9, 1.0001, 3.14159265, 1e9])
    weights.save(network, tmp_path / "network.keras", half=True)
    loaded = weights.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    np.testing.assert_array_equal(loaded.layers[2].moving_variance, variance)


def test_numbers_too_large_for_16_bits_keep_32(network, tmp_path):
    kernel = network.layers[1].kernel
    kernel.assign(np.full(kernel.shape, 123_456.7))
    weights.save(network, tmp_path / "network.keras", half=True)
    loaded = weights.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    np.testing.assert_array_equal(loaded.layers[1].kernel, kernel)


def test_half_a_file_is_half_as_large(tmp_path):
    wide = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300)])
    for half in (False, True):
        weights.save(wide, tmp_path / f"{half}.keras", half=half)
    sizes = {half: (tmp_path / f"{half}.keras").stat().st_size for half in (False, True)}
    assert sizes[True] < 0.55 * sizes[False]


# --- kinds of features ---------------------------------------------------------------------------


def taking(size):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(size)], name="encoder")


@pytest.mark.parametrize("kind", settings.FEATURE_SIZES)
def test_the_kind_of_features_survives_saving(kind, network, tmp_path):
    weights.save(weights.name_features(network, kind), tmp_path / "network.keras")
    loaded = weights.load(tmp_path / "network.keras", "network", "04_voice_encoder")
    assert weights.feature_kind(loaded) == kind
    other = next(name for name in settings.FEATURE_SIZES if name != kind)
    assert weights.feature_kind(weights.name_features(loaded, other)) == other


def test_a_network_that_names_no_kind_is_judged_by_the_length_of_its_feature():
    assert weights.feature_kind(taking(4096)) == "vggface"
    assert weights.feature_kind(taking(128)) == "dlib"
    assert weights.feature_kind(taking(5)) == "dlib"


def test_features_of_another_kind_are_refused_naming_both():
    encoder = taking(128)
    weights.check_features(encoder, "dlib")
    weights.check_features(encoder, np.zeros((2, 128)))
    for wrong in ("vggface", np.zeros((2, 4096))):
        with pytest.raises(weights.WrongFeatures, match="'encoder'.*'dlib'.*'vggface'"):
            weights.check_features(encoder, wrong)


@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_features_that_are_not_finite_are_named_by_their_row(number):
    features = np.zeros((4, 128), "float32")
    features[2, 5] = number
    with pytest.raises(ValueError, match=r"Row 2 of the voices holds .* \(1 of 4 rows do\)"):
        weights.check_features(taking(128), features, "voices")


def test_a_decoder_is_judged_by_what_it_takes():
    drawing = keras.Sequential(
        [keras.Input((4096,)), keras.layers.Dense(4), keras.layers.Reshape((2, 2, 1))]
    )
    assert weights.feature_kind(drawing) == "vggface"
    weights.check_features(drawing, np.zeros((1, 4096)))
    with pytest.raises(weights.WrongFeatures, match="12 numbers"):
        weights.check_features(drawing, np.zeros((1, 12)))


# --- files that are not right --------------------------------------------------------------------


def load(path, **shapes):
    return weights.load(path, "voice encoder", "04_voice_encoder", **shapes)


def refused(path, why, **shapes):
    """The message names the file, what is wrong and what was expected."""
    with pytest.raises(weights.BadWeights, match=why) as caught:
        load(path, **shapes)
    assert str(path) in str(caught.value)
    assert "voice encoder" in str(caught.value) or "checksum" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\x89HDF\r\n\x1a\n0000", "older Keras"),
        (b"weights", "not a .keras file"),
        (b"PK\x03\x04 and no more", "truncated"),
    ],
    ids=["empty", "pointer", "page", "hdf5", "text", "start"],
)
def test_other_files_are_named_for_what_they_are(content, why, tmp_path):
    path = tmp_path / "voice_encoder.keras"
    path.write_bytes(content)
    refused(path, why)


def test_a_truncated_or_altered_file_is_refused(network, tmp_path):
    path = tmp_path / "network.keras"
    weights.save(network, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "truncated")
    middle = whole.index(b"HDF") + 1000
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    refused(path, "damaged: model.weights.h5")


def test_an_archive_without_weights_is_refused(tmp_path):
    path = tmp_path / "network.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    refused(path, "no model.weights.h5")


def test_weights_of_another_size_are_refused_whole(network, tmp_path):
    """The description of one network with the weights of another."""
    narrow, wide = tmp_path / "narrow.keras", tmp_path / "wide.keras"
    weights.save(network, narrow)
    inside = keras.Input((8,))
    weights.save(keras.Model(inside, keras.layers.Dense(5)(inside)), wide)
    mixed = tmp_path / "mixed.keras"
    zips = zipfile.ZipFile(narrow), zipfile.ZipFile(wide), zipfile.ZipFile(mixed, "w")
    with zips[0] as one, zips[1] as other, zips[2] as file:
        for member in one.namelist():
            source = other if member.endswith(".h5") else one
            file.writestr(member, source.read(member))
    refused(mixed, "do not fit")


def test_another_network_is_refused_naming_both_shapes(network, tmp_path):
    path = tmp_path / "network.keras"
    weights.save(network, path)
    load(path, takes=(None, 8), gives=(None, None))
    refused(path, r"takes \(None, 8\), and a voice encoder takes \(None, 9\)", takes=(None, 9))
    refused(path, "another network", gives=(None, 128, 128, 3))


def test_a_file_that_does_not_match_its_checksum_is_refused(network, tmp_path):
    path = tmp_path / "network.keras"
    weights.save(network, path)
    sums = weights.write_checksums(tmp_path, [path])
    assert sums.read_text().split()[1:] == ["network.keras"]
    load(path)
    network.layers[1].kernel.assign(0 * network.layers[1].kernel)
    weights.save(network, path)
    refused(path, "does not match its checksum in SHA256SUMS")


def test_both_forms_of_a_checksum_are_read(network, tmp_path):
    path = tmp_path / "network.keras"
    weights.save(network, path)
    sums = weights.write_checksums(tmp_path, [path])
    sums.write_text(sums.read_text().upper().replace("  NETWORK.KERAS", " *network.keras"))
    load(path)
    sums.write_text(f"{'0' * 64} *network.keras\n")
    refused(path, "does not match its checksum")


@pytest.mark.parametrize("line", ["<!DOCTYPE html>", "network.keras", "12ab  network.keras"])
def test_checksums_that_cannot_be_read_are_named_with_their_line(line, network, tmp_path):
    path = tmp_path / "network.keras"
    weights.save(network, path)
    sums = weights.write_checksums(tmp_path, [path])
    sums.write_text(f"{sums.read_text()}\n{line}\n")
    with pytest.raises(weights.BadWeights, match="line 3 is.*64 hexadecimal digits") as caught:
        load(path)
    assert str(sums) in str(caught.value) and line in str(caught.value)


@pytest.mark.parametrize("left", ["", f"{'0' * 64}  other.keras\n", None])
def test_released_weights_need_a_checksum(left, network, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    path = tmp_path / "voice_encoder.keras"
    weights.save(network, path)
    if left is not None:
        (tmp_path / weights.CHECKSUMS).write_text(left)
    refused(path, "one of the released files, and no checksum in .*SHA256SUMS.*repository")
    weights.write_checksums(tmp_path, [path])
    load(path)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(number, network, tmp_path):
    kernel = network.layers[1].kernel
    kernel.assign(number * np.ones(kernel.shape))
    weights.save(network, tmp_path / "network.keras")
    refused(tmp_path / "network.keras", "not finite in .*kernel")


def test_files_that_no_checksum_is_known_of_are_loaded(network, tmp_path):
    weights.save(network, tmp_path / "other.keras")
    weights.write_checksums(tmp_path, ["other.keras"])
    weights.save(network, tmp_path / "network.keras")
    load(tmp_path / "network.keras")


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


def test_what_is_released_matches_its_checksums():
    listed = (recipe.FOLDER / weights.CHECKSUMS).read_text().split()[1::2]
    assert {path.name for path in recipe.FOLDER.glob("*.keras")} <= set(listed)
    for name in listed:
        weights.verify(recipe.FOLDER / name)
