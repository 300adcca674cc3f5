"""The tables of README and model card hold the figures of `results.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import pretrained
from helpers.measuring.measures import GALLERIES

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
CARD = (pretrained.FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
RESULTS = json.loads((pretrained.FOLDER / "results.json").read_text(encoding="utf-8"))
FACES = ("all {:.0f} faces", "the {:.0f} of the same sex")
FACES += ("the {:.0f} of the same sex and decade of age",)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def with_interval(found: dict) -> str:
    low, high = found["interval"]["10"]
    return f"**{percent(found['recall']['10'])}** ({100 * low:.1f}–{100 * high:.1f})"


def share(ratio: dict) -> str:
    low, high = ratio["interval"]
    return f"**{ratio['ratio']:.2f}** ({low:.2f}–{high:.2f})"


def cells(text: str, first: str) -> list[str]:
    """Returns the further cells of the one row of a table that begins so."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    assert len(rows) == 1, f"{len(rows)} rows begin with {first!r}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")][1:]


@pytest.mark.parametrize(("gallery", "faces"), zip(GALLERIES, FACES, strict=True))
def test_the_table_of_the_readme(gallery: str, faces: str) -> None:
    found, oracles = RESULTS["retrieval"][gallery], RESULTS["oracles"]
    assert cells(README, faces.format(found["candidates"])) == [
        percent(found["chance"]["10"]),
        percent(oracles["demographic"][gallery]["recall"]["10"]),
        with_interval(found),
        percent(oracles["voice"][gallery]["recall"]["10"]),
        f"{RESULTS['ratios']['voice'][gallery]['ratio']:.2f}",
    ]


@pytest.mark.parametrize(("column", "gallery"), enumerate(GALLERIES))
def test_the_table_of_galleries_in_the_model_card(column: int, gallery: str) -> None:
    found, oracles = RESULTS["retrieval"][gallery], RESULTS["oracles"]
    heading = f"Of {RESULTS['people']} islanders ({RESULTS['left_out']} left out: no face was "
    heading = cells(CARD, f"{heading}found in the picture)")[column]
    assert f" {found['candidates']:.0f} faces" in heading
    for row, expected in {
        "R@10 by chance": percent(found["chance"]["10"]),
        "**R@10 of the voice encoder** (95 % interval over people)": with_interval(found),
        "R@10 of somebody who knows sex and decade of age only": percent(
            oracles["demographic"][gallery]["recall"]["10"]
        ),
        "R@10 of the voice oracle": percent(oracles["voice"][gallery]["recall"]["10"]),
        "**share of the oracle's** (paired interval)": share(RESULTS["ratios"]["voice"][gallery]),
    }.items():
        assert cells(CARD, row)[column] == expected, row


def test_the_table_of_faces_in_the_model_card() -> None:
    sex, age = RESULTS["apparent"]["sex"], RESULTS["apparent"]["age"]
    shares = sex["balanced_accuracy"], sex["constant_guess"], sex["true_faces_balanced_accuracy"]
    assert cells(CARD, "apparent sex, balanced accuracy") == list(map(percent, shares))
    years = age["mean_absolute_error"], age["constant_guess"], age["true_faces_mean_absolute_error"]
    years = [f"{value:.1f} years" for value in years]
    assert cells(CARD, "apparent age, mean absolute error") == years
    assert f"| found as a face by MTCNN | {percent(RESULTS['faces_found'])} | | |\n" in CARD
