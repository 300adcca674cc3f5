"""What the trainings share: optimiser, going on, stopping early or in time, live figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from helpers.training.devices import Workplace
from helpers.training.pairs import Shuffled
from helpers.training.training_run import Alone, Run, StartAndCheck, TrainingStopped, Watch
from helpers.weights import (
    WrongFeatures,
    check_features,
    load,
    name_features,
    save,
)

__all__ = [
    "LiveFigure",
    "TrainingStopped",
    "Watch",
    "Workplace",
    "WrongFeatures",
    "check_features",
    "check_speakers_apart",
    "fit",
    "load",
    "name_features",
    "optimizer",
    "save",
]


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

    The state is kept after each epoch, and within a long epoch after every
    `training_run.SAVE_SECONDS`. A training that goes on from it ends with the same weights, bit for
    bit, as an unbroken one on the same machine (on a GPU as far as its operations repeat
    themselves: see TensorFlow's `enable_op_determinism`). A training that has come to its end is
    not done again.

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
        ValueError: The state in the folder is that of another training: other weights, people,
            loss, optimiser, batches or measure to watch; the message says in what they differ and
            what to do. Or the batches cannot be divided among the devices.
    """
    place = place or Workplace()
    place.check_batch(batches.batch_size)
    with place.scope():
        trainer.optimizer.build(trainer.trainable_variables)
    run = Run(trainer, batches, folder, place, watch, trained, given)
    for callback in callbacks:
        if isinstance(callback, LiveFigure):
            callback.measures = {name: list(values) for name, values in run.history.items()}
    followed = [
        StartAndCheck(run),
        *(callback if place.plain else Alone(callback, place) for callback in callbacks),
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
