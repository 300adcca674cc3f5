"""What a predicted feature should be: in the right direction, near, and unlike other people's."""

from __future__ import annotations

import dataclasses

from keras import ops


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """How much each term of the loss counts; 0 switches a term off.

    Attributes:
        direction: Squared distance of the normalised features (the paper's second term).
        distance: L1 distance of the features; it sets how far from the mean a prediction goes.
        contrastive: Cross-entropy of finding the own face in the batch, and the own voice.
        temperature: Of the contrastive term.
        learn_temperature: Whether training may change the temperature.
    """

    direction: float = 1.0
    distance: float = 0.1
    contrastive: float = 1.0
    temperature: float = 0.07
    learn_temperature: bool = False


def normalise(feature):
    """Scales each feature of (batch, n) to length 1."""
    return feature / (ops.sqrt(ops.sum(ops.square(feature), axis=-1, keepdims=True)) + 1e-6)


def direction_loss(face, voice):
    """Returns the mean of ||f/|f| - v/|v|||^2, which is 2 - 2 cos(f, v), 0 to 4.

    Args:
        face: Deviations of the face features from their mean, (batch, n).
        voice: Predicted deviations, (batch, n).
    """
    return ops.mean(ops.sum(ops.square(normalise(face) - normalise(voice)), axis=-1))


def distance_loss(face, voice):
    """Returns the mean L1 distance of features (batch, n)."""
    return ops.mean(ops.sum(ops.abs(face - voice), axis=-1))


def contrastive_loss(face, voice, speaker, temperature=0.07):
    """Returns the cross-entropy of finding each voice's face in the batch, and each face's voice.

    Two clips of one speaker show the same face, so neither counts as wrong for the other.

    Args:
        face: Deviations of the face features, (batch, n).
        voice: Predicted deviations, (batch, n).
        speaker: Number of the speaker, (batch,).
        temperature: Cosines are divided by it.
    """
    alike = ops.matmul(normalise(voice), ops.transpose(normalise(face))) / temperature
    same = ops.cast(ops.equal(speaker[:, None], speaker[None, :]), alike.dtype)
    own = ops.eye(ops.shape(alike)[0], dtype=alike.dtype)
    alike = alike - 1e9 * (same - own)
    right = ops.sum(alike * own, axis=1)
    face_of_voice = ops.mean(ops.logsumexp(alike, axis=1) - right)
    voice_of_face = ops.mean(ops.logsumexp(alike, axis=0) - right)
    return (face_of_voice + voice_of_face) / 2
