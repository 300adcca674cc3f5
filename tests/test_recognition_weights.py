"""Fetching published weights: resumed, remembered by their hash, and never the wrong file."""

from __future__ import annotations

import dataclasses
import errno
import json
import random
from pathlib import Path

import pytest
from conftest import FakeManifest
from range_server import range_server

from helpers.downloading import web
from helpers.faces import recognition_weights
from helpers.faces.recognition_weights import NETWORKS, weights_file
from helpers.settings import Settings
from helpers.tables import Workspace
from helpers.weights import BadWeights, MissingModel

FILE = NETWORKS["vggface"].file
BODY = b"\x89HDF\r\n\x1a\n" + random.Random(0).randbytes(500_000)
CHANGED = BODY[:-1] + b"?"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """A web server that has the weights; the network they belong to is small."""
    small = dataclasses.replace(NETWORKS["vggface"], parameters=len(BODY) // 4 - 100)
    monkeypatch.setitem(NETWORKS, "vggface", small)
    monkeypatch.setattr(recognition_weights, "_NAMES_BYTES", 1000)
    patient = web.Limits(size=1_000_000, stall_s=30.0, total_s=120.0, waits_s=(0.01,))
    monkeypatch.setattr(recognition_weights, "_LIMITS", patient)
    with range_server() as running:
        running.files[FILE] = BODY
        monkeypatch.setattr(recognition_weights, "RELEASES", running.url("")[:-1])
        yield running


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch):
    """Adds a fault to the address, as `range_server` understands it."""

    def add(text: str) -> None:
        class Faulty(recognition_weights.Network):
            @property
            def url(self) -> str:
                return super().url + text

        fields = dataclasses.asdict(NETWORKS["vggface"])
        monkeypatch.setitem(NETWORKS, "vggface", Faulty(**fields))

    return add


def note(workspace: Workspace) -> dict:
    return json.loads((workspace.local / "recognition" / f"{FILE}.json").read_text())


def by_hand(workspace: Workspace, body: bytes) -> Path:
    path = workspace.local / "recognition" / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_the_file_is_fetched_once_and_its_hash_is_noted(server, workspace) -> None:
    path = weights_file(workspace, "vggface")
    assert path == workspace.local / "recognition" / FILE and path.read_bytes() == BODY
    assert weights_file(workspace, "vggface") == path
    assert len(server.requests) == 1
    noted = note(workspace)
    assert noted["source"] == server.url(FILE) and noted["size"] == len(BODY)
    assert len(noted["sha256"]) == 64
    assert sorted(file.name for file in path.parent.iterdir()) == [".lock", FILE, f"{FILE}.json"]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, fault, workspace) -> None:
    fault("?drop=200000")
    assert weights_file(workspace, "vggface").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["", "bytes=200000-"]


