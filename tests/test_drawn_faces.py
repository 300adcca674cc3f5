"""Distances of clouds by hand, and faces that are drawn well beside faces that are not."""

import numpy as np
import pytest

from helpers.measuring import drawn_faces


def test_frechet_distance_of_clouds_by_hand():
    random = np.random.default_rng(0)
    cloud = random.normal(size=(4000, 3)) * (1, 2, 3)
    assert drawn_faces.frechet_distance(cloud, cloud) == pytest.approx(0, abs=1e-6)
    # Moved by 2 in one direction: the square of it. Twice as wide: the sum of the variances.
    assert drawn_faces.frechet_distance(cloud, cloud + (2, 0, 0)) == pytest.approx(4, rel=1e-3)
    wider = 2 * (cloud - cloud.mean(axis=0)) + cloud.mean(axis=0)
    variances = cloud.var(axis=0, ddof=1).sum()
    assert drawn_faces.frechet_distance(cloud, wider) == pytest.approx(variances, rel=1e-3)


def test_frechet_distance_needs_two_faces():
    with pytest.raises(ValueError, match="1 and 5 features"):
        drawn_faces.frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


def test_faces_drawn_well_are_nearer_and_found_again():
    random = np.random.default_rng(1)
    centre = random.normal(size=8)
    true = centre + random.normal(size=(60, 8))
    names = [str(n) for n in range(60)]
    well = drawn_faces.judge(true + 0.1 * random.normal(size=true.shape), true, true, names, centre)
    badly = drawn_faces.judge(
        centre + 0.1 * random.normal(size=true.shape), true, true, names, centre
    )
    assert well["identity"] > 0.9 > 0.4 > badly["identity"]
    assert well["frechet"] < 0.2 * badly["frechet"]
    assert well["recall_10"] == 1
    assert badly["recall_10"] < 0.5
    assert well["chance_10"] == pytest.approx(1 / 6)
