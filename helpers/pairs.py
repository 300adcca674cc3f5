"""Pairs of a voice and a face: what the voice encoder learns from."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence

import keras
import numpy as np

from helpers import media
from helpers.settings import FEATURE_SIZES, SAMPLE_RATE, SPEECH_SAMPLES

MINIMUM_PAIRS = 64
"""With fewer pairs than this, training learns the pairs by heart and nothing else."""
MINIMUM_SPEAKERS = 16
_LARGEST_IN_MEMORY = 2**30


@dataclasses.dataclass
class Pairs:
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

    def __len__(self) -> int:
        return len(self.features)

    def centre(self) -> np.ndarray:
        """Returns the mean feature, each speaker counted once."""
        numbers = np.unique(self.speakers, return_inverse=True)[1]
        means = [self.features[numbers == n].mean(0) for n in range(numbers.max() + 1)]
        return np.mean(means, axis=0).astype("float32")


def pairs_of(session, split: str) -> Pairs:
    """Pairs each clip's voice with the mean feature of the faces in it.

    Reads the `speech` and `faces` tables shard by shard. Where the waveforms take more than a
    gigabyte, they go to a file that the system maps into memory.

    Args:
        session: The session of the run.
        split: `train`, `validation` or `test`.
    """
    features: dict[str, list] = {}
    for row in session.workspace.require("faces").rows(["clip_id", "split", "status", "feature"]):
        if row["status"] == "ok" and row["split"] == split:
            features.setdefault(row["clip_id"], []).append(row["feature"])
    speech = session.workspace.require("speech")
    columns = ["clip_id", "speaker_id", "split", "status", "waveform"]
    rows = (row for row in speech.rows(columns) if row["clip_id"] in features)
    shape = (len(features), SPEECH_SAMPLES)
    if shape[0] * shape[1] * 2 > _LARGEST_IN_MEMORY:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the array keeps it open.
        waveforms = np.memmap(file, "int16", "w+", shape=shape)
    else:
        waveforms = np.empty(shape, "int16")
    clips, speakers = [], []
    for row in rows:
        if row["status"] == "ok":
            waveforms[len(clips)] = np.frombuffer(row["waveform"], "<i2")
            clips.append(row["clip_id"])
            speakers.append(row["speaker_id"])
    means = np.array([np.mean(features[clip], axis=0) for clip in clips], "float32")
    size = FEATURE_SIZES[session.settings.features]
    return Pairs(waveforms[: len(clips)], means.reshape(-1, size), speakers, clips)


def enough_to_train(pairs: Pairs) -> str | None:
    """Returns None if there are enough pairs to train with, else one sentence that says why not."""
    speakers = len(set(pairs.speakers))
    if len(pairs) >= MINIMUM_PAIRS and speakers >= MINIMUM_SPEAKERS:
        return None
    return (
        f"There are {len(pairs)} pairs of {speakers} speakers, and training needs at least "
        f"{MINIMUM_PAIRS} of {MINIMUM_SPEAKERS}: the released weights are used instead."
    )


class Batches(keras.utils.PyDataset):
    """Batches of random stretches of the waveforms, in an order set by seed and epoch.

    Args:
        pairs: What to learn from.
        batch_size: Pairs in a batch; what is left over at the end waits for the next epoch.
        seconds: Length of a stretch; it may run over the end to the beginning.
        seed: Seed of order and stretches.
    """

    def __init__(self, pairs: Pairs, batch_size: int, seconds: float, seed: int) -> None:
        super().__init__()
        self.pairs, self.batch_size, self.seed = pairs, min(batch_size, len(pairs)), seed
        self.samples = round(seconds * SAMPLE_RATE)
        self.speakers = np.unique(pairs.speakers, return_inverse=True)[1].astype("int32")
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Sets the order for an epoch, so that a resumed training sees the same batches."""
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.pairs))

    def __len__(self) -> int:
        """Returns the number of batches."""
        return len(self.pairs) // self.batch_size

    def __getitem__(self, index: int):
        """Returns waveforms (batch, samples) and a dict of `feature` and `speaker`."""
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        random = np.random.default_rng([self.seed, self.epoch, index])
        waveforms = np.empty((len(chosen), self.samples), "float32")
        for row, pair in enumerate(chosen):
            waveform = np.roll(self.pairs.waveforms[pair], -random.integers(SPEECH_SAMPLES))
            waveforms[row] = media.from_int16(waveform[: self.samples])
        return waveforms, {
            "feature": self.pairs.features[chosen],
            "speaker": self.speakers[chosen],
        }
