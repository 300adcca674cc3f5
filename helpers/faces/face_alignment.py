"""Where a face looks and how it is brought into one canonical position: geometry of landmarks."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.settings import ALIGNED_SIZE

# The canonical face, in shares of its side: eyes, nose tip, mouth corners. With these the picture
# reaches from the chin to the hair. The eyes count most: they move least when people talk.
_EYE_DISTANCE, _EYE_HEIGHT = 0.28, 0.42
_TEMPLATE = np.array([0.5, _EYE_HEIGHT]) + _EYE_DISTANCE * np.array(
    [(-0.5, 0.0), (0.5, 0.0), (0.0, 0.48), (-0.40, 1.13), (0.40, 1.13)]
)
_TEMPLATE_WEIGHTS = np.array([1.0, 1.0, 0.25, 0.25, 0.25])
FACE_BOX = (0.185, 0.09, 0.61, 0.83)
"""Where MTCNN's box lies in an aligned face, as shares of its side: x, y, width, height. Alignment
puts every face in the same place, so that detecting it again would only cost time."""


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
