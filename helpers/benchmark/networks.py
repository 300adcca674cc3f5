"""What a voice encoder costs, and how well it retrieves after so many seconds of training."""

from __future__ import annotations

import dataclasses
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from helpers import demo, training, voice_encoder
from helpers.measuring import retrieval
from helpers.networks import voice_networks
from helpers.settings import FEATURE_DEVIATION, FEATURE_SIZES, SPEECH_SAMPLES
from helpers.training.pairs import Pairs

_COST_SECONDS = 45.0
_COST_STEPS = 12
_FORWARD_TIMES = 5


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained here: as in the series, or as in the paper.

    Attributes:
        batch: Clips in a training step.
        features: Kind of face feature that the network was made for.
        paper: Whether loss and optimiser are the paper's.
    """

    batch: int
    features: str
    paper: bool


TRAININGS = {
    "compact": Training(32, "dlib", paper=False),
    "published": Training(8, "vggface", paper=True),
    "paper": Training(8, "vggface", paper=True),
}
"""The public re-implementation gets the paper's training, too: better than the one it came with."""


class StepClock(keras.callbacks.Callback):
    """Times the steps of a training, and ends it after so many of them or when time is up.

    A step that has begun is finished: the time that it took over is on record, too.

    Args:
        seconds: Budget; `start` begins it.
        steps: Most steps.
        least: Steps to make even where the budget is spent before.
        clock: What tells the time.
    """

    def __init__(
        self,
        seconds: float = math.inf,
        steps: float = math.inf,
        least: int = 1,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self.seconds, self.most, self.least, self.clock = seconds, steps, least, clock
        self.started = clock()
        self.ends: list[float] = []

    def start(self) -> None:
        """Starts the budget."""
        self.started = self.clock()

    def on_train_batch_end(self, batch, logs=None):
        """Notes when the step ended, and decides whether it was the last."""
        # A device may be far behind what Python has asked of it; reading a number waits for it.
        for value in (logs or {}).values():
            float(value)
        self.ends.append(self.clock())
        spent = self.ends[-1] - self.started >= self.seconds and len(self.ends) >= self.least
        if spent or len(self.ends) >= self.most:
            self.model.stop_training = True

    def measured(self) -> dict[str, object]:
        """Returns the times.

        Returns:
            `steps`; `seconds` of all of them; `first_step_s`, which includes tracing; `step_s`,
            the median of the others, or None where there was only one.
        """
        durations = np.diff([self.started, *self.ends])
        return {
            "steps": len(self.ends),
            "seconds": round(float(durations.sum()), 3),
            "first_step_s": round(float(durations[0]), 6) if len(durations) else None,
            "step_s": round(statistics.median(durations[1:]), 6) if len(durations) > 1 else None,
        }


def cost(
    name: str,
    seconds: float = _COST_SECONDS,
    steps: int = _COST_STEPS,
    feature_size: int = 0,
    **options: object,
) -> dict[str, object]:
    """Measures size and speed of a network on random numbers.

    Args:
        name: `compact`, `published` or `paper`.
        seconds: Steps end soon after so much time; two are always made.
        steps: Most steps.
        feature_size: Length of the face feature; 0 takes that of the network's own kind.
        **options: Of the network, such as `width`.

    Returns:
        `parameters`, `feature_size`, `file_mb`, `batch`, `forward_s` (one voice of 6 s),
        `clips_per_s`, `gpu_peak_mb` and what `StepClock.measured` returns.
    """
    way = TRAININGS[name]
    size = feature_size or FEATURE_SIZES[way.features]
    random = np.random.default_rng(0)
    count = 4 * way.batch
    pairs = Pairs(
        random.integers(-8000, 8000, (count, SPEECH_SAMPLES), "int16"),
        random.normal(0, FEATURE_DEVIATION, (count, size)).astype("float32"),
        [f"speaker-{n}" for n in range(count)],
        [f"clip-{n}" for n in range(count)],
    )
    encoder = voice_networks.build(name, size, **options)
    forward_s = _forward_seconds(encoder)
    file_mb = _file_mb(encoder)
    clock = StepClock(seconds, steps, least=2)
    _train(name, encoder, pairs, math.ceil(steps / 4), clock)
    times = clock.measured()
    return {
        "parameters": encoder.count_params(),
        "feature_size": size,
        "file_mb": file_mb,
        "batch": way.batch,
        "forward_s": forward_s,
        **times,
        "clips_per_s": round(way.batch / times["step_s"], 3),
        "gpu_peak_mb": gpu_peak_mb(),
    }


def retrieval_after(
    name: str,
    seconds: float,
    data: str,
    step_s: float,
    first_step_s: float = 0.0,
    **options: object,
) -> dict[str, object]:
    """Trains a network for so many seconds, then looks how well it retrieves unknown people.

    The budget counts everything from the call of the training to the end of its last step: making
    the optimiser, tracing, batches. Making the network and measuring it do not count.

    Args:
        name: `compact`, `published` or `paper`.
        seconds: Budget.
        data: Folder that `throughput.voices` has filled.
        step_s: Seconds that a step will take: the learning rate should be down at the end.
        first_step_s: Seconds that the first step will take, tracing included.
        **options: Of the network, such as `width`.

    Returns:
        `recall_10`, `interval_10`, `chance_10`, `recall_1`, `chance_1`, `gallery`, `clips` (seen
        in training, repeats counted), `passes` (over the training clips), `median_rank` and what
        `StepClock.measured` returns.
    """
    known, unknown = (read_pairs(Path(data), split) for split in ("train", "validation"))
    way, centre = TRAININGS[name], known.centre()
    encoder = voice_networks.build(
        name, known.features.shape[1], centre, deviation=FEATURE_DEVIATION, **options
    )
    planned = max(1, 1 + (seconds - first_step_s) / step_s)
    # The learning rate of the series falls until the last step, that of the paper does not depend
    # on how many there will be: there the budget alone ends the training.
    some = known if way.paper else _first(known, math.ceil(planned) * way.batch)
    epochs = math.ceil((2 if way.paper else 1) * planned / (len(some) // way.batch))
    clock = StepClock(seconds)
    _train(name, encoder, some, epochs, clock)
    predicted = voice_encoder.predict(encoder, unknown, way.batch)
    found = retrieval.retrieval(predicted, unknown.features, unknown.speakers, centre)
    times = clock.measured()
    clips = times["steps"] * way.batch
    return {
        "recall_10": round(found.recall[10], 4),
        "interval_10": [round(value, 4) for value in found.interval[10]],
        "chance_10": round(found.chance[10], 4),
        "recall_1": round(found.recall[1], 4),
        "chance_1": round(found.chance[1], 4),
        "gallery": found.gallery_size,
        "median_rank": found.median_rank,
        "clips": clips,
        "passes": round(clips / len(known), 2),
        **times,
    }


def read_pairs(folder: Path, split: str) -> Pairs:
    """Reads the pairs that `throughput.voices` has written."""
    waveforms = np.load(folder / f"{split}-waveforms.npy", mmap_mode="r")
    features = np.load(folder / f"{split}-features.npy")
    names = [f"islander-{number}" for number in np.load(folder / f"{split}-numbers.npy")]
    return Pairs(waveforms, features, names, names)


def gpu_peak_mb() -> int | None:
    """Returns the largest memory that TensorFlow had on the first GPU, in MB; None without one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return round(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20)


def _train(name: str, encoder: keras.Model, pairs: Pairs, epochs: int, clock: StepClock) -> None:
    """Trains a network in its own way until the clock ends it."""
    way = TRAININGS[name]
    clock.start()
    voice_encoder.train(
        encoder,
        pairs,
        epochs=epochs,
        batch_size=way.batch,
        weights=voice_encoder.PaperLoss() if way.paper else None,
        optimizer=voice_encoder.paper_optimizer() if way.paper else None,
        callbacks=[clock],
        precision="auto",
    )


def _first(pairs: Pairs, count: int) -> Pairs:
    return Pairs(
        pairs.waveforms[:count],
        pairs.features[:count],
        pairs.speakers[:count],
        pairs.clips[:count],
    )


def _forward_seconds(encoder: keras.Model) -> float:
    """Median time of one voice; the first time, which loads and compiles, is left out."""
    voice = np.zeros((1, SPEECH_SAMPLES), "float32")
    demo.predict(encoder, voice)
    times = []
    for _ in range(_FORWARD_TIMES):
        started = time.perf_counter()
        demo.predict(encoder, voice)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 4)


def _file_mb(encoder: keras.Model) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.keras"
        training.save(encoder, file)
        return round(file.stat().st_size / 2**20, 2)
