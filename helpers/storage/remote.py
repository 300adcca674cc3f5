"""Tables in a folder that every machine reaches: `s3://bucket/folder`, `gs://...`, any fsspec path.

fsspec and the package of a protocol (s3fs, gcsfs) are imported on first use: whoever keeps the
tables in a local folder needs neither. Credentials come from where these packages look for them.
"""

from __future__ import annotations

import errno
import functools
import hashlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from helpers.storage.drive import Mirror, written_whole

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


_TRIAL = "about.txt"
"""Written to see whether the folder can be used."""


class Unreachable(ValueError):  # noqa: N818 (reads as the sentence it is)
    """The folder of the tables cannot be used; the message says what is missing."""


@functools.cache
def _system(address: str) -> tuple[AbstractFileSystem, str]:
    """Returns the file system of an address, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise Unreachable(
            f"Tables at {address!r} need the package fsspec. Install it: pip install fsspec"
        ) from error
    try:
        return fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        # fsspec names the package itself: "Install s3fs to access S3".
        raise Unreachable(f"Tables at {address!r} need one more package. {error}.") from error
    except ValueError as error:
        raise Unreachable(f"tables_at={address!r} is not a path that fsspec knows: {error}.") from (
            error
        )


def _path(root: str, name: str) -> tuple[AbstractFileSystem, str]:
    system, path = _system(root)
    return system, f"{path.rstrip('/')}/{name}"


def read(root: str, name: str) -> bytes:
    """Returns the content of a file.

    Args:
        root: Folder, such as `s3://bucket/folder`.
        name: Name in it, such as `clips/0123abcd/00000-89abcdef.parquet`.

    Raises:
        FileNotFoundError: There is no such file.
    """
    system, path = _path(root, name)
    return system.cat_file(path)


def write(root: str, name: str, content: bytes) -> None:
    """Writes a file whole or not at all; arguments as in `read`.

    Raises:
        OSError: It could not be written, or has another size there.
    """
    system, path = _path(root, name)
    if "file" in _protocols(system):  # An object store shows whole files only; a disk does not.
        with written_whole(Path(path)) as part:
            part.write_bytes(content)
    else:
        system.pipe_file(path, content)
    size = system.info(path)["size"]
    if size != len(content):
        raise OSError(f"{root}/{name} has {size} bytes there, not {len(content)}")


def _protocols(system: AbstractFileSystem) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


class Place(Mirror):
    """The folder that all machines reach, used as a mirror of the workspace.

    Its errors are treated like those of Drive: reported once, then the work goes on in local files.
    Workers of a cluster read and write here by themselves; there an error ends the batch.

    Attributes:
        root: The folder, such as `s3://bucket/folder`.
    """

    called = "The folder of the tables"
    _errors = (Exception,)  # Every protocol has errors of its own.

    def __init__(self, root: str) -> None:
        super().__init__(Path(root))
        self.root = root

    def check(self) -> None:
        """Sees to it that the folder can be written to and read.

        Raises:
            Unreachable: It cannot; the message says why.
        """
        try:
            write(self.root, _TRIAL, b"The tables of Speech2Face are kept here.\n")
            read(self.root, _TRIAL)
        except Unreachable:
            raise
        except Exception as error:
            raise Unreachable(
                f"The folder {self.root!r} cannot be used ({type(error).__name__}: {error}). Look "
                "at its name, at your rights there and at the credentials of this machine."
            ) from error

    def open(self, name: str) -> IO[bytes]:
        """Opens a file, so that parts of it can be read without the others."""
        system, path = _path(self.root, name)
        return system.open(path, "rb")

    def read(self, name: str, digest: str) -> bytes:
        """Returns the content of a file.

        Raises:
            OSError: It is not there, or its sha256 is another one.
        """
        content = read(self.root, name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise OSError(errno.EIO, f"{self.where(name)} does not match its checksum")
        return content

    def where(self, name: str) -> str:
        """As `Mirror.where`."""
        return f"{self.root.rstrip('/')}/{name}"

    def _put(self, local: Path, name: str) -> None:
        write(self.root, name, local.read_bytes())

    def _get(self, name: str, part: Path) -> None:
        part.write_bytes(read(self.root, name))

    def _content(self, name: str) -> bytes:
        return read(self.root, name)

    def _size(self, name: str) -> int:
        system, path = _path(self.root, name)
        return system.info(path)["size"]

    def _unlink(self, name: str) -> None:
        system, path = _path(self.root, name)
        system.rm_file(path)

    def _delete(self, name: str) -> bool:
        system, path = _path(self.root, name)
        if not system.exists(path):
            return False
        system.rm(path, recursive=True)
        return True
