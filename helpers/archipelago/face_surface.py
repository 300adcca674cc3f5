"""The lit surface of a face: a height field, painted skin, light, gloss and soft shadows."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from helpers.archipelago.canvas import Board, bezier, noise_at, smoothstep
from helpers.archipelago.islanders import Islander, generator
from helpers.archipelago.shading import cast_shadow, gloss, illuminate, normals
from helpers.archipelago.staging import Light
from helpers.archipelago.traits import Traits

CENTRE = 0.08
"""y of the centre from which the outline's radius is measured."""


@dataclasses.dataclass
class Surface:
    """A lit face on its board.

    Attributes:
        colour: float32 (height, width, 3), linear RGB.
        light: float32 (height, width, 3), light that falls on each point.
        cover: float32 (height, width), 1 inside the outline.
        radius: float32 (height, width), 0 in the centre and 1 on the outline.
    """

    colour: np.ndarray
    light: np.ndarray
    cover: np.ndarray
    radius: np.ndarray


def outline(look: Traits) -> np.ndarray:
    """Returns the outline's radius, (361,), from the crown (-90 degrees) to the chin (90)."""
    w, jaw = look.width, look.jaw
    chin = look.chin
    points = np.array(
        [
            (0.0, look.top),
            (0.30 * w, look.top + 0.004),
            (0.54 * w, look.top + 0.050),
            (0.76 * w, look.top + 0.175),
            (0.90 * w, look.top + 0.37),
            (0.98 * w, -0.34),
            (1.0 * w, -0.10),
            (0.985 * w, 0.15),
            (0.5 * (0.95 * w + 1.04 * jaw), 0.36),
            (jaw, 0.56),
            (0.5 * (jaw + look.chin_width) + 0.055, 0.56 + 0.55 * (chin - 0.56)),
            (look.chin_width + 0.03, chin - 0.10),
            (0.55 * look.chin_width, chin - 0.018),
            (0.0, chin),
        ]
    )
    angle = np.degrees(np.arctan2(points[:, 1] - CENTRE, points[:, 0]))
    radius = np.hypot(points[:, 0], points[:, 1] - CENTRE)
    dense = np.interp(np.linspace(-90, 90, 361), angle, radius).astype(np.float32)
    return cv2.GaussianBlur(dense[None], (0, 0), 9, borderType=cv2.BORDER_REFLECT)[0]


def radius_on(board: Board, look: Traits) -> np.ndarray:
    """Returns the distance from the centre in units of the outline."""
    dy = board.y - CENTRE
    length, angle = cv2.cartToPolar(np.abs(board.x), dy, angleInDegrees=True)
    degrees = np.where(angle > 180, angle - 360, angle)
    table = outline(look)
    place = np.clip((degrees + 90) * 2, 0, 359.99)
    low = place.astype(np.int32)
    part = place - low.astype(np.float32)
    return length / (table[low] * (1 - part) + table[low + 1] * part)


