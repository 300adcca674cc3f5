"""Tables and checkpoints: whole or not there, never mixed, never believed without a checksum."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, FakeManifest

from helpers import tables
from helpers.settings import Settings
from helpers.storage import building, drive
from helpers.tables import DamagedTable, MissingTable, Table, Workspace

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("split", pa.string()),
        ("video", pa.binary()),
        ("feature", pa.list_(pa.float32())),
    ]
)
KEYS = [f"clip-{number}" for number in range(10)]


def rows_of(keys):
    """One row per key, as a stage would make them."""
    return [
        {
            "clip_id": key,
            "split": "test" if key.endswith(("0", "5")) else "train",
            "video": key.encode() * 100,
            "feature": np.full(3, int(key.split("-")[1]), np.float32),
        }
        for key in keys
    ]


def stopping_at(clip):
    """Makes rows until somebody stops it at a clip."""

    def stops(keys):
        if clip in keys:
            raise KeyboardInterrupt
        return rows_of(keys)

    return stops


class Maker:
    """Makes rows and remembers which keys it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, keys):
        self.asked += keys
        return rows_of(keys)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(tables, "SHARD_CLIPS", 4)
    monkeypatch.setattr(drive, "_FLUSH_WAITS_S", (0.01, 0.02))


@pytest.fixture
def make():
    return Maker()


@pytest.fixture
def on_drive(tmp_path):
    """Makes workspaces, each on a machine of its own, that share one Drive."""

    def workspace(machine: str, **settings) -> Workspace:
        made = Workspace(tmp_path / machine, Settings.make(**settings), tmp_path / "drive")
        return made.use(FakeManifest())

    return workspace


def build(workspace, name="clips", make=rows_of, keys=KEYS, schema=SCHEMA):
    return workspace.table(name).build(keys, make, schema, progress=False)


def shards(table):
    return sorted(table.folder.glob("*.parquet"))


# --- building and reading ------------------------------------------------------------------------


def test_a_table_gives_back_what_was_made_in_the_order_of_the_keys(workspace):
    def in_any_order(keys):
        return rows_of(keys[::-1])

    build(workspace, make=in_any_order)
    table = workspace.require("clips").read()
    assert table.column("clip_id").to_pylist() == KEYS
    assert table.to_pylist()[7]["feature"] == [7.0, 7.0, 7.0]
    assert table.schema == SCHEMA


def test_ten_clips_lie_in_shards_of_four(workspace):
    build(workspace)
    assert [path.name for path in shards(workspace.table("clips"))] == [
        "00000.parquet",
        "00001.parquet",
        "00002.parquet",
    ]


def test_a_second_run_does_nothing(workspace, make):
    assert str(build(workspace, make=make)).startswith("10 made, 0 kept, 10 rows, ")
    before = [path.stat().st_mtime_ns for path in workspace.table("clips").folder.iterdir()]
    assert str(build(workspace, make=make)).startswith("0 made, 10 kept, 10 rows, ")
    assert make.asked == KEYS
    assert before == [path.stat().st_mtime_ns for path in workspace.table("clips").folder.iterdir()]


def test_a_report_tells_the_time_and_the_rate_of_what_was_made(workspace):
    made = build(workspace)
    assert made.seconds > 0 and str(made).endswith(" a second")
    assert made.metrics()["clips_made"] == 10
    assert made.metrics()["clips_per_second"] == pytest.approx(10 / made.seconds, rel=0.01)
    kept = build(workspace)
    assert kept.metrics() == {"clips_made": 0} and str(kept).endswith(" s")


def test_a_clip_may_have_several_rows(workspace):
    report = build(workspace, make=lambda keys: [row for row in rows_of(keys) for _ in range(3)])
    assert (report.made, report.rows) == (10, 30)
    read = workspace.require("clips").read(["clip_id"])["clip_id"].to_pylist()
    assert read == [key for key in KEYS for _ in range(3)]


def test_rows_are_chosen_by_value_or_by_several_values(workspace):
    build(workspace)
    table = workspace.require("clips")
    assert table.read(["clip_id"], {"split": "test"}).to_pylist() == [
        {"clip_id": "clip-0"},
        {"clip_id": "clip-5"},
    ]
    two = table.read(where={"clip_id": ["clip-9", "clip-1"], "split": "train"})
    assert two["clip_id"].to_pylist() == ["clip-1", "clip-9"]
    assert two.schema == SCHEMA
    assert table.read(["clip_id"], {"split": "nowhere"}).num_rows == 0


