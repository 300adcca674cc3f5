"""How much work something takes, told so that it is the same on slow and on busy machines."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def effort(action: Callable[[], object], tries: int = 3) -> float:
    """Returns how many times the work of a fixed calculation something takes.

    Processor time alone would not do: a core that is shared, hot or old needs more of it. The
    calculation takes some 0.06 s on a core of today, and as much more as the action does elsewhere.

    Args:
        action: What is measured.
        tries: How often both are done, in turns; the least of each counts.
    """
    seconds = [(_seconds(action), _seconds(_calculation)) for _ in range(tries)]
    return min(ours for ours, _ in seconds) / min(fixed for _, fixed in seconds)


def _seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _calculation() -> None:
    """Some of everything that media take: Python, transforms, sorting and copying."""
    sum(number * number for number in range(600_000))
    numbers = np.random.default_rng(0).standard_normal(2**19)
    for _ in range(2):
        numbers = np.fft.irfft(np.fft.rfft(numbers))
        np.sort(numbers)
