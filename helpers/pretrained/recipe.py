"""How the released weights are made: `python -m helpers pretrain` makes them again.

Islanders below 1,000,000 are painted, spoken, detected and described as in notebooks 01 to 03, but
without coding a video: that saves most of the time. Then the voice encoder and the face decoder are
trained as in notebooks 04 and 05. Nothing real goes in, and no test islander.
"""

from __future__ import annotations

import functools
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

from helpers.archipelago.islanders import generator, islander
from helpers.drive import write_json
from helpers.pretrained.sizes import Sizes
from helpers.settings import ALIGNED_SIZE, FEATURE_SIZES, FIRST_TEST_ISLANDER, SPEECH_SAMPLES
from helpers.tables import Table, Workspace

if TYPE_CHECKING:
    from helpers.pairs import Faces, Pairs

FOLDER = Path(__file__).parent
ENCODER = FOLDER / "voice_encoder.keras"
DECODER = FOLDER / "face_decoder.keras"
FACE_NETWORK = FOLDER / "face_network.keras"
ISLANDER_FEATURES = FOLDER / "islander_features.parquet"
RECIPE = FOLDER / "recipe.json"
NETWORK = "network.keras"
"""Name of a trained network until all is done."""

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


def pretrain(workspace: Workspace, sizes: Sizes, folder: Path = FOLDER) -> dict:
    """Makes the released weights. A run that was killed goes on where it stopped.

    Nothing reaches `folder` before all is done; until then it lies beside the tables of islanders.

    Args:
        workspace: Where the islanders and unfinished trainings are kept.
        sizes: How much goes into them.
        folder: Where the weights go.

    Returns:
        What was made and how, as in recipe.json.

    Raises:
        ValueError: Too few islanders, or so many that they reach into those kept for testing.
    """
    from helpers import weights

    if not 100 <= sizes.islanders < FIRST_TEST_ISLANDER:
        raise ValueError(f"islanders={sizes.islanders!r} is not valid: take 100 to 999,999.")
    started = time.perf_counter()
    faces = build_faces(workspace, sizes.islanders)
    voices = build_voices(workspace, sizes.islanders)
    registers = build_registers(workspace, sizes.islanders)
    prints = (table.fingerprint for table in (faces, voices, registers))
    name = "-".join((*prints, *map(str, vars(sizes).values())))
    unfinished = workspace.local / "pretrain" / name
    curves = {
        "encoder": train_voice_encoder(faces, voices, registers, sizes, unfinished),
        **train_faces(faces, sizes, unfinished),
    }
    last = {
        ENCODER: "registers" if sizes.register_epochs else "encoder",
        DECODER: "gan" if sizes.gan_epochs else "decoder",
        FACE_NETWORK: "face_network",
    }
    for file, stage in last.items():
        network = weights.load(unfinished / stage / NETWORK, stage, "helpers.pretrained.recipe")
        weights.save(network, folder / file.name, half=True)
    write_features(faces, folder / ISLANDER_FEATURES.name)
    files = (*last, ISLANDER_FEATURES)
    weights.write_checksums(folder, [folder / file.name for file in files])
    made = {
        "command": sizes.command(),
        "sizes": vars(sizes),
        "recordings": sizes.islanders * (UTTERANCES + REGISTERS),
        **{
            name: {measure: values[-1] for measure, values in measures.items()}
            for name, measures in curves.items()
        },
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
    faces: Table, voices: Table, registers: Table, sizes: Sizes, unfinished: Path
) -> dict:
    """Trains the voice encoder, then once more with other registers; leaves it in `unfinished`.

    Men and women differ so much in pitch that a network may hear little else. Where the same
    people speak higher and lower than usual, pitch says less, and the vocal tract counts for more.
    """
    from helpers import voice_encoder

    def train(folder: Path):
        pairs, validation = (pairs_of(faces, voices, split) for split in ("train", "validation"))
        encoder = voice_encoder.compact(centre=pairs.centre(), seed=sizes.seed)
        options = {"seed": sizes.seed, "folder": folder, "verbose": 2}
        return encoder, voice_encoder.train(
            encoder, pairs, validation, sizes.encoder_epochs, **options
        )

    def train_on(folder: Path):
        pairs = pairs_of(faces, voices, "train", registers=registers)
        encoder = voice_encoder.load(unfinished / "encoder" / NETWORK)
        return encoder, voice_encoder.train(
            encoder,
            pairs,
            pairs_of(faces, voices, "validation"),
            sizes.register_epochs,
            learning_rate=5e-4,
            seed=sizes.seed + 1,
            folder=folder,
            verbose=2,
        )

    curves = _once(train, unfinished / "encoder")
    if sizes.register_epochs:
        further = _once(train_on, unfinished / "registers")
        curves |= {f"registers_{name}": values for name, values in further.items()}
    return curves


def train_faces(table: Table, sizes: Sizes, unfinished: Path) -> dict[str, dict]:
    """Trains the face decoder, then the network that judges identity, then the GAN with it.

    Returns:
        The curves of `decoder`, `face_network` and, if there are epochs for it, `gan`.
    """
    from helpers import face_decoder, face_network
    from helpers.face_targets import targets_of

    options = {"seed": sizes.seed, "verbose": 2}

    @functools.cache
    def targets():
        return targets_of(faces_of(table, "train"))

    def decoder_made():
        return face_decoder.load(unfinished / "decoder" / NETWORK)

    def train(folder: Path):
        decoder = face_decoder.generator(**targets().start(), seed=sizes.seed)
        validation = faces_of(table, "validation")
        return decoder, face_decoder.train_decoder(
            decoder, targets(), validation, sizes.decoder_epochs, folder=folder, **options
        )

    def distil(folder: Path):
        return face_network.distil(
            targets(), [decoder_made()], sizes.face_pictures, folder=folder, **options
        )

    def refine(folder: Path):
        decoder = decoder_made()
        return decoder, face_decoder.refine_with_gan(
            decoder,
            targets().one_each(),
            faces_of(table, "validation"),
            sizes.gan_epochs,
            identity=face_network.load(unfinished / "face_network" / NETWORK),
            folder=folder,
            **options,
        )

    curves = {
        "decoder": _once(train, unfinished / "decoder"),
        "face_network": _once(distil, unfinished / "face_network"),
    }
    if sizes.gan_epochs:
        curves["gan"] = _once(refine, unfinished / "gan")
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
    from helpers.pairs import Pairs

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