def test_counts_say_how_often_each_value_occurs(workspace):
    build(workspace)
    assert workspace.require("clips").counts("split") == {"train": 8, "test": 2}


def test_reading_row_by_row_holds_a_part_of_the_table_in_memory(workspace):
    keys = [f"clip-{number}" for number in range(60)]

    def heavy(some):
        return [{**row, "video": os.urandom(400_000)} for row in rows_of(some)]

    build(workspace, make=heavy, keys=keys)
    base = pa.total_allocated_bytes()
    most = 0
    count = 0
    for _ in workspace.require("clips").rows():
        count += 1
        most = max(most, pa.total_allocated_bytes() - base)
    assert count == 60
    assert most < 8_000_000, "24 MB of table, 1.6 MB a shard"


def test_a_table_without_rows_can_be_read(workspace):
    build(workspace, make=lambda keys: [], schema=pa.schema([("speaker_id", pa.string())]))
    assert workspace.require("clips").read().num_rows == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda keys: rows_of(keys)[1:], "'clip-0' was lost"),
        (lambda keys: rows_of([*keys, "clip-77"]), "'clip-77' was not asked for"),
        (lambda keys: [{**row, "colour": 1} for row in rows_of(keys)], "the column 'colour'"),
    ],
)
def test_a_stage_that_loses_or_invents_something_is_told_so(workspace, make, words):
    with pytest.raises(ValueError, match=words):
        build(workspace, make=make)


def test_a_key_may_be_there_only_once(workspace):
    with pytest.raises(ValueError, match="'clip-0'.*more than once"):
        build(workspace, keys=["clip-0", "clip-0"])


def test_a_stage_with_new_columns_makes_its_table_again(workspace, make):
    build(workspace)
    wider = SCHEMA.append(pa.field("sex", pa.string()))
    assert build(workspace, make=make, schema=wider).made == 10
    assert workspace.require("clips").read().schema == wider


def test_rows_that_failed_are_tried_again_twice_in_later_runs(workspace):
    asked = []

    def make(keys, helped=()):
        asked.append(list(keys))
        return [
            row | {"split": "failed" if row["clip_id"] in failing - set(helped) else "ok"}
            for row in rows_of(keys)
        ]

    def run(helped=()):
        asked.clear()
        table = workspace.table("clips")
        return table.build(KEYS, lambda k: make(k, helped), SCHEMA, retry={"split": "failed"})

    failing = {"clip-1", "clip-5", "clip-6"}
    run()
    before = workspace.table("clips").content
    report = run()
    assert asked == [["clip-1"], ["clip-5", "clip-6"]]
    assert (report.made, report.kept) == (3, 7)
    assert workspace.table("clips").content == before  # Nothing helped: 02 and 03 stay valid.
    run(helped=["clip-5"])
    table = workspace.require("clips")
    assert [row["clip_id"] for row in table.rows() if row["split"] == "failed"] == [
        "clip-1",
        "clip-6",
    ]
    assert [row["clip_id"] for row in table.rows()] == KEYS
    assert run().made == 0
    assert asked == []


def test_other_keys_make_only_the_shards_that_differ(workspace, make):
    build(workspace)
    assert build(workspace, make=make, keys=KEYS[:6]).kept == 4
    assert make.asked == KEYS[4:6]
    assert workspace.require("clips").read().num_rows == 6
    assert len(shards(workspace.table("clips"))) == 2


# --- which table ---------------------------------------------------------------------------------


def test_changed_settings_make_a_new_table_and_keep_the_old(workspace, make):
    build(workspace)
    build(workspace, "faces")
    old = workspace.require("faces")
    other = Workspace(workspace.local, Settings.make(frames_per_clip=5)).use(FakeManifest())
    assert other.require("clips").folder == workspace.require("clips").folder
    assert not other.table("faces").complete
    build(other, "faces", make)
    assert make.asked == KEYS
    assert workspace.require("faces").folder == old.folder != other.require("faces").folder


