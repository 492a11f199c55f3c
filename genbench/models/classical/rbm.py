r"""Restricted Boltzmann machine: binary pixels v, binary hidden units h, and weights between them; of the joint (v, y) with label units.

    E(v, h) = -b.v - c.h - v W h                           v in {0, 1}^D,  h in {0, 1}^H,  p(v, h) = exp(-E(v, h)) / Z
    F(v) = -b.v - sum_j log(1 + exp(c_j + (v W)_j))        free energy: p(v) = exp(-F(v)) / Z

Labels y are K more visible units e, of which one is on (Larochelle & Bengio, sections 2 and 3):

    E(v, e, h) = -b.v - d.e - c.h - v W h - e U h          F(v, y) = -b.v - d_y - sum_j log(1 + exp(c_j + U_yj + (v W)_j))
    p(y | v) ~ exp(-F(v, y)),  in closed form              p(y | h) ~ exp(d_y + (U h)_y)
    p(v | y) = exp(-F(v, y)) / Z_y, the machine with the hidden biases c + U_y         Z = sum_y Z_y,   p(y) = Z_y / Z

Learning follows a gradient of which one part is over images v' of a Markov chain of Gibbs sweeps:

    -d log p(v) = dF(v) - E_{v' ~ p} dF(v'),   by loss = F(v) - F(v'),   with labels F(v, y) - F(v', y')

    CD-k    k sweeps from v itself (Hinton, section 3)
    PCD     k sweeps from where the chain was at the batch before (Tieleman, section 2.3): each image of a batch has a chain

Z, or each Z_y with e clamped, by annealed importance sampling, as `formulas/boltzmann.py` has it, from
independent pixels with the log odds a of the training images (of class y); samples are what such chains
end at. Z_y carries the factor e^{d_y}.

References:
    Hinton (2002), Training products of experts by minimizing contrastive divergence. Neural
        Computation 14
    Tieleman (2008), Training restricted Boltzmann machines using approximations to the likelihood
        gradient. ICML
    Larochelle, Bengio (2008), Classification using discriminative restricted Boltzmann machines. ICML
    Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.batch import Batch, ImageBuffer
from genbench.formulas.boltzmann import Machine
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["RBM"]


class RBM(GenerativeModel):
    """Binary images by weights between pixels and hidden units.

    Args:
        spec: The images, of two levels.
        optimizer: Optimizer of W, b and c, and of U and d.
        hidden: Number H of hidden units.
        k: Sweeps of Gibbs for each step.
        chains: Persistent Markov chains, at least as many as a batch has images; 0: contrastive
            divergence, whose chains begin at the images. They are saved and resumed bit for bit on any
            number of processes; the weights that they meet there differ by rounding, as sums are
            taken in other parts, and a bit drawn near its probability may then flip.
        ais_chains: Chains by which log Z, or each log Z_y, is estimated at the end.
        ais_temperatures: T, their steps.
        conditional: Learn the joint p(v, y) of images and labels, by label units. Then `log_prob` is
            log p(v | y), samples have their label units clamped, and `log_joint` is log p(v, y).
    """

    likelihood = "estimate"
    a: Tensor
    log_z: Tensor
    log_z_error: Tensor

    def __init__(
        self,
        spec: Spec,
        optimizer: OptimizerFactory,
        hidden: int = 128,
        k: int = 1,
        chains: int = 100,
        ais_chains: int = 500,
        ais_temperatures: int = 2_000,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if spec.levels != 2:
            raise ValueError(
                f"an RBM needs data of 2 levels, as BinaryDigits has, not {spec.levels}"
            )
        if min(hidden, k, ais_temperatures) < 1 or ais_chains < 2 or chains < 0:
            raise ValueError(
                "hidden, k and ais_temperatures are at least 1, ais_chains at least 2 and chains"
                f" at least 0, not {hidden}, {k}, {ais_temperatures}, {ais_chains} and {chains}"
            )
        self.k = k
        self.ais = (ais_temperatures, ais_chains)
        # The weights start small (Hinton 2010, A practical guide, section 8).
        self.W = nn.Parameter(0.01 * torch.randn(spec.dims, hidden))
        self.b = nn.Parameter(torch.zeros(spec.dims))
        self.c = nn.Parameter(torch.zeros(hidden))
        groups = (self.classes,) if conditional else ()
        if conditional:
            self.U = nn.Parameter(0.01 * torch.randn(self.classes, hidden))
            self.d = nn.Parameter(torch.zeros(self.classes))
        self.chains: ImageBuffer | None = None
        if chains:
            rows = torch.randint(2, (chains, spec.dims), dtype=spec.dtype)
            if conditional:
                e = F.one_hot(torch.randint(self.classes, (chains,)), self.classes)
                rows = torch.cat((rows, e.to(rows)), 1)
            self.chains = ImageBuffer(rows)
        self.register_buffer("a", torch.zeros(*groups, spec.dims))
        self.register_buffer("log_z", torch.zeros(groups, dtype=torch.float64))
        self.register_buffer("log_z_error", torch.zeros(groups, dtype=torch.float64))

    # --- the model --------------------------------------------------------------------------------

    def machine(self, e: Tensor | None = None) -> Machine:
        """The units v and h of p(v, h), or of p(v, h | y) by label units e, (B, K), one machine a row."""
        if e is None:
            return Machine(self.W, self.b, self.c, self.a)
        return Machine(self.W, self.b, self.c + e @ self.U, e @ self.a)

    def free_energy(self, v: Tensor, e: Tensor | None = None) -> Tensor:
        """F(v), or F(v, y), of binary reals v, (B, D), and label units e, (B, K) -> (B,) nats."""
        energy = self.machine(e).free_energy(v)
        return energy if e is None else energy - e @ self.d

    def energy(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """F(v), or F(v, y), of integer images, (B,) nats."""
        return self.free_energy(self._flat(x), self.condition(y))

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None
    ) -> dict[str, Tensor]:
        """-log p(x) = F(v) + log Z, or -log p(x | y) = F(v, y) + log Z_y, (B,) nats each."""
        e = self.condition(y)
        log_z = self.log_z.expand(len(x)) if e is None else e.double() @ self.log_z
        return {"free_energy": self.energy(x, y), "log_Z": log_z}

    def log_joint(self, x: Tensor, rng: Rng | None = None) -> Tensor:
        """log p(x, y) = -F(v, y) - log Z of every class, (B, K) nats. Its softmax, p(y | x), is exact:
        Z is the same for all classes.
        """
        if not self.conditional:
            return self.log_prob(x)[:, None]
        v = self._flat(x)
        inputs = (self.c + v @ self.W)[:, None] + self.U
        energies = (v @ self.b)[:, None] + self.d + F.softplus(inputs).sum(2)
        return energies - self.log_z.logsumexp(0)

    def shared_error(self) -> float:
        """Standard error of log Z, or of the mean log Z_y over classes as frequent as p(y), nats."""
        if not self.conditional:
            return float(self.log_z_error)
        return float((self.log_z.softmax(0) * self.log_z_error).square().sum().sqrt())

    # --- learning ---------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """F(v) - F(v'), whose gradient is that of -log p(v) where the chain has reached p; of the
        joint density F(v, y) - F(v', y').
        """
        v = self._flat(x)
        e = self.condition(y)
        state = v if e is None else torch.cat((v, e), 1)
        chain = state if self.chains is None else self.chains.read(rng).to(v)
        with torch.no_grad():
            for _ in range(self.k):
                chain = self.sweep(chain, rng)
        if self.chains is not None:
            self.chains.keep(rng, chain)
        data = self.free_energy(v, e).mean()
        model = self.free_energy(*self._split(chain)).mean()
        return {"loss": data - model, "data": data, "model": model}

    def sweep(self, state: Tensor, rng: Rng) -> Tensor:
        """Draw h given v and e, then v and e given h, (B, D + K) -> (B, D + K): leaves p invariant."""
        v, e = self._split(state)
        machine = self.machine(e)
        h = machine.draw_h(v, rng)
        v = machine.draw_v(h, rng)
        if e is None:
            return v
        p = (self.d + h @ self.U.T).softmax(1)
        y = (p.cumsum(1) < rng.uniform((1,))).sum(1).clamp(max=self.classes - 1)
        return torch.cat((v, F.one_hot(y, self.classes).to(v)), 1)

    def _split(self, state: Tensor) -> tuple[Tensor, Tensor | None]:
        """Visible units -> pixels, (B, D), and label units, (B, K), or None."""
        if not self.conditional:
            return state, None
        return state[:, : self.spec.dims], state[:, self.spec.dims :]

    # --- annealing --------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(
        self, x: Tensor, rng: Rng, y: Tensor | None = None, steps: int = 200
    ) -> Iterator[Tensor]:
        """Annealed Gibbs sampling from independent pixels, with label units clamped at y.

        Args:
            x: Standard normal, which makes v_0.
            rng: One stream per image.
            y: One per image, which a machine with label units needs.
            steps: T, temperatures on the way.
        """
        if steps < 1:
            raise ValueError(f"steps is at least 1, not {steps}")
        machine = self.machine(self.condition(y))
        v = (torch.special.ndtr(x.flatten(1)) < torch.sigmoid(machine.a)).to(self.dtype)
        for state, _ in machine.anneal(v, rng, steps):
            yield self.to_real(state.view_as(x))

    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """a by the training images, then log Z."""
        self.estimate(batches, rng, *self.ais)

    def finalize_preview(self, batches: Iterable[Batch], rng: Rng) -> None:
        """As `finalize`, by few chains with few temperatures."""
        self.estimate(batches, rng, T=100, chains=64)

    @torch.no_grad()
    def estimate(self, batches: Iterable[Batch], rng: Rng, T: int, chains: int) -> None:
        """a, and log Z with its standard error; with label units, those of every class."""
        pairs = [(self._flat(x), self.condition(y)) for x, y, _ in batches]
        v = torch.cat([v for v, _ in pairs])
        e = torch.cat([v.new_ones(len(v), 1) if e is None else e for v, e in pairs])
        # No pixel is certain.
        self.a.copy_(torch.logit((e.T @ v + 1) / (e.sum(0)[:, None] + 2)).view_as(self.a))
        seed = int(rng.bits())
        for k, clamped in enumerate(torch.eye(e.shape[1]).to(e)):
            machine = self.machine(clamped if self.conditional else None)
            streams = Rng(seed, range(k * chains, (k + 1) * chains), rng.dtype, rng.device)
            log_z, error = machine.log_z(machine.log_weights(streams, T))
            self.log_z.view(-1)[k] = log_z + (self.d[k] if self.conditional else 0)
            self.log_z_error.view(-1)[k] = error

    def _flat(self, x: Tensor) -> Tensor:
        """Integer images -> binary reals, (B, D)."""
        return x.flatten(1).to(self.dtype)
