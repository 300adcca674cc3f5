"""The leakage audit: it proves what is apart, and names what is not."""

import types

import numpy as np
import pyarrow as pa
import pytest

from helpers.measuring import leakage


def test_speakers_in_two_splits_are_named():
    check = leakage.shared("speakers", {"train": ["ann", "bob"], "test": ["bob", "cid"]})
    assert check.leaks == ["bob (train and test)"]
    with pytest.raises(leakage.Leak, match="speakers: bob \\(train and test\\)"):
        leakage.prove([check])


def test_clean_splits_print_their_proof(capsys):
    leakage.prove([leakage.shared("speakers", {"train": ["ann"] * 3, "test": ["bob"]})])
    assert "speakers: 1 train, 1 test; none in two splits." in capsys.readouterr().out


def test_the_same_picture_in_two_splits_is_found_and_other_faces_are_not():
    faces = np.random.default_rng(0).standard_normal((120, 32))
    features = {"train": faces[:60], "test": faces[60:].copy()}
    names = {"train": [f"a{n}" for n in range(60)], "test": [f"b{n}" for n in range(60)]}
    assert leakage.near_duplicates(features, names).leaks == []
    features["test"][7] = features["train"][41] + 0.05
    check = leakage.near_duplicates(features, names)
    assert len(check.leaks) == 1 and check.leaks[0].startswith("a41 (train) and b7 (test)")


def test_one_split_alone_cannot_leak():
    features = {"train": np.zeros((0, 8)), "test": np.ones((4, 8))}
    assert leakage.near_duplicates(features, {"train": [], "test": list("abcd")}).leaks == []


def test_islanders_kept_for_testing_are_only_there():
    clean = {"train": [1, 2], "validation": [9], "test": [1_000_000]}
    assert leakage.islanders(clean).leaks == []
    check = leakage.islanders({**clean, "train": [1, 1_000_007], "test": [2, 1_000_000]})
    assert check.leaks == ["islander 1000007 (train)", "islander 2 (test)"]


def test_the_released_weights_know_no_test_islander_and_the_audit_would_see_one():
    clean = leakage.audit_recipe(range(1_000_000, 1_000_100))
    assert all(not check.leaks for check in clean) and clean[0].counts["test"] == 100
    leaking = leakage.audit_recipe([0, 1_000_000])
    assert any("islander 0 (test)" in leak for leak in leaking[0].leaks)
    assert leaking[0].as_dict()["leak_count"] == len(leaking[0].leaks)


class _Table:
    def __init__(self, rows):
        self.held = rows

    def read(self, columns):
        return pa.Table.from_pylist([{name: row[name] for name in columns} for row in self.held])

    def rows(self, columns):
        return iter(self.held)


def _session(**changes):
    """A run with one clip of each of nine islanders; `changes` replaces values of rows by clip."""
    features = np.random.default_rng(0).standard_normal((9, 16))
    rows, clips, faces = [], [], []
    for place, number in enumerate((0, 1, 2, 9, 19, 29, 1_000_000, 1_000_001, 1_000_002)):
        split = ("train", "validation", "test")[place // 3]
        row = {
            "clip_id": f"c{place}",
            "speaker_id": f"islander-{number}",
            "split": split,
            "source": "archipelago",
            "locator": f"{number}/0",
            "status": "ok",
            "sha256": f"hash{place}",
            "feature": features[place].tolist(),
        } | changes.get(f"c{place}", {})
        rows.append(types.SimpleNamespace(**row))
        clips.append(row)
        faces.append(row)
    tables = {"clips": _Table(clips), "faces": _Table(faces)}
    return types.SimpleNamespace(
        manifest=types.SimpleNamespace(rows=rows),
        workspace=types.SimpleNamespace(require=tables.__getitem__),
    )


def test_a_clean_run_passes_every_check(capsys):
    checks = leakage.audit(_session())
    assert [check.what for check in checks] == [
        "speakers",
        "clips by name",
        "clips by their bytes",
        "islanders",
        "faces",
    ]
    leakage.prove(checks)
    assert capsys.readouterr().out.count("none in two splits") == 5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"c8": {"speaker_id": "islander-1"}}, "speakers: islander-1 \\(train and test\\)"),
        ({"c8": {"sha256": "hash0"}}, "clips by their bytes: hash0"),
        ({"c8": {"locator": "2/1"}}, "islander"),
        ({"c0": {"feature": [5.0] * 16}, "c7": {"feature": [5.001] * 16}}, "faces: c0 .* and c7"),
    ],
)
def test_each_kind_of_leak_stops_the_notebook(changes, named):
    with pytest.raises(leakage.Leak, match=named):
        leakage.prove(leakage.audit(_session(**changes)))
