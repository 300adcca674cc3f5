"""Each term of both losses by hand, the fixed layers behind the paper's, and how they pull."""

import dataclasses

import numpy as np
import pytest

from helpers import voice_encoder
from helpers.training import pairs, voice_losses
from helpers.training.voice_losses import FaceHeads, LossWeights, PaperLoss
from helpers.weights import WrongFeatures

FACE = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
VOICE = np.array([[0.0, 3.0], [0.0, 1.0]], "float32")
HEADS = FaceHeads(
    np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]], "float32"),
    np.array([[2.0, 0.0, 1.0], [0.0, 4.0, 0.0]], "float32"),
    np.array([0.5, 0.0, -0.5], "float32"),
)


def people(count=6, clips=3, size=5, spread=0.05, seed=0):
    """Pairs with features only: each speaker's around a mean of their own."""
    random = np.random.default_rng(seed)
    means = random.normal(0, 1, (count, size)).repeat(clips, axis=0)
    features = (means + random.normal(0, spread, means.shape)).astype("float32")
    names = [f"speaker-{n // clips:03}" for n in range(count * clips)]
    return pairs.Pairs(np.zeros((len(names), 1), "int16"), features, names, names)


def terms(loss, face=FACE, voice=VOICE, heads=HEADS, centre=0.0):
    made = voice_losses.loss_terms(loss, face, voice, np.arange(len(face)), centre, 0.07, heads)
    return {name: float(term) for name, term in made.items()}


# --- the paper's terms ---------------------------------------------------------------------------


def test_the_papers_numbers_are_the_defaults():
    loss = PaperLoss()
    assert (loss.decoder, loss.direction, loss.distillation) == (1.0, 0.025, 200.0)
    assert loss.softness == 2.0
    assert voice_losses.terms_of(loss) == ["decoder", "direction", "distillation"]


def test_the_papers_terms_by_hand():
    found = terms(PaperLoss())
    # Behind the first layer of the decoder the differences (1, -3) and (0, 1) are (1, -1, 3) and
    # (0, 1, -1).
    assert found["decoder"] == pytest.approx((5 + 2) / 2)
    # A right angle and the same direction.
    assert found["direction"] == pytest.approx((2 + 0) / 2, abs=1e-4)
    expected = []
    for face, voice in zip(FACE @ HEADS.people, VOICE @ HEADS.people, strict=True):
        face, voice = ((one + HEADS.bias) / 2 for one in (face, voice))
        likely = np.exp(face) / np.exp(face).sum()
        expected.append(-np.sum(likely * (voice - np.log(np.exp(voice).sum()))))
    assert found["distillation"] == pytest.approx(np.mean(expected), rel=1e-5)


def test_distillation_is_smallest_where_the_answers_agree():
    answers = np.array([[2.0, 0.0, 1.0]], "float32")
    at_best = float(voice_losses.distillation_loss(answers, answers))
    likely = np.exp(answers / 2) / np.exp(answers / 2).sum()
    assert at_best == pytest.approx(float(-np.sum(likely * np.log(likely))), rel=1e-5)
    for other in ([[2.5, 0.0, 1.0]], [[0.0, 0.0, 0.0]], [[1.0, 2.0, 0.0]]):
        assert float(voice_losses.distillation_loss(answers, np.float32(other))) > at_best


def test_each_feature_is_normalised_by_its_own_length():
    """An earlier re-implementation divided by the length of the whole batch."""
    voice = np.array([[3.0, 4.0], [30.0, 40.0]], "float32")
    np.testing.assert_allclose(voice_losses.normalise(voice), [[0.6, 0.8]] * 2, rtol=1e-5)
    # Nothing in a batch may change what another pair of it costs.
    alone = float(voice_losses.direction_loss(FACE[:1], VOICE[:1]))
    beside = [float(voice_losses.direction_loss(FACE, VOICE * scale)) for scale in (1.0, 100.0)]
    assert beside == pytest.approx([alone / 2] * 2, abs=1e-4)


