"""genbench wandb: a dashboard, and the upload of runs that were logged offline."""

from __future__ import annotations

from typing import Any

from genbench.cli.arguments import Parser, path_argument

__all__ = ["add_wandb"]


def add_wandb(commands: Any) -> None:
    """Add the command wandb and its actions."""
    wandb = commands.add_parser(
        "wandb", help="a dashboard on wandb; upload what was logged offline"
    )
    actions = wandb.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=Parser
    )
    dashboard = actions.add_parser(
        "dashboard", help="a workspace that compares families: saved, or its JSON without a login"
    )
    dashboard.add_argument("--entity", help="team or user (the login's own)")
    dashboard.add_argument("--project", default="genbench", help="project of the runs (genbench)")
    dashboard.add_argument(
        "--data", default="digits", metavar="NAME", help="the runs of this data set (digits)"
    )
    dashboard.add_argument(
        "-o",
        "--out",
        type=path_argument,
        metavar="FILE",
        help="write its JSON here (wandb-dashboard.json)",
    )
    dashboard.set_defaults(act=_wandb_dashboard)
    sync = actions.add_parser(
        "sync", help="upload the runs that were logged offline, where there is a network"
    )
    sync.add_argument(
        "folder",
        nargs="?",
        type=path_argument,
        help="everything below it (runs, in the checkout or here)",
    )
    sync.set_defaults(act=_wandb_sync)


def _wandb_dashboard(arguments: Any) -> None:
    """Save the workspace on wandb, or write its JSON."""
    from genbench.tracking.dashboard import dashboard

    print(dashboard(arguments.entity, arguments.project, arguments.data, arguments.out))


def _wandb_sync(arguments: Any) -> None:
    """Upload runs that were logged offline."""
    from genbench.system.locations import project_root
    from genbench.tracking.dashboard import sync

    for line in sync(arguments.folder or project_root() / "runs"):
        print(line, flush=True)
