"""A cluster of other processes or machines that makes shards: any `dask.distributed` scheduler.

Workers need the packages of requirements.txt and nothing else. The code of this package is sent to
them, no file system has to be shared, and a worker may come, go or die at any time: what it was
making is made by another one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

_PACKAGE = Path(__file__).parents[1]
_NEEDED = ("tensorflow", "mtcnn", "av", "cv2", "pyarrow", "librosa", "dlib")
"""Modules that the stages need on a worker."""
_TIMEOUT_S = 30
_HOW = "Set DASK to the address that the scheduler prints, such as tcp://10.0.0.5:8786"


class NoCluster(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """The cluster cannot be used; the message says why and what to do."""


class Cluster:
    """Workers of a Dask scheduler. Get it from `connect`.

    Attributes:
        address: Of the scheduler.
    """

    def __init__(self, address: str, client: Client) -> None:
        self.address = address
        self._client = client

    def __str__(self) -> str:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        return f"cluster {self.address}: {len(workers)} workers, {threads} clips at a time"

    def run(
        self, function: str, jobs: Iterable[tuple[str, Mapping]]
    ) -> Iterator[tuple[str, object]]:
        """Runs a function of this package on the workers, once for each job.

        Only a few jobs are on their way at a time. One whose worker dies is given to another.

        Args:
            function: Such as `helpers.storage.shards:make`.
            jobs: Name and argument of each: plain data.

        Yields:
            Name and result of each job, in the order in which they end.

        Raises:
            NoCluster: The workers that a job was given to died one after the other.
            Exception: Whatever the function raised.
        """
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        waiting, names = iter(jobs), {}
        running = as_completed(loop=self._client.loop)

        def fill() -> None:
            while len(names) < self._room():
                job = next(waiting, None)
                if job is None:
                    return
                name, argument = job
                future = self._client.submit(_caller(), function, argument, pure=False)
                names[future] = name
                running.add(future)

        try:
            fill()
            while names:
                future = next(running)
                name = names.pop(future)
                try:
                    result = future.result()
                except KilledWorker as error:
                    raise NoCluster(
                        f"Several workers died while they made {name}, most often because memory "
                        "ran out. Start workers with more memory and run the cell again."
                    ) from error
                future.release()
                fill()
                yield name, result
        finally:
            self._client.cancel(list(names))

    def _room(self) -> int:
        return max(2, 2 * sum(self._client.nthreads().values()))


@functools.cache
def connect(address: str) -> Cluster:
    """Connects to a scheduler and sends this package to its workers.

    Args:
        address: Such as `tcp://10.0.0.5:8786`.

    Returns:
        The cluster; the same one for the same address.

    Raises:
        NoCluster: Dask is not installed, nobody answers, there are no workers, or they miss
            packages.
    """
    if importlib.util.find_spec("distributed") is None:
        raise NoCluster(
            f"DASK={address!r} needs the package distributed. Install it: "
            "pip install dask distributed"
        )
    from distributed import Client

    try:
        client = Client(address, timeout=_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoCluster(
            f"No Dask scheduler answers at {address!r} ({error}). {_HOW}, or leave it empty to use "
            "this machine only."
        ) from error
    try:
        client.wait_for_workers(1, timeout=_TIMEOUT_S)
    except TimeoutError as error:
        client.close()
        raise NoCluster(
            f"The scheduler at {address!r} has no workers. Start some: dask worker {address}"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        client.run(_forget_older_code())
        client.upload_file(_archive(Path(folder)))
    _check(client, address)
    return Cluster(address, client)


def disconnect() -> None:
    """Lets go of all clusters; they go on running."""
    connect.cache_clear()


def _archive(folder: Path) -> str:
    """Packs the code of this package, so that workers import it from one file."""
    copy = folder / "code" / _PACKAGE.name
    shutil.copytree(_PACKAGE, copy, ignore=_everything_but_code)
    # A name of its own: Python remembers what was in an archive of the same name.
    name = f"speech2face_code-{secrets.token_hex(4)}"
    return shutil.make_archive(str(folder / name), "zip", copy.parent)


def _everything_but_code(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if (Path(folder) / n).is_file() and not n.endswith(".py")] + [
        n for n in names if n == "__pycache__"
    ]


def _check(client: Client, address: str) -> None:
    missing = client.run(_missing_modules(), _NEEDED)
    for worker, modules in missing.items():
        if modules:
            with contextlib.suppress(Exception):
                client.close()
            raise NoCluster(
                f"The worker {worker} of {address} misses {', '.join(modules)}. Install there what "
                "requirements.txt names: pip install -r requirements.txt"
            )


# A function inside a function travels as a whole, so that neither the scheduler nor a worker has to
# know this package before it has arrived.


def _caller() -> Callable:
    def call(function: str, job: Mapping) -> object:
        import importlib

        module, _, name = function.partition(":")
        return getattr(importlib.import_module(module), name)(job)

    return call


def _forget_older_code() -> Callable:
    def forget() -> None:
        import sys

        for name, module in list(sys.modules.items()):
            if "speech2face_code" in (getattr(module, "__file__", None) or ""):
                del sys.modules[name]

    return forget


def _missing_modules() -> Callable:
    def missing(names: tuple[str, ...]) -> list[str]:
        import importlib.util

        return [name for name in names if importlib.util.find_spec(name) is None]

    return missing
