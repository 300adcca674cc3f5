"""How fast the stages of the series are, and how long a face for a voice takes."""

from __future__ import annotations

import importlib
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import media, session
from helpers.archipelago.islanders import islander
from helpers.settings import ALIGNED_SIZE, FEATURE_SIZES, Settings
from helpers.workers import parallel_map, worker_count

if TYPE_CHECKING:
    from helpers.tables import Report

BUILDERS = {
    "clips": ("01_download", "helpers.download", "build_clips"),
    "faces": ("02_face_crop", "helpers.face_crop", "build_faces"),
    "speech": ("03_spectrogram", "helpers.spectrogram", "build_speech"),
}
"""Table -> its notebook, its room, and the function that builds it."""
_TRAINING_SECONDS = 30.0
_TRAINING_STEPS = 12
_BATCH = 32
_REPEATS = 3


def voices(folder: str, training: int, held_out: int) -> dict[str, object]:
    """Records islanders whose face features are known: pairs to train and to measure with.

    Args:
        folder: Where the arrays go; `networks.read_pairs` reads them.
        training: Islanders to train with, one recording of 6 s each.
        held_out: Most islanders to measure with; other people.

    Returns:
        `training`, `held_out`, `rows` (recordings), `seconds` and `rows_per_s`.

    Raises:
        FileNotFoundError: The features of the islanders are not there.
        ValueError: There are too few of them.
    """
    started = time.perf_counter()
    counts = {"train": training, "validation": held_out}
    known = {split: _features_of(split, count) for split, count in counts.items()}
    if len(known["train"][0]) < training:
        raise ValueError(
            f"There are face features of {len(known['train'][0])} training islanders, not of "
            f"{training}: take fewer."
        )
    for split, (numbers, features) in known.items():
        waveforms = list(parallel_map(voice, numbers))
        np.save(Path(folder) / f"{split}-waveforms.npy", np.stack(waveforms))
        np.save(Path(folder) / f"{split}-features.npy", features)
        np.save(Path(folder) / f"{split}-numbers.npy", numbers)
    rows = sum(len(numbers) for numbers, _ in known.values())
    there = {"training": training, "held_out": len(known["validation"][0])}
    return {**there, **rate(rows, time.perf_counter() - started)}


def voice(number: int) -> np.ndarray:
    """Records an islander: int16 (96000,)."""
    from helpers.archipelago import voices

    return media.to_int16(voices.speak(islander(number), 0))


def _features_of(split: str, count: int) -> tuple[list[int], np.ndarray]:
    """Numbers and face features of the first islanders of a split."""
    import pyarrow.parquet as pq

    from helpers.pretrained import ISLANDER_FEATURES

    table = pq.read_table(ISLANDER_FEATURES, filters=[("split", "=", split)]).slice(0, count)
    features = np.array(table["feature"].to_pylist(), "float32")
    return table["number"].to_pylist(), features


def table(name: str, folder: str, rows: int) -> dict[str, object]:
    """Builds a table as its notebook does, on all cores.

    A few clips are built before, so that starting processes and loading networks do not count.

    Args:
        name: `clips`, `faces` or `speech`.
        folder: Workspace, the same for all three; each builds on the one before.
        rows: Clips.

    Returns:
        `rows`, `seconds` and `rows_per_s`.
    """
    for kind, count in (("warm", 2 * worker_count()), ("measured", rows)):
        settings = Settings.make(rows=count, workspace=str(Path(folder) / kind))
        report = build(name, session.start(settings, BUILDERS[name][0]))
    return rate(report.made, report.seconds)


def build(name: str, running: session.Session) -> Report:
    """Builds a table in a session; `name` is a key of `BUILDERS`."""
    _, room, builder = BUILDERS[name]
    return getattr(importlib.import_module(room), builder)(running)


def decoder_training(
    seconds: float = _TRAINING_SECONDS,
    steps: int = _TRAINING_STEPS,
    identity: bool = True,
    **options: object,
) -> dict[str, object]:
    """Measures training steps of the face decoder, on pictures of noise.

    Args:
        seconds: Steps end soon after so much time; two are always made.
        steps: Most steps.
        identity: Whether the released face network judges who a face looks like, as in notebook 05.
        **options: Of `face_decoder.generator`, such as `width`.

    Returns:
        `rows` (faces in the steps counted), `rows_per_s`, `batch`, `gpu_peak_mb` and what
        `networks.StepClock.measured` returns.
    """
    from helpers import face_decoder

    return _decoder_steps(face_decoder.train_decoder, seconds, steps, identity, options)


