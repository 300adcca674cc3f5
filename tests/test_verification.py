"""Verification and consistency: known error rates, groups, intervals over people."""

import numpy as np
import pytest
from scipy.stats import norm

from helpers.measuring import verification as v
from helpers.measuring.consistency import consistency


def _voices(people, shared=1.0, seed=0, size=32):
    """Two recordings of everybody: what they share, and noise."""
    random = np.random.default_rng(seed)
    person = shared * random.standard_normal((people, size))
    return [person + random.standard_normal((people, size)) for _ in range(2)]


@pytest.mark.parametrize("apart", [0.0, 1.0, 2.0, 3.0])
def test_two_bells_have_the_error_rate_that_theory_says(apart):
    random = np.random.default_rng(0)
    same, different = random.standard_normal(20_000) + apart, random.standard_normal(20_000)
    assert v.equal_error_rate(same, different) == pytest.approx(norm.cdf(-apart / 2), abs=0.01)


def test_error_rate_by_hand():
    assert v.equal_error_rate([3.0, 4], [1.0, 2]) == 0
    assert v.equal_error_rate([1.0, 2], [3.0, 4]) == 1
    assert v.equal_error_rate([1.0, 3], [2.0, 4]) == 0.5
    assert v.equal_error_rate([5.0] * 10, [5.0] * 90) == 0.5


def test_errors_run_from_strict_to_lenient():
    accepted, refused = v.errors(np.array([2.0, 3]), np.array([1.0, 2.5]))
    assert (accepted[0], refused[0]) == (0, 1) and (accepted[-1], refused[-1]) == (1, 0)
    assert (np.diff(accepted) >= 0).all() and (np.diff(refused) <= 0).all()


def test_voices_that_share_nothing_are_at_chance_and_others_are_not():
    nothing = v.verify(v.cosine_scores(*_voices(100, shared=0)), range(100))
    much = v.verify(v.cosine_scores(*_voices(100, shared=2)), range(100))
    assert nothing["interval"][0] < 0.5 < nothing["interval"][1] and nothing["chance"] == 0.5
    assert much["eer"] < 0.05 and much["interval"][1] < 0.1
    assert (much["same"], much["different"]) == (100, 100 * 99)


def test_within_the_sex_what_only_tells_the_sex_is_worth_nothing():
    sex = np.array(list("FM" * 50))
    random = np.random.default_rng(0)
    first, second = (
        np.where(sex == "F", -1, 1)[:, None] * np.ones(8) + random.standard_normal((100, 8))
        for _ in range(2)
    )
    scores = v.cosine_scores(first, second)
    alone, within = v.verify(scores, range(100)), v.verify(scores, range(100), sex)
    assert alone["eer"] < 0.35 < within["interval"][0] < 0.5 < within["interval"][1]
    assert within["different"] == 100 * 49


def test_the_interval_holds_the_rate_and_narrows_with_more_people():
    few, many = (v.verify(v.cosine_scores(*_voices(n, 0.5)), range(n)) for n in (20, 200))
    for found in (few, many):
        assert found["interval"][0] <= found["eer"] <= found["interval"][1]
    assert np.subtract(*many["interval"]) > 0.6 * np.subtract(*few["interval"])


def test_pitch_tells_apart_those_whose_pitch_differs():
    first = np.array([100.0, 150, 200, 250, 300, np.nan])
    scores = v.pitch_scores(first, first * 1.02)
    assert np.isfinite(scores).all()
    assert v.verify(scores[:5, :5], range(5))["eer"] == 0
    assert scores[0, 2] == pytest.approx(-np.log2(2.04))


def test_what_cannot_be_measured_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="5 people or more; here are 3"):
        v.verify(np.eye(3), range(3))
    with pytest.raises(ValueError, match="recordings 1 and 0 is not finite"):
        v.verify(np.where(np.arange(6)[:, None] == 1, np.nan, 0) + np.zeros((6, 6)), range(6))
    with pytest.raises(ValueError, match="no pair of strangers"):
        v.verify(np.eye(6), range(6), groups=range(6))


def test_a_voice_that_always_gives_its_own_face_is_consistent():
    first, second = _voices(60, shared=3)
    found = consistency(first, second, range(60), np.zeros(32))
    assert found["told_apart"] > 0.98 and found["within"][0] > 0.8 > 0.2 > found["between"][0]
    assert found["interval"][0] <= found["told_apart"] <= found["interval"][1]


def test_a_voice_that_gives_any_face_is_not_consistent():
    random = np.random.default_rng(1).standard_normal((2, 60, 32))
    found = consistency(*random, range(60), np.zeros(32))
    assert found["interval"][0] < found["chance"] < found["interval"][1]


def test_consistency_within_the_sex_leaves_out_the_other():
    sex = np.array(list("FM" * 30))
    place = np.where(sex == "F", -1.0, 1.0)[:, None] * np.ones(32)
    noise = 0.5 * np.random.default_rng(0).standard_normal((2, 60, 32))
    both = consistency(*(place + noise), range(60), np.zeros(32))
    within = consistency(*(place + noise), range(60), np.zeros(32), sex)
    assert both["told_apart"] > 0.7 and within["told_apart"] == pytest.approx(0.5, abs=0.12)
    with pytest.raises(ValueError, match="2 people or more"):
        consistency(np.ones((1, 4)), np.ones((1, 4)), ["a"], np.zeros(4))
