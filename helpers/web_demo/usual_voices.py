"""How sure can the page be? A recording unlike those of the training is measured to be so.

The measure is the Mahalanobis distance from training islanders, after Ledoit and Wolf (2004), J.
Multivariate Analysis 88, 365-411. It is taken twice: of the voice itself, which is its pitch and
its formants, and of the manner, which is melody, roughness, colour and how much the sounds differ.
The limits were measured: how far out validation islanders lie, and how far recordings of real
people do. `python -m helpers demo --measure-voices DIR` measures them anew.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers.web_demo import voice_measures

FILE = Path(__file__).parent / "usual_voices.json"
GROUPS = {
    "voice": ("pitch", "first", "second", "third", "tract_length"),
    "manner": (
        *("pitch range", "glide", "harmonicity", "prominence", "tilt"),
        *("movement 1", "movement 2", "movement 3", "movement 4"),
    ),
}
"""Which measures each of the two distances is taken in."""
WITHIN_TRAINING = 0.97
"""Share of the validation islanders that the first limit takes in."""
WITHIN_PEOPLE = 0.95
"""Share of the recordings of real people that the second limit takes in."""
_IN_OCTAVES = ("first", "second", "third", "tract_length")
_UNMEASURED = 6.0
"""Deviations from the mean that a measure counts as where there was nothing to measure."""
_STRIKING = 2.5
_WORDS = {
    "pitch": ("the pitch is lower", "the pitch is higher"),
    "first": ("the first formant is lower", "the first formant is higher"),
    "second": ("the second formant is lower", "the second formant is higher"),
    "third": ("the third formant is lower", "the third formant is higher"),
    "tract_length": ("the vocal tract sounds shorter", "the vocal tract sounds longer"),
    "pitch range": ("the melody is flatter", "the melody moves further"),
    "glide": ("the pitch glides more slowly", "the pitch glides faster"),
    "harmonicity": ("the voice is rougher or noisier", "the voice is clearer"),
    "prominence": ("the voice is rougher or noisier", "the voice is clearer"),
    "tilt": ("the sound is darker", "the sound is brighter"),
    "movement": ("the sounds differ less", "the sounds differ more"),
}


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Where the training voices lie in some measures.

    Attributes:
        mean: Mean of each measure.
        deviation: Standard deviation of each.
        precision: Inverse covariance in units of the deviations.
        training_limit: Distance within which 97 % of the validation islanders lie.
        people_limit: Distance within which 95 % of the recordings of real people lie; never less
            than `training_limit`.
        people_outside: Share of the recordings of real people beyond `training_limit`.
    """

    mean: np.ndarray
    deviation: np.ndarray
    precision: np.ndarray
    training_limit: float
    people_limit: float
    people_outside: float

    def deviations(self, measures: np.ndarray) -> np.ndarray:
        """Returns how far each measure lies from the mean, in standard deviations."""
        return np.nan_to_num((measures - self.mean) / self.deviation, nan=_UNMEASURED)

    def distance(self, measures: np.ndarray) -> float:
        """Returns the Mahalanobis distance of a recording."""
        deviations = self.deviations(measures)
        return float(np.sqrt(deviations @ self.precision @ deviations))


