"""Against a fixed discriminator the best reply is one point, and the next discriminator drives it away.

For a fixed D a generator that may put q anywhere solves a linear programme, whose solution is a corner:

    max_q sum_x q(x) log D(x),    q >= 0,    sum q = 1        all at the x of the largest D

Here x is one of 64 places on a circle, p has four modes, and the generator that is played is the programme's point blurred
to the width of a mode. D = p / (p + q) is the best reply to the last three of these, lowest where the generator has been, so
that the generator hops to another mode in every round and never covers two.

References:
    Goodfellow et al. (2014), Generative Adversarial Networks, section 3. arXiv:1406.2661
    Metz, Poole, Pfau, Sohl-Dickstein (2017), Unrolled generative adversarial networks.
    arXiv:1611.02163
"""

from __future__ import annotations

import torch
from scipy.optimize import linprog
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import panels

__all__ = ["demonstrate"]

PLACES = 64
ROUNDS = 24
# A discriminator learns from this many rounds.
MEMORY = 3
# The four modes have these weights, places and width.
WEIGHTS = torch.tensor([0.31, 0.27, 0.23, 0.19], dtype=torch.float64)
MODES = torch.tensor([8, 24, 40, 56])
WIDTH = 2.0


def bump(place: int) -> Tensor:
    """A blurred point on the circle, (PLACES,), which adds up to 1."""
    distance = (torch.arange(PLACES) - place + PLACES // 2) % PLACES - PLACES // 2
    density = torch.exp(-0.5 * (distance.double() / WIDTH) ** 2)
    return density / density.sum()


def best_reply(D: Tensor) -> Tensor:
    """The q that solves the programme above, (PLACES,)."""
    ones = torch.ones(1, PLACES).numpy()
    answer = linprog(-D.log().numpy(), A_eq=ones, b_eq=[1.0], bounds=(0, None), method="highs")
    return torch.from_numpy(answer.x)


def demonstrate(seed: int = 0) -> Demonstration:
    """Rounds of best replies, from a generator that is everywhere.

    Args:
        seed: Not used: nothing is random.
    """
    p = sum(w * bump(int(mode)) for w, mode in zip(WEIGHTS, MODES))
    q = torch.full((PLACES,), 1 / PLACES, dtype=torch.float64)
    history: list[Tensor] = []
    replies = []
    for _ in range(ROUNDS):
        if history:
            q = torch.stack(history[-MEMORY:]).mean(0)
        # 1e-6 is added to p and to q, so that D is defined everywhere.
        D = (p + 1e-6) / (p + q + 2e-6)
        reply = best_reply(D)
        replies.append((reply, D))
        history.append(bump(int(reply.argmax())))
    modes = torch.stack([q[MODES].argmax() for q in history])
    hops = int((modes[1:] != modes[:-1]).sum())
    shares = torch.stack([reply.max() for reply, _ in replies])
    values = torch.stack([(reply * D.log()).sum() - D.log().max() for reply, D in replies])
    figure, (left, right) = panels(2)
    left.plot(p, range(PLACES), color="black")
    left.set(xlabel="p(x)", ylabel="x, place on the circle", ylim=(0, PLACES - 1))
    left.fill_betweenx(range(PLACES), p, color="0.8")
    right.imshow(
        torch.stack(history).T.numpy(),
        origin="lower",
        aspect="auto",
        cmap="Blues",
        extent=(0.5, ROUNDS + 0.5, -0.5, PLACES - 0.5),
    )
    right.set(xlabel="round", ylabel="x, place of the generator")
    return Demonstration(
        title="The best reply is one point, and it hops from mode to mode",
        formula="argmax_q E_q log D = a point mass at argmax_x D(x);   next D = p / (p + q)",
        sentence=(
            "Against a fixed discriminator nothing is better than all mass on one point; the next "
            "discriminator finds it there, and the generator moves to another mode, in every round."
        ),
        values=(
            exact("smallest largest share of a best reply", shares.min(), 1),
            exact("largest |E_q log D - max log D|", values.abs().max(), 0),
            exact("hops in 23 changes of round", hops, ROUNDS - 1, tolerance=0),
            exact("modes visited", len(modes.unique()), 4, tolerance=0),
        ),
        figure=figure,
    )
