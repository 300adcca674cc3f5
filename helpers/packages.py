"""What has to be installed, and how to install it without moving what is there already."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

SATISFIED_BY = {"dlib-bin": "dlib", "opencv-python-headless": "cv2"}
"""Distributions that are other builds of a module: whoever has the module does not need them."""


def missing_packages(requirements: Path) -> list[str]:
    """Returns the lines of a requirements file whose distribution is not installed.

    A distribution in another version than asked for is not missing: on Colab nothing that is
    preinstalled may move.

    Args:
        requirements: A file of lines such as `librosa>=0.11,<1`; comments and markers are
            understood.

    Returns:
        The lines, without comments.

    Raises:
        ValueError: A line cannot be read; names it.
    """
    return [line for line, name in _wanted(requirements) if not _present(name)]


def install_missing(requirements: Path) -> list[str]:
    """Installs what is missing, under constraints that hold everything else where it is.

    pip's output is shown as it comes.

    Args:
        requirements: See `missing_packages`.

    Returns:
        The lines that were installed; empty when there was nothing to do.

    Raises:
        RuntimeError: pip failed, or something is missing after it ended well.
    """
    lines = missing_packages(requirements)
    if not lines:
        return []
    before = installed()
    print(f"Installing {', '.join(lines)}. What is installed already stays as it is.")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={before[name]}\n" for name in sorted(before)))
        command = [sys.executable, "-m", "pip", "install", "-c", str(constraints), *lines]
        # A notebook shows what Python prints, not what a child process writes.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip:
            said = []
            for line in pip.stdout:
                print(line, end="", flush=True)
                said.append(line.strip())
    importlib.invalidate_caches()
    if pip.returncode:
        last = next((line for line in reversed(said) if line), "no message")
        raise RuntimeError(f"pip could not install {', '.join(lines)}. It ended with: {last}")
    left = missing_packages(requirements)
    if left:
        raise RuntimeError(f"pip ended well, but still missing: {', '.join(left)}.")
    return lines


def installed() -> dict[str, str]:
    """Returns the version of every installed distribution by its normalised name."""
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        try:
            # The first one found is the one that is imported.
            versions.setdefault(canonicalize_name(name), str(Version(version)))
        except (InvalidVersion, TypeError):
            continue  # A broken leftover; pip would refuse the whole constraints file for it.
    return versions


def _wanted(requirements: Path) -> list[tuple[str, str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    wanted = []
    lines = Path(requirements).read_text(encoding="utf-8").splitlines()
    for number, text in enumerate(lines, 1):
        line = text.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ValueError(f"{requirements}, line {number}: {line!r} cannot be read.") from error
        if requirement.marker is None or requirement.marker.evaluate():
            wanted.append((line, requirement.name))
    return wanted


def _present(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        module = SATISFIED_BY.get(name.lower().replace("_", "-"))
        return module is not None and importlib.util.find_spec(module) is not None
    return True
