"""The page of a notebook: nothing from the network, nothing private, formulas one can read."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.commands import notebook_page

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def page(folder: Path, *cells: nbformat.NotebookNode, private: tuple[str, ...] = ()) -> str:
    file = folder / "page.html"
    notebook_page.write_html(new_notebook(cells=list(cells)), file, "page", private)
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_page_fetches_nothing_and_leaves_no_formula_undrawn(file: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    written = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    shown = page(tmp_path, *notebook.cells)
    assert "<script" not in shown and "cdnjs" not in shown
    for fetched in re.findall(r"<(?:img|link|iframe|audio|video|source)[^>]*>", shown):
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", fetched)
    assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", shown)
    formulas = re.sub(r"\$\$", "$", written).count("$") // 2
    assert shown.count('class="formula"') == formulas
    assert "<code>$" not in shown


def test_a_page_has_no_badge_and_leads_to_the_page_of_the_next_notebook(tmp_path: Path) -> None:
    title = nbformat.read(NOTEBOOKS[0], as_version=4).cells[0]
    assert "Open in Colab" in title.source
    shown = page(tmp_path, title, new_markdown_cell("[Next](02_face_crop.ipynb)"))
    assert "Open in Colab" not in shown and "What it is not" in shown
    assert 'href="02_face_crop.html"' in shown


def test_a_formula_stands_on_the_line_and_is_read_aloud_as_tex() -> None:
    drawn = notebook_page.formula(r"\frac{a}{b} < \lambda_1")
    assert 'role="img"' in drawn and r'aria-label="\frac{a}{b} &lt; \lambda_1"' in drawn
    below = float(re.search(r"vertical-align: (-?[\d.]+)em", drawn)[1])
    high = float(re.search(r"height: ([\d.]+)em", drawn)[1])
    assert -high < below < 0, "the fraction goes below the line"
    assert re.search(r'<path d="M[-\d .MLQCZ]+Z"/>', drawn)


def test_a_formula_that_cannot_be_drawn_can_still_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        notebook_page.formula(r"\nonsense{a}")
    shown = page(tmp_path, new_markdown_cell(r"As $\nonsense{a}$ says, it costs 5 $ and not 6 $."))
    assert r"<code>$\nonsense{a}$</code>" in shown and "it costs 5 $ and not 6 $." in shown


def test_a_page_names_no_private_place_in_source_or_output(tmp_path: Path) -> None:
    place = r"/home/o'hara & sons/my \ speech"
    cell = new_code_cell(f"WORKSPACE = {place!r}")
    cell.outputs = [
        new_output("stream", text=f"Saved as {place}/tables"),
        new_output("display_data", {"text/html": f"<b>{html.escape(place)}</b>"}),
        new_output("error", ename="OSError", evalue="", traceback=[f"no file {place}/x"]),
    ]
    shown = page(tmp_path, cell, private=("/home/o'hara & sons", place))
    assert "hara" not in shown and "speech" not in shown
    assert "Saved as …/tables" in shown and "no file …/x" in shown
    assert repr(place) in cell.source, "the notebook stays as it is"
    assert "hara" in page(tmp_path, cell)


def test_solutions_of_exercises_are_kept_back(tmp_path: Path) -> None:
    stub = new_code_cell("def answer():\n    return ...", id="exercise-1")
    solved = new_code_cell("def answer():\n    return 6174", id="solution-1")
    solved.metadata["tags"] = ["solution"]
    solved.outputs = [new_output("stream", text="answer is right.")]
    shown = page(tmp_path, stub, solved)
    assert "answer is right" in shown and "6174" not in shown and "..." in shown
    assert "6174" in solved.source


def test_source_that_a_cell_shows_is_in_the_font_of_code(tmp_path: Path) -> None:
    head = page(tmp_path, new_code_cell("show_source(len)")).split("</head>")[0]
    assert ".highlight pre { font-family: var(--jp-code-font-family)" in head


def test_a_long_formula_is_scrolled_on_a_phone_and_not_shrunk(tmp_path: Path) -> None:
    shown = page(tmp_path, new_markdown_cell("$$a + b$$"))
    assert re.search(r"svg\.formula {[^}]*max-width: none", shown)
    assert re.search(r"\.formula-line {[^}]*overflow-x: auto", shown)
    assert re.search(r'<div class="formula-line"><svg [^>]*aria-label="a \+ b"', shown)
