"""Whether a suite is complete, decided without torch.

Planning a suite builds every model, which takes ten seconds to learn that nothing is to be done. So
`genbench bench`, when it has found by the long way that every record is there and has written
tables and page, leaves a note in the suite's folder of runs: the files on which that depended, and
one digest over their names and contents, the program, the suite and the environment. As long as all
of that is the same, so is the answer. The note is no record of what was done: where it is missing,
or anything differs, or a GPU or a module of the user's own is involved, the suite is planned in the
long way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.config.find import find_config
from genbench.errors import GenbenchError
from genbench.system.files import file_digest
from genbench.system.json_files import digest, read_json, write_json
from genbench.system.locations import shipped
from genbench.system.typed import Sha256, read_value
from genbench.system.yaml12 import files_read

if TYPE_CHECKING:
    from genbench.suites.plan import Plan
    from genbench.suites.suite import Suite

__all__ = ["depends_on", "is_complete", "note_complete", "program_digest"]

# One of these files of Linux is there if torch could find a GPU of NVIDIA, of AMD or under Windows.
_GPUS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")

# A leaderboard's folder holds these folders besides runs, which may lie there too.
_SHOWN = ("records", "pictures", "explore", "noise")


@dataclass(frozen=True)
class Note:
    """What a complete suite leaves behind.

    Args:
        digest: SHA-256 of everything that its results depend on.
        files: Paths of files outside genbench that are part of it.
    """

    digest: Sha256
    files: tuple[str, ...]


def is_complete(suite: Suite, device: str, trust: Sequence[str]) -> bool:
    """Whether nothing is left to do, as far as this can be said without torch.

    Args:
        suite: A checked suite file.
        device: Device as the command line names it: auto, cpu, ...
        trust: Modules outside genbench that configurations may name.
    """
    if trust or not runs_on_cpu(device):
        return False
    try:
        note: Note = read_value(Note, read_json(note_file(suite)))
        files = [Path(name) for name in note.files]
        return note.digest == everything(suite, program_digest(), files)
    except (OSError, ValueError, GenbenchError):
        return False


def note_complete(suite: Suite, program: str, files: Iterable[Path]) -> None:
    """Leave a note that a suite is complete on a CPU.

    Args:
        suite: The suite.
        program: `program_digest` of the moment before it was planned.
        files: The files that `depends_on` has named.
    """
    if program == program_digest():
        names = sorted({str(path) for path in files})
        value = everything(suite, program, [Path(name) for name in names])
        write_json(note_file(suite), {"digest": value, "files": names})


def depends_on(plans: Iterable[Plan]) -> list[Path] | None:
    """The files outside genbench on which plans depend: recipes, data, and weights that they are
    judged by. None where a protocol takes another tool's statistics, which are looked for in
    several places.
    """
    from genbench.config.protocol import load_protocol
    from genbench.metrics.extractor import weights_file

    files = [path for path in files_read() if path.is_file()]
    for plan in plans:
        files += sorted(path for path in plan.data.folder.rglob("*") if path.is_file())
        protocol = load_protocol(plan.config.resolved["protocol"] or plan.data.protocol)
        files += [weights_file(protocol.extractor, plan.data.root)] if protocol.extractor else []
        if protocol.statistics is not None:
            return None
    return files


def runs_on_cpu(device: str) -> bool:
    """Whether it is certain, without asking torch, that a device is the CPU."""
    return device == "cpu" or (device == "auto" and not any(map(os.path.exists, _GPUS)))


def note_file(suite: Suite) -> Path:
    """Where the note about a suite lies."""
    return suite.runs / f".{suite.name}.complete.json"


def program_digest() -> str:
    """A digest of genbench itself and of what it ships."""
    files = [
        path
        for name in ("genbench", "configs")
        for path in sorted(shipped(name).rglob("*"))
        if path.is_file()
    ]
    return digest([[str(path), file_digest(path)] for path in files if path.suffix != ".pyc"])


def everything(suite: Suite, program: str, files: Iterable[Path]) -> str:
    """One digest over all that the answer depends on, and over what was written."""
    shown = [
        path for path in suite.out.glob("*") if path.is_file() and not path.name.startswith(".")
    ]
    for folder in _SHOWN:
        shown += [path for path in (suite.out / folder).rglob("*") if path.is_file()]
    contents = [[str(path), file_digest(path)] for path in (*files, *sorted(shown))]
    recipes = [str(find_config(entry.config).resolve()) for entry in suite.entries]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("GENBENCH_") or name == "HOME"
    }
    return digest([program, _plain(suite), recipes, contents, environment, str(Path.cwd())])


def _plain(suite: Suite) -> Any:
    """A suite as plain values."""
    return {**asdict(suite), "out": str(suite.out), "runs": str(suite.runs)}
