"""Eyes, brows, ears, glasses and the open mouth, painted on a lit face."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago.canvas import Board, bezier, smoothstep
from helpers.archipelago.face_surface import Surface, mouth_lines
from helpers.archipelago.islanders import Islander, generator
from helpers.archipelago.traits import Traits


def lid_heights(look: Traits, u: np.ndarray, blink: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns y of the upper and lower lid's edge at u, -1 (inner) to 1 (outer corner)."""
    u = np.clip(u, -1, 1)
    high = np.clip(1 - (u + 0.16 * (1 - u * u)) ** 2, 0, 1) ** 0.80
    low = np.clip(1 - (u - 0.18 * (1 - u * u)) ** 2, 0, 1) ** 0.95
    upper = -look.eye_height * high
    lower = look.eye_height * 0.62 * low
    return upper + blink * (lower * 0.86 - upper), lower


def paint_eyes(
    board: Board,
    look: Traits,
    person: Islander,
    surface: Surface,
    direction: np.ndarray,
    blink: float,
    gaze: tuple[float, float],
) -> None:
    """Paints both eyes into the surface's colour.

    Args:
        board: The surface's board.
        look: Measures of the head.
        person: Whose eyes.
        surface: The lit face, changed in place.
        direction: Unit vector to the key light in head coordinates.
        blink: 0 (open) to 1 (closed).
        gaze: Shift of the irises, head units.
    """
    random = generator("eyes", person.number)
    for side in (-1, 1):
        centre = side * look.eye_x
        rows = np.flatnonzero(np.abs(board.ys) < 0.20)
        columns = np.flatnonzero(np.abs(board.xs - centre) < 0.24)
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        colour, lit = surface.colour[window], surface.light[window]
        across = side * (board.x[window] - centre)
        v = board.y[window] + look.eye_tilt * across + 0.004 * side * look.asymmetry[1]
        u = across / look.eye_width
        upper, lower = lid_heights(look, u, blink)
        within = np.clip((1 - np.abs(u)) * look.eye_width * board.scale + 0.5, 0, 1)
        gap = board.edge(v - upper, 1.3) * board.edge(lower - v, 1.3) * within
        # The crease above the lid, then the lid's own shade and the lash line.
        fold = upper - 0.030 - 0.012 * (1 - look.hooded) + 0.016 * look.hooded * np.clip(u, 0, 1)
        reach = smoothstep(1.18 - np.abs(u + 0.02), 0, 0.25)
        crease = np.exp(-(((v - fold) / 0.0085) ** 2)) * reach
        lid = smoothstep(v - fold, 0, 0.01) * smoothstep(upper - v, -0.006, 0.006) * reach
        colour *= (1 - (0.40 + 0.1 * look.old) * crease)[..., None]
        colour *= (1 - 0.07 * lid)[..., None]
        white = np.array([0.58, 0.53, 0.49], np.float32) * (1 - 0.12 * look.old)
        ball = np.repeat(white[None, None], gap.shape[0], 0).repeat(gap.shape[1], 1)
        veins = np.clip(np.abs(u) - 0.35, 0, 1) * 0.35
        ball = ball * (1 - veins[..., None] * np.array([0.15, 0.75, 0.75], np.float32))
        radius = 0.060
        gx, gy = side * gaze[0], gaze[1] - 0.008
        r, angle = cv2.cartToPolar(across - gx, v - gy)
        r /= radius
        spokes = np.interp(
            angle, np.linspace(0, 2 * np.pi, 48), np.append(random.standard_normal(47), 0.0)
        ).astype(np.float32)
        tone = 0.80 + 0.16 * spokes + 0.45 * smoothstep(v - gy, -0.05, 0.05)
        tone *= 1 - 0.75 * smoothstep(r, 0.72, 1.0)
        tone *= 0.75 + 0.4 * np.exp(-((r - 0.5) ** 2) * 20)
        iris = look.iris * tone[..., None]
        iris *= board.edge((r - 0.40) * radius, 1.6)[..., None] * 0.97 + 0.03
        cover = board.edge((1 - r) * radius, 2.2)[..., None]
        ball = ball * (1 - cover) + iris * cover
        roof = smoothstep(v - upper, -0.004, 0.045)
        shade = (0.30 + 0.70 * roof) * (0.75 + 0.25 * smoothstep(lower - v, 0, 0.02))
        shade *= 1 - 0.35 * smoothstep(np.abs(u), 0.55, 1.0)
        level = cv2.GaussianBlur(lit, (0, 0), 0.05 * board.scale).mean((0, 1)) * 0.5 + 0.5 * lit
        ball = ball * level * shade[..., None]
        spot = np.hypot(
            across - gx - side * direction[0] * 0.034, v - gy - direction[1] * 0.034 - 0.004
        )
        ball += (0.75 * np.exp(-((spot / 0.0105) ** 2)) * (1 - blink))[..., None]
        caruncle = np.exp(-(((u + 0.97) / 0.13) ** 2) - (((v - 0.006) / 0.018) ** 2))[..., None]
        ball = ball * (1 - 0.7 * caruncle) + 0.7 * caruncle * level * np.array(
            [0.50, 0.22, 0.20], np.float32
        )
        colour[:] = colour * (1 - gap[..., None]) + ball * gap[..., None]
        rim = np.exp(-(((v - lower - 0.004) / 0.006) ** 2)) * smoothstep(1 - np.abs(u), 0, 0.2)
        colour *= 1 + (rim * (1 - blink))[..., None] * np.array([0.10, -0.08, -0.08], np.float32)
        lashes = lash_lines(board, look, side, centre, blink, random)
        lash = board_strokes(board, window, lashes)
        line = np.exp(-(((v - upper + 0.002) / (0.0085 - 0.002 * look.male)) ** 2)) * smoothstep(
            1.05 - np.abs(u), 0, 0.25
        )
        dark = np.clip(0.90 * line + 0.75 * lash, 0, 0.93)[..., None]
        colour[:] = colour * (1 - dark) + dark * np.array([0.016, 0.012, 0.010], np.float32)
        lower_line = np.exp(-(((v - lower) / 0.006) ** 2)) * smoothstep(1.0 - np.abs(u), 0, 0.3)
        colour *= (1 - 0.38 * lower_line)[..., None]


