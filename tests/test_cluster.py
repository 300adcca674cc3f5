"""A cluster: the same tables as without it, whoever dies, and nothing shared but a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import s3_server

from helpers import download, face_crop, manifests, spectrogram, tables
from helpers.settings import Settings
from helpers.storage import cluster, remote
from helpers.tables import DamagedTable, Workspace

distributed = pytest.importorskip("distributed", reason="pip install dask distributed")

PYTHON = sys.executable
ROWS = 6
PATIENCE_S = 300
"""How long we wait for processes to come up, in seconds: the machine may be busy."""


class Processes:
    """A scheduler and workers, processes of their own that know nothing of this repository."""

    def __init__(self, folder: Path, port: str = "0", **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
        self.environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self.running: list[subprocess.Popen] = []
        announced = folder / "scheduler.json"
        self._start("scheduler", "--port", port, "--no-dashboard", "--scheduler-file", announced)
        until = time.monotonic() + PATIENCE_S
        while not (announced.exists() and announced.stat().st_size):
            if self.running[0].poll() is not None or time.monotonic() > until:
                self.close()
                raise RuntimeError(f"No scheduler:\n{(folder / '0.log').read_text()[-3000:]}")
            time.sleep(0.05)
        self.address = json.loads(announced.read_text())["address"]

    def worker(self) -> subprocess.Popen:
        """Starts a worker without a nanny: nobody starts it again."""
        number = len(self.running)
        folder = self.folder / f"machine-{number}"
        folder.mkdir()
        return self._start(
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--local-directory", folder),
            folder=folder,
        )

    def _start(self, *arguments: object, folder: Path | None = None) -> subprocess.Popen:
        command = [PYTHON, "-m", "distributed.cli.dask_" + str(arguments[0]), *arguments[1:]]
        log = (self.folder / f"{len(self.running)}.log").open("w")
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder or self.folder,
            env=self.environment,
            stdout=log,
            stderr=log,
        )
        self.running.append(process)
        return process

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Two workers that have not got this package and share no folder with us."""
    started = Processes(tmp_path_factory.mktemp("cluster"))
    started.worker()
    started.worker()
    yield started
    cluster.disconnect()
    started.close()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(tables, "SHARD_CLIPS", 2)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(cluster, "_TIMEOUT_S", PATIENCE_S)


@dataclasses.dataclass
class Running:
    """As much of a session as the stages look at."""

    settings: Settings
    workspace: Workspace
    manifest: manifests.Manifest


def session(folder: Path, address: str = "", **settings: object) -> Running:
    made = Settings.make(rows=ROWS, verbosity="quiet", dask=address, **settings)
    manifest = manifests.load(made)
    workspace = Workspace(folder, made).use(manifest)
    if address:
        workspace.cluster = cluster.connect(address)
    return Running(made, workspace, manifest)


STAGES = {
    "clips": download.build_clips,
    "faces": face_crop.build_faces,
    "speech": spectrogram.build_speech,
}


