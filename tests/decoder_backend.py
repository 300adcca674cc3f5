"""What the decoder and its losses compute on the backend of this process, for a comparison.

`python tests/decoder_backend.py FOLDER` reads the networks in FOLDER and writes FOLDER/BACKEND.npz.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from helpers import face_decoder, training
from helpers.training import face_network, face_targets

SIZE = 128


def some_targets():
    """Four pictures of soft spots, taken apart by hand."""
    from helpers.networks.face_warp import MEAN_SHAPE

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 4, 4, 3), "uint8").repeat(32, axis=1).repeat(32, axis=2)
    names = [str(n) for n in range(4)]
    features = random.normal(0, 0.04, (4, SIZE)).astype("float32")
    shapes = (MEAN_SHAPE + random.normal(0, 1, (4, 68, 2))).astype("float32")
    faces = face_decoder.Faces(images, features, names, names)
    return face_targets.Targets(faces, np.arange(4), images, shapes, images[:, ::-1])


def compute(folder):
    """Draws faces, and trains for two steps with and without the discriminator."""
    targets = some_targets()
    identity = face_network.face_network(width=0.1)
    identity.set_weights(training.load(folder / "identity.keras", "", "").get_weights())
    found = {}
    for name, train in (
        ("decoder", face_decoder.train_decoder),
        ("gan", face_decoder.refine_with_gan),
    ):
        decoder = face_decoder.load(folder / "decoder.keras")
        found["drawn"] = decoder.predict_on_batch(targets.faces.features)
        made = train(decoder, targets, epochs=2, batch_size=4, identity=identity)
        found |= {f"{name}-{term}": values for term, values in made.items()}
    return {key: np.asarray(value) for key, value in found.items()}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    np.savez(place / f"{keras.backend.backend()}.npz", **compute(place))
