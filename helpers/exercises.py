"""Checks for the exercises: each prints a tick or a hint, and never raises.

A check tries the student's function on small cases whose answer is known. Each case has its own
hint: the mistake that this case usually catches.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.measuring.retrieval import chance


@dataclasses.dataclass(frozen=True)
class _Case:
    arguments: tuple
    expected: Any
    hint: str


def check_count_by_status(count_by_status: Callable | None) -> bool:
    """01: `count_by_status(rows)` takes dicts with a `status`, returns {status: how many}."""
    rows = [{"status": status} for status in ("ok", "failed", "ok", "gone", "ok")]
    return _check(
        "count_by_status",
        count_by_status,
        [
            _Case((rows[:3],), {"ok": 2, "failed": 1}, "Count the rows of each status."),
            _Case((rows,), {"ok": 3, "failed": 1, "gone": 1}, "Count every status that occurs."),
            _Case(([],), {}, "Without rows there is nothing to count: return an empty dict."),
        ],
    )


def check_leaks(leaks: Callable | None) -> bool:
    """01: `leaks(rows)` returns the speakers that occur in more than one split, sorted."""
    rows = [
        {"speaker_id": speaker, "split": split}
        for speaker, split in (
            *(("ann", "train"), ("ann", "train"), ("bo", "test"), ("cy", "train")),
            *(("cy", "test"), ("al", "validation"), ("al", "test")),
        )
    ]
    return _check(
        "leaks",
        leaks,
        [
            _Case((rows[:3],), [], "Two clips in the same split are no leak."),
            _Case((rows[2:5],), ["cy"], "Collect the splits of each speaker: more than one leaks."),
            _Case((rows,), ["al", "cy"], "Validation counts, too. Return the names sorted."),
            _Case(([],), [], "Without rows nobody leaks: return an empty list."),
        ],
    )


def check_crop_margin(add_margin: Callable | None) -> bool:
    """02: `add_margin(box, margin)` returns the larger box (x, y, width, height), same centre."""
    return _check(
        "add_margin",
        add_margin,
        [
            _Case(((10, 20, 100, 50), 0.0), (10, 20, 100, 50), "A margin of 0 changes nothing."),
            _Case(
                ((100, 100, 100, 100), 0.3),
                (85, 85, 130, 130),
                "Width and height grow by the factor 1 + margin, and the centre stays: x and y "
                "move by half of what was added.",
            ),
            _Case(((0, 0, 10, 20), 0.2), (-1, -2, 12, 24), "x goes with width, y with height."),
        ],
    )


def check_distance(distance: Callable | None) -> bool:
    """02: `distance(a, b)` is the Euclidean distance of two face features."""
    return _check(
        "distance",
        distance,
        [
            _Case((_a(1, 2), _a(1, 2)), 0.0, "A feature is at distance 0 from itself."),
            _Case((_a(0, 0), _a(3, 4)), 5.0, "Square the differences, sum them, take the root."),
            _Case((_a(3, 4), _a(0, 0)), 5.0, "The distance is the same in both directions."),
        ],
    )


def check_power_law(power_law: Callable | None) -> bool:
    """03: `power_law(x)` is sgn(x) |x|^0.3."""
    return _check(
        "power_law",
        power_law,
        [
            _Case((_a(0, 1, 1024),), _a(0, 1, 8), "Raise the absolute value to the power of 0.3."),
            _Case((_a(-1, -1024),), _a(-1, -8), "The sign should come through: np.sign(x)."),
        ],
    )


def check_within_sex(within_sex: Callable | None) -> bool:
    """03: `within_sex(values, sex)` takes the mean of the own sex away from each value."""
    sexes = np.array(["F", "F", "M", "M"])
    return _check(
        "within_sex",
        within_sex,
        [
            _Case(
                (_a(1, 3), sexes[:2]), _a(-1, 1), "Subtract the mean: what is left has the mean 0."
            ),
            _Case(
                (_a(200, 220, 100, 120), sexes),
                _a(-10, 10, -10, 10),
                "Each sex has a mean of its own: subtract that, and not the mean of all.",
            ),
            _Case(
                (_a(100, 220, 120, 200), sexes[[2, 0, 3, 1]]),
                _a(-10, 10, 10, -10),
                "The order of the people should stay as it is.",
            ),
        ],
    )


def check_cosine(cosine: Callable | None) -> bool:
    """04: `cosine(a, b)` is the cosine of the angle between two features."""
    return _check(
        "cosine",
        cosine,
        [
            _Case((_a(1, 0), _a(0, 2)), 0.0, "Features at a right angle have the cosine 0."),
            _Case((_a(1, 2), _a(10, 20)), 1.0, "Length should not matter: divide by both norms."),
            _Case((_a(1, 2), _a(-1, -2)), -1.0, "Opposite features have the cosine -1."),
        ],
    )


def check_normalised_loss(normalised_loss: Callable | None) -> bool:
    """04: `normalised_loss(a, b)` is |a/|a| - b/|b||^2 for two features."""
    return _check(
        "normalised_loss",
        normalised_loss,
        [
            _Case((_a(3, 4), _a(30, 40)), 0.0, "Divide each feature by its own norm first."),
            _Case((_a(1, 0), _a(0, 5)), 2.0, "Sum the squared differences; no mean, no root."),
            _Case((_a(2, 0), _a(-3, 0)), 4.0, "The loss is 2 (1 - cosine): at most 4."),
        ],
    )


def check_blend(blend: Callable | None) -> bool:
    """05: `blend(a, b, share)` goes from feature a (share 0) to feature b (share 1)."""
    return _check(
        "blend",
        blend,
        [
            _Case((_a(1, 2), _a(5, 6), 0.0), _a(1, 2), "With a share of 0 only a is left."),
            _Case((_a(1, 2), _a(5, 6), 1.0), _a(5, 6), "With a share of 1 only b is left."),
            _Case((_a(1, 2), _a(5, 6), 0.25), _a(2, 3), "(1 - share) of a and share of b."),
        ],
    )


def check_mean_absolute_error(mean_absolute_error: Callable | None) -> bool:
    """05: `mean_absolute_error(a, b)` of two pictures of the same shape."""
    dark, light = np.zeros((2, 2, 3)), np.full((2, 2, 3), 0.5)
    return _check(
        "mean_absolute_error",
        mean_absolute_error,
        [
            _Case((dark, light), 0.5, "Take the mean over all pixels and channels, not the sum."),
            _Case((light, dark), 0.5, "An error is never negative: take the absolute value."),
            _Case((_a(0, 0), _a(1, -1)), 1.0, "Absolute value first, then the mean."),
        ],
    )


def check_average_voice(average_voice: Callable | None) -> bool:
    """06: `average_voice(features)` is the mean feature of several voices, (n, d) -> (d,)."""
    return _check(
        "average_voice",
        average_voice,
        [
            _Case((np.array([[1.0, 2.0]]),), _a(1, 2), "One voice is its own average."),
            _Case(
                (np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 0.0]]),),
                _a(2, 2),
                "Take the mean over the voices (axis 0), so that one feature is left.",
            ),
        ],
    )


def check_nearest(nearest: Callable | None) -> bool:
    """06: `nearest(feature, gallery)` returns which row of the gallery is nearest, (d,), (n, d)."""
    gallery = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 0.0]])
    return _check(
        "nearest",
        nearest,
        [
            _Case((_a(3, 4), gallery), 1, "A face is nearest to itself: its distance is 0."),
            _Case(
                (_a(5, 1), gallery), 2, "Take the smallest distance, np.argmin, not the largest."
            ),
            _Case(
                (_a(1, -1), gallery),
                0,
                "Square the differences before you sum them; give the row and not the distance.",
            ),
        ],
    )


def check_chance(chance_level: Callable | None) -> bool:
    """07: `chance_level(gallery_size, k)` is the R@K that guessing reaches, 0 to 1."""
    return _check(
        "chance_level",
        chance_level,
        [
            _Case((1000, 1), 0.001, "One face in a thousand is the right one."),
            _Case((1000, 10), 0.01, "Guessing K faces gives K chances."),
            _Case((5, 10), 1.0, "With 10 guesses among 5 faces one cannot miss: at most 1."),
        ],
    )


def check_matched_chance(matched_chance: Callable | None) -> bool:
    """07: `matched_chance(groups, k)`: chance when each is compared with the own group only."""
    groups = ["F", "F", "F", "F", "M", "M"]
    return _check(
        "matched_chance",
        matched_chance,
        [
            _Case((["F"] * 20, 10), 0.5, "With one group it is the chance of the whole gallery."),
            _Case(
                (groups, 1),
                chance([4, 4, 4, 4, 2, 2], 1),
                "Each query has its own gallery, as large as its group: take the mean.",
            ),
            _Case(
                (groups, 3),
                chance([4, 4, 4, 4, 2, 2], 3),
                "In a group smaller than K one cannot miss: min(K, size) / size.",
            ),
        ],
    )


def _check(name: str, student: Any, cases: list[_Case]) -> bool:
    if _is_placeholder(student):
        return _say(
            False, f"{name}: not solved yet. Replace the placeholder and run the cell again."
        )
    if not callable(student):
        return _say(False, f"{name} should be a function, but it is {_short(student)}.")
    for case in cases:
        # A copy, so that a function that changes its arguments cannot spoil the next case.
        arguments = copy.deepcopy(case.arguments)
        shown = f"{name}({', '.join(_short(argument) for argument in arguments)})"
        try:
            answer = student(*arguments)
        except NotImplementedError:
            return _say(False, f"{name}: not solved yet.")
        except KeyboardInterrupt:  # somebody stops the cell
            raise
        except BaseException as error:  # the student's code may raise anything
            stopped = f"stopped with {type(error).__name__}: {_written(error, str)}"
            return _say(False, f"{shown} {stopped}. {case.hint}")
        if _is_placeholder(answer):
            return _say(False, f"{name}: not solved yet, it returns {answer!r}.")
        if not _same(answer, case.expected):
            return _say(
                False,
                f"{shown} should be {_short(case.expected)}, but it is {_short(answer)}. "
                f"{case.hint}",
            )
    return _say(True, f"{name} is right.")


def _is_placeholder(value: Any) -> bool:
    return value is None or value is ...


def _same(answer: Any, expected: Any) -> bool:
    try:
        if isinstance(expected, dict):
            return dict(answer) == expected
        if isinstance(expected, list):
            return list(answer) == expected
        answer = np.asarray(answer, float)
        expected = np.asarray(expected, float)
        return answer.shape == expected.shape and bool(np.allclose(answer, expected, atol=1e-6))
    except KeyboardInterrupt:
        raise
    except BaseException:  # an answer of any type may come: what cannot be compared is not the same
        return False


def _short(value: Any) -> str:
    write = functools.partial(np.array2string, precision=4) if type(value) is np.ndarray else repr
    text = " ".join(_written(value, write).split())
    return text if len(text) <= 90 else text[:87] + "..."


def _written(value: Any, write: Callable[[Any], str]) -> str:
    """Writes a value of the student, which may not know how to be written."""
    try:
        return write(value).encode(errors="replace").decode()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"a {type(value).__name__}"


def _say(right: bool, text: str) -> bool:
    print(("✓ " if right else "✗ ") + text)
    return right


def _a(*values: float) -> np.ndarray:
    return np.array(values, float)
