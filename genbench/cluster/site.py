"""The settings of a SLURM cluster: one YAML file for each site."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from genbench.errors import InputError, nearest
from genbench.system.locations import expand_home, shipped
from genbench.system.typed import Natural, Pattern, read_yaml_as
from genbench.system.yaml12 import check_yaml_name

__all__ = ["Cluster", "load_cluster"]

Word = Annotated[str, Pattern(r"\S+", "a word, such as 24:00:00 for a time")]
Option = Annotated[str, Pattern(r"-[^\n]*", "an option of sbatch, such as --exclusive")]


@dataclass(frozen=True)
class Cluster:
    """The settings of a site, as a file of configs/cluster/ has them.

    An option that is None is left out, and the defaults of the site hold.

    Args:
        name: Name of the file, without .yaml.
        partition: sbatch --partition.
        account: sbatch --account.
        qos: sbatch --qos.
        gres: sbatch --gres, per node; {devices} stands for the devices of a run.
        time: sbatch --time of a run.
        cpus: sbatch --cpus-per-task.
        mem: sbatch --mem.
        array_limit: Runs of an array at a time.
        device: cpu or cuda: where runs are evaluated.
        setup: Lines of the batch script before the command.
        container: Words before the command.
        genbench: Words of the command on a node. None: the command of the login node, or
            `genbench` in a container.
        options: Further options of sbatch.
    """

    name: str
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    gres: Word | None = None
    time: Word | None = None
    cpus: Natural = 1
    mem: Word | None = None
    array_limit: Natural | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    setup: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    genbench: tuple[str, ...] | None = None
    options: tuple[Option, ...] = ()

    def directives(self, devices: int, num_nodes: int) -> list[str]:
        """The options of sbatch for one job.

        Args:
            devices: Devices on each node.
            num_nodes: Number of nodes.

        Returns:
            Options such as "--time=24:00:00".
        """
        values = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "gres": self.gres and self.gres.replace("{devices}", str(devices)),
            "time": self.time,
            "mem": self.mem,
            "cpus-per-task": self.cpus,
            "nodes": num_nodes,
            "ntasks-per-node": devices,
        }
        named = [f"--{key}={value}" for key, value in values.items() if value is not None]
        return [*named, *self.options]

    def command(self) -> list[str]:
        """The words that call genbench on a node."""
        if self.genbench:
            return [*self.container, *self.genbench]
        if self.container:
            return [*self.container, "genbench"]
        return [sys.executable, "-m", "genbench"]


def load_cluster(name: str) -> Cluster:
    """Read the settings of a site.

    Args:
        name: A YAML file, or the name of one in configs/cluster/.

    Raises:
        InputError: The file is missing, or a key or a value is wrong.
    """
    folder = shipped("configs", "cluster")
    for path in (expand_home(name), folder / f"{name}.yaml"):
        if path.is_file():
            check_yaml_name(path, "file of a cluster", f"those of genbench are in {folder}")
            return read_yaml_as(Cluster, path, name=path.stem)
    names = [path.stem for path in folder.glob("*.yaml")]
    raise InputError(f"no cluster {name!r}; {nearest(name, names)}")