def test_the_papers_direction_is_that_of_features_and_the_other_that_of_deviations():
    centre = np.array([10.0, 10.0], "float32")
    paper = terms(PaperLoss(), FACE + centre, VOICE + centre, centre=centre)["direction"]
    compact = terms(LossWeights(), FACE + centre, VOICE + centre, centre=centre)["direction"]
    assert compact == pytest.approx(1.0, abs=1e-4)
    assert paper < 0.1


@pytest.mark.parametrize(
    ("loss", "name"),
    [(PaperLoss(contrastive=1.0), name) for name in ("decoder", "direction", "distillation")]
    + [(LossWeights(), name) for name in ("direction", "distance", "contrastive")],
)
def test_each_term_can_be_switched_off(loss, name):
    whole, left = terms(loss), terms(dataclasses.replace(loss, **{name: 0.0}))
    assert name in whole
    assert left == {other: value for other, value in whole.items() if other != name}


# --- what the paper's terms look through ---------------------------------------------------------


def test_the_classifier_knows_the_training_speakers():
    given = people()
    matrix, bias = voice_losses.classifier_of(given)
    assert matrix.shape == (5, 6)
    guessed = np.argmax(given.features @ matrix + bias, axis=1)
    np.testing.assert_array_equal(guessed, np.repeat(np.arange(6), 3))
    again = voice_losses.classifier_of(given)
    np.testing.assert_array_equal(matrix, again[0])


def test_the_classifier_is_the_best_linear_one_but_half_as_sure():
    """With two people, what it says is how much nearer to the one than to the other a face is."""
    given = people(2, 400, 2, spread=0.3)
    matrix, bias = voice_losses.classifier_of(given)
    means = [given.features[:400].mean(0), given.features[400:].mean(0)]
    points = np.random.default_rng(0).normal(0, 1, (50, 2))
    nearer = [np.sum((points - mean) ** 2, axis=1) for mean in means]
    odds = points @ matrix + bias
    said, true = odds[:, 1] - odds[:, 0], nearer[0] - nearer[1]
    assert np.corrcoef(said, true)[0, 1] > 0.99


def test_the_classifier_also_says_whom_a_face_resembles():
    given = people(40, 3, 20)
    matrix, bias = voice_losses.classifier_of(given)
    likely = np.exp((given.features @ matrix + bias) / 2)
    likely /= likely.sum(axis=1, keepdims=True)
    own = likely[np.arange(120), np.repeat(np.arange(40), 3)]
    assert own.mean() == pytest.approx(voice_losses.CERTAINTY, abs=0.01)


@pytest.mark.parametrize("clips", [1, 2])
def test_few_clips_of_many_numbers_still_give_a_classifier(clips):
    matrix, bias = voice_losses.classifier_of(people(4, clips, 50))
    assert np.isfinite(matrix).all()
    assert np.isfinite(bias).all()


def test_the_classifier_takes_no_more_people_than_vgg_face_knows(monkeypatch):
    monkeypatch.setattr(voice_losses, "MOST_IDENTITIES", 4)
    assert voice_losses.classifier_of(people())[0].shape == (5, 4)


def test_without_a_decoder_distances_behind_the_first_layer_are_nearly_what_they_were():
    given = people(40, 1, 64)
    heads = voice_losses.face_heads(given)
    assert heads.decoder.shape == (64, voice_losses.DECODER_UNITS)
    near, far = given.features[:1] * [[0.01], [1.0]] @ heads.decoder
    assert np.abs(far).sum() == pytest.approx(100 * np.abs(near).sum(), rel=1e-4)
    lengths = np.linalg.norm(given.features @ heads.decoder, axis=1)
    ratio = lengths / np.linalg.norm(given.features, axis=1)
    assert ratio.std() < 0.1 * ratio.mean()
    np.testing.assert_array_equal(heads.decoder, voice_losses.face_heads(given).decoder)


