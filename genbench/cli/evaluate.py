"""genbench evaluate: measure a finished run, or images of another tool."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from genbench.cli.arguments import add_device, add_trust, natural, path_argument, positive
from genbench.cli.device import find_device
from genbench.errors import InputError

__all__ = ["add_evaluate", "run_evaluate"]


def add_evaluate(commands: Any) -> None:
    """Add the command evaluate."""
    evaluate = commands.add_parser(
        "evaluate", help="measure a finished run: one record per evaluation"
    )
    evaluate.add_argument("run", nargs="?", help="run folder; left out with --samples")
    evaluate.add_argument("--variant", help="only this one of the configuration's evaluations")
    evaluate.add_argument(
        "--out",
        type=path_argument,
        help="folder for records/ and pictures/ (runs, in the checkout or here)",
    )
    evaluate.add_argument(
        "--devices",
        type=positive,
        default=1,
        help="processes per node, one device each: the same record (1)",
    )
    evaluate.add_argument(
        "--num-nodes",
        type=positive,
        default=1,
        help="nodes, of a job that srun or torchrun starts (1)",
    )
    other = evaluate.add_argument_group("images of another tool")
    other.add_argument(
        "--samples",
        type=path_argument,
        metavar="PATH",
        help="a folder or a zip of pictures, or an npz file with images",
    )
    other.add_argument(
        "--data", metavar="NAME", help="the data set that they imitate, as in genbench data list"
    )
    other.add_argument("--root", help="folder of the data ($GENBENCH_DATA, else ~/.cache/genbench)")
    other.add_argument(
        "--name", help="what their row of the table is called: letters, digits, and . _ + -"
    )
    other.add_argument(
        "--seed",
        type=natural,
        help="which training they come from; seeds of a name are one row (0)",
    )
    other.add_argument(
        "--protocol",
        metavar="NAME",
        help="how they are judged, in configs/protocols (as the data are)",
    )
    evaluate.set_defaults(act=run_evaluate)
    add_trust(evaluate)
    add_device(evaluate)


def run_evaluate(arguments: Any) -> None:
    """Measure a finished run, or images of another tool, and print the tables of the folder.

    Raises:
        InputError: Options contradict each other, or the run or the images cannot be measured.
    """
    foreign = {f"--{key}": getattr(arguments, key) for key in ("samples", "data", "name")}
    if (arguments.run is None) != all(foreign.values()) or (
        arguments.run is not None and any(foreign.values())
    ):
        raise InputError(
            "genbench evaluate RUN, or genbench evaluate --samples PATH --data NAME --name LABEL"
        )
    if arguments.run is not None and arguments.protocol is not None:
        option = shlex.quote(f"--protocol={arguments.protocol}")
        raise InputError(
            "--protocol is about --samples; a run is judged by the protocol of its configuration, "
            f"which genbench train -c RECIPE {option} changes without training again"
        )
    if arguments.run is not None and any(
        value is not None for value in (arguments.seed, arguments.root)
    ):
        raise InputError(
            "--seed and --root are about --samples; a run has its own in its configuration"
        )
    if arguments.samples is not None and arguments.variant is not None:
        raise InputError("--variant is about a run; images of another tool have none")
    from genbench.leaderboard import render_tables
    from genbench.system.locations import project_root
    from genbench.system.processes import rank

    out = arguments.out or project_root() / "runs"
    written = (
        _evaluate_samples(arguments, out) if arguments.samples else _evaluate_run(arguments, out)
    )
    if rank() == 0:
        print("\n".join(map(str, written)), end="\n\n")
        print(render_tables(out, "md"), end="")


def _evaluate_run(arguments: Any, out: Path) -> list[Path]:
    """Measure a run; returns the files of its records."""
    from genbench.evaluation.evaluate import evaluate_run
    from genbench.runs.find import find_run
    from genbench.system.processes import join

    run = find_run(arguments.run)
    variants = None  # None stands for all variants.
    if arguments.variant is not None:
        variants = [arguments.variant]
    device = join(arguments.devices, arguments.num_nodes, find_device(arguments.device))
    return evaluate_run(run, out, variants, arguments.trust, device)


def _evaluate_samples(arguments: Any, out: Path) -> list[Path]:
    """Measure images of another tool; returns the file of their record."""
    from genbench.data.commands import named
    from genbench.evaluation.foreign import evaluate_samples
    from genbench.system.processes import join

    data = named(arguments.data, arguments.root)
    device = join(arguments.devices, arguments.num_nodes, find_device(arguments.device))
    return [
        evaluate_samples(
            arguments.samples,
            data,
            arguments.name,
            out,
            arguments.seed or 0,
            arguments.protocol,
            device,
        )
    ]
