"""The gate lets yt-dlp and ffmpeg through to the web, and stops what goes too far."""

from __future__ import annotations

import http.client
import socket
import urllib.parse

import pytest
from conftest import UntilTheEnd
from range_server import range_server

from helpers.downloading import gate, web
from helpers.downloading.addresses import Refusal

LIMITS = web.Limits(stall_s=30.0, total_s=120.0)
PATIENCE_S = 60.0
"""How long we wait for the gate, in seconds: longer than any pause of a busy machine."""


@pytest.fixture
def server():
    with range_server() as running:
        running.files["a.mp4"] = b"x" * 50_000
        yield running


def ask(opened: gate.Gate, url: str, tunnel: bool = False) -> bytes:
    """Gets a file through the gate as a browser would: plainly, or through a tunnel."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(*opened.server_address, timeout=PATIENCE_S)
    if tunnel:
        connection.set_tunnel(parts.hostname, parts.port)
    connection.request("GET", parts.path if tunnel else url, headers={"Host": parts.netloc})
    return connection.getresponse().read()


@pytest.mark.parametrize("tunnel", [False, True])
def test_what_is_asked_for_comes(server, tunnel):
    with gate.opened(LIMITS) as opened:
        assert ask(opened, server.url("a.mp4"), tunnel) == b"x" * 50_000
        assert opened.refusal is None
        assert opened.passed > 50_000


@pytest.mark.parametrize("tunnel", [False, True])
def test_this_machine_is_out_of_reach_unless_allowed(server, tunnel):
    with gate.opened(web.Limits(stall_s=30.0, private=False)) as opened:
        try:
            ask(opened, server.url("a.mp4"), tunnel)
        except OSError as error:
            assert "403" in str(error)
        assert opened.refusal.status == "rejected"
        assert "own network" in opened.refusal.reason
    assert server.requests == []


@pytest.mark.parametrize("tunnel", [False, True])
def test_more_than_allowed_is_cut_off(server, tunnel):
    with gate.opened(web.Limits(size=10_000, stall_s=30.0)) as opened:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(opened, server.url("a.mp4"), tunnel)
        assert "larger than" in opened.refusal.reason
        with pytest.raises(Refusal):
            opened.watch(0, "anywhere")


def test_a_stalled_server_is_hung_up_on(server):
    server.stop_stalling = UntilTheEnd()
    hasty = web.Limits(stall_s=0.5, total_s=120.0)
    # We wait longer than the gate: where it did not hang up, this would be a TimeoutError.
    with gate.opened(hasty) as opened, pytest.raises(http.client.HTTPException):
        ask(opened, server.url("a.mp4?stall=1000"))


def test_too_many_requests_close_the_gate(server):
    with gate.opened(LIMITS) as opened:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(opened, server.url("a.mp4?status=429"))
        assert opened.refusal.status == "blocked"
        ask(opened, server.url("a.mp4"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("asked", [b"GET ftp://127.0.0.1/a HTTP/1.1", b"GET / HTTP/1.1", b"\x00"])
def test_other_schemes_and_nonsense_are_refused(asked):
    with gate.opened(LIMITS) as opened:
        with socket.create_connection(opened.server_address, timeout=PATIENCE_S) as connection:
            connection.sendall(asked + b"\r\n\r\n")
            assert connection.recv(100) == b""
        assert opened.refusal.status == "rejected"


def test_a_connection_that_asks_nothing_is_no_reason_to_close():
    with gate.opened(LIMITS) as opened:
        with socket.create_connection(opened.server_address, timeout=PATIENCE_S) as connection:
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
        assert opened.refusal is None


def test_nothing_gets_through_afterwards(server):
    with gate.opened(LIMITS) as opened:
        pass
    with pytest.raises(OSError):
        ask(opened, server.url("a.mp4"))
