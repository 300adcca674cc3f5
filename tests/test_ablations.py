"""Ablations: variants differ in one thing, see the same, and are measured on other people."""

import json

import numpy as np
import pytest

from helpers.archipelago.islanders import islander
from helpers.measuring import ablations
from helpers.training.pairs import Pairs


def _pairs(first, count, clips=1, seed=0):
    random = np.random.default_rng(seed)
    people = [f"islander-{number}" for number in range(first, first + count)]
    speakers = [person for person in people for _ in range(clips)]
    return Pairs(
        random.integers(-3000, 3000, (len(speakers), 96_000), dtype="int16"),
        0.04 * random.standard_normal((len(speakers), 128)).astype("float32"),
        speakers,
        [f"c{n}" for n in range(len(speakers))],
    )


def test_the_variants_have_names_of_their_own_and_differ_from_the_first():
    every = ablations.variants()
    assert len({variant.name for variant in every}) == len(every)
    assert {variant.question for variant in every} == set(ablations.QUESTIONS)
    for variant in every[1:]:
        changed = [
            name
            for name in ("network", "options", "loss", "without", "seed")
            if getattr(variant, name) != getattr(every[0], name)
        ]
        assert changed and (len(changed) == 1 or changed == ["network", "options"])
    assert [v.question for v in ablations.variants(["language"])] == ["loss", *["language"] * 2]
    with pytest.raises(ValueError, match="no question 'colour'.*batch norm"):
        ablations.variants(["colour"])


@pytest.mark.parametrize(("count", "steps"), [(64, 2), (64, 5), (64, 20), (8, 3)])
def test_every_variant_gets_as_many_steps_as_asked_for(count, steps):
    pairs = _pairs(0, count)
    chosen, epochs = ablations.budget(pairs, steps, 8)
    assert abs(epochs * (len(chosen) // 8) - steps) <= steps / 2
    assert len(chosen) <= max(steps * 8, 8) and len(chosen.speakers) == len(chosen.waveforms)


def test_a_held_out_language_is_gone_and_its_control_loses_as_many_people():
    pairs = _pairs(0, 60, clips=2)
    second = {s for s in pairs.speakers if islander(int(s.split("-")[1])).language == 1}
    held = ablations._taken(pairs, ablations.WITHOUT[1])
    control = ablations._taken(pairs, ablations.WITHOUT[2])
    assert second and not second & set(held.speakers)
    assert len(set(held.speakers)) == len(set(control.speakers)) == 60 - len(second)
    assert second & set(control.speakers)
    assert ablations._taken(pairs, "") is pairs


def test_small_networks_are_trained_and_measured_on_others():
    chosen = [
        ablations.Variant("small", "network", options={"width": 0.05}),
        ablations.Variant(
            "held out", "language", options={"width": 0.05}, without="second language"
        ),
    ]
    tested = _pairs(1_000_000, 24, seed=1)
    rows = ablations.ablate(_pairs(0, 30), tested, chosen, steps=2, batch_size=8, progress=False)
    assert [row["variant"] for row in rows] == ["small", "held out"]
    for row in rows:
        assert row["gallery"] == 24 and row["chance"] == pytest.approx(10 / 24, abs=1e-4)
        assert row["interval"][0] <= row["recall_10"] <= row["interval"][1]
        assert 0 <= row["recall_10_3s"] <= 1 and 0 <= row["recall_10_second"] <= 1
        assert row["steps"] == 2 and row["parameters"] > 1000
    assert json.loads(json.dumps(rows)) == rows
    text = ablations.format_ablations({"rows": rows, "people": 24})
    assert "held out" in text and "chance 41.7" in text


def test_nobody_is_trained_on_and_tested():
    with pytest.raises(ValueError, match="islander-5 would be trained on and tested"):
        ablations.ablate(_pairs(0, 6), _pairs(5, 3), [], progress=False)


class _Table:
    complete = True

    def counts(self, column):
        return {"train": 900, "validation": 100}


def test_a_larger_table_of_islanders_is_used_and_left_as_it_is():
    def never(workspace, count):
        raise AssertionError("A table that is there is not made again.")

    table = _Table()
    assert ablations._table(table, never, None, 1000) is table
    assert ablations._table(table, lambda workspace, count: count, None, 1001) == 1001
    with pytest.raises(ValueError, match="islanders=50.*100 or more"):
        ablations.ablate_islanders(None, islanders=50)
