"""The command line. Heavy libraries are imported only inside the command that needs them, so that help and lists answer at once."""

from __future__ import annotations

import argparse
import codecs
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from genbench.errors import GenbenchError, InputError, Stopped, Unwritable, nearest
from genbench.settings import argument_table

__all__ = ["main"]

_BEGIN = """to begin with:
  genbench bench quickstart      seven families on small digits, compared on one page: minutes
  genbench list                  models, configurations, suites, and runs with their state
  genbench train -c digits/vae   one model; at its end stands the command that measures it
"""


class _Parser(argparse.ArgumentParser):
    """One line per error; no abbreviations, which would swallow overrides; no option twice, of which one would be lost."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **settings})
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog.removeprefix('genbench').strip()} {message}".strip())


class _StoreOnce(argparse.Action):
    """Keep an option's value; a second one is refused."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        given: set[str] = vars(namespace).setdefault("options_given", set())
        if option_string is not None and self.dest in given:
            parser.error(f"{'/'.join(self.option_strings)} is given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 2 bad input, 3 diverged, 75 stopped (the same command resumes)."""
    print_anything()
    logging.getLogger("genbench").addHandler(_to_terminal())
    try:
        parser = _parser()
        if not (sys.argv[1:] if arguments is None else arguments):
            parser.print_help()
            return 0
        given, rest = parser.parse_known_args(arguments)
        if rest and given.command != "train":
            raise InputError(f"genbench {given.command}: unknown argument {rest[0]}; see genbench {given.command} --help")
        if given.command == "train":
            given.overrides = _overrides(rest)
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


def print_anything() -> None:
    """Let stdout and stderr print every text in whatever encoding they have: `+-` for `±`, and `\\u2026` for what has no such form.

    A table is printed after a record is written: a terminal of ASCII must not end the command there.
    """
    codecs.register_error("genbench", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="genbench")


# what tables, messages and bars print beyond ASCII
_PLAIN = {"±": "+-", "×": "x", "‖": "||", "∞": "inf", "–": "-", "—": "-", "−": "-", "…": "...", "≤": "<=", "≥": ">=", "≈": "~",
          "→": "->", "←": "<-", "·": ".", "“": '"', "”": '"', "‘": "'", "’": "'"}  # fmt: skip


def _in_plain_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters)
    return plain, error.end


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="genbench", description="Deep generative models, trained on the same data and measured by one harness.",
        epilog=_BEGIN, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    train = commands.add_parser(
        "train", help="train a configuration; the same command again goes on", epilog="keys, each as --key=value:\n" + argument_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter, usage="genbench train -c CONFIG [--a.b=value ...]",
    )  # fmt: skip
    train.add_argument("-c", "--config", required=True, help="a YAML file, or a recipe such as digits/vae (see genbench list)")
    train.add_argument("--smoke", action="store_true", help="shrink the run to seconds, as the recipe says how")
    train.add_argument("--dry-run", action="store_true", help="check and print the resolved configuration, and stop")
    train.add_argument("--out", type=_path, help="where a diverged run is recorded (runs, in the checkout or here)")
    train.set_defaults(act=_train)

    sample = commands.add_parser("sample", help="sample from a finished run")
    sample.add_argument("run", help="run folder")
    sample.add_argument("-n", type=_positive, default=64, help="number of images (64)")
    sample.add_argument(
        "-o",
        "--out",
        type=_path,
        required=True,
        help="grid.png, images.npz, or a folder for one PNG per image, pixel for pixel: a new one, an empty one, or one that holds the"
        " same samples",
    )
    sample.add_argument("--seed", type=_natural, default=0, help="sample i is a function of the weights, this seed and i (0)")
    sample.add_argument(
        "--variant", default="default", help="which of the configuration's evaluations gives the sampler's options"
    )
    sample.add_argument(
        "--label",
        metavar="NAME",
        help="the class of every image, of a conditional model: its name, or its number where no class has"
        " that name (by class frequencies)",
    )
    sample.add_argument(
        "--batch",
        type=_positive,
        default=256,
        help="images computed at once; changes none, but by an adaptive solver's tolerance (256)",
    )
    sample.set_defaults(act=_sample)

    evaluate = commands.add_parser("evaluate", help="measure a finished run: one record per evaluation")
    evaluate.add_argument("run", nargs="?", help="run folder; left out with --samples")
    evaluate.add_argument("--variant", help="only this one of the configuration's evaluations")
    evaluate.add_argument("--out", type=_path, help="folder for records/ and pictures/ (runs, in the checkout or here)")
    evaluate.add_argument(
        "--devices", type=_positive, default=1, help="processes per node, one device each: the same record (1)"
    )
    evaluate.add_argument("--num-nodes", type=_positive, default=1, help="nodes, of a job that srun or torchrun starts (1)")
    other = evaluate.add_argument_group("images of another tool")
    other.add_argument(
        "--samples", type=_path, metavar="PATH", help="a folder or a zip of pictures, or an npz file with images"
    )
    other.add_argument("--data", metavar="NAME", help="the data set that they imitate, as in genbench data list")
    other.add_argument("--root", help="folder of the data ($GENBENCH_DATA, else ~/.cache/genbench)")
    other.add_argument("--name", help="what their row of the table is called")
    other.add_argument("--seed", type=_natural, help="which training they come from; seeds of a name are one row (0)")
    other.add_argument("--protocol", metavar="NAME", help="how they are judged, in configs/protocols (as the data are)")
    evaluate.set_defaults(act=_evaluate)

    bench = commands.add_parser("bench", help="train and evaluate a suite, and write its tables and page")
    bench.add_argument("suite", help="a YAML file, or a name in configs/suites; a manifest with --task and --tables")
    bench.add_argument(
        "--jobs", type=_positive, metavar="N",
        help="runs trained and scored at once, in processes of one thread; speeds are measured afterwards (as many as cores; "
        "1 with a GPU)",
    )  # fmt: skip
    slurm = bench.add_argument_group("on a SLURM cluster")
    slurm.add_argument("--slurm", action="store_true", help="submit what is lacking as one job array, and the tables after it")
    slurm.add_argument(
        "--cluster", metavar="NAME", help="the site's settings: a YAML file, or a name in configs/cluster (default)"
    )
    slurm.add_argument("--dry-run", action="store_true", help="print commands and scripts, and submit nothing")
    slurm.add_argument("--task", type=_natural, metavar="K", help="train and evaluate run K of a manifest: what the jobs call")
    slurm.add_argument(
        "--tables", action="store_true", help="write tables from the records of a manifest's runs, and say what lacks"
    )
    bench.set_defaults(act=_bench)

    explorer = commands.add_parser("explore", help="figures of a finished run: samples, latents, neighbours, diffusion")
    explorer.add_argument("run", help="run folder")
    explorer.add_argument("--only", action="append", default=[], metavar="NAME", help="this figure alone; may be repeated")
    explorer.add_argument("--seed", type=_natural, default=0, help="of samples and of the choice of held-out images (0)")
    explorer.add_argument(
        "--label",
        metavar="NAME",
        help="the class of samples, of a conditional model, and of held-out images: its name, or its number",
    )
    explorer.add_argument("--out", type=_path, help="folder of a page that gets the figures too, such as leaderboards")
    explorer.set_defaults(act=_explore)

    table = commands.add_parser("table", help="print the tables of a folder of records")
    table.add_argument("out", nargs="?", type=_path, help="folder with records/ (leaderboards, in the checkout or here)")
    table.add_argument("--format", choices=("md", "csv", "latex"), default="md", help="md")
    table.add_argument("--write", action="store_true", help="also write <dataset>.md and index.html into the folder")
    table.set_defaults(act=_table)

    comparer = commands.add_parser("compare", help="two rows of a table: better, worse or not resolved")
    comparer.add_argument("a", help="a row as the tables name it: ddpm@ddim50, noise-floor")
    comparer.add_argument("b", help="another row")
    comparer.add_argument("--dataset", help="only its boards")
    comparer.add_argument("--out", type=_path, help="folder with records/ (leaderboards, in the checkout or here)")
    comparer.set_defaults(act=_compare)

    lister = commands.add_parser("list", help="models with their papers, configurations, suites, and runs with their state")
    lister.add_argument("--classes", action="store_true", help="instead: class paths of models, data sets and networks")
    lister.set_defaults(act=_list)

    _add_data(commands)
    _add_wandb(commands)

    for command in (train, sample, evaluate, bench, explorer):
        command.add_argument(
            "--trust", action="append", default=[], metavar="MODULE", help="a module that a class_path may name"
        )
    for command in (sample, evaluate, bench, explorer):
        command.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: cuda if there is one)")
    return parser


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="data sets: list, fetch, import one's own images, show")
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    lister = actions.add_parser("list", help="every data set, its sizes, and whether it is here")
    lister.set_defaults(act=_data_list)

    fetch = actions.add_parser("fetch", help="download a published data set, checked by its hash")
    fetch.add_argument("name", help="as in genbench data list")
    fetch.add_argument(
        "--mirror", metavar="URL", help="a folder laid out like the data's root, instead of the publisher ($GENBENCH_MIRROR)"
    )
    fetch.set_defaults(act=_data_fetch)

    weights = actions.add_parser(
        "fetch-weights",
        help="download a published feature extractor into $GENBENCH_WEIGHTS, else weights/ among the data; checked by its hash",
    )
    weights.add_argument("name", help="a card in configs/features: inception, dinov2")
    weights.add_argument(
        "--mirror", metavar="URL", help="a folder with weights/FILE, instead of the publisher ($GENBENCH_MIRROR)"
    )
    weights.set_defaults(act=_data_fetch_weights)

    importer = actions.add_parser("import", help="decode a folder or a zip of pictures, or an npz file, into a data set")
    importer.add_argument(
        "path", type=_path, help="folder (class folders give labels), zip, npz with images and labels, or npy"
    )
    importer.add_argument("--name", required=True, help="of the data set")
    importer.add_argument(
        "--size", type=_positive, required=True, help="height and width: the central square, reduced by Lanczos; never enlarged"
    )
    importer.add_argument("--channels", choices=("auto", "grey", "rgb"), default="auto", help="auto: grey if every picture is")
    importer.add_argument("--val", type=_amount, help="pictures held out for validation, a number or a share below 1 (0.1)")
    importer.add_argument("--test", type=_amount, help="pictures held out for testing, likewise (0.1)")
    importer.add_argument("--skip-bad", action="store_true", help="leave out pictures that are damaged or too small")
    importer.add_argument(
        "--leave-out", action="append", default=[], metavar="PATH",
        help="leave out a file or a folder, by its path inside the folder or zip; may be repeated",
    )  # fmt: skip
    importer.add_argument("--no-classes", action="store_true", help="pictures without classes, whatever folders they lie in")
    importer.add_argument(
        "--white", type=_positive, metavar="LEVEL", help="the value of white in grey pictures of more than 8 bits (65535)"
    )
    importer.add_argument("--replace", action="store_true", help="replace another data set of this name")
    importer.set_defaults(act=_data_import)

    show = actions.add_parser("show", help="a grid of images, counts, shape, levels and hash of a data set")
    show.add_argument("name", help="as in genbench data list")
    show.add_argument("-o", "--out", type=_path, help="where the grid goes, a .png file (runs/data, in the checkout or here)")
    show.set_defaults(act=_data_show)
    for action in (lister, fetch, weights, importer, show):
        action.add_argument("--root", help="folder of the data ($GENBENCH_DATA, else ~/.cache/genbench)")


