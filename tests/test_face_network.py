"""The teacher gives dlib's own numbers; the small network learns from it and is small."""

import dlib
import numpy as np
import pytest
from keras import ops

from helpers import face_features, pretrained
from helpers.faces import dlib_network
from helpers.training import face_losses, face_network, face_targets
from helpers.training.pairs import Faces


@pytest.fixture(scope="module")
def targets():
    """Eight pictures of soft spots, and features for them."""
    import cv2

    random = np.random.default_rng(0)
    images = [
        cv2.GaussianBlur(random.integers(0, 256, (128, 128, 3), "uint8"), (0, 0), 9)
        for _ in range(8)
    ]
    features = random.normal(0, 0.04, (8, 128)).astype("float32")
    names = [str(n) for n in range(8)]
    return face_targets.targets_of(Faces(np.stack(images), features, names, names))


@pytest.fixture(scope="module")
def teacher():
    return dlib_network.recognition_network()


def test_teacher_gives_the_numbers_of_dlib(teacher):
    random = np.random.default_rng(0)
    chips = random.integers(0, 256, (2, 5, 5, 3), "uint8").repeat(30, axis=1).repeat(30, axis=2)
    own = ops.convert_to_numpy(teacher(chips.astype("float32"), training=False))
    file = face_features.models_folder() / "dlib_face_recognition_resnet_model_v1.dat"
    original = dlib.face_recognition_model_v1(str(file))
    dlibs = [original.compute_face_descriptor(chip) for chip in chips]
    np.testing.assert_allclose(own, np.array(dlibs), atol=1e-5)


def test_aligned_faces_are_described_as_in_notebook_02(teacher, targets):
    from helpers.measuring import drawn_faces

    seen = face_network.describe_aligned(targets.images[:2], teacher)
    np.testing.assert_allclose(seen, drawn_faces.seen_features(targets.images[:2]), atol=1e-5)


def test_network_is_small_and_begins_near_the_mean_feature(targets):
    assert face_network.face_network().count_params() < 1_600_000
    centre = np.linspace(-0.1, 0.1, 128)
    network = face_network.face_network(centre, width=0.2)
    seen = network.predict_on_batch(targets.images.astype("float32") / 255)
    assert seen.shape == (8, 128)
    np.testing.assert_allclose(seen, np.stack(8 * [centre]), atol=0.02)


def test_pictures_are_varied_and_half_of_them_are_drawn(targets):
    class Black:
        """A decoder that draws nothing."""

        def __call__(self, features):
            return np.zeros((len(features), 128, 128, 3), "float32")

    made = face_network.pictures(targets, 16, [Black()], seed=1)
    assert made.shape == (16, 128, 128, 3)
    assert made.dtype == np.uint8
    dark = made.mean(axis=(1, 2, 3)) < 40
    assert dark.sum() == 8
    np.testing.assert_array_equal(made, face_network.pictures(targets, 16, [Black()], seed=1))
    assert not np.array_equal(made, face_network.pictures(targets, 16, [Black()], seed=2))


def test_network_learns_to_agree_with_its_teacher():
    random = np.random.default_rng(0)
    colours = random.integers(40, 216, (48, 1, 1, 3)).astype("uint8")
    images = np.broadcast_to(colours, (48, 128, 128, 3))
    mixing = random.normal(0, 0.04, (3, 128))
    features = (((colours[:, 0, 0] - 128.0) / 50) @ mixing).astype("float32")
    network = face_network.face_network(width=0.1)
    before = face_network.agreement(network, images, features)
    settings = {"epochs": 12, "batch_size": 16, "learning_rate": 1e-2}
    curves = face_network.train_face_network(network, images, features, **settings)
    after = face_network.agreement(network, images, features)
    assert curves["loss"][-1] < 0.5 * curves["loss"][0]
    assert after["r2"] > max(0.3, before["r2"])
    assert after["cosine"] > 0.6


def test_identity_loss_falls_when_the_face_is_right():
    centre = np.array([1, 2, 3], "float32")
    wanted = centre + np.array([[0.1, 0, 0], [0, 0.3, 0]], "float32")
    other = centre + np.array([[0, 0.1, 0], [0, 0, 0.2]], "float32")
    loss = lambda seen: float(face_losses.identity_loss(wanted, seen, centre))  # noqa: E731
    assert loss(wanted) == pytest.approx(0, abs=1e-5)
    assert loss(other) == pytest.approx(1, abs=1e-5)
    assert loss((wanted + other) / 2) < 0.5
    # How far from the mean face it is does not count, but on which side of it.
    assert loss(centre + 0.1 * (wanted - centre)) == pytest.approx(0, abs=1e-3)
    assert loss(2 * centre - wanted) == pytest.approx(2, abs=1e-5)


@pytest.mark.skipif(not pretrained.FACE_NETWORK.is_file(), reason="The weights are not there.")
def test_released_network_sees_drawn_faces_as_dlib_does():
    import pyarrow.parquet as pq

    from helpers import face_decoder
    from helpers.measuring import drawn_faces

    assert pretrained.FACE_NETWORK.stat().st_size <= 4e6
    features = pq.read_table(face_features.ISLANDER_FEATURES, columns=["feature"])["feature"]
    features = np.stack(features.to_numpy(zero_copy_only=False)[:12]).astype("float32")
    drawn = face_decoder.to_faces(face_decoder.released(), features)
    agreed = face_network.agreement(
        face_network.released(), drawn, drawn_faces.seen_features(drawn)
    )
    assert agreed["cosine"] > 0.7
