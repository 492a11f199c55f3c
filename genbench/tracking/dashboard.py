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

from genbench.errors import GenbenchError, InputError
from genbench.records.parts import LikelihoodKind
from genbench.system.files import files_below, write_atomic
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
    """Save the workspace on wandb where a login exists, else write its JSON; returns the line that
    says which.

    Args:
        entity: Team or user; None: the login's own.
        project: Project of the runs.
        data: Name of the data set.
        file: Write the JSON here in any case; None: only without a login, to wandb-dashboard.json.

    Raises:
        InputError: wandb-workspaces is not installed.
        GenbenchError: wandb refused.
    """
    login = has_login()
    if login and file is None:
        return f"saved: {_saved(entity, project, data)}"
    file = file or Path("wandb-dashboard.json")
    write_atomic(file, _json(workspace(entity or "", project, data)))
    if login:
        return f"{file}: written; saved: {_saved(entity, project, data)}"
    return f"{file}: written, not saved, for there is no wandb login; after wandb login the same command saves it"


def workspace(entity: str, project: str, data: str) -> Any:
    """The workspace: learning curves against images and seconds, quality against speed, bits/dim,
    sample grids.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, of pydantic's old style
            import wandb_workspaces.reports.v2 as panel
            import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise InputError(
            f"genbench wandb dashboard needs wandb-workspaces ({error}); pip install wandb-workspaces"
        ) from None
    bits: list[Any] = [
        panel.BarPlot(
            title=f"bits/dim of the test split, {words}{', p(x | y)' if conditional else ''}", title_x="bits/dim",
            metrics=[panel.SummaryMetric(likelihood_name(kind, conditional))],
            groupby="Group", groupby_aggfunc="mean", groupby_rangefunc="stddev",
        )
        for conditional in (False, True)
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
        title="FID against training time", x=panel.SummaryMetric("cost/train_seconds"), y=panel.SummaryMetric(_QUALITY),
        log_x=True, log_y=True,
    )  # fmt: skip
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
    """Mean and standard deviation over the seeds of each group."""
    import wandb_workspaces.reports.v2 as panel

    return panel.LinePlot(
        title=title, x=x, title_x=x_title, groupby="Group", groupby_aggfunc="mean", groupby_rangefunc="stddev",
        max_runs_to_show=60, smoothing_type="none", **which,
    )  # fmt: skip


def _curves(x: str, x_title: str) -> list[Any]:
    return [
        # a player's loss has its name in front
        curve("loss", x, x_title, metric_regex="(^|.*/)loss$"),
        curve(
            "bits/dim of the validation split, of each model's own kind",
            x,
            x_title,
            y=["val/bits_per_dim"],
        ),
        curve("FID", x, x_title, y=[_QUALITY], log_y=True),
    ]


def _json(built: Any) -> str:
    view = built._to_model()
    text = view.spec.model_dump_json(by_alias=True, exclude_none=True)
    named = {
        "entity": built.entity or None,
        "project": built.project,
        "name": built.name,
        "spec": json.loads(text),
    }
    return json.dumps(named, indent=1) + "\n"


def _saved(entity: str | None, project: str, data: str) -> str:
    try:
        import wandb

        built = workspace(entity or str(wandb.Api(timeout=30).default_entity), project, data)
        return str(built.save().url)
    except GenbenchError:
        raise
    except Exception as error:
        raise GenbenchError(
            f"wandb did not save the dashboard: {' '.join(str(error).split())}; -o FILE writes it"
        ) from None


def sync(folder: Path) -> Iterator[str]:
    """Upload what was logged offline below a folder, by `wandb sync`; yields one line per run. What
    was uploaded is left alone.

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
        failed += bool(reason)
        yield (
            f"{run}: not uploaded: {reason}"
            if reason
            else f"{run}: uploaded, {len(segments)} part{'s'[: len(segments) > 1]}"
        )
    if failed:
        raise GenbenchError(
            f"{failed} of {len(waiting)} runs not uploaded; the same command tries them again"
        )


def offline_runs(folder: Path) -> dict[Path, list[Path]]:
    """Run folders and their parts that were logged offline and not uploaded since, oldest first.

    A part is a process: training, each resumption of it, each evaluation. All of them have the
    run's id. wandb writes every 15
    seconds: one that was killed before the first time has left an empty file, and nothing to
        upload.
    """
    found: dict[Path, list[Path]] = {}
    for path in files_below(folder, "run-*.wandb"):
        if not fnmatch(path.parent.name, "offline-run-*") or path.parents[1].name != "wandb":
            continue
        if (
            path.stat().st_size and not path.with_name(f"{path.name}.synced").exists()
        ):  # wandb's own mark
            found.setdefault(path.parents[2], []).append(path.parent)
    return found


def _upload(segments: list[Path]) -> str:
    """Why the parts of a run were not uploaded; empty if they were."""
    # one command per run: wandb uploads the parts of one id one after the other
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, segments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "WANDB_SILENT": "false"}
    )
    missing = [path for path in segments if not list(path.glob("run-*.wandb.synced"))]
    if done.returncode == 0 and not missing:
        return ""
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if said:
        return said[-1]
    return f"wandb sync ended with {done.returncode}"
