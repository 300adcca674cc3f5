"""Retrieval: chance, matched galleries, ties, intervals and the attribute oracle."""

import numpy as np
import pytest

from helpers.measuring import intervals, similarity
from helpers.measuring import retrieval as r


def _features(count, size=16, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size))


def test_perfect_features_find_every_face():
    faces = _features(200)
    result = r.retrieval(faces, faces, range(200))
    assert result.recall == dict.fromkeys((1, 2, 5, 10), 1.0)
    assert result.median_rank == 1
    assert result.percentile_rank == pytest.approx(100 * 0.5 / 200)
    assert (result.gallery_size, result.candidates, result.people) == (200, 200, 200)


@pytest.mark.parametrize("metric", r.METRICS)
def test_random_features_stay_at_chance(metric):
    result = r.retrieval(_features(400, seed=1), _features(400, seed=2), range(400), metric=metric)
    for k in (5, 10):
        low, high = result.interval[k]
        assert low <= result.chance[k] <= high
    assert result.chance == pytest.approx({k: k / 400 for k in (1, 2, 5, 10)})
    assert result.percentile_rank == pytest.approx(50, abs=5)


def test_one_answer_for_every_voice_is_exactly_chance():
    faces = _features(50)
    result = r.retrieval(np.ones((50, 16)), faces, range(50))
    assert result.recall == pytest.approx(result.chance)


def test_the_centre_itself_says_nothing_and_gets_chance():
    faces = _features(50) + 7
    centre = faces.mean(0)
    result = r.retrieval(np.tile(centre, (50, 1)), faces, range(50), centre=centre)
    assert result.recall == pytest.approx(result.chance)
    assert result.median_rank == 25.5


def test_centre_takes_away_what_all_faces_share():
    faces = _features(300)
    shared = np.full(16, 1_000.0)
    noisy = faces + _features(300, seed=3)
    expected = r.retrieval(noisy, faces, range(300))
    centred = r.retrieval(noisy + shared, faces + shared, range(300), centre=shared)
    assert centred.recall == expected.recall


def test_rank_by_hand():
    gallery = np.array([[0.0], [1.0], [2.0], [10.0]])
    predicted = np.array([[0.1], [2.2], [2.1], [0.0]])
    result = r.retrieval(predicted, gallery, range(4), metric="l2")
    assert result.recall == {1: 0.5, 2: 0.75, 5: 1.0, 10: 1.0}  # ranks 1, 2, 1, 4
    assert result.chance == {1: 0.25, 2: 0.5, 5: 1.0, 10: 1.0}
    assert result.median_rank == 1.5


def test_matched_chance_by_hand():
    groups = ["F"] * 4 + ["M"] * 2
    result = r.retrieval(_features(6), _features(6, seed=1), range(6), groups=groups)
    assert result.chance[1] == pytest.approx((4 * 1 / 4 + 2 * 1 / 2) / 6)
    assert result.chance[2] == pytest.approx((4 * 2 / 4 + 2 * 2 / 2) / 6)
    assert result.chance[10] == 1
    assert result.candidates == pytest.approx((4 * 4 + 2 * 2) / 6)
    assert result.gallery_size == 6


def test_matching_takes_away_what_only_tells_the_group():
    groups = np.array(["F", "M"] * 100)
    signal = np.where(groups == "F", -3.0, 3.0)[:, None] * np.ones(4)
    faces, predicted = signal + _features(200, 4), signal + _features(200, 4, seed=1)
    unmatched = r.retrieval(predicted, faces, range(200))
    matched = r.retrieval(predicted, faces, range(200), groups=groups)
    assert unmatched.interval[10][0] > unmatched.chance[10]
    assert matched.interval[10][0] <= matched.chance[10] <= matched.interval[10][1]


def test_other_clips_of_the_same_person_are_left_out():
    faces = np.array([[1.0, 0], [1.0, 0.001], [0, 1.0], [0.001, 1.0]])
    result = r.retrieval(faces[[1, 0, 3, 2]], faces, ["a", "a", "b", "b"])
    assert result.recall[1] == 1
    assert result.candidates == 3
    assert result.people == 2


def test_interval_covers_the_true_recall_19_times_in_20():
    random = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        found = (random.random(150) < 0.3).astype(float)
        low, high = intervals.bootstrap_interval(found, range(150), seed)
        covered += low <= 0.3 <= high
    assert 0.9 <= covered / 200 <= 0.99


def test_interval_counts_people_not_clips():
    found = (np.arange(40) % 2).astype(float)
    one_each = intervals.bootstrap_interval(found, range(40))
    ten_each = intervals.bootstrap_interval(np.repeat(found, 10), np.repeat(range(40), 10))
    assert np.subtract(*one_each) == pytest.approx(np.subtract(*ten_each), abs=0.03)


def test_interval_without_a_hit_is_not_a_point():
    low, high = intervals.bootstrap_interval(np.zeros(100), range(100))
    assert low == 0
    assert high == pytest.approx(0.0362, abs=1e-3)  # the exact binomial bound


def test_interval_is_the_same_every_time():
    found = (np.random.default_rng(1).random(60) < 0.2).astype(float)
    assert intervals.bootstrap_interval(found, range(60)) == r.bootstrap_interval(found, range(60))


def test_attribute_oracle_by_hand():
    oracle = r.attribute_oracle(["F"] * 4 + ["M"] * 2, range(6))
    assert oracle.recall[1] == pytest.approx((4 / 4 + 2 / 2) / 6)
    assert oracle.chance[1] == pytest.approx(1 / 6)


def test_an_oracle_of_the_matched_attribute_is_at_chance():
    sexes = ["F", "M"] * 20
    matched = r.attribute_oracle(sexes, range(40), groups=sexes)
    assert matched.recall == pytest.approx(matched.chance)
    assert r.attribute_oracle(sexes, range(40)).recall[1] == pytest.approx(1 / 20)


def test_true_pairs_are_more_alike_than_shuffled_ones():
    faces = _features(100)
    result = similarity.pair_similarity(faces + 0.5 * _features(100, seed=1), faces, range(100))
    assert result["cosine"]["true"][0] > 0.8 > 0.2 > result["cosine"]["shuffled"][0]
    assert result["l1"]["true"][0] < result["l1"]["shuffled"][0]
    assert result["l2"]["true"][0] < result["l2"]["shuffled"][0]


@pytest.mark.parametrize(
    ("predicted", "gallery", "more", "says"),
    [
        (np.zeros((3, 4)), np.zeros((2, 4)), {}, "one shape"),
        (np.zeros((0, 4)), np.zeros((0, 4)), {}, "n at least 1"),
        (np.array([[0.0], [np.nan]]), np.zeros((2, 1)), {}, "Row 1 of predicted"),
        (np.zeros((2, 1)), np.zeros((2, 1)), {"metric": "angle"}, "cosine, l1, l2"),
        (np.zeros((2, 1)), np.zeros((2, 1)), {"groups": ["F"]}, "2 rows, but 1 groups"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(predicted, gallery, more, says):
    with pytest.raises(ValueError, match=says):
        r.retrieval(predicted, gallery, range(len(gallery)), **more)
