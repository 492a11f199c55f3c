"""A suite: (configuration, seed) pairs -> runs, records, tables and the page. The same command
again does what is missing.

out: runs/quickstart             # records/, pictures/, <dataset>.md and index.html; in the checkout unless absolute
runs: runs/quickstart            # run folders: <runs>/<dataset>/<model>/s<seed>
seeds: [0]
overrides: {wandb.mode: offline} # for every run
entries:
  - config: digits/vae
  - config: digits/ddpm
    evaluations: [ddim50]        # which of the recipe's; all where not given

A run that another one `needs` comes before it: that of the entry of its recipe, where there is one,
else a run that is trained by the suite's overrides and not evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genbench.errors import GenbenchError
from genbench.suites.plan import Plan, out_of_reach, plan_suite
from genbench.suites.reporter import Reporter
from genbench.suites.suite import Suite

__all__ = ["bench", "finish"]


def bench(
    suite: Suite,
    reporter: Reporter,
    device: str = "cpu",
    trust: Sequence[str] = (),
    jobs: int | None = 1,
) -> list[Path]:
    """Train and evaluate whatever the suite lacks, then write tables and page.

    Args:
        suite: What to do.
        reporter: Is told about every step.
        device: Where runs are evaluated.
        trust: Modules outside genbench that configurations may name.
        jobs: How many runs are trained and scored at once; None: as many as fit this machine.

    Returns:
        The files of the leaderboard.

    Raises:
        InputError: Something is wrong with the suite, before anything is trained.
        Stopped: Interrupted; the same command goes on.
        GenbenchError: Some runs could not be evaluated; the others were, and the tables are
            written.
    """
    from genbench.suites.complete import depends_on, note_complete, program_digest
    from genbench.suites.jobs import perform_all

    program = program_digest()
    plans = plan_suite(suite, device, trust)
    files = depends_on(plans)
    failures = perform_all(plans, suite.name, reporter, trust, jobs)
    written = finish(plans, suite.out, reporter)
    for line in out_of_reach(plans).values():
        reporter.note(f"not evaluated: {line}")
    if failures:
        raise GenbenchError(
            f"not evaluated: {', '.join(failures)}; the same command tries them again"
        )
    if (
        device == "cpu"
        and files is not None
        and not trust
        and all(plan.done() for plan in plans if plan.variants)
    ):
        note_complete(suite, program, files)
    return written


def finish(plans: Sequence[Plan], out: Path, reporter: Reporter) -> list[Path]:
    """Measure the noise floors of every protocol, and write the tables and the page.

    Returns:
        Their files; none where there are no records.
    """
    from genbench.evaluation.noise_floor import noise_floor
    from genbench.leaderboard import build

    reporter.step("tables")
    rows = [plan for plan in plans if plan.variants]
    floors = {
        (plan.data.name, plan.config.seed, plan.config.resolved["protocol"]): plan for plan in rows
    }
    for (_, seed, protocol), plan in floors.items():
        noise_floor(plan.data, seed, out, plan.device, protocol)
    if (out / "records").is_dir():
        return build(out)
    return []
