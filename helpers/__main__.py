"""The commands: `python -m helpers run | reconstruct | demo | evaluate | ...`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from helpers import session
from helpers.commands import manifest_command, readme_pictures, run_command
from helpers.pretrained.sizes import Sizes
from helpers.settings import FIRST_TEST_ISLANDER, FIXED, Settings

_NAMES = "run|reconstruct|demo|evaluate|ablate|benchmark|archipelago|manifest|pictures|pretrain"


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

    run_command.add_to(commands)

    reconstruct = commands.add_parser("reconstruct", help="a face for each voice")
    reconstruct.add_argument("audio", nargs="+", type=Path, metavar="AUDIO")
    reconstruct.add_argument("--out", type=Path, required=True, metavar="DIR")

    demo = commands.add_parser("demo", help="a page on which a voice becomes a face")
    demo.add_argument("--port", type=int, metavar="N", help="the first free one from 7860 on")
    demo.add_argument("--share", action="store_true", help="ask for a public address as well")
    demo.add_argument(
        "--measure-voices", type=Path, metavar="DIR", help="measure anew what usual voices are"
    )

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

    manifest_command.add_to(commands)
    readme_pictures.add_to(commands)

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
        name = unknown[0].lstrip("-").split("=")[0].replace("-", "_")
        if name in FIXED:
            command.error(FIXED[name])
        command.error(f"unknown option {unknown[0]!r}; the valid ones are {command.options()}")
    return _COMMANDS[options.command](options, command)


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


def _demo(options: argparse.Namespace, command: _Parser) -> int:
    if options.port is not None and not 1 <= options.port <= 65535:
        command.error(f"--port {options.port} is not valid: take 1 to 65535")
    if options.measure_voices is not None:
        return _measure_voices(options.measure_voices, command)
    from helpers.web_demo import page

    try:
        page.run(options.port, options.share)
    except ImportError as error:
        command.error(f"the page needs Gradio ({error}). Install it: pip install gradio")
    except OSError as error:
        command.error(f"the page could not be served: {error}. Choose another --port")
    return 0


def _measure_voices(folder: Path, command: _Parser) -> int:
    from helpers.web_demo import usual_voices

    if not folder.is_dir():
        command.error(f"there is no folder {folder}")
    try:
        usual = usual_voices.measure_anew(folder)
    except (FileNotFoundError, ValueError) as error:
        command.error(f"--measure-voices: {error}")
    for group, cloud in usual.clouds.items():
        print(
            f"{group}: 97 % of {usual.validation_islanders} validation islanders lie within "
            f"{cloud.training_limit:.2f}, as {1 - cloud.people_outside:.0%} of {usual.people} "
            f"recordings of real people do; 95 % of these lie within {cloud.people_limit:.2f}"
        )
    return 0


def _evaluate(options: argparse.Namespace, command: _Parser) -> int:
    if options.gallery < 2:
        command.error(f"--gallery {options.gallery} is too small: take 2 or more")
    if options.first_islander < 0:
        command.error("--first-islander takes 0 or more")
    session.load_tensorflow()
    from helpers import evaluation
    from helpers.measuring import ablations, real_voices, report
    from helpers.weights import BadWeights

    if options.voices is not None:
        try:
            found = real_voices.real_voices(options.voices)
        except (FileNotFoundError, ValueError) as error:
            command.error(f"--voices: {error}")
        print(json.dumps(found, indent=2) if options.json else report.real_voices_lines(found))
        return 0
    try:
        result = evaluation.evaluate_released(options.gallery, options.first_islander)
    except (FileNotFoundError, RuntimeError, BadWeights) as error:
        print(f"{command.prog}: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result | {"ablations": ablations.released()}, indent=2))
    else:
        print(evaluation.format_report(result))
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
    "run": run_command.run,
    "reconstruct": _reconstruct,
    "demo": _demo,
    "evaluate": _evaluate,
    "ablate": _ablate,
    "benchmark": _benchmark,
    "archipelago": _archipelago,
    "manifest": manifest_command.run,
    "pictures": readme_pictures.run,
    "pretrain": _pretrain,
}


if __name__ == "__main__":
    sys.exit(main())
