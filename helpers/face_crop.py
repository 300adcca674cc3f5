"""A clip becomes faces: detect, choose the speaker, crop, align, describe.

Each face of the speaker is cropped as VGGFace2 does it, turned and scaled into one canonical
position, and described by dlib.

Finding faces needs TensorFlow and stays in this process. Decoding clips and describing faces do
not need it; they take most of the time and go to workers, one per core.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa

from helpers import face_features, media
from helpers.face_detection import Detection, choose_speaker, detector, follow
from helpers.settings import ALIGNED_SIZE, CROP_MARGIN, CROP_SIZE

if TYPE_CHECKING:
    from helpers.session import Session
    from helpers.tables import Report

# The canonical face, in shares of its side: eyes, nose tip, mouth corners. With these the picture
# reaches from the chin to the hair. The eyes count most: they move least when people talk.
_EYE_DISTANCE, _EYE_HEIGHT = 0.28, 0.42
_TEMPLATE = np.array([0.5, _EYE_HEIGHT]) + _EYE_DISTANCE * np.array(
    [(-0.5, 0.0), (0.5, 0.0), (0.0, 0.48), (-0.40, 1.13), (0.40, 1.13)]
)
_TEMPLATE_WEIGHTS = np.array([1.0, 1.0, 0.25, 0.25, 0.25])

_CLIP_COLUMNS = [
    *("clip_id", "speaker_id", "split", "status", "reason"),
    *("video", "duration_s", "face_x", "face_y"),
]

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("speaker_id", pa.string()),
        ("split", pa.string()),
        ("time_s", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("faces_in_frame", pa.int32()),
        ("box", pa.list_(pa.int32())),
        ("keypoints", pa.list_(pa.float32())),
        ("landmarks", pa.list_(pa.float32())),
        ("confidence", pa.float32()),
        ("frontality", pa.float32()),
        ("crop", pa.binary()),
        ("aligned", pa.binary()),
        ("feature", pa.list_(pa.float32())),
    ]
)
"""Columns of the table `faces`: a row per face of a speaker, or one that says why there is none."""


_Refusal = tuple[str, str] | tuple[()]
"""Status and reason of a clip without faces; empty where it has frames to look at."""


@dataclasses.dataclass(frozen=True)
class Face:
    """Everything that notebook 02 knows about a face.

    Attributes:
        box: As in `Detection`.
        keypoints: As in `Detection`.
        confidence: As in `Detection`.
        landmarks: (68, 2) float32, x and y in pixels.
        frontality: 0 (profile) to 1 (looks straight ahead).
        crop: (224, 224, 3) uint8 RGB.
        aligned: (128, 128, 3) uint8 RGB.
        feature: (128,) float32.
        faces_in_frame: How many faces there were to choose from.
    """

    box: tuple[int, int, int, int]
    keypoints: np.ndarray
    confidence: float
    landmarks: np.ndarray
    frontality: float
    crop: np.ndarray
    aligned: np.ndarray
    feature: np.ndarray
    faces_in_frame: int


def crop(
    image: np.ndarray, box: Sequence[float], size: int = CROP_SIZE, margin: float = CROP_MARGIN
) -> np.ndarray:
    """Cuts a face out as VGGFace2 does: a square, larger than the box, not turned.

    Args:
        image: (height, width, 3) uint8 RGB.
        box: x, y, width, height in pixels.
        size: Side of the crop in pixels.
        margin: How much larger than the longer side of the box the square is.

    Returns:
        (size, size, 3) uint8 RGB. Beyond the edges of the image its last pixels are repeated.
    """
    x, y, width, height = box
    half = max(1, round(max(width, height) * (1 + margin) / 2))
    middle_x, middle_y = round(x + width / 2), round(y + height / 2)
    rows = np.clip(np.arange(middle_y - half, middle_y + half), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(middle_x - half, middle_x + half), 0, image.shape[1] - 1)
    square = image[rows[:, None], columns]
    way = cv2.INTER_AREA if 2 * half > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=way)


def align(image: np.ndarray, points: np.ndarray, size: int = ALIGNED_SIZE) -> np.ndarray:
    """Turns, scales and shifts a face into the canonical position.

    A similarity transform takes eyes, nose and corners of the mouth as near as possible to where
    they are in the canonical face. Closed-form least squares: with five points, OpenCV's RANSAC
    is the worst choice.

    Args:
        image: (height, width, 3) uint8 RGB.
        points: (68, 2) landmarks or (5, 2) keypoints of the face in pixels.
        size: Side of the aligned face in pixels.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    points = five_points(points)
    scale = np.hypot(*_similarity(points, size)[:, 0])
    if scale < 1:
        # A warp does not average pixels, so a big face is shrunk before it.
        height, width = image.shape[:2]
        small = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        points = (points + 0.5) * (np.array(small) / (width, height)) - 0.5
    return cv2.warpAffine(
        image,
        _similarity(points, size),
        (size, size),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )


