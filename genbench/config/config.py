"""A checked configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genbench.config.keys import may_change, own_key
from genbench.config.settings import Budget, Evaluation, TrainerSettings, WandbSettings
from genbench.config.tree import leaves_of
from genbench.optimization import Optimization
from genbench.system.json_files import digest

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    Attributes:
        name: The model's name in tables: the recipe's file name.
        resolved: Every key with its value, plain JSON; what is saved in the run folder.
        trust: Modules outside genbench that a class_path may name.
    """

    name: str
    resolved: dict[str, Any]
    trust: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        return int(self.resolved["seed"])

    @property
    def budget(self) -> Budget:
        return Budget(**self.resolved["budget"])

    @property
    def optimization(self) -> Optimization:
        return Optimization(**self.resolved["optimization"])

    @property
    def trainer(self) -> TrainerSettings:
        return TrainerSettings(**self.resolved["trainer"])

    @property
    def wandb(self) -> WandbSettings:
        return WandbSettings(**self.resolved["wandb"])

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """Row variants; the plain row is "" and the only one where none is named."""
        given = self.resolved["evaluations"] or {"": {}}
        return {
            ("" if name == "default" else name): Evaluation(**options)
            for name, options in given.items()
        }

    @property
    def needs(self) -> dict[str, Config]:
        """The configurations of the runs that must be finished before this one begins, by the
        model's names for them.
        """
        return {name: self._needed(tree) for name, tree in self.resolved.get("needs", {}).items()}

    def _needed(self, tree: dict[str, Any]) -> Config:
        resolved = {key: value for key, value in tree.items() if key not in ("name", "recipe")}
        return Config(tree["name"], resolved, self.trust)

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the weights, those of needed runs too, apart from the seed."""
        return digest(
            {
                key: value
                for key, value in leaves_of(self.resolved)
                if not may_change(key) and own_key(key) != "seed"
            }
        )

    @property
    def decisive(self) -> dict[str, Any]:
        """What a checkpoint notes: name, seed, and every key that decides the weights, dotted."""
        tree = {"name": self.name, **self.resolved}
        return {key: value for key, value in leaves_of(tree) if not may_change(key)}

    @property
    def family(self) -> str:
        """The folder of the model's class: genbench.models.<family>; the module's name for a user's
        model.
        """
        module = self.resolved["model"]["class_path"].split(".")
        return str(module[2] if module[:2] == ["genbench", "models"] else module[0])
