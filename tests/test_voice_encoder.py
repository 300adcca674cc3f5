"""Losses by hand, a network that fits, learns and survives saving, batches that can be resumed."""

import dataclasses

import numpy as np
import pytest
from keras import ops

from helpers import media, pretrained, training, voice_encoder
from helpers.networks import augmentation
from helpers.training import pairs

SIZE = 8


@pytest.fixture(scope="module")
def few():
    """Sixteen pairs of eight speakers: each speaker's tone and the feature that goes with it."""
    random = np.random.default_rng(0)
    time = np.arange(96_000) / 16_000
    people = random.normal(0.3, 0.04, (8, SIZE)).astype("float32")
    waveforms = [
        0.1
        * np.sin(2 * np.pi * (120 + 40 * (n // 2)) * time * (1 + 0.01 * np.sin(5 * time)))
        * np.sign(np.sin(2 * np.pi * 2 * time + n))
        for n in range(16)
    ]
    return voice_encoder.Pairs(
        media.to_int16(np.array(waveforms)),
        people.repeat(2, axis=0),
        [f"speaker-{n // 2}" for n in range(16)],
        [f"clip-{n}" for n in range(16)],
    )


def small(few, seed=0):
    return voice_encoder.compact(SIZE, few.centre(), width=0.25, seed=seed)


# --- network -------------------------------------------------------------------------------------


def test_compact_takes_waveforms_and_is_small():
    encoder = voice_encoder.compact(128, np.full(128, 0.1))
    assert encoder.count_params() <= 6_000_000
    assert encoder.predict_on_batch(np.zeros((2, 96_000), "float32")).shape == (2, 128)
    # Other lengths are heard as well, silence gives finite numbers.
    short = encoder.predict_on_batch(np.zeros((1, 32_000), "float32"))
    assert np.isfinite(short).all()
    np.testing.assert_allclose(voice_encoder.centre_of(encoder), 0.1, rtol=1e-6)


def test_level_makes_no_difference(few):
    encoder = small(few)
    waveform = media.from_int16(few.waveforms[:1])
    loud, quiet = encoder(waveform), encoder(0.05 * waveform)
    np.testing.assert_allclose(np.asarray(loud), np.asarray(quiet), atol=1e-3)


def test_saved_encoder_gives_the_same_features(few, tmp_path):
    encoder = small(few)
    encoder.save(tmp_path / "voice_encoder.keras")
    again = voice_encoder.load(tmp_path / "voice_encoder.keras")
    np.testing.assert_array_equal(
        voice_encoder.predict(encoder, few), voice_encoder.predict(again, few)
    )
    np.testing.assert_array_equal(voice_encoder.centre_of(again), few.centre())


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="voice encoder.*04_voice_encoder"):
        voice_encoder.load(tmp_path / "none.keras")


# --- augmentation --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [augmentation.DistortSpectrum, augmentation.MaskSpectrum])
def test_augmentation_works_in_training_only(layer):
    given = np.random.default_rng(0).normal(size=(4, 50, 96)).astype("float32")
    augment = layer(seed=1)
    np.testing.assert_array_equal(np.asarray(augment(given)), given)
    changed = np.asarray(augment(given, training=True))
    assert changed.shape == given.shape
    assert np.isfinite(changed).all()
    assert not np.allclose(changed, given)
    assert not np.allclose(changed, np.asarray(augment(given, training=True)))
    again = layer.from_config(augment.get_config())
    np.testing.assert_allclose(np.asarray(again(given, training=True)), changed, rtol=1e-6)


def test_masks_hide_at_most_their_share():
    kept = np.asarray(augmentation.MaskSpectrum(2, 0.1)(np.ones((64, 100, 100)), training=True))
    hidden = (kept == 0).mean(axis=(1, 2))
    assert 0 < hidden.mean() < 0.25
    assert hidden.max() <= 1 - 0.78**2


# --- losses --------------------------------------------------------------------------------------


def test_direction_loss_by_hand():
    face = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
    voice = np.array([[0.0, 3.0], [0.0, 1.0]], "float32")
    # A right angle gives 2 - 2 * 0 = 2, the same direction 0, whatever the lengths.
    assert float(voice_encoder.direction_loss(face, voice)) == pytest.approx(1.0, abs=1e-4)
    assert float(voice_encoder.direction_loss(face, -face)) == pytest.approx(4.0, abs=1e-4)


def test_distance_loss_by_hand():
    face = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
    voice = np.array([[0.0, 3.0], [0.0, 1.0]], "float32")
    assert float(voice_encoder.distance_loss(face, voice)) == pytest.approx((4 + 1) / 2)


def test_contrastive_loss_by_hand():
    face = np.eye(2, dtype="float32")
    voice = np.array([[1.0, 0.0], [1.0, 0.0]], "float32")
    value = float(voice_encoder.contrastive_loss(face, voice, np.array([0, 1]), 0.5))
    # Cosines / 0.5 are [[2, 0], [2, 0]]; the own ones lie on the diagonal.
    rows = np.mean([np.log(np.exp(2) + 1) - 2, np.log(np.exp(2) + 1) - 0])
    columns = np.mean([np.log(2 * np.exp(2)) - 2, np.log(2) - 0])
    assert value == pytest.approx((rows + columns) / 2, rel=1e-4)


def test_contrastive_loss_does_not_count_the_same_speaker_as_wrong():
    face = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")
    same = float(voice_encoder.contrastive_loss(face, face, np.array([5, 5, 6]), 0.07))
    other = float(voice_encoder.contrastive_loss(face, face, np.array([5, 7, 6]), 0.07))
    assert same == pytest.approx(0.0, abs=1e-4)
    assert other == pytest.approx(2 / 3 * np.log(2), rel=1e-3)


@pytest.mark.parametrize("term", ["direction", "distance", "contrastive"])
def test_each_term_can_be_switched_off(few, term):
    weights = voice_encoder.LossWeights(**{term: 0.0})
    trainer = voice_encoder.VoiceEncoderTrainer(small(few), weights)
    assert term not in trainer.terms
    assert len(trainer.terms) == 2
    target = {"feature": few.features[:4], "speaker": np.array([0, 0, 1, 1])}
    assert np.isfinite(float(trainer.compute_loss(y=target, y_pred=few.features[4:8])))


def test_temperature_is_learnt_only_if_asked(few):
    for learn in (False, True):
        weights = voice_encoder.LossWeights(learn_temperature=learn)
        trainer = voice_encoder.VoiceEncoderTrainer(small(few), weights)
        names = [weight.name for weight in trainer.trainable_variables]
        assert ("log_temperature" in names) == learn
        assert float(ops.exp(trainer.log_temperature)) == pytest.approx(0.07)


# --- pairs ---------------------------------------------------------------------------------------


def test_batches_depend_on_seed_and_epoch_alone(few):
    one, other = pairs.Batches(few, 4, 1.0, seed=3), pairs.Batches(few, 4, 1.0, seed=3)
    assert len(one) == 4
    first = one[0]
    assert first[0].shape == (4, 16_000)
    one.begin(1)
    other.begin(1)
    assert not np.array_equal(first[0], one[0][0])
    np.testing.assert_array_equal(one[2][0], other[2][0])
    np.testing.assert_array_equal(one[2][1]["speaker"], other[2][1]["speaker"])


def test_batches_keep_pairs_together(few):
    batches = pairs.Batches(few, 16, 1.0, seed=0)
    numbers = np.unique(few.speakers, return_inverse=True)[1]
    by_number = {n: few.features[numbers == n][0] for n in numbers}
    _, target = batches[0]
    for feature, speaker in zip(target["feature"], target["speaker"], strict=True):
        np.testing.assert_array_equal(feature, by_number[speaker])


def test_centre_counts_each_speaker_once():
    uneven = voice_encoder.Pairs(
        np.zeros((3, 1), "int16"), np.array([[0.0], [0.0], [3.0]]), ["a", "a", "b"], ["1", "2", "3"]
    )
    assert uneven.centre() == pytest.approx([1.5])


def test_deviation_is_that_of_one_number_from_its_mean():
    features = np.array([[1.0, 10.0], [3.0, 10.0]], "float32")
    some = voice_encoder.Pairs(np.zeros((2, 1), "int16"), features, ["a", "b"], ["1", "2"])
    assert some.deviation() == pytest.approx(np.sqrt((1 + 1 + 0 + 0) / 4))


def test_some_pairs_are_taken_by_their_numbers(few):
    taken = few.take([3, 0])
    assert taken.clips == ["clip-3", "clip-0"] and taken.speakers == ["speaker-1", "speaker-0"]
    np.testing.assert_array_equal(taken.waveforms, few.waveforms[[3, 0]])
    np.testing.assert_array_equal(taken.features, few.features[[3, 0]])


def test_too_few_pairs_say_so_in_one_sentence(few):
    sentence = voice_encoder.enough_to_train(few)
    assert "16 pairs of 8 speakers" in sentence
    assert sentence.count(".") == 1
    nobody = voice_encoder.Pairs(few.waveforms[:0], few.features[:0], [], [])
    assert "from 50 people on" in voice_encoder.enough_to_train(nobody)
    count = 2 * pairs.MINIMUM_PAIRS
    many = voice_encoder.Pairs(
        few.waveforms, np.zeros((count, SIZE)), [str(n) for n in range(count)], ["c"] * count
    )
    assert voice_encoder.enough_to_train(many) is None


# --- training ------------------------------------------------------------------------------------


def test_training_overfits_sixteen_pairs(few):
    encoder = small(few)
    shown = []
    history = voice_encoder.train(
        encoder,
        few,
        dataclasses.replace(few, speakers=[f"other {name}" for name in few.speakers]),
        epochs=30,
        batch_size=16,
        weights=voice_encoder.LossWeights(contrastive=0.0),
        learning_rate=1e-2,
        callbacks=[training.LiveFigure(lambda measures: shown.append(len(measures["loss"])))],
    )
    assert shown == list(range(1, 31))
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_cosine"][-1] > 0.8
    # Eight faces, and the own speaker's other clip is left out of each gallery of 16.
    assert history["val_chance_1"][-1] == pytest.approx(1 / 15)
    assert history["val_recall_10"][-1] > history["val_chance_10"][-1]


def test_the_papers_loss_trains_any_network_and_reports_its_terms(few):
    encoder = small(few)
    heads = voice_encoder.face_heads(few)
    history = voice_encoder.train(
        encoder,
        few,
        epochs=12,
        batch_size=8,
        weights=voice_encoder.PaperLoss(),
        heads=heads,
        optimizer=voice_encoder.paper_optimizer(1e-2),
    )
    assert set(history) == {"loss", "decoder", "direction", "distillation"}
    last = {name: values[-1] for name, values in history.items()}
    total = last["decoder"] + 0.025 * last["direction"] + 200 * last["distillation"]
    assert last["loss"] == pytest.approx(total, rel=1e-3)
    assert last["distillation"] < history["distillation"][0]


def test_a_network_is_trained_with_stretches_as_long_as_it_hears(few):
    seen = {}

    def fit(trainer, batches, *_, **__):
        seen[trainer.encoder.name] = batches[0][0].shape
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", fit)
        for network in (small(few), voice_encoder.paper(SIZE, width=1 / 64)):
            network.name = f"hears-{network.input_shape[1]}"
            voice_encoder.train(network, few, batch_size=2)
    assert list(seen.values()) == [(2, 64_000), (2, 96_000)]


def test_the_papers_network_is_not_trained_without_a_gpu_unless_one_insists(monkeypatch, capsys):
    monkeypatch.setattr(voice_encoder, "device", lambda: "CPU")
    voice_encoder.check_machine("compact", 10_000)
    with pytest.raises(voice_encoder.NeedsGPU, match=r"4,000 steps take about 33\.3 hours.*GPU"):
        voice_encoder.check_machine("paper", 4_000)
    assert not capsys.readouterr().out
    voice_encoder.check_machine("paper", 4_000, insist=True)
    assert "33.3 hours" in capsys.readouterr().out
    monkeypatch.setattr(voice_encoder, "device", lambda: "GPU Tesla T4")
    voice_encoder.check_machine("paper", 4_000)
    assert not capsys.readouterr().out


def test_the_released_encoder_is_refused_for_other_features():
    with pytest.raises(training.WrongFeatures, match="dlib.*vggface|vggface.*dlib"):
        voice_encoder.released("vggface")


def test_what_the_papers_loss_looks_through_depends_on_the_features(few, monkeypatch):
    from types import SimpleNamespace

    from helpers.faces import recognition_weights, vgg_face
    from helpers.networks import decoder_networks
    from helpers.settings import Settings

    fc8 = (np.ones((SIZE, 3), "float32"), np.zeros(3, "float32"))
    decoder = decoder_networks.generator(SIZE, width=0.05)
    monkeypatch.setattr(decoder_networks, "released", lambda: decoder)
    monkeypatch.setattr(recognition_weights, "weights_file", lambda workspace, kind: kind)
    monkeypatch.setattr(vgg_face, "last_layer", lambda kind, path: fc8)
    heads = {}
    for kind in ("dlib", "vggface"):
        session = SimpleNamespace(settings=Settings.make(features=kind), workspace=None)
        heads[kind] = voice_encoder.paper_heads(session, few)
    speakers = len(set(few.speakers))
    assert heads["dlib"].people.shape == (SIZE, speakers)
    np.testing.assert_array_equal(heads["vggface"].people, fc8[0])
    assert heads["vggface"].decoder.shape == (SIZE, 1000)
    assert heads["dlib"].decoder.shape[1] != 1000


def test_calibration_makes_the_squared_error_smallest(few):
    encoder = small(few)
    centre = few.centre()
    voice = voice_encoder.predict(encoder, few) - centre
    # The right direction, double the length, and something that no voice tells.
    noise = 0.1 * voice.std() * np.random.default_rng(0).standard_normal(voice.shape)
    faces = (centre + voice / 2 + noise).astype("float32")
    pairs = voice_encoder.Pairs(few.waveforms, faces, few.speakers, few.clips)
    assert voice_encoder.calibrate(encoder, pairs) == pytest.approx(0.5, abs=0.05)
    voice, face = voice_encoder.predict(encoder, pairs) - centre, faces - centre
    error = {scale: np.sum((scale * voice - face) ** 2) for scale in (0.9, 1.0, 1.1)}
    assert min(error, key=error.get) == 1.0


def test_calibration_stays_at_the_mean_face_when_the_voice_says_the_opposite(few):
    encoder = small(few)
    centre = few.centre()
    opposite = 2 * centre - voice_encoder.predict(encoder, few)
    pairs = voice_encoder.Pairs(few.waveforms, opposite, few.speakers, few.clips)
    assert voice_encoder.calibrate(encoder, pairs) == 0.0


def test_released_encoder_hears_a_voice():
    encoder = voice_encoder.released()
    assert encoder.output_shape == (None, 128)
    assert pretrained.VOICE_ENCODER.stat().st_size < 13e6
    assert np.isfinite(encoder.predict_on_batch(np.zeros((1, 96_000), "float32"))).all()
