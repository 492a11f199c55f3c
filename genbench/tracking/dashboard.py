"""A wandb workspace that compares families, and the upload of runs that were logged offline.

Runs of one group are the seeds of one configuration: a curve is their mean, its band their standard
deviation. A workspace is about one data set, since a FID compares with that of the same data and
extractor alone, and every kind of likelihood has a panel of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError, InputError, nearest
from genbench.records.parts import LikelihoodKind
from genbench.system.files import files_below, write_atomic
from genbench.system.locations import project_root
from genbench.system.lock import in_use
from genbench.tracking.names import likelihood_name
from genbench.tracking.server import has_login, reach_server

__all__ = ["curve", "dashboard", "offline_runs", "sync", "workspace"]

_QUALITY = "metrics/fid"
_SPEED = "speed/images_per_second"
_KINDS: dict[LikelihoodKind, str] = {
    "exact": "exact",
    "bound": "upper bounds",
    "estimate": "estimates",
}


def dashboard(entity: str | None, project: str, data: str, file: Path | None) -> str:
    """Save the workspace on wandb where there is a login, or else write its JSON to a file.

    Args:
        entity: Team or user; None: the login's own.
        project: Project of the runs.
        data: Name of the data set.
        file: Write the JSON here in any case; None: only without a login, to wandb-dashboard.json.

    Returns:
        A line that says where it is.

    Raises:
        InputError: The data have no records, or wandb-workspaces is not installed.
        GenbenchError: wandb refused.
    """
    check_measured(data)
    login = has_login()
    if login and file is None:
        return f"saved: {_saved(entity, project, data)}"
    file = file or Path("wandb-dashboard.json")
    write_atomic(file, _json(workspace(entity or "", project, data)))
    if login:
        return f"{file}: written; saved: {_saved(entity, project, data)}"
    return (
        f"{file}: written, not saved, for there is no wandb login; after wandb login the same "
        "command saves it"
    )


def check_measured(data: str) -> None:
    """Check that a data set has records in leaderboards/ or below runs/.

    Args:
        data: Name of the data set.

    Raises:
        InputError: It has none; the line names those that have.
    """
    folders = [project_root() / "leaderboards", project_root() / "runs"]
    files = [path for folder in folders for path in files_below(folder, "*.json")]
    measured = {path.parent.name for path in files if path.parents[1].name == "records"}
    if data not in measured:
        raise InputError(
            f"no records of the data {data!r} in {folders[0]} or below {folders[1]}; "
            f"{nearest(data, measured)}"
        )


def workspace(entity: str, project: str, data: str) -> Any:
    """A workspace that compares the families on one data set.

    Its sections are learning curves against images and against seconds, quality against speed and
    cost, bits/dim, and sample grids.

    Args:
        entity: Team or user; empty: none.
        project: Project of the runs.
        data: Name of the data set.

    Raises:
        InputError: wandb-workspaces is not installed.
    """
    try:
        with warnings.catch_warnings():
            # The old style of pydantic, which wandb-workspaces uses, raises warnings.
            warnings.simplefilter("ignore")
            import wandb_workspaces.reports.v2 as panel
            import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise InputError(
            f"genbench wandb dashboard needs wandb-workspaces ({error}); "
            "pip install wandb-workspaces"
        ) from None
    bits: list[Any] = [
        panel.BarPlot(
            title=f"bits/dim of the test split, {words}{density}", title_x="bits/dim",
            metrics=[panel.SummaryMetric(likelihood_name(kind, conditional))],
            groupby="Group", groupby_aggfunc="mean", groupby_rangefunc="stddev",
        )
        for conditional, density in ((False, ""), (True, ", p(x | y)"))
        for kind, words in _KINDS.items()
    ]  # fmt: skip
    speed = panel.ScatterPlot(
        title="FID against sampling speed",
        x=panel.SummaryMetric(_SPEED),
        y=panel.SummaryMetric(_QUALITY),
        log_x=True,
        log_y=True,
    )
    cost = panel.ScatterPlot(
        title="FID against training time",
        x=panel.SummaryMetric("cost/train_seconds"),
        y=panel.SummaryMetric(_QUALITY),
        log_x=True,
        log_y=True,
    )
    grids: list[Any] = [
        panel.MediaBrowser(title=title, media_keys=[key], num_columns=4)
        for title, key in (
            ("samples, final", "evaluation/samples"),
            ("samples during training", "samples"),
        )
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"genbench: families compared on {data}",
        sections=[
            ws.Section(
                name="Learning curves against images",
                panels=_curves("images", "training images"),
                is_open=True,
            ),
            ws.Section(
                name="Learning curves against time",
                panels=_curves("seconds", "seconds of training"),
                is_open=True,
            ),
            ws.Section(name="Quality, speed, cost", panels=[speed, cost], is_open=True),
            ws.Section(name="Likelihood", panels=bits, is_open=True),
            ws.Section(name="Samples", panels=grids, is_open=True),
        ],
        settings=ws.WorkspaceSettings(x_axis="images", max_runs=60),
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Metric("Group")], filters=ws.And(ws.Config("dataset") == data)
        ),
    )


def curve(title: str, x: str, x_title: str, **which: Any) -> Any:
    """A panel with the mean and the standard deviation over the seeds of each group.

    Args:
        title: Title of the panel.
        x: Name of the measurement on the x-axis.
        x_title: Title of the x-axis.
        which: Names of the measurements on the y-axis, as wandb's LinePlot takes them.
    """
    import wandb_workspaces.reports.v2 as panel

    return panel.LinePlot(
        title=title,
        x=x,
        title_x=x_title,
        groupby="Group",
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=60,
        smoothing_type="none",
        **which,
    )


def _curves(x: str, x_title: str) -> list[Any]:
    """The panels of the learning curves against one x-axis."""
    return [
        # In a game, the name of the player stands before a loss, as in generator/loss.
        curve("loss", x, x_title, metric_regex="(^|.*/)loss$"),
        curve(
            "bits/dim of the validation split, of each model's own kind",
            x,
            x_title,
            y=["val/bits_per_dim"],
        ),
        curve("FID", x, x_title, y=[_QUALITY], log_y=True),
    ]


def _json(space: Any) -> str:
    """A workspace as JSON."""
    text = space._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    tree = {
        "entity": space.entity or None,
        "project": space.project,
        "name": space.name,
        "spec": json.loads(text),
    }
    return json.dumps(tree, indent=1) + "\n"


def _saved(entity: str | None, project: str, data: str) -> str:
    """Save the workspace on wandb, and give its address."""
    try:
        import wandb

        if not entity:
            entity = str(wandb.Api(timeout=30).default_entity)
        return str(workspace(entity, project, data).save().url)
    except GenbenchError:
        raise
    except Exception as error:
        raise GenbenchError(
            f"wandb did not save the dashboard: {' '.join(str(error).split())}; -o FILE writes it"
        ) from None


def sync(folder: Path) -> Iterator[str]:
    """Upload the runs below a folder that were logged offline, by `wandb sync`.

    Runs that were uploaded before are left alone.

    Args:
        folder: A folder with run folders, such as runs/.

    Yields:
        One line per run.

    Raises:
        InputError: No folder, no wandb, or no login.
        GenbenchError: There is no network, or some runs were not uploaded; the same command tries
            them again.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if find_spec("wandb") is None:
        raise InputError("wandb is not installed; pip install wandb")
    if not has_login():
        raise InputError("no wandb login; run wandb login, or set WANDB_API_KEY")
    waiting = offline_runs(folder)
    failed = 0
    if not waiting:
        yield f"{folder}: nothing to upload"
        return
    try:
        reach_server()
    except OSError as error:
        raise GenbenchError(
            f"nothing uploaded: {error}; try again where there is a network"
        ) from None
    for run, segments in waiting.items():
        if in_use(run):
            yield f"{run}: in use, left for later"
            continue
        reason = _upload(segments)
        if reason:
            failed += 1
            yield f"{run}: not uploaded: {reason}"
        else:
            yield f"{run}: uploaded, {len(segments)} part{'s'[: len(segments) > 1]}"
    if failed:
        raise GenbenchError(
            f"{failed} of {len(waiting)} runs not uploaded; the same command tries them again"
        )


def offline_runs(folder: Path) -> dict[Path, list[Path]]:
    """The parts of runs that were logged offline and not uploaded since, oldest first.

    A part is a process: training, each resumption of it, each evaluation. All of them have the
    run's id. wandb writes every 15 seconds: a process that was killed before the first time has
    left an empty file, and nothing to upload.

    Args:
        folder: A folder with run folders, such as runs/.

    Returns:
        Folders of parts by run folder.
    """
    waiting: dict[Path, list[Path]] = {}
    for path in files_below(folder, "run-*.wandb"):
        if not fnmatch(path.parent.name, "offline-run-*") or path.parents[1].name != "wandb":
            continue
        uploaded = path.with_name(f"{path.name}.synced").exists()  # This is wandb's own mark.
        if path.stat().st_size and not uploaded:
            waiting.setdefault(path.parents[2], []).append(path.parent)
    return waiting


def _upload(segments: list[Path]) -> str:
    """Upload the parts of a run, and say why that failed; empty if it did not."""
    # There is one command per run, since wandb uploads the parts of one id one after the other.
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, segments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "WANDB_SILENT": "false"}
    )
    missing = [path for path in segments if not list(path.glob("run-*.wandb.synced"))]
    if done.returncode == 0 and not missing:
        return ""
    output = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    messages = [line for line in output if line]
    if messages:
        return messages[-1]
    return f"wandb sync ended with {done.returncode}"
