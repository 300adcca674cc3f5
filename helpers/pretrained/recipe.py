"""How the released weights are made: `python -m helpers pretrain` makes them again.

Islanders below 1,000,000 are painted, spoken, detected and described as in notebooks 01 to 03, but
without coding a video, which saves most of the time: see `islander_tables`. Then the voice encoder
and the face decoder are trained as in notebooks 04 and 05. Nothing real goes in, and no test
islander.
"""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.archipelago.islanders import islander
from helpers.pretrained import (
    DRAWN_AGES,
    FACE_DECODER,
    FACE_NETWORK,
    FOLDER,
    ISLANDER_FEATURES,
    VOICE_ENCODER,
)
from helpers.pretrained.islander_tables import (
    REGISTERS,
    UTTERANCES,
    build_faces,
    build_registers,
    build_voices,
    faces_of,
    pairs_of,
)
from helpers.pretrained.sizes import Sizes
from helpers.settings import FIRST_TEST_ISLANDER
from helpers.storage.drive import write_json
from helpers.tables import Table, Workspace

RECIPE = FOLDER / "recipe.json"
NETWORK = "network.keras"
"""Name of a trained network until all is done."""


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
        VOICE_ENCODER: "registers" if sizes.register_epochs else "encoder",
        FACE_DECODER: "gan" if sizes.gan_epochs else "decoder",
        FACE_NETWORK: "face_network",
    }
    for file, stage in last.items():
        network = weights.load(unfinished / stage / NETWORK, stage, "helpers.pretrained.recipe")
        weights.save(network, folder / file.name, half=True)
    write_features(faces, folder / ISLANDER_FEATURES.name)
    weights.write_checksums(folder, last)  # The next step loads what is vouched for only.
    write_drawn_ages(folder, sizes.islanders)
    files = (*last, ISLANDER_FEATURES, DRAWN_AGES)
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


# --- features and ages ---------------------------------------------------------------------------


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


def write_drawn_ages(folder: Path, islanders: int, count: int = 400) -> dict:
    """Learns how the decoder in a folder shows age, and writes `drawn_ages.json` there.

    Args:
        folder: Holds the networks and the features; `drawn_ages.json` of another decoder is
            replaced.
        islanders: How many islanders the networks were made with.
        count: How many of their validation islanders speak for it, at most.

    Returns:
        What was written: slope, years, people, and the mean error in years with and without.
    """
    from helpers import demo, face_decoder, face_features, voice_encoder
    from helpers.archipelago import voices

    path = folder / DRAWN_AGES.name
    path.unlink(missing_ok=True)
    reader = face_features.attribute_reader_of(folder)
    encoder = voice_encoder.load(folder / VOICE_ENCODER.name)
    decoder = face_decoder.load(folder / FACE_DECODER.name)
    known = (person for person in map(islander, range(islanders)) if person.split == "validation")
    people = list(itertools.islice(known, count))
    features = [demo.predict(encoder, voices.speak(person, 0)[None]) for person in people]
    faces = demo.faces_of(np.concatenate(features), decoder)
    seen = np.stack([demo.seen_feature(face) for face in faces])
    age = np.array([person.age for person in people])
    slope, years = reader.line_of_drawn(seen, age)
    found = {"slope": round(slope, 4), "years": round(years, 2), "people": len(people)}
    write_json(path, found)
    corrected = face_features.attribute_reader_of(folder).age_of_drawn(seen)
    found["error_without"] = round(float(np.abs(reader.age(seen) - age).mean()), 1)
    found["error_with"] = round(float(np.abs(corrected - age).mean()), 1)
    write_json(path, found)
    return found


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
    from helpers import face_decoder
    from helpers.training import face_network
    from helpers.training.face_targets import targets_of

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
