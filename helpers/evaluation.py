"""How much of a reconstructed face is true: the measures of notebook 07.

`evaluate_released` measures the released weights on test islanders, made on the spot, that no
network was trained on. `evaluate_tables` measures an encoder and a decoder on the corpus of a run.
The measures themselves are in `retrieval`, `measures` and `oracles`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import demo, face_features, media
from helpers.archipelago.islanders import islander
from helpers.measuring import oracles
from helpers.measuring.measures import LEAST_PEOPLE, Measured, assess, format_report
from helpers.measuring.retrieval import Retrieval, retrieval
from helpers.settings import FEATURE_SIZES, FIRST_TEST_ISLANDER

if TYPE_CHECKING:
    import keras

    from helpers.session import Session

__all__ = ["Pair", "Retrieval", "evaluate_released", "evaluate_tables", "format_report"]
__all__ += ["measured_pairs", "pairs_to_test", "read_pairs", "retrieval"]

_UTTERANCE = 0
_SCENE = 0
_BATCH_ISLANDERS = 16


@dataclasses.dataclass(frozen=True)
class Pair:
    """A voice and the face that belongs to it, with what was made from the voice.

    Attributes:
        clip_id: The clip both come from.
        speaker_id: Whose they are.
        split: `train`, `validation` or `test`.
        sex: `F`, `M` or empty where unknown.
        age: Years; NaN where unknown.
        waveform: float32 (96000,), 16 kHz.
        crop: The true face, uint8 (224, 224, 3) RGB.
        feature: Its feature, (d,).
        predicted: Feature predicted from the voice, (d,).
        face: Face decoded from it, uint8 (128, 128, 3) RGB, without a mark.
    """

    clip_id: str
    speaker_id: str
    split: str
    sex: str
    age: float
    waveform: np.ndarray
    crop: np.ndarray
    feature: np.ndarray
    predicted: np.ndarray
    face: np.ndarray


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
        What `measures.assess` returns, and first_islander, left_out (islanders in whose picture no
        face was found), notes (sentences) and seconds. Ready for JSON.

    Raises:
        ValueError: The gallery is too small or the number is negative.
        FileNotFoundError: The released features of the training islanders are not there.
    """
    if gallery < 2:
        raise ValueError(f"gallery={gallery!r} is not valid: take 2 islanders or more.")
    if first_islander < 0:
        raise ValueError(f"first_islander={first_islander!r} is not valid: take 0 or more.")
    from tqdm.auto import tqdm

    from helpers.session import parallel_map

    started = time.perf_counter()
    training = oracles.training_islanders()
    numbers = range(first_islander, first_islander + gallery)
    batches = [numbers[i : i + _BATCH_ISLANDERS] for i in range(0, gallery, _BATCH_ISLANDERS)]
    parts: list[dict[str, np.ndarray]] = []
    with tqdm(total=gallery, desc="islanders", unit="", disable=not progress) as bar:
        for part in parallel_map(measure_islanders, batches, workers):
            parts.append(part)
            bar.update(len(part["number"]))
    made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    seen = np.isfinite(made["feature"]).all(axis=1)
    if seen.sum() < 2:
        raise RuntimeError("In fewer than two pictures a face was found: nothing to measure.")
    people = [islander(number) for number in made["number"][seen]]
    measured = Measured(
        identities=[f"islander-{person.number}" for person in people],
        sex=np.array([person.sex for person in people]),
        age=np.array([person.age for person in people]),
        predicted=made["predicted"][seen],
        features=made["feature"][seen],
        reconstructed=made["reconstructed"][seen],
    )
    chosen = [person.number for person in people]
    predictions = {name: oracles.oracle_features(name, chosen) for name in ("voice", "latent")}
    reader = face_features.released_attribute_reader()
    usual_age = float(np.median(training.age))
    centre = demo.centre(demo.released_models()[0])
    result = assess(measured, centre, reader, usual_age, predictions)
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