def test_a_decoder_and_a_recognition_network_give_their_layers():
    import keras

    from helpers import face_decoder

    keras.utils.set_random_seed(0)
    decoder = face_decoder.generator(5, width=0.05)
    own = (np.ones((5, 3)), np.zeros(3))
    heads = voice_losses.face_heads(people(), decoder, own)
    np.testing.assert_array_equal(heads.people, own[0])
    assert heads.decoder.shape[0] == 5
    # A step of the feature is seen as the first layers of shape and texture see it, before weak
    # features are strengthened there.
    before, after, seen = np.zeros((1, 5), "float32"), np.ones((1, 5), "float32"), []
    for part in ("texture", "landmarks"):
        layers = decoder.get_layer(part).layers
        standardise = decoder.get_layer(part).get_layer("standardise")
        dense = next(layer for layer in layers if isinstance(layer, keras.layers.Dense))
        seen.append(dense(standardise(after)) - dense(standardise(before)))
    np.testing.assert_allclose(after @ heads.decoder, np.hstack(seen), rtol=1e-3, atol=1e-4)


def test_a_decoder_for_other_features_gives_no_layer():
    from helpers import face_decoder

    decoder = face_decoder.generator(128, width=0.05)
    with pytest.raises(WrongFeatures, match="'dlib', 128 numbers each, and was given 5"):
        voice_losses.face_heads(people(), decoder)


# --- how the terms pull --------------------------------------------------------------------------


def test_gradients_are_as_long_as_small_steps_say():
    face, voice = people(4, 1).features, people(4, 1, seed=1).features
    heads = voice_losses.face_heads(people())
    loss = PaperLoss()
    sizes = voice_losses.gradient_sizes(loss, face, voice, heads)
    assert list(sizes) == ["decoder", "direction", "distillation"]
    for name in ("direction", "distillation"):
        slopes = []
        for number in range(5):
            step = np.zeros_like(voice[:1])
            step[0, number] = 1e-2
            costs = [
                terms(loss, face[:1], voice[:1] + sign * step, heads)[name] for sign in (1, -1)
            ]
            slopes.append(getattr(loss, name) * (costs[0] - costs[1]) / 2e-2)
        alone = voice_losses.gradient_sizes(loss, face[:1], voice[:1], heads)[name]
        assert alone == pytest.approx(np.linalg.norm(slopes), rel=0.02)
    # A weight twice as large pulls twice as hard.
    double = dataclasses.replace(loss, distillation=400.0)
    again = voice_losses.gradient_sizes(double, face, voice, heads)
    assert again["distillation"] == pytest.approx(2 * sizes["distillation"], rel=1e-5)
    assert again["decoder"] == pytest.approx(sizes["decoder"])


def test_balanced_weights_make_every_term_pull_alike():
    face, voice = people(6, 1).features, people(6, 1, seed=1).features
    heads = voice_losses.face_heads(people())
    loss = voice_losses.balanced(
        PaperLoss(), voice_losses.gradient_sizes(PaperLoss(), face, voice, heads)
    )
    sizes = list(voice_losses.gradient_sizes(loss, face, voice, heads).values())
    assert loss.decoder == 1.0
    assert sizes == pytest.approx([sizes[0]] * 3, rel=0.06)
    assert voice_losses.balanced(PaperLoss(), {}) == PaperLoss()


# --- the paper's schedule ------------------------------------------------------------------------


def test_the_paper_learns_a_twentieth_slower_after_every_10_000_steps():
    optimizer = voice_encoder.paper_optimizer()
    rates = {step: float(optimizer._learning_rate(step)) for step in (0, 9_999, 10_000, 20_000)}
    assert rates == pytest.approx({0: 1e-3, 9_999: 1e-3, 10_000: 0.95e-3, 20_000: 0.9025e-3})
    assert (optimizer.beta_1, optimizer.epsilon) == (0.5, 1e-4)


def test_the_old_argument_decay_is_another_schedule():
    """Adam(decay=0.95 / 10000), as re-implementations have it, halves the rate at once."""
    import keras

    old = keras.optimizers.schedules.InverseTimeDecay(1e-3, 1, 0.95 / 10_000)
    assert float(old(10_000)) == pytest.approx(1e-3 / 1.95)
    paper = voice_encoder.paper_optimizer()._learning_rate
    assert float(paper(10_000)) > 1.8 * float(old(10_000))
