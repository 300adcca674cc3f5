"""The same files, opened by another process on another backend of Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np


def computed_on_both(room: ModuleType, folder: Path) -> tuple[dict, dict]:
    """Lets a room of tests compute from the files in a folder, here and on the other backend.

    Args:
        room: Its `compute` takes the folder and returns arrays by name; run as a script, it writes
            them to a file there that bears the name of its backend.
        folder: Where the files are.

    Returns:
        The arrays of this process and those of the other, by the same names.
    """
    other = "tensorflow" if keras.backend.backend() == "jax" else "jax"
    subprocess.run(
        [sys.executable, str(room.__file__), str(folder)],
        env={**os.environ, "KERAS_BACKEND": other},
        check=True,
    )
    here = room.compute(folder)
    with np.load(folder / f"{other}.npz") as file:
        there = dict(file)
    assert set(there) == set(here)
    return here, there
