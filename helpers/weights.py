"""Networks as files: saving them lean, and loading none that is not what it should be."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import pretrained
from helpers.settings import FEATURE_SIZES
from helpers.storage.drive import sha256

if TYPE_CHECKING:
    import h5py
    import keras

CHECKSUMS = "SHA256SUMS"
"""File beside released weights with the checksum of each, as `sha256sum` writes and reads it."""
LARGEST_HALF = 6e4
"""Above this a number does not fit into 16 bits."""
_KIND_MARK = "-of-"
_MEMBERS = ("config.json", "model.weights.h5")


class BadWeights(ValueError):  # noqa: N818 (reads as the sentence it is)
    """A file is not the network that it should be; the message names file and expectation."""


class MissingModel(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """A recognition model or a released file is not there; the message says how to get it."""


class WrongFeatures(ValueError):  # noqa: N818 (reads as the sentence it is)
    """Features of one kind meet a network of another; the message names both."""


# --- kinds of features ---------------------------------------------------------------------------


def name_features(network: keras.Model, kind: str) -> keras.Model:
    """Writes into a network which features it works with; saving and loading keep it.

    Args:
        network: An encoder, a decoder or whatever makes or takes face features.
        kind: `dlib` or `vggface`.

    Returns:
        The same network. Its name ends in the kind.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in FEATURE_SIZES:
        raise ValueError(f"There are no features {kind!r}, only {', '.join(FEATURE_SIZES)}.")
    network.name = f"{network.name.split(_KIND_MARK)[0]}{_KIND_MARK}{kind}"
    return network


def feature_kind(network: keras.Model) -> str:
    """Returns which features a network works with: `dlib` or `vggface`.

    A network that does not say so is judged by the length of its feature; if that tells nothing,
    it is one from the time when there was only `dlib`.
    """
    kind = network.name.rpartition(_KIND_MARK)[2]
    if kind in FEATURE_SIZES:
        return kind
    return _kind_by_size(_feature_size(network)) or "dlib"


