"""What a decoded face is judged by: landmarks, texture, picture, and who a network sees in it."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from helpers.networks.decoder_networks import with_parts
from helpers.networks.face_warp import face_of
from helpers.settings import ALIGNED_SIZE
from helpers.training import devices

WEIGHTS = {"landmarks": 0.02, "texture": 1.0, "image": 1.0, "identity": 0.1}
"""How much each term counts. A mean error of the landmarks of 1 pixel costs as much as one of the
texture of 2 %."""


def face_weights(size: int = ALIGNED_SIZE) -> np.ndarray:
    """Returns how much each pixel counts, (size, size, 1), mean 1: the background less.

    An aligned face fills an upright oval in the middle of the picture.
    """
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    inside = 1 / (1 + np.exp(12 * (np.hypot(across / 0.8, down / 0.95) - 1)))
    weights = 0.25 + 0.75 * inside
    return (weights / weights.mean()).astype("float32")[:, :, None]


def reconstruction_loss(face, made):
    """Returns the L1 distance of pictures at three sizes plus that of their edges.

    Pixels alone leave faces soft; the edges, differences of neighbouring pixels, ask for detail.

    Args:
        face: True faces or textures, (batch, 128, 128, 3), 0 to 1.
        made: Decoded ones.
    """
    error = (face - made) * face_weights(face.shape[1])
    edges = ops.mean(ops.abs(error[:, 1:] - error[:, :-1]))
    edges = edges + ops.mean(ops.abs(error[:, :, 1:] - error[:, :, :-1]))
    loss = ops.mean(ops.abs(error)) + edges
    for size in (4, 16):
        loss = loss + ops.mean(ops.abs(ops.average_pool(error, size, size)))
    return loss


def identity_loss(wanted, seen, centre):
    """Returns 1 minus the mean cosine of two features, both seen from the mean feature.

    Seen from there, a face that is only a little female is as far from one that is only a little
    male as can be. So the loss asks for the right side, also where a feature says little.

    Args:
        wanted: Features that were to be drawn, (batch, n).
        seen: Features of the drawn faces, (batch, n).
        centre: Mean feature, (n,).
    """
    wanted = ops.normalize(wanted - centre, axis=-1, epsilon=1e-6)
    seen = ops.normalize(seen - centre, axis=-1, epsilon=1e-6)
    return 1 - ops.mean(ops.sum(wanted * seen, axis=-1))


class DecoderLoss:
    """The terms of the decoder's loss.

    Args:
        identity: Network that sees a face (batch, 128, 128, 3) and gives its feature; None leaves
            the term out. Where the decoder takes features of another kind, its face is compared
            with what the network sees in the true face.
        centre: Mean feature of the training faces.
        weights: How much each term counts.
    """

    def __init__(
        self,
        identity: keras.Model | None,
        centre: np.ndarray,
        weights: dict[str, float] = WEIGHTS,
    ) -> None:
        self.identity, self.centre, self.weights = identity, centre, weights
        if identity is not None:
            identity.trainable = False

    def terms(self, feature, target: dict, parts: dict) -> dict:
        """Returns the terms by name, each a number.

        Args:
            feature: What was decoded, (batch, n).
            target: As `face_targets.TargetBatches` gives it.
            parts: As `decoder_networks.with_parts` gives it.
        """
        mixture = ops.stop_gradient(face_of(target["texture"], target["landmarks"]))
        mixed = target["mixed"][:, None, None, None]
        image = mixed * mixture + (1 - mixed) * target["image"]
        if "texture" in parts:
            terms = {
                "landmarks": ops.mean(ops.square(parts["landmarks"] - target["landmarks"])),
                "texture": reconstruction_loss(target["texture"], parts["texture"]),
                "image": ops.mean(ops.abs((image - parts["face"]) * face_weights())),
            }
        else:
            terms = {"image": reconstruction_loss(image, parts["face"])}
        if self.identity is not None:
            seen = self.identity(parts["face"], training=False)
            wanted, centre = feature, self.centre
            if seen.shape[-1] != feature.shape[-1]:
                wanted, centre = ops.stop_gradient(self.identity(image, training=False)), 0.0
            terms["identity"] = identity_loss(wanted, seen, centre)
        return terms

    def total(self, terms: dict):
        """Returns the weighted sum of the terms."""
        return sum(self.weights[name] * term for name, term in terms.items())


class DecoderTrainer(keras.Model):
    """Holds optimiser and loss, so that the decoder's own file stays small.

    Args:
        decoder: Network to train, as `generator` makes it.
        loss: What it should reach.
    """

    def __init__(self, decoder: keras.Model, loss: DecoderLoss) -> None:
        super().__init__(name="face_decoder_trainer")
        self.decoder, self.judge = with_parts(decoder), loss
        self.identity, self.weights_of_loss = loss.identity, loss.weights
        self.terms = term_metrics(self.decoder, loss)
        self.built = True

    def call(self, feature, training=None):
        """Returns landmarks, texture and face."""
        return self.decoder(feature, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss; `x` holds the features, `y` their targets."""
        terms = self.judge.terms(x, y, y_pred)
        for name, value in terms.items():
            self.terms[name].update_state(value)
        return devices.share(self.judge.total(terms))


def term_metrics(parts: keras.Model, loss: DecoderLoss) -> dict[str, keras.metrics.Mean]:
    """Returns a metric for each term that a decoder, with its parts, and a loss have."""
    names = [name for name in WEIGHTS if name in parts.output or name == "image"]
    if loss.identity is not None:
        names.append("identity")
    return {name: keras.metrics.Mean(name=name) for name in names}
