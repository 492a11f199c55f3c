"""Two players that follow their gradients circle around the equilibrium (Dirac-GAN).

Data are all at 0, the generator puts all at theta, and the discriminator is linear, d(x) = psi x. In continuous time

    d theta/dt = f psi,    d psi/dt = -f theta,    f = sigma(psi theta)

which is a rotation at speed f: theta and psi oscillate, theta^2 + psi^2 never changes, and the
eigenvalues at the equilibrium (0, 0) are +-i/2. Steps of length h at the same time by both players make it worse:

    theta^2 + psi^2  ->  (1 + h^2 f^2) (theta^2 + psi^2)

Reference:
    Mescheder, Geiger, Nowozin (2018), Which training methods for GANs do actually converge?
    arXiv:1801.04406
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, ORANGE, panels
from genbench.formulas.solvers import euler, integrate
from genbench.models.gan.games import Minimax

__all__ = ["demonstrate"]

START = torch.tensor([1.0, 0.5], dtype=torch.float64)
STEP = 0.4


def descent(state: Tensor, t: float = 0.0) -> Tensor:
    """d(theta, psi)/dt: each player descends its own loss. state: (theta, psi). t is not used."""
    with torch.enable_grad():
        theta, psi = (value.detach().requires_grad_() for value in state)
        real = psi * torch.zeros(1, dtype=torch.float64)
        fake = (psi * theta)[None]
        game = Minimax()
        (of_theta,) = torch.autograd.grad(game.generator(fake), theta, retain_graph=True)
        (of_psi,) = torch.autograd.grad(game.discriminator(real, fake)["loss"], psi)
    return -torch.stack((of_theta, of_psi))


def jacobian(state: Tensor, h: float = 1e-4) -> Tensor:
    """The derivative of `descent`, (2, 2), by central differences."""
    columns = [
        (descent(state + h * e) - descent(state - h * e)) / (2 * h)
        for e in torch.eye(2, dtype=torch.float64)
    ]
    return torch.stack(columns, dim=1)


def demonstrate(seed: int = 0) -> Demonstration:
    """The flow, the steps of both players, and the eigenvalues at the equilibrium.

    Args:
        seed: Not used: nothing is random.
    """
    times = [0.2 * k for k in range(151)]
    flow = torch.stack([START, *integrate(descent, START, times, "rk4")])
    steps = torch.stack(
        list(accumulate(range(75), lambda x, k: euler(descent, x, 0.0, STEP), initial=START))
    )
    slope = descent(START)
    f = float(torch.sigmoid(START.prod()))
    growth = steps[1].square().sum() / START.square().sum()
    eigenvalues = torch.linalg.eigvals(jacobian(torch.zeros(2, dtype=torch.float64)))
    figure, (left, right) = panels(2)
    left.plot(flow[:, 0], flow[:, 1], color=BLUE, label="gradient flow")
    left.plot(
        steps[:, 0], steps[:, 1], color=ORANGE, marker=".", linewidth=1, label=f"steps of {STEP}"
    )
    left.plot([0], [0], "+", color=BLACK, markersize=12, label="equilibrium")
    left.set(xlabel="theta, the generator", ylabel="psi, the discriminator")
    left.set_aspect("equal", adjustable="datalim")
    right.plot(times, flow[:, 0], color=BLUE)
    at = [STEP * k for k in range(len(steps))]
    right.plot(at, steps[:, 0], color=ORANGE, marker=".", linewidth=1)
    right.set(xlabel="time", ylabel="theta")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    radius = flow.square().sum(1)
    return Demonstration(
        title="Two players circle around the equilibrium",
        formula=(
            "d theta/dt = f psi,   d psi/dt = -f theta,   f = sigma(psi theta)\n"
            "theta^2 + psi^2 is constant; a step of both by h multiplies it by 1 + h^2 f^2"
        ),
        sentence=(
            "Gradients of the two players lead round the equilibrium and not into it; with steps of"
            " finite length they lead away from it."
        ),
        values=(
            exact("d theta/dt at the start", slope[0], f * START[1]),
            exact("d psi/dt at the start", slope[1], -f * START[0]),
            exact("theta^2 + psi^2 at time 30", radius[-1], START.square().sum(), tolerance=1e-4),
            exact("growth of theta^2 + psi^2 in one step", growth, 1 + STEP**2 * f**2),
            exact("largest real part of an eigenvalue", eigenvalues.real.max(), 0, tolerance=1e-7),
            exact("largest imaginary part", eigenvalues.imag.max(), 0.5, tolerance=1e-7),
        ),
        figure=figure,
    )
