"""Trainings keep their best weights, stop in time, and validate on nobody they train on."""

import math

import keras
import numpy as np
import pytest
import tiny_trainings
from tiny_trainings import TRAININGS

from helpers import training, voice_encoder
from helpers.training import adversarial


class Record(keras.callbacks.Callback):
    """Keeps a network's weights after each epoch."""

    def __init__(self, network):
        super().__init__()
        self.network, self.weights = network, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.network.get_weights())


class Poison(keras.callbacks.Callback):
    """Puts a number that is none into a network's weights, before an epoch."""

    def __init__(self, network, epoch):
        super().__init__()
        self.network, self.epoch = network, epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.good = self.network.get_weights()
            kernel = self.network.trainable_weights[0]
            kernel.assign(math.nan * kernel)


def measured(monkeypatch, values):
    """Lets each epoch's `val_cosine` be the next of these."""
    left = iter(values)
    monkeypatch.setattr(
        voice_encoder, "validation_measures", lambda *given: {"val_cosine": next(left)}
    )


# --- the best weights ----------------------------------------------------------------------------


def test_the_weights_of_the_best_epoch_are_kept_and_calibrated(monkeypatch):
    measured(monkeypatch, [0.1, 0.9, math.nan])
    calibrated = []
    monkeypatch.setattr(
        voice_encoder, "calibrate", lambda network, pairs: calibrated.append(network.get_weights())
    )
    encoder = tiny_trainings.encoder()
    record = Record(encoder)
    _, curves = TRAININGS["encoder"](encoder, callbacks=[record], epochs=3)
    assert len(curves["loss"]) == 3
    for found, best in zip(calibrated[0], record.weights[1], strict=True):
        np.testing.assert_array_equal(found, best)


def test_training_stops_when_patience_is_at_an_end(monkeypatch):
    measured(monkeypatch, [0.5, 0.6, 0.6, 0.5, 0.9])
    _, curves = TRAININGS["encoder"](epochs=5, patience=2)
    assert curves["val_cosine"] == [0.5, 0.6, 0.6, 0.5]


def test_a_patience_of_0_never_stops_early(monkeypatch):
    measured(monkeypatch, [0.6, 0.5, 0.4])
    _, curves = TRAININGS["encoder"](epochs=3, patience=0)
    assert len(curves["loss"]) == 3


def test_better_is_larger_or_smaller_as_the_measure_is():
    assert training.Watch("val_cosine", largest=True).better(0.2, 0.1)
    assert not training.Watch("val_l1").better(0.2, 0.1)
    assert training.Watch("val_l1").better(0.2, None)
    assert not training.Watch("val_l1").better(math.nan, None)


@pytest.mark.parametrize("what", TRAININGS)
def test_a_batch_of_nothing_is_refused(what):
    with pytest.raises(ValueError, match="batch_size=0 is not valid: take 1 or more"):
        TRAININGS[what](batch_size=0)


@pytest.mark.parametrize("what", ["encoder", "decoder"])
def test_nobody_is_both_trained_and_validated_with(what):
    make = {"encoder": tiny_trainings.pairs, "decoder": tiny_trainings.faces}[what]
    validation = make("validation", 4)
    validation.speakers = [*validation.speakers[:3], "train-7"]
    with pytest.raises(ValueError, match="'train-7'"):
        TRAININGS[what](validation=validation)


@pytest.mark.parametrize("what", ["decoder", "gan"])
def test_validation_features_that_are_not_finite_are_refused(what, monkeypatch):
    """Before they decide which epoch was the best."""
    make = tiny_trainings.faces

    def broken(name="train", *count):
        made = make(name, *count)
        if name == "validation":
            made.features[2, 1] = math.nan
        return made

    monkeypatch.setattr(tiny_trainings, "faces", broken)
    with pytest.raises(ValueError, match="Row 2 of the validation features"):
        TRAININGS[what]()


@pytest.mark.parametrize("what", TRAININGS)
def test_features_of_another_length_are_refused(what):
    wide = keras.Sequential([keras.Input((128,)), keras.layers.Dense(128, name="centre")])
    with pytest.raises(training.WrongFeatures, match="128 numbers.*6 numbers"):
        TRAININGS[what](wide)


# --- numbers that are not finite -----------------------------------------------------------------


@pytest.mark.parametrize("what", ["encoder", "decoder"])
def test_a_loss_that_is_not_finite_stops_and_the_last_good_weights_stay(what, tmp_path):
    make = tiny_trainings.encoder if what == "encoder" else tiny_trainings.decoder
    network = make()
    poison = Poison(network, epoch=1)
    with pytest.raises(training.TrainingStopped, match="epoch 2, step 1.*smaller") as caught:
        TRAININGS[what](network, folder=tmp_path, callbacks=[poison])
    assert (caught.value.epoch, caught.value.step) == (2, 1)
    assert str(tmp_path) in str(caught.value)
    for found, good in zip(network.get_weights(), poison.good, strict=True):
        np.testing.assert_array_equal(found, good)
    # What the folder keeps is good as well: from there the training comes to its end.
    resumed, curves = TRAININGS[what](folder=tmp_path)
    assert len(curves["loss"]) == 2
    assert all(np.isfinite(weight).all() for weight in resumed.get_weights())


def test_after_a_gan_that_stopped_the_decoder_has_the_moving_average(monkeypatch):
    made = []

    class Kept(adversarial.GanTrainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(tiny_trainings.face_decoder, "GanTrainer", Kept)
    network = tiny_trainings.decoder()

    class Copy(Poison):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.epoch:
                self.average = made[0].average.get_weights()
            super().on_epoch_begin(epoch, logs)

    poison = Copy(network, epoch=1)
    with pytest.raises(training.TrainingStopped, match="from the end of epoch 1"):
        TRAININGS["gan"](network, callbacks=[poison])
    weights = zip(network.get_weights(), poison.average, poison.good, strict=True)
    assert any(not np.array_equal(average, raw) for _, average, raw in weights)
    for found, average in zip(network.get_weights(), poison.average, strict=True):
        np.testing.assert_array_equal(found, average)


def test_the_term_that_is_not_finite_is_named():
    weights = voice_encoder.LossWeights(temperature=1e-40)
    encoder = tiny_trainings.encoder()
    start = encoder.get_weights()
    with pytest.raises(training.TrainingStopped, match="'contrastive'.*the beginning") as caught:
        TRAININGS["encoder"](encoder, weights=weights)
    assert caught.value.terms == ["contrastive"]
    for found, good in zip(encoder.get_weights(), start, strict=True):
        np.testing.assert_array_equal(found, good)


def test_weights_that_broke_in_the_last_step_are_noticed():
    """The loss is measured before the step, so it may still be finite."""

    class BreakLast(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == tiny_trainings.EXAMPLES // tiny_trainings.BATCH - 1:
                kernel = network.get_layer("deviation").kernel
                kernel.assign(math.inf * kernel)

    network = tiny_trainings.encoder()
    with pytest.raises(training.TrainingStopped, match="weights.*deviation/kernel"):
        TRAININGS["encoder"](network, callbacks=[BreakLast()])
    assert all(np.isfinite(weight).all() for weight in network.get_weights())
