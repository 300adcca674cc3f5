"""The page of an executed notebook: one HTML file that needs no other file and no network.

It can go on the site of a course as it is. So formulas become pictures, which a script from
elsewhere would draw otherwise, and the folders of this machine are left out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from nbconvert import HTMLExporter
from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat import NotebookNode

_TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
/* Source that a cell shows looks like source; the page's own style forgets it. */
.jp-OutputArea-output .highlight pre { font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size); line-height: var(--jp-code-line-height); }
svg.formula { fill: currentColor; max-width: none; overflow: visible; }
.formula-line { margin: 1em 0; overflow-x: auto; overflow-y: hidden; padding: .2em 0;
  text-align: center; }
</style>
{%- endblock -%}
"""
"""The page as nbconvert makes it, without the scripts that it would fetch."""
_BADGE = re.compile(r"^\[!\[Open in Colab\].*\n?", re.MULTILINE)
_NOTEBOOK = re.compile(r"(?<=\]\()(\d\d_\w+)\.ipynb(?=\))")
_FORMULA = re.compile(r"\$\$(?P<line>[^$]+)\$\$|\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$")
_EM = 100
"""Units of a formula's outline in the size of the letters around it."""
_LETTERS = 1.2 * _EM
"""Size of a formula's own letters, whose font looks smaller than the page's."""
_STEPS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}


def write_html(notebook: NotebookNode, file: Path, title: str, private: Sequence[str] = ()) -> None:
    """Writes an executed notebook as one HTML file with its pictures and sounds inside.

    The solutions of the exercises are left out; what their checks say stays.

    Args:
        notebook: The notebook; it stays as it is.
        file: HTML file to write.
        title: Title of the page.
        private: Folders and files of this machine that the page should not name.
    """
    shown = _without(notebook, sorted(private, key=len, reverse=True))
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            text = _NOTEBOOK.sub(r"\1.html", _BADGE.sub("", cell.source))
            cell.source = _FORMULA.sub(_drawn, text)
    exporter = HTMLExporter(template_name="lab", raw_template=_TEMPLATE)
    hidden = TagRemovePreprocessor(remove_input_tags={"solution"})
    exporter.register_preprocessor(hidden, enabled=True)
    body, _ = exporter.from_notebook_node(shown, resources={"metadata": {"name": title}})
    file.write_text(body, encoding="utf-8")


def formula(tex: str) -> str:
    """Draws a formula as SVG that stands on the line of the text around it.

    Args:
        tex: The formula, without the dollar signs, as far as matplotlib knows TeX.

    Returns:
        An `svg` element, as large as the text and of its colour.

    Raises:
        ValueError: Matplotlib does not know how to draw it.
    """
    font = FontProperties(math_fontfamily="cm")
    drawn = TextPath((0, 0), f"${' '.join(tex.split())}$", _LETTERS, font)
    outline = Outline(drawn.vertices * (1, -1), drawn.codes)  # in SVG, y grows downwards
    steps = [
        _STEPS[code] + " ".join(f"{number:.0f}" for number in numbers) if code in _STEPS else "Z"
        for numbers, code in outline.iter_segments(simplify=False)
    ]
    box = outline.get_extents()
    return (
        f'<svg class="formula" role="img" aria-label="{html.escape(tex)}" '
        f'viewBox="{box.x0:.0f} {box.y0:.0f} {box.width:.0f} {box.height:.0f}" '
        f'style="width: {box.width / _EM:.2f}em; height: {box.height / _EM:.2f}em; '
        f'vertical-align: {-box.y1 / _EM:.2f}em"><path d="{"".join(steps)}"/></svg>'
    )


def _drawn(found: re.Match) -> str:
    try:
        picture = formula(found["line"] or found["inline"])
    except ValueError:  # what cannot be drawn can still be read
        return f"<code>{html.escape(found[0])}</code>"
    return f'<div class="formula-line">{picture}</div>' if found["line"] else picture


def _without(value: object, private: Sequence[str]) -> object:
    """Copies a notebook, or a part of it, with dots where it names a place of this machine."""
    if isinstance(value, dict):
        return NotebookNode({name: _without(part, private) for name, part in value.items()})
    if isinstance(value, list):
        return [_without(part, private) for part in value]
    if isinstance(value, str):
        for place in private:
            for written in {place, repr(place)[1:-1], html.escape(place)}:
                value = value.replace(written, "…")
    return value
