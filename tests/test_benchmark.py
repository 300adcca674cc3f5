"""What the benchmark measures, how it keeps measurements apart, and what it makes of bad ones."""

from __future__ import annotations

import dataclasses
import importlib
import json
import signal
import time

import numpy as np
import psutil
import pytest

from helpers import __main__ as command
from helpers import download, face_decoder
from helpers.benchmark import apart, extrapolation, machine, networks, report, run, throughput
from helpers.tables import Report

# --- timing --------------------------------------------------------------------------------------


class FakeModel:
    stop_training = False


def clock_after(lengths: list[float], **limits) -> networks.StepClock:
    """A clock that has seen steps of these lengths, or as many as it let happen."""
    now = [100.0]
    clock = networks.StepClock(**limits, clock=lambda: now[0])
    clock.set_model(FakeModel())
    now[0] = 500.0  # The network is made; that does not count.
    clock.start()
    for number, seconds in enumerate(lengths):
        if clock.model.stop_training:
            break
        now[0] += seconds
        clock.on_train_batch_end(number, {"loss": np.float32(1)})
    return clock


def test_a_step_is_the_median_of_those_after_the_first():
    measured = clock_after([20.0, 1.0, 3.0, 2.0, 50.0]).measured()
    assert measured == {"steps": 5, "seconds": 76.0, "first_step_s": 20.0, "step_s": 2.5}


def test_one_step_alone_has_no_median():
    assert clock_after([20.0]).measured()["step_s"] is None
    assert clock_after([]).measured() == {
        "steps": 0,
        "seconds": 0.0,
        "first_step_s": None,
        "step_s": None,
    }


def test_the_budget_counts_the_first_step_and_the_last_one_is_finished():
    measured = clock_after([8.0, 1.0, 1.0, 1.0, 1.0], seconds=9.5).measured()
    assert (measured["steps"], measured["seconds"]) == (3, 10.0)
    slow = clock_after([30.0, 30.0], seconds=9.5).measured()
    assert (slow["steps"], slow["seconds"]) == (1, 30.0)


def test_the_clock_stops_after_so_many_steps_and_makes_the_least():
    assert clock_after([1.0] * 9, steps=4).measured()["steps"] == 4
    assert clock_after([60.0] * 9, seconds=10, least=2).measured()["steps"] == 2


def test_spread_of_times():
    assert throughput.spread([0.5, 0.1, 0.2]) == {
        "faces": 3,
        "warm_s": 0.2,
        "warm_least_s": 0.1,
        "warm_most_s": 0.5,
    }


# --- networks ------------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of four clips, so that a step takes no time."""
    few = {name: dataclasses.replace(way, batch=4) for name, way in networks.TRAININGS.items()}
    monkeypatch.setattr(networks, "TRAININGS", few)


def test_cost_of_a_small_network(small_batches):
    row = networks.cost("compact", seconds=600, steps=3, feature_size=8, width=0.1)
    assert row["parameters"] == networks.voice_networks.compact(8, width=0.1).count_params()
    assert (row["steps"], row["batch"], row["feature_size"]) == (3, 4, 8)
    assert 0 < row["step_s"] < row["seconds"] and 0 < row["first_step_s"] < row["seconds"]
    assert row["clips_per_s"] == pytest.approx(4 / row["step_s"], rel=0.05)
    assert 0 < row["file_mb"] < 1
    assert row["forward_s"] > 0
    json.dumps(row)


@pytest.fixture
def pairs_on_disk(tmp_path, monkeypatch):
    """Recordings of 40 known and 12 other islanders: noise in place of a voice."""

    def noise(number: int) -> np.ndarray:
        return np.random.default_rng(number).integers(-3000, 3000, 96_000, "int16")

    monkeypatch.setattr(throughput, "voice", noise)
    monkeypatch.setattr(throughput, "parallel_map", map)
    row = throughput.voices(str(tmp_path), training=40, held_out=12)
    assert (row["training"], row["held_out"], row["rows"]) == (40, 12, 52)
    return tmp_path


def test_nobody_is_both_trained_on_and_measured(pairs_on_disk):
    known, others = (networks.read_pairs(pairs_on_disk, name) for name in ("train", "validation"))
    assert (len(known), len(others)) == (40, 12)
    assert not set(known.speakers) & set(others.speakers)
    assert known.waveforms.shape == (40, 96_000)
    assert known.features.shape == (40, 128)


