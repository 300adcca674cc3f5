"""An interrupted training ends with the same weights, to the bit, as an unbroken one."""

import functools
import json

import keras
import numpy as np
import pytest
import tiny_trainings
from tiny_trainings import TRAININGS

from helpers import training
from helpers.storage import unfinished
from helpers.training import face_losses, training_run
from helpers.training.voice_losses import LossWeights


class KilledError(Exception):
    """A lost connection, a machine taken away."""


class Kill(keras.callbacks.Callback):
    """Ends a training at once, before an epoch or after a step of it."""

    def __init__(self, epoch: int, step: int | None = None) -> None:
        super().__init__()
        self.at = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.at == (epoch, None):
            raise KilledError

    def on_train_batch_end(self, batch, logs=None):
        if self.at == (self.epoch, batch):
            raise KilledError


@functools.cache
def unbroken(what):
    return TRAININGS[what]()


def killed(what, folder, *at):
    with pytest.raises(KilledError):
        TRAININGS[what](folder=folder, callbacks=[Kill(*at)])


def assert_same(one, other):
    (network, curves), (resumed, resumed_curves) = one, other
    weights = zip(network.weights, network.get_weights(), resumed.get_weights(), strict=True)
    for weight, expected, found in weights:
        np.testing.assert_array_equal(found, expected, err_msg=weight.path)
    assert resumed_curves == curves


