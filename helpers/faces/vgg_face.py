"""VGG-Face and its successors on Keras 3: keras-vggface's own code, filled with its weights.

keras-vggface was written for Keras 2 and its files cannot be imported on Keras 3: five modules have
moved or gone, and Keras 3 refuses layer names with a slash, of which the networks are full. Its
files stay as they are. While they are imported, stand-ins take the place of the modules that are
gone; afterwards nothing of that is left but layers whose names have `__` for `/`.

Keras can read the old files of weights by name, but skips in silence what it finds no name for:
with renamed layers that is every normalisation, and features are wrong by 60 %. So the weights are
read here, strictly: every layer of the file and of the network must have its partner.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.faces.recognition_weights import NETWORKS, Network
from helpers.settings import CROP_SIZE, FEATURE_SIZES
from helpers.weights import BadWeights, MissingModel

if TYPE_CHECKING:
    import h5py
    import keras

BATCH = 16
"""Faces that go through the network together."""
_SLASHED = ("Conv2D", "BatchNormalization", "Activation", "Dense")
_WEIGHT_NAMES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


class FaceDescriber:
    """A recognition network with its weights: crops in, features out.

    Attributes:
        kind: A key of `NETWORKS`.
    """

    def __init__(self, kind: str, path: Path) -> None:
        """Loads a network.

        Args:
            kind: A key of `NETWORKS`.
            path: Its file of weights.

        Raises:
            MissingModel: The package keras-vggface is not installed.
            BadWeights: The file does not belong to the network.
        """
        import keras

        whole = build(kind)
        fill(whole, path, NETWORKS[kind])
        layer = whole.get_layer(NETWORKS[kind].layer.replace("/", "__"))
        self.kind = kind
        self._network = keras.Model(whole.input, layer.output)

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Describes faces, a few at a time.

        Args:
            crops: (224, 224, 3) uint8 RGB each, as `face_crop.crop` makes them.

        Returns:
            (n, size) float32, as the numbers leave the layer; no face gives (0, size).
        """
        import keras

        parts = [np.empty((0, FEATURE_SIZES[self.kind]), np.float32)]
        for start in range(0, len(crops), BATCH):
            images = np.stack(crops[start : start + BATCH]).astype(np.float32)
            made = self._network(preprocess(images, self.kind), training=False)
            parts.append(keras.ops.convert_to_numpy(made).reshape(len(images), -1))
        return np.concatenate(parts)


@functools.lru_cache(maxsize=1)
def load(kind: str, path: Path) -> FaceDescriber:
    """Returns `FaceDescriber(kind, path)`, made once."""
    return FaceDescriber(kind, path)


def preprocess(images: np.ndarray, kind: str) -> np.ndarray:
    """Turns pictures into what a network was trained on: blue first, minus the mean colour.

    Args:
        images: (n, 224, 224, 3) RGB, float, 0 to 255.
        kind: A key of `NETWORKS`; the networks differ in their mean colour.

    Returns:
        (n, 224, 224, 3) in the type of `images`, BGR.

    Raises:
        ValueError: Another shape, integers, or numbers that are not 0 to 255.
    """
    images = np.asarray(images)
    shape = (CROP_SIZE, CROP_SIZE, 3)
    if images.ndim != 4 or images.shape[1:] != shape:
        raise ValueError(f"The pictures have the shape {images.shape}; (n, *{shape}) is needed.")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"The pictures are {images.dtype}. Give them as float, 0 to 255: the mean colour that "
            "is taken off does not fit into whole numbers."
        )
    least, most = images.min(initial=0), images.max(initial=0)
    if not (least >= 0 and most <= 255) or 0 < most <= 1:
        raise ValueError(f"The pictures reach from {least:g} to {most:g} instead of 0 to 255.")
    _package()
    utils = importlib.import_module("keras_vggface.utils")
    return utils.preprocess_input(
        images, data_format="channels_last", version=NETWORKS[kind].version
    )


