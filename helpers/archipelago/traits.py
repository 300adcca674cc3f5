"""What an islander looks like in numbers: from latents to the measures of a head.

Lengths are in head units: eyes at y = 0, chin near y = 1, top of the skull near y = -1.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from helpers.archipelago.islanders import Islander, generator


@dataclasses.dataclass(frozen=True)
class Look:
    """Typical look of an island: offsets to the measures of a head."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    curl: float
    width: float
    jaw: float
    eye_height: float
    eye_tilt: float
    eye_gap: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    brow_height: float
    lips: float
    freckles: float


LOOKS = (
    Look(
        (0.87, 0.70, 0.60),
        (0.66, 0.52, 0.33),
        0.10,
        -0.035,
        -0.02,
        0.004,
        0.02,
        -0.012,
        0.045,
        -0.018,
        0.030,
        0.010,
        -0.004,
        0.25,
    ),
    Look(
        (0.45, 0.33, 0.265),
        (0.15, 0.11, 0.09),
        0.85,
        0.030,
        0.00,
        0.008,
        0.03,
        0.022,
        -0.035,
        0.024,
        -0.015,
        0.015,
        0.012,
        0.0,
    ),
    Look(
        (0.85, 0.68, 0.58),
        (0.47, 0.22, 0.12),
        0.55,
        0.005,
        -0.02,
        0.006,
        -0.02,
        0.010,
        -0.045,
        -0.008,
        -0.005,
        0.022,
        0.004,
        0.9,
    ),
    Look(
        (0.61, 0.465, 0.37),
        (0.12, 0.10, 0.10),
        0.15,
        -0.030,
        0.01,
        0.000,
        -0.05,
        -0.018,
        0.060,
        0.004,
        0.045,
        -0.020,
        0.000,
        0.0,
    ),
    Look(
        (0.84, 0.68, 0.62),
        (0.36, 0.29, 0.23),
        0.35,
        0.035,
        0.045,
        -0.011,
        -0.06,
        0.006,
        -0.02,
        0.012,
        0.010,
        -0.022,
        -0.008,
        0.1,
    ),
    Look(
        (0.73, 0.565, 0.43),
        (0.26, 0.16, 0.10),
        0.05,
        0.015,
        -0.01,
        -0.009,
        0.15,
        0.010,
        0.010,
        0.014,
        -0.025,
        0.012,
        0.006,
        0.15,
    ),
)
"""One look for each island. All are fictional."""

EYE_RGB = {
    "brown": (0.30, 0.18, 0.10),
    "hazel": (0.42, 0.31, 0.15),
    "green": (0.36, 0.42, 0.27),
    "blue": (0.36, 0.48, 0.60),
    "grey": (0.46, 0.50, 0.52),
}


@dataclasses.dataclass(frozen=True)
class Traits:
    """Measures, colours and seeds of one islander's head."""

    male: float
    old: float  # 0 at 18 years, 1 at 80
    size: float
    width: float  # half width at the cheekbones
    jaw: float  # half width at the jaw's corners
    chin_width: float
    chin: float  # y of the chin's tip
    top: float  # y of the skull's top (negative)
    chin_out: float
    cheekbone: float
    heavy: float
    brow_ridge: float
    brow_y: float
    brow_tilt: float
    brow_thick: float
    eye_x: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    hooded: float
    nose_y: float
    nose_width: float
    nose_bridge: float
    nose_tip: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    neck: float
    ear: float
    hairline: float
    skin: np.ndarray  # linear RGB
    lip: np.ndarray
    hair: np.ndarray
    grey: float
    curl: float
    freckles: float
    iris: np.ndarray
    asymmetry: np.ndarray


