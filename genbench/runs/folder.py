"""The run folder: everything that a run is, in plain files.

config.yaml         the resolved configuration; the input of evaluation
state.json          status (running, stopped, done, diverged), images seen, seconds, which runs it needed, and the configuration as
                    training noted it: config.yaml is checked against that wherever a run is opened
metrics.jsonl       one line per log point: images, seconds, losses
log.txt             what would clutter the terminal
checkpoints/        <images>-<hash>.ckpt, the last two; each notes the configuration, the images and
                    the needed runs that it is of, and is restored under no others
previews/           sample grids during training
model.safetensors   the recorded weights: moving averages, after `finalize`
lock                who is training here
"""

from __future__ import annotations

import hashlib
import io
import shlex
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.config.check import check_config
from genbench.config.config import Config
from genbench.config.keys import changes, edits
from genbench.errors import GenbenchError, InputError, nearest
from genbench.runs.state import State
from genbench.system.files import file_digest, files_below, write_atomic
from genbench.system.json_files import write_json
from genbench.system.locations import expand_home, project_root
from genbench.system.typed import read_json_as, read_value
from genbench.system.yaml12 import dump_yaml, load_yaml

if TYPE_CHECKING:
    from genbench.data.images import ImageData

__all__ = ["Run", "find_run", "find_runs", "run_folder"]

_CHECKPOINT = {"images_seen", "model", "optimizers", "ema", "keeper"}
# these may stand beside them: versions that did not note them left them out
_ORIGIN = {"config", "data_hash", "needs"}


