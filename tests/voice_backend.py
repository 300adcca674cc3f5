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

from helpers import pairs, voice_encoder
from helpers.voice_losses import LossWeights, PaperLoss, face_heads, gradient_sizes

NETWORKS = ("compact", "paper", "published")
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
    """Predicts with each network, and trains the paper's for two steps with each loss."""
    given = some_pairs()
    heads = face_heads(given)
    found = {}
    for name in NETWORKS:
        encoder = voice_encoder.load(folder / f"{name}.keras")
        found[f"{name}_features"] = voice_encoder.predict(encoder, given)[:2]
    batch = pairs.Batches(given, 4, 6.0, seed=1)[0]
    for name, loss in LOSSES.items():
        encoder = voice_encoder.load(folder / "paper.keras")
        trainer = voice_encoder.VoiceEncoderTrainer(encoder, loss, heads)
        trainer.compile(voice_encoder.paper_optimizer())
        steps = [trainer.train_on_batch(*batch, return_dict=True) for _ in range(2)]
        for term in steps[0]:
            found[f"{name}_loss_{term}"] = np.array([float(step[term]) for step in steps])
        sizes = gradient_sizes(loss, given.features[::2], given.features[::-2], heads)
        found[f"{name}_gradients"] = np.array(list(sizes.values()))
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    np.savez(folder / f"{keras.backend.backend()}.npz", **compute(folder))