def check_features(
    network: keras.Model, features: str | np.ndarray, called: str = "features"
) -> None:
    """Sees to it that features and network are of one kind, and that features are numbers.

    Args:
        network: An encoder, a decoder or whatever makes or takes face features.
        features: Their kind, or features themselves, (rows, n), whose length tells the kind.
        called: What the features are called in the message about a row.

    Raises:
        WrongFeatures: They are of another kind; the message names both kinds.
        ValueError: A number is not finite; the message names the first such row.
    """
    own, size = feature_kind(network), _feature_size(network)
    name = network.name.split(_KIND_MARK)[0]
    if isinstance(features, str):
        if features != own:
            raise WrongFeatures(
                f"The network {name!r} works with features of the kind {own!r}, not with "
                f"{features!r}. Choose features={own!r}, or a network made for {features!r}."
            )
        return
    given = np.shape(features)[-1]
    if given != size:
        kind = _kind_by_size(given)
        raise WrongFeatures(
            f"The network {name!r} works with features of the kind {own!r}, {size} numbers each, "
            f"and was given {given} numbers each"
            + (f", as features of the kind {kind!r} have." if kind else ".")
        )
    bad = np.flatnonzero(~np.isfinite(np.reshape(features, (-1, given))).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Row {bad[0]} of the {called} holds a number that is not finite ({len(bad)} of "
            f"{len(features)} rows do). Leave these out, or describe their faces anew."
        )


def _kind_by_size(size: int | None) -> str | None:
    return next((kind for kind, length in FEATURE_SIZES.items() if length == size), None)


def _feature_size(network: keras.Model) -> int | None:
    """Length of the feature: what a decoder takes, and what every other network gives."""
    draws = len(network.outputs[0].shape) > 2
    return (network.inputs if draws else network.outputs)[0].shape[-1]


# --- saving --------------------------------------------------------------------------------------


def save(model: keras.Model, path: Path | str, half: bool = False) -> None:
    """Saves a network as a `.keras` file that older releases of Keras 3 read as well.

    Keras writes down every argument of every layer, also those left at their default, and refuses
    arguments that it does not know. A file from a newer release, with arguments that Colab's does
    not have yet, would not open there. So what is at its default is not written.

    Args:
        model: The network.
        path: A name that ends in `.keras`; the file is replaced whole or not at all.
        half: Whether matrices and kernels are written with 16 bits a number, which halves the
            file. Vectors, such as the variances of a normalisation, keep 32. Loading gives a
            network of 32 bits in any case.
    """
    path = Path(path)
    whole, lean = (path.with_name(f".{part}.{path.name}") for part in ("whole", "lean"))
    model.save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(lean, "w") as target:
        for member in source.infolist():
            if member.filename == "config.json":
                config = _without_defaults(json.loads(source.read(member)))
                target.writestr(member, json.dumps(config))
            elif half and member.filename.endswith(".weights.h5"):
                target.writestr(member, _halved(source.read(member)))
            else:  # Half a gigabyte for the paper's network: bit by bit.
                with source.open(member) as read, target.open(member.filename, "w") as write:
                    shutil.copyfileobj(read, write, 2**20)
    whole.unlink()
    lean.replace(path)


def _without_defaults(part: object) -> object:
    """Drops arguments of Keras' layers and initialisers that are at their default."""
    import keras

    if isinstance(part, list):
        return [_without_defaults(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    part = {name: _without_defaults(value) for name, value in part.items()}
    module = {"keras.layers": keras.layers, "keras.initializers": keras.initializers}.get(
        str(part.get("module"))
    )
    if module is None:
        return part
    arguments = inspect.signature(getattr(module, part["class_name"])).parameters
    kept = {
        name: value
        for name, value in part["config"].items()
        if name not in arguments or value != arguments[name].default
    }
    return {**part, "config": kept}


def _halved(data: bytes) -> bytes:
    """Rewrites an HDF5 file with its matrices in 16 bits."""
    import io

    import h5py

    made = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as source, h5py.File(made, "w") as target:
        target.attrs.update(source.attrs)

        def copy(name: str, entry: h5py.Group | h5py.Dataset) -> None:
            if isinstance(entry, h5py.Group):
                copied = target.create_group(name)
            else:
                values = entry[()]
                if _fits_half(values):
                    values = values.astype("float16")
                copied = target.create_dataset(name, data=values)
            copied.attrs.update(entry.attrs)

        source.visititems(copy)
    return made.getvalue()


def _fits_half(values: np.ndarray) -> bool:
    """Tells whether it is a matrix or a kernel whose numbers lie in the range of 16 bits."""
    return (
        np.ndim(values) > 1
        and values.dtype == np.float32
        and bool(np.abs(values).max(initial=0) < LARGEST_HALF)
    )


# --- loading -------------------------------------------------------------------------------------


def load(
    path: Path | str,
    what: str,
    notebook: str,
    takes: tuple[int | None, ...] | None = None,
    gives: tuple[int | None, ...] | None = None,
) -> keras.Model:
    """Loads a network from a `.keras` file, whole or not at all.

    Args:
        path: The file. If a file `SHA256SUMS` beside it knows it, it has to match.
        what: What the network is called, for the error.
        notebook: The notebook that makes it.
        takes: Shape of its input, None for any length; not looked at if not given.
        gives: Shape of its output.

    Raises:
        FileNotFoundError: The file is not there; the message says how to make it.
        BadWeights: The file is not such a network, or damaged, or holds numbers that are not
            finite; the message says what it is.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"The {what} is not there: {path}. Train one with notebook {notebook}, or get the "
            "released weights with the repository (helpers/pretrained)."
        )
    remedy = f"Expected the {what} as notebook {notebook} or the repository has it: get it anew."
    reason = _not_a_network(path)
    if reason:
        raise BadWeights(f"{path} {reason}. {remedy}")
    verify(path)
    import keras

    try:
        network = keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras raises whatever its parts raise; to a reader they all mean one thing.
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise BadWeights(
            f"{path} can not be read as a network: its weights or layers do not fit each other or "
            f"this version of the program ({said}). {remedy}"
        ) from error
    for role, wanted, found in (
        ("takes", takes, network.inputs),
        ("gives", gives, network.outputs),
    ):
        shapes = [tuple(tensor.shape) for tensor in found]
        if wanted is not None and not (len(shapes) == 1 and _fits(shapes[0], wanted)):
            raise BadWeights(
                f"{path} is another network, {network.name!r}: it {role} "
                f"{' and '.join(map(str, shapes))}, and a {what} {role} {wanted}. {remedy}"
            )
    for weight in network.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise BadWeights(f"{path} has numbers that are not finite in {weight.path}. {remedy}")
    return network


def _fits(shape: tuple, wanted: tuple) -> bool:
    return len(shape) == len(wanted) and all(
        one is None or one == other for one, other in zip(wanted, shape, strict=True)
    )


def _not_a_network(path: Path) -> str | None:
    """Returns what a file is instead of a `.keras` file, or None."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself (run `git lfs pull`)"
    if start.lstrip()[:1] == b"<":
        return "is a web page, not weights: what was downloaded is a notice or a login page"
    if start.startswith(b"\x89HDF"):
        return "is an HDF5 file of an older Keras, not a .keras file"
    if not start.startswith(b"PK"):
        return "is not a .keras file"
    if not zipfile.is_zipfile(path):
        return f"is truncated: it ends after {path.stat().st_size:,} bytes"
    with zipfile.ZipFile(path) as file:
        missing = [member for member in _MEMBERS if member not in file.namelist()]
        if missing:
            return f"is not a .keras file: there is no {' and no '.join(missing)} in it"
        damaged = file.testzip()
    return f"is damaged: {damaged} in it does not match its checksum" if damaged else None


# --- checksums -----------------------------------------------------------------------------------


def write_checksums(folder: Path | str, files: Iterable[str | Path]) -> Path:
    """Writes the file that vouches for released weights; `sha256sum -c` reads it as well.

    Args:
        folder: Where the files are.
        files: Their names.

    Returns:
        The file `SHA256SUMS`.
    """
    folder = Path(folder)
    names = sorted(Path(file).name for file in files)
    path = folder / CHECKSUMS
    path.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    return path


def verify(path: Path | str) -> None:
    """Compares a file with the checksum beside it.

    Only a released file needs one; any other that is not listed there may be anything.

    Raises:
        BadWeights: It does not match, and the message names both checksums; or a released file has
            none; or a line of the list cannot be read.
    """
    path = Path(path)
    sums = path.with_name(CHECKSUMS)
    wanted = _listed(sums).get(path.name) if sums.is_file() else None
    if wanted is None:
        if path.resolve().parent == pretrained.FOLDER:
            raise BadWeights(
                f"{path} is one of the released files, and no checksum in {sums} vouches for it: "
                "get both anew from the repository. If you made it yourself, "
                "helpers.weights.write_checksums notes its sum."
            )
        return
    found = sha256(path)
    if found != wanted:
        raise BadWeights(
            f"{path} does not match its checksum in {CHECKSUMS}: expected {wanted[:16]}..., found "
            f"{found[:16]}.... It was altered or not downloaded whole: get it anew from the "
            "repository. If you made it yourself, helpers.weights.write_checksums notes its sum."
        )


def _listed(sums: Path) -> dict[str, str]:
    """Reads checksums by the names of their files, in either form that `sha256sum` writes."""
    listed = {}
    for number, line in enumerate(sums.read_text(errors="replace").splitlines(), 1):
        entry = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        if entry:
            listed[entry[2]] = entry[1].lower()
        elif line.strip():
            raise BadWeights(
                f"{sums} is damaged: line {number} is {line[:80]!r} and should be a checksum of 64 "
                "hexadecimal digits, two spaces and the name of a file, as sha256sum writes them. "
                "Get it anew from the repository."
            )
    return listed
