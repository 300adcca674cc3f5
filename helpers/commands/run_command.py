"""`python -m helpers run`: the notebooks in order, with the settings of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from helpers.settings import Settings

FIELDS = (
    "corpus",
    "videos",
    "manifest",
    "corpus_at",
    "accept_youtube_terms",
    "allow_private_addresses",
    "cookies",
    "mode",
    "seed",
    "workspace",
    "rows",
    "row_range",
    "clip_seconds",
    "clip_rate",
    "keep_clips",
    "detector",
    "frames_per_clip",
    "window",
    "hop",
    "fft_points",
    "power",
    "features",
    "network",
    "weights",
    "dask",
    "tables_at",
    "verbosity",
    "patience",
)
"""Settings that `run` takes from the command line."""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Adds the command to those of `python -m helpers`.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    run = commands.add_parser("run", help="execute the notebooks in order")
    run.add_argument("--corpus", help="archipelago (default), my_videos, crema_d, ravdess, ...")
    run.add_argument("--videos", metavar="DIR", help="folder of your videos")
    run.add_argument("--manifest", metavar="CSV", help="manifest, for instance AVSpeech's own")
    run.add_argument("--corpus-at", metavar="ADDRESS", help="where a published corpus lies instead")
    run.add_argument("--accept-youtube-terms", action="store_true", default=None)
    run.add_argument(
        "--allow-private-addresses",
        action="store_true",
        default=None,
        help="rows may lead to this machine and its network",
    )
    run.add_argument("--cookies", metavar="FILE", help="cookies for YouTube")
    run.add_argument("--mode", help="quick (default) or full")
    run.add_argument("--seed", type=int, help="seed of everything random")
    run.add_argument("--workspace", metavar="DIR", help="folder of tables and checkpoints")
    run.add_argument("--rows", type=int, help="at most so many rows of the manifest")
    run.add_argument("--row-range", metavar="1-500", help="which rows of the manifest")
    run.add_argument("--clip-seconds", type=float, metavar="S", help="longest clip (default 20)")
    run.add_argument("--clip-rate", type=int, metavar="N", help="frames per second of a clip")
    run.add_argument(
        "--drop-clips",
        dest="keep_clips",
        action="store_false",
        default=None,
        help="delete the clips once faces and speech are made",
    )
    run.add_argument("--detector", help="mtcnn (default) or hog")
    run.add_argument("--frames-per-clip", type=int, help="frames to look at in each clip")
    run.add_argument("--window", type=int, metavar="SAMPLES", help="of the spectrogram")
    run.add_argument("--hop", type=int, metavar="SAMPLES", help="from one window to the next")
    run.add_argument("--fft-points", type=int, metavar="N", help="of the spectrogram")
    run.add_argument("--power", type=float, metavar="P", help="exponent of the power law")
    run.add_argument("--network", help="compact (default) or paper")
    run.add_argument("--weights", help="released (default) or trained, for 06 and 07")
    run.add_argument(
        "--patience", type=int, metavar="N", help="epochs that may bring nothing better"
    )
    run.add_argument("--dask", metavar="tcp://...", help="Dask scheduler for 01 to 03")
    run.add_argument("--tables-at", metavar="s3://...", help="folder of the tables for all workers")
    run.add_argument("--verbosity", help="quiet, normal (default) or verbose")
    run.add_argument("--features", help="dlib (default), vggface, resnet50 or senet50")
    run.add_argument("--only", metavar="03,04", help="numbers of the notebooks to execute")


def run(options: argparse.Namespace, command: argparse.ArgumentParser) -> int:
    """Executes the notebooks.

    Args:
        options: The parsed command line.
        command: Its parser, which refuses wrong settings.

    Returns:
        The exit code: 1 if a notebook failed.
    """
    values = {name: getattr(options, name) for name in FIELDS}
    values = {name: value for name, value in values.items() if value is not None}
    belongs = {"videos": ("my_videos",), "manifest": ("manifest", "avspeech")}
    for name, corpora in belongs.items():
        if values.get(name) and values.get("corpus", corpora[0]) not in corpora:
            command.error(
                f"--{name} belongs to --corpus {' or '.join(corpora)}, not to {values['corpus']}"
            )
    if values.get("videos") and values.get("manifest"):
        command.error("--videos and --manifest are two corpora; take one of them")
    if "videos" in values or "manifest" in values:
        values.setdefault("corpus", "my_videos" if "videos" in values else "manifest")
    for name in ("videos", "manifest", "workspace", "cookies", "tables_at"):
        if values.get(name) and "://" not in values[name]:  # the notebooks run in another folder
            values[name] = str(Path(values[name]).expanduser().resolve())
    try:
        # Said here, and not by notebook 06 when all the others are through.
        settings = Settings.make(**{"weights": "released", "network": "compact", **values})
    except ValueError as error:
        command.error(str(error))
    if "videos" in values and not Path(values["videos"]).is_dir():
        command.error(f"there is no folder {values['videos']}")
    file = values.get("manifest", "")
    if file and "://" not in file and not Path(file).is_file():
        command.error(f"there is no file {values['manifest']}")

    from helpers import manifests

    if settings.corpus != "archipelago":
        try:
            manifests.load(settings)
        except manifests.ManifestError as error:
            command.error(str(error))

    from helpers.commands import runs

    only = _chosen(options.only, runs.NOTEBOOKS, command) if options.only else ()
    out, reports = runs.run(values, only)
    print(f"\nOpen {out / 'index.html'}")
    return 0 if all(report.status == "ok" for report in reports) else 1


def _chosen(text: str, names: Sequence[str], command: argparse.ArgumentParser) -> list[str]:
    chosen = []
    for part in text.split(","):
        found = [name for name in names if part.strip() in (name, name[:2], name[1:2])]
        if not found:
            valid = ", ".join(name[:2] for name in names)
            command.error(f"there is no notebook {part.strip()!r}; the valid ones are {valid}")
        chosen += found
    return chosen