def test_an_index_that_belongs_to_another_table_is_not_believed(workspace, make):
    build(workspace)
    folder = workspace.table("clips").folder
    workspace.use(FakeManifest("manifest-2"))
    shutil.copytree(folder, workspace.table("clips").folder)
    assert not workspace.table("clips").complete
    build(workspace, make=make)
    assert make.asked == KEYS


def test_settings_that_do_not_shape_a_table_leave_it_alone(workspace):
    build(workspace)
    other = Workspace(workspace.local, Settings.make(seed=7, encoder_epochs=1)).use(FakeManifest())
    assert other.require("clips").folder == workspace.require("clips").folder


def test_another_manifest_makes_another_table(workspace):
    build(workspace)
    folder = workspace.require("clips").folder
    workspace.use(FakeManifest("manifest-2"))
    assert not workspace.table("clips").complete
    assert workspace.table("clips").folder != folder


def test_other_clips_make_other_faces(workspace):
    build(workspace)
    first = workspace.table("faces").fingerprint
    shards(workspace.table("clips"))[0].unlink()
    build(workspace, make=lambda keys: [{**row, "video": b"new"} for row in rows_of(keys)])
    assert workspace.table("faces").fingerprint != first


@pytest.mark.parametrize(
    ("built", "wanted", "notebook"),
    [
        ([], "clips", "01_download"),
        ([], "faces", "01_download"),
        (["clips"], "faces", "02_face_crop"),
        (["clips"], "speech", "03_spectrogram"),
    ],
)
def test_a_missing_table_names_the_notebook_to_run_first(workspace, built, wanted, notebook):
    for name in built:
        build(workspace, name)
    with pytest.raises(MissingTable, match=f"Run notebook {notebook} first"):
        workspace.require(wanted)


def test_a_half_made_table_counts_as_missing(workspace):
    with pytest.raises(KeyboardInterrupt):
        build(workspace, make=stopping_at("clip-4"))
    with pytest.raises(MissingTable):
        workspace.require("clips")
    with pytest.raises(MissingTable):
        workspace.table("clips").read()


def test_an_unknown_table_names_the_known_ones(workspace):
    with pytest.raises(ValueError, match="clips, latents, .*faces, speech, encoder, decoder"):
        workspace.table("spectrograms")


def test_a_workspace_without_a_manifest_says_so(tmp_path):
    with pytest.raises(ValueError, match="use\\(manifest\\)"):
        Workspace(tmp_path, Settings.make()).table("clips")


# --- interruption and damage ---------------------------------------------------------------------


def in_another_process(workspace, body: str, **options) -> subprocess.Popen:
    script = f"""
        import os, signal, sys, time
        import pyarrow.parquet as pq
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        from test_tables import *
        tables.SHARD_CLIPS = 4
        workspace = Workspace({str(workspace.local)!r}, Settings.make()).use(FakeManifest())
        """
    code = textwrap.dedent(script) + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", code], text=True, **options)


def test_kill_9_in_the_middle_of_a_shard_loses_that_shard_only(workspace, make):
    body = """
        write = pq.write_table
        def half(table, path, **options):
            if "00002" not in path.name:
                return write(table, path, **options)
            path.write_bytes(b"PAR1 half a shard")
            os.kill(os.getpid(), signal.SIGKILL)
        pq.write_table = half
        build(workspace)
        """
    assert in_another_process(workspace, body).wait() == -signal.SIGKILL
    folder = workspace.table("clips").folder
    assert list(folder.glob(".*.part")), "the killed process was writing"
    assert not workspace.table("clips").complete
    assert str(build(workspace, make=make)).startswith("2 made, 8 kept, 10 rows, ")
    assert make.asked == KEYS[8:]
    assert not list(folder.glob(".*.part"))
    assert workspace.require("clips").read()["clip_id"].to_pylist() == KEYS


