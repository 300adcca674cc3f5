"""The page of a run: `index.html` with times, memory, pictures and numbers."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --good: #00795a; --bad: #c1440e; }
body { font: 17px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 0 auto;
  padding: 2rem 1rem; }
h1 { line-height: 1.2; margin-bottom: .2rem; }
h2 { margin-top: 2.6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.ok { color: var(--good); } .failed { color: var(--bad); font-weight: 600; }
figure { margin: 1.4rem 0; } figcaption { margin-top: .4rem; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.note { background: var(--soft); padding: .7rem 1rem; border-radius: 4px; }
pre { background: var(--soft); padding: .7rem 1rem; overflow-x: auto; white-space: pre-wrap; }
"""

_NOTICE = (
    "The faces are average faces consistent with a voice, not a likeness of anyone. They are not "
    "for identification, surveillance, hiring, policing, insurance or evidence. Generated faces "
    "bear a small mark."
)


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        notebook: Name of the notebook it comes from.
        file: Path of the PNG file, relative to the page.
        caption: What is to be seen; may be empty.
    """

    notebook: str
    file: str
    caption: str


def page(summary: Mapping, pictures: Sequence[Picture]) -> str:
    """Writes the page of a run.

    Args:
        summary: What `summary.json` holds: `run`, `settings`, `seconds`, `notebooks`,
            `figures`, `metrics`.
        pictures: Pictures in the order they should appear.

    Returns:
        A complete HTML document, which needs nothing but the pictures beside it.
    """
    parts = [
        f"<h1>From voices to faces</h1><p>{_headline(summary)}</p>",
        f'<p class="note">{html.escape(_NOTICE)}</p>',
        _notebooks(summary["notebooks"]),
        _pictures(pictures),
        _metrics({"the run": summary["figures"], **summary["metrics"]}),
        _settings(summary["settings"]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Run {html.escape(summary['run'])}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _headline(summary: Mapping) -> str:
    rows = summary["notebooks"]
    failed = [row["name"] for row in rows if row["status"] == "failed"]
    done = sum(row["status"] == "ok" for row in rows)
    end = f"; <b>{html.escape(failed[0])} failed</b>" if failed else ""
    return (
        f"Run {html.escape(summary['run'])}: {done} of {len(rows)} notebooks finished in "
        f"{summary['seconds'] / 60:.1f} minutes{end}."
    )


def _notebooks(rows: Sequence[Mapping]) -> str:
    lines = []
    for row in rows:
        name = html.escape(row["name"])
        link = name if row["status"] == "not run" else f'<a href="{name}.html">{name}</a>'
        status = html.escape(row["status"])
        lines.append(
            f'<tr><td>{link}</td><td class="{status.replace(" ", "-")}">{status}</td>'
            f'<td class="number">{row["seconds"]:.1f}</td>'
            f'<td class="number">{row["peak_rss_mb"]:,}</td></tr>'
        )
    errors = "".join(
        f"<pre>{html.escape(row['name'])}, cell '{html.escape(row['cell'])}'\n"
        f"{html.escape(row['error'])}</pre>"
        for row in rows
        if row["status"] == "failed"
    )
    return (
        '<h2>Notebooks</h2><table><tr><th>notebook</th><th>status</th><th class="number">seconds'
        '</th><th class="number">peak memory, MB</th></tr>' + "".join(lines) + "</table>" + errors
    )


def _pictures(pictures: Sequence[Picture]) -> str:
    parts = []
    for place, picture in enumerate(pictures):
        if place == 0 or pictures[place - 1].notebook != picture.notebook:
            parts.append(f"<h2>{html.escape(picture.notebook)}</h2>")
        caption = html.escape(picture.caption)
        parts.append(
            f'<figure><img src="{html.escape(picture.file)}" alt="{caption}" loading="lazy">'
            + (f"<figcaption>{caption}</figcaption>" if caption else "")
            + "</figure>"
        )
    return "\n".join(parts)


def _metrics(metrics: Mapping[str, Mapping]) -> str:
    lines = []
    for notebook, values in metrics.items():
        for name, value in _flat(values):
            lines.append(
                f"<tr><td>{html.escape(notebook)}</td><td>{html.escape(name)}</td>"
                f'<td class="number">{html.escape(_text(value))}</td></tr>'
            )
    if not lines:
        return ""
    head = '<tr><th>notebook</th><th>number</th><th class="number">value</th></tr>'
    return f"<h2>Numbers</h2><table>{head}{''.join(lines)}</table>"


def _settings(settings: Mapping[str, object]) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in settings.items()) or "the defaults"
    return f"<h2>Settings</h2><p>{html.escape(text)}</p>"


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
