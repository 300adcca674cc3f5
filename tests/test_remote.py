"""Tables in a folder of an object store: a real S3 server on this machine, started here."""

from __future__ import annotations

import importlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3_server
from conftest import FakeManifest
from test_tables import KEYS, SCHEMA, Maker, build, rows_of

from helpers import download, session, tables
from helpers.settings import Settings
from helpers.storage import drive, remote
from helpers.storage.remote import Unreachable
from helpers.tables import DamagedTable, MissingTable, Workspace


@pytest.fixture(scope="module")
def server():
    """An S3 server with the bucket `voices`; its address."""
    with s3_server.running() as environment:
        yield environment["AWS_ENDPOINT_URL"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(tables, "SHARD_CLIPS", 4)


@pytest.fixture
def machine(server, tmp_path, request):
    """Makes workspaces, each on a machine of its own, whose tables lie in one bucket."""
    root = f"s3://voices/{request.node.name[:40]}"

    def workspace(name: str, **settings: object) -> Workspace:
        made = Workspace(tmp_path / name, Settings.make(tables_at=root, **settings))
        return made.use(FakeManifest())

    return workspace


def copies(workspace: Workspace) -> list[str]:
    system, path = remote._system(workspace.settings.tables_at)
    return sorted(name for name in system.find(path) if name.endswith(".parquet"))


def test_a_table_goes_there_and_is_read_on_another_machine(machine):
    build(machine("first"))
    second = machine("second").require("clips")
    assert second.read()["clip_id"].to_pylist() == KEYS
    assert [row["video"] for row in second.rows(["video"])] == [r["video"] for r in rows_of(KEYS)]
    assert not list(second.folder.glob("*.parquet")), "read where it lies, in parts"
    maker = Maker()
    assert build(machine("third"), make=maker).made == 0


def test_a_machine_goes_on_where_another_one_was_lost(machine):
    def stops(keys):
        if "clip-8" in keys:
            raise KeyboardInterrupt
        return rows_of(keys)

    with pytest.raises(KeyboardInterrupt):
        build(machine("first"), make=stops)
    with pytest.raises(MissingTable, match="Run notebook 01_download first"):
        machine("second").require("clips")
    assert build(machine("second")).kept == 8


@pytest.mark.parametrize("harm", ["cut short", "altered", "gone"])
def test_a_damaged_shard_there_is_named_and_alone_remade(machine, harm, capsys):
    build(machine("first"))
    shard = copies(machine("first"))[1]
    system, _ = remote._system(machine("first").settings.tables_at)
    content = system.cat_file(shard)
    if harm == "gone":
        system.rm_file(shard)
    else:
        middle = len(content) // 3
        altered = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        system.pipe_file(shard, content[: len(content) // 2] if harm == "cut short" else altered)
    with pytest.raises(DamagedTable, match="00001-.*Run notebook 01_download again"):
        machine("second").require("clips").read()
    maker = Maker()
    assert build(machine("second"), make=maker).made == 4
    assert maker.asked == KEYS[4:8]
    assert machine("third").require("clips").read()["clip_id"].to_pylist() == KEYS


def test_a_reader_with_an_older_index_reads_on_and_makes_nothing_anew(machine):
    def failing(keys):
        return [{**row, "split": "failed"} for row in rows_of(keys)]

    def try_again(name, make):
        table = machine(name).table("clips")
        return table.build(KEYS, make, SCHEMA, False, retry={"split": "failed"})

    build(machine("first"), make=failing)
    reader = machine("reader").require("clips")
    try_again("second", rows_of)
    assert reader.counts("split") == {"failed": len(KEYS)}
    maker = Maker()
    assert try_again("reader", maker).made == 0 and maker.asked == []
    assert machine("reader").require("clips").counts("split") == {"train": 8, "test": 2}


def test_checkpoints_go_there_too(machine):
    for name in ("clips", "faces", "speech"):
        build(machine("first"), name)
    encoder = machine("first").checkpoints("encoder")
    encoder.path("voice_encoder.keras").write_bytes(b"weights")
    encoder.finish(["voice_encoder.keras"], {"best": 0.5})
    again = machine("second").checkpoints("encoder").require()
    assert again.path("voice_encoder.keras").read_bytes() == b"weights"


def test_dropped_clips_leave_there_too_and_one_call_deletes_everything(machine):
    first = machine("first", keep_clips=False)
    for name in ("clips", "faces", "speech"):
        build(first, name)
    first.drop_clips()
    assert len([name for name in copies(first) if "/clips/" in name]) == 3
    assert machine("second").table("clips").read()["video"].null_count == len(KEYS)
    assert f"{first.settings.tables_at}/clips" in first.delete_everything()
    assert copies(first) == []


def test_a_plain_path_will_do(tmp_path):
    settings = Settings.make(tables_at=str(tmp_path / "shared"))
    build(Workspace(tmp_path / "one", settings).use(FakeManifest()))
    two = Workspace(tmp_path / "two", settings).use(FakeManifest())
    assert two.require("clips").read()["clip_id"].to_pylist() == KEYS


def test_an_index_that_cannot_be_read_stops_a_cluster_before_it_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(drive, "_FLUSH_WAITS_S", (0.0,))
    settings = Settings.make(tables_at=str(tmp_path / "shared"))
    build(Workspace(tmp_path / "one", settings).use(FakeManifest()))
    (index,) = (tmp_path / "shared").rglob("index.json")
    content = index.read_bytes()
    read = remote.read

    def refused(root, name):
        if name.endswith("index.json"):
            raise PermissionError("the token has expired")
        return read(root, name)

    two = Workspace(tmp_path / "two", settings).use(FakeManifest())
    two.cluster = object()  # Asked for nothing.
    rows = [{"clip_id": key} for key in KEYS]
    with monkeypatch.context() as patch:
        patch.setattr(remote, "read", refused)
        with pytest.raises(Unreachable, match="clips/.*cannot be read"):
            two.table("clips").build_from_rows(rows, download.clips_of_shard, SCHEMA)
    assert index.read_bytes() == content


class OneWorker:
    """A cluster that does the work in this process."""

    def run(self, function, jobs):
        module, _, name = function.partition(":")
        for key, job in jobs:
            yield key, getattr(importlib.import_module(module), name)(job)


SMALL = pa.schema([SCHEMA.field(name) for name in ("clip_id", "split", "video")])
failing: set[str] = set()


def clips_made(rows, settings):
    return [
        row | {"split": "failed", "video": None} if row["clip_id"] in failing else row
        for row in ({name: row[name] for name in SMALL.names} for row in rows_of(keys_of(rows)))
    ]


def keys_of(rows):
    return [row["clip_id"] for row in rows]


def faces_made(rows, settings):
    return [{**row, "video": None} for row in rows]


def test_a_clip_that_comes_after_the_drop_is_taken_over_where_workers_write(tmp_path):
    settings = Settings.make(
        tables_at=str(tmp_path / "shared"), keep_clips=False, verbosity="quiet"
    )

    def run(name):
        workspace = Workspace(tmp_path / name, settings).use(FakeManifest())
        workspace.cluster = OneWorker()
        rows, retry = [{"clip_id": key} for key in KEYS], {"split": "failed"}
        made = [workspace.table("clips").build_from_rows(rows, clips_made, SMALL, retry=retry).made]
        for stage in ("faces", "speech"):
            clips = workspace.require("clips")
            table = workspace.table(stage)
            made.append(table.build_from(clips, faces_made, SMALL, SMALL.names).made)
            workspace.drop_clips()
        failed = {
            row["clip_id"]
            for stage in ("clips", "faces", "speech")
            for row in workspace.require(stage).rows()
            if row["split"] == "failed"
        }
        return made, failed

    failing.update({"clip-1", "clip-2", "clip-6"})
    assert run("first") == ([10, 10, 10], {"clip-1", "clip-2", "clip-6"})
    failing.difference_update({"clip-1", "clip-6"})
    assert run("second") == ([3, 2, 2], {"clip-2"})
    assert run("first") == ([1, 0, 0], {"clip-2"})
    for path in (tmp_path / "shared" / "clips").rglob("*.parquet"):
        assert pq.read_table(path)["video"].null_count == len(pq.read_table(path))


# --- what cannot be used -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("s3://no-such-bucket/x", "no-such-bucket/x' cannot be used.*credentials"),
        ("voices://somewhere", "voices"),
    ],
)
def test_a_folder_that_cannot_be_used_stops_the_notebook_at_its_start(
    server, tmp_path, root, words
):
    settings = Settings.make(rows=2, tables_at=root, workspace=str(tmp_path))
    with pytest.raises(Unreachable, match=words):
        session.start(settings, "01_download")


@pytest.mark.parametrize("package", ["fsspec", "s3fs"])
def test_a_package_that_is_missing_is_named(monkeypatch, package):
    remote._system.cache_clear()
    import fsspec  # noqa: F401

    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unreachable, match=f"(?i)install.* {package}"):
        remote.Place("s3://voices/x").check()
    remote._system.cache_clear()


def test_a_store_that_fails_in_the_middle_is_reported_once_and_the_work_goes_on(
    machine, monkeypatch, capsys
):
    workspace = machine("first")

    def broken(*arguments):
        raise ConnectionError("the store hung up")

    monkeypatch.setattr(remote, "write", broken)
    assert build(workspace).made == 10
    assert workspace.require("clips").read().num_rows == 10
    assert capsys.readouterr().out.count("does not answer as it should (the store hung up)") == 1
