"""Beards: stubble and strands on cheeks, lip and chin."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago.canvas import Board, bezier, smoothstep
from helpers.archipelago.hair import GREY
from helpers.archipelago.islanders import Islander, generator
from helpers.archipelago.traits import Traits


def paint_beard(
    board: Board,
    look: Traits,
    person: Islander,
    picture: np.ndarray,
    light: np.ndarray,
    radius: np.ndarray,
) -> None:
    """Paints a beard, strand by strand, on the lit face.

    Args:
        board: The face's board.
        look: Measures of the head.
        person: Whose beard.
        picture: float32 (height, width, 3), changed in place.
        light: float32 (height, width, 3) light on the face.
        radius: float32 (height, width), 1 on the outline.
    """
    if person.beard <= 0:
        return
    random = generator("beard", person.number)
    count = 2600
    x = random.uniform(-1, 1, count) * look.width
    y = random.uniform(0.05, look.chin + 0.02, count)
    column = np.clip(((x - board.xs[0]) * board.scale).astype(int), 0, board.shape[1] - 1)
    line = np.clip(((y - board.ys[0]) * board.scale).astype(int), 0, board.shape[0] - 1)
    r = radius[line, column]
    u = np.abs(x) / look.mouth_width
    edge = look.mouth_y - 0.10 - 0.42 * smoothstep(np.abs(x), 0.30, 0.62)
    jaw = (y > edge + 0.14 * (1 - smoothstep(np.abs(x), 0.16, 0.34))) & (r > 0.50)
    lips = (
        (u < 1.12)
        & (y > look.mouth_y - look.lip_upper - 0.018)
        & (y < look.mouth_y + look.lip_lower + 0.03)
    )
    moustache = (u < 1.15) & (y > look.nose_y + 0.085) & (y < look.mouth_y - look.lip_upper * 0.8)
    soul = (np.abs(x) < 0.07) & (y > look.mouth_y + look.lip_lower + 0.02)
    keep = ((jaw & ~lips) | moustache | soul) & (r < 1.0)
    x, y = x[keep], y[keep]
    length = 0.018 + 0.075 * person.beard * smoothstep(y, 0.3, 0.9)
    angle = np.pi / 2 - 0.5 * np.clip(x / 0.4, -1, 1) + random.normal(0, 0.25, x.size)
    above = y < look.mouth_y - 0.02
    angle = np.where(above, np.pi / 2 - 0.9 * np.sign(x) * (u[keep] > 0.08), angle)
    length = np.where(above, 0.05, length) * (0.6 + 0.7 * random.random(x.size))
    root = np.stack([x, y], -1)
    tip = root + np.stack([np.cos(angle), np.sin(angle)], -1) * length[:, None]
    bend = (root + tip) / 2 + random.normal(0, 0.008, root.shape)
    lines = board.fixed(bezier(np.stack([root, bend, tip], 1), 4))
    image = np.zeros((*board.shape, 3), np.uint8)
    for group in np.array_split(random.permutation(len(lines)), 12):
        tone = 255 * np.clip(0.5 + 0.18 * random.standard_normal(), 0.1, 1)
        grey = 255 * np.clip(look.grey * 1.1 + 0.25 * random.standard_normal() * look.grey, 0, 1)
        cv2.polylines(image, [lines[i] for i in group], False, (tone, 255, grey), 1, cv2.LINE_AA, 4)
    field = cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32) / 255
    under = board.blur(field[..., 1], 0.020)
    cover = np.clip(0.9 * field[..., 1] + 0.9 * under, 0, 1) * (0.35 + 0.6 * person.beard)
    cover = cover[..., None]
    grey = field[..., 2:]
    colour = look.hair * (1 - grey) + GREY * (0.75 + 0.5 * look.old) * grey
    colour = colour * (0.28 + 1.0 * field[..., :1]) * (0.12 + 0.9 * light)
    picture[:] = picture * (1 - 0.94 * cover) + colour * 0.94 * cover
