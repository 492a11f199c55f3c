"""The run folder: everything that a run is, in plain files.

config.yaml         the resolved configuration; the input of evaluation
state.json          status (running, stopped, done, diverged), images seen, seconds, which runs it needed, and the configuration as
                    training noted it: config.yaml is checked against that wherever a run is opened
metrics.jsonl       one line per log point: images, seconds, losses
log.txt             what would clutter the terminal
checkpoints/        <images>-<hash>.ckpt, the last two; each notes the configuration that it is of,
                    and is restored under no other one
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genbench.config import Config, changes, check_config, edits, load_yaml, train_command
from genbench.errors import GenbenchError, InputError, nearest
from genbench.files import expand_home, file_digest, files_below, open_regular, project_root, write_atomic, write_json
from genbench.leaderboard.consistency import needed_names
from genbench.leaderboard.record import Need
from genbench.typed import Count, Line, Seconds, Sha256, Text, read_json_as, read_value
from genbench.yaml12 import dump_yaml

if TYPE_CHECKING:
    from genbench.data.images import ImageData
    from genbench.model import GenerativeModel

__all__ = ["Loaded", "Run", "State", "find_run", "find_runs", "load", "load_needed", "needed_facts", "run_folder"]

# of every configuration that training has noted
_SECTIONS = {"name": Text, "seed": Count, "data": dict[str, Any], "model": dict[str, Any], "budget": dict[str, Any]}

# "config" may stand beside them: a version that did not note it left it out
_CHECKPOINT = {"images_seen", "model", "optimizers", "ema", "keeper"}


@dataclass(frozen=True)
class State:
    """The content of state.json; by default that of a run that was not begun.

    Attributes:
        status: Empty before training begins.
        images_seen: Training images over all players and processes.
        finalize_images: Images that `finalize` went through.
        seconds: Of training and `finalize`.
        device: What trained.
        diverged_at: Image count of the batch whose loss was not finite.
        weights_hash: SHA-256 of model.safetensors.
        data_hash: Content hash of the data at the beginning.
        needs: The needed runs at the beginning.
        config: The configuration with the name, as the last `genbench train` wrote it to config.yaml. None for a run of a version
            that did not note it.
    """

    status: Literal["", "running", "stopped", "done", "diverged"] = ""
    images_seen: Count = 0
    finalize_images: Count = 0
    seconds: Seconds = 0.0
    device: Line = "-"
    diverged_at: Count | None = None
    weights_hash: Sha256 | None = None
    data_hash: Sha256 | None = None
    needs: dict[str, Need] = field(default_factory=dict)
    config: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.status == "diverged") != (self.diverged_at is not None):
            raise ValueError(f"diverged_at is {self.diverged_at}, where the status is {self.status!r}")
        if self.data_hash is None and (self.status == "done" or self.config is not None):
            raise ValueError("data_hash is null, where training notes the hash of its images")
        if self.config is not None:
            for section, kind in _SECTIONS.items():
                if section not in self.config:
                    raise ValueError(f"config.{section} is missing")
                read_value(kind, self.config[section], f"config.{section}")
            if differences := self.needs.keys() ^ needed_names(self.config):
                name = min(differences)
                raise ValueError(f"needs.{name} is in one of needs and config, and not in the other")


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
        """A run folder is a folder of files and folders: what is written and deleted here must not be somebody's elsewhere, and a
        FIFO or a device would be waited for.

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
        """Device and number of the folder, which it keeps wherever it is moved; None where there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    # --- configuration and state ----------------------------------------------------------------------------------------

    def write_config(self, config: Config) -> None:
        """Write config.yaml. `note_config` follows it: a process that is killed in between has noted the former configuration."""
        text = dump_yaml(config_tree(config))
        write_atomic(self.path / "config.yaml", text)

    def note_config(self, config: Config) -> None:
        """Note in state.json what config.yaml says, where that is new."""
        state = self.state()
        if state["config"] != config_tree(config):
            write_json(self.path / "state.json", {**state, "config": config_tree(config)})

    def check_config_file(self) -> None:
        """Refuse a config.yaml that says something else about the weights than what training has noted.

        What may change from one command to the next, and a larger budget, may differ: a training that was killed between its two
        files leaves that.

        Raises:
            InputError: The line names what was changed.
        """
        noted = self.state()["config"]  # first: config.yaml is written before it
        path = self.path / "config.yaml"
        if noted is not None and path.exists() and (differences := changes(noted, load_yaml(path))):
            raise _edited(path, differences)

    def begun_config(self, trust: Sequence[str] = ()) -> Config | None:
        """The configuration that the weights come from: the noted one, else config.yaml; None for a new folder."""
        noted = self.state()["config"]
        if noted is not None:
            rest = dict(noted)
            return check_config(rest, str(rest.pop("name", "model")), trust, str(self.path / "state.json"))
        return self.config(trust) if (self.path / "config.yaml").exists() else None

    def recorded_config(self, trust: Sequence[str] = ()) -> Config:
        """The configuration for whatever says something about the run: config.yaml, which must be what training has noted.

        Raises:
            InputError: It was changed since then, or nothing was noted.
        """
        noted = self.state()["config"]
        config = self.config(trust)
        if noted is None:
            again = shlex.join(["genbench", "train", "-c", f"{self.path}/config.yaml", f"--run_dir={self.path}"])
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
        """Replace state.json. The content hash of the data, the needed runs and the configuration stay where none are given."""
        before = self.state()
        kept = {key: before[key] for key in ("data_hash", "needs", "config")}
        tree = {**kept, **state}
        read_value(State, tree)  # what is written can be read
        write_json(self.path / "state.json", tree)

    def check_data(self, data: ImageData) -> None:
        """Refuse images other than those that the run was begun with.

        Raises:
            InputError: The data of that name have another content hash.
        """
        begun, here = self.state()["data_hash"], data.content_hash
        if begun not in (None, here):
            raise InputError(
                f"{self.path} was begun on other images: {data.name} had the content hash {begun[:12]}, now it is {here[:12]}; "
                "restore them, or choose another run_dir"
            )

    def state(self) -> dict[str, Any]:
        """The fields of `State` by name; those of a run that was not begun where there is no state.json.

        Raises:
            InputError: It is damaged.
        """
        try:
            state = read_json_as(State, self.path / "state.json", "remove it, and training goes on from the checkpoint")
        except FileNotFoundError:
            state = State()
        return asdict(state)

    def is_done(self, budget: int) -> bool:
        """Whether it has seen so many images, and its recorded weights are those that were written."""
        state = self.state()
        done = state["status"] == "done" and state["images_seen"] >= budget
        # lost or damaged weights are made again from the checkpoint
        return done and self.weights.is_file() and file_digest(self.weights) == state["weights_hash"]

    # --- checkpoints ------------------------------------------------------------------------------------------------------

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
        for path in (*self.checkpoints.glob(".*.tmp"), *self.path.glob(".[!l]*.tmp")):  # `.lock.*.tmp` may be another's
            if not path.name.startswith(".wandb"):  # an evaluation, which takes no lock, may be writing it
                path.unlink(missing_ok=True)

    def newest_checkpoint(
        self, check: Callable[[dict[str, Any]], None] = lambda state: None
    ) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that is whole, and a line about each damaged one, which is set aside.

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
                    if state.keys() - {"config"} != _CHECKPOINT:
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
            said.append(f"{path} is damaged ({reason}) and set aside; going back to the one before, or to the beginning")
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
    """Refuse a checkpoint that is compressed, which torch.save never does: it could unpack to anything."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("it would unpack to more than it has")


