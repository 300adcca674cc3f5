"""Figures of results: how much of a face reconstructed from a voice is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style
from helpers.plots.faces import mark_generated, side_by_side
from helpers.settings import HOP_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from helpers.evaluation import Pair
    from helpers.measuring.failures import Failure

_GALLERIES = {
    "unmatched": "all faces",
    "sex_matched": "same sex",
    "sex_and_age_matched": "same sex and decade",
}
_SYSTEMS = {
    "network": "voice encoder",
    "sex": "knows the sex",
    "demographic": "knows sex and age",
    "voice": "voice oracle",
    "latent": "latent oracle",
}
_COLOURS = {
    "network": style.BLUE,
    "sex": style.LIGHT_GREY,
    "demographic": style.GREY,
    "voice": style.SKY_BLUE,
    "latent": style.YELLOW,
}
_CHANCE_LINE = {"color": style.VERMILION, "linestyle": "-", "linewidth": 2.5}


def retrieval(report: Mapping, gallery: str = "unmatched", title: str = "") -> Figure:
    """Draws R@K for several K: chance, the voice encoder with intervals, and the yardsticks.

    Args:
        report: What `evaluation.evaluate_released` or `evaluate_tables` returned.
        gallery: `unmatched`, `sex_matched` or `sex_and_age_matched`.
        title: Heading; empty says what is drawn.
    """
    systems = {"network": report.get("retrieval", {}), **report.get("oracles", {})}
    shown = {name: found[gallery] for name, found in systems.items() if gallery in found}
    if "network" not in shown:
        return style.empty("Too few people to measure retrieval.")
    network = shown["network"]
    drawn, axes = style.figure(size=(12.0, 4.6), title=title or "How often the right face is found")
    place = axes[0, 0]
    steps = np.arange(len(network["recall"]))
    width = 0.8 / len(shown)
    for index, (name, found) in enumerate(shown.items()):
        left = steps + (index - (len(shown) - 1) / 2) * width
        recall = 100 * np.array(list(found["recall"].values()))
        place.bar(left, recall, 0.92 * width, color=_COLOURS[name], label=_SYSTEMS[name])
        ends = 100 * np.array(list(found["interval"].values())).T
        errors = np.maximum(0, [recall - ends[0], ends[1] - recall])
        place.errorbar(left, recall, errors, fmt="none", color=style.BLACK, capsize=3)
    for step, chance in zip(steps, network["chance"].values(), strict=True):
        label = "chance" if step == 0 else None
        place.hlines(100 * chance, step - 0.46, step + 0.46, **_CHANCE_LINE, label=label)
    place.set_xticks(steps, [f"R@{k}" for k in network["recall"]])
    place.set_ylabel("right face found (%)")
    place.grid(axis="x", visible=False)
    place.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    style.caption(drawn, _gallery_text(report, network))
    return drawn


def matched(report: Mapping, k: int | None = None, title: str = "") -> Figure:
    """Draws R@K for each gallery: encoder and yardsticks with intervals, and the chance line.

    Args:
        report: What `evaluation.evaluate_released` or `evaluate_tables` returned.
        k: Which R@K; None takes the largest that guessing seldom reaches in any of the galleries.
        title: Heading; empty says what is drawn.
    """
    systems = {"network": report.get("retrieval", {}), **report.get("oracles", {})}
    galleries = [name for name in _GALLERIES if name in systems["network"]]
    if not galleries:
        return style.empty("Too few people to measure retrieval.")
    k = k or _telling_k([systems["network"][name]["chance"] for name in galleries])
    first = f"among the first {k}" if k > 1 else "the first one"
    title = title or f"Is the right face {first}?"
    size = (4.6 * len(galleries) + 2, 4.6)
    drawn, axes = style.figure(1, len(galleries), size, title, sharey=True)
    names = [name for name in systems if systems[name]]
    for place, gallery in zip(axes[0], galleries, strict=True):
        shown = {name: systems[name][gallery] for name in names if gallery in systems[name]}
        for name, found in shown.items():
            row = names.index(name)
            recall = 100 * found["recall"][str(k)]
            low, high = (100 * end for end in found["interval"][str(k)])
            colour = style.BLUE if name == "network" else style.LIGHT_GREY
            place.barh(row, recall, color=colour, edgecolor=style.GREY, linewidth=0.6)
            # Where everything or nothing is right the interval lies on one side only.
            errors = [[max(0, recall - low)], [max(0, high - recall)]]
            place.errorbar(recall, row, xerr=errors, color=style.BLACK, capsize=4, linewidth=1.4)
            place.text(
                max(recall, high), row, f"  {recall:.1f} %", va="center", fontsize=style.SMALLEST
            )
        first = next(iter(shown.values()))
        chance = 100 * first["chance"][str(k)]
        place.axvline(chance, **style.CHANCE)
        place.set_yticks(range(len(names)), [_SYSTEMS.get(name, name) for name in names])
        place.grid(axis="y", visible=False)
        place.set_title(f"{_GALLERIES[gallery]}: {first['candidates']:.0f} to choose from")
        place.set_xlabel(f"R@{k} (%); dotted: chance, {chance:.1f} %")
        end = 1.3 * max(place.get_xlim()[1], chance)
        place.set_xlim(0, end)  # room for the numbers beside the bars
        place.set_xticks([tick for tick in place.get_xticks() if tick <= min(end, 100)])
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    style.caption(drawn, _gallery_text(report, systems["network"][galleries[0]]))
    return drawn


def _telling_k(chances: Sequence[Mapping[str, float]]) -> int:
    """Returns the largest K of R@K whose chance is a fifth at most in every gallery, or else 1."""
    telling = [int(k) for k in chances[0] if all(chance[k] <= 0.2 for chance in chances)]
    return max(telling, default=1)


def similarities(same: np.ndarray, others: np.ndarray, title: str = "") -> Figure:
    """Draws how alike predicted and true features are, beside those of somebody else.

    Args:
        same: Cosine of each predicted feature and the true one, (n,).
        others: Cosines with the faces of others, any number.
        title: Heading.
    """
    same, others = np.ravel(same), np.ravel(others)
    if not len(same) or not len(others):
        return style.empty("Too few pairs to compare with those of somebody else.")
    drawn, axes = style.figure(size=(9.0, 4.2), title=title or "Is the predicted feature right?")
    place = axes[0, 0]
    values = np.concatenate([same, others])
    bins = np.linspace(values.min(), values.max() + 1e-9, 31)
    for found, name, colour in (
        (others, "somebody else's face", style.ORANGE),
        (same, "own face", style.BLUE),
    ):
        # Shares and not counts, because there are far more pairs with somebody else.
        weights = np.full(len(found), 100 / len(found))
        place.hist(found, bins, weights=weights, color=colour, alpha=0.6, label=name)
        place.axvline(found.mean(), color=colour, linewidth=2.5)
    place.set(xlabel="cosine of predicted and true feature (1 is alike)", ylabel="pairs (%)")
    style.legend_above(place)
    style.caption(
        drawn,
        f"{len(same)} voices. Means: own face {same.mean():.2f}, somebody else's "
        f"{others.mean():.2f}.",
    )
    return drawn


def failures(chosen: Sequence[Failure], pairs: Sequence[Pair], title: str = "") -> Figure:
    """Shows the worst pairs by each rule: true face, drawn face, and the pitch of the voice.

    Args:
        chosen: What `failures.failures` returned.
        pairs: The pairs that it chose from.
        title: Heading.
    """
    from helpers.spectrogram import fundamental_frequency

    if not chosen:
        return style.empty("By none of the rules is there a failure to show.")
    captions = []
    for failure in chosen:
        pair = pairs[failure.row]
        hertz = fundamental_frequency(pair.waveform)[1]
        pitch = f", {np.nanmedian(hertz):.0f} Hz" if np.isfinite(hertz).any() else ""
        known = failure.rule in failure.text  # "rank at 9 %" says by which rule it was chosen
        text = failure.text if known else f"{failure.rule}: {failure.text}"
        captions.append(f"{text}; {_who(pair)}{pitch}")
    faces = {
        "true face": [pairs[failure.row].crop for failure in chosen],
        "from the voice": [mark_generated(pairs[failure.row].face) for failure in chosen],
    }
    return side_by_side(faces, captions, title)


def voices_to_faces(pairs: Sequence[Pair], title: str = "") -> Figure:
    """Shows a row for each pair: true face, spectrogram of the voice, face made from it.

    Args:
        pairs: Pairs to show; a dozen or fewer.
        title: Heading.
    """
    from helpers.spectrogram import spectrogram_numpy

    if not pairs:
        return style.empty("There is no pair of a voice and a face to show.")
    size = (9.0, 2.0 * len(pairs) + 0.6)
    ratios = {"width_ratios": [1, 2.4, 1]}
    drawn, axes = style.figure(len(pairs), 3, size, title, gridspec_kw=ratios)
    for row, pair in zip(axes, pairs, strict=True):
        style.picture(row[0], pair.crop, _who(pair))
        _spectrogram(row[1], spectrogram_numpy(pair.waveform))
        style.picture(row[2], mark_generated(pair.face))
        row[1].set(xlabel="", title=pair.clip_id)
    axes[0, 0].set_title("true face")
    axes[0, 2].set_title("from the voice")
    axes[-1, 1].set_xlabel("time (s)")
    return drawn


def voice_and_face(
    spectrogram: np.ndarray, face: np.ndarray, crop: np.ndarray | None = None, text: str = ""
) -> Figure:
    """Shows a voice's spectrogram beside the face made from it, after the true one if known.

    Args:
        spectrogram: Compressed real and imaginary parts, (frames, 257, 2).
        face: The reconstructed face, marked, uint8 (side, side, 3) RGB.
        crop: The true face, uint8 (side, side, 3) RGB; None where nobody knows it.
        text: Caption of the reconstructed face.
    """
    ratios = [1, 1.9, 1] if crop is not None else [1.9, 1]
    drawn, axes = style.figure(
        1, len(ratios), (3.3 * sum(ratios), 3.6), gridspec_kw={"width_ratios": ratios}
    )
    places = list(axes[0])
    if crop is not None:
        style.picture(places.pop(0), crop, "true face")
    _spectrogram(places[0], spectrogram)
    style.picture(places[1], face, text or "from the voice")
    return drawn


def _spectrogram(place: Axes, spectrogram: np.ndarray) -> None:
    seconds = len(spectrogram) * HOP_SAMPLES / SAMPLE_RATE
    loudness = np.hypot(spectrogram[..., 0], spectrogram[..., 1]).T
    extent = (0, seconds, 0, SAMPLE_RATE / 2000)
    brightest = np.quantile(loudness, 0.995)
    place.imshow(loudness, origin="lower", aspect="auto", extent=extent, vmax=brightest)
    place.set(xlabel="time (s)", ylabel="frequency (kHz)")
    place.grid(visible=False)


def _gallery_text(report: Mapping, found: Mapping) -> str:
    return (
        f"{report['gallery']} voices of {report['people']} people, {found['candidates']:.0f} faces "
        "to choose from. Thin lines: 95 % intervals, bootstrapped over people."
    )


def _who(pair: Pair) -> str:
    known = [pair.sex] if pair.sex else []
    known += [f"{pair.age:.0f}"] if np.isfinite(pair.age) else []
    return ", ".join(known) or pair.speaker_id
