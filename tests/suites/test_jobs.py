"""Runs of a suite side by side: the records are those of one run after another, whatever was killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import warm

from genbench.errors import InputError, Stopped
from genbench.evaluation.evaluate import score_run
from genbench.records.record import Record
from genbench.records.store import records_in
from genbench.suites.bench import bench
from genbench.suites.jobs import Crew, Worker, available_cores, default_jobs
from genbench.suites.plan import lacking, plan_suite
from genbench.suites.suite import load_suite
from genbench.system.progress import Lines
from genbench.training.train import train

SPEED = {"images_per_second": 1.0, "batch": 1, "latency_seconds": 1.0, "network_evaluations": 1, "repeats": 1,
         "peak_memory_bytes": 1, "device": "-"}  # fmt: skip
OVERRIDES = (
    "{wandb.mode: disabled, budget.images: 320, data.batch_size: 16, trainer.log_every: 16, "
    "trainer.curve_images: 0, model.discriminator.width: 4}"
)
GAMES = ("{config: points2d/gan}", "{config: points2d/wgan-gp}")
# of points, fewer than their own protocol has, whose energy distance takes seconds
PROTOCOL = "images: 400\nchunk: 200\nmetrics: [energy_distance, modes_covered, high_quality]\n"
PUPIL = "{config: points2d/reflow, evaluations: [heun20], overrides: {model.reflow: 1, model.net.width: 4}}"


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch):
    """Speeds are not what is tested here."""
    monkeypatch.setattr("genbench.evaluation.evaluate.measure_speed", lambda *_, **__: SPEED)


@pytest.fixture
def warm_workers(monkeypatch):
    """Workers are forks; that the command of a worker starts one is seen by the test of its end."""

    def forked(command, pass_fds, env, **_):
        return warm.Popen(command, env, pass_fds=pass_fds, stdout=subprocess.PIPE)

    names = SimpleNamespace(**{**vars(subprocess), "Popen": forked})
    monkeypatch.setattr("genbench.suites.jobs.subprocess", names)


def suite_in(folder: Path, entries: Sequence[str] = GAMES, overrides: str = OVERRIDES) -> Any:
    folder.mkdir(exist_ok=True)
    lines = [
        f"out: {folder / 'out'}",
        "seeds: [0]",
        f"overrides: {overrides}",
        f"entries: [{', '.join(entries)}]",
    ]
    (folder / "tiny.yaml").write_text("\n".join(lines))
    return load_suite(folder / "tiny.yaml")


def ends(suite: Any) -> dict[str, Any]:
    """The records of a suite by model, without times."""
    trees = [record.to_dict() for record in records_in(suite.out)]
    for tree in trees:
        del tree["digest"], tree["evaluated_at"], tree["cost"]["train_seconds"]
        for need in tree.get("needs", {}).values():
            del need["train_seconds"]
    return {tree["model"]: tree for tree in trees}


class Acting(Lines):
    """Does something once, when the run in a worker has seen its first images."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def beside(self) -> Acting:
        return self

    def progress(self, images: int, loss: float | None) -> None:
        if self.act is not None:
            act, self.act = self.act, None
            act()


def crew_of(suite: Any, reporter: Lines) -> Crew:
    plans = plan_suite(suite, "cpu")
    return Crew(plans, lacking(plans), suite.name, reporter, ())


