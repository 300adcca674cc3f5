"""Workers: several processes, in order, safe from a notebook, and plain when something fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

from helpers import workers
from helpers.session import parallel_map, worker_count


class OddError(Exception):
    """Cannot be rebuilt from its pickle, as many an exception of a library."""

    def __init__(self, reason, detail):
        super().__init__(f"{reason}: {detail}")


def square(number):
    if number == 13:
        raise KeyError("thirteen")
    if number == 17:
        raise OddError("odd", "seventeen")
    if number == 19:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def slow_first(number):
    time.sleep(0.2 if number == 0 else 0)
    return number


def environment(name):
    return os.environ.get(name), os.getpid()


def takes_memory(megabytes):
    block = bytearray(megabytes * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    return len(block)


def maps_itself(number):
    return sum(parallel_map(square, range(number)))


@pytest.fixture(autouse=True, scope="module")
def closed_afterwards():
    yield
    workers.close()


def test_results_come_in_the_order_of_the_items():
    assert list(parallel_map(slow_first, range(12), 2)) == list(range(12))


def test_the_work_is_done_elsewhere_and_the_processes_stay():
    first = {process for _, process in parallel_map(environment, ["HOME"] * 8, 2)}
    stay = {process.pid for process in workers.multiprocessing.active_children()}
    again = {process for _, process in parallel_map(environment, ["HOME"] * 8, 2)}
    living = {process.pid for process in workers.multiprocessing.active_children()}
    assert os.getpid() not in first | again
    # Which of the processes took the items is chance, and a second one may come up later.
    assert first <= stay <= living and again <= living


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_NUM_THREADS", "1"),
        ("OPENBLAS_NUM_THREADS", "1"),
        ("TF_NUM_INTRAOP_THREADS", "1"),
        ("TF_NUM_INTEROP_THREADS", "1"),
        ("CUDA_VISIBLE_DEVICES", ""),
    ],
)
def test_a_worker_has_one_thread_and_no_gpu(name, value):
    assert {found for found, _ in parallel_map(environment, [name] * 4, 2)} == {value}


def test_an_error_arrives_as_it_was_raised():
    done = parallel_map(square, range(20), 2)
    assert [next(done) for _ in range(13)] == [n * n for n in range(13)]
    with pytest.raises(KeyError, match="thirteen") as caught:
        next(done)
    assert 'raise KeyError("thirteen")' in "".join(caught.value.__notes__)
    assert list(parallel_map(square, range(4), 2)) == [0, 1, 4, 9], "the pool still works"


def test_an_error_that_cannot_travel_still_says_what_it_was():
    with pytest.raises(RuntimeError, match="OddError: odd: seventeen"):
        list(parallel_map(square, [1, 17], 2))


def test_a_worker_that_dies_is_reported_and_replaced():
    with pytest.raises(RuntimeError, match="worker process died.*processes=1"):
        list(parallel_map(square, [1, 2, 19, 3], 2))
    assert list(parallel_map(square, range(4), 2)) == [0, 1, 4, 9]


def test_what_cannot_travel_is_done_here():
    assert list(parallel_map(lambda number: (number, os.getpid()), [1, 2], 2)) == [
        (1, os.getpid()),
        (2, os.getpid()),
    ]


def test_one_process_is_this_process():
    assert next(parallel_map(environment, ["HOME", "HOME"], 1))[1] == os.getpid()


def test_one_of_many_processes_of_a_cluster_starts_none_of_its_own():
    with workers.alone():
        assert {process for _, process in parallel_map(environment, ["HOME"] * 4, 2)} == {
            os.getpid()
        }
    assert os.getpid() not in {p for _, p in parallel_map(environment, ["HOME"] * 4, 2)}


def test_a_worker_starts_no_workers_of_its_own():
    assert list(parallel_map(maps_itself, [3, 4], 2)) == [5, 14]


def test_there_are_as_many_workers_as_cores_but_not_more_than_eight():
    assert 1 <= worker_count() <= min(8, os.cpu_count())


def test_the_memory_of_workers_counts_also_when_they_are_gone(monkeypatch):
    workers.close()
    monkeypatch.setattr(workers, "_past_peak_mb", 0.0)  # Other tests may have needed more.
    list(parallel_map(takes_memory, [300, 1], 2))
    assert workers.peak_mb() > 300
    workers.close()
    assert workers.peak_mb() > 300


def test_a_small_child_is_not_charged_with_the_memory_of_its_parent():
    code = "from helpers.workers import own_peak_mb; print(own_peak_mb())"
    ballast = bytearray(300 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 100
    assert workers.own_peak_mb() > 300


def alive(process_id):
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:  # It is gone, or goes while we look.
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    code = f"""
        import os, signal, sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        import test_workers
        if __name__ == "__main__":
            found = test_workers.parallel_map(test_workers.environment, ["HOME"] * 4, 2)
            ids = {{str(process) for _, process in found}}
            open({str(tmp_path / "ids.txt")!r}, "w").write(" ".join(ids))
            os.kill(os.getpid(), signal.SIGKILL)
        """
    # No pipes: a worker that is left over would hold them open, and we would wait for it.
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    nowhere = subprocess.DEVNULL
    subprocess.run([sys.executable, str(script)], stdout=nowhere, stderr=nowhere, check=False)
    left = [int(word) for word in (tmp_path / "ids.txt").read_text().split()]
    assert left
    until = time.monotonic() + 60
    while any(map(alive, left)) and time.monotonic() < until:
        time.sleep(0.05)
    still = [process for process in left if alive(process)]
    for process in still:
        os.kill(process, signal.SIGKILL)
    assert still == []


def test_a_notebook_can_use_workers_and_its_cells_run_once(tmp_path):
    ran = tmp_path / "ran.txt"
    cells = [
        f"open({str(ran)!r}, 'a').write('cell ')",
        f"""
        import os, sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        from helpers.session import parallel_map
        from test_workers import environment, square
        assert list(parallel_map(square, range(6), 2)) == [0, 1, 4, 9, 16, 25]
        assert os.getpid() not in {{p for _, p in parallel_map(environment, ["HOME"] * 4, 2)}}
        def mine(number):
            return number + 1
        assert list(parallel_map(mine, [1, 2], 2)) == [2, 3]
        """,
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    )
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    assert ran.read_text() == "cell "
