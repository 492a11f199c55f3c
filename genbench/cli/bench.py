"""genbench bench"""

from __future__ import annotations

from typing import Any

from genbench.cli.arguments import path_argument
from genbench.cli.device import find_device
from genbench.errors import InputError

__all__ = ["run_bench"]


def run_bench(given: Any) -> None:
    if given.task is not None or given.tables:
        if given.jobs is not None:
            raise InputError("--jobs is about a suite; --task and --tables are one process")
        _bench_manifest(given)
        return
    if not given.slurm:
        for key in ("cluster", "dry_run"):
            if getattr(given, key):
                raise InputError(f"--{key.replace('_', '-')} belongs to --slurm")
    elif given.jobs is not None:
        raise InputError(
            "--jobs is about this machine; how many runs a cluster does at once is array_limit of its settings"
        )
    from genbench.suites.complete import is_complete
    from genbench.suites.suite import load_suite

    suite = load_suite(given.suite)
    if not given.slurm and is_complete(suite, given.device, given.trust):
        _show_suite(suite, nothing_to_do=True)
        return
    suite.pairs(given.trust)
    if given.slurm:
        from genbench.cluster.site import load_cluster
        from genbench.cluster.submit import submit

        for line in submit(
            suite, load_cluster(given.cluster or "default"), given.trust, given.dry_run
        ):
            print(line, flush=True)
        return
    from genbench.suites.bench import bench
    from genbench.system.progress import reporter

    with reporter() as report:
        bench(suite, report, find_device(given.device), given.trust, given.jobs)
    _show_suite(suite, nothing_to_do=report.steps == 1)


def _show_suite(suite: Any, nothing_to_do: bool) -> None:
    from genbench.leaderboard.terminal import print_comparison

    print_comparison(suite.out)
    if nothing_to_do:
        print(f"Nothing to do: every run of {suite.name} is trained and evaluated.")
    print(f"The page: {suite.out / 'index.html'}")


def _bench_manifest(given: Any) -> None:
    from genbench.suites.manifest import read_manifest, run_task, write_tables
    from genbench.system.progress import reporter

    manifest = read_manifest(path_argument(given.suite), tuple(given.trust))
    find_device(manifest.device)
    with reporter() as report:
        if given.task is not None:
            run_task(manifest, given.task, report)
        else:
            print("\n".join(map(str, write_tables(manifest, report))))
