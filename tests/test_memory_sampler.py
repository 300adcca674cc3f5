"""The memory of what a process starts: counted from then on, and nobody else's."""

from __future__ import annotations

import subprocess
import sys
import threading
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


class Counted(MemorySampler):
    """Lets the test wait until so many samples were taken, however long they take."""

    def __init__(self) -> None:
        super().__init__(every=0.02)
        self._taken = threading.Semaphore(0)

    def _now_mb(self) -> int:
        now = super()._now_mb()
        self._taken.release()
        return now

    def await_samples(self, count: int = 3) -> None:
        """Waits for new samples: the first one may have begun before."""
        while self._taken.acquire(blocking=False):
            pass
        for _ in range(count):
            assert self._taken.acquire(timeout=120)


def test_what_is_started_later_counts_with_its_children_also_when_it_is_gone() -> None:
    sampler = Counted()
    sampler.start()
    with child_of(200):
        sampler.await_samples()
    assert 200 < sampler.stop() < 300


def test_what_was_there_before_does_not_count() -> None:
    with child_of(200):
        sampler = Counted()
        sampler.start()
        sampler.await_samples()
        assert sampler.stop() < 100