@dataclasses.dataclass(frozen=True)
class Usual:
    """What is known of the voices of the training.

    Attributes:
        clouds: `voice` and `manner`, as in `GROUPS`.
        islanders: How many islanders were measured for mean and covariance.
        validation_islanders: How many for the first limit.
        people: How many recordings of real people for the second.
    """

    clouds: Mapping[str, Cloud]
    islanders: int
    validation_islanders: int
    people: int


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How usual a voice is.

    Attributes:
        level: `usual`, `outside` (spoken or recorded otherwise than in the training, as is common
            with real people) or `unlike`.
        distances: Distance from the training voices, of `voice` and `manner`.
        text: One or two sentences for the page.
    """

    level: str
    distances: Mapping[str, float]
    text: str


def judge(measures: np.ndarray, usual: Usual | None = None) -> Verdict:
    """Tells how usual a voice is, and what is unusual about it.

    Args:
        measures: What `voice_measures.measure` returned.
        usual: What is known of the training voices; None takes the file that comes with the page.
    """
    usual = usual or known()
    voice, manner = (usual.clouds[group] for group in GROUPS)
    distances = {
        group: cloud.distance(_chosen(measures, group)) for group, cloud in usual.clouds.items()
    }
    far = [
        group
        for group, limit in (("voice", voice.training_limit), ("manner", manner.people_limit))
        if distances[group] > limit
    ]
    if far:
        text = (
            "This voice, or the way it was recorded, is unlike those that the network was trained "
            "on. It cannot know what face belongs to it, so do not read anything into this one."
        )
        return Verdict("unlike", distances, text + _oddities(measures, far, usual))
    if distances["manner"] > manner.training_limit:
        text = (
            "The network was trained on made-up voices. This recording is spoken or recorded "
            f"otherwise, as were {manner.people_outside:.0%} of {usual.people} recordings of real "
            "people."
        )
        return Verdict("outside", distances, text + _oddities(measures, ["manner"], usual))
    return Verdict("usual", distances, "This recording is like those of the training.")


@functools.cache
def known() -> Usual:
    """Reads what was measured of the training voices."""
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    clouds = {
        group: Cloud(**{name: _array(value) for name, value in cloud.items()})
        for group, cloud in kept.pop("clouds").items()
    }
    return Usual(clouds=clouds, **kept)


def learn(
    training: Sequence[np.ndarray], validation: Sequence[np.ndarray], people: Sequence[np.ndarray]
) -> Usual:
    """Finds means, covariances and limits from measures of recordings.

    Args:
        training: Measures of training islanders, as `voice_measures.measure` returns them.
        validation: Measures of validation islanders.
        people: Measures of recordings of real people.

    Raises:
        ValueError: There are too few recordings to measure anything.
    """
    least = len(voice_measures.NAMES)
    if len(training) < least or not len(validation) or not len(people):
        raise ValueError(
            f"At least {least} training voices, one validation voice and one recording of a real "
            "person are needed."
        )
    clouds = {group: _cloud(group, training, validation, people) for group in GROUPS}
    return Usual(clouds, len(training), len(validation), len(people))


def _cloud(group: str, training: Sequence, validation: Sequence, people: Sequence) -> Cloud:
    from sklearn.covariance import LedoitWolf

    known = np.array([_chosen(one, group) for one in training])
    known = known[np.isfinite(known).all(axis=1)]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    fitted = LedoitWolf(assume_centered=True).fit((known - mean) / deviation)
    cloud = Cloud(mean, deviation, fitted.precision_, 0.0, 0.0, 0.0)
    islanders, real = (
        np.array([cloud.distance(_chosen(one, group)) for one in some])
        for some in (validation, people)
    )
    limit = float(np.quantile(islanders, WITHIN_TRAINING))
    return dataclasses.replace(
        cloud,
        training_limit=limit,
        people_limit=max(limit, float(np.quantile(real, WITHIN_PEOPLE))),
        people_outside=float(np.mean(real > limit)),
    )


def measure_anew(folder: Path, islanders: int = 600) -> Usual:
    """Measures islanders and a folder of real recordings, and writes `FILE`.

    Args:
        folder: Folder with recordings of real people, one a person; they are only measured.
        islanders: How many training islanders; half as many validation islanders are measured.

    Raises:
        FileNotFoundError: There is no usable recording in the folder.
    """
    from helpers import demo
    from helpers.archipelago import voices
    from helpers.archipelago.islanders import islander

    def spoken(numbers: Iterable[int]) -> list[np.ndarray]:
        return [
            voice_measures.measure(demo.hear(voices.speak(islander(number), number % 3)))
            for number in numbers
        ]

    people = []
    for path in sorted(folder.iterdir()):
        try:
            people.append(voice_measures.measure(demo.hear(path)))
        except demo.UnusableVoice:
            continue
    if not people:
        raise FileNotFoundError(f"There is no recording of a voice in {folder}.")
    training = (number for number in range(10 * islanders) if number % 10 != 9)
    training = [number for number, _ in zip(training, range(islanders), strict=False)]
    usual = learn(spoken(training), spoken(range(9, 5 * islanders, 10)), people)
    FILE.write_text(json.dumps(_plain(dataclasses.asdict(usual)), indent=1) + "\n")
    known.cache_clear()
    return usual


def _chosen(measures: np.ndarray, group: str) -> np.ndarray:
    chosen = []
    for name in GROUPS[group]:
        value = measures[voice_measures.NAMES.index(name)]
        chosen.append(np.log2(value) if name in _IN_OCTAVES else value)
    return np.array(chosen)


def _oddities(measures: np.ndarray, groups: Sequence[str], usual: Usual) -> str:
    """Names the two measures that stand out most, as a sentence."""
    found = []
    for group in groups:
        deviations = usual.clouds[group].deviations(_chosen(measures, group))
        found += list(zip(np.abs(deviations), deviations > 0, GROUPS[group], strict=True))
    said: list[str] = []
    for size, above, name in sorted(found, reverse=True):
        text = _WORDS[name if name in _WORDS else name.split()[0]][int(above)]
        if size > _STRIKING and text not in said:
            said.append(text)
    return f" What stands out: {' and '.join(said[:2])}." if said else ""


def _array(value: object) -> object:
    return np.array(value) if isinstance(value, list) else value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return np.round(value, 6).tolist() if isinstance(value, np.ndarray | float) else value