def lash_lines(
    board: Board, look: Traits, side: int, centre: float, blink: float, random: np.random.Generator
) -> np.ndarray:
    """Returns the upper lashes of one eye as curves, (lashes, points, 2)."""
    u = np.linspace(-0.72, 0.99, 22) + random.normal(0, 0.02, 22)
    upper, _ = lid_heights(look, u.astype(np.float32), blink)
    length = (0.034 - 0.012 * look.male) * (0.6 + 0.4 * np.clip(u + 0.3, 0, 1))
    x = u * look.eye_width
    y = upper - look.eye_tilt * x
    fall = 1 if blink > 0.6 else -1
    tip_x = x + length * (0.25 + 0.75 * np.clip(u, -0.3, 1))
    tip_y = y + fall * length * (0.75 - 0.3 * np.clip(u, 0, 1))
    middle = np.stack([(x + tip_x) / 2 + 0.004, (y + tip_y) / 2 - 0.10 * length * fall], -1)
    control = np.stack([np.stack([x, y], -1), middle, np.stack([tip_x, tip_y], -1)], 1)
    control = control * np.array([side, 1]) + np.array([centre, 0])
    return bezier(control, 5)


def board_strokes(board: Board, window: tuple[slice, slice], lines: np.ndarray) -> np.ndarray:
    """Returns thin strokes inside a window of the board, float32."""
    image = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
    corner = np.array([window[1].start, window[0].start]) * 16
    cv2.polylines(
        image, list(board.fixed(lines) - corner.astype(np.int32)), False, 255, 1, cv2.LINE_AA, 4
    )
    return image.astype(np.float32) / 255


