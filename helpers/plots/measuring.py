"""Figures of the measures behind retrieval: heads, seconds, languages, recordings, ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIGNIFICANT = 0.05
_METRICS = {"cosine": style.BLUE, "l2": style.ORANGE, "l1": style.GREEN}
_METRIC_NAMES = {"cosine": "cosine", "l2": "L2", "l1": "L1"}
_SYSTEMS = {"network": "predicted feature", "pitch": "pitch only"}
_GROUPS = {"all": "everybody", "same_sex": "same sex"}


def craniofacial(report: Mapping, title: str = "") -> Figure:
    """Draws all thirteen correlations of true and drawn heads, significant or not.

    Args:
        report: What `evaluation.evaluate_released` or `evaluate_tables` returned.
        title: Heading; empty says what is drawn.
    """
    found = report.get("craniofacial", {})
    if "true" not in found:
        return style.empty("Too few faces of known sex and age to measure heads.")
    rows = found["true"]
    drawn, axes = style.figure(
        1, 2, (13.0, 6.4), title or "True heads and drawn heads", sharey=True
    )
    names = [row["measure"] for row in rows]
    panels = (
        ("r", "interval", "p_holm", "all faces", style.BLUE),
        (
            "partial",
            "partial_interval",
            "partial_p_holm",
            "sex and age held fixed",
            style.VERMILION,
        ),
    )
    for place, (r, interval, p, text, colour) in zip(axes[0], panels, strict=True):
        chance = float(np.mean([row["random_pairs"] for row in rows]))
        place.axvspan(-chance, chance, color=style.LIGHT_GREY)
        for line, row in enumerate(rows):
            sure = row[p] < _SIGNIFICANT
            place.plot(row[interval], [line, line], color=colour, linewidth=1.6)
            face = colour if sure else "white"
            place.plot(row[r], line, "o", color=colour, markerfacecolor=face)
        if r == "r":
            published = [row["published"] for row in rows]
            place.plot(published, range(len(rows)), "x", color=style.BLACK)
        place.set_yticks(range(len(rows)), names)
        place.set_ylim(len(rows) - 0.5, -0.5)
        place.set(xlabel="correlation (Pearson's r)", title=text)
    style.caption(
        drawn,
        f"{found['faces']} faces. Filled: p below {_SIGNIFICANT} after Holm's correction for 13 "
        "measures. Lines: 95 % intervals, bootstrapped over people. Grey: random pairs. Crosses: "
        "as published by Speech2Face, sex and age not held fixed.",
    )
    return drawn


def lengths(report: Mapping, title: str = "") -> Figure:
    """Draws retrieval and angle for 3 and for 6 seconds of the same voices.

    Args:
        report: As in `craniofacial`.
        title: Heading; empty says what is drawn.
    """
    found = report.get("lengths")
    if not found:
        return style.empty("Too few people to compare 3 with 6 seconds.")
    drawn, axes = style.figure(1, 2, (12.0, 4.4), title or "Does a longer recording help?")
    left, right = axes[0]
    seconds = ("3", "6")
    for number, (metric, colour) in enumerate(_METRICS.items()):
        shown = [found[length]["retrieval"][metric] for length in seconds]
        places = np.arange(2) + 0.25 * (number - 1)
        recalls = [100 * each["recall"]["10"] for each in shown]
        left.bar(places, recalls, 0.22, color=colour, label=_METRIC_NAMES[metric])
        _interval_lines(left, places, recalls, [each["interval"]["10"] for each in shown])
    chance = 100 * shown[0]["chance"]["10"]
    left.axhline(chance, label="chance", **style.CHANCE)
    left.set_xticks([0, 1], [f"{length} s" for length in seconds])
    left.set(ylabel="R@10 (%)", title=f"{shown[0]['gallery_size']} faces to choose from")
    left.legend(loc="upper left", ncols=2)
    _headroom(left, 1.5, 100)
    for number, (kind, text, colour) in enumerate(
        (("true", "own face", style.BLUE), ("shuffled", "somebody else's", style.GREY))
    ):
        angles = [found[length]["similarity"]["angle"][kind] for length in seconds]
        means, spreads = zip(*angles, strict=True)
        places = np.arange(2) + 0.3 * number - 0.15
        right.bar(places, means, 0.27, yerr=spreads, capsize=4, color=colour, label=text)
    right.set_xticks([0, 1], [f"{length} s" for length in seconds])
    right.set(ylabel="angle to the true feature (°)", title="mean and standard deviation")
    right.legend(loc="upper left", ncols=2)
    _headroom(right, 1.3, 180)
    for place in axes[0]:
        place.grid(axis="x", visible=False)
    style.caption(drawn, f"The same {found['people']} people. Thin lines on the left: 95 %.")
    return drawn


def recordings(report: Mapping, title: str = "") -> Figure:
    """Draws how consistent predictions are, and how well they tell voices apart.

    Args:
        report: As in `craniofacial`.
        title: Heading; empty says what is drawn.
    """
    consistent, verified = report.get("consistency"), report.get("verification")
    if not consistent and not verified:
        return style.empty("Nobody was recorded twice.")
    drawn, axes = style.figure(1, 2, (13.0, 4.2), title or "The same voice once more")
    left, right = axes[0]
    bars = [
        (f"{text}, {_GROUPS[group]}", found["told_apart"], found["interval"], style.BLUE)
        for key, text in (("over_time", "same recording"), ("over_recordings", "two recordings"))
        for group, found in (consistent or {}).get(key, {}).items()
    ]
    _bars(left, bars, "own prediction nearer than somebody else's (%)")
    colours = {"network": style.BLUE, "pitch": style.GREY}
    bars = [
        (f"{_SYSTEMS[system]}, {_GROUPS[group]}", found["eer"], found["interval"], colours[system])
        for group in _GROUPS
        for system, found in (verified or {}).get(group, {}).items()
    ]
    _bars(right, bars, "equal error rate (%): less is better")
    people = (verified or consistent)["people"]
    style.caption(drawn, f"{people} people. Dotted: chance, 50 %. Thin lines: 95 % intervals.")
    return drawn


def language(report: Mapping, title: str = "") -> Figure:
    """Draws what another language does to the prediction, and retrieval by language.

    Args:
        report: As in `craniofacial`.
        title: Heading; empty says what is drawn.
    """
    found = report.get("language")
    if not found:
        return style.empty("Only islanders can speak another island's language.")
    rows = sorted(found.get("by_language", []), key=lambda row: -row["recall"])
    size = (13.0, max(4.4, 0.28 * len(rows) + 1.4))
    drawn, axes = style.figure(1, 3, size, title or "The voice, or what it says?")
    moved, asked, each = axes[0]
    change = found["counterfactual"]
    bars = [
        ("another sentence", change["moved_own"], change["moved_own_interval"], style.GREY),
        ("another language", change["moved"], change["moved_interval"], style.VERMILION),
    ]
    _bars(moved, bars, "way to the other island's mean face (%)", chance=None)
    shown = [
        (name, values["recall"]["10"], values["interval"]["10"], colour)
        for name, values, colour in (
            ("own language", found["retrieval"]["own"], style.GREY),
            ("another island's", found["retrieval"]["abroad"], style.VERMILION),
        )
    ]
    _bars(asked, shown, "R@10 (%)", found["retrieval"]["own"]["chance"]["10"])
    for line, row in enumerate(rows):
        each.plot(100 * np.array(row["interval"]), [line, line], color=style.BLUE, linewidth=1.6)
        each.plot(100 * row["recall"], line, "o", color=style.BLUE, markersize=5)
    if rows:
        each.axvline(100 * rows[0]["chance"], **style.CHANCE)
    each.set_yticks(range(len(rows)), [row["language"] for row in rows])
    each.set(xlabel="R@10 by language (%)", ylim=(len(rows) - 0.5, -0.5))
    style.caption(
        drawn,
        f"{change['count']} islanders; each says the same with everything else of the voice "
        "unchanged. Lines: 95 % intervals. Dotted: chance.",
    )
    return drawn


def neighbours(
    maps: Mapping[str, np.ndarray],
    sex: Sequence[str],
    age: Sequence[float],
    groups: Sequence[str],
    title: str = "",
) -> Figure:
    """Draws maps of features, coloured by sex, by age and by group.

    Args:
        maps: Name of each map, such as `predicted`, to places as `neighbours_map` gives them.
        sex: `F`, `M` or empty, n of them.
        age: Years, n of them; NaN where unknown.
        groups: Names, n of them, such as islands; empty where unknown.
        title: Heading; empty says what is drawn.
    """
    title = title or "Who lies beside whom (t-SNE)"
    drawn, axes = style.figure(len(maps), 3, (13.0, 3.9 * len(maps)), title)
    sex, groups, age = np.asarray(sex), np.asarray(groups), np.asarray(age, float)
    for line, (name, places) in zip(axes, maps.items(), strict=True):
        _named(line[0], places, {"woman": sex == "F", "man": sex == "M"})
        dots = line[1].scatter(*places.T, c=age, cmap=style.SEQUENTIAL, s=26)
        drawn.colorbar(dots, ax=line[1], label="age (years)")
        _named(line[2], places, {group: groups == group for group in np.unique(groups) if group})
        line[0].set_ylabel(name)
        for place in line:
            place.set(xticks=[], yticks=[])
            place.grid(visible=False)
    style.caption(drawn, "Only who is near whom means something; distances of clusters do not.")
    return drawn


def ablations(found: Mapping, title: str = "") -> Figure:
    """Draws R@10 of each variant with its interval, by question.

    Args:
        found: What `ablations.ablate_islanders` returned, or a dict with its `rows`.
        title: Heading; empty says what is drawn.
    """
    rows = found["rows"]
    size = (12.0, 0.42 * len(rows) + 1.8)
    drawn, axes = style.figure(size=size, title=title or "What each part is worth")
    place = axes[0, 0]
    questions = list(dict.fromkeys(row["question"] for row in rows))
    for line, row in enumerate(rows):
        colour = style.COLOURS[questions.index(row["question"])]
        recall, (low, high) = 100 * row["recall_10"], (100 * end for end in row["interval"])
        place.barh(line, recall, color=colour, alpha=0.75)
        place.plot([low, high], [line, line], color=style.BLACK, linewidth=1.6)
        place.plot(100 * row["recall_10_3s"], line, "D", color="white", markeredgecolor="black")
    place.axvline(100 * rows[0]["chance"], **style.CHANCE)
    place.set_yticks(range(len(rows)), [f"{row['question']}: {row['variant']}" for row in rows])
    place.set(xlabel="R@10 (%)", ylim=(len(rows) - 0.5, -0.5))
    place.grid(axis="y", visible=False)
    style.caption(
        drawn,
        f"{rows[0]['gallery']} voices and faces, {rows[0]['steps']} steps each. Bars: 6 s; "
        "diamonds: 3 s. Lines: 95 % intervals over people. Dotted: chance.",
    )
    return drawn


def _named(place: Axes, points: np.ndarray, members: Mapping[str, np.ndarray]) -> None:
    markers = "osD^vP*X"
    for number, (name, chosen) in enumerate(members.items()):
        place.plot(
            *points[chosen].T,
            markers[number % len(markers)],
            color=style.COLOURS[number % len(style.COLOURS)],
            markersize=5,
            label=name,
        )
    place.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)


def _bars(
    place: Axes,
    bars: Sequence[tuple[str, float, Sequence[float], str]],
    label: str,
    chance: float | None = 0.5,
) -> None:
    """Horizontal bars of shares with intervals, in per cent."""
    if not bars:
        place.set_axis_off()
        return
    for line, (_, value, (low, high), colour) in enumerate(bars):
        place.barh(line, 100 * value, 0.6, color=colour)
        place.plot([100 * low, 100 * high], [line, line], color=style.BLACK, linewidth=1.6)
        place.text(
            100 * max(value, high),
            line,
            f"  {100 * value:.1f}",
            va="center",
            fontsize=style.SMALLEST,
        )
    if chance is not None:
        place.axvline(100 * chance, **style.CHANCE)
    place.set_yticks(range(len(bars)), [name for name, *_ in bars])
    place.set(xlabel=label, ylim=(len(bars) - 0.5, -0.5))
    place.grid(axis="y", visible=False)
    place.margins(x=0.18)


def _interval_lines(
    place: Axes, at: np.ndarray, values: Sequence[float], ends: Sequence[Sequence[float]]
) -> None:
    ends = 100 * np.array(ends).T
    errors = np.maximum(0, [values - ends[0], ends[1] - values])
    place.errorbar(at, values, errors, fmt="none", color=style.BLACK, capsize=3)


def _headroom(place: Axes, factor: float, most: float) -> None:
    """Makes room for a legend above bars whose values end at `most`."""
    place.set_ylim(0, factor * place.get_ylim()[1])
    place.set_yticks([tick for tick in place.get_yticks() if tick <= most])
