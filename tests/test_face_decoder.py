"""Pictures in the right range, losses by hand, training on both losses, files that load again."""

import dataclasses

import decoder_backend
import keras
import numpy as np
import pytest
from keras import ops
from other_backend import computed_on_both

from helpers import face_decoder, pretrained, training
from helpers.networks import decoder_networks, face_warp
from helpers.training import adversarial, face_losses, face_network, face_targets

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
    assert decoder.count_params() <= 4_000_000
    assert decoder.get_layer("landmarks").output_shape == (None, 68, 2)
    assert decoder.get_layer("texture").output_shape == (None, 128, 128, 3)
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


def test_weak_features_are_strengthened_in_their_direction():
    strong = np.random.default_rng(0).normal(size=(5, 128)).astype("float32")
    layer = decoder_networks.Strengthen()
    drawn = {share: ops.convert_to_numpy(layer(share * strong)) for share in (0.0, 0.1, 0.3, 1.0)}
    length = {share: np.linalg.norm(made, axis=1).mean() for share, made in drawn.items()}
    assert length[0.0] == 0
    assert 0.1 < length[0.1] / length[1.0] < 0.3
    assert 0.5 < length[0.3] / length[1.0] < 0.7
    ratio = drawn[0.3] / strong
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-4)


def test_pixels_are_folded_into_channels():
    maps = np.arange(4 * 6 * 2, dtype="float32").reshape(1, 4, 6, 2)
    folded = np.asarray(adversarial.space_to_depth(maps))
    assert folded.shape == (1, 2, 3, 8)
    four = [maps[0, 0, 0], maps[0, 0, 1], maps[0, 1, 0], maps[0, 1, 1]]
    np.testing.assert_array_equal(folded[0, 0, 0], np.concatenate(four))


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
    weights = face_losses.face_weights()
    assert weights.shape == (128, 128, 1)
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    assert weights[64, 64, 0] > 3 * weights[0, 0, 0]


def test_reconstruction_loss_by_hand():
    face = np.full((2, 128, 128, 3), 0.5, "float32")
    assert float(face_decoder.reconstruction_loss(face, face)) == 0
    weights = face_losses.face_weights()
    edges = np.abs(np.diff(weights, axis=0)).mean() + np.abs(np.diff(weights, axis=1)).mean()
    # A constant error of 0.1 weighs 0.1 at each of the three sizes; its edges are the weights'.
    expected = 3 * 0.1 + 0.1 * edges
    value = float(face_decoder.reconstruction_loss(face, face + np.float32(0.1)))
    assert value == pytest.approx(expected, rel=1e-4)


# --- faces and batches ---------------------------------------------------------------------------


def colours(features):
    """The colour that the feature of a plain picture tells, 0 to 1."""
    return np.clip(128 + 1500 * (features[:, :3] - 0.1), 20, 235) / 255


def test_batches_keep_feature_and_face_together(faces):
    batches = face_targets.TargetBatches(face_targets.targets_of(faces), 8, mixed=0.0, noise=0.0)
    for index in range(len(batches)):
        features, target = batches[index]
        for part in ("texture", "image"):
            seen = target[part][:, 64, 64]
            np.testing.assert_allclose(seen, colours(features), atol=0.01)
        assert target["texture"].shape == target["image"].shape == (8, 128, 128, 3)
        assert target["landmarks"].shape == (8, 68, 2)
        assert not target["mixed"].any()


def test_mixed_faces_have_the_mean_of_features_shapes_and_textures(faces):
    random = np.random.default_rng(1)
    gentle = dataclasses.replace(
        faces, features=random.normal(0.1, 0.01, (16, SIZE)).astype("float32")
    )
    gentle.images = np.broadcast_to(
        (255 * colours(gentle.features)).round().astype("uint8")[:, None, None], (16, 128, 128, 3)
    ).copy()
    targets = face_targets.targets_of(gentle)
    features, target = face_targets.TargetBatches(targets, 16, mixed=1.0, noise=0.0)[0]
    assert target["mixed"].all()
    apart = np.abs(features[:, None] - gentle.features[None]).sum(axis=-1).min(axis=1)
    assert (apart > 1e-3).mean() > 0.7
    np.testing.assert_allclose(target["texture"][:, 64, 64], colours(features), atol=0.01)
    # The picture for the discriminator stays that of one true person.
    of_one = np.abs(target["image"][:, None, 64, 64] - colours(gentle.features)[None]).sum(axis=-1)
    assert of_one.min(axis=1).max() < 0.02


