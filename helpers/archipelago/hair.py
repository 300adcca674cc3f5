"""Hair, strand by strand: where strands grow and fall in each style, and the light on them."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago.canvas import Board, bezier, smoothstep
from helpers.archipelago.islanders import Islander, generator
from helpers.archipelago.staging import Light
from helpers.archipelago.traits import Traits


def volume(look: Traits, person: Islander) -> float:
    """Returns how far the hair stands off the skull, head units."""
    style = {"short": 0.055, "parted": 0.075, "fringe": 0.085, "long": 0.085, "bun": 0.035,
             "receding": 0.03, "bald": 0.01}[person.hair_style]
    return style * (1 + 0.9 * look.curl) * (1 - 0.25 * look.old)


def hairline(look: Traits, x: np.ndarray) -> np.ndarray:
    """Returns y of the hairline at x; past the temples it drops to the ears."""
    u = np.abs(x) / look.width
    corner = look.male * (0.35 + 0.5 * look.old)
    middle = look.hairline - 0.05 * corner * np.exp(-(((u - 0.55) / 0.2) ** 2)) + 0.05 * u**2
    return middle + 0.75 * smoothstep(u, 0.72, 1.02)


def strands(look: Traits, person: Islander) -> list[tuple[np.ndarray, float, float]]:
    """Returns layers of strands from back to front.

    Returns:
        Layers (curves (strands, points, 2) in head coordinates, thickness of the layer's body in
        head units, brightness 0..1).
    """
    random = generator("hair", person.number)
    w, top, vol = look.width, look.top, volume(look, person)
    style = person.hair_style

    def row(*points: tuple[object, object]) -> np.ndarray:
        n = max(np.size(v) for p in points for v in p)
        return np.stack([
            np.stack([np.broadcast_to(np.asarray(v, np.float32), (n,)) for v in p], -1)
            for p in points], 1)

    def jitter(curves: np.ndarray, amount: float) -> np.ndarray:
        grow = np.linspace(0.3, 1, curves.shape[1])[None, :, None]
        return curves + random.normal(0, amount, curves.shape) * grow

    def cap(count: int, low: float = -0.30) -> np.ndarray:
        """Strands over the skull from the crown outwards, to y = low at the sides."""
        side = random.choice([-1, 1], count)
        q = random.random(count) ** 0.7
        y_end = top - vol + (low - top + vol) * random.random(count)
        edge = np.sqrt(np.clip(1 - ((y_end + 0.18) / (-0.18 - top + vol)) ** 2, 0.02, 1))
        x_end = side * (w * 0.97 + vol) * edge
        return row((side * 0.12 * q, top - vol * 0.9), (x_end * 0.6, top - vol * 1.05),
                   (x_end * 1.04, (y_end + top) / 2 - 0.06), (x_end, y_end))

    def sides(count: int, low: float) -> np.ndarray:
        side = random.choice([-1, 1], count)
        q = random.random(count)
        x0 = w * (0.80 + 0.16 * q)
        y0 = -0.62 + 0.25 * q
        x1 = w * (0.955 + 0.05 * q) + vol * q * 0.9
        end = low + random.normal(0, 0.03, count) - 0.12 * q
        return row((side * x0, y0), (side * (x1 + 0.02), y0 + 0.15), (side * x1, (y0 + end) / 2),
                   (side * (x1 - 0.015), end))

    layers: list[tuple[np.ndarray, float, float]] = []
    lean = random.choice([-1, 1])
    if style in ("short", "receding"):
        thin = style == "receding"
        layers.append((jitter(cap(260 if not thin else 130), 0.012), 0.05 if not thin else 0.012,
                       0.40))
        layers.append((jitter(sides(260, -0.02 if look.male else 0.10), 0.010), 0.030, 0.46))
        x = random.uniform(-0.80, 0.80, 420 if not thin else 130) * w
        q = random.random(x.size)
        y0 = hairline(look, x) + 0.01 - (q * 0.16)
        high = top - vol * (1.15 - 0.25 * (x / w) ** 2) + 0.22 * (x / w) ** 2
        y3 = y0 + (high - y0) * (0.75 + 0.3 * random.random(x.size))
        sweep = lean * (0.10 + 0.14 * random.random(x.size))
        layers.append((jitter(row((x, y0), (x + 0.15 * sweep, y0 - 0.10), (x + 0.7 * sweep, y3),
                                  (x + 1.2 * sweep, y3 + 0.05)), 0.012),
                       0.022 if not thin else 0.006, 0.55))
    elif style in ("parted", "long"):
        part = lean * random.uniform(0.08, 0.30) * w
        bottom = 1.28 if style == "long" else (0.12 if look.male else 0.62)
        if style == "long":
            bottom -= 0.35 * random.random()
        layers.append((jitter(cap(160), 0.012), 0.06, 0.40))
        for count, thick, bright, spread in ((240, 0.05, 0.44, 1.0), (380, 0.018, 0.58, 1.0)):
            side = random.choice([-1, 1], count)
            q = random.random(count) ** 0.8 * spread
            root_y = look.hairline + 0.02 + (top - look.hairline) * q
            root_x = part * (1 - 0.5 * q)
            inner = np.where(q < 0.5, 1.0, 1.0)
            x1 = root_x + side * (0.22 + 0.15 * q)
            y1 = root_y - (0.03 + vol * 0.9 * inner)
            x2 = side * (w * (0.86 + 0.14 * q) + vol * q)
            y2 = look.hairline + 0.20 - 0.26 * q
            x3 = side * (w * (0.97 + 0.05 * q) + vol * 1.1 * q)
            y3 = 0.02 + 0.1 * q
            end = bottom + random.normal(0, 0.05, count) - 0.10 * (1 - q)
            x4 = side * (w * (0.93 + 0.07 * q) + vol * (0.2 + 1.1 * q) + 0.02)
            if style == "long" or not look.male:
                layers.append((jitter(row((root_x, root_y), (x1, y1), (x2, y2), (x3, y3),
                                          (x4, 0.6 * end), (x4 * 0.99, end)), 0.012), thick,
                               bright))
            else:
                layers.append((jitter(row((root_x, root_y), (x1, y1), (x2, y2),
                                          (x3, y3 * 0.4 - 0.1), (x3 * 0.985, end - 0.1)), 0.012),
                               thick, bright))
    elif style == "fringe":
        low = 0.05 if look.male else 0.55 - 0.3 * random.random()
        layers.append((jitter(cap(160), 0.012), 0.06, 0.40))
        side = random.choice([-1, 1], 300)
        q = random.random(300)
        x2 = side * (w * (0.93 + 0.1 * q) + vol * q)
        layers.append((jitter(row((side * 0.1, top - vol * 0.8), (x2 * 0.8, top - vol),
                                  (x2 * 1.04, -0.55), (x2, -0.1),
                                  (x2 * 0.985, low + random.normal(0, 0.04, 300))), 0.012), 0.035,
                       0.48))
        count = 420
        x = random.uniform(-0.86, 0.86, count) * w
        sweep = lean * 0.16
        end = -0.315 + 0.05 * np.abs(x / w) ** 2 + random.normal(0, 0.028, count) + lean * 0.06 * x
        layers.append((jitter(row((x * 0.42 - sweep * 0.6, top - vol * 0.75 + 0.1 * x**2),
                                  (x * 0.8 - sweep * 0.3, top - vol * 0.4), (x, -0.66),
                                  (x + sweep * 0.4, end)), 0.012), 0.020, 0.56))
    elif style == "bun":
        angle = np.linspace(0, 2 * np.pi, 120) + random.normal(0, 0.1, 120)
        r = 0.25 * np.sqrt(random.random(120))
        cx, cy = 0.03 * lean, top - 0.13
        layers.append((jitter(row(
            (cx + r * np.cos(angle), cy + r * np.sin(angle)),
            (cx + r * np.cos(angle + 0.9) * 1.35, cy + r * np.sin(angle + 0.9) * 1.35),
            (cx + r * np.cos(angle + 1.8), cy + r * np.sin(angle + 1.8))), 0.006), 0.045, 0.48))
        layers.append((jitter(cap(140, -0.2), 0.008), 0.05, 0.40))
        x = random.uniform(-1.0, 1.0, 520) * w * 0.985
        y0 = hairline(look, x) - random.random(520) * 0.10
        y0 = np.minimum(y0, 0.0)
        layers.append((jitter(row((x, y0), (x * 1.05, y0 - 0.22), (x * 0.75, top - vol + 0.06),
                                  (cx + x * 0.12, top - vol)), 0.008), 0.020, 0.55))
    else:
        layers.append((jitter(sides(150, 0.0), 0.008)[:, :, :], 0.008, 0.45))
    return layers


def paint_hair(board: Board, look: Traits, person: Islander, light: Light,
               direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paints the hair of the head.

    Args:
        board: The whole board.
        look: Measures of the head.
        person: Whose hair.
        light: The light of the scene.
        direction: Unit vector to the key light in head coordinates.

    Returns:
        Linear RGB, float32 (height, width, 3), and cover, float32 (height, width).
    """
    random = generator("strand", person.number)
    image = np.zeros((*board.shape, 3), np.uint8)  # tone, cover, greyness
    for curves, thick, bright in strands(look, person):
        points = bezier(curves, 20 if look.curl > 0.3 else 13)
        if look.curl > 0.04 and person.hair_style != "bald":
            points = curl(points, look.curl, random)
        lines = board.fixed(points)
        order = random.permutation(len(lines))
        groups = np.array_split(order, 14)
        wide = max(1, round(thick * board.scale))
        for group in groups[: 10 if wide > 2 else 0]:
            tone = 255 * np.clip(bright - 0.16 + 0.05 * random.standard_normal(), 0.05, 1)
            grey = 255 * np.clip(look.grey + 0.1 * random.standard_normal(), 0, 1)
            cv2.polylines(image, [lines[i] for i in group], False, (tone, 255, grey), wide,
                          cv2.LINE_AA, 4)
        for group in groups:
            tone = 255 * np.clip(bright + 0.17 * random.standard_normal(), 0.08, 1)
            grey = 255 * float(random.random() < look.grey)
            grey = 0.5 * grey + 0.5 * 255 * look.grey
            cv2.polylines(image, [lines[i] for i in group], False, (tone, 255, grey), 1,
                          cv2.LINE_AA, 4)
    field = cv2.GaussianBlur(image, (0, 0), 0.55).astype(np.float32) / 255
    tone, cover, grey = field[..., 0], field[..., 1], field[..., 2:]
    vol = volume(look, person)
    nx = board.x / (look.width + vol + 0.10)
    ny = (board.y + 0.12) / (0.12 - look.top + vol + 0.10)
    ny = np.where(board.y > -0.12, 0.35 * ny, ny)
    nz = cv2.sqrt(np.clip(1 - nx * nx - ny * ny, 0.06, 1).astype(np.float32))
    facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
    diffuse = np.clip((facing + 0.35) / 1.35, 0, 1)
    half = direction + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    band = np.exp(-(((ny - half[1] * 0.95 + 0.10 * (tone - 0.5)) / 0.17) ** 2)) * nz
    band *= np.exp(-(((nx - half[0]) / 0.65) ** 2))
    low = 1 - 0.35 * smoothstep(board.y, 0.1, 0.9)
    colour = look.hair * (1 - grey) + np.float32([0.44, 0.43, 0.42]) * grey
    strand = 0.20 + 1.45 * tone**1.4
    key, fill = np.float32(light.key), np.float32(light.fill) + 0.6 * np.float32(light.sky)
    lit = (key * (0.9 * diffuse)[..., None] + fill * (0.45 + 0.55 * nz)[..., None])
    shine = (0.17 - 0.09 * look.curl) * band * tone**1.5 * (0.4 + 0.6 * diffuse)
    out = colour * (strand * low)[..., None] * lit
    out += shine[..., None] * key * (0.45 + 0.55 * cv2.sqrt(colour))
    if person.hair_style == "bald":
        cover = cover * 0.35
    return (out * light.exposure).astype(np.float32), cover


