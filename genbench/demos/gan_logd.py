"""-log D gives a generator that loses stronger gradients than log(1 - D), and rests at the same point.

With D = sigma(d), a generator that minimises log(1 - D) has, in the logit d of a generated image, the
gradient -D; one that minimises -log D has -(1 - D). Early in training D of generated images is nearly 0:

    d/dd log(1 - sigma(d)) = -D              vanishes where D is sure
    d/dd -log sigma(d)     = -(1 - D)        is then at its largest

Their ratio is (1 - D) / D, which is 1 at D = 1/2, the equilibrium of both.

Reference:
    Goodfellow et al. (2014), Generative Adversarial Networks, section 3. arXiv:1406.2661
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, ORANGE, panels
from genbench.models.gan.games import Game, Minimax, NonSaturating

__all__ = ["demonstrate"]


def slope(game: Game, D: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of the generator and its derivative in the logit, at outputs D, (N,)."""
    d = D.logit().requires_grad_()
    losses = torch.stack([game.generator(logit) for logit in d])
    (derivative,) = torch.autograd.grad(losses.sum(), d)
    return losses.detach(), derivative


def demonstrate(seed: int = 0) -> Demonstration:
    """Both losses and their slopes over D.

    Args:
        seed: Not used: nothing is random.
    """
    D = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    saturating, weak = slope(Minimax(), D)
    non_saturating, strong = slope(NonSaturating(), D)
    figure, (left, right) = panels(2)
    left.plot(D, saturating, color=BLUE, label="log(1 - D)")
    left.plot(D, non_saturating, color=ORANGE, linestyle="--", label="-log D")
    left.set(xlabel="D of a generated image", ylabel="loss of the generator")
    right.plot(D, weak.abs(), color=BLUE, label="of log(1 - D)")
    right.plot(D, strong.abs(), color=ORANGE, linestyle="--", label="of -log D")
    right.set(xlabel="D of a generated image", ylabel="|gradient| in the logit")
    right.axvspan(0, 0.1, color="0.9", zorder=0)
    right.text(0.11, 0.06, "early training", color="0.3")
    for axes in (left, right):
        axes.legend()
    return Demonstration(
        title="-log D has gradients where log(1 - D) has none",
        formula="d/dd log(1 - sigma(d)) = -D,   d/dd [-log sigma(d)] = -(1 - D),   D = sigma(d)",
        sentence=(
            "Where the discriminator is 99 % sure that an image is generated, -log D has 99 times"
            " the gradient of log(1 - D); at D = 1/2 both are equal, so that they rest at the same"
            " point."
        ),
        values=(
            exact("gradient of log(1 - D) at D = 0.01", weak[0], -0.01),
            exact("gradient of -log D at D = 0.01", strong[0], -0.99),
            exact("ratio of the gradients at D = 0.01", strong[0] / weak[0], 99),
            exact("ratio of the gradients at D = 1/2", strong[49] / weak[49], 1),
        ),
        figure=figure,
    )
