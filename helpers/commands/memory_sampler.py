"""How much memory the processes take that this one starts, while it waits for them."""

from __future__ import annotations

import contextlib
import threading

import psutil


class MemorySampler(threading.Thread):
    """Follows the resident memory of what this process starts from now on, until it is stopped.

    Children that were there before, such as a server, and their own children do not count.
    """

    def __init__(self, every: float = 0.2) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0
        self._every = every
        self._stopped = threading.Event()
        self._earlier = psutil.Process().children()

    def run(self) -> None:
        """Samples until `stop` is called."""
        while not self._stopped.wait(self._every):
            self.peak_mb = max(self.peak_mb, self._now_mb())

    def stop(self) -> int:
        """Ends the thread and returns the largest sum seen, in MB."""
        self._stopped.set()
        self.join()
        return self.peak_mb

    def _now_mb(self) -> int:
        total = 0
        for child in psutil.Process().children():
            if child in self._earlier:
                continue
            for process in (child, *_descendants(child)):
                with contextlib.suppress(psutil.Error):  # It ended while we looked.
                    total += process.memory_info().rss
        return round(total / 2**20)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []
