"""Rows of a manifest, for tests of what becomes of them."""

from __future__ import annotations

from helpers.corpora.rows import WHOLE, Row


def row(locator: object, source: str = "file", **changes: object) -> Row:
    """Makes a row that asks for a whole clip of Anna, unless `changes` say otherwise."""
    values = {"clip_id": "a", "corpus": "test", "speaker_id": "anna", "split": "train", **WHOLE}
    return Row(source=source, locator=str(locator), **(values | changes))
