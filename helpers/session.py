"""Where a notebook runs: Colab or not, Drive, device, folders; and what it costs.

Nothing but this room knows of `google.colab`, and only inside functions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import inspect
import logging
import os
import platform
import shutil
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import workers
from helpers.packages import install_missing
from helpers.settings import Settings
from helpers.workers import parallel_map, worker_count

if TYPE_CHECKING:
    from helpers.manifests import Manifest
    from helpers.tables import Workspace

__all__ = [
    "Session",
    "default_workspace",
    "device",
    "evaluate_javascript",
    "in_colab",
    "install_missing",
    "ledger_file",
    "parallel_map",
    "peak_rss_mb",
    "show_source",
    "start",
    "upload_files",
    "worker_count",
]

HOME = Path(__file__).resolve().parents[1]
"""Folder of the series: the one with `notebooks` and `helpers`."""
DRIVE_MOUNT = Path("/content/drive")
"""Where Colab mounts Google Drive."""
DRIVE_FOLDER = "MyDrive/speech2face"
"""Folder of tables and checkpoints on Drive."""
_WITHOUT_TENSORFLOW = ("01_download",)
"""Notebooks that start fast because they never need it."""
_SPREAD = ("01_download", "02_face_crop", "03_spectrogram")
"""Notebooks whose work a cluster can do."""
_SHOWN_VERSIONS = ("tensorflow", "keras", "numpy", "librosa", "av")


@dataclasses.dataclass
class Session:
    """One run of one notebook. Get it from `start`.

    Attributes:
        notebook: Name of the notebook, such as `01_download`.
        settings: Settings of the run.
        workspace: Tables and checkpoints.
        manifest: Rows of the corpus.
        in_colab: Whether it runs on Colab.
        device: `CPU`, or the name of the GPU.
        started: When, in seconds of `time.monotonic`.
    """

    notebook: str
    settings: Settings
    workspace: Workspace
    manifest: Manifest
    in_colab: bool
    device: str
    started: float

    def finish(self, metrics: Mapping[str, object] | None = None) -> dict[str, object]:
        """Prints what the notebook took and notes it in the workspace's ledger.

        Args:
            metrics: Numbers to remember, such as counts or recall; anything JSON can hold.

        Returns:
            `notebook`, `seconds`, `peak_rss_mb` (notebook and workers at their peaks),
            `own_peak_rss_mb`, `workers_peak_rss_mb`, `finished` and `metrics`.
        """
        from helpers.storage.drive import write_json

        own, others = workers.own_peak_mb(), workers.peak_mb()
        workers.close()
        entry = {
            "notebook": self.notebook,
            "seconds": round(time.monotonic() - self.started, 1),
            "peak_rss_mb": round(own + others),
            "own_peak_rss_mb": round(own),
            "workers_peak_rss_mb": round(others),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "metrics": dict(metrics or {}),
        }
        write_json(self.workspace.local / "ledger" / f"{self.notebook}.json", entry)
        print(
            f"{self.notebook}: {entry['seconds']:.1f} s, at most {entry['peak_rss_mb']:,} MB of "
            f"memory (notebook {own:,.0f} MB, workers {others:,.0f} MB)."
        )
        return entry


def start(settings: Settings, notebook: str) -> Session:
    """Finds out where the notebook runs and loads the manifest. Prints a few lines about it.

    Call it before the rooms that import TensorFlow: it does so quietly, they would fill the page
    with TensorFlow's log lines.

    Args:
        settings: From `Settings.make`.
        notebook: Name of the notebook, such as `01_download`.

    Returns:
        The session.

    Raises:
        helpers.manifests.ManifestError: The manifest is refused; names line and column.
        helpers.storage.remote.Unreachable: The folder `Settings.tables_at` cannot be used.
        helpers.storage.cluster.NoCluster: The cluster `Settings.dask` cannot be used.
    """
    started = time.monotonic()
    # Without ipywidgets the bars of tqdm are text, which is what the pages of a run need.
    warnings.filterwarnings("ignore", message="IProgress not found")
    if notebook not in _WITHOUT_TENSORFLOW:
        spare_memory(settings.network)
        load_tensorflow()
    from helpers import manifests, tables

    colab = in_colab()
    on_drive = settings.use_drive and not settings.tables_at
    drive = _mounted_drive() if on_drive and colab else None
    manifest = manifests.load(settings)
    workspace = tables.Workspace(default_workspace(settings.workspace), settings, drive)
    if settings.tables_at:
        workspace.mirror.check()
    if settings.dask and notebook in _SPREAD:
        from helpers.storage import cluster

        workspace.cluster = cluster.connect(settings.dask)
    session = Session(
        notebook=notebook,
        settings=settings,
        workspace=workspace.use(manifest),
        manifest=manifest,
        in_colab=colab,
        device=device(),
        started=started,
    )
    print(
        f"{notebook} · corpus {settings.corpus} · mode {settings.mode} · {len(manifest.rows):,} "
        f"rows of {len(manifest.speakers()):,} speakers"
    )
    if manifest.left_out:
        print(f"{len(manifest.left_out):,} rows are left out: see exclusions.csv")
    print(f"Python {platform.python_version()}, {_versions()}")
    print(f"{'Colab' if colab else platform.system()}, {worker_count()} cores, {session.device}")
    copies = drive or settings.tables_at
    kept = f"{workspace.local}" + (f", copied to {copies}" if copies else "")
    print(f"Tables and checkpoints: {kept}")
    if workspace.cluster is not None:
        print(f"Shards are made on the {workspace.cluster}")
    if settings.use_drive and settings.tables_at:
        print("TABLES_AT takes the place of Drive; USE_DRIVE does nothing.")
    elif settings.use_drive and not colab:
        print("USE_DRIVE only works on Colab; here everything stays in the local folder.")
    return session


def spare_memory(network: str) -> None:
    """Sees to it that the paper's network fits into 10 GB where there is no GPU.

    TensorFlow's oneDNN kernels come with a store of memory that never gives any back: a training
    step of 8 clips and saving took 10.8 GB with them and 8.6 GB without, and half as long again.
    Call it before TensorFlow is imported; afterwards it is too late.

    Args:
        network: `compact`, `paper` or `published`.
    """
    if network in ("paper", "published") and device() == "CPU":
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def load_tensorflow() -> None:
    """Imports Keras and TensorFlow with their log lines kept off the page.

    They are written past Python and before TensorFlow looks at its own log level.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_stderr():
        import keras  # noqa: F401
    # It warns of traced functions where batches differ in size, which is meant.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def in_colab() -> bool:
    """Tells whether this is a notebook on Google Colab."""
    return "google.colab" in sys.modules


