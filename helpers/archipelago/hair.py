"""Hair, strand by strand: where strands grow and fall in each style, and the light on them."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago import canvas
from helpers.archipelago.canvas import Board, bezier, smoothstep
from helpers.archipelago.islanders import Islander, generator
from helpers.archipelago.staging import Light
from helpers.archipelago.traits import Traits

GREY = np.float32([0.45, 0.44, 0.43])
CAP_Y = -0.12
"""y of the centre of the ellipse that the hair over the skull follows."""


def volume(look: Traits, person: Islander) -> float:
    """Returns how far the hair stands off the skull, head units."""
    style = {
        "short": 0.055,
        "parted": 0.075,
        "fringe": 0.085,
        "long": 0.085,
        "bun": 0.035,
        "receding": 0.03,
        "bald": 0.01,
    }[person.hair_style]
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
        Layers (points (strands, points, 2) in head coordinates, thickness of the layer's body in
        head units, brightness 0..1).
    """
    random = generator("hair", person.number)
    w, top, vol = look.width, look.top, volume(look, person)
    style = person.hair_style

    def row(*points: tuple[object, object]) -> np.ndarray:
        n = max(np.size(v) for p in points for v in p)
        control = np.stack(
            [
                np.stack([np.broadcast_to(np.asarray(v, np.float32), (n,)) for v in p], -1)
                for p in points
            ],
            1,
        )
        return bezier(control, int(14 + 26 * look.curl))

    def jitter(curves: np.ndarray, amount: float) -> np.ndarray:
        grow = np.linspace(0.3, 1, curves.shape[1])[None, :, None]
        away = random.normal(0, amount, (len(curves), 1, 2))
        return curves + away * (0.4 + grow)

    def cap(count: int, low: float = -0.10) -> np.ndarray:
        """Strands over the skull from the crown outwards, to y = low at the sides."""
        side = random.choice([-1, 1], count)[:, None]
        q = (0.45 + 0.57 * random.random(count) ** 0.6)[:, None]
        start = random.uniform(-0.3, 0.5, count)[:, None]
        end = np.arccos(np.clip((CAP_Y - low) / (CAP_Y - top + vol), -1, 1))
        angle = start + (end * random.uniform(0.6, 1.0, count)[:, None] - start) * np.linspace(
            0, 1, int(14 + 26 * look.curl)
        )
        round_x, round_y = rounded(angle)
        x = side * q * (w + vol) * round_x
        y = CAP_Y - (q**0.5) * (CAP_Y - top + vol) * round_y
        front = hairline(look, x) - 0.01 - 0.05 * random.random((count, 1))
        return np.stack([x, np.minimum(y, np.maximum(front, -0.62))], -1)

    def sides(count: int, low: float) -> np.ndarray:
        side = random.choice([-1, 1], count)
        q = random.random(count)
        x0 = w * (0.80 + 0.16 * q)
        y0 = -0.62 + 0.25 * q
        x1 = w * (0.955 + 0.05 * q) + vol * q * 0.9
        end = low + random.normal(0, 0.03, count) - 0.12 * q
        return row(
            (side * x0, y0),
            (side * (x1 + 0.02), y0 + 0.15),
            (side * x1, (y0 + end) / 2),
            (side * (x1 - 0.015), end),
        )

    layers: list[tuple[np.ndarray, float, float]] = []

    def lay(curves: np.ndarray, spread: float, thickness: float, brightness: float) -> None:
        layers.append((jitter(curves, spread), thickness, brightness))

    lean = random.choice([-1, 1])
    if style in ("short", "receding"):
        thin = style == "receding"
        lay(cap(260 if not thin else 130), 0.006, 0.03 if not thin else 0.012, 0.42)
        lay(sides(260, -0.02 if look.male else 0.10), 0.010, 0.030, 0.46)
        x = random.uniform(-0.80, 0.80, 420 if not thin else 130) * w
        q = random.random(x.size)
        y0 = hairline(look, x) + 0.01 - (q * 0.16)
        high = top - vol * (1.15 - 0.25 * (x / w) ** 2) + 0.22 * (x / w) ** 2
        y3 = y0 + (high - y0) * (0.75 + 0.3 * random.random(x.size))
        sweep = lean * (0.10 + 0.14 * random.random(x.size))
        curves = row(
            (x, y0),
            (x + 0.15 * sweep, y0 - 0.10),
            (x + 0.7 * sweep, y3),
            (x + 1.2 * sweep, y3 + 0.05),
        )
        lay(curves, 0.012, 0.022 if not thin else 0.006, 0.55)
    elif style in ("parted", "long"):
        part = lean * random.uniform(0.08, 0.30) * w
        bottom = 1.28 if style == "long" else (0.12 if look.male else 0.62)
        if style == "long":
            bottom -= 0.35 * random.random()
        lay(cap(220), 0.006, 0.03, 0.42)
        for count, thick, bright, spread in ((240, 0.032, 0.44, 1.0), (420, 0.014, 0.56, 1.0)):
            side = random.choice([-1, 1], count)
            q = random.random(count) ** 0.8 * spread
            root_y = look.hairline + 0.02 + (top - look.hairline) * q
            root_x = part * (1 - 0.5 * q)
            x1 = root_x + side * (0.26 + 0.24 * q)
            y1 = root_y - (0.03 + vol * 0.9)
            x2 = side * (w * (0.91 + 0.09 * q) + vol * q)
            y2 = look.hairline + 0.13 - 0.22 * q
            x3 = side * (w * (0.925 + 0.095 * q) + vol * 1.1 * q)
            y3 = 0.02 + 0.1 * q
            end = bottom + random.normal(0, 0.05, count) - 0.10 * (1 - q)
            x4 = side * (w * (0.84 + 0.16 * q) + vol * (0.1 + 1.2 * q) + 0.01)
            if style == "long" or not look.male:
                ends = ((x3, y3), (x4, 0.6 * end), (x4 * 0.99, end))
            else:
                ends = ((x3, y3 * 0.4 - 0.1), (x3 * 0.985, end - 0.1))
            lay(row((root_x, root_y), (x1, y1), (x2, y2), *ends), 0.012, thick, bright)
    elif style == "fringe":
        low = 0.05 if look.male else 0.55 - 0.3 * random.random()
        lay(cap(220), 0.006, 0.03, 0.42)
        side = random.choice([-1, 1], 300)
        q = random.random(300)
        x2 = side * (w * (0.93 + 0.1 * q) + vol * q)
        curves = row(
            (side * 0.1, top - vol * 0.8),
            (x2 * 0.8, top - vol),
            (x2 * 1.04, -0.55),
            (x2, -0.1),
            (x2 * 0.985, low + random.normal(0, 0.04, 300)),
        )
        lay(curves, 0.012, 0.035, 0.48)
        count = 420
        x = random.uniform(-0.86, 0.86, count) * w
        sweep = lean * 0.16
        end = -0.315 + 0.05 * np.abs(x / w) ** 2 + lean * 0.06 * x
        end = end + 0.022 * np.sin(x * 31 + 5 * lean) + random.normal(0, 0.03, count)
        curves = row(
            (x * 0.42 - sweep * 0.6, top - vol * 0.75 + 0.1 * x**2),
            (x * 0.8 - sweep * 0.3, top - vol * 0.4),
            (x, -0.66),
            (x + sweep * 0.4, end),
        )
        lay(curves, 0.012, 0.020, 0.56)
    elif style == "bun":
        angle = np.linspace(0, 2 * np.pi, 120) + random.normal(0, 0.1, 120)
        r = 0.25 * np.sqrt(random.random(120))
        cx, cy = 0.03 * lean, top - 0.13
        curves = row(
            (cx + r * np.cos(angle), cy + r * np.sin(angle)),
            (cx + r * np.cos(angle + 0.9) * 1.35, cy + r * np.sin(angle + 0.9) * 1.35),
            (cx + r * np.cos(angle + 1.8), cy + r * np.sin(angle + 1.8)),
        )
        lay(curves, 0.006, 0.045, 0.48)
        lay(cap(200, -0.2), 0.008, 0.03, 0.40)
        x = random.uniform(-1.0, 1.0, 520) * w * 0.985
        y0 = hairline(look, x) - random.random(520) * 0.10
        y0 = np.minimum(y0, 0.0)
        curves = row(
            (x, y0),
            (x * 1.05, y0 - 0.22),
            (x * 0.75, top - vol + 0.06),
            (cx + x * 0.12, top - vol),
        )
        lay(curves, 0.008, 0.020, 0.55)
    else:
        lay(sides(150, 0.0), 0.008, 0.008, 0.45)
    return layers


