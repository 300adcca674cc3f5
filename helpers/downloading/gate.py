"""The one way to the web for yt-dlp and ffmpeg: a proxy in this process that watches over them.

A web page decides which addresses yt-dlp and ffmpeg open next, and neither asks whether these lead
into this machine, how much comes or how long it takes. So both are told to use a proxy, and the
proxy says no. Encrypted connections pass through unread; of others the status is noted.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Iterator

from helpers.downloading import addresses
from helpers.downloading.addresses import Refusal
from helpers.downloading.web import Limits

_BLOCK_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16
_GLANCE_S = 0.25


class Gate(socketserver.ThreadingTCPServer):
    """Lets connections of one task through, up to a limit. Get it from `opened`.

    Attributes:
        limits: Bytes and seconds for each part of the task; whether private addresses are allowed.
        refusal: Why the gate was closed, None while it is open.
        passed: Bytes that came from servers in this part of the task.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, limits: Limits) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.limits = limits
        self.refusal: Refusal | None = None
        self.begin()

    @property
    def url(self) -> str:
        """Address of the proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        """Begins a part of the task: bytes and seconds count from here."""
        self.passed = 0
        self._deadline = time.monotonic() + self.limits.total_s

    def close(self, status: str, reason: str) -> None:
        """Lets nothing through any more. The first reason counts."""
        self.refusal = self.refusal or Refusal(status, reason)

    def watch(self, received: int, host: str) -> None:
        """Counts bytes and looks at the clock; closes the gate where there is too much of either.

        Raises:
            Refusal: The gate is closed.
        """
        self.passed += received
        if self.passed > self.limits.size:
            self.close("rejected", f"The video is larger than {self.limits.size / 1e6:,.0f} MB.")
        if time.monotonic() > self._deadline:
            self.close("failed", f"{host[:30]} is too slow: {self.passed / 1e6:.1f} MB so far.")
        if self.refusal is not None:
            raise self.refusal

    def handle_error(self, request, client_address) -> None:
        """A connection that breaks is for whoever asked for it to notice."""


@contextlib.contextmanager
def opened(limits: Limits) -> Iterator[Gate]:
    """Opens a gate for one task; at the end nothing gets through any more."""
    with Gate(limits) as gate:
        thread = threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield gate
        finally:
            gate.close("failed", "The task is over.")
            gate.shutdown()
            thread.join()


class _Passage(socketserver.BaseRequestHandler):
    """One connection of yt-dlp or ffmpeg to the gate."""

    server: Gate

    def handle(self) -> None:
        gate = self.server
        self.request.settimeout(gate.limits.stall_s)
        head, rest = self._head()
        if not head:
            return  # Whoever connected was stopped before it could ask.
        method, _, target = head.split(b"\r\n")[0].decode("latin-1").partition(" ")
        target = target.rpartition(" ")[0]
        secure = method == "CONNECT"
        parts = urllib.parse.urlsplit(f"https://{target}" if secure else target)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            gate.close("rejected", f"The page leads on to {parts.scheme}://, which is refused.")
            return
        try:
            gate.watch(0, parts.hostname)
            server = self._connected(parts.hostname, parts.port or (443 if secure else 80))
        except Refusal as refusal:
            gate.close(refusal.status, refusal.reason)
            self._answer("403 Refused")
            return
        except OSError:
            self._answer("502 No connection")
            return
        with server:
            if secure:
                self._answer("200 Connected")
                server.sendall(rest)
            else:
                server.sendall(_forwarded(head, method, parts) + rest)
            with contextlib.suppress(OSError, Refusal):
                self._relay(server, parts.hostname, secure)

    def _connected(self, host: str, port: int) -> socket.socket:
        connect = socket.create_connection if self.server.limits.private else addresses.connect
        return connect((host, port), self.server.limits.stall_s)

    def _head(self) -> tuple[bytes, bytes]:
        """Reads up to the empty line; returns what is before and after it, nothing without one."""
        received = b""
        while b"\r\n\r\n" not in received and len(received) < _HEAD_BYTES:
            block = self.request.recv(_BLOCK_BYTES)
            if not block:
                return b"", b""
            received += block
        head, _, rest = received.partition(b"\r\n\r\n")
        return head, rest

    def _answer(self, status: str) -> None:
        self.request.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())

    def _relay(self, server: socket.socket, host: str, secure: bool) -> None:
        """Passes bytes on in both directions until one side ends or nothing comes for too long."""
        gate, first, quiet_since = self.server, not secure, time.monotonic()
        while time.monotonic() - quiet_since < gate.limits.stall_s:
            gate.watch(0, host)
            for ready in select.select([server, self.request], [], [], _GLANCE_S)[0]:
                block = ready.recv(_BLOCK_BYTES)
                if not block:
                    return
                quiet_since = time.monotonic()
                if ready is self.request:
                    server.sendall(block)
                    continue
                if first and re.match(rb"HTTP/1\.[01] 429", block):
                    gate.close(
                        "blocked", f"{host[:30]} wants no more requests from this address (429)."
                    )
                first = False
                gate.watch(len(block), host)
                self.request.sendall(block)


def _forwarded(head: bytes, method: str, parts: urllib.parse.SplitResult) -> bytes:
    """The request as the server wants it, one to a connection."""
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    dropped = (b"proxy-", b"connection:", b"keep-alive:")
    lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(dropped)]
    first = f"{method} {path} HTTP/1.1".encode("latin-1")
    return b"\r\n".join([first, *lines, b"Connection: close", b"", b""])
