"""genbench bench: train and evaluate a suite, on this machine or on a SLURM cluster."""

from __future__ import annotations

from typing import Any

from genbench.cli.arguments import add_device, add_trust, natural, path_argument, positive
from genbench.cli.device import find_device
from genbench.errors import InputError

__all__ = ["add_bench", "run_bench"]


def add_bench(commands: Any) -> None:
    """Add the command bench."""
    bench = commands.add_parser(
        "bench", help="train and evaluate a suite, and write its tables and page"
    )
    bench.add_argument(
        "suite",
        help="a YAML file, or a name in configs/suites; a manifest with --task and --tables",
    )
    bench.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help=(
            "runs trained and scored at once, in processes of one thread; speeds are measured"
            " afterwards (as many as cores; 1 with a GPU)"
        ),
    )
    slurm = bench.add_argument_group("on a SLURM cluster")
    slurm.add_argument(
        "--slurm",
        action="store_true",
        help="submit what is lacking as one job array, and the tables after it",
    )
    slurm.add_argument(
        "--cluster",
        metavar="NAME",
        help="the site's settings: a YAML file, or a name in configs/cluster (default)",
    )
    slurm.add_argument(
        "--dry-run", action="store_true", help="print commands and scripts, and submit nothing"
    )
    slurm.add_argument(
        "--task",
        type=natural,
        metavar="K",
        help="train and evaluate run K of a manifest: what the jobs call",
    )
    slurm.add_argument(
        "--tables",
        action="store_true",
        help="write tables from the records of a manifest's runs, and say what lacks",
    )
    bench.set_defaults(act=run_bench)
    add_trust(bench)
    add_device(bench)


def run_bench(arguments: Any) -> None:
    """Do what a suite lacks; or submit it to a cluster; or do a part of a manifest.

    Raises:
        InputError: Options contradict each other, or something is wrong with the suite.
        GenbenchError: Some runs could not be evaluated.
    """
    if arguments.task is not None or arguments.tables:
        if arguments.jobs is not None:
            raise InputError("--jobs is about a suite; --task and --tables are one process")
        _bench_manifest(arguments)
        return
    if not arguments.slurm:
        for key in ("cluster", "dry_run"):
            if getattr(arguments, key):
                raise InputError(f"--{key.replace('_', '-')} belongs to --slurm")
    elif arguments.jobs is not None:
        raise InputError(
            "--jobs is about this machine; how many runs a cluster does at once is array_limit of"
            " its settings"
        )
    from genbench.suites.complete import is_complete
    from genbench.suites.suite import load_suite

    suite = load_suite(arguments.suite)
    if not arguments.slurm and is_complete(suite, arguments.device, arguments.trust):
        _show_suite(suite, nothing_to_do=True)
        return
    suite.pairs(arguments.trust)
    if arguments.slurm:
        from genbench.cluster.site import load_cluster
        from genbench.cluster.submit import submit

        for line in submit(
            suite, load_cluster(arguments.cluster or "default"), arguments.trust, arguments.dry_run
        ):
            print(line, flush=True)
        return
    from genbench.suites.bench import bench
    from genbench.system.progress import reporter

    with reporter() as report:
        bench(suite, report, find_device(arguments.device), arguments.trust, arguments.jobs)
    _show_suite(suite, nothing_to_do=report.steps == 1)


def _show_suite(suite: Any, nothing_to_do: bool) -> None:
    """Print the comparison of a suite's models, and where its page lies."""
    from genbench.leaderboard.terminal import print_comparison

    print_comparison(suite.out)
    if nothing_to_do:
        print(f"Nothing to do: every run of {suite.name} is trained and evaluated.")
    print(f"The page: {suite.out / 'index.html'}")


def _bench_manifest(arguments: Any) -> None:
    """Do one run of a manifest, or write its tables: what the jobs of a cluster call."""
    from genbench.suites.manifest import read_manifest, run_task, write_tables
    from genbench.system.progress import reporter

    manifest = read_manifest(path_argument(arguments.suite), tuple(arguments.trust))
    find_device(manifest.device)
    with reporter() as report:
        if arguments.task is not None:
            run_task(manifest, arguments.task, report)
        else:
            print("\n".join(map(str, write_tables(manifest, report))))
