"""Directions from low to high and from young to old, and averages of groups."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.measuring import face_axes

RANDOM = np.random.default_rng(0)
MALE = np.arange(200) % 2
PITCH = RANDOM.normal(0, 2, 200) - 10 * MALE
FEATURES = np.column_stack([MALE, 0.5 * PITCH, np.zeros(200)]) + RANDOM.normal(0, 0.01, (200, 3))


def test_one_step_is_the_change_that_goes_with_one_standard_deviation() -> None:
    step = face_axes.direction(FEATURES, PITCH)
    assert step[1] == pytest.approx(0.5 * PITCH.std(), rel=0.01)
    assert step[0] == pytest.approx(-0.5, abs=0.05)
    assert abs(step[2]) < 0.01


def test_with_sex_held_fixed_a_higher_voice_makes_no_other_sex() -> None:
    step = face_axes.direction(FEATURES, PITCH, MALE)
    assert abs(step[0]) < 0.02 and step[1] > 1


def test_unknown_values_are_left_out_and_too_few_are_refused() -> None:
    known = PITCH.copy()
    known[:100] = np.nan
    assert face_axes.direction(FEATURES, known)[1] == pytest.approx(
        0.5 * known[100:].std(), rel=0.02
    )
    known[:190] = np.nan
    with pytest.raises(ValueError, match="20 people whose values differ; here are 10"):
        face_axes.direction(FEATURES, known)
    with pytest.raises(ValueError, match="differ"):
        face_axes.direction(FEATURES, np.ones(200))


def test_a_walk_starts_from_the_middle() -> None:
    steps = face_axes.walk(np.array([1.0, 2]), np.array([0, 1.0]), (-1, 0, 2))
    assert steps.tolist() == [[1, 1], [1, 2], [1, 4]] and steps.dtype == np.float32


def test_nobodys_own_face_is_shown_as_the_average_of_a_group() -> None:
    groups = ["north"] * 3 + ["south"] * 2 + [""] * 195
    means = face_axes.group_means(FEATURES, groups)
    assert list(means) == ["north"]
    mean, count = means["north"]
    assert count == 3
    np.testing.assert_allclose(mean, FEATURES[:3].mean(0))


def test_averages_are_of_sexes_ages_and_further_groups() -> None:
    sex = ["F", "M"] * 100
    age = [20.0] * 50 + [70.0] * 50 + [np.nan] * 100
    means = face_axes.averages(FEATURES, sex, age, ["north"] * 4 + [""] * 196)
    assert {name: count for name, (_, count) in means.items()} == {
        **{"men": 100, "women": 100, "over 60": 50, "under 35": 50, "north": 4}
    }
    np.testing.assert_allclose(means["women"][0], FEATURES[::2].mean(0))
