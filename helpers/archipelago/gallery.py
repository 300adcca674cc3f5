"""A folder to look at and listen to: portraits, voices, clips and latents of some islanders."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from helpers import media
from helpers.archipelago import clips, voices
from helpers.archipelago.islanders import islander, latents
from helpers.archipelago.portraits import portrait

_COLUMNS = 6


def gallery(numbers: Iterable[int], folder: Path) -> list[Path]:
    """Writes what there is to see and hear of some islanders.

    Args:
        numbers: Which islanders.
        folder: Where to; made if it is not there.

    Returns:
        The files: `portraits.png`, then a WAV and an MP4 of each islander, then `latents.csv`.

    Raises:
        ValueError: There are no numbers, or one is negative.
    """
    people = [islander(number) for number in numbers]
    if not people:
        raise ValueError("A gallery needs one islander or more.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "portraits.png"]
    sheet = cv2.cvtColor(_contact_sheet([portrait(person) for person in people]), cv2.COLOR_RGB2BGR)
    written[0].write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    for person in people:
        voice = folder / f"islander-{person.number}.wav"
        media.write_wav(voice, voices.speak(person, 0))
        clip = folder / f"islander-{person.number}.mp4"
        clip.write_bytes(clips.render(f"{person.number}/0"))
        written += [voice, clip]
    written.append(folder / "latents.csv")
    rows = latents(person.number for person in people)
    with written[-1].open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return written


def _contact_sheet(pictures: list[np.ndarray]) -> np.ndarray:
    """Lays pictures of one size in rows of six, uint8 RGB."""
    columns = min(_COLUMNS, len(pictures))
    missing = -len(pictures) % columns
    pictures = [*pictures, *[np.full_like(pictures[0], 255)] * missing]
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return np.vstack(rows)


def _plain(value: object) -> object:
    return json.dumps(value) if isinstance(value, tuple) else value
