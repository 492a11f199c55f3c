"""A SLURM cluster of one node on the loopback address, in a folder of its own: munged, slurmctld and slurmd, stopped by their ids."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scontrol", "scancel")

CONFIGURATION = """\
ClusterName=genbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
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
ReturnToService=2
InactiveLimit=0
NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=test Nodes={name} Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.getuid() != 0:
        return "a SLURM cluster of one node is started by root"
    missing = [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name) is None]
    return f"no {', '.join(missing)}: apt-get install slurm-wlm munge" if missing else None


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Run one; gives the environment in which SLURM's commands speak to it."""
    folder.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host, ports = socket.gethostname().partition(".")[0], _free_ports(2)
    text = CONFIGURATION.format(host=host, name="localhost", folder=folder, controller=ports[0], node=ports[1])
    (folder / "slurm.conf").write_text(text)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = [f"--{name}={folder}/munge.{end}" for name, end in MUNGE]
    with contextlib.ExitStack() as running:
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-i", "-c"],
            ["slurmd", "-D", "-c", "-N", "localhost"],
        ):
            log = running.enter_context((folder / f"{command[0]}.out").open("w"))
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            running.callback(_stop, process)
            if command[0] == "munged":
                _wait_for(lambda: (folder / "munge.socket").exists(), folder)
        _wait_for(lambda: "idle" in said(["sinfo", "-h", "-o", "%T"], environment), folder)
        try:
            yield environment
        finally:
            said(["scancel", "--full", "--user=root"], environment)
            said(["scancel", "--signal=KILL", "--full", "--user=root"], environment)
            with contextlib.suppress(TimeoutError):
                _wait_for(lambda: not said(["squeue", "-h"], environment).strip(), folder, 30)


MUNGE = (("socket", "socket"), ("key-file", "key"), ("log-file", "log"), ("pid-file", "pid"), ("seed-file", "seed"))


def said(command: list[str], environment: dict[str, str]) -> str:
    """What a command printed, whatever its exit code."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout


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


def _wait_for(ready, folder: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-1500:] for path in sorted(folder.glob("*.log")) + sorted(folder.glob("*.out")))
            raise TimeoutError(f"the cluster did not answer:\n{logs}")
        time.sleep(0.2)
