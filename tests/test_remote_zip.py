"""Single members of a remote zip: few bytes, the same bytes, and nothing that was not stated."""

from __future__ import annotations

import dataclasses
import errno
import random
import struct
import urllib.parse
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from range_server import RangeServer, range_server

from helpers.corpora import remote_zip
from helpers.downloading import web
from helpers.downloading.web import Refusal

PATIENT = web.Limits(stall_s=30, waits_s=(0.05,))
MEMBER = "Actor_01/01-01-01-01-01-01-01.mp4"


@pytest.fixture
def server():
    remote_zip._archive.cache_clear()
    with range_server() as running:
        yield running


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return buffer.getvalue()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def fetched(server: RangeServer, tmp_path: Path, member: str = MEMBER, **limits) -> bytes:
    limits = dataclasses.replace(PATIENT, **limits)
    locator = f"{server.url('a.zip')}#{urllib.parse.quote(member)}"
    remote_zip.fetch_member(locator, tmp_path / "clip", limits)
    return (tmp_path / "clip").read_bytes()


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_arrives_whole_without_the_rest(server, tmp_path, kind):
    clips = {f"Actor_01/{n}.mp4": noise(300_000, n) for n in range(20)} | {MEMBER: noise(400_000)}
    server.files["a.zip"] = zipped(clips, kind)
    assert fetched(server, tmp_path) == clips[MEMBER]
    assert len(server.requests) == 2, "the end with the contents, and the member"
    fetched(server, tmp_path, "Actor_01/3.mp4")
    assert len(server.requests) == 3, "the contents are kept"
    kept = remote_zip._archive(server.url("a.zip"), PATIENT)
    assert not kept.fp._window.content, "the bytes of the last member are not"


def test_a_long_table_of_contents_is_read(server, tmp_path):
    names = {f"s1/{'x' * 40}{n}.mpg": b"" for n in range(1500)} | {"s1/bbaf2n.mpg": b"last"}
    server.files["a.zip"] = zipped(names)
    assert fetched(server, tmp_path, "s1/bbaf2n.mpg") == b"last"
    assert remote_zip.members(server.url("a.zip")) == list(names)


def test_a_long_member_comes_in_pieces_and_is_never_in_memory_as_a_whole(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote_zip, "_LARGEST_PIECE", 1_000_000)
    content = noise(3_500_000)
    server.files["a.zip"] = zipped({MEMBER: content}, zipfile.ZIP_STORED)
    sizes = []
    read = web.read_range
    monkeypatch.setattr(web, "read_range", lambda *given: sizes.append(given[2]) or read(*given))
    assert fetched(server, tmp_path) == content
    assert len(sizes) <= 6, sizes
    assert max(sizes) <= 1_000_000


def test_a_table_of_contents_without_end_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_zip, "LARGEST_CONTENTS", 100_000)
    server.files["a.zip"] = zipped({f"{'x' * 90}{n}": b"" for n in range(1000)})
    with pytest.raises(Refusal, match="table of contents is too large"):
        fetched(server, tmp_path)


def test_a_folder_is_no_member(server, tmp_path):
    server.files["a.zip"] = zipped({"s1/": b"", "s1/a b.mpg": b"there"})
    assert remote_zip.members(server.url("a.zip")) == ["s1/a b.mpg"]
    assert fetched(server, tmp_path, "s1/a b.mpg") == b"there"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up.mp4",
        "a/../../up.mp4",
        "..\\up.mp4",
        "C:/a.mp4",
        "a\n.mp4",
        "a\u202e.mp4",
    ],
)
def test_an_archive_that_names_files_outside_its_folder_is_refused(server, tmp_path, name):
    server.files["a.zip"] = zipped({MEMBER: b"good", name: b"evil"})
    with pytest.raises(Refusal, match="The archive is refused") as caught:
        fetched(server, tmp_path)
    assert caught.value.status == "rejected"
    assert not (tmp_path / "clip").exists()


