"""`python -m helpers pictures`: the pictures of the README, taken from a run."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from helpers.session import HOME

FOLDER = HOME / "notebooks" / "pictures"
PICTURES = {
    "06_demo-look-several.png": "voices_to_faces.png",
    "03_spectrogram-look-correlation.png": "correlation.png",
    "07_evaluation-look-matched.png": "matched.png",
}
"""Picture of a run -> picture of the README."""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Adds the command to those of `python -m helpers`.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    pictures = commands.add_parser("pictures", help="take the README's pictures from a run")
    latest = HOME / "runs" / "latest"
    pictures.add_argument("--from", dest="run", type=Path, default=latest, metavar="RUN")
    pictures.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")


def run(options: argparse.Namespace, command: argparse.ArgumentParser) -> int:
    """Takes the pictures and names them.

    Args:
        options: The parsed command line.
        command: Its parser, which refuses a run that will not do.

    Returns:
        The exit code.
    """
    try:
        for file in take(options.run, options.out):
            print(file)
    except ValueError as error:
        command.error(str(error))
    return 0


def take(run: Path, out: Path) -> list[Path]:
    """Copies the README's pictures out of a run of the embedded corpus.

    Pictures of other corpora show real people, who were not asked to stand in a README.

    Args:
        run: Folder of a run, such as `runs/latest`.
        out: Where the pictures go; made when it is not there.

    Returns:
        The files that were written.

    Raises:
        ValueError: There is no such run, it is of another corpus, or a picture is not in it;
            nothing was written.
    """
    summary = run / "summary.json"
    if not summary.is_file():
        raise ValueError(f"there is no run in {run}; make one with: python -m helpers run")
    corpus = json.loads(summary.read_text())["settings"].get("corpus", "archipelago")
    if corpus != "archipelago":
        raise ValueError(
            f"{run} is of the corpus {corpus!r}, and its people stay out of the README; "
            "take a run of 'archipelago'"
        )
    missing = [name for name in PICTURES if not (run / "pictures" / name).is_file()]
    if missing:
        raise ValueError(f"{run} lacks {', '.join(missing)}; execute all seven notebooks")
    out.mkdir(parents=True, exist_ok=True)
    return [
        Path(shutil.copy(run / "pictures" / name, out / target))
        for name, target in PICTURES.items()
    ]
