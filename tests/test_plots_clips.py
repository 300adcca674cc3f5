"""The figures of notebook 01 say what became of every row."""

from __future__ import annotations

import synthetic_media as made

from helpers import media
from helpers.plots import clips, style


def rows() -> list[dict]:
    video = media.write_video([made.numbered_picture(3)] * 10, made.tone(0.4)[0])
    return [
        {"clip_id": "islander-1", "status": "ok", "reason": "", "video": video},
        {"clip_id": "x" * 90, "status": "rejected", "reason": "No sound.", "video": None},
        {"clip_id": "odd", "status": "ok", "reason": "", "video": b"not a video"},
    ]


def test_contact_sheet_names_each_clip_and_its_fate():
    figure = clips.contact_sheet(rows(), columns=2, title="Clips")
    axes = figure.axes
    assert len(axes) == 4
    assert axes[0].get_xlabel() == "islander-1"
    assert made.number_in(axes[0].images[0].get_array()) == 3
    assert axes[1].texts[0].get_text().replace("\n", " ") == "rejected: No sound."
    figure.canvas.draw()


def test_outcomes_counts_every_reason():
    figure = clips.outcomes(rows() * 3)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["ok", "rejected: No sound."]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [6, 3]
    figure.canvas.draw()


def test_reasons_that_differ_in_what_was_measured_are_one_bar():
    reasons = ("3.1 of 6.5 s can be read.", "3.2 of 6.5 s can be read.", "HTTP 403", "HTTP 404")
    figure = clips.outcomes([{"status": "failed", "reason": reason} for reason in reasons])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["failed: … of … s can be read.", "failed: HTTP 403", "failed: HTTP 404"]


def test_nothing_to_draw_is_said():
    for figure in (clips.contact_sheet([]), clips.outcomes([])):
        assert "no" in figure.axes[0].texts[0].get_text()


def test_statuses_have_colours():
    from helpers.download import STATUSES

    assert set(STATUSES) == set(style.STATUS_COLOURS)
