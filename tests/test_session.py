"""Session: where a notebook runs, on Colab or not, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
from conftest import ROOT

from helpers import session
from helpers.manifests import ManifestError
from helpers.settings import Settings

STUB = ROOT / "tests/colab_stub"


@pytest.fixture
def start(tmp_path):
    """Starts a small session in a folder of its own."""

    def started(**values) -> session.Session:
        values = {"workspace": str(tmp_path / "workspace"), "rows": 6, **values}
        return session.start(Settings.make(**values), "01_download")

    return started


def on_colab(code: str, **environment) -> subprocess.CompletedProcess:
    """Runs code in a new Python that starts as on Colab."""
    env = {**os.environ, "PYTHONPATH": f"{STUB}{os.pathsep}{ROOT}", "COLAB_RELEASE_TAG": "stub"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env | environment,
        capture_output=True,
        text=True,
    )


# --- starting ------------------------------------------------------------------------------------


def test_on_colab_a_missing_table_comes_with_a_word_about_drive(start, colab):
    from helpers.tables import MissingTable

    with pytest.raises(MissingTable, match="01_download first.*USE_DRIVE"):
        start().workspace.require("clips")


def test_a_session_says_in_a_few_lines_where_it_runs(start, capsys):
    started = start()
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 5
    for word in ("01_download", "archipelago", "quick", "6 rows", "numpy", started.device):
        assert word in said
    assert str(started.workspace.local) in said


def test_a_session_brings_manifest_and_tables_together(start):
    started = start()
    assert len(started.manifest.rows) == 6
    assert not started.workspace.table("clips").complete
    assert start(rows=5).workspace.table("clips").folder != started.workspace.table("clips").folder


def test_a_bad_manifest_stops_the_session(start, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("clip_id\n1\n")
    with pytest.raises(ManifestError, match="bad.csv, line 1"):
        start(corpus="manifest", manifest=str(path))


def test_the_first_notebook_starts_without_tensorflow(tmp_path):
    code = f"""
        import sys
        from helpers.session import start
        from helpers.settings import Settings
        start(Settings.make(workspace={str(tmp_path)!r}, rows=2), "01_download")
        assert "tensorflow" not in sys.modules
        """
    done = on_colab(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_without_a_gpu_the_device_is_the_cpu(start, monkeypatch):
    monkeypatch.setattr(session.shutil, "which", lambda name: None)
    assert start().device == "CPU"


def test_a_gpu_is_called_by_its_name(start, monkeypatch, tmp_path):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'Tesla T4'\n")
    command.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(session.shutil, "which", lambda name: str(command))
    assert start().device == "GPU Tesla T4"
    command.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert start().device == "CPU"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert start().device == "CPU"


# --- folders -------------------------------------------------------------------------------------


def test_the_folder_is_the_chosen_one_else_that_of_the_environment_else_beside_the_notebooks(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("SPEECH2FACE_WORKSPACE", str(tmp_path / "environment"))
    assert session.default_workspace(str(tmp_path / "chosen")) == tmp_path / "chosen"
    assert session.default_workspace() == tmp_path / "environment"
    monkeypatch.delenv("SPEECH2FACE_WORKSPACE")
    assert session.default_workspace() == ROOT / "workspace"


def test_on_colab_the_folder_is_on_the_local_disk(colab):
    assert str(session.default_workspace()) == "/content/speech2face"


# --- Colab ---------------------------------------------------------------------------------------


def test_without_colab_there_is_no_colab(start, capsys):
    assert not session.in_colab()
    started = start(use_drive=True)
    assert started.workspace.mirror.folder is None
    assert "USE_DRIVE only works on Colab" in capsys.readouterr().out


def test_drive_is_mounted_only_when_asked_for(colab, start):
    started = start()
    assert started.in_colab
    assert started.workspace.mirror.folder is None
    assert colab.drive.mounted == []


def test_drive_holds_copies_when_asked_for(colab, start, tmp_path, capsys):
    started = start(use_drive=True)
    assert colab.drive.mounted == [str(tmp_path / "drive")]
    assert started.workspace.mirror.folder == tmp_path / "drive/MyDrive/speech2face"
    assert "copied to" in capsys.readouterr().out
    assert colab.drive.flushed == []


def test_a_drive_that_cannot_be_mounted_is_reported_and_the_work_goes_on(
    colab, start, monkeypatch, capsys
):
    def refused(mountpoint):
        raise ValueError("mount failed")

    monkeypatch.setattr(colab.drive, "mount", refused)
    assert start(use_drive=True).workspace.mirror.folder is None
    assert "could not be mounted (ValueError: mount failed)" in capsys.readouterr().out


def test_files_and_answers_come_from_the_browser(colab, monkeypatch, tmp_path):
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    monkeypatch.setenv("COLAB_STUB_UPLOAD", str(tmp_path / "voice.wav"))
    monkeypatch.setenv("COLAB_STUB_ANSWER", "data:audio/webm;base64,AAAA")
    assert session.upload_files() == {"voice.wav": b"RIFF"}
    assert session.evaluate_javascript("record()") == "data:audio/webm;base64,AAAA"


def test_the_stand_in_is_there_from_the_start_and_leaves_protobuf_alone():
    code = """
        import sys
        assert "google.colab" in sys.modules
        from google.protobuf import message
        from helpers import session
        assert session.in_colab()
        """
    done = on_colab(code)
    assert done.returncode == 0, done.stderr


def test_nothing_but_the_session_knows_of_colab():
    for path in (ROOT / "helpers").rglob("*.py"):
        if path.name != "session.py":
            assert "import google" not in path.read_text(), path
            assert "from google" not in path.read_text(), path


# --- finishing -----------------------------------------------------------------------------------


def test_finishing_prints_returns_and_notes_what_it_took(start, capsys):
    entry = start().finish({"clips": 6})
    assert entry["notebook"] == "01_download"
    assert 0 <= entry["seconds"] < 600
    assert entry["peak_rss_mb"] == pytest.approx(
        entry["own_peak_rss_mb"] + entry["workers_peak_rss_mb"], abs=1
    )
    assert 20 < entry["own_peak_rss_mb"] < 10_000
    said = capsys.readouterr().out
    assert "MB of memory" in said


def test_the_ledger_is_found_by_workspace_and_notebook(start, tmp_path):
    entry = start().finish({"clips": 6})
    path = session.ledger_file(str(tmp_path / "workspace"), "01_download")
    assert json.loads(path.read_text()) == entry
    assert entry["metrics"] == {"clips": 6}


def test_the_source_of_a_function_is_shown_with_its_docstring():
    shown = session.show_source(session.ledger_file)
    assert shown.data.startswith("def ledger_file(")
    assert "Returns the file in which" in shown.data
    assert "<div" in shown._repr_html_()


def test_the_source_of_a_method_starts_at_the_margin():
    assert session.show_source(session.Session.finish).data.startswith("def finish(")


@pytest.mark.parametrize(
    ("network", "device", "switched_off"),
    [("paper", "CPU", True), ("paper", "GPU Tesla T4", False), ("compact", "CPU", False)],
)
def test_memory_is_spared_for_the_papers_network_without_a_gpu(
    network, device, switched_off, monkeypatch
):
    monkeypatch.setattr(session, "device", lambda: device)
    monkeypatch.setattr(os, "environ", {})
    session.spare_memory(network)
    assert ("TF_ENABLE_ONEDNN_OPTS" in os.environ) == switched_off
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    session.spare_memory(network)  # What the user has set stays.
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
