"""A second network that tells real faces from decoded ones, and training against it.

Everything happens in one pass and one loss, with `keras.ops` alone, so that the same lines train on
TensorFlow and on JAX: where the generator's loss goes through the discriminator, the
discriminator's weights are held fast.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from helpers.settings import ALIGNED_SIZE, FEATURE_DEVIATION


def depth_to_space(maps):
    """Rearranges channels into pixels: (batch, h, w, 4 c) -> (batch, 2 h, 2 w, c)."""
    height, width, channels = maps.shape[1:]
    maps = ops.reshape(maps, (-1, height, width, 2, 2, channels // 4))
    maps = ops.transpose(maps, (0, 1, 3, 2, 4, 5))
    return ops.reshape(maps, (-1, 2 * height, 2 * width, channels // 4))


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

    def build(self, input_shape):
        """Makes kernel, bias and the vector that follows the singular value."""
        super().build(input_shape)
        self.left = self.add_weight(
            shape=(1, self.filters), initializer="random_normal", trainable=False, name="left"
        )

    def call(self, maps, training=None):
        """Returns the convolved maps; follows the singular value in training."""
        matrix = ops.reshape(self.kernel, (-1, self.filters))
        right = _unit(ops.matmul(self.left, ops.transpose(matrix)))
        left = _unit(ops.matmul(right, matrix))
        right, left = ops.stop_gradient(right), ops.stop_gradient(left)
        largest = ops.sum(ops.matmul(ops.matmul(right, matrix), ops.transpose(left)))
        if training:
            self.left.assign(left)
        maps = ops.conv(maps, self.kernel / largest, self.strides, self.padding)
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
    generator: high scores, maps like those of the real face, and a small reconstruction loss.

    Args:
        generator: feature (batch, n) -> face, trained already.
        critic: The discriminator.
        reconstruction: Loss of (true face, made face).
        weights: How much reconstruction, matching maps and score count for the generator.
        memory: Of the moving average of the generator's weights.
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        reconstruction: Callable,
        weights: tuple[float, float, float] = (5.0, 2.0, 0.1),
        memory: float = 0.98,
    ) -> None:
        super().__init__(name="gan_trainer")
        self.generator, self.critic = generator, critic
        self.average = keras.models.clone_model(generator)
        self.average.set_weights(generator.get_weights())
        self.average.trainable = False
        self.reconstruction, self.term_weights, self.memory = reconstruction, weights, memory
        names = ("critic", "score", "maps", "reconstruction")
        self.terms = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def call(self, feature, training=None):
        """Returns the made faces; follows the moving average in training."""
        if training:
            for slow, fast in zip(self.average.weights, self.generator.weights, strict=True):
                slow.assign(slow + (1 - self.memory) * (fast - slow))
        return self.generator(feature, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss; `x` holds the features, `y` the real faces."""
        real, *real_maps = self.critic([y, x], training=training)
        made, *_ = self.critic([ops.stop_gradient(y_pred), x], training=training)
        wrong, *_ = self.critic([y, ops.roll(x, 1, axis=0)], training=training)
        critic = ops.mean(ops.relu(1 - real))
        critic = critic + ops.mean(ops.relu(1 + made) + ops.relu(1 + wrong)) / 2
        score, *made_maps = self._judged(y_pred, x)
        matching = sum(
            ops.mean(ops.abs(made_map - ops.stop_gradient(real_map)))
            for made_map, real_map in zip(made_maps, real_maps, strict=True)
        )
        values = {
            "critic": critic,
            "score": -ops.mean(score),
            "maps": matching,
            "reconstruction": self.reconstruction(y, y_pred),
        }
        for name, value in values.items():
            self.terms[name].update_state(value)
        pixels, maps, scores = self.term_weights
        wanted = pixels * values["reconstruction"] + maps * matching + scores * values["score"]
        return critic + wanted

    def _judged(self, face, feature):
        """Returns the critic's outputs; gradients reach the face but not the critic."""
        held = [ops.stop_gradient(weight) for weight in self.critic.trainable_variables]
        state = self.critic.non_trainable_variables
        outputs, _ = self.critic.stateless_call(held, state, [face, feature], training=False)
        return outputs
