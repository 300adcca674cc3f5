"""Fixtures that several tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def real_media() -> Path:
    """Folder with real clips and voices that nobody here made: `clips/` and `voices/`."""
    folder = (ROOT / "../shared/real_media").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real media: {folder} is not there")
    return folder


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
