r"""Autoregressive models: the chain rule, one softmax per pixel.

    log p(x) = sum_i log p(x_i | x_0, ..., x_{i-1}),       p(x_i = k | ...) = softmax(logits_i)_k
    log p(x | y) = sum_i log p(x_i | x_0, ..., x_{i-1}, y),    with y in every logit, as the network's conditioning vector

over positions i = 0, ..., D - 1 in raster order, channels innermost. The logits are a network's,
whose masks keep the order (`genbench.nets.autoregressive`). The sum is the exact probability of the
integer image.

References:
    van den Oord, Kalchbrenner, Kavukcuoglu (2016), Pixel recurrent neural networks.
    arXiv:1601.06759
"""

from __future__ import annotations

from torch import Tensor

from genbench.formulas.pixels import bits_per_dim
from genbench.model import GenerativeModel
from genbench.nets.autoregressive import (
    AutoregressiveNet,
    AutoregressiveNetFactory,
    chain_rule,
    draw_in_order,
)
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["Autoregressive"]


class Autoregressive(GenerativeModel):
    """Pixel by pixel, each from a softmax given the earlier ones (van den Oord et al. 2016,
    arXiv:1601.06759).

    Args:
        spec: Shape and levels of the images.
        net: (C, H, W) -> logits (levels, C, H, W), masked.
        optimizer: Makes the optimizer.
        conditional: Model p(x | y) of the data's labels in place of p(x).
    """

    likelihood = "exact"

    def __init__(
        self,
        spec: Spec,
        net: AutoregressiveNetFactory,
        optimizer: OptimizerFactory,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        self.net = net(spec.shape, (spec.levels, *spec.shape), self.classes)
        if not isinstance(self.net, AutoregressiveNet):
            raise ValueError(
                "Autoregressive: net is an AutoregressiveNet, such as GatedPixelCNN, not"
                f" {type(self.net).__name__}"
            )

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """Bits per dimension."""
        nats = chain_rule(self.net, x, self.condition(y), self.dtype, rng.split("net"))
        return {"loss": bits_per_dim(-nats, self.spec.dims).mean()}

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None
    ) -> dict[str, Tensor]:
        """-log p(x), or -log p(x | y): the cross-entropies of the pixels, added up. (B,) nats."""
        return {"nll": chain_rule(self.net, x, self.condition(y), self.dtype)}

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """Pixel by pixel, in raster order."""
        return draw_in_order(self.net, rng, self.condition(y)).to(self.spec.dtype)

    def complete(self, x: Tensor, known: int, rng: Rng, y: Tensor | None = None) -> Tensor:
        """Draw what follows the first pixels, p(x_known, ... | x_0, ..., x_{known - 1}): exact, as
        the chain rule goes on from there.

        Args:
            x: integers (len(rng), C, H, W), of which the first `known` pixels are looked at, in the
                order of the chain rule.
            known: Number of pixels that are kept.
            rng: One stream per image.
            y: Labels of a model of p(x | y), int64 (len(rng),).

        Returns:
            integers (len(rng), C, H, W).
        """
        beginning = x.movedim(1, -1).flatten(1)[:, :known].long()
        images = draw_in_order(self.net, rng, self.condition(y), beginning)
        return images.to(self.spec.dtype)
