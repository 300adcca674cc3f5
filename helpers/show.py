"""What a notebook shows beside figures: small tables, sounds and clips."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np

from helpers.settings import SAMPLE_RATE


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = (), title: str = ""):
    """Shows rows as a table.

    Args:
        rows: One mapping per row.
        columns: Which keys to show, in this order; empty means those of the first row.
        title: Heading.

    Returns:
        An IPython HTML object: let it be the last line of a cell.
    """
    from IPython.display import HTML

    if not rows:
        return HTML(f"<p>{html.escape(title)}: no rows.</p>")
    columns = columns or list(rows[0])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(_cell(row.get(name)) for name in columns) + "</tr>" for row in rows
    )
    heading = f"<caption><b>{html.escape(title)}</b></caption>" if title else ""
    return HTML(f"<table>{heading}<tr>{head}</tr>{body}</table>")


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    if isinstance(value, float):
        text = "" if np.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    elif isinstance(value, int) and abs(value) >= 1000:
        text = f"{value:,}"
    side = "right" if isinstance(value, (int, float)) else "left"
    return f'<td style="text-align: {side}">{html.escape(text)}</td>'


def sounds(waveforms: Mapping[str, np.ndarray], rate: int = SAMPLE_RATE):
    """Shows one player for each waveform, with its name.

    The loudness is left as it is: a quiet recording stays quiet.

    Args:
        waveforms: Name -> float waveform of shape (samples,), -1 to 1.
        rate: Samples per second.

    Returns:
        An IPython HTML object.
    """
    from IPython.display import HTML, Audio

    parts = []
    for name, waveform in waveforms.items():
        player = Audio(np.clip(waveform, -1, 1), rate=rate, normalize=False)
        parts.append(f"<p>{html.escape(name)}<br>{player._repr_html_()}</p>")
    return HTML("".join(parts))


def clips(videos: Mapping[str, bytes], width: int = 320):
    """Shows one player for each clip, side by side, with its name.

    Args:
        videos: Name -> MP4 file as bytes.
        width: Width of each player in pixels.

    Returns:
        An IPython HTML object.
    """
    from IPython.display import HTML

    parts = []
    for name, video in videos.items():
        data = base64.b64encode(video).decode()
        parts.append(
            f'<figure style="display: inline-block; margin: .5em">'
            f'<video controls preload="metadata" width="{width}" '
            f'src="data:video/mp4;base64,{data}"></video>'
            f"<figcaption>{html.escape(name)}</figcaption></figure>"
        )
    return HTML("".join(parts))
