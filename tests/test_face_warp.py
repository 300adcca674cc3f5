"""Landmarks go where they should, both branches learn, and equal shapes change nothing."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.networks import face_warp
from helpers.networks.face_warp import MEAN_SHAPE

NOSE = 30


def smooth_picture(seed=0):
    """A picture of soft spots, (1, 128, 128, 3), 0 to 1."""
    import cv2

    noise = np.random.default_rng(seed).random((128, 128, 3)).astype("float32")
    picture = cv2.GaussianBlur(noise, (0, 0), 6)
    return ((picture - picture.min()) / np.ptp(picture))[None]


def some_shape(seed=0, size=2.0):
    """A face's landmarks: the mean shape, stretched and shifted here and there."""
    random = np.random.default_rng(seed)
    middle = np.array([63.5, 70])
    stretched = middle + (MEAN_SHAPE - middle) * random.normal(1, 0.02 * size, 2)
    return (stretched + random.normal(0, size / 4, MEAN_SHAPE.shape))[None].astype("float32")


def test_equal_shapes_leave_the_picture_as_it_is():
    picture = smooth_picture()
    for way in (face_warp.face_of, face_warp.texture_of):
        np.testing.assert_allclose(np.asarray(way(picture, MEAN_SHAPE[None])), picture, atol=1e-4)


@pytest.mark.parametrize("move", [(5, 0), (0, -4), (-3, 3)])
def test_a_landmark_of_the_texture_goes_to_its_place(move):
    across, down = np.meshgrid(np.arange(128), np.arange(128))
    spot = np.exp(
        -(np.square(across - MEAN_SHAPE[NOSE, 0]) + np.square(down - MEAN_SHAPE[NOSE, 1])) / 8
    )
    wanted = MEAN_SHAPE.copy()
    wanted[27:36] += move  # The whole nose moves, and the spot on its tip with it.
    made = np.asarray(face_warp.face_of(spot[None, :, :, None].astype("float32"), wanted[None]))
    made = made[0, :, :, 0]
    found = [(made * where).sum() / made.sum() for where in (across, down)]
    np.testing.assert_allclose(found, wanted[NOSE], atol=0.7)


def test_taking_apart_and_putting_together_gives_the_face_again():
    picture, points = smooth_picture(1), some_shape(size=4.0)
    texture = np.asarray(face_warp.texture_of(picture, points))
    again = np.asarray(face_warp.face_of(texture, points))
    moved, left = np.abs(texture - picture).mean(), np.abs(again - picture).mean()
    assert moved > 0.008
    assert left < 0.1 * moved


def test_mirrors_commute_with_taking_apart():
    picture, points = smooth_picture(2), some_shape(1)
    mirrored = face_warp.texture_of(picture[:, :, ::-1], face_warp.mirror_landmarks(points))
    straight = np.asarray(face_warp.texture_of(picture, points))
    np.testing.assert_allclose(np.asarray(mirrored), straight[:, :, ::-1], atol=5e-3)
    np.testing.assert_allclose(
        face_warp.mirror_landmarks(face_warp.mirror_landmarks(points)), points, atol=1e-4
    )


def test_gradients_reach_texture_and_landmarks():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Gradients are taken with TensorFlow here.")
    texture, points = tf.constant(smooth_picture(3)), tf.constant(some_shape(2))
    wanted = np.asarray(face_warp.face_of(texture, some_shape(3)))
    with tf.GradientTape() as tape:
        tape.watch([texture, points])
        loss = ops.mean(ops.square(face_warp.face_of(texture, points) - wanted))
    for value, gradient in zip(
        (texture, points), tape.gradient(loss, [texture, points]), strict=True
    ):
        assert gradient.shape == value.shape
        # A small step against the gradient makes the pictures more alike.
        step = 1e-3 * float(loss) / float(tf.reduce_sum(gradient**2))
        moved = [v - step * gradient if v is value else v for v in (texture, points)]
        assert float(ops.mean(ops.square(face_warp.face_of(*moved) - wanted))) < float(loss)


def test_reading_beyond_the_border_gives_the_border():
    maps = np.arange(12, dtype="float32").reshape(1, 3, 4, 1)
    places = np.array([[[(-5, -5), (9, 9), (1.5, 1), (0, 0.25)]]], "float32")
    found = np.asarray(face_warp.sample(maps, places)).ravel()
    np.testing.assert_allclose(found, [0, 11, 5.5, 1.0])


def test_layer_survives_saving(tmp_path):
    texture, points = keras.Input((128, 128, 3)), keras.Input((68, 2))
    network = keras.Model([texture, points], face_warp.Warp(name="warp")([texture, points]))
    network.save(tmp_path / "warp.keras")
    again = keras.models.load_model(tmp_path / "warp.keras")
    inputs = [smooth_picture(), some_shape()]
    np.testing.assert_array_equal(again.predict_on_batch(inputs), network.predict_on_batch(inputs))