@pytest.mark.parametrize(
    ("what", "at"),
    [("encoder", (1, None)), ("encoder", (1, 1)), ("decoder", (1, 1)), ("gan", (1, 1))],
    ids=["encoder, between epochs", "encoder", "decoder", "gan"],
)
def test_a_killed_training_ends_like_an_unbroken_one(what, at, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_SECONDS", 0)
    killed(what, tmp_path, *at)
    state = json.loads((tmp_path / unfinished.FOLDER / unfinished.INDEX).read_text())
    # The step in which it was killed is lost, nothing else.
    assert (state["epoch"], state["step"]) == (1, (at[1] or -1) + 1)
    assert_same(unbroken(what), TRAININGS[what](folder=tmp_path))


def test_early_stopping_goes_on_with_its_patience_and_its_best_weights(tmp_path, monkeypatch):
    """The best epoch and the first without a better one lie before the kill."""
    measured = iter([0.1, 0.5, 0.4, 0.3, 0.9, *[0.1, 0.5, 0.4], *[0.3, 0.9]])
    monkeypatch.setattr(
        tiny_trainings.voice_encoder,
        "validation_measures",
        lambda *given: {"val_cosine": next(measured)},
    )
    settings = {"epochs": 6, "patience": 2}
    whole = TRAININGS["encoder"](**settings)
    next(measured)
    with pytest.raises(KilledError):
        TRAININGS["encoder"](folder=tmp_path, callbacks=[Kill(3)], **settings)
    assert_same(whole, TRAININGS["encoder"](folder=tmp_path, **settings))
    assert whole[1]["val_cosine"] == [0.1, 0.5, 0.4, 0.3]


def test_a_training_at_its_end_is_not_done_again(tmp_path):
    TRAININGS["encoder"](folder=tmp_path)
    assert_same(unbroken("encoder"), TRAININGS["encoder"](folder=tmp_path, callbacks=[Kill(0, 0)]))


def test_the_curves_go_on_where_they_were(tmp_path):
    killed("encoder", tmp_path, 1)
    drawn = []
    figure = training.LiveFigure(lambda measures: drawn.append(list(measures["loss"])))
    _, curves = TRAININGS["encoder"](folder=tmp_path, callbacks=[figure])
    assert drawn == [curves["loss"]]
    assert len(curves["loss"]) == 2


def test_the_state_of_another_training_is_refused(tmp_path):
    killed("encoder", tmp_path, 1)
    with pytest.raises(ValueError, match=r"batch size: 4 there, 8 here.*Delete"):
        TRAININGS["encoder"](folder=tmp_path, batch_size=8)


@pytest.mark.parametrize(
    ("what", "other", "words"),
    [
        ("encoder", {"learning_rate": 0.02}, "learning rate.*: 0.01 there, 0.02 here"),
        ("encoder", {"epochs": 3}, "decay steps: 7 there, 11 here"),
        ("encoder", {"weights": LossWeights(contrastive=0)}, "loss contrastive: 1.0 there, 0 here"),
        ("encoder", {"patience": 3}, "watched patience: None there, 3 here"),
    ],
)
def test_what_makes_another_training_is_named(what, other, words, tmp_path):
    killed(what, tmp_path, 1)
    with pytest.raises(ValueError, match=f"{words}.*Delete that folder, or train in another"):
        TRAININGS[what](folder=tmp_path, **other)


def test_a_loss_with_other_weights_is_another_training(tmp_path, monkeypatch):
    killed("decoder", tmp_path, 1)
    monkeypatch.setitem(face_losses.WEIGHTS, "image", 2.5)
    with pytest.raises(ValueError, match=r"loss image: \S+ there, 2.5 here"):
        TRAININGS["decoder"](folder=tmp_path)


@pytest.mark.parametrize("what", ["pairs", "faces"])
@pytest.mark.parametrize("changed", ["speakers", "features"])
def test_other_people_or_features_of_the_same_count_are_another_training(
    what, changed, tmp_path, monkeypatch
):
    training_of = {"pairs": "encoder", "faces": "decoder"}[what]
    killed(training_of, tmp_path, 1)
    make = getattr(tiny_trainings, what)

    def others(*named):
        made = make(*named)
        if changed == "speakers":
            made.speakers = [f"another {name}" for name in made.speakers]
        else:
            made.features = made.features + np.float32(0.001)
        return made

    monkeypatch.setattr(tiny_trainings, what, others)
    with pytest.raises(ValueError, match="people and features"):
        TRAININGS[training_of](folder=tmp_path)


def test_a_network_of_another_shape_is_another_training(tmp_path, monkeypatch):
    """As many numbers in all, but elsewhere."""
    killed("decoder", tmp_path, 1)

    def turned():
        feature = keras.Input((tiny_trainings.SIZE,))
        x = keras.layers.Dense(48)(feature)
        x = keras.layers.UpSampling2D(32)(keras.layers.Reshape((4, 4, 3))(x))
        x = keras.layers.Conv2D(3, (1, 9), padding="same")(x)
        return keras.Model(feature, keras.layers.Activation("sigmoid")(x), name="face_decoder")

    assert turned().count_params() == tiny_trainings.decoder().count_params()
    monkeypatch.setattr(tiny_trainings, "decoder", turned)
    with pytest.raises(ValueError, match="shapes of the weights"):
        TRAININGS["decoder"](folder=tmp_path)


def test_a_plan_for_more_epochs_goes_on_where_the_learning_rate_does_not_depend_on_it(tmp_path):
    for epochs in (1, 2):
        steady = keras.optimizers.Adam(0.01)
        _, curves = TRAININGS["encoder"](folder=tmp_path, epochs=epochs, optimizer=steady)
    assert len(curves["loss"]) == 2


def test_a_damaged_state_is_named_and_the_training_starts_anew(tmp_path, capsys):
    killed("encoder", tmp_path, 1)
    (state,) = (tmp_path / unfinished.FOLDER).glob("*.npz")
    state.write_bytes(state.read_bytes()[:-100])
    assert_same(unbroken("encoder"), TRAININGS["encoder"](folder=tmp_path))
    assert f"{state} is damaged" in capsys.readouterr().out


def test_arrays_that_do_not_fit_change_nothing():
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([3.0])]
    with pytest.raises(ValueError, match="1,.*2,"):
        unfinished.write(variables, [np.zeros(2), np.zeros(2)])
    assert float(variables[0][0]) == 1
