"""The state of a training that is not at its end: enough to go on as if nothing had happened.

That is every number that a training step reads or writes: weights, moving averages, the optimiser's
memory and step, the state of the random layers and the measures of an epoch begun; besides, the
measures of the epochs before and the best weights so far.
"""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from helpers.storage.drive import read_json, sha256, write_json

FOLDER = "unfinished"
STATE, INDEX = "state.npz", "state.json"


@dataclasses.dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: Epochs that are done.
        step: Steps that are done in the epoch after them.
        history: One list for each measure, with one number for each epoch done.
        best: Value of the measure that early stopping watches, at its best.
        best_epoch: Number of the epoch that had it, from 0.
        stopped: Early stopping has ended the training.
    """

    epoch: int = 0
    step: int = 0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_epoch: int = -1
    stopped: bool = False


class Unfinished:
    """Keeps the state of a training in a folder; each new state replaces the last one whole.

    Args:
        folder: Where the training keeps its files; None keeps nothing.
        identity: What must be the same in a run that goes on with the state.
    """

    def __init__(self, folder: Path | str | None, identity: dict) -> None:
        self.folder = None if folder is None else Path(folder) / FOLDER
        self.identity = identity

    def save(self, progress: Progress, arrays: dict[str, Sequence[np.ndarray]]) -> None:
        """Writes a state.

        Args:
            progress: How far the training has come.
            arrays: All numbers of the training, in groups; the order within a group counts.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        named = {f"{key}/{n}": a for key, group in arrays.items() for n, a in enumerate(group)}
        # Two names in turn: the index says which one counts, so one of them is always whole.
        last = (read_json(self.folder / INDEX) or {}).get("file")
        file = f"2-{STATE}" if last == f"1-{STATE}" else f"1-{STATE}"
        with (self.folder / file).open("wb") as target:
            np.savez(target, **named)
            target.flush()
            os.fsync(target.fileno())
        index = {"identity": self.identity, "file": file, "sha256": sha256(self.folder / file)}
        write_json(self.folder / INDEX, {**index, **dataclasses.asdict(progress)})
        if last and last != file:
            (self.folder / last).unlink(missing_ok=True)

    def load(self) -> tuple[Progress, dict[str, list[np.ndarray]]] | None:
        """Returns the last state, or None if there is none.

        A state that is damaged is named and not used: the training starts from the beginning.

        Raises:
            ValueError: The state is that of another training; the message says in what they differ.
        """
        index = None if self.folder is None else read_json(self.folder / INDEX)
        if index is None:
            return None
        theirs = index.pop("identity")
        differ = [name for name in self.identity if theirs.get(name) != self.identity[name]]
        if differ:
            what = ", ".join(f"{n}: {theirs.get(n)} there, {self.identity[n]} here" for n in differ)
            raise ValueError(
                f"{self.folder} holds the unfinished training of something else ({what}). "
                "Delete that folder, or train in another one."
            )
        path = self.folder / index.pop("file")
        wanted = index.pop("sha256")
        try:
            if sha256(path) != wanted:
                raise ValueError("it does not match its checksum")
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                arrays: dict[str, list[np.ndarray]] = {}
                for name in sorted(file.files, key=lambda name: int(name.rpartition("/")[2])):
                    arrays.setdefault(name.rpartition("/")[0], []).append(file[name])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            print(f"{path} is damaged ({error}): the training starts from the beginning.")
            return None
        return Progress(**index), arrays


def state_of(trainer: keras.Model) -> list[keras.Variable]:
    """Returns what a training step reads and writes besides weights and measures.

    That is the state of the random layers and the optimiser's memory, in an order that stays.
    """
    others = {id(one) for one in (*trainer.weights, *trainer.metrics_variables)}
    variables = [*trainer.variables, *trainer.optimizer.variables]
    return list({id(one): one for one in variables if id(one) not in others}.values())


def read(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Returns copies of the values of variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def write(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Gives variables their values; none is changed if they do not fit.

    Raises:
        ValueError: Number or shapes are not those of the variables.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    found = [np.shape(value) for value in values]
    if shapes != found:
        pairs = zip(shapes, found, strict=False)
        first = next((f"{a} and {b}" for a, b in pairs if a != b), "their number")
        raise ValueError(f"{len(found)} arrays do not fit {len(shapes)} variables: {first} differ.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