def default_workspace(chosen: str = "") -> Path:
    """Returns the local folder of tables and checkpoints.

    Args:
        chosen: `Settings.workspace`; empty takes the environment variable SPEECH2FACE_WORKSPACE,
            else `/content/speech2face` on Colab, else `workspace` beside the notebooks' folder.
    """
    chosen = chosen or os.environ.get("SPEECH2FACE_WORKSPACE", "")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path("/content/speech2face") if in_colab() else HOME / "workspace"


def ledger_file(workspace: str, notebook: str) -> Path:
    """Returns the file in which `Session.finish` notes what a notebook took.

    Args:
        workspace: `Settings.workspace`; empty means the default.
        notebook: Name of the notebook.
    """
    return default_workspace(workspace) / "ledger" / f"{notebook}.json"


def peak_rss_mb() -> float:
    """Returns the peak memory of this process and its workers, an upper bound, in MB (2**20)."""
    return workers.own_peak_mb() + workers.peak_mb()


def show_source(function: Callable | type) -> object:
    """Shows the source of a function or class with its docstring.

    Args:
        function: Any Python function or class that has a source file.

    Returns:
        An `IPython.display.Code` object; let it be the last line of a cell.
    """
    from IPython.display import Code

    return Code(textwrap.dedent(inspect.getsource(inspect.unwrap(function))), language="python")


def upload_files() -> dict[str, bytes]:
    """Lets the user choose files in Colab. Returns their contents by name."""
    from google.colab import files

    return files.upload()


def evaluate_javascript(code: str) -> object:
    """Runs JavaScript in the browser that shows the notebook in Colab. Returns what it returns."""
    from google.colab import output

    return output.eval_js(code)


def _mounted_drive() -> Path | None:
    from google.colab import drive

    mount = Path(os.environ.get("SPEECH2FACE_DRIVE", DRIVE_MOUNT))
    try:
        drive.mount(str(mount))
        (mount / DRIVE_FOLDER).mkdir(parents=True, exist_ok=True)
    except Exception as error:  # Colab raises its own classes, and plain ValueError too.
        print(
            f"Google Drive could not be mounted ({type(error).__name__}: {error}). The work goes "
            "on in local files, which Colab deletes with its machine."
        )
        return None
    return mount / DRIVE_FOLDER


def device() -> str:
    """Returns `CPU`, or `GPU` and the names of the GPUs that this process may use."""
    # TensorFlow would say it too, after five seconds and with a third of a GB.
    command = shutil.which("nvidia-smi")
    if command is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CPU"
    try:
        answer = subprocess.run(
            [command, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "CPU"
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return f"GPU {', '.join(names)}" if answer.returncode == 0 and names else "CPU"


def _versions() -> str:
    versions = []
    for name in _SHOWN_VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} missing")
    return ", ".join(versions)
