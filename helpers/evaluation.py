"""How much of a reconstructed face is true: the measures of notebook 07.

`evaluate_released` measures the released weights on test islanders, made on the spot, that no
network was trained on. `evaluate_tables` measures an encoder and a decoder on the corpus of a run.
The measures themselves are in the rooms of `measuring`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from helpers import demo, face_features
from helpers.archipelago.islanders import islander
from helpers.archipelago.sentences import VOICES
from helpers.measuring import islander_trials, leakage, oracles, table_pairs
from helpers.measuring.islander_trials import measure_islanders
from helpers.measuring.measures import Measured, assess
from helpers.measuring.report import format_report
from helpers.measuring.table_pairs import Pair, measured_pairs, pairs_to_test, read_pairs
from helpers.settings import FIRST_TEST_ISLANDER

if TYPE_CHECKING:
    import keras

    from helpers.session import Session

__all__ = ["Pair", "attribute_reader", "evaluate_measured", "evaluate_released", "evaluate_tables"]
__all__ += ["format_report", "measured_pairs", "pairs_to_test", "read_pairs"]

_BATCH_ISLANDERS = 20


def evaluate_released(
    gallery: int = 1000,
    first_islander: int = FIRST_TEST_ISLANDER,
    workers: int = 2,
    progress: bool = True,
) -> dict:
    """Measures the released weights on islanders made on the spot.

    Each islander gives one voice and one picture, the way a clip would show it; the picture goes
    through face detection and the recognition network, the voice through encoder and decoder.

    Args:
        gallery: How many islanders, 2 or more.
        first_islander: Number of the first one; below 1,000,000 the weights may know them.
        workers: Processes to share the work.
        progress: Whether to show a progress bar (on stderr).

    Returns:
        What `measures.assess` returns, and leakage (the audit), first_islander, left_out (islanders
        in whose picture no face was found), notes (sentences) and seconds. Ready for JSON. Of the
        first 300 islanders more is made: another recording and picture, another language.

    Raises:
        ValueError: The gallery is too small or the number is negative.
        FileNotFoundError: The released features of the training islanders are not there.
        RuntimeError: A face was found in fewer than 2 pictures.
    """
    if gallery < 2:
        raise ValueError(f"gallery={gallery!r} is not valid: take 2 islanders or more.")
    if first_islander < 0:
        raise ValueError(f"first_islander={first_islander!r} is not valid: take 0 or more.")
    started = time.perf_counter()
    training = oracles.training_islanders()
    leaks = leakage.audit_recipe(range(first_islander, first_islander + gallery))
    made = _made(range(first_islander, first_islander + gallery), workers, progress)
    seen = np.isfinite(made["features"]).all(axis=1)
    if seen.sum() < 2:
        raise RuntimeError(
            f"A face was found in {seen.sum()} of {gallery} pictures, and at least 2 are needed: "
            "take a larger gallery."
        )
    people = [islander(number) for number in made.pop("number")[seen]]
    measured = Measured(
        identities=[f"islander-{person.number}" for person in people],
        sex=np.array([person.sex for person in people]),
        age=np.array([person.age for person in people]),
        languages=np.array([VOICES[person.island][person.language] for person in people]),
        **{name: array[seen] for name, array in made.items()},
    )
    chosen = [person.number for person in people]
    predictions = {name: oracles.oracle_features(name, chosen) for name in ("voice", "latent")}
    reader = face_features.released_attribute_reader()
    usual_age = float(np.median(training.age))
    centre = demo.centre(demo.released_models()[0])
    result = assess(measured, centre, reader, usual_age, predictions)
    result["leakage"] = [check.as_dict() for check in leaks]
    notes = []
    if first_islander < FIRST_TEST_ISLANDER:
        notes.append("Islanders below 1,000,000 are among them: the weights may know these.")
    return {
        **result,
        "first_islander": first_islander,
        "left_out": int((~seen).sum()),
        "notes": notes,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _made(numbers: range, workers: int, progress: bool) -> dict[str, np.ndarray]:
    """Makes and measures islanders on several processes; of the first ones more."""
    from tqdm.auto import tqdm

    from helpers.session import parallel_map

    starts = range(0, len(numbers), _BATCH_ISLANDERS)
    tasks = [
        (numbers[start : start + _BATCH_ISLANDERS], start < islander_trials.FURTHER_PEOPLE)
        for start in starts
    ]
    parts: list[dict[str, np.ndarray]] = []
    with tqdm(total=len(numbers), desc="islanders", unit="", disable=not progress) as bar:
        for part in parallel_map(measure_islanders, tasks, workers):
            parts.append(part)
            bar.update(len(part["number"]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def evaluate_tables(session: Session, encoder: keras.Model, decoder: keras.Model) -> dict:
    """Measures an encoder and a decoder on the corpus of a run.

    Args:
        session: The session of the run.
        encoder: Waveform -> feature.
        decoder: Feature -> face.

    Returns:
        As `evaluate_released`: with few people fewer measures, and `skipped` says which. Without
        any pair only gallery, people, notes, skipped and seconds.

    Raises:
        MissingTable: Notebook 02 or 03 has not been run.
    """
    started = time.perf_counter()
    pairs, notes = pairs_to_test(session, encoder, decoder)
    if pairs:
        measured = measured_pairs(pairs, encoder, decoder, face_features.describer(session))
        result = evaluate_measured(session, encoder, measured)
        notes += result["notes"]
    else:
        result = {"people": 0, "gallery": 0, "skipped": ["There is no pair to measure."]}
    return {**result, "notes": notes, "seconds": round(time.perf_counter() - started, 1)}


def evaluate_measured(session: Session, encoder: keras.Model, measured: Measured) -> dict:
    """Measures pairs of a run that are arrays already, as `measured_pairs` makes them.

    Args:
        session: The session of the run.
        encoder: What the features were predicted with.
        measured: The pairs.

    Returns:
        What `measures.assess` returns, and notes (sentences).
    """
    notes: list[str] = []
    predictions = _islander_oracles(session, measured, notes)
    reader = attribute_reader(session, notes)
    usual_age = _usual_age(session)
    result = assess(measured, demo.centre(encoder), reader, usual_age, predictions)
    return {**result, "notes": notes}


def attribute_reader(
    session: Session, notes: list[str] | None = None
) -> face_features.AttributeReader | None:
    """Returns what reads apparent sex and age from the features of a run.

    For features of dlib it is the released reader; for others one is fitted on the training faces.

    Args:
        session: The session of the run.
        notes: Gets a sentence where there is no reader.
    """
    try:
        if session.settings.features != "dlib":
            return table_pairs.own_reader(session)
        return face_features.released_attribute_reader()
    except (face_features.MissingModel, ValueError) as error:
        if notes is not None:
            notes.append(f"Apparent sex and age are left out. {error}")
        return None


def _usual_age(session: Session) -> float | None:
    """Median age of those whom the encoder was trained on: what a constant guess would say."""
    if session.settings.weights == "released" and oracles.ISLANDER_FEATURES.is_file():
        return float(np.median(oracles.training_islanders().age))
    ages = [table_pairs.number(row.age) for row in session.manifest.rows if row.split == "train"]
    known = [age for age in ages if np.isfinite(age)]
    return float(np.median(known)) if known else None


def _islander_oracles(
    session: Session, measured: Measured, notes: list[str]
) -> dict[str, np.ndarray]:
    """What the oracles predict, when all the people are islanders."""
    numbers = table_pairs.islander_numbers(measured.identities)
    if not numbers:
        return {}
    if session.settings.features != "dlib":
        notes.append("The oracles are left out: they are fitted for the features of dlib.")
        return {}
    try:
        training = oracles.training_islanders()
    except FileNotFoundError as error:
        notes.append(f"The oracles are left out. {error}")
        return {}
    return {name: oracles.oracle_features(name, numbers, training) for name in ("voice", "latent")}
