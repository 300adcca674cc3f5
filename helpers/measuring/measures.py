"""What is measured on pairs of a voice and a face, once predicted features and faces are there.

Pure functions on arrays. A measure that needs more people than there are is left out, and a
sentence in `skipped` says so and names the smallest number that would do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from helpers.face_features import AttributeReader
from helpers.measuring import retrieval as ranking
from helpers.measuring.attributes import SEXES, apparent_age, apparent_sex, decades
from helpers.measuring.similarity import pair_similarity

LEAST_PEOPLE = {"similarity": 2, "retrieval": 5, "attributes": 5}
"""People that a measure needs at least. Below some 50 the intervals are wide."""
GALLERIES = ("unmatched", "sex_matched", "sex_and_age_matched")
SMALL_GALLERY = 100
"""Faces in the gallery that published tables can be compared with."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Pairs of a voice and a face; row i of everything belongs together.

    The last eleven are None where nobody made them, and a row is NaN (or empty, or -1) where it was
    made for others only.

    Attributes:
        identities: Who it is, n of them.
        sex: `F`, `M` or empty where unknown.
        age: Years, NaN where unknown, (n,).
        predicted: Features predicted from the voices, (n, d).
        features: Features of the true faces, (n, d).
        reconstructed: Features of the generated faces, as the recognition network sees them,
            (n, d); NaN where no face was found in the picture.
        early: Predicted from the first 3 s of the same recordings, (n, d).
        late: Predicted from the last 3 s, (n, d).
        again: Predicted from another recording, (n, d).
        abroad: Predicted from a recording in another island's language, (n, d).
        islands: Island of each and island whose language `abroad` is in, int (n, 2).
        languages: What language each voice speaks, text (n,).
        pitch: Median fundamental frequency of the recording and of the other one, hertz, (n, 2).
        decoded: Features of the faces that the decoder makes of the true features, (n, d).
        another_face: Features of other pictures of the same people, (n, d).
        landmarks: Of the true faces, (n, 68, 2).
        drawn_landmarks: Of the generated faces and of those in `decoded`, (n, 2, 68, 2).
    """

    identities: Sequence[str]
    sex: np.ndarray
    age: np.ndarray
    predicted: np.ndarray
    features: np.ndarray
    reconstructed: np.ndarray
    early: np.ndarray | None = None
    late: np.ndarray | None = None
    again: np.ndarray | None = None
    abroad: np.ndarray | None = None
    islands: np.ndarray | None = None
    languages: np.ndarray | None = None
    pitch: np.ndarray | None = None
    decoded: np.ndarray | None = None
    another_face: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    drawn_landmarks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def people(self) -> int:
        """Number of different people."""
        return len(set(self.identities))

    @property
    def found(self) -> np.ndarray:
        """In which generated faces a face was found, bool (n,)."""
        return np.isfinite(self.reconstructed).all(axis=1)

    def select(self, rows: np.ndarray) -> Measured:
        """Returns the chosen rows (indices or a mask)."""
        rows = np.arange(len(self))[rows]
        chosen = {"identities": [self.identities[row] for row in rows]}
        for field in dataclasses.fields(self)[1:]:
            array = getattr(self, field.name)
            chosen[field.name] = None if array is None else array[rows]
        return Measured(**chosen)

    def have(self, *names: str) -> np.ndarray:
        """Returns the rows, as indices, in which all of these attributes were made."""
        there = np.ones(len(self), bool)
        for name in names:
            array = getattr(self, name)
            if array is None:
                return np.zeros(0, int)
            there &= np.isfinite(array).reshape(len(self), -1).all(axis=1)
        return np.flatnonzero(there)


def assess(
    measured: Measured,
    centre: np.ndarray,
    reader: AttributeReader | None,
    usual_age: float | None = None,
    oracles: Mapping[str, np.ndarray] | None = None,
) -> dict:
    """Measures everything that the pairs allow.

    Args:
        measured: The pairs.
        centre: Mean feature of the training people, (d,).
        reader: Reads apparent sex and age from features; None leaves these out.
        usual_age: Median age of the training people: the constant guess. None takes the pairs'.
        oracles: Features that oracles predict for the same rows, such as `voice` and `latent`.

    Returns:
        A dict of plain numbers and lists with the keys people, gallery, chance, retrieval,
        small_gallery, oracles, ratios (recall against each oracle's), similarity, apparent,
        faces_found and skipped, and what `trials.measure` gives.

    Raises:
        ValueError: A feature is not finite; the message names the row.
    """
    from helpers.measuring import trials

    skipped: list[str] = []
    result: dict = {"people": measured.people, "gallery": len(measured)}
    result["chance"] = {
        str(k): round(ranking.chance(len(measured), k), 5) for k in ranking.RECALL_AT
    }
    ranks = gallery_ranks(measured, measured.predicted, centre, skipped)
    result["retrieval"] = {name: found.summary().as_dict() for name, found in ranks.items()}
    if "unmatched" in ranks:
        small = ranking.in_small_gallery(ranks["unmatched"], SMALL_GALLERY)
        result["small_gallery"] = small
        if small is None:
            skipped.append(f"A gallery of {SMALL_GALLERY} needs {SMALL_GALLERY} faces or more.")
    result["oracles"] = _demographic_oracles(measured)
    result["ratios"] = {}
    for name, features in (oracles or {}).items():
        yardstick = gallery_ranks(measured, features, centre, [])
        result["oracles"][name] = {key: r.summary().as_dict() for key, r in yardstick.items()}
        result["ratios"][name] = {
            key: ranking.recall_ratio(ranks[key], yardstick[key]) for key in ranks
        }
    if enough(measured.people, "similarity", skipped):
        result["similarity"] = pair_similarity(
            measured.predicted, measured.features, measured.identities, centre
        )
    result["faces_found"] = round(float(measured.found.mean()), 4)
    result["apparent"] = _apparent(measured, reader, usual_age, skipped) if reader else {}
    result |= trials.measure(measured, centre, skipped)
    result["skipped"] = skipped
    return result


def galleries(measured: Measured) -> dict[str, tuple[Measured, np.ndarray | None]]:
    """Returns each gallery: its rows, and the labels within which a query is compared."""
    sexed = measured.select(np.isin(measured.sex, SEXES))
    aged = sexed.select(np.isfinite(sexed.age))
    return {
        "unmatched": (measured, None),
        "sex_matched": (sexed, sexed.sex),
        "sex_and_age_matched": (aged, _demography(aged)),
    }


def gallery_ranks(
    measured: Measured, predicted: np.ndarray, centre: np.ndarray, skipped: list[str]
) -> dict[str, ranking.Ranks]:
    """Ranks the own face in each gallery that has people enough.

    Args:
        measured: The pairs.
        predicted: Features to ask with, (n, d).
        centre: Mean feature of the training people, (d,).
        skipped: Gets a sentence for each gallery that is too small.
    """
    whole = dataclasses.replace(measured, predicted=predicted)
    return {
        name: ranking.ranked(part.predicted, part.features, part.identities, centre, groups=groups)
        for name, (part, groups) in galleries(whole).items()
        if enough(part.people, "retrieval", skipped, name)
    }


def _demographic_oracles(measured: Measured) -> dict:
    """Retrieval by someone who knows the sex only, or sex and decade of the age, nothing else."""
    result: dict = {"sex": {}, "demographic": {}}
    if not np.isin(measured.sex, SEXES).any():
        return {}
    for name, (part, groups) in galleries(measured).items():
        if part.people >= LEAST_PEOPLE["retrieval"]:
            for oracle, knows in (("sex", part.sex), ("demographic", _demography(part))):
                found = ranking.attribute_oracle(knows, part.identities, groups)
                result[oracle][name] = found.as_dict()
    return result


def _demography(measured: Measured) -> np.ndarray:
    """Sex and decade of the age as one label."""
    return np.array([f"{s} {d}" for s, d in zip(measured.sex, decades(measured.age), strict=True)])


def _apparent(
    measured: Measured, reader: AttributeReader, usual_age: float | None, skipped: list[str]
) -> dict:
    """Apparent sex and age of the generated faces, and of the true ones for comparison."""
    found = measured.select(measured.found)
    sexed = found.select(np.isin(found.sex, SEXES))
    aged = found.select(np.isfinite(found.age))
    result: dict = {}
    if enough(sexed.people, "attributes", skipped, "sex"):
        looks, best = reader.sex(sexed.reconstructed), reader.sex(sexed.features)
        result["sex"] = apparent_sex(sexed.sex, looks, sexed.identities)
        on_true = apparent_sex(sexed.sex, best, sexed.identities)
        result["sex"]["true_faces_balanced_accuracy"] = on_true["balanced_accuracy"]
        result["sex"]["true_faces"] = on_true
    if enough(aged.people, "attributes", skipped, "age"):
        usual = float(np.median(aged.age)) if usual_age is None else usual_age
        looks, best = reader.age_of_drawn(aged.reconstructed), reader.age(aged.features)
        result["age"] = apparent_age(aged.age, looks, usual, aged.identities)
        on_true = apparent_age(aged.age, best, usual, aged.identities)
        result["age"]["true_faces_mean_absolute_error"] = on_true["mean_absolute_error"]
        result["age"]["true_faces"] = on_true
    return result


def enough(people: int, measure: str, skipped: list[str], part: str = "") -> bool:
    """Says whether there are people enough for a measure; if not, adds a sentence to `skipped`."""
    least = LEAST_PEOPLE[measure]
    if people >= least:
        return True
    name = f"{measure} ({part.replace('_', ' ')})" if part else measure
    skipped.append(f"{name} needs at least {least} people, here are {people}.")
    return False
