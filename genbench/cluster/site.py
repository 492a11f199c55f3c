"""A SLURM cluster's settings."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, fields
from typing import Any

from genbench.errors import InputError, nearest
from genbench.system.locations import expand_home, shipped
from genbench.system.yaml12 import load_settings

__all__ = ["Cluster", "load_cluster"]


@dataclass(frozen=True)
class Cluster:
    """What a site wants: a file of configs/cluster/. Options that are None are left to the site's
    defaults.

    Args:
        name: Name of its file.
        partition: sbatch --partition.
        account: sbatch --account.
        qos: sbatch --qos.
        gres: sbatch --gres, per node; {devices} stands for the devices of a run.
        time: sbatch --time of a run.
        cpus: sbatch --cpus-per-task.
        mem: sbatch --mem.
        array_limit: Runs at once, of each array.
        device: cpu or cuda: where runs are evaluated.
        setup: Lines of the batch script before the command.
        container: Words before the command.
        genbench: Words of the command on a node; None: that of the login node, in a container
            `genbench`.
        options: Further options of sbatch.
    """

    name: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: str | None = None
    time: str | None = None
    cpus: int = 1
    mem: str | None = None
    array_limit: int | None = None
    device: str = "cpu"
    setup: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    genbench: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()

    def directives(self, devices: int, num_nodes: int) -> list[str]:
        """Options of sbatch for a job with so many devices on each of so many nodes."""
        gres = self.gres and self.gres.replace("{devices}", str(devices))
        named = {"partition": self.partition, "account": self.account, "qos": self.qos, "gres": gres, "time": self.time,
                 "mem": self.mem, "cpus-per-task": self.cpus, "nodes": num_nodes, "ntasks-per-node": devices}  # fmt: skip
        return [f"--{key}={value}" for key, value in named.items() if value is not None] + list(
            self.options
        )

    def command(self) -> list[str]:
        """How genbench is called on a node."""
        here = ["genbench"] if self.container else [sys.executable, "-m", "genbench"]
        return [*self.container, *(self.genbench or here)]


def load_cluster(name: str) -> Cluster:
    """A site's settings: a YAML file, or the name of one in configs/cluster/.

    Raises:
        InputError: It is missing, or a key or a value is wrong.
    """
    folder = shipped("configs", "cluster")
    path = next((p for p in (expand_home(name), folder / f"{name}.yaml") if p.is_file()), None)
    if path is None:
        raise InputError(
            f"no cluster {name!r}; {nearest(name, [p.stem for p in folder.glob('*.yaml')])}"
        )
    tree = load_settings(path, ("partition", "account", "qos", "gres", "time", "mem", "device"))
    right = [field.name for field in fields(Cluster) if field.name != "name"]
    for key, value in tree.items():
        if key not in right:
            raise InputError(f"{path}: unknown key {key}; {nearest(key, right)}")
        if wanted := _unfit(key, value):
            raise InputError(f"{path}: {key} is {value!r}; right is {wanted}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in tree.items()
    }
    return Cluster(name=path.stem, **values)


def _unfit(key: str, value: Any) -> str | None:
    """What would be right for a key, where its value is not."""
    words = isinstance(value, list) and all(isinstance(word, str) for word in value)
    if key == "options":
        fits = words and all(option.startswith("-") and "\n" not in option for option in value)
        if fits:
            return None
        return "a list of options of sbatch, such as --exclusive"
    if key in ("setup", "container", "genbench"):
        if words or (key == "genbench" and value is None):
            return None
        return "a list of texts"
    if key in ("cpus", "array_limit"):
        if (type(value) is int and value > 0) or (key != "cpus" and value is None):
            return None
        return "a number, at least 1"
    if key == "device":
        if value in ("cpu", "cuda"):
            return None
        return "cpu or cuda"
    fits = value is None or (isinstance(value, str) and re.fullmatch(r"\S+", value) is not None)
    if fits:
        return None
    return "a word, such as 24:00:00 for a time"
