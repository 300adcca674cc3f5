"""What the two networks learn from: pairs of a voice and a face, and aligned faces."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Sequence

import keras
import numpy as np

from helpers import media
from helpers.manifests import speakers_to_split
from helpers.settings import ALIGNED_SIZE, FEATURE_SIZES, SAMPLE_RATE, SPEECH_SAMPLES

MINIMUM_PAIRS = 64
"""With fewer pairs than this, training learns the pairs by heart and nothing else."""
MINIMUM_SPEAKERS = 16
LARGEST_IN_MEMORY = 2**30
"""Bytes; arrays that are larger go to a file that the system maps into memory."""


class _OfPeople:
    """What pairs and faces have in common: each has a feature, and is somebody's."""

    features: np.ndarray
    speakers: Sequence[str]
    clips: Sequence[str]

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self.features)

    def centre(self) -> np.ndarray:
        """Returns the mean feature, each speaker counted once, (feature_size,)."""
        numbers = np.unique(self.speakers, return_inverse=True)[1]
        means = [self.features[numbers == n].mean(0) for n in range(numbers.max() + 1)]
        return np.mean(means, axis=0).astype("float32")

    def deviation(self) -> float:
        """Returns how far one number of a feature typically lies from its mean."""
        return float(np.sqrt(np.mean(np.square(self.features - self.centre()))))

    def fingerprint(self) -> str:
        """Differs for other people, clips or features."""
        names = [str(name) for name in (*self.speakers, *self.clips)]
        named = hashlib.sha256(repr(names).encode())
        named.update(np.ascontiguousarray(self.features).data)
        return named.hexdigest()[:16]


@dataclasses.dataclass
class Pairs(_OfPeople):
    """Voices and the features of the faces that belong to them.

    Attributes:
        waveforms: int16, (n, 96000); may be an array on disk.
        features: float32, (n, feature_size), one mean feature for each clip.
        speakers: Who speaks, n names.
        clips: clip_id, n names.
    """

    waveforms: np.ndarray
    features: np.ndarray
    speakers: Sequence[str]
    clips: Sequence[str]

    def take(self, numbers: Sequence[int]) -> Pairs:
        """Returns some of the pairs, by their numbers."""
        speakers, clips = ([of[n] for n in numbers] for of in (self.speakers, self.clips))
        return Pairs(self.waveforms[numbers], self.features[numbers], speakers, clips)


def pairs_of(session, split: str) -> Pairs:
    """Pairs each clip's voice with the mean feature of the faces in it.

    Reads the `speech` and `faces` tables shard by shard.

    Args:
        session: The session of the run.
        split: `train`, `validation` or `test`.
    """
    features: dict[str, list] = {}
    for row in session.workspace.require("faces").rows(["clip_id", "split", "status", "feature"]):
        if row["status"] == "ok" and row["split"] == split:
            feature = np.array(row["feature"], "float32")
            features.setdefault(row["clip_id"], []).append(feature)
    speech = session.workspace.require("speech")
    columns = ["clip_id", "speaker_id", "split", "status", "waveform"]
    rows = (row for row in speech.rows(columns) if row["clip_id"] in features)
    waveforms = _room_for((len(features), SPEECH_SAMPLES), "int16")
    clips, speakers = [], []
    for row in rows:
        if row["status"] == "ok":
            waveforms[len(clips)] = np.frombuffer(row["waveform"], "<i2")
            clips.append(row["clip_id"])
            speakers.append(row["speaker_id"])
    means = [np.mean(features[clip], axis=0, dtype="float64") for clip in clips]
    size = FEATURE_SIZES[session.settings.features]
    means = np.array(means, "float32").reshape(-1, size)
    return Pairs(waveforms[: len(clips)], means, speakers, clips)


def enough_to_train(pairs: Pairs) -> str | None:
    """Returns None if there are enough pairs to train with, else one sentence that says why not."""
    speakers = len(set(pairs.speakers))
    if len(pairs) >= MINIMUM_PAIRS and speakers >= MINIMUM_SPEAKERS:
        return None
    hint = f"; a folder of videos has some from {speakers_to_split()} people on" * (not speakers)
    return (
        f"There are {len(pairs)} pairs of {speakers} speakers, and training needs at least "
        f"{MINIMUM_PAIRS} of {MINIMUM_SPEAKERS}{hint}: the released weights are used instead."
    )


