"""How fast a Dask cluster makes the tables of 01 to 03, with so many workers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from helpers import session
from helpers.benchmark.throughput import BUILDERS, build, rate
from helpers.settings import Settings

_PATIENCE_S = 120.0


def shards(workers: int, rows: int) -> dict[str, object]:
    """Makes `clips`, `faces` and `speech` on a cluster of this machine.

    A few clips are made before, so that starting workers and loading networks do not count.

    Args:
        workers: Processes, one core each.
        rows: Clips.

    Returns:
        `rows`, `seconds` (all three tables) and `rows_per_s`.
    """
    from helpers import tables
    from helpers.storage import cluster

    # Enough shards that no worker waits for the last one of another.
    tables.SHARD_CLIPS = max(1, rows // (8 * workers))
    with tempfile.TemporaryDirectory() as folder, running(workers, Path(folder)) as address:
        for kind, count in (("warm", 4 * workers), ("measured", rows)):
            settings = Settings.make(rows=count, workspace=f"{folder}/{kind}", dask=address)
            reports = [build(name, session.start(settings, BUILDERS[name][0])) for name in BUILDERS]
        cluster.disconnect()
    return rate(rows, sum(report.seconds for report in reports))


@contextlib.contextmanager
def running(workers: int, folder: Path) -> Iterator[str]:
    """Starts a scheduler and workers as processes of this machine; gives its address."""
    announced = folder / "scheduler.json"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = []

    def start(role: str, *options: object) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *map(str, options)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, cwd=folder, env=environment, **quiet))

    try:
        start("scheduler", "--port", 0, "--no-dashboard", "--scheduler-file", announced)
        until = time.monotonic() + _PATIENCE_S
        while not (announced.exists() and announced.stat().st_size):
            if time.monotonic() > until or started[0].poll() is not None:
                raise RuntimeError(
                    "The Dask scheduler did not start. Is it there? pip install dask distributed"
                )
            time.sleep(0.1)
        address = json.loads(announced.read_text())["address"]
        for _ in range(workers):
            start("worker", address, "--nthreads", 1, "--no-nanny", "--no-dashboard")
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=_PATIENCE_S)
        yield address
    finally:
        for process in started:
            process.kill()
            process.wait()
