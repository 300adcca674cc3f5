"""Killed at any moment, by `kill -9`: the tables come out as if nothing had happened.

Three kills by default; the whole proof is

    SPEECH2FACE_KILLS=50 python -m pytest tests/test_faults.py -s
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
from conftest import ROOT

KILLS = int(os.environ.get("SPEECH2FACE_KILLS", "3"))
CLIPS = 12
SHARD = 2
PIECE_S = 1.2
"""Clips are short here: what is proved does not depend on it, and a kill costs less."""
STAGES = ("clips", "faces", "speech")


def manifest_of(folder: Path) -> Path:
    """Writes a manifest of pieces of three talking islanders."""
    from helpers.archipelago import clips

    lines = ["clip_id,corpus,source,locator,start_s,end_s,face_x,face_y,speaker_id,split"]
    for number in range(CLIPS):
        video = folder / f"islander-{number % 3}.mp4"
        if not video.exists():
            video.write_bytes(clips.render(f"{number % 3}/0"))
        start = PIECE_S * (number // 3)
        lines.append(
            f"clip-{number:02d},faults,file,{video},{start:.1f},{start + PIECE_S:.1f},"
            f",,islander-{number % 3},train"
        )
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def settings_of(folder: Path):
    """Settings of a run in a folder, whose manifest lies beside it."""
    from helpers.settings import Settings

    return Settings.make(
        corpus="manifest",
        manifest=str(folder.parent / "manifest.csv"),
        detector="hog",
        frames_per_clip=1,
        verbosity="quiet",
    )


def stages(folder: Path, log: Path) -> None:
    """Runs 01 to 03 in this process and notes each shard that it begins with."""
    from helpers import download, face_crop, manifests, spectrogram, tables
    from helpers.settings import Settings
    from helpers.tables import Workspace

    tables.SHARD_CLIPS = SHARD
    settings = settings_of(folder)
    manifest = manifests.load(settings)
    workspace = Workspace(folder, settings).use(manifest)

    @dataclasses.dataclass
    class Session:
        settings: Settings
        workspace: Workspace
        manifest: manifests.Manifest

    running = Session(settings, workspace, manifest)
    for room, name in (
        (download, "clips_of_shard"),
        (face_crop, "faces_of_shard"),
        (spectrogram, "speech_of_shard"),
    ):
        make = getattr(room, name)
        # A second run in this process has wrapped the function already.
        if not hasattr(make, "noted"):
            setattr(room, name, _noted(make, log))
    download.build_clips(running)
    face_crop.build_faces(running)
    spectrogram.build_speech(running)


def _noted(make, log):
    def noted(rows, settings):
        with log.open("a") as file:
            file.write(f"{make.__name__} {rows[0]['clip_id']}\n")
        return make(rows, settings)

    noted.noted = True
    return noted


def tables_of(folder: Path) -> dict[str, list[dict]]:
    """Reads the tables of a folder: every column of every row."""
    from helpers import manifests
    from helpers.tables import Workspace

    settings = settings_of(folder)
    workspace = Workspace(folder, settings).use(manifests.load(settings))
    return {name: list(workspace.require(name).rows()) for name in STAGES}


def in_a_fork(folder: Path, log: Path, killed_after: float | None) -> tuple[bool, float]:
    """Runs the stages in a child, which costs no imports; tells whether it came to its end."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                stages(folder, log)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    while killed_after is None or time.monotonic() - started < killed_after:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0, "the run itself failed"
            return True, time.monotonic() - started
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, time.monotonic() - started


def begun(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def prove(folder: Path) -> str:
    """Kills runs at random moments until there were enough, and compares. Returns the figures."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # One core: no processes besides.
    import helpers.download
    import helpers.face_crop
    import helpers.spectrogram  # noqa: F401
    from helpers import media  # noqa: F401

    manifest_of(folder)
    whole_log = folder / "whole.txt"
    _, seconds = in_a_fork(folder / "whole", whole_log, None)
    expected, shards = tables_of(folder / "whole"), len(begun(whole_log))
    assert shards == len(STAGES) * CLIPS // SHARD

    chance, kills, runs, costs = random.Random(1), 0, 0, []
    while kills < KILLS:
        place, log = folder / f"run-{runs}", folder / f"run-{runs}.txt"
        runs += 1
        ended = False
        while not ended:
            before = begun(log)
            left = seconds * (1 - len(set(before)) / shards)
            after = chance.uniform(0, max(left, seconds / 10)) if kills < KILLS else None
            ended, _ = in_a_fork(place, log, after)
            kills += not ended
            twice = set(before) & set(begun(log)[len(before) :])
            assert len(twice) <= 1, f"one kill has cost {len(twice)} shards"
        lines = begun(log)
        again = {line: lines.count(line) - 1 for line in set(lines)}
        assert len(again) == shards
        costs.append(sum(again.values()))
        assert tables_of(place) == expected, f"run {runs} differs"
    rows = sum(map(len, expected.values()))
    return (
        f"{kills} kills in {runs} runs of {shards} shards each ({seconds:.1f} s unbroken): all "
        f"{rows} rows equal in every run; {sum(costs)} shards were made twice, at most one a kill"
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins itself to one core")
def test_kill_9_at_random_moments_changes_no_row_and_costs_one_shard_at_most(tmp_path):
    """In a process of its own, which has no threads that a fork would leave behind."""
    # Neither stage needs TensorFlow here: dlib finds the faces, and Keras only has to be there.
    environment = {**os.environ, "KERAS_BACKEND": "numpy", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)


if __name__ == "__main__":
    print(prove(Path(sys.argv[1])))
