"""Light on a surface: normals, cast shadows, diffuse and glossy reflection."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago.canvas import Board, smoothstep
from helpers.archipelago.staging import Light


def normals(board: Board, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the unit normals' x, y and z parts, each float32 (height, width)."""
    scale = board.scale / 32
    dx = np.clip(cv2.Scharr(z, cv2.CV_32F, 1, 0, scale=scale), -3.2, 3.2)
    dy = np.clip(cv2.Scharr(z, cv2.CV_32F, 0, 1, scale=scale), -3.2, 3.2)
    nz = 1 / cv2.sqrt(1 + dx * dx + dy * dy)
    return -dx * nz, -dy * nz, nz


def cast_shadow(board: Board, z: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Returns 0 (lit) to 1 (in the soft shadow of the face itself), float32."""
    height, width = z.shape
    half = cv2.resize(z, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    worst = np.zeros_like(half)
    flat = max(0.3, float(np.hypot(direction[0], direction[1])))
    for reach in (0.03, 0.06, 0.10, 0.15, 0.21):
        move = direction[:2] / flat * reach * board.scale / 2
        shifted = cv2.warpAffine(
            half,
            np.float32([[1, 0, move[0]], [0, 1, move[1]]]),
            (width // 2, height // 2),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        worst = np.maximum(worst, (shifted - half) - reach * float(direction[2]) / flat)
    shade = cv2.GaussianBlur(smoothstep(worst, 0.0, 0.05), (0, 0), 0.018 * board.scale / 2)
    return cv2.resize(shade, (width, height), interpolation=cv2.INTER_LINEAR)


def illuminate(
    normal: tuple[np.ndarray, np.ndarray, np.ndarray],
    light: Light,
    direction: np.ndarray,
    shadow: np.ndarray | float,
    occlusion: np.ndarray | float,
) -> np.ndarray:
    """Returns the light on skin, float32 (height, width, 3); red light wraps further round."""
    nx, ny, nz = normal
    facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
    front = 0.35 + 0.65 * nz
    above = 0.5 - 0.5 * ny
    bounce = np.clip(ny, 0, 1) * occlusion
    out = np.empty((*facing.shape, 3), np.float32)
    for i, wrap in enumerate((0.34, 0.20, 0.14)):
        diffuse = np.clip((facing + wrap) / (1 + wrap), 0, 1)
        lit = 1 - shadow * (0.62, 0.78, 0.82)[i]
        out[..., i] = light.key[i] * diffuse * lit + (
            light.fill[i] * front
            + light.sky[i] * above
            + (0.30, 0.22, 0.19)[i] * light.key[i] * bounce
        ) * (occlusion ** (0.8, 1.0, 1.1)[i])
    return out * light.exposure


def gloss(
    normal: tuple[np.ndarray, np.ndarray, np.ndarray], direction: np.ndarray, power: float
) -> np.ndarray:
    """Returns the mirror-like light, 0..1, float32 (height, width)."""
    half = direction + np.array([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    facing = np.clip(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 1e-3, 1)
    return cv2.pow(facing, power)
