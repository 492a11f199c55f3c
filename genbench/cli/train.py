"""genbench train: train one configuration."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.cli.arguments import add_trust, path_argument
from genbench.cli.device import find_device
from genbench.config.settings import argument_table

if TYPE_CHECKING:
    from genbench.config.protocol import Protocol

__all__ = ["add_train", "run_train"]


def add_train(commands: Any) -> None:
    """Add the command train."""
    parser = commands.add_parser(
        "train",
        help="train a configuration; the same command again goes on",
        epilog="keys, each as --key=value:\n" + argument_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="genbench train -c CONFIG [--a.b=value ...]",
    )
    parser.add_argument(
        "-c",
        "--config",
        required=True,
        help="a YAML file, or a recipe such as digits/vae (see genbench list)",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="shrink the run to seconds, as the recipe says how"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check and print the resolved configuration, and stop",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        help="where a diverged run is recorded (runs, in the checkout or here)",
    )
    parser.set_defaults(act=run_train)
    add_trust(parser)


def run_train(arguments: Any) -> None:
    """Train a configuration, and print where the run lies and how it is measured.

    Raises:
        InputError: Something is wrong with the configuration, before anything is written.
        Diverged: The loss became NaN or infinite, which is recorded.
    """
    from genbench.config.recipe import load_config

    config = load_config(arguments.config, arguments.overrides, arguments.trust, arguments.smoke)
    from genbench.system.processes import settle_torch

    settle_torch()
    from genbench.runs.build import build

    # An impossible value ends the command before anything is written.
    data, model = build(config)
    from genbench.config.protocol import load_protocol
    from genbench.errors import Diverged
    from genbench.evaluation.evaluate import record_divergence
    from genbench.evaluation.resolve import check_model, check_protocol
    from genbench.runs.find import run_folder
    from genbench.system.launch import is_primary
    from genbench.system.locations import project_root
    from genbench.system.progress import reporter
    from genbench.training.train import check_fit, train

    check_fit(config, data, model)
    protocol = load_protocol(config.resolved["protocol"] or data.protocol)
    check_protocol(protocol, data)
    check_model(protocol, model)
    if arguments.dry_run:
        from genbench.system.yaml12 import dump_yaml

        print(dump_yaml({"name": config.name, **config.resolved}), end="")
        return
    missing = missing_extractor(protocol, data.root)
    if missing and is_primary():
        print(
            f"note: protocol {protocol.name}, by which this run will be judged, needs the extractor"
            f" {missing}, which is not here: genbench data fetch-weights {shlex.quote(missing)}, or"
            " --protocol=likelihood, which needs none",
            file=sys.stderr,
        )
    folder = run_folder(config, data.name)
    folder.refuse_links()
    before = folder.state()
    with reporter() as report:
        report.step(f"train {config.name} seed {config.seed}", config.budget.images)
        try:
            run = train(config, report.progress)
        except Diverged:
            out = arguments.out or project_root() / "runs"
            record_divergence(folder, out, tuple(arguments.trust), find_device("auto"))
            raise
    state = run.state()
    if is_primary():
        again = (before["status"], before["images_seen"]) == ("done", state["images_seen"])
        images = state["images_seen"] + state["finalize_images"]
        did = (
            f"{'was done before' if again else 'done'}, {images:,} images in"
            f" {state['seconds']:.0f} s"
        )
        command = ["genbench", "evaluate", str(run.path)]
        for module in arguments.trust:
            command += ["--trust", module]
        print(f"{run.path}: {did}. Next: {shlex.join(command)}")


def missing_extractor(protocol: Protocol, root: Path) -> str | None:
    """The extractor that a protocol needs, if its weights are not here.

    Args:
        protocol: How a run will be judged.
        root: Folder of the data.
    """
    from genbench.metrics.extractor import weights_file

    name = protocol.extractor
    if name is None or weights_file(name, root).is_file():
        return None
    return name
