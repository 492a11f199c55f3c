"""The stages of a suite's runs: train, score, measure the speed. One run after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from genbench.errors import Diverged, GenbenchError, Stopped
from genbench.suites.plan import Plan, lacking, out_of_reach
from genbench.suites.reporter import Reporter

__all__ = ["noting_failure", "one_by_one", "perform", "train_and_score"]


def one_by_one(
    plans: Sequence[Plan], suite: str, reporter: Reporter, trust: Sequence[str] = ()
) -> list[str]:
    """Do what is lacking in this process.

    Args:
        plans: Every run of the suite, a needed run before those that need it.
        suite: Name of the suite.
        reporter: Is told about every step.
        trust: Modules outside genbench that configurations may name.

    Returns:
        The labels of runs that could not be evaluated.

    Raises:
        Stopped: Interrupted; the same command goes on.
    """
    missing = lacking(plans)
    reporter.begin(sum(plan.steps for plan in missing) + 1)
    failures: list[str] = []
    for plan in missing:
        if plan in out_of_reach(plans):
            continue
        with noting_failure(plan, reporter, failures):
            try:
                perform(plan, suite, reporter, trust)
            except Diverged as error:
                reporter.note(str(error))
    return failures


@contextmanager
def noting_failure(plan: Plan, reporter: Reporter, failures: list[str]) -> Iterator[None]:
    """Turn the failure of a run into a note, so that the other runs go on.

    Args:
        plan: The run.
        reporter: Takes the note.
        failures: Labels of the runs that failed, to which this one is added.

    Raises:
        Stopped: Interrupted, which is no failure.
    """
    try:
        yield
    except Stopped:
        raise
    except GenbenchError as error:
        reporter.note(f"{plan.label}: {error}")
        failures.append(plan.label)


def perform(plan: Plan, suite: str, reporter: Reporter, trust: Sequence[str] = ()) -> None:
    """Train a run and write its records, as one process or as several.

    Raises:
        Diverged: The run diverged, which is recorded.
        Stopped: Interrupted; the same command goes on.
        GenbenchError: The run could not be trained or evaluated.
    """
    from genbench.evaluation.evaluate import evaluate_run

    device = train_plan(plan, suite, reporter, trust)
    if plan.variants:
        reporter.step(f"evaluate {plan.label}")
        evaluate_run(plan.run, plan.out, plan.variants, trust, device)


def train_and_score(plan: Plan, suite: str, reporter: Reporter, trust: Sequence[str] = ()) -> None:
    """All of `perform` that may go on beside other runs: only the speed is lacking, and with it the
    records.

    Raises:
        Diverged: The run diverged, which is recorded.
        Stopped: Interrupted; the same command goes on.
        GenbenchError: The run could not be trained or scored.
    """
    from genbench.evaluation.evaluate import score_run

    device = train_plan(plan, suite, reporter, trust)
    if plan.variants:
        reporter.step(f"evaluate {plan.label}")
        score_run(plan.run, plan.out, plan.variants, trust, device)


def train_plan(plan: Plan, suite: str, reporter: Reporter, trust: Sequence[str] = ()) -> str:
    """Train a run, as one process or as several.

    Returns:
        The device on which this process measures.

    Raises:
        Diverged: The run diverged, which is recorded.
        Stopped: Interrupted; the same command goes on.
        GenbenchError: The run could not be trained.
    """
    from genbench.evaluation.evaluate import record_divergence
    from genbench.system.processes import agreed, join, rank, wait
    from genbench.training.train import train

    settings = plan.config.trainer
    device = join(settings.devices, settings.num_nodes, plan.device)
    reporter.step(f"train {plan.label}", plan.config.budget.images)
    diverged: Diverged | None = None
    try:
        train(plan.config, reporter.progress, suite=suite)
    except Diverged as error:
        diverged = error
    # The first process alone finishes a run, and may find there that it diverged.
    wait()
    if agreed(diverged is not None):
        if rank() == 0 and plan.variants:
            record_divergence(plan.run, plan.out, trust, device)
        raise diverged or Diverged(f"{plan.run.path} diverged")
    return device
