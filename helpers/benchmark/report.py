"""A benchmark as tables: for people, and for the README."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from helpers.benchmark import extrapolation
from helpers.storage.drive import written_whole

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
"""The README's table stands between these two lines."""

_STAGES = {
    "clips": ("01", "clips rendered and coded"),
    "faces": ("02", "clips, 2 frames of each: faces found and described"),
    "speech": ("03", "clips: sound decoded and checked"),
    "encoder training": ("04", "clips in training steps"),
    "decoder training": ("05", "faces in training steps"),
    "GAN training": ("05", "faces in training steps with the GAN"),
    "decoding": ("06", "faces decoded"),
    "evaluation": ("07", "islanders painted, heard, decoded, measured"),
}
"""Name of a stage -> its notebook, and what a row of it is."""
_SPELT = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a sentence before and sentences after.

    Attributes:
        title: What it shows.
        columns: Names of the columns; the first holds names, the others numbers.
        rows: Texts, as many in a row as there are columns.
        notes: Sentences.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def tables(result: Mapping) -> list[Table]:
    """Turns what `run.benchmark` returns into tables."""
    made = []
    if "networks" in result:
        made.append(_networks(result["networks"]))
    if "retrieval" in result:
        made.append(_retrieval(result["retrieval"], result["plan"]))
    if "stages" in result:
        made.append(_stages(result["stages"]))
        made.append(_large_run(result["stages"], result["machine"]["cores"]))
    if "cluster" in result:
        made.append(_cluster(result["cluster"]))
    if "reconstruct" in result:
        made.append(_reconstruct(result["reconstruct"]))
    return made


def machine_line(result: Mapping) -> str:
    """Says in one line what was measured on, and when."""
    here = result["machine"]
    versions = ", ".join(
        f"{_SPELT.get(name, name)} {version}" for name, version in here["packages"].items()
    )
    cores = f"{here['cores']} core{'s' if here['cores'] > 1 else ''}"
    backend = "" if here["backend"] == "tensorflow" else f" on {here['backend']}"
    memory = f"{here['memory_mb'] / 1024:.1f} GB of memory"
    return (
        f"{here['processor']}, {cores}, {memory}, {here['gpu'] or 'no GPU'}; "
        f"{here['system']}, Python {here['python']}, {versions}{backend}; {here['date']}"
    )


def as_text(result: Mapping) -> str:
    """Writes a benchmark for people at a terminal."""
    parts = [f"Measured on {machine_line(result)}; in {result['seconds']:,.0f} s."]
    for table in tables(result):
        lines = [table.columns, *table.rows]
        widths = [max(len(row[place]) for row in lines) for place in range(len(table.columns))]
        text = ["", table.title]
        for row in lines:
            numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            text.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
        parts += [*text, *table.notes]
    return "\n".join(parts)


def as_markdown(result: Mapping) -> str:
    """Writes a benchmark as Markdown, without the markers."""
    parts = [f"Measured on {machine_line(result)} (`python -m helpers benchmark`)."]
    for table in tables(result):
        columns = "| " + " | ".join(table.columns) + " |"
        line = "|---|" + "--:|" * (len(table.columns) - 1)
        rows = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in table.rows]
        parts.append("\n".join([f"**{table.title}**", "", columns, line, *rows]))
        parts += [" ".join(table.notes)] if table.notes else []
    return "\n\n".join(parts)


def write_readme(path: Path, result: Mapping) -> None:
    """Puts the tables between the markers of a file; nothing else in it changes.

    Args:
        path: The README.
        result: What `run.benchmark` returned.

    Raises:
        ValueError: The markers are not there, or not once each and in order.
        OSError: The file cannot be read or written.
    """
    text = with_block(read_readme(path), as_markdown(result))
    with written_whole(path) as part:
        part.write_bytes(text.encode())


def read_readme(path: Path) -> str:
    """Reads a file that has the markers.

    Raises:
        ValueError: The markers are not there, or not once each and in order.
        OSError: The file cannot be read.
    """
    text = path.read_bytes().decode("utf-8")
    try:
        with_block(text, "")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return text