def curl(points: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Bends strands into waves, or into curls when the amount nears 1."""
    count, n, _ = points.shape
    step = np.diff(points, axis=1, prepend=points[:, :1])
    along = np.cumsum(np.hypot(step[..., 0], step[..., 1]), 1)
    tangent = np.gradient(points, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
    length = 0.34 - 0.20 * amount
    phase = random.uniform(0, 2 * np.pi, (count, 1)) * (0.25 + 0.75 * amount)
    wave = np.sin(along / length * 2 * np.pi + phase) * smoothstep(along, 0.03, 0.25)
    return points + normal * (0.038 * amount * wave)[..., None]


def paint_beard(board: Board, look: Traits, person: Islander, picture: np.ndarray,
                light: np.ndarray, radius: np.ndarray) -> None:
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
    lips = (u < 1.12) & (y > look.mouth_y - look.lip_upper - 0.018) & (
        y < look.mouth_y + look.lip_lower + 0.03)
    moustache = (u < 1.15) & (y > look.nose_y + 0.085) & (y < look.mouth_y - look.lip_upper * 0.8)
    soul = (np.abs(x) < 0.07) & (y > look.mouth_y + look.lip_lower + 0.02)
    keep = ((jaw & ~lips) | moustache | soul) & (r < 1.0)
    x, y = x[keep], y[keep]
    length = 0.018 + 0.075 * person.beard * smoothstep(y, 0.3, 0.9)
    angle = np.pi / 2 - 0.5 * np.clip(x / 0.4, -1, 1) + random.normal(0, 0.25, x.size)
    angle = np.where(y < look.mouth_y - 0.02, np.pi / 2 - 0.9 * np.sign(x) * (u[keep] > 0.08), angle)
    length = np.where(y < look.mouth_y - 0.02, 0.05, length) * (0.6 + 0.7 * random.random(x.size))
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
    colour = look.hair * (1 - grey) + np.float32([0.44, 0.43, 0.42]) * grey
    colour = colour * (0.28 + 1.0 * field[..., :1]) * (0.12 + 0.9 * light)
    picture[:] = picture * (1 - 0.94 * cover) + colour * 0.94 * cover
