"""The page of a run: `index.html`, which can go on the site of a course as it is.

Pictures first, under the lesson that they belong to, with the numbers that matter above them and
all others folded away below. The page needs nothing but the files beside it.
"""

from __future__ import annotations

import dataclasses
import html
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --quiet: #667;
  --link: #0072b2; --good: #00795a; --bad: #c1440e; }
@media (prefers-color-scheme: dark) { :root { --quiet: #aab; --link: #56b4e9; --good: #2fbf95; } }
* { box-sizing: border-box; }
body { font: 17px/1.6 system-ui, sans-serif; max-width: 74rem; margin: 0 auto;
  padding: 2rem 1.2rem; }
a { color: var(--link); } a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
h1 { font-size: 2.4rem; line-height: 1.15; margin: .2rem 0; }
h2 { margin: 3.2rem 0 .2rem; line-height: 1.25; }
.lead { font-size: 1.15rem; max-width: 46rem; margin: .4rem 0 1rem; }
.quiet { color: var(--quiet); } p.about { margin: 0 0 1rem; color: var(--quiet); }
.note { background: var(--soft); border-left: 4px solid var(--bad); padding: .7rem 1rem;
  border-radius: 4px; max-width: 56rem; }
nav { margin: 1.2rem 0; display: flex; flex-wrap: wrap; gap: .5rem; }
nav a { border: 1px solid var(--line); border-radius: 99px; padding: .2rem .8rem;
  text-decoration: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem;
  margin: 1.6rem 0; padding: 0; list-style: none; }
.cards li { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.cards b { display: block; font-size: 1.9rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.2rem;
  grid-auto-flow: dense; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
figure.wide { grid-column: 1 / -1; }
figure a { display: block; background: #fff; }
/* No width: that of the picture keeps its place free until it is there. */
figure img { display: block; max-width: 100%; max-height: 60rem; height: auto;
  object-fit: contain; margin: 0 auto; }
figcaption { padding: .6rem .9rem; border-top: 1px solid var(--line); }
@media (max-width: 50rem) { .pictures { grid-template-columns: minmax(0, 1fr); }
  h1 { font-size: 1.9rem; } }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.ok { color: var(--good); } .failed { color: var(--bad); font-weight: 600; }
details { border-bottom: 1px solid var(--line); padding: .4rem 0; } summary { cursor: pointer; }
pre { background: var(--soft); padding: .7rem 1rem; overflow-x: auto; white-space: pre-wrap; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
@media print { nav, details { display: none; } figure { break-inside: avoid; } }
"""

_LEAD = (
    "What does a voice tell about a face? A network listens to six seconds of speech and imagines "
    "the speaker, and then we count how much of it is true."
)
_NOTICE = (
    "The faces are average faces consistent with a voice, not a likeness of anyone. They are not "
    "for identification, surveillance, hiring, policing, insurance or evidence. No race is "
    "predicted for an individual. Generated faces bear a small visible mark."
)
_LESSONS = {
    "01_download": ("Download", "A row of a list becomes a clip, or a reason why not."),
    "02_face_crop": ("Face crop", "A clip becomes crops, landmarks and a face feature."),
    "03_spectrogram": ("Spectrogram", "Six seconds of sound, and what a network hears in them."),
    "04_voice_encoder": ("Voice encoder", "A network learns the face feature from the voice."),
    "05_face_decoder": ("Face decoder", "A network learns to draw the face of a feature."),
    "06_demo": ("Demo", "A voice becomes a face."),
    "07_evaluation": ("Evaluation", "How much of it is true, against chance."),
}
_FIRST = ("06_demo-look-several", "06_demo-look-own", "06_demo-look-face")
"""Pictures that may stand at the top of the page, the best first."""
_WIDE = 950
"""Pixels from which a picture takes a whole row; two that are narrower stand side by side."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        notebook: Name of the notebook it comes from.
        file: Path of the PNG or GIF file, relative to the page.
        caption: What is to be seen; may be empty.
        size: Width and height in pixels; (0, 0) where nobody measured it.
    """

    notebook: str
    file: str
    caption: str
    size: tuple[int, int] = (0, 0)


def picture_size(data: bytes) -> tuple[int, int]:
    """Returns width and height in pixels of a PNG or GIF file; (0, 0) for anything else.

    Args:
        data: The file.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if data[:4] == b"GIF8" and len(data) >= 10:
        return struct.unpack("<HH", data[6:10])
    return 0, 0


def page(summary: Mapping, pictures: Sequence[Picture]) -> str:
    """Writes the page of a run.

    Args:
        summary: What `summary.json` holds: `run`, `settings`, `seconds`, `notebooks`,
            `figures`, `metrics`.
        pictures: Pictures in the order they should appear.

    Returns:
        A complete HTML document, which needs nothing but the pictures beside it.
    """
    rows = summary["notebooks"]
    first = _first(pictures)
    parts = [
        f'<header><h1>From voices to faces</h1><p class="lead">{html.escape(_LEAD)}</p>',
        f'<p class="note">{html.escape(_NOTICE)}</p>{_navigation(rows, pictures)}</header>',
        _errors(rows),
        f'<div class="pictures">{_figure(first, eager=True)}</div>' if first else "",
        _cards(summary),
        *(_lesson(row, [one for one in pictures if one.notebook == row["name"]]) for row in rows),
        _notebooks(summary),
        _metrics({"the run": summary["figures"], **summary["metrics"]}),
        f'<footer class="quiet">{_settings(summary["settings"])}</footer>',
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>From voices to faces: run {html.escape(summary['run'])}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _first(pictures: Sequence[Picture]) -> Picture | None:
    by_name = {picture.file.rsplit("/", 1)[-1].rsplit(".", 1)[0]: picture for picture in pictures}
    return next((by_name[name] for name in _FIRST if name in by_name), None)


def _title(name: str) -> str:
    lesson = _LESSONS.get(name)
    return f"{name[:2]} · {lesson[0]}" if lesson else name


def _navigation(rows: Sequence[Mapping], pictures: Sequence[Picture]) -> str:
    shown = {picture.notebook for picture in pictures}
    links = [
        f'<a href="#{html.escape(row["name"])}">{html.escape(_title(row["name"]))}</a>'
        for row in rows
        if row["name"] in shown
    ]
    links.append('<a href="#run">The run</a>')
    return f'<nav aria-label="Parts of this page">{"".join(links)}</nav>'


def _errors(rows: Sequence[Mapping]) -> str:
    return "".join(
        f"<pre>{html.escape(row['name'])}, cell '{html.escape(row['cell'])}'\n"
        f"{html.escape(row['error'])}</pre>"
        for row in rows
        if row["status"] == "failed"
    )


def _cards(summary: Mapping) -> str:
    """The numbers by which a run is judged, each with what guessing would reach."""
    figures, cards = summary["figures"], []
    for ending, gallery in (("", "all faces"), ("_sex_matched", "faces of the same sex")):
        recall = figures.get(f"released_recall_10{ending}")
        if recall is not None:
            low, high = figures[f"released_recall_10{ending}_interval"]
            text = (
                f"of the voices find their own face among the first ten, {gallery}. By chance "
                f"{figures[f'released_chance_10{ending}']:.1%}; 95 % interval {low:.1%} to "
                f"{high:.1%}. Released weights, test islanders."
            )
            cards.append((f"{recall:.1%}", text))
    apparent = summary["metrics"].get("07_evaluation", {}).get("apparent", {})
    if "sex" in apparent:
        sex = apparent["sex"]
        cards.append(
            (
                f"{sex['balanced_accuracy']:.0%}",
                "of the drawn faces look of the right sex (balanced); always saying the same: "
                f"{sex['constant_guess']:.0%}. Pitch alone does much of this.",
            )
        )
    if figures.get("seconds_per_voice"):
        cards.append((f"{figures['seconds_per_voice']:.2f} s", "from a voice to its face."))
    items = "".join(f"<li><b>{html.escape(n)}</b>{html.escape(text)}</li>" for n, text in cards)
    return f'<ul class="cards">{items}</ul>' if items else ""


def _lesson(row: Mapping, pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    name = html.escape(row["name"])
    about = html.escape(_LESSONS.get(row["name"], ("", ""))[1])
    link = f'<a href="{name}.html">The whole notebook, with its outputs</a>'
    shown = "\n".join(_figure(picture) for picture in pictures)
    return (
        f'<section id="{name}"><h2>{html.escape(_title(row["name"]))}</h2>'
        f'<p class="about">{about} {link}</p><div class="pictures">{shown}</div></section>'
    )


def _figure(picture: Picture, eager: bool = False) -> str:
    caption, file = html.escape(picture.caption), html.escape(picture.file)
    width, height = picture.size
    shape = "" if 0 < width < _WIDE and not eager else "wide"
    size = f' width="{width}" height="{height}"' if height else ""
    loading = "" if eager else ' loading="lazy"'
    text = f"<figcaption>{caption}</figcaption>" if caption else ""
    image = f'<img src="{file}" alt="{caption}"{size}{loading}>'
    return f'<figure class="{shape}"><a href="{file}">{image}</a>{text}</figure>'


def _notebooks(summary: Mapping) -> str:
    rows = summary["notebooks"]
    failed = [row["name"] for row in rows if row["status"] == "failed"]
    done = sum(row["status"] == "ok" for row in rows)
    end = f"; <b>{html.escape(failed[0])} failed</b>" if failed else ""
    lines = []
    for row in rows:
        name, title = html.escape(row["name"]), html.escape(_title(row["name"]))
        link = title if row["status"] == "not run" else f'<a href="{name}.html">{title}</a>'
        status = html.escape(row["status"])
        lines.append(
            f'<tr><td>{link}</td><td class="{status.replace(" ", "-")}">{status}</td>'
            f'<td class="number">{row["seconds"]:.1f}</td>'
            f'<td class="number">{row["peak_rss_mb"]:,}</td></tr>'
        )
    return (
        f'<h2 id="run">The run</h2><p>Run {html.escape(summary["run"])}: {done} of {len(rows)} '
        f"notebooks finished in {summary['seconds'] / 60:.1f} minutes{end}.</p>"
        '<div class="scroll"><table><tr><th>notebook</th><th>status</th><th class="number">seconds'
        '</th><th class="number">peak memory, MB</th></tr>' + "".join(lines) + "</table></div>"
    )


def _metrics(metrics: Mapping[str, Mapping]) -> str:
    parts = []
    for notebook, values in metrics.items():
        lines = [
            f"<tr><td>{html.escape(name)}</td>"
            f'<td class="number">{html.escape(_text(value))}</td></tr>'
            for name, value in _flat(values)
        ]
        if lines:
            parts.append(
                f"<details><summary>{html.escape(_title(notebook))}: {len(lines)} numbers</summary>"
                f'<div class="scroll"><table>{"".join(lines)}</table></div></details>'
            )
    return f"<h2>All numbers</h2>{''.join(parts)}" if parts else ""


def _settings(settings: Mapping[str, object]) -> str:
    # Where tables and videos lie is nobody's business but the owner's of the machine.
    shown = {name: value for name, value in settings.items() if not Path(str(value)).is_absolute()}
    text = ", ".join(f"{name}={value!r}" for name, value in shown.items()) or "the defaults"
    return f"Settings of the run: {html.escape(text)}. Made by <code>python -m helpers run</code>."


def _flat(values: Mapping, prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}, ")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return " to ".join(_text(part) for part in value)
    return str(value)