def _add_wandb(commands: Any) -> None:
    wandb = commands.add_parser("wandb", help="a dashboard on wandb; upload what was logged offline")
    actions = wandb.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    dashboard = actions.add_parser("dashboard", help="a workspace that compares families: saved, or its JSON without a login")
    dashboard.add_argument("--entity", help="team or user (the login's own)")
    dashboard.add_argument("--project", default="genbench", help="project of the runs (genbench)")
    dashboard.add_argument("--data", default="digits", metavar="NAME", help="the runs of this data set (digits)")
    dashboard.add_argument("-o", "--out", type=_path, metavar="FILE", help="write its JSON here (wandb-dashboard.json)")
    dashboard.set_defaults(act=_wandb_dashboard)
    sync = actions.add_parser("sync", help="upload the runs that were logged offline, where there is a network")
    sync.add_argument("folder", nargs="?", type=_path, help="everything below it (runs, in the checkout or here)")
    sync.set_defaults(act=_wandb_sync)


def _path(text: str) -> Path:
    from genbench.files import expand_home

    return expand_home(text)


def _amount(text: str) -> float:
    try:
        value = float(text.replace("_", ""))
        if value > 0 and (value < 1 or value == int(value)):
            return value
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of pictures nor a share between 0 and 1")


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number >= 0")
    return int(text)


