"""Files that are written whole or not at all, and their second copy on Google Drive.

A notebook may be stopped at any moment, also by `kill -9` or by Colab taking its machine away. So a
file comes into being under another name and is renamed when it is whole, and nothing that is read
back is believed before its sha256 has been compared. Drive is a mirror only: it may be slow, full
or gone, and the work goes on without it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; there one session at a time is up to you.
    fcntl = None

PART = ".part"
"""Ending of a file that is not whole yet."""
_ATTEMPTS = 3
"""Failures on Drive after which it is left alone for the rest of the session."""

_hashes: dict[Path, tuple[tuple[int, int, int], str]] = {}


def sha256(path: Path) -> str:
    """Returns the sha256 of a file; unchanged files (size, time, inode) are read only once.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    known = _hashes.get(path)
    if known is None or known[0] != stamp:
        known = _hashes[path] = stamp, _read_sha256(path)
    return known[1]


def matches(path: Path, digest: str) -> bool:
    """Tells whether the file is there and has this sha256."""
    try:
        return sha256(path) == digest
    except OSError:
        return False


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, and renames it to `path` when the block ends without an error.

    Readers see the old file or the new one, never half of it; several writers do not disturb each
    other.

    Args:
        path: Where the file should be; its folder is made when missing.

    Raises:
        OSError: The disk is full or the folder cannot be written to; says which.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PART}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                errno.ENOSPC,
                f"The disk is full: {path.name} could not be written to {path.parent}. "
                "Free some space and run the cell again; what was finished is kept",
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file whole; NumPy numbers and arrays become numbers and lists."""
    with written_whole(path) as part:
        part.write_text(json.dumps(value, indent=1, default=_plain) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict | None:
    """Returns a JSON object, or None where the file is absent or not a whole JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keeps other sessions on this machine from writing into the folder; waits for its turn.

    The system lifts the lock when its owner ends, however it ends.

    Args:
        folder: Made when missing.
        what: What is being written, for the sentence that says why we wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                print(f"Another session is writing {what} in {folder}. Waiting for it to end.")
                fcntl.flock(file, fcntl.LOCK_EX)
            for part in folder.glob(f".*{PART}"):  # Left behind by a session that was killed.
                part.unlink(missing_ok=True)
        yield


class Mirror:
    """A folder on Google Drive that holds copies of the workspace's files, by the same names.

    Files go there one at a time and are compared afterwards. Nothing is ever listed, because
    listing is what fails first on Drive (googlecolab/colabtools#3133). Every operating system
    error on Drive, such as 5 (input/output) or 107 (mount lost), is reported once; then the session
    goes on with local files.

    Attributes:
        folder: The folder, or None for no mirror.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._failures = 0

    @property
    def available(self) -> bool:
        """There is a mirror and it has not failed for good."""
        return self.folder is not None and self._failures < _ATTEMPTS

    def publish(self, local: Path, name: str) -> bool:
        """Copies a local file to the mirror and compares it there.

        Args:
            local: The file.
            name: Its name in the mirror, such as `clips/0123abcd/00000.parquet`.

        Returns:
            Whether the mirror has the file now.
        """
        if not self.available:
            return False
        try:
            with written_whole(self.folder / name) as part:
                shutil.copyfile(local, part)
            if _read_sha256(self.folder / name) == sha256(local):
                return True
            raise OSError(errno.EIO, f"the copy of {name} differs from the original")
        except OSError as error:
            return self._failed(error)

    def holds(self, name: str, size: int) -> bool:
        """Tells whether the mirror has a file of that size, without reading it."""
        if not self.available:
            return False
        try:
            return (self.folder / name).stat().st_size == size
        except FileNotFoundError:
            return False
        except OSError as error:
            return self._failed(error)

    def fetch(self, name: str, local: Path, digest: str) -> bool:
        """Copies a file from the mirror if its sha256 is the expected one.

        Args:
            name: Its name in the mirror.
            local: Where it should be.
            digest: The expected sha256.

        Returns:
            Whether `local` is there and right.
        """
        if not self.available:
            return False
        try:
            with written_whole(local) as part:
                shutil.copyfile(self.folder / name, part)
                if _read_sha256(part) != digest:
                    print(f"The copy of {name} on Drive is damaged; it is not used.")
                    raise FileNotFoundError(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            return self._failed(error)
        return True

    def read_json(self, name: str) -> dict | None:
        """Returns a JSON object of the mirror, or None."""
        return read_json(self.folder / name) if self.available else None

    def delete(self, name: str) -> bool:
        """Deletes a folder of the mirror; tells whether there was one."""
        if not self.available or not (self.folder / name).exists():
            return False
        try:
            shutil.rmtree(self.folder / name)
        except OSError as error:
            return self._failed(error)
        return True

    def _failed(self, error: OSError) -> bool:
        if self._failures == 0:
            print(
                f"Google Drive does not answer as it should ({error}). The work goes on in local "
                "files; run the notebook again later to bring Drive up to date."
            )
        lost = error.errno in (errno.ENOTCONN, errno.ENOSPC, errno.EROFS)
        self._failures = _ATTEMPTS if lost else self._failures + 1
        return False


def _read_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON.")