def measure_islanders(numbers: Sequence[int]) -> dict[str, np.ndarray]:
    """Makes voice and face of some islanders and reconstructs the faces from the voices.

    Args:
        numbers: The islanders.

    Returns:
        Arrays with a row per islander: number, predicted, feature and reconstructed; NaN where no
        face was found.
    """
    from helpers import spectrogram
    from helpers.archipelago import clips, voices

    people = [islander(number) for number in numbers]
    spoken = [spectrogram.six_seconds(voices.speak(person, _UTTERANCE)) for person in people]
    predicted = demo.predict(demo.released_models()[0], np.stack(spoken))
    return {
        "number": np.array(numbers),
        "predicted": predicted,
        "feature": _seen_features([clips.still(person, _SCENE) for person in people]),
        "reconstructed": _seen_features(_enlarged(demo.faces_of(predicted))),
    }


def read_pairs(
    session: Session,
    encoder: keras.Model,
    decoder: keras.Model,
    split: str | None = "test",
    limit: int = 1000,
) -> list[Pair]:
    """Reads voices and faces from the tables of a run and reconstructs the faces.

    Of each clip the most frontal face is taken; clips without a face or without speech are left
    out.

    Args:
        session: The session of the run.
        encoder: Waveform -> feature.
        decoder: Feature -> face.
        split: `train`, `validation` or `test`; None takes all rows.
        limit: At most so many clips.

    Returns:
        The pairs, in the order of the table.

    Raises:
        MissingTable: Notebook 02 or 03 has not been run.
    """
    from helpers import face_crop

    faces = _best_faces(session, split)
    speech = dict(itertools.islice(_voices(session, split, faces), limit))
    if not speech:
        return []
    rows = {row.clip_id: row for row in session.manifest.rows}
    chosen = list(speech)
    waveforms = np.stack([speech[clip_id] for clip_id in chosen])
    predicted = demo.predict(encoder, waveforms)
    decoded = demo.faces_of(predicted, decoder)
    return [
        Pair(
            clip_id=clip_id,
            speaker_id=faces[clip_id]["speaker_id"],
            split=faces[clip_id]["split"],
            sex=str(rows[clip_id].sex or ""),
            age=_number(rows[clip_id].age),
            waveform=waveform,
            crop=face_crop.from_jpeg(faces[clip_id]["crop"]),
            feature=np.array(faces[clip_id]["feature"], np.float32),
            predicted=feature,
            face=face,
        )
        for clip_id, waveform, feature, face in zip(
            chosen, waveforms, predicted, decoded, strict=True
        )
    ]


def pairs_to_test(
    session: Session, encoder: keras.Model, decoder: keras.Model
) -> tuple[list[Pair], list[str]]:
    """Reads the pairs to measure on: test rows, and never rows that were trained on.

    When a corpus of one's own has too few test rows and the released weights are used, which know
    none of its people, all rows are taken.

    Args:
        session: The session of the run.
        encoder: Waveform -> feature.
        decoder: Feature -> face.

    Returns:
        The pairs, and sentences about the choice.

    Raises:
        MissingTable: Notebook 02 or 03 has not been run.
    """
    pairs = read_pairs(session, encoder, decoder, "test")
    people = len({pair.speaker_id for pair in pairs})
    own = session.settings.corpus != "archipelago"
    if people >= LEAST_PEOPLE["retrieval"] or session.settings.weights != "released" or not own:
        return pairs, []
    note = (
        f"Only {people} people are in the test split; all are measured, because the released "
        "weights were trained on none of them."
    )
    return read_pairs(session, encoder, decoder, None), [note]


def measured_pairs(pairs: Sequence[Pair]) -> Measured:
    """Turns pairs into arrays, and looks at the generated faces with the recognition network."""
    return Measured(
        identities=[pair.speaker_id for pair in pairs],
        sex=np.array([pair.sex for pair in pairs]),
        age=np.array([pair.age for pair in pairs], float),
        predicted=np.stack([pair.predicted for pair in pairs]),
        features=np.stack([pair.feature for pair in pairs]),
        reconstructed=_seen_features(_enlarged(np.stack([pair.face for pair in pairs]))),
    )


