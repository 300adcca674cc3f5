"""What is around a head: neck, shoulders, clothes, hair behind the neck, and a blurred room."""

from __future__ import annotations

import cv2
import numpy as np

from helpers.archipelago import canvas
from helpers.archipelago.canvas import Board, bezier, noise_at, smoothstep
from helpers.archipelago.islanders import Islander, generator
from helpers.archipelago.shading import illuminate
from helpers.archipelago.staging import Light
from helpers.archipelago.traits import Traits


def room(size: int, light: Light) -> np.ndarray:
    """Returns a muted, out-of-focus room, float32 (size, size, 3) linear RGB."""
    if light.plain:
        down = np.linspace(0, 1, 64, dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, 64, dtype=np.float32)[None]
        glow = 0.34 - 0.10 * down - 0.07 * (across - 0.1) ** 2
        backdrop = glow[..., None] * np.float32([0.93, 0.98, 1.06])
        return cv2.resize(backdrop.astype(np.float32), (size, size))
    random = generator("room", light.seed)
    hue = random.random()
    wall = muted(hue, random.uniform(0.05, 0.20), random.uniform(0.35, 0.75))
    small = np.empty((72, 72, 3), np.float32)
    small[:] = wall
    small *= np.linspace(1.1, 0.75, 72, dtype=np.float32)[:, None, None]
    for _ in range(random.integers(3, 8)):
        colour = muted(random.random(), random.uniform(0.05, 0.40), random.uniform(0.10, 0.70))
        x, y = random.integers(-10, 70, 2)
        w, h = random.integers(8, 30), random.integers(10, 50)
        cv2.rectangle(
            small, (int(x), int(y)), (int(x + w), int(y + h)), [float(c) for c in colour], -1
        )
    if random.random() < 0.5:
        x = int(random.choice([-4, 50]))
        cv2.rectangle(small, (x, 4), (x + 24, 46), (0.95, 0.97, 1.0), -1)
    small = cv2.GaussianBlur(small, (0, 0), float(random.uniform(3.5, 6.5)))
    slope = np.linspace(-1, 1, 72, dtype=np.float32)[None, :, None] * float(light.direction[0])
    small *= (0.55 + 0.2 * slope) * light.exposure
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def muted(hue: float, saturation: float, value: float) -> np.ndarray:
    """Returns a linear RGB colour of hue 0..1, saturation 0..1 and sRGB value 0..1."""
    shift = np.abs(np.mod(hue * 6 + np.array([0.0, 4.0, 2.0]), 6) - 3) - 1
    rgb = value * (1 - saturation * (1 - np.clip(shift, 0, 1)))
    return (rgb**2).astype(np.float32)


