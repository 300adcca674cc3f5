"""Fetches a file from a web server, patiently and politely.

A transfer that breaks off goes on where it stopped. A server that stalls, sends too much, leads on
to another scheme or asks for a proof of being human is given up with a plain reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from helpers.downloading import addresses
from helpers.downloading.addresses import Refusal

_USER_AGENT = "speech2face-notebooks/0.1 (teaching notebooks; one request at a time)"
_BLOCK_BYTES = 1 << 16
_SLOWEST_BYTES = 1 << 14
BLOCKED_WORDS = re.compile(rb"not a bot|captcha|rate.?limit|too many requests", re.IGNORECASE)
"""Pages that ask for a proof of being human come with an innocent status code."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of a file on a web server.

    Attributes:
        content: Its bytes.
        start: Where it begins in the file.
        total: Bytes of the whole file.
        version: What identifies this edition of the file; empty where the server does not say.
    """

    content: bytes
    start: int
    total: int
    version: str


class _Interrupted(Exception):  # noqa: N818 - the reason to try again
    """A transfer broke off; trying again may help."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How patient a transfer is.

    Attributes:
        size: Largest file accepted, in bytes.
        stall_s: A server that sends next to nothing for so long is given up, in seconds.
        total_s: Longest time for one file with all attempts, in seconds.
        waits_s: Pauses before the second, third ... attempt, in seconds. Every attempt that made
            progress starts the count again.
        private: Whether the address may lead into this machine or its own network. True where it
            comes from the user or the series; the row of a manifest may come from anybody.
    """

    size: int = 500_000_000
    stall_s: float = 20.0
    total_s: float = 900.0
    waits_s: tuple[float, ...] = (1.0, 4.0)
    private: bool = True


LIMITS = Limits()
"""How patient `fetch` is unless told otherwise."""


def fetch(
    url: str,
    path: Path,
    limits: Limits | None = None,
    what: str = "video",
    edition: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Downloads a file over HTTP(S). A transfer that breaks off goes on where it stopped.

    Args:
        url: Address; other schemes than http and https are refused, also in redirects.
        path: File to write.
        limits: How patient to be; None takes `LIMITS`.
        what: What the file should be, for the reason why a web page is refused.
        edition: Where to remember which edition of the file has begun to arrive, so that a later
            call goes on where this one stopped; deleted at the end. None begins anew each time.
        progress: Called with the bytes that are here and those of the whole file, as far as known.

    Raises:
        Refusal: With the status and reason that the row gets.
        OSError: The file cannot be written.
    """
    limits = limits or LIMITS
    if not _is_web(url):
        raise Refusal("rejected", "The address does not begin with https://.")
    opener = _opener(limits.private)
    deadline = time.monotonic() + limits.total_s
    waits = iter(limits.waits_s)
    version = edition.read_text() if edition is not None and edition.exists() else ""
    while True:
        had = path.stat().st_size if path.exists() else 0
        try:
            with _response(opener, url, had, version, limits) as response:
                version = _version(response)
                if edition is not None:
                    edition.write_text(version)
                _receive(response, path, had, limits, deadline, what, progress)
            if edition is not None:
                edition.unlink()
            return
        except _Interrupted as interruption:
            if path.exists() and path.stat().st_size >= had + _BLOCK_BYTES:
                waits = iter(limits.waits_s)
            wait = next(waits, None)
            if wait is None or time.monotonic() + wait > deadline:
                raise Refusal("failed", str(interruption)) from interruption
            time.sleep(wait)


