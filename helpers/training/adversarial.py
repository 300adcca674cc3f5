"""A second network that tells real faces from decoded ones, and training against it.

Everything happens in one pass and one loss, with `keras.ops` alone, so that the same lines train on
TensorFlow and on JAX: where the generator's loss goes through the discriminator, the
discriminator's weights are held fast.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from helpers.networks.decoder_networks import with_parts
from helpers.settings import ALIGNED_SIZE, FEATURE_DEVIATION
from helpers.training import devices
from helpers.training.face_losses import DecoderLoss, term_metrics


def space_to_depth(maps):
    """Rearranges pixels into channels: (batch, 2 h, 2 w, c) -> (batch, h, w, 4 c)."""
    height, width, channels = maps.shape[1:]
    maps = ops.reshape(maps, (-1, height // 2, 2, width // 2, 2, channels))
    maps = ops.transpose(maps, (0, 1, 3, 2, 4, 5))
    return ops.reshape(maps, (-1, height // 2, width // 2, 4 * channels))


class SpectralConv2D(layers.Conv2D):
    """A convolution whose matrix never stretches anything (Miyato et al. 2018).

    The kernel is divided by its largest singular value, which one step of power iteration follows
    from training step to training step. It keeps the discriminator from becoming too steep to
    learn from.
    """

    half_ready = True

    def build(self, input_shape):
        """Makes kernel, bias and the vector that follows the singular value."""
        super().build(input_shape)
        self.left = self.add_weight(
            shape=(1, self.filters), initializer="random_normal", trainable=False, name="left"
        )

    def call(self, maps, training=None):
        """Returns the convolved maps; follows the singular value in training."""
        # Squares and their sums need 32 bits, also where the convolution itself does with 16.
        matrix = ops.cast(ops.reshape(self.kernel, (-1, self.filters)), "float32")
        right = _unit(ops.matmul(ops.cast(self.left, "float32"), ops.transpose(matrix)))
        left = _unit(ops.matmul(right, matrix))
        right, left = ops.stop_gradient(right), ops.stop_gradient(left)
        largest = ops.sum(ops.matmul(ops.matmul(right, matrix), ops.transpose(left)))
        if training:
            self.left.assign(left)
        kernel = ops.cast(self.kernel / largest, self.compute_dtype)
        maps = ops.conv(maps, kernel, self.strides, self.padding)
        return maps + self.bias


def _unit(vector):
    return vector / (ops.sqrt(ops.sum(ops.square(vector))) + 1e-9)


def discriminator(
    feature_size: int, centre: np.ndarray | None = None, width: float = 1.0, seed: int = 0
) -> keras.Model:
    """Makes the discriminator: [face, feature] -> [score, maps...].

    It asks two things at once: is this a real face, and does it belong to this feature? The second
    is the projection of Miyato and Koyama 2018, an inner product of what it saw with the feature.

    Args:
        feature_size: Length of the face feature.
        centre: Mean feature, (feature_size,); zeros if not given.
        width: Factor on the number of channels.
        seed: Seed of the initial weights.

    Returns:
        Model whose outputs are the score (batch, 1), high for real faces, and the maps of each
        size, which the generator learns to match.
    """
    keras.utils.set_random_seed(seed)
    face = keras.Input((ALIGNED_SIZE, ALIGNED_SIZE, 3), name="face")
    feature = keras.Input((feature_size,), name="feature")
    x = _Fold(name="fold")(face)
    maps = []
    for index, count in enumerate((32, 64, 96, 128, 160)):
        size, strides = (3, 1) if index == 0 else (4, 2)
        x = SpectralConv2D(max(8, round(width * count)), size, strides, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
        maps.append(x)
    score = layers.GlobalAveragePooling2D()(SpectralConv2D(1, 3, padding="same")(x))
    seen = layers.GlobalAveragePooling2D()(x)
    mean = np.zeros(feature_size) if centre is None else np.asarray(centre)
    wanted = layers.Rescaling(1 / FEATURE_DEVIATION, -mean / FEATURE_DEVIATION)(feature)
    wanted = layers.Dense(x.shape[-1], use_bias=False)(wanted)
    fits = layers.Dot(axes=1)([seen, wanted])
    return keras.Model([face, feature], [score + fits, *maps], name="discriminator")


class _Fold(layers.Layer):
    """Brings faces to -1..1 and pixels into channels: (b, 128, 128, 3) -> (b, 64, 64, 12)."""

    def call(self, face):
        return space_to_depth(2 * face - 1)


class GanTrainer(keras.Model):
    """Trains generator and discriminator together.

    The loss is the sum of what each of them wants. The discriminator: scores above 1 for real
    faces, below -1 for made ones and for real ones with the feature of somebody else (hinge). The
    generator: high scores, maps like those of the real face, and a small loss of its own, so that
    it stays with the person.

    Args:
        generator: feature (batch, n) -> face, trained already.
        critic: The discriminator.
        loss: The generator's own.
        weights: How much the generator's own loss, matching maps and score count for it.
        memory: Of the moving average of the generator's weights.
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        loss: DecoderLoss,
        weights: tuple[float, float, float] = (5.0, 2.0, 0.1),
        memory: float = 0.98,
    ) -> None:
        super().__init__(name="gan_trainer")
        self.generator, self.critic = generator, critic
        self.parts, self.judge, self.identity = with_parts(generator), loss, loss.identity
        self.average = keras.models.clone_model(generator)
        self.average.set_weights(generator.get_weights())
        self.average.trainable = False
        self.term_weights, self.memory = weights, memory
        names = ("own", "maps", "score")
        self.weights_of_loss = {**loss.weights, **dict(zip(names, weights, strict=True))}
        names = ("critic", "score", "maps")
        self.terms = {name: keras.metrics.Mean(name=name) for name in names}
        self.terms |= term_metrics(self.parts, loss)
        self.built = True

    def call(self, feature, training=None):
        """Returns the made faces and their parts; follows the moving average in training."""
        if training:
            for slow, fast in zip(self.average.weights, self.generator.weights, strict=True):
                slow.assign(slow + (1 - self.memory) * (fast - slow))
        return self.parts(feature, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss; `x` holds the features, `y` what belongs to them."""
        face, y_made = y["image"], y_pred["face"]
        real, *real_maps = self.critic([face, x], training=training)
        made, *_ = self.critic([ops.stop_gradient(y_made), x], training=training)
        others = devices.own_part(ops.roll(devices.whole_batch(x), 1, axis=0))
        wrong, *_ = self.critic([face, others], training=training)
        critic = ops.mean(ops.relu(1 - real))
        critic = critic + ops.mean(ops.relu(1 + made) + ops.relu(1 + wrong)) / 2
        score, *made_maps = self._judged(y_made, x)
        matching = sum(
            ops.mean(ops.abs(made_map - ops.stop_gradient(real_map)))
            for made_map, real_map in zip(made_maps, real_maps, strict=True)
        )
        terms = self.judge.terms(x, y, y_pred)
        values = {"critic": critic, "score": -ops.mean(score), "maps": matching, **terms}
        for name, value in values.items():
            self.terms[name].update_state(value)
        own, maps, scores = self.term_weights
        wanted = own * self.judge.total(terms) + maps * matching + scores * values["score"]
        return devices.share(critic + wanted)

    def _judged(self, face, feature):
        """Returns the critic's outputs; gradients reach the face but not the critic."""
        held = [ops.stop_gradient(weight) for weight in self.critic.trainable_variables]
        state = self.critic.non_trainable_variables
        outputs, _ = self.critic.stateless_call(held, state, [face, feature], training=False)
        return outputs