def body(
    board: Board, look: Traits, person: Islander, light: Light, picture: np.ndarray
) -> np.ndarray:
    """Paints neck, shoulders and clothes over a picture, float32 (size, size, 3) linear."""
    random = generator("clothes", light.seed, person.number)
    direction = np.array(light.direction, np.float32)
    if person.hair_style == "long" or (person.hair_style == "parted" and not look.male):
        back = back_hair(board, look, person, light)
        picture = picture * (1 - back[1][..., None]) + back[0] * back[1][..., None]
    whole, board = picture, canvas.board(board.size, canvas.LEFT, 0.25)
    picture = picture[board.window]
    x, y = board.x, board.y
    # Neck: a column that flares into the shoulders.
    neck = look.neck + 0.9 * np.clip(y - 1.02, 0, 1) ** 2 + 0.03 * smoothstep(0.9 - y, 0, 0.4)
    u = np.clip(x / neck, -0.999, 0.999)
    nz = np.sqrt(1 - u * u)
    tendon = np.exp(-(((np.abs(x) - 0.36 + 0.26 * (y - 0.75)) / 0.045) ** 2)) * (y > 0.6)
    nx = u * 0.9 + 0.10 * tendon * np.sign(x)
    ny = np.full_like(x, -0.05)
    occlusion = 0.20 + 0.80 * smoothstep(
        y - look.chin + 0.30 * (x + 0.22 * direction[0]) ** 2, 0.0, 0.34
    )
    lit = illuminate((nx, ny, nz), light, direction, 0.78 * (1 - occlusion), occlusion)
    grain = 1 + 0.02 * noise_at(1, random, x.shape) + 0.03 * tendon
    pit = np.exp(-((x / 0.07) ** 2) - (((y - 1.30) / 0.07) ** 2))
    flesh = look.skin * np.float32([0.93, 0.94, 0.94]) * lit * (grain - 0.22 * pit)[..., None]
    cover = board.edge(neck - np.abs(x), 2) * (y > 0.3)
    picture = picture * (1 - cover[..., None]) + flesh * cover[..., None]
    # Clothes: shoulders slope from the neck.
    width = 1.12 + 0.13 * look.male + 0.07 * look.size
    slope = 1.13 - 0.02 * look.male + 0.30 * (np.abs(x) / width) ** 1.7
    slope = slope + 0.9 * np.clip(np.abs(x) - width, 0, 1)
    style = random.integers(3)
    reach = look.neck + 0.10
    if style == 0:
        dip = 0.22 * np.clip(1 - (x / reach) ** 2, 0, 1)
    elif style == 1:
        dip = 0.55 * np.clip(1 - np.abs(x) / reach, 0, 1)
    else:
        dip = 0.10 * np.clip(1 - (x / reach) ** 2, 0, 1)
    edge = slope + dip
    cloth = muted(random.random(), random.uniform(0.05, 0.45), random.uniform(0.15, 0.75))
    distance = y - edge
    coarse = noise_at(3, random, (24, 48))
    folds = 0.07 * cv2.resize(coarse, x.shape[::-1], interpolation=cv2.INTER_CUBIC)
    folds += 0.03 * noise_at(0, random, x.shape)
    sx = np.clip(x / width, -1, 1)
    cz = np.sqrt(1 - 0.75 * sx * sx)
    lit = illuminate((sx * 0.8, np.full_like(x, -0.35), cz * 0.9), light, direction, 0.0, 1.0)
    hem = (
        1
        + 0.22 * np.exp(-(((distance - 0.020) / 0.016) ** 2))
        - 0.35 * np.exp(-(((distance - 0.055) / 0.012) ** 2))
    )
    garment = cloth * lit * (hem * (1 + folds) * 0.85)[..., None]
    cover = board.edge(distance, 2)
    shade = 1 - 0.35 * np.exp(-np.clip(-distance, 0, 1) / 0.03) * (distance < 0)
    shade = 1 - (1 - shade) * (np.abs(x) < neck)
    picture = picture * shade[..., None]
    whole = whole.copy()
    whole[board.window] = picture * (1 - cover[..., None]) + garment * cover[..., None]
    return whole


def back_hair(
    board: Board, look: Traits, person: Islander, light: Light
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the dark hair behind the neck: linear RGB and cover."""
    random = generator("backhair", person.number)
    bottom = 1.15 if person.hair_style == "long" else 0.55
    half = look.width * 0.96
    x = random.uniform(-1, 1, 90) * half
    end = bottom + random.normal(0, 0.04, 90)
    control = np.stack(
        [
            np.stack([x * 0.86, np.full(90, 0.28)], -1),
            np.stack([x * 1.0, np.full(90, 0.45)], -1),
            np.stack([x, end], -1),
        ],
        1,
    )
    image = np.zeros((*board.shape, 2), np.uint8)
    wide = max(1, round(0.10 * board.scale))
    lines = board.fixed(bezier(control, 10))
    for group in np.array_split(np.arange(90), 9):
        tone = int(np.clip(80 + 30 * random.standard_normal(), 20, 200))
        cv2.polylines(image, [lines[i] for i in group], False, (tone, 255), wide, cv2.LINE_AA, 4)
    field = board.blur(image.astype(np.float32) / 255, 0.012)
    colour = look.hair * (1 - look.grey) + np.float32([0.42, 0.41, 0.40]) * look.grey
    fill = np.float32(light.fill) * light.exposure
    return colour * fill * (0.35 + field[..., :1]), field[..., 1]