def test_runs_side_by_side_end_as_those_one_by_one_whatever_was_killed_before(
    warm_workers, tmp_path, capsys
):
    """A worker is killed, then the whole is stopped in mid-run, then it ends: the records are those of a suite without workers."""
    (tmp_path / "few.yaml").write_text(PROTOCOL)
    overrides = OVERRIDES.replace("{", f"{{protocol: {tmp_path / 'few.yaml'}, ", 1)
    cut = suite_in(tmp_path / "cut", overrides=overrides)
    killed = crew_of(cut, Acting(lambda: killed.workers[0].process.kill()))
    killed.work(1)
    assert killed.failures == ["points2d/gan seed 0"]
    assert [plan.label for plan in killed.done] == ["points2d/wgan-gp seed 0"]
    assert "points2d/gan seed 0: its process was ended by SIGKILL" in capsys.readouterr().err
    assert not records_in(cut.out)  # no speed yet
    stopped = crew_of(cut, Acting(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="the same command goes on"):
        stopped.work(1)
    assert not stopped.workers and signal.getsignal(signal.SIGTERM) == before
    bench(cut, Lines(), jobs=2)
    whole = suite_in(tmp_path / "whole", overrides=overrides)
    bench(whole, Lines())
    assert ends(cut) == ends(whole) and ends(cut).keys() == {"gan", "wgan-gp", "noise-floor"}
    assert not list(tmp_path.rglob("pending"))
    again = Lines()
    bench(cut, again, jobs=2)
    assert again.steps == 1


def test_a_run_begins_when_those_that_it_needs_have_ended(tmp_path):
    plans = plan_suite(suite_in(tmp_path, (PUPIL, GAMES[0]), "{wandb.mode: disabled}"), "cpu")
    crew = Crew(plans, plans, "tiny", Lines(), ())
    teacher, pupil, other = plans
    assert crew._next() is teacher
    crew.waiting.remove(teacher)
    crew.workers = [SimpleNamespace(plan=teacher)]
    assert crew._next() is other
    crew.waiting.remove(other)
    assert crew._next() is None
    crew.workers = [SimpleNamespace(plan=None)]
    assert crew._next() is pupil


def test_a_second_interrupt_ends_a_suite_at_once():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    for first in numbers:
        crew = Crew([], [], "tiny", Lines(), ())
        with crew._forwarding_signals():
            signal.raise_signal(first)
            assert crew.stopped is not None
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert [signal.getsignal(number) for number in numbers] == before


def test_a_worker_ends_when_the_process_that_made_it_has_ended():
    worker = Worker(Lines())
    worker.connection.close()  # as the system does it for a process that is killed
    assert worker.process.wait(timeout=60) == Stopped.exit_code


def test_an_evaluation_waits_for_its_speed_and_only_as_long_as_it_is_of_these_weights(
    tmp_path, monkeypatch
):
    """What waits becomes the record; what was changed, or is of other code, is measured again."""
    suite = suite_in(tmp_path)
    plan = plan_suite(suite, "cpu")[0]
    train(plan.config)
    score_run(plan.run, plan.out, ["default"])
    (waiting,) = (plan.run.path / "pending").iterdir()
    content = waiting.read_text()
    counted = []
    monkeypatch.setattr(
        "genbench.evaluation.evaluate.score_samples", lambda *_: counted.append(1) or {}
    )
    score_run(plan.run, plan.out, ["default"])
    assert not counted and waiting.read_text() == content
    record = Record.from_json(content)
    other = replace(record, cost=replace(record.cost, images_seen=record.cost.images_seen + 1))
    for wrong in (content.replace('"value": ', '"value": 1'), content[:-20], "[]", other.to_json()):
        waiting.write_text(wrong)
        score_run(plan.run, plan.out, ["default"])
        assert counted.pop()
    waiting.write_text(content)
    monkeypatch.setattr("genbench.evaluation.provenance._COMMIT", "of another day")
    score_run(plan.run, plan.out, ["default"])
    assert counted


def test_as_many_runs_at_once_as_cores_and_one_where_a_run_is_several_processes(
    tmp_path, monkeypatch
):
    plans = plan_suite(suite_in(tmp_path), "cpu")
    monkeypatch.setattr("genbench.suites.jobs.available_cores", lambda: 6)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert default_jobs(plans) == 3
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert default_jobs(plans) == 1
    several = suite_in(
        tmp_path / "several", overrides=OVERRIDES.replace("{", "{trainer.devices: 2, ", 1)
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert default_jobs(plan_suite(several, "cpu")) == 1
    with pytest.raises(
        InputError, match="--jobs 2: points2d/gan seed 0 is trained by 2 processes; use --jobs 1"
    ):
        bench(several, Lines(), jobs=2)
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


# --- the command ----------------------------------------------------------------------------------------------------------


def workers_of(suite: Path) -> list[int]:
    """Process ids of the workers of a command; they have its working directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"genbench.suites.worker" in (folder / "cmdline").read_bytes()
                and (folder / "cwd").readlink() == suite
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_for(condition: Any, seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(condition)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc")
def test_a_command_that_is_killed_takes_its_workers_with_it_and_goes_on(tmp_path, capsys):
    overrides = (
        "{wandb.mode: disabled, budget.images: 6400, data.batch_size: 16, trainer.log_every: 16}"
    )
    entries = (PUPIL, *GAMES)
    cut = suite_in(tmp_path / "cut", entries, overrides)
    command = [sys.executable, "-m", "genbench", "bench", "tiny.yaml", "--jobs", "2"]

    def begun() -> list[int]:
        states = [json.loads(path.read_text()) for path in cut.out.rglob("state.json")]
        running = [state for state in states if state["status"] == "running"]
        return (
            workers_of(tmp_path / "cut")
            if running and sum(state["images_seen"] for state in states) > 0
            else []
        )

    for number, code in ((signal.SIGTERM, 75), (signal.SIGINT, 75), (signal.SIGKILL, -9)):
        process = subprocess.Popen(
            command, cwd=tmp_path / "cut", stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        wait_for(begun)
        if number == signal.SIGINT:  # as a terminal sends it: to all
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == code and "Traceback" not in errors, errors
        wait_for(lambda: not workers_of(tmp_path / "cut"), 10)
    done = subprocess.run(command, cwd=tmp_path / "cut", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = suite_in(tmp_path / "whole", entries, overrides)
    bench(whole, Lines())
    one, other = ends(cut), ends(whole)
    for tree in (*one.values(), *other.values()):  # the command measures speeds
        del tree["speed"]
    assert one == other and len(one) == 4