def test_kill_9_loses_one_shard_also_where_the_index_is_written_now_and_then(workspace, make):
    body = """
        building._SMALL_INDEX, building._INDEX_EVERY_S = 0, 1e9
        def killed(keys):
            if "clip-8" in keys:
                os.kill(os.getpid(), signal.SIGKILL)
            return rows_of(keys)
        build(workspace, make=killed)
        """
    assert in_another_process(workspace, body).wait() == -signal.SIGKILL
    table = workspace.table("clips")
    assert json.loads((table.folder / "index.json").read_text())["files"] == {}
    with (table.folder / "index.jsonl").open("a") as journal:
        journal.write('{"00002.parquet": {"size"')  # Killed while it wrote a line.
    assert build(workspace, make=make).kept == 8
    assert make.asked == KEYS[8:]
    assert not (table.folder / "index.jsonl").exists()


def test_a_journal_beside_the_index_of_another_table_is_not_believed(workspace, monkeypatch, make):
    monkeypatch.setattr(building, "_SMALL_INDEX", 0)
    build(workspace)
    folder = workspace.table("clips").folder
    workspace.table("clips").note("00000.parquet", {"keys": "other"})
    workspace.use(FakeManifest("manifest-2"))
    shutil.copytree(folder, workspace.table("clips").folder)
    assert workspace.table("clips").index()["files"] == {}


def test_a_stop_loses_one_shard_on_drive_too_where_the_index_is_written_now_and_then(
    on_drive, monkeypatch, make
):
    monkeypatch.setattr(building, "_SMALL_INDEX", 0)
    monkeypatch.setattr(building, "_INDEX_EVERY_S", 1e9)

    with pytest.raises(KeyboardInterrupt):
        build(on_drive("first"), make=stopping_at("clip-8"))
    assert build(on_drive("second"), make=make).kept == 8
    assert make.asked == KEYS[8:]


