"""What each part is worth: networks trained alike, but for one thing.

All variants see the same pairs in the same order for the same number of steps, and are measured on
the same people, none of whom they were trained on. One training each: two trainings that differ in
their seed alone show how much of a difference is luck.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import pretrained
from helpers.archipelago.islanders import islander
from helpers.measuring import retrieval as ranking
from helpers.measuring.intervals import bootstrap_interval
from helpers.settings import FEATURE_DEVIATION, SAMPLE_RATE, SPEECH_SAMPLES
from helpers.storage.drive import read_json

if TYPE_CHECKING:
    from helpers.tables import Table, Workspace
    from helpers.training.pairs import Pairs
    from helpers.training.voice_losses import Loss

K = 10
SHORT_SAMPLES = 3 * SAMPLE_RATE
WITHOUT = ("", "second language", "as many people")
HELD_OUT = 1
"""The language of each island that is held out; there are three."""
QUESTIONS = ("loss", "batch norm", "network", "language")
_SMALL = {"width": 0.125, "deviation": FEATURE_DEVIATION}
"""The paper's ladder with an eighth of its channels, for features of dlib's size."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One training.

    Attributes:
        name: What is different.
        question: Which of `QUESTIONS` it belongs to.
        network: `compact`, `paper` or `published`, as in `voice_networks.build`.
        options: Further arguments of the network.
        loss: Which loss; None takes that of the compact network.
        without: One of `WITHOUT`: what is taken from the training people.
        seed: Seed of weights and order.
    """

    name: str
    question: str
    network: str = "compact"
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    loss: Loss | None = None
    without: str = ""
    seed: int = 0


def variants(questions: Sequence[str] = QUESTIONS) -> list[Variant]:
    """Returns the variants that answer the questions; the first is what the others differ from.

    Args:
        questions: Some of `QUESTIONS`.

    Raises:
        ValueError: There is no such question.
    """
    from helpers.training.voice_losses import LossWeights, PaperLoss

    for question in questions:
        if question not in QUESTIONS:
            raise ValueError(
                f"There is no question {question!r}. Choose some of: {', '.join(QUESTIONS)}."
            )
    paper = PaperLoss()
    every = [
        Variant("direction + distance + contrastive", "loss"),
        Variant("the same, another seed", "loss", seed=1),
        Variant("without contrastive", "loss", loss=LossWeights(contrastive=0)),
        Variant("direction only", "loss", loss=LossWeights(distance=0, contrastive=0)),
        Variant("distance (L1) only", "loss", loss=LossWeights(direction=0, contrastive=0)),
        Variant("contrastive only", "loss", loss=LossWeights(direction=0, distance=0)),
        Variant("the paper's three terms", "loss", loss=paper),
        Variant("the paper's without decoder term", "loss", loss=_without(paper, "decoder")),
        Variant("the paper's without direction term", "loss", loss=_without(paper, "direction")),
        Variant("the paper's without distillation", "loss", loss=_without(paper, "distillation")),
        Variant("compact without", "batch norm", options={"batch_norm": False}),
        Variant("paper, 1/8 wide, with", "batch norm", "paper", _SMALL),
        Variant("paper, 1/8 wide, without", "batch norm", "paper", {**_SMALL, "batch_norm": False}),
        Variant("compact, half as wide", "network", options={"width": 0.5}),
        Variant("published, 1/8 wide", "network", "published", _SMALL),
        Variant("a language of each island held out", "language", without=WITHOUT[1]),
        Variant("as many people held out", "language", without=WITHOUT[2]),
    ]
    return [every[0], *(one for one in every[1:] if one.question in questions)]


def tiny() -> list[Variant]:
    """Returns two variants of a quarter of the width: to see in seconds how it is done."""
    from helpers.training.voice_losses import LossWeights

    small = {"width": 0.25}
    alone = LossWeights(contrastive=0)
    return [
        Variant("compact, 1/4 wide", "loss", options=small),
        Variant("compact, 1/4 wide, without contrastive", "loss", options=small, loss=alone),
    ]


def _without(loss: Loss, term: str) -> Loss:
    return dataclasses.replace(loss, **{term: 0.0})


def ablate(
    pairs: Pairs,
    tested: Pairs,
    chosen: Sequence[Variant],
    steps: int = 300,
    batch_size: int = 32,
    progress: bool = True,
) -> list[dict]:
    """Trains each variant and measures it.

    Args:
        pairs: What to learn from.
        tested: Other people, to measure on.
        chosen: The variants.
        steps: Steps of each training.
        batch_size: Pairs in one step.
        progress: Whether to show a progress bar (on stderr).

    Returns:
        For each variant a dict: question, variant, parameters, steps, seconds (of training),
        gallery, chance, recall_10 with interval, percentile_rank, and recall_10_3s with
        interval_3s for the first 3 s of each voice. Where the people tested are islanders also
        recall_10_second, for those whose language is the second of their island, with interval.

    Raises:
        ValueError: Somebody is both in `pairs` and in `tested`.
    """
    from tqdm.auto import tqdm

    both = set(pairs.speakers) & set(tested.speakers)
    if both:
        raise ValueError(f"{', '.join(sorted(both)[:3])} would be trained on and tested.")
    return [
        _row(variant, pairs, tested, steps, batch_size)
        for variant in tqdm(chosen, desc="variants", disable=not progress)
    ]


def _row(variant: Variant, pairs: Pairs, tested: Pairs, steps: int, batch_size: int) -> dict:
    from helpers import voice_encoder
    from helpers.networks import voice_networks

    pairs = _taken(pairs, variant.without)
    pairs, epochs = budget(pairs, steps, batch_size)
    centre = pairs.centre()
    size = len(centre)
    encoder = voice_networks.build(variant.network, size, centre, variant.seed, **variant.options)
    started = time.perf_counter()
    voice_encoder.train(
        encoder, pairs, None, epochs, batch_size, weights=variant.loss, seed=variant.seed
    )
    seconds = time.perf_counter() - started
    row: dict = {
        "question": variant.question,
        "variant": variant.name,
        "parameters": encoder.count_params(),
        "steps": epochs * max(1, len(pairs) // batch_size),
        "seconds": round(seconds, 1),
        "gallery": len(tested),
    }
    short = np.stack(
        [np.resize(voice[:SHORT_SAMPLES], SPEECH_SAMPLES) for voice in tested.waveforms]
    )
    for heard, ending in ((tested, ""), (dataclasses.replace(tested, waveforms=short), "_3s")):
        predicted = voice_encoder.predict(encoder, heard)
        ranks = ranking.ranked(predicted, tested.features, tested.speakers, centre)
        row |= _recall(ranks.found(K), tested.speakers, ending)
        if not ending:
            row["chance"] = round(ranking.chance(ranks.sizes, K), 5)
            row["percentile_rank"] = round(float(ranks.percentiles.mean()), 2)
            second = _second_language(tested.speakers)
            if second.any():
                some = np.asarray(tested.speakers)[second]
                row |= _recall(ranks.found(K)[second], some, "_second")
    return row


def _recall(found: np.ndarray, speakers: Sequence[str], ending: str) -> dict:
    low, high = bootstrap_interval(found, speakers)
    return {
        f"recall_{K}{ending}": round(float(found.mean()), 5),
        f"interval{ending}": [round(low, 5), round(high, 5)],
    }


def _taken(pairs: Pairs, without: str) -> Pairs:
    """Takes some people away: those of the second languages, or as many others."""
    if not without:
        return pairs
    away = _second_language(pairs.speakers)
    if without == WITHOUT[2]:
        people = np.unique(pairs.speakers)
        count = len(np.unique(np.asarray(pairs.speakers)[away]))
        gone = np.random.default_rng(0).permutation(people)[:count]
        away = np.isin(pairs.speakers, gone)
    return _chosen(pairs, np.flatnonzero(~away))


def _second_language(speakers: Sequence[str]) -> np.ndarray:
    """Who speaks the second of the own island's languages, bool (n,); nobody but islanders does."""
    names = [str(speaker).removeprefix("islander-") for speaker in speakers]
    return np.array([n.isdigit() and islander(int(n)).language == HELD_OUT for n in names])


