"""The commands: `python -m helpers run | reconstruct | evaluate | benchmark | ...`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from helpers import session
from helpers.pretrained.sizes import Sizes
from helpers.settings import FIRST_TEST_ISLANDER, Settings

_FIELDS = (
    "corpus",
    "videos",
    "manifest",
    "mode",
    "seed",
    "workspace",
    "rows",
    "frames_per_clip",
    "features",
)
"""Settings that `run` takes from the command line."""


_NAMES = "run|reconstruct|evaluate|ablate|benchmark|archipelago|pretrain"


class _Parser(argparse.ArgumentParser):
    """Answers a wrong option with one sentence that names the valid ones."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.rstrip('.')}.\n")

    def options(self) -> str:
        """Names the options of this parser."""
        return ", ".join(sorted(name for name in self._option_string_actions if name != "-h"))


def _parser() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(prog="python -m helpers", description="Speech2Face as a notebook series.")
    commands = parser.add_subparsers(dest="command", required=True, metavar=_NAMES)

    run = commands.add_parser("run", help="execute the notebooks in order")
    run.add_argument("--corpus", help="archipelago (default), my_videos or manifest")
    run.add_argument("--videos", metavar="DIR", help="folder of your videos")
    run.add_argument("--manifest", metavar="CSV", help="manifest for --corpus manifest")
    run.add_argument("--mode", help="quick (default) or full")
    run.add_argument("--seed", type=int, help="seed of everything random")
    run.add_argument("--workspace", metavar="DIR", help="folder of tables and checkpoints")
    run.add_argument("--rows", type=int, help="at most so many rows of the manifest")
    run.add_argument("--frames-per-clip", type=int, help="frames to look at in each clip")
    run.add_argument("--features", help="dlib (default), vggface, resnet50 or senet50")
    run.add_argument("--only", metavar="03,04", help="numbers of the notebooks to execute")

    reconstruct = commands.add_parser("reconstruct", help="a face for each voice")
    reconstruct.add_argument("audio", nargs="+", type=Path, metavar="AUDIO")
    reconstruct.add_argument("--out", type=Path, required=True, metavar="DIR")

    evaluate = commands.add_parser("evaluate", help="measure the released weights")
    evaluate.add_argument("--gallery", type=int, default=1000, metavar="N")
    evaluate.add_argument(
        "--first-islander", type=int, default=FIRST_TEST_ISLANDER, metavar="NUMBER"
    )
    evaluate.add_argument(
        "--voices", type=Path, metavar="DIR", help="measure on real voices there, with a CSV"
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    ablate = commands.add_parser("ablate", help="train small networks that differ in one thing")
    ablate.add_argument("--islanders", type=int, default=1200, metavar="N")
    ablate.add_argument("--steps", type=int, default=300, metavar="N")
    ablate.add_argument("--only", metavar="loss,network", help="some of the questions")
    ablate.add_argument("--workspace", default="", metavar="DIR", help="where islanders are kept")
    ablate.add_argument("--json", action="store_true", help="print one JSON object")

    benchmark = commands.add_parser("benchmark", help="measure speed and memory on this machine")
    benchmark.add_argument("--seconds-per-network", type=float, default=120.0, metavar="N")
    benchmark.add_argument("--networks", metavar="NAMES", help="such as compact,published")
    benchmark.add_argument("--only", metavar="PARTS", help="such as networks,retrieval")
    benchmark.add_argument("--islanders", type=int, default=1024, metavar="N", help="to train with")
    benchmark.add_argument("--clips", type=int, default=32, metavar="N", help="for each stage")
    form = benchmark.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    benchmark.add_argument("--readme", type=Path, metavar="FILE", help="put the tables there, too")

    archipelago = commands.add_parser("archipelago", help="write islanders to look at and hear")
    archipelago.add_argument("--islanders", type=_numbers, default=range(12), metavar="0-11")
    archipelago.add_argument("--out", type=Path, metavar="DIR")
    archipelago.add_argument("--measure", action="store_true", help="measure their voices instead")

    pretrain = commands.add_parser("pretrain", help="train the released weights anew")
    for name, value in vars(Sizes()).items():
        option = f"--{name.replace('_', '-')}"
        pretrain.add_argument(option, type=int, default=value, metavar="N")
    pretrain.add_argument("--workspace", default="", metavar="DIR", help="where the work is kept")
    return parser, dict(commands.choices)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Command line without the program's name; the default is the real one.

    Returns:
        The exit code: 0 for success, 1 when the work failed.

    Raises:
        SystemExit: With code 2 for a wrong option or setting, after one sentence about it.
    """
    parser, commands = _parser()
    options, unknown = parser.parse_known_args(arguments)
    command = commands[options.command]
    if unknown:
        command.error(f"unknown option {unknown[0]!r}; the valid ones are {command.options()}")
    return _COMMANDS[options.command](options, command)


def _run(options: argparse.Namespace, command: _Parser) -> int:
    values = {name: getattr(options, name) for name in _FIELDS}
    values = {name: value for name, value in values.items() if value is not None}
    for name, corpus in (("videos", "my_videos"), ("manifest", "manifest")):
        if values.get(name) and values.get("corpus", corpus) != corpus:
            command.error(f"--{name} belongs to --corpus {corpus}, not to {values['corpus']}")
    if values.get("videos") and values.get("manifest"):
        command.error("--videos and --manifest are two corpora; take one of them")
    if "videos" in values or "manifest" in values:
        values.setdefault("corpus", "my_videos" if "videos" in values else "manifest")
    for name in ("videos", "manifest", "workspace"):
        if name in values:  # the notebooks run in another folder
            values[name] = str(Path(values[name]).expanduser().resolve())
    try:
        settings = Settings.make(**values)
    except ValueError as error:
        command.error(str(error))
    if "videos" in values and not Path(values["videos"]).is_dir():
        command.error(f"there is no folder {values['videos']}")
    if "manifest" in values and not Path(values["manifest"]).is_file():
        command.error(f"there is no file {values['manifest']}")

    from helpers import manifests

    if settings.corpus != "archipelago":
        try:
            manifests.load(settings)
        except manifests.ManifestError as error:
            command.error(str(error))

    from helpers import runs

    only = _chosen(options.only, runs.NOTEBOOKS, command) if options.only else ()
    out, reports = runs.run(values, only)
    print(f"\nOpen {out / 'index.html'}")
    return 0 if all(report.status == "ok" for report in reports) else 1


def _chosen(text: str, names: Sequence[str], command: _Parser) -> list[str]:
    chosen = []
    for part in text.split(","):
        found = [name for name in names if part.strip() in (name, name[:2], name[1:2])]
        if not found:
            valid = ", ".join(name[:2] for name in names)
            command.error(f"there is no notebook {part.strip()!r}; the valid ones are {valid}")
        chosen += found
    return chosen


def _reconstruct(options: argparse.Namespace, command: _Parser) -> int:
    _make_folder(options.out, command)
    session.load_tensorflow()
    from helpers import demo

    rows = demo.reconstruct_files(options.audio, options.out)
    for row in rows:
        print(f"{row['file']}: {row['status']}{', ' + row['reason'] if row['reason'] else ''}")
    good = sum(row["status"] == "ok" for row in rows)
    print(f"{good} of {len(rows)} voices became faces; see {options.out / 'results.csv'}")
    return 0 if good else 1


def _evaluate(options: argparse.Namespace, command: _Parser) -> int:
    if options.gallery < 2:
        command.error(f"--gallery {options.gallery} is too small: take 2 or more")
    if options.first_islander < 0:
        command.error("--first-islander takes 0 or more")
    session.load_tensorflow()
    from helpers import evaluation
    from helpers.measuring import real_voices, report

    if options.voices is not None:
        try:
            found = real_voices.real_voices(options.voices)
        except (FileNotFoundError, ValueError) as error:
            command.error(f"--voices: {error}")
        print(json.dumps(found, indent=2) if options.json else report.real_voices_lines(found))
        return 0
    result = evaluation.evaluate_released(options.gallery, options.first_islander)
    print(json.dumps(result, indent=2) if options.json else evaluation.format_report(result))
    return 0


def _ablate(options: argparse.Namespace, command: _Parser) -> int:
    if options.steps < 1:
        command.error(f"--steps {options.steps} is too few: take 1 or more")
    session.load_tensorflow()
    from helpers.measuring import ablations
    from helpers.tables import Workspace

    questions = options.only.split(",") if options.only else ablations.QUESTIONS
    workspace = Workspace(session.default_workspace(options.workspace), Settings.make())
    try:
        found = ablations.ablate_islanders(workspace, options.islanders, options.steps, questions)
    except ValueError as error:
        command.error(str(error))
    print(json.dumps(found, indent=1) if options.json else ablations.format_ablations(found))
    return 0


def _benchmark(options: argparse.Namespace, command: _Parser) -> int:
    from helpers.benchmark import report, run

    chosen = {
        name: tuple(part.strip() for part in text.split(","))
        for name, text in (("only", options.only), ("networks", options.networks))
        if text is not None
    }
    try:
        plan = run.Plan(
            seconds_per_network=options.seconds_per_network,
            islanders=options.islanders,
            clips=options.clips,
            **chosen,
        )
        if options.readme is not None:
            report.read_readme(options.readme)  # Better refused now than after half an hour.
    except OSError as error:
        command.error(f"--readme {options.readme} cannot be read: {error.strerror}")
    except ValueError as error:
        command.error(str(error))
    result = run.benchmark(plan)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(report.as_markdown(result) if options.markdown else report.as_text(result))
    if not run.anything_measured(result):
        return 1
    if options.readme is not None:
        report.write_readme(options.readme, result)
    return 0


def _make_folder(folder: Path, command: _Parser) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        command.error(f"--out {folder} cannot be made a folder: {error.strerror}")


def _archipelago(options: argparse.Namespace, command: _Parser) -> int:
    if options.measure:
        from helpers.archipelago import phonetics
        from helpers.archipelago.islanders import islander

        print(phonetics.markdown(phonetics.voice_statistics(map(islander, options.islanders))))
        return 0
    if options.out is None:
        command.error("--out DIR is missing; or give --measure")
    _make_folder(options.out, command)
    from helpers.archipelago.gallery import gallery

    for file in gallery(options.islanders, options.out):
        print(file)
    return 0


def _pretrain(options: argparse.Namespace, command: _Parser) -> int:
    session.load_tensorflow()
    from helpers import evaluation
    from helpers.pretrained import recipe
    from helpers.tables import Workspace

    try:
        settings = Settings.make(seed=options.seed)
        workspace = Workspace(session.default_workspace(options.workspace), settings)
        names = vars(Sizes())
        recipe.pretrain(workspace, Sizes(**{name: getattr(options, name) for name in names}))
    except ValueError as error:
        command.error(str(error))
    measured = {"command": "python -m helpers evaluate --gallery 1000 --json"}
    measured |= evaluation.evaluate_released(1000)
    (recipe.FOLDER / "results.json").write_text(json.dumps(measured, indent=1) + "\n")
    print(evaluation.format_report(measured))
    return 0


def _numbers(text: str) -> list[int]:
    """Reads `0-11` or `3,7,1000000-1000004`."""
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        numbers = []
    if not numbers:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of islanders; write for instance 0-11 or 3,7,1000000-1000004"
        )
    return numbers


_COMMANDS = {
    "run": _run,
    "reconstruct": _reconstruct,
    "evaluate": _evaluate,
    "ablate": _ablate,
    "benchmark": _benchmark,
    "archipelago": _archipelago,
    "pretrain": _pretrain,
}


if __name__ == "__main__":
    sys.exit(main())
