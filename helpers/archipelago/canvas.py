"""The drawing board of portraits: head coordinates on a pixel grid, soft edges, noise, strands."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np

LEFT, TOP, SPAN = -1.45, -1.38, 2.90
"""Head coordinates of the board's left and upper edge, and the width of the board."""


class Board:
    """A square pixel grid, or a window of it, in head coordinates.

    Attributes:
        scale: Pixels in a head unit.
        x, y: float32 (height, width), coordinates of the pixels.
        pixel: Width of a pixel in head units.
    """

    def __init__(
        self,
        size: int,
        left: float = LEFT,
        top: float = TOP,
        right: float = LEFT + SPAN,
        bottom: float = TOP + SPAN,
    ):
        self.size = size
        self.scale = size / SPAN
        self.pixel = 1 / self.scale
        self.columns = slice(
            max(0, round((left - LEFT) * self.scale)),
            min(size, round((right - LEFT) * self.scale)),
        )
        self.rows = slice(
            max(0, round((top - TOP) * self.scale)),
            min(size, round((bottom - TOP) * self.scale)),
        )
        self.xs = (LEFT + (np.arange(size)[self.columns] + 0.5) * self.pixel).astype(np.float32)
        self.ys = (TOP + (np.arange(size)[self.rows] + 0.5) * self.pixel).astype(np.float32)
        self.x, self.y = np.meshgrid(self.xs, self.ys)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of this window in the whole board."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.x.shape

    def bump(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """Returns a smooth bump of height 1, float32 (height, width)."""
        across = np.exp(-(((self.xs - x) / width) ** 2))
        down = np.exp(-(((self.ys - y) / height) ** 2))
        return down[:, None] * across[None]

    def pair(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """Returns two bumps, mirrored at x = 0."""
        across = np.exp(-(((self.xs - x) / width) ** 2)) + np.exp(-(((self.xs + x) / width) ** 2))
        down = np.exp(-(((self.ys - y) / height) ** 2))
        return down[:, None] * across[None]

    def edge(self, distance: np.ndarray, softness: float = 1.0) -> np.ndarray:
        """Returns 0 to 1 across an edge: 1 where the distance (head units) is positive."""
        return np.clip(distance * (self.scale / softness) + 0.5, 0, 1)

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """Blurs by a sigma in head units; wide blurs are made on a smaller grid."""
        pixels = sigma * self.scale
        if pixels < 0.3:
            return image
        if pixels > 6:
            height, width = image.shape[:2]
            small = cv2.resize(
                image, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA
            )
            small = cv2.GaussianBlur(small, (0, 0), pixels / 4, borderType=cv2.BORDER_REPLICATE)
            return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.GaussianBlur(image, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE)

    def strokes(
        self, lines: Sequence[np.ndarray], values: Sequence[float], thickness: float
    ) -> np.ndarray:
        """Draws soft lines, float32 (height, width) 0..1.

        Args:
            lines: Each (points, 2) in head coordinates.
            values: Strength of each line, 0..1.
            thickness: In head units.
        """
        image = np.zeros(self.shape, np.uint8)
        pixels = max(1, round(thickness * self.scale))
        for line, value in zip(lines, values, strict=True):
            cv2.polylines(
                image, [self.fixed(line)], False, int(255 * min(1.0, value)), pixels, cv2.LINE_AA, 4
            )
        return image.astype(np.float32) / 255

    def fixed(self, points: np.ndarray) -> np.ndarray:
        """Returns points as int32 fixed-point pixels (4 fractional bits)."""
        origin = np.array([self.xs[0], self.ys[0]], np.float32)
        return np.round((points - origin) * (self.scale * 16)).astype(np.int32)


@functools.lru_cache(maxsize=16)
def board(
    size: int,
    left: float = LEFT,
    top: float = TOP,
    right: float = LEFT + SPAN,
    bottom: float = TOP + SPAN,
) -> Board:
    """Returns a board that is kept for the next picture of that size."""
    return Board(size, left, top, right, bottom)


@functools.lru_cache(maxsize=4)
def noise(octave: int) -> np.ndarray:
    """Returns a fixed 1024 x 1024 noise of unit deviation; the octave halves its fineness."""
    random = np.random.Generator(np.random.PCG64(20_260 + octave))
    field = random.standard_normal((1024, 1024), np.float32)
    if octave:
        field = cv2.GaussianBlur(field, (0, 0), 0.7 * 2**octave, borderType=cv2.BORDER_REFLECT)
    return field / field.std()


def noise_at(octave: int, random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Returns a random window of the fixed noise, float32 (height, width)."""
    row, column = random.integers(0, 1024 - np.array(shape))
    return noise(octave)[row : row + shape[0], column : column + shape[1]]


def smoothstep(value: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """Returns 0 below low, 1 above high and a smooth step between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bezier(control: np.ndarray, points: int) -> np.ndarray:
    """Returns Bezier curves, (curves, points, 2), through control points (curves, n, 2)."""
    n = control.shape[1] - 1
    t = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    k = np.arange(n + 1)
    binomial = np.cumprod(np.concatenate([[1.0], (n - np.arange(n)) / (np.arange(n) + 1)]))
    basis = binomial * t**k * (1 - t) ** (n - k)
    return np.einsum("pk,ckd->cpd", basis.astype(np.float32), control.astype(np.float32))
