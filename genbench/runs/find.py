"""Where runs are: by their configuration, by their name, and below a folder."""

from __future__ import annotations

from pathlib import Path

from genbench.config.config import Config
from genbench.errors import InputError, nearest
from genbench.runs.folder import Run
from genbench.system.files import files_below
from genbench.system.locations import expand_home, project_root

__all__ = ["find_run", "find_runs", "run_folder"]


def run_folder(config: Config, dataset: str) -> Run:
    """The folder of a run: `run_dir`, or else runs/<dataset>/<model>/s<seed> in the checkout.

    Args:
        config: Configuration of the run.
        dataset: Name of the data.
    """
    run_dir = config.resolved["run_dir"]
    if run_dir:
        return Run(Path(run_dir))
    return Run(project_root() / "runs" / dataset / config.name / f"s{config.seed}")


def find_run(name: str | Path) -> Run:
    """The run folder of a name.

    Args:
        name: A path, from the working folder, from the checkout, or from runs/ in it.

    Raises:
        InputError: There is no run.
    """
    name = expand_home(name)
    for path in (Path(name), project_root() / name, project_root() / "runs" / name):
        if (path / "config.yaml").is_file():
            return Run(path)
    root = project_root()
    known = [str(run.path.relative_to(root)) for run in find_runs(root / "runs")]
    raise InputError(f"no run in {str(name)!r}; {nearest(str(name), known)}")


def find_runs(folder: Path) -> list[Run]:
    """Every run below a folder that was begun.

    Args:
        folder: A folder with run folders, such as runs/.
    """
    return [
        Run(path.parent)
        for path in files_below(folder, "config.yaml")
        if (path.parent / "state.json").exists()
    ]