def gan_training(
    seconds: float = _TRAINING_SECONDS,
    steps: int = _TRAINING_STEPS,
    identity: bool = True,
    **options: object,
) -> dict[str, object]:
    """Measures training steps of the decoder with the discriminator; as `decoder_training`."""
    from helpers import face_decoder

    return _decoder_steps(face_decoder.refine_with_gan, seconds, steps, identity, options)


def _decoder_steps(
    train: Callable, seconds: float, steps: int, identity: bool, options: dict
) -> dict[str, object]:
    from helpers import face_decoder
    from helpers.benchmark.networks import StepClock, gpu_peak_mb
    from helpers.training import face_network
    from helpers.training.pairs import Faces

    random, count = np.random.default_rng(0), 4 * _BATCH
    shape = (count, ALIGNED_SIZE, ALIGNED_SIZE, 3)
    names = [f"speaker-{n}" for n in range(count)]
    features = random.normal(0, 0.04, (count, FEATURE_SIZES["dlib"])).astype("float32")
    images = random.integers(0, 255, shape, "uint8")
    targets = face_decoder.targets_of(Faces(images, features, names, names))
    decoder = face_decoder.generator(**{**targets.start(), **options})
    judge = face_network.released() if identity else None
    clock = StepClock(seconds, steps, least=2)
    clock.start()
    train(
        decoder,
        targets,
        epochs=math.ceil(steps / 4),
        batch_size=_BATCH,
        callbacks=[clock],
        precision="auto",
        identity=judge,
    )
    times = clock.measured()
    return {
        "rows": (times["steps"] - 1) * _BATCH,
        "rows_per_s": round(_BATCH / times["step_s"], 3),
        "batch": _BATCH,
        "gpu_peak_mb": gpu_peak_mb(),
        **times,
    }


def decoding(rows: int, decoder: object = None) -> dict[str, object]:
    """Measures how fast features become faces, in batches.

    Args:
        rows: Faces.
        decoder: Network; None takes the released one.

    Returns:
        `rows`, `seconds` and `rows_per_s`.
    """
    from helpers import demo

    size = FEATURE_SIZES["dlib"]
    features = np.random.default_rng(0).normal(0, 0.04, (rows, size)).astype("float32")
    demo.faces_of(features, decoder)
    started = time.perf_counter()
    demo.faces_of(features, decoder)
    return rate(rows, time.perf_counter() - started)


def evaluation(rows: int) -> dict[str, object]:
    """Measures the evaluation of the released weights, loading included.

    Args:
        rows: Islanders in the gallery.

    Returns:
        `rows`, `seconds` and `rows_per_s`.
    """
    from helpers import evaluation

    started = time.perf_counter()
    evaluation.evaluate_released(rows, workers=worker_count(), progress=False)
    return rate(rows, time.perf_counter() - started)


def reconstruct(repeats: int = _REPEATS) -> dict[str, object]:
    """Measures how long a face for a voice takes: for the command, and once all is loaded.

    Args:
        repeats: How often each bundled voice is heard.

    Returns:
        `command_s` (start to end of `python -m helpers reconstruct` with one file), `warm_s`
        (median), `warm_least_s`, `warm_most_s`, `voices` and `faces` (made warm).
    """
    from helpers import demo

    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, name in enumerate(demo.BUNDLED_VOICES):
            files.append(Path(folder) / f"{number}.wav")
            media.write_wav(files[-1], demo.bundled_voice(name))
        command_s = _command_seconds(files[0], Path(folder) / "out")
        demo.reconstruct(files[0])  # Loads the networks.
        times = [demo.reconstruct(file).seconds for _ in range(repeats) for file in files]
    return {"command_s": round(command_s, 3), "voices": len(files), **spread(times)}


def spread(times: Sequence[float]) -> dict[str, object]:
    """Returns `faces`, `warm_s` (median), `warm_least_s` and `warm_most_s` of some times."""
    return {
        "faces": len(times),
        "warm_s": round(statistics.median(times), 4),
        "warm_least_s": round(min(times), 4),
        "warm_most_s": round(max(times), 4),
    }


def _command_seconds(file: Path, out: Path) -> float:
    command = [sys.executable, "-m", "helpers", "reconstruct", str(file), "--out", str(out)]
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=session.HOME, capture_output=True, text=True, check=False)
    if ended.returncode:
        told = (ended.stderr or ended.stdout).strip().splitlines() or ["nothing"]
        raise RuntimeError(f"The command reconstruct failed and said: {told[-1]}")
    return time.perf_counter() - started


def rate(rows: int, seconds: float) -> dict[str, object]:
    """Returns `rows`, `seconds` and `rows_per_s`."""
    per_s = round(rows / seconds, 3) if seconds else None
    return {"rows": rows, "seconds": round(seconds, 3), "rows_per_s": per_s}
