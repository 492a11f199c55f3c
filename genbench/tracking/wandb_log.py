"""The page of a run on wandb. Logging never ends a run.

A wandb run is one (configuration, seed): training begins it, and every evaluation resumes it by its
id. The x-axis of everything is `images`; `seconds` of training stand beside, for curves against
time.
"""

from __future__ import annotations

import logging
import os
import re
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from genbench.errors import InputError
from genbench.records.parts import variant_of
from genbench.system.json_files import digest, write_json
from genbench.system.typed import read_json_as
from genbench.tracking.names import summary
from genbench.tracking.server import end_service, has_login, reach_server
from genbench.tracking.wandb_files import (
    Page,
    import_folder,
    require_space,
    staging_folder,
)

if TYPE_CHECKING:
    from genbench.config.config import Config
    from genbench.records.record import Record

__all__ = ["WandbLog", "log_record"]

log = logging.getLogger(__name__)


class WandbLog(Logger):
    """The run's page on wandb. A failure of wandb is logged once, and the run goes on without it.

    The id is a function of (data set, recipe, configuration hash, seed), and not of the folder: two
    checkouts that train one configuration share one page. It is kept in the run folder, in
    wandb.json, so that a raised budget stays on its page; another id written there is obeyed.

    Args:
        config: What is trained.
        folder: The run folder; wandb's files lie in its wandb/.
        dataset: Name of the data set.
        suite: Name of the suite that asked for the run: a tag.
    """

    # The server of wandb may take this many seconds to answer at all.
    _ANSWER = 5.0
    # A run may take this many seconds to begin on wandb, and as many to end; what was not uploaded
    # stays on disk for `genbench wandb sync`.
    _PATIENCE = 30.0
    # Two points of losses are at least this many seconds apart: a call takes one to two
    # milliseconds, and a step of a small model not much more.
    _GAP = 0.5
    # A process waits only once for a server that does not answer.
    _unreachable = False

    def __init__(
        self, config: Config, folder: Path, dataset: str, suite: str | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.settings = config.wandb
        self.folder = folder
        self.dataset = dataset
        self.suite = suite
        self._run: Any = None
        self._failed = self._mode() == "disabled"
        self._sent = -self._GAP
        self._held = dict[str, Any]()

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.config.name}-s{self.config.seed}"

    @property
    def group(self) -> str:
        """The group of a configuration, which its seeds share.

        Another latent size, or a smoke version, is another group.
        """
        return self.settings.group or f"{self.dataset}/{self.config.name}-{self.config.hash[:6]}"

    @property
    def version(self) -> str:
        """The id of the run on wandb, the same whenever the run goes on."""
        if self._page.id is not None:
            return self._page.id
        return digest([self.dataset, self.config.name, self.config.hash, self.config.seed])[:12]

    @property
    def tags(self) -> list[str]:
        """Family, data set, suite, and the tags of the configuration, of 64 characters at most."""
        suite = self.suite or self._page.suite
        tags = [self.config.family, self.dataset, suite, *self.settings.tags]
        return list(dict.fromkeys(tag[:64] for tag in tags if tag))

    @property
    def experiment(self) -> Any:
        """The wandb run, begun on first use; None where wandb does not work."""
        if self._run is None and not self._failed:
            self._run = self._guarded(self._begin)
        return self._run

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: the configuration is given when the run begins."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log a point.

        A point of losses that follows too soon is held back, and replaced by the next one. The last
        one is sent before a point of the validation images or a picture, and when training ends.

        Args:
            metrics: Values by their names, with the `seconds` of training.
            step: Images seen.
        """
        if self.experiment is None:
            return
        row = {**metrics, "images": step}
        now = time.monotonic()
        if any(name.startswith("val/") for name in metrics):
            self._send_held()
        elif now - self._sent < self._GAP:
            self._held = row
            return
        self._sent = now
        self._held = {}
        self._guarded(lambda: self._run.log(row))

    @rank_zero_only
    def log_picture(self, key: str, path: Path, step: int, seconds: float) -> None:
        """Log a grid of samples as one image, which takes 11 ms. Losses held back are sent first.

        Args:
            key: Name of the image on the page.
            path: The PNG file.
            step: Images seen.
            seconds: Seconds of training.
        """
        if self.experiment is not None:
            self._send_held()
            self._guarded(
                lambda: self._run.log({key: self._image(path), "seconds": seconds, "images": step})
            )

    @rank_zero_only
    def log_record(self, record: Record, path: Path, picture: Path) -> None:
        """Log an evaluation.

        Its values are the summary of the page, and with its grid a point at the end of training.
        Its file is an artifact.

        Args:
            record: The evaluation.
            path: File of the record.
            picture: Grid of samples of the evaluation, which may not exist.
        """
        if self.experiment is not None:
            self._guarded(lambda: self._log_record(record, path, picture))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Send the point that was held back, and end the wandb run.

        Args:
            status: "success", or how training ended otherwise.
        """
        if self._run is not None:
            self._send_held()
            self._guarded(lambda: self._run.finish(exit_code=0 if status == "success" else 1))
            self._run = None

    def _send_held(self) -> None:
        """Send the point that was held back, if there is one."""
        if self._held:
            held = self._held
            self._held = {}
            self._guarded(lambda: self._run.log(held))

    # --- wandb itself -----------------------------------------------------------------------------

    def _mode(self) -> str:
        """online, offline, disabled, or another mode that WANDB_MODE names."""
        mode: str = self.settings.mode
        if mode == "auto":
            mode = os.environ.get("WANDB_MODE", "auto")
        if mode != "auto":
            return mode
        if has_login():
            return "online"
        return "offline"

    def _begin(self) -> Any:
        """Begin the wandb run, offline where the server does not answer."""
        write_json(
            self.folder / "wandb.json",
            {"id": self.version, "suite": self.suite or self._page.suite},
        )
        require_space(self.folder)
        mode = self._mode()
        if mode != "online":
            return self._init(mode)
        if WandbLog._unreachable:
            return self._init("offline")
        try:
            reach_server(self._ANSWER)
            return self._init(mode)
        except Exception as error:
            WandbLog._unreachable = True
            log.warning(
                "wandb: %s; logging offline, genbench wandb sync uploads it later",
                " ".join(str(error).split()),
            )
            end_service(self._PATIENCE)
            return self._init("offline")

    def _init(self, mode: Any) -> Any:
        """A wandb run in a mode."""
        with import_folder(self.folder):
            import wandb

        facts = {
            "name": self.config.name,
            "family": self.config.family,
            "dataset": self.dataset,
            "config_hash": self.config.hash,
        }
        with staging_folder(self.folder):
            settings = wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                reinit="create_new",
                init_timeout=self._PATIENCE,
                login_timeout=self._PATIENCE,
                finish_timeout=self._PATIENCE,
            )
            run = wandb.init(
                mode=mode,
                dir=str(self.folder),
                id=self.version,
                resume="allow",
                name=self.name,
                group=self.group,
                job_type="train",
                project=self.settings.project,
                entity=self.settings.entity,
                tags=self.tags,
                config={**facts, **self.config.resolved},
                settings=settings,
            )
        run.define_metric("images")
        run.define_metric("*", step_metric="images")
        return run

    def _log_record(self, record: Record, path: Path, picture: Path) -> None:
        import wandb

        first = variant_of(next(iter(self.config.evaluations))) == record.variant
        values = summary(record, plain=first)
        point: dict[str, Any] = {
            key: value for key, value in values.items() if isinstance(value, float)
        }
        if picture.exists():
            prefix = "" if first else f"{record.variant}/"
            point[f"{prefix}evaluation/samples"] = self._image(picture)
        point["seconds"] = record.cost.train_seconds
        point["images"] = record.cost.images_seen
        self._run.log(point)
        self._run.summary.update(values)
        # The name of an artifact may only hold letters, digits and . _ - on wandb.
        name = re.sub(r"[^A-Za-z0-9_.-]", ".", f"{record.dataset}-{path.stem}")
        with staging_folder(self.folder):
            artifact = wandb.Artifact(name, type="record")
            artifact.add_file(str(path), name=path.name)
            self._run.log_artifact(artifact)

    def _image(self, path: Path) -> Any:
        """A PNG file as wandb's image."""
        import wandb

        return wandb.Image(str(path))

    @cached_property
    def _page(self) -> Page:
        """The page that the run folder names. A file that is damaged is warned of, once."""
        try:
            cure = "it is written anew, for the page of the configuration"
            return read_json_as(Page, self.folder / "wandb.json", cure)
        except FileNotFoundError:
            return Page()
        except InputError as error:
            log.warning("%s", error)
            return Page()

    def _guarded(self, act: Callable[[], Any]) -> Any:
        """Call wandb. A failure is logged, and wandb is off for the rest of the run."""
        try:
            return act()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            log.warning(
                "wandb is off for this run: %s",
                " ".join(str(error).split()) or type(error).__name__,
            )
            broken = self._run
            self._run = None
            self._failed = True
            with suppress(Exception):
                broken.finish(exit_code=1)
            end_service(self._PATIENCE)
            return None


def log_record(config: Config, folder: Path, record: Record, path: Path, picture: Path) -> None:
    """Log an evaluation on the page of its run, and wait for the upload for half a minute at most.

    Args:
        config: The configuration of the run.
        folder: The run folder.
        record: The evaluation.
        path: File of the record.
        picture: Grid of samples of the evaluation, which may not exist.
    """
    page = WandbLog(config, folder, record.dataset)
    page.log_record(record, path, picture)
    page.finalize("success")