def test_two_sessions_on_one_folder_share_the_work_and_corrupt_nothing(workspace, tmp_path):
    log = tmp_path / "asked.txt"
    body = f"""
        def make(keys):
            with open({str(log)!r}, "a") as file:
                file.write("".join(key + chr(10) for key in keys))
            time.sleep(0.05)
            return [{{**row, "video": os.urandom(20)}} for row in rows_of(keys)]
        build(workspace, make=make)
        workspace.require("clips")
        """
    both = [in_another_process(workspace, body) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(log.read_text().split()) == sorted(KEYS), "every clip was made once"
    workspace.require("clips")


def flip(path: Path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def test_a_damaged_shard_is_named_to_the_reader(workspace):
    build(workspace)
    flip(shards(workspace.table("clips"))[1])
    with pytest.raises(DamagedTable, match="00001.parquet.*Run notebook 01_download again"):
        workspace.require("clips")


@pytest.mark.parametrize("ask", [Workspace.table, Workspace.require])
def test_a_shard_that_is_altered_before_it_is_read_is_named(workspace, ask):
    build(workspace)
    table = ask(workspace, "clips")
    flip(shards(table)[1])
    for read in (table.read, lambda: list(table.rows()), lambda: table.counts("split")):
        with pytest.raises(DamagedTable, match="00001.parquet.*Run notebook 01_download again"):
            read()


@pytest.mark.parametrize("rows", [Table.read, lambda table, *wanted: list(table.rows(*wanted))])
def test_a_page_that_goes_bad_unseen_is_named(workspace, rows):
    """Size and time stay, as on a disk that loses its memory: the page's own checksum tells."""
    build(workspace)
    table = workspace.require("clips")
    path = shards(table)[1]
    before = path.stat()
    content = path.read_bytes()
    video = pq.read_metadata(path).row_group(0).column(2)
    with path.open("r+b") as file:
        file.seek(video.dictionary_page_offset + video.total_compressed_size - 8)
        file.write(bytes(8))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.read_bytes() != content
    with pytest.raises(DamagedTable, match="00001.parquet.*Run notebook 01_download again"):
        rows(table, ["video"])
    assert len(rows(table, ["clip_id"])) == len(KEYS)


def test_a_damaged_shard_is_named_and_alone_remade(workspace, make, capsys):
    build(workspace)
    flip(shards(workspace.table("clips"))[1])
    assert build(workspace, make=make).made == 4
    assert make.asked == KEYS[4:8]
    assert "00001.parquet of 'clips' is damaged" in capsys.readouterr().out
    assert workspace.require("clips").read()["clip_id"].to_pylist() == KEYS


def test_while_a_shard_is_remade_the_table_counts_as_missing(workspace):
    build(workspace)
    flip(shards(workspace.table("clips"))[1])

    def make(keys):
        with pytest.raises(MissingTable):
            workspace.require("clips")
        return rows_of(keys)

    assert build(workspace, make=make).made == 4


def test_remaking_the_same_shard_keeps_what_was_made_from_it(workspace):
    build(workspace)
    build(workspace, "faces")
    flip(shards(workspace.table("clips"))[1])
    build(workspace)
    workspace.require("faces")


@pytest.mark.parametrize("content", [b"", b'{"identity": {', b"[1, 2]", b"\xff\xfe"])
def test_a_damaged_index_makes_the_table_again(workspace, make, content):
    build(workspace)
    (workspace.table("clips").folder / "index.json").write_bytes(content)
    with pytest.raises(MissingTable):
        workspace.require("clips")
    build(workspace, make=make)
    assert make.asked == KEYS


def test_an_index_that_cannot_be_read_is_not_one_that_is_not_there(workspace):
    index = workspace.table("clips").folder / "index.json"
    assert drive.read_json(index) is None
    index.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        workspace.table("clips").index()


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path):
    with pytest.raises(OSError, match="The disk is full"), drive.written_whole(tmp_path / "x") as p:
        p.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_pickled():
    for room in (ROOT / "helpers").rglob("*.py"):
        assert "pickle" not in room.read_text().replace("allow_pickle=False", ""), room


# --- Drive ---------------------------------------------------------------------------------------


def test_a_table_goes_to_drive_and_comes_back_on_another_machine(on_drive, make):
    build(on_drive("first"))
    second = on_drive("second")
    assert second.require("clips").read()["clip_id"].to_pylist() == KEYS
    assert build(second, make=make).made == 0


def test_another_machine_goes_on_where_the_first_one_was_taken_away(on_drive, make):
    with pytest.raises(KeyboardInterrupt):
        build(on_drive("first"), make=stopping_at("clip-8"))
    assert build(on_drive("second"), make=make).kept == 8
    assert make.asked == KEYS[8:]


def test_the_index_goes_to_drive_after_the_files_it_vouches_for(on_drive, monkeypatch):
    order = []
    publish = drive.Mirror.publish

    def remembered(self, local, name):
        order.append(Path(name).name)
        return publish(self, local, name)

    monkeypatch.setattr(drive.Mirror, "publish", remembered)
    build(on_drive("first"))
    assert order[-1] == "index.json"
    shard = next(number for number, name in enumerate(order) if name.startswith("00002-"))
    assert shard < len(order) - 1 - order[::-1].index("index.json")


def test_a_bad_copy_on_drive_is_remade_not_believed(on_drive, make, tmp_path, capsys):
    build(on_drive("first"))
    flip(next((tmp_path / "drive").rglob("00001-*.parquet")))
    second = on_drive("second")
    with pytest.raises(DamagedTable, match="00001.parquet"):
        second.require("clips")
    assert build(second, make=make).made == 4
    assert "damaged" in capsys.readouterr().out
    assert on_drive("third").require("clips").read().num_rows == 10, "the good copy is there again"


def test_a_file_that_never_reached_drive_is_remade(on_drive, make, tmp_path):
    build(on_drive("first"))
    next((tmp_path / "drive").rglob("00000-*.parquet")).write_bytes(b"")
    build(on_drive("second"), make=make)
    assert make.asked == KEYS[:4]


def test_a_file_that_drive_lost_is_copied_there_again(on_drive, tmp_path):
    build(on_drive("first"))
    next((tmp_path / "drive").rglob("00000-*.parquet")).write_bytes(b"")
    assert build(on_drive("first")).made == 0
    assert on_drive("second").require("clips").read().num_rows == 10


def test_drive_switched_on_later_gets_the_finished_table(on_drive, workspace):
    build(workspace)
    late = on_drive("workspace")
    assert build(late).made == 0
    assert on_drive("second").require("clips").read().num_rows == 10


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT])
def test_a_drive_that_fails_is_reported_once_and_the_work_goes_on(
    on_drive, monkeypatch, capsys, number
):
    tries = []

    def broken(source, target):
        if "drive" in Path(target).parts:
            tries.append(target)
            raise OSError(number, os.strerror(number))
        return shutil.copy(source, target)

    monkeypatch.setattr(drive.shutil, "copyfile", broken)
    first = on_drive("first")
    assert build(first).made == 10
    assert first.require("clips").read().num_rows == 10
    said = capsys.readouterr().out
    assert said.count("Google Drive does not answer") == 1
    assert os.strerror(number) in said
    assert len(tries) == (1 if number == errno.ENOTCONN else 3), "then Drive is left alone"


