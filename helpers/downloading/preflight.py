"""Before a long download: will YouTube work here, and what to choose if not."""

from __future__ import annotations

import dataclasses
import datetime
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.downloading.addresses import Refusal
from helpers.settings import Settings

if TYPE_CHECKING:
    from helpers.manifests import Manifest

PROBE = "https://www.youtube.com/generate_204"
"""An address of YouTube that answers with nothing: the cheapest question there is."""
_PATIENCE_S = 5.0
_OLD_DAYS = 60
_INSTEAD = (
    'Choose CORPUS = "crema_d" (real people, no account) or "archipelago" (no network) instead.'
)


@dataclasses.dataclass(frozen=True)
class Readiness:
    """Whether something will work here.

    Attributes:
        ready: Whether to go on.
        sentence: Why, or why not and what to do.
    """

    ready: bool
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def youtube(settings: Settings, manifest: Manifest | None = None) -> Readiness:
    """Says whether YouTube will work here. Never raises, and takes seconds at most.

    Args:
        settings: `accept_youtube_terms`, `cookies` and `dask` matter.
        manifest: Where none of its rows comes from YouTube, nothing is checked.

    Returns:
        The answer, in one sentence or two.
    """
    if manifest is not None and not any(row.source == "youtube" for row in manifest.rows):
        return Readiness(True, "No row of this corpus comes from YouTube, so nothing was checked.")
    answer = allowed(settings)
    if not answer.ready:
        return answer
    missing = _missing_tool()
    if missing:
        return _no(missing)
    trouble = _unreachable()
    if trouble:
        return _no(trouble)
    notes = [note for note in (_runtime_note(), _age_note()) if note]
    if notes:
        return Readiness(True, f"YouTube answers, but it may refuse videos: {'; '.join(notes)}.")
    return Readiness(
        True,
        "YouTube answers and the tools are there. Whether it takes this machine for a robot shows "
        "with the first clip; the batch would stop at once.",
    )


def allowed(settings: Settings) -> Readiness:
    """Says whether the settings are such that YouTube may be asked at all.

    Args:
        settings: `accept_youtube_terms`, `cookies` and `dask` matter.
    """
    if not settings.accept_youtube_terms:
        return _no(
            "ACCEPT_YOUTUBE_TERMS is False. Read YouTube's terms of service: they allow downloads "
            "only where YouTube or the law does. If yours is such a case, set "
            "ACCEPT_YOUTUBE_TERMS = True"
        )
    if settings.cookies and settings.dask:
        return _no(
            "COOKIES names a file of this machine, which the workers of DASK do not have; leave "
            "one of the two empty"
        )
    if settings.cookies and not Path(settings.cookies).expanduser().is_file():
        return _no("the file that COOKIES names is not there")
    return Readiness(True, "The settings allow it.")


def _no(reason: str) -> Readiness:
    return Readiness(False, f"YouTube will not work here: {reason}. {_INSTEAD}")


def _missing_tool() -> str:
    from helpers.downloading.video_pages import ffmpeg_path

    try:
        import yt_dlp  # noqa: F401

        ffmpeg_path()
    except ImportError as error:
        return f"the package {(error.name or 'yt_dlp').replace('_', '-')} is not installed"
    except Refusal:
        return "there is no ffmpeg for this machine"
    return ""


def _unreachable() -> str:
    """Says why YouTube cannot be reached; empty where it can."""
    try:
        with urllib.request.urlopen(PROBE, timeout=_PATIENCE_S):
            return ""
    except urllib.error.HTTPError as error:
        if error.code == 429:
            return "it wants no more requests from this address (429); wait some hours"
        return f"it refuses this address ({error.code})"
    except (OSError, ValueError):
        return "there is no connection to it"


def _runtime_note() -> str:
    """Says what is missing to solve YouTube's JavaScript puzzles; empty if nothing."""
    import importlib.util

    from yt_dlp import YoutubeDL

    from helpers.downloading.video_pages import RUNTIMES

    if importlib.util.find_spec("yt_dlp_ejs") is None:
        return "the package yt-dlp-ejs is missing"
    with YoutubeDL({"quiet": True, "js_runtimes": {name: {} for name in RUNTIMES}}) as downloader:
        found = [runtime.info for runtime in downloader._js_runtimes.values() if runtime]
    if any(info and info.supported for info in found):
        return ""
    return "there is no JavaScript runtime that yt-dlp can use (`%pip install deno` brings one)"


def _age_note() -> str:
    from yt_dlp.version import __version__

    released = datetime.date(*(int(part) for part in __version__.split(".")[:3]))
    days = (datetime.datetime.now(datetime.UTC).date() - released).days
    if days <= _OLD_DAYS:
        return ""
    return f"yt-dlp is {days} days old (`%pip install -U yt-dlp yt-dlp-ejs` brings a newer one)"
