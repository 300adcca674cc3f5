"""Stand-in for google.colab.files: the files named in COLAB_STUB_UPLOAD are what the user chose."""

import os
from pathlib import Path

downloaded: list[str] = []


def upload(target_dir=""):
    chosen = [
        Path(name) for name in os.environ.get("COLAB_STUB_UPLOAD", "").split(os.pathsep) if name
    ]
    return {path.name: path.read_bytes() for path in chosen}


def upload_file(filename, target_dir=""):
    return next(iter(upload(target_dir).values()))


def download(filename):
    downloaded.append(filename)