def five_points(points: np.ndarray) -> np.ndarray:
    """Returns (5, 2) float64: eyes, nose tip, corners of the mouth of 68 landmarks (or of 5)."""
    points = np.asarray(points, float)
    if len(points) == 5:
        return points
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return np.stack([*eyes, points[30], points[48], points[54]])


def template(size: int = ALIGNED_SIZE) -> np.ndarray:
    """Returns (5, 2): where eyes, nose tip and corners of the mouth are in an aligned face."""
    return _TEMPLATE * size - 0.5


def _similarity(points: np.ndarray, size: int) -> np.ndarray:
    """Returns the (2, 3) similarity transform from five points to the template."""
    weights = _TEMPLATE_WEIGHTS / _TEMPLATE_WEIGHTS.sum()
    here, there = (values[:, 0] + 1j * values[:, 1] for values in (points, template(size)))
    here_mean, there_mean = weights @ here, weights @ there
    here_off, there_off = here - here_mean, there - there_mean
    factor = np.vdot(here_off, weights * there_off) / np.vdot(here_off, weights * here_off)
    shift = there_mean - factor * here_mean
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def frontality(points: np.ndarray) -> float:
    """Says how straight ahead a face looks, from the symmetry of its landmarks.

    When a head turns, the nose comes nearer to one side of the face's outline, to one eye and to
    one corner of the mouth. Tilting the head to a shoulder changes nothing.

    Args:
        points: (68, 2) landmarks in pixels.

    Returns:
        1 for a symmetric face, 0 where one side is three times as wide as the other or more.
    """
    points = np.asarray(points, float)
    eyes = five_points(points)[:2]
    across = (eyes[1] - eyes[0]) / np.hypot(*(eyes[1] - eyes[0]))
    place = (points - points[30]) @ across
    pairs = ((1, 15), (2, 14), (3, 13), (36, 45), (39, 42))
    left = sum(abs(place[one]) for one, _ in pairs)
    right = sum(abs(place[other]) for _, other in pairs)
    return float(max(0.0, 1 - 2 * abs(left - right) / (left + right)))


def face_of(image: np.ndarray, detection: Detection, faces_in_frame: int = 1) -> Face:
    """Makes everything of a detected face: landmarks, crop, aligned face and feature.

    Args:
        image: (height, width, 3) uint8 RGB.
        detection: The face.
        faces_in_frame: How many faces there were to choose from.
    """
    points = face_features.landmarks(image, detection.box)
    return Face(
        box=detection.box,
        keypoints=detection.keypoints,
        confidence=detection.confidence,
        landmarks=points,
        frontality=frontality(points),
        crop=crop(image, detection.box),
        aligned=align(image, points),
        feature=face_features.describe(image, detection.box, points),
        faces_in_frame=faces_in_frame,
    )


def faces_in(
    images: Sequence[np.ndarray],
    face_xy: tuple[float, float] | None = None,
    run: Callable[..., Iterable] = map,
) -> list[Face | None]:
    """Finds the main face of each image and makes everything of it.

    Args:
        images: (height, width, 3) uint8 RGB each.
        face_xy: As in `choose_speaker`, the same for all images.
        run: How to describe the faces: `map`, or `session.parallel_map` for all cores.

    Returns:
        For each image its face, or None where there is none.
    """
    found = detector()(images)
    tasks: list[tuple[np.ndarray, Detection, int]] = []
    for image, faces in zip(images, found, strict=True):
        speaker = choose_speaker(faces, face_xy, image.shape)
        if speaker is not None:
            tasks.append((image, speaker, len(faces)))
    described = iter(run(_face_of_task, tasks))
    return [next(described) if faces else None for faces in found]


def _face_of_task(task: tuple[np.ndarray, Detection, int]) -> Face:
    return face_of(*task)


def to_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Encodes (height, width, 3) uint8 RGB as JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)[1].tobytes()


