"""A finished head seen from the front, its depth, and the warp that turns it."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from helpers.archipelago.beard import paint_beard
from helpers.archipelago.canvas import LEFT, SPAN, TOP, board
from helpers.archipelago.face_parts import (
    ears,
    open_mouth,
    paint_brows,
    paint_eyes,
    paint_glasses,
)
from helpers.archipelago.face_surface import Surface, face, radius_on
from helpers.archipelago.hair import paint_hair
from helpers.archipelago.islanders import Islander
from helpers.archipelago.staging import Light, Pose
from helpers.archipelago.traits import Traits

PIVOT = np.array([0.0, 0.85, -0.35], np.float32)
"""Where the head turns on the neck, head coordinates."""
SOFTNESS = 1.0
"""Sigma of the lens's blur in pixels, before the picture is reduced."""
FACE_WINDOW = (-0.86, -1.10, 0.86, 1.18)
"""Left, top, right and bottom of face and ears, head coordinates."""
MOUTH_WINDOW = (-0.56, 0.34, 0.56, 1.30)
"""What an opening mouth moves."""
EYE_WINDOW = (-0.56, -0.21, 0.56, 0.21)
"""What blinking moves."""


def to_screen(linear: np.ndarray) -> np.ndarray:
    """Returns linear light as picture values 0..255, with a soft shoulder; float32."""
    bent = linear * (1 + 0.12 * linear) / (1 + 0.30 * linear * linear)
    return 255 * cv2.sqrt(np.clip(bent, 0, 1).astype(np.float32))


@dataclasses.dataclass
class Head:
    """A head from the front on a transparent ground.

    Attributes:
        picture: uint8 (size, size, 4), RGB as on the screen times cover, and cover.
        linear: float32 (size, size, 4), the same before the screen's curve.
        mouth_light: float32 (3,), light at the mouth.
        surface: The lit face, its eyes painted.
        bare: float32 (height, width, 3), the face's colour before its eyes were painted.
        gain: float32 (height, width, 3), how much of the face's colour shows in `linear`.
        direction: Unit vector to the key light in head coordinates.
    """

    picture: np.ndarray
    linear: np.ndarray
    mouth_light: np.ndarray
    surface: Surface
    bare: np.ndarray
    gain: np.ndarray
    direction: np.ndarray


def finish(linear: np.ndarray) -> np.ndarray:
    """Returns premultiplied uint8 RGBA from unpremultiplied linear RGB and cover.

    A lens's slight softness is added: without it, fine strands alias when a detector shrinks
    the picture.
    """
    cover = linear[..., 3:]
    picture = np.concatenate([to_screen(linear[..., :3]) * cover, 255 * cover], -1)
    return cv2.GaussianBlur(picture.astype(np.uint8), (0, 0), SOFTNESS)


def build_head(
    person: Islander, look: Traits, light: Light, size: int, pose: Pose, follow: bool
) -> Head:
    """Paints the head from the front.

    Args:
        person: Whose head.
        look: Measures of the head.
        light: The light of the scene.
        size: Width and height in pixels.
        pose: Light falls as for this pose; blink is painted, mouth is left closed.
        follow: The eyes look at the camera.
    """
    direction = pose.rotation().T @ np.array(light.direction, np.float32)
    whole = board(size)
    window = board(size, *FACE_WINDOW)
    surface = face(window, look, person, light, direction)
    gaze = (0.0, 0.0)
    if follow:
        gaze = (
            -0.045 * np.sin(np.radians(pose.yaw)) * 1.3,
            0.045 * np.sin(np.radians(pose.pitch)) * 1.2,
        )
    paint_beard(window, look, person, surface.colour, surface.light, surface.radius)
    paint_brows(window, look, person, surface)
    bare = surface.colour.copy()
    paint_eyes(window, look, person, surface, direction, pose.blink, gaze)
    hair, hair_cover = paint_hair(whole, look, person, light, direction)
    lit = np.array(light.key) * 0.5 + np.array(light.fill) * 0.8 + np.array(light.sky) * 0.4
    ear, ear_cover = ears(
        window, look, look.skin * lit.astype(np.float32) * light.exposure, direction
    )
    shadow = hair_cover[window.window]
    offset = np.float32(
        [
            [1, 0, -direction[0] * 0.07 * window.scale],
            [0, 1, -direction[1] * 0.10 * window.scale + 0.02 * window.scale],
        ]
    )
    moved = cv2.warpAffine(shadow, offset, shadow.shape[::-1])
    shadow = window.blur(np.maximum(moved, shadow), 0.030)
    cover = np.maximum(surface.cover, ear_cover)
    share = np.where(ear_cover > 0.01, surface.cover, 1.0)[..., None].astype(np.float32)
    dim = (1 - 0.55 * shadow)[..., None] * (1 - shadow[..., None] * np.float32([0, 0.03, 0.05]))
    gain = share * dim
    picture = surface.colour * gain + ear * ((1 - share) * dim)
    if person.glasses:
        gain *= paint_glasses(window, look, person, picture, surface.cover)[..., None]
    linear = np.zeros((size, size, 4), np.float32)
    linear[window.window] = np.dstack([picture, cover])
    amount = hair_cover[..., None]
    total = np.maximum(linear[..., 3:], amount)
    weight = amount / np.maximum(amount + linear[..., 3:] * (1 - amount), 1e-3)
    linear[..., :3] = linear[..., :3] * (1 - weight) + hair * weight
    linear[..., 3:] = total
    spot = surface.light[np.abs(window.ys - look.mouth_y) < 0.05].mean((0, 1))
    gain *= 1 - weight[window.window]
    spot = spot.astype(np.float32)
    return Head(finish(linear), linear, spot, surface, bare, gain, direction)


