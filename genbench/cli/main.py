"""The command line.

Heavy libraries are imported only inside the command that needs them, so that help and lists answer
at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from genbench.cli.arguments import Parser, natural, overrides, path_argument, positive
from genbench.cli.bench import run_bench
from genbench.cli.data import add_data
from genbench.cli.output import print_anything, to_terminal
from genbench.cli.runs import run_evaluate, run_explore, run_sample, run_train
from genbench.cli.tables import run_compare, run_list, run_table
from genbench.cli.wandb import add_wandb
from genbench.config.settings import argument_table
from genbench.errors import GenbenchError, InputError, Stopped, Unwritable

__all__ = ["main"]

_BEGIN = """to begin with:
  genbench bench quickstart      seven families on small digits, compared on one page: minutes
  genbench list                  models, configurations, suites, and runs with their state
  genbench train -c digits/vae   one model; at its end stands the command that measures it
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 2 bad input, 3 diverged, 75 stopped (the same
    command resumes).
    """
    print_anything()
    logging.getLogger("genbench").addHandler(to_terminal())
    try:
        parser = _parser()
        if not (sys.argv[1:] if arguments is None else arguments):
            parser.print_help()
            return 0
        given, rest = parser.parse_known_args(arguments)
        if rest and given.command != "train":
            raise InputError(
                f"genbench {given.command}: unknown argument {rest[0]}; see genbench {given.command} --help"
            )
        if given.command == "train":
            given.overrides = overrides(rest)
        given.act(given)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except GenbenchError as error:
        print(f"genbench: {error}", file=sys.stderr)
        return error.exit_code
    except Unwritable as error:
        print(f"genbench: {error}", file=sys.stderr)
        return InputError.exit_code
    except OSError as error:  # a path that cannot be read or written
        print(f"genbench: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return InputError.exit_code
    except KeyboardInterrupt:
        print("genbench: interrupted; the same command goes on", file=sys.stderr)
        return Stopped.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="genbench", description="Deep generative models, trained on the same data and measured by one harness.",
        epilog=_BEGIN, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )

    train = commands.add_parser(
        "train", help="train a configuration; the same command again goes on", epilog="keys, each as --key=value:\n" + argument_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter, usage="genbench train -c CONFIG [--a.b=value ...]",
    )  # fmt: skip
    train.add_argument(
        "-c",
        "--config",
        required=True,
        help="a YAML file, or a recipe such as digits/vae (see genbench list)",
    )
    train.add_argument(
        "--smoke", action="store_true", help="shrink the run to seconds, as the recipe says how"
    )
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="check and print the resolved configuration, and stop",
    )
    train.add_argument(
        "--out",
        type=path_argument,
        help="where a diverged run is recorded (runs, in the checkout or here)",
    )
    train.set_defaults(act=run_train)

    sample = commands.add_parser("sample", help="sample from a finished run")
    sample.add_argument("run", help="run folder")
    sample.add_argument("-n", type=positive, default=64, help="number of images (64)")
    sample.add_argument(
        "-o",
        "--out",
        type=path_argument,
        required=True,
        help="grid.png, images.npz, or a folder for one PNG per image, pixel for pixel: a new one, an empty one, or one that holds the"
        " same samples",
    )
    sample.add_argument(
        "--seed",
        type=natural,
        default=0,
        help="sample i is a function of the weights, this seed and i (0)",
    )
    sample.add_argument(
        "--variant",
        default="default",
        help="which of the configuration's evaluations gives the sampler's options",
    )
    sample.add_argument(
        "--label",
        metavar="NAME",
        help="the class of every image, of a conditional model: its name, or its number where no class has"
        " that name (by class frequencies)",
    )
    sample.add_argument(
        "--batch",
        type=positive,
        default=256,
        help="images computed at once; changes none, but by an adaptive solver's tolerance (256)",
    )
    sample.set_defaults(act=run_sample)

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
    other.add_argument("--name", help="what their row of the table is called")
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

    bench = commands.add_parser(
        "bench", help="train and evaluate a suite, and write its tables and page"
    )
    bench.add_argument(
        "suite",
        help="a YAML file, or a name in configs/suites; a manifest with --task and --tables",
    )
    bench.add_argument(
        "--jobs", type=positive, metavar="N",
        help="runs trained and scored at once, in processes of one thread; speeds are measured afterwards (as many as cores; "
        "1 with a GPU)",
    )  # fmt: skip
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

    explorer = commands.add_parser(
        "explore", help="figures of a finished run: samples, latents, neighbours, diffusion"
    )
    explorer.add_argument("run", help="run folder")
    explorer.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="this figure alone; may be repeated",
    )
    explorer.add_argument(
        "--seed",
        type=natural,
        default=0,
        help="of samples and of the choice of held-out images (0)",
    )
    explorer.add_argument(
        "--label",
        metavar="NAME",
        help="the class of samples, of a conditional model, and of held-out images: its name, or its number",
    )
    explorer.add_argument(
        "--out",
        type=path_argument,
        help="folder of a page that gets the figures too, such as leaderboards",
    )
    explorer.set_defaults(act=run_explore)

    table = commands.add_parser("table", help="print the tables of a folder of records")
    table.add_argument(
        "out",
        nargs="?",
        type=path_argument,
        help="folder with records/ (leaderboards, in the checkout or here)",
    )
    table.add_argument("--format", choices=("md", "csv", "latex"), default="md", help="md")
    table.add_argument(
        "--write",
        action="store_true",
        help="also write <dataset>.md and index.html into the folder",
    )
    table.set_defaults(act=run_table)

    comparer = commands.add_parser(
        "compare", help="two rows of a table: better, worse or not resolved"
    )
    comparer.add_argument("a", help="a row as the tables name it: ddpm@ddim50, noise-floor")
    comparer.add_argument("b", help="another row")
    comparer.add_argument("--dataset", help="only its boards")
    comparer.add_argument(
        "--out",
        type=path_argument,
        help="folder with records/ (leaderboards, in the checkout or here)",
    )
    comparer.set_defaults(act=run_compare)

    lister = commands.add_parser(
        "list", help="models with their papers, configurations, suites, and runs with their state"
    )
    lister.add_argument(
        "--classes",
        action="store_true",
        help="instead: class paths of models, data sets and networks",
    )
    lister.set_defaults(act=run_list)

    add_data(commands)
    add_wandb(commands)

    for command in (train, sample, evaluate, bench, explorer):
        command.add_argument(
            "--trust",
            action="append",
            default=[],
            metavar="MODULE",
            help="a module that a class_path may name",
        )
    for command in (sample, evaluate, bench, explorer):
        command.add_argument(
            "--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: cuda if there is one)"
        )
    return parser
