"""Who lives on the Archipelago: the latents of an islander, from nothing but a number.

Voice and face share five latents: sex, age, size, island and mouth. From hair to shape the others
show in the face only, from pitch to room in the voice only. What an encoder can learn is what is
shared; how the rest varies keeps it from learning more than that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from helpers.settings import FIRST_TEST_ISLANDER

ISLANDS = ("Aurel", "Brindle", "Cormorant", "Dunmere", "Eskerry", "Farrow")
"""Names of the six islands; `Islander.island` is an index into them."""
HAIR_STYLES = ("short", "parted", "fringe", "long", "bun", "receding", "bald")
EYE_COLOURS = ("brown", "hazel", "green", "blue", "grey")


@dataclasses.dataclass(frozen=True)
class Islander:
    """One islander.

    Attributes:
        number: Which islander; at or above 1,000,000 for testing only.
        sex: `F` or `M`.
        age: Years, 18 to 80.
        size: Body size, a z-score within the sex: long vocal tract, broad and heavy face.
        island: 0 to 5, an accent and a typical look.
        mouth: Mouth shape, a z-score: small and rounded to wide and full.
        hair_style: One of `HAIR_STYLES`.
        hair_colour: Z-score around the island's colour, light to dark.
        eye_colour: One of `EYE_COLOURS`.
        skin: Z-score around the island's tone, light to dark.
        beard: 0 (none) to 1 (full).
        glasses: Wears glasses.
        scar: 0 for none, else the seed of its place.
        shape: Eight z-scores of the face's own shape: brow, eye distance, eye size, nose length,
            nose width, cheekbones, jaw, chin.
        pitch: Habitual pitch, a z-score around what sex, age and size lead one to expect.
        tempo: Habitual speaking rate, a z-score.
        tone: Four z-scores of the voice's own colour: breathiness, spectral tilt, formant
            pattern, liveliness of the melody.
        language: 0 to 2, which of the island's languages the islander speaks.
        microphone: Seed of the microphone.
        room: Seed of the room.
    """

    number: int
    sex: str
    age: float
    size: float
    island: int
    mouth: float
    hair_style: str
    hair_colour: float
    eye_colour: str
    skin: float
    beard: float
    glasses: bool
    scar: int
    shape: tuple[float, ...]
    pitch: float
    tempo: float
    tone: tuple[float, ...]
    language: int
    microphone: int
    room: int

    @property
    def split(self) -> str:
        """`test` from 1,000,000 on; below it one islander in ten is `validation`."""
        if self.number >= FIRST_TEST_ISLANDER:
            return "test"
        return "validation" if self.number % 10 == 9 else "train"


def islander(number: int) -> Islander:
    """Returns the islander of that number: always the same one, in every process.

    Args:
        number: 0 or more.

    Raises:
        ValueError: The number is negative or not whole.
    """
    if number != int(number) or number < 0:
        raise ValueError(f"An islander's number is 0 or more, not {number!r}.")
    random = generator("islander", number)
    sex = "FM"[random.integers(2)]
    age = float(np.round(18 + 62 * random.beta(1.2, 1.6), 1))
    size, mouth = _z(random), _z(random)
    island = int(random.integers(len(ISLANDS)))
    return Islander(
        number=int(number),
        sex=sex,
        age=age,
        size=size,
        island=island,
        mouth=mouth,
        hair_style=_hair_style(random, sex, age),
        hair_colour=_z(random),
        eye_colour=_eye_colour(random, island),
        skin=_z(random),
        beard=float(np.round(random.uniform(0.3, 1), 2)) if _beard(random, sex) else 0.0,
        glasses=bool(random.random() < 0.1 + 0.25 * (age > 45)),
        scar=int(random.integers(1, 1000)) if random.random() < 0.08 else 0,
        shape=tuple(_z(random) for _ in range(8)),
        pitch=_z(random),
        tempo=_z(random),
        tone=tuple(_z(random) for _ in range(4)),
        language=int(random.integers(3)),
        microphone=int(random.integers(2**31)),
        room=int(random.integers(2**31)),
    )


def latents(numbers: Iterable[int]) -> list[dict[str, object]]:
    """Returns the latents of many islanders as rows of the `latents` table.

    The table serves evaluation only; no network ever sees it.
    """
    rows = []
    for number in numbers:
        person = islander(number)
        rows.append({**dataclasses.asdict(person), "split": person.split})
    return rows


def generator(purpose: str, *numbers: int) -> np.random.Generator:
    """Returns a random generator that depends on its purpose and numbers alone."""
    words = [int.from_bytes(purpose.encode()[:8], "little"), *(int(n) for n in numbers)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _z(random: np.random.Generator) -> float:
    return float(np.round(np.clip(random.standard_normal(), -2.5, 2.5), 4))


def _hair_style(random: np.random.Generator, sex: str, age: float) -> str:
    bare = 0.005 * max(0.0, age - 25) if sex == "M" else 0.0
    if sex == "F":
        weights = np.array([0.14, 0.10, 0.22, 0.36, 0.18, 0.0, 0.0])
    else:
        weights = np.array([0.42, 0.28, 0.18, 0.08, 0.02, 0.02 + bare, 0.02 + 0.8 * bare])
    return str(random.choice(HAIR_STYLES, p=weights / weights.sum()))


def _eye_colour(random: np.random.Generator, island: int) -> str:
    light = np.array([0.15, 0.15, 0.2, 0.3, 0.2])
    dark = np.array([0.7, 0.2, 0.05, 0.03, 0.02])
    share = (0.9, 0.15, 0.6, 0.05, 0.75, 0.3)[island]
    return str(random.choice(EYE_COLOURS, p=share * light + (1 - share) * dark))


def _beard(random: np.random.Generator, sex: str) -> bool:
    return bool(random.random() < 0.35) and sex == "M"
