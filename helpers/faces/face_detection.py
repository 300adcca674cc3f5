"""Where the faces are in a frame, and which of them is the speaker.

MTCNN finds the faces (Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask
Cascaded Convolutional Networks"). Among them the speaker is chosen and followed through the clip.

TensorFlow is imported when a `Detector` is made, and only there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from helpers.settings import CLIP_LINES

BATCH_FRAMES = 8
"""Frames that the detector looks at together; more cost memory and save no time."""
MIN_CONFIDENCE = 0.8
"""Faces of which the detector is less sure are left out."""


@dataclasses.dataclass(frozen=True)
class Detection:
    """A face that the detector found.

    Attributes:
        box: x, y, width, height in pixels; it may reach beyond the image.
        keypoints: (5, 2) float32, x and y in pixels: left eye, right eye, nose, left and right
            corner of the mouth. Left is the left of the image.
        confidence: 0 to 1.
    """

    box: tuple[int, int, int, int]
    keypoints: np.ndarray
    confidence: float

    @property
    def centre(self) -> np.ndarray:
        """Middle of the box: x, y in pixels."""
        x, y, width, height = self.box
        return np.array([x + width / 2, y + height / 2])


class Detector:
    """MTCNN, with three faults of version 1.0.0 mended from outside.

    1. A batch without any proposal crashes in Keras 3: the later stages are called only when
       there is something to look at.
    2. A `min_face_size` of 30 or more finds nothing, because the image pyramid ignores it: the
       pyramid is replaced.
    3. Images of different sizes in one batch get each other's boxes: only images of one size go
       together.

    Each stage is compiled once for all sizes, which halves the time.
    """

    def __init__(self, device: str = "CPU:0"):
        """Loads the network.

        Args:
            device: TensorFlow's name of the device. The networks are so small that a GPU gains
                next to nothing.
        """
        import mtcnn.stages.stage_pnet as pnet_module
        import tensorflow as tf
        from mtcnn import MTCNN
        from mtcnn.stages import StageONet, StagePNet, StageRNet

        pnet_module.build_scale_pyramid = _scale_pyramid
        stages = [StagePNet, _guarded(StageRNet, 6), _guarded(StageONet, 16)]
        self._mtcnn = MTCNN(stages=stages, device=device)
        shapes = (None, None, None, 3), (None, 24, 24, 3), (None, 48, 48, 3)
        for stage, shape in zip(self._mtcnn.stages, shapes, strict=True):
            signature = [tf.TensorSpec(shape, tf.float32)]
            stage._model = tf.function(stage._model.__call__, input_signature=signature)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Finds the faces in images.

        Images are shrunk to about 360 lines first. Faces much smaller than a ninth of the shorter
        side are not looked for.

        Args:
            images: (height, width, 3) uint8 RGB each; sizes may differ.

        Returns:
            For each image its faces, the most certain first; an empty list where there is none.
        """
        found: list[list[Detection]] = [[] for _ in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            by_shape.setdefault(image.shape, []).append(index)
        for shape, indices in by_shape.items():
            for start in range(0, len(indices), BATCH_FRAMES):
                batch = indices[start : start + BATCH_FRAMES]
                faces = self._detect([images[index] for index in batch], shape)
                for index, detections in zip(batch, faces, strict=True):
                    found[index] = detections
        return found

    def _detect(self, images: list[np.ndarray], shape: tuple[int, ...]) -> list[list[Detection]]:
        height, width = shape[:2]
        scale = min(1.0, CLIP_LINES / min(height, width))
        if scale < 1:
            small = round(width * scale), round(height * scale)
            images = [cv2.resize(image, small, interpolation=cv2.INTER_AREA) for image in images]
        smallest = min(40, max(20, min(images[0].shape[:2]) // 9))
        found = self._look(images, smallest, scale)
        # Whether a face fits one of the pyramid's steps is a matter of luck: look a second time,
        # with other steps, where nothing was found.
        again = [index for index, faces in enumerate(found) if not faces]
        if again:
            second = self._look([images[index] for index in again], 3 * smallest // 4, scale)
            for index, faces in zip(again, second, strict=True):
                found[index] = faces
        return found

    def _look(self, images: list[np.ndarray], smallest: int, scale: float) -> list[list[Detection]]:
        rows = self._mtcnn.detect_faces(
            images, fit_to_image=False, min_face_size=smallest, output_type="numpy"
        )
        found: list[list[Detection]] = [[] for _ in images]
        for row in sorted(rows, key=lambda row: -row[5]):
            if row[5] >= MIN_CONFIDENCE:
                box = tuple(round(float(value) / scale) for value in row[1:5])
                keypoints = np.stack([row[6:11], row[11:16]], axis=1) / scale
                face = Detection(box, keypoints.astype(np.float32), float(row[5]))
                found[int(row[0])].append(face)
        return found


def _scale_pyramid(
    width: int, height: int, min_face_size: int, scale_factor: float, min_size: int = 12
) -> np.ndarray:
    """Scales at which the first network, which sees 12 x 12 pixels, looks at an image."""
    first, scales = min_size / min_face_size, []
    while min(width, height) * first * scale_factor ** len(scales) >= min_size:
        scales.append(first * scale_factor ** len(scales))
    return np.asarray(scales)


def _guarded(stage: type, columns: int) -> type:
    class Guarded(stage):
        def __call__(self, bboxes_batch=None, **values):
            if not len(bboxes_batch):
                return np.empty((0, columns))
            return super().__call__(bboxes_batch=bboxes_batch, **values)

    return Guarded


def detector(kind: str = "mtcnn") -> Callable[[Sequence[np.ndarray]], list[list[Detection]]]:
    """Returns the detector of this process; MTCNN is made on the first call (some 4 s).

    Args:
        kind: `mtcnn`, or `hog` for dlib's.
    """
    if kind == "mtcnn":
        return _mtcnn()
    from helpers.faces import hog_detection

    return hog_detection.detect


@functools.cache
def _mtcnn() -> Detector:
    return Detector()


def choose_speaker(
    faces: Sequence[Detection], face_xy: tuple[float, float] | None, shape: Sequence[int]
) -> Detection | None:
    """Chooses the speaker among the faces of a frame: the most suitable one.

    Args:
        faces: What the detector found.
        face_xy: As in `suitability`.
        shape: Shape of the frame: height, width.

    Returns:
        The speaker's face, or None if there is no face.
    """
    return max(faces, key=lambda face: suitability(face, face_xy, shape), default=None)


def suitability(
    face: Detection, face_xy: tuple[float, float] | None, shape: Sequence[int]
) -> float:
    """Says how likely a face is the speaker's: the highest number wins.

    Args:
        face: One of the faces of a frame.
        face_xy: Where the manifest says that the speaker is: x and y, 0..1 of width and height.
            The nearer the better; without it, the larger and the nearer to the middle.
        shape: Shape of the frame: height, width.
    """
    size = np.array([shape[1], shape[0]], float)
    place = np.array([0.5, 0.5] if face_xy is None else face_xy)
    distance = float(np.hypot(*(face.centre - place * size)) / np.hypot(*size))
    if face_xy is not None:
        return -distance
    return face.box[2] * face.box[3] * max(0.0, 1 - 2 * distance)


def follow(
    frames: Sequence[Sequence[Detection]],
    shape: Sequence[int],
    face_xy: tuple[float, float] | None = None,
) -> list[Detection | None]:
    """Follows the speaker through the frames of a clip.

    It starts where the speaker is easiest to tell, and goes from there to the end and to the
    beginning, each time to the face nearest to the one before. A face that is more than twice its
    own size away is somebody else.

    Args:
        frames: For each frame, in order of time, what the detector found.
        shape: Shape of the frames: height, width.
        face_xy: As in `choose_speaker`.

    Returns:
        For each frame the speaker's face, or None.
    """
    chosen = [choose_speaker(faces, face_xy, shape) for faces in frames]
    there = [index for index, face in enumerate(chosen) if face is not None]
    if not there:
        return chosen
    start = max(there, key=lambda index: suitability(chosen[index], face_xy, shape))
    for way in (range(start + 1, len(frames)), range(start - 1, -1, -1)):
        last = chosen[start]
        for index in way:
            chosen[index] = _nearest(frames[index], last)
            last = chosen[index] or last
    return chosen


def _nearest(faces: Sequence[Detection], last: Detection) -> Detection | None:
    def distance(face: Detection) -> float:
        return float(np.hypot(*(face.centre - last.centre)))

    near = [face for face in faces if distance(face) <= 2 * max(*last.box[2:], *face.box[2:])]
    return min(near, key=distance, default=None)
