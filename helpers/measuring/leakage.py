"""Does anything of the test reach into the training? The audit, and its proof.

A split by speaker is only as good as the names. So names are compared, and also what the names
stand for: the bytes of the clips, the islanders behind them and the faces themselves.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.settings import FIRST_TEST_ISLANDER

if TYPE_CHECKING:
    from helpers.session import Session

NEAR_DUPLICATE = 0.125
"""Two faces are called the same picture where their features lie nearer to each other than this
share of the median distance between faces of different people."""
_SHOWN = 5
_BLOCK = 512


class Leak(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """Something that is measured was also trained on; the message names it."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the audit.

    Attributes:
        what: What was compared.
        counts: How many there are in each split.
        leaks: What is in two splits, and in which; empty where nothing is.
        note: More about how it was compared.
    """

    what: str
    counts: Mapping[str, int]
    leaks: Sequence[str]
    note: str = ""

    def __str__(self) -> str:
        counted = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
        outcome = f"{len(self.leaks)} in two splits" if self.leaks else "none in two splits"
        return f"{self.what}: {counted}; {outcome}.{' ' + self.note if self.note else ''}"

    def as_dict(self) -> dict[str, object]:
        """Returns the same ready for JSON; of many leaks the number and the first 20."""
        leaks = {"leak_count": len(self.leaks), "leaks": list(self.leaks[:20])}
        return {"what": self.what, "counts": dict(self.counts), **leaks}


def shared(what: str, splits: Mapping[str, Iterable[Hashable]]) -> Check:
    """Looks for values that are in two splits.

    Args:
        what: What the values are, such as `speakers`.
        splits: Name of each split to its values.
    """
    sets = {split: set(values) for split, values in splits.items()}
    leaks = [
        f"{value} ({first} and {second})"
        for first, second in itertools.combinations(sets, 2)
        for value in sorted(sets[first] & sets[second], key=str)
    ]
    return Check(what, {split: len(values) for split, values in sets.items()}, leaks)


def near_duplicates(
    features: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]], seed: int = 0
) -> Check:
    """Looks for the same picture in two splits, by the distance of the face features.

    Args:
        features: Name of each split to the features of its faces, (n, d).
        names: Name of each split to what each face is called, n names.
        seed: Seed of the sample that the usual distance is measured on.
    """
    counts = {split: len(rows) for split, rows in features.items()}
    there = [split for split in features if counts[split]]
    if len(there) < 2:
        return Check("faces", counts, [], "There is only one split with faces.")
    limit = NEAR_DUPLICATE * _usual_distance([features[split] for split in there], seed)
    leaks, least = [], np.inf
    for one, other in itertools.combinations(there, 2):
        for start in range(0, counts[one], _BLOCK):
            distance = _distances(features[one][start : start + _BLOCK], features[other])
            least = min(least, float(distance.min()))
            leaks += [
                f"{names[one][start + row]} ({one}) and {names[other][column]} ({other}), "
                f"distance {distance[row, column]:.3f}"
                for row, column in np.argwhere(distance < limit)
            ]
    note = f"Nearest two: {least:.3f}; the same picture would be below {limit:.3f}."
    return Check("faces", counts, leaks, note)


def islanders(numbers: Mapping[str, Iterable[int]]) -> Check:
    """Checks that islanders from 1,000,000 on are in the split `test`, and no others are there.

    Args:
        numbers: Name of each split to the numbers of its islanders.
    """
    check = shared("islanders", numbers)
    wrong = [
        f"islander {number} ({split})"
        for split, some in numbers.items()
        for number in sorted(set(some))
        if (number >= FIRST_TEST_ISLANDER) != (split == "test")
    ]
    note = f"Those from {FIRST_TEST_ISLANDER:,} on are for testing only."
    return dataclasses.replace(check, leaks=[*check.leaks, *wrong], note=note)


def audit(session: Session) -> list[Check]:
    """Audits the splits of a run: speakers, bytes of the clips, islanders and faces.

    Args:
        session: The session of the run.

    Returns:
        One check each; islanders only where there are any.

    Raises:
        MissingTable: Notebook 01 or 02 has not been run.
    """
    rows = session.manifest.rows
    splits = list(dict.fromkeys(row.split for row in rows))
    known = {split: [row for row in rows if row.split == split] for split in splits}
    checks = [
        shared("speakers", {s: [row.speaker_id for row in known[s]] for s in splits}),
        shared("clips by name", {s: [row.clip_id for row in known[s]] for s in splits}),
    ]
    clips = session.workspace.require("clips").read(["split", "status", "sha256"]).to_pylist()
    hashes = {
        s: [clip["sha256"] for clip in clips if clip["split"] == s and clip["status"] == "ok"]
        for s in splits
    }
    checks.append(shared("clips by their bytes", hashes))
    numbers = {
        s: [int(row.locator.split("/")[0]) for row in known[s] if row.source == "archipelago"]
        for s in splits
    }
    if any(numbers.values()):
        checks.append(islanders(numbers))
    features: dict[str, list] = {s: [] for s in splits}
    names: dict[str, list[str]] = {s: [] for s in splits}
    for row in session.workspace.require("faces").rows(["clip_id", "split", "status", "feature"]):
        if row["status"] == "ok":
            features[row["split"]].append(row["feature"])
            names[row["split"]].append(row["clip_id"])
    arrays = {s: np.array(values, np.float32) for s, values in features.items()}
    return [*checks, near_duplicates(arrays, names)]


def audit_recipe(tested: Iterable[int]) -> list[Check]:
    """Audits the released weights against the islanders that they are measured on.

    Args:
        tested: Numbers of the islanders that are measured.

    Raises:
        FileNotFoundError: The released features of the training islanders are not there.
    """
    import pyarrow.parquet as pq

    from helpers.pretrained import ISLANDER_FEATURES

    table = pq.read_table(ISLANDER_FEATURES, columns=["number", "split"]).to_pylist()
    numbers: dict[str, list[int]] = {}
    for row in table:
        numbers.setdefault(row["split"], []).append(row["number"])
    return [islanders({**numbers, "test": [*numbers.get("test", []), *tested]})]


def prove(checks: Sequence[Check]) -> None:
    """Prints the audit, and stops where something leaks.

    Raises:
        Leak: Something is in two splits; the message names it.
    """
    for check in checks:
        print(check)
    leaks = [f"{check.what}: {leak}" for check in checks for leak in check.leaks]
    if leaks:
        more = f", and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
        raise Leak(
            f"{'; '.join(leaks[:_SHOWN])}{more}. What is tested was also trained on: put each "
            "speaker into one split only, and remove clips that are there twice."
        )


def _usual_distance(features: Sequence[np.ndarray], seed: int) -> float:
    random = np.random.default_rng(seed)
    some = [rows[random.permutation(len(rows))[:200]] for rows in features]
    return float(
        np.median(np.concatenate([_distances(a, b).ravel() for a, b in itertools.pairwise(some)]))
    )


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(np.asarray(first, float), np.asarray(second, float))
