"""Where measurements of a training run go: an append-only file that is never lost, and wandb, which never ends a run."""

from __future__ import annotations

import json
import logging
import os
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from genbench.files import digest, stop_if_disk_full, write_atomic
from genbench.settings import WandbSettings

__all__ = ["MetricsFile", "WandbLog", "cut_metrics", "read_metrics"]

log = logging.getLogger(__name__)


class MetricsFile(Logger):
    """One JSON line per log point; the x-axis is `images`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration has a file of its own."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        with stop_if_disk_full(self.path), self.path.open("a") as file:
            file.write(json.dumps({"images": step, **metrics}) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; one that a crash or a disk has damaged is left out."""
    lines = []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("images"), int):
                lines.append(line)
    return lines


def cut_metrics(path: Path, images: int) -> None:
    """Forget what was logged after the checkpoint at `images`: it is about to be logged again."""
    kept = [line for line in read_metrics(path) if line["images"] <= images]
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in kept))


class WandbLog(Logger):
    """The run's page on wandb. A failure of wandb is logged once, and the run goes on without it."""

    def __init__(self, settings: WandbSettings, folder: Path, name: str, group: str, config: dict[str, Any]) -> None:
        super().__init__()
        self.settings, self.folder, self.run_name, self.group, self.config = settings, folder, name, group, config
        self._run: Any = None
        self._failed = settings.mode == "disabled"

    @property
    def name(self) -> str:
        return self.run_name

    @property
    def version(self) -> str:
        return digest([self.settings.project, self.group, self.run_name, str(self.folder.resolve())])[:12]

    @property
    def experiment(self) -> Any:
        """The wandb run, begun on first use; None where wandb does not work."""
        if self._run is None and not self._failed:
            self._run = self._guarded(self._begin)
        return self._run

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration is given when the run begins."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self.experiment is not None:
            self._guarded(lambda: self._run.log({**metrics, "images": step}))

    @rank_zero_only
    def log_picture(self, key: str, path: Path, step: int) -> None:
        """One grid, not its 64 images: 11 ms."""
        if self.experiment is not None:
            import wandb

            self._guarded(lambda: self._run.log({key: wandb.Image(str(path)), "images": step}))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._run is not None:
            self._guarded(lambda: self._run.finish(exit_code=0 if status == "success" else 1))
            self._run = None

    def _begin(self) -> Any:
        import wandb

        mode = self.settings.mode
        if mode == "auto":
            mode = "online" if wandb_key() else "offline"
        # tables and artifacts are staged in the home folder otherwise, which may be full or read-only on a compute node
        os.environ.setdefault("WANDB_DATA_DIR", str(self.folder))
        os.environ.setdefault("WANDB_SILENT", "true")
        run = wandb.init(
            mode=mode, dir=str(self.folder), id=self.version, resume="allow", name=self.run_name, group=self.group,
            project=self.settings.project, entity=self.settings.entity, tags=self.settings.tags, config=self.config,
            settings=wandb.Settings(silent=True, console="off", init_timeout=30, x_disable_stats=True),
        )  # fmt: skip
        run.define_metric("images")
        run.define_metric("*", step_metric="images")
        return run

    def _guarded(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            log.warning("wandb is off for this run: %s", " ".join(str(error).split()))
            self._run, self._failed = None, True
            return None


def wandb_key() -> bool:
    """Whether a login exists: the environment's or netrc's, without asking anybody."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return "api.wandb.ai" in netrc.read_text()
    except OSError:
        return False
