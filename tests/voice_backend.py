"""What networks and losses compute on the backend of this process, for a comparison of backends.

`python tests/voice_backend.py FOLDER` reads the networks in FOLDER and writes FOLDER/BACKEND.npz.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from helpers import voice_encoder
from helpers.training import pairs
from helpers.training.voice_losses import (
    LossWeights,
    PaperLoss,
    face_heads,
    gradient_sizes,
    loss_terms,
)

NETWORKS = ("compact", "paper")
LOSSES = {"compact": LossWeights(), "paper": PaperLoss(contrastive=1.0)}
SIZE = 8


def some_pairs():
    """Eight pairs of four speakers; the voices are noise."""
    random = np.random.default_rng(0)
    features = random.standard_normal((8, SIZE)).astype("float32")
    waveforms = random.integers(-3000, 3000, (8, 96_000)).astype("int16")
    return pairs.Pairs(
        waveforms, features, [f"speaker-{n // 2}" for n in range(8)], list("abcdefgh")
    )


def compute(folder):
    """Predicts with each network, works out both losses, and trains the paper's for two steps."""
    given = some_pairs()
    heads = face_heads(given)
    found = {}
    for name in NETWORKS:
        encoder = voice_encoder.load(folder / f"{name}.keras")
        found[f"{name}_features"] = voice_encoder.predict(encoder, given.take([0, 1]))
    face, voice = given.features[::2], given.features[::-2]
    for name, loss in LOSSES.items():
        terms = loss_terms(loss, face, voice, np.array([0, 1, 1, 2]), face.mean(0), 0.07, heads)
        found[f"{name}_terms"] = np.array([float(term) for term in terms.values()])
        found[f"{name}_pulls"] = np.array(list(gradient_sizes(loss, face, voice, heads).values()))
    trainer = voice_encoder.VoiceEncoderTrainer(encoder, LOSSES["paper"], heads)
    trainer.compile(voice_encoder.paper_optimizer())
    batch = pairs.Batches(given, 4, 6.0, seed=1)[0]
    found["steps"] = np.array([trainer.train_on_batch(*batch)[0] for _ in range(2)], "float64")
    found["trained_features"] = voice_encoder.predict(encoder, given.take([0, 1]))
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    np.savez(folder / f"{keras.backend.backend()}.npz", **compute(folder))
