r"""The contract that every model keeps, and the training step that none has to write.

A leaf implements `loss`, `sample` and, where it has a density, `terms`, all about integer images
x in {0, ..., levels - 1}:

    loss      what is minimised, in whatever unit the method uses
    sample    integer images, a function of the random streams alone
    terms     named parts of -log p, nats of the integer image, that add up to it: `exact`, of a
              lower `bound`, or of an `estimate`, as the class declares

A sampler that goes from noise to an image in steps writes `trajectory` in place of `sample`. Options
are arguments of `terms`, `sample` and `trajectory` with a type and a default: the configuration's
check, the records' list of defaults and the help read these signatures.

Adversarial methods override `players`. Everything else (data, optimizer steps, gradient reduction,
averaging of weights, counting, logging, checkpoints, evaluation) is the same for all and lives
outside the leaf.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, cast, final

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from genbench.batch import Batch, ImageBuffer, image_buffers
from genbench.capabilities import HasTrajectory, last_state
from genbench.conditioning import encoded, refusal
from genbench.formulas.pixels import to_pixels, to_real
from genbench.optimization import Optimization
from genbench.options import defaults_of, options_of
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng
from genbench.spec import Labels, Spec, Y
from genbench.steps import (
    Losses,
    OptimizerFactory,
    Player,
    note_rates,
    rate_factor,
    set_gradients,
    set_rates,
)

__all__ = ["GenerativeModel"]


class GenerativeModel(LightningModule, ABC):
    """A generative model of integer images.

    Attributes:
        likelihood: What `log_prob` is without options; None where there is no density.
        dequantisation: "uniform" or "variational" where the density is one of reals that fill the
            pixels' cells.
        batch_coupled: Whether the loss of an image depends on the others of its batch, beyond their
            mean.
        gathers_batch: Whether what couples the images of a batch is taken over all processes, as
            `nets.norm.BatchNorm` does it. A loss that couples them otherwise is trained by one
            process.
        second_derivatives: Whether the loss takes gradients of gradients of its networks, which
            compiled networks do not have.
        conditions: The kinds of y that a model of p(x | y) of this class can be conditioned on.
        spec: Shape and levels of the images, and what y is.
        conditioned_on: What y is, of a model of p(x | y); None for a model of p(x).
        classes: Number of classes K of a model of p(x | y) of labels y; 0 for any other.
        training_needs: Needed runs that the loss alone uses, and no sample or likelihood.

    A finished run that a model learns from, such as a teacher, is an argument of its constructor,
    annotated by what the run offers: `teacher: Transports` of `genbench.capabilities`, or
    `teacher: Transports | None` where some models of the class have none. The configuration's
    `needs` names the run by the name of the argument. It has its recorded weights and is frozen. As
    an attribute it goes where this model goes, but its parameters are not this model's.
    """

    likelihood: LikelihoodKind | None = None
    dequantisation: str | None = None
    batch_coupled: bool = False
    gathers_batch: bool = False
    second_derivatives: bool = False
    training_needs: tuple[str, ...] = ()
    conditions: tuple[type[Y], ...] = (Labels,)

    def __init__(self, spec: Spec, optimizer: OptimizerFactory, conditional: bool = False) -> None:
        super().__init__()
        self.options_method("sample")  # This refuses a class without a sampler.
        if conditional and not isinstance(spec.y, self.conditions):
            raise ValueError(refusal(type(self).__name__, self.conditions, spec.y))
        self.conditioned_on = spec.y if conditional else None
        self.classes = spec.classes if conditional else 0
        self.automatic_optimization = False
        self.spec = spec
        self.optimizer = optimizer
        self.optimization = Optimization()
        self.budget = 0
        self.micro_batches = 1
        self._images_seen = 0
        self._turns: list[tuple[int, str, Player]] = []
        self._image_buffers: list[ImageBuffer] = []

    # --- the contract -----------------------------------------------------------------------------

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """What training minimises.

        Args:
            x: Integer images (B, C, H, W).
            y: One per image, as `spec.y` says: int64 (B,) where it is a label.
            rng: One stream per image.

        Returns:
            Scalars by name. Entry "loss" is minimised, and every entry is logged.
        """

    def sample(self, rng: Rng, y: Tensor | None = None, *args: Any, **options: Any) -> Tensor:
        """One image per stream of `rng`: integers (len(rng), C, H, W).

        A leaf writes this method, with its options as typed arguments, or `trajectory`
        (`capabilities.HasTrajectory`), whose last state is rounded to an image here.

        Args:
            rng: One stream per image.
            y: One per stream, which a model of p(x | y) needs: int64 (len(rng),) where y is a
                label. A model of p(x) does not look at it.
            args: Options of `trajectory` by their position.
            options: Options of `trajectory`.

        Raises:
            ValueError: `trajectory` yields nothing.
        """
        assert isinstance(self, HasTrajectory)
        states = self.trajectory(rng.normal(self.spec.shape), rng, y, *args, **options)
        return self.to_pixels(last_state(states, type(self).__name__))

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, *args: Any, **options: Any
    ) -> dict[str, Tensor]:
        """Named parts that add up to -log p(x), or to -log p(x | y): (B,) nats each.

        A leaf with a density writes this method, with its options as typed arguments.

        Args:
            x: Integer images (B, C, H, W).
            y: One per image, which a model of p(x | y) needs: int64 (B,) where y is a label.
            rng: One stream per image. Default: fixed ones, `fixed_rng`.
            args: Options of the leaf by their position.
            options: Options of the leaf.

        Raises:
            TypeError: The density is implicit.
        """
        raise TypeError(
            f"{type(self).__name__} has an implicit density: it samples, but has no log_prob"
        )

    @final
    def log_prob(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, *args: Any, **options: Any
    ) -> Tensor:
        """log p(x), or log p(x | y), of integer images: minus the sum of `terms`, (B,) nats.

        Takes the arguments of `terms`, and raises what that raises.
        """
        return -torch.stack(list(self.terms(x, y, rng, *args, **options).values())).sum(0)

    def likelihood_kind(self, **options: Any) -> LikelihoodKind | None:
        """What `log_prob` with these options is: exact, a bound or an estimate."""
        return self.likelihood

    def finer(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Two sets of options of `log_prob`, of which the second takes finer steps: the difference
        between their values is the error of the steps. None where these options take no steps.
        """
        return None

    def shared_error(self) -> float | None:
        """Standard error, in nats, of an estimate that `finalize` has made and that all scores
        share, such as a normalising constant; None where there is no such estimate.
        """
        return None

    @final
    @classmethod
    def options_method(cls, method: str) -> str:
        """The method whose signature has the options of `sample` or `log_prob`.

        Raises:
            TypeError: The class writes neither `sample` nor `trajectory`.
        """
        if method == "log_prob":
            return "terms"
        if cls.sample is not GenerativeModel.sample:
            return "sample"
        if not hasattr(cls, "trajectory"):
            raise TypeError(f"{cls.__name__} has neither a method `sample` nor `trajectory`")
        return "trajectory"

    @final
    @classmethod
    def options(cls, method: str) -> dict[str, inspect.Parameter]:
        """The options of `sample` or `log_prob` by their names, each with its type and default."""
        return options_of(getattr(cls, cls.options_method(method)))

    @final
    def defaults(self, method: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
        """The options of `sample` or `log_prob` that `overrides` does not name, with their default
        values.
        """
        return defaults_of(getattr(self, self.options_method(method)), overrides)

    def players(self) -> dict[str, Player]:
        """The players by name, in the order of their steps. There is one, which minimises `loss`,
        unless the method is a game, and none where `finalize` does everything.
        """
        return {"model": Player(list(self.parameters()), self.loss)}

    def after_step(self, name: str, losses: Losses) -> None:
        """Called after a player has stepped, for weight clipping, control variables, codebooks.

        Args:
            name: Name of the player.
            losses: Its losses, detached, means over the processes.
        """

    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """Estimate what is learnt by passes over the training set rather than by gradients. Called
        once, on the averaged weights, before they are used. Results are buffers.

        Args:
            batches: Every iteration is one pass, in the same order; the images are counted.
            rng: One stream.
        """

    def finalize_preview(self, batches: Iterable[Batch], rng: Rng) -> None:
        """The part of `finalize` that a preview needs; all of it unless a model says otherwise."""
        self.finalize(batches, rng)

    @property  # type: ignore[misc]  # Lightning's property has a setter, which raises.
    def dtype(self) -> torch.dtype:
        """Floating type of the model."""
        return cast(torch.dtype, super().dtype)

    # --- what leaves use --------------------------------------------------------------------------

    @property
    def images_seen(self) -> int:
        """Training images seen so far, over all players and processes; schedules depend on it."""
        return self._images_seen

    def resume_at(self, images: int) -> None:
        """Go on from an image count, when the state of a checkpoint has been loaded."""
        self._images_seen = images

    @property
    def conditional(self) -> bool:
        """Whether this is a model of p(x | y)."""
        return self.conditioned_on is not None

    def condition(self, y: Tensor | None) -> Tensor | None:
        """The `genbench.conditioning.encoded` y for networks; None for a model of p(x).

        Raises:
            ValueError: A model of p(x | y) is given no y.
        """
        kind = self.conditioned_on
        if kind is None:
            return None
        if y is None:
            name = type(self).__name__
            raise ValueError(
                f"{name} is a model of p(x | y): it needs {kind.plural} y, one per image"
            )
        return encoded(y, kind, self.dtype)

    def to_real(self, x: Tensor) -> Tensor:
        """Integer pixels -> bin centres in [-1, 1], in the model's floating type."""
        return to_real(x, self.spec.levels, self.dtype)

    def to_pixels(self, v: Tensor) -> Tensor:
        """Reals in [-1, 1] -> the nearest integer pixels."""
        return to_pixels(v, self.spec.levels)

    def fixed_rng(self, x: Tensor) -> Rng:
        """The streams behind `log_prob(x)` when none are given."""
        return Rng(0, range(len(x)), self.dtype, x.device).split("log_prob")

    # --- needed runs ------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute. A model that this one learns from does not become a module of it."""
        if isinstance(value, GenerativeModel):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def needed(self) -> list[GenerativeModel]:
        """The models that this one learns from."""
        return [value for value in vars(self).values() if isinstance(value, GenerativeModel)]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GenerativeModel:
        """Move or convert this model and those that it learns from; Lightning notes the place."""
        super()._apply(fn, recurse)
        for model in self.needed():
            if model.device.type != "meta":  # There it has no weights: training alone needs them.
                model.to(device=self.device, dtype=self.dtype)
        return self

    # --- the training step ------------------------------------------------------------------------

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer per player, in their order."""
        players = self.players()
        self._turns = [
            (i, n, p) for i, (n, p) in enumerate(players.items()) for _ in range(p.steps)
        ]
        self._image_buffers = image_buffers(self)
        optimizers = []
        for player in players.values():
            factory = player.optimizer or self.optimizer
            optimizers.append(factory(player.parameters))
        note_rates(optimizers)
        return optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> Losses:
        """One step of one player on new images. Whose turn it is depends on the images seen."""
        world_size = self.trainer.world_size
        images = len(batch.x) * world_size
        for buffer in self._image_buffers:
            buffer.forget()
        turn, name, player = self._turns[self._images_seen // images % len(self._turns)]
        clip_norm = self.optimization.clip_norm
        losses = set_gradients(player, batch, self.micro_batches, world_size, clip_norm)
        optimizers = self.optimizers(use_pl_optimizer=False)
        if not isinstance(optimizers, list):
            optimizers = [optimizers]
        self._images_seen += images
        # Counted over all players: rates must not depend on whose turn it is at a resume.
        start = self._images_seen - images
        set_rates(optimizers, rate_factor(self.optimization, start, self._images_seen, self.budget))
        optimizers[turn].step()
        for buffer in self._image_buffers:
            buffer.write(world_size)
        self.after_step(name, losses)
        return {(k if len(self._turns) == 1 else f"{name}/{k}"): v for k, v in losses.items()}