def mouth_lines(board: Board, look: Traits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns rows (width,) of the lips' upper edge, the line between them and the lower edge."""
    u = np.clip(board.xs / look.mouth_width, -1, 1)
    open_ = 1 - u * u
    line = look.mouth_y - 0.017 * u * u + 0.009 * np.exp(-((u / 0.22) ** 2))
    line = line + 0.016 * look.old * u * u
    bow = 1 - 0.26 * np.exp(-((u / 0.11) ** 2)) + 0.10 * np.exp(-(((np.abs(u) - 0.25) / 0.12) ** 2))
    upper = line - look.lip_upper * open_**1.15 * bow
    lower = line + look.lip_lower * open_**1.0
    return upper, line, lower


def height_field(
    board: Board, look: Traits, person: Islander, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the face's height and its wrinkles' mask, float32 (height, width)."""
    pair, bump = board.pair, board.bump
    inside = np.clip(1 - np.clip(radius, 0, 1) ** 2.5, 0, 1)
    z = 0.60 * cv2.pow(inside, 0.62)
    ex, w = look.eye_x, look.width
    lean = 0.5 - 0.35 * look.size - 0.1 * look.old + 0.25 * look.old**2
    z += look.brow_ridge * pair(ex - 0.03, look.brow_y + 0.045, 0.20, 0.075)
    z += 0.6 * look.brow_ridge * bump(0, look.brow_y + 0.05, 0.10, 0.08)
    z += 0.030 * pair(0.22, -0.46, 0.22, 0.16)
    z -= 0.030 * pair(w * 0.95, -0.27, 0.11, 0.20)
    z -= (0.095 + 0.02 * look.male) * pair(ex, -0.015, 0.175, 0.105)
    z -= 0.060 * pair(0.125, -0.015, 0.055, 0.075)
    z += 0.082 * pair(ex, 0.002, look.eye_width * 0.82, 0.078)
    z += look.cheekbone * pair(0.43, 0.17, 0.15, 0.11)
    z += (0.050 + 0.012 * look.size) * pair(0.33, 0.27, 0.16, 0.13)
    z -= 0.042 * lean * pair(0.45, 0.47, 0.13, 0.16)
    z += 0.03 * float(np.clip(look.heavy, 0, 3)) * pair(0.44, 0.52, 0.16, 0.17)
    # The nose: a ridge that rises and widens, a ball at its tip, wings.
    ny, nw = look.nose_y, look.nose_width
    rise = smoothstep(board.ys, -0.14, ny)
    fall = 1 - smoothstep(board.ys, ny - 0.03, ny + 0.10)
    ridge = (look.nose_bridge * smoothstep(board.ys, -0.24, -0.02) + 0.118 * rise) * fall
    waist = 0.012 * np.exp(-(((board.ys - 0.10) / 0.10) ** 2))
    spread = 0.080 + 0.006 * look.male - waist + 0.50 * (nw - 0.05) * rise**1.5
    z += ridge[:, None] * np.exp(-((board.x / spread[:, None]) ** 2))
    z += look.nose_tip * bump(0.003 * look.asymmetry[0], ny - 0.018, 0.080, 0.080)
    z += 0.088 * pair(nw * 0.97, ny + 0.012, 0.054, 0.056)
    z -= 0.022 * pair(nw * 0.92 + 0.052, ny + 0.005, 0.022, 0.06)
    z -= 0.030 * pair(0.050 + 0.2 * (nw - 0.1), ny + 0.062, 0.027, 0.018)
    # The mouth: a mound, the lips' rolls, the groove above and the fold below.
    my = look.mouth_y
    z += (0.066 + 0.5 * (look.lip_upper - 0.05)) * bump(0, my - 0.01, 0.27, 0.165)
    z -= 0.016 * bump(0, my - 0.105, 0.020, 0.055)
    z += 0.009 * pair(0.040, my - 0.105, 0.018, 0.055)
    upper, line, lower = mouth_lines(board, look)
    full = np.maximum(lower - upper, 1e-3)
    thin_upper = np.maximum(line - upper, 2e-3)
    thin_lower = np.maximum(lower - line, 2e-3)
    up = np.clip((line - board.y) / thin_upper, -0.6, 1.6)
    down = np.clip((board.y - line) / thin_lower, -0.6, 1.7)
    part = smoothstep(1.04 - np.abs(board.xs) / look.mouth_width, 0, 0.3)
    z += (0.30 * part * thin_upper) * np.exp(-(((up - 0.55) / 0.5) ** 2))
    z += (0.42 * part * thin_lower) * np.exp(-(((down - 0.5) / 0.5) ** 2))
    z -= (0.022 * part * np.clip(full / 0.05, 0.25, 1)) * np.exp(-(((board.y - line) / 0.012) ** 2))
    z -= 0.016 * pair(look.mouth_width * 1.05, my - 0.008, 0.026, 0.030)
    below = my + look.lip_lower + 0.052
    z -= 0.040 * bump(0, below, 0.15, 0.038)
    z += look.chin_out * bump(0, look.chin - 0.115, 0.135, 0.085)
    if look.male > 0 and person.shape[7] > 0.8:
        z -= 0.018 * bump(0, look.chin - 0.09, 0.016, 0.05)
    wrinkles, folds = wrinkle_fields(board, look, person)
    return z - folds, wrinkles


def wrinkle_fields(board: Board, look: Traits, person: Islander) -> tuple[np.ndarray, np.ndarray]:
    """Returns fine wrinkles (a mask) and the depth of all folds, float32 (height, width)."""
    random = generator("wrinkle", person.number)
    old = look.old
    fine, values = [], []

    def add(points: list[tuple[float, float]], value: float, mirror: bool = True) -> None:
        control = np.array([points], np.float32)
        control += 0.008 * random.standard_normal(control.shape).astype(np.float32)
        if value > 0.02:
            fine.append(bezier(control, 14)[0])
            values.append(value)
            if mirror:
                fine.append(bezier(control * np.float32([-1, 1]), 14)[0])
                values.append(value * 0.9)

    for i in range(4):
        y = -0.34 - 0.075 * i
        span = 0.36 - 0.03 * abs(i - 1) + 0.05 * random.random()
        strength = np.clip((old - 0.10 - 0.1 * random.random()) * 1.4, 0, 0.95)
        add(
            [
                (-span, y + 0.03),
                (-0.2, y - 0.03),
                (0, y + 0.035),
                (0.2, y - 0.03),
                (span, y + 0.03),
            ],
            strength,
            mirror=False,
        )
    x = look.eye_x + look.eye_width
    for i in range(4):
        tilt = -0.06 + 0.045 * i
        add(
            [(x + 0.025, 0.0 + 0.02 * i), (x + 0.075, tilt), (x + 0.135, 1.8 * tilt)],
            float(np.clip((old - 0.10) * 1.3, 0, 0.9)),
        )
    add(
        [(0.035, look.brow_y - 0.05), (0.042, look.brow_y + 0.03), (0.032, look.brow_y + 0.09)],
        float(np.clip((old - 0.2) * 0.9, 0, 0.7)),
    )
    for i in range(2):
        add(
            [
                (look.eye_x - 0.13, 0.075 + 0.035 * i),
                (look.eye_x, 0.125 + 0.05 * i),
                (look.eye_x + 0.13, 0.07 + 0.04 * i),
            ],
            float(np.clip((old - 0.12) * 0.7, 0, 0.6)),
        )
    for i in range(4):
        x = look.mouth_width * (0.18 + 0.22 * i)
        add(
            [(x, look.mouth_y - 0.12), (x * 0.98, look.mouth_y - 0.06)],
            float(np.clip((old - 0.55) * 0.9, 0, 0.5)),
        )
    mask = board.blur(board.strokes(fine, values, 0.008), 0.006)

    ala = (look.nose_width + 0.045, look.nose_y - 0.015)
    corner = (look.mouth_width + 0.075, look.mouth_y - 0.01)
    fold = bezier(
        np.array(
            [
                [
                    ala,
                    (ala[0] + 0.09, ala[1] + 0.06),
                    corner,
                    (corner[0] + 0.015, corner[1] + 0.09 * old),
                ]
            ]
        ),
        16,
    )[0]
    jowl = bezier(
        np.array(
            [
                [
                    (look.mouth_width + 0.03, look.mouth_y + 0.03),
                    (look.mouth_width + 0.06, look.mouth_y + 0.12),
                    (look.mouth_width + 0.055, look.mouth_y + 0.22),
                ]
            ]
        ),
        12,
    )[0]
    bag = bezier(
        np.array(
            [[(look.eye_x - 0.14, 0.04), (look.eye_x - 0.02, 0.17), (look.eye_x + 0.15, 0.07)]]
        ),
        14,
    )[0]
    lines, depths = [], []
    for line, depth in (
        (fold, 0.14 + 0.95 * old),
        (jowl, max(0.0, 1.1 * old - 0.25)),
        (bag, 0.06 + 0.85 * old),
    ):
        lines += [line, line * np.float32([-1, 1])]
        depths += [depth, depth]
    broad = board.strokes(lines, depths, 0.026)
    folds = 0.050 * board.blur(broad, 0.026) + 0.016 * board.blur(broad, 0.009)
    return mask, folds + 0.010 * mask


def skin(
    board: Board, look: Traits, person: Islander, radius: np.ndarray, wrinkles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paints the skin.

    Returns:
        Albedo, float32 (height, width, 3) linear, and the mask of the lips (height, width).
    """
    random = generator("skin", person.number)
    pair, bump = board.pair, board.bump
    shape = board.shape
    red = 0.36 * pair(0.40, 0.24, 0.17, 0.14) + 0.35 * bump(0, look.nose_y - 0.01, 0.12, 0.10)
    red += 0.22 * bump(0, look.chin - 0.1, 0.16, 0.1) + 0.18 * pair(look.eye_x, 0.03, 0.15, 0.08)
    red *= float(0.75 + 0.5 * random.random())
    red += (0.05 + 0.05 * look.old) * noise_at(3, random, shape)
    shade = 1 + (0.020 + 0.05 * look.old) * noise_at(3, random, shape)
    shade += (0.020 + 0.014 * look.male) * noise_at(1, random, shape)
    shade += 0.014 * noise_at(0, random, shape)
    shade -= (0.10 + 0.14 * look.old) * pair(look.eye_x - 0.03, 0.085, 0.12, 0.05)
    shade -= 0.05 * pair(look.eye_x, -0.06, 0.14, 0.05)
    shade -= (0.18 + 0.20 * look.old) * wrinkles
    shade -= 0.20 * pair(look.nose_width + 0.048, look.nose_y + 0.012, 0.013, 0.040)
    shade -= 0.14 * bump(0, look.nose_y + 0.075, look.nose_width * 0.9, 0.020)
    if look.freckles > 0.05:
        spots = smoothstep(noise_at(1, random, shape), 1.45, 2.1)
        zone = np.clip(pair(0.30, 0.2, 0.26, 0.16) + bump(0, 0.2, 0.25, 0.16), 0, 1)
        shade -= 0.30 * look.freckles * spots * zone
    if look.old > 0.5:
        spots = smoothstep(noise_at(3, random, shape), 1.75, 2.2)
        shade -= 0.28 * (look.old - 0.5) * spots
    colour = look.skin * shade[..., None]
    pale = 0.5 + 0.5 * float(look.skin.mean()) ** 0.5
    tint = np.array([0.10, -0.17, -0.16], np.float32) * pale
    colour = colour * (1 + np.clip(red, -0.4, 1)[..., None] * tint)
    if look.male:
        upper, line, lower = mouth_lines(board, look)
        jaw = smoothstep(board.y, 0.38, 0.62) * smoothstep(radius, 0.35, 0.62)
        jaw = np.maximum(jaw, bump(0, look.mouth_y - 0.10, 0.24, 0.06))
        stubble = 0.35 + 0.2 * abs(float(random.standard_normal()))
        grain = np.clip(0.75 + 0.5 * noise_at(0, random, shape), 0, 2)
        amount = np.clip(0.34 * stubble * jaw * grain * (1 - 0.4 * look.grey), 0, 0.7)[..., None]
        shadow = 0.45 * look.skin * np.array([0.85, 0.95, 1.05], np.float32) + 0.10 * look.hair
        colour = colour * (1 - amount) + shadow * amount
    upper, line, lower = mouth_lines(board, look)
    inside = np.abs(board.xs) < look.mouth_width
    lips = board.edge(board.y - upper, 2.2) * board.edge(lower - board.y, 2.6)
    corner = np.clip((1 - np.abs(board.xs) / look.mouth_width) / 0.10, 0, 1)
    lips = lips * (inside * corner)[None]
    crease = 1 + 0.10 * noise_at(1, random, (1, shape[1])) * lips
    lip = look.lip * (crease * np.where(board.y < line, 0.80, 1.0))[..., None]
    colour = colour * (1 - 0.88 * lips[..., None]) + lip * (0.88 * lips[..., None])
    seam = np.exp(-(((board.y - line) / 0.0085) ** 2)) * (
        np.clip((1.06 - np.abs(board.xs) / look.mouth_width) / 0.15, 0, 1)
    )
    colour *= 1 - 0.68 * seam[..., None]
    nostril = pair(0.054 + 0.25 * (look.nose_width - 0.1), look.nose_y + 0.058, 0.028, 0.015)
    colour *= 1 - 0.90 * np.clip(nostril, 0, 1)[..., None]
    if person.scar:
        colour = paint_scar(board, person.scar, colour)
    return colour.astype(np.float32), lips


def paint_scar(board: Board, seed: int, colour: np.ndarray) -> np.ndarray:
    """Paints a pale line with a red rim on a cheek, the chin or the forehead."""
    random = generator("scar", seed)
    places = [(-0.42, 0.32), (0.42, 0.32), (0.28, -0.42), (-0.25, -0.40), (0.16, 0.80)]
    x, y = places[random.integers(len(places))]
    angle = random.uniform(0.6, 2.5)
    step = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.08, 0.13)
    middle = np.array([x, y]) + random.normal(0, 0.015, 2)
    line = bezier(
        np.array([[middle - step, middle + random.normal(0, 0.02, 2), middle + step]]), 12
    )
    mark = board.strokes(list(line), [1.0], 0.016)
    rim = board.blur(mark, 0.014)[..., None]
    mark = board.blur(mark, 0.004)[..., None]
    colour = colour * (1 - 0.45 * rim * np.array([0.15, 0.6, 0.6], np.float32))
    pale = colour.mean() * 0.4 + colour * 1.12
    return colour * (1 - 0.6 * mark) + pale * 0.6 * mark


def face(
    board: Board, look: Traits, person: Islander, light: Light, direction: np.ndarray
) -> Surface:
    """Returns the lit face with closed eyes and closed mouth.

    Args:
        board: Where to draw.
        look: Measures of the head.
        person: Whose face.
        light: The light of the scene.
        direction: Unit vector to the key light in head coordinates.
    """
    random = generator("surface", person.number)
    radius = radius_on(board, look)
    z, wrinkles = height_field(board, look, person, radius)
    albedo, lips = skin(board, look, person, radius, wrinkles)
    rough = z + 0.00030 * noise_at(1, random, z.shape) + 0.0003 * noise_at(2, random, z.shape)
    soft = normals(board, board.blur(z, 0.009))
    sharp = normals(board, rough)
    cavity = np.clip(board.blur(z, 0.045) - z, 0, 1)
    hollow = np.clip(board.blur(z, 0.14) - z, 0, 1)
    # The skull's own roundness is no cavity.
    inner = smoothstep(1 - radius, 0.0, 0.25)
    occlusion = np.clip(1 - inner * (4.4 * cavity + 3.3 * hollow), 0.20, 1)
    shadow = cast_shadow(board, z, direction)
    lit = illuminate(soft, light, direction, shadow, occlusion)
    lit *= (0.72 + 0.28 * occlusion)[..., None]
    oily = 0.55 + 0.5 * board.bump(0, -0.4, 0.35, 0.25) + 0.5 * board.bump(0, 0.25, 0.13, 0.25)
    oily = oily * (1 - 0.35 * look.old) * (0.94 + 0.06 * noise_at(1, random, z.shape))
    shine = 0.085 * oily * gloss(sharp, direction, 9) + 0.07 * oily * gloss(sharp, direction, 34)
    shine += lips * (0.16 * (1 - 0.6 * look.old)) * gloss(sharp, direction, 40)
    rim = 0.05 * cv2.pow(np.clip(1 - soft[2], 0, 1), 3.0)
    shine = shine * (1 - 0.9 * shadow) * occlusion
    key = np.array(light.key, np.float32) * light.exposure
    fill = np.array(light.fill, np.float32) * light.exposure
    colour = albedo * lit + shine[..., None] * key + rim[..., None] * fill
    return Surface(colour.astype(np.float32), lit, board.edge((1 - radius) * 0.7, 1.6), radius)
