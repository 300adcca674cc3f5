"""Single members of a zip archive on a web server, without the rest of the archive.

A zip has its table of contents at the end. Two or three pieces of the file are enough for a
member: the end, the table of contents where it is long, and the member itself.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import lzma
import stat
import urllib.parse
import zipfile
import zlib
from pathlib import Path

from helpers.corpora.rows import bad_member
from helpers.downloading import web
from helpers.downloading.web import Refusal

LARGEST_CONTENTS = 16_000_000
"""A table of contents with more bytes is refused; that of GRID has 100,000."""
_TAIL_BYTES = 1 << 16
_AHEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 20
_LARGEST_PIECE = 1 << 24
"""Bytes held in memory at a time: a larger member comes in several pieces."""
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    ValueError,
)
"""What is raised where a member is read that is not in order."""


class RangeFile(io.RawIOBase):
    """A file on a web server that can be read from anywhere.

    Args:
        url: Address of the file; its server must know Range requests.
        limits: How patient to be; None takes `web.LIMITS`.

    Attributes:
        total: Bytes of the file.
        ahead: Least number of bytes to fetch at a time.
    """

    def __init__(self, url: str, limits: web.Limits | None = None) -> None:
        super().__init__()
        self.url, self._limits = url, limits
        self._window = web.read_range(url, -_TAIL_BYTES, _TAIL_BYTES, limits)
        self.total = self._window.total
        self.ahead = _AHEAD_BYTES
        self._place = 0

    def readable(self) -> bool:
        """Says that it can be read."""
        return True

    def seekable(self) -> bool:
        """Says that it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Returns where it is read next, in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place in the file, as `io.IOBase.seek` does."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.total}[whence]
        if origin + offset < 0:
            raise OSError("The place lies before the beginning of the file.")
        self._place = origin + offset
        return self._place

    def expect(self, start: int, length: int) -> None:
        """Fetches a piece in one request, so that the reads that follow need none.

        Args:
            start: Where it begins, in bytes.
            length: Its bytes; of a very long piece only the beginning is fetched.
        """
        length = min(length, _LARGEST_PIECE)
        start, end = max(0, start), min(start + length, self.total)
        inside = self._window.start <= start and end <= self._window.start + len(
            self._window.content
        )
        if start < end and not inside:
            version = self._window.version
            self._window = web.read_range(self.url, start, end - start, self._limits, version)

    def forget(self) -> None:
        """Lets go of the bytes that were fetched; many archives may be open at a time."""
        self._window = dataclasses.replace(self._window, content=b"", start=0)
        self.ahead = _AHEAD_BYTES

    def readinto(self, buffer) -> int:
        """Reads what fits into the buffer, or less of a long piece; 0 at the end of the file."""
        wanted = min(len(buffer), self.total - self._place)
        if wanted <= 0:
            return 0
        if wanted > LARGEST_CONTENTS:
            raise Refusal("rejected", "The archive's table of contents is too large.")
        begin = self._place - self._window.start
        there = len(self._window.content) - begin
        if begin < 0 or there < min(wanted, _AHEAD_BYTES):  # a long read may be answered in part
            self.expect(self._place, max(wanted, self.ahead))
            begin = self._place - self._window.start
        found = self._window.content[begin : begin + wanted]
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)


def split_locator(locator: str) -> tuple[str, str]:
    """Splits `https://host/archive.zip#member` into the archive's address and the member's name.

    Args:
        locator: As in a manifest; odd characters of the member are written as `%20`.
    """
    archive, _, member = locator.partition("#")
    return archive, urllib.parse.unquote(member)


def members(url: str, limits: web.Limits | None = None) -> list[str]:
    """Lists the files in an archive on a web server.

    Args:
        url: Address of the archive.
        limits: How patient to be; None takes `web.LIMITS`.

    Returns:
        Names, in the order of the archive; folders are left out.

    Raises:
        Refusal: The archive cannot be had, is none, or names files outside its folder.
    """
    return [info.filename for info in _archive(url, limits).infolist() if not info.is_dir()]


def fetch_member(locator: str, path: Path, limits: web.Limits | None = None) -> None:
    """Downloads one member of an archive on a web server.

    Args:
        locator: `https://host/archive.zip#folder/member.mp4`.
        path: File to write. The member's own name never becomes a path.
        limits: How patient to be, and the largest member; None takes `web.LIMITS`.

    Raises:
        Refusal: With the status and reason that the row gets.
        OSError: The file cannot be written.
    """
    limits = limits or web.LIMITS
    url, member = split_locator(locator)
    archive = _archive(url, limits)
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise Refusal("gone", f"The archive no longer has {member!r}.") from None
    if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16) or info.is_dir():
        raise Refusal("rejected", f"{member!r} in the archive is locked, or no file.")
    if max(info.file_size, info.compress_size) > limits.size:
        raise Refusal("rejected", f"The file is larger than {limits.size / 1e6:,.0f} MB.")
    try:
        _extract(archive, info, path)
    except (*_DAMAGES, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # Of the disk. That of bz2, for damaged data, has no number.
        reason = f"{member!r} in the archive is damaged, or not as long as stated."
        raise Refusal("rejected", reason) from error
    except Refusal:
        _archive.cache_clear()  # The archive may have changed meanwhile.
        raise
    finally:
        archive.fp.forget()


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Unpacks a member. It is cut off at its stated length, and its checksum is compared."""
    raw = archive.fp
    # The local header repeats the name and may have another extra field than the contents.
    ahead = 30 + len(info.orig_filename.encode()) + len(info.extra) + _AHEAD_BYTES
    raw.expect(info.header_offset, ahead + info.compress_size)
    raw.ahead = max(_AHEAD_BYTES, min(info.compress_size, _LARGEST_PIECE))
    with archive.open(info) as member, path.open("wb") as file:
        size = 0
        while block := member.read(_BLOCK_BYTES):
            size += len(block)
            file.write(block)
    if size != info.file_size:
        raise EOFError(f"{size} of {info.file_size} bytes")


@functools.lru_cache(maxsize=40)
def _archive(url: str, limits: web.Limits | None = None) -> zipfile.ZipFile:
    """Opens an archive and looks at all names in it; kept, as many rows come from one archive."""
    try:
        archive = zipfile.ZipFile(RangeFile(url, limits))
    except (*_DAMAGES, OSError) as error:
        raise Refusal("rejected", "The file is no zip archive, or a damaged one.") from error
    for info in archive.infolist():
        if problem := bad_member(info.orig_filename):
            name = info.orig_filename[:80]
            raise Refusal("rejected", f"The archive is refused: of the name {name!r}, {problem}.")
    return archive