def run_folder(config: Config, dataset: str) -> Run:
    """Where a run lies: `run_dir`, else runs/<dataset>/<model>/s<seed> in the checkout."""
    given = config.resolved["run_dir"]
    return Run(Path(given) if given else project_root() / "runs" / dataset / config.name / f"s{config.seed}")


def find_run(name: str | Path) -> Run:
    """A run folder, seen from here or from the checkout."""
    name = expand_home(name)
    for path in (Path(name), project_root() / name, project_root() / "runs" / name):
        if (path / "config.yaml").is_file():
            return Run(path)
    known = [str(run.path.relative_to(project_root())) for run in find_runs(project_root() / "runs")]
    raise InputError(f"no run in {str(name)!r}; {nearest(str(name), known)}")


def find_runs(folder: Path) -> list[Run]:
    """Every run below a folder."""
    return [Run(path.parent) for path in files_below(folder, "config.yaml") if (path.parent / "state.json").exists()]


class Loaded(NamedTuple):
    """A finished run, ready for measuring."""

    run: Run
    config: Config
    data: ImageData
    model: GenerativeModel


def open_run(name: str | Path | Run, trust: Sequence[str] = (), device: str = "cpu") -> Loaded:
    """The model of a finished run with its recorded weights, and its data.

    Raises:
        InputError: There is no such run, it is not finished, or its weights are damaged.
    """
    run = name if isinstance(name, Run) else find_run(name)
    run.refuse_links()
    state = run.state()
    status = state["status"]
    if status != "done":
        raise InputError(
            f"{run.path} is not finished (status: {status or 'not started'}); train it first with the same command"
        )
    from genbench.build import build
    from genbench.checkpoint import largest_count

    config = run.recorded_config(trust)
    data, model = build(config)
    run.check_data(data)
    seen = largest_count(config.budget.images, data.batch_size) if model.players() else 0
    if state["images_seen"] != seen:
        raise InputError(
            f"{run.path / 'state.json'} says {state['images_seen']:,} images, where a budget of {config.budget.images:,} in batches of "
            f"{data.batch_size} makes {seen:,}; remove it, and the same genbench train goes on from the checkpoint"
        )
    load_weights(model, run.weights, state["weights_hash"])
    return Loaded(run, config, data, model.eval().to(device))


