"""A clip becomes faces: what is found, who is chosen, how it is cut out."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow as pa
import pytest

from helpers import download, face_crop, face_features, media
from helpers.archipelago import portraits
from helpers.archipelago.islanders import islander
from helpers.faces.face_detection import Detection, choose_speaker, detector, follow
from helpers.settings import ALIGNED_SIZE, CROP_SIZE, SHARD_CLIPS, Settings
from helpers.tables import Workspace

CLIPS = Path(__file__).parents[1] / "../shared/real_media/clips"
real = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no real clips in {CLIPS}")


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """A real face, some 100 pixels wide, near the middle of 384 x 288."""
    return media.read_frames(CLIPS / "pwij3p.mpg", [1.0])[0][1]


def clip(frames: list[np.ndarray], **values: object) -> dict:
    sound = np.zeros(16_000 * len(frames) // 25, np.float32)
    row = {
        **{"clip_id": "a", "speaker_id": "b", "split": "train", "status": "ok", "reason": ""},
        **{"video": media.write_video(frames, sound), "duration_s": len(frames) / 25},
        **{"face_x": None, "face_y": None},
    }
    return {**row, **values}


def face_at(x: float, y: float, size: int = 40) -> Detection:
    box = (round(x - size / 2), round(y - size / 2), size, size)
    return Detection(box, np.zeros((5, 2), np.float32), 0.99)


# Detection


def test_frames_without_a_face_give_nothing():
    noise = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    black, grey = np.zeros((360, 480, 3), np.uint8), np.full((360, 480, 3), 128, np.uint8)
    assert detector()([black, noise, grey]) == [[], [], []]
    assert detector()([black]) == [[]]


@pytest.mark.parametrize("shape", [(1, 1, 3), (11, 30, 3), (19, 19, 3), (20, 500, 3)])
def test_tiny_images_give_nothing(shape):
    assert detector()([np.zeros(shape, np.uint8)]) == [[]]


def test_no_images_give_no_lists():
    assert detector()([]) == []


@real
@pytest.mark.parametrize("lines", [128, 240, 360, 720, 1440])
def test_the_face_is_found_at_any_size_of_the_frame(frame, lines):
    width = round(lines * frame.shape[1] / frame.shape[0])
    (face,) = detector()([cv2.resize(frame, (width, lines))])[0]
    assert face.confidence > 0.95
    assert face.centre / (width, lines) == pytest.approx([0.54, 0.57], abs=0.05)
    assert face.box[3] / lines == pytest.approx(0.55, abs=0.08)
    left_eye, right_eye, nose, left_mouth, right_mouth = face.keypoints
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert left_mouth[0] < right_mouth[0]


@real
def test_a_small_face_in_a_large_frame_is_found(frame):
    wide = np.full((360, 640, 3), 90, np.uint8)
    wide[200:300, 450:583] = cv2.resize(frame, (133, 100), interpolation=cv2.INTER_AREA)
    (face,) = detector()([wide])[0]
    assert face.centre == pytest.approx([450 + 0.54 * 133, 200 + 0.57 * 100], abs=8)


@real
def test_a_batch_finds_what_single_frames_find(frame):
    black = np.zeros_like(frame)
    batch = detector()([black, frame, frame[:, ::-1].copy(), black, frame[10:-10, 20:-20].copy()])
    assert [len(faces) for faces in batch] == [0, 1, 1, 0, 1]
    for image, faces in ((frame, batch[1]), (frame[10:-10, 20:-20].copy(), batch[4])):
        (alone,) = detector()([image])[0]
        assert faces[0].box == alone.box
        assert faces[0].keypoints == pytest.approx(alone.keypoints, abs=0.1)
    shifted = np.array(batch[4][0].box) + (20, 10, 0, 0)
    assert shifted == pytest.approx(batch[1][0].box, abs=8)


# The speaker


def test_the_speaker_is_the_face_nearest_to_where_the_manifest_says():
    left, right = face_at(100, 100, 80), face_at(400, 120, 40)
    assert choose_speaker([left, right], (0.85, 0.4), (360, 480)) is right
    assert choose_speaker([left, right], (0.15, 0.4), (360, 480)) is left


def test_without_a_place_the_speaker_is_the_largest_face_near_the_middle():
    middle, corner = face_at(240, 180, 80), face_at(30, 30, 90)
    background = face_at(240, 100, 30)
    assert choose_speaker([corner, background, middle], None, (360, 480)) is middle
    assert choose_speaker([], None, (360, 480)) is None


def test_the_speaker_is_followed_when_people_cross_the_middle():
    speaker = [face_at(100 + 40 * step, 180, 80) for step in range(4)]
    other = [face_at(400 - 40 * step, 180, 85) for step in range(4)]
    frames = [[b, a] for a, b in zip(speaker, other, strict=True)]
    assert follow(frames, (360, 480), (0.2, 0.5)) == speaker


def test_somebody_far_from_the_speaker_is_not_the_speaker():
    here, there = face_at(100, 180), face_at(400, 180)
    assert follow([[here], [there], [], [here]], (360, 480), (0.2, 0.5)) == [here, None, None, here]
    assert follow([[], []], (360, 480)) == [None, None]
    assert follow([], (360, 480)) == []


def test_a_first_frame_without_the_speaker_does_not_lead_astray():
    here, there = face_at(100, 180), face_at(400, 180)
    assert follow([[there], [here, there]], (360, 480), (0.2, 0.5)) == [None, here]


# Crop and alignment


def test_a_crop_is_a_square_larger_than_the_box():
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 110:190] = 255
    cut = face_crop.crop(image, (110, 60, 80, 80), size=104, margin=0.3)
    assert cut.shape == (104, 104, 3)
    assert cut[14:90, 14:90].min() > 250
    assert cut[:10].max() < 5
    assert cut[:, -10:].max() < 5


def test_a_crop_repeats_the_edges_of_the_image():
    image = np.zeros((100, 100, 3), np.uint8)
    image[0, :], image[:, 0] = (255, 0, 0), (0, 255, 0)
    cut = face_crop.crop(image, (-40, -40, 100, 100), size=100, margin=0.0)
    assert cut.shape == (100, 100, 3)
    assert (cut[:38, 60] == (255, 0, 0)).all()
    assert (cut[60, :38] == (0, 255, 0)).all()
    assert (cut[60:, 60:] == 0).all()


def test_a_crop_outside_of_the_image_still_has_its_size():
    image = np.full((50, 50, 3), 7, np.uint8)
    assert (face_crop.crop(image, (500, -500, 40, 40)) == 7).all()
    assert face_crop.crop(image, (500, -500, 40, 40)).shape == (CROP_SIZE, CROP_SIZE, 3)


@pytest.mark.parametrize(("scale", "degrees"), [(0.7, 0), (1.0, 20), (2.5, -35), (9.0, 10)])
def test_alignment_undoes_size_turn_and_place(scale, degrees):
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    there = face_crop.template() - 64
    points = (there[:, 0] + 1j * there[:, 1]) * turn
    points = np.stack([points.real, points.imag], axis=1) + (100 * scale, 120 * scale)
    image = np.zeros((round(240 * scale), round(200 * scale), 3), np.uint8)
    for point in points:
        cv2.circle(image, np.round(point).astype(int), round(3 * scale), (255, 255, 255), -1)
    aligned = face_crop.align(image, points)
    assert aligned.shape == (ALIGNED_SIZE, ALIGNED_SIZE, 3)
    for x, y in face_crop.template():
        left, top = round(x) - 6, round(y) - 6
        patch = aligned[top : top + 13, left : left + 13, 0].astype(float)
        down, across = np.mgrid[top : top + 13, left : left + 13]
        found = np.array([(patch * across).sum(), (patch * down).sum()]) / patch.sum()
        assert found == pytest.approx([x, y], abs=0.8)


def test_a_big_face_is_averaged_and_not_sampled():
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[::2] = 255
    aligned = face_crop.align(image, face_crop.template(1200))
    assert aligned[4:-4, 4:-4].min() > 110
    assert aligned[4:-4, 4:-4].max() < 145


@real
def test_aligned_faces_have_their_eyes_in_the_same_place():
    frames = [media.read_frames(path, [1.0])[0][1] for path in sorted(CLIPS.glob("*.mpg"))]
    faces = face_crop.faces_in(frames)
    assert len(faces) == 7
    again = face_crop.faces_in([face.aligned for face in faces])
    for face in again:
        eyes = face_crop.five_points(face.landmarks)[:2]
        assert np.abs(eyes - face_crop.template()[:2]).max() < 2.5
        chin, brows = face.landmarks[8, 1], face.landmarks[17:27, 1].min()
        assert brows > 20 and chin < ALIGNED_SIZE


def test_frontality_is_one_for_a_symmetric_face_and_falls_as_it_turns():
    angle = np.linspace(np.pi, 0, 17)
    points = np.zeros((68, 2))
    points[:17] = np.stack([60 * np.cos(angle), 80 * np.sin(angle)], axis=1)
    points[36:42], points[42:48] = (-30, -10), (30, -10)
    points[36, 0], points[39, 0], points[42, 0], points[45, 0] = -40, -20, 20, 40
    points[30] = (0, 15)
    values = []
    for nose in (0, 5, 10, 20, 40):
        points[30, 0] = nose
        values.append(face_crop.frontality(points))
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0
    points[30, 0] = 5
    turn = np.deg2rad(25)
    rolled = points @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    assert face_crop.frontality(rolled) == pytest.approx(values[1])


def test_jpeg_keeps_colours_in_order():
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 200
    again = face_crop.from_jpeg(face_crop.to_jpeg(image))
    assert np.abs(again.astype(int) - image).max() < 8


def test_islanders_are_found_and_look_ahead_or_not():
    poses = portraits.Pose(yaw=0), portraits.Pose(yaw=14), portraits.Pose(yaw=24)
    pictures = [
        portraits.portrait(islander(number), pose, size=256) for number in (0, 1) for pose in poses
    ]
    faces = face_crop.faces_in(pictures)
    assert all(faces)
    for ahead, aside, away in (faces[:3], faces[3:]):
        assert ahead.frontality > 0.75 > aside.frontality > away.frontality
    features = np.stack([face.feature for face in faces])
    apart = np.linalg.norm(features[:, None] - features, axis=2)
    assert apart[0, 1] < apart[0, 3] and apart[3, 4] < apart[0, 3]


# Clips


@pytest.mark.parametrize("status", [status for status in download.STATUSES if status != "ok"])
def test_a_clip_that_is_not_there_keeps_its_status_and_reason(status):
    row = clip([np.zeros((64, 64, 3), np.uint8)] * 10, status=status, reason="No such file.")
    ((face,),) = face_crop.faces_of_clips([row])
    assert (face["status"], face["reason"]) == (status, "No such file.")
    assert face["clip_id"] == "a" and face["feature"] is None


def test_a_clip_without_a_face_or_without_sense_is_rejected():
    empty = clip([np.full((120, 160, 3), 90, np.uint8)] * 25)
    damaged = clip([np.zeros((64, 64, 3), np.uint8)] * 10, video=b"this is not a video")
    (blank,), (broken,) = face_crop.faces_of_clips([empty, damaged], 3)
    assert (blank["status"], blank["reason"]) == ("rejected", "No face was found in 3 frames.")
    assert broken["status"] == "rejected" and broken["reason"].endswith(".")


def test_a_clip_that_cannot_be_decoded_as_no_other_does_not_stop_the_others(monkeypatch):
    read_frames = media.read_frames

    def odd(video, times):
        if video == b"odd":
            raise ZeroDivisionError("division by zero")
        return read_frames(video, times)

    monkeypatch.setattr(media, "read_frames", odd)
    grey = clip([np.full((120, 160, 3), 90, np.uint8)] * 25)
    (face,), (other,) = face_crop.faces_of_clips([{**grey, "video": b"odd"}, grey])
    assert (face["status"], other["status"]) == ("failed", "rejected")
    assert face["reason"] == "Unexpected ZeroDivisionError: division by zero"


@pytest.mark.parametrize("step", ["landmarks", "describe"])
def test_a_face_that_cannot_be_described_does_not_stop_the_others(monkeypatch, step):
    asked = []

    def odd(image, *rest):
        asked.append(image)
        if len(asked) in (1, 3, 4):  # The first face of one clip and both of another.
            raise ValueError("an odd face")
        return plain(image, *rest)

    plain = getattr(face_features, step)
    monkeypatch.setattr(face_features, step, odd)
    row = clip([portraits.portrait(islander(0), size=256)] * 25)
    one, two, three = face_crop.faces_of_clips([row] * 3)
    assert [face["status"] for face in one] == ["ok"]
    assert [(face["status"], face["reason"]) for face in two] == [
        ("failed", "Unexpected ValueError: an odd face")
    ]
    assert [face["status"] for face in three] == ["ok", "ok"]


@real
def test_a_clip_gives_a_row_for_each_frame_asked_for(frame):
    (rows,) = face_crop.faces_of_clips([clip([frame] * 50)], 3)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert [row["time_s"] for row in rows] == pytest.approx([0.5, 1.0, 1.5], abs=0.05)
    table = pa.Table.from_pylist(rows, schema=face_crop.SCHEMA).to_pylist()
    for row in table:
        assert len(row["feature"]) == 128 and len(row["landmarks"]) == 136
        assert len(row["box"]) == 4 and len(row["keypoints"]) == 10
        assert face_crop.from_jpeg(row["crop"]).shape == (CROP_SIZE, CROP_SIZE, 3)
        assert face_crop.from_jpeg(row["aligned"]).shape == (ALIGNED_SIZE, ALIGNED_SIZE, 3)
        assert 0.5 < row["frontality"] <= 1 and row["faces_in_frame"] == 1


@real
def test_of_two_people_the_one_at_the_given_place_is_taken(frame):
    other = media.read_frames(CLIPS / "lbax4n.mpg", [1.0])[0][1]
    both = np.hstack([frame[:, 50:-30], other[:, 50:-30]])
    places = [clip([both] * 25, face_x=x, face_y=0.5) for x in (0.25, 0.75)]
    one, two = face_crop.faces_of_clips(places)
    assert {row["faces_in_frame"] for row in one + two} == {2}
    assert all(row["box"][0] + row["box"][2] < both.shape[1] / 2 for row in one)
    assert all(row["box"][0] > both.shape[1] / 2 for row in two)


def test_the_table_has_rows_for_every_clip_and_only_missing_shards_are_made_again(tmp_path):
    rows = [
        clip([np.zeros((64, 64, 3), np.uint8)] * 15, clip_id=f"clip-{number}")
        for number in range(2)
    ]
    rows += [
        {
            **rows[0],
            "clip_id": f"clip-{number}",
            "status": "gone",
            "reason": "It is gone.",
            "video": None,
        }
        for number in range(2, SHARD_CLIPS + 5)
    ]
    by_name = {row["clip_id"]: row for row in rows}
    workspace = Workspace(tmp_path, Settings.make()).use(SimpleNamespace(fingerprint="a"))
    workspace.table("clips").build(
        list(by_name), lambda keys: [by_name[key] for key in keys], download.SCHEMA, progress=False
    )
    session = SimpleNamespace(settings=workspace.settings, workspace=workspace)
    assert face_crop.build_faces(session).made == len(rows)
    first = workspace.require("faces").read()
    assert first["clip_id"].to_pylist() == list(by_name)
    assert workspace.require("faces").counts("reason") == {
        "It is gone.": len(rows) - 2,
        "No face was found in 2 frames.": 2,
    }
    assert workspace.require("faces").counts("status") == {"gone": len(rows) - 2, "rejected": 2}
    (workspace.table("faces").folder / "00001.parquet").unlink()
    report = face_crop.build_faces(session)
    assert (report.made, report.kept) == (5, SHARD_CLIPS)
    assert workspace.require("faces").read().equals(first)
