"""A clip becomes faces: detect, choose the speaker, crop, align, describe.

Each face of the speaker is cropped as VGGFace2 does it, turned and scaled into one canonical
position (`face_alignment`), and described by dlib or by a network of the VGG-Face family.

Finding faces needs TensorFlow and stays in this process, and so does a VGG-Face network, which
describes many faces at once. Decoding clips, landmarks and dlib do not need it; they go to workers,
one per core.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa

from helpers import face_features, media
from helpers.faces.face_alignment import align, five_points, frontality, template
from helpers.faces.face_detection import Detection, choose_speaker, detector, follow
from helpers.settings import CROP_MARGIN, CROP_SIZE, Settings

if TYPE_CHECKING:
    from helpers.faces.vgg_face import FaceDescriber
    from helpers.session import Session
    from helpers.tables import Report

__all__ = ["SCHEMA", "Face", "align", "build_faces", "crop", "face_of", "faces_in"]
__all__ += ["faces_of_clips", "five_points", "from_jpeg", "frontality", "template", "to_jpeg"]

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
_Task = tuple[np.ndarray, Detection, int]
"""A picture, a face in it, and how many faces there were to choose from."""


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
        feature: float32, as long as `FEATURE_SIZES` says of the network that made it.
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


def face_of(
    image: np.ndarray,
    detection: Detection,
    faces_in_frame: int = 1,
    network: FaceDescriber | None = None,
) -> Face:
    """Makes everything of a detected face: landmarks, crop, aligned face and feature.

    Args:
        image: (height, width, 3) uint8 RGB.
        detection: The face.
        faces_in_frame: How many faces there were to choose from.
        network: What turns its crop into a feature (`face_features.describer`); None takes dlib.
    """
    task = (image, detection, faces_in_frame)
    face = _undescribed(task)
    return _by_dlib(task, face) if network is None else _by(network, [face])[0]


def faces_in(
    images: Sequence[np.ndarray], network: FaceDescriber | None = None
) -> list[Face | None]:
    """Finds the main face of each image and makes everything of it.

    Args:
        images: (height, width, 3) uint8 RGB each.
        network: As in `face_of`.

    Returns:
        For each image its face, or None where there is none.
    """
    found = detector()(images)
    tasks: list[_Task] = []
    for image, faces in zip(images, found, strict=True):
        speaker = choose_speaker(faces, None, image.shape)
        if speaker is not None:
            tasks.append((image, speaker, len(faces)))
    made = list(map(_undescribed, tasks))
    described = iter(map(_by_dlib, tasks, made) if network is None else _by(network, made))
    return [next(described) if faces else None for faces in found]


def _undescribed(task: _Task) -> Face:
    """Makes everything of a face but its feature."""
    image, detection, faces_in_frame = task
    points = face_features.landmarks(image, detection.box)
    return Face(
        box=detection.box,
        keypoints=detection.keypoints,
        confidence=detection.confidence,
        landmarks=points,
        frontality=frontality(points),
        crop=crop(image, detection.box),
        aligned=align(image, points),
        feature=np.empty(0, np.float32),
        faces_in_frame=faces_in_frame,
    )


def _by_dlib(task: _Task, face: Face | _Refusal) -> Face | _Refusal:
    """Gives a face the feature that dlib's network sees; a refusal stays one."""
    if not isinstance(face, Face):
        return face
    feature = face_features.describe(task[0], face.box, face.landmarks)
    return dataclasses.replace(face, feature=feature)


def _by(network: FaceDescriber, faces: list[Face | _Refusal]) -> list[Face | _Refusal]:
    """Gives faces the features that a network sees in their crops; refusals stay."""
    features = iter(network([face.crop for face in faces if isinstance(face, Face)]))
    return [
        dataclasses.replace(face, feature=next(features)) if isinstance(face, Face) else face
        for face in faces
    ]


def to_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Encodes (height, width, 3) uint8 RGB as JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)[1].tobytes()


def from_jpeg(data: bytes) -> np.ndarray:
    """Decodes a JPEG to (height, width, 3) uint8 RGB."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def faces_of_clips(
    rows: Sequence[dict],
    frames_per_clip: int = 2,
    run: Callable[..., Iterable] = map,
    network: FaceDescriber | None = None,
    kind: str = "mtcnn",
) -> list[list[dict]]:
    """Makes the rows of the table `faces`; many clips at once are faster than one by one.

    Args:
        rows: Rows of the table `clips`.
        frames_per_clip: How many frames to look at, evenly spread; the first is not among them.
        run: How to decode and to cut out: `map`, or `session.parallel_map` for all cores. What
            runs networks, to detect and to describe, stays in this process.
        network: As in `face_of`.
        kind: Detector: `mtcnn` or `hog`.

    Returns:
        For each clip one row for each frame that shows the speaker, or a single row whose status
        and reason say why there is none: those of the clip where it is not `ok`, `rejected` where
        no frame shows a face, `failed` where something unexpected happened.
    """
    clips = list(run(_frames_of_clip, [(row, frames_per_clip) for row in rows]))
    found = iter(detector(kind)([frame for frames, _ in clips for _, frame in frames]))
    spoken: list[list[float]] = []
    tasks: list[_Task] = []
    for row, (frames, _) in zip(rows, clips, strict=True):
        faces = [next(found) for _ in frames]
        speaker = follow(faces, frames[0][1].shape, _face_xy(row)) if frames else []
        there = [index for index, face in enumerate(speaker) if face is not None]
        spoken.append([frames[index][0] for index in there])
        tasks += [(frames[index][1], speaker[index], len(faces[index])) for index in there]
    cut_out = list(run(_face_or_refusal, tasks))
    by_dlib = map(_by_dlib_or_refusal, tasks, cut_out)
    described = iter(by_dlib if network is None else _by(network, cut_out))
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


def _face_or_refusal(task: _Task) -> Face | _Refusal:
    try:
        return _undescribed(task)
    except Exception as error:  # One odd face must not stop the others.
        return _unexpected(error)


def _by_dlib_or_refusal(task: _Task, face: Face | _Refusal) -> Face | _Refusal:
    try:
        return _by_dlib(task, face)
    except Exception as error:
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
        session: The session; its settings say how many frames of each clip to look at, and which
            network describes the faces.

    Returns:
        How many shards were made and kept.

    Raises:
        helpers.tables.MissingTable: Notebook 01 has not been run.
        MissingModel: The network's weights are not there and could not be fetched.
        BadWeights: They are not the right ones.
    """
    workspace = session.workspace
    face_features.describer_of(workspace)  # Better refused now than by a worker.
    clips = workspace.require("clips")
    report = workspace.table("faces").build_from(clips, faces_of_shard, SCHEMA, _CLIP_COLUMNS)
    workspace.drop_clips()
    return report


def faces_of_shard(rows: Sequence[dict], settings: Settings) -> list[dict]:
    """Makes the rows of the table `faces` of a shard of clips, on all cores.

    Args:
        rows: Rows of the table `clips`.
        settings: They say how many frames of each clip to look at, and what finds and describes
            the faces.
    """
    from helpers.session import default_workspace, parallel_map
    from helpers.tables import Workspace

    workspace = Workspace(default_workspace(settings.workspace), settings)
    network = face_features.describer_of(workspace)
    made = faces_of_clips(rows, settings.frames_per_clip, parallel_map, network, settings.detector)
    return [row for rows_of_clip in made for row in rows_of_clip]
