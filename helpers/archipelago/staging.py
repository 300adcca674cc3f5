"""How an islander is staged for a picture: the pose of the head and the light on it."""

from __future__ import annotations

import dataclasses

import numpy as np

from helpers.archipelago.islanders import generator


@dataclasses.dataclass(frozen=True)
class Pose:
    """Pose of the head and the state of mouth and eyes.

    Attributes:
        yaw: Degrees, positive when the face turns to the right edge of the picture.
        pitch: Degrees, positive when the face turns up.
        roll: Degrees, positive when the head tilts clockwise in the picture.
        mouth: 0 (closed) to 1 (wide open).
        blink: 0 (eyes open) to 1 (closed).
        smile: -1 to 1, from down-turned to a smile.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    mouth: float = 0.0
    blink: float = 0.0
    smile: float = 0.0

    def rotation(self) -> np.ndarray:
        """Returns the (3, 3) matrix that turns head coordinates (x right, y down, z near)."""
        yaw, pitch, roll = np.radians([self.yaw, self.pitch, self.roll])
        about_y = np.array(
            [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        )
        about_x = np.array(
            [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        )
        about_z = np.array(
            [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
        )
        return (about_z @ about_x @ about_y).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Light:
    """Light of a scene: a soft key light in a room that fills the shadows.

    Attributes:
        direction: Unit vector towards the key light (x right, y down, z towards the camera).
        key: Linear RGB strength of the key light.
        fill: Linear RGB strength of the room's light from the front.
        sky: Linear RGB strength of the room's light from above.
        exposure: Factor on everything.
        seed: Seed of the scene: room and clothes.
        plain: A plain studio backdrop instead of a room.
    """

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    fill: tuple[float, float, float]
    sky: tuple[float, float, float]
    exposure: float
    seed: int
    plain: bool = False


def towards(azimuth: float, elevation: float) -> tuple[float, float, float]:
    """Returns the unit vector to a light; degrees to the right of and above the camera."""
    a, e = np.radians([azimuth, elevation])
    return (
        float(np.sin(a) * np.cos(e)),
        float(-np.sin(e)),
        float(np.cos(a) * np.cos(e)),
    )


STUDIO = Light(
    direction=towards(-28, 34),
    key=(0.90, 0.88, 0.85),
    fill=(0.33, 0.33, 0.34),
    sky=(0.18, 0.18, 0.19),
    exposure=1.0,
    seed=0,
    plain=True,
)
"""The light of canonical portraits."""


def light(seed: int) -> Light:
    """Returns the light of a scene: always the same one for the same seed."""
    random = generator("light", seed)
    warmth = random.uniform(-1, 1)
    tint = np.array([1 + 0.09 * warmth, 1.0, 1 - 0.13 * warmth])
    room = np.array([1 - 0.04 * warmth, 1.0, 1 + 0.05 * warmth])
    contrast = random.uniform(0, 1)
    side = random.choice([-1, 1])
    return Light(
        direction=towards(side * random.uniform(5, 52), random.uniform(12, 48)),
        key=tuple((0.78 + 0.36 * contrast) * tint),
        fill=tuple((0.38 - 0.17 * contrast) * room),
        sky=tuple(random.uniform(0.12, 0.26) * room),
        exposure=float(random.uniform(0.88, 1.16)),
        seed=int(seed),
    )
