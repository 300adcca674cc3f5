"""Which measures of a voice go with which measures of a face, and what of it is only sex.

Voices are measured as phonetics does it (`archipelago.phonetics`), faces by ratios of their 68
landmarks (`craniofacial`) and by the age they look. Each pair of measures is compared by rank
(Spearman), so that one odd recording counts no more than its place in the row. With sex held fixed
means: the mean of each sex is taken away first, so that what is left was found among women and
among men.

A hundred and fifty comparisons are made at once, and one in twenty of them would look significant
by luck. The p-values are corrected for that after Benjamini and Hochberg (1995), "Controlling the
false discovery rate", J. R. Stat. Soc. B 57, 289-300: of all that is called significant at 0.05,
about one in twenty is luck.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.measuring import craniofacial

if TYPE_CHECKING:
    from helpers.face_features import AttributeReader
    from helpers.session import Session

VOICE_MEASURES = {
    "pitch": "fundamental frequency (Hz)",
    "pitch_spread": "liveliness of pitch (semitones)",
    "first": "first formant (Hz)",
    "second": "second formant (Hz)",
    "third": "third formant (Hz)",
    "tract_length": "vocal-tract length (cm)",
    "tempo": "tempo (syllables/s)",
    "tilt": "spectral tilt (dB)",
    "harmonicity": "harmonics to noise (dB)",
    "prominence": "cepstral peak (dB)",
}
"""Fields of `phonetics.Voice` and what they are called, in the order of the rows."""
FACE_MEASURES = (*craniofacial.NAMES, "face height index", "apparent age (years)")
"""Measures of a face, in the order of the columns; the height index is height by width."""
LEAST_PEOPLE = 20


@dataclasses.dataclass(frozen=True)
class Voices:
    """Measures of voices, one person a row.

    Attributes:
        people: Who speaks, n names.
        sex: `F`, `M` or empty where unknown, (n,).
        values: (n, 10), in the order of `VOICE_MEASURES`; NaN where nothing could be measured.
    """

    people: Sequence[str]
    sex: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        """Returns the number of people."""
        return len(self.people)

    def pitch(self, sex: str | None) -> np.ndarray:
        """Returns the fundamental frequencies in Hz of one sex (`F`, `M`), or where it is unknown.

        Args:
            sex: `F` or `M`; None or empty for those of unknown sex.
        """
        hertz = self.values[self.sex == (sex or ""), 0]
        return hertz[np.isfinite(hertz)]


@dataclasses.dataclass(frozen=True)
class Correlations:
    """Correlation of every measure of the voice with every measure of the face.

    Attributes:
        r: Spearman's rank correlation, (v, f), -1 to 1.
        p: Two-sided p-values, (v, f).
        corrected: The same after Benjamini and Hochberg, (v, f).
        people: How many people it is of.
        held: What was held fixed, or empty.
    """

    r: np.ndarray
    p: np.ndarray
    corrected: np.ndarray
    people: int
    held: str = ""

    def significant(self, level: float = 0.05) -> int:
        """Returns how many pairs have a corrected p-value below a level."""
        return int((self.corrected < level).sum())

    def strongest(self, count: int = 5) -> list[dict]:
        """Returns the pairs that go together best, as rows for `show.table`.

        Args:
            count: How many; none where there were too few people.
        """
        count = count if self.people else 0
        voice, face = list(VOICE_MEASURES.values()), FACE_MEASURES
        order = np.argsort(-np.abs(self.r), axis=None)[:count]
        return [
            {
                "voice": voice[row],
                "face": face[column],
                "r": round(float(self.r[row, column]), 2),
                "p, corrected": float(self.corrected[row, column]),
            }
            for row, column in zip(*np.unravel_index(order, self.r.shape), strict=True)
        ]


def voices_of(
    session: Session, at_most: int = 200, run: Callable[..., Iterable] | None = None
) -> Voices:
    """Measures one voice of each person of a run.

    Args:
        session: The session of the run.
        at_most: People, in the order of the table; each takes a tenth of a second of one core.
        run: What maps a function over recordings; None takes all cores (`session.parallel_map`).

    Raises:
        MissingTable: Notebook 03 has not been run.
    """
    from helpers import media
    from helpers.session import parallel_map

    known = {row.speaker_id: str(row.sex or "") for row in session.manifest.rows}
    waveforms: dict[str, np.ndarray] = {}
    table = session.workspace.require("speech")
    for row in table.rows(["speaker_id", "status", "waveform"]):
        new = row["status"] == "ok" and row["speaker_id"] not in waveforms
        if new and len(waveforms) < at_most:
            waveforms[row["speaker_id"]] = media.from_int16(row["waveform"])
    measured = list((run or parallel_map)(measure_voice, list(waveforms.values())))
    return Voices(
        people=list(waveforms),
        sex=np.array([known.get(person, "") for person in waveforms], str),
        values=np.array(measured, float).reshape(-1, len(VOICE_MEASURES)),
    )


def measure_voice(waveform: np.ndarray) -> np.ndarray:
    """Measures one voice, (samples,) at 16 kHz -> (10,); NaN where it is too short or not voiced.

    Args:
        waveform: Speech, float, -1 to 1.
    """
    from helpers.archipelago import phonetics

    try:
        measured = phonetics.measure(waveform)
    except ValueError:  # one whisper does not stop the others
        return np.full(len(VOICE_MEASURES), np.nan)
    return np.array([getattr(measured, name) for name in VOICE_MEASURES])


def faces_of(
    session: Session, people: Sequence[str], reader: AttributeReader | None = None
) -> np.ndarray:
    """Measures the faces of people of a run: of each clip the most frontal one, then their mean.

    Args:
        session: The session of the run.
        people: Whose faces, n names.
        reader: What reads apparent age from a feature; None leaves that column empty.

    Returns:
        (n, 15), in the order of `FACE_MEASURES`; NaN where a person has no face.

    Raises:
        MissingTable: Notebook 02 has not been run.
    """
    columns = ["clip_id", "speaker_id", "status", "frontality", "landmarks", "feature"]
    best: dict[str, dict] = {}
    for row in session.workspace.require("faces").rows(columns):
        wanted = row["status"] == "ok" and row["landmarks"] is not None
        before = best.get(row["clip_id"])
        if wanted and (before is None or row["frontality"] > before["frontality"]):
            best[row["clip_id"]] = row
    values = np.full((len(people), len(FACE_MEASURES)), np.nan)
    if not best:
        return values
    rows = list(best.values())
    landmarks = np.array([row["landmarks"] for row in rows], float).reshape(-1, 68, 2)
    features = np.array([row["feature"] for row in rows], np.float32)
    measured = measure_faces(landmarks, None if reader is None else reader.age(features))
    owners = np.array([row["speaker_id"] for row in rows])
    for place, person in enumerate(people):
        if (owners == person).any():
            values[place] = measured[owners == person].mean(axis=0)
    return values


def measure_faces(landmarks: np.ndarray, apparent_age: np.ndarray | None = None) -> np.ndarray:
    """Measures faces by their landmarks.

    Args:
        landmarks: (n, 68, 2) in pixels.
        apparent_age: How old each face looks, years, (n,); None where nobody looked.

    Returns:
        (n, 15), in the order of `FACE_MEASURES`: ratios, lengths in eye distances, years.
    """
    points = np.asarray(landmarks, float)
    height = np.hypot(*(points[:, 27] - points[:, 8]).T)
    width = np.hypot(*(points[:, 1] - points[:, 15]).T)
    age = np.full(len(points), np.nan) if apparent_age is None else apparent_age
    return np.column_stack([craniofacial.measures(points), height / width, age])


def correlations(
    voice: np.ndarray, face: np.ndarray, sex: np.ndarray | None = None
) -> Correlations:
    """Correlates every measure of the voice with every measure of the face.

    Args:
        voice: (n, v), one person a row; people with a NaN in a measure are left out of it.
        face: (n, f) of the same people.
        sex: `F` or `M`, (n,), to hold it fixed; people of unknown sex are left out then. None
            holds nothing fixed.

    Returns:
        The correlations; r is 0 and p is 1 where fewer than 20 people have both measures.

    Raises:
        ValueError: Voices and faces are not those of the same number of people.
    """
    voice, face = np.asarray(voice, float), np.asarray(face, float)
    if len(voice) != len(face) or (sex is not None and len(sex) != len(voice)):
        raise ValueError(
            f"{len(voice)} voices and {len(face)} faces do not belong to the same people. Give "
            "one row of each, and one sex if it is to be held fixed, for every person."
        )
    known = np.ones(len(voice), bool) if sex is None else np.isin(sex, ("F", "M"))
    r, p = np.zeros((2, voice.shape[1], face.shape[1]))
    p += 1
    most = 0
    for row, column in np.ndindex(*r.shape):
        both = known & np.isfinite(voice[:, row]) & np.isfinite(face[:, column])
        if both.sum() < LEAST_PEOPLE:
            continue
        most = max(most, int(both.sum()))
        x, y = _ranks(voice[both, row]), _ranks(face[both, column])
        held = 0
        if sex is not None and len(set(sex[both])) == 2:
            held = 1
            fixed = np.column_stack([np.ones(both.sum()), np.asarray(sex)[both] == "M"])
            x, y = craniofacial.without(x, fixed), craniofacial.without(y, fixed)
        r[row, column] = craniofacial.pearson(x, y)
        p[row, column] = craniofacial.p_value(r[row, column], int(both.sum()), held)
    return Correlations(r, p, _corrected(p), most, "" if sex is None else "sex")


def dealt_out_at_random(face: np.ndarray, sex: np.ndarray, seed: int = 0) -> np.ndarray:
    """Gives everybody the face of somebody else of the same sex: what is left is luck.

    Args:
        face: (n, f).
        sex: `F`, `M` or empty, (n,).
        seed: Seed of the order.

    Returns:
        (n, f), the rows of `face` in another order.
    """
    random, order = np.random.default_rng(seed), np.arange(len(face))
    for group in np.unique(sex):
        rows = np.flatnonzero(sex == group)
        order[rows] = random.permutation(rows)
    return face[order]


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values)


def _corrected(p: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control

    return false_discovery_control(p, axis=None, method="bh").reshape(p.shape)
