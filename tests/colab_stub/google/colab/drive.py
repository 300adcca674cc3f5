"""Stand-in for google.colab.drive: the mount point becomes an ordinary folder."""

from pathlib import Path

mounted: list[str] = []
flushed: list[str] = []


def mount(mountpoint, force_remount=False, timeout_ms=120_000, readonly=False):
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    if mounted and not force_remount:
        print(f"Drive already mounted at {mountpoint}.")
        return
    Path(mountpoint, "MyDrive").mkdir(parents=True, exist_ok=True)
    mounted.append(mountpoint)
    print(f"Mounted at {mountpoint}")


def flush_and_unmount(timeout_ms=24 * 60 * 60 * 1000):
    if not mounted:
        print("Drive not mounted, so nothing to flush and unmount.")
        return
    flushed.append(mounted.pop())
