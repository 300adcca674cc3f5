"""Figures of results: how much of a face reconstructed from a voice is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style
from helpers.plots.faces import mark_generated, side_by_side
from helpers.settings import HOP_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from helpers.demo import Reconstruction
    from helpers.evaluation import Pair

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
_METRICS = {"cosine": "cosine (1 is alike)", "l1": "L1 distance", "l2": "L2 distance"}


def retrieval_bars(report: Mapping, k: int = 10, title: str = "") -> Figure:
    """Draws R@K for each gallery: encoder and yardsticks with intervals, and the chance line.

    Args:
        report: What `evaluation.evaluate_released` or `evaluate_tables` returned.
        k: Which R@K.
        title: Heading; empty says what is drawn.
    """
    systems = {"network": report.get("retrieval", {}), **report.get("oracles", {})}
    galleries = [name for name in _GALLERIES if name in systems["network"]]
    if not galleries:
        return style.empty("Too few people to measure retrieval.")
    title = title or f"Is the right face among the first {k}?"
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
            place.text(max(recall, high), row, f"  {recall:.1f} %", va="center", fontsize=12)
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
    style.caption(
        drawn,
        f"{report['gallery']} voices, one face belongs to each. Thin lines: 95 % intervals, "
        "bootstrapped over people.",
    )
    return drawn


def confusion(sex: Mapping, title: str = "Apparent sex of the generated faces") -> Figure:
    """Draws the confusion matrix of true and apparent sex.

    Args:
        sex: `report["apparent"]["sex"]`.
        title: Heading.
    """
    if not sex:
        return style.empty("Apparent sex was not measured: too few people of known sex.")
    counts = np.array(sex["confusion"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    drawn, axes = style.figure(size=(7.0, 4.4), title=title)
    place = axes[0, 0]
    place.imshow(shares, vmin=0, vmax=1, cmap=style.SEQUENTIAL)
    place.grid(visible=False)
    names = ["woman", "man"]
    place.set_xticks([0, 1], [f"looks like a {name}" for name in names])
    place.set_yticks([0, 1], [f"true: {name}" for name in names])
    for row, column in np.ndindex(2, 2):
        text = f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %"
        colour = style.BLACK if shares[row, column] > 0.5 else "white"
        place.text(column, row, text, ha="center", va="center", color=colour, fontsize=14)
    style.caption(
        drawn,
        f"Balanced accuracy {100 * sex['balanced_accuracy']:.0f} %; always saying the same gives "
        f"{100 * sex['constant_guess']:.0f} %.",
    )
    return drawn


def similarity_histograms(
    true: Mapping[str, np.ndarray], shuffled: Mapping[str, np.ndarray], title: str = ""
) -> Figure:
    """Draws how alike predicted and true features are, beside those of somebody else.

    Args:
        true: Metric (`cosine`, `l1`, `l2`) -> one value per true pair.
        shuffled: The same for pairs with somebody else's face.
        title: Heading.
    """
    drawn, axes = style.figure(
        1, len(true), title=title or "Is the predicted feature the right one?"
    )
    for place, metric in zip(axes[0], true, strict=True):
        values = np.concatenate([true[metric], shuffled[metric]])
        bins = np.linspace(values.min(), values.max() + 1e-9, 31)
        for found, name, colour in (
            (shuffled[metric], "somebody else's face", style.ORANGE),
            (true[metric], "own face", style.BLUE),
        ):
            place.hist(found, bins, color=colour, alpha=0.6, label=name)
            place.axvline(found.mean(), color=colour, linewidth=2.5)
        place.set(xlabel=_METRICS.get(metric, metric), ylabel="pairs")
    axes[0, 0].set_ylim(0, 1.35 * axes[0, 0].get_ylim()[1])  # room for the legend
    axes[0, 0].legend(loc="upper left")
    style.caption(drawn, f"{len(next(iter(true.values())))} voices. Vertical lines: means.")
    return drawn


def true_and_reconstructed(pairs: Sequence[Pair], title: str = "") -> Figure:
    """Shows true faces above the faces made from their voices.

    Args:
        pairs: Pairs to show; ten or fewer are well to look at.
        title: Heading.
    """
    if not pairs:
        return style.empty("There is no pair of a voice and a face to show.")
    faces = {
        "true face": [pair.crop for pair in pairs],
        "from the voice": [mark_generated(pair.face) for pair in pairs],
    }
    return side_by_side(faces, [_who(pair) for pair in pairs], title)


def reconstruction_card(
    face: np.ndarray,
    spectrogram: np.ndarray,
    crop: np.ndarray | None = None,
    title: str = "",
    text: str = "",
) -> Figure:
    """Shows true crop, spectrogram and reconstructed face in one row.

    Args:
        face: The reconstructed face, marked, uint8 (side, side, 3) RGB.
        spectrogram: Compressed real and imaginary parts, (frames, 257, 2).
        crop: The true face, uint8 (side, side, 3) RGB; None where nobody knows it.
        title: Heading.
        text: Caption of the reconstructed face.
    """
    widths = [1, 1.9, 1] if crop is not None else [1.9, 1]
    drawn, axes = style.figure(
        1, len(widths), (3.3 * sum(widths), 3.6), title, gridspec_kw={"width_ratios": widths}
    )
    places = list(axes[0])
    if crop is not None:
        style.picture(places.pop(0), crop, "true face")
    seconds = len(spectrogram) * HOP_SAMPLES / SAMPLE_RATE
    loudness = np.hypot(spectrogram[..., 0], spectrogram[..., 1]).T
    extent = (0, seconds, 0, SAMPLE_RATE / 2000)
    brightest = np.quantile(loudness, 0.995)
    places[0].imshow(loudness, origin="lower", aspect="auto", extent=extent, vmax=brightest)
    places[0].set(xlabel="time (s)", ylabel="frequency (kHz)")
    places[0].grid(visible=False)
    style.picture(places[1], face, text or "from the voice")
    return drawn


def card_of(made: Reconstruction, crop: np.ndarray | None = None, title: str = "") -> Figure:
    """Shows a reconstruction as `reconstruction_card` does, with how the face looks.

    Args:
        made: What `demo.reconstruct` returned.
        crop: The true face, where it is known.
        title: Heading.
    """
    sex = {"F": "a woman", "M": "a man"}[made.apparent_sex]
    text = f"looks like {sex}\nof about {made.apparent_age:.0f}"
    return reconstruction_card(made.face, made.spectrogram, crop, title, text)


def _who(pair: Pair) -> str:
    known = [pair.sex] if pair.sex else []
    known += [f"{pair.age:.0f}"] if np.isfinite(pair.age) else []
    return ", ".join(known) or pair.speaker_id