class Shuffled(keras.utils.PyDataset):
    """Batches in an order set by seed and epoch: what the data of both trainings have in common.

    Args:
        count: Examples there are.
        batch_size: Examples in a batch; what is left over at the end waits for the next epoch.
        seed: Seed of order and variation.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        super().__init__()
        if not count:
            raise ValueError("There is nothing to train with: 0 examples, at least 1 is needed.")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r} is not valid: take 1 or more.")
        self.count, self.batch_size, self.seed = count, min(batch_size, count), seed
        self.begin(0)

    def begin(self, epoch: int, first: int = 0) -> None:
        """Sets the order for an epoch, so that a resumed training sees the same batches.

        Args:
            epoch: Number of the epoch, from 0.
            first: Batches of it that were seen already, by a run that was killed.
        """
        self.epoch, self.first = epoch, first
        self.order = np.random.default_rng([self.seed, epoch]).permutation(self.count)

    def __len__(self) -> int:
        """Returns the number of batches, without those that were seen already."""
        return self.count // self.batch_size - self.first

    def identity(self) -> dict[str, object]:
        """Returns what must be the same in a run that goes on with a training; ready for JSON."""
        return {"examples": self.count, "batch size": self.batch_size, "seed": self.seed}

    def chosen(self, index: int) -> tuple[np.ndarray, np.random.Generator]:
        """Returns which examples are in a batch, and a generator for what varies in it."""
        index += self.first
        examples = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return examples, np.random.default_rng([self.seed, self.epoch, index])


class Batches(Shuffled):
    """Batches of random stretches of the waveforms, in an order set by seed and epoch.

    Args:
        pairs: What to learn from.
        batch_size: Pairs in a batch; what is left over at the end waits for the next epoch.
        seconds: Length of a stretch; it may run over the end to the beginning.
        seed: Seed of order and stretches.
    """

    def __init__(self, pairs: Pairs, batch_size: int, seconds: float, seed: int) -> None:
        super().__init__(len(pairs), batch_size, seed)
        self.pairs = pairs
        self.samples = round(seconds * SAMPLE_RATE)
        self.speakers = np.unique(pairs.speakers, return_inverse=True)[1].astype("int32")

    def identity(self) -> dict[str, object]:
        """Adds how long the stretches are, and whose they are."""
        people = self.pairs.fingerprint()
        return {**super().identity(), "samples": self.samples, "people and features": people}

    def __getitem__(self, index: int):
        """Returns waveforms (batch, samples) and a dict of `feature` and `speaker`."""
        chosen, random = self.chosen(index)
        waveforms = np.empty((len(chosen), self.samples), "float32")
        for row, pair in enumerate(chosen):
            waveform = np.roll(self.pairs.waveforms[pair], -random.integers(SPEECH_SAMPLES))
            waveforms[row] = media.from_int16(waveform[: self.samples])
        return waveforms, {
            "feature": self.pairs.features[chosen],
            "speaker": self.speakers[chosen],
        }


@dataclasses.dataclass
class Faces(_OfPeople):
    """Aligned faces and their features.

    Attributes:
        images: uint8 RGB, (n, 128, 128, 3); may be an array on disk.
        features: float32, (n, feature_size).
        speakers: Whose face it is, n names.
        clips: clip_id, n names.
    """

    images: np.ndarray
    features: np.ndarray
    speakers: Sequence[str]
    clips: Sequence[str]

    def mean_face(self) -> np.ndarray:
        """Returns the mean face, float32 of shape (128, 128, 3), 0 to 1."""
        total = sum(image.astype("float64") for image in self.images)
        return (total / (255 * len(self))).astype("float32")


def faces_of(session, split: str, frames_per_clip: int = 2) -> Faces:
    """Collects the most frontal aligned faces of each clip.

    Args:
        session: The session of the run.
        split: `train`, `validation` or `test`.
        frames_per_clip: Faces to take from each clip, the most frontal first.
    """
    import cv2

    table = session.workspace.require("faces")
    frontal: dict[str, list[tuple[float, float]]] = {}
    for row in table.rows(["clip_id", "split", "status", "time_s", "frontality"]):
        if row["status"] == "ok" and row["split"] == split:
            frontal.setdefault(row["clip_id"], []).append((-row["frontality"], row["time_s"]))
    chosen = {(c, t) for c, seen in frontal.items() for _, t in sorted(seen)[:frames_per_clip]}
    images = _room_for((len(chosen), ALIGNED_SIZE, ALIGNED_SIZE, 3), "uint8")
    features, speakers, clips = [], [], []
    for row in table.rows(["clip_id", "speaker_id", "status", "time_s", "aligned", "feature"]):
        if row["status"] == "ok" and (row["clip_id"], row["time_s"]) in chosen:
            coded = np.frombuffer(row["aligned"], "uint8")
            images[len(clips)] = cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1]
            features.append(np.array(row["feature"], "float32"))
            speakers.append(row["speaker_id"])
            clips.append(row["clip_id"])
    size = FEATURE_SIZES[session.settings.features]
    return Faces(images, np.array(features, "float32").reshape(-1, size), speakers, clips)


def _room_for(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if np.prod(shape) * np.dtype(dtype).itemsize <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the array keeps it open.
    return np.memmap(file, dtype, "w+", shape=shape)