def load(run: str | Path, trust: Sequence[str] = (), device: str = "cpu") -> GenerativeModel:
    """The model of a finished run with its recorded weights, in evaluation mode.

    Args:
        run: Run folder.
        trust: Modules outside genbench that its configuration may name.
        device: Where to put it.
    """
    return open_run(run, trust, device).model


def save_weights(model: GenerativeModel, path: Path) -> None:
    """Parameters and buffers as safetensors: nothing in such a file can run."""
    from safetensors.torch import save

    write_atomic(path, save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}))


def load_weights(model: GenerativeModel, path: Path, sha256: str | None) -> None:
    """Inverse of `save_weights`. The bytes are hashed before anything makes tensors of them.

    Args:
        model: Takes the weights.
        path: The file.
        sha256: The hash of the file that training wrote; None where none was noted.

    Raises:
        InputError: The file is missing, damaged, of another model, or not what training wrote.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"weights {path} cannot be loaded: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path} is not what training wrote, by its hash; the same genbench train makes it again")
    try:
        model.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"weights {path} cannot be loaded: {' '.join(str(error).split())[:200]}") from None


# --- runs that others need --------------------------------------------------------------------------------------------


def load_needed(config: Config, name: str, dataset: str) -> GenerativeModel:
    """The model of the run that another one calls `name`.

    Args:
        config: Of the run that needs it.
        name: Of `config.needs`.
        dataset: Name of the data.

    Raises:
        InputError: It is missing, not finished or of another configuration. The line has the command that makes it.
    """
    needed = config.needs[name]
    run = run_folder(needed, dataset)
    said, status = f"needs.{name}, {run.path}", run.state()["status"]
    if status == "diverged":
        raise InputError(f"{said}: it diverged, which is final; another seed is another run")
    finished, taken = run.is_done(0), ""
    if (run.path / "config.yaml").exists():
        begun = run.config(config.trust)
        if differences := changes(begun.resolved, needed.resolved):
            raise InputError(f"{said}: it is another run: {'; '.join(differences)}; name its folder by --needs.{name}.run_dir=")
        if finished and begun.budget != needed.budget:
            finished, taken = False, f"; or take it as it is: --needs.{name}.budget.images={begun.budget.images}"
    if not finished:
        stands = f"{status}, {run.state()['images_seen']:,} images" if status else "not begun"
        raise InputError(f"{said}: it is not finished ({stands}); first: {train_command(config, name)}{taken}")
    return open_run(run, config.trust).model


def needed_facts(config: Config, dataset: str) -> dict[str, dict[str, Any]]:
    """What a record says of the runs that a run needs, and by `teacher.teacher` of those that they needed: which and what cost."""
    facts: dict[str, dict[str, Any]] = {}
    for name, needed in config.needs.items():
        state = run_folder(needed, dataset).state()
        facts[name] = {
            "config_hash": needed.hash,
            "weights_hash": state["weights_hash"],
            "images_seen": state["images_seen"] + state["finalize_images"],
            "train_seconds": round(state["seconds"], 1),
        }
        facts |= {f"{name}.{key}": value for key, value in state["needs"].items()}
    return facts