def evaluate_tables(
    session: Session,
    encoder: keras.Model,
    decoder: keras.Model,
    pairs: Sequence[Pair] | None = None,
) -> dict:
    """Measures an encoder and a decoder on the corpus of a run.

    Args:
        session: The session of the run.
        encoder: Waveform -> feature.
        decoder: Feature -> face.
        pairs: Pairs to measure, when they are there already; None takes `pairs_to_test`.

    Returns:
        As `evaluate_released`: with few people fewer measures, and `skipped` says which. Without
        any pair only gallery, people, notes, skipped and seconds.

    Raises:
        MissingTable: Notebook 02 or 03 has not been run.
    """
    started = time.perf_counter()
    notes: list[str] = []
    if pairs is None:
        pairs, notes = pairs_to_test(session, encoder, decoder)
    result: dict = {"people": 0, "gallery": 0, "skipped": ["There is no pair to measure."]}
    if pairs:
        measured = measured_pairs(pairs)
        predictions = _islander_oracles(measured, notes)
        result = assess(
            measured, demo.centre(encoder), _reader(notes), _usual_age(session), predictions
        )
    return {**result, "notes": notes, "seconds": round(time.perf_counter() - started, 1)}


def _best_faces(session: Session, split: str | None) -> dict[str, dict]:
    """The most frontal face of each clip."""
    names = ["clip_id", "speaker_id", "split", "status", "frontality", "feature", "crop"]
    best: dict[str, dict] = {}
    for row in session.workspace.require("faces").rows(names):
        if row["status"] != "ok" or split not in (None, row["split"]):
            continue
        known = best.get(row["clip_id"])
        if known is None or row["frontality"] > known["frontality"]:
            best[row["clip_id"]] = row
    return best


def _voices(
    session: Session, split: str | None, faces: dict[str, dict]
) -> Iterator[tuple[str, np.ndarray]]:
    names = ["clip_id", "split", "status", "waveform"]
    for row in session.workspace.require("speech").rows(names):
        wanted = row["status"] == "ok" and split in (None, row["split"])
        if wanted and row["clip_id"] in faces:
            yield row["clip_id"], media.from_int16(row["waveform"])


def _usual_age(session: Session) -> float | None:
    """Median age of those whom the encoder was trained on: what a constant guess would say."""
    if session.settings.weights == "released" and oracles.ISLANDER_FEATURES.is_file():
        return float(np.median(oracles.training_islanders().age))
    ages = [_number(row.age) for row in session.manifest.rows if row.split == "train"]
    known = [age for age in ages if np.isfinite(age)]
    return float(np.median(known)) if known else None


def _reader(notes: list[str]) -> face_features.AttributeReader | None:
    try:
        return face_features.released_attribute_reader()
    except face_features.MissingModel as error:
        notes.append(f"Apparent sex and age are left out. {error}")
        return None


def _islander_oracles(measured: Measured, notes: list[str]) -> dict[str, np.ndarray]:
    """What the oracles predict, when all the people are islanders."""
    names = [name.removeprefix("islander-") for name in measured.identities]
    if not all(name.isdigit() for name in names):
        return {}
    try:
        training = oracles.training_islanders()
    except FileNotFoundError as error:
        notes.append(f"The oracles are left out. {error}")
        return {}
    numbers = [int(name) for name in names]
    return {name: oracles.oracle_features(name, numbers, training) for name in ("voice", "latent")}


def _seen_features(images: Sequence[np.ndarray]) -> np.ndarray:
    """Feature of the main face of each picture, (n, d); NaN where no face is found."""
    from helpers import face_crop

    faces = face_crop.faces_in(images)
    nothing = np.full(FEATURE_SIZES["dlib"], np.nan, np.float32)
    return np.stack([nothing if face is None else face.feature for face in faces])


def _enlarged(faces: np.ndarray) -> list[np.ndarray]:
    return [demo.enlarge(face) for face in faces]


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
