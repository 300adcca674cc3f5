"""How the rooms of `helpers` stand on each other, as the README says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = [path.stem[3:] for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))]
FOUNDATION = ["settings", "session", "packages", "tables", "media", "streams", "manifests"]
FOUNDATION += ["workers", "weights"]
HEAVY = "tensorflow keras librosa dlib cv2 mtcnn gradio av sklearn matplotlib"


def imported_by(room: str) -> set[str]:
    """Rooms and packages of `helpers` that a room imports, also those within its functions."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "helpers" / f"{room}.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("helpers."):
            found.add(node.module.split(".")[1])
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_uses_no_later_stage(stage):
    later = STAGES[STAGES.index(stage) + 1 :]
    assert not imported_by(stage) & set(later)


@pytest.mark.parametrize("room", FOUNDATION)
def test_what_all_stages_stand_on_uses_no_stage(room):
    assert not imported_by(room) & set(STAGES)


@pytest.mark.parametrize(
    ("room", "banned"),
    [
        *((room, f"{HEAVY} numpy pyarrow") for room in ("settings", "packages", "workers")),
        *((room, f"{HEAVY} numpy pyarrow") for room in ("session", "storage.drive")),
        *((room, HEAVY) for room in ("tables", "media", "streams", "manifests", "weights")),
        *((room, HEAVY) for room in ("corpora.rows", "face_features")),
        ("plots.style", HEAVY.replace(" matplotlib", "")),
    ],
)
def test_a_foundation_room_loads_nothing_heavy(room, banned):
    check = f"import sys, helpers.{room}; print(*set({banned.split()!r}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_readme_names_every_room():
    readme = (ROOT / "README.md").read_text("utf-8")
    layout = readme.split("## How it is laid out")[1].split("\n## ")[0]
    rooms = {path.stem for path in (ROOT / "helpers").glob("[a-z]*.py")}
    packages = {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}
    assert {f"`{room}`" for room in rooms if f"`{room}`" not in layout} == set()
    assert {f"`{name}/`" for name in packages if f"`{name}/`" not in layout} == set()