def build(kind: str) -> keras.Model:
    """Builds a network, down to the names of the people it was trained on, without its weights.

    Args:
        kind: A key of `NETWORKS`.

    Returns:
        The package's network, all zeros, in 32-bit numbers whatever the policy of the moment is.

    Raises:
        MissingModel: The package keras-vggface is not installed.
    """
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras is set to channels_first, and the released weights are for channels_last: "
            "keras.config.set_image_data_format('channels_last')."
        )
    models = _package()
    make = getattr(models, NETWORKS[kind].model.upper())
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return make(include_top=True, weights=None, classes=NETWORKS[kind].classes)
    finally:
        keras.config.set_dtype_policy(policy)


def fill(network: keras.Model, path: Path, wanted: Network) -> None:
    """Fills a network with the weights of a file that Keras 2 has written.

    All names, shapes and numbers are looked at before the first one is loaded.

    Args:
        network: From `build`.
        path: The file, HDF5.
        wanted: What the file should be, for the error.

    Raises:
        BadWeights: A layer or weight is missing, too many, or of another shape, or the file is
            damaged. The network is as it was then.
    """
    with _opened(path, wanted) as (stored, expected):
        layers = {layer.name: layer for layer in network.layers if layer.weights}
        problem = _difference(layers, stored)
        if problem:
            raise BadWeights(f"{path} does not fit: {problem} {expected}")
        # Read twice: half a gigabyte need not be in memory twice.
        for name in layers:
            if not all(np.isfinite(weight[()]).all() for weight in stored[name].values()):
                raise BadWeights(f"{path} has no finite numbers in {_slashed(name)}. {expected}")
        for name, layer in layers.items():
            layer.set_weights([weight[()] for weight in stored[name].values()])


