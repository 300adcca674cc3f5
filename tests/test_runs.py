"""The runner, tried on notebooks of a few lines instead of the real seven."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from helpers.commands import runs

FORM = 'CORPUS = "archipelago"  # @param ["archipelago"]\nSEED = 0  # @param {type: "integer"}'


def write(home: Path, name: str, *code: str, tags: tuple[str, ...] = ()) -> None:
    cells = [
        nbformat.v4.new_markdown_cell(f"# {name}", id="title"),
        nbformat.v4.new_code_cell(FORM, id="params", metadata={"tags": ["parameters"]}),
    ]
    for number, source in enumerate(code):
        metadata = {"tags": list(tags), "caption": "A dot"} if tags else {}
        cells.append(nbformat.v4.new_code_cell(source, id=f"cell-{number}", metadata=metadata))
    (home / "notebooks").mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), home / "notebooks" / f"{name}.ipynb")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs, "HOME", tmp_path)
    monkeypatch.setattr(runs, "NOTEBOOKS", ("01_first", "02_second"))
    return tmp_path


def test_inject_puts_the_values_behind_the_form(home: Path) -> None:
    write(home, "01_first", "print(SEED)")
    notebook = nbformat.read(home / "notebooks" / "01_first.ipynb", as_version=4)
    assert runs.parameters(notebook) == {"CORPUS": "archipelago", "SEED": 0}
    runs.inject(notebook, {"seed": 7, "videos": "not in this form"})
    assert [cell.id for cell in notebook.cells][1:3] == ["params", "injected-parameters"]
    assert notebook.cells[2].source == "SEED = 7"
    assert notebook.cells[2].metadata["tags"] == ["injected-parameters"]


def test_parameters_needs_a_form(home: Path) -> None:
    with pytest.raises(ValueError, match="parameters"):
        runs.parameters(nbformat.v4.new_notebook())


def test_a_run_leaves_notebooks_page_summary_and_latest(
    home: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    ledger = home / "ledger.json"
    monkeypatch.setattr(runs, "ledger_file", lambda workspace, name: ledger)
    draw = (
        "from matplotlib.figure import Figure\nfrom helpers.plots import style\n"
        "drawn, axes = style.figure(); axes[0, 0].plot([1, 2]); drawn"
    )
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    write(home, "01_first", path + draw, tags=("picture",))
    finish = (
        f"import json; json.dump({{'metrics': {{'r_at_10': 0.5}}}}, open({str(ledger)!r}, 'w'))"
    )
    write(home, "02_second", "import sys; print(sys.executable, SEED)", finish)

    out, reports = runs.run({"seed": 3})

    assert [report.status for report in reports] == ["ok", "ok"]
    assert all(report.seconds > 0 and report.peak_rss_mb > 20 for report in reports)
    assert (home / "runs" / "latest").resolve() == out.resolve()
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["notebooks"][0]) == {"name", "status", "seconds", "peak_rss_mb"}
    assert summary["metrics"] == {"02_second": {"r_at_10": 0.5}}
    assert summary["settings"] == {"seed": 3}
    executed = nbformat.read(out / "02_second.ipynb", as_version=4)
    assert executed.cells[3].outputs[0].text == f"{sys.executable} 3\n"
    assert (out / "pictures" / "01_first-cell-0.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "index.html").read_text()
    assert "A dot" in page and 'href="02_second.html"' in page and "r_at_10" in page
    assert "not a likeness of anyone" in page
    shown = (out / "02_second.html").read_text()
    assert "SEED" in shown and str(home) not in shown, "the page names a place of this machine"
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert len(lines) == 2 and lines[0].startswith("[1/2] 01_first") and " ok " in lines[0]


def test_a_failing_cell_ends_the_run_and_is_named(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    write(home, "01_first", "x = 1", "raise KeyError('no such face')", "x = 2")
    write(home, "02_second", "print(1)")
    out, reports = runs.run({})
    assert [report.status for report in reports] == ["failed", "not run"]
    assert reports[0].cell == "cell-1"
    assert reports[0].error == "KeyError: 'no such face'"
    told = capsys.readouterr().err
    assert "01_first failed in cell 'cell-1'" in told and "no such face" in told
    summary = json.loads((out / "summary.json").read_text())
    assert [row["status"] for row in summary["notebooks"]] == ["failed", "not run"]
    page = (out / "index.html").read_text()
    assert "no such face" in page and 'href="02_second.html"' not in page


def test_a_dying_kernel_is_a_failure_with_a_plain_reason(home: Path) -> None:
    write(home, "01_first", "import os; os._exit(9)")
    _, reports = runs.run({}, only=["01_first"])
    assert (reports[0].status, reports[0].cell) == ("failed", "cell-0")
    assert "memory" in reports[0].error


def test_latest_points_to_the_newest_of_two_runs(home: Path) -> None:
    write(home, "01_first", "1")
    runs.run({}, only=["01_first"])
    out, _ = runs.run({}, only=["01_first"])
    assert (home / "runs" / "latest").resolve() == out.resolve()
    assert len([run for run in (home / "runs").iterdir() if not run.is_symlink()]) == 2


def test_the_figures_of_a_run_are_those_that_were_measured(capsys: pytest.CaptureFixture) -> None:
    matched = {"released_recall_10_sex_matched": 0.3, "released_chance_10_sex_matched": 0.02}
    reports = [
        runs.NotebookReport("01_download", metrics={"core_seconds_per_clip": 1.25}),
        runs.NotebookReport("02_face_crop", metrics={"clips_per_second": 4.0}),
        runs.NotebookReport("03_spectrogram", metrics={"clips_per_second": 12.0}),
        runs.NotebookReport("06_demo", metrics={"first_seconds": 2.0, "seconds_per_voice": 0.1}),
        runs.NotebookReport(
            "07_evaluation",
            metrics={"people": 9, **matched, "released_recall_10_sex_matched_interval": [0.2, 0.4]},
        ),
    ]
    found = runs.figures(reports)
    assert found["clips_per_second"] == 3.0 and found["core_seconds_per_clip"] == 1.25
    assert matched.items() <= found.items() and "people" not in found
    runs._print_figures(found)
    told = capsys.readouterr().out
    assert "30.0% (20.0% to 40.0%), chance 2.0%, 15.0 times chance" in told
    # A table that was there already has no rate, and then there is none for both together.
    reports[1].metrics = {"clips_made": 0}
    assert "clips_per_second" not in runs.figures(reports)
    assert runs.figures([]) == {}
