"""The origin of the weights of a run: its configuration, its images and the runs that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genbench.config.config import Config
from genbench.runs.folder import config_tree

__all__ = ["Origin"]


@dataclass(frozen=True)
class Origin:
    """What training notes in state.json and in every checkpoint, and compares when it goes on.

    Each of the two files is enough: training never goes on over other images, or from another
    teacher, where one of them was removed.

    Attributes:
        config: The configuration.
        data_hash: Content hash of the images.
        needs: The needed runs by name, as in `genbench.runs.state.State`.
    """

    config: Config
    data_hash: str
    needs: dict[str, dict[str, Any]]

    @property
    def in_state(self) -> dict[str, Any]:
        """The fields of state.json."""
        return {
            "config": config_tree(self.config),
            "data_hash": self.data_hash,
            "needs": self.needs,
        }

    @property
    def in_checkpoint(self) -> dict[str, Any]:
        """The entries of a checkpoint."""
        return {
            "config": self.config.decisive,
            "data_hash": self.data_hash,
            "needs": self.needed_weights,
        }

    @property
    def needed_weights(self) -> dict[str, str]:
        """SHA-256 of the recorded weights of each needed run, by name."""
        return {name: need["weights_hash"] for name, need in self.needs.items()}
