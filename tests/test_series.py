"""The seven notebooks one after the other: on Colab's stand-in, and on real videos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from helpers import manifests
from helpers.archipelago import clips
from helpers.commands import runs
from helpers.settings import Settings
from helpers.tables import Workspace

HOME = Path(__file__).resolve().parents[1]


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


@pytest.mark.slow
def test_on_colab_all_seven_run_one_after_the_other(colab: Path, tmp_path: Path) -> None:
    """Local files vanish between two sessions; what the next notebook needs comes from Drive."""
    for number, name in enumerate(runs.NOTEBOOKS):
        shutil.copy(HOME / "notebooks" / f"{name}.ipynb", colab / "notebooks")
        values = {"rows": 16, "use_drive": True, "workspace": str(tmp_path / f"machine-{number}")}
        _, report = runs.execute(name, values)
        assert report.status == "ok", f"{name}, cell {report.cell}: {report.error}"
        assert report.peak_rss_mb < 3000


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


BROKEN = {
    "empty": "The file is empty.",
    "no_sound": "The file has no sound.",
    "text": "The file is damaged, or is not audio or video.",
    "truncated": "The file is cut short: 3.1 of 6.5 s can be read.",
}
"""What is wrong with files that cannot be used at all."""


@pytest.mark.slow
def test_a_folder_of_broken_files_gives_reasons_and_no_crash(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "good.mp4").write_bytes(clips.render("3/0"))
    for fault in ("no_sound", "no_face", "silent", "truncated"):
        (videos / f"{fault}.mp4").write_bytes(clips.render(f"3/0/{fault}"))
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("This is not a video.")
    values = {"corpus": "my_videos", "videos": str(videos), "workspace": str(tmp_path / "work")}
    _, reports = runs.run(values, folder=tmp_path / "runs")
    failed = [(r.name, r.cell, r.error) for r in reports if r.status != "ok"]
    assert not failed
    assert [report.name for report in reports] == list(runs.NOTEBOOKS)
    assert reports[0].metrics["ok"] == 3

    settings = Settings.make(**values)
    workspace = Workspace(tmp_path / "work", settings).use(manifests.load(settings))
    broken = {name: ("rejected", reason) for name, reason in BROKEN.items()}
    fine = dict.fromkeys(("good", "no_face", "silent"), ("ok", ""))
    no_face = ("rejected", "No face was found in 2 frames.")
    silent = ("rejected", "The sound track is silent.")
    for table, expected in (
        ("clips", broken | fine),
        ("faces", broken | fine | {"no_face": no_face}),
        ("speech", broken | fine | {"silent": silent}),
    ):
        rows = workspace.require(table).rows(["clip_id", "status", "reason"])
        assert {row["clip_id"]: (row["status"], row["reason"]) for row in rows} == expected
