"""What the trainings share: optimiser, going on, stopping early or in time, live figures."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from helpers.devices import Workplace
from helpers.pairs import Shuffled
from helpers.unfinished import Progress, Unfinished, read, state_of, write
from helpers.weights import (
    BadWeights,
    WrongFeatures,
    check_features,
    feature_kind,
    load,
    name_features,
    save,
)

__all__ = [
    "BadWeights",
    "LiveFigure",
    "TrainingStopped",
    "Watch",
    "Workplace",
    "WrongFeatures",
    "check_features",
    "check_speakers_apart",
    "feature_kind",
    "fit",
    "load",
    "name_features",
    "optimizer",
    "save",
]

SAVE_SECONDS = 600
"""A killed training loses the steps of at most this time, or of one epoch if that is shorter."""


def optimizer(
    learning_rate: float,
    steps: int,
    weight_decay: float = 0.0,
    beta_1: float = 0.9,
) -> keras.optimizers.Optimizer:
    """Makes an AdamW optimiser whose learning rate rises, then falls to nothing.

    Args:
        learning_rate: Largest learning rate.
        steps: Steps of the whole training; the first twentieth warms up.
        weight_decay: How much weights shrink in each step, times the learning rate.
        beta_1: Memory of the gradient's mean.
    """
    warm = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 20,
        max(1, steps - warm),
        alpha=1e-3,
        warmup_target=learning_rate,
        warmup_steps=warm,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, beta_1=beta_1, clipnorm=5.0)


@dataclasses.dataclass(frozen=True)
class Watch:
    """The one measure that decides which epoch's weights are kept, and when to stop early.

    Attributes:
        measure: One that the callbacks measure on speakers who are not trained with.
        largest: Whether the largest value is the best; else the smallest.
        patience: Epochs without a better one after which to stop; None never stops early.
    """

    measure: str
    largest: bool = False
    patience: int | None = None

    def better(self, value: float, best: float | None) -> bool:
        """Tells whether a value beats the best one so far."""
        if not math.isfinite(value):
            return False
        return best is None or (value > best if self.largest else value < best)


class TrainingStopped(RuntimeError):  # noqa: N818 (reads as the sentence it is)
    """A loss or a weight is no finite number any more; the message says where and what to do.

    Attributes:
        epoch: Epoch it happened in, from 1.
        step: Step of that epoch, from 1.
        terms: Measures or weights that are not finite.
    """

    def __init__(self, message: str, epoch: int, step: int, terms: list[str]) -> None:
        super().__init__(message)
        self.epoch, self.step, self.terms = epoch, step, terms


def check_speakers_apart(training: Sequence[str], validation: Sequence[str]) -> None:
    """Sees to it that nobody is both trained with and validated with.

    Raises:
        ValueError: Somebody is; the message names one of them.
    """
    shared = sorted(set(training) & set(validation))
    if shared:
        raise ValueError(
            f"{len(shared)} speakers are both in training and in validation, {shared[0]!r} for "
            "one. What is measured on them says nothing about other people: split by speaker."
        )


def fit(
    trainer: keras.Model,
    batches: Shuffled,
    epochs: int,
    folder: Path | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int = 0,
    trained: keras.Model | None = None,
    given: keras.Model | None = None,
    watch: Watch | None = None,
    place: Workplace | None = None,
) -> dict[str, list[float]]:
    """Trains, and goes on where a killed run stopped.

    The state is kept after each epoch, and within a long epoch after every `SAVE_SECONDS`. A
    training that goes on from it ends with the same weights, bit for bit, as an unbroken one on
    the same machine (on a GPU as far as its operations repeat themselves: see TensorFlow's
    `enable_op_determinism`). A training that has come to its end is not done again.

    Args:
        trainer: Compiled model; it measures its own loss.
        batches: Data; order and variation depend on its seed, the epoch and the step alone.
        epochs: Passes over the data.
        folder: Where to keep the state; None keeps it nowhere.
        callbacks: Keras callbacks; what they add to the logs is kept.
        verbose: As in `keras.Model.fit`.
        trained: The network within the trainer whose weights count; the best are kept.
        given: Network of the same shape that gets the weights of `trained` after each epoch,
            before the callbacks look at it; it may be `trained` itself.
        watch: Which epoch is the best; without it, it is the last.
        place: Where the trainer was made.

    Returns:
        One list for each measure, with one number for each epoch, also for those of earlier runs.

    Raises:
        TrainingStopped: The loss is not finite. The weights are those of the last good epoch.
        ValueError: The state in the folder is that of another training, or the batches cannot be
            divided among the devices.
    """
    place = place or Workplace()
    place.check_batch(batches.batch_size)
    with place.scope():
        trainer.optimizer.build(trainer.trainable_variables)
    run = _Run(trainer, batches, folder, place, watch, trained, given)
    for callback in callbacks:
        if isinstance(callback, LiveFigure):
            callback.measures = {name: list(values) for name, values in run.history.items()}
    followed = [
        _StartAndCheck(run),
        *(callback if place.plain else _Alone(callback, place) for callback in callbacks),
        # Last, so that what the others measured is kept.
        keras.callbacks.LambdaCallback(on_epoch_end=run.end_epoch),
    ]
    try:
        # An epoch that was begun has fewer steps, and Keras counts them only once in each call.
        for last in (run.progress.epoch + 1, epochs) if run.progress.step else (epochs,):
            if run.progress.epoch < last and not run.progress.stopped:
                batches.begin(run.progress.epoch, run.progress.step)
                with place.running():
                    # `batches` shuffles by itself; Keras would shuffle its batches once more.
                    trainer.fit(
                        batches,
                        initial_epoch=run.progress.epoch,
                        epochs=last,
                        callbacks=followed,
                        shuffle=False,
                        verbose=verbose,
                    )
    except TrainingStopped:
        run.back_to_good()
        raise
    run.take_best()
    return run.history


class _Run:
    """One training: how far it is, its best weights and its last good ones."""

    def __init__(self, trainer, batches, folder, place, watch, trained, given) -> None:
        self.trainer, self.batches, self.watch, self.place = trainer, batches, watch, place
        self.trained = trained if trained is not None else trainer
        self.given = given if given is not None else self.trained
        identity = {
            "backend": keras.backend.backend(),
            "numbers": place.policy,
            "weights": int(sum(np.prod(weight.shape) for weight in trainer.weights)),
            "examples": batches.count,
            "batch size": batches.batch_size,
            "seed": batches.seed,
        }
        self.store = Unfinished(folder, identity)
        self.best: list[np.ndarray] = []
        self.progress, self.arrays = self.store.load() or (Progress(), None)
        if self.arrays is not None:
            self.best = self.arrays.get("best", [])
            if self.progress.epoch:
                print(f"Going on after epoch {self.progress.epoch} of an unfinished training.")
        self.saved = time.monotonic()

    @property
    def history(self) -> dict[str, list[float]]:
        return self.progress.history

    def begin_epoch(self, epoch: int) -> None:
        """Sets the order; in the first epoch brings back the state, now that all of it is there."""
        if self.arrays is not None:
            write(self.trainer.weights, self.arrays["weights"])
            write(state_of(self.trainer), self.arrays["state"])
            if self.progress.step:
                self._take_up_measures()
            self.arrays = None
        self.first = self.progress.step
        self.batches.begin(epoch, self.first)
        self.good = read(self.trainer.weights)

    def _take_up_measures(self) -> None:
        """Gives the measures of an epoch begun the sums that they had."""
        sums = self.arrays["measures"]
        if len(self.trainer.metrics_variables) < len(sums):
            self.trainer.test_on_batch(*self.batches[0])  # Keras makes some when it needs them.
        write(self.trainer.metrics_variables, sums)

    def check_step(self, step: int, logs: dict) -> None:
        """Stops when the loss is not finite; keeps the state when it is time to."""
        self.progress.step = self.first + step + 1
        wrong = [name for name, value in logs.items() if not math.isfinite(float(value))]
        if wrong:
            self.stop(wrong, logs)
        due = time.monotonic() - self.saved >= SAVE_SECONDS
        if due and self.first + step + 1 < self.first + len(self.batches):
            if keras.backend.backend() == "jax":
                self.trainer.jax_state_sync()
            self.check_weights()
            self.save()

    def check_weights(self) -> None:
        """Stops when a weight is not finite."""
        weights = zip(self.trainer.weights, read(self.trainer.weights), strict=True)
        wrong = [weight.path for weight, value in weights if not np.isfinite(value).all()]
        if wrong:
            self.stop(wrong, {})

    def follow(self) -> None:
        """Gives the network that was given the weights of the one that is trained."""
        if self.given is not self.trained:
            self.given.set_weights(read(self.trained.weights))

    def end_epoch(self, epoch: int, logs: dict) -> None:
        """Notes the measures, the best weights and the state."""
        progress = self.progress
        for name, value in logs.items():
            progress.history.setdefault(name, []).append(float(value))
        progress.epoch, progress.step = epoch + 1, 0
        if self.watch is not None and self.watch.measure in logs:
            if self.watch.better(logs[self.watch.measure], progress.best):
                progress.best, progress.best_epoch = float(logs[self.watch.measure]), epoch
                self.best = read(self.trained.weights)
            patience = self.watch.patience
            if patience is not None and epoch - progress.best_epoch >= max(1, patience):
                progress.stopped = self.trainer.stop_training = True
        self.save()

    def save(self) -> None:
        if self.store.folder is not None:
            arrays = {
                "weights": read(self.trainer.weights),
                "state": read(state_of(self.trainer)),
                "measures": read(self.trainer.metrics_variables),
                "best": self.best,
            }
            self.store.save(self.progress, arrays)
        self.saved = time.monotonic()

    def take_best(self) -> None:
        """Ends with the best weights, also where nothing was left to train."""
        if self.arrays is not None:
            write(self.trainer.weights, self.arrays["weights"])
        if self.best:
            write(self.trained.weights, self.best)
        self.follow()

    def stop(self, wrong: list[str], logs: dict) -> None:
        epoch, step = self.progress.epoch + 1, self.progress.step
        terms = [name for name in wrong if name != "loss"] or wrong
        if not logs:
            what = f"weights were no longer finite, {terms[0]!r} first"
        elif len(terms) > 1 and len(wrong) == len(logs):
            what = "no term of the loss was finite, so the network's output or the data was not"
        else:
            values = ", ".join(f"{name!r} ({float(logs[name])})" for name in terms)
            what = f"of the loss's terms were not finite: {values}"
        kept = f" {self.store.folder} keeps the last good state." if self.store.folder else ""
        raise TrainingStopped(
            f"Training stopped in epoch {epoch}, step {step}: {what}. The network has its weights "
            f"from {f'the end of epoch {epoch - 1}' if epoch > 1 else 'the beginning'} again.{kept}"
            " Try a smaller learning rate, or precision='float32'; if that does not help, look "
            "for values in the data that are not numbers.",
            epoch,
            step,
            terms,
        )

    def back_to_good(self) -> None:
        """Undoes the epoch that went wrong."""
        write(self.trainer.weights, self.good)
        self.follow()


class _StartAndCheck(keras.callbacks.Callback):
    """What a run does before the other callbacks."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        self.run.begin_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.run.check_step(batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        self.run.check_weights()
        self.run.follow()


