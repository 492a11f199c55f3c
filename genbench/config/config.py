"""A checked configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genbench.config.instantiate import instantiate
from genbench.config.keys import may_change, own_key
from genbench.config.settings import Budget, Evaluation, TrainerSettings, WandbSettings
from genbench.config.tree import leaves_of
from genbench.formulas.learning_rate import LearningRateSchedule
from genbench.optimization import Optimization
from genbench.records.parts import DEFAULT
from genbench.system.json_files import digest

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    Attributes:
        name: The model's name in tables: the recipe's file name.
        resolved: Every key with its value, plain JSON; what is saved in the run folder.
        trust: Modules outside genbench that a class_path may name.
        origin: What errors about it begin with, such as the file.
    """

    name: str
    resolved: dict[str, Any]
    trust: tuple[str, ...] = ()
    origin: str = field(default="the configuration", compare=False)

    @property
    def seed(self) -> int:
        """Seed of initialisation, batches and augmentation."""
        return int(self.resolved["seed"])

    @property
    def budget(self) -> Budget:
        """How much the run trains."""
        return Budget(**self.resolved["budget"])

    @property
    def optimization(self) -> Optimization:
        """How the weights are updated and averaged."""
        settings = dict(self.resolved["optimization"])
        if settings.get("schedule") is not None:
            settings["schedule"] = instantiate(
                LearningRateSchedule, settings["schedule"], key="optimization.schedule"
            )
        return Optimization(**settings)

    @property
    def trainer(self) -> TrainerSettings:
        """Settings of the trainer: devices, precision, how often it logs and saves."""
        return TrainerSettings(**self.resolved["trainer"])

    @property
    def wandb(self) -> WandbSettings:
        """The page of the run on Weights & Biases."""
        return WandbSettings(**self.resolved["wandb"])

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """The evaluations by their names. Where a recipe names none, there is the default one."""
        evaluations = self.resolved["evaluations"] or {DEFAULT: {}}
        return {name: Evaluation(**options) for name, options in evaluations.items()}

    @property
    def default_evaluation(self) -> str:
        """Name of the default evaluation, or of the first where none has that name."""
        if DEFAULT in self.evaluations:
            return DEFAULT
        return next(iter(self.evaluations))

    @property
    def needs(self) -> dict[str, Config]:
        """The configurations of the needed runs, by the model's names for them.

        Those runs must be finished before this one begins.
        """
        return {
            name: self._needed(name, tree) for name, tree in self.resolved.get("needs", {}).items()
        }

    def _needed(self, name: str, tree: dict[str, Any]) -> Config:
        """The configuration of a needed run, from its tree below `needs`."""
        resolved = {key: value for key, value in tree.items() if key not in ("name", "recipe")}
        return Config(tree["name"], resolved, self.trust, f"{self.origin}: needs.{name}")

    @property
    def hash(self) -> str:
        """SHA-256 of every key that decides the weights, but for the seed.

        The keys of needed runs are among them.
        """
        return digest(
            {
                key: value
                for key, value in leaves_of(self.resolved)
                if not may_change(key) and own_key(key) != "seed"
            }
        )

    @property
    def decisive(self) -> dict[str, Any]:
        """The name, and every dotted key that decides the weights, with the seed.

        A checkpoint notes it.
        """
        tree = {"name": self.name, **self.resolved}
        return {key: value for key, value in leaves_of(tree) if not may_change(key)}

    @property
    def family(self) -> str:
        """The family of the model: vae for genbench.models.vae.vae.VAE.

        The family of a user's model is the name of its module.
        """
        module = str(self.resolved["model"]["class_path"]).split(".")
        if module[:2] == ["genbench", "models"]:
            return module[2]
        return module[0]
