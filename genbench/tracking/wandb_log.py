"""Where measurements of a run go: an append-only file that is never lost, and wandb, which never
ends a run.

A wandb run is one (configuration, seed): training begins it, and every evaluation resumes it by its
id. The x-axis of everything is `images`; `seconds` of training stand beside, for curves against
time.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
import time
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from genbench.errors import InputError
from genbench.system.json_files import digest, write_json
from genbench.system.typed import Line, Pattern, read_json_as
from genbench.tracking.names import summary
from genbench.tracking.server import has_login, reach_server

if TYPE_CHECKING:
    from genbench.config.config import Config
    from genbench.records.record import Record

__all__ = ["Page", "WandbLog", "log", "log_record"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """The file wandb.json of a run folder: which page of wandb is that of the run.

    Args:
        id: The id of the run on wandb; None: that of its configuration. wandb makes it a part of
            file names.
        suite: Name of the suite that asked for the run.
    """

    id: Annotated[str, Pattern(r"[\w-]{1,64}", "1 to 64 letters, digits, _ and -")] | None = None
    suite: Line | None = None


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

    # seconds that wandb's server may take to answer at all
    _ANSWER = 5.0
    # seconds that wandb may take to begin and to end a run; what was not uploaded stays on disk for
    # `genbench wandb sync`
    _PATIENCE = 30.0
    # a call costs one to two milliseconds, a step of a small model not much more: losses come at
    # most twice a second
    _GAP = 0.5
    # one wait for a server that does not answer is enough for a process
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
        self._seconds = None
        self._clock = 0.0
        self._sent = -self._GAP
        self._held = dict[str, Any]()

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.config.name}-s{self.config.seed}"

    @property
    def group(self) -> str:
        """The seeds of a configuration together: another latent size, or a smoke version, is
        another group.
        """
        return self.settings.group or f"{self.dataset}/{self.config.name}-{self.config.hash[:6]}"

    @property
    def version(self) -> str:
        if self._page.id is not None:
            return self._page.id
        return digest([self.dataset, self.config.name, self.config.hash, self.config.seed])[:12]

    @property
    def tags(self) -> list[str]:
        """Family, data set, suite and those of the configuration; wandb takes 64 characters of
        each.
        """
        suite = self.suite or self._page.suite
        tags = [self.config.family, self.dataset, *([suite] if suite else []), *self.settings.tags]
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
        """The configuration is given when the run begins."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """A point at image `step`. Its `seconds` of training are those given, else those given last
        and what passed since then.

        One that follows too soon is held back, and replaced by the next; the last one is sent when
        training ends.
        """
        if self.experiment is None:
            return
        row = {**self._timed(metrics), "images": step}
        now = time.monotonic()
        if now - self._sent < self._GAP and not any(name.startswith("val/") for name in metrics):
            self._held = row
            return
        self._sent = now
        self._held = {}
        self._guarded(lambda: self._run.log(row))

    @rank_zero_only
    def log_picture(self, key: str, path: Path, step: int) -> None:
        """One grid, not its 64 images: 11 ms."""
        if self.experiment is not None:
            self._guarded(
                lambda: self._run.log({**self._timed({key: self._image(path)}), "images": step})
            )

    @rank_zero_only
    def log_record(self, record: Record, path: Path, picture: Path) -> None:
        """An evaluation: its summary, its numbers and its grid as a point at the end of training,
        and its file as an artifact.
        """
        if self.experiment is not None:
            self._guarded(lambda: self._log_record(record, path, picture))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._run is not None and self._held:
            held = self._held
            self._held = {}
            self._guarded(lambda: self._run.log(held))
        if self._run is not None:
            self._guarded(lambda: self._run.finish(exit_code=0 if status == "success" else 1))
            self._run = None

    # --- wandb itself -----------------------------------------------------------------------------

    def _mode(self) -> str:
        mode = (
            self.settings.mode
            if self.settings.mode != "auto"
            else os.environ.get("WANDB_MODE", "auto")
        )
        if mode != "auto":
            return mode
        if has_login():
            return "online"
        return "offline"

    def _begin(self) -> Any:
        write_json(
            self.folder / "wandb.json",
            {"id": self.version, "suite": self.suite or self._page.suite},
        )
        self._require_space()
        mode = self._mode()
        if mode != "online" or WandbLog._unreachable:
            return self._init("offline" if mode == "online" else mode)
        try:
            reach_server(self._ANSWER)
            return self._init(mode)
        except Exception as error:
            WandbLog._unreachable = True
            log.warning(
                "wandb: %s; logging offline, genbench wandb sync uploads it later",
                " ".join(str(error).split()),
            )
            self._let_go()
            return self._init("offline")

    def _let_go(self) -> None:
        """wandb's own process keeps the id of a run that could not begin, and at exit a broken one
        is complained of: it ends, or is left to itself. The next run of this process has another.
        """

        def end() -> None:
            with suppress(BaseException):
                import wandb

                wandb.teardown()

        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(self._PATIENCE)

    def _require_space(self) -> None:
        """A megabyte. wandb itself would go on, and print a page for every line of its log that
        does not fit.

        Raises:
            OSError: There is none.
        """
        probe = self.folder / "wandb" / f".{uuid.uuid4().hex[:8]}.tmp"
        probe.parent.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(bytes(2**20))
        finally:
            probe.unlink(missing_ok=True)

    def _init(self, mode: Any) -> Any:
        with self._own_temporaries():
            import wandb

        named = {
            "name": self.config.name,
            "family": self.config.family,
            "dataset": self.dataset,
            "config_hash": self.config.hash,
        }
        with self._staging():
            run = wandb.init(
                mode=mode, dir=str(self.folder), id=self.version, resume="allow", name=self.name, group=self.group, job_type="train",
                project=self.settings.project, entity=self.settings.entity, tags=self.tags, config={**named, **self.config.resolved},
                settings=wandb.Settings(
                    silent=True, console="off", x_disable_stats=True, reinit="create_new",
                    init_timeout=self._PATIENCE, login_timeout=self._PATIENCE, finish_timeout=self._PATIENCE,
                ),
            )  # fmt: skip
        run.define_metric("images")
        run.define_metric("*", step_metric="images")
        return run

    def _log_record(self, record: Record, path: Path, picture: Path) -> None:
        import wandb

        first = next(iter(self.config.evaluations)) == record.variant
        values = summary(record, plain=first)
        point: dict[str, Any] = {
            key: value for key, value in values.items() if isinstance(value, float)
        }
        if picture.exists():
            point[f"{'' if first else f'{record.variant}/'}evaluation/samples"] = self._image(
                picture
            )
        self._run.log(
            {**point, "seconds": record.cost.train_seconds, "images": record.cost.images_seen}
        )
        self._run.summary.update(values)
        # of an artifact's name wandb takes letters, digits and these
        name = re.sub(r"[^A-Za-z0-9_.-]", ".", f"{record.dataset}-{path.stem}")
        with self._staging():
            artifact = wandb.Artifact(name, type="record")
            artifact.add_file(str(path), name=path.name)
            self._run.log_artifact(artifact)

    def _image(self, path: Path) -> Any:
        import wandb

        return wandb.Image(str(path))

    @contextmanager
    def _own_temporaries(self) -> Iterator[None]:
        """On import wandb makes two temporary folders, of which nothing here makes use, and removes
        them when the process ends. In the run's folder those that a killed process has left are
        known, and go when the next one begins.
        """
        folder = self.folder / "wandb" / "files"
        before = tempfile.tempdir
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("tmp*wandb-*"):
            with suppress(OSError):
                left.rmdir()
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before

    @contextmanager
    def _staging(self) -> Iterator[None]:
        """wandb stages artifacts and keeps its cache in the home folder, which may be full or
        read-only on a compute node, and an offline artifact must last until it is uploaded: with
        the run instead.
        """
        places = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR")
        mine = {
            name: str(self.folder / "wandb" / "files") for name in places if name not in os.environ
        }
        os.environ.update(mine)
        try:
            yield
        finally:
            for name in mine:
                os.environ.pop(name, None)

    def _timed(self, values: dict[str, Any]) -> dict[str, Any]:
        now = time.perf_counter()
        if "seconds" in values:
            self._seconds = values["seconds"]
            self._clock = now
        if self._seconds is None:
            return values
        return {"seconds": self._seconds + now - self._clock, **values}

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
            self._let_go()
            return None


def log_record(config: Config, folder: Path, record: Record, path: Path, picture: Path) -> None:
    """Bring an evaluation to its run's page, and wait until it is there, or for half a minute."""
    page = WandbLog(config, folder, record.dataset)
    page.log_record(record, path, picture)
    page.finalize("success")
