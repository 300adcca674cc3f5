"""The commands: what is refused, in which words, with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers import __main__ as command
from helpers import demo, evaluation, pretrained
from helpers.weights import BadWeights

HOME = Path(__file__).resolve().parents[1]


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 1
    return told


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "--mode", "fast"), ("'fast'", "quick", "full")),
        (("run", "--features", "facenet"), ("'facenet'", "dlib", "vggface", "senet50")),
        (("run", "--corpus", "youtube"), ("'youtube'", "archipelago", "my_videos")),
        (("run", "--colour", "red"), ("--colour", "--corpus", "--rows", "--workspace")),
        (("run", "--corpus", "my_videos"), ("videos",)),
        (("run", "--videos", "/no/such/folder"), ("/no/such/folder",)),
        (("run", "--manifest", "/no/such.csv"), ("/no/such.csv",)),
        (("run", "--corpus", "archipelago", "--videos", "."), ("--videos", "my_videos")),
        (("run", "--corpus", "my_videos", "--manifest", __file__), ("--manifest", "my_videos")),
        (("run", "--videos", ".", "--manifest", __file__), ("--videos", "--manifest")),
        (("run", "--manifest", __file__), ("test_main.py", "line 1", "column")),
        (("run", "--rows", "-3"), ("rows", "negative")),
        (("run", "--seed", "x"), ("--seed",)),
        (("run", "--frames-per-clip", "-1"), ("frames_per_clip", "negative")),
        (("run", "--sample-rate", "8000"), ("16,000 samples per second",)),
        (("run", "--window", "512"), ("window=512", "released")),
        (("run", "--corpus", "avspeech", "--manifest", __file__), ("terms",)),
        (("run", "--only", "09"), ("'09'", "01", "07")),
        (("play",), ("play", "run", "reconstruct", "evaluate", "archipelago")),
        ((), ("run", "reconstruct", "evaluate", "archipelago")),
        (("reconstruct", "--out", "faces"), ("AUDIO",)),
        (("reconstruct", "a.wav"), ("--out",)),
        (("evaluate", "--gallery", "1"), ("--gallery",)),
        (("pretrain", "--islanders", "5"), ("islanders=5", "100")),
        (("evaluate", "--first-islander", "-5"), ("--first-islander",)),
        (("evaluate", "--voices", "/no/such/folder"), ("--voices", "/no/such/folder")),
        (("ablate", "--steps", "0"), ("--steps", "1 or more")),
        (("ablate", "--only", "colour"), ("'colour'", "loss", "batch norm")),
        (("ablate", "--islanders", "50"), ("islanders=50", "100")),
        (("archipelago", "--islanders", "some", "--out", "x"), ("'some'", "0-11")),
        (("archipelago", "--out", __file__), ("--out", "test_main.py")),
        (("archipelago", "--islanders", "0-1"), ("--out", "--measure")),
        (("reconstruct", "a.wav", "--out", __file__), ("--out", "test_main.py")),
        (("pretrain", "--seed", "-1"), ("seed=-1",)),
    ],
)
def test_a_wrong_option_is_answered_in_one_sentence(
    capsys: pytest.CaptureFixture, arguments: tuple[str, ...], named: tuple[str, ...]
) -> None:
    told = refused(capsys, *arguments)
    assert all(word in told for word in named), told


def test_the_refusal_reaches_the_shell() -> None:
    line = [sys.executable, "-m", "helpers", "run", "--mode", "fast"]
    ended = subprocess.run(line, cwd=HOME, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("python -m helpers run: mode='fast' is not valid")


def test_run_hands_on_what_was_given_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.commands import runs

    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "one.mp4").touch()
    monkeypatch.chdir(tmp_path)
    seen = {}

    def run(values: dict, only: list[str]) -> tuple[Path, list]:
        seen.update(values=values, only=list(only))
        return tmp_path, [runs.NotebookReport("03_spectrogram", status="ok")]

    monkeypatch.setattr(runs, "run", run)
    assert command.main(["run", "--videos", "videos", "--seed", "4", "--only", "03,4"]) == 0
    videos = str(tmp_path / "videos")
    assert seen["values"] == {"videos": videos, "seed": 4, "corpus": "my_videos"}
    assert seen["only"] == ["03_spectrogram", "04_voice_encoder"]
    assert command.main(["run", "--frames-per-clip", "3", "--patience", "2"]) == 0
    assert seen["values"] == {"frames_per_clip": 3, "patience": 2}
    assert command.main(["run", "--drop-clips", "--row-range", "1-5", "--clip-rate", "10"]) == 0
    assert seen["values"] == {"keep_clips": False, "row_range": "1-5", "clip_rate": 10}
    assert command.main(["run", "--tables-at", "tables", "--workspace", "work"]) == 0
    here = {"tables_at": str(tmp_path / "tables"), "workspace": str(tmp_path / "work")}
    assert seen["values"] == here, "the notebooks run in another folder"
    assert command.main(["run", "--tables-at", "s3://bucket/folder"]) == 0
    assert seen["values"] == {"tables_at": "s3://bucket/folder"}


def test_frames_per_clip_reaches_all_notebooks_that_use_faces() -> None:
    from helpers.commands import runs

    for name in runs.NOTEBOOKS[1:]:
        notebook = nbformat.read(HOME / "notebooks" / f"{name}.ipynb", as_version=4)
        runs.inject(notebook, {"frames_per_clip": 3})
        injected = [each for each in notebook.cells if each.id == "injected-parameters"]
        assert [each.source for each in injected] == ["FRAMES_PER_CLIP = 3"], name


def test_a_setting_without_a_field_in_the_form_reaches_every_notebook() -> None:
    from helpers.commands import runs
    from helpers.settings import Settings

    for name in runs.NOTEBOOKS:
        notebook = nbformat.read(HOME / "notebooks" / f"{name}.ipynb", as_version=4)
        runs.inject(notebook, {"clip_seconds": 6, "seed": 4})
        names: dict = runs.parameters(notebook)
        injected = next(each for each in notebook.cells if each.id == "injected-parameters")
        exec(injected.source, names)
        settings = Settings.from_form(names)
        assert (settings.clip_seconds, settings.seed) == (6, 4), name


def test_a_failed_notebook_gives_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.commands import runs

    failed = [runs.NotebookReport("01_download", status="failed")]
    monkeypatch.setattr(runs, "run", lambda values, only: (tmp_path, failed))
    assert command.main(["run"]) == 1


@pytest.mark.parametrize(("good", "code"), [(0, 1), (1, 0)])
def test_reconstruct_fails_only_when_every_file_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int, code: int
) -> None:
    rows = [{"file": "a.wav", "status": "failed", "reason": "The file is missing."}]
    rows += [{"file": "b.wav", "status": "ok", "reason": ""}] * good
    monkeypatch.setattr(demo, "reconstruct_files", lambda files, out: rows)
    assert command.main(["reconstruct", "a.wav", "b.wav", "--out", str(tmp_path)]) == code


def test_evaluate_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        evaluation, "evaluate_released", lambda gallery, first: {"gallery": gallery, "first": first}
    )
    arguments = ["evaluate", "--gallery", "50", "--first-islander", "1000100", "--json"]
    assert command.main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    ablations = printed.pop("ablations")
    assert printed == {"gallery": 50, "first": 1000100}
    file = pretrained.FOLDER / "ablations.json"
    assert ablations["rows"] == json.loads(file.read_text())["rows"]
    assert "not by this run" in ablations["released"]


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no features"), RuntimeError("no face"), BadWeights("no sum")]
)
def test_what_evaluate_lacks_is_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(evaluation, "evaluate_released", fail)
    assert command.main(["evaluate", "--gallery", "50"]) == 1
    assert capsys.readouterr().err == f"python -m helpers evaluate: {error}\n"


def test_evaluate_measures_real_voices_instead_of_islanders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    from helpers.measuring import real_voices

    found = real_voices.summary(["a", "b"], ["F", "M"], ["F", "F"]) | {"unusable": []}
    monkeypatch.setattr(real_voices, "real_voices", lambda folder: found)
    assert command.main(["evaluate", "--voices", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wrong"] == ["b"]
    assert command.main(["evaluate", "--voices", str(tmp_path)]) == 0
    assert "M: 0 of 1 right" in capsys.readouterr().out


def test_ablate_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from helpers.measuring import ablations

    def made(workspace: object, islanders: int, steps: int, questions: list[str]) -> dict:
        return {"islanders": islanders, "steps": steps, "questions": list(questions)}

    monkeypatch.setattr(ablations, "ablate_islanders", made)
    arguments = ["ablate", "--islanders", "200", "--steps", "9", "--only", "loss,network", "--json"]
    assert command.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"islanders": 200, "steps": 9, "questions": ["loss", "network"]}


def test_archipelago_measures_voices(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["archipelago", "--islanders", "2-3", "--measure"]) == 0
    printed = capsys.readouterr().out
    assert "| tract length (cm) |" in printed
    assert "syllables/s" in printed


def test_archipelago_writes_faces_voices_and_clips(tmp_path: Path) -> None:
    assert command.main(["archipelago", "--islanders", "2-3", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "portraits.png").stat().st_size > 1000
    for number in (2, 3):
        for ending in ("wav", "mp4"):
            assert (tmp_path / f"islander-{number}.{ending}").stat().st_size > 1000
    assert len((tmp_path / "latents.csv").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-3", [0, 1, 2, 3]), ("5", [5]), ("1,4-5", [1, 4, 5])]
)
def test_numbers(text: str, numbers: list[int]) -> None:
    assert command._numbers(text) == numbers