def build(running: Running) -> dict[str, list[dict]]:
    for stage in STAGES.values():
        stage(running)
    return {name: list(running.workspace.require(name).rows()) for name in STAGES}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The tables as this machine makes them alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "SHARD_CLIPS", 2)
        return build(session(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An S3 server, and two workers that reach it as any machine would."""
    with s3_server.running() as environment:
        processes = Processes(tmp_path_factory.mktemp("with-store"), **environment)
        processes.worker()
        processes.worker()
        yield processes
        cluster.disconnect()
        processes.close()


def clips_of(running: Running) -> list[dict]:
    download.build_clips(running)
    return list(running.workspace.require("clips").rows())


@pytest.fixture(scope="module")
def plain_clips(tmp_path_factory):
    """The clips as this machine makes them alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "SHARD_CLIPS", 2)
        return clips_of(session(tmp_path_factory.mktemp("plain-clips")))


def test_a_worker_killed_in_the_middle_is_done_without(
    machines, plain_clips, tmp_path, monkeypatch
):
    monkeypatch.setattr(tables, "SHARD_CLIPS", 1)  # Enough shards that every worker has one.
    third = machines.worker()
    running = session(tmp_path, machines.address)
    client, over, taken = running.workspace.cluster._client, threading.Event(), []
    client.wait_for_workers(3, timeout=PATIENCE_S)
    (address,) = (place for place, pid in client.run(os.getpid).items() if pid == third.pid)

    def kill() -> None:
        # Its first shard takes seconds: it has imported nothing yet.
        while not taken and not over.is_set():
            taken.extend(client.processing().get(address, ()))
        third.kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        assert clips_of(running) == plain_clips
    finally:
        over.set()
        killer.join(PATIENCE_S)
    assert taken, "the worker had a shard when it was killed"
    assert third.wait(PATIENCE_S) == -signal.SIGKILL


def test_workers_write_into_the_store_and_nothing_passes_through_here(store, plain_clips, tmp_path):
    options = {"address": store.address, "tables_at": "s3://voices/course"}
    running = session(tmp_path / "driver", **options)
    download.build_clips(running)
    folder = running.workspace.table("clips").folder
    assert not list(folder.glob("*.parquet"))
    elsewhere = session(tmp_path / "elsewhere", **options)
    assert list(elsewhere.workspace.require("clips").rows()) == plain_clips
    assert download.build_clips(elsewhere).made == 0

    # A shard that was altered there is found by the workers, and made again.
    system, path = remote._system("s3://voices/course")
    shard = sorted(name for name in system.find(path) if "/clips/00001" in name or "00001-" in name)
    system.pipe_file(shard[0], system.cat_file(shard[0])[:-7] + b"altered")
    with pytest.raises(DamagedTable, match="00001-.*Run notebook 01_download again"):
        list(session(tmp_path / "reader", **options).workspace.require("clips").rows())
    assert download.build_clips(elsewhere).made == 2
    assert list(elsewhere.workspace.require("clips").rows()) == plain_clips


def test_what_a_worker_raises_arrives_and_finished_shards_are_kept(machines, tmp_path):
    running = session(tmp_path, machines.address)
    table = running.workspace.table("clips")
    rows = [{"clip_id": f"clip-{number}"} for number in range(6)]
    with pytest.raises(TypeError):
        table.build_from_rows(rows, download.clips_of_shard, download.SCHEMA)
    assert not table.complete


def test_files_of_this_machine_are_not_asked_of_a_cluster(machines, real_media, tmp_path):
    made = Settings.make(
        corpus="my_videos", videos=str(real_media / "clips"), rows=2, dask=machines.address
    )
    manifest = manifests.load(made)
    workspace = Workspace(tmp_path, made).use(manifest)
    workspace.cluster = cluster.connect(machines.address)
    rows = clips_of(Running(made, workspace, manifest))
    assert [row["status"] for row in rows] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("place", "name", "answer", "words"),
    [
        (cluster, "_NEEDED", ("yt_dlp", "no_such_package"), "misses no_such_package. Install"),
        (
            distributed.Client,
            "get_versions",
            lambda _: {"workers": {"tcp://w": {"packages": {"python": "3.9.1.final.0"}}}},
            "worker tcp://w of .* has Python 3.9, and this machine",
        ),
    ],
)
def test_workers_that_cannot_do_it_are_refused(machines, monkeypatch, place, name, answer, words):
    monkeypatch.setattr(cluster, "_connected", {})
    monkeypatch.setattr(place, name, answer)
    with pytest.raises(cluster.NoCluster, match=words):
        cluster.connect(machines.address)
    assert not cluster._connected


def test_a_scheduler_that_was_started_again_gets_the_code_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_connected", {})
    with contextlib.closing(Processes(tmp_path / "first")) as first:
        first.worker()
        known = cluster.connect(first.address)
        assert cluster.connect(first.address) is known
    port = first.address.rsplit(":", 1)[1]
    with contextlib.closing(Processes(tmp_path / "second", port)) as second:
        second.worker()
        job = {"root": str(tmp_path), "name": "absent", "sha256": "0"}
        made = cluster.connect(second.address).run("helpers.storage.shards:intact", [("a", job)])
        assert list(made) == [("a", False)]


def test_nobody_at_the_address_is_said_with_the_address(nobody, monkeypatch):
    monkeypatch.setattr(cluster, "_TIMEOUT_S", 1)
    with pytest.raises(cluster.NoCluster, match=f"No Dask scheduler answers at 'tcp://{nobody}'"):
        cluster.connect(f"tcp://{nobody}")


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(cluster.NoCluster, match="pip install dask distributed"):
        cluster.connect("tcp://somewhere:1")


@pytest.mark.slow
def test_two_workers_make_the_same_tables_as_this_machine_alone(machines, plain, tmp_path):
    running = session(tmp_path, machines.address)
    assert str(running.workspace.cluster).startswith(f"cluster {machines.address}: ")
    assert build(running) == plain
    assert build(session(tmp_path)) == plain, "and they are known as the same tables"
    assert download.build_clips(running).made == 0
