"""Real voices: does the reconstructed face look of the sex of the speaker?

Archipelago says how well the method works where the truth is known. Whether what was learnt there
holds for people can be asked of any folder of recordings whose speakers' sex is known.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from helpers.measuring.attributes import SEXES, apparent_sex
from helpers.measuring.intervals import wilson_interval


def listed(folder: Path | str, table: Path | str | None = None) -> list[tuple[Path, str]]:
    """Reads which recordings there are, and the sex of each speaker.

    Args:
        folder: Where the recordings lie.
        table: CSV file with the columns `file` (from the folder) and `sex` (`F` or `M`); None
            takes the only CSV file in the folder.

    Returns:
        Path and sex of each recording.

    Raises:
        FileNotFoundError: The folder, the table or a recording is not there.
        ValueError: The table lacks a column, a sex is not `F` or `M`, or a sex is missing.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if table is None:
        tables = sorted(folder.glob("*.csv"))
        if len(tables) != 1:
            raise FileNotFoundError(
                f"{folder} should hold one CSV file with the columns file and sex; it holds "
                f"{len(tables)}."
            )
        table = tables[0]
    with Path(table).open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        missing = {"file", "sex"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{table} has no column {', '.join(sorted(missing))}.")
        rows = [(reader.line_num, row["file"] or "", row["sex"] or "") for row in reader]
    found = []
    for line, name, sex in rows:
        path = folder / name
        if sex not in SEXES:
            raise ValueError(f"{table}, line {line}: sex is F or M, not {sex!r}.")
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise FileNotFoundError(f"{table}, line {line}: there is no file {name!r} in {folder}.")
        found.append((path, sex))
    absent = [sex for sex in SEXES if sex not in {sex for _, sex in found}]
    if absent:
        raise ValueError(f"{table} names nobody of sex {' or '.join(absent)}; both are needed.")
    return found


def real_voices(folder: Path | str, table: Path | str | None = None, encoder=None, decoder=None):
    """Reconstructs a face from each recording and reads its apparent sex.

    Args:
        folder: As in `listed`.
        table: As in `listed`.
        encoder: Waveform -> feature; None takes the released one.
        decoder: Feature -> face; None takes the released one.

    Returns:
        A dict ready for JSON: what `attributes.apparent_sex` gives (count, confusion,
        balanced_accuracy with interval, constant_guess); right, by sex: how many, of how many, and
        the share's 95 % interval after Wilson; wrong, the names of the files that came out as the
        other sex; unusable, file and reason of those without a usable voice.

    Raises:
        FileNotFoundError: As in `listed`.
        ValueError: As in `listed`, or of one sex no voice could be used.
    """
    from helpers import demo

    names, true, looks, unusable = [], [], [], []
    for path, sex in listed(folder, table):
        try:
            made = demo.reconstruct(path, encoder, decoder)
        except demo.UnusableVoice as error:
            unusable.append({"file": path.name, "reason": error.reason})
            continue
        names.append(path.name)
        true.append(sex)
        looks.append(made.apparent_sex)
    if len(set(true)) < len(SEXES):
        counts = " and ".join(f"{true.count(sex)} of sex {sex}" for sex in SEXES)
        raise ValueError(
            f"Of {len(unusable) + len(true)} voices {counts} could be used; at least 1 of each "
            "is needed."
        )
    return {**summary(names, true, looks), "unusable": unusable}


def summary(names: list[str], true: list[str], looks: list[str]) -> dict:
    """Compares the sex of speakers with that of their drawn faces; see `real_voices`."""
    sexes, apparent = np.array(true), np.array(looks)
    result = apparent_sex(sexes, (apparent == "M").astype(float), names)
    result["right"] = {}
    for sex in SEXES:
        count = int(np.sum(sexes == sex))
        right = int(np.sum((sexes == sex) & (apparent == sex)))
        ends = wilson_interval(right, count) if count else (0.0, 1.0)
        result["right"][sex] = [right, count, [round(end, 4) for end in ends]]
    result["wrong"] = [name for name, a, b in zip(names, true, looks, strict=True) if a != b]
    return result
