"""The run that figures are about: its model, held-out images, samples and latents.

Each of them is a function of (run, seed, label).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from genbench.capabilities import Decodes, Encodes, HasLatent, Latent
from genbench.config.instantiate import with_objects
from genbench.data.labels import label_of
from genbench.explore.sheet import legible
from genbench.formulas.priors import Reals
from genbench.rng import Rng
from genbench.runs.build import Loaded
from genbench.spec import Scatter, Text

__all__ = ["NotPossible", "Subject"]

# This many images are sampled, encoded or decoded at once.
_BATCH = 256
# The encodings of at most this many held-out images describe the latent space.
_ENCODED = 2_000


class NotPossible(Exception):
    """A figure that a run cannot have; the message says why."""


class Subject:
    """What the figures of a run are made from.

    Args:
        loaded: The run with its data and its model.
        seed: Seed of samples, noises and the choice of held-out images.
        label: Class of samples of a model of p(x | y) and of held-out images; None: all classes.
        device: Where the model is.

    Raises:
        InputError: There is no such label.
    """

    def __init__(
        self, loaded: Loaded, seed: int = 0, label: int | None = None, device: str = "cpu"
    ) -> None:
        self.model = loaded.model
        self.data = loaded.data
        self.spec = loaded.data.spec
        self.config = loaded.config
        self.seed = seed
        self.label = label
        self.device = device
        if label is not None:
            label_of(self.data, label)
        evaluation = loaded.config.evaluations[loaded.config.default_evaluation]
        self.options = evaluation.sample
        self.log_prob_options = evaluation.log_prob

    @property
    def kind(self) -> str:
        """Name of the model's class, for sentences."""
        return type(self.model).__name__

    @property
    def is_points(self) -> bool:
        """Whether an image is a point of the plane."""
        return isinstance(self.spec.looks, Scatter)

    @property
    def is_text(self) -> bool:
        """Whether an image is a line of text."""
        return isinstance(self.spec.looks, Text)

    def title(self, what: str, n: str) -> str:
        """The title of a figure.

        Args:
            what: What is shown.
            n: How much of it.
        """
        return (
            f"{what}: {self.data.name}, {self.config.name}, training seed {self.config.seed}, {n}"
        )

    def rng(self, n: int, purpose: str) -> Rng:
        """n random streams for one purpose."""
        return Rng(self.seed, range(n), self.model.dtype, self.device).split(purpose)

    def need_pictures(self) -> None:
        """Check that an image is a picture.

        Raises:
            NotPossible: An image is a point of the plane, or a text.
        """
        if self.is_points:
            raise NotPossible("a point of the plane is not a picture")
        if self.is_text:
            raise NotPossible("a text is not a picture")

    def need_labels(self) -> int:
        """Number of classes.

        Raises:
            NotPossible: The data have no labels.
        """
        if not self.spec.classes:
            raise NotPossible(f"{self.data.name} has no labels")
        return self.spec.classes

    def class_names(self, width: int = 184) -> list[str]:
        """Names of the classes by label, shortened for a figure.

        Args:
            width: Pixels of the widest name; 184 are about 16 letters.
        """
        return legible(self.data.class_names, width)

    # --- images -----------------------------------------------------------------------------------

    def held_out(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Choose test images of the subject's class, in an order that the seed decides.

        Args:
            n: Number of images; fewer are returned where there are fewer.

        Returns:
            Images, integers (N, C, H, W), and labels, int64 (N,), or None.

        Raises:
            NotPossible: There is no such image.
        """
        x, y = self.data.tensors("test", self.device)
        if self.label is not None and y is not None:
            x = x[y == self.label]
            y = y[y == self.label]
        if len(x) == 0:
            raise NotPossible(f"there is no held-out image of class {self.label}")
        order = torch.argsort(self.rng(len(x), "explore").bits((1,))[:, 0], stable=True)[:n]
        return x[order], None if y is None else y[order]

    def sample(self, n: int, y: Tensor | None) -> Tensor:
        """Draw samples 0, ..., n - 1.

        They are those of `genbench sample` where y is None, or the same label for all.

        Args:
            n: Number of samples.
            y: Labels, int64 (n,), or None.

        Returns:
            integers (n, C, H, W).
        """
        rng = self.rng(n, "sample")
        parts = []
        for rows in _slices(n):
            labels = None if y is None else y[rows]
            parts.append(self.model.sample(rng[rows], labels, **with_objects(self.options)))
        return torch.cat(parts)

    @cached_property
    def samples(self) -> tuple[Tensor, Tensor | None, int]:
        """Samples for a grid, their y, and the number of columns.

        A model of p(x | y) gets a row per class, or six rows of the subject's class; where y is no
        label, the y of the first test images.
        """
        if not self.model.conditional:
            return self.sample(96, None), None, 12
        if not self.model.classes:
            y = self.data.y_of_samples(self.rng(32, "sample"))
            return self.sample(32, y), y, 12
        rows = list(range(min(10, self.model.classes)))
        if self.label is not None:
            rows = [self.label] * 6
        y = torch.tensor(rows, device=self.device).repeat_interleave(16)
        return self.sample(len(y), y), y, 16

    # --- latents ----------------------------------------------------------------------------------

    @property
    def encodes(self) -> bool:
        """Whether images have latents."""
        return isinstance(self.model, Encodes)

    @property
    def latent(self) -> Latent:
        """Shape and prior of the latents.

        Raises:
            NotPossible: The model has no latents.
        """
        if not isinstance(self.model, Decodes):
            raise NotPossible(f"{self.kind} has no latents")
        if not isinstance(self.model, HasLatent):
            raise NotPossible(f"{self.kind} does not declare its latents")
        return self.model.latent

    def need_reals(self) -> Reals:
        """The prior of latents that are vectors of reals.

        Raises:
            NotPossible: The model has no latents, or none of reals.
        """
        prior = self.latent.prior
        if not isinstance(prior, Reals):
            raise NotPossible(f"an entry of a latent is {prior.name}, and no real")
        return prior

    def encode(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Encode images.

        Args:
            x: integers (B, C, H, W).
            y: Labels, int64 (B,), or None.

        Returns:
            Latents (B, d), d the number of their entries.

        Raises:
            NotPossible: The model does not encode.
        """
        model = self.model
        shape = self.latent.shape
        if not isinstance(model, Encodes):
            raise NotPossible(f"{self.kind} has no p(z | x), no map from images to latents")
        z = _batched(model.encode, x, y if self.model.conditional else None)
        if z.shape[1:] != shape:
            raise ValueError(f"{self.kind} encodes into {tuple(z.shape[1:])} and declares {shape}")
        return z.flatten(1)

    def decode(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Decode latents.

        Args:
            z: Latents (B, d).
            y: Labels, int64 (B,), or None.

        Returns:
            Images, integers (B, C, H, W).

        Raises:
            NotPossible: The model has no latents.
        """
        model = self.model
        z = z.unflatten(1, self.latent.shape)
        assert isinstance(model, Decodes)
        return _batched(model.decode, z, y if self.model.conditional else None)

    @cached_property
    def encodings(self) -> tuple[Tensor, Tensor | None]:
        """Latents (N, d) and labels, int64 (N,), or None, of at most 2,000 held-out images.

        Raises:
            NotPossible: The model does not encode, or there are fewer than three such images.
        """
        x, y = self.held_out(_ENCODED)
        if len(x) < 3:
            raise NotPossible(f"{len(x)} held-out images say nothing about latents")
        return self.encode(x, y), y

    def starts(self, n: int, purpose: str) -> tuple[Tensor, Tensor | None]:
        """Latents to start from: encodings of held-out images, else draws of the prior.

        Args:
            n: Number of latents.
            purpose: Name of the random streams of the draws.

        Returns:
            Latents (n, d) and labels, int64 (n,), or None.
        """
        if self.encodes:
            x, y = self.held_out(n)
            return self.encode(x, y), y
        rng = self.rng(n, purpose)
        z = self.latent.draw(rng).flatten(1)
        if self.label is None:
            return z, self.data.y_of_samples(rng)
        return z, torch.full((n,), self.label, device=self.device)


def _slices(n: int) -> list[slice]:
    """Slices of at most 256 of n rows."""
    return [slice(i, i + _BATCH) for i in range(0, n, _BATCH)]


def _batched(f: Callable[..., Tensor], x: Tensor, y: Tensor | None) -> Tensor:
    """f(x, y), computed in batches."""
    parts = []
    for rows in _slices(len(x)):
        labels = None if y is None else y[rows]
        parts.append(f(x[rows], labels))
    return torch.cat(parts)
