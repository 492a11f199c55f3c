"""A SLURM cluster of two nodes on the loopback addresses, in a folder of its own: munged, slurmctld and two slurmd, stopped by their ids.

A node is a slurmd with a name, a port and, where the kernel allows it, a host name of its own. Its name is its address too, so that
the first process of a job over both nodes is found by the name of its node, as on a cluster with a name service.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scontrol", "scancel")
NODES = ("127.0.0.1", "127.0.0.2")
CPUS = 2  # of each

CONFIGURATION = """\
ClusterName=genbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
MinJobAge=300
KillWait=20
SlurmdTimeout=15
ReturnToService=2
InactiveLimit=0
{nodes}
PartitionName=test Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr={name} Port={port} CPUs={cpus} RealMemory=1000 State=UNKNOWN"


def lacking() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.getuid() != 0:
        return "a SLURM cluster of two nodes on one machine is started by root"
    missing = [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name) is None]
    return f"no {', '.join(missing)}: apt-get install slurm-wlm munge" if missing else None


class Nodes:
    """A running cluster.

    Args:
        folder: Its configuration, state and logs.
        environment: In which SLURM's commands speak to it.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def said(self, *command: str) -> str:
        """What a command printed, whatever its exit code."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60
        ).stdout

    def begin(self, name: str, *command: str) -> None:
        """Start a daemon."""
        with (self.folder / f"{name}.out").open("a") as log:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def start(self, node: str) -> None:
        """Start a node's slurmd, under a host name that locks can tell from that of the other node, and wait until it works."""
        command = f"exec slurmd -D -c -N {node}"
        if node != NODES[0] and _has_host_names():
            command = f"exec unshare --uts sh -c 'hostname localhost; {command}'"
        self.begin(node, "sh", "-c", command)
        self.wait(lambda: self.state(node) in ("idle", "mixed", "allocated"), 180)

    def die(self, node: str) -> None:
        """End a node as a power failure does: nothing on it says anything any more."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        tasks = self._processes(node)
        # the ones that would report the death of a task go first
        keepers = {
            parent
            for pid in tasks
            if (parent := _parent(pid)) and _name(parent).startswith("slurmstepd")
        }
        for pid in (*keepers, *tasks, *self._processes(node)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def state(self, node: str) -> str:
        """As sinfo says it: idle, mixed, allocated, draining, drained, down, each with a star where the node does not answer."""
        return self.said("sinfo", "--noheader", f"--nodes={node}", "--format=%T").strip()

    def wait(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Until something is so; TimeoutError with the ends of all logs otherwise."""
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
                raise TimeoutError(
                    "the cluster did not answer:\n"
                    + "\n".join(path.read_text()[-1500:] for path in logs)
                )
            time.sleep(0.2)

    def _processes(self, node: str) -> list[int]:
        """What jobs started on a node."""
        marks = {
            f"SLURMD_NODENAME={node}".encode(),
            f"SLURM_CONF={self.environment['SLURM_CONF']}".encode(),
        }
        running = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in running if marks <= set(_environment(pid))]


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Nodes]:
    """Run one, in an empty folder."""
    folder.chmod(0o755)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host, ports = socket.gethostname().partition(".")[0], _free_ports(1 + len(NODES))
    lines = [
        NODE.format(name=name, host=host, port=port, cpus=CPUS)
        for name, port in zip(NODES, ports[1:])
    ]
    for name in NODES:
        (folder / f"spool-{name}").mkdir()
    text = CONFIGURATION.format(
        host=host, folder=folder, controller=ports[0], nodes="\n".join(lines), names=",".join(NODES)
    )
    (folder / "slurm.conf").write_text(text)
    nodes = Nodes(folder, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")})
    try:
        nodes.begin(
            "munged",
            "munged",
            "--foreground",
            "--force",
            *[f"--{n}={folder}/munge.{end}" for n, end in MUNGE],
        )
        nodes.wait((folder / "munge.socket").exists)
        nodes.begin("slurmctld", "slurmctld", "-D", "-i", "-c")
        for name in NODES:
            nodes.start(name)
        yield nodes
    finally:
        nodes.said("scancel", "--full", "--user=root")
        nodes.said("scancel", "--signal=KILL", "--full", "--user=root")
        with contextlib.suppress(TimeoutError):
            nodes.wait(lambda: not nodes.said("squeue", "--noheader").strip(), 30)
        for process in reversed(nodes.daemons.values()):
            _stop(process)


MUNGE = (
    ("socket", "socket"),
    ("key-file", "key"),
    ("log-file", "log"),
    ("pid-file", "pid"),
    ("seed-file", "seed"),
)


def _has_host_names() -> bool:
    """Whether a process here may have a host name of its own."""
    tried = ["unshare", "--uts", "hostname", "localhost"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(tried, capture_output=True).returncode == 0
    )


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")[0]
    except OSError:
        return ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]