def _overrides(rest: Sequence[str]) -> list[str]:
    for argument in rest:
        if not argument.startswith("--") or "=" not in argument:
            raise InputError(f"genbench train: {argument!r} is not an override; write --key=value")
    return [argument[2:] for argument in rest]


def _to_terminal() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("genbench: %(message)s"))
    return handler


def _device(given: str) -> str:
    import torch

    from genbench.processes import settle_torch

    settle_torch()
    if given == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if given.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {given}: auto, cpu, cuda, cuda:1, ... or mps")
    try:
        torch.empty(1, device=given)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {given}: {str(error).splitlines()[0]}") from None
    return given


# --- commands -------------------------------------------------------------------------------------------------------------


def _train(given: Any) -> None:
    from genbench.config import load_config

    config = load_config(given.config, given.overrides, given.trust, given.smoke)
    from genbench.processes import settle_torch

    settle_torch()
    from genbench.build import build

    data, model = build(config)  # an impossible value ends the command before anything is written
    from genbench.errors import Diverged
    from genbench.evaluate import record_divergence
    from genbench.files import project_root
    from genbench.layout import is_primary
    from genbench.progress import reporter
    from genbench.protocol import load_protocol
    from genbench.run import run_folder
    from genbench.train import check_fit, train

    check_fit(config, data, model)
    if config.resolved["protocol"]:
        load_protocol(config.resolved["protocol"])
    if given.dry_run:
        from genbench.yaml12 import dump_yaml

        print(dump_yaml({"name": config.name, **config.resolved}), end="")
        return
    folder = run_folder(config, data.name)
    folder.refuse_links()
    before = folder.state()
    with reporter() as report:
        report.step(f"train {config.name} seed {config.seed}", config.budget.images)
        try:
            run = train(config, report.progress)
        except Diverged:
            out = given.out or project_root() / "runs"
            record_divergence(folder, out, tuple(given.trust), _device("auto"))
            raise
    state = run.state()
    if is_primary():
        again = (before["status"], before["images_seen"]) == ("done", state["images_seen"])
        images = state["images_seen"] + state["finalize_images"]
        did = f"{'was done before' if again else 'done'}, {images:,} images in {state['seconds']:.0f} s"
        print(f"{run.path}: {did}. Next: genbench evaluate {run.path}")


