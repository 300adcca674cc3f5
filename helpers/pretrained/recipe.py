"""How the released weights are made: `python -m helpers pretrain` makes them again.

Islanders below 1,000,000 are painted, spoken, detected and described as in notebooks 01 to 03, but
without coding a video: that saves most of the time. Then the voice encoder and the face decoder are
trained as in notebooks 04 and 05. Nothing real goes in, and no test islander.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.archipelago.islanders import islander
from helpers.drive import write_json
from helpers.settings import ALIGNED_SIZE, FEATURE_SIZES, FIRST_TEST_ISLANDER, SPEECH_SAMPLES
from helpers.tables import Table, Workspace

if TYPE_CHECKING:
    from helpers.pairs import Faces, Pairs

FOLDER = Path(__file__).parent
ENCODER = FOLDER / "voice_encoder.keras"
DECODER = FOLDER / "face_decoder.keras"
ISLANDER_FEATURES = FOLDER / "islander_features.parquet"
RECIPE = FOLDER / "recipe.json"
NETWORK = "network.keras"
"""Name of a trained network until all is done."""

SCENES = 2
"""Pictures of each islander as a clip would show them; one more is a portrait in the studio."""
UTTERANCES = 3
"""Recordings of each islander, 6 s each."""
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


def pretrain(
    workspace: Workspace,
    islanders: int = 2304,
    encoder_epochs: int = 12,
    decoder_epochs: int = 8,
    gan_epochs: int = 3,
    folder: Path = FOLDER,
    seed: int = 0,
) -> dict:
    """Makes the released weights. A run that was killed goes on where it stopped.

    Nothing reaches `folder` before all is done; until then it lies beside the table of islanders.

    Args:
        workspace: Where the islanders and unfinished trainings are kept.
        islanders: How many, from number 0 on; one in ten is for validation.
        encoder_epochs: Passes over all recordings.
        decoder_epochs: Passes over all faces, before the GAN.
        gan_epochs: Passes over all faces, with the GAN.
        folder: Where the weights go.
        seed: Seed of both trainings.

    Returns:
        What was made and how, as in recipe.json.

    Raises:
        ValueError: Too few islanders, or so many that they reach into those kept for testing.
    """
    if not 100 <= islanders < FIRST_TEST_ISLANDER:
        raise ValueError(f"islanders={islanders!r} is not valid: take 100 to 999,999.")
    started = time.perf_counter()
    faces, voices = build_faces(workspace, islanders), build_voices(workspace, islanders)
    sizes = (islanders, encoder_epochs, decoder_epochs, gan_epochs, seed)
    name = "-".join(map(str, (faces.fingerprint, voices.fingerprint, *sizes)))
    unfinished = workspace.local / "pretrain" / name
    encoder = train_voice_encoder(faces, voices, encoder_epochs, seed, unfinished)
    decoder = train_face_decoder(faces, decoder_epochs, gan_epochs, seed, unfinished)
    write_features(faces, folder / ISLANDER_FEATURES.name)
    shutil.copy(unfinished / "encoder" / NETWORK, folder / ENCODER.name)
    refined = "gan" if gan_epochs else "decoder"
    shutil.copy(unfinished / refined / NETWORK, folder / DECODER.name)
    made = {
        "command": f"python -m helpers pretrain --islanders {islanders} "
        f"--encoder-epochs {encoder_epochs} --decoder-epochs {decoder_epochs} "
        f"--gan-epochs {gan_epochs} --seed {seed}",
        "islanders": islanders,
        "recordings": islanders * UTTERANCES,
        "seed": seed,
        "encoder": {name: values[-1] for name, values in encoder.items()},
        "decoder": {name: values[-1] for name, values in decoder.items()},
        "seconds": round(time.perf_counter() - started),
    }
    (folder / RECIPE.name).write_text(json.dumps(made, indent=1) + "\n")
    shutil.rmtree(unfinished)
    return made


# --- data ----------------------------------------------------------------------------------------


def build_faces(workspace: Workspace, count: int) -> Table:
    """Makes the table of the faces of the first `count` islanders, on all cores."""
    return _build(workspace, "islander_faces", face_rows, FACES, count)


def build_voices(workspace: Workspace, count: int) -> Table:
    """Makes the table of the voices of the first `count` islanders, on all cores."""
    return _build(workspace, "islander_voices", voice_rows, VOICES, count)


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
    from helpers import media
    from helpers.archipelago import voices

    return [
        {
            "clip_id": f"islander-{number}",
            "split": islander(number).split,
            "waveforms": [
                media.to_int16(voices.speak(islander(number), utterance)).tobytes()
                for utterance in range(UTTERANCES)
            ],
        }
        for number in numbers
    ]


def write_features(table: Table, path: Path) -> None:
    """Writes each islander's mean feature: oracles and attribute readers are fitted on it."""
    rows = []
    for row in table.rows(["number", "split", "sex", "age", "features"]):
        features = row.pop("features")
        if features:
            mean = np.mean(features, axis=0).astype(np.float16)
            rows.append({**row, "feature": mean})
    schema = pa.schema(
        [
            ("number", pa.int64()),
            ("split", pa.string()),
            ("sex", pa.string()),
            ("age", pa.float32()),
            ("feature", pa.list_(pa.float16())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


# --- training ------------------------------------------------------------------------------------


def train_voice_encoder(
    faces: Table, voices: Table, epochs: int, seed: int, unfinished: Path
) -> dict:
    """Trains the voice encoder on the training islanders; leaves it in `unfinished`."""
    from helpers import voice_encoder

    def train(folder: Path):
        pairs, validation = (pairs_of(faces, voices, split) for split in ("train", "validation"))
        encoder = voice_encoder.compact(centre=pairs.centre(), seed=seed)
        return encoder, voice_encoder.train(
            encoder, pairs, validation, epochs, seed=seed, folder=folder, verbose=2
        )

    return _once(train, unfinished / "encoder")


def train_face_decoder(
    table: Table, epochs: int, gan_epochs: int, seed: int, unfinished: Path
) -> dict:
    """Trains the face decoder on the training islanders, then refines it with the GAN."""
    from helpers import face_decoder

    def train(folder: Path):
        faces, validation = (faces_of(table, split) for split in ("train", "validation"))
        decoder = face_decoder.generator(centre=faces.centre(), seed=seed)
        return decoder, face_decoder.train_decoder(
            decoder, faces, validation, epochs, seed=seed, folder=folder, verbose=2
        )

    def refine(folder: Path):
        faces, validation = (faces_of(table, split) for split in ("train", "validation"))
        decoder = face_decoder.load(unfinished / "decoder" / NETWORK)
        return decoder, face_decoder.refine_with_gan(
            decoder, faces, validation, gan_epochs, seed=seed, folder=folder, verbose=2
        )

    curves = _once(train, unfinished / "decoder")
    if gan_epochs:
        refined = _once(refine, unfinished / "gan")
        curves |= {f"gan_{name}": values for name, values in refined.items()}
    return curves


def _once(train: Callable[[Path], tuple], folder: Path) -> dict:
    """Trains in a folder, unless the training came to its end there before; returns the curves."""
    from helpers import training

    curves = folder / "curves.json"
    if not curves.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        network, measures = train(folder)
        training.save(network, folder / NETWORK)
        write_json(curves, measures)  # Last: the training came to its end.
    return json.loads(curves.read_text())


def pairs_of(
    faces: Table, voices: Table, split: str, islanders: int = FIRST_TEST_ISLANDER
) -> Pairs:
    """Returns every recording of a split with the mean feature of its islander's faces.

    Args:
        faces: The table of the faces.
        voices: The table of the voices.
        split: `train` or `validation`.
        islanders: Only those with a number below this one.
    """
    from helpers.pairs import Pairs

    rows = faces.read(["clip_id", "number", "features"], {"split": split}).to_pylist()
    known = (row for row in rows if row["features"] and row["number"] < islanders)
    means = {row["clip_id"]: np.mean(row["features"], 0) for row in known}
    waveforms = _on_disk(voices.folder, (len(means) * UTTERANCES, SPEECH_SAMPLES))
    speakers: list[str] = []
    for row in voices.rows(["clip_id", "split", "waveforms"]):
        if row["split"] == split and row["clip_id"] in means:
            for waveform in row["waveforms"]:
                waveforms[len(speakers)] = np.frombuffer(waveform, "<i2")
                speakers.append(row["clip_id"])
    features = np.array([means[speaker] for speaker in speakers], np.float32)
    clips = [f"{speaker}-{index % UTTERANCES}" for index, speaker in enumerate(speakers)]
    return Pairs(waveforms, features, speakers, clips)


def _on_disk(folder: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Room for waveforms that memory need not hold; it goes when the array goes."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, "int16", "w+", shape=shape)


def faces_of(table: Table, split: str) -> Faces:
    """Returns every feature of a split with the studio portrait to be made of it."""
    from helpers import face_crop
    from helpers.pairs import Faces

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
