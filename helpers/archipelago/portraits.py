"""Portraits of islanders: deterministic pictures of people who do not exist.

`portrait` paints one picture; `Puppet` paints a head once and then turns it, frame by frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago.canvas import board
from helpers.archipelago.head import MOUTH_WINDOW, build_head, depth, maps, to_screen, with_mouth
from helpers.archipelago.islanders import Islander
from helpers.archipelago.puppet import Puppet, over
from helpers.archipelago.scenery import body, room
from helpers.archipelago.staging import STUDIO, Light, Pose, light
from helpers.archipelago.traits import traits

__all__ = ["STUDIO", "Light", "Pose", "Puppet", "light", "portrait"]


def portrait(
    islander: Islander,
    pose: Pose = Pose(),  # noqa: B008 - frozen
    light: Light = STUDIO,
    size: int = 256,
    background: tuple[int, int, int] | np.ndarray | None = None,
) -> np.ndarray:
    """Paints an islander.

    Args:
        islander: Who.
        pose: Pose of the head, mouth and eyes.
        light: `STUDIO` or `light(seed)`; the seed also chooses room and clothes.
        size: Width and height in pixels, 32 or more.
        background: An RGB colour 0..255, a picture uint8 (size, size, 3), or None for the scene's.

    Returns:
        uint8 (size, size, 3) RGB.

    Raises:
        ValueError: The size is too small, or the background has another shape.
    """
    if size < 32:
        raise ValueError(f"A portrait is at least 32 pixels wide, not {size}.")
    fine = int(size * 1.5)
    look = traits(islander)
    if background is None:
        ground = room(size, light)
    else:
        picture = np.asarray(background, np.float32)
        if picture.shape not in ((3,), (size, size, 3)):
            raise ValueError(
                f"The background is an RGB colour or a ({size}, {size}, 3) picture, "
                f"not of shape {picture.shape}."
            )
        ground = np.broadcast_to((picture / 255) ** 2, (size, size, 3))
    behind = to_screen(body(board(size), look, islander, light, ground)).astype(np.uint8)
    head = build_head(islander, look, light, fine, pose, follow=True)
    if pose.mouth > 0:
        window = board(fine, *MOUTH_WINDOW).window
        head.picture[window] = with_mouth(head, look, fine, pose.mouth)
    across, down = maps(look, depth(look, 96), pose, fine, fine)
    turned = cv2.remap(head.picture, across, down, cv2.INTER_CUBIC)
    small = cv2.resize(turned, (size, size), interpolation=cv2.INTER_AREA)
    return over(small, behind)