def read_range(
    url: str, start: int, length: int, limits: Limits | None = None, version: str = ""
) -> Piece:
    """Reads a piece of a file on a web server, without the rest of the file.

    Args:
        url: Address, as in `fetch`.
        start: Where the piece begins, in bytes; a negative number counts from the end of the file.
        length: Greatest number of bytes to read.
        limits: How patient to be; None takes `LIMITS`.
        version: Edition of the file that earlier pieces came from; another one is refused.

    Returns:
        The piece; shorter than asked for where the file ends.

    Raises:
        Refusal: With the status and reason that the row gets.
    """
    limits = limits or LIMITS
    if not _is_web(url):
        raise Refusal("rejected", "The address does not begin with https://.")
    opener, waits = _opener(limits.private), iter(limits.waits_s)
    deadline = time.monotonic() + limits.total_s
    while True:
        try:
            return _piece(opener, url, start, length, limits, version, deadline)
        except _Interrupted as interruption:
            wait = next(waits, None)
            if wait is None or time.monotonic() + wait > deadline:
                raise Refusal("failed", str(interruption)) from interruption
            time.sleep(wait)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but from https only to https and never to a file or another scheme."""

    max_redirections = 5

    def http_error_302(self, request, response, code, message, headers):  # noqa: D102
        place = headers.get("Location", headers.get("URI", ""))  # an old name, followed as well
        target = urllib.parse.urljoin(request.full_url, place)
        downgrade = request.full_url.startswith("https:") and target.startswith("http:")
        if not _is_web(target) or downgrade:
            scheme = urllib.parse.urlsplit(target).scheme
            raise Refusal("rejected", f"The address leads on to {scheme}://, which is refused.")
        return super().http_error_302(request, response, code, message, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _is_web(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


class _PublicConnection(http.client.HTTPConnection):
    """Connects to public addresses only, also where a redirect leads."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = addresses.connect


class _PublicSecureConnection(http.client.HTTPSConnection):
    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = addresses.connect


class _PublicHandler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    def http_open(self, request):  # noqa: D102
        return self._open(_PublicConnection, super().http_open, request)

    def https_open(self, request):  # noqa: D102
        return self._open(_PublicSecureConnection, super().https_open, request, self._context)

    def _open(self, kind: type, through_proxy: Callable, request, context=None):
        parts = urllib.parse.urlsplit(request.full_url)
        if parts.hostname == urllib.parse.urlsplit(f"//{request.host}").hostname:
            secure = {} if context is None else {"context": context}
            return self.do_open(kind, request, **secure)
        # The machine reaches the web through a proxy of its own network, which may not be refused.
        with contextlib.suppress(OSError):
            addresses.require_public(parts.hostname, parts.port or 443)
        return through_proxy(request)


