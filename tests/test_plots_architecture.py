"""The picture of a network is drawn from its layers: every one that learns is in it."""

from __future__ import annotations

import numpy as np
from figure_texts import assert_readable

from helpers.networks import voice_networks
from helpers.plots import architecture


def test_the_blocks_hold_all_parameters_and_the_shapes_of_the_layers() -> None:
    network = voice_networks.compact(16, np.zeros(16), width=0.2)
    parts = architecture.blocks(network, 96_000)
    assert sum(part.parameters for part in parts) == network.count_params()
    assert parts[0].shape == (96_000,) and parts[-1].shape == (16,)
    convolutions = [part for part in parts if part.kind == "convolution"]
    assert len(convolutions) == 9 and sum(part.added for part in parts) == 4
    # What is laid flat for the next layer still shows its frames, bands and channels.
    assert [len(part.shape) for part in convolutions] == [3, 3, 3, 2, 2, 2, 2, 2, 2]


def test_the_papers_network_is_drawn_without_being_built() -> None:
    parts = architecture.blocks_of_table(voice_networks.paper_table(4096))
    assert sum(part.parameters for part in parts) == 148_071_681
    assert [part.shape for part in parts[:2]] == [(598, 257, 2), (595, 254, 64)]
    assert not any(part.name.startswith("norm") for part in parts)


def test_another_spectrogram_is_drawn_as_it_is() -> None:
    other = {"window": 512, "hop": 200, "fft_points": 1024, "power": 0.5}
    rows = voice_networks.paper_table(128, other)
    parts = architecture.blocks_of_table(rows, other)
    frames = 1 + (96_000 - 512) // 200
    assert [part.shape for part in parts[:2]] == [(frames, 513, 2), (frames - 3, 510, 64)]


def test_all_blocks_are_in_the_picture() -> None:
    parts = architecture.blocks_of_table(voice_networks.paper_table(128))
    drawn = architecture.networks({"paper": parts, "again": parts[:4]}, "Two networks")
    assert_readable(drawn)
    first = drawn.axes[0]
    assert len(first.patches) >= 3 * len(parts)
    assert "131.8 million" in first.get_title(loc="left")
    assert {part.name for part in parts} <= {text.get_text() for text in first.texts}


def test_what_is_written_under_one_block_does_not_touch_the_next() -> None:
    network = voice_networks.compact(128, np.zeros(128))
    drawn = architecture.networks({"compact": architecture.blocks(network, 96_000)})
    drawn.canvas.draw()
    boxes = [text.get_window_extent() for text in drawn.axes[0].texts if text.get_text()]
    assert not [1 for n, box in enumerate(boxes) if box.count_overlaps(boxes[n + 1 :])]
