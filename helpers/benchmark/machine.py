"""What machine this is: facts that belong beside every measurement, and the memory that is free."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil

from helpers import session

_PACKAGES = ("tensorflow", "keras", "numpy")
_LIMITS = Path("/sys/fs/cgroup")


def facts() -> dict[str, object]:
    """Returns what the measurements were made on, ready for JSON.

    Returns:
        `processor` (name), `cores` (that this process may use), `memory_mb`, `gpu` (name, or
        empty), `system`, `python`, `packages` (name -> version), `backend` (of Keras) and `date`.
    """
    device = session.device()
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_mb": round(_memory_mb()[0]),
        "gpu": device.removeprefix("GPU ") if device != "CPU" else "",
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "date": datetime.date.today().isoformat(),
    }


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Returns the name of the processor, as the system gives it."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        named = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return named or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine()


def free_memory_mb() -> float:
    """Returns how much memory a new process can have, in MB (2**20 bytes).

    A container may be allowed less than its machine has.
    """
    return _memory_mb()[1]


def _memory_mb() -> tuple[float, float]:
    """All memory and the free one."""
    system = psutil.virtual_memory()
    total, free = float(system.total), float(system.available)
    try:
        limit = float((_LIMITS / "memory.max").read_text())
        used = float((_LIMITS / "memory.current").read_text())
        counts = dict(line.split() for line in (_LIMITS / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # No container, an older kind of one, or one without a limit.
        return total / 2**20, free / 2**20
    # Files that the system keeps at hand count as used, but it gives them up when asked.
    used -= float(counts.get("inactive_file", 0))
    return min(total, limit) / 2**20, max(0.0, min(free, limit - used)) / 2**20


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