def _opener(private: bool) -> urllib.request.OpenerDirector:
    """An opener that knows HTTP and nothing else: the usual one opens file:// and ftp:// too."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    opener = urllib.request.OpenerDirector()
    direct = (urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=context))
    for handler in (
        urllib.request.ProxyHandler(),
        *(direct if private else (_PublicHandler(context=context),)),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _response(opener, url: str, had: int, version: str, limits: Limits):
    """Asks for a file, or for the rest of it where its beginning is here already."""
    if had and version:
        # With If-Range a file that has changed meanwhile comes whole instead of as a wrong rest.
        return _open(opener, url, {"Range": f"bytes={had}-", "If-Range": version}, limits)
    return _open(opener, url, {}, limits)


def _open(opener, url: str, headers: dict[str, str], limits: Limits):
    """Sends a request and tells what kind of trouble there was."""
    headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
    host = urllib.parse.urlsplit(url).hostname
    try:
        request = urllib.request.Request(url, headers=headers)
        return opener.open(request, timeout=limits.stall_s)
    except urllib.error.HTTPError as error:
        with error:
            raise _http_refusal(error, host) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Refusal("failed", f"The certificate of {host} is not valid.") from error
        if isinstance(cause, TimeoutError):
            raise _Interrupted(f"{host} did not answer within {limits.stall_s:g} s.") from error
        raise _Interrupted(f"There is no connection to {host}.") from error
    except ValueError as error:
        raise Refusal("rejected", "The address is not valid.") from error


def _http_refusal(error: urllib.error.HTTPError, host: str) -> Exception:
    code = error.code
    if code in (404, 410):
        return Refusal("gone", f"{host} no longer has the file ({code}).")
    page = b""
    with contextlib.suppress(OSError, http.client.HTTPException):
        page = error.read1(_BLOCK_BYTES)
    if code == 429 or BLOCKED_WORDS.search(page):
        return Refusal("blocked", f"{host} wants no more requests from this address ({code}).")
    if code == 416 or code == 408 or code >= 500:
        return _Interrupted(f"{host} is in trouble ({code}).")
    return Refusal("failed", f"{host} refuses the file ({code}).")


def _version(response) -> str:
    """What identifies this edition of the file to the server; empty where nothing does."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _receive(
    response,
    path: Path,
    had: int,
    limits: Limits,
    deadline: float,
    what: str,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Writes the body of a response behind what is here, or in its place."""
    host = urllib.parse.urlsplit(response.url).hostname
    rest = response.status == 206
    total = _total_bytes(response, had)
    if response.headers.get_content_type() == "text/html":
        page = response.read1(_BLOCK_BYTES)
        if BLOCKED_WORDS.search(page):
            raise Refusal("blocked", f"{host} asks for a proof that we are no robot.")
        raise Refusal("rejected", f"The address gives a web page, not a {what}.")
    too_large = f"The file is larger than {limits.size / 1e6:,.0f} MB."
    if total is not None and total > limits.size:
        raise Refusal("rejected", too_large)
    if total is not None and total > shutil.disk_usage(path.parent).free:
        raise OSError(errno.ENOSPC, "No space left on device")
    size = had if rest else 0
    window_ends, window_size = time.monotonic() + limits.stall_s, size
    with path.open("ab" if rest else "wb") as file:
        while block := _next_block(response, host):
            size += len(block)
            if size > limits.size:
                raise Refusal("rejected", too_large)
            file.write(block)
            if progress is not None:
                progress(size, total)
            now = time.monotonic()
            if now > deadline:
                raise _Interrupted(f"{host} is too slow: {size / 1e6:.1f} MB so far.")
            if now > window_ends:
                if size - window_size < _SLOWEST_BYTES:
                    raise _Interrupted(f"{host} stopped sending after {size / 1e6:.1f} MB.")
                window_ends, window_size = now + limits.stall_s, size
    if total is not None and size < total:
        raise _Interrupted(f"{host} broke off after {size / 1e6:.1f} of {total / 1e6:.1f} MB.")


def _piece(
    opener, url: str, start: int, length: int, limits: Limits, version: str, deadline: float
) -> Piece:
    last = "" if start < 0 else start + length - 1
    headers = {"Range": f"bytes={start}-{last}" if start >= 0 else f"bytes={start}"}
    with _open(opener, url, headers, limits) as response:
        host = urllib.parse.urlsplit(response.url).hostname
        if response.status != 206:
            raise Refusal("failed", f"{host} does not give pieces of a file.")
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        begin, end, total = (int(number) for number in found.groups()) if found else (-1, -1, 0)
        asked = max(0, total + start) if start < 0 else start
        if begin != asked or not begin <= end < total or end - begin >= length:
            raise Refusal("failed", "The server sent another part of the file than asked for.")
        if version and _version(response) != version:
            raise Refusal("failed", f"The file on {host} has changed meanwhile.")
        content = bytearray()
        while len(content) <= end - begin and (block := _next_block(response, host)):
            content += block
            if time.monotonic() > deadline:
                raise _Interrupted(f"{host} is too slow: {len(content) / 1e6:.1f} MB so far.")
        if len(content) < end - begin + 1:
            raise _Interrupted(f"{host} broke off within a piece of the file.")
        piece = bytes(content[: end - begin + 1])
        return Piece(piece, begin, total, _version(response))


def _total_bytes(response, had: int) -> int | None:
    """Length of the whole file, None where the server does not say."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != had:
            raise Refusal("failed", "The server sent another part of the file than asked for.")
        return None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _next_block(response, host: str) -> bytes:
    try:
        return response.read1(_BLOCK_BYTES)
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Interrupted(f"{host} stopped sending.") from error
