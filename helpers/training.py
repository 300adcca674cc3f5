"""What the two training notebooks share: optimiser, resume, live figures, loading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

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
    "WrongFeatures",
    "check_features",
    "feature_kind",
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


def fit(
    trainer: keras.Model,
    batches: keras.utils.PyDataset,
    epochs: int,
    folder: Path | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Trains, and goes on where a killed run stopped.

    Order and random state depend on the epoch alone, so that a resumed training ends with the
    same weights as an unbroken one.

    Args:
        trainer: Compiled model; it measures its own loss.
        batches: Data set with a method `begin(epoch)` that sets the order of an epoch.
        epochs: Passes over the data.
        folder: Where to keep weights, optimiser state and epoch while the training lasts.
        callbacks: Keras callbacks; what they add to the logs is kept.
        verbose: As in `keras.Model.fit`.

    Returns:
        One list for each measure, with one number for each epoch trained now.
    """
    trainer.optimizer.build(trainer.trainable_variables)

    def begin(epoch: int, logs: dict | None = None) -> None:
        batches.begin(epoch)
        for number, layer in enumerate(_random_layers(trainer)):
            random = np.random.default_rng([batches.seed, epoch, number])
            layer.seed_generator.state.assign(random.integers(2**31, size=2))

    order = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    resume = []
    if folder is not None:
        resume = [keras.callbacks.BackupAndRestore(str(Path(folder) / "unfinished"))]
    # `batches` shuffles by itself; Keras would shuffle its batches once more, each time anew.
    history = trainer.fit(
        batches,
        epochs=epochs,
        callbacks=[order, *callbacks, *resume],
        shuffle=False,
        verbose=verbose,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _random_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _random_layers(layer)
        elif hasattr(layer, "seed_generator"):
            yield layer


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