def paint_brows(board: Board, look: Traits, person: Islander, surface: Surface) -> None:
    """Paints the brows, strand by strand."""
    random = generator("brows", person.number)
    count = int(70 + 1600 * look.brow_thick)
    lines = []
    for side in (-1, 1):
        t = random.random(count).astype(np.float32)
        lift = look.brow_tilt + 0.006 * side * look.asymmetry[2]
        start = look.eye_x - 0.175 + 0.012 * (1 - look.male)
        x = start + 0.36 * t
        arch = 0.045 * np.sin(np.pi * np.clip(t * 0.92, 0, 1) ** 1.5)
        y = look.brow_y + 0.03 - lift * t - arch + 0.042 * np.clip(t - 0.68, 0, 1)
        thick = look.brow_thick * (1 - 0.70 * np.clip(t - 0.35, 0, 1) ** 1.2)
        thick = thick * smoothstep(t, -0.35, 0.15)
        y = y + thick * random.uniform(-1, 1, count) * 0.85
        steep = np.radians(62 - 68 * t + random.normal(0, 9, count))
        length = (0.055 + 0.02 * look.male) * (0.7 + 0.5 * random.random(count))
        tip = np.stack([x + length * np.cos(steep), y - length * np.sin(steep) * 0.8], -1)
        root = np.stack([x, y], -1)
        middle = (root + tip) / 2 + np.array([0.0, -0.004])
        curves = bezier(np.stack([root, middle, tip], 1), 4) * np.float32([side, 1])
        lines += list(board.fixed(curves))
    image = np.zeros(board.shape, np.uint8)
    half = len(lines) // 2
    chosen = random.permutation(len(lines))
    cv2.polylines(image, [lines[i] for i in chosen[:half]], False, 120, 1, cv2.LINE_AA, 4)
    cv2.polylines(image, [lines[i] for i in chosen[half:]], False, 205, 1, cv2.LINE_AA, 4)
    mask = image.astype(np.float32) / 255
    under = board.blur(mask, 0.014)
    mask = np.clip(0.66 * board.blur(mask, 0.003) + 0.78 * under, 0, 0.95)[..., None]
    grey = 0.75 * look.grey
    colour = (look.hair * (1 - grey) + np.float32([0.36, 0.35, 0.34]) * grey) * 0.34 + 0.008
    surface.colour[:] = surface.colour * (1 - mask) + mask * colour * (0.25 + surface.light * 0.8)


