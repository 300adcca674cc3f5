"""The notebooks as files: their skeleton, and what happens when they are run in odd ways."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import normalise_notebooks
import numpy as np
import pytest

from helpers import exercises, settings
from helpers.commands import runs
from helpers.settings import Settings

HOME = Path(__file__).resolve().parents[1]
NAMES = runs.NOTEBOOKS
OPENING = ["title", "goals", "bootstrap", "params", "config", "imports", "check-inputs"]
FORM = (
    *("CORPUS", "MODE", "VIDEOS", "MANIFEST", "ACCEPT_YOUTUBE_TERMS"),
    *("ROWS", "SEED", "USE_DRIVE", "WORKSPACE", "MORE"),
)
LINES_A_CELL = 25
LINES_A_NOTEBOOK = 200


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(HOME / "notebooks" / f"{name}.ipynb", as_version=4)


def cell(name: str, identifier: str) -> nbformat.NotebookNode:
    return next(cell for cell in read(name).cells if cell.id == identifier)


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(name).cells if cell.cell_type == "code"]


def test_there_are_seven_notebooks_and_no_other() -> None:
    found = sorted(file.stem for file in (HOME / "notebooks").glob("*.ipynb"))
    assert found == sorted(NAMES) and len(found) == 7


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_in_its_canonical_form(name: str) -> None:
    """No outputs, known metadata only, and bootstrap, badge and notice as in the template."""
    file = HOME / "notebooks" / f"{name}.ipynb"
    assert file.read_text(encoding="utf-8") == normalise_notebooks.canonical(file), (
        "Run: python tests/normalise_notebooks.py"
    )


def test_badges_bootstrap_and_readme_take_their_address_from_one_place() -> None:
    readme = (HOME / "README.md").read_text(encoding="utf-8")
    assert readme == normalise_notebooks.with_badges(readme), (
        "Run: python tests/normalise_notebooks.py"
    )
    for name in NAMES:
        assert normalise_notebooks.badge(name) in readme
    place = f"{normalise_notebooks.REPO}/blob/{normalise_notebooks.REF}/notebooks/{NAMES[0]}"
    assert place in normalise_notebooks.badge(NAMES[0])
    assert normalise_notebooks.REPO in cell(NAMES[0], "bootstrap").source


@pytest.mark.parametrize("name", NAMES)
def test_the_skeleton(name: str) -> None:
    ids = [cell.id for cell in read(name).cells]
    assert ids[: len(OPENING)] == OPENING
    assert ids[-2:] == ["save", "recap"]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z0-9-]{1,40}", identifier) for identifier in ids)
    numbers = [identifier[9:] for identifier in ids if identifier.startswith("exercise-")]
    assert numbers == [str(number + 1) for number in range(len(numbers))] and numbers
    for number in numbers:
        assert ids.index(f"solution-{number}") == ids.index(f"exercise-{number}") + 1


@pytest.mark.parametrize("name", NAMES)
def test_there_are_two_exercises_and_questions_to_discuss(name: str) -> None:
    ids = [cell.id for cell in read(name).cells]
    assert {"exercise-1", "solution-1", "exercise-2", "solution-2", "about-exercises"} <= set(ids)
    assert ids.index("about-exercises") < ids.index("exercise-1")
    questions = re.findall(r"^\d\. .+\?", cell(name, "discussion").source, re.M)
    assert len(questions) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_title_and_goals(name: str) -> None:
    title, goals = cell(name, "title").source, cell(name, "goals").source
    assert title.startswith(f"# {name[:2]} · ")
    assert normalise_notebooks.badge(name) in title and f"/notebooks/{name}.ipynb" in title
    assert normalise_notebooks.NOTICE in title
    assert "**Expected time:** quick" in title or "in both modes" in title
    assert 3 <= len(re.findall(r"^- ", goals, re.M)) <= 5
    assert "| Reads | Writes |" in goals
    for link in re.findall(r"\]\((\d\d_\w+\.ipynb)\)", goals + cell(name, "recap").source):
        assert (HOME / "notebooks" / link).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_form_holds_literals_with_the_same_defaults_everywhere(name: str) -> None:
    notebook = read(name)
    values = runs.parameters(notebook)
    assert list(values)[: len(FORM)] == list(FORM)
    first = runs.parameters(read(NAMES[0]))
    assert {key: values[key] for key in FORM} == {key: first[key] for key in FORM}
    for line in cell(name, "params").source.splitlines():
        assert line.startswith("#") or "# @param" in line
    assert "Settings.from_form(globals())" in cell(name, "config").source
    fields = {field.name.upper() for field in dataclasses.fields(Settings)}
    assert set(values) - fields <= {"MORE", "VOICE"}
    assert Settings.from_form(values) == Settings.make(), "the form holds the defaults"
    assert choices(name, "CORPUS") == settings.CHOICES["corpus"]


@pytest.mark.parametrize("name", ["04_voice_encoder", "05_face_decoder"])
def test_the_patience_in_the_form_reaches_the_training(name: str) -> None:
    assert runs.parameters(read(name))["PATIENCE"] == 0
    asked: dict[str, object] = {}

    def train(*_: object, **options: object) -> dict:
        asked.update(options)
        return {}

    checkpoint = SimpleNamespace(complete=False, path=Path)
    names = {
        **dict.fromkeys(("too_few", "heads"), None),
        **dict.fromkeys(("pairs", "targets", "validation", "weights", "batch_size"), 1),
        **dict.fromkeys(("encoder", "decoder", "samples", "show_samples", "identity", "SEED"), 1),
        "settings": Settings.make(patience=7),
        "checkpoint": checkpoint,
        "session": SimpleNamespace(
            workspace=SimpleNamespace(checkpoints=lambda name: checkpoint),
        ),
        "training": SimpleNamespace(LiveFigure=lambda draw: draw, save=lambda *_: None),
        "training_plots": SimpleNamespace(encoder_curves=None),
        "voice_encoder": SimpleNamespace(train=train),
        "face_decoder": SimpleNamespace(
            train_decoder=train, SampleGrid=lambda *_: None, load=lambda path: None
        ),
    }
    exec(cell(name, "build-training").source, names)
    assert asked["patience"] == 7


@pytest.mark.parametrize(("trained", "tested"), [(63, 5), (64, 4)])
def test_too_few_pairs_name_the_number_that_would_do(
    trained: int, tested: int, capsys: pytest.CaptureFixture
) -> None:
    from helpers.training import pairs

    def speakers(count: int, people: int) -> pairs.Pairs:
        names = [str(number % people) for number in range(count)]
        return pairs.Pairs(np.zeros((count, 1)), np.zeros((count, 1)), names, names)

    names = {
        "pairs": SimpleNamespace(
            pairs_of=lambda session, split: speakers(tested, tested),
            enough_to_train=pairs.enough_to_train,
            MINIMUM_PAIRS=pairs.MINIMUM_PAIRS,
            MINIMUM_SPEAKERS=pairs.MINIMUM_SPEAKERS,
        ),
        "ablations": SimpleNamespace(tiny=list, variants=list),
        **{"session": None, "MODE": "quick", "trained": speakers(trained, 20)},
    }
    exec(cell("07_evaluation", "look-live").source, names)
    said = capsys.readouterr().out
    assert f"at least 64 pairs of 16 speakers, here are {trained} of 20;" in said
    assert f"at least 5 test speakers, here are {tested}." in said


def test_a_map_of_too_few_names_the_number_that_would_do() -> None:
    from helpers.measuring import embedding

    names = {"people": [SimpleNamespace(group="one")] * 9, "embedding": embedding}
    exec(cell("07_evaluation", "look-map").source, names)
    assert names["few"] == "A map needs at least 10 pairs, here are 9."


def choices(name: str, field: str) -> tuple[str, ...]:
    """Returns what a menu in the form offers."""
    line = re.search(rf"^{field} = .*# @param (\[.*\])", cell(name, "params").source, re.M)
    return tuple(ast.literal_eval(line[1]))


@pytest.mark.parametrize("name", NAMES)
def test_the_code_stays_short(name: str) -> None:
    lengths = {}
    for each in code_cells(name):
        lines = [line for line in each.source.splitlines() if line.strip()]
        lengths[each.id] = len([line for line in lines if not line.lstrip().startswith("#")])
    assert sum(lengths.values()) <= LINES_A_NOTEBOOK
    assert max(lengths.values()) <= LINES_A_CELL, lengths


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_python_and_every_picture_has_a_caption(name: str) -> None:
    pictures = 0
    for each in code_cells(name):
        ast.parse(each.source)
        if "picture" in each.metadata.get("tags", ()):
            pictures += 1
            assert each.metadata["caption"].endswith(".")
    assert pictures


SOLUTIONS = [
    (name, each.id[9:])
    for name in NAMES
    for each in (read(name).cells if (HOME / "notebooks" / f"{name}.ipynb").is_file() else ())
    if each.id.startswith("solution-")
]


@pytest.mark.parametrize(("name", "number"), SOLUTIONS)
def test_a_solution_passes_its_check_and_the_bare_exercise_does_not(
    name: str, number: str, capsys: pytest.CaptureFixture
) -> None:
    exercise, solution = cell(name, f"exercise-{number}"), cell(name, f"solution-{number}")
    assert "solution" in solution.metadata["tags"] and solution.metadata["cellView"] == "form"
    assert solution.metadata["jupyter"] == {"source_hidden": True}
    check = re.findall(r"exercises\.\w+\((\w+)\)", exercise.source)
    assert check == re.findall(r"exercises\.\w+\((\w+)\)", solution.source)
    names = {"np": np, "exercises": exercises, "outcome": []}
    exec(exercise.source, names)
    assert "not solved" in capsys.readouterr().out
    # The solution's function in the place of the stub, checked by the exercise's own line.
    definition = ast.unparse(
        [part for part in ast.parse(solution.source).body if isinstance(part, ast.FunctionDef)][0]
    )
    stub = next(p for p in ast.parse(exercise.source).body if isinstance(p, ast.FunctionDef))
    exec(exercise.source.replace(ast.get_source_segment(exercise.source, stub), definition), names)
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("answer", [None, ..., np.zeros(3), "text"])
def test_a_wrong_blend_is_not_walked(answer: object, capsys: pytest.CaptureFixture) -> None:
    names = {"exercises": exercises, "samples": np.eye(4), "blend": lambda a, b, share: answer}
    exec(cell("05_face_decoder", "look-walk").source, names)  # there is no decoder to ask
    assert capsys.readouterr().out.startswith("✗ blend")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (NAMES[0], "06_demo")])
def test_out_of_order_the_notebook_to_run_first_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.tables import MissingTable

    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "one.mp4").write_bytes(b"not a video")
    monkeypatch.chdir(HOME / "notebooks")
    notebook = read(name)
    values = {"corpus": "my_videos", "videos": str(tmp_path / "videos")}
    runs.inject(notebook, values | {"workspace": str(tmp_path)})
    names: dict[str, object] = {}
    with pytest.raises(MissingTable, match="01_download"):
        for each in notebook.cells:
            if each.cell_type == "code":
                exec(each.source, names)
            if each.id == "check-inputs":
                break


def test_one_cell_deletes_everything_that_was_cached_and_only_if_asked() -> None:
    calls = []
    workspace = SimpleNamespace(delete_everything=lambda: calls.append("deleted") or ["folder"])
    session, source = (
        SimpleNamespace(workspace=workspace),
        cell(NAMES[0], "delete-everything").source,
    )
    exec(source, {"session": session})
    assert not calls
    exec(source.replace("= False", "= True"), {"session": session})
    assert calls == ["deleted"]


def test_without_helpers_and_without_colab_the_bootstrap_says_where_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=normalise_notebooks.REPO):
        exec(cell(NAMES[0], "bootstrap").source, {})


def test_the_normaliser_strips_outputs_and_foreign_metadata(tmp_path: Path) -> None:
    notebook = read(NAMES[0])
    code = next(each for each in notebook.cells if each.id == "config")
    code.outputs = [nbformat.v4.new_output("stream", text="hello")]
    code.execution_count = 3
    code.metadata["executionInfo"] = {"user": "someone"}
    notebook.metadata["widgets"] = {}
    injected = nbformat.v4.new_code_cell("SEED = 1", id="injected-parameters")
    injected.metadata["tags"] = ["injected-parameters"]
    notebook.cells.insert(4, injected)
    file = tmp_path / f"{NAMES[0]}.ipynb"
    nbformat.write(notebook, file)
    clean = normalise_notebooks.canonical(file)
    assert clean == (HOME / "notebooks" / file.name).read_text(encoding="utf-8")