@pytest.mark.parametrize("name", ["compact", "published"])
def test_retrieval_after_a_budget(pairs_on_disk, small_batches, name):
    row = networks.retrieval_after(
        name, 1e-6, str(pairs_on_disk), step_s=1.0, first_step_s=2.0, width=0.02
    )
    assert (row["steps"], row["clips"]) == (1, 4)
    assert row["seconds"] >= 1e-6
    assert row["gallery"] == 12
    assert row["chance_10"] == pytest.approx(10 / 12, abs=1e-3)
    assert 0 <= row["recall_1"] <= row["recall_10"] <= 1
    json.dumps(row)


def test_more_islanders_than_there_are_features_of(tmp_path):
    with pytest.raises(ValueError, match="not of 999999: take fewer"):
        throughput.voices(str(tmp_path), training=999_999, held_out=1)


# --- stages --------------------------------------------------------------------------------------


def test_a_table_is_measured_after_a_smaller_one_has_warmed_up(tmp_path, monkeypatch):
    rows = []

    def build(session) -> Report:
        rows.append(session.settings.rows)
        return Report(made=rows[-1], kept=0, rows=rows[-1], seconds=4.0)

    monkeypatch.setattr(download, "build_clips", build)
    row = throughput.table("clips", str(tmp_path), 10)
    assert rows[-1] == 10
    assert len(rows) == 2
    assert (row["rows"], row["rows_per_s"]) == (10, 2.5)


def test_training_of_a_small_decoder(monkeypatch):
    monkeypatch.setattr(throughput, "_BATCH", 4)
    row = throughput.decoder_training(seconds=600, steps=2, identity=False, width=0.1)
    assert (row["steps"], row["rows"]) == (2, 4)
    assert row["rows_per_s"] == pytest.approx(4 / row["step_s"], rel=0.05)