def _sample(given: Any) -> None:
    import numpy as np
    import torch

    from genbench.data.commands import numbered_name
    from genbench.evaluate import draw
    from genbench.files import check_target
    from genbench.pictures import check_folder, output_kind, save_folder, save_grid
    from genbench.run import open_run

    kind = output_kind(given.out)
    if kind == "folder":
        check_folder(given.out, given.n)
    if not given.out.is_dir():
        check_target(given.out)
    loaded = open_run(given.run, given.trust, _device(given.device))
    variant = "" if given.variant == "default" and "" in loaded.config.evaluations else given.variant
    if given.variant == "default" and "" not in loaded.config.evaluations:
        variant = next(iter(loaded.config.evaluations))
    if variant not in loaded.config.evaluations:
        raise InputError(f"no evaluation {variant!r}; {nearest(variant, loaded.config.evaluations)}")
    label, of_class = None, ""
    if given.label is not None:
        if not loaded.model.conditional:
            raise InputError(f"--label {given.label}: labels are not for a model of p(x)")
        label = loaded.data.label_of(given.label)
        of_class = f", class {numbered_name(label, loaded.data.classes[label])}"
    options, device = loaded.config.evaluations[variant].sample, _device(given.device)
    with torch.no_grad():
        parts = [x.cpu().numpy() for _, x in draw(loaded, given.n, given.seed, given.batch, options, device, label)]
    images, spec = np.concatenate(parts), loaded.data.spec
    if kind == "folder":
        save_folder(images, spec, given.out)
    elif kind == "grid":
        save_grid(images, spec, given.out)
    else:
        import io

        from genbench.files import write_atomic

        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images, levels=spec.levels)
        write_atomic(given.out, buffer.getvalue())
    print(f"{given.out}: {len(images)} images of {loaded.config.name}, seed {given.seed}{of_class}")


def _evaluate(given: Any) -> None:
    foreign = {f"--{key}": getattr(given, key) for key in ("samples", "data", "name")}
    if (given.run is None) != all(foreign.values()) or (given.run is not None and any(foreign.values())):
        raise InputError("genbench evaluate RUN, or genbench evaluate --samples PATH --data NAME --name LABEL")
    if given.run is not None and any(value is not None for value in (given.protocol, given.seed, given.root)):
        raise InputError("--protocol, --seed and --root are about --samples; a run has its own in its configuration")
    if given.samples is not None and given.variant is not None:
        raise InputError("--variant is about a run; images of another tool have none")
    from genbench.files import project_root
    from genbench.leaderboard import render_tables
    from genbench.processes import rank

    out = given.out or project_root() / "runs"
    written = _evaluate_samples(given, out) if given.samples else _evaluate_run(given, out)
    if rank() == 0:
        print("\n".join(map(str, written)), end="\n\n")
        print(render_tables(out, "md"), end="")


def _evaluate_run(given: Any, out: Path) -> list[Path]:
    from genbench.evaluate import evaluate
    from genbench.processes import join
    from genbench.run import find_run

    run = find_run(given.run)
    variants = list(run.config(given.trust).evaluations) if given.variant is None else [given.variant.replace("default", "")]
    device = join(given.devices, given.num_nodes, _device(given.device))
    return [evaluate(run, variant, out, tuple(given.trust), device) for variant in variants]


