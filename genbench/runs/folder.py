"""The run folder: everything that a run is, in plain files.

config.yaml         the resolved configuration; the input of evaluation
state.json          status (running, stopped, done, diverged), images seen, seconds, which runs it
                    needed, and the configuration as training noted it: config.yaml is checked
                    against that wherever a run is opened; all under a digest
metrics.jsonl       one line per log point: images, seconds, losses
log.txt             what would clutter the terminal
checkpoints/        <images>-<hash>.ckpt, the last two; each notes the configuration, the images and
                    the needed runs that it is of, and is restored under no others
previews/           sample grids during training
model.safetensors   the recorded weights: moving averages, after `finalize`
lock                who is training here
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.config.check import check_config
from genbench.config.config import Config
from genbench.config.keys import changes, edits
from genbench.errors import InputError
from genbench.runs.checkpoint_files import keep_two, newest_checkpoint, save_checkpoint
from genbench.runs.state import State, read_state, write_state
from genbench.system.files import file_digest, write_atomic
from genbench.system.yaml12 import dump_yaml, load_yaml

if TYPE_CHECKING:
    from genbench.data.images import ImageData

__all__ = ["Run", "config_tree"]


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: The folder, which may not exist yet.
    """

    path: Path

    @property
    def weights(self) -> Path:
        """The file of the recorded weights."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """The metrics file."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def refuse_links(self) -> None:
        """Refuse a run folder that is a link or holds one.

        Training would write and delete files in another place, and would wait for a FIFO or a
        device. Folders above it may be links, as where runs/ lies on another disk.

        Raises:
            InputError: It is a link, or holds one, or holds what is neither file nor folder.
        """
        for path in (self.path, *sorted(self.path.glob("*"))):
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link to {path.readlink()}; a run is a folder of its own without "
                    "links: name that"
                )
            if path.exists() and not path.is_file() and not path.is_dir():
                raise InputError(f"{path} is neither a file nor a folder; remove it")

    def place(self) -> tuple[int, int] | None:
        """Device and inode number of the folder, or None where there is none.

        A folder keeps them when it is renamed, and another folder of the same name has others.
        """
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    # --- configuration and state ------------------------------------------------------------------

    def write_config(self, config: Config) -> None:
        """Write config.yaml.

        state.json is written after it: a process that is killed in between has noted the former
        configuration.
        """
        text = dump_yaml(config_tree(config))
        write_atomic(self.path / "config.yaml", text)

    def note_config(self, config: Config) -> None:
        """Note a configuration in state.json, unless it is there."""
        state = self.state()
        if state["config"] != config_tree(config):
            self.write_state(**{**state, "config": config_tree(config)})

    def check_config_file(self) -> None:
        """Refuse a config.yaml that decides other weights than the noted configuration.

        Keys that may change from one command to the next, and a larger budget, may differ: a
        training that was killed between writing the two files leaves such a difference.

        Raises:
            InputError: The line names what was changed.
        """
        # The file state.json is read first, since config.yaml is written before it.
        noted = self.state()["config"]
        path = self.path / "config.yaml"
        if noted is None or not path.exists():
            return
        differences = changes(noted, load_yaml(path))
        if differences:
            raise _edited(path, differences)

    def begun_config(self, trust: Sequence[str] = ()) -> Config | None:
        """The configuration that the weights come from; None for a new folder.

        It is the one that state.json notes, or else config.yaml.

        Args:
            trust: Modules outside genbench that it may name.
        """
        noted = self.state()["config"]
        if noted is not None:
            tree = dict(noted)
            name = str(tree.pop("name", "model"))
            return check_config(tree, name, trust, str(self.path / "state.json"))
        if (self.path / "config.yaml").exists():
            return self.config(trust)
        return None

    def recorded_config(self, trust: Sequence[str] = ()) -> Config:
        """config.yaml, for commands that measure the run. It must be what training has noted.

        Args:
            trust: Modules outside genbench that it may name.

        Raises:
            InputError: It was changed since then, or nothing was noted.
        """
        noted = self.state()["config"]
        config = self.config(trust)
        if noted is None:
            command = shlex.join(
                ["genbench", "train", "-c", f"{self.path}/config.yaml", f"--run_dir={self.path}"]
            )
            raise InputError(
                f"{self.path} was trained by a version that did not note its configuration, so "
                "that nothing says whether config.yaml is still what it was: where you know that "
                f"it is, {command} notes it, and trains nothing again"
            )
        path = self.path / "config.yaml"
        differences = edits(noted, load_yaml(path))
        if differences:
            raise _edited(path, differences)
        return config

    def config(self, trust: Sequence[str] = ()) -> Config:
        """The configuration in config.yaml.

        Args:
            trust: Modules outside genbench that it may name.

        Raises:
            InputError: The file is missing, damaged, or names a class outside the trusted modules.
        """
        path = self.path / "config.yaml"
        if not path.is_file():
            raise InputError(f"{self.path} is not a run: it has no config.yaml")
        tree = load_yaml(path)
        return check_config(tree, str(tree.pop("name", "model")), trust, str(path))

    def write_state(self, **state: Any) -> None:
        """Replace state.json.

        Args:
            state: Fields of `State` by name; the others take their defaults.
        """
        write_state(self.path / "state.json", state)

    def check_data(self, data: ImageData) -> None:
        """Refuse images other than those that the run was begun with.

        Args:
            data: The present images.

        Raises:
            InputError: The data of that name have another content hash.
        """
        begun = self.state()["data_hash"]
        present = data.content_hash
        if begun not in (None, present):
            raise InputError(
                f"{self.path} was begun on other images: {data.name} had the content hash "
                f"{begun[:12]}, now it is {present[:12]}; restore them, or choose another run_dir"
            )

    def check_needs(self, needs: dict[str, dict[str, Any]]) -> None:
        """Refuse needed runs whose weights are not those that the run was begun with.

        Args:
            needs: The needed runs by name, as in `State`.

        Raises:
            InputError: One was trained again.
        """
        begun = self.state()["needs"]
        # Other names are those of another configuration, which is refused as such.
        for name in sorted(begun.keys() & needs.keys()):
            if begun[name]["weights_hash"] != needs[name]["weights_hash"]:
                raise InputError(
                    f"{self.path} was begun with other weights of needs.{name}; restore them, or "
                    "choose another run_dir"
                )

    def state(self) -> dict[str, Any]:
        """The fields of `State` by name. Without state.json they are those of a new run.

        Raises:
            InputError: It is damaged, or was changed since training wrote it.
        """
        try:
            state = read_state(self.path / "state.json")
        except FileNotFoundError:
            state = State()
        return asdict(state)

    def is_done(self, budget: int) -> bool:
        """Whether the run is finished, with the recorded weights that training wrote.

        Args:
            budget: Images that it must have seen.
        """
        state = self.state()
        done = state["status"] == "done" and state["images_seen"] >= budget
        # Lost or damaged weights are made again from the checkpoint.
        return (
            done and self.weights.is_file() and file_digest(self.weights) == state["weights_hash"]
        )

    def is_final(self, budget: int) -> bool:
        """Whether nothing can be trained further: the run is finished, or diverged.

        Args:
            budget: Images that it must have seen.
        """
        return self.state()["status"] == "diverged" or self.is_done(budget)

    # --- checkpoints ------------------------------------------------------------------------------

    def save_checkpoint(self, state: dict[str, Any], images: int) -> Path:
        """Write a checkpoint, and remove all but the last two.

        Args:
            state: Content of the checkpoint.
            images: Training images seen.

        Returns:
            Its file.
        """
        return save_checkpoint(self.checkpoints, state, images)

    def keep_two(self) -> None:
        """Remove all checkpoints but the last two. A killed process may have left more."""
        keep_two(self.checkpoints)

    def newest_checkpoint(
        self, check: Callable[[dict[str, Any]], None] = lambda state: None
    ) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that is whole, and a line about each damaged one.

        Args:
            check: Raises ValueError, with what is wrong, for one that does not fit the run.
        """
        return newest_checkpoint(self.checkpoints, check)

    def sweep(self) -> None:
        """Remove what a killed process left half-written; for the owner of the lock."""
        # A file `.lock.*.tmp` may be of another process.
        for path in (*self.checkpoints.glob(".*.tmp"), *self.path.glob(".[!l]*.tmp")):
            # An evaluation, which takes no lock, may be writing `.wandb*`.
            if not path.name.startswith(".wandb"):
                path.unlink(missing_ok=True)


def config_tree(config: Config) -> dict[str, Any]:
    """The content of config.yaml: the name, and every key with its value."""
    return {"name": config.name, **config.resolved}


def _edited(path: Path, differences: Sequence[str]) -> InputError:
    """The error about a config.yaml that differs from the noted configuration."""
    return InputError(
        f"{path} was changed since training wrote it: {'; '.join(differences)}. Restore it; "
        "what may change is changed by genbench train"
    )
