"""Fixtures that several tests share."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


class UntilTheEnd(threading.Event):
    """An event that is waited for however long it takes: so a test server stalls for good."""

    def wait(self, _timeout: float | None = None) -> bool:
        return super().wait()


@pytest.fixture
def nobody() -> Iterator[str]:
    """Host and port at which nobody answers, and nobody else can while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield "{}:{}".format(*taken.getsockname())


@pytest.fixture(autouse=True)
def same_chance_in_every_run() -> None:
    """Seeds what draws without a seed of its own, such as the first weights of a bare layer."""
    random.seed(0)
    np.random.seed(0)
    # Worker processes that import a test import this file; most of them do without Keras.
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def real_media() -> Path:
    """Folder with real clips and voices that nobody here made: `clips/` and `voices/`."""
    folder = (ROOT / "../shared/real_media").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real media: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def keras2(tmp_path_factory) -> Path:
    """Folder with weights of narrow VGG-Face networks that the real Keras 2 has written."""
    folder = tmp_path_factory.mktemp("keras2")
    command = [sys.executable, str(ROOT / "tests" / "keras2_weights.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets keras-vggface build networks as narrow as those in `keras2`; VGG-Face's fc7 is whole."""
    from keras2_weights import SHARE, narrowed

    from helpers.faces import vgg_face
    from helpers.settings import FEATURE_SIZES

    models = vgg_face._package()
    for name in ("Conv2D", "Dense"):
        monkeypatch.setattr(models, name, narrowed(getattr(models, name)))
    for kind in ("resnet50", "senet50"):
        monkeypatch.setitem(FEATURE_SIZES, kind, 2048 // SHARE)


class FakeManifest:
    """Stands for a manifest where only its fingerprint matters."""

    def __init__(self, fingerprint: str = "manifest-1") -> None:
        self.fingerprint = fingerprint


@pytest.fixture
def workspace(tmp_path):
    """An empty workspace with default settings, without Drive, for a manifest of no rows."""
    from helpers.settings import Settings
    from helpers.tables import Workspace

    return Workspace(tmp_path / "workspace", Settings.make()).use(FakeManifest())


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Makes this process take itself to be on Colab, with Drive mounted below tmp_path."""
    import google

    stub = ROOT / "tests/colab_stub/google"
    monkeypatch.setattr(google, "__path__", [str(stub), *google.__path__])
    monkeypatch.setenv("SPEECH2FACE_DRIVE", str(tmp_path / "drive"))
    monkeypatch.delenv("SPEECH2FACE_WORKSPACE", raising=False)
    import google.colab

    yield google.colab
    google.colab.drive.mounted.clear()
    for name in [name for name in sys.modules if name.startswith("google.colab")]:
        del sys.modules[name]
    del google.colab
