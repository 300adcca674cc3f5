"""How the released weights are made: from training islanders alone, and on after a kill."""

from __future__ import annotations

import functools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers import face_crop, face_decoder, settings, voice_encoder, weights
from helpers.archipelago.islanders import islander
from helpers.pretrained import islander_tables, recipe
from helpers.pretrained.sizes import Sizes
from helpers.training import face_network

ISLANDERS = 100
FILES = [
    "SHA256SUMS",
    "drawn_ages.json",
    "face_decoder.keras",
    "face_network.keras",
    "islander_features.parquet",
    "recipe.json",
    "voice_encoder.keras",
]


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """Quick islanders of two groups, and tiny networks; holds the numbers asked for."""
    numbers: list[int] = []

    def faces(some):
        numbers.extend(some)
        return [face_of(number) for number in some]

    monkeypatch.setattr(islander_tables, "face_rows", faces)
    for rows, recordings in (
        ("voice_rows", islander_tables.UTTERANCES),
        ("register_rows", islander_tables.REGISTERS),
    ):
        voices = functools.partial(voices_of, recordings=recordings)
        monkeypatch.setattr(islander_tables, rows, voices)
    for room, network in (
        (voice_encoder, "compact"),
        (face_decoder, "generator"),
        (face_decoder, "discriminator"),
        (face_network, "face_network"),
    ):
        tiny = functools.partial(getattr(room, network), width=0.1)
        monkeypatch.setattr(room, network, tiny)
    return numbers


def face_of(number: int) -> dict:
    person, random = islander(number), np.random.default_rng(number)
    group = number % 2
    face = np.full((settings.ALIGNED_SIZE, settings.ALIGNED_SIZE, 3), 80 + 90 * group, np.uint8)
    features = random.normal(0.1 * group, 0.04, (2, settings.FEATURE_SIZES["dlib"]))
    return {
        **{name: getattr(person, name) for name in ("number", "split", "sex", "age")},
        "clip_id": f"islander-{number}",
        "features": features.tolist(),
        "portrait": face_crop.to_jpeg(face),
    }


def voices_of(numbers: list[int], recordings: int) -> list[dict]:
    return [voice_of(number, recordings) for number in numbers]


def voice_of(number: int, recordings: int) -> dict:
    random = np.random.default_rng(number)
    voices = random.integers(-9000, 9000, (recordings, settings.SPEECH_SAMPLES), np.int16)
    return {
        "clip_id": f"islander-{number}",
        "split": islander(number).split,
        "waveforms": [voice.tobytes() for voice in voices],
    }


def pretrain(workspace, folder, islanders=ISLANDERS):
    sizes = Sizes(islanders, 1, 1, 1, face_pictures=64, gan_epochs=1, seed=3)
    return recipe.pretrain(workspace, sizes, folder)


@pytest.mark.slow
def test_after_a_kill_only_the_unfinished_part_is_trained(asked, workspace, tmp_path, monkeypatch):
    folder = tmp_path / "released"
    folder.mkdir()

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(face_decoder, "refine_with_gan", killed)
        pretrain(workspace, folder)
    assert not list(folder.iterdir()), "nothing is released before all is done"

    def repeated(*_, **__):
        pytest.fail("A training that came to its end should not be repeated.")

    monkeypatch.setattr(voice_encoder, "train", repeated)
    monkeypatch.setattr(face_decoder, "train_decoder", repeated)
    monkeypatch.setattr(face_network, "distil", repeated)
    made = pretrain(workspace, folder)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert sorted(asked) == list(range(ISLANDERS)), "each islander once, and no test islander"
    assert not list((workspace.local / "pretrain").iterdir())

    assert json.loads((folder / "recipe.json").read_text()) == made
    assert made["command"] == (
        "python -m helpers pretrain --islanders 100 --encoder-epochs 1 --register-epochs 1 "
        "--decoder-epochs 1 --face-pictures 64 --gan-epochs 1 --seed 3"
    )
    assert {"val_recall_1", "registers_val_recall_1"} <= set(made["encoder"])
    assert "val_l1" in made["decoder"] and "val_l1" in made["gan"] and made["face_network"]
    weights.verify(folder / "face_decoder.keras")

    features = pq.read_table(folder / "islander_features.parquet")
    assert features.column_names == ["number", "split", "sex", "age", "feature"]
    for row in features.to_pylist():
        person = islander(row["number"])
        assert (row["split"], row["sex"]) == (person.split, person.sex)
        assert row["age"] == pytest.approx(person.age)
        mean = np.mean(face_of(row["number"])["features"], axis=0)
        assert row["feature"] == pytest.approx(mean, abs=1e-3)
    assert set(features["split"].to_pylist()) == {"train", "validation"}

    voice = voice_encoder.load(folder / "voice_encoder.keras")(np.zeros((1, 16_000), "float32"))
    face = face_decoder.load(folder / "face_decoder.keras")(voice)
    assert face.shape == (1, 128, 128, 3)


@pytest.mark.parametrize("islanders", [0, 99, settings.FIRST_TEST_ISLANDER])
def test_too_few_islanders_or_islanders_for_testing_are_refused(
    asked, workspace, tmp_path, islanders
):
    with pytest.raises(ValueError, match="take 100 to 999,999"):
        pretrain(workspace, tmp_path, islanders)
    assert not asked


def test_another_size_of_the_training_does_not_go_on_from_this_one(
    asked, workspace, tmp_path, monkeypatch
):
    folders = []

    def killed(faces, voices, registers, sizes, unfinished):
        folders.append(unfinished)
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "train_voice_encoder", killed)
    for islanders in (100, 101):
        with pytest.raises(KeyboardInterrupt):
            pretrain(workspace, tmp_path, islanders)
    assert folders[0] != folders[1]
    for table in ("islander_faces", "islander_voices", "islander_registers"):
        assert workspace.table(table).fingerprint in folders[0].name
