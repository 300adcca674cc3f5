"""What is measured on pairs of a voice and a face, once predicted features and faces are there.

Pure functions on arrays. A measure that needs more people than there are is left out, and a
sentence in `skipped` says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from helpers.face_features import AttributeReader
from helpers.measuring import retrieval as ranking

LEAST_PEOPLE = {"similarity": 2, "retrieval": 5, "attributes": 5}
"""People that a measure needs at least. Below some 50 the intervals are wide."""
SEXES = ("F", "M")
GALLERIES = ("unmatched", "sex_matched", "sex_and_age_matched")


@dataclasses.dataclass(frozen=True)
class Measured:
    """Pairs of a voice and a face; row i of everything belongs together.

    Attributes:
        identities: Who it is, n of them.
        sex: `F`, `M` or empty where unknown.
        age: Years, NaN where unknown, (n,).
        predicted: Features predicted from the voices, (n, d).
        features: Features of the true faces, (n, d).
        reconstructed: Features of the generated faces, as the recognition network sees them,
            (n, d); NaN where no face was found in the picture.
    """

    identities: Sequence[str]
    sex: np.ndarray
    age: np.ndarray
    predicted: np.ndarray
    features: np.ndarray
    reconstructed: np.ndarray

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
        identities = [self.identities[row] for row in rows]
        arrays = (self.sex, self.age, self.predicted, self.features, self.reconstructed)
        return Measured(identities, *(array[rows] for array in arrays))


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
        oracles, similarity, apparent, faces_found and skipped.
    """
    skipped: list[str] = []
    result: dict = {"people": measured.people, "gallery": len(measured)}
    result["chance"] = {
        str(k): round(ranking.chance(len(measured), k), 5) for k in ranking.RECALL_AT
    }
    result["retrieval"] = _retrieval(measured, measured.predicted, centre, skipped)
    result["oracles"] = _demographic_oracles(measured)
    for name, features in (oracles or {}).items():
        result["oracles"][name] = _retrieval(measured, features, centre, [])
    if _enough(measured.people, "similarity", skipped):
        result["similarity"] = ranking.pair_similarity(
            measured.predicted, measured.features, measured.identities, centre
        )
    result["faces_found"] = round(float(measured.found.mean()), 4)
    result["apparent"] = _apparent(measured, reader, usual_age, skipped) if reader else {}
    result["skipped"] = skipped
    return result


def decades(age: np.ndarray) -> np.ndarray:
    """Returns the decade of each age as text: `20s`; empty where the age is unknown."""
    return np.array([f"{int(a // 10) * 10}s" if np.isfinite(a) else "" for a in age])


def galleries(measured: Measured) -> dict[str, tuple[Measured, np.ndarray | None]]:
    """Returns each gallery: its rows, and the labels within which a query is compared."""
    sexed = measured.select(np.isin(measured.sex, SEXES))
    aged = sexed.select(np.isfinite(sexed.age))
    return {
        "unmatched": (measured, None),
        "sex_matched": (sexed, sexed.sex),
        "sex_and_age_matched": (aged, _demography(aged)),
    }


def apparent_sex(true: np.ndarray, looks_male: np.ndarray) -> dict:
    """Compares true with apparent sex.

    Args:
        true: `F` or `M`, (n,).
        looks_male: Probability that the face looks male, 0 to 1, (n,).

    Returns:
        count; confusion (rows true F, M; columns apparent F, M); balanced_accuracy (mean of the
        shares that are right for each sex) and constant_guess, what always saying the same
        reaches.
    """
    apparent = np.where(np.asarray(looks_male) > 0.5, "M", "F")
    confusion = [
        [int(np.sum((true == row) & (apparent == column))) for column in SEXES] for row in SEXES
    ]
    shares = [row[index] / sum(row) for index, row in enumerate(confusion) if sum(row)]
    return {
        "count": len(true),
        "confusion": confusion,
        "balanced_accuracy": round(float(np.mean(shares)), 4),
        "constant_guess": round(1 / len(shares), 4),
    }


def apparent_age(true: np.ndarray, looks: np.ndarray, usual_age: float) -> dict:
    """Compares true with apparent age.

    Args:
        true: Years, (n,).
        looks: Years that the face looks, (n,).
        usual_age: The constant guess, in years.

    Returns:
        count, mean_absolute_error and constant_guess (the error of always saying `usual_age`), in
        years, and correlation (Pearson's r; 0 where one side does not vary).
    """
    varies = len(true) > 2 and np.std(true) > 0 and np.std(looks) > 0
    return {
        "count": len(true),
        "mean_absolute_error": round(float(np.mean(np.abs(true - looks))), 2),
        "constant_guess": round(float(np.mean(np.abs(true - usual_age))), 2),
        "correlation": round(float(np.corrcoef(true, looks)[0, 1]), 4) if varies else 0.0,
    }


