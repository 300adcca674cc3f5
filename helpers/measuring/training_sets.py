"""The training set changed, and the average face moving with it.

A small model predicts the feature of a face from the exact numbers that an islander's voice is made
with, by linear (ridge) regression: nothing in it has ever seen anybody else. So one can fit it in
a blink on everybody, on the women only, on one island only, let it hear the *same* test voices each
time, and see what becomes of their faces. With a network of millions of weights the same happens;
it only takes longer to show.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.archipelago import voices
from helpers.archipelago.islanders import ISLANDS, islander
from helpers.measuring import face_axes, oracles
from helpers.settings import FIRST_TEST_ISLANDER

if TYPE_CHECKING:
    from helpers.face_features import AttributeReader

HEARD_PEOPLE = 120
_PENALTY = 30.0


@dataclasses.dataclass(frozen=True)
class People:
    """Islanders as a training set, or as those who are heard afterwards.

    Attributes:
        voices: Parameters of their voices, (n, p).
        features: Features of their faces, (n, d); empty for those who are only heard.
        sex: `F` or `M`, (n,).
        age: Years, (n,).
        island: Names of their islands, (n,).
    """

    voices: np.ndarray
    features: np.ndarray
    sex: np.ndarray
    age: np.ndarray
    island: np.ndarray

    def __len__(self) -> int:
        """Returns the number of people."""
        return len(self.voices)


TRAINING_SETS: dict[str, Callable[[People], np.ndarray]] = {
    "everybody": lambda people: np.ones(len(people), bool),
    "women only": lambda people: people.sex == "F",
    "men only": lambda people: people.sex == "M",
    "under 35 only": lambda people: people.age < 35,
    "over 60 only": lambda people: people.age > 60,
    "Brindle only": lambda people: people.island == "Brindle",
    "Eskerry only": lambda people: people.island == "Eskerry",
}
"""Name of each training set and who is in it."""
GROUPS: dict[str, Callable[[People], np.ndarray]] = {
    "women": lambda people: people.sex == "F",
    "men": lambda people: people.sex == "M",
    "under 35": lambda people: people.age < 35,
    "over 60": lambda people: people.age > 60,
}
"""Groups of those who are heard; the average face of each is shown."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What becomes of the same voices after training on one set.

    Attributes:
        name: Name of the training set.
        trained_on: How many people are in it.
        means: Mean predicted feature of each group of `GROUPS`, (4, d).
        women_right: Share of the women's faces that look female, 0 to 1.
        men_right: Share of the men's faces that look male, 0 to 1.
        error_of_young: Mean error of apparent age of those under 35, years; above 0 is too old.
        error_of_old: The same of those over 60.
    """

    name: str
    trained_on: int
    means: np.ndarray
    women_right: float
    men_right: float
    error_of_young: float
    error_of_old: float

    def row(self) -> dict[str, object]:
        """Returns the numbers as a row for `show.table`."""
        return {
            "trained on": self.name,
            "people": self.trained_on,
            "women drawn as women": f"{self.women_right:.0%}",
            "men drawn as men": f"{self.men_right:.0%}",
            "under 35 drawn too old by": f"{self.error_of_young:+.0f} years",
            "over 60 drawn too old by": f"{self.error_of_old:+.0f} years",
        }


def outcomes(reader: AttributeReader, training: People | None = None) -> list[Outcome]:
    """Trains on each of `TRAINING_SETS` and listens to the same test voices each time.

    Args:
        reader: What reads apparent sex and age from a feature.
        training: All who could be trained on; None takes `training_people`.
    """
    training, heard = training or training_people(), heard_people()
    found = []
    for name, who in TRAINING_SETS.items():
        chosen = who(training)
        features = predicted(training, chosen, heard)
        male, errors = reader.sex(features) > 0.5, reader.age(features) - heard.age
        groups = {group: of(heard) for group, of in GROUPS.items()}
        found.append(
            Outcome(
                name=name,
                trained_on=int(chosen.sum()),
                means=np.stack([features[rows].mean(axis=0) for rows in groups.values()]),
                women_right=float(np.mean(~male[groups["women"]])),
                men_right=float(np.mean(male[groups["men"]])),
                error_of_young=float(errors[groups["under 35"]].mean()),
                error_of_old=float(errors[groups["over 60"]].mean()),
            )
        )
    return found


@functools.cache
def training_people(at_most: int = 1500) -> People:
    """Returns islanders whose faces the series has features of, none of them a test islander.

    Args:
        at_most: How many, from the first on.

    Raises:
        FileNotFoundError: The released features are not there.
    """
    known = oracles.training_islanders()
    numbers = [int(number) for number in known.numbers[:at_most]]
    return _people(numbers, known.features[:at_most])


def heard_people(count: int = HEARD_PEOPLE) -> People:
    """Returns test islanders to listen to: their voices only.

    Args:
        count: How many, from the first on.
    """
    numbers = range(FIRST_TEST_ISLANDER, FIRST_TEST_ISLANDER + count)
    return _people(numbers, np.empty((0, 0), np.float32))


def axes(people: People) -> dict[str, np.ndarray]:
    """Finds what changes in faces from low to high voices, from short to long throats, with age.

    Args:
        people: Islanders with faces, such as `training_people`.

    Returns:
        Name of each direction -> the change of the feature that goes with one standard deviation.
    """
    male = (people.sex == "M").astype(float)
    parameter = {name: people.voices[:, n] for n, name in enumerate(voices.PARAMETER_NAMES)}
    pitch, tract = parameter["pitch"], parameter["tract_length"]
    return {
        "low to high voice": face_axes.direction(people.features, pitch),
        "the same within a sex": face_axes.direction(people.features, pitch, male),
        "short to long tract, within a sex": face_axes.direction(people.features, tract, male),
        "young to old, within a sex": face_axes.direction(people.features, people.age, male),
    }


def predicted(training: People, chosen: np.ndarray, heard: People) -> np.ndarray:
    """Fits voices to faces on some people and predicts the faces of others.

    Args:
        training: All who could be trained on.
        chosen: Whom to train on, bool (n,), at least 50 people.
        heard: Whose voices are heard afterwards.

    Returns:
        Predicted features, float32 (m, d).

    Raises:
        ValueError: Fewer than 50 people are chosen.
    """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if np.sum(chosen) < 50:
        raise ValueError(f"Choose 50 people or more to train on; here are {np.sum(chosen)}.")
    model = make_pipeline(StandardScaler(), Ridge(_PENALTY))
    model.fit(training.voices[chosen], training.features[chosen])
    return model.predict(heard.voices).astype(np.float32)


def _people(numbers: Sequence[int], features: np.ndarray) -> People:
    persons = [islander(number) for number in numbers]
    return People(
        voices=np.stack([oracles.voice_parameters(number) for number in numbers]),
        features=features,
        sex=np.array([person.sex for person in persons]),
        age=np.array([person.age for person in persons]),
        island=np.array([ISLANDS[person.island] for person in persons]),
    )
