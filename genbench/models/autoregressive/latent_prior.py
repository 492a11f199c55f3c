r"""An autoregressive prior over the codes of a finished model: the second stage of VQ-VAE.

    z(x)        codes of x, h x w integers below K, of the `tokenizer`, a finished model, which does not change
    p(z)        = prod_i p(z_i | z_0, ..., z_{i-1}), in raster order; p(z | y) likewise
    p(x)        = sum_z p(z) p(x | z),    p(x | z) of the tokenizer

Training minimises -log p(z(x)). The total code length is that of the codes and of the image given
them, a bound since one term of the sum over z is left:

    -log p(x)  <=  -log p(z(x)) - log p(x | z(x))

References:
    van den Oord, Vinyals, Kavukcuoglu (2017), Neural Discrete Representation Learning.
    arXiv:1711.00937 (section 3.3)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genbench.capabilities import Tokenizes
from genbench.formulas.pixels import bits_per_dim
from genbench.model import GenerativeModel
from genbench.nets.autoregressive import AutoregressiveNetFactory, chain_rule, draw_in_order
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["LatentPrior"]


class LatentPrior(GenerativeModel):
    """Codes one by one, each from a softmax given the earlier ones, then the image; log_prob is a
    lower bound.

    Args:
        spec: The images.
        net: Codes (1, h, w) -> logits (K, 1, h, w), masked.
        optimizer: Makes the optimizer.
        tokenizer: The finished model of the codes.
        conditional: Model p(x | y) of the data's labels in place of p(x).
    """

    likelihood = "bound"

    def __init__(
        self,
        spec: Spec,
        net: AutoregressiveNetFactory,
        optimizer: OptimizerFactory,
        tokenizer: Tokenizes,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        self.tokenizer = tokenizer
        codes = tokenizer.codes
        self.net = net(codes.shape, (codes.levels, *codes.shape), self.classes)

    def code_length(self, z: Tensor, y: Tensor | None, noise: Rng | None = None) -> Tensor:
        """-log p(z), (B,) nats. z: int64 (B, h, w). noise: For dropout in training."""
        return chain_rule(self.net, z[:, None], self.condition(y), self.dtype, noise)

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """-log p(z(x)) in bits per dimension of the image."""
        nats = self.code_length(self.tokenizer.tokens(x), y, rng.split("net"))
        return {"loss": bits_per_dim(-nats.mean(), self.spec.dims)}

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None
    ) -> dict[str, Tensor]:
        """-log p(x | z(x)) and -log p(z(x)), (B,) nats."""
        z = self.tokenizer.tokens(x)
        return {
            "reconstruction": -self.tokenizer.log_likelihood(x, z),
            "codes": self.code_length(z, y),
        }

    @torch.no_grad()
    def sample(
        self, rng: Rng, y: Tensor | None = None, decoder: Literal["sample", "mean"] = "sample"
    ) -> Tensor:
        """z ~ p(z), then x ~ p(x | z), or the rounded mean of p(x | z)."""
        z = draw_in_order(self.net, rng.split("codes"), self.condition(y))
        return self.tokenizer.draw(z[:, 0], rng.split("image"), decoder)
