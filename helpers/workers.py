"""Several processes for work that takes all cores, safe to use from a notebook.

This room imports nothing but the standard library: a new process imports it first, and the number
of threads must be set before NumPy, OpenCV or TensorFlow are loaded there.
"""

from __future__ import annotations

import atexit
import collections
import concurrent.futures
import contextlib
import copy
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

_MOST_WORKERS = 8
"""A worker with a network in it takes some 0.5 GB; more would not fit beside the notebook."""
_ENVIRONMENT = {
    **dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "NUMBA_NUM_THREADS",
            "OPENCV_FOR_THREADS_NUM",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
        ),
        "1",
    ),
    "CUDA_VISIBLE_DEVICES": "",  # The GPU belongs to the notebook.
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

_pool: concurrent.futures.ProcessPoolExecutor | None = None
_pool_size = 0
_past_peak_mb = 0.0
_alone = 0


def worker_count() -> int:
    """Returns how many processes `parallel_map` uses: the cores this process may use, at most 8."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    return min(os.cpu_count() or 1, _MOST_WORKERS)


def parallel_map(
    function: Callable, items: Iterable, processes: int | None = None
) -> Iterator[object]:
    """Applies a function to items in several processes; gives the results in order.

    The processes are started once and stay until `close` or the end of the session. They know
    nothing of the notebook's variables, so the function must be one of a module; any other one is
    applied here, one item after the other. Only a few items are on their way at a time.

    Args:
        function: Takes an item. It and the items must survive pickling on their way to a process.
        items: What it is applied to.
        processes: How many; None for `worker_count()`. With 1 everything happens here.

    Yields:
        The results, in the order of the items.

    Raises:
        Exception: Whatever the function raised for the first item that failed.
        RuntimeError: A process died, most often because memory ran out.
    """
    items = list(items)
    processes = worker_count() if processes is None else processes
    inside = _alone or multiprocessing.parent_process() is not None
    address = _address(function)
    if inside or min(processes, len(items)) <= 1 or address is None:
        yield from map(function, items)
        return
    pool = _started(processes)
    pending: collections.deque = collections.deque()
    waiting = iter(items)
    try:
        for number in range(1, len(items) + 1):  # noqa: B007 (for the message)
            for item in waiting:
                pending.append(pool.submit(_apply, address, item))
                if len(pending) >= 2 * processes:
                    break
            done, value = pending.popleft().result()
            if not done:
                raise value
            yield value
    except BrokenProcessPool as error:
        close()
        raise RuntimeError(
            f"A worker process died at item {number} of {len(items)}, most often because "
            "memory ran out. Run the cell again, with processes=1 if it happens again."
        ) from error
    finally:
        for future in pending:
            future.cancel()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keeps `parallel_map` in this process: it is itself one of many that share the cores."""
    global _alone
    for name, value in _ENVIRONMENT.items():
        if name != "CUDA_VISIBLE_DEVICES":  # A worker of a cluster may well have a GPU.
            os.environ.setdefault(name, value)
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def peak_mb() -> float:
    """Returns the memory of the worker processes at their peak, all together, in MB (2**20 bytes).

    Of the present and of earlier, closed processes whatever is more. The peaks need not have
    come at the same moment, so this is an upper bound.
    """
    living = [own_peak_mb(process.pid) for process in multiprocessing.active_children()]
    return max(_past_peak_mb, sum(living))


def own_peak_mb(process_id: int | str = "self") -> float:
    """Returns the largest resident memory that a process ever had, in MB (2**20 bytes).

    Linux's VmHWM is asked first: `ru_maxrss` starts from the parent's memory after a fork, which
    would charge a small process with what its parent holds.

    Args:
        process_id: Of the process; `self` for this one.
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if process_id != "self":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def close() -> None:
    """Ends the worker processes; the next `parallel_map` starts new ones."""
    global _pool, _past_peak_mb
    if _pool is not None:
        _past_peak_mb = peak_mb()
        _pool.shutdown(cancel_futures=True)
        _pool = None


atexit.register(close)


def _started(processes: int) -> concurrent.futures.ProcessPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size != processes:
        close()
        context = multiprocessing.get_context("spawn")
        _pool = concurrent.futures.ProcessPoolExecutor(processes, context, _initialise)
        _pool_size = processes
    return _pool


def _initialise() -> None:
    os.environ.update(_ENVIRONMENT)
    # Interrupting a notebook's cell is for the notebook; the workers finish their item and wait.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Without this, killing the kernel would leave its workers waiting for ever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _apply(address: tuple[str, str], item: object) -> tuple[bool, object]:
    try:
        module, name = address
        return True, getattr(importlib.import_module(module), name)(item)
    except Exception as error:
        # An exception that cannot travel would break the pool and hide its own message. What can be
        # copied can travel.
        error.add_note("In a worker process:\n" + traceback.format_exc())
        try:
            copy.deepcopy(error)
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return False, error


def _address(function: Callable) -> tuple[str, str] | None:
    """Returns module and name under which another process finds a function, or None."""
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", "")
    if module in (None, "__main__"):
        return None
    found = getattr(sys.modules.get(module), name, None)
    return (module, name) if found is function else None
