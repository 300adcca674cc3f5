"""Pairs of a voice and a face from the tables of a run, with what was made from the voice."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import demo, media
from helpers.measuring import islander_trials
from helpers.measuring.measures import LEAST_PEOPLE, Measured
from helpers.settings import SPEECH_SECONDS

if TYPE_CHECKING:
    import keras

    from helpers.face_features import AttributeReader
    from helpers.faces.vgg_face import FaceDescriber
    from helpers.session import Session


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
        landmarks: Of the true face, (68, 2); None where nobody looked for them.
        another_feature: Feature of another frame of the clip, (d,); None where there is none.
        group: Group that results should be told apart by, such as the island; may be empty.
        language: Language or accent; may be empty.
        seconds: Length of the clip; where it is shorter than the waveform, that repeats itself.
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
    landmarks: np.ndarray | None = None
    another_feature: np.ndarray | None = None
    group: str = ""
    language: str = ""
    seconds: float = SPEECH_SECONDS


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
        WrongFeatures: The tables hold features of another kind than the networks work with.
    """
    from helpers import face_crop, training

    for network in (encoder, decoder):
        training.check_features(network, session.settings.features)
    faces = _best_faces(session, split)
    speech = dict(itertools.islice(_voices(session, split, faces), limit))
    if not speech:
        return []
    rows = {row.clip_id: row for row in session.manifest.rows}
    clips = session.workspace.require("clips").rows(["clip_id", "duration_s"])
    seconds = {clip["clip_id"]: number(clip["duration_s"]) for clip in clips}
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
            age=number(rows[clip_id].age),
            waveform=waveform,
            crop=face_crop.from_jpeg(faces[clip_id]["crop"]),
            feature=np.array(faces[clip_id]["feature"], np.float32),
            predicted=feature,
            face=face,
            landmarks=_points(faces[clip_id].get("landmarks")),
            another_feature=faces[clip_id].get("another_feature"),
            group=str(rows[clip_id].group or ""),
            language=str(rows[clip_id].language or ""),
            seconds=seconds[clip_id],
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


def measured_pairs(
    pairs: Sequence[Pair],
    encoder: keras.Model | None = None,
    decoder: keras.Model | None = None,
    network: FaceDescriber | None = None,
) -> Measured:
    """Turns pairs into arrays, and looks at the generated faces with the recognition network.

    Args:
        pairs: The pairs.
        encoder: Waveform -> feature; with it shorter and further recordings are measured, too:
            islanders speak once more and in another language, of other people another clip is
            taken where there is one.
        decoder: Feature -> face; needed with the encoder.
        network: What describes a face (`face_features.describer`); None takes dlib.
    """
    whole = {
        "identities": [pair.speaker_id for pair in pairs],
        "sex": np.array([pair.sex for pair in pairs]),
        "age": np.array([pair.age for pair in pairs], float),
        "predicted": np.stack([pair.predicted for pair in pairs]),
        "features": np.stack([pair.feature for pair in pairs]),
    }
    faces = np.stack([pair.face for pair in pairs])
    if encoder is None or decoder is None:
        images = [demo.enlarge(face) for face in faces]
        size = whole["features"].shape[1]
        return Measured(**whole, reconstructed=islander_trials.looked_at(images, size, network)[0])
    known = whole["predicted"], whole["features"]
    drawn = islander_trials.drawn_faces(*known, decoder, faces, network)
    spoken = [pair.waveform for pair in pairs]
    halves = islander_trials.halves(encoder, spoken)
    for row, pair in enumerate(pairs):
        if pair.seconds < SPEECH_SECONDS - 0.1:  # Both halves would be the same sound.
            halves["early"][row] = halves["late"][row] = np.nan
    return Measured(
        **whole,
        **drawn,
        **halves,
        **_further(pairs, encoder, spoken),
        languages=np.array([pair.language for pair in pairs]),
        another_face=_stacked([pair.another_feature for pair in pairs]),
        landmarks=_stacked([pair.landmarks for pair in pairs]),
    )


def _further(pairs: Sequence[Pair], encoder: keras.Model, spoken: Sequence[np.ndarray]) -> dict:
    """Another recording of each speaker: made anew for islanders, else another clip."""
    numbers = islander_numbers([pair.speaker_id for pair in pairs])
    if numbers:
        from helpers.session import parallel_map

        return islander_trials.further_recordings(encoder, numbers, spoken, parallel_map)
    clips: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        clips.setdefault(pair.speaker_id, []).append(row)
    if all(len(rows) == 1 for rows in clips.values()):
        return {}
    again, pitch = (np.full((len(pairs), size), np.nan) for size in (len(pairs[0].predicted), 2))
    hertz = [islander_trials.pitch_of(voice) for voice in spoken]
    for rows in clips.values():
        if len(rows) > 1:
            again[rows[0]] = pairs[rows[1]].predicted
            pitch[rows[0]] = hertz[rows[0]], hertz[rows[1]]
    return {"again": again, "pitch": pitch}


def _stacked(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Arrays of one shape as one, NaN where there is none; None where there is none at all."""
    shape = next((array.shape for array in arrays if array is not None), None)
    if shape is None:
        return None
    return np.stack([np.full(shape, np.nan) if array is None else array for array in arrays])


def own_reader(session: Session) -> AttributeReader:
    """Fits a reader of apparent sex and age on the training faces of a run.

    Args:
        session: The session of the run.

    Raises:
        ValueError: There are too few training faces of known sex and age.
    """
    from helpers import face_features

    known = {row.clip_id: row for row in session.manifest.rows if row.split == "train"}
    table = session.workspace.require("faces")
    rows = [
        row
        for row in table.rows(["clip_id", "status", "feature"])
        if row["status"] == "ok" and row["clip_id"] in known
    ]
    people = [known[row["clip_id"]] for row in rows]
    return face_features.AttributeReader.fit(
        np.array([row["feature"] for row in rows], np.float32),
        [person.sex for person in people],
        [number(person.age) for person in people],
    )


def _best_faces(session: Session, split: str | None) -> dict[str, dict]:
    """The most frontal face of each clip, and as `another_feature` that of another frame."""
    names = ["clip_id", "speaker_id", "split", "status", "frontality", "feature", "crop"]
    best: dict[str, dict] = {}
    for row in session.workspace.require("faces").rows([*names, "landmarks"]):
        if row["status"] != "ok" or split not in (None, row["split"]):
            continue
        known = best.get(row["clip_id"])
        if known is None:
            best[row["clip_id"]] = row
            continue
        other, better = sorted((known, row), key=lambda face: face["frontality"])
        best[row["clip_id"]] = better | {"another_feature": np.array(other["feature"], np.float32)}
    return best


def _voices(
    session: Session, split: str | None, faces: dict[str, dict]
) -> Iterator[tuple[str, np.ndarray]]:
    names = ["clip_id", "split", "status", "waveform"]
    for row in session.workspace.require("speech").rows(names):
        wanted = row["status"] == "ok" and split in (None, row["split"])
        if wanted and row["clip_id"] in faces:
            yield row["clip_id"], media.from_int16(row["waveform"])


def number(value: object) -> float:
    """Returns a value of a manifest as a number; NaN where there is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def islander_numbers(identities: Sequence[str]) -> list[int]:
    """Returns the islanders' numbers where all people are islanders, else an empty list."""
    names = [name.removeprefix("islander-") for name in identities]
    return [int(name) for name in names] if all(name.isdigit() for name in names) else []


def _points(landmarks: Sequence[float] | None) -> np.ndarray | None:
    return None if landmarks is None else np.array(landmarks, np.float32).reshape(68, 2)
