"""Drive: a second copy that may be slow, full, wrong or gone, while the work goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_tables import KEYS, SCHEMA, build, rows_of

from helpers import session, tables
from helpers.settings import Settings
from helpers.storage import drive
from helpers.tables import Workspace


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(tables, "SHARD_CLIPS", 4)
    monkeypatch.setattr(drive, "_FLUSH_WAITS_S", (0.05, 0.2, 0.2))


@pytest.fixture
def on_colab(colab, tmp_path):
    """Starts sessions on Colab, each on a machine of its own, that share one Drive."""

    def workspace(machine: str) -> Workspace:
        settings = Settings.make(rows=2, use_drive=True, workspace=str(tmp_path / machine))
        return session.start(settings, "01_download").workspace

    yield workspace
    colab.drive.break_with(None)


def copies(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "drive").rglob("*.parquet"))


def complaints(capsys) -> int:
    said = capsys.readouterr().out
    return said.count("does not answer") + said.count("is full")


# --- a Drive that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN])
@pytest.mark.parametrize("after", [0, 3, 9])
def test_an_error_at_any_access_is_reported_once_and_the_work_goes_on(
    on_colab, colab, capsys, number, after
):
    workspace = on_colab("first")
    colab.drive.break_with(number, after=after)
    assert build(workspace).made == 10
    assert workspace.require("clips").read()["clip_id"].to_pylist() == KEYS
    assert complaints(capsys) <= 1
    assert build(workspace).made == 0


def test_what_drive_missed_reaches_it_in_a_later_session(on_colab, colab, tmp_path):
    colab.drive.break_with(None)
    first = on_colab("first")
    colab.drive.break_with(errno.EIO)
    build(first)
    colab.drive.break_with(None)
    assert not copies(tmp_path)
    assert build(on_colab("first")).made == 0
    assert len(copies(tmp_path)) == 3
    assert on_colab("second").require("clips").read().num_rows == 10


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC])
def test_a_drive_that_is_full_says_so_and_keeps_what_it_has(
    on_colab, colab, tmp_path, capsys, number
):
    workspace = on_colab("first")
    colab.drive.break_with(number, writing_only=True, after=4)
    build(workspace)
    said = capsys.readouterr().out
    assert said.count("Google Drive is full") == 1 and "Make room there" in said
    assert workspace.require("clips").read().num_rows == 10
    colab.drive.break_with(None)
    there = len(copies(tmp_path))
    assert build(on_colab("second")).kept <= 4 * there
    assert not list((tmp_path / "drive").rglob("*.part"))


def test_the_notebooks_machine_may_be_full_without_blaming_drive(on_colab, monkeypatch):
    workspace = on_colab("first")

    def full(rows, path, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="The disk is full: 00000.parquet"):
        build(workspace)


def after_renaming(monkeypatch, do):
    """Calls `do` with every file on Drive that has just got its final name."""
    replace = Path.replace

    def replaced(self, target):
        replace(self, target)
        if "drive" in Path(target).parts and str(target).endswith(".parquet"):
            do(Path(target))

    monkeypatch.setattr(Path, "replace", replaced)


def test_a_copy_that_is_shown_late_is_waited_for(on_colab, monkeypatch, capsys, tmp_path):
    hidden = {}

    def late(path):
        hidden[path] = path.read_bytes()
        path.write_bytes(b"")

    def shown(seconds):
        waits.append(seconds)
        if len(waits) % 2 == 0:  # After the second look of three.
            for path, content in hidden.items():
                path.write_bytes(content)

    waits = []
    monkeypatch.setattr(drive.time, "sleep", shown)
    after_renaming(monkeypatch, late)
    build(on_colab("first"))
    assert complaints(capsys) == 0
    assert len(copies(tmp_path)) == 3
    assert waits == [0.05, 0.2] * 3


def test_a_copy_that_vanishes_is_copied_again(on_colab, monkeypatch, capsys, tmp_path):
    gone = []

    def vanish(path):
        if len(gone) < 2:
            gone.append(path)
            path.unlink()

    after_renaming(monkeypatch, vanish)
    build(on_colab("first"))
    assert len(gone) == 2 and complaints(capsys) == 1
    assert len(copies(tmp_path)) == 3, "at the end Drive is looked through once more"
    assert on_colab("second").require("clips").read().num_rows == 10


def test_a_copy_that_vanishes_after_all_is_remade_elsewhere(on_colab, tmp_path):
    build(on_colab("first"))
    copies(tmp_path)[1].unlink()
    assert build(on_colab("second")).kept == 6


def test_an_index_that_cannot_be_read_is_not_one_that_is_not_there(
    on_colab, colab, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(drive.time, "sleep", lambda seconds: None)
    first = on_colab("first")
    build(first, make=different)
    before = {path: path.read_bytes() for path in (tmp_path / "drive").rglob("*.*")}
    colab.drive.break_with(errno.EIO, only="index.json")
    second = on_colab("second")
    assert build(second, make=different).made == 10
    assert second.require("clips").read().num_rows == 10
    assert complaints(capsys) == 1
    colab.drive.break_with(None)
    assert build(second, make=different).made == 0
    assert before == {path: path.read_bytes() for path in (tmp_path / "drive").rglob("*.*")}
    assert on_colab("third").require("clips").content == first.table("clips").content


def test_an_index_that_can_be_read_a_moment_later_is_read(on_colab, colab, monkeypatch, capsys):
    build(on_colab("first"))
    second = on_colab("second")
    colab.drive.break_with(errno.EIO, only="index.json")
    monkeypatch.setattr(drive.time, "sleep", lambda seconds: colab.drive.break_with(None))
    assert build(second).made == 0
    assert complaints(capsys) == 0


def test_no_folder_of_tables_on_drive_is_ever_listed(on_colab, colab):
    build(on_colab("first"))
    on_colab("second").require("clips").read()
    assert colab.drive.listed == []


# --- two sessions on one Drive -------------------------------------------------------------------


def different(keys):
    """Rows whose content differs at every making, as that of real downloads may."""
    return [{**row, "video": os.urandom(50)} for row in rows_of(keys)]


@contextlib.contextmanager
def stopped_before(key):
    def stops(keys):
        if key in keys:
            raise KeyboardInterrupt
        return different(keys)

    with pytest.raises(KeyboardInterrupt):
        yield stops


def test_two_sessions_may_make_one_table_side_by_side(on_colab, tmp_path):
    """One is stopped, the other goes past it, then the first goes on with what it has."""
    one, two = on_colab("one"), on_colab("two")
    with stopped_before("clip-4") as make:
        build(one, make=make)
    shutil.rmtree(tmp_path / "drive")  # The second session does not see what the first one has.
    with stopped_before("clip-8") as make:
        build(two, make=make)
    build(one, make=different)
    build(two, make=different)
    third = on_colab("three").require("clips")
    assert third.read()["clip_id"].to_pylist() == KEYS
    assert third.content in (one.table("clips").content, two.table("clips").content)


def test_a_session_behind_does_not_undo_what_another_has_finished(on_colab):
    ahead, behind = on_colab("ahead"), on_colab("behind")

    def slow(keys):
        if keys[0] == "clip-4":  # In the middle of this session's work the other one finishes.
            build(ahead, make=different)
        if keys[0] == "clip-8":
            raise KeyboardInterrupt
        return different(keys)

    with pytest.raises(KeyboardInterrupt):
        build(behind, make=slow)
    third = on_colab("three").require("clips")
    assert third.content == ahead.table("clips").content


def failing(keys):
    return [{**row, "split": "failed"} for row in rows_of(keys)]


def try_again(workspace, make):
    """Runs 01 again: rows that failed are tried again."""
    table = workspace.table("clips")
    return table.build(KEYS, make, SCHEMA, False, retry={"split": "failed"})


def test_a_shard_that_was_replaced_leaves_its_old_copy_to_others_for_one_more_build(
    on_colab, tmp_path
):
    first = on_colab("first")
    build(first, make=failing)
    late = on_colab("late").table("clips")
    late.adopt(late.index())
    try_again(first, rows_of)
    assert len(copies(tmp_path)) == 6
    assert set(late.read()["split"].to_pylist()) == {"failed"}, "as it was when it looked"
    assert set(on_colab("second").require("clips").read()["split"].to_pylist()) == {"train", "test"}
    try_again(first, rows_of)
    assert len(copies(tmp_path)) == 3
    assert set(on_colab("third").require("clips").read()["split"].to_pylist()) == {"train", "test"}


def test_a_session_that_is_behind_takes_over_what_another_has_mended(on_colab, capsys):
    one, two = on_colab("one"), on_colab("two")
    build(one, make=failing)
    try_again(two, rows_of)
    assert try_again(one, failing).made == 0
    for workspace in (one, on_colab("three")):
        rows = workspace.require("clips").read()["split"].to_pylist()
        assert "failed" not in rows
    assert "damaged" not in capsys.readouterr().out
    assert one.table("clips").content == two.table("clips").content


def test_a_session_that_overlaps_another_does_not_undo_what_that_has_mended(on_colab):
    one, two = on_colab("one"), on_colab("two")
    build(one, make=failing)

    def slowly(keys):
        if keys[0] == KEYS[0]:  # In the middle of this session's tries the other one has success.
            try_again(two, rows_of)
        return failing(keys) if keys[0] != KEYS[-2] else rows_of(keys)

    try_again(one, slowly)
    for workspace in (on_colab("three"), one):
        try_again(workspace, failing)
        assert "failed" not in workspace.require("clips").read()["split"].to_pylist()


def test_an_index_without_an_edition_is_the_first_one(on_colab, tmp_path):
    one, two = on_colab("one"), on_colab("two")
    build(one, make=failing)
    build(two, make=failing)
    for path in tmp_path.rglob("index.json"):
        index = json.loads(path.read_text())
        del index["edition"]
        path.write_text(json.dumps(index))
    assert two.require("clips").read().num_rows == 10
    try_again(two, rows_of)
    assert try_again(one, failing).made == 0
    assert "failed" not in one.require("clips").read()["split"].to_pylist()


def test_clips_that_are_here_stay_when_another_session_drops_its_own(on_colab, tmp_path):
    one = on_colab("one")
    settings = dataclasses.replace(one.settings, keep_clips=False)
    two = Workspace(tmp_path / "two", settings, tmp_path / "drive" / "MyDrive" / "speech2face")
    two.use(one._manifest)
    for workspace in (one, two):
        for name in ("clips", "faces", "speech"):
            build(workspace, name)
    two.drop_clips()
    assert one.require("clips").read(["video"])["video"].null_count == 0
    assert build(one).made == 0
    assert one.require("clips").read(["video"])["video"].null_count == 0
    assert on_colab("three").table("clips").dropped == ("video",)
