"""genbench explore: figures of a finished run."""

from __future__ import annotations

from typing import Any

from genbench.cli.arguments import add_device, add_trust, natural, path_argument
from genbench.cli.device import find_device

__all__ = ["add_explore", "run_explore"]


def add_explore(commands: Any) -> None:
    """Add the command explore."""
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
        help=(
            "the class of samples, of a conditional model, and of held-out images: its name, or its"
            " number"
        ),
    )
    explorer.add_argument(
        "--out",
        type=path_argument,
        help="folder of a page that gets the figures too, such as leaderboards",
    )
    explorer.set_defaults(act=run_explore)
    add_trust(explorer)
    add_device(explorer)


def run_explore(arguments: Any) -> None:
    """Draw the figures of a finished run, and print their files."""
    from genbench.explore import explore

    device = find_device(arguments.device)
    for line in explore(
        arguments.run,
        tuple(arguments.only),
        arguments.seed,
        arguments.label,
        arguments.out,
        tuple(arguments.trust),
        device,
    ):
        print(line, flush=True)
