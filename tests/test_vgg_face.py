"""VGG-Face on Keras 3: the package's code, the strict reading of files that Keras 2 wrote."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import ROOT
from keras2_weights import FILES

from helpers.faces import vgg_face
from helpers.faces.recognition_weights import NETWORKS
from helpers.settings import FEATURE_SIZES
from helpers.weights import BadWeights, MissingModel

KINDS = list(NETWORKS)


def damaged(keras2: Path, tmp_path: Path, kind: str = "vggface") -> Path:
    return Path(shutil.copy(keras2 / NETWORKS[kind].file, tmp_path))


# The shim


@pytest.mark.parametrize(
    ("kind", "layers", "others"),
    [
        ("vggface", 16, 10),
        ("resnet50", 107, 69),
        ("senet50", 139, 149),
    ],
)
def test_the_networks_are_the_published_ones(kind: str, layers: int, others: int) -> None:
    network = vgg_face.build(kind)
    with_weights = [layer.name for layer in network.layers if layer.weights]
    assert (len(with_weights), len(network.layers)) == (layers, layers + others)
    assert network.count_params() == NETWORKS[kind].parameters
    assert network.output_shape == (None, NETWORKS[kind].classes)
    if kind == "vggface":
        blocks = enumerate((2, 2, 3, 3, 3), 1)
        convolutions = [f"conv{b}_{i}" for b, count in blocks for i in range(1, count + 1)]
        assert with_weights == [*convolutions, "fc6", "fc7", "fc8"]
        shapes = [tuple(network.get_layer(name).kernel.shape) for name in with_weights[-3:]]
        assert shapes == [(25088, 4096), (4096, 4096), (4096, 2622)]
    else:
        assert {"conv1__7x7_s2", "conv1__7x7_s2__bn", "classifier"} <= set(with_weights)
        assert network.get_layer("avg_pool").output.shape == (None, 1, 1, 2048)


def test_after_the_import_no_stand_in_is_left() -> None:
    vgg_face._package()
    for name in ("keras_applications", "keras.engine", "keras.utils.data_utils"):
        assert name not in sys.modules
    assert not hasattr(keras, "engine") and not hasattr(keras.utils, "data_utils")


def test_a_failed_import_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("keras_vggface")]:
        monkeypatch.delitem(sys.modules, name)
    own = object()
    monkeypatch.setitem(sys.modules, "keras_applications", own)
    # The third module of the package cannot be had, when the second has been imported already.
    monkeypatch.delattr(keras.layers, "Permute")
    with pytest.raises(MissingModel, match=f"on Keras {keras.__version__}.*FEATURES = 'dlib'"):
        vgg_face._package()
    assert not [name for name in sys.modules if name.startswith("keras_vggface")]
    assert sys.modules["keras_applications"] is own
    assert "keras.utils.data_utils" not in sys.modules


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("keras_vggface")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Hidden(), *sys.meta_path])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingModel, match="pip install keras-vggface"):
        vgg_face.build("vggface")


class _Hidden:
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.startswith("keras_vggface"):
            raise ModuleNotFoundError(f"No module named {name!r}")


def test_the_files_of_the_package_stay_as_they_are() -> None:
    models = vgg_face._package()
    assert "name='fc6/relu'" in Path(models.__file__).read_text()


# Preprocessing


@pytest.mark.parametrize(
    ("kind", "means"),
    [
        ("vggface", (93.5940, 104.7624, 129.1863)),
        ("senet50", (91.4953, 103.8827, 131.0912)),
    ],
)
def test_colours_are_turned_round_and_centred(kind: str, means: tuple[float, ...]) -> None:
    pictures = np.zeros((1, 224, 224, 3), np.float32)
    pictures[..., 0] = 200  # Red.
    made = vgg_face.preprocess(pictures, kind)
    assert made.dtype == np.float32 and made.shape == pictures.shape
    assert made[0, 5, 7] == pytest.approx((-means[0], -means[1], 200 - means[2]))
    assert pictures[0, 0, 0].tolist() == [200, 0, 0]


def test_pictures_that_would_give_wrong_features_are_refused() -> None:
    good = np.full((2, 224, 224, 3), 99, np.float32)
    for wrong, says in (
        (good.astype(np.uint8), "uint8"),
        (good / 255, "instead of 0 to 255"),
        (good * 3, "instead of 0 to 255"),
        (good - 128, "instead of 0 to 255"),
        (good * np.nan, "instead of 0 to 255"),
        (good[0], "shape"),
        (good[:, :96, :96], "shape"),
    ):
        with pytest.raises(ValueError, match=says):
            vgg_face.preprocess(wrong, "vggface")


# Files that Keras 2 wrote


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_arrives_and_features_are_those_of_keras_2(
    kind: str, keras2: Path, narrow: None
) -> None:
    path = keras2 / NETWORKS[kind].file
    network = vgg_face.build(kind)
    vgg_face.fill(network, path, NETWORKS[kind])
    compared = 0
    with h5py.File(path) as file:
        for layer in network.layers:
            group = file[layer.name.replace("__", "/")] if layer.weights else None
            for weight in layer.weights:
                stored = group[f"{layer.name.replace('__', '/')}/{weight.name}:0"][()]
                assert np.array_equal(keras.ops.convert_to_numpy(weight), stored), weight.path
                compared += 1
    assert compared == {"vggface": 32, "resnet50": 267, "senet50": 331}[kind]
    with np.load(keras2 / "features.npz") as reference:
        pictures, expected = reference["pictures"], reference[kind]
    made = vgg_face.FaceDescriber(kind, path)(list(pictures.astype(np.uint8)))
    assert made.shape == expected.shape == (2, FEATURE_SIZES[kind])
    assert made.dtype == np.float32 and made.min() >= 0
    assert np.abs(made - expected).max() <= 1e-6 * np.abs(expected).max()


def test_features_are_those_after_the_last_relu_but_one(keras2: Path, narrow: None) -> None:
    describe = vgg_face.FaceDescriber("vggface", keras2 / NETWORKS["vggface"].file)
    feature = describe([np.full((224, 224, 3), 128, np.uint8)])
    assert feature.shape == (1, 4096)
    assert feature.min() == 0 and 0.1 < (feature == 0).mean() < 0.9
    assert describe([]).shape == (0, 4096)


def test_many_faces_are_described_as_one_by_one(keras2: Path, narrow: None) -> None:
    describe = vgg_face.FaceDescriber("resnet50", keras2 / NETWORKS["resnet50"].file)
    random = np.random.default_rng(1)
    crops = list(random.integers(0, 256, (vgg_face.BATCH + 2, 224, 224, 3), np.uint8))
    together, alone = describe(crops), describe(crops[-1:])
    assert together[-1] == pytest.approx(alone[0], rel=1e-4, abs=1e-5)
    assert not np.allclose(together[0], together[1], rtol=1e-4)


def test_the_policy_of_a_training_does_not_reach_the_network(narrow: None) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = vgg_face.build("vggface")
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}


def test_a_whole_saved_model_is_read_as_well(keras2: Path, tmp_path: Path, narrow: None) -> None:
    """In the older layout, too: names as bytes, no version, weights below `model_weights`."""
    path = tmp_path / "old.h5"
    with h5py.File(keras2 / NETWORKS["senet50"].file) as new, h5py.File(path, "w") as old:
        group = old.create_group("model_weights")
        for name in new:
            new.copy(name, group)
        group.attrs["layer_names"] = np.array(new.attrs["layer_names"], "S")
    network = vgg_face.build("senet50")
    vgg_face.fill(network, path, NETWORKS["senet50"])
    assert float(keras.ops.max(network.get_layer("classifier").bias)) > 0


# Files that do not fit


@pytest.mark.parametrize(
    ("kind", "other"), [("vggface", "resnet50"), ("resnet50", "senet50"), ("senet50", "vggface")]
)
def test_the_file_of_another_network_is_refused(
    kind: str, other: str, keras2: Path, narrow: None
) -> None:
    path, network = keras2 / NETWORKS[other].file, vgg_face.build(kind)
    with pytest.raises(BadWeights, match=f"{path.name} does not fit.*{NETWORKS[kind].file}"):
        vgg_face.fill(network, path, NETWORKS[kind])
    assert not any(np.abs(array).max() for array in network.layers[1].get_weights()[:1])


def without_a_layer(file: h5py.File) -> None:
    names = [name for name in file.attrs["layer_names"] if name != "conv4_2"]
    file.attrs["layer_names"] = names


def with_another_layer(file: h5py.File) -> None:
    file.copy("fc7", "fc9")
    file.attrs["layer_names"] = [*file.attrs["layer_names"], "fc9"]


def without_a_bias(file: h5py.File) -> None:
    file["conv4_2"].attrs["weight_names"] = ["conv4_2/kernel:0"]


def wider(file: h5py.File) -> None:
    del file["fc8/fc8/kernel:0"]
    file["fc8/fc8/kernel:0"] = np.zeros((4096, 999), np.float32)


def not_a_number(file: h5py.File) -> None:
    file["fc6/fc6/bias:0"][7] = np.nan


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_a_layer, "it lacks conv4_2"),
        (with_another_layer, "fc9 too many"),
        (without_a_bias, "conv4_2 should have kernel .*, bias"),
        (wider, r"fc8 should have kernel \(4096, 163\).*has kernel \(4096, 999\)"),
        (not_a_number, "no finite numbers in fc6"),
    ],
)
def test_a_file_that_differs_in_anything_is_refused(
    change, says: str, keras2: Path, tmp_path: Path, narrow: None
) -> None:
    path = damaged(keras2, tmp_path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(BadWeights, match=says) as caught:
        vgg_face.FaceDescriber("vggface", path)
    assert str(path) in str(caught.value) and NETWORKS["vggface"].url in str(caught.value)


def test_swapped_weights_of_one_shape_are_refused(
    keras2: Path, tmp_path: Path, narrow: None
) -> None:
    path = damaged(keras2, tmp_path, "resnet50")
    with h5py.File(path, "a") as file:
        group = file["conv1/7x7_s2/bn"]
        names = list(group.attrs["weight_names"])
        group.attrs["weight_names"] = [names[1], names[0], *names[2:]]
    with pytest.raises(BadWeights, match="conv1/7x7_s2/bn should have gamma .* and has beta"):
        vgg_face.fill(vgg_face.build("resnet50"), path, NETWORKS["resnet50"])


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_file_that_is_cut_off_is_refused(
    kept: float, keras2: Path, tmp_path: Path, narrow: None
) -> None:
    path = damaged(keras2, tmp_path)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(BadWeights, match="is damaged or cut off"):
        vgg_face.fill(vgg_face.build("vggface"), path, NETWORKS["vggface"])


def test_a_bad_last_layer_leaves_the_network_empty(
    keras2: Path, tmp_path: Path, narrow: None
) -> None:
    path = damaged(keras2, tmp_path)
    with h5py.File(path, "a") as file:
        file["fc8/fc8/bias:0"][3] = np.inf
    network = vgg_face.build("vggface")
    with pytest.raises(BadWeights, match="no finite numbers in fc8"):
        vgg_face.fill(network, path, NETWORKS["vggface"])
    assert not any(np.any(array) for array in network.get_weights())


@pytest.mark.slow
def test_on_jax_the_features_are_the_same(keras2: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    code = (
        "import sys, numpy as np; sys.path[:0] = sys.argv[2:]; from pathlib import Path; "
        "from keras2_weights import narrowed; from helpers.faces import vgg_face; "
        "from helpers.faces.recognition_weights import NETWORKS; models = vgg_face._package(); "
        "models.Conv2D, models.Dense = narrowed(models.Conv2D), narrowed(models.Dense); "
        "folder = Path(sys.argv[1]); kept = np.load(folder / 'features.npz'); "
        "describe = vgg_face.FaceDescriber('vggface', folder / NETWORKS['vggface'].file); "
        "made = describe(list(kept['pictures'].astype(np.uint8))); "
        "print(float(np.abs(made - kept['vggface']).max() / np.abs(kept['vggface']).max()))"
    )
    command = [sys.executable, "-c", code, str(keras2), str(ROOT), str(ROOT / "tests")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout.split()[-1]) < 1e-5


def test_the_reference_names_the_same_files() -> None:
    """The writer of the reference knows nothing of the code it is a reference for."""
    for kind, (make, file, classes, feature) in FILES.items():
        network = dataclasses.asdict(NETWORKS[kind])
        assert (make.lower(), file) == (network["model"], network["file"])
        assert (classes, feature) == (network["classes"], network["layer"])


@pytest.mark.parametrize(("kind", "name"), [("vggface", "fc8"), ("senet50", "classifier")])
def test_the_last_layer_is_read_alone(kind, name, tmp_path, monkeypatch):
    monkeypatch.setitem(vgg_face.FEATURE_SIZES, kind, 4)
    narrow = dataclasses.replace(vgg_face.NETWORKS[kind], classes=3)
    monkeypatch.setitem(vgg_face.NETWORKS, kind, narrow)
    kernel, bias = np.arange(12.0).reshape(4, 3), np.arange(3.0)
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"pool", name.encode()]
        file.create_group("pool").attrs["weight_names"] = []
        group = file.create_group(name)
        group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
        group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = kernel, bias
    found = vgg_face.last_layer(kind, path)
    np.testing.assert_array_equal(found[0], kernel)
    np.testing.assert_array_equal(found[1], bias)
    monkeypatch.setitem(vgg_face.FEATURE_SIZES, kind, 5)
    with pytest.raises(BadWeights, match=f"{name} of the shape"):
        vgg_face.last_layer(kind, path)


def test_a_last_layer_that_cannot_be_read_is_refused(
    keras2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(keras2 / NETWORKS["vggface"].file) as file:
        classes = len(file["fc8/fc8/bias:0"])
    narrow = dataclasses.replace(NETWORKS["vggface"], classes=classes)
    monkeypatch.setitem(vgg_face.NETWORKS, "vggface", narrow)
    path = tmp_path / "none.h5"
    h5py.File(path, "w").close()
    with pytest.raises(BadWeights, match=f"{path} is damaged.*{NETWORKS['vggface'].url}"):
        vgg_face.last_layer("vggface", path)
    path = damaged(keras2, tmp_path)
    with h5py.File(path, "a") as file:
        file["fc8/fc8/bias:0"][3] = np.nan
    with pytest.raises(BadWeights, match="no finite numbers in fc8"):
        vgg_face.last_layer("vggface", path)
    for kept in (0, path.stat().st_size // 3):
        os.truncate(path, kept)
        with pytest.raises(BadWeights, match="is damaged or cut off"):
            vgg_face.last_layer("vggface", path)