@dataclass(frozen=True)
class Run:
    """A run folder."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def refuse_links(self) -> None:
        """A run folder is a folder of files and folders: what is written and deleted here must not
        be somebody's elsewhere, and a FIFO or a device would be waited for.

        Folders above it may be links, as where runs/ lies on another disk.

        Raises:
            InputError: It is a link, or holds one, or holds what is neither file nor folder.
        """
        for path in (self.path, *sorted(self.path.glob("*"))):
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link to {path.readlink()}; a run is a folder of its own without links: name that"
                )
            if path.exists() and not path.is_file() and not path.is_dir():
                raise InputError(f"{path} is neither a file nor a folder; remove it")

    def place(self) -> tuple[int, int] | None:
        """Device and number of the folder, which it keeps wherever it is moved; None where there is
        none.
        """
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    # --- configuration and state ------------------------------------------------------------------

    def write_config(self, config: Config) -> None:
        """Write config.yaml. `note_config` follows it: a process that is killed in between has
        noted the former configuration.
        """
        text = dump_yaml(config_tree(config))
        write_atomic(self.path / "config.yaml", text)

    def note_config(self, config: Config) -> None:
        """Note in state.json what config.yaml says, where that is new."""
        state = self.state()
        if state["config"] != config_tree(config):
            write_json(self.path / "state.json", {**state, "config": config_tree(config)})

    def check_config_file(self) -> None:
        """Refuse a config.yaml that says something else about the weights than what training has
        noted.

        What may change from one command to the next, and a larger budget, may differ: a training
        that was killed between its two files leaves that.

        Raises:
            InputError: The line names what was changed.
        """
        noted = self.state()["config"]  # first: config.yaml is written before it
        path = self.path / "config.yaml"
        if noted is not None and path.exists() and (differences := changes(noted, load_yaml(path))):
            raise _edited(path, differences)

    def begun_config(self, trust: Sequence[str] = ()) -> Config | None:
        """The configuration that the weights come from: the noted one, else config.yaml; None for a
        new folder.
        """
        noted = self.state()["config"]
        if noted is not None:
            rest = dict(noted)
            return check_config(
                rest, str(rest.pop("name", "model")), trust, str(self.path / "state.json")
            )
        if (self.path / "config.yaml").exists():
            return self.config(trust)
        return None

    def recorded_config(self, trust: Sequence[str] = ()) -> Config:
        """The configuration for whatever says something about the run: config.yaml, which must be
        what training has noted.

        Raises:
            InputError: It was changed since then, or nothing was noted.
        """
        noted = self.state()["config"]
        config = self.config(trust)
        if noted is None:
            again = shlex.join(
                ["genbench", "train", "-c", f"{self.path}/config.yaml", f"--run_dir={self.path}"]
            )
            raise InputError(
                f"{self.path} was trained by a version that did not note its configuration, so that nothing says whether config.yaml "
                f"is still what it was: where you know that it is, {again} notes it, and trains nothing again"
            )
        path = self.path / "config.yaml"
        if differences := edits(noted, load_yaml(path)):
            raise _edited(path, differences)
        return config

    def config(self, trust: Sequence[str] = ()) -> Config:
        """The configuration that the run was started with.

        Raises:
            InputError: The file is missing, damaged, or names a class outside the trusted modules.
        """
        path = self.path / "config.yaml"
        if not path.is_file():
            raise InputError(f"{self.path} is not a run: it has no config.yaml")
        tree = load_yaml(path)
        return check_config(tree, str(tree.pop("name", "model")), trust, str(path))

    def write_state(self, **state: Any) -> None:
        """Replace state.json."""
        read_value(State, state)  # what is written can be read
        write_json(self.path / "state.json", state)

    def check_data(self, data: ImageData) -> None:
        """Refuse images other than those that the run was begun with.

        Raises:
            InputError: The data of that name have another content hash.
        """
        begun = self.state()["data_hash"]
        here = data.content_hash
        if begun not in (None, here):
            raise InputError(
                f"{self.path} was begun on other images: {data.name} had the content hash {begun[:12]}, now it is {here[:12]}; "
                "restore them, or choose another run_dir"
            )

    def check_needs(self, needs: dict[str, dict[str, Any]]) -> None:
        """Refuse needed runs whose weights are not those that the run was begun with.

        Args:
            needs: The needed runs by name, as in `State`.

        Raises:
            InputError: One was trained again.
        """
        begun = self.state()["needs"]
        # other names are those of another configuration, which is refused as such
        for name in sorted(begun.keys() & needs.keys()):
            if begun[name]["weights_hash"] != needs[name]["weights_hash"]:
                raise InputError(
                    f"{self.path} was begun with other weights of needs.{name}; restore them, or "
                    "choose another run_dir"
                )

    def state(self) -> dict[str, Any]:
        """The fields of `State` by name; those of a run that was not begun where there is no
        state.json.

        Raises:
            InputError: It is damaged.
        """
        try:
            state = read_json_as(
                State,
                self.path / "state.json",
                "remove it, and training goes on from the checkpoint",
            )
        except FileNotFoundError:
            state = State()
        return asdict(state)

    def is_done(self, budget: int) -> bool:
        """Whether it has seen so many images, and its recorded weights are those that were written."""
        state = self.state()
        done = state["status"] == "done" and state["images_seen"] >= budget
        # lost or damaged weights are made again from the checkpoint
        return (
            done and self.weights.is_file() and file_digest(self.weights) == state["weights_hash"]
        )

    # --- checkpoints ------------------------------------------------------------------------------

    def save_checkpoint(self, state: dict[str, Any], images: int) -> Path:
        """Write a checkpoint whose name carries its hash, and keep the last two."""
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        path = self.checkpoints / f"{images:012d}-{hashlib.sha256(content).hexdigest()[:16]}.ckpt"
        write_atomic(path, content)
        self.keep_two()
        return path

    def keep_two(self) -> None:
        """Remove all checkpoints but the last two; a killed process may not have come to it."""
        for old in sorted(self.checkpoints.glob("*.ckpt"))[:-2]:
            old.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written; for the owner of the lock."""
        for path in (
            *self.checkpoints.glob(".*.tmp"),
            *self.path.glob(".[!l]*.tmp"),
        ):  # `.lock.*.tmp` may be another's
            if not path.name.startswith(
                ".wandb"
            ):  # an evaluation, which takes no lock, may be writing it
                path.unlink(missing_ok=True)

    def newest_checkpoint(
        self, check: Callable[[dict[str, Any]], None] = lambda state: None
    ) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that is whole, and a line about each damaged one, which is set
        aside.

        Args:
            check: Raises ValueError, with what is wrong, for one that does not fit the run.
        """
        import torch

        said: list[str] = []
        for path in sorted(self.checkpoints.glob("*.ckpt"), reverse=True):
            try:
                if path.is_file() and file_digest(path)[:16] == path.stem.partition("-")[2]:
                    _refuse_packed(path)
                    state = dict(torch.load(path, map_location="cpu", weights_only=True))
                    if state.keys() - _ORIGIN != _CHECKPOINT:
                        raise TypeError("other contents")
                    reason = _misfit(state, path, check)
                    if not reason:
                        return state, said
                else:
                    reason = "its content does not have the hash of its name"
            except FileNotFoundError:  # another process of this run set it aside
                continue
            except GenbenchError:
                raise
            except Exception:  # whatever unpickling refuses: it was not made here
                reason = "it is not a checkpoint of genbench"
            with suppress(FileNotFoundError):
                path.rename(path.with_suffix(".damaged"))
            said.append(
                f"{path} is damaged ({reason}) and set aside; going back to the one before, or to the beginning"
            )
        return None, said


def _misfit(state: dict[str, Any], path: Path, check: Callable[[dict[str, Any]], None]) -> str:
    """Why a checkpoint is not one of its run; empty if it is."""
    try:
        check(state)
    except ValueError as error:
        return f"it does not fit this run: {error}"
    if state["images_seen"] != int(path.stem.partition("-")[0]):
        return f"it is of image {state['images_seen']}, and not of that in its name"
    return ""


def config_tree(config: Config) -> dict[str, Any]:
    """What config.yaml holds."""
    return {"name": config.name, **config.resolved}


def _edited(path: Path, differences: Sequence[str]) -> InputError:
    return InputError(
        f"{path} was changed since training wrote it: {'; '.join(differences)}. Restore it; what may change is changed by genbench train"
    )


def _refuse_packed(path: Path) -> None:
    """Refuse a checkpoint that is compressed, which torch.save never does: it could unpack to
    anything.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("it would unpack to more than it has")


def run_folder(config: Config, dataset: str) -> Run:
    """Where a run lies: `run_dir`, else runs/<dataset>/<model>/s<seed> in the checkout."""
    given = config.resolved["run_dir"]
    return Run(
        Path(given)
        if given
        else project_root() / "runs" / dataset / config.name / f"s{config.seed}"
    )


def find_run(name: str | Path) -> Run:
    """A run folder, seen from here or from the checkout."""
    name = expand_home(name)
    for path in (Path(name), project_root() / name, project_root() / "runs" / name):
        if (path / "config.yaml").is_file():
            return Run(path)
    known = [
        str(run.path.relative_to(project_root())) for run in find_runs(project_root() / "runs")
    ]
    raise InputError(f"no run in {str(name)!r}; {nearest(str(name), known)}")


def find_runs(folder: Path) -> list[Run]:
    """Every run below a folder."""
    return [
        Run(path.parent)
        for path in files_below(folder, "config.yaml")
        if (path.parent / "state.json").exists()
    ]
