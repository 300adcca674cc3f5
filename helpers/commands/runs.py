"""Executes the notebooks in order and leaves a page behind: what `python -m helpers run` does.

Each notebook runs in a kernel of its own, started with the interpreter that runs this code, so
that no kernel has to be registered anywhere. The values of the run go into a cell of their own
behind the form cell, and the executed notebooks are kept with them.
"""

from __future__ import annotations

import ast
import base64
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from traitlets import default

from helpers.commands import notebook_page, run_page
from helpers.commands.memory_sampler import MemorySampler
from helpers.session import HOME, default_workspace, ledger_file

"""The repository: where `notebooks/` and `helpers/` lie."""
NOTEBOOKS = (
    "01_download",
    "02_face_crop",
    "03_spectrogram",
    "04_voice_encoder",
    "05_face_decoder",
    "06_demo",
    "07_evaluation",
)


@dataclasses.dataclass
class NotebookReport:
    """How one notebook went.

    Attributes:
        name: Name of the notebook without its ending.
        status: `ok`, `failed` or `not run`.
        seconds: Wall clock time.
        peak_rss_mb: Largest resident memory of the kernel and its children together, in MB.
        cell: Id of the failing cell, or empty.
        error: Type and message of the error, or empty.
        metrics: What the notebook's `save` cell left in the ledger.
    """

    name: str
    status: str = "not run"
    seconds: float = 0.0
    peak_rss_mb: int = 0
    cell: str = ""
    error: str = ""
    metrics: dict = dataclasses.field(default_factory=dict)


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: the Python that is running."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class _Kernel(AsyncKernelManager):
    @default("kernel_spec_manager")
    def _kernel_spec_manager(self) -> KernelSpecManager:
        return _ThisInterpreter(parent=self)


def parameters(notebook: NotebookNode) -> dict[str, object]:
    """Reads the form cell of a notebook.

    Args:
        notebook: A notebook with a cell tagged `parameters`.

    Returns:
        The names that the cell assigns, with their literal values.
    """
    values: dict[str, object] = {}
    for statement in ast.parse(_form_cell(notebook).source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def inject(notebook: NotebookNode, values: Mapping[str, object]) -> None:
    """Puts a cell with the run's values behind the form cell, in place.

    Args:
        notebook: A notebook with a cell tagged `parameters`.
        values: Settings by field name. Those that the form does not have go into its `MORE`.
    """
    known = parameters(notebook)
    lines = [
        f"{name.upper()} = {value!r}" for name, value in values.items() if name.upper() in known
    ]
    more = {name: value for name, value in values.items() if name.upper() not in known}
    if more and "MORE" in known:
        lines.append(f"MORE = {more!r}")
    if lines:
        cell = nbformat.v4.new_code_cell("\n".join(lines), id="injected-parameters")
        cell.metadata["tags"] = ["injected-parameters"]
        notebook.cells.insert(notebook.cells.index(_form_cell(notebook)) + 1, cell)


def _form_cell(notebook: NotebookNode) -> NotebookNode:
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            return cell
    raise ValueError("The notebook has no cell tagged `parameters`.")


def execute(
    name: str,
    values: Mapping[str, object],
    on_cell: Callable[[int, int], None] | None = None,
    log: Path | None = None,
) -> tuple[NotebookNode, NotebookReport]:
    """Executes one notebook from a fresh kernel.

    Args:
        name: Name of the notebook without its ending.
        values: Settings by field name, injected behind the form cell.
        on_cell: Called with the number of the cell that starts, from 1, and the number of cells.
        log: File for what the kernel itself says, such as its last words when it dies; kept only
            when the notebook fails.

    Returns:
        The notebook with its outputs, as far as it came, and the report.
    """
    notebook = nbformat.read(HOME / "notebooks" / f"{name}.ipynb", as_version=4)
    inject(notebook, values)
    report = NotebookReport(name)
    ledger = ledger_file(str(values.get("workspace", "")), name)
    ledger.unlink(missing_ok=True)

    def started(cell: NotebookNode, cell_index: int, **_: object) -> None:
        report.cell = cell.get("id", str(cell_index))
        if on_cell:
            on_cell(cell_index + 1, len(notebook.cells))

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_manager_class=_Kernel,
        resources={"metadata": {"path": str(HOME / "notebooks")}},
        on_cell_start=started,
        coalesce_streams=True,
    )
    sampler, begin = MemorySampler(), time.monotonic()
    sampler.start()
    try:
        with (log or Path(os.devnull)).open("wb") as file:
            client.execute(stdout=file, stderr=file)
        report.status, report.cell = "ok", ""
    except CellExecutionError as error:
        report.status, report.error = "failed", f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        report.status = "failed"
        report.error = "The kernel died. Most often the machine had too little memory."
    finally:
        report.peak_rss_mb = sampler.stop()
        report.seconds = round(time.monotonic() - begin, 1)
    if log and report.status == "ok":
        log.unlink()
    if ledger.is_file():
        report.metrics = json.loads(ledger.read_text()).get("metrics") or {}
    return notebook, report


