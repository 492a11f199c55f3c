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
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast, final

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from genbench.batch import Batch, ImageBuffer
from genbench.capabilities import HasTrajectory
from genbench.formulas.pixels import to_pixels, to_real
from genbench.optimization import Optimization
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng
from genbench.spec import Image, Labels, Spec, Y
from genbench.steps import (
    Losses,
    OptimizerFactory,
    Player,
    average_over_processes,
    loss_and_gradients,
    parameter_groups,
    rate_factor,
)

__all__ = ["GenerativeModel"]

# arguments of `sample`, `trajectory` and `terms` that are no options
_NO_OPTIONS = ("self", "x", "y", "rng")


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
        training_needs: Needed runs that the loss alone uses: a finished run is measured without
            them.

    A finished run that a model learns from, such as a teacher, is an argument of its constructor,
    annotated by what the run offers: `teacher: Transports` of `genbench.capabilities`, or
    `teacher: Transports | None` where some models of the class have none. The configuration's
    `needs` names the run by the name of the argument. It has its recorded weights and is frozen.
    Kept as an attribute it is no module of this one, and so no part of its parameters, its state or
    its training, but goes where this model goes.
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
        self.options_method("sample")  # refuses a class without a sampler
        if conditional and not isinstance(spec.y, self.conditions):
            raise ValueError(self._refusal(spec.y))
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

    def _refusal(self, y: Y | None) -> str:
        """Why the data's y is none to condition on."""
        name = type(self).__name__
        wanted = " or ".join(kind.plural for kind in self.conditions)
        if Labels not in self.conditions:
            kind = "missing" if y is None else y.plural
            return f"{name} is a model of p(x | y) of {wanted} y; y of these data: {kind}"
        if y is None:
            return "conditional is true, but the data have no labels y to condition on; p(x) needs conditional: false"
        return f"conditional is true, but {name} takes {wanted} y, not {y.plural}; p(x) needs conditional: false"

    # --- the contract -----------------------------------------------------------------------------

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """What training minimises: entry "loss", a scalar; every entry is logged. x: integers (B, C,
        H, W); y: as `spec.y` says, int64 (B,) where it is a label.
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
        """
        assert isinstance(self, HasTrajectory)
        noise = rng.normal(self.spec.shape)
        states = self.trajectory(noise, rng, y, *args, **options)
        return self.to_pixels(deque(states, maxlen=1).pop())

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
        """What `log_prob` is with these options of it, where they decide."""
        return self.likelihood

    def finer(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Two sets of options of `log_prob`, with these or other ones of them, of which the second
        takes finer steps.

        None where `log_prob` with these options takes no steps: by how much it differs between the
        two is the error of the steps.
        """
        return None

    def shared_error(self) -> float | None:
        """Standard error, in nats, of what `finalize` has estimated and all scores share, such as a
        normalising constant; None where there is no such thing.
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
        function = getattr(cls, cls.options_method(method))
        return {
            name: parameter
            for name, parameter in inspect.signature(function).parameters.items()
            if name not in _NO_OPTIONS
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }

    @final
    def defaults(self, method: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
        """The options of `sample` or `log_prob` that `overrides` does not name, with their default
        values.
        """
        names = set(overrides)
        return {
            name: parameter.default
            for name, parameter in self.options(method).items()
            if name not in names
        }

    def players(self) -> dict[str, Player]:
        """Who steps, in order. One player around `loss` unless the method is a game; none where
        `finalize` does everything.
        """
        return {"model": Player(list(self.parameters()), self.loss)}

    def after_step(self, name: str, losses: Losses) -> None:
        """After a player has stepped: weight clipping, control variables, codebooks.

        Args:
            name: The player.
            losses: What its loss gave, detached, means over the processes.
        """

    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """Once, on the averaged weights, before they are used: whatever is estimated in a pass
        rather than by gradients.

        Results are buffers. `batches` may be iterated several times, each a pass over the training
        set in the same order, and whoever calls counts the images; `rng` has one stream, for this
        purpose.
        """

    def finalize_preview(self, batches: Iterable[Batch], rng: Rng) -> None:
        """What a preview needs of `finalize`, whose arguments it has. Default: all of it."""
        self.finalize(batches, rng)

    @property  # type: ignore[misc]  # Lightning's has a setter, which refuses
    def dtype(self) -> torch.dtype:
        """Floating type of the model."""
        return cast(torch.dtype, super().dtype)

    # --- what leaves use --------------------------------------------------------------------------

    @property
    def images_seen(self) -> int:
        """Training images seen so far, over all players and processes.

        Schedules are functions of it.
        """
        return self._images_seen

    def image_buffers(self) -> list[ImageBuffer]:
        """The states that the images of a batch keep."""
        return [module for module in self.modules() if isinstance(module, ImageBuffer)]

    def resume_at(self, images: int) -> None:
        """Go on from an image count, when the state of a checkpoint has been loaded."""
        self._images_seen = images

    @property
    def conditional(self) -> bool:
        """Whether this is a model of p(x | y)."""
        return self.conditioned_on is not None

    def condition(self, y: Tensor | None) -> Tensor | None:
        """What networks are conditioned on: labels (B,) -> one-hot (B, K), images -> bin centres
        in [-1, 1], texts (B, L) -> one-hot (B, L, vocabulary); None for a model of p(x).

        Raises:
            ValueError: A model of p(x | y) is given no y.
        """
        kind = self.conditioned_on
        if kind is None:
            return None
        if y is None:
            raise ValueError(
                f"{type(self).__name__} is a model of p(x | y): it needs {kind.plural} y, one per image"
            )
        if isinstance(kind, Image):
            return to_real(y, kind.levels, self.dtype)
        symbols = kind.classes if isinstance(kind, Labels) else kind.vocabulary
        return nn.functional.one_hot(y, symbols).to(self.dtype)

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
        """What moves or converts this model, which Lightning has noted in `device` and `dtype`."""
        super()._apply(fn, recurse)
        for model in self.needed():
            if model.device.type != "meta":  # measured without it: there are no weights
                model.to(device=self.device, dtype=self.dtype)
        return self

    # --- the training step ------------------------------------------------------------------------

    def configure_optimizers(self) -> list[Optimizer]:
        players = self.players()
        self._turns = [
            (i, n, p) for i, (n, p) in enumerate(players.items()) for _ in range(p.steps)
        ]
        self._image_buffers = self.image_buffers()
        optimizers = []
        for player in players.values():
            factory = player.optimizer or self.optimizer
            optimizers.append(factory(player.parameters))
        for group in parameter_groups(optimizers):
            group["initial_lr"] = group["lr"]
        return optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> Losses:
        """One step of one player on fresh data: the turn is a function of the images seen, so a
        resumed run keeps it.
        """
        world_size = self.trainer.world_size
        images = len(batch.x) * world_size
        for buffer in self._image_buffers:
            buffer.forget()
        turn, name, player = self._turns[self._images_seen // images % len(self._turns)]
        losses, gradients = loss_and_gradients(player, batch, self.micro_batches)
        for parameter, gradient in zip(player.parameters, gradients, strict=True):
            parameter.grad = gradient
        reduced = [p.grad for p in player.parameters if p.grad is not None]
        average_over_processes([*reduced, *losses.values()], world_size)
        if self.optimization.clip_norm is not None:
            nn.utils.clip_grad_norm_(player.parameters, self.optimization.clip_norm)

        optimizers = self.optimizers(use_pl_optimizer=False)
        optimizer = optimizers[turn] if isinstance(optimizers, list) else optimizers
        self._images_seen += images
        # of every player at every step: whose turn it is when the warm-up ends, or a run goes on,
        # does not matter
        factor = rate_factor(
            self.optimization, self._images_seen - images, self._images_seen, self.budget
        )
        for group in parameter_groups(optimizers if isinstance(optimizers, list) else [optimizers]):
            group["lr"] = group["initial_lr"] * factor
        optimizer.step()
        for buffer in self._image_buffers:
            buffer.write(world_size)
        self.after_step(name, losses)
        return {(k if len(self._turns) == 1 else f"{name}/{k}"): v for k, v in losses.items()}