def test_the_gan_is_measured_like_the_decoder(monkeypatch):
    def refine(decoder, faces, epochs, batch_size, callbacks, precision, identity) -> None:
        assert (precision, identity) == ("auto", None)  # The numbers that fit the device.
        (clock,) = callbacks
        clock.set_model(FakeModel())
        for number in range(epochs * len(faces) // batch_size):
            if not clock.model.stop_training:
                clock.on_train_batch_end(number, {"loss": 1.0})

    monkeypatch.setattr(face_decoder, "refine_with_gan", refine)
    monkeypatch.setattr(face_decoder, "generator", lambda **options: None)
    row = throughput.gan_training(seconds=600, steps=3, identity=False)
    assert (row["steps"], row["rows"], row["batch"]) == (3, 64, 32)


def test_decoding():
    row = throughput.decoding(4, face_decoder.generator(width=0.1))
    assert row["rows"] == 4
    assert row["rows_per_s"] > 0


# --- a process of its own ------------------------------------------------------------------------


def measured(place: str, timeout_s: float = 600, **arguments) -> dict:
    return apart.measure("it", arguments, timeout_s, {"it": place})


def test_memory_is_that_of_the_process_alone():
    ballast = np.ones(400 * 2**17)  # 400 MB
    row = measured("json:loads", s='{"steps": 3}')
    assert (row["status"], row["reason"], row["steps"]) == ("ok", "", 3)
    assert 0 < row["peak_mb"] < ballast.nbytes / 2**20


def test_an_error_becomes_a_reason():
    row = measured("json:loads", s="no JSON")
    assert row["status"] == "failed"
    assert row["reason"].startswith("JSONDecodeError: Expecting value")


def test_a_process_that_ends_becomes_a_reason():
    row = measured("os:_exit", status=3)
    assert row == {"status": "failed", "reason": "The process ended with exit code 3."}
    assert "memory ran out" in apart._why(-signal.SIGKILL, "")
    assert apart._why(-signal.SIGSEGV, "a\nlast words\n").endswith("by signal 11: last words.")


def test_a_process_that_hangs_is_ended_with_its_children(tmp_path):
    noted = tmp_path / "child.txt"
    hangs = ["sh", "-c", f"echo $$ > {noted}.new; mv {noted}.new {noted}; exec sleep 3141"]
    for seconds in (2, 8, 32, 128):  # On a busy machine the child may need more to come up.
        row = measured("subprocess:run", timeout_s=seconds, args=hangs)
        assert row == {"status": "failed", "reason": f"Given up after {seconds} s."}
        if noted.exists():
            break
    # Only the process itself is waited for; its child may take a moment to end.
    until = time.monotonic() + 60
    while alive(child := int(noted.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def alive(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_task_has_its_function():
    for place in apart.TASKS.values():
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


# --- what is measured ----------------------------------------------------------------------------

COST = {"parameters": 5, "feature_size": 128, "file_mb": 1.5, "batch": 8, "forward_s": 0.1}
COST |= {"steps": 3, "seconds": 9.0, "first_step_s": 5.0, "step_s": 2.0, "clips_per_s": 4.0}
FOUND = {"interval_10": [0.1, 0.3], "chance_10": 0.05, "recall_1": 0.1, "chance_1": 0.005}
FOUND |= {"gallery": 200, "clips": 320, "passes": 0.5, "median_rank": 30.0}
ROWS = {
    "cost": COST,
    "voices": {
        "training": 1024,
        "held_out": 200,
        "rows": 1224,
        "seconds": 90.0,
        "rows_per_s": 13.6,
    },
    "retrieval": {**FOUND, "steps": 40, "seconds": 20.5, "first_step_s": 5.0, "step_s": 0.4},
    "reconstruct": {"command_s": 5.0, "voices": 6, **throughput.spread([0.1, 0.2])},
}
RECALLS = {"compact": 0.3, "published": 0.06, "paper": 0.0}


class Measure:
    """Stands for the processes: notes what is asked for and answers at once."""

    def __init__(self, **bad: object) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.bad = bad

    def __call__(self, task: str, arguments: dict, timeout_s: float) -> dict:
        self.asked.append((task, dict(arguments)))
        bad = self.bad.get(f"{task}_{arguments.get('name', '')}".strip("_"))
        if isinstance(bad, BaseException):
            raise bad
        if bad:
            return {"status": "failed", "reason": bad}
        row = {"rows": 32, "seconds": 8.0, "rows_per_s": 4.0} | ROWS.get(task, {})
        if task == "retrieval":
            row["recall_10"] = RECALLS[arguments["name"]]
        return {"status": "ok", "reason": "", **row, "peak_mb": 700}


@pytest.fixture
def memory(monkeypatch) -> list[float]:
    free = [64_000.0]
    monkeypatch.setattr(machine, "free_memory_mb", lambda: free[0])
    return free


def benchmark(measure: Measure, **plan) -> dict:
    return run.benchmark(run.Plan(**plan), measure, say=lambda line: None)


def test_all_of_it_fits_into_json(memory):
    measure = Measure()
    result = json.loads(json.dumps(benchmark(measure, seconds_per_network=20.0)))
    assert list(result) == [
        "machine",
        "plan",
        "networks",
        "retrieval",
        "stages",
        "reconstruct",
        "cluster",
        "seconds",
    ]
    assert set(result["machine"]) == {
        *("processor", "cores", "memory_mb", "gpu", "system", "python"),
        *("packages", "backend", "date"),
    }
    assert [row["name"] for row in result["networks"]] == ["compact", "published", "paper"]
    assert set(result["networks"][0]) == {"name", "status", "reason", "peak_mb", *COST} | {
        "rows",
        "rows_per_s",
    }
    assert result["retrieval"]["factors"] == {"published": 5.0, "paper": None}
    assert [row["name"] for row in result["stages"]] == list(report._STAGES)
    everything = [*result["networks"], *result["retrieval"]["rows"], *result["stages"]]
    for row in [*everything, result["retrieval"]["data"], result["reconstruct"]]:
        assert {"name", "status", "reason"} <= set(row)


def test_every_network_gets_the_same_budget_and_the_same_data(memory):
    measure = Measure()
    benchmark(measure, only=("retrieval",), seconds_per_network=20.0)
    assert [task for task, _ in measure.asked] == ["cost"] * 3 + ["voices"] + ["retrieval"] * 3
    given = [arguments for task, arguments in measure.asked if task == "retrieval"]
    assert {one["seconds"] for one in given} == {20.0}
    assert len({one["data"] for one in given}) == 1
    assert {(one["step_s"], one["first_step_s"]) for one in given} == {(2.0, 5.0)}


def test_only_what_was_asked_for(memory):
    result = benchmark(Measure(), only=("networks",), networks=("paper",))
    assert set(result) == {"machine", "plan", "networks", "seconds"}
    assert [row["name"] for row in result["networks"]] == ["paper"]


def test_a_network_that_fails_keeps_its_reason_and_the_rest_goes_on(memory):
    result = benchmark(Measure(cost_published="ValueError: no such layer"))
    statuses = [row["status"] for row in result["networks"]]
    assert statuses == ["ok", "failed", "ok"]
    assert [row["status"] for row in result["retrieval"]["rows"]] == statuses
    assert result["retrieval"]["rows"][1]["reason"] == "ValueError: no such layer"
    assert result["retrieval"]["factors"] == {"paper": None}
    assert result["reconstruct"]["status"] == "ok"
    text = report.as_text(result)
    assert "Not measured: published. ValueError: no such layer" in text


def test_a_network_that_would_not_fit_is_not_begun(memory):
    memory[0] = 6_000.0
    measure = Measure()
    result = benchmark(measure, only=("networks",))
    assert [row["status"] for row in result["networks"]] == ["ok", "skipped", "skipped"]
    assert "10,000 MB" in result["networks"][2]["reason"]
    assert "6,000 MB" in result["networks"][2]["reason"]
    assert [arguments["name"] for _, arguments in measure.asked] == ["compact"]


def test_with_a_gpu_less_of_the_machines_memory_is_enough(memory, monkeypatch):
    memory[0] = 6_000.0
    monkeypatch.setattr(apart.session, "device", lambda: "GPU Tesla T4")
    result = benchmark(Measure(), only=("networks",))
    assert [row["status"] for row in result["networks"]] == ["ok"] * 3
    assert result["machine"]["gpu"] == "Tesla T4"


def test_a_network_is_not_measured_twice(memory):
    measure = Measure()
    result = benchmark(measure, only=("networks", "stages"), networks=("compact",))
    assert [task for task, _ in measure.asked].count("cost") == 1
    assert result["stages"][3]["rows_per_s"] == COST["clips_per_s"]
    measure = Measure()
    benchmark(measure, only=("stages",))
    assert [task for task, _ in measure.asked].count("cost") == 1


def test_an_interrupt_keeps_what_there_is_and_begins_nothing_more(memory):
    measure = Measure(cost_published=KeyboardInterrupt())
    result = benchmark(measure)
    assert [row["status"] for row in result["networks"]] == ["ok", "interrupted", "interrupted"]
    assert [row["name"] for row in result["stages"] if row["status"] == "ok"] == [
        "encoder training"  # It was among the networks.
    ]
    assert len(measure.asked) == 2
    assert run.anything_measured(result)
    report.as_text(result)
    report.as_markdown(result)


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ({"only": ("speed",)}, "'speed'; choose from networks, retrieval, stages, reconstruct"),
        ({"networks": ("tiny",)}, "'tiny'; choose from compact, published, paper"),
        ({"networks": ()}, "nothing"),
        ({"seconds_per_network": 0}, "1 to 86,400"),
        ({"seconds_per_network": float("nan")}, "1 to 86,400"),
        ({"islanders": 8}, "take 64 or more"),
        ({"clips": 1}, "take 8 or more"),
    ],
)
def test_a_plan_that_cannot_be(plan, named):
    with pytest.raises(ValueError, match=named):
        run.Plan(**plan)


def test_a_container_may_have_less_memory_than_its_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_LIMITS", tmp_path)
    without = machine._memory_mb()[0]
    (tmp_path / "memory.max").write_text(f"{600 * 2**20}\n")
    (tmp_path / "memory.current").write_text(f"{500 * 2**20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {100 * 2**20}\n")
    assert machine._memory_mb()[0] == 600 < without
    assert machine.free_memory_mb() == pytest.approx(200, abs=0.1)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine._memory_mb()[0] == pytest.approx(without)


# --- the tables ----------------------------------------------------------------------------------


def test_people_read_all_of_it(memory):
    text = report.as_text(benchmark(Measure(), seconds_per_network=20.0))
    for part in (
        *("Voice encoders", "Retrieval after 20 s of training each", "30.0 %", "10.0–30.0 %"),
        *("Stages", "faces decoded", "Reconstruction", "Python"),
        "R@10 of compact is 5 times that of published.",
        "R@10 of paper is 0, so there is no factor for compact.",
    ):
        assert part in text, part
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("network ")]
    for number in heads:  # Numbers stand below each other.
        assert len({len(line) for line in lines[number : number + 4]}) == 1


def test_markdown_tables_are_whole(memory):
    lines = report.as_markdown(benchmark(Measure())).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == (2 + 3) + (2 + 3) + (2 + 8) + (2 + 1) + (2 + 11)
    for line, after in zip(lines, lines[1:], strict=False):
        if line.startswith("|") and after.startswith("|"):
            assert line.count("|") == after.count("|")


README = "# Title\n\ntext <b>\n\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n\nmore é\n"


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_only_what_stands_between_the_markers_changes(tmp_path, memory, line):
    file = tmp_path / "README.md"
    file.write_bytes(README.replace("\n", line).encode())
    result = benchmark(Measure())
    report.write_readme(file, result)
    before, between, after = (part.encode() for part in README.replace("\n", line).partition("old"))
    written = file.read_bytes()
    assert written.startswith(before)
    assert written.endswith(after)
    assert b"| compact |" in written
    assert between not in written
    assert line != "\r\n" or written.count(b"\n") == written.count(b"\r\n")
    report.write_readme(file, result)
    assert file.read_bytes() == written
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "<!-- benchmark -->",
        "<!-- /benchmark --> <!-- benchmark -->",
        "<!-- benchmark --> <!-- /benchmark --> <!-- benchmark -->",
    ],
)
def test_a_readme_without_a_place_for_the_tables_is_left_alone(tmp_path, memory, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(ValueError, match="README.md: the lines <!-- benchmark -->"):
        report.write_readme(file, benchmark(Measure()))
    assert file.read_text() == text


def test_the_readme_of_the_series_has_a_place_for_the_tables():
    report.read_readme(apart.session.HOME / "README.md")


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch, memory):
    """Has the command measure nothing; takes the stand-in for the measurements."""

    def use(measure: Measure) -> None:
        real = run.benchmark
        monkeypatch.setattr(run, "benchmark", lambda plan: real(plan, measure))

    return use