def run(
    values: Mapping[str, object], only: Sequence[str] = (), folder: Path | None = None
) -> tuple[Path, list[NotebookReport]]:
    """Executes the notebooks in order and writes the page of the run.

    The first failing cell ends the run; the page is written all the same.

    Args:
        values: Settings by field name; see `Settings`. Only what differs from the forms.
        only: Names of the notebooks to execute; empty means all seven.
        folder: Folder of all runs; the default is `runs/` in the repository.

    Returns:
        The folder of this run and one report per notebook.
    """
    out = _new_folder(folder or HOME / "runs")
    names = [name for name in NOTEBOOKS if not only or name in only]
    reports = [NotebookReport(name) for name in names]
    pictures: list[run_page.Picture] = []
    for place, name in enumerate(names):
        prefix = f"[{place + 1}/{len(names)}] {name:<17}"
        notebook, reports[place] = execute(name, values, _progress(prefix), out / f"{name}.log")
        _print_report(prefix, reports[place])
        nbformat.write(notebook, out / f"{name}.ipynb")
        notebook_page.write_html(notebook, out / f"{name}.html", name, _private(values))
        pictures += extract_pictures(notebook, name, out / "pictures")
        _write_summary(out, values, reports, pictures)
        if reports[place].status == "failed":
            break
    _point_latest(out)
    _print_figures(figures(reports))
    return out, reports


def _private(values: Mapping[str, object]) -> list[str]:
    """Returns the places of this machine that a page should not name."""
    places = [str(HOME), str(default_workspace(str(values.get("workspace", ""))))]
    return places + [str(value) for value in values.values() if Path(str(value)).is_absolute()]


def figures(reports: Sequence[NotebookReport]) -> dict[str, object]:
    """Returns the numbers by which a run is judged, as far as its notebooks have measured them.

    Args:
        reports: From `run`. A table that was there already has no rate.

    Returns:
        `core_seconds_per_clip` (01), `clips_per_second` of 02 and 03 together, `first_seconds` and
        `seconds_per_voice` (06), and what 07 says of the released weights.
    """
    metrics = {report.name[:2]: report.metrics for report in reports}
    found: dict[str, object] = {}
    for number, name in (
        ("01", "core_seconds_per_clip"),
        ("06", "first_seconds"),
        ("06", "seconds_per_voice"),
    ):
        if metrics.get(number, {}).get(name) is not None:
            found[name] = metrics[number][name]
    rates = [metrics.get(number, {}).get("clips_per_second") for number in ("02", "03")]
    if all(rates):
        found["clips_per_second"] = round(1 / sum(1 / rate for rate in rates), 3)
    released = metrics.get("07", {}).items()
    return found | {name: value for name, value in released if name.startswith("released_")}


_FIGURES = {
    "core_seconds_per_clip": "core-seconds to make one clip (01)",
    "clips_per_second": "clips a second (02 and 03 together)",
    "first_seconds": "seconds to the first face, with loading (06)",
    "seconds_per_voice": "seconds to every further face (06)",
}


