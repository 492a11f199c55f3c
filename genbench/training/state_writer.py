"""What one training writes to state.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from genbench.runs.folder import Run
from genbench.runs.origin import Origin

__all__ = ["StateWriter"]


@dataclass(frozen=True)
class StateWriter:
    """Writes the progress of a training to state.json, always together with its origin.

    A state.json that is removed while training runs is therefore whole again at the next
    checkpoint.

    Attributes:
        run: The run folder.
        origin: Configuration, images and needed runs of the training.
        device: Name of the devices that train.
    """

    run: Run
    origin: Origin
    device: str

    def write(
        self,
        status: Literal["running", "stopped", "done", "diverged"],
        images_seen: int,
        seconds: float,
        **fields: Any,
    ) -> None:
        """Replace state.json.

        Args:
            status: Where the training stands.
            images_seen: Training images over all players and processes.
            seconds: Seconds of training so far.
            fields: Further fields of `genbench.runs.state.State`.
        """
        self.run.write_state(
            **self.origin.in_state,
            status=status,
            images_seen=images_seen,
            seconds=seconds,
            device=self.device,
            **fields,
        )
