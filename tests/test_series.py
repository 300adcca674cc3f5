"""The seven notebooks one after the other: on Colab's stand-in, and on real videos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from helpers import runs

HOME = Path(__file__).resolve().parents[1]
PRETRAINED = HOME / "helpers" / "pretrained"

needs_weights = pytest.mark.skipif(
    not (PRETRAINED / "face_decoder.keras").is_file(), reason="the released weights are not there"
)


@pytest.fixture
def colab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like Colab's `/content`, a stand-in for `google.colab`, a place to clone from."""
    source = tmp_path / "source"
    hidden = shutil.ignore_patterns("__pycache__")
    for folder in ("helpers", "notebooks", "data_manifest"):
        shutil.copytree(HOME / folder, source / folder, ignore=hidden)
    shutil.copy(HOME / "requirements.txt", source)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "source"]):
        subprocess.run([*git, *command], cwd=source, check=True, capture_output=True)
    content = tmp_path / "content"
    (content / "notebooks").mkdir(parents=True)
    stub = str(Path(__file__).parent / "colab_stub")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([stub, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "stand-in")
    monkeypatch.setenv("SPEECH2FACE_REPO", source.as_uri())
    monkeypatch.setenv("SPEECH2FACE_DRIVE", str(tmp_path / "drive"))
    monkeypatch.setattr(runs, "HOME", content)
    return content


def said(notebook: nbformat.NotebookNode) -> str:
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )


def test_on_colab_a_notebook_fetches_the_series_and_runs(colab: Path, tmp_path: Path) -> None:
    """The notebook stands alone, as Colab opens it: nothing of the series lies beside it."""
    shutil.copy(HOME / "notebooks" / "01_download.ipynb", colab / "notebooks")
    values = {"rows": 3, "use_drive": True, "workspace": str(tmp_path / "workspace")}
    notebook, report = runs.execute("01_download", values)
    assert report.status == "ok", report.error
    assert "Colab" in said(notebook) and "Mounted at" in said(notebook)
    assert (colab / "notebooks" / "speech2face-notebooks" / "helpers").is_dir()
    shards = list((tmp_path / "drive" / "MyDrive" / "speech2face" / "clips").rglob("*.parquet"))
    assert shards, "The table should have a copy on Drive."


@needs_weights
@pytest.mark.slow
def test_on_colab_all_seven_run_one_after_the_other(colab: Path, tmp_path: Path) -> None:
    """Local files vanish between two sessions; what the next notebook needs comes from Drive."""
    for number, name in enumerate(runs.NOTEBOOKS):
        shutil.copy(HOME / "notebooks" / f"{name}.ipynb", colab / "notebooks")
        values = {"rows": 16, "use_drive": True, "workspace": str(tmp_path / f"machine-{number}")}
        _, report = runs.execute(name, values)
        assert report.status == "ok", f"{name}, cell {report.cell}: {report.error}"
        assert report.peak_rss_mb < 3000


@needs_weights
@pytest.mark.slow
def test_real_videos_become_a_page_with_faces(real_media: Path, tmp_path: Path) -> None:
    values = {
        "corpus": "my_videos",
        "videos": str(real_media / "clips"),
        "workspace": str(tmp_path / "workspace"),
    }
    out, reports = runs.run(values, folder=tmp_path / "runs")
    failed = [(r.name, r.cell, r.error) for r in reports if r.status != "ok"]
    assert not failed
    assert reports[1].metrics["clips_with_a_face"] == 7
    assert reports[5].metrics["clips_shown"] == 7
    assert "06_demo-look-own.png" in (out / "index.html").read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert [row["name"] for row in summary["notebooks"]] == list(runs.NOTEBOOKS)

    # A second run finds everything in place.
    _, reports = runs.run(values, only=["01_download"], folder=tmp_path / "runs")
    assert reports[0].metrics["clips_made"] == 0


@needs_weights
@pytest.mark.slow
def test_a_folder_of_broken_files_gives_reasons_and_no_crash(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("This is not a video.")
    values = {"corpus": "my_videos", "videos": str(videos), "workspace": str(tmp_path / "work")}
    _, reports = runs.run(values, folder=tmp_path / "runs")
    failed = [(r.name, r.cell, r.error) for r in reports if r.status != "ok"]
    assert not failed
    assert reports[0].metrics["ok"] == 0
