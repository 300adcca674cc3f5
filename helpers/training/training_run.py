"""One training while it lasts: how far it is, what it keeps, and when it ends before its time."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from helpers.storage.unfinished import Progress, Unfinished, read, state_of, write
from helpers.training.devices import Workplace

SAVE_SECONDS = 600
"""A killed training loses the steps of at most this time, or of one epoch if that is shorter."""


@dataclasses.dataclass(frozen=True)
class Watch:
    """The one measure that decides which epoch's weights are kept, and when to stop early.

    Attributes:
        measure: One that the callbacks measure on speakers who are not trained with.
        largest: Whether the largest value is the best; else the smallest.
        patience: Epochs without a better one after which to stop; 0 or None never stops early.
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


class Run:
    """One training: how far it is, its best weights and its last good ones."""

    def __init__(self, trainer, batches, folder, place, watch, trained, given) -> None:
        self.trainer, self.batches, self.watch, self.place = trainer, batches, watch, place
        self.trained = trained if trained is not None else trainer
        self.given = given if given is not None else self.trained
        self.store = Unfinished(folder, _identity(trainer, batches, place, watch))
        self.best: list[np.ndarray] = []
        self.progress, self.arrays = self.store.load() or (Progress(), None)
        if self.arrays is not None:
            self.best = self.arrays.get("best", [])
            if self.progress.epoch:
                print(f"Going on after epoch {self.progress.epoch} of an unfinished training.")
        self.saved = time.monotonic()

    @property
    def history(self) -> dict[str, list[float]]:
        """The measures of all epochs done, one list each."""
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
        if due and step + 1 < len(self.batches):
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
            if patience and epoch - progress.best_epoch >= patience:
                progress.stopped = self.trainer.stop_training = True
        self.save()

    def save(self) -> None:
        """Keeps the state, if there is a folder for it."""
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
        """Raises the error that says where the training stopped, and what to do.

        Args:
            wrong: Measures or weights that are not finite.
            logs: The measures of the step; empty where it is about weights.

        Raises:
            TrainingStopped: Always.
        """
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


def _identity(trainer, batches, place, watch) -> dict[str, object]:
    """Returns what must be the same in a run that goes on with a state, ready for JSON.

    The number of epochs is not in it: where it sets how the learning rate falls, the optimiser says
    so, and where it does not, a longer training may go on from a shorter one.
    """
    loss = getattr(trainer, "weights_of_loss", {})
    if dataclasses.is_dataclass(loss):
        loss = {"kind": type(loss).__name__, **dataclasses.asdict(loss)}
    shapes = [tuple(weight.shape) for weight in trainer.weights]
    return {
        "backend": keras.backend.backend(),
        "numbers": place.policy,
        "weights": int(sum(np.prod(shape) for shape in shapes)),
        "shapes of the weights": hashlib.sha256(repr(shapes).encode()).hexdigest()[:16],
        **batches.identity(),
        **dict(_flat("loss", loss)),
        **dict(_flat("watched", dataclasses.asdict(watch) if watch is not None else {})),
        **dict(_flat("optimiser", trainer.optimizer.get_config())),
    }


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yields the numbers and words in nested dicts, each under the names that lead to it."""
    if not isinstance(value, Mapping):
        yield name.replace("_", " "), value
        return
    for key, inner in value.items():
        # Keras counts objects in their names, and says with `module` only where a class comes from.
        if key not in ("name", "module", "registered_name"):
            yield from _flat(name if key == "config" else f"{name} {key}", inner)


class StartAndCheck(keras.callbacks.Callback):
    """What a run does before the other callbacks."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the order of the data, and takes up a state."""
        self.run.begin_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss, and keeps the state now and then."""
        self.run.check_step(batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the weights, and hands them to the network that was given."""
        self.run.check_weights()
        self.run.follow()


class Alone(keras.callbacks.Callback):
    """Lets a callback use networks that are not laid out over several devices."""

    def __init__(self, callback: keras.callbacks.Callback, place: Workplace) -> None:
        super().__init__()
        self.callback, self.place = callback, place

    def set_model(self, model):
        """Hands over the trainer."""
        super().set_model(model)
        self.callback.set_model(model)

    def on_epoch_begin(self, epoch, logs=None):
        """Calls the callback's."""
        with self.place.alone():
            self.callback.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """Calls the callback's."""
        self.callback.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Calls the callback's."""
        with self.place.alone():
            self.callback.on_epoch_end(epoch, logs)
