r"""Figures of walks through latent space.

Latents are denoted z.

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114 (manifold)
    White (2016), Sampling generative networks. arXiv:1609.04468 (spherical interpolation, four
    corners)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.explore.drawing import Drawing, one_label, sheet_of, signed
from genbench.explore.latent import (
    gaussian_quantiles,
    lattice,
    plane,
    principal_directions,
    walks_of,
)
from genbench.explore.subject import NotPossible, Subject
from genbench.formulas.priors import Normal

__all__ = ["interpolation", "manifold", "traversals"]

# A manifold has this many rows and columns.
_SIDE = 12


def manifold(subject: Subject) -> Drawing:
    """Images over a plane of latent space.

    A model of two latents is shown at the quantiles of their prior. If there are more latents and
    the model encodes, the plane is spanned by the first two principal directions of encodings; else
    the images lie between four draws of the prior.

    Raises:
        NotPossible: Images are no pictures, or there are no latents of reals, or only one.
    """
    subject.need_pictures()
    subject.need_reals()
    d = subject.latent.dims
    if d < 2:
        raise NotPossible("one latent makes no plane; see traversals")
    if d == 2:
        return _quantile_plane(subject, _SIDE)
    if subject.encodes:
        return _principal_plane(subject, _SIDE)
    return _between_corners(subject, _SIDE)


def _quantile_plane(subject: Subject, n: int) -> Drawing:
    """Images of two latents at n quantiles of the prior of each."""
    scores = gaussian_quantiles(n)
    prior = subject.need_reals()
    values = prior.quantiles(scores, 2)
    z = lattice(values[:, 0], values[:, 1])
    if isinstance(prior, Normal):
        span = f"from {float(scores[0]):+.2f} to {float(scores[-1]):+.2f}"
        caption = (
            f"The two latents, decoded at the {n} Gaussian quantiles {span} standard deviations "
            "along each axis."
        )
        names = ("first latent, in sd", "second latent, in sd")
    else:
        caption = (
            f"The two latents, decoded at {n} quantiles of the prior of each, {prior.name}: "
            f"those of the probabilities (i - 1/2) / {n}."
        )
        names = ("first latent", "second latent")
    ticks = (signed(values[:, 0]), signed(values[:, 1]))
    return _manifold(subject, z, caption, names, ticks)


def _principal_plane(subject: Subject, n: int) -> Drawing:
    """Images over the plane in which encodings vary most."""
    scores = gaussian_quantiles(n)
    encodings, _ = subject.encodings
    z = encodings.double()
    mean, directions, scale = principal_directions(z)
    share = float(scale.square().sum() / z.var(0).sum())
    caption = (
        f"{subject.latent.dims} latents: the plane of the first two principal directions of"
        f" {len(z)} encodings ({share:.0%} of their variance), decoded at the {n} Gaussian"
        f" quantiles from {float(scores[0]):+.2f} to {float(scores[-1]):+.2f} standard deviations"
        " along each axis."
    )
    names = ("first principal direction, in sd", "second principal direction, in sd")
    ticks = (signed(scores), signed(scores))
    return _manifold(subject, plane(mean, directions, scale, n), caption, names, ticks)


def _manifold(
    subject: Subject,
    z: Tensor,
    caption: str,
    axes: tuple[str, str],
    ticks: tuple[list[str], list[str]],
) -> Drawing:
    """Draw the images of a lattice of latents.

    Args:
        subject: The run.
        z: Latents (n * n, d), in reading order.
        caption: The sentences below the images.
        axes: Names of the horizontal and the vertical axis.
        ticks: Values along the horizontal axis, and along the vertical one from the bottom.
    """
    across, up = ticks
    n = len(across)
    y = one_label(subject, len(z))
    if y is not None:
        caption += f" Class y = {subject.class_names()[int(y[0])]}."
    title = subject.title("Latent manifold", f"{n} x {n} latents")
    images = subject.decode(z.to(subject.device, subject.model.dtype), y)
    return sheet_of(subject, title, caption, images, n, up[::-1], across, axes)


def _between_corners(subject: Subject, n: int) -> Drawing:
    """Images between four draws of the prior at the corners (White 2016).

    A plane of two latents out of many would show little: they change an image little, and with the
    others at the mean of the prior an image is far from its draws. Spherical walks stay near draws.

    Args:
        subject: The run.
        n: Rows and columns of images.
    """
    draws, _ = subject.starts(4, "manifold")
    t = torch.linspace(0, 1, n, dtype=draws.dtype, device=draws.device)
    walk = walks_of(subject.need_reals())[-1]
    left = walk.between(draws[0], draws[2], t)
    right = walk.between(draws[1], draws[3], t)
    z = torch.cat([walk.between(a, b, t) for a, b in zip(left, right, strict=True)])
    y = one_label(subject, len(z))
    title = subject.title("Latent manifold", f"{n} x {n} latents")
    caption = (
        f"Four draws of the prior in {subject.latent.dims} dimensions at the corners, and "
        f"{walk.name} walks between them: s of the way "
        f"from left to right, t of the way down. Norms are from {float(z.norm(dim=1).min()):.2f} "
        "to "
        f"{float(z.norm(dim=1).max()):.2f}; of the prior about {_norm(subject):.2f}."
    )
    if y is not None:
        caption += f" Class y = {subject.class_names()[int(y[0])]}."
    ticks = [f"{v:.2f}" for v in t.tolist()]
    return sheet_of(subject, title, caption, subject.decode(z, y), n, ticks, ticks, ("s", "t"))


def _norm(subject: Subject) -> float:
    """The root of E |z|^2 of the prior."""
    return subject.need_reals().norm(subject.latent.dims)


def traversals(subject: Subject) -> Drawing:
    """One latent is varied per row; the others are those of one image.

    Raises:
        NotPossible: Images are no pictures, or there are no latents of reals.
    """
    subject.need_pictures()
    prior = subject.need_reals()
    dims = subject.latent.dims
    z, y = subject.starts(1, "traversals")
    shown = torch.arange(min(8, dims), device=z.device)
    order = "the first ones"
    if subject.encodes:
        spread = subject.encodings[0].std(0)
        shown = spread.argsort(descending=True)[: len(shown)]
        order = "the ones whose encodings vary most"
    scores = torch.linspace(-3, 3, 13, dtype=z.dtype, device=z.device)
    values = prior.quantiles(scores, dims).to(z)
    rows = z.repeat(len(shown) * len(scores), 1)
    rows[torch.arange(len(rows)), shown.repeat_interleave(len(scores))] = values.T[shown].flatten()
    labels = None if y is None else y.repeat(len(rows))
    title = subject.title("Traversals", f"{len(shown)} of {dims} latents")
    first = "a held-out image's encoding" if subject.encodes else "a draw of the prior"
    set_to = "the value above"
    axis = "value of $z_i$"
    if not isinstance(prior, Normal):
        set_to = "the quantile of its prior whose place is, as that of N(0, 1), above"
        axis = "quantile of $z_i$, as that of N(0, 1)"
    caption = (
        f"Each row sets one latent z_i to {set_to}, from {first}; {order}. "
        f"The prior of each is {prior.name}."
    )
    names = [f"$z_{{{int(i) + 1}}}$" for i in shown]
    return sheet_of(
        subject,
        title,
        caption,
        subject.decode(rows, labels),
        13,
        names,
        signed(scores),
        (axis, ""),
    )


def interpolation(subject: Subject) -> Drawing:
    """Walks between four pairs of latents.

    Raises:
        NotPossible: Images are no pictures, there are no latents of reals, or there are fewer than
            eight held-out images to encode.
    """
    subject.need_pictures()
    walks = walks_of(subject.need_reals())
    z, y = subject.starts(8, "interpolation")
    if len(z) < 8:
        raise NotPossible(f"only {len(z)} held-out images of this class, and four pairs are shown")
    t = torch.linspace(0, 1, 13, dtype=z.dtype, device=z.device)
    rows = []
    labels = []
    for a in range(0, 8, 2):
        rows += [walk.between(z[a], z[a + 1], t) for walk in walks]
        # A model of p(x | y) is given the class of the first image along the whole walk.
        labels += [] if y is None else [y[a].repeat(len(walks) * len(t))]
    images = subject.decode(torch.cat(rows), torch.cat(labels) if labels else None)
    ends = "encodings of held-out images" if subject.encodes else "draws of the prior"
    norms = [float(row[len(t) // 2].norm()) for row in rows]
    middles = ", ".join(
        f"{walk.name} {np.mean(norms[i :: len(walks)]):.2f}" for i, walk in enumerate(walks)
    )
    caption = (
        f"Four pairs of {ends} in {subject.latent.dims} dimensions. Norm of the middle, mean over "
        "pairs: "
        f"{middles}; of the ends "
        f"{float(z.norm(dim=1).mean()):.2f}; "
        f"of the prior about {_norm(subject):.2f}."
    )
    if subject.model.conditional:
        caption += " Both ends are decoded with the class of the left one."
    title = subject.title("Interpolation", "4 pairs")
    names = [walk.name for walk in walks] * 4
    return sheet_of(
        subject, title, caption, images, len(t), names, [f"{float(s):.2f}" for s in t], ("t", "")
    )