def format_report(report: dict) -> str:
    """Writes a report as a table of plain text.

    Args:
        report: What `assess` returned, with or without notes.
    """
    lines = [f"{report['gallery']} faces of {report['people']} people"]
    ranked = {"voice encoder": report.get("retrieval", {})}
    named = {"sex": "knows the sex", "demographic": "knows sex and age"}
    named |= {"voice": "voice oracle", "latent": "latent oracle"}
    ranked |= {named.get(key, key): value for key, value in report.get("oracles", {}).items()}
    for gallery in GALLERIES:
        shown = {name: value[gallery] for name, value in ranked.items() if gallery in value}
        if not shown:
            continue
        first = next(iter(shown.values()))
        heading = f"{gallery.replace('_', ' ')}: {first['candidates']:.0f} faces to choose from"
        lines += ["", heading, "  in per cent         " + _cells(f"R@{k}" for k in first["recall"])]
        lines.append("  chance              " + _cells(map(_percent, first["chance"].values())))
        for name, found in shown.items():
            cells = _cells(map(_percent, found["recall"].values()))
            lines.append(f"  {name:<20}{cells}  median rank {found['median_rank']:g}")
            if name == "voice encoder":
                ends = (f"{_percent(a)}-{_percent(b)}" for a, b in found["interval"].values())
                lines.append("    95 % interval     " + _cells(ends))
    if "similarity" in report:
        lines += ["", "feature similarity, mean ± SD     true pairs          shuffled pairs"]
        for metric, values in report["similarity"].items():
            true, shuffled = (f"{a:.3f} ± {b:.3f}" for a, b in values.values())
            lines.append(f"  {metric:<32}{true:<20}{shuffled}")
    lines += _apparent_lines(report)
    lines += ["", *report.get("notes", []), *report.get("skipped", [])]
    return "\n".join(lines).rstrip()


def _retrieval(
    measured: Measured, predicted: np.ndarray, centre: np.ndarray, skipped: list[str]
) -> dict:
    whole = dataclasses.replace(measured, predicted=predicted)
    result = {}
    for name, (part, groups) in galleries(whole).items():
        if _enough(part.people, "retrieval", skipped, name):
            found = ranking.retrieval(
                part.predicted, part.features, part.identities, centre, groups=groups
            )
            result[name] = found.as_dict()
    return result


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
    if _enough(sexed.people, "attributes", skipped, "sex"):
        result["sex"] = apparent_sex(sexed.sex, reader.sex(sexed.reconstructed))
        on_true = apparent_sex(sexed.sex, reader.sex(sexed.features))
        result["sex"]["true_faces_balanced_accuracy"] = on_true["balanced_accuracy"]
    if _enough(aged.people, "attributes", skipped, "age"):
        usual = float(np.median(aged.age)) if usual_age is None else usual_age
        result["age"] = apparent_age(aged.age, reader.age(aged.reconstructed), usual)
        on_true = apparent_age(aged.age, reader.age(aged.features), usual)
        result["age"]["true_faces_mean_absolute_error"] = on_true["mean_absolute_error"]
    return result


def _enough(people: int, measure: str, skipped: list[str], part: str = "") -> bool:
    least = LEAST_PEOPLE[measure]
    if people >= least:
        return True
    name = f"{measure} ({part.replace('_', ' ')})" if part else measure
    skipped.append(f"{name} needs at least {least} people, here are {people}.")
    return False


def _apparent_lines(report: dict) -> list[str]:
    lines = []
    if "faces_found" in report:
        lines += ["", f"generated faces that are found as faces: {report['faces_found']:.1%}"]
    apparent = report.get("apparent", {})
    if "sex" in apparent:
        sex = apparent["sex"]
        (ff, fm), (mf, mm) = sex["confusion"]
        lines.append(
            f"apparent sex: balanced accuracy {sex['balanced_accuracy']:.1%}, constant guess "
            f"{sex['constant_guess']:.1%}, true faces {sex['true_faces_balanced_accuracy']:.1%}"
        )
        lines.append(f"  true F: {ff} look F, {fm} look M; true M: {mf} look F, {mm} look M")
    if "age" in apparent:
        age = apparent["age"]
        lines.append(
            f"apparent age: mean absolute error {age['mean_absolute_error']:.1f} years, constant "
            f"guess {age['constant_guess']:.1f}, true faces "
            f"{age['true_faces_mean_absolute_error']:.1f}; r = {age['correlation']:.2f}"
        )
    return lines


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"{text:>12}" for text in texts)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
