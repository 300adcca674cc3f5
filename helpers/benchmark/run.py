"""What is measured, and in which order: `python -m helpers benchmark`.

Every measurement is made in a process of its own and becomes a row, whether it succeeds or not.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from helpers import session
from helpers.benchmark import apart, machine

PARTS = ("networks", "retrieval", "stages", "reconstruct", "cluster")
NETWORKS = ("compact", "published", "paper")
WORKERS = (1, 2)
"""Workers of the clusters that are measured."""
HELD_OUT = 200
"""Most islanders in the gallery of the retrieval."""
NEEDED_MB = {"compact": 2_000, "published": 10_000, "paper": 10_000}
"""Memory that a training step takes on the CPU, batches as in `networks.TRAININGS`."""
NEEDED_WITH_GPU_MB = 4_000
"""Memory of the machine that it takes where the work is done in that of a GPU."""
_TIMEOUT_S = 1800.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        only: Some of `PARTS`. `retrieval` needs the times of `networks` and measures them, too.
        networks: Some of `NETWORKS`.
        seconds_per_network: Training time before the retrieval of each is measured.
        islanders: Islanders to train with.
        clips: Clips, or islanders, that go through each stage.
    """

    only: tuple[str, ...] = PARTS
    networks: tuple[str, ...] = NETWORKS
    seconds_per_network: float = 120.0
    islanders: int = 1024
    clips: int = 32

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: One is not valid; names those that are.
        """
        for name, valid in (("only", PARTS), ("networks", NETWORKS)):
            wrong = [value for value in getattr(self, name) if value not in valid]
            if wrong or not getattr(self, name):
                named = repr(wrong[0]) if wrong else "nothing"
                raise ValueError(f"{name}: there is no {named}; choose from {', '.join(valid)}")
        if not 1 <= self.seconds_per_network <= 86_400:
            raise ValueError(
                f"seconds_per_network={self.seconds_per_network!r} is not valid: take 1 to 86,400"
            )
        for name, least in (("islanders", 64), ("clips", 8)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r} is too few: take {least} or more")


def benchmark(
    plan: Plan,
    measure: Callable[[str, Mapping, float], dict] = apart.measure,
    say: Callable[[str], None] | None = None,
) -> dict:
    """Measures what the series costs on this machine.

    A measurement that fails leaves a row with its reason. After Ctrl-C the present one and those
    that would have come are left out, and what has been measured is returned.

    Args:
        plan: What to measure.
        measure: Makes one measurement; see `apart.measure`.
        say: Takes a line about the progress; None prints it on stderr.

    Returns:
        Ready for JSON: `machine` (see `machine.facts`), `plan`, `seconds`, and of the parts that
        were asked for `networks` (a list of rows), `retrieval` (`data`, `rows`, `factors`),
        `stages` (a list of rows), `reconstruct` (a row) and `cluster` (a list of rows). Every row
        has `name`, `status` (`ok`, `failed`, `skipped` or `interrupted`) and `reason`.
    """
    started = time.perf_counter()
    running = _Measurements(measure, say or _to_stderr)
    result: dict = {"machine": machine.facts(), "plan": dataclasses.asdict(plan)}
    if "networks" in plan.only or "retrieval" in plan.only:
        result["networks"] = running.networks(plan)
    if "retrieval" in plan.only:
        result["retrieval"] = running.retrieval(plan, result["networks"])
    if "stages" in plan.only:
        result["stages"] = running.stages(plan, result.get("networks", ()))
    if "reconstruct" in plan.only:
        result["reconstruct"] = running.row("reconstruct", "reconstruct", {})
    if "cluster" in plan.only:
        result["cluster"] = [
            running.row(str(count), "cluster", {"workers": count, "rows": plan.clips})
            for count in WORKERS
        ]
    result["seconds"] = round(time.perf_counter() - started, 1)
    return result


def anything_measured(result: Mapping) -> bool:
    """Tells whether at least one row of a result is `ok`."""
    rows = [*result.get("networks", ()), *result.get("retrieval", {}).get("rows", ())]
    rows += [*result.get("stages", ()), result.get("reconstruct", {}), *result.get("cluster", ())]
    return any(row.get("status") == "ok" for row in rows)


def factors(rows: list[dict]) -> dict[str, float | None]:
    """Returns how many times the R@10 of each other network `compact` reaches.

    Args:
        rows: Rows of the retrieval.

    Returns:
        Name of the other network -> factor; None where the other one retrieved nobody.
    """
    reached = {row["name"]: row["recall_10"] for row in rows if row["status"] == "ok"}
    own = reached.pop("compact", None)
    if own is None:
        return {}
    return {name: round(own / other, 2) if other else None for name, other in reached.items()}


class _Measurements:
    """Makes rows of measurements, until it is interrupted."""

    def __init__(self, measure: Callable, say: Callable[[str], None]) -> None:
        self.measure, self.say = measure, say
        self.interrupted = False

    def row(
        self, name: str, task: str, arguments: Mapping, needed_mb: float = 0, takes_s: float = 0
    ) -> dict:
        """Makes one measurement, if there is memory for it."""
        free = machine.free_memory_mb()
        if self.interrupted:
            row = {"status": "interrupted", "reason": "Interrupted before it began."}
        elif free < needed_mb:
            reason = f"It needs {needed_mb:,.0f} MB of free memory; {free:,.0f} MB are free."
            row = {"status": "skipped", "reason": reason}
        else:
            self.say(f"{task}: {name}" + (f", {takes_s:,.0f} s of training" if takes_s else ""))
            started = time.perf_counter()
            try:
                row = self.measure(task, arguments, _TIMEOUT_S + 3 * takes_s)
            except KeyboardInterrupt:
                self.interrupted = True
                row = {"status": "interrupted", "reason": "Interrupted."}
            passed = f"{row['status']} after {time.perf_counter() - started:,.0f} s. "
            self.say(f"    {passed}{row['reason']}".rstrip())
        return {"name": name, **row}

    def networks(self, plan: Plan) -> list[dict]:
        """Size and speed of each network."""
        return [self.row(name, *_cost(name)) for name in plan.networks]

    def retrieval(self, plan: Plan, costs: list[dict]) -> dict:
        """Retrieval of each network after the same time, on the same islanders."""
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            counts = {"training": plan.islanders, "held_out": HELD_OUT}
            data = self.row("voices", "voices", {"folder": folder, **counts})
            rows = [self._retrieval_row(plan, cost, data, folder) for cost in costs]
        return {"data": data, "rows": rows, "factors": factors(rows)}

    def _retrieval_row(self, plan: Plan, cost: dict, data: dict, folder: str) -> dict:
        name, seconds = cost["name"], plan.seconds_per_network
        for before in (cost, data):
            if before["status"] != "ok":
                left = {"status": before["status"], "reason": before["reason"]}
                return {"name": name, **left}
        times = {key: cost[key] for key in ("step_s", "first_step_s")}
        arguments = {"name": name, "seconds": seconds, "data": folder, **times}
        return self.row(name, "retrieval", arguments, _needed(name), seconds)

    def stages(self, plan: Plan, costs: Sequence[dict]) -> list[dict]:
        """Rows a second of each stage, in the order of the notebooks."""
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            rows = [
                self.row(name, "table", {"name": name, "folder": folder, "rows": plan.clips})
                for name in ("clips", "faces", "speech")
            ]
        known = [row for row in costs if row["name"] == "compact"]
        cost = known[0] if known else self.row("compact", *_cost("compact"))
        rate = {"rows_per_s": cost["clips_per_s"]} if cost["status"] == "ok" else {}
        rows.append({**cost, **rate, "name": "encoder training"})
        rows.append(self.row("decoder training", "decoder_training", {}))
        rows.append(self.row("GAN training", "gan_training", {}))
        rows.append(self.row("decoding", "decoding", {"rows": 8 * plan.clips}))
        rows.append(self.row("evaluation", "evaluation", {"rows": plan.clips}))
        return rows


def _cost(network: str) -> tuple[str, dict, float]:
    """Task, arguments and memory for size and speed of a network."""
    return "cost", {"name": network}, _needed(network)


def _needed(network: str) -> float:
    needed = NEEDED_MB[network]
    return needed if session.device() == "CPU" else min(needed, NEEDED_WITH_GPU_MB)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