def with_block(text: str, block: str) -> str:
    """Replaces what stands between the markers.

    Raises:
        ValueError: The markers are not there, or not once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    between, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in between + after or END in before + after:
        raise ValueError(f"the lines {BEGIN} and {END} should stand in it once each, in this order")
    line = "\r\n" if "\r\n" in text else "\n"
    return f"{before}{BEGIN}{line}{block.replace(chr(10), line)}{line}{END}{after}"


# --- the tables ----------------------------------------------------------------------------------


def _networks(rows: Sequence[Mapping]) -> Table:
    columns = [
        ("network", _name),
        ("parameters", _whole("parameters")),
        ("feature", _whole("feature_size")),
        ("file, MB", _short("file_mb")),
        ("batch", _whole("batch")),
        ("step, s", _short("step_s")),
        ("clips a second", _short("clips_per_s")),
        ("memory, MB", _whole("peak_mb")),
        ("one voice, s", _short("forward_s")),
    ]
    if any(row.get("gpu_peak_mb") for row in rows):
        columns.append(("GPU memory, MB", _whole("gpu_peak_mb")))
    notes = [
        "A step is the median of those after the first, which traces the network. Memory is the "
        "most that a process which does nothing else had."
    ]
    return _filled("Voice encoders", columns, rows, notes)


def _retrieval(part: Mapping, plan: Mapping) -> Table:
    columns = [
        ("network", _name),
        ("R@10", _share("recall_10")),
        ("95 % interval", _interval),
        ("chance", _share("chance_10")),
        ("times chance", lambda row: _digits(row["recall_10"] / row["chance_10"])),
        ("steps", _whole("steps")),
        ("clips heard", _whole("clips")),
        ("first step, s", _short("first_step_s")),
        ("seconds", _short("seconds")),
    ]
    data, notes = part["data"], []
    if data["status"] == "ok":
        notes.append(
            f"Trained on {data['training']:,} islanders, a recording of 6 s each; measured on "
            f"{data['held_out']:,} others. The budget begins with the training and counts its "
            "first step, which traces the network; a step that has begun is finished."
        )
    notes += factor_lines(part["factors"])
    title = f"Retrieval after {plan['seconds_per_network']:g} s of training each"
    made = _filled(title, columns, part["rows"], notes)
    return dataclasses.replace(made, notes=[*notes, *_reasons([data, *part["rows"]])])


def factor_lines(factors: Mapping[str, float | None]) -> list[str]:
    """Says how many times the R@10 of the other networks `compact` reaches."""
    return [
        f"R@10 of compact is {factor:g} times that of {name}."
        if factor is not None
        else f"R@10 of {name} is 0, so there is no factor for compact."
        for name, factor in factors.items()
    ]


def _stages(rows: Sequence[Mapping]) -> Table:
    columns = [
        ("stage", lambda row: _STAGES[row["name"]][1]),
        ("notebook", lambda row: _STAGES[row["name"]][0]),
        ("a second", _short("rows_per_s")),
        ("memory, MB", _whole("peak_mb")),
    ]
    notes = ["On all cores, once everything is loaded; 07 includes loading."]
    return _filled("Stages", columns, rows, notes)


def _large_run(rows: Sequence[Mapping], cores: int) -> Table:
    names = {**_STAGES, "all": ("01–05", "all of it")}
    through = {**extrapolation.rows_of(extrapolation.CLIPS), "all": None}
    made = [
        {"name": name, "status": "ok", "rows": through[name], "hours": hours}
        for name, hours in extrapolation.hours(rows).items()
    ]
    columns = [
        ("stage", lambda row: names[row["name"]][1]),
        ("notebook", lambda row: names[row["name"]][0]),
        ("rows, passes included", _whole("rows")),
        ("hours", _short("hours")),
    ]
    least, most = extrapolation.EARLIER_HOURS
    notes = [
        "Worked out from the rates above. The largest earlier re-implementation took "
        f"{least}–{most} hours for as many clips, all in all. Fetching videos takes as long as "
        "their server lets it."
    ]
    needed = extrapolation.core_hours_per_million(rows, cores)
    if needed is not None:
        notes.append(f"01 to 03 of a million clips take {needed:,.0f} core-hours.")
    title = f"A full run of {extrapolation.CLIPS:,} clips on this machine"
    return _filled(title, columns, made, notes)


def _cluster(rows: Sequence[Mapping]) -> Table:
    alone = next((row["rows_per_s"] for row in rows if row["status"] == "ok"), None)
    columns = [
        ("workers", _name),
        ("clips a second, 01 to 03", _short("rows_per_s")),
        ("efficiency", lambda row: f"{row['rows_per_s'] / alone / int(row['name']):.0%}"),
    ]
    notes = ["Processes of this machine, one core each; efficiency is the rate per worker."]
    return _filled("A Dask cluster", columns, rows, notes)


def _reconstruct(row: Mapping) -> Table:
    columns = [
        ("a face for a voice", lambda row: "seconds"),
        ("the command, from its start", _short("command_s")),
        ("once all is loaded (median)", _short("warm_s")),
        ("shortest", _short("warm_least_s")),
        ("longest", _short("warm_most_s")),
        ("memory, MB", _whole("peak_mb")),
    ]
    notes = [f"{row['voices']} voices, {row['faces']} faces."] if "faces" in row else []
    return _filled("Reconstruction", columns, [row], notes)


def _filled(
    title: str,
    columns: Sequence[tuple[str, Callable[[Mapping], str]]],
    rows: Sequence[Mapping],
    notes: Sequence[str],
) -> Table:
    """Fills a table; what was not measured is a dash, and a note says why."""
    made = []
    for row in rows:
        cells = [columns[0][1](row)]
        for _, cell in columns[1:]:
            try:
                cells.append(cell(row))
            except KeyError:
                cells.append("–")
        made.append(cells)
    return Table(title, [name for name, _ in columns], made, [*notes, *_reasons(rows)])


def _reasons(rows: Sequence[Mapping]) -> list[str]:
    """Why rows are empty, each reason once."""
    bad: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] != "ok":
            bad.setdefault(row["reason"], []).append(row["name"])
    return [f"Not measured: {', '.join(names)}. {reason}" for reason, names in bad.items()]


def _name(row: Mapping) -> str:
    return row["name"]


def _whole(key: str) -> Callable[[Mapping], str]:
    return lambda row: "–" if row[key] is None else f"{row[key]:,.0f}"


def _short(key: str) -> Callable[[Mapping], str]:
    return lambda row: _digits(row[key])


def _share(key: str) -> Callable[[Mapping], str]:
    return lambda row: f"{100 * row[key]:.1f} %"


def _interval(row: Mapping) -> str:
    low, high = row["interval_10"]
    return f"{100 * low:.1f}–{100 * high:.1f} %"


def _digits(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
