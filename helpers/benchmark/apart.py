"""A measurement in a process of its own: its memory is its own, and its end is not ours.

`python -m helpers.benchmark.apart TASK ARGUMENTS RESULT` is that process. It leaves a row, a JSON
object, in the file RESULT.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from helpers import session
from helpers.storage.drive import read_json, write_json

TASKS = {
    "cost": "helpers.benchmark.networks:cost",
    "retrieval": "helpers.benchmark.networks:retrieval_after",
    "voices": "helpers.benchmark.throughput:voices",
    "table": "helpers.benchmark.throughput:table",
    "decoder_training": "helpers.benchmark.throughput:decoder_training",
    "gan_training": "helpers.benchmark.throughput:gan_training",
    "decoding": "helpers.benchmark.throughput:decoding",
    "evaluation": "helpers.benchmark.throughput:evaluation",
    "reconstruct": "helpers.benchmark.throughput:reconstruct",
    "cluster": "helpers.benchmark.workers:shards",
}
"""What can be measured: where the function is that measures it."""


def measure(
    task: str, arguments: Mapping[str, object], timeout_s: float, tasks: Mapping | None = None
) -> dict:
    """Measures something in a new process.

    Args:
        task: One of `TASKS`.
        arguments: Of the function that measures; what JSON can hold.
        timeout_s: When to give up, in seconds.
        tasks: Stands for `TASKS`.

    Returns:
        What the function returned, with `status` (`ok` or `failed`), `reason` (one sentence, or
        empty) and `peak_mb`: the largest memory of the process and its workers, in MB. A process
        that was killed gives no more than status and reason.
    """
    place = (tasks or TASKS)[task]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        result, log = Path(folder) / "row.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", __name__, place, json.dumps(arguments), str(result)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=session.HOME,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for us: we end the process and say what has been measured until then.
                start_new_session=True,
            )
            try:
                process.wait(timeout_s)
                reason = ""
            except subprocess.TimeoutExpired:
                reason = f"Given up after {timeout_s:,.0f} s."
            finally:
                _end(process)
        row = None if reason else read_json(result)
        reason = reason or _why(process.returncode, log.read_text(errors="replace"))
    return row or {"status": "failed", "reason": reason}


def _end(process: subprocess.Popen) -> None:
    """Ends a process that still runs, with its workers."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _why(code: int, log: str) -> str:
    """Says why a process ended without a row."""
    if code == -signal.SIGKILL:
        return "The process was killed, most often because memory ran out."
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"The process ended {how}" + (f": {lines[-1]}" if lines else "") + "."


def _main(place: str, arguments: str, result: str) -> None:
    """Measures in this process and writes the row."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    module, _, name = place.partition(":")
    session.spare_memory(json.loads(arguments).get("name", ""))
    try:
        function = getattr(importlib.import_module(module), name)
        row = {"status": "ok", "reason": "", **function(**json.loads(arguments))}
    except Exception as error:  # One row that fails should not cost the others.
        text = str(error).strip().splitlines() or ["no more is known"]
        row = {"status": "failed", "reason": f"{type(error).__name__}: {text[0]}"}
    write_json(Path(result), {**row, "peak_mb": round(session.peak_rss_mb())})


def _end_with(parent: int) -> None:
    # A benchmark that is killed should leave nothing behind that goes on measuring.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
