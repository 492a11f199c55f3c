"""The figure of points of the plane: true density, model density and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter
from torch import Tensor

from genbench.capabilities import HasEnergy
from genbench.explore.drawing import Drawing
from genbench.explore.sheet import PALETTE, panel, sheet
from genbench.explore.subject import NotPossible, Subject

__all__ = ["density_table", "points"]

# The log-probabilities of this many cells are computed at once.
_CELLS = 4096


def points(subject: Subject) -> Drawing:
    """True density, model density and samples of points of the plane.

    Raises:
        NotPossible: The data are no points of the plane, or their density is not known.
    """
    table = subject.data.known_components
    if table is None or not subject.is_points:
        raise NotPossible("the data are not points of the plane with a known density")
    truth = table.sum(0)
    L = subject.spec.levels
    n = 5_000
    rng = subject.rng(n, "sample")
    x = subject.sample(n, subject.data.y_of_samples(rng)).cpu().numpy()[:, 0, 0]
    model = density_table(subject)
    title = subject.title("Densities and samples", f"n = {n:,}")
    caption = (
        f"p(x) of the {L} x {L} cells, on one scale, which ends at the highest of the true ones;"
        " samples as drawn."
    )
    if model is None:
        caption += f" {subject.kind} has no density."
    else:
        log_truth = np.log(np.where(truth > 0, truth, 1))
        log_model = np.log(np.maximum(model, 1e-300))
        kl = float((truth * (log_truth - log_model)).sum())
        if subject.model.likelihood is None:
            caption += (
                " The model's is exp(-energy) over its sum over all cells:"
                f" KL(p || model) = {kl:.3f} nats."
            )
        else:
            kind = str(subject.model.likelihood_kind(**subject.log_prob_options))
            sign = {"exact": "=", "bound": "<="}.get(kind, "~")
            caption += (
                f" KL(p || model) {sign} {kl:.3f} nats; the model's table sums to"
                f" {model.sum():.3f}."
            )
    figure = sheet(title, caption)
    look: dict[str, Any] = {
        "origin": "lower",
        "cmap": "cividis",
        "vmin": 0,
        "vmax": float(truth.max()),
        "interpolation": "none",
    }
    known, other, drawn = (panel(figure, left, 0.24, 0.22, 0.62) for left in (0.05, 0.36, 0.73))
    for axes, name in (
        (known, "true density"),
        (other, "model density"),
        (drawn, f"{n:,} samples"),
    ):
        _plane(axes, name, L)
    shades = known.imshow(truth.T, extent=(0, L, 0, L), **look)
    if model is None:
        other.text(L / 2, L / 2, "none", ha="center", va="center")
    else:
        other.imshow(model.T, extent=(0, L, 0, L), **look)
    beyond = "max" if model is not None and model.max() > truth.max() else "neither"
    powers = ScalarFormatter()
    powers.set_powerlimits((0, 0))
    bar = figure.colorbar(
        shades, cax=panel(figure, 0.615, 0.01, 0.317, 0.426), extend=beyond, format=powers
    )
    bar.set_label("p(x) of a cell")
    drawn.scatter(x[:, 0] + 0.5, x[:, 1] + 0.5, s=3, c=PALETTE[0], linewidths=0, rasterized=True)
    return Drawing(figure, title, caption)


def density_table(subject: Subject) -> np.ndarray | None:
    """The model's probability of every cell.

    For a model of p(x | y) it is the mixture over the training frequencies of the labels.

    An energy is normalised here, over all cells; the samples of its model may have another density.

    Returns:
        float64 (L, L); None for a model without a density and without an energy.
    """
    model = subject.model
    L = subject.spec.levels
    if model.likelihood is None and not isinstance(model, HasEnergy):
        return None
    cells = torch.cartesian_prod(torch.arange(L), torch.arange(L))
    x = cells.to(subject.spec.dtype).view(-1, 1, 1, 2).to(subject.device)
    _, labels = subject.data.arrays("train")
    weights = np.ones(1)
    if model.conditional:
        subject.need_labels()
    if model.conditional and labels is not None:
        weights = np.bincount(labels, minlength=model.classes) / len(labels)
    table = np.zeros(L * L)
    for k, weight in enumerate(weights):
        parts = []
        for part in x.split(_CELLS):
            y = None
            if model.conditional:
                y = torch.full((len(part),), k, device=subject.device)
            parts.append(_log_mass(subject, part, y))
        log_p = torch.cat(parts).double()
        if model.likelihood is None:
            log_p = log_p.log_softmax(0)
        table += weight * log_p.exp().cpu().numpy()
    return table.reshape(L, L)


def _log_mass(subject: Subject, x: Tensor, y: Tensor | None) -> Tensor:
    """log p of images, or minus their energies, of a model that has no density."""
    model = subject.model
    if model.likelihood is None and isinstance(model, HasEnergy):
        return -model.energy(x, y)
    return model.log_prob(x, y, **subject.log_prob_options)


def _plane(axes: Axes, title: str, levels: int) -> None:
    """Title, range and ticks of a panel in which x_1 and x_2 have so many levels."""
    axes.set(
        title=title,
        xlim=(0, levels),
        ylim=(0, levels),
        aspect="equal",
        xlabel="$x_1$",
        ylabel="$x_2$",
        xticks=[0, levels // 2, levels],
        yticks=[0, levels // 2, levels],
    )