def paint_hair(
    board: Board, look: Traits, person: Islander, light: Light, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
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
    bottom = {"long": 1.42, "fringe": 0.85, "parted": 0.85}.get(person.hair_style, 0.35)
    whole, board = board, canvas.board(board.size, -1.05, canvas.TOP, 1.05, bottom)
    image = np.zeros((*board.shape, 3), np.uint8)  # tone, cover, greyness
    fill_cap(board, look, person, image)
    for points, thick, bright in strands(look, person):
        if person.hair_style != "bun":
            points = comb(points, look, volume(look, person), random)
        if look.curl > 0.04 and person.hair_style != "bald":
            points = curl(points, look.curl, random)
        lines = board.fixed(points)
        order = random.permutation(len(lines))
        groups = np.array_split(order, 14)
        wide = max(1, round(thick * board.scale))
        for group in groups[: 10 if wide > 2 else 0]:
            tone = 255 * np.clip(bright - 0.13 + 0.05 * random.standard_normal(), 0.05, 1)
            grey = 255 * np.clip(look.grey + 0.1 * random.standard_normal(), 0, 1)
            cv2.polylines(
                image,
                [lines[i][:-1] for i in group],
                False,
                (tone, 255, grey),
                wide,
                cv2.LINE_AA,
                4,
            )
        for group in np.array_split(order, 30):
            tone = 255 * np.clip(bright + 0.14 * random.standard_normal(), 0.08, 1)
            spread = 1.2 * look.grey * (1 - look.grey)
            grey = 255 * np.clip(look.grey + spread * random.standard_normal(), 0, 1)
            cv2.polylines(
                image, [lines[i] for i in group], False, (tone, 255, grey), 1, cv2.LINE_AA, 4
            )
    field = cv2.GaussianBlur(image, (0, 0), 0.55).astype(np.float32) / 255
    tone, cover, grey = field[..., 0], field[..., 1], field[..., 2:]
    vol = volume(look, person)
    nx = board.x / (look.width + vol + 0.10)
    ny = (board.y - CAP_Y) / (CAP_Y - look.top + vol + 0.10)
    ny = np.where(board.y > CAP_Y, 0.35 * ny, ny)
    nz = cv2.sqrt(np.clip(1 - nx * nx - ny * ny, 0.06, 1).astype(np.float32))
    facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
    diffuse = np.clip((facing + 0.35) / 1.35, 0, 1)
    half = direction + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    band = np.exp(-(((ny - half[1] * 0.95 + 0.10 * (tone - 0.5)) / 0.17) ** 2)) * nz
    band *= np.exp(-(((nx - half[0]) / 0.65) ** 2))
    low = 1 - 0.35 * smoothstep(board.y, 0.1, 0.9)
    colour = look.hair * (1 - grey) + GREY * (0.75 + 0.5 * look.old) * grey
    strand = 0.12 + 1.9 * tone**1.6
    key, fill = np.float32(light.key), np.float32(light.fill) + 0.6 * np.float32(light.sky)
    lit = key * (0.9 * diffuse)[..., None] + fill * (0.45 + 0.55 * nz)[..., None]
    shine = (0.30 - 0.16 * look.curl) * band * tone**1.5 * (0.4 + 0.6 * diffuse)
    out = colour * (strand * low)[..., None] * lit
    out += shine[..., None] * key * (0.45 + 0.55 * cv2.sqrt(colour))
    if person.hair_style == "bald":
        cover = cover * 0.35
    colour = np.zeros((*whole.shape, 3), np.float32)
    colour[board.window] = out * light.exposure
    everywhere = np.zeros(whole.shape, np.float32)
    everywhere[board.window] = cover
    return colour, everywhere


def fill_cap(board: Board, look: Traits, person: Islander, image: np.ndarray) -> None:
    """Fills the hair between hairline and crown, so that no strand floats."""
    if person.hair_style in ("bald", "receding"):
        return
    vol = volume(look, person) * 0.92
    low = {"short": -0.12, "bun": -0.25}.get(person.hair_style, -0.02)
    end = np.arccos((CAP_Y - low) / (CAP_Y - look.top + vol))
    angle = np.linspace(-end, end, 60)
    x, y = rounded(angle)
    outer = np.stack([(look.width + vol) * x, CAP_Y - (CAP_Y - look.top + vol) * y], -1)
    x = np.linspace(0.97, -0.97, 60) * look.width
    inner = np.stack([x, np.minimum(hairline(look, x), low)], -1)
    cv2.fillPoly(
        image,
        [board.fixed(np.concatenate([outer, inner]).astype(np.float32))],
        (105, 255, 255 * look.grey),
        cv2.LINE_AA,
        4,
    )


def rounded(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns x and y of the skull's outline, flatter than a circle, at angles from the crown."""
    x, y = np.sin(angle), np.cos(angle)
    return np.sign(x) * np.abs(x) ** (2 / 2.4), np.sign(y) * np.abs(y) ** (2 / 2.4)


def comb(points: np.ndarray, look: Traits, vol: float, random: np.random.Generator) -> np.ndarray:
    """Pulls strands that stick out of the hair's ellipse back to it."""
    x = points[..., 0] / (look.width + 1.1 * vol)
    y = (points[..., 1] - CAP_Y) / (CAP_Y - look.top + 1.15 * vol)
    reach = np.where(y < 0, (np.abs(x) ** 2.4 + np.abs(y) ** 2.4) ** (1 / 2.4), 0)
    loose = 1 + 0.022 * random.standard_normal((len(points), 1)).astype(np.float32)
    pull = np.minimum(1, loose / np.maximum(reach, 0.5))
    pulled = np.stack([points[..., 0] * pull, (points[..., 1] - CAP_Y) * pull + CAP_Y], -1)
    return pulled.astype(np.float32)


def curl(points: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Bends strands into waves, or into curls when the amount nears 1."""
    count, n, _ = points.shape
    step = np.diff(points, axis=1, prepend=points[:, :1])
    along = np.cumsum(np.hypot(step[..., 0], step[..., 1]), 1)
    tangent = np.gradient(points, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
    length = (0.36 - 0.24 * amount) * random.uniform(0.85, 1.15, (count, 1))
    phase = random.uniform(0, 2 * np.pi, (count, 1)) * (0.3 + 0.7 * amount)
    wave = np.sin(along / length * 2 * np.pi + phase) * smoothstep(along, 0.03, 0.25)
    return points + normal * ((0.012 + 0.016 * amount) * min(1, 4 * amount) * wave)[..., None]
