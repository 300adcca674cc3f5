"""`python -m helpers manifest check FILE` and `python -m helpers manifest build CORPUS`."""

from __future__ import annotations

import argparse
import collections
import contextlib
import csv
import re
import sys
from pathlib import Path

from helpers import manifests
from helpers.corpora import avspeech, exclusions
from helpers.corpora.choosing import Choice
from helpers.corpora.rows import SPLITS, ManifestError, Row
from helpers.session import default_workspace
from helpers.settings import Settings

_SHOWN_PROBLEMS = 1000
_BUILD_FIELDS = (
    "videos",
    "manifest",
    "corpus_at",
    "mode",
    "rows",
    "row_range",
    "clip_seconds",
    "workspace",
    "accept_youtube_terms",
    "allow_private_addresses",
)


def add_to(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Adds the command to those of `python -m helpers`.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.

    Returns:
        The parser of `manifest`.
    """
    manifest = commands.add_parser("manifest", help="check a manifest, or build that of a corpus")
    verbs = manifest.add_subparsers(dest="verb", required=True, metavar="check|build")
    check = verbs.add_parser("check", help="name what is wrong, with row numbers")
    check.add_argument("file", metavar="FILE", help="a manifest, or AVSpeech's own CSV")
    check.add_argument("--allow-private-addresses", action="store_true")
    build = verbs.add_parser("build", help="write the rows of a corpus as CSV")
    build.add_argument("corpus", metavar="CORPUS", help="crema_d, ravdess, grid, avspeech, ...")
    build.add_argument("--out", type=Path, metavar="FILE", help="file to write; else it is printed")
    for name in ("videos", "manifest", "corpus-at", "mode", "row-range", "workspace"):
        build.add_argument(f"--{name}")
    build.add_argument("--rows", type=int)
    build.add_argument("--clip-seconds", type=float)
    for name in ("accept-youtube-terms", "allow-private-addresses"):
        build.add_argument(f"--{name}", action="store_true", default=None)
    return manifest


def run(options: argparse.Namespace, command: argparse.ArgumentParser) -> int:
    """Checks or builds a manifest.

    Args:
        options: The parsed command line.
        command: Its parser, which refuses wrong settings.

    Returns:
        The exit code: 1 if something is wrong with the manifest.
    """
    if options.verb == "check":
        return _check(Path(options.file), options.allow_private_addresses)
    given = {name: getattr(options, name) for name in ("corpus", *_BUILD_FIELDS)}
    try:
        settings = Settings.make(**{n: value for n, value in given.items() if value is not None})
    except ValueError as error:
        command.error(str(error))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # The rows alone go out, to be piped.
            manifest = manifests.load(settings)
        if options.out is None:
            sys.stdout.reconfigure(errors="surrogateescape")  # as `write_csv` does
            manifests.write_rows(manifest.rows, sys.stdout)
        else:
            manifests.write_csv(manifest, options.out)
    except (ValueError, OSError) as error:  # also a name that the terminal cannot show
        print(error, file=sys.stderr)
        return 1
    print(summary(manifest.rows, len(manifest.left_out)), file=sys.stderr)
    return 0


def _check(file: Path, private: bool) -> int:
    try:
        rows = check(file, private)
        left_out = exclusions.without(rows, exclusions.read(default_workspace()))[1]
    except ManifestError as error:
        print(error)
        return 1
    print(f"{file.name} is in order: {summary(rows, len(left_out))}")
    return 0


def check(file: Path, private: bool = False) -> list[Row]:
    """Reads a manifest, or AVSpeech's own CSV, and checks all of it.

    Args:
        file: The file.
        private: Whether rows may lead to this machine and its own network.

    Returns:
        The rows.

    Raises:
        ManifestError: Names row, column and cause of each problem, up to a thousand.
    """
    if _is_avspeech(file):
        settings = Settings.make(
            corpus="avspeech", manifest=str(file), accept_youtube_terms=True
        )  # Nothing is fetched here.
        return avspeech.rows(settings, Choice(most=sys.maxsize), _SHOWN_PROBLEMS)
    return list(manifests.read_csv(file, private=private, shown=_SHOWN_PROBLEMS).rows)


def summary(rows: list[Row] | tuple[Row, ...], left_out: int) -> str:
    """Says in one line how many rows and speakers there are.

    Args:
        rows: Rows of a manifest.
        left_out: How many rows the list of exclusions leaves out.
    """
    people = collections.Counter({row.speaker_id: row.split for row in rows}.values())
    splits = ", ".join(f"{people[split]:,} in {split}" for split in SPLITS)
    text = f"{len(rows):,} rows of {people.total():,} speakers ({splits})"
    return f"{text}; {left_out:,} rows are left out by {exclusions.FILE}."


def _is_avspeech(file: Path) -> bool:
    """Five values without a line of names, the first of them a YouTube id."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            values = next(csv.reader(opened), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return len(values) == 5 and bool(re.fullmatch(r"[\w-]{11}", values[0].strip(), re.ASCII))
