"""Measures that need more than one recording and one picture of everybody.

Shorter voices, other recordings, another language, faces drawn from true features: `measure` takes
what there is and leaves out the rest.
"""

from __future__ import annotations

import numpy as np

from helpers.measuring import craniofacial, verification
from helpers.measuring import retrieval as ranking
from helpers.measuring.attributes import SEXES
from helpers.measuring.consistency import consistency
from helpers.measuring.language import by_language, counterfactual
from helpers.measuring.measures import LEAST_PEOPLE, Measured
from helpers.measuring.similarity import pair_similarity

LEAST_OF_A_SEX = 2
"""People of each sex that a comparison within the sexes needs."""


def measure(measured: Measured, centre: np.ndarray, skipped: list[str]) -> dict:
    """Measures what the further recordings and pictures allow.

    Args:
        measured: The pairs.
        centre: Mean feature of the training people, (d,).
        skipped: Gets a sentence for each measure that had too few people.

    Returns:
        A dict of plain numbers and lists, with those of these keys that could be measured:

        - lengths: for `6` and `3` seconds of voice, similarity and retrieval with each metric;
        - decoder: retrieval by the face that the decoder makes of a true face's feature, beside
          retrieval by another true picture, and the ratio;
        - consistency: over time and over recordings, among all and within the sex;
        - verification: equal error rates by predicted feature and by pitch, likewise;
        - language: the counterfactual, retrieval in both languages, and retrieval by language;
        - craniofacial: the correlations, on true and on decoded faces.
    """
    sections = {
        "lengths": (_lengths, ("early",)),
        "decoder": (_decoder, ("decoded", "another_face")),
        "consistency": (_consistency, ("early", "late")),
        "verification": (_verification, ("again",)),
        "language": (_language, ("again", "abroad", "islands")),
        "craniofacial": (_craniofacial, ("landmarks", "drawn_landmarks")),
    }
    least = dict.fromkeys(sections, LEAST_PEOPLE["retrieval"])
    least["craniofacial"] = craniofacial.LEAST_FACES
    result = {}
    for name, (section, needs) in sections.items():
        rows = measured.have(*needs)
        if not len(rows):
            continue
        people = len({measured.identities[row] for row in rows})
        if people < least[name]:
            skipped.append(f"{name} needs at least {least[name]} people, here are {people}.")
            continue
        result[name] = {"people": people, **section(measured, rows, centre, skipped)}
    return result


def _lengths(measured: Measured, rows: np.ndarray, centre: np.ndarray, skipped: list[str]) -> dict:
    del skipped
    part = measured.select(rows)
    return {
        seconds: {
            "similarity": pair_similarity(predicted, part.features, part.identities, centre),
            "retrieval": {
                metric: ranking.retrieval(
                    predicted, part.features, part.identities, centre, metric
                ).as_dict()
                for metric in ranking.METRICS
            },
        }
        for seconds, predicted in (("6", part.predicted), ("3", part.early))
    }


def _decoder(measured: Measured, rows: np.ndarray, centre: np.ndarray, skipped: list[str]) -> dict:
    del skipped
    ranks = {
        name: ranking.ranked(asked, measured.features, measured.identities, centre, rows=rows)
        for name, asked in (
            ("decoded_face", measured.decoded),
            ("another_true_face", measured.another_face),
        )
    }
    ratio = ranking.recall_ratio(ranks["decoded_face"], ranks["another_true_face"])
    return {**{name: r.summary().as_dict() for name, r in ranks.items()}, "ratio": ratio}


def _consistency(
    measured: Measured, rows: np.ndarray, centre: np.ndarray, skipped: list[str]
) -> dict:
    found = _within(measured.select(rows), "early", "late", centre, "over time", skipped)
    result = {"over_time": found}
    part = measured.select(measured.have("again"))
    name, least = "over recordings", LEAST_PEOPLE["retrieval"]
    if part.people >= least:
        found = _within(part, "predicted", "again", centre, name, skipped)
        result["over_recordings"] = found
    elif part.people:
        skipped.append(
            f"consistency ({name}) needs at least {least} people, here are {part.people}."
        )
    return result


def _within(
    part: Measured, first: str, second: str, centre: np.ndarray, name: str, skipped: list[str]
) -> dict:
    stretches = getattr(part, first), getattr(part, second)
    result = {"all": consistency(*stretches, part.identities, centre)}
    if _both_sexes(part, f"consistency ({name}, same sex)", skipped):
        result["same_sex"] = consistency(*stretches, part.identities, centre, part.sex)
    return result


def _verification(
    measured: Measured, rows: np.ndarray, centre: np.ndarray, skipped: list[str]
) -> dict:
    part = measured.select(rows)
    scores = {"network": verification.cosine_scores(part.predicted, part.again, centre)}
    if part.pitch is not None:
        scores["pitch"] = verification.pitch_scores(*part.pitch.T)
    groups = {"all": None}
    if _both_sexes(part, "verification (same sex)", skipped):
        groups["same_sex"] = part.sex
    return {
        name: {
            system: verification.verify(values, part.identities, labels)
            for system, values in scores.items()
        }
        for name, labels in groups.items()
    }


def _language(measured: Measured, rows: np.ndarray, centre: np.ndarray, skipped: list[str]) -> dict:
    del skipped
    part = measured.select(rows)
    there, other = part.islands.T
    faces = np.stack(
        [
            measured.features[measured.islands[:, 0] == island].mean(0)
            if (measured.islands[:, 0] == island).any()
            else centre
            for island in range(int(measured.islands.max()) + 1)
        ]
    )
    result = {
        "counterfactual": counterfactual(
            part.predicted, part.again, part.abroad, there, other, faces, centre
        )
    }
    asked = {"own": measured.again, "abroad": measured.abroad}
    result["retrieval"] = {
        name: ranking.retrieval(
            features, measured.features, measured.identities, centre, rows=rows
        ).as_dict()
        for name, features in asked.items()
    }
    if measured.languages is not None:
        ranks = ranking.ranked(measured.predicted, measured.features, measured.identities, centre)
        result["by_language"] = by_language(ranks, measured.languages)
    return result


def _craniofacial(
    measured: Measured, rows: np.ndarray, centre: np.ndarray, skipped: list[str]
) -> dict:
    del centre
    part = measured.select(rows)
    part = part.select(np.isin(part.sex, SEXES) & np.isfinite(part.age))
    if len(part) < craniofacial.LEAST_FACES:
        skipped.append(
            f"craniofacial needs at least {craniofacial.LEAST_FACES} faces of known sex and age, "
            f"here are {len(part)}."
        )
        return {"faces": len(part)}
    known = part.sex, part.age, part.identities
    drawn, decoded = part.drawn_landmarks[:, 0], part.drawn_landmarks[:, 1]
    return {
        "faces": len(part),
        "true": craniofacial.correlations(part.landmarks, drawn, *known),
        "decoded": craniofacial.correlations(decoded, drawn, *known),
    }


def _both_sexes(part: Measured, name: str, skipped: list[str]) -> bool:
    """Says whether people can be compared within a sex; if not, adds a sentence to `skipped`."""
    people = dict(zip(part.identities, part.sex, strict=True))
    women, men = (sum(sex == one for sex in people.values()) for one in SEXES)
    unknown = len(people) - women - men
    if not unknown and min(women, men) >= LEAST_OF_A_SEX:
        return True
    skipped.append(
        f"{name} needs at least {LEAST_OF_A_SEX} women and {LEAST_OF_A_SEX} men, and everybody's "
        f"sex; here are {women} women, {men} men and {unknown} of unknown sex."
    )
    return False
