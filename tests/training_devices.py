"""Trains on the backend and the devices of this process, for comparisons.

`python tests/training_devices.py FILE` trains on one of two virtual devices and on both, and on JAX
once more with an interruption; the weights at the end go into FILE. (Compiling the GAN for JAX
takes longer than the others together: it is left out there.)
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import tiny_trainings
from tiny_trainings import TRAININGS

from helpers.training import training_run


def two_devices():
    """Divides the processor into two devices; on JAX the environment variable above does it."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = 2 * [tf.config.LogicalDeviceConfiguration()]
        tf.config.set_logical_device_configuration(cpu, halves)


class Kill(keras.callbacks.Callback):
    """Ends a training in the middle of its second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            raise KeyboardInterrupt


def trained(what, random=True, **settings):
    """Returns the weights and the losses of a training."""
    network = tiny_trainings.encoder(random) if what == "encoder" else None
    network, curves = TRAININGS[what](network, epochs=2, **settings)
    return [*network.get_weights(), np.array(curves["loss"])]


def interrupted(what, **settings):
    """Returns the same of a training that was killed and then went on."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            trained(what, folder=folder, callbacks=[Kill()], **settings)
        except KeyboardInterrupt:
            return trained(what, folder=folder, **settings)
    raise AssertionError("The training was not killed.")


if __name__ == "__main__":
    two_devices()
    training_run.SAVE_SECONDS = 0
    on_jax = keras.backend.backend() == "jax"
    found = {}
    for what in ("encoder", "decoder") if on_jax else TRAININGS:
        found[f"{what} on one"] = trained(what, random=False)
        found[f"{what} on two"] = trained(what, random=False, gpus=2)
    if on_jax:
        found["encoder unbroken"] = trained("encoder")
        found["encoder resumed"] = interrupted("encoder")
    arrays = {f"{key}/{n}": a for key, values in found.items() for n, a in enumerate(values)}
    np.savez(sys.argv[1], **arrays)
