"""The memory of what a process starts: counted from then on, and nobody else's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from helpers.commands.memory_sampler import MemorySampler


@contextmanager
def child_of(megabytes: int) -> Iterator[None]:
    """A process, and a child of its own that holds so much memory."""
    holds = f"x = bytearray(b'x') * ({megabytes} * 2**20); print('ready', flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}])"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.communicate("\n")


def test_what_is_started_later_counts_with_its_children_also_when_it_is_gone() -> None:
    sampler = MemorySampler(every=0.02)
    sampler.start()
    with child_of(200):
        time.sleep(0.3)
    assert 200 < sampler.stop() < 300


def test_what_was_there_before_does_not_count() -> None:
    with child_of(200):
        sampler = MemorySampler(every=0.02)
        sampler.start()
        time.sleep(0.3)
        assert sampler.stop() < 100
