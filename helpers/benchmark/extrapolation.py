"""What a large run costs, worked out from the rates of the stages on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.settings import Settings

CLIPS = 6_000
"""Clips of the largest earlier re-implementation that says how long it took."""
EARLIER_HOURS = (40, 60)
"""How long it took for them, all in all; its stages are not known apart."""
MILLION = 1_000_000
_TABLES = ("clips", "faces", "speech")
_FACES_PER_CLIP = 2


def rows_of(clips: int) -> dict[str, int]:
    """Returns how many rows go through each stage in a full run: clips, or faces, times passes.

    Args:
        clips: Clips of the run.
    """
    full = Settings.make(mode="full")
    faces = clips * _FACES_PER_CLIP
    return {
        **dict.fromkeys(_TABLES, clips),
        "encoder training": clips * full.encoder_epochs,
        "decoder training": faces * full.decoder_epochs,
        "GAN training": faces * full.gan_epochs,
    }


def hours(stages: Sequence[Mapping], clips: int = CLIPS) -> dict[str, float | None]:
    """Works out how long a full run takes.

    Args:
        stages: Rows with `name` and `rows_per_s`, as `run.benchmark` leaves them in `stages`.
        clips: Clips of the run.

    Returns:
        Hours by name of the stage, in order, and of all together as `all`; None for a stage that
        was not measured, and for `all` where one is missing.
    """
    rates = {row["name"]: row.get("rows_per_s") for row in stages}
    found: dict[str, float | None] = {
        name: rows / rates[name] / 3600 if rates.get(name) else None
        for name, rows in rows_of(clips).items()
    }
    missing = None in found.values()
    return {**found, "all": None if missing else sum(found.values())}


def core_hours_per_million(stages: Sequence[Mapping], cores: int) -> float | None:
    """Returns the core-hours of 01 to 03 for a million clips; None where one was not measured.

    Args:
        stages: As in `hours`.
        cores: Cores that the rates were measured on.
    """
    known = hours(stages, MILLION)
    parts = [known[name] for name in _TABLES]
    return None if None in parts else cores * sum(parts)
