"""Pictures in the right range, losses by hand, training on both losses, files that load again."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from helpers import adversarial, decoder_networks, face_decoder, face_targets

SIZE = 6


@pytest.fixture(scope="module")
def faces():
    """Sixteen plain pictures whose colour the feature tells."""
    random = np.random.default_rng(0)
    features = random.normal(0.1, 0.04, (16, SIZE)).astype("float32")
    colours = np.clip(128 + 1500 * (features[:, :3] - 0.1), 20, 235).astype("uint8")
    images = np.broadcast_to(colours[:, None, None, :], (16, 128, 128, 3)).copy()
    names = [str(n) for n in range(16)]
    return face_decoder.Faces(images, features, names, names)


def small(faces):
    return face_decoder.generator(SIZE, faces.centre(), faces.mean_face(), width=0.2)


def others(faces):
    """The same faces, said to be those of other people."""
    return dataclasses.replace(faces, speakers=[f"other {name}" for name in faces.speakers])


# --- networks ------------------------------------------------------------------------------------


def test_generator_makes_pictures_and_is_small():
    decoder = face_decoder.generator(128)
    assert decoder.count_params() <= 2_500_000
    made = decoder.predict_on_batch(np.random.default_rng(0).normal(0, 1, (2, 128)))
    assert made.shape == (2, 128, 128, 3)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1


def test_untrained_generator_makes_the_mean_face(faces):
    np.testing.assert_allclose(
        faces.mean_face(), faces.images.mean(axis=0) / 255, rtol=1e-5, atol=1e-6
    )
    made = small(faces).predict_on_batch(faces.features[:2])
    np.testing.assert_allclose(made, np.stack(2 * [faces.mean_face()]), atol=1e-3)


def test_depth_to_space_and_back():
    maps = np.arange(2 * 3 * 4 * 8, dtype="float32").reshape(2, 3, 4, 8)
    large = np.asarray(decoder_networks.depth_to_space(maps))
    assert large.shape == (2, 6, 8, 2)
    np.testing.assert_array_equal(large[0, 0, 0], maps[0, 0, 0, :2])
    np.testing.assert_array_equal(large[0, 0, 1], maps[0, 0, 0, 2:4])
    np.testing.assert_array_equal(large[0, 1, 0], maps[0, 0, 0, 4:6])
    np.testing.assert_array_equal(np.asarray(adversarial.space_to_depth(large)), maps)


def test_spectral_convolution_has_norm_one():
    layer = adversarial.SpectralConv2D(16, 3, padding="same")
    maps = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    layer.build(maps.shape)
    layer.kernel.assign(7 * layer.kernel)
    for _ in range(50):
        made = layer(maps, training=True)
    matrix = ops.convert_to_numpy(layer.kernel).reshape(-1, 16)
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    expected = ops.conv(maps, layer.kernel / largest, 1, "same")
    np.testing.assert_allclose(np.asarray(made), np.asarray(expected), rtol=1e-2, atol=1e-4)


def test_discriminator_looks_at_face_and_feature(faces):
    critic = adversarial.discriminator(SIZE, faces.centre(), width=0.2)
    pictures = faces.images[:2].astype("float32") / 255
    score, *maps = critic([pictures, faces.features[:2]])
    assert score.shape == (2, 1)
    assert [one.shape[1] for one in maps] == [64, 32, 16, 8, 4]
    other, *_ = critic([pictures, faces.features[2:4]])
    assert not np.allclose(np.asarray(score), np.asarray(other))


# --- losses --------------------------------------------------------------------------------------


def test_face_weights_favour_the_middle():
    weights = face_decoder.face_weights()
    assert weights.shape == (128, 128, 1)
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    assert weights[64, 64, 0] > 3 * weights[0, 0, 0]


def test_reconstruction_loss_by_hand():
    face = np.full((2, 128, 128, 3), 0.5, "float32")
    assert float(face_decoder.reconstruction_loss(face, face)) == 0
    weights = face_decoder.face_weights()
    edges = np.abs(np.diff(weights, axis=0)).mean() + np.abs(np.diff(weights, axis=1)).mean()
    # A constant error of 0.1 weighs 0.1 at each of the three sizes; its edges are the weights'.
    expected = 3 * 0.1 + 0.1 * edges
    value = float(face_decoder.reconstruction_loss(face, face + np.float32(0.1)))
    assert value == pytest.approx(expected, rel=1e-4)


# --- faces and batches ---------------------------------------------------------------------------


def test_batches_keep_feature_and_face_together(faces):
    batches = pairs.FaceBatches(faces, 8, noise=0.0)
    seen = [batches[index] for index in range(len(batches))]
    features = np.concatenate([batch[0] for batch in seen])
    images = np.concatenate([batch[1] for batch in seen])
    assert images.shape == (16, 128, 128, 3)
    assert images.max() <= 1
    for feature, image in zip(features, images, strict=True):
        row = int(np.abs(faces.features - feature).sum(1).argmin())
        np.testing.assert_allclose(image, faces.images[row] / 255, atol=1e-6)


def test_too_few_faces_say_so(faces):
    assert "16 faces" in face_decoder.enough_to_train(faces)
    many = face_decoder.Faces(faces.images, np.zeros((500, SIZE)), ["a"] * 500, ["a"] * 500)
    assert face_decoder.enough_to_train(many) is None


# --- training ------------------------------------------------------------------------------------


def test_training_learns_the_colours_and_survives_saving(faces, tmp_path):
    decoder = small(faces)
    grid = face_decoder.SampleGrid(decoder, faces.features[:3])
    history = face_decoder.train_decoder(
        decoder, faces, others(faces), epochs=12, batch_size=8, learning_rate=1e-2, callbacks=[grid]
    )
    assert history["val_l1"][-1] < 0.5 * history["val_l1"][0]
    assert np.stack(grid.faces).shape == (12, 3, 128, 128, 3)
    decoder.save(tmp_path / "face_decoder.keras")
    again = face_decoder.load(tmp_path / "face_decoder.keras")
    np.testing.assert_array_equal(
        face_decoder.to_faces(decoder, faces.features),
        face_decoder.to_faces(again, faces.features),
    )


def test_gan_training_changes_decoder_and_critic_only_where_it_should(faces):
    decoder = small(faces)
    critic = adversarial.discriminator(SIZE, width=0.2)
    trainer = adversarial.GanTrainer(decoder, critic, face_decoder.reconstruction_loss)
    trainer.compile(keras.optimizers.SGD(0.01))
    before = [decoder.get_weights(), critic.get_weights(), trainer.average.get_weights()]
    trainer.fit(faces.features[:8], faces.images[:8].astype("float32") / 255, verbose=0)
    after = [decoder.get_weights(), critic.get_weights(), trainer.average.get_weights()]
    changed = [
        any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        for one, other in zip(before, after, strict=True)
    ]
    # The moving average follows one step behind.
    assert changed == [True, True, False]


def test_generator_loss_does_not_reach_the_critic(faces):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Gradients are taken with TensorFlow here.")
    decoder, critic = small(faces), adversarial.discriminator(SIZE, width=0.2)
    trainer = adversarial.GanTrainer(decoder, critic, face_decoder.reconstruction_loss)
    with tf.GradientTape() as tape:
        made = decoder(faces.features[:2])
        score = ops.mean(trainer._judged(made, faces.features[:2])[0])
    mine, its = decoder.trainable_variables, critic.trainable_variables
    gradients = tape.gradient(score, [v.value for v in mine + its])
    assert any(gradient is not None for gradient in gradients[: len(mine)])
    assert all(gradient is None for gradient in gradients[len(mine) :])


def test_refinement_runs_and_gives_the_average(faces):
    decoder = small(faces)
    grid = face_decoder.SampleGrid(decoder, faces.features[:2])
    history = face_decoder.refine_with_gan(
        decoder, faces, others(faces), epochs=2, batch_size=8, callbacks=[grid]
    )
    assert {"critic", "score", "maps", "reconstruction", "val_l1"} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values())
    np.testing.assert_array_equal(
        grid.faces[-1], face_decoder.to_faces(decoder, faces.features[:2])
    )


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="face decoder.*05_face_decoder"):
        face_decoder.load(tmp_path / "none.keras")


def test_released_decoder_makes_a_face():
    decoder = face_decoder.released()
    assert face_decoder.RELEASED.stat().st_size < 13e6
    assert face_decoder.to_faces(decoder, np.zeros((1, 128), "float32")).shape == (1, 128, 128, 3)
