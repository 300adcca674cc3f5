"""Notebook 01 on a server that misbehaves in every way: no wrong clip, and the right reason.

By default a few rows of each fault. `FAULTY_ROWS=1000 pytest -s tests/test_faulty_server.py`
is the proof in full; it prints its figures. `FAULTY_ROWS=250:500` takes a part of it.
"""

from __future__ import annotations

import collections
import os
import threading
import time
import types

import fault_server
import psutil
import pytest
from range_server import range_server

from helpers import download
from helpers.downloading import video_pages, web
from helpers.manifests import Manifest
from helpers.settings import Settings
from helpers.tables import Workspace

FIRST, END = ([0] + [int(n) for n in os.environ.get("FAULTY_ROWS", "60").split(":")])[-2:]
HASTY = web.Limits(stall_s=2.0, total_s=60.0, waits_s=(0.01, 0.01))
LOCAL = Settings.make(allow_private_addresses=True, verbosity="quiet")


class Memory(threading.Thread):
    """Notes the memory of this process, in MB, as time goes by."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.noted: list[float] = []
        self._end = threading.Event()

    def run(self) -> None:
        self._note()
        while not self._end.wait(0.2):
            self._note()

    def _note(self) -> None:
        self.noted.append(psutil.Process().memory_info().rss / 2**20)

    def stop(self) -> tuple[float, float]:
        """Returns the peak of the second fifth of the time, and that of the last one."""
        self._end.set()
        self.join()
        self._note()
        fifth = max(1, len(self.noted) // 5)
        return max(self.noted[fifth : 2 * fifth]), max(self.noted[-fifth:])


@pytest.fixture(scope="module")
def server():
    with range_server() as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "LIMITS", HASTY)
        patch.setitem(video_pages.PACES, "page", video_pages.Pace((0.0, 0.0), 0.0))
        fault_server.lay_out(running)
        yield running


def outcomes(server, folder) -> tuple[list, dict[str, dict], tuple[float, float]]:
    """Makes the table `clips` of faulty rows; those that would stop it are made one by one."""
    dealt = fault_server.faulty_rows(server, END)[FIRST:]
    blocked = [row for row, fault in dealt if fault_server.FAULTS[fault][2] == "blocked"]
    manifest = Manifest(tuple(row for row, _ in dealt if row not in blocked))
    workspace = Workspace(folder, LOCAL).use(manifest)
    memory = Memory()
    memory.start()
    download.build_clips(types.SimpleNamespace(workspace=workspace, manifest=manifest))
    peaks = memory.stop()
    clips = {clip["clip_id"]: clip for clip in workspace.require("clips").rows()}
    clips |= {row.clip_id: download.download(row, LOCAL) for row in blocked}
    return dealt, clips, peaks


def test_no_wrong_clip_is_accepted_and_every_failure_has_its_class(server, tmp_path):
    started = time.monotonic()
    dealt, clips, (early, late) = outcomes(server, tmp_path)
    wrong = [
        text for row, fault in dealt for text in fault_server.judge(row, fault, clips[row.clip_id])
    ]
    seconds = time.monotonic() - started
    counts = collections.Counter(clip["status"] for clip in clips.values())
    print(
        f"\n{len(dealt)} rows, {len(fault_server.FAULTS)} faults, {seconds:.0f} s: "
        f"{dict(counts)}, {len(wrong)} wrong; memory {early:.0f} MB early, {late:.0f} MB late"
    )
    assert wrong == []
    broken_off = {row.locator for row, fault in dealt if "dropped once" in fault}
    went_on = {server.url(path[1:]) for path, asked in server.requests if asked == "bytes=9000-"}
    assert broken_off <= went_on, "a fault that nobody noticed was none"
    if END - FIRST >= 200:  # Fewer rows are over before the libraries are all loaded.
        assert late < 1.1 * early


def test_content_is_really_compared(server):
    right = fault_server.faulty_rows(server, 1)[0][0]
    clip = download.download(right, LOCAL)
    assert fault_server.judge(right, "file", clip) == []
    for changes in ({"start_s": 0.4, "end_s": 3.4}, {"speaker_id": "video-3"}, {"end_s": 3.6}):
        wrong = types.SimpleNamespace(**{**vars_of(right), **changes})
        assert fault_server.judge(wrong, "file", clip)


def vars_of(row) -> dict[str, object]:
    return {name: getattr(row, name) for name in ("speaker_id", "start_s", "end_s", "locator")}
