"""The other detector: dlib's, which looks for the gradients of a frontal face.

Histograms of oriented gradients (Dalal and Triggs 2005) and a linear classifier find upright faces
that look at the camera. That was the detector of earlier tools. It needs no network and no
TensorFlow, and misses faces that turn away or are small; `helpers.faces.face_detection` has the
better one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from helpers import face_features
from helpers.faces.face_detection import Detection
from helpers.settings import CLIP_LINES

_DOUBLED = 1
"""Pictures are looked at in double size: dlib finds no face with a side below 80 pixels."""
_POINTS = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))
"""Of the 68 landmarks: left eye, right eye, nose, left and right corner of the mouth."""


def detect(images: Sequence[np.ndarray]) -> list[list[Detection]]:
    """Finds the faces in images, as `face_detection.Detector` does.

    Args:
        images: (height, width, 3) uint8 RGB each; sizes may differ. They are shrunk to about 360
            lines first, and faces below a ninth of that are not found.

    Returns:
        For each image its faces, the most certain first. The confidence is the logistic function
        of dlib's score, 0.5 to 1.
    """
    return [_faces(image) for image in images]


@functools.cache
def _detector():
    import dlib

    return dlib.get_frontal_face_detector()


def _faces(image: np.ndarray) -> list[Detection]:
    scale = min(1.0, CLIP_LINES / min(image.shape[:2]))
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    small = np.ascontiguousarray(small)
    found, scores, _ = _detector().run(small, _DOUBLED)
    return [_detection(small, box, score, scale) for box, score in zip(found, scores, strict=True)]


def _detection(image: np.ndarray, square, score: float, scale: float) -> Detection:
    """Gives dlib's square the form of MTCNN's boxes, which `face_features.landmarks` expects."""
    side = square.width()
    height = side / 0.79
    box = (square.left(), square.top() + side / 2 - 0.583 * height, side, height)
    points = face_features.landmarks(image, box)
    keypoints = np.stack([points[part].mean(axis=0) for part in _POINTS]) / scale
    return Detection(
        tuple(round(value / scale) for value in box),
        keypoints.astype(np.float32),
        1 / (1 + math.exp(-score)),
    )
