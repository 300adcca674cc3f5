"""Exercise checks: right answers get a tick, wrong ones a hint, and nothing is ever raised."""

import inspect

import numpy as np
import pytest

from helpers import exercises

CHECKS = [f for n, f in inspect.getmembers(exercises, inspect.isfunction) if n.startswith("check_")]


def _matched_chance(groups, k):
    sizes = np.array([groups.count(group) for group in groups])
    return np.mean(np.minimum(k, sizes) / sizes)


RIGHT = {
    "check_count_by_status": lambda rows: {
        s: [r["status"] for r in rows].count(s) for s in {r["status"] for r in rows}
    },
    "check_leaks": lambda rows: sorted(
        name
        for name in {row["speaker_id"] for row in rows}
        if len({row["split"] for row in rows if row["speaker_id"] == name}) > 1
    ),
    "check_crop_margin": lambda box, margin: (
        box[0] - box[2] * margin / 2,
        box[1] - box[3] * margin / 2,
        box[2] * (1 + margin),
        box[3] * (1 + margin),
    ),
    "check_distance": lambda a, b: np.linalg.norm(a - b),
    "check_power_law": lambda x: np.sign(x) * np.abs(x) ** 0.3,
    "check_within_sex": lambda values, sex: (
        values - (sex[:, None] == sex) @ values / (sex[:, None] == sex).sum(1)
    ),
    "check_cosine": lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b),
    "check_normalised_loss": lambda a, b: np.sum(
        (a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2
    ),
    "check_blend": lambda a, b, share: (1 - share) * a + share * b,
    "check_mean_absolute_error": lambda a, b: np.abs(a - b).mean(),
    "check_average_voice": lambda features: features.mean(0),
    "check_nearest": lambda feature, gallery: np.linalg.norm(gallery - feature, axis=1).argmin(),
    "check_chance": lambda size, k: min(size, k) / size,
    "check_matched_chance": _matched_chance,
}

WRONG = {
    "check_count_by_status": lambda rows: {"ok": len(rows)},
    "check_leaks": lambda rows: sorted({row["speaker_id"] for row in rows}),
    "check_crop_margin": lambda box, margin: (box[0], box[1], box[2] * 1.3, box[3] * 1.3),
    "check_distance": lambda a, b: np.abs(a - b).sum(),
    "check_power_law": lambda x: np.abs(x) ** 0.3,
    "check_within_sex": lambda values, sex: values - np.mean(values),
    "check_cosine": lambda a, b: a @ b,
    "check_normalised_loss": lambda a, b: np.sum((a - b) ** 2),
    "check_blend": lambda a, b, share: share * a + (1 - share) * b,
    "check_mean_absolute_error": lambda a, b: np.mean(a - b),
    "check_average_voice": lambda features: features.mean(),
    "check_nearest": lambda feature, gallery: (gallery @ feature).argmax(),
    "check_chance": lambda size, k: k / size,
    "check_matched_chance": lambda groups, k: k / len(groups),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_right_answer_gets_a_tick(check, capsys):
    assert check(RIGHT[check.__name__]) is True
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_usual_mistake_gets_a_hint(check, capsys):
    assert check(WRONG[check.__name__]) is False
    said = capsys.readouterr().out
    assert said.startswith("✗") and "should be" in said


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "placeholder", [None, ..., lambda *_: None, lambda *_: ...], ids=["none", "dots", "fn", "fn2"]
)
def test_a_placeholder_is_not_solved_yet(check, placeholder, capsys):
    assert check(placeholder) is False
    assert "not solved yet" in capsys.readouterr().out


class _Odd:
    def __repr__(self):
        raise RuntimeError("no text")

    def __array__(self, *_args, **_more):
        raise RuntimeError("no array")


class _Closing:
    """Breaks off whatever looks at it, and that with no Exception."""

    def _close(self, *_args, **_more):
        raise GeneratorExit

    __repr__ = __array__ = __iter__ = __eq__ = __hash__ = keys = _close


class _Wordless(BaseException):
    def __str__(self):
        raise GeneratorExit


def _raising(error):
    def answer(*_):
        raise error

    return answer


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "strange",
    [
        *(3, "text", _Odd(), lambda: 1, lambda *_: 1 / 0, lambda *_: _Odd(), lambda *_: exit()),
        *(lambda *_: _Closing(), _raising(GeneratorExit()), _raising(_Wordless())),
        _raising(ValueError("half a letter: \ud83d")),
    ],
    ids=[
        *("number", "text", "odd", "no-arguments", "raises", "returns-odd", "exits"),
        *("closes-when-compared", "closes", "raises-without-words"),
        "raises-half-a-letter",
    ],
)
def test_a_check_never_raises(check, strange, capsys):
    assert check(strange) is False
    assert capsys.readouterr().out.startswith("✗")


def test_somebody_who_stops_the_cell_is_obeyed():
    with pytest.raises(KeyboardInterrupt):
        exercises.check_chance(_raising(KeyboardInterrupt()))


def test_changing_the_arguments_does_not_spoil_the_next_case():
    def power_law(x):
        answer = np.sign(x) * np.abs(x) ** 0.3
        x[:] = 0
        return answer

    assert exercises.check_power_law(power_law)
    assert exercises.check_power_law(power_law)


def test_every_exercise_has_a_worked_answer_here():
    names = {check.__name__ for check in CHECKS}
    assert names == set(RIGHT) == set(WRONG)