def ears(
    board: Board, look: Traits, base: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ears' colour (height, width, 3) and cover (height, width).

    Args:
        board: Where to draw.
        look: Measures of the head.
        base: Linear RGB of lit skin, (3,).
        light: Unit vector to the key light in head coordinates.
    """
    cover = np.zeros(board.shape, np.float32)
    colour = np.zeros((*board.shape, 3), np.float32)
    for side in (-1, 1):
        x = side * board.x - look.width * 0.985
        y = board.y - 0.09 + 0.18 * x
        ry = look.ear
        rx = 0.085 * (1 - 0.30 * smoothstep(y, 0.0, ry))
        r = np.sqrt((x / rx) ** 2 + (y / ry) ** 2)
        rim = np.exp(-(((r - 0.84) / 0.13) ** 2)) * (y < ry * 0.75)
        inner = np.exp(-(((x + 0.005) / (0.5 * rx)) ** 2) - (((y + 0.01) / (0.55 * ry)) ** 2))
        facing = 0.74 + 0.24 * side * light[0]
        shade = facing * (0.86 + 0.22 * rim - 0.40 * inner)
        inside = board.edge((1 - r) * 0.08, 1.8)
        cover = np.maximum(cover, inside)
        colour += (inside * shade)[..., None]
    return colour * base * np.array([1.06, 0.90, 0.88], np.float32), cover


def paint_glasses(
    board: Board, look: Traits, person: Islander, picture: np.ndarray, cover: np.ndarray
) -> np.ndarray:
    """Paints glasses with a thin frame, their soft shadow and a faint reflection.

    Returns:
        float32 (height, width), the share of the picture that still shows.
    """
    random = generator("glasses", person.number)
    frame = [(0.02, 0.02, 0.025), (0.10, 0.045, 0.02), (0.22, 0.20, 0.17), (0.05, 0.06, 0.12)][
        random.integers(4)
    ]
    squareness = random.uniform(2.0, 4.5)
    thick = random.uniform(0.013, 0.024)
    rx, ry = random.uniform(0.205, 0.235), random.uniform(0.135, 0.185)
    mark = np.zeros(board.shape, np.float32)
    glass = np.zeros(board.shape, np.float32)
    for side in (-1, 1):
        x = np.abs(side * board.x - look.eye_x - 0.012) / rx
        y = np.abs(board.y - 0.025) / ry
        r = (x**squareness + y**squareness) ** (1 / squareness)
        ring = board.edge(thick / 2 - np.abs(r - 1) * min(rx, ry), 1.4)
        mark = np.maximum(mark, ring)
        glass = np.maximum(glass, board.edge((1 - r) * ry, 2))
    bridge = look.eye_x + 0.012 - rx
    middle = bezier(np.array([[(-bridge, -0.02), (0, -0.055), (bridge, -0.02)]]), 12)
    arms = [
        np.float32([[s * (look.eye_x + 0.012 + rx), -0.03], [s * (look.width + 0.03), -0.045]])
        for s in (-1, 1)
    ]
    mark = np.maximum(mark, board.strokes([middle[0], *arms], [1, 1, 1], thick))
    shadow = board.blur(np.roll(mark, round(0.03 * board.scale), 0), 0.012)
    share = 1 - 0.22 * shadow * cover
    picture *= share[..., None]
    streak = smoothstep(np.sin(7 * (board.x + board.y) + 4 * random.random()), 0.55, 1.0)
    picture += (0.030 * glass * streak)[..., None]
    colour = np.array(frame, np.float32) * (1 + 0.8 * smoothstep(-board.y, -0.1, 0.15))[..., None]
    picture[:] = picture * (1 - mark[..., None]) + colour * mark[..., None]
    return share * (1 - mark)


def open_mouth(
    board: Board, look: Traits, picture: np.ndarray, light: np.ndarray, opening: float
) -> np.ndarray:
    """Opens the mouth of a finished head.

    Args:
        board: Window around mouth and chin.
        look: Measures of the head.
        picture: float32 (height, width, channels) with the mouth closed, linear, premultiplied.
        light: float32 (3,) light at the mouth.
        opening: 0 to 1.

    Returns:
        The new picture of the same shape.
    """
    _, line, _ = mouth_lines(board, look)
    u = board.xs / look.mouth_width
    lens = np.clip(1 - u * u, 0, 1) ** 0.55
    drop = 0.150 * opening * lens
    lift = 0.022 * opening * lens
    wide = np.exp(-((board.xs / (look.mouth_width * 1.5)) ** 4))
    jaw = 0.105 * opening * wide
    y = board.y
    below = y - line
    # Lips part by drop at the lower lip; further down the whole jaw has moved by `jaw`.
    fade = np.exp(-np.clip(below - drop, 0, 1) / 0.11)
    shift_low = drop * fade + jaw * (1 - fade)
    end = smoothstep(y, look.chin + 0.14, look.chin + 0.30)
    shift_low = shift_low * (1 - end)
    shift_up = -lift * np.exp(-np.clip(-below - lift, 0, 1) / 0.06)
    middle = np.where(below > (drop - lift) / 2, shift_low, shift_up)
    map_x = np.broadcast_to(np.arange(y.shape[1], dtype=np.float32), y.shape)
    map_y = np.arange(y.shape[0], dtype=np.float32)[:, None] - (middle * board.scale)
    out = cv2.remap(
        picture,
        np.ascontiguousarray(map_x),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    top, bottom = line - lift, line + drop
    inside = board.edge(y - top - 0.003, 2) * board.edge(bottom - y - 0.003, 2)
    inside *= np.abs(u) < 1
    depth = np.clip((y - top) / np.maximum(bottom - top, 1e-3), 0, 1)
    cave = np.array([0.055, 0.014, 0.012], np.float32) * (0.5 + 0.5 * depth)[..., None]
    edge = 0.038 * (1 - 0.6 * u * u)
    gaps = 1 - 0.22 * np.exp(-((np.abs(np.mod(board.xs / 0.048, 1) - 0.5) / 0.07) ** 2))
    teeth = board.edge(edge - (y - top), 3) * np.clip(1.1 - np.abs(u) * 1.15, 0, 1) ** 0.5
    enamel = np.array([0.50, 0.46, 0.40], np.float32) * (1 - 0.25 * look.old)
    shade = (0.35 + 0.65 * smoothstep(y - top, 0.0, 0.03)) * (1 - 0.55 * u * u) * gaps
    cave = cave * (1 - teeth[..., None]) + enamel * (teeth * shade)[..., None]
    tongue = np.exp(-((u / 0.55) ** 2)) * smoothstep(depth, 0.62, 0.95) * (1 - teeth)
    cave += tongue[..., None] * np.array([0.20, 0.055, 0.05], np.float32)
    cave *= light
    inside = (inside * min(1.0, opening * 6))[..., None]
    out[..., :3] = out[..., :3] * (1 - inside) + cave * inside
    return out
