"""Writes files of weights with the real Keras 2 (tf-keras), by keras-vggface's own code.

    python tests/keras2_weights.py FOLDER [SHARE]

One file for each network, named as the released ones, and `features.npz`: pictures, and what
Keras 2 makes of them. SHARE is the part of the filters that is kept: 16 (the default) keeps every
sixteenth, 1 all. The layers and their names are those of the real networks in any case.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np

FILES = {
    "vggface": ("VGG16", "rcmalli_vggface_tf_vgg16.h5", 2622, "fc7/relu"),
    "resnet50": ("RESNET50", "rcmalli_vggface_tf_resnet50.h5", 8631, "avg_pool"),
    "senet50": ("SENET50", "rcmalli_vggface_tf_senet50.h5", 8631, "avg_pool"),
}
SHARE = 16
_TIED = ("_1x1_down", "_1x1_up")
"""Layers that follow the width of the layer before them by themselves."""


def narrowed(layer, share: int = SHARE):
    """Returns what makes a Conv2D or Dense with fewer filters; fc7, the feature, keeps its size."""

    def make(width: int, *arguments, name: str, **options):
        kept = name == "fc7" or name.endswith(_TIED)
        return layer(width if kept else width // share, *arguments, name=name, **options)

    return make


def keras_2():
    """Imports keras-vggface with Keras 2 for `keras`; returns its models."""
    import tf_keras

    sys.modules["keras"] = tf_keras
    for part in ("layers", "backend", "models", "utils"):
        sys.modules[f"keras.{part}"] = getattr(tf_keras, part)
    members = {
        "keras_applications": {},
        "keras_applications.imagenet_utils": {
            "_obtain_input_shape": lambda shape, default_size, **_: (default_size,) * 2 + (3,)
        },
        "keras.utils.layer_utils": {},
        "keras.utils.data_utils": {"get_file": None},
        "keras.engine.topology": {"get_source_inputs": None},
    }
    for name, attributes in members.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(attributes)
    tf_keras.utils.layer_utils = sys.modules["keras.utils.layer_utils"]
    from keras_vggface import models

    return tf_keras, models


def main(folder: Path, share: int) -> None:
    """Writes the files."""
    tf_keras, models = keras_2()
    models.Conv2D = narrowed(models.Conv2D, share)
    models.Dense = narrowed(models.Dense, share)
    tf_keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (2, 224, 224, 3)).astype("float32")
    kept = {"pictures": pictures}
    for kind, (make, file, classes, feature) in FILES.items():
        network = getattr(models, make)(weights=None, classes=classes)
        for layer in network.layers:
            if not layer.weights:
                continue
            # Biases and the numbers of a normalisation begin at 0 and 1, where swapping them shows
            # nothing. The variance stays above 0.
            kernel = [w for w in layer.get_weights() if w.ndim > 1]
            rest = [random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights() if w.ndim == 1]
            layer.set_weights(kernel + rest)
        network.save_weights(folder / file)
        inner = tf_keras.Model(network.inputs, network.get_layer(feature).output)
        blue_first = pictures[..., ::-1] - np.float32(
            (93.5940, 104.7624, 129.1863) if kind == "vggface" else (91.4953, 103.8827, 131.0912)
        )
        kept[kind] = np.asarray(inner(blue_first)).reshape(len(pictures), -1)
    np.savez(folder / "features.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SHARE)