class _Alone(keras.callbacks.Callback):
    """Lets a callback use networks that are not laid out over several devices."""

    def __init__(self, callback: keras.callbacks.Callback, place: Workplace) -> None:
        super().__init__()
        self.callback, self.place = callback, place

    def set_model(self, model):
        super().set_model(model)
        self.callback.set_model(model)

    def on_epoch_begin(self, epoch, logs=None):
        with self.place.alone():
            self.callback.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.callback.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        with self.place.alone():
            self.callback.on_epoch_end(epoch, logs)


class LiveFigure(keras.callbacks.Callback):
    """Draws a figure again after each epoch, in the same place of the notebook.

    Args:
        draw: Takes the measures so far, one list each, and returns a Matplotlib figure.
    """

    def __init__(self, draw: Callable[[dict[str, list[float]]], object]) -> None:
        super().__init__()
        self.draw = draw
        self.measures: dict[str, list[float]] = {}
        self.place = None

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch to the measures and shows them."""
        for name, value in (logs or {}).items():
            self.measures.setdefault(name, []).append(float(value))
        self.show(self.draw(self.measures))

    def show(self, figure) -> None:
        """Puts the figure where the last one was; outside a notebook nothing is shown."""
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            if self.place is None:
                self.place = display(figure, display_id=True)
            else:
                self.place.update(figure)
