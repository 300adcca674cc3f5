"""What a predicted feature should be: in the right direction, near, and unlike other people's.

There are two losses. `LossWeights` is the one that `compact` was made with; `PaperLoss` is that
of Speech2Face, whose terms look at a feature through the first layer of a face decoder and through
the last one of a recognition network. Both fit every network.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import ops

from helpers.training.pairs import Pairs
from helpers.weights import check_features

DECODER_UNITS = 1_000
"""Numbers in the first layer of the paper's face decoder."""
MOST_IDENTITIES = 2_622
"""People that VGG-Face's last layer tells apart; a classifier of our own takes no more."""
CERTAINTY = 0.5
"""Mean probability that a classifier of our own gives the right name, at the paper's softness."""
SHRINKAGE = 0.1
"""How far the spread within a speaker is drawn towards the same spread in all directions."""


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """How much each term of the compact network's loss counts; 0 switches a term off.

    Attributes:
        direction: Squared distance of the normalised deviations from the mean feature.
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


@dataclasses.dataclass(frozen=True)
class PaperLoss:
    """How much each term of Speech2Face's loss counts (section 3.2); 0 switches a term off.

    Attributes:
        decoder: L1 distance behind the first layer of the face decoder.
        direction: The paper's lambda 1: squared distance of the normalised features.
        distillation: The paper's lambda 2: cross-entropy of who the recognition network takes
            face and voice for.
        softness: The paper's T: the recognition network's answers are divided by it.
        contrastive: As in `LossWeights`; the paper has no such term.
        temperature: Of the contrastive term.
        learn_temperature: Whether training may change the temperature.
    """

    decoder: float = 1.0
    direction: float = 0.025
    distillation: float = 200.0
    softness: float = 2.0
    contrastive: float = 0.0
    temperature: float = 0.07
    learn_temperature: bool = False


Loss = LossWeights | PaperLoss
TERMS = ("decoder", "direction", "distance", "distillation", "contrastive")
"""Every term that one of the losses has."""


def terms_of(loss: Loss) -> list[str]:
    """Returns the names of the terms that are switched on."""
    return [name for name in TERMS if getattr(loss, name, 0.0)]


# --- the terms -----------------------------------------------------------------------------------


def normalise(feature):
    """Scales each feature of (batch, n) to length 1, each by its own length."""
    return feature / (ops.sqrt(ops.sum(ops.square(feature), axis=-1, keepdims=True)) + 1e-6)


def direction_loss(face, voice):
    """Returns the mean of ||f/|f| - v/|v|||^2, which is 2 - 2 cos(f, v), 0 to 4.

    Args:
        face: Face features, or their deviations from the mean feature, (batch, n).
        voice: Predicted ones, (batch, n).
    """
    return ops.mean(ops.sum(ops.square(normalise(face) - normalise(voice)), axis=-1))


def distance_loss(face, voice):
    """Returns the mean L1 distance of features (batch, n)."""
    return ops.mean(ops.sum(ops.abs(face - voice), axis=-1))


def distillation_loss(face, voice, softness=2.0):
    """Returns the mean of -sum p(face) log p(voice), with p(a) = softmax(a / T).

    Not only who comes first counts, but also who else was thought of: at a softness T above 1 the
    small probabilities grow, and with them what they tell (Hinton et al. 2015).

    Args:
        face: Answers of the recognition network to face features, (batch, people).
        voice: Its answers to the predicted features, (batch, people).
        softness: T.
    """
    likely = ops.softmax(face / softness, axis=-1)
    return -ops.mean(ops.sum(likely * ops.log_softmax(voice / softness, axis=-1), axis=-1))


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


def loss_terms(
    loss: Loss, face, voice, speaker, centre, temperature, heads: FaceHeads | None = None
) -> dict:
    """Returns each term that is switched on, before its weight, as a scalar.

    Args:
        loss: Which terms, and their weights.
        face: Face features, (batch, n).
        voice: Predicted features, (batch, n).
        speaker: Number of the speaker, (batch,).
        centre: Mean feature, (n,).
        temperature: Of the contrastive term.
        heads: What the paper's terms look through; needed for `PaperLoss` only.
    """
    from_centre = face - centre, voice - centre
    terms = {}
    for name in terms_of(loss):
        if name == "decoder":
            terms[name] = distance_loss(*(ops.matmul(one, heads.decoder) for one in (face, voice)))
        elif name == "distillation":
            people = [ops.matmul(one, heads.people) + heads.bias for one in (face, voice)]
            terms[name] = distillation_loss(*people, loss.softness)
        elif name == "contrastive":
            terms[name] = contrastive_loss(*from_centre, speaker, temperature)
        elif name == "distance":
            terms[name] = distance_loss(*from_centre)
        elif isinstance(loss, PaperLoss):
            terms[name] = direction_loss(face, voice)
        else:
            terms[name] = direction_loss(*from_centre)
    return terms


# --- what the paper's terms look through ---------------------------------------------------------


@dataclasses.dataclass
class FaceHeads:
    """The two fixed layers behind a feature that `PaperLoss` compares at.

    Attributes:
        decoder: First layer of a face decoder, (n, units). Only its matrix: the two sides of the
            L1 distance have the same bias, and no unit is to be deaf to half of the differences.
        people: Last layer of a recognition network, (n, people).
        bias: Its bias, (people,).
    """

    decoder: np.ndarray
    people: np.ndarray
    bias: np.ndarray


def face_heads(
    pairs: Pairs,
    decoder: keras.Model | None = None,
    classifier: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> FaceHeads:
    """Collects the two layers for the paper's loss.

    The paper has a decoder that was trained before, and VGG-Face. Where there is no decoder, its
    first layer is one before training: random directions, behind which distances are nearly what
    they were. Where there is no recognition network with a last layer, `classifier_of` fits one.

    Args:
        pairs: Training pairs.
        decoder: A face decoder for the same features.
        classifier: Matrix (n, people) and bias (people,) of a recognition network's last layer.
        seed: Seed of the random directions.

    Raises:
        WrongFeatures: The decoder draws features of another kind.
        ValueError: A feature is not finite.
    """
    if decoder is None:
        size = pairs.features.shape[1]
        spread = np.sqrt(2 / (size + DECODER_UNITS))  # As Glorot and Bengio start a layer.
        random = np.random.default_rng([seed, size])
        first = spread * random.standard_normal((size, DECODER_UNITS))
    else:
        check_features(decoder, pairs.features)
        first = first_layer(decoder)
    people, bias = classifier or classifier_of(pairs)
    return FaceHeads(*(np.asarray(array, "float32") for array in (first, people, bias)))


def first_layer(decoder: keras.Model) -> np.ndarray:
    """Returns the matrix of a decoder's first dense layer, as seen from the feature, (n, units).

    A decoder with a part for the shape and one for the texture has two such layers, side by side.
    That it strengthens weak features first is left out: a loss should see how long a feature is.
    """
    parts = [layer for layer in decoder.layers if isinstance(layer, keras.Model)] or [decoder]
    matrices = []
    for part in parts:
        dense = next(layer for layer in part.layers if isinstance(layer, keras.layers.Dense))
        scale = ops.convert_to_numpy(part.get_layer("standardise").scale)
        matrices.append(np.asarray(scale) * ops.convert_to_numpy(dense.kernel))
    return np.concatenate(matrices, axis=1)


def classifier_of(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Fits a linear classifier that tells the speakers of the pairs apart by their faces.

    Linear discriminant analysis: everybody's features lie around a mean of their own, with the
    same spread. Then the best classifier is linear and has a closed form: no training, no chance.
    It would be certain of everybody it was fitted on, and then it would only name people, and not
    say whom else a face resembles. So its answers are scaled down until it is `CERTAINTY` sure.

    Args:
        pairs: Training pairs. Of more than `MOST_IDENTITIES` speakers, the first are taken.

    Returns:
        Matrix (n, people) and bias (people,).
    """
    numbers = np.unique(pairs.speakers, return_inverse=True)[1]
    known = numbers < MOST_IDENTITIES
    numbers, features = numbers[known], np.asarray(pairs.features, "float64")[known]
    counts = np.bincount(numbers)
    means = np.zeros((len(counts), features.shape[1]))
    np.add.at(means, numbers, features)
    means /= counts[:, None]
    centre = means.mean(axis=0)
    within = features - means[numbers]
    free = len(features) - len(counts)
    if not free:  # One clip of everybody: nothing is known of the spread within a speaker.
        within, free = features - centre, max(1, len(features) - 1)
    spread = within.T @ within / free
    level = max(float(np.trace(spread)) / len(spread), 1e-12)
    spread = (1 - SHRINKAGE) * spread + SHRINKAGE * level * np.eye(len(spread))
    people = np.linalg.solve(spread, (means - centre).T)
    bias = -np.sum(people * (means + centre).T, axis=0) / 2
    asked = slice(0, len(features), max(1, len(features) // 1000))
    scale = _unsure(features[asked] @ people + bias, numbers[asked])
    return (scale * people).astype("float32"), (scale * bias).astype("float32")


def _unsure(answers: np.ndarray, right: np.ndarray) -> float:
    """Returns the factor, at most 1, that makes the right answers `CERTAINTY` probable."""
    answers = (answers - answers.max(axis=1, keepdims=True)) / PaperLoss.softness
    least, most = -20.0, 0.0
    for _ in range(30):
        factor = np.exp((least + most) / 2)
        likely = np.exp(factor * answers)
        sure = np.mean(likely[np.arange(len(right)), right] / likely.sum(axis=1))
        least, most = (least, np.log(factor)) if sure > CERTAINTY else (np.log(factor), most)
    return float(np.exp(most))


# --- how strongly each term pulls ----------------------------------------------------------------


def gradient_sizes(
    loss: Loss, face: np.ndarray, voice: np.ndarray, heads: FaceHeads | None = None
) -> dict[str, float]:
    """Measures how strongly each term, with its weight, pulls at a predicted feature.

    Args:
        loss: Which terms, and their weights.
        face: Face features, float array of shape (n, feature_size), of different people.
        voice: Predicted features, of the same shape.
        heads: As in `loss_terms`.

    Returns:
        For each term that is on, the mean length of the gradient with respect to one predicted
        feature.
    """
    face, voice = np.asarray(face, "float32"), np.asarray(voice, "float32")
    centre, speaker = face.mean(axis=0), np.arange(len(face))
    sizes = {}
    for name in terms_of(loss):
        off = {other: 0.0 for other in terms_of(loss) if other != name}
        only = dataclasses.replace(loss, **off)

        def term(voice, only=only, name=name):
            terms = loss_terms(only, face, voice, speaker, centre, only.temperature, heads)
            return getattr(only, name) * terms[name]

        # The loss is a mean over the batch; here each pair counts by itself.
        pull = len(face) * _gradient(term, voice)
        sizes[name] = float(np.mean(np.linalg.norm(pull, axis=1)))
    return sizes


def balanced(loss: Loss, sizes: dict[str, float]) -> Loss:
    """Changes the weights of a loss so that every term pulls as hard as its first one.

    That is how the paper found its lambdas, for VGG-Face's feature. Other features are shorter or
    longer, and want others.

    Args:
        loss: Which loss.
        sizes: What `gradient_sizes` measured of it early in training.

    Returns:
        The loss with other weights, of two digits each: they are no more certain than that.
    """
    first = next(iter(sizes.values()), 0.0)
    weights = {
        name: float(f"{getattr(loss, name) * first / size:.2g}")
        for name, size in sizes.items()
        if size
    }
    return dataclasses.replace(loss, **weights)


def _gradient(function, at: np.ndarray) -> np.ndarray:
    """Differentiates a scalar function. Keras has no call for that which every backend knows."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(at))
    import tensorflow as tf

    variable = tf.Variable(at)
    with tf.GradientTape() as tape:
        value = function(variable)
    return tape.gradient(value, variable).numpy()