def last_layer(kind: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the layer that tells people apart by their feature, without the rest of the network.

    Args:
        kind: A key of `NETWORKS`.
        path: Its file of weights.

    Returns:
        Matrix (feature_size, people) and bias (people,), float32.

    Raises:
        BadWeights: The file has no such layer, or is damaged.
    """
    name = "fc8" if kind == "vggface" else "classifier"
    wanted = (FEATURE_SIZES[kind], NETWORKS[kind].classes)
    with _opened(path, NETWORKS[kind]) as (stored, expected):
        arrays = [weight[()] for weight in stored.get(name, {}).values()]
    if [array.shape for array in arrays] != [wanted, wanted[1:]]:
        raise BadWeights(f"{path} has no layer {name} of the shape {wanted}. {expected}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise BadWeights(f"{path} has no finite numbers in {name}. {expected}")
    return arrays[0], arrays[1]


@contextlib.contextmanager
def _opened(path: Path, wanted: Network) -> Iterator[tuple[dict, str]]:
    """Yields the weights in a file, as `_stored_weights`, and what to expect in it.

    Raises:
        BadWeights: The file cannot be read, at once or later on.
    """
    import h5py

    expected = f"Expected: {wanted.file}, the weights of {wanted.model}, from {wanted.url}."
    try:
        with h5py.File(path, "r") as file:
            yield _stored_weights(file), expected
    except (OSError, KeyError, RuntimeError) as error:
        raise BadWeights(f"{path} is damaged or cut off ({error}). {expected}") from error


def _stored_weights(file: h5py.File) -> dict[str, dict[str, h5py.Dataset]]:
    """Returns the weights by layer and name, without reading their numbers."""
    group = file
    if "layer_names" not in file.attrs and "model_weights" in file:
        group = file["model_weights"]  # A whole model was saved, not its weights alone.
    stored: dict[str, dict[str, h5py.Dataset]] = {}
    for layer in map(_text, group.attrs["layer_names"]):
        names = [_text(name) for name in group[layer].attrs["weight_names"]]
        if names:
            weights = {name: group[layer][name] for name in names}
            stored[layer.replace("/", "__")] = weights
    return stored


def _text(name: str | bytes) -> str:
    """Old files hold bytes, new ones text."""
    return name.decode() if isinstance(name, bytes) else name


def _difference(layers: dict, stored: dict[str, dict[str, h5py.Dataset]]) -> str:
    """Says in what a file differs from a network; empty where it does not."""
    lacking, surplus = sorted(set(layers) - set(stored)), sorted(set(stored) - set(layers))
    if lacking or surplus:
        return (
            f"of the {len(layers)} layers with weights it lacks {_some(lacking)}, and it has "
            f"{_some(surplus)} too many."
        )
    for name, layer in layers.items():
        there = [(_kind(weight), data.shape) for weight, data in stored[name].items()]
        here = [(weight.name, tuple(weight.shape)) for weight in layer.weights]
        # Files older than Keras 2 name the weights in another way; their order is the same.
        fits = len(here) == len(there) and all(
            shape == found and (kind not in _WEIGHT_NAMES or kind == weight)
            for (weight, shape), (kind, found) in zip(here, there, strict=True)
        )
        if not fits:
            return f"{_slashed(name)} should have {_shapes(here)} and has {_shapes(there)}."
    return ""


def _kind(weight: str) -> str:
    return weight.rpartition("/")[2].partition(":")[0]


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(_slashed, names[:3])) + more


def _slashed(layer: str) -> str:
    """Returns the name that a layer has in the file."""
    return layer.replace("__", "/")


def _shapes(weights: list[tuple[str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in weights) or "no weights"


def _package() -> types.ModuleType:
    """Imports keras-vggface and lets its layers have names that Keras 3 accepts.

    Raises:
        MissingModel: The package is not installed, or this Keras lacks what it needs.
    """
    import keras

    before = set(sys.modules)
    try:
        with _keras_2_modules():
            models = importlib.import_module("keras_vggface.models")
    except Exception as error:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "keras_vggface":
                del sys.modules[name]
        if importlib.util.find_spec("keras_vggface") is None:
            raise MissingModel(
                "The package keras-vggface is not there. Install it: pip install keras-vggface"
            ) from error
        raise MissingModel(
            f"keras-vggface cannot be imported on Keras {keras.__version__}: {error}. "
            "Choose FEATURES = 'dlib', which does not need it."
        ) from error
    for name in _SLASHED:
        layer = getattr(models, name)
        if isinstance(layer, type):
            setattr(models, name, _slashless(layer))
    return models


@contextlib.contextmanager
def _keras_2_modules() -> Iterator[None]:
    """Puts stand-ins in the place of the modules that Keras 3 no longer has, for a while."""
    import keras

    members = {
        "keras_applications": {"__path__": []},
        "keras_applications.imagenet_utils": {"_obtain_input_shape": _input_shape},
        "keras.utils.layer_utils": {},  # Only touched on Theano.
        "keras.utils.data_utils": {"get_file": keras.utils.get_file},
        "keras.engine": {"__path__": []},
        "keras.engine.topology": {"get_source_inputs": keras.utils.get_source_inputs},
    }
    covered = {name: sys.modules.get(name) for name in members}
    for name, attributes in members.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(attributes)
    try:
        yield
    finally:
        for name, module in covered.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _input_shape(shape: tuple | None, default_size: int, **_: object) -> tuple[int, ...]:
    return shape or (default_size, default_size, 3)


def _slashless(layer: type) -> Callable:
    """Returns what makes a layer: without a slash in its name, and with zeros for its kernel."""
    # The kernels come from a file, so 145 million random numbers would be drawn for nothing.
    zeros = {"kernel_initializer": "zeros"} if layer.__name__ in ("Conv2D", "Dense") else {}

    @functools.wraps(layer, updated=())
    def make(*arguments: object, name: str | None = None, **options: object) -> object:
        return layer(*arguments, name=name and name.replace("/", "__"), **{**zeros, **options})

    return make
