"""Portraits: deterministic, found by detectors, alike for one islander and unlike for two."""

import hashlib
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from helpers.archipelago.clips import FACE_MIDDLE
from helpers.archipelago.head import project
from helpers.archipelago.islanders import HAIR_STYLES, islander
from helpers.archipelago.portraits import STUDIO, Pose, Puppet, light, portrait

ROOT = pathlib.Path(__file__).parents[1]


def fingerprint(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def describe():
    dlib = pytest.importorskip("dlib", reason="dlib is not installed")
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        pytest.skip("the wheel face_recognition_models is not installed")
    folder = pathlib.Path(next(iter(spec.submodule_search_locations))) / "models"
    shape = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(
        str(folder / "dlib_face_recognition_resnet_model_v1.dat")
    )

    def of(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = image.shape[0]
        box = dlib.rectangle(*(int(part * size) for part in (0.27, 0.36, 0.73, 0.83)))
        points = shape(image, box)
        places = np.array([(p.x, p.y) for p in points.parts()]) / size
        return np.array(network.compute_face_descriptor(image, points)), places

    return of


def test_portrait_is_an_rgb_picture_of_its_size():
    for size in (64, 200, 256):
        image = portrait(islander(3), size=size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert 60 < image.mean() < 200


def test_portrait_refuses_what_it_cannot_paint():
    with pytest.raises(ValueError, match="at least 32"):
        portrait(islander(1), size=8)
    with pytest.raises(ValueError, match="background"):
        portrait(islander(1), size=64, background=np.zeros((3, 3, 3)))


def test_background_is_used():
    image = portrait(islander(6), size=96, background=(0, 200, 0))
    assert abs(int(image[2, 2, 1]) - 200) < 6
    assert image[2, 2, 0] < 6


def test_same_in_every_process():
    code = (
        "import hashlib; from helpers.archipelago.islanders import islander;"
        "from helpers.archipelago.portraits import Puppet, Pose, light, portrait;"
        "a = portrait(islander(5), Pose(yaw=9, mouth=.3), light(2), 128);"
        "b = Puppet(islander(5), 7, 128).frame(Pose(roll=4, blink=.5));"
        "print(hashlib.sha256(a.tobytes()).hexdigest(), hashlib.sha256(b.tobytes()).hexdigest())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    portrait(islander(8), size=64)
    assert told[0] == fingerprint(portrait(islander(5), Pose(yaw=9, mouth=0.3), light(2), 128))
    assert told[1] == fingerprint(Puppet(islander(5), 7, 128).frame(Pose(roll=4, blink=0.5)))


def test_every_islander_and_style_can_be_painted():
    seen = set()
    for number in range(60):
        person = islander(number)
        if person.hair_style not in seen:
            seen.add(person.hair_style)
            pose = Pose(yaw=-25, pitch=15, roll=20, mouth=1, smile=-1)
            assert portrait(person, pose, size=64).std() > 5
    assert seen == set(HAIR_STYLES)


def test_mouth_and_lids_move_only_where_they_are():
    person = islander(4)
    still = portrait(person, size=128).astype(int)
    for pose, rows in ((Pose(mouth=0.8), slice(64, 122)), (Pose(blink=1.0), slice(45, 75))):
        change = np.abs(portrait(person, pose, size=128).astype(int) - still).sum(-1)
        assert change[rows].max() > 60
        change[rows] = 0
        assert change.max() <= 6


def test_a_turned_head_turns():
    puppet = Puppet(islander(2), 1, 160)

    def face(**turn: float) -> tuple[float, float]:
        return project(puppet.look, Pose(**turn), FACE_MIDDLE)

    assert face(yaw=-15)[0] < 0.48 < 0.52 < face(yaw=15)[0]
    assert face(pitch=10)[1] < face(pitch=-10)[1]
    assert 0.45 < face()[1] < 0.68
    assert puppet.frame(Pose()).shape == (160, 160, 3)


def test_puppet_frames_do_not_depend_on_those_before():
    puppet = Puppet(islander(9), 3, 128)
    first = puppet.frame(Pose(mouth=0.5)).copy()
    puppet.frame(Pose(yaw=10, mouth=1, blink=1))
    assert np.array_equal(first, puppet.frame(Pose(mouth=0.5)))


def test_scenes_have_their_own_light():
    assert light(3) == light(3)
    assert light(3) != light(4)
    assert np.isclose(np.linalg.norm(light(3).direction), 1)
    assert STUDIO.plain


def test_landmarks_sit_on_the_face(describe):
    for number in (1, 6, 12, 20):
        _, places = describe(portrait(islander(number)))
        eyes = places[36:48].reshape(2, 6, 2).mean(1)
        nose, mouth = places[30], places[48:68].mean(0)
        # Eyes are at y = 0 in head coordinates, nose tip near 0.4, mouth near 0.6.
        assert np.allclose(eyes[:, 1], 0.476, atol=0.025)
        assert np.allclose(eyes[:, 0], [0.404, 0.596], atol=0.03)
        assert abs(nose[0] - 0.5) < 0.03
        assert 0.56 < nose[1] < 0.65
        assert abs(mouth[0] - 0.5) < 0.03
        assert 0.645 < mouth[1] < 0.735


def test_descriptors_tell_islanders_apart(describe):
    numbers = range(24)
    first = np.array(
        [describe(portrait(islander(n), light=light(n), size=192))[0] for n in numbers]
    )
    second = np.array(
        [
            describe(
                portrait(islander(n), Pose(yaw=8 * (-1) ** n, mouth=0.2), light(900 + n), 192)
            )[0]
            for n in numbers
        ]
    )
    distance = np.linalg.norm(first[:, None] - second[None], axis=-1)
    same = np.diag(distance)
    other = distance[~np.eye(len(distance), dtype=bool)]
    assert same.mean() < 0.6 * other.mean()
    assert (distance.argmin(1) == np.arange(len(distance))).mean() > 0.7
    male = np.array([islander(n).sex == "M" for n in numbers])
    apart = np.linalg.norm(first[male].mean(0) - first[~male].mean(0))
    assert apart > 0.15
