"""Writes the notebooks in their one canonical form, or checks that they are in it.

    python tests/normalise_notebooks.py           rewrites what differs
    python tests/normalise_notebooks.py --check   names what differs, exit code 1

The form: nbformat 4.5, indent 1, no outputs, only the metadata listed here; the bootstrap cell, the
badge and the notice come from the templates below, so that they exist in one place. The badges of
the README come from the same template.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode

HOME = Path(__file__).resolve().parents[1]
FOLDER, README = HOME / "notebooks", HOME / "README.md"
_PLACE = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["speech2face"]
REPO, REF = _PLACE["repository"], _PLACE["ref"]
"""Owner and name on GitHub, and the branch or tag that Colab fetches: set in pyproject.toml."""
TRAINING = ("04_voice_encoder", "05_face_decoder")
"""Notebooks that ask Colab for a GPU."""

BOOTSTRAP = f"""\
# @title Get ready
# Finds `helpers` beside this notebook; on Colab fetches it and installs what Colab does not have.
import os
import subprocess
import sys
from pathlib import Path

REPO, REF = "https://github.com/{REPO}", "{REF}"
HERE = Path.cwd()
places = (HERE, *HERE.parents, HERE / "speech2face-notebooks")
home = next((place for place in places if (place / "helpers" / "session.py").is_file()), None)
if home is None and "google.colab" in sys.modules:
    home, source = places[-1], os.environ.get("SPEECH2FACE_REPO", REPO)
    clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", REF, source, str(home)]
    subprocess.run(clone, check=True)
if home is None:
    raise FileNotFoundError(f"No folder 'helpers' in or above {{HERE}}. Get it from {{REPO}}.")
sys.path.insert(0, str(home))

from helpers.session import install_missing

if "google.colab" in sys.modules:
    install_missing(home / "requirements.txt")
"""

NOTICE = (
    "> **What it is not.** The faces are average faces consistent with a voice, not a likeness of "
    "anyone. They are not for identification, surveillance, hiring, policing, insurance or "
    "evidence. No race is predicted for an individual. Generated faces bear a small visible mark."
)


def badge(name: str) -> str:
    """Returns the line that opens a notebook in Colab."""
    address = f"https://colab.research.google.com/github/{REPO}/blob/{REF}/notebooks/{name}.ipynb"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({picture})]({address})"


def normalise(notebook: NotebookNode, name: str) -> NotebookNode:
    """Brings a notebook into the canonical form, in place, and returns it."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(
        colab={"provenance": [], "toc_visible": True},
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    if name in TRAINING:
        notebook.metadata["accelerator"] = "GPU"
        notebook.metadata["colab"]["gpuType"] = "T4"
    kept = [cell for cell in notebook.cells if "injected-parameters" not in _tags(cell)]
    for cell in kept:
        cell.metadata = NotebookNode(
            {
                key: cell.metadata[key]
                for key in ("caption", "cellView", "tags")
                if cell.metadata.get(key)
            }
        )
        cell.source = cell.source.strip("\n")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.id == "title":
            cell.source = re.sub(r"^\[!\[Open in Colab\].*$", badge(name), cell.source, flags=re.M)
            cell.source = re.sub(r"^> \*\*What it is not\.\*\*.*$", NOTICE, cell.source, flags=re.M)
        if "solution" in _tags(cell):  # folded away, in Colab and in Jupyter
            cell.metadata["cellView"] = "form"
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.id == "bootstrap":
            cell.source = BOOTSTRAP.strip("\n")
            cell.metadata["cellView"] = "form"
    notebook.cells = kept
    return notebook


def with_badges(readme: str) -> str:
    """Returns the README with every badge leading to where the series lives."""
    pattern = r"\[!\[Open in Colab\][^\n]*?/notebooks/(\w+)\.ipynb\)"
    return re.sub(pattern, lambda found: badge(found[1]), readme)


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def canonical(file: Path) -> str:
    """Returns the text that a notebook file should hold."""
    notebook = normalise(nbformat.read(file, as_version=4), file.stem)
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    """Rewrites the notebooks; with `--check` only names those that differ."""
    different = []
    texts = {file: canonical(file) for file in sorted(FOLDER.glob("*.ipynb"))}
    texts[README] = with_badges(README.read_text(encoding="utf-8"))
    for file, text in texts.items():
        if text != file.read_text(encoding="utf-8"):
            different.append(file)
            if "--check" not in arguments:
                file.write_text(text, encoding="utf-8")
    for file in different:
        print(file.relative_to(HOME))
    return 1 if different and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
