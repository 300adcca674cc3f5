"""The tables of islanders that the released weights are made from: their faces and their voices."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from helpers.archipelago.islanders import generator, islander
from helpers.settings import ALIGNED_SIZE, FEATURE_SIZES, FIRST_TEST_ISLANDER, SPEECH_SAMPLES
from helpers.tables import Table, Workspace

if TYPE_CHECKING:
    from helpers.training.pairs import Faces, Pairs

SCENES = 2
"""Pictures of each islander as a clip would show them; one more is a portrait in the studio."""
UTTERANCES = 3
"""Recordings of each islander, 6 s each."""
REGISTERS = 2
"""Recordings of each islander speaking higher or lower than usual."""
REGISTER_SEMITONES = 6
"""How much higher or lower at most."""
_ISLANDERS_A_TASK = 8

FACES = pa.schema(
    [
        ("clip_id", pa.string()),
        ("number", pa.int64()),
        ("split", pa.string()),
        ("sex", pa.string()),
        ("age", pa.float32()),
        ("features", pa.list_(pa.list_(pa.float32()))),
        ("portrait", pa.binary()),
    ]
)
"""A row per islander: the features of the faces found (the studio portrait first) and the aligned
studio portrait (JPEG). Without a studio face `portrait` is null."""
VOICES = pa.schema(
    [("clip_id", pa.string()), ("split", pa.string()), ("waveforms", pa.list_(pa.binary()))]
)
"""A row per islander: the recordings, int16 of 6 s."""


# --- making them ---------------------------------------------------------------------------------


def build_faces(workspace: Workspace, count: int) -> Table:
    """Makes the table of the faces of the first `count` islanders, on all cores."""
    return _build(workspace, "islander_faces", face_rows, FACES, count)


def build_voices(workspace: Workspace, count: int) -> Table:
    """Makes the table of the voices of the first `count` islanders, on all cores."""
    return _build(workspace, "islander_voices", voice_rows, VOICES, count)


def build_registers(workspace: Workspace, count: int) -> Table:
    """Makes the table of the voices of the first `count` islanders in other registers."""
    return _build(workspace, "islander_registers", register_rows, VOICES, count)


def _build(workspace: Workspace, name: str, rows: Callable, schema: pa.Schema, count: int) -> Table:
    from helpers.workers import parallel_map

    def make(keys: list[str]) -> list[dict]:
        numbers = [int(key.removeprefix("islander-")) for key in keys]
        starts = range(0, len(numbers), _ISLANDERS_A_TASK)
        tasks = [numbers[start : start + _ISLANDERS_A_TASK] for start in starts]
        return [row for made in parallel_map(rows, tasks) for row in made]

    table = workspace.table(name)
    table.build([f"islander-{number}" for number in range(count)], make, schema)
    return table


def face_rows(numbers: Sequence[int]) -> list[dict]:
    """Paints some islanders and looks at the pictures; returns their rows of the table."""
    from helpers import face_crop
    from helpers.archipelago import clips, portraits

    people = [islander(number) for number in numbers]
    studio = face_crop.faces_in([portraits.portrait(person) for person in people])
    frames = [clips.still(person, scene) for person in people for scene in range(SCENES)]
    found = face_crop.faces_in(frames)
    scenes = [found[start : start + SCENES] for start in range(0, len(found), SCENES)]
    return [
        {
            "clip_id": f"islander-{person.number}",
            "number": person.number,
            "split": person.split,
            "sex": person.sex,
            "age": person.age,
            "features": [face.feature.tolist() for face in (portrait, *others) if face],
            "portrait": face_crop.to_jpeg(portrait.aligned) if portrait else None,
        }
        for person, portrait, others in zip(people, studio, scenes, strict=True)
    ]


def voice_rows(numbers: Sequence[int]) -> list[dict]:
    """Records some islanders; returns their rows of the table."""
    return [_voice_row(number, range(UTTERANCES)) for number in numbers]


def register_rows(numbers: Sequence[int]) -> list[dict]:
    """Records some islanders in other registers; returns their rows of the table."""
    further = range(UTTERANCES, UTTERANCES + REGISTERS)
    return [_voice_row(number, further, REGISTER_SEMITONES) for number in numbers]


def _voice_row(number: int, utterances: Sequence[int], semitones: float = 0.0) -> dict:
    from helpers import media
    from helpers.archipelago import voices

    person, random = islander(number), generator("register", number)
    spoken = [
        voices.speak(person, utterance, transpose=random.uniform(-semitones, semitones))
        for utterance in utterances
    ]
    waveforms = [media.to_int16(waveform).tobytes() for waveform in spoken]
    return {"clip_id": f"islander-{number}", "split": person.split, "waveforms": waveforms}


# --- reading them --------------------------------------------------------------------------------


def pairs_of(
    faces: Table,
    voices: Table,
    split: str,
    islanders: int = FIRST_TEST_ISLANDER,
    registers: Table | None = None,
) -> Pairs:
    """Returns every recording of a split with the mean feature of its islander's faces.

    Args:
        faces: The table of the faces.
        voices: The table of the voices.
        split: `train` or `validation`.
        islanders: Only those with a number below this one.
        registers: The table of the voices in other registers, if these are wanted as well.
    """
    from helpers.training.pairs import Pairs

    rows = faces.read(["clip_id", "number", "features"], {"split": split}).to_pylist()
    known = (row for row in rows if row["features"] and row["number"] < islanders)
    means = {row["clip_id"]: np.mean(row["features"], 0) for row in known}
    recordings = UTTERANCES + (REGISTERS if registers else 0)
    waveforms = _on_disk(voices.folder, (len(means) * recordings, SPEECH_SAMPLES))
    speakers: list[str] = []
    clips: list[str] = []
    for table in filter(None, (voices, registers)):
        for row in table.rows(["clip_id", "split", "waveforms"]):
            if row["split"] == split and row["clip_id"] in means:
                for index, waveform in enumerate(row["waveforms"]):
                    waveforms[len(clips)] = np.frombuffer(waveform, "<i2")
                    speakers.append(row["clip_id"])
                    clips.append(f"{row['clip_id']}-{table.name}-{index}")
    features = np.array([means[speaker] for speaker in speakers], np.float32)
    return Pairs(waveforms, features, speakers, clips)


def _on_disk(folder: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Room for waveforms that memory need not hold; it goes when the array goes."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, "int16", "w+", shape=shape)


def faces_of(table: Table, split: str) -> Faces:
    """Returns every feature of a split with the studio portrait to be made of it."""
    from helpers import face_crop
    from helpers.training.pairs import Faces

    columns = ["clip_id", "features", "portrait"]
    rows = [row for row in table.read(columns, {"split": split}).to_pylist() if row["portrait"]]
    count = sum(len(row["features"]) for row in rows)
    images = np.empty((count, ALIGNED_SIZE, ALIGNED_SIZE, 3), np.uint8)
    features = np.empty((count, FEATURE_SIZES["dlib"]), np.float32)
    speakers: list[str] = []
    for row in rows:
        some = slice(len(speakers), len(speakers) + len(row["features"]))
        images[some] = face_crop.from_jpeg(row["portrait"])
        features[some] = row["features"]
        speakers += [row["clip_id"]] * len(row["features"])
    return Faces(images, features, speakers, list(speakers))