def test_a_drive_that_cannot_be_read_is_a_drive_without_tables(on_drive, monkeypatch, make, capsys):
    build(on_drive("first"))

    def broken(source, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(drive.shutil, "copyfile", broken)
    assert build(on_drive("second"), make=make).made == 10
    assert capsys.readouterr().out.count("Google Drive does not answer") == 1


def test_a_copy_that_was_cut_short_is_noticed(on_drive, monkeypatch, capsys):
    def short(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:-1])

    monkeypatch.setattr(drive.shutil, "copyfile", short)
    build(on_drive("first"))
    assert "differs from the original" in capsys.readouterr().out


# --- low disk ------------------------------------------------------------------------------------


@pytest.fixture
def slim(on_drive):
    """A workspace whose clips were dropped, with `faces` and `speech` made from them."""
    workspace = on_drive("slim", keep_clips=False)
    for name in ("clips", "faces", "speech"):
        build(workspace, name)
        workspace.drop_clips()
    return workspace


def test_clips_are_dropped_when_faces_and_speech_are_there_and_not_before(on_drive, capsys):
    workspace = on_drive("slim", keep_clips=False)
    build(workspace)
    build(workspace, "faces")
    workspace.drop_clips()
    assert workspace.require("clips").read()["video"].null_count == 0
    build(workspace, "speech")
    workspace.drop_clips()
    assert workspace.table("clips").read()["video"].null_count == len(KEYS)
    assert "The clips were dropped" in capsys.readouterr().out


def test_after_that_the_later_stages_still_run_and_a_second_run_does_nothing(slim, make):
    for name in ("clips", "faces", "speech"):
        assert build(slim, name, make).made == 0
        assert slim.require(name).read(["clip_id"])["clip_id"].to_pylist() == KEYS
    slim.drop_clips()
    assert slim.checkpoints("encoder").folder.parent.name == "encoder"
    assert make.asked == []


def test_clips_are_dropped_on_drive_too(slim, on_drive, tmp_path):
    assert len(list((tmp_path / "drive" / "clips").rglob("*.parquet"))) == 3
    elsewhere = on_drive("elsewhere", keep_clips=False)
    assert elsewhere.require("clips").read()["video"].null_count == len(KEYS)
    assert elsewhere.require("speech").read().num_rows == len(KEYS)


def test_whoever_wants_a_dropped_clip_is_told_what_to_run(slim):
    with pytest.raises(MissingTable, match="dropped.*keep_clips.*01_download again"):
        slim.require("clips").read(["clip_id", "video"])
    other = Workspace(slim.local, Settings.make(keep_clips=False, frames_per_clip=4))
    other.use(FakeManifest())
    clips = other.require("clips")
    with pytest.raises(MissingTable, match="dropped.*keep_clips.*01_download again"):
        other.table("faces").build_from(clips, faces_of, SCHEMA, SCHEMA.names, progress=False)


def faces_of(rows, settings):
    return list(rows)


def test_going_back_makes_the_clips_anew_and_keeps_what_was_made_from_them(slim, make):
    back = Workspace(slim.local, Settings.make(keep_clips=True)).use(FakeManifest())
    rows = [{"clip_id": key} for key in KEYS]
    made = back.table("clips").build_from_rows(rows, clips_of, SCHEMA, progress=False)
    assert made.made == len(KEYS)
    assert back.require("clips").read()["video"].null_count == 0
    assert back.table("faces").complete and back.table("speech").complete


def clips_of(rows, settings):
    return rows_of([row["clip_id"] for row in rows])


class Recovering:
    """Makes clips; those that fail have no video until they are helped."""

    def __init__(self, failing=()):
        self.failing = set(failing)

    def __call__(self, rows, settings):
        return [
            row | ({"split": "failed", "video": None} if row["clip_id"] in self.failing else {})
            for row in clips_of(rows, settings)
        ]

    __name__ = "anything"


