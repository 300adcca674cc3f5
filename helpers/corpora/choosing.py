"""Which rows of a corpus are taken, and who is in which split."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers.corpora.rows import ManifestError
from helpers.settings import Settings

FOLDER = Path(__file__).resolve().parents[2] / "data_manifest"
"""One recipe per corpus, a data card each, the schema, and the list of what is left out."""
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
"""Shares of the speakers of a small corpus; the others are for training."""


def recipe(corpus: str) -> dict:
    """Returns what `data_manifest/CORPUS.toml` says."""
    return tomllib.loads((FOLDER / f"{corpus}.toml").read_text(encoding="utf-8"))


@dataclasses.dataclass(frozen=True)
class Choice:
    """The rows that a run takes from a corpus.

    Attributes:
        first: Number of the first row, from 1.
        last: Number of the last row; None means the last of the corpus.
        most: At most so many, evenly from first to last; 0 takes all.
    """

    first: int = 1
    last: int | None = None
    most: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Choice:
        """Returns what `row_range` and `rows` say."""
        first, dash, last = settings.row_range.partition("-")
        if not first:
            return cls(most=settings.rows)
        end = int(last) if last else None if dash else int(first)
        return cls(int(first), end, settings.rows)

    def __call__(self, items: Sequence) -> Sequence:
        """Takes the chosen ones of a corpus's rows, or of whatever will become its rows.

        Raises:
            ManifestError: There are not as many rows as the range begins at.
        """
        if self.first > max(1, len(items)):
            raise ManifestError(
                f"row_range begins at row {self.first:,}, but there are only {len(items):,} rows."
            )
        return thinned(items[self.first - 1 : self.last], self.most)


def thinned(items: Sequence, count: int) -> Sequence:
    """Takes at most so many, evenly from beginning to end; 0 takes all."""
    if not 0 < count < len(items):
        return items
    return [items[number * len(items) // count] for number in range(count)]


def split_of(speaker_id: str) -> str:
    """Returns the split of a speaker: 80, 10 and 10 % of all speakers, by a hash of the name.

    The same speaker is always in the same split, whatever corpus or rows are beside it.
    """
    return {8: "validation", 9: "test"}.get(_place(speaker_id) % 10, "train")


def dealt(sexes: Mapping[str, str]) -> dict[str, str]:
    """Deals the speakers of a small corpus out to the splits, the women and the men each.

    With some dozens of speakers a hash alone could leave a split without women. Their order is
    that of a hash, so that the same speaker of the same corpus is always in the same split.

    Args:
        sexes: Sex of each speaker.

    Returns:
        Split of each speaker: 20 % of each sex are in `test`, 10 % in `validation`.
    """
    splits = {}
    for sex in sorted(set(sexes.values())):
        people = sorted((name for name in sexes if sexes[name] == sex), key=_place)
        tested = round(TEST_SHARE * len(people))
        seen = tested + round(VALIDATION_SHARE * len(people))
        for number, name in enumerate(people):
            later = "validation" if number < seen else "train"
            splits[name] = "test" if number < tested else later
    return splits


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
