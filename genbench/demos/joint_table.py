"""A joint table answers every question: marginals, expectations, conditionals.

    p(x) = sum_y p(x, y)            the sum rule
    E[x] = sum_x x p(x)
    p(y | x) = p(x, y) / p(x)       the product rule

The table is one of those with p(x = 1) = 0.36, E[x] = 1.96 and p(y = 2 | x = 1) = 0.083: 36, 32 and 32 of
a hundred pairs have x = 1, 2 and 3, which the first two numbers imply, and 3 of the 36 have y = 2.

Reference:
    Bishop (2006), Pattern recognition and machine learning, section 1.2
"""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, GREY, panels

__all__ = ["demonstrate"]

# The table counts a hundred pairs (x, y). Its rows are x = 1, 2, 3, and its columns y = 1, 2, 3.
PAIRS = torch.tensor([[20, 3, 13], [10, 15, 7], [6, 12, 14]])


def demonstrate(seed: int = 0) -> Demonstration:
    """The three numbers of the table, and Bayes' rule for the way back.

    Args:
        seed: Not used: nothing is random.
    """
    p_xy = PAIRS.double() / PAIRS.sum()
    p_x = p_xy.sum(1)
    p_y = p_xy.sum(0)
    x = torch.arange(1, 4, dtype=torch.float64)
    mean = (x * p_x).sum()
    p_y_given_x = p_xy / p_x[:, None]
    # Bayes' rule is p(x | y) = p(y | x) p(x) / p(y).
    p_x_given_y = p_y_given_x * p_x[:, None] / p_y
    figure, (left, right) = panels(2)
    _draw_table(left, p_xy)
    right.bar((x - 0.2).numpy(), p_y.numpy(), width=0.38, color=GREY, label="p(y)")
    right.bar(
        (x + 0.2).numpy(), p_y_given_x[0].numpy(), width=0.38, color=BLUE, label="p(y | x = 1)"
    )
    right.set(xlabel="y", ylabel="probability", xticks=[1, 2, 3])
    right.legend()
    return Demonstration(
        title="A joint table answers every question",
        formula="p(x) = sum_y p(x, y),   E[x] = sum_x x p(x),   p(y | x) = p(x, y) / p(x)",
        sentence=(
            "A model of p(x, y) gives p(x), p(y | x) and p(x | y) by sums and quotients: to know"
            " that x = 1 makes y = 2 less probable by a factor of more than three."
        ),
        values=(
            exact("p(x = 1)", p_x[0], 0.36),
            exact("E[x]", mean, 1.96),
            exact("p(y = 2 | x = 1)", p_y_given_x[0, 1], 1 / 12),
            exact("p(x = 1 | y = 2), by Bayes' rule", p_x_given_y[0, 1], 3 / 30),
        ),
        figure=figure,
    )


def _draw_table(axes: Axes, p_xy: Tensor) -> None:
    """The table with its numbers."""
    axes.imshow(p_xy.numpy(), cmap="Blues", vmin=0, vmax=0.3)
    for row, values in enumerate(p_xy.tolist()):
        for column, value in enumerate(values):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center")
    labels = ["1", "2", "3"]
    marginals = [f"{label}   (p = {p:.2f})" for label, p in zip(labels, p_xy.sum(1).tolist())]
    axes.set_xticks(range(3), labels)
    axes.set_yticks(range(3), marginals)
    axes.set(xlabel="y", ylabel="x", title="p(x, y)")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