def _print_figures(found: Mapping[str, object]) -> None:
    rows = [(text, f"{found[name]:.2f}") for name, text in _FIGURES.items() if name in found]
    for ending, gallery in (("", "all faces"), ("_sex_matched", "faces of the same sex")):
        recall = found.get(f"released_recall_10{ending}")
        if recall is not None:
            chance = found[f"released_chance_10{ending}"]
            low, high = found[f"released_recall_10{ending}_interval"]
            rows.append(
                (
                    f"released weights, R@10 among {gallery} (07)",
                    f"{recall:.1%} ({low:.1%} to {high:.1%}), chance {chance:.1%}, "
                    f"{recall / chance:.1f} times chance",
                )
            )
    if rows:
        print()
    for text, value in rows:
        print(f"{text:<56} {value}")


def _progress(prefix: str) -> Callable[[int, int], None]:
    """Shows the cell at work, where somebody looks; a log gets the finished lines only."""

    def show(cell: int, cells: int) -> None:
        if sys.stdout.isatty():
            print(f"\r{prefix} cell {cell} of {cells} ", end="", flush=True)

    return show


def _print_report(prefix: str, report: NotebookReport) -> None:
    start = "\r" if sys.stdout.isatty() else ""
    print(
        f"{start}{prefix} {report.status:<7} {report.seconds:7.1f} s {report.peak_rss_mb:6} MB",
        flush=True,
    )
    if report.status == "failed":
        print(f"\n{report.name} failed in cell '{report.cell}'.\n{report.error}", file=sys.stderr)


def _new_folder(runs: Path) -> Path:
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        out = runs / (stamp + suffix)
        try:
            out.mkdir(parents=True)
        except FileExistsError:  # another run began within the same second
            continue
        return out
    raise FileExistsError(f"{runs} already has a hundred runs of {stamp}.")


def _point_latest(out: Path) -> None:
    link = out.parent / "latest"
    fresh = out.parent / f".latest-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(out.name)
    fresh.replace(link)


def extract_pictures(notebook: NotebookNode, name: str, folder: Path) -> list[run_page.Picture]:
    """Writes the images of the cells tagged `picture` as files.

    Args:
        notebook: An executed notebook.
        name: Its name; the files are named after it and the cell.
        folder: Where the PNG and GIF files go; made when there is one to write.

    Returns:
        The pictures in the order of the notebook. The caption is the cell's `caption`.
    """
    pictures = []
    for cell in notebook.cells:
        if "picture" not in cell.metadata.get("tags", ()):
            continue
        images = [
            (kind, base64.b64decode(output.data[f"image/{kind}"]))
            for output in cell.get("outputs", ())
            for kind in ("png", "gif")
            if f"image/{kind}" in output.get("data", {})
        ]
        for number, (kind, image) in enumerate(images):
            folder.mkdir(exist_ok=True)
            file = folder / f"{name}-{cell.id}{f'-{number + 1}' if number else ''}.{kind}"
            file.write_bytes(image)
            caption = cell.metadata.get("caption", "") if number == 0 else ""
            shown = f"{folder.name}/{file.name}", caption, run_page.picture_size(image)
            pictures.append(run_page.Picture(name, *shown))
    return pictures


def _write_summary(
    out: Path,
    values: Mapping[str, object],
    reports: Sequence[NotebookReport],
    pictures: Sequence[run_page.Picture],
) -> None:
    summary = {
        "run": out.name,
        "settings": dict(values),
        "seconds": round(sum(report.seconds for report in reports), 1),
        "notebooks": [_summary_row(report) for report in reports],
        "figures": figures(reports),
        "metrics": {report.name: report.metrics for report in reports if report.metrics},
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    page = run_page.page(summary, pictures)
    (out / "index.html").write_text(page, encoding="utf-8")


def _summary_row(report: NotebookReport) -> dict[str, object]:
    row: dict[str, object] = {
        "name": report.name,
        "status": report.status,
        "seconds": report.seconds,
        "peak_rss_mb": report.peak_rss_mb,
    }
    if report.status == "failed":
        row |= {"cell": report.cell, "error": report.error}
    return row
