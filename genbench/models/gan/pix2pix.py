r"""Image-to-image translation by a conditional GAN: p(x | y) of pairs of images.

    min_G max_D V(D, G) + lambda E ||x - G(y, z)||_1                        (Isola et al., eq. 3 and 4)

The paper calls the input x and the output y; here y is the image that is given and x the one that
is made. V is the value of a game (`games.py`) of the logits d(x, y) of true pairs and
d(G(y, z), y) of pairs with a generated x; the paper's is

    V(D, G) = E_{x,y} [log D(x, y)] + E_{y,z} [log(1 - D(G(y, z), y))]      (eq. 1)

D sees both images as channels of one, and answers for the patch around every pixel; the game takes
the mean over patches (PatchGAN, section 3.2.2). The L1 term is the mean over pixels, from the
centres of their cells. Alone it has the median of p(x | y) as its best answer, which is blurred
where y leaves a choice; V makes x a draw.

z ~ N(0, I) is one more channel beside y, drawn anew for every image. The paper's noise is dropout
at test time too (section 3.2); it reports that its generator learned to ignore noise, and that
dropout makes little variety either.

References:
    Isola, Zhu, Zhou, Efros (2017), Image-to-image translation with conditional adversarial
    networks. arXiv:1611.07004
    Mirza, Osindero (2014), Conditional Generative Adversarial Nets. arXiv:1411.1784
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.formulas.pixels import in_cell
from genbench.model import GenerativeModel
from genbench.models.gan.adversaries import (
    dequantised,
    discriminator_losses,
    generator_loss,
    has_batch_norm,
    quantised,
)
from genbench.models.gan.games import Game
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import Image, Spec
from genbench.steps import Losses, OptimizerFactory, Player

__all__ = ["Pix2Pix"]


class Pix2Pix(GenerativeModel):
    """Implicit density: samples only.

    Args:
        spec: The images x, and the images y of their height and width.
        generator: y and z as channels -> x before tanh, such as a U-Net.
        optimizer: Optimizer of each player.
        discriminator: x and y as channels -> one logit for each pixel, that of the patch around it.
            null: the L1 term alone (the paper's ablation, table 1).
        game: What the players minimise, as functions of the logits; null without a discriminator.
        l1_weight: lambda.
        discriminator_optimizer: Optimizer of D where it has its own. null: `optimizer`.
    """

    likelihood = None
    conditions = (Image,)

    def __init__(
        self,
        spec: Spec,
        generator: NetFactory,
        optimizer: OptimizerFactory,
        discriminator: NetFactory | None = None,
        game: Game | None = None,
        l1_weight: float = 100.0,
        discriminator_optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, optimizer, conditional=True)
        assert isinstance(spec.y, Image)
        channels, height, width = spec.shape
        y_shape = spec.y.shape
        if y_shape[1:] != (height, width):
            raise ValueError(
                f"y of shape {y_shape} is not of the height and width of x, {spec.shape}"
            )
        if not 0 <= l1_weight < math.inf:
            raise ValueError(f"l1_weight is at least 0, not {l1_weight}")
        if (discriminator is None) != (game is None):
            raise ValueError("discriminator and game go together: both, or neither for L1 alone")
        if game is None and not l1_weight:
            raise ValueError("without a game l1_weight is above 0: nothing else is to be learnt")
        if game is not None and game.lipschitz:
            raise ValueError(
                f"nothing keeps the discriminator Lipschitz, which the game {type(game).__name__} "
                "needs"
            )
        self.game = game
        self.l1_weight = l1_weight
        self.discriminator_optimizer = discriminator_optimizer
        self.G = generator((y_shape[0] + 1, height, width), spec.shape, 0)
        self.D = None
        if discriminator is not None:
            self.D = discriminator((channels + y_shape[0], height, width), (1, height, width), 0)
        if has_batch_norm(self.G):
            raise ValueError(
                "the generator normalises by the batch; by groups or not at all is right"
            )
        self.batch_coupled = self.gathers_batch = has_batch_norm(self)

    def players(self) -> dict[str, Player]:
        """D once, then G once (section 3.3); G alone where there is no game."""
        generator = Player(list(self.G.parameters()), self.loss)
        if self.D is None:
            return {"generator": generator}
        discriminator = Player(
            list(self.D.parameters()),
            self.discriminator_loss,
            optimizer=self.discriminator_optimizer,
        )
        return {"discriminator": discriminator, "generator": generator}

    def discriminator_loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """What D minimises: -V, with what the game logs beside it."""
        assert self.game is not None
        real = dequantised(x, self.spec.levels, rng)
        with torch.no_grad():
            fake = self.generate(rng, y)
        return discriminator_losses(self.game, self.logits(real, y), self.logits(fake, y))

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """What G minimises: its part of the game, and the L1 term."""
        fake = self.generate(rng, y)
        centres = 2 * in_cell(x, self.spec.levels, torch.full_like(fake, 0.5)) - 1
        l1 = (centres - fake).abs().mean()
        losses = {"loss": self.l1_weight * l1, "l1": l1}
        if self.game is not None:
            adversarial = generator_loss(self.game, self.logits(fake, y))
            losses["loss"] = losses["loss"] + adversarial
            losses["adversarial"] = adversarial
        return losses

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """d(x, y) of reals x in (-1, 1): (B, 1, H, W)."""
        assert self.D is not None
        return self.D(torch.cat((x, self._image(y)), dim=1))

    def generate(self, rng: Rng, y: Tensor | None) -> Tensor:
        """G(y, z) for z ~ N(0, I): reals in (-1, 1)."""
        z = rng.normal((1, *self.spec.shape[1:]))
        return torch.tanh(self.G(torch.cat((self._image(y), z), dim=1)))

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """G(y, z), quantised."""
        return quantised(self.generate(rng, y), self.spec.levels)

    def _image(self, y: Tensor | None) -> Tensor:
        """y as reals in [-1, 1]."""
        image = self.condition(y)
        assert image is not None
        return image
