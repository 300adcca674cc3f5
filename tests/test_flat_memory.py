"""02 and 03 need no more memory for many clips than for few.

A few clips by default; the whole proof is

    SPEECH2FACE_CLIPS=100,1000 python -m pytest tests/test_flat_memory.py -s
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT, FakeManifest

SIZES = tuple(int(size) for size in os.environ.get("SPEECH2FACE_CLIPS", "16,48").split(","))
SHARD = 64 if SIZES[0] >= 64 else 8
MOST_GROWTH = 1.10


def measure(folder: Path, videos: Path, clips: int) -> dict[str, float]:
    """Makes `faces` and `speech` of so many clips; returns memory at its peak and the rate."""
    from helpers import download, face_crop, media, session, spectrogram, tables
    from helpers.settings import Settings
    from helpers.tables import Workspace

    tables.SHARD_CLIPS = SHARD
    files = sorted(videos.glob("*.mp4"))
    known = {file: media.probe(file) for file in files}

    def rows_of(keys: list[str]) -> list[dict]:
        rows = []
        for key in keys:
            file = files[int(key) % len(files)]
            row = dict.fromkeys(download.SCHEMA.names)
            row |= {"clip_id": key, "speaker_id": file.stem, "split": "train", "status": "ok"}
            row |= {"reason": "", "video": file.read_bytes()}
            rows.append({**row, "duration_s": known[file].duration_s})
        return rows

    settings = Settings.make(frames_per_clip=1, verbosity="quiet")
    workspace = Workspace(folder, settings).use(FakeManifest())
    running = SimpleNamespace(settings=settings, workspace=workspace)
    keys = [f"{number:05d}" for number in range(clips)]
    workspace.table("clips").build(keys, rows_of, download.SCHEMA)
    faces, speech = face_crop.build_faces(running), spectrogram.build_speech(running)
    return {
        "clips": clips,
        "peak_mb": round(session.peak_rss_mb(), 1),
        "clips_per_second": round(clips / (faces.seconds + speech.seconds), 2),
    }


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    from helpers.archipelago import clips

    for number in range(4):
        (tmp_path / f"{number}.mp4").write_bytes(clips.render(f"{number}/0"))
    found = []
    for size in SIZES:
        command = [sys.executable, __file__, str(tmp_path / str(size)), str(tmp_path), str(size)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1])
    assert found[-1]["peak_mb"] < MOST_GROWTH * found[0]["peak_mb"], found


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