def test_a_member_larger_than_allowed_is_refused_before_it_is_fetched(server, tmp_path):
    server.files["a.zip"] = zipped({MEMBER: bytes(10_000_000)})
    with pytest.raises(Refusal, match="larger than 1 MB"):
        fetched(server, tmp_path, size=1_000_000)


def test_a_member_larger_than_stated_is_cut_off(server, tmp_path):
    content = zipped({MEMBER: bytes(10_000_000)})
    stated = struct.pack("<I", 10_000_000)
    server.files["a.zip"] = content.replace(stated, struct.pack("<I", 1000))
    with pytest.raises(Refusal, match="not as long as stated"):
        fetched(server, tmp_path)
    assert (tmp_path / "clip").stat().st_size <= 1000


KINDS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("place", [200, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_member_is_refused(server, tmp_path, kind, place):
    words = bytes(random.Random(1).choices(b"abcdefgh", k=100_000))  # can be compressed
    content = bytearray(zipped({MEMBER: words}, kind))
    content[place] ^= 0xFF
    server.files["a.zip"] = bytes(content)
    with pytest.raises(Refusal, match="damaged") as caught:
        fetched(server, tmp_path)
    assert caught.value.status == "rejected"


def test_a_full_disk_is_not_the_fault_of_the_archive(server, tmp_path, monkeypatch):
    def full(*_given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote_zip, "_extract", full)
    server.files["a.zip"] = zipped({MEMBER: b"x"})
    with pytest.raises(OSError, match="No space left"):
        fetched(server, tmp_path)


def test_what_is_no_archive_is_refused(server, tmp_path):
    server.files["a.zip"] = b"version https://git-lfs.github.com/spec/v1\n"
    with pytest.raises(Refusal, match="no zip archive"):
        fetched(server, tmp_path)


def test_an_archive_of_a_later_kind_is_refused(server, tmp_path):
    content = bytearray(zipped({MEMBER: b"x"}))
    content[content.index(b"PK\1\2") + 6] = 99  # the version that it takes to read it
    server.files["a.zip"] = bytes(content)
    with pytest.raises(Refusal, match="no zip archive, or a damaged one"):
        fetched(server, tmp_path)


def test_a_member_that_is_not_there_is_gone(server, tmp_path):
    server.files["a.zip"] = zipped({"other.mp4": b"x"})
    with pytest.raises(Refusal) as caught:
        fetched(server, tmp_path)
    assert caught.value.status == "gone"


def test_a_server_without_ranges_is_named(server, tmp_path):
    server.files["a.zip"] = zipped({MEMBER: b"x"})
    with pytest.raises(Refusal, match="does not give pieces"):
        remote_zip.fetch_member(f"{server.url('a.zip')}?norange#{MEMBER}", tmp_path / "clip")


def test_trouble_that_passes_is_tried_again(server, tmp_path):
    server.files["a.zip"] = zipped({MEMBER: b"good"})
    locator = f"{server.url('a.zip')}?status=503&times=1#{MEMBER}"
    remote_zip.fetch_member(locator, tmp_path / "clip", PATIENT)
    assert (tmp_path / "clip").read_bytes() == b"good"


def test_an_archive_that_changes_meanwhile_is_noticed_and_read_anew(server, tmp_path):
    server.files["a.zip"] = zipped({"first.mp4": noise(200_000), MEMBER: noise(200_000, 1)})
    fetched(server, tmp_path, "first.mp4")
    server.files["a.zip"] = zipped({MEMBER: noise(300_000, 2)})
    with pytest.raises(Refusal, match="changed meanwhile|another part|damaged"):
        fetched(server, tmp_path)
    assert fetched(server, tmp_path) == noise(300_000, 2)


def test_a_private_address_is_refused_where_it_is_not_allowed(server, tmp_path):
    server.files["a.zip"] = zipped({MEMBER: b"x"})
    with pytest.raises(Refusal, match="own network"):
        fetched(server, tmp_path, private=False)
