"""Intervals: they count people, cover the truth as often as they say, and pair what is paired."""

import numpy as np
import pytest

from helpers.measuring import intervals


def test_a_paired_ratio_is_surer_than_its_parts():
    random = np.random.default_rng(0)
    hard = random.random(200) < 0.5  # Half of the people are found by nobody.
    yardstick = (~hard).astype(float)
    same = intervals.ratio_interval(yardstick, yardstick, range(200))
    assert same == (1.0, 1.0)
    low, high = intervals.ratio_interval(0.8 * yardstick, yardstick, range(200))
    assert low == pytest.approx(0.8) and high == pytest.approx(0.8)


def test_a_ratio_of_unlike_things_has_an_interval_around_it():
    random = np.random.default_rng(1)
    first, second = (random.random((2, 400)) < [[0.3], [0.6]]).astype(float)
    low, high = intervals.ratio_interval(first, second, range(400))
    assert low < 0.5 < high and 0.1 < high - low < 0.3


def test_the_interval_of_a_correlation_covers_the_truth_19_times_in_20():
    random, covered = np.random.default_rng(2), 0
    for seed in range(100):
        first = random.standard_normal(100)
        second = 0.5 * first + np.sqrt(0.75) * random.standard_normal(100)
        low, high = intervals.correlation_interval(first, second, range(100), seed)
        covered += low <= 0.5 <= high
    assert 88 <= covered <= 99


def test_ten_clips_of_everybody_make_a_correlation_no_surer():
    random = np.random.default_rng(3)
    first, second = random.standard_normal((2, 50))
    one = intervals.correlation_interval(first, second, range(50))
    ten = intervals.correlation_interval(
        np.repeat(first, 10), np.repeat(second, 10), np.repeat(range(50), 10)
    )
    assert np.subtract(*one) == pytest.approx(np.subtract(*ten), abs=0.02)


def test_wilson_by_hand():
    low, high = intervals.wilson_interval(22, 30)
    assert (low, high) == pytest.approx((0.5555, 0.8582), abs=1e-3)
    assert intervals.wilson_interval(30, 30)[1] == pytest.approx(1)
    assert intervals.wilson_interval(0, 30)[1] == pytest.approx(0.1135, abs=1e-3)


def test_resamples_are_kept_and_cannot_be_spoilt():
    drawn = intervals.resampled_people(10)
    assert drawn.sum(axis=1).tolist() == [10] * len(drawn)
    with pytest.raises(ValueError, match="read-only"):
        drawn[0, 0] = 5