def budget(pairs: Pairs, steps: int, batch_size: int) -> tuple[Pairs, int]:
    """Chooses pairs and passes over them such that there are so many steps.

    Returns:
        The pairs, fewer of them where one pass would be too long, and how many passes.
    """
    whole = max(1, len(pairs) // batch_size)
    if whole <= steps:
        return pairs, max(1, round(steps / whole))
    order = np.random.default_rng(0).permutation(len(pairs))
    return _chosen(pairs, np.sort(order[: steps * batch_size])), 1


def _chosen(pairs: Pairs, rows: np.ndarray) -> Pairs:
    return dataclasses.replace(
        pairs,
        waveforms=pairs.waveforms[rows],
        features=pairs.features[rows],
        speakers=[pairs.speakers[row] for row in rows],
        clips=[pairs.clips[row] for row in rows],
    )


def ablate_islanders(
    workspace: Workspace,
    islanders: int = 1200,
    steps: int = 300,
    questions: Sequence[str] = QUESTIONS,
    progress: bool = True,
) -> dict:
    """Trains all variants on the islanders of the released weights; measures on validation ones.

    Test islanders take no part: whoever chooses between variants has used what he chose by.

    Args:
        workspace: Where the tables of islanders are kept; made there when they are not.
        islanders: How many, from number 0 on; one in ten is measured on.
        steps: Steps of each training.
        questions: Some of `QUESTIONS`.
        progress: Whether to show progress bars (on stderr).

    Returns:
        command, islanders, people (measured), steps, batch_size, rows (see `ablate`) and seconds.
        Ready for JSON.

    Raises:
        ValueError: Too few islanders, or no such question.
    """
    from helpers.pretrained import islander_tables

    if islanders < 100:
        raise ValueError(f"islanders={islanders!r} is not valid: take 100 or more.")
    chosen = variants(questions)
    started = time.perf_counter()
    faces, voices = (
        _table(workspace.table(name), build, workspace, islanders)
        for name, build in (
            ("islander_faces", islander_tables.build_faces),
            ("islander_voices", islander_tables.build_voices),
        )
    )
    pairs, tested = (
        islander_tables.pairs_of(faces, voices, split, islanders)
        for split in ("train", "validation")
    )
    some = "" if tuple(questions) == QUESTIONS else f" --only {','.join(questions)}"
    return {
        "command": f"python -m helpers ablate --islanders {islanders} --steps {steps}{some} --json",
        "islanders": islanders,
        "people": len(set(tested.speakers)),
        "batch_size": 32,
        "rows": ablate(pairs, tested, chosen, steps, 32, progress),
        "seconds": round(time.perf_counter() - started, 1),
    }


def released() -> dict | None:
    """Returns what `ablate_islanders` found on the day of the release, or None without its file."""
    found = read_json(pretrained.FOLDER / "ablations.json")
    return found and {"released": "Measured once with `command`, not by this run.", **found}


def _table(table: Table, build: Callable, workspace: Workspace, islanders: int) -> Table:
    """Makes a table of islanders; one that holds more of them already is left as it is."""
    if table.complete and sum(table.counts("split").values()) >= islanders:
        return table
    return build(workspace, islanders)


def format_ablations(found: Mapping) -> str:
    """Writes the result of `ablate_islanders` as a table of plain text."""
    rows = found["rows"]
    lines = []
    if "people" in found:
        lines = [
            f"{found['people']} people, {rows[0]['gallery']} voices and faces; R@10 in per cent, "
            f"chance {100 * rows[0]['chance']:.1f}",
            "",
        ]
    lines.append(
        f"  {'':<42}{'6 s':>6}{'95 %':>14}{'3 s':>7}{'percentile':>12}{'second':>9}"
        f"{'parameters':>13}{'seconds':>9}"
    )
    question = None
    for row in rows:
        if row["question"] != question:
            question = row["question"]
            lines.append(question)
        low, high = (100 * end for end in row["interval"])
        second = f"{100 * row['recall_10_second']:.1f}" if "recall_10_second" in row else ""
        lines.append(
            f"  {row['variant']:<42}{100 * row['recall_10']:6.1f}{f'{low:.1f}-{high:.1f}':>14}"
            f"{100 * row['recall_10_3s']:7.1f}{row['percentile_rank']:12.1f}{second:>9}"
            f"{row['parameters']:13,}{row['seconds']:9.0f}"
        )
    lines.append("  second: those who speak the second language of their island")
    return "\n".join(lines)
