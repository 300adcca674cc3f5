"""Where a training runs and with which numbers: GPUs together, 16 bits where that is safe.

The network that is trained may be a copy: laid out over several devices, or computing with 16
bits. The one that was given follows it after each epoch and stays what it was, a network of 32
bits on one device. So no file and no prediction ever depends on how a network was trained.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
from keras import layers, ops

_FLOAT32 = (
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.BatchNormalization,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GroupNormalization,
    layers.InputLayer,
    layers.LayerNormalization,
    layers.Softmax,
)
"""Layers of Keras that sum over many numbers, of which 16 bits would lose the small ones, and the
one that hands over what was given."""


class Workplace:
    """The devices and numbers of one training.

    Args:
        precision: `float32`, `mixed`, or `auto`, which is `mixed` on a GPU.
        gpus: How many GPUs (without a GPU: other devices of the machine) train together; 0 takes
            all GPUs there are.

    Attributes:
        policy: Keras' name of the numbers: `float32`, `mixed_bfloat16` or `mixed_float16`.
        devices: Names of the devices that train together; empty if there is only one.

    Raises:
        ValueError: More devices are asked for than there are, or the precision does not exist.
    """

    def __init__(self, precision: str = "float32", gpus: int = 1) -> None:
        self.policy = precision_policy(precision)
        self.devices = _devices(gpus)
        self._backend = keras.backend.backend()
        if not self.devices:
            self._layout = None
        elif self._backend == "jax":
            self._layout = keras.distribution.DataParallel(devices=self.devices)
        elif self._backend == "tensorflow":
            self._layout = _mirrored(tuple(self.devices))
        else:
            raise ValueError(
                f"gpus={gpus!r} is not valid: several devices train together on the backends "
                f"tensorflow and jax only, not on {self._backend}. Take gpus=1."
            )

    @property
    def plain(self) -> bool:
        """One device and 32 bits: nothing has to be copied."""
        return self._layout is None and self.policy == "float32"

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within it, networks and optimisers are made for these devices."""
        with contextlib.ExitStack() as stack:
            if self._layout is not None:
                stack.enter_context(self._layout.scope())
                if self._backend == "tensorflow":
                    import tensorflow as tf

                    stack.enter_context(tf.variable_creator_scope(_written_alike))
            yield

    def running(self) -> contextlib.AbstractContextManager:
        """Within it, a network made for these devices trains on them."""
        # A TensorFlow network remembers its devices; what else happens in its training should not
        # take them for its own.
        return self.scope() if self._backend == "jax" else contextlib.nullcontext()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within it, and within `running`, other networks compute on one device."""
        if self._layout is None or self._backend != "jax":
            yield
            return
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(self._layout)

    def copy(self, network: keras.Model | None) -> keras.Model | None:
        """Returns the network to use in training for another: itself, or a copy made for here.

        Args:
            network: Network of 32 bits on one device, which stays as it is; or None.
        """
        if self.plain or network is None:
            return network
        with self.scope():
            copied = keras.models.clone_model(network)
            copied.set_weights(network.get_weights())
            return self.prepare(copied)

    def prepare(self, network: keras.Model) -> keras.Model:
        """Lets a network, made within `scope` and not to be saved, compute as it does here."""
        if self.policy != "float32":
            for layer in _may_be_short(network):
                layer.dtype_policy = keras.DTypePolicy(self.policy)
        if self._layout is not None and self._backend == "tensorflow":
            for layer in network._flatten_layers():
                if isinstance(layer, layers.BatchNormalization):
                    layer.synchronized = True  # The statistics are those of the whole batch.
        return network

    def optimizer(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        """Returns the optimiser for here; it scales the loss where gradients would be too small."""
        if self._layout is not None:
            optimizer = type(optimizer).from_config(optimizer.get_config())
        if self.policy != "mixed_float16":
            return optimizer
        return keras.optimizers.LossScaleOptimizer(optimizer)

    def check_batch(self, batch_size: int) -> None:
        """Sees to it that a batch can be divided.

        Raises:
            ValueError: It cannot; the message names the next size that can.
        """
        count = max(1, len(self.devices))
        if batch_size % count:
            raise ValueError(
                f"batch_size={batch_size} cannot be divided among {count} devices: take "
                f"{batch_size + count - batch_size % count}, or gpus=1."
            )


def precision_policy(precision: str) -> str:
    """Returns Keras' name of the numbers that suit this machine.

    Args:
        precision: `float32`, `mixed`, or `auto`, which is `mixed` on a GPU that gains from it.

    Returns:
        `float32`; `mixed_bfloat16`; or `mixed_float16` on GPUs from before 2020, which do not
        know the former.

    Raises:
        ValueError: There is no such precision.
    """
    if precision not in ("auto", "float32", "mixed"):
        raise ValueError(
            f"precision={precision!r} is not valid. Choose one of: auto, float32, mixed."
        )
    generation = _gpu_generation()
    if precision == "float32" or (precision == "auto" and (generation or 0) < 7):
        return "float32"
    return "mixed_float16" if generation is not None and generation < 8 else "mixed_bfloat16"


def whole_batch(tensor):
    """Returns a tensor of the whole batch, where each device computes with a part of it.

    A loss that compares the examples of a batch needs all of them. Gradients flow back to the
    device that an example comes from. On JAX, and with one device, the tensor is whole already.

    Args:
        tensor: (part of the batch, ...).
    """
    context = _replica()
    return tensor if context is None else context.all_gather(tensor, axis=0)


def own_part(tensor):
    """Returns the part of a whole batch that this device computes with; undoes `whole_batch`."""
    context = _replica()
    if context is None:
        return tensor
    size = ops.shape(tensor)[0] // context.num_replicas_in_sync
    return tensor[context.replica_id_in_sync_group * size :][:size]


def share(loss):
    """Scales a loss for a device whose gradients are summed with those of the others."""
    context = _replica()
    return loss if context is None else loss / context.num_replicas_in_sync


@functools.cache
def _mirrored(devices: tuple[str, ...]):
    """Returns one strategy for all trainings: two would number their messages alike."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def _replica():
    """Returns TensorFlow's context of one device among several, or None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def _written_alike(make, **options):
    """Makes a variable that every device writes, each the same, as those that are not trained."""
    import tensorflow as tf

    if options.get("aggregation") in (None, tf.VariableAggregation.NONE):
        options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return make(**options)


def _may_be_short(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Goes through the layers that may compute with 16 bits.

    Spectrograms and everything else of this project, with the layers in it, keep 32 bits unless
    the class says `half_ready`; so do normalisations and the last layers of the network and of
    its parts.
    """
    last = {id(tensor._keras_history.operation) for tensor in network.outputs}
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _may_be_short(layer)
            continue
        of_keras = type(layer).__module__.startswith("keras.")
        ready = of_keras and not isinstance(layer, _FLOAT32)
        if id(layer) not in last and getattr(layer, "half_ready", ready):
            yield from layer._flatten_layers()


def _gpu_generation() -> int | None:
    """Returns the compute capability's first number of the first GPU; None without a GPU."""
    if keras.backend.backend() == "jax":
        import jax

        first = jax.devices()[0]
        if first.platform != "gpu":
            return None
        return int(str(getattr(first, "compute_capability", "8")).split(".")[0])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        if found:
            details = tf.config.experimental.get_device_details(found[0])
            return int(details.get("compute_capability", (8, 0))[0])
    return None


def _devices(gpus: int) -> list[str]:
    """Returns the names of the devices that train together; none if one is all it takes."""
    if gpus == 1:
        return []
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in found]
    else:
        names = keras.distribution.list_devices()
    if gpus == 0:
        are_gpus = bool(names) and "gpu" in names[0].lower()
        return names if are_gpus and len(names) > 1 else []
    if gpus > len(names):
        raise ValueError(
            f"gpus={gpus} is not valid: this machine has {len(names)}. Take gpus=0 for all."
        )
    return names[:gpus]
