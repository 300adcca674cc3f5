"""Stand-in for google.colab.drive: the mount point becomes an ordinary folder that can fail.

`break_with` makes files below the mount point fail as they do on a real Drive, underneath whatever
code opens them: Python asks an audit hook before it opens, renames or lists anything.
"""

import os
import sys
from pathlib import Path

mounted: list[str] = []
flushed: list[str] = []
listed: list[str] = []
_WRITING = os.O_WRONLY | os.O_RDWR
_trouble = {"errno": None, "writing_only": False, "after": 0, "only": ""}


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


def break_with(number, writing_only=False, after=0, only=""):
    """Lets every access fail with an error number once `after` accesses went well; None mends.

    Args:
        number: The error.
        writing_only: Reading goes well.
        after: See above.
        only: Files whose name does not end like this are spared.
    """
    _trouble.update(errno=number, writing_only=writing_only, after=after, only=only)


def _watch(event, arguments):
    if not mounted or event not in ("open", "os.rename", "os.listdir", "os.scandir"):
        return
    path = arguments[0]
    if not isinstance(path, (str, os.PathLike)) or not str(path).startswith(mounted[-1]):
        return
    if event in ("os.listdir", "os.scandir"):
        listed.append(str(path))
    writing = event == "os.rename" or bool(event == "open" and arguments[2] & _WRITING)
    if _trouble["errno"] is None or (_trouble["writing_only"] and not writing):
        return
    if not str(path).endswith(_trouble["only"]):
        return
    _trouble["after"] -= 1
    if _trouble["after"] < 0:
        raise OSError(_trouble["errno"], os.strerror(_trouble["errno"]), str(path))


sys.addaudithook(_watch)