def with_blink(head: Head, person: Islander, look: Traits, size: int, blink: float) -> np.ndarray:
    """Returns the head's eye window with the lids moved, uint8 RGBA premultiplied."""
    window, eyes = board(size, *FACE_WINDOW), board(size, *EYE_WINDOW)
    moved = dataclasses.replace(head.surface, colour=head.bare.copy())
    paint_eyes(window, look, person, moved, head.direction, blink, (0.0, 0.0))
    change = (moved.colour - head.surface.colour) * head.gain
    rows = slice(eyes.rows.start - window.rows.start, eyes.rows.stop - window.rows.start)
    columns = slice(
        eyes.columns.start - window.columns.start, eyes.columns.stop - window.columns.start
    )
    linear = head.linear[eyes.window].copy()
    linear[..., :3] += change[rows, columns]
    return finish(linear)


def with_mouth(head: Head, look: Traits, size: int, opening: float) -> np.ndarray:
    """Returns the head's mouth window with the mouth opened, uint8 RGBA premultiplied."""
    window = board(size, *MOUTH_WINDOW)
    if opening <= 0:
        return head.picture[window.window].copy()
    opened = open_mouth(window, look, head.linear[window.window], head.mouth_light, opening)
    return finish(opened)


def depth(look: Traits, size: int) -> np.ndarray:
    """Returns a smooth depth of the head for turning it, float32 (size, size)."""
    grid = board(size)
    radius = np.minimum(radius_on(grid, look), 1.7)
    z = 0.62 * (1 - radius**2)
    z = np.where(radius > 1, -1.0 * (radius - 1), z)
    z = np.maximum(z, -0.35)
    z = z + 0.13 * grid.bump(0, look.nose_y - 0.05, 0.13, 0.15)
    z = z + 0.05 * grid.bump(0, look.chin - 0.12, 0.2, 0.12) - 0.03 * grid.pair(0.28, 0, 0.15, 0.1)
    return cv2.GaussianBlur(z.astype(np.float32), (0, 0), 0.045 * grid.scale)


def turn(look: Traits, z: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each point of the turned head comes from.

    Args:
        look: Measures of the head.
        z: Depth of the head on any grid, float32 (n, n).
        pose: Yaw, pitch, roll and smile are used.

    Returns:
        x and y in head coordinates, float32 (n, n) each.
    """
    n = z.shape[0]
    grid = board(n)
    rotation = pose.rotation()
    flat = rotation[:2, :2]
    inverse = np.linalg.inv(flat)
    lean = inverse @ rotation[:2, 2]
    u, v = grid.x - PIVOT[0], grid.y - PIVOT[1]
    base_x = inverse[0, 0] * u + inverse[0, 1] * v + PIVOT[0]
    base_y = inverse[1, 0] * u + inverse[1, 1] * v + PIVOT[1]
    x, y = base_x, base_y
    for _ in range(4):
        here = (
            cv2.remap(
                z,
                (x - LEFT) * grid.scale - 0.5,
                (y - TOP) * grid.scale - 0.5,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            - PIVOT[2]
        )
        x, y = base_x - lean[0] * here, base_y - lean[1] * here
    if pose.smile:
        s = 0.045 * pose.smile
        for side in (-1, 1):
            pull = np.exp(
                -(((x - side * look.mouth_width) / 0.13) ** 2)
                - (((y - look.mouth_y + 0.02) / 0.13) ** 2)
            )
            x = x - side * 0.8 * s * pull
            y = y + s * pull
    return x, y


def maps(
    look: Traits, z: np.ndarray, pose: Pose, source: int, target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns cv2.remap's maps from a source of that size to a target of that size."""
    x, y = turn(look, z, pose)
    scale = source / SPAN
    both = np.dstack([(x - LEFT) * scale - 0.5, (y - TOP) * scale - 0.5])
    both = cv2.resize(both, (target, target), interpolation=cv2.INTER_LINEAR)
    return both[..., 0], both[..., 1]


def project(look: Traits, pose: Pose, point: tuple[float, float, float]) -> tuple[float, float]:
    """Returns where a point of the head is in the picture, 0..1 each."""
    turned = pose.rotation() @ (np.array(point, np.float32) - PIVOT) + PIVOT
    return float((turned[0] - LEFT) / SPAN), float((turned[1] - TOP) / SPAN)
