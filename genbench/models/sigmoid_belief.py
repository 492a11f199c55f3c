r"""A sigmoid belief network with its recognition net as a model of binary images, however the two are learnt.

    p(x, h) = p(h_L) p(h_{L-1} | h_L) ... p(x | h_1)           top-down, x and all h binary      (`genbench.nets.sigmoid_layers`)
    q(h | x) = q(h_1 | x) q(h_2 | h_1) ... q(h_L | h_{L-1})    bottom-up

    log p(x)  >=  E_{h_1..h_K ~ q}  log 1/K sum_k w_k,    w_k = p(x, h_k) / q(h_k | x)         (Burda et al., eq. 8)

A leaf writes `loss`, and `players` where there are several.

References:
    Neal (1992), Connectionist learning of belief networks. Artificial Intelligence 56
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders. arXiv:1509.00519
"""

from __future__ import annotations

from torch import Tensor

from genbench.formulas.likelihood import importance_weighted
from genbench.model import GenerativeModel
from genbench.nets.sigmoid_layers import log_weight, nets_both_ways
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import OptimizerFactory

__all__ = ["SigmoidBelief"]


class SigmoidBelief(GenerativeModel):
    """Binary images below layers of binary units; log_prob is a lower bound.

    Args:
        spec: The images, of two levels.
        optimizer: Optimizer of each player.
        hidden: Units of h_1, ..., h_L, the layer above the pixels first.

    Attributes:
        p: The generative net.
        q: The recognition net.
    """

    likelihood: LikelihoodKind | None = "bound"

    def __init__(self, spec: Spec, optimizer: OptimizerFactory, hidden: tuple[int, ...]) -> None:
        super().__init__(spec, optimizer)
        if spec.levels != 2:
            raise ValueError(
                f"{type(self).__name__} needs data of 2 levels, as BinaryDigits has, not"
                f" {spec.levels}"
            )
        self.p, self.q = nets_both_ways(spec.dims, hidden)

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, K: int = 1
    ) -> dict[str, Tensor]:
        """The negative bound of K weights, (B,) nats.

        Args:
            x: integers (B, C, H, W).
            y: Not looked at.
            rng: One stream per image.
            K: Importance weights per image.
        """
        if K < 1:
            raise ValueError(f"K is at least 1, not {K}")
        rng = rng or self.fixed_rng(x)
        v = self.flat(x)
        log_p = importance_weighted(K, lambda k: log_weight(self.p, self.q, v, rng))
        return {"importance-weighted": -log_p}

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """h_L, ..., h_1 and x, from the top layer down to the pixels."""
        return self.p.draw(rng)[-1].to(self.spec.dtype).unflatten(1, self.spec.shape)

    def flat(self, x: Tensor) -> Tensor:
        """Integer images -> binary reals, (B, D)."""
        return x.flatten(1).to(self.dtype)
