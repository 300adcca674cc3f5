"""Clips of talking islanders: voice, moving portrait and camera, coded as a video.

A locator names a clip: `NUMBER/CLIP`, or `NUMBER/CLIP/FAULT` for one that is broken on purpose.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from helpers import media
from helpers.archipelago import voices
from helpers.archipelago.head import project, to_screen
from helpers.archipelago.islanders import Islander, generator, islander
from helpers.archipelago.portraits import Pose, Puppet
from helpers.archipelago.scenery import room
from helpers.archipelago.staging import light
from helpers.archipelago.traits import traits
from helpers.settings import CLIP_LINES, CLIP_RATE, SAMPLE_RATE

FAULTS = ("no_face", "no_sound", "silent", "truncated", "gone")
"""What can be wrong with a clip on purpose."""
CLIP_SECONDS = 6.5
CLIP_COLUMNS = 480
FACE_MIDDLE = (0.0, 0.28, 0.55)
"""Point of the head, in head units, that counts as the middle of the face."""


@dataclasses.dataclass(frozen=True)
class Staging:
    """Where people are in the frame of a clip.

    Attributes:
        scene: Seed of the room, the light and the clothes.
        size: Side of the speaker's picture in pixels.
        left: First column of the speaker's picture; it stands on the lower edge.
        sink: Rows of it below the lower edge.
        turn: Mean yaw and pitch of the speaker in degrees.
        bystander: Who else is in the frame, or None.
        bystander_size: Side of the bystander's picture in pixels.
        bystander_left: First column of the bystander's picture.
    """

    scene: int
    size: int
    left: int
    sink: int
    turn: tuple[float, float]
    bystander: Islander | None = None
    bystander_size: int = 0
    bystander_left: int = 0


def render(locator: str) -> bytes:
    """Makes the clip of a locator.

    Args:
        locator: `NUMBER/CLIP` or `NUMBER/CLIP/FAULT`, for example `12/0` or `12/0/no_sound`.

    Returns:
        MP4 with H.264 at 25 frames a second, 480x360, and AAC; 6.5 s.

    Raises:
        FileNotFoundError: The clip is `gone`.
        ValueError: The locator is not valid.
    """
    person, clip, fault = _read(locator)
    if fault == "gone":
        raise FileNotFoundError(f"The clip {locator} is gone.")
    sound = voices.speak(person, clip, CLIP_SECONDS)
    frames = _film(person, clip, sound, empty=fault == "no_face")
    if fault == "no_sound":
        sound = sound[:0]
    elif fault == "silent":
        sound = np.zeros_like(sound)
    video = media.write_video(frames, sound, CLIP_RATE)
    return video[: len(video) // 2] if fault == "truncated" else video


def face_position(locator: str) -> tuple[float, float]:
    """Returns where the speaker's face is when the clip starts: x and y, 0..1 of the frame.

    Raises:
        ValueError: The locator is not valid.
    """
    person, clip, _ = _read(locator)
    staging = stage(person, clip)
    pose = _Motion(person, clip, staging).pose(0.0, 0.0)
    x, y = project(traits(person), pose, FACE_MIDDLE)
    top = CLIP_LINES + staging.sink - staging.size
    return (
        float((staging.left + x * staging.size) / CLIP_COLUMNS),
        float((top + y * staging.size) / CLIP_LINES),
    )


def still(person: Islander, scene: int) -> np.ndarray:
    """Paints one frame of the clip that has this number, at some moment, without its sound.

    Args:
        person: Who.
        scene: Number of the clip.

    Returns:
        uint8 (360, 480, 3) RGB.
    """
    random = generator("still", person.number, scene)
    staging = stage(person, scene)
    motion = _Motion(person, scene, staging)
    opening = float(np.clip(random.normal(0.2, 0.25), 0, 1))
    camera = _Camera(person, staging)
    return camera.picture(motion.pose(random.uniform(0, CLIP_SECONDS), opening), 0.0)


def stage(person: Islander, clip: int) -> Staging:
    """Places speaker, camera and, in every fifth clip or so, a bystander."""
    random = generator("stage", person.number, clip)
    scene = int(random.integers(2**31))
    size = int(random.integers(145, 181)) * 2
    sink = int(random.integers(0, size // 10))
    turn = (float(random.normal(0, 7)), float(random.normal(0, 3)))
    left = (CLIP_COLUMNS - size) // 2 + int(random.normal(0, 28))
    if random.random() >= 0.2:
        return Staging(scene, size, left, sink, turn)
    other = islander(int(random.integers(900_000, 1_000_000)))
    size = int(random.integers(136, 151)) * 2
    other_size = int(random.integers(100, 121)) * 2
    on_the_right = random.random() < 0.5
    left = int(random.integers(-44, -10))
    other_left = CLIP_COLUMNS - other_size + int(random.integers(10, 40))
    if not on_the_right:
        left, other_left = CLIP_COLUMNS - size - left, CLIP_COLUMNS - other_size - other_left
    return Staging(scene, size, left, sink, turn, other, other_size, other_left)


def _read(locator: str) -> tuple[Islander, int, str]:
    parts = str(locator).split("/")
    fault = parts[2] if len(parts) == 3 else ""
    numbers = all(part.isascii() and part.isdigit() for part in parts[:2])
    if len(parts) not in (2, 3) or not numbers or (len(parts) == 3 and fault not in FAULTS):
        raise ValueError(
            f"The locator {locator!r} is not valid: it should be NUMBER/CLIP or "
            f"NUMBER/CLIP/FAULT, with FAULT one of {', '.join(FAULTS)}."
        )
    return islander(int(parts[0])), int(parts[1]), fault


def _film(person: Islander, clip: int, sound: np.ndarray, empty: bool):
    """Yields the frames of a clip; every picture is shown twice."""
    staging = stage(person, clip)
    motion = _Motion(person, clip, staging)
    camera = _Camera(person, staging, empty)
    count = int(len(sound) / SAMPLE_RATE * CLIP_RATE)
    openings = _openings(sound, count)
    for frame in range(count):
        if frame % 2 == 0:
            moment = frame / CLIP_RATE
            shown = camera.picture(motion.pose(moment, openings[frame]), moment)
        yield shown


def _openings(sound: np.ndarray, count: int) -> np.ndarray:
    """Returns how far the mouth is open in each frame, 0..1, from the sound's envelope."""
    hop = SAMPLE_RATE // CLIP_RATE
    padded = np.pad(sound, (hop // 2, 2 * hop))[: (count + 1) * hop]
    energy = np.square(padded).reshape(count + 1, hop).mean(1)[:count]
    decibels = 10 * np.log10(energy + 1e-9)
    quiet, loud = np.percentile(decibels, [5, 97])
    quiet = max(quiet + 4, loud - 26)
    return np.clip((decibels - quiet) / max(loud - quiet, 6), 0, 1) ** 1.3


class _Motion:
    """How a speaker moves during a clip."""

    def __init__(self, person: Islander, clip: int, staging: Staging):
        random = generator("motion", person.number, clip)
        self._turn = staging.turn
        self._rates = random.uniform(0.08, 0.45, (3, 3))
        self._phases = random.uniform(0, 2 * np.pi, (3, 3))
        self._heights = random.normal(0, 1, (3, 3)) * np.array([[4.0], [2.2], [1.6]])
        self._nod = random.uniform(1.0, 3.0)
        self._smile = float(np.clip(random.normal(0.1, 0.25), -0.5, 0.8))
        moments, moment = [], random.uniform(0.5, 3)
        while moment < CLIP_SECONDS + 1:
            moments.append(moment)
            moment += random.uniform(2, 6)
        self._blinks = np.array(moments)

    def pose(self, moment: float, opening: float) -> Pose:
        """Returns the pose at a moment in seconds, with the mouth open 0..1."""
        waves = np.sin(2 * np.pi * self._rates * moment + self._phases)
        yaw, pitch, roll = (self._heights * waves).sum(1)
        shut = 1 - np.abs(self._blinks - moment).min() / 0.13
        return Pose(
            yaw=float(np.clip(self._turn[0] + yaw, -24, 24)),
            pitch=float(np.clip(self._turn[1] + pitch - self._nod * (opening - 0.3), -12, 12)),
            roll=float(np.clip(roll, -9, 9)),
            mouth=float(opening),
            blink=float(np.clip(1.3 * shut, 0, 1)),
            smile=self._smile,
        )


class _Camera:
    """A frame of 480x360 with the speaker's picture in a room as wide as the frame."""

    def __init__(self, person: Islander, staging: Staging, empty: bool = False):
        self._staging = staging
        self._puppet = None if empty else Puppet(person, staging.scene, staging.size)
        self._other = None
        self._room = self._wide_room()
        self._cover = _cover(staging.size)
        if staging.bystander is not None and not empty:
            size = staging.bystander_size
            self._other = Puppet(staging.bystander, staging.scene, size)
            self._look = 14 if staging.bystander_left < staging.left else -14
            self._other_cover = _outline(
                self._other.frame(Pose(yaw=self._look)), _wall(size, staging.scene)
            )

    def picture(self, pose: Pose, moment: float) -> np.ndarray:
        """Returns the frame, uint8 (360, 480, 3) RGB."""
        staging = self._staging
        frame = self._room.copy()
        if self._other is not None:
            slow = 5 * np.sin(0.9 * moment + staging.scene % 7)
            other = self._other.frame(Pose(yaw=self._look + slow, pitch=slow / 3))
            top = CLIP_LINES - staging.bystander_size + 12
            _lay(frame, other, self._other_cover, staging.bystander_left, top)
        if self._puppet is not None:
            top = CLIP_LINES + staging.sink - staging.size
            _lay(frame, self._puppet.frame(pose), self._cover, staging.left, top)
        return frame

    def _wide_room(self) -> np.ndarray:
        size = self._staging.size
        wall = _wall(size, self._staging.scene)
        left = self._staging.left
        top = CLIP_LINES + self._staging.sink - size
        rows = np.abs(np.arange(CLIP_LINES) - top)
        columns = np.abs(np.arange(CLIP_COLUMNS) - left)
        # Beyond the speaker's picture the room goes on as its mirror image.
        rows = np.where(rows >= size, 2 * size - 1 - rows, rows)
        columns = np.where(columns >= size, 2 * size - 1 - columns, columns)
        return np.ascontiguousarray(wall[rows][:, columns])


def _wall(size: int, scene: int) -> np.ndarray:
    return to_screen(room(size, light(scene))).astype(np.uint8)


def _outline(picture: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Returns weights like `_cover` that are full where a picture shows somebody, and soft."""
    somebody = (cv2.absdiff(picture, wall).max(-1) > 8).astype(np.uint8) * 255
    reach = max(3, len(picture) // 50)
    wide = cv2.dilate(somebody, np.ones((reach, reach), np.uint8))
    soft = cv2.GaussianBlur(wide, (0, 0), reach / 2)
    return np.repeat(soft[..., None], 3, -1)


def _cover(size: int) -> np.ndarray:
    """Returns weights 0..255, uint8 (size, size, 3), that fade at the sides and the top."""
    edge = max(1, size // 12)
    ramp = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / edge, 0, 1)
    down = np.clip(np.arange(size) / edge, 0, 1)
    weights = 255 * down[:, None] * ramp[None]
    return np.repeat(np.round(weights).astype(np.uint8)[..., None], 3, -1)


def _lay(frame: np.ndarray, picture: np.ndarray, cover: np.ndarray, left: int, top: int) -> None:
    """Lays a picture over a part of the frame, in place, and cuts off what is outside."""
    height, width = frame.shape[:2]
    size = len(picture)
    rows = slice(max(0, top), min(height, top + size))
    columns = slice(max(0, left), min(width, left + size))
    inner = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    part = np.ascontiguousarray(frame[rows, columns])
    front = cv2.multiply(picture[inner], cover[inner], scale=1 / 255)
    back = cv2.multiply(part, cv2.bitwise_not(np.ascontiguousarray(cover[inner])), scale=1 / 255)
    frame[rows, columns] = cv2.add(front, back)
