"""Takes a face apart into shape and texture, and puts it together again (after Cole et al. 2017).

The shape is 68 landmarks. The texture is the face with its landmarks moved to the mean shape, so
that in all textures an eye is where the eyes are. `Warp` moves the landmarks of a texture to where
they should be. It is smooth in both, so a loss on the picture teaches both.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from helpers.faces.face_alignment import FACE_BOX
from helpers.settings import ALIGNED_SIZE

GRID = 33
"""Nodes along each side of the grid on which displacements are computed."""
_STEPS = 4
"""Steps that turn a displacement around; each leaves under a third of the error."""
_STIFFNESS = 1e-3
"""How much smoother than through every landmark the displacement is."""

MIRRORED = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, *range(54, 47, -1)),
        *(*range(59, 54, -1), *range(64, 59, -1), 67, 66, 65),
    ]
)
"""Which landmark each of the 68 becomes in a mirror."""

# fmt: off
MEAN_SHAPE = np.array([
    (25.6, 50.1), (25.9, 60.8), (27.4, 71.5), (29.4, 82.0), (32.9, 92.0), (38.3, 101.0),
    (45.5, 108.1), (54.1, 113.5), (63.5, 114.8), (72.9, 113.5), (81.5, 108.1), (88.7, 101.0),
    (94.1, 92.0), (97.6, 82.0), (99.6, 71.5), (101.1, 60.8), (101.4, 50.1), (31.5, 43.4),
    (36.5, 39.3), (43.5, 38.6), (50.5, 40.0), (56.9, 43.3), (70.1, 43.3), (76.5, 40.0),
    (83.5, 38.6), (90.5, 39.3), (95.5, 43.4), (63.5, 52.1), (63.5, 60.9), (63.5, 69.5),
    (63.5, 78.2), (56.0, 80.9), (59.5, 82.6), (63.5, 84.1), (67.5, 82.6), (71.0, 80.9),
    (39.4, 51.9), (43.7, 50.0), (49.1, 50.3), (53.8, 53.5), (48.6, 54.8), (43.3, 54.6),
    (73.2, 53.5), (77.9, 50.3), (83.3, 50.0), (87.6, 51.9), (83.7, 54.6), (78.4, 54.8),
    (50.0, 92.8), (54.9, 90.6), (59.5, 89.8), (63.5, 91.0), (67.5, 89.8), (72.1, 90.6),
    (77.0, 92.8), (72.3, 96.5), (67.8, 98.1), (63.5, 98.5), (59.2, 98.1), (54.7, 96.5),
    (52.3, 92.9), (59.4, 93.1), (63.5, 93.6), (67.6, 93.1), (74.7, 92.9), (67.6, 93.2),
    (63.5, 93.7), (59.4, 93.2),
], "float32")
# fmt: on
"""(68, 2): the shape of all textures, in pixels of the aligned face; symmetric. It is the mean of
islanders. It only says where things are in a texture, so it serves for other people as well."""


# --- landmarks -----------------------------------------------------------------------------------


def landmarks_of(images: Sequence[np.ndarray]) -> np.ndarray:
    """Finds the landmarks of aligned faces.

    Args:
        images: (128, 128, 3) uint8 RGB each.

    Returns:
        (n, 68, 2) float32: x, y in pixels, to half a pixel.
    """
    found = [(enlarged(image)[2] + 0.5) / 2 - 0.5 for image in images]
    return np.array(found, np.float32).reshape(-1, *MEAN_SHAPE.shape)


def enlarged(image: np.ndarray) -> tuple[np.ndarray, list[float], np.ndarray]:
    """Enlarges an aligned face, (128, 128, 3) uint8 RGB, to twice its side.

    dlib gives landmarks in whole pixels: in a larger picture they are finer.

    Returns:
        The picture, (256, 256, 3) uint8; the box of the face in it; its landmarks, (68, 2).
    """
    import cv2

    from helpers import face_features

    side = 2 * ALIGNED_SIZE
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    box = [side * share for share in FACE_BOX]
    return large, box, face_features.landmarks(large, box)


def mirror_landmarks(points: np.ndarray) -> np.ndarray:
    """Returns the landmarks, (..., 68, 2), of the mirrored faces."""
    mirrored = points[..., MIRRORED, :].copy()
    mirrored[..., 0] = ALIGNED_SIZE - 1 - mirrored[..., 0]
    return mirrored


# --- displacements -------------------------------------------------------------------------------


@functools.cache
def _nodes() -> np.ndarray:
    """Returns (GRID * GRID, 2): x, y of the nodes of the grid, in pixels."""
    steps = np.linspace(0, ALIGNED_SIZE - 1, GRID)
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


@functools.cache
def _from_landmarks() -> np.ndarray:
    """Returns (GRID * GRID, 68): from displacements of the mean shape to those of the nodes.

    A thin-plate spline through the landmarks and, held fast, the border of the picture. It is
    linear in the displacements, so all of it is one matrix.
    """
    along = np.linspace(0, ALIGNED_SIZE - 1, 5)
    border = [(x, y) for x in along for y in along if {x, y} & {along[0], along[-1]}]
    anchors = np.concatenate([MEAN_SHAPE, border]) / ALIGNED_SIZE
    count = len(anchors)
    affine = np.concatenate([np.ones((count, 1)), anchors], axis=1)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _bending(anchors, anchors) + _STIFFNESS * np.eye(count)
    system[:count, count:], system[count:, :count] = affine, affine.T
    nodes = _nodes() / ALIGNED_SIZE
    known = np.concatenate([_bending(nodes, anchors), np.ones((len(nodes), 1)), nodes], axis=1)
    return np.linalg.solve(system.T, known.T).T[:, : len(MEAN_SHAPE)].astype("float32")


def _bending(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    squared = np.square(here[:, None] - there[None]).sum(axis=-1)
    return squared * np.log(squared + 1e-12)


@functools.cache
def _to_pixels() -> np.ndarray:
    """Returns (128, GRID): from values at the nodes of a line to values at its pixels."""
    place = np.linspace(0, GRID - 1, ALIGNED_SIZE)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(GRID))).astype("float32")


def _pixels(field):
    """Refines (batch, GRID, GRID, 2) to (batch, 128, 128, 2)."""
    refine = ops.cast(_to_pixels(), field.dtype)
    return ops.einsum("yi,xj,bijc->byxc", refine, refine, field)


def _displacements(points):
    """Returns how the nodes move, (batch, GRID, GRID, 2), when the mean shape moves to `points`."""
    moved = ops.einsum(
        "ni,bic->bnc", ops.cast(_from_landmarks(), points.dtype), points - MEAN_SHAPE
    )
    return ops.reshape(moved, (-1, GRID, GRID, 2))


def sample(maps, places):
    """Reads maps between their pixels, linearly; beyond the border as at the border.

    Args:
        maps: (batch, height, width, channels).
        places: (batch, h, w, 2): x, y in pixels of the maps.

    Returns:
        (batch, h, w, channels), differentiable in maps and places.
    """
    height, width, channels = maps.shape[1:]
    h, w = places.shape[1:3]
    x = ops.clip(places[..., 0], 0, width - 1)
    y = ops.clip(places[..., 1], 0, height - 1)
    left, top = (
        ops.stop_gradient(ops.clip(ops.floor(value), 0, size - 2))
        for value, size in ((x, width), (y, height))
    )
    # The four neighbours lie side by side as channels, so that one look-up finds them all.
    four = [maps[:, :-1, :-1], maps[:, :-1, 1:], maps[:, 1:, :-1], maps[:, 1:, 1:]]
    four = ops.reshape(ops.concatenate(four, axis=-1), (-1, 4 * channels))
    first = ops.arange(ops.shape(maps)[0]) * ((height - 1) * (width - 1))
    index = ops.cast(top * (width - 1) + left, "int32") + first[:, None, None]
    found = ops.take(four, ops.reshape(index, (-1,)), axis=0)
    found = ops.reshape(found, (-1, h, w, 4, channels))
    right, low = (x - left)[..., None], (y - top)[..., None]
    upper = found[..., 0, :] * (1 - right) + found[..., 1, :] * right
    lower = found[..., 2, :] * (1 - right) + found[..., 3, :] * right
    return upper * (1 - low) + lower * low


def texture_of(images, points):
    """Moves the landmarks of faces to the mean shape.

    Args:
        images: (batch, 128, 128, 3), of any range.
        points: (batch, 68, 2): their landmarks, in pixels.

    Returns:
        (batch, 128, 128, 3).
    """
    return sample(images, _places() + _pixels(_displacements(points)))


def face_of(texture, points):
    """Moves the landmarks of textures from the mean shape to where they should be.

    For each pixel of the face one has to know which one of the texture comes there. The
    displacements say where each one of the texture goes, so they are turned around: a place to
    which b goes is b plus the displacement at b, and b is found by trying a few times.

    Args:
        texture: (batch, 128, 128, 3), of any range.
        points: (batch, 68, 2): wanted landmarks, in pixels.

    Returns:
        (batch, 128, 128, 3).
    """
    forward = _displacements(points)
    spacing = (ALIGNED_SIZE - 1) / (GRID - 1)
    nodes = _nodes().reshape(1, GRID, GRID, 2).astype("float32")
    backward = -forward
    for _ in range(_STEPS):
        backward = -sample(forward, (nodes + backward) / spacing)
    return sample(texture, _places() + _pixels(backward))


@functools.cache
def _places() -> np.ndarray:
    steps = np.arange(ALIGNED_SIZE, dtype="float32")
    return np.stack(np.meshgrid(steps, steps), axis=-1)[None]


@keras.saving.register_keras_serializable(package="speech2face")
class Warp(layers.Layer):
    """Moves the landmarks of a texture to where they should be.

    Takes a texture (batch, 128, 128, 3) and landmarks (batch, 68, 2) in pixels; returns the face,
    of the texture's shape. It has no weights, and computes in float32.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs):
        """Returns the face."""
        texture, points = inputs
        return face_of(texture, points)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the texture."""
        return input_shape[0]
