"""A web server on 127.0.0.1 with Range support and misbehaviour on demand, for tests.

The query of an address says how the server misbehaves: `?drop=1000` breaks the first transfer off
after 1,000 bytes, or with `&ranged` the first one that was asked for with Range, `?breaks=1000`
every one and ignores Range, `?stall=1000` stops sending there and keeps the connection,
`?status=429` answers so, `?trickle` sends a byte now and then, `?to=ADDRESS` redirects, `?norange`
ignores Range, `?nolength` hides the length.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class RangeServer(ThreadingHTTPServer):
    """Serves `files`; notes every request in `requests` as (path, Range header)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.kinds: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.stop_stalling = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_GET(self) -> None:  # noqa: N802
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        asked = self.headers.get("Range", "")
        earlier = [asked for path, asked in self.server.requests if path == self.path]
        first = bool(asked) and not any(earlier) if "ranged" in query else not earlier
        self.server.requests.append((self.path, asked))
        name = urllib.parse.unquote(parts.path.lstrip("/"))
        body = self.server.files.get(name)
        self.close_connection = True
        if "to" in query:
            return self._answer(302, b"", {"Location": query["to"]})
        if "status" in query and len(earlier) < int(query.get("times", 1_000)):
            return self._answer(int(query["status"]), query.get("page", "no").encode())
        if body is None:
            return self._answer(404, b"not here")
        tag = f'"{hash(body)}"'
        headers = {"ETag": tag, "Content-Type": self.server.kinds.get(name, "video/mp4")}
        status, rest = 200, body
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
        if (
            found
            and not {"norange", "breaks"} & set(query)
            and self.headers.get("If-Range", tag) == tag
        ):
            start = int(found[1]) if found[1] else max(0, len(body) - int(found[2]))
            end = min(int(found[2]) + 1, len(body)) if found[1] and found[2] else len(body)
            status, rest = 206, body[start:end]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        cut = int(query["drop"]) if "drop" in query and first else None
        cut = int(query["stall"]) if "stall" in query else cut
        cut = int(query["breaks"]) if "breaks" in query else cut
        length, trickle = "nolength" not in query, "trickle" in query
        return self._answer(status, rest, headers, cut, "stall" in query, length, trickle)

    def _answer(self, status, body, headers=(), cut=None, stall=False, length=True, trickle=False):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if trickle:
            for byte in body[:100]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if stall:
            self.server.stop_stalling.wait(10)

    def log_message(self, *_arguments: object) -> None:
        pass


@contextlib.contextmanager
def range_server() -> Iterator[RangeServer]:
    """Runs a server in a thread of its own; stops it at the end."""
    server = RangeServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stop_stalling.set()
        server.shutdown()
        server.server_close()
        thread.join()
