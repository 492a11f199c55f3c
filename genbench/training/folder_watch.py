"""A run folder that disappears while training writes into it."""

from __future__ import annotations

from genbench.errors import Stopped
from genbench.runs.folder import Run

__all__ = ["FolderWatch"]


class FolderWatch:
    """Notices that a run folder was moved away or removed since training began.

    Files that are written afterwards would make a new folder of the same name, without the
    beginning of the run.

    Args:
        run: The run folder, which exists.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._place = run.place()

    def check(self) -> None:
        """Compare the folder with the one that training began in.

        Raises:
            Stopped: The folder is another one, or missing. The same command goes on once it is back.
        """
        if self.run.place() != self._place:
            raise Stopped(
                f"{self.run.path} is no longer the folder that training began in: it was moved "
                "away or removed; put it back, or name its new place as run_dir, and the same "
                "command goes on from its last checkpoint"
            )