def recovering_clips(workspace, make, schema=SCHEMA):
    """Builds `clips` as notebook 01 does: rows that failed are tried again."""
    rows, retry = [{"clip_id": key} for key in KEYS], {"split": "failed"}
    table = workspace.table("clips")
    return table.build_from_rows(rows, make, schema, progress=False, retry=retry)


def from_clips(workspace, name, log=None):
    """Builds `faces` or `speech` as notebooks 02 and 03 do; two rows for each clip."""

    def make(rows, settings):
        if log is not None:
            log.extend(row["clip_id"] for row in rows)
        return [{**row, "video": None} for row in rows for _ in range(2)]

    clips, columns = workspace.require("clips"), ["clip_id", "split", "video"]
    schema = pa.schema([SCHEMA.field(column) for column in columns])
    report = workspace.table(name).build_from(clips, make, schema, columns, progress=False)
    workspace.drop_clips()
    return report


def test_a_clip_that_comes_after_the_others_were_dropped_reaches_faces_and_speech(
    on_drive, tmp_path
):
    workspace, make = on_drive("slim", keep_clips=False), Recovering({"clip-1", "clip-2", "clip-6"})
    recovering_clips(workspace, make)
    for name in ("faces", "speech"):
        from_clips(workspace, name)
    before = {name: workspace.require(name).read() for name in ("faces", "speech")}
    make.failing = {"clip-2"}
    recovering_clips(workspace, make)
    assert workspace.table("clips").index()["files"]["00000.parquet"]["late"] == ["clip-1"]

    log = []
    assert from_clips(workspace, "faces", log).made == 2
    assert from_clips(workspace, "faces", log).made == 0
    assert log == ["clip-1", "clip-6"], "of the others there is no video any more"
    assert copies_with_video(tmp_path) == 2, "speech has yet to be made from them"
    from_clips(workspace, "speech", log)
    assert log == ["clip-1", "clip-6"] * 2
    assert copies_with_video(tmp_path) == 0
    for name in ("faces", "speech"):
        for place in (workspace, on_drive("elsewhere", keep_clips=False)):
            rows = place.require(name).read().to_pylist()
            assert [row["clip_id"] for row in rows] == [key for key in KEYS for _ in range(2)]
            assert [row["clip_id"] for row in rows if row["split"] == "failed"] == ["clip-2"] * 2
            same = [row for row in rows if row["clip_id"] not in log]
            assert same == [r for r in before[name].to_pylist() if r["clip_id"] not in log]
        assert from_clips(workspace, name, log).made == 0


def copies_with_video(tmp_path):
    shards = (pq.read_table(path) for path in (tmp_path / "drive" / "clips").rglob("*.parquet"))
    return sum(len(shard) - shard["video"].null_count for shard in shards)


def test_a_clip_that_comes_late_without_a_video_is_known_everywhere_too(on_drive):
    """Emptying its shard again changes not a byte, so the copy on Drive has to stay."""
    workspace = on_drive("slim", keep_clips=False)
    status, plain = ["failed"], SCHEMA.remove(SCHEMA.get_field_index("feature"))

    def make(rows, settings):
        odd = {"clip-1": {"split": status[0], "video": None}}
        made = [row | odd.get(row["clip_id"], {}) for row in clips_of(rows, settings)]
        return [{name: row[name] for name in plain.names} for row in made]

    recovering_clips(workspace, make, plain)
    for name in ("faces", "speech"):
        from_clips(workspace, name)
    status[0] = "gone"
    recovering_clips(workspace, make, plain)
    for name in ("faces", "speech"):
        assert from_clips(workspace, name).made == 1
        assert workspace.require(name).counts("split")["gone"] == 2
    assert on_drive("elsewhere").require("clips").counts("split")["gone"] == 1


def test_kill_9_while_clips_are_dropped_costs_one_shard_at_most(on_drive, workspace, make):
    for name in ("clips", "faces", "speech"):
        build(workspace, name)
    body = """
        workspace = Workspace(workspace.local, Settings.make(keep_clips=False)).use(FakeManifest())
        write = pq.write_table
        def killed(table, path, **options):
            write(table, path, **options)
            if "00001" in path.name:
                os.kill(os.getpid(), signal.SIGKILL)
        pq.write_table = killed
        workspace.drop_clips()
        """
    assert in_another_process(workspace, body).wait() == -signal.SIGKILL
    slim = Workspace(workspace.local, Settings.make(keep_clips=False)).use(FakeManifest())
    assert build(slim, make=make).made <= 4
    slim.drop_clips()
    assert slim.table("faces").complete
    assert slim.table("clips").read()["video"].null_count == len(KEYS)


