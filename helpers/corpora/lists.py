"""The published lists that rows are made from: fetched once, then kept in the workspace."""

from __future__ import annotations

import datetime
import hashlib
import os
from pathlib import Path

from helpers.corpora.rows import ManifestError
from helpers.downloading import web
from helpers.session import default_workspace
from helpers.settings import Settings
from helpers.storage.stages import LISTS

LARGEST_LIST = 400_000_000
"""A list with more bytes is refused; AVSpeech's has 128 million."""


def kept(address: str, settings: Settings) -> Path:
    """Returns where in the workspace that belongs what comes from an address.

    Args:
        address: Of a list or archive.
        settings: `workspace` matters.
    """
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return default_workspace(settings.workspace) / LISTS / name


def fetched(address: str, settings: Settings, size: int = LARGEST_LIST) -> Path:
    """Fetches a list, unless it has been fetched before; then it says when.

    A list that stays the same makes the same tables. Whoever wants one that somebody has been
    taken off since has to know that it is an old one.

    Args:
        address: Of the list.
        settings: `workspace` and `allow_private_addresses` matter.
        size: Largest list accepted, in bytes.

    Returns:
        The file with its content.

    Raises:
        ManifestError: It cannot be had; says why and what to do.
    """
    path = kept(address, settings)
    if path.is_file():
        day = datetime.date.fromtimestamp(path.stat().st_mtime)
        print(f"{address[:200]} is kept from {day}: delete {path} to ask for it again.")
        return path
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        limits = web.Limits(size=size, private=settings.allow_private_addresses)
        web.fetch(address, part, limits, what="list")
        part.replace(path)
    except web.Refusal as refusal:
        raise unreachable(address, refusal) from refusal
    except OSError as error:
        raise ManifestError(f"The list cannot be written to {path.parent}: {error}.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def unreachable(address: str, refusal: web.Refusal) -> ManifestError:
    """Returns the error that says that a list cannot be had, and what to do.

    Args:
        address: Of the list.
        refusal: What went wrong.
    """
    return ManifestError(
        f"The list of this corpus at {address[:200]} cannot be had. {refusal.reason} Try again "
        "later, or take another corpus: 'archipelago' needs no network."
    )


def base(settings: Settings, published: str) -> str:
    """Returns where a corpus lies: `corpus_at`, or else the published address.

    Args:
        settings: `corpus_at` matters.
        published: The address that the recipe names.

    Raises:
        ManifestError: `corpus_at` is no address.
    """
    chosen = settings.corpus_at or published
    if not chosen.startswith(("https://", "http://")):
        raise ManifestError(f"corpus_at={chosen!r} should be an address such as {published!r}.")
    return chosen.rstrip("/")
