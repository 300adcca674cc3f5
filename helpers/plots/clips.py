"""Figures of notebook 01: what became of the rows of the manifest."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import media
from helpers.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLANK = np.full((360, 480, 3), 235, np.uint8)
_SHEET_LINES = 180


def contact_sheet(
    clips: Sequence[Mapping[str, object]], columns: int = 6, at_s: float = 1.0, title: str = ""
) -> Figure:
    """Shows one picture of each clip with its name and status.

    Args:
        clips: Rows of the table `clips`; `clip_id`, `status`, `reason` and `video` are used.
        columns: Pictures side by side.
        at_s: Which moment of each clip is shown, in seconds.
        title: Heading.

    Returns:
        A figure with one small picture per clip. A clip without a picture is a grey field that
        says why.
    """
    if not clips:
        return style.empty("There are no clips to show.")
    columns = min(columns, len(clips))
    rows = -(-len(clips) // columns)
    drawn, axes = style.figure(rows, columns, (2.2 * columns + 0.2, 2.0 * rows + 0.4), title)
    for place, clip in zip(axes.flat, clips, strict=False):
        status = str(clip["status"])
        colour = style.BLACK if status == "ok" else style.STATUS_COLOURS[status]
        picture = _still(clip.get("video"), at_s)
        style.picture(
            place,
            _BLANK if picture is None else picture,
            "\n".join(textwrap.wrap(str(clip["clip_id"]), 24, max_lines=1, placeholder="…")),
            colour,
        )
        if status != "ok":
            reason = textwrap.fill(f"{status}: {clip['reason']}", 22)
            place.text(
                *(0.5, 0.5, reason),
                transform=place.transAxes,
                ha="center",
                va="center",
                fontsize=style.SMALLEST,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )
    for place in axes.flat[len(clips) :]:
        place.set_axis_off()
    return drawn


def outcomes(
    rows: Iterable[Mapping[str, object]], title: str = "What became of the rows"
) -> Figure:
    """Draws how many rows ended with each status and reason.

    Args:
        rows: Rows of any table that has the columns `status` and `reason`.
        title: Heading.

    Returns:
        Horizontal bars, the most frequent first, coloured by status. Reasons that differ in a
        measured number only, such as seconds, are one bar.
    """
    counts = Counter((str(row["status"]), _kind(str(row["reason"] or ""))) for row in rows)
    if not counts:
        return style.empty("There are no rows to count.")
    ranked = counts.most_common()
    names = [
        textwrap.fill(f"{status}: {reason}" if reason else status, 48)
        for (status, reason), _ in ranked
    ]
    lines = sum(1 + name.count("\n") for name in names)
    drawn, axes = style.figure(size=(10.0, 1.5 + 0.42 * lines), title=title)
    place = axes[0, 0]
    heights = [1 + name.count("\n") for name in names]
    centres = np.cumsum(heights) - np.array(heights) / 2
    numbers = [number for _, number in ranked]
    colours = [style.STATUS_COLOURS.get(status, style.BLUE) for (status, _), _ in ranked]
    bars = place.barh(centres, numbers, height=0.7, color=colours)
    place.bar_label(bars, padding=4)
    place.set_yticks(centres, names)
    place.invert_yaxis()
    place.grid(visible=False, axis="y")
    place.margins(x=0.12)
    place.set_xlabel("rows")
    return drawn


def _kind(reason: str) -> str:
    """A reason without the seconds that were measured; whole numbers, such as 404, stay."""
    return re.sub(r"\d+\.\d+", "…", reason)


def _still(video: bytes | None, at_s: float) -> np.ndarray | None:
    """One picture of a clip, or its first one where it is shorter; None where it has none."""
    if not video:
        return None
    try:
        pictures = media.read_frames(video, [0.0, at_s], lines=_SHEET_LINES)
    except media.MediaError:
        return None
    return pictures[-1][1] if pictures else None
