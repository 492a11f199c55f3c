"""configs/claims.yaml: which row stands for a family, and how many seeds a verdict needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from genbench.system.locations import shipped
from genbench.system.typed import Filled, Natural, Text, read_yaml_as

__all__ = ["Settings", "load_settings"]


@dataclass(frozen=True)
class Settings:
    """What all claims share.

    Args:
        seeds: Training seeds that a verdict needs, by data set.
        other_seeds: The same for every other data set.
        representatives: The row that stands for a family, by data set and family.
    """

    seeds: dict[str, Natural]
    other_seeds: Natural
    representatives: Annotated[dict[str, dict[str, Text]], Filled()]

    def seeds_of(self, dataset: str) -> int:
        """How many training seeds a verdict needs."""
        return self.seeds.get(dataset, self.other_seeds)

    def label(self, dataset: str, name: str) -> str:
        """The label of a row.

        Args:
            dataset: Name of the data set.
            name: A family, or the label of a row.
        """
        return self.representatives.get(dataset, {}).get(name, name)


def load_settings() -> Settings:
    """Read configs/claims.yaml."""
    return read_yaml_as(Settings, shipped("configs", "claims.yaml"))