# --- checkpoints and cleaning up -----------------------------------------------------------------


@pytest.fixture
def trained(on_drive):
    """Workspace on which tables are built, by machine."""

    def workspace(machine: str, **settings) -> Workspace:
        made = on_drive(machine, **settings)
        for name in ("clips", "faces", "speech"):
            build(made, name)
        return made

    return workspace


def test_a_checkpoint_is_there_when_it_was_finished(trained):
    workspace = trained("first")
    encoder = workspace.checkpoints("encoder")
    encoder.path("voice_encoder.keras").write_bytes(b"weights")
    with pytest.raises(MissingTable, match="'encoder'.*Run notebook 04_voice_encoder first"):
        encoder.require()
    encoder.finish(["voice_encoder.keras"], {"curve": np.arange(2.0), "best": np.float32(0.5)})
    again = workspace.checkpoints("encoder").require()
    assert again.path("voice_encoder.keras").read_bytes() == b"weights"
    assert again.metadata == {"curve": [0.0, 1.0], "best": 0.5}


def test_a_checkpoint_comes_back_from_drive(trained):
    encoder = trained("first").checkpoints("encoder")
    encoder.path("voice_encoder.keras").write_bytes(b"weights")
    encoder.finish(["voice_encoder.keras"], {})
    elsewhere = trained("second").checkpoints("encoder").require()
    assert elsewhere.path("voice_encoder.keras").read_bytes() == b"weights"


def test_a_damaged_checkpoint_counts_as_missing(trained, tmp_path, capsys):
    encoder = trained("first").checkpoints("encoder")
    encoder.path("voice_encoder.keras").write_bytes(b"weights")
    encoder.finish(["voice_encoder.keras"], {})
    shutil.rmtree(tmp_path / "drive")
    encoder.path("voice_encoder.keras").write_bytes(b"half we")
    assert not encoder.complete
    assert "voice_encoder.keras of 'encoder' is damaged" in capsys.readouterr().out


def test_a_checkpoint_wants_its_files(trained):
    with pytest.raises(FileNotFoundError):
        trained("first").checkpoints("decoder").finish(["face_decoder.keras"], {})


@pytest.mark.parametrize("changed", [{"encoder_epochs": 1}, {"seed": 3}, {"contrastive": 0.0}])
def test_a_training_with_other_settings_is_another_checkpoint(trained, changed):
    first = trained("first").checkpoints("encoder")
    assert trained("first", **changed).checkpoints("encoder").folder != first.folder


def test_the_encoder_does_not_depend_on_the_decoder(trained):
    first = trained("first").checkpoints("encoder")
    assert trained("first", decoder_epochs=1).checkpoints("encoder").folder == first.folder


def test_one_call_deletes_everything_here_and_on_drive_and_nothing_else(trained, tmp_path):
    workspace = trained("first")
    (workspace.local / "ledger").mkdir()
    mine = workspace.local / "thesis.txt"
    mine.write_text("not a table")
    deleted = workspace.delete_everything()
    assert mine.exists()
    assert [path for path in workspace.local.iterdir() if path != mine] == []
    assert not list((tmp_path / "drive").rglob("*.parquet"))
    assert str(workspace.local / "clips") in deleted
    assert str(tmp_path / "drive" / "clips") in deleted


def test_the_index_says_what_it_was_made_from(trained):
    workspace = trained("first")
    index = json.loads((workspace.table("faces").folder / "index.json").read_text())
    assert index["complete"] is True
    settings = {"detector": "mtcnn", "features": "dlib", "frames_per_clip": 2}
    assert index["identity"]["settings"] == settings
    assert index["identity"]["inputs"] == {"clips": workspace.table("clips").content}
    first = index["files"]["00000.parquet"]
    assert first["rows"] == 4
    assert len(first["sha256"]) == 64
