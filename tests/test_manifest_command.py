"""`python -m helpers manifest`: what is wrong with a manifest, and manifests of the corpora."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from range_server import range_server

from helpers import __main__ as command
from helpers import manifests

GOOD = {
    "clip_id": "anna-1",
    "corpus": "mine",
    "source": "https",
    "locator": "https://example.org/anna.mp4",
    "start_s": "1.5",
    "end_s": "7.5",
    "face_x": "",
    "face_y": "",
    "speaker_id": "anna",
    "split": "train",
}


@pytest.fixture
def write(tmp_path: Path):
    """Writes a manifest of rows that differ from a good one; returns its path."""

    def written(*others: dict) -> Path:
        path = tmp_path / "manifest.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, GOOD)
            writer.writeheader()
            for number, other in enumerate(others):
                writer.writerow({**GOOD, "clip_id": f"anna-{number}", **other})
        return path

    return written


def check(path: Path, capsys: pytest.CaptureFixture, *options: str) -> tuple[int, str]:
    code = command.main(["manifest", "check", str(path), *options])
    return code, capsys.readouterr().out


def test_a_good_manifest_is_counted(write, capsys):
    code, told = check(
        write({}, {"speaker_id": "ben", "split": "test", "start_s": "7.5", "end_s": "9"}), capsys
    )
    assert code == 0
    assert "2 rows of 2 speakers (1 in train, 0 in validation, 1 in test)" in told


def test_all_problems_are_named_with_their_rows(write, capsys):
    code, told = check(write({}, *[{"face_x": "2"}] * 20), capsys)
    assert code == 1
    lines = told.strip().splitlines()
    assert len(lines) == 40, "face_x is out of range, and face_y is missing"
    assert lines[0].startswith("manifest.csv, line 3, column face_x: ")
    assert "line 22" in lines[-1]


HOSTILE = [
    "$(touch hacked)",
    "a\nb",
    "-rf",
    "../../etc/passwd",
    "x" * 300,
    "a\u202egnp.4pm",
    "`id`",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("column", ["clip_id", "speaker_id", "corpus"])
def test_hostile_names_are_refused_with_their_row(write, capsys, column, text):
    code, told = check(write({}, {column: text}), capsys)
    assert code == 1
    assert "line 3, column" in told
    assert column in told
    assert "\u202e" not in told and len(told) < 600, "the message does not pass the trick on"


@pytest.mark.parametrize(
    ("source", "locator"),
    [
        ("https", "file:///etc/passwd"),
        ("https", "ftp://example.org/a.mp4"),
        ("https", "https://example.org/$(id) .mp4"),
        ("https", "https://good.example.org@evil.example.org/a.mp4"),
        ("https", "https:///etc/passwd"),
        ("https", "https://example.org/" + "a" * 2000),
        ("https", "https://example.org/\u202egnp.mp4"),
        ("https", "https://127.0.0.1/a.mp4"),
        ("https", "http://127.0.0.1:8000/a.mp4"),
        ("https", "https://localhost/a.mp4"),
        ("https", "https://printer/a.mp4"),
        ("https", "https://nas.local/a.mp4"),
        ("https", "https://169.254.169.254/latest/meta-data"),
        ("https", "https://10.1.2.3/a.mp4"),
        ("https", "https://[::1]/a.mp4"),
        ("https", "https://[2002:7f00:1::]/a.mp4"),
        ("https", "https://[64:ff9b::7f00:1]/a.mp4"),
        ("https", "https://[fe80::1%25eth0]/a.mp4"),
        ("https", "https://2130706433/a.mp4"),
        ("https", "https://0x7f000001/a.mp4"),
        ("https", "https://127.1/a.mp4"),
        ("zip", "https://192.168.0.1/a.zip#a.mp4"),
        ("zip", "https://example.org/a.zip"),
        ("zip", "https://example.org/a.zip#/etc/passwd"),
        ("zip", "https://example.org/a.zip#../up.mp4"),
        ("zip", "https://example.org/a.zip#a/%2e%2e/%2e%2e/up.mp4"),
        ("zip", "https://example.org/a.zip#a%0ab.mp4"),
        ("youtube", "$(reboot)..."),
        ("youtube", "dQw4w9WgXcQ\n--exec"),
        ("file", "../../etc/passwd"),
        ("file", "a\u202egnp.4pm"),
        ("file", "~root/a.mp4"),
        ("file", "x" * 300),
    ],
)
def test_a_row_that_leads_where_it_should_not_is_refused(write, capsys, source, locator):
    code, told = check(write({}, {"source": source, "locator": locator}), capsys)
    assert code == 1
    assert "manifest.csv, line 3, column locator" in told


def test_private_addresses_can_be_allowed(write, capsys):
    path = write({"locator": "http://127.0.0.1:8000/a.mp4"})
    assert check(path, capsys, "--allow-private-addresses")[0] == 0


def test_a_file_that_looks_like_an_option_stays_a_file(write, tmp_path):
    row = manifests.read_csv(write({"source": "file", "locator": "-rf.mp4"})).rows[0]
    assert row.locator == str(tmp_path / "-rf.mp4")


def test_avspeech_csv_is_known_by_its_look(tmp_path, capsys):
    path = tmp_path / "avspeech_test.csv"
    path.write_text("dQw4w9WgXcQ,90.0,94.5,0.4,0.3\n" * 1 + "aaaaaaaaaaa,1,0,0.4,0.3\n")
    code, told = check(path, capsys)
    assert code == 1 and "avspeech_test.csv, line 2, column end_s" in told
    path.write_text("dQw4w9WgXcQ,90.0,94.5,0.4,0.3\n")
    assert check(path, capsys)[0] == 0


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_what_is_not_there_is_named(tmp_path, capsys, name):
    code, told = check(tmp_path / name, capsys)
    assert code == 1 and told


def test_a_built_manifest_passes_its_own_check(tmp_path, capsys):
    out = tmp_path / "ravdess.csv"
    assert command.main(["manifest", "build", "ravdess", "--mode", "full", "--out", str(out)]) == 0
    assert "1,440 rows of 24 speakers" in capsys.readouterr().err
    assert check(out, capsys)[0] == 0
    assert len(out.read_text().splitlines()) == 1441


def test_a_manifest_is_printed_unless_a_file_is_named(capsys):
    assert command.main(["manifest", "build", "ravdess", "--row-range", "1-2"]) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_a_file_name_that_is_not_utf_8_is_written_as_it_is(tmp_path, capfdbinary):
    videos, out = tmp_path / "videos", tmp_path / "out.csv"
    videos.mkdir()
    try:
        Path(os.fsdecode(os.fsencode(videos) + b"/caf\xe9.mp4")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has no such names")
    build = ["manifest", "build", "my_videos", "--videos", str(videos)]
    assert command.main(build) == command.main([*build, "--out", str(out)]) == 0
    assert b"/caf\xe9.mp4," in out.read_bytes()
    assert capfdbinary.readouterr().out == out.read_bytes()
    assert command.main(["manifest", "check", str(out)]) == 1
    assert b"line 2: it is not UTF-8" in capfdbinary.readouterr().out


def test_what_is_said_beside_the_rows_is_not_among_them(tmp_path, capsys):
    with range_server() as server:
        server.files["m.csv"] = b"dQw4w9WgXcQ,90.0,94.5,0.4,0.3\n"
        server.kinds["m.csv"] = "text/csv"
        build = ["build", "avspeech", "--manifest", server.url("m.csv"), "--workspace"]
        build += [str(tmp_path), "--accept-youtube-terms", "--allow-private-addresses"]
        assert command.main(["manifest", *build]) == command.main(["manifest", *build]) == 0
    told = capsys.readouterr()
    assert "is kept from" in told.err
    assert told.out.count("\n") == 4, "twice a line of columns and a row"


def test_a_manifest_that_cannot_be_written_is_no_crash(tmp_path, capsys):
    out = str(tmp_path / "no" / "folder.csv")
    assert command.main(["manifest", "build", "ravdess", "--out", out]) == 1
    assert "folder.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "timit"), "crema_d"),
        (("build", "avspeech"), "terms"),
        (("build", "ravdess", "--row-range", "x"), "1001-2000"),
        (("check",), "FILE"),
        (("mend", "x.csv"), "check"),
    ],
)
def test_a_wrong_command_is_answered_in_one_sentence(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        command.main(["manifest", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert words in told and len(told.strip().splitlines()) == 1


def test_the_verdict_reaches_the_shell(write):
    line = [sys.executable, "-m", "helpers", "manifest", "check", str(write({"split": "tset"}))]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout.startswith("manifest.csv, line 2, column split: 'tset'")
