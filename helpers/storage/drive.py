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
import time
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
_FLUSH_WAITS_S = (0.1, 0.4, 1.5)
"""How long a copy on Drive that does not look right yet is waited for."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
"""No room, or the quota is used up."""

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
        if error.errno in _FULL:
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
    """Returns a JSON object, or None where the file is absent or not a whole JSON object.

    Raises:
        OSError: The file is there and cannot be read, so nobody knows what it says.
    """
    try:
        return _json_object(path.read_bytes())
    except FileNotFoundError:
        return None


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
    """A folder on Google Drive that holds copies of the workspace's files.

    Files go there one at a time and are compared afterwards. Nothing is ever listed, because
    listing is what fails first on Drive (googlecolab/colabtools#3133). Every operating system
    error on Drive, such as 5 (input/output) or 107 (mount lost), is reported once; then the session
    goes on with local files. A folder whose index is there and cannot be read is left as it is.

    Attributes:
        folder: The folder, or None for no mirror.
    """

    called = "Google Drive"
    _errors: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, folder: Path | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._failures = 0
        self._unread: set[str] = set()

    @property
    def available(self) -> bool:
        """There is a mirror and it has not failed for good."""
        return self.folder is not None and self._failures < _ATTEMPTS

    def takes(self, folder: str) -> bool:
        """Tells whether files may go into a folder: nothing there is replaced unseen.

        Args:
            folder: Such as `clips/0123abcd`.
        """
        return self.available and folder not in self._unread

    def publish(self, local: Path, name: str) -> bool:
        """Copies a local file to the mirror and compares it there.

        Args:
            local: The file.
            name: Its name in the mirror, such as `clips/0123abcd/00000-89abcdef.parquet`.

        Returns:
            Whether the mirror has the file now.
        """
        if not self.takes(_folder(name)):
            return False
        try:
            self._put(local, name)
        except self._errors as error:
            return self._failed(error)
        return True

    def holds(self, name: str, size: int) -> bool:
        """Tells whether the mirror has a file of that size, without reading it."""
        if not self.available:
            return False
        try:
            return self._size(name) == size
        except FileNotFoundError:
            return False
        except self._errors as error:
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
                self._get(name, part)
                if _read_sha256(part) != digest:
                    print(f"The copy {self.where(name)} is damaged; it is not used.")
                    raise FileNotFoundError(name)
        except FileNotFoundError:
            return False
        except self._errors as error:
            return self._failed(error)
        return True

    def read_json(self, name: str) -> dict | None:
        """Returns a JSON object of the mirror, or None where there is none.

        None also stands for one that cannot be read, after some tries; for the rest of the session
        its folder then takes nothing (see `takes`).
        """
        if not self.takes(_folder(name)):
            return None
        for wait_s in (*_FLUSH_WAITS_S, None):
            try:
                return _json_object(self._content(name))
            except FileNotFoundError:
                return None
            except self._errors as error:
                trouble = error
            if wait_s is not None:
                time.sleep(wait_s)
        self._unread.add(_folder(name))
        self._failed(trouble)
        return None

    def remove(self, name: str) -> None:
        """Deletes a file of the mirror, if it is there."""
        if self.takes(_folder(name)):
            try:
                self._unlink(name)
            except FileNotFoundError:
                pass
            except self._errors as error:
                self._failed(error)

    def delete(self, name: str) -> bool:
        """Deletes a folder of the mirror; tells whether there was one."""
        if not self.available:
            return False
        try:
            return self._delete(name)
        except self._errors as error:
            return self._failed(error)

    def where(self, name: str) -> str:
        """Returns the full name of a file or folder of the mirror, for people."""
        return str(self.folder / name) if self.folder else name

    def _put(self, local: Path, name: str) -> None:
        copy = self.folder / name
        with written_whole(copy) as part:
            shutil.copyfile(local, part)
        # Drive writes in its own time: a file may be shown late or short at first.
        for wait_s in (*_FLUSH_WAITS_S, None):
            with contextlib.suppress(FileNotFoundError):
                if _read_sha256(copy) == sha256(local):
                    return
            if wait_s is not None:
                time.sleep(wait_s)
        raise OSError(errno.EIO, f"the copy of {name} differs from the original")

    def _get(self, name: str, part: Path) -> None:
        shutil.copyfile(self.folder / name, part)

    def _content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def _size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def _unlink(self, name: str) -> None:
        (self.folder / name).unlink()

    def _delete(self, name: str) -> bool:
        if not (self.folder / name).exists():
            return False
        shutil.rmtree(self.folder / name)
        return True

    def _failed(self, error: Exception) -> bool:
        number = getattr(error, "errno", None)
        if self._failures == 0:
            what = f"{self.called} does not answer as it should ({error})."
            if number in _FULL:
                what = f"{self.called} is full ({error}). Make room there."
            print(
                f"{what} The work goes on in local files; run the notebook again later to bring "
                f"{self.called} up to date."
            )
        lost = number in (errno.ENOTCONN, errno.EROFS, *_FULL)
        self._failures = _ATTEMPTS if lost else self._failures + 1
        return False


def _read_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json_object(content: bytes) -> dict | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON.")