@pytest.fixture
def given_up(server, fault, workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a session leaves that lost its connection after 200,000 bytes."""
    monkeypatch.setattr(recognition_weights, "_LIMITS", web.Limits(stall_s=30.0, waits_s=()))
    fault("?drop=200000")
    with pytest.raises(MissingModel, match="broke off.*run again to go on"):
        weights_file(workspace, "vggface")
    server.requests.clear()
    fault("")
    return workspace.local / "recognition" / f"{FILE}.unfinished"


def test_a_later_session_goes_on_where_the_last_one_gave_up(
    server, workspace, given_up: Path
) -> None:
    assert given_up.stat().st_size == 200_000
    assert weights_file(workspace, "vggface").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["bytes=200000-"]
    assert not given_up.exists()


def test_a_file_that_changed_between_two_sessions_is_fetched_whole(
    server, workspace, given_up: Path
) -> None:
    server.files[FILE] = CHANGED
    assert weights_file(workspace, "vggface").read_bytes() == CHANGED


def test_progress_is_shown(server, workspace, capsys: pytest.CaptureFixture) -> None:
    weights_file(workspace, "vggface")
    shown = capsys.readouterr()
    assert FILE in shown.err and "500k/500k" in shown.err
    assert f"from {server.url(FILE)}" in shown.out


@pytest.mark.parametrize("body", [BODY[:-2000], BODY + bytes(2000)])
def test_a_file_of_another_size_is_refused_and_not_kept(server, workspace, body: bytes) -> None:
    server.files[FILE] = body
    with pytest.raises(BadWeights, match=f"{len(body):,} bytes.*Expected: {FILE}"):
        weights_file(workspace, "vggface")
    assert not list((workspace.local / "recognition").glob("rcmalli*"))
    server.files[FILE] = BODY
    assert weights_file(workspace, "vggface").read_bytes() == BODY


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<!doctype html><title>Not found</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b"PK\x03\x04 something else", "no HDF5 file"),
        (b"", "empty"),
    ],
)
def test_something_else_instead_of_the_file_is_named(
    server, workspace, body: bytes, says: str
) -> None:
    path = by_hand(workspace, body)
    with pytest.raises(BadWeights, match=f"is .*{says}.*Expected: {FILE}") as caught:
        weights_file(workspace, "vggface")
    assert str(path) in str(caught.value)
    path.unlink()
    server.files[FILE] = body
    with pytest.raises(BadWeights, match=says):
        weights_file(workspace, "vggface")


def test_a_web_page_of_the_server_is_named(server, workspace) -> None:
    server.files[FILE], server.kinds[FILE] = b"<html>Please log in</html>", "text/html"
    with pytest.raises(MissingModel, match="web page, not a file of weights"):
        weights_file(workspace, "vggface")


def test_a_file_that_changed_after_its_first_use_is_refused(server, workspace) -> None:
    path = weights_file(workspace, "vggface")
    first = note(workspace)["sha256"]
    path.write_bytes(CHANGED)
    with pytest.raises(BadWeights, match=f"has changed.*first used it was {first}"):
        weights_file(workspace, "vggface")
    path.unlink()  # Fetched again it is good; and what is not the same is not accepted.
    assert weights_file(workspace, "vggface").read_bytes() == BODY
    path.unlink()
    server.files[FILE] = CHANGED
    with pytest.raises(BadWeights, match="has changed"):
        weights_file(workspace, "vggface")
    assert not path.exists()


def test_without_a_network_the_error_says_where_to_get_it_and_where_to_put_it(
    server, workspace, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition_weights, "RELEASES", f"http://{nobody}/nobody")
    with pytest.raises(MissingModel) as caught:
        weights_file(workspace, "vggface")
    said = str(caught.value)
    for part in (
        f"http://{nobody}/nobody/{FILE}",
        str(workspace.local / "recognition"),
        "no connection",
        "FEATURES = 'dlib'",
    ):
        assert part in said
    assert by_hand(workspace, BODY) == weights_file(workspace, "vggface")
    assert note(workspace)["source"] == "put there by hand"


def test_a_full_disk_is_said(server, workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(web, "fetch", full)
    with pytest.raises(MissingModel, match="disk is too full"):
        weights_file(workspace, "vggface")


def test_another_machine_takes_the_file_from_drive(server, tmp_path: Path) -> None:
    def machine(name: str) -> Workspace:
        drive = tmp_path / "drive"
        drive.mkdir(exist_ok=True)
        return Workspace(tmp_path / name, Settings.make(), drive).use(FakeManifest())

    weights_file(machine("one"), "vggface")
    server.files.clear()
    path = weights_file(machine("two"), "vggface")
    assert path.read_bytes() == BODY and len(server.requests) == 1
    assert note(machine("two")) == note(machine("one"))
    by_hand(machine("three"), CHANGED)  # Drive knows what the first machine used.
    with pytest.raises(BadWeights, match="has changed"):
        weights_file(machine("three"), "vggface")


def test_deleting_everything_deletes_the_weights(server, workspace) -> None:
    folder = weights_file(workspace, "vggface").parent
    assert str(folder) in workspace.delete_everything() and not folder.exists()


def test_the_sizes_expected_are_those_of_files_that_keras_2_wrote() -> None:
    """Measured on files of the whole networks, written by tf-keras 2.21."""
    written = {"vggface": 580_073_544, "resnet50": 165_445_876, "senet50": 175_746_316}
    for kind, size in written.items():
        spare = size - 4 * NETWORKS[kind].parameters
        assert 0 < spare < recognition_weights._NAMES_BYTES / 3