def from_jpeg(data: bytes) -> np.ndarray:
    """Decodes a JPEG to (height, width, 3) uint8 RGB."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def faces_of_clip(row: dict, frames_per_clip: int = 2) -> list[dict]:
    """Makes the rows of the table `faces` of one clip.

    Args:
        row: A row of the table `clips`.
        frames_per_clip: How many frames to look at, evenly spread; the first is not among them.

    Returns:
        One row for each frame that shows the speaker, or a single row whose status and reason
        say why there is none: those of the clip where it is not `ok`, `rejected` where no frame
        shows a face, `failed` where something unexpected happened.
    """
    return faces_of_clips([row], frames_per_clip)[0]


def faces_of_clips(
    rows: Sequence[dict], frames_per_clip: int = 2, run: Callable[..., Iterable] = map
) -> list[list[dict]]:
    """Does what `faces_of_clip` does for many clips at once, which is faster.

    Args:
        rows: Rows of the table `clips`.
        frames_per_clip: As in `faces_of_clip`.
        run: How to decode and to describe: `map`, or `session.parallel_map` for all cores.

    Returns:
        For each clip its rows of the table `faces`.
    """
    clips = list(run(_frames_of_clip, [(row, frames_per_clip) for row in rows]))
    found = iter(detector()([frame for frames, _ in clips for _, frame in frames]))
    spoken: list[list[float]] = []
    tasks: list[tuple[np.ndarray, Detection, int]] = []
    for row, (frames, _) in zip(rows, clips, strict=True):
        faces = [next(found) for _ in frames]
        speaker = follow(faces, frames[0][1].shape, _face_xy(row)) if frames else []
        there = [index for index, face in enumerate(speaker) if face is not None]
        spoken.append([frames[index][0] for index in there])
        tasks += [(frames[index][1], speaker[index], len(faces[index])) for index in there]
    described = iter(run(_face_or_refusal, tasks))
    made = []
    for row, (frames, refusal), times in zip(rows, clips, spoken, strict=True):
        faces = [(time_s, next(described)) for time_s in times]
        new = [_face_row(row, time_s, face) for time_s, face in faces if isinstance(face, Face)]
        if not new:
            refusal = refusal or (faces[0][1] if faces else _no_face(len(frames)))
            new = [_row_without_face(row, refusal)]
        made.append(new)
    return made


def _frames_of_clip(task: tuple[dict, int]) -> tuple[list[tuple[float, np.ndarray]], _Refusal]:
    """Returns times and frames of a clip and, where there are none, status and reason."""
    row, count = task
    if row["status"] != "ok":
        return [], (row["status"], row["reason"])
    try:
        times = [row["duration_s"] * (index + 1) / (count + 1) for index in range(count)]
        frames = dict(media.read_frames(row["video"], times))
    except media.MediaError as error:
        return [], ("rejected", error.reason)
    except Exception as error:  # One odd clip must not stop the others.
        return [], _unexpected(error)
    return sorted(frames.items()), () if frames else ("rejected", "The clip has no frames.")


def _face_or_refusal(task: tuple[np.ndarray, Detection, int]) -> Face | _Refusal:
    try:
        return _face_of_task(task)
    except Exception as error:  # One odd face must not stop the others.
        return _unexpected(error)


def _unexpected(error: Exception) -> _Refusal:
    return "failed", f"Unexpected {type(error).__name__}: {error}"


def _no_face(frames: int) -> _Refusal:
    return "rejected", f"No face was found in {frames} frame{'s' if frames > 1 else ''}."


def _face_xy(row: dict) -> tuple[float, float] | None:
    x, y = row.get("face_x"), row.get("face_y")
    return None if x is None or y is None or np.isnan([x, y]).any() else (x, y)


def _face_row(row: dict, time_s: float, face: Face) -> dict:
    return {
        **{name: row[name] for name in ("clip_id", "speaker_id", "split")},
        "time_s": time_s,
        "status": "ok",
        "reason": "",
        "faces_in_frame": face.faces_in_frame,
        "box": list(face.box),
        "keypoints": face.keypoints.ravel().tolist(),
        "landmarks": face.landmarks.ravel().tolist(),
        "confidence": face.confidence,
        "frontality": face.frontality,
        "crop": to_jpeg(face.crop),
        "aligned": to_jpeg(face.aligned),
        "feature": face.feature.tolist(),
    }


def _row_without_face(row: dict, refusal: _Refusal) -> dict:
    known = {name: row[name] for name in ("clip_id", "speaker_id", "split")}
    missing = dict.fromkeys(SCHEMA.names[SCHEMA.get_field_index("faces_in_frame") :])
    status, reason = refusal
    return {**known, "time_s": None, "status": status, "reason": reason, **missing}


def build_faces(session: Session) -> Report:
    """Makes the table `faces` from the table `clips`: what notebook 02 does.

    Args:
        session: The session; its settings say how many frames of each clip to look at.

    Returns:
        How many shards were made and kept.

    Raises:
        helpers.tables.MissingTable: Notebook 01 has not been run.
    """
    from helpers.session import parallel_map

    clips = session.workspace.require("clips")
    keys = clips.read(columns=["clip_id"])["clip_id"].to_pylist()
    # Shards are made in the order of the keys, so one walk through the clips serves them all.
    rows = clips.rows(_CLIP_COLUMNS)

    def make(some: list[str]) -> list[dict]:
        wanted = set(some)
        here = itertools.islice((row for row in rows if row["clip_id"] in wanted), len(some))
        made = faces_of_clips(list(here), session.settings.frames_per_clip, parallel_map)
        return [row for rows_of_clip in made for row in rows_of_clip]

    return session.workspace.table("faces").build(keys, make, SCHEMA)