def _evaluate_samples(given: Any, out: Path) -> list[Path]:
    from genbench.data.commands import named
    from genbench.foreign import evaluate_samples
    from genbench.processes import join

    data = named(given.data, given.root)
    device = join(given.devices, given.num_nodes, _device(given.device))
    return [evaluate_samples(given.samples, data, given.name, out, given.seed or 0, given.protocol, device)]


def _explore(given: Any) -> None:
    from genbench.explore import explore

    device = _device(given.device)
    for line in explore(given.run, tuple(given.only), given.seed, given.label, given.out, tuple(given.trust), device):
        print(line, flush=True)


def _bench(given: Any) -> None:
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
        raise InputError("--jobs is about this machine; how many runs a cluster does at once is array_limit of its settings")
    from genbench.complete import is_complete
    from genbench.suite import load_suite

    suite = load_suite(given.suite)
    if not given.slurm and is_complete(suite, given.device, given.trust):
        _show_suite(suite, nothing_to_do=True)
        return
    suite.pairs(given.trust)
    if given.slurm:
        from genbench.slurm import load_cluster, submit

        for line in submit(suite, load_cluster(given.cluster or "default"), given.trust, given.dry_run):
            print(line, flush=True)
        return
    from genbench.progress import reporter
    from genbench.suite import bench

    with reporter() as report:
        bench(suite, report, _device(given.device), given.trust, given.jobs)
    _show_suite(suite, nothing_to_do=report.steps == 1)


def _show_suite(suite: Any, nothing_to_do: bool) -> None:
    from genbench.leaderboard.terminal import print_comparison

    print_comparison(suite.out)
    if nothing_to_do:
        print(f"Nothing to do: every run of {suite.name} is trained and evaluated.")
    print(f"The page: {suite.out / 'index.html'}")


def _bench_manifest(given: Any) -> None:
    from genbench.manifest import read_manifest, run_task, write_tables
    from genbench.progress import reporter

    manifest = read_manifest(_path(given.suite), tuple(given.trust))
    _device(manifest.device)
    with reporter() as report:
        if given.task is not None:
            run_task(manifest, given.task, report)
        else:
            print("\n".join(map(str, write_tables(manifest, report))))


def _table(given: Any) -> None:
    from genbench.files import project_root
    from genbench.leaderboard import build, render_tables

    out = given.out or project_root() / "leaderboards"
    if not (out / "records").is_dir():
        raise InputError(f"{out} has no records/; genbench bench or genbench evaluate writes them")
    print(render_tables(out, given.format), end="")
    if given.write:
        build(out)


def _compare(given: Any) -> None:
    from genbench.files import project_root
    from genbench.leaderboard.compare import compare

    for line in compare(given.out or project_root() / "leaderboards", given.a, given.b, given.dataset):
        print(line)


def _list(given: Any) -> None:
    from genbench.listing import class_lines, lines

    for line in class_lines() if given.classes else lines():
        print(line)


def _data_list(given: Any) -> None:
    from genbench.data.commands import lines

    for line in lines(given.root):
        print(line)


def _data_fetch(given: Any) -> None:
    from genbench.data.commands import named
    from genbench.data.fetch import fetch

    for line in fetch(named(given.name, given.root), given.mirror):
        print(line, flush=True)


def _data_fetch_weights(given: Any) -> None:
    from genbench.metrics.extractor import fetch_weights

    for line in fetch_weights(given.name, given.mirror, given.root):
        print(line, flush=True)


def _data_import(given: Any) -> None:
    from genbench.data.importing import Import, import_images

    root = _path(given.root) if given.root else None
    plan = Import(
        given.path,
        given.name,
        given.size,
        root,
        given.channels,
        given.val,
        given.test,
        given.skip_bad,
        given.replace,
        given.white,
        not given.no_classes,
        tuple(given.leave_out),
    )

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            print(f"{done:,} pictures read", file=sys.stderr)

    for line in import_images(plan, progress):
        print(line, flush=True)


def _data_show(given: Any) -> None:
    from genbench.data.commands import named, show

    for line in show(named(given.name, given.root), given.out):
        print(line)


def _wandb_dashboard(given: Any) -> None:
    from genbench.dashboard import dashboard

    print(dashboard(given.entity, given.project, given.data, given.out))


def _wandb_sync(given: Any) -> None:
    from genbench.dashboard import sync
    from genbench.files import project_root

    for line in sync(given.folder or project_root() / "runs"):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
