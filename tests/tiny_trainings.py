"""The three trainings on tiny networks and noise, with all the random parts of the real ones."""

import functools
from unittest import mock

import keras
import numpy as np
from keras import layers

from helpers import face_decoder, media, voice_encoder
from helpers.networks.augmentation import MaskSpectrum
from helpers.networks.voice_layers import AddCentre
from helpers.training.pairs import Faces, Pairs

SIZE = 6
"""Length of a feature."""
EXAMPLES, BATCH = 16, 4


def pairs(name="train", count=EXAMPLES):
    """Voices of noise and features that have nothing to do with them."""
    random = np.random.default_rng(len(name))
    return Pairs(
        media.to_int16(0.1 * random.standard_normal((count, 96_000))),
        random.normal(0.1, 0.04, (count, SIZE)).astype("float32"),
        [f"{name}-{n}" for n in range(count)],
        [f"{name}-{n}-clip" for n in range(count)],
    )


def faces(name="train", count=EXAMPLES):
    """Pictures whose colour the feature tells."""
    random = np.random.default_rng(len(name))
    names = [f"{name}-{n}" for n in range(count)]
    features = random.normal(0.1, 0.04, (count, SIZE)).astype("float32")
    colours = np.clip(128 + 1500 * (features[:, :3] - 0.1), 20, 235).astype("uint8")
    images = np.broadcast_to(colours[:, None, None], (count, 128, 128, 3)).copy()
    return Faces(images, features, names, names)


def encoder(random=True):
    """A voice encoder of a thousand weights; without anything random if asked."""
    keras.utils.set_random_seed(1)
    waveform = keras.Input((None,))
    x = layers.Reshape((-1, 400))(waveform)
    if random:
        x = MaskSpectrum(seed=3)(x)
    x = layers.BatchNormalization(momentum=0.9)(layers.Dense(8, use_bias=False)(x))
    if random:
        x = layers.Dropout(0.3, seed=4)(x)
    x = layers.GlobalAveragePooling1D()(layers.Activation("relu")(x))
    x = layers.Dense(SIZE, name="deviation")(x)
    return keras.Model(waveform, AddCentre(name="centre")(x), name="voice_encoder")


def decoder():
    """A face decoder of four hundred weights."""
    keras.utils.set_random_seed(2)
    feature = keras.Input((SIZE,))
    x = layers.Reshape((4, 4, 3))(layers.Dense(48)(feature))
    x = layers.Conv2D(3, 3, padding="same")(layers.UpSampling2D(32)(x))
    return keras.Model(feature, layers.Activation("sigmoid")(x), name="face_decoder")


def train_encoder(network=None, **settings):
    """Returns the trained encoder and its curves."""
    network = network or encoder()
    settings = {"epochs": 2, "learning_rate": 1e-2, "batch_size": BATCH, **settings}
    validation = settings.pop("validation", pairs("validation", 4))
    return network, voice_encoder.train(network, pairs(), validation, **settings)


def train_decoder(network=None, **settings):
    """Returns the trained decoder and its curves."""
    network = network or decoder()
    settings = {"epochs": 2, "learning_rate": 1e-2, "batch_size": BATCH, **settings}
    validation = settings.pop("validation", faces("validation", 4))
    return network, face_decoder.train_decoder(network, faces(), validation, **settings)


def train_gan(network=None, **settings):
    """Returns the refined decoder and its curves."""
    network = network or decoder()
    settings = {"epochs": 2, "learning_rate": 1e-2, "batch_size": BATCH, **settings}
    narrow = functools.partial(face_decoder.discriminator, width=0.1)
    with mock.patch.object(face_decoder, "discriminator", narrow):
        curves = face_decoder.refine_with_gan(network, faces(), faces("validation", 4), **settings)
    return network, curves


TRAININGS = {"encoder": train_encoder, "decoder": train_decoder, "gan": train_gan}
