"""genbench claims: the claims of the lectures, each with a verdict from records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genbench.cli.arguments import add_device, add_trust, path_argument, positive
from genbench.errors import InputError, nearest

__all__ = ["add_claims", "run_claims"]


def add_claims(commands: Any) -> None:
    """Add the command claims."""
    claims = commands.add_parser(
        "claims", help="verdicts on the claims of the lectures, and the runs that they lack"
    )
    claims.add_argument("--data", metavar="NAME", help="only the claims on this data set")
    claims.add_argument(
        "--out",
        type=path_argument,
        help=(
            "folder with records/ (leaderboards, in the checkout or here); claims.md is written"
            " there"
        ),
    )
    claims.add_argument(
        "--run",
        action="store_true",
        help="train and evaluate what lacks first; the same command again goes on",
    )
    claims.add_argument(
        "--jobs", type=positive, metavar="N", help="with --run: as of genbench bench"
    )
    slurm = claims.add_argument_group("on a SLURM cluster, with --run")
    slurm.add_argument("--slurm", action="store_true", help="submit what lacks")
    slurm.add_argument("--cluster", metavar="NAME", help="as of genbench bench")
    slurm.add_argument(
        "--dry-run", action="store_true", help="print commands and scripts, and submit nothing"
    )
    claims.set_defaults(act=run_claims)
    add_trust(claims)
    add_device(claims)


def run_claims(arguments: Any) -> None:
    """Print the verdicts and write claims.md; with --run train first what lacks.

    Raises:
        InputError: Options contradict each other, or an entry or a record is bad.
        GenbenchError: Some runs could not be evaluated.
    """
    from genbench.leaderboard.claims.decision import verdicts
    from genbench.leaderboard.claims.text import FILE, claims_text, verdict_lines
    from genbench.system.files import write_atomic
    from genbench.system.locations import project_root

    check_options(arguments)
    out = arguments.out or project_root() / "leaderboards"
    if not arguments.run and not any(
        (out / name).exists() for name in ("records", "claims", "demos")
    ):
        raise InputError(
            f"{out} has no records/; genbench bench or genbench evaluate writes them, and "
            "genbench claims --run trains what the claims lack"
        )
    every = verdicts(out)
    known = {verdict.dataset for verdict in every if verdict.dataset}
    if arguments.data is not None and arguments.data not in known:
        raise InputError(
            f"no claim is about the data {arguments.data!r}; {nearest(arguments.data, known)}"
        )
    if arguments.run:
        train_lacking(arguments, out, every)
        every = verdicts(out)
    for line in verdict_lines(every, arguments.data):
        print(line)
    write_atomic(out / FILE, claims_text(every))
    print(f"All of them: {out / FILE}")


def check_options(arguments: Any) -> None:
    """Check that options belong together.

    Raises:
        InputError: One needs another.
    """
    for name in ("jobs", "slurm", "cluster", "dry_run"):
        if getattr(arguments, name) and not arguments.run:
            raise InputError(f"--{name.replace('_', '-')} belongs to --run")
    for name in ("cluster", "dry_run"):
        if getattr(arguments, name) and not arguments.slurm:
            raise InputError(f"--{name.replace('_', '-')} belongs to --slurm")


def train_lacking(arguments: Any, out: Path, every: Any) -> None:
    """Train and evaluate what verdicts lack, on this machine or on a cluster.

    Args:
        arguments: The options.
        out: Folder with records/.
        every: The verdicts.
    """
    from genbench.cli.device import find_device
    from genbench.leaderboard.claims.text import lacking_runs
    from genbench.suites.bench import bench
    from genbench.suites.claims import claim_suites
    from genbench.system.progress import reporter

    lacks = lacking_runs(verdict for verdict in every if arguments.data in (None, verdict.dataset))
    suites = claim_suites(lacks, out)
    for suite in suites:
        suite.pairs(arguments.trust)
    for suite in suites:
        if arguments.slurm:
            from genbench.cluster.site import load_cluster
            from genbench.cluster.submit import submit

            cluster = load_cluster(arguments.cluster or "default")
            for line in submit(suite, cluster, arguments.trust, arguments.dry_run):
                print(line, flush=True)
            continue
        with reporter() as report:
            bench(suite, report, find_device(arguments.device), arguments.trust, arguments.jobs)
