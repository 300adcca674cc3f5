"""dlib's detector: agrees with MTCNN where it finds a face, and finds none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import face_crop, media
from helpers.archipelago import clips
from helpers.faces import hog_detection
from helpers.faces.face_detection import detector


@pytest.fixture(scope="module")
def frames(real_media) -> list[np.ndarray]:
    files = sorted((real_media / "clips").iterdir())[:3]
    return [media.read_frames(file, [1.0])[0][1] for file in files]


def test_it_finds_the_face_that_mtcnn_finds(frames):
    for ours, theirs in zip(hog_detection.detect(frames), detector()(frames), strict=True):
        assert len(ours) == 1
        width = theirs[0].box[2]
        assert np.abs(ours[0].centre - theirs[0].centre).max() < 0.2 * width
        assert np.abs(ours[0].keypoints - theirs[0].keypoints).max() < 0.15 * width
        assert 0.5 < ours[0].confidence <= 1


def test_a_large_picture_gives_a_large_face(frames):
    small = hog_detection.detect(frames[:1])[0][0]
    large = hog_detection.detect([np.repeat(np.repeat(frames[0], 3, 0), 3, 1)])[0][0]
    assert large.box[2] == pytest.approx(3 * small.box[2], rel=0.15)


def test_nothing_is_found_in_nothing():
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    assert hog_detection.detect([noise, np.zeros_like(noise)]) == [[], []]
    assert hog_detection.detect([]) == []


def test_a_clip_becomes_faces_with_it():
    row = {"clip_id": "a", "speaker_id": "a", "split": "train", "status": "ok", "reason": ""}
    row |= {"video": clips.render("3/0"), "duration_s": 6.5, "face_x": None, "face_y": None}
    (faces,) = face_crop.faces_of_clips([row], kind="hog")
    assert [face["status"] for face in faces] == ["ok"] * 2
    (same,) = face_crop.faces_of_clips([row])
    distance = np.linalg.norm(np.array(faces[0]["feature"]) - np.array(same[0]["feature"]))
    assert distance < 0.4, "dlib calls faces closer than 0.6 the same person"
