"""An islander who moves: a head painted once, then turned, blinking and speaking frame by frame."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago.canvas import board
from helpers.archipelago.head import (
    EYE_WINDOW,
    MOUTH_WINDOW,
    build_head,
    depth,
    maps,
    to_screen,
    with_blink,
    with_mouth,
)
from helpers.archipelago.islanders import Islander
from helpers.archipelago.scenery import body, room
from helpers.archipelago.staging import Pose, light
from helpers.archipelago.traits import traits

MOUTHS = (0.0, 0.2, 0.45, 0.7, 1.0)
BLINKS = (0.0, 0.5, 1.0)


class Puppet:
    """An islander in a room, ready to be filmed.

    Args:
        islander: Who.
        scene: Seed of room, light and clothes.
        size: Width and height of a frame in pixels.
    """

    def __init__(self, islander: Islander, scene: int, size: int = 320):
        self.size = size
        self.look = traits(islander)
        lamp = light(scene)
        fine = self._fine = int(size * 1.375)
        head = build_head(islander, self.look, lamp, fine, Pose(), follow=False)
        self._picture = head.picture.copy()
        self._mouth_at = board(fine, *MOUTH_WINDOW).window
        self._mouths = [with_mouth(head, self.look, fine, opening) for opening in MOUTHS]
        self._eyes_at = board(fine, *EYE_WINDOW).window
        self._eyes = [with_blink(head, islander, self.look, fine, blink) for blink in BLINKS]
        scenery = body(board(size), self.look, islander, lamp, room(size, lamp))
        self._behind = to_screen(scenery).astype(np.uint8)
        self._depth = depth(self.look, 64)

    def frame(self, pose: Pose) -> np.ndarray:
        """Returns the picture for a pose, uint8 (size, size, 3) RGB."""
        self._picture[self._mouth_at] = blend(self._mouths, MOUTHS, pose.mouth)
        self._picture[self._eyes_at] = blend(self._eyes, BLINKS, pose.blink)
        across, down = maps(self.look, self._depth, pose, self._fine, self.size)
        head = cv2.remap(
            self._picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        return over(head, self._behind)


def over(head: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Lays a premultiplied uint8 RGBA picture over an RGB one."""
    clear = cv2.cvtColor(cv2.bitwise_not(head[..., 3]), cv2.COLOR_GRAY2RGB)
    ground = cv2.multiply(behind, clear, scale=1 / 255)
    return cv2.add(ground, cv2.cvtColor(head, cv2.COLOR_RGBA2RGB))


def blend(pictures: list[np.ndarray], levels: tuple[float, ...], value: float) -> np.ndarray:
    """Returns the mix of the two pictures whose levels enclose a value."""
    value = float(np.clip(value, levels[0], levels[-1]))
    high = max(1, int(np.searchsorted(levels, value)))
    part = (value - levels[high - 1]) / (levels[high] - levels[high - 1])
    return cv2.addWeighted(pictures[high - 1], 1 - part, pictures[high], part, 0)