def test_a_decoder_starts_from_the_best_linear_guess(faces):
    targets = face_targets.targets_of(faces)
    features, names = np.tile(faces.features, (20, 1)), 20 * faces.speakers
    many = face_decoder.Faces(faces.images, features, names, names)
    targets = dataclasses.replace(targets, faces=many, which=np.tile(targets.which, 20))
    guess = face_decoder.generator(**targets.start(), width=0.1)
    nothing = face_decoder.generator(**{**targets.start(), "linear": None}, width=0.1)
    wrong = [
        np.abs(face_decoder.to_faces(decoder, faces.features).astype(float) - faces.images).mean()
        for decoder in (guess, nothing)
    ]
    assert wrong[0] < 0.5 * wrong[1]
    # The shape is guessed as well: what is linear in the feature is found again.
    moved = 100 * (faces.features[:, :1] - faces.features[:, :1].mean())
    landmarks = targets.landmarks.copy()
    landmarks[targets.which[:16]] = face_warp.MEAN_SHAPE + moved[:, :, None]
    shifted = dataclasses.replace(targets, landmarks=landmarks)
    known = landmarks[targets.which[:16]]
    seen = face_decoder.generator(**shifted.start(), width=0.1).get_layer("landmarks")
    seen = seen.predict_on_batch(faces.features)
    assert np.abs(seen - known).mean() < 0.35 * np.abs(known - shifted.mean_shape()).mean()


def test_a_picture_of_several_features_is_taken_apart_once(faces):
    twice = face_decoder.Faces(
        np.concatenate([faces.images, faces.images]),
        np.concatenate([faces.features, faces.features + 0.01]),
        [*faces.speakers, *faces.speakers],
        [*faces.clips, *faces.clips],
    )
    targets = face_targets.targets_of(twice)
    assert len(targets) == 32
    assert len(targets.images) == len(targets.landmarks) == len(np.unique(faces.images, axis=0))
    np.testing.assert_array_equal(targets.images[targets.which], twice.images)


def test_features_that_the_decoder_does_not_draw_are_refused(faces):
    decoder = small(faces)
    with pytest.raises(training.WrongFeatures, match="6 numbers each.*4096.*'vggface'"):
        face_decoder.to_faces(decoder, np.zeros((1, 4096), "float32"))
    broken = faces.features.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="Row 3 of the features holds a number that is not finite"):
        face_decoder.to_faces(decoder, broken)


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
    assert history["val_l1"][-1] < 0.65 * history["val_l1"][0]
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
    trainer = adversarial.GanTrainer(decoder, critic, face_losses.DecoderLoss(None, faces.centre()))
    trainer.compile(keras.optimizers.SGD(0.01))
    before = [decoder.get_weights(), critic.get_weights(), trainer.average.get_weights()]
    trainer.fit(face_targets.TargetBatches(face_targets.targets_of(faces), 16), verbose=0)
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
    trainer = adversarial.GanTrainer(decoder, critic, face_losses.DecoderLoss(None, faces.centre()))
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
    assert {"critic", "score", "maps", "landmarks", "texture", "image", "val_l1"} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values())
    np.testing.assert_array_equal(
        grid.faces[-1], face_decoder.to_faces(decoder, faces.features[:2])
    )


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="face decoder.*05_face_decoder"):
        face_decoder.load(tmp_path / "none.keras")


def test_released_decoder_makes_a_face():
    decoder = face_decoder.released()
    assert pretrained.FACE_DECODER.stat().st_size < 13e6
    assert face_decoder.to_faces(decoder, np.zeros((1, 128), "float32")).shape == (1, 128, 128, 3)


# --- backends ------------------------------------------------------------------------------------


def test_drawing_and_both_trainings_are_the_same_on_jax(tmp_path):
    """The same files, opened by another process on another backend, compute the same."""
    pytest.importorskip("jax", reason="JAX is not installed.")
    decoder = face_decoder.generator(decoder_backend.SIZE, width=0.1, seed=1)
    for layer in decoder.get_layer("landmarks").layers + decoder.get_layer("texture").layers:
        if layer.get_weights() and "mean" not in layer.name:  # None of them draws zeros.
            random = np.random.default_rng(1)
            layer.set_weights([w + 0.05 * random.normal(size=w.shape) for w in layer.get_weights()])
    training.save(decoder, tmp_path / "decoder.keras")
    training.save(face_network.face_network(width=0.1, seed=2), tmp_path / "identity.keras")
    here, there = computed_on_both(decoder_backend, tmp_path)
    np.testing.assert_allclose(there["drawn"], here["drawn"], atol=1e-3)
    for name, value in here.items():
        of_critic = {"critic", "score", "maps", "loss"} & set(name.split("-")[1:])
        if name.startswith("gan") and of_critic:
            # Its first weights are random, and each backend has random numbers of its own.
            assert np.isfinite(there[name]).all(), name
        elif name != "drawn":
            np.testing.assert_allclose(there[name][0], value[0], 2e-3, 1e-4, err_msg=name)
            # Adam's first step is as long for a tiny gradient as for a large one.
            np.testing.assert_allclose(there[name][1], value[1], rtol=0.1, err_msg=name)