def test_the_command_prints_json_and_nothing_else(answers, capsys):
    answers(Measure())
    arguments = ["benchmark", "--seconds-per-network", "20", "--only", "networks", "--json"]
    assert command.main([*arguments, "--networks", "compact, paper"]) == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert [row["name"] for row in result["networks"]] == ["compact", "paper"]
    assert "cost: compact" in told.err


def test_the_command_writes_the_readme(answers, tmp_path, capsys):
    answers(Measure())
    (tmp_path / "README.md").write_text(README)
    assert command.main(["benchmark", "--markdown", "--readme", str(tmp_path / "README.md")]) == 0
    assert capsys.readouterr().out.strip() in (tmp_path / "README.md").read_text()


def test_the_command_fails_only_when_nothing_could_be_measured(answers, tmp_path):
    (tmp_path / "README.md").write_text(README)
    arguments = ["benchmark", "--only", "networks", "--readme", str(tmp_path / "README.md")]
    bad = {f"cost_{name}": "RuntimeError: no" for name in run.NETWORKS}
    answers(Measure(**bad))
    assert command.main(arguments) == 1
    assert (tmp_path / "README.md").read_text() == README


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--only", "speed"), ("'speed'", "networks", "reconstruct")),
        (("--networks", "tiny"), ("'tiny'", "compact", "paper")),
        (("--seconds-per-network", "0"), ("1 to 86,400",)),
        (("--islanders", "3"), ("islanders=3", "64")),
        (("--json", "--markdown"), ("--markdown", "--json")),
        (("--readme", "/no/README.md"), ("/no/README.md", "No such file")),
        (("--speed",), ("--speed", "--seconds-per-network", "--readme")),
    ],
)
def test_a_wrong_option_is_answered_in_one_sentence(capsys, arguments, named):
    with pytest.raises(SystemExit) as ended:
        command.main(["benchmark", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1
    assert all(word in told for word in named), told


# --- what a large run costs -----------------------------------------------------------------------

RATES = {"clips": 3.0, "faces": 10.0, "speech": 60.0}
RATES |= {"encoder training": 80.0, "decoder training": 20.0, "GAN training": 10.0}
STAGES = [{"name": name, "status": "ok", "rows_per_s": rate} for name, rate in RATES.items()]


def test_a_large_run_is_worked_out_from_the_rates():
    hours = extrapolation.hours(STAGES)
    assert hours["clips"] == pytest.approx(6000 / 3 / 3600)
    assert hours["encoder training"] == pytest.approx(60 * 6000 / 80 / 3600)
    assert hours["decoder training"] == pytest.approx(40 * 12_000 / 20 / 3600)
    assert hours["all"] == pytest.approx(sum(hours[name] for name in RATES))
    needed = extrapolation.core_hours_per_million(STAGES, cores=2)
    assert needed == pytest.approx(2 * 1e6 * (1 / 3 + 1 / 10 + 1 / 60) / 3600)


def test_a_stage_that_was_not_measured_leaves_the_sum_open():
    bad = [{"name": "faces", "status": "failed", "reason": "It died."}]
    stages = [row for row in STAGES if row["name"] != "faces"] + bad
    assert extrapolation.hours(stages)["all"] is None
    assert extrapolation.core_hours_per_million(stages, cores=2) is None


def test_the_report_puts_the_large_run_beside_the_earlier_one(memory):
    result = benchmark(Measure(), only=("stages", "cluster"))
    text = report.as_text(result)
    assert "A full run of 6,000 clips" in text and "40–60 hours" in text
    assert "core-hours" in text
    cluster = next(table for table in report.tables(result) if table.title == "A Dask cluster")
    assert [row[0] for row in cluster.rows] == ["1", "2"]
    assert [row[2] for row in cluster.rows] == ["100%", "50%"]
