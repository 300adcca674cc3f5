"""Craniofacial measures: by hand, whatever the size of the picture, and with sex held fixed."""

import numpy as np
import pytest

from helpers.measuring import craniofacial as c


def _faces(count, seed=0):
    """Landmarks of faces that differ at random."""
    usual = np.zeros((68, 2))
    usual[0:17] = [(x, 60 + 60 * np.sin(np.pi * x / 160)) for x in np.linspace(0, 160, 17)]
    usual[17:27] = [(x, 30) for x in np.linspace(20, 140, 10)]
    usual[27:31] = [(80, y) for y in np.linspace(45, 75, 4)]
    usual[31:36] = [(x, 80) for x in np.linspace(65, 95, 5)]
    usual[36:42] = [(35, 45), (40, 42), (48, 42), (55, 45), (48, 48), (40, 48)]
    usual[42:48] = [(105, 45), (112, 42), (120, 42), (125, 45), (120, 48), (112, 48)]
    usual[48:55] = [(55, 100), (65, 96), (75, 94), (80, 95), (85, 94), (95, 96), (105, 100)]
    usual[55:60] = [(95, 106), (88, 109), (80, 110), (72, 109), (65, 106)]
    usual[60:65] = [(60, 100), (72, 99), (80, 99), (88, 99), (100, 100)]
    usual[65:68] = [(88, 102), (80, 103), (72, 102)]
    return usual + np.random.default_rng(seed).standard_normal((count, 68, 2))


def test_measures_by_hand():
    face = _faces(1)[0]
    names = dict(zip(c.NAMES, c.measures(face[None])[0], strict=True))
    eyes = np.hypot(*(face[42:48].mean(0) - face[36:42].mean(0)))
    width, height = np.hypot(*(face[31] - face[35])), np.hypot(*(face[27] - face[33]))
    assert names["nose width"] == pytest.approx(width / eyes)
    assert names["nasal index"] == pytest.approx(width / height)
    assert names["philtrum width"] == pytest.approx(np.hypot(*(face[50] - face[52])) / eyes)
    assert len(names) == 13


def test_a_nose_is_as_large_as_the_polygon_of_its_landmarks():
    face = np.zeros((68, 2))
    face[36:42], face[42:48] = (0, 0), (10, 0)  # eyes ten apart
    face[[27, 31, 32, 33, 34, 35]] = [(5, 0), (0, 10), (2, 10), (5, 10), (7, 10), (10, 10)]
    with np.errstate(invalid="ignore", divide="ignore"):
        area = c.measures(face[None])[0][c.NAMES.index("nose area")]
    assert area == pytest.approx(50 / 100)  # a triangle of base 10 and height 10


def test_the_size_of_the_picture_and_the_tilt_of_the_head_play_no_part():
    faces = _faces(5)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert c.measures(3 * faces @ turn + 40) == pytest.approx(c.measures(faces))


def test_the_same_faces_correlate_fully_and_others_not_at_all():
    sex, age = np.array(list("FM" * 50)), np.random.default_rng(5).uniform(20, 70, 100)
    rows = c.correlations(_faces(100), _faces(100), sex, age, range(100))
    assert [row["measure"] for row in rows] == list(c.NAMES)
    assert all(row["r"] == 1 and row["partial"] == pytest.approx(1) for row in rows)
    assert all(row["p_holm"] < 1e-6 and row["random_pairs"] < 0.2 for row in rows)
    rows = c.correlations(_faces(100), _faces(100, seed=9), sex, age, range(100))
    assert len(rows) == 13, "those that are not significant are reported as well"
    assert all(abs(row["r"]) < 0.35 and row["p_holm"] > 0.01 for row in rows)
    assert all(row["interval"][0] < 0 < row["interval"][1] for row in rows if row["p"] > 0.1)


def test_what_sex_explains_vanishes_when_sex_is_held_fixed():
    random = np.random.default_rng(0)
    sex, age = np.array(list("FM" * 200)), random.uniform(20, 70, 400)
    true, drawn = _faces(400, seed=1), _faces(400, seed=2)
    for faces in (true, drawn):  # Men have wide noses, in both; nothing else is shared.
        faces[sex == "M", 31, 0] -= 4
        faces[sex == "M", 35, 0] += 4
    width = c.correlations(true, drawn, sex, age, range(400))[c.NAMES.index("nose width")]
    assert width["r"] > 0.6 and width["p_holm"] < 1e-6
    assert abs(width["partial"]) < 0.15 and width["partial_p"] > 0.01


def test_what_age_explains_vanishes_when_age_is_held_fixed():
    random = np.random.default_rng(0)
    age, sex = random.uniform(20, 80, 300), np.array(list("FM" * 150))
    first, second = (age**2 / 1000 + random.standard_normal(300) for _ in range(2))
    held = c.held_fixed(sex, age)
    assert c.pearson(first, second) > 0.6
    assert abs(c.pearson(c.without(first, held), c.without(second, held))) < 0.15


def test_p_values_are_those_of_scipy():
    from scipy.stats import pearsonr

    first, second = np.random.default_rng(0).standard_normal((2, 40))
    expected = pearsonr(first, second)
    assert c.pearson(first, second) == pytest.approx(expected.statistic)
    assert c.p_value(expected.statistic, 40) == pytest.approx(expected.pvalue)
    assert c.p_value(0.3, 40, held=5) > c.p_value(0.3, 40)


def test_holm_by_hand():
    assert c.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert c.holm([0.5, 0.9]) == [1, 1]
    assert c.holm([0.001]) == [0.001]


def test_too_few_faces_name_the_number_that_would_do():
    with pytest.raises(ValueError, match="20 faces or more; here are 7"):
        c.correlations(_faces(7), _faces(7), np.array(list("FMFMFMF")), np.ones(7), range(7))