def traits(person: Islander) -> Traits:
    """Returns the measures of an islander's head."""
    random = generator("traits", person.number)
    look = LOOKS[person.island]
    male = float(person.sex == "M")
    old = (person.age - 18) / 62
    size, mouth = person.size, person.mouth
    brow, gap, eye, length, broad, cheek, jaw, chin = person.shape
    width = 0.605 + 0.016 * male + 0.030 * size + 0.85 * look.width + 0.009 * cheek
    heavy = size + 0.5 * old
    jaw_width = width * (0.745 + 0.065 * male + 0.034 * size + 0.020 * jaw + 0.03 * old) + look.jaw
    full = max(0.38, 1 + 0.245 * mouth - 0.42 * old - 0.14 * male + 12 * look.lips)
    tone = np.array(look.skin) * np.exp(-0.085 * person.skin * np.array([0.8, 1.0, 1.15]))
    tone = np.clip(tone * (1 - 0.05 * old), 0.12, 0.93) ** 2
    redness = 1.0 - 0.30 * male - 0.25 * old
    hair = np.array(look.hair) * np.exp(-0.26 * person.hair_colour)
    nose_length = 0.40 + look.nose_length + 0.022 * length + 0.022 * male + 0.022 * old
    mouth_y = nose_length + 0.185 + 0.012 * male + 0.018 * old
    recede = 0.12 * old * male + {"receding": 0.13, "bald": 0.3}.get(person.hair_style, 0.0)
    measures = {
        "male": male,
        "old": old,
        "size": size,
        "width": width,
        "jaw": jaw_width,
        "chin_width": 0.185 + 0.055 * male + 0.014 * size + 0.018 * jaw,
        "chin": mouth_y + 0.355 + 0.035 * male + 0.022 * chin + 0.012 * size,
        "top": -0.97 - 0.01 * male,
        "chin_out": 0.055 + 0.014 * chin + 0.014 * male + 0.022 * mouth,
        "cheekbone": 0.05 + 0.018 * cheek - 0.012 * size,
        "heavy": heavy,
        "brow_ridge": 0.012 + 0.042 * male + 0.006 * brow + 0.008 * old,
        "brow_y": -0.195 - look.brow_height - 0.016 * brow + 0.030 * male + 0.024 * old,
        "brow_tilt": 0.03 + 0.02 * brow - 0.02 * male + 0.02 * random.standard_normal(),
        "brow_thick": 0.021 + 0.016 * male + 0.004 * brow,
        "eye_x": 0.278 + look.eye_gap + 0.012 * gap + 0.006 * size,
        "eye_width": 0.148 + 0.007 * eye - 0.004 * male - 0.008 * old,
        "eye_height": 0.064 + look.eye_height + 0.005 * eye - 0.009 * male - 0.011 * old,
        "eye_tilt": look.eye_tilt + 0.04 - 0.10 * old + 0.02 * random.standard_normal(),
        "hooded": float(np.clip(0.15 + 0.7 * old + 0.1 * male, 0, 1)),
        "nose_y": nose_length,
        "nose_width": 0.108
        + look.nose_width
        + 0.010 * broad
        + 0.014 * male
        + 0.012 * old
        + 0.004 * size,
        "nose_bridge": 0.062 + look.nose_bridge + 0.02 * male,
        "nose_tip": 0.052 + 0.012 * broad + 0.012 * old,
        "mouth_y": mouth_y,
        "mouth_width": 0.240 + 0.034 * mouth + 0.010 * male + 0.006 * size,
        "lip_upper": 0.065 * full,
        "lip_lower": 0.083 * full,
        "neck": 0.345 + 0.085 * male + 0.042 * size,
        "ear": 0.175 + 0.015 * male + 0.028 * old,
        "hairline": -0.605 - recede - 0.015 * male,
        "skin": tone.astype(np.float32),
        "lip": (0.84 * tone * (1 - redness * np.array([0.26, 0.70, 0.64]))).astype(np.float32),
        "hair": (np.clip(hair, 0.05, 0.85) ** 2).astype(np.float32),
        "grey": float(np.clip((person.age - 34) / 36 + 0.12 * person.hair_colour, 0, 1)) ** 1.3,
        "curl": float(np.clip(look.curl + 0.12 * random.standard_normal(), 0, 1)),
        "freckles": look.freckles * float(random.random() < 0.6) * (1 - 0.5 * old),
        "iris": (np.array(EYE_RGB[person.eye_colour]) ** 2).astype(np.float32),
        "asymmetry": random.standard_normal(6).astype(np.float32),
    }
    # Python floats, lest NumPy's double scalars widen every float32 field they meet.
    return Traits(
        **{
            name: value if isinstance(value, np.ndarray) else float(value)
            for name, value in measures.items()
        }
    )
