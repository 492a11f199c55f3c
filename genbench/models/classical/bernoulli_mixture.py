r"""Mixture of Bernoullis: the Gaussian mixture's counterpart for binary images.

    p(x) = sum_k pi_k prod_i mu_ki^{x_i} (1 - mu_ki)^{1 - x_i}                       x in {0, 1}^D, exact

and for p(x | y) one such mixture for each class. With the log odds theta_ki = log mu_ki / (1 - mu_ki),

    log p(x, k) = log pi_k + sum_i x_i theta_ki - sum_i log(1 + e^{theta_ki})

Expectation maximisation (Dempster et al. 1977; Bishop 2006, eqs. 9.56 to 9.60), in passes over the
training images:

    E    h_nk = p(k | x_n) = p(x_n, k) / p(x_n)
    M    mu_ki = (sum_n h_nk x_ni + a) / (N_k + 2 a),    pi_k = (N_k + a) / sum_j (N_j + a),    N_k = sum_n h_nk

With a > 0 no pixel is certain, so that no image is impossible. It is the mode under priors Beta(1 +
a, 1 + a) of every mu_ki and Dirichlet(1 + a) of pi; each pass of EM increases, or keeps,

    L = sum_n log p(x_n) + a sum_k [ log pi_k + sum_i log mu_ki (1 - mu_ki) ]

EM starts from the means of k-means (`k_means.py`), half-way to a grey of 1/2.

References:
    Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm. J.
        R. Stat. Soc. B 39
    Bishop (2006), Pattern recognition and machine learning, section 9.3.3. Springer
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.batch import Batch
from genbench.formulas.k_means import k_means
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, Player

__all__ = ["BernoulliMixture"]

# k-means++ looks for the first means among at least this many images, if there are so many.
_SEEDS = 4096


class BernoulliMixture(GenerativeModel):
    """A mixture of independent Bernoullis, fitted by expectation maximisation, which has no use for
    a budget.

    Args:
        spec: The images, of two levels.
        components: Number K of components, of each class where the model is one of p(x | y).
        passes: Passes of EM over the training set.
        smoothing: a, the images of each value that every pixel of every component is given
            beforehand.
        conditional: Model p(x | y) of the data's labels in place of p(x): a mixture of its own for each class.
    """

    likelihood = "exact"

    def __init__(
        self,
        spec: Spec,
        components: int = 100,
        passes: int = 30,
        smoothing: float = 0.1,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, torch.optim.Adam, conditional)
        if spec.levels != 2:
            raise ValueError(
                f"a mixture of Bernoullis needs data of 2 levels, not {spec.levels}; GMM takes any"
            )
        if min(components, passes) < 1 or not smoothing > 0:
            raise ValueError(
                f"components and passes are at least 1 and smoothing is positive, not {components},"
                f" {passes} and {smoothing:g}"
            )
        self.passes = passes
        self.smoothing = smoothing
        groups = max(self.classes, 1)
        self.theta = nn.Parameter(torch.zeros(groups * components, spec.dims), requires_grad=False)
        self.log_pi = nn.Parameter(
            torch.zeros(groups, components).log_softmax(1), requires_grad=False
        )

    def players(self) -> dict[str, Player]:
        """None: EM does everything."""
        return {}

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """-log p in nats. No optimizer takes steps on it."""
        return {"loss": -self.log_prob(x, y).mean()}

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None
    ) -> dict[str, Tensor]:
        """-log p(x), or -log p(x | y). (B,) nats."""
        log_groups = self._log_joint(x.double().flatten(1)).logsumexp(2)
        return {"nll": -log_groups.gather(1, self._group(y, len(x))[:, None])[:, 0]}

    @torch.no_grad()
    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """k ~ pi, then every pixel by itself."""
        group = self._group(y, len(rng))
        K = self.log_pi.shape[1]
        cdf = self.log_pi.double().exp().cumsum(1)[group]
        k = (cdf < rng.uniform((1,)).double()).sum(1).clamp(max=K - 1)
        mu = torch.sigmoid(self.theta[group * K + k]).unflatten(1, self.spec.shape)
        return (rng.uniform(self.spec.shape) < mu).to(self.spec.dtype)

    @torch.no_grad()
    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """EM."""
        self._start(batches, rng)
        for _ in range(self.passes):
            self.em_step(batches)

    @torch.no_grad()
    def em_step(self, batches: Iterable[Batch]) -> float:
        """One E-step and one M-step over the batches.

        Returns L before it, nats of the whole training set.
        """
        n = torch.zeros(self.log_pi.shape, dtype=torch.float64, device=self.theta.device)
        ones = torch.zeros(self.theta.shape, dtype=torch.float64, device=self.theta.device)
        L = self._log_prior()
        for x, y, _ in batches:
            v = x.double().flatten(1)
            member = F.one_hot(self._group(y, len(x)), len(n)).double()[..., None]
            log_joint = self._log_joint(v) + member.log()
            log_p = log_joint.logsumexp((1, 2))
            h = torch.exp(log_joint - log_p[:, None, None])
            n = n + h.sum(0)
            ones = ones + h.flatten(1).T @ v
            L = L + float(log_p.sum())
        self._maximise(n, ones)
        return L

    def _maximise(self, n: Tensor, ones: Tensor) -> None:
        """The M-step by N_k (groups, K) and the sums h_nk x_ni (groups K, D)."""
        a = self.smoothing
        self.theta.copy_((ones + a).log() - (n.view(-1, 1) - ones + a).log())
        self.log_pi.copy_((n + a).log() - (n + a).sum(1, keepdim=True).log())

    def _start(self, batches: Iterable[Batch], rng: Rng) -> None:
        """Means by k-means among the first images, those of its class."""
        points = list[Tensor]()
        groups = list[Tensor]()
        for x, y, _ in batches:
            points.append(x.double().flatten(1))
            groups.append(self._group(y, len(x)))
            if sum(map(len, points)) >= _SEEDS:
                break
        v = torch.cat(points)
        group = torch.cat(groups)
        classes, K = self.log_pi.shape
        of_class = [v[group == y] if (group == y).any() else v for y in range(classes)]
        mu = torch.cat([k_means(part, K, rng.split("seed", y)) for y, part in enumerate(of_class)])
        self.theta.copy_(torch.logit((mu + 0.5) / 2))
        self.log_pi.fill_(1 / K).log_()

    def _log_joint(self, v: Tensor) -> Tensor:
        """log p(x, k) of binary reals v, float64 (B, D) -> (B, groups, K)."""
        theta = self.theta.double()
        return (v @ theta.T - F.softplus(theta).sum(1)).unflatten(
            1, self.log_pi.shape
        ) + self.log_pi.double()

    def _log_prior(self) -> float:
        """The part of L that is not of the images."""
        theta = self.theta.double()
        certain = F.logsigmoid(theta) + F.logsigmoid(-theta)
        return self.smoothing * float(self.log_pi.double().sum() + certain.sum())

    def _group(self, y: Tensor | None, n: int) -> Tensor:
        """The class whose mixture is meant: y, or the only one. int64 (n,)."""
        cond = self.condition(y)
        if cond is None:
            return torch.zeros(n, dtype=torch.int64, device=self.theta.device)
        return cond.argmax(1)
