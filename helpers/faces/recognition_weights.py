"""The published weights of the VGG-Face networks: fetched once, known by their hash afterwards.

keras-vggface's own download has no hash and no resume. Here a transfer that breaks off goes on
where it stopped, also in the next session; what arrives is looked at before it is kept; and the
sha256 of the first use is written beside the file and compared at every later one.
"""

from __future__ import annotations

import dataclasses
import datetime
import errno
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.downloading import web
from helpers.storage.drive import locked, read_json, sha256, write_json
from helpers.tables import RECOGNITION
from helpers.weights import BadWeights, MissingModel

if TYPE_CHECKING:
    from helpers.tables import Workspace

RELEASES = "https://github.com/rcmalli/keras-vggface/releases/download/v2.0"
"""Where keras-vggface keeps its weights."""
_NAMES_BYTES = 2_000_000
"""How much larger than its bare numbers a file may be: names and tables of HDF5. (Files of the same
networks written by Keras 2: 0.06 to 0.64 MB.)"""
_LIMITS = web.Limits(size=1_000_000_000, total_s=7_200.0, waits_s=(1.0, 4.0, 15.0))
_HDF5 = b"\x89HDF\r\n\x1a\n"
_POINTER = b"version https://git-lfs"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of keras-vggface.

    Attributes:
        model: Its name in the package.
        file: Name of its file of weights.
        parameters: Numbers in that file.
        classes: People it was trained to tell apart.
        layer: Layer whose output is the feature.
        version: Edition of the package's preprocessing that it was trained with.
        trained_on: The data, in words.
    """

    model: str
    file: str
    parameters: int
    classes: int
    layer: str
    version: int
    trained_on: str

    @property
    def url(self) -> str:
        """Address of the file of weights."""
        return f"{RELEASES}/{self.file}"

    @property
    def megabytes(self) -> int:
        """Size of the file of weights, in MB."""
        return round(4 * self.parameters / 1e6)


NETWORKS = {
    "vggface": Network(
        model="vgg16",
        file="rcmalli_vggface_tf_vgg16.h5",
        parameters=145_002_878,
        classes=2622,
        layer="fc7/relu",
        version=1,
        trained_on="VGGFace: 2.6 million pictures of 2,622 people",
    ),
    "resnet50": Network(
        model="resnet50",
        file="rcmalli_vggface_tf_resnet50.h5",
        parameters=41_246_071,
        classes=8631,
        layer="avg_pool",
        version=2,
        trained_on="VGGFace2: 3.3 million pictures of 9,131 people",
    ),
    "senet50": Network(
        model="senet50",
        file="rcmalli_vggface_tf_senet50.h5",
        parameters=43_777_063,
        classes=8631,
        layer="avg_pool",
        version=2,
        trained_on="VGGFace2: 3.3 million pictures of 9,131 people",
    ),
}
"""The networks by feature kind (parameters counted on the networks that the package builds)."""


def weights_file(workspace: Workspace, kind: str) -> Path:
    """Returns the file of weights of a network: fetched if need be, and compared with its hash.

    Looks in the workspace, then on Drive, then downloads.

    Args:
        workspace: Keeps the file, and its copy on Drive where there is one.
        kind: A key of `NETWORKS`.

    Raises:
        MissingModel: The file is not there and could not be fetched; gives the address, the place
            to put it, and the setting that needs no download.
        BadWeights: The file that is there, or came, is not the right one.
    """
    network = NETWORKS[kind]
    folder, mirror = workspace.local / RECOGNITION, workspace.mirror
    path, note = folder / network.file, folder / f"{network.file}.json"
    with locked(folder, f"the weights {network.file}"):
        record = read_json(note) or mirror.read_json(f"{RECOGNITION}/{note.name}")
        known = record["sha256"] if record and "sha256" in record else ""
        if not path.exists() and known:
            mirror.fetch(f"{RECOGNITION}/{path.name}", path, known)
        source = "put there by hand"
        if path.exists():
            check_file(path, network, known)
        else:
            _download(network, path, known)
            source = network.url
        if not note.exists():
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            noted = {"size": path.stat().st_size, "source": source, "first_used": today}
            write_json(note, record if known else {"sha256": sha256(path), **noted})
        if not mirror.holds(f"{RECOGNITION}/{path.name}", path.stat().st_size):
            mirror.publish(path, f"{RECOGNITION}/{path.name}")
            mirror.publish(note, f"{RECOGNITION}/{note.name}")
    return path


def check_file(path: Path, network: Network, known: str = "") -> None:
    """Refuses what cannot be a network's file of weights, before anything of it is loaded.

    Args:
        path: The file.
        network: The network it should be of.
        known: sha256 that the file had when it was first used; empty compares none.

    Raises:
        BadWeights: It is a web page, a Git LFS pointer or something else, it is too short or too
            long, or it is not the file that was used first.
    """
    with path.open("rb") as file:
        beginning = file.read(512)
    size, least = path.stat().st_size, 4 * network.parameters
    if not beginning.startswith(_HDF5):
        raise BadWeights(f"{path} is {_what_it_is(beginning)}. {_wanted(network, path)}")
    if not least <= size <= least + _NAMES_BYTES:
        raise BadWeights(
            f"{path} has {size:,} bytes: it is cut off, or the file of another network. "
            f"{_wanted(network, path)}"
        )
    if known and sha256(path) != known:
        raise BadWeights(
            f"{path} has changed: its sha256 is {sha256(path)}, and when it was first used it was "
            f"{known}. {_wanted(network, path)} If the new file is the one that you want, delete "
            f"{path.name}.json beside it, here and on Drive, and run notebook 02 again."
        )


def _download(network: Network, path: Path, known: str) -> None:
    """Fetches the file; what has arrived is kept, so that a later call goes on from there."""
    from tqdm.auto import tqdm

    unfinished = path.with_name(f"{path.name}.unfinished")
    edition = path.with_name(f"{path.name}.edition")
    print(f"Fetching {network.file} ({network.megabytes} MB, once) from {network.url}")
    try:
        with tqdm(total=None, desc=network.file, unit="B", unit_scale=True) as bar:

            def show(size: int, total: int | None) -> None:
                bar.total = total
                bar.update(size - bar.n)

            web.fetch(network.url, unfinished, _LIMITS, "file of weights", edition, show)
    except web.Refusal as refusal:
        raise MissingModel(_where_to_put(network, path, refusal.reason)) from refusal
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        reason = f"The disk is too full for {network.megabytes} MB."
        raise MissingModel(_where_to_put(network, path, reason)) from error
    try:
        check_file(unfinished, network, known)
    except BadWeights:
        unfinished.unlink()
        raise
    unfinished.replace(path)


def _where_to_put(network: Network, path: Path, reason: str) -> str:
    return (
        f"The weights of the face network {network.model} could not be fetched. {reason} "
        f"Get {network.url} ({network.megabytes} MB) in some other way and put it into "
        f"{path.parent} under the name {path.name}; or run again to go on with the download; or "
        "choose FEATURES = 'dlib', which needs no download."
    )


def _wanted(network: Network, path: Path) -> str:
    return (
        f"Expected: {network.file}, about {network.megabytes} MB, from {network.url}. Delete "
        f"{path.name} and run again to fetch it."
    )


def _what_it_is(beginning: bytes) -> str:
    if beginning.startswith(_POINTER):
        return "a pointer of Git LFS, not the file that it stands for"
    if beginning.lstrip()[:1] == b"<":
        return "a web page, not a file of weights"
    return "no HDF5 file" if beginning else "empty"
