"""From clips to a face with VGG-Face's features instead of dlib's, without a network.

Weights that Keras 2 has written for a narrow network stand for the released file.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import FakeManifest

from helpers import (
    demo,
    download,
    evaluation,
    face_crop,
    face_decoder,
    face_features,
    media,
    spectrogram,
    training,
)
from helpers.archipelago import portraits
from helpers.archipelago.islanders import islander
from helpers.faces import vgg_face
from helpers.faces.recognition_weights import NETWORKS
from helpers.networks import voice_networks
from helpers.settings import Settings
from helpers.tables import MissingTable, Workspace
from helpers.training import pairs as pairs_room

PEOPLE = 3
FRAMES = 2


def clip_of(number: int) -> dict:
    picture = portraits.portrait(islander(number), size=256)
    row = dict.fromkeys(download.SCHEMA.names)
    return row | {
        **{"clip_id": f"clip-{number}", "speaker_id": f"islander-{number}", "split": "train"},
        **{"status": "ok", "reason": "", "duration_s": 0.6},
        "video": media.write_video([picture] * 15, np.zeros(9600, np.float32)),
    }


def speech_of(clip: dict) -> dict:
    waveform = np.random.default_rng(len(clip["video"])).integers(-9000, 9000, 96_000)
    row = {name: clip[name] for name in ("clip_id", "speaker_id", "split", "status", "reason")}
    sound = {"speech_s": 6.0, "level": -20.0, "peak": 0.3}
    return row | sound | {"waveform": waveform.astype("<i2").tobytes()}


@pytest.fixture
def session(tmp_path: Path, keras2: Path, narrow: None, monkeypatch: pytest.MonkeyPatch):
    """A run with features of VGG-Face, as far as notebook 03."""
    vgg_face.load.cache_clear()
    file = keras2 / NETWORKS["vggface"].file
    small = dataclasses.replace(NETWORKS["vggface"], parameters=(file.stat().st_size - 50_000) // 4)
    monkeypatch.setitem(NETWORKS, "vggface", small)
    (tmp_path / "recognition").mkdir()
    shutil.copy(file, tmp_path / "recognition")
    workspace = Workspace(tmp_path, Settings.make(features="vggface")).use(FakeManifest())
    rows = {f"clip-{number}": clip_of(number) for number in range(PEOPLE)}

    def build(table: str, schema, make) -> None:
        workspace.table(table).build(list(rows), make, schema, progress=False)

    build("clips", download.SCHEMA, lambda keys: [rows[key] for key in keys])
    build("speech", spectrogram.SCHEMA, lambda keys: [speech_of(rows[key]) for key in keys])
    known = [
        SimpleNamespace(
            **{"clip_id": key, "split": "train", "sex": "FM"[i % 2], "age": 20.0 + i},
            **{"group": "", "language": ""},
        )
        for i, key in enumerate(rows)
    ]
    session = SimpleNamespace(
        settings=workspace.settings, workspace=workspace, manifest=SimpleNamespace(rows=known)
    )
    face_crop.build_faces(session)
    yield session
    vgg_face.load.cache_clear()


def test_the_whole_chain_works_with_features_of_4096_numbers(session, tmp_path: Path) -> None:
    network = face_features.describer(session)
    faces = session.workspace.require("faces").read().to_pylist()
    assert [row["status"] for row in faces] == ["ok"] * PEOPLE * FRAMES
    for row in faces[::FRAMES]:
        feature = np.array(row["feature"], np.float32)
        assert feature.shape == (4096,) and feature.min() == 0
        # The stored crop is what was described, but for its compression.
        again = network([face_crop.from_jpeg(row["crop"])])[0]
        assert np.linalg.norm(again - feature) < 0.03 * np.linalg.norm(feature)

    pairs = pairs_room.pairs_of(session, "train")
    known = pairs_room.faces_of(session, "train")
    assert pairs.features.shape == (PEOPLE, 4096) and pairs.features.dtype == np.float32
    assert known.features.shape == (PEOPLE * FRAMES, 4096)
    assert pairs.features[0] == pytest.approx(
        np.mean([row["feature"] for row in faces[:FRAMES]], axis=0), abs=1e-6
    )

    encoder = voice_networks.compact(4096, pairs.centre(), 0.1, deviation=pairs.deviation())
    decoder = face_decoder.generator(4096, known.centre(), known.mean_face(), width=0.05)
    for one in (encoder, decoder):
        training.name_features(one, "vggface")
    measured = evaluation.read_pairs(session, encoder, decoder, "train")
    assert [pair.predicted.shape for pair in measured] == [(4096,)] * PEOPLE
    seen = evaluation.measured_pairs(measured, network=network)
    assert seen.reconstructed.shape == seen.features.shape == (PEOPLE, 4096)
    assert evaluation.attribute_reader(session).sex(seen.features).shape == (PEOPLE,)
    made = demo.reconstruct(measured[0].waveform, encoder, decoder)
    assert made.feature.shape == (4096,) and made.face.shape == (256, 256, 3)
    assert made.apparent_sex in ("F", "M")


def test_tables_and_networks_of_the_two_kinds_never_mix(session, tmp_path: Path) -> None:
    other = Workspace(tmp_path, Settings.make(features="dlib")).use(FakeManifest())
    with pytest.raises(MissingTable, match="02_face_crop"):
        other.require("faces")
    with pytest.raises(training.WrongFeatures, match="'dlib'.*'vggface'"):
        demo.models(session)
    feature = np.zeros((1, 4096), np.float32)
    with pytest.raises(training.WrongFeatures, match="'dlib'.*'vggface'"):
        demo.faces_of(feature)
