r"""Figures of walks through latent space.

Latents are denoted z.

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114 (manifold)
    White (2016), Sampling generative networks. arXiv:1609.04468 (spherical interpolation, four
    corners)
"""

from __future__ import annotations

import math

import numpy as np
import torch

from genbench.explore.drawing import Drawing, one_label, sheet_of, signed
from genbench.explore.latent import (
    gaussian_quantiles,
    linear,
    plane,
    principal_directions,
    spherical,
)
from genbench.explore.subject import NotPossible, Subject

__all__ = ["interpolation", "manifold", "traversals"]

# rows and columns of a manifold
_SIDE = 12


def manifold(subject: Subject) -> Drawing:
    """Images over a plane of latent space, at the quantiles of the Gaussian.

    The plane is that of two latents, or of the first two principal directions of encodings. A model
    of more latents that does not encode prefers no plane: then between four draws of the prior.
    """
    subject.need_pictures()
    n = _SIDE
    d = subject.latent
    if d > 2 and not subject.encodes:
        return _between_corners(subject, n)
    start = torch.zeros(d, dtype=torch.float64, device=subject.device)
    axes = torch.eye(d, dtype=torch.float64, device=subject.device)[:2]
    scale = torch.ones(2, dtype=torch.float64)
    if d < 2:
        raise NotPossible("one latent makes no plane; see traversals")
    where = "The two latents"
    axis = "latent"
    if d > 2:
        z, _ = subject.encodings
        axis = "principal direction"
        start, axes, scale = principal_directions(z.double())
        share = float(scale.square().sum() / z.double().var(0).sum())
        where = f"{d} latents: the plane of the first two principal directions of {len(z)} encodings ({share:.0%} of their variance)"
    z = plane(start, axes, scale.to(start), n).to(subject.model.dtype)
    y = one_label(subject, len(z))
    quantiles = gaussian_quantiles(n)
    span = f"from {float(quantiles[0]):+.2f} to {float(quantiles[-1]):+.2f}"
    title = subject.title("Latent manifold", f"{n} x {n} latents")
    caption = f"{where}, decoded at the {n} Gaussian quantiles {span} standard deviations along each axis."
    if y is not None:
        caption += f" Class y = {subject.class_names()[int(y[0])]}."
    axes_names = (f"first {axis}, in sd", f"second {axis}, in sd")
    ticks = signed(quantiles)
    return sheet_of(
        subject, title, caption, subject.decode(z, y), n, ticks[::-1], ticks, axes_names
    )


def _between_corners(subject: Subject, n: int) -> Drawing:
    """Images between four draws of the prior at the corners (White 2016).

    Two latents of many change little, and the middle of a Gaussian of many dimensions is nowhere
    near its draws. Spherical walks keep the norm of the draws.
    """
    draws, _ = subject.starts(4, "manifold")
    t = torch.linspace(0, 1, n, dtype=draws.dtype, device=draws.device)
    left = spherical(draws[0], draws[2], t)
    right = spherical(draws[1], draws[3], t)
    z = torch.cat([spherical(a, b, t) for a, b in zip(left, right, strict=True)])
    y = one_label(subject, len(z))
    title = subject.title("Latent manifold", f"{n} x {n} latents")
    caption = (
        f"Four draws of the prior in {subject.latent} dimensions at the corners, and spherical "
        "walks between them: s of the way "
        f"from left to right, t of the way down. Norms are from {float(z.norm(dim=1).min()):.2f} "
        "to "
        f"{float(z.norm(dim=1).max()):.2f}; of the prior about {math.sqrt(subject.latent):.2f}."
    )
    if y is not None:
        caption += f" Class y = {subject.class_names()[int(y[0])]}."
    ticks = [f"{v:.2f}" for v in t.tolist()]
    return sheet_of(subject, title, caption, subject.decode(z, y), n, ticks, ticks, ("s", "t"))


def traversals(subject: Subject) -> Drawing:
    """One latent is varied per row; the others are those of one image."""
    subject.need_pictures()
    z, y = subject.starts(1, "traversals")
    shown = torch.arange(min(8, subject.latent), device=z.device)
    order = "the first ones"
    if subject.encodes:
        spread = subject.encodings[0].std(0)
        shown = spread.argsort(descending=True)[: len(shown)]
        order = "the ones whose encodings vary most"
    steps = torch.linspace(-3, 3, 13, dtype=z.dtype, device=z.device)
    rows = z.repeat(len(shown) * len(steps), 1)
    rows[torch.arange(len(rows)), shown.repeat_interleave(len(steps))] = steps.repeat(len(shown))
    labels = None if y is None else y.repeat(len(rows))
    title = subject.title("Traversals", f"{len(shown)} of {subject.latent} latents")
    first = "a held-out image's encoding" if subject.encodes else "a draw of the prior"
    caption = f"Each row sets one latent z_i to the value above, from {first}; {order}. The prior of each is N(0, 1)."
    names = [f"$z_{{{int(i) + 1}}}$" for i in shown]
    return sheet_of(
        subject,
        title,
        caption,
        subject.decode(rows, labels),
        13,
        names,
        signed(steps),
        ("value of $z_i$", ""),
    )


def interpolation(subject: Subject) -> Drawing:
    """Straight and spherical walks between four pairs of latents."""
    subject.need_pictures()
    z, y = subject.starts(8, "interpolation")
    if len(z) < 8:
        raise NotPossible(f"only {len(z)} held-out images of this class, and four pairs are shown")
    t = torch.linspace(0, 1, 13, dtype=z.dtype, device=z.device)
    walks = []
    labels = []
    names = []
    for a in range(0, 8, 2):
        walks += [linear(z[a], z[a + 1], t), spherical(z[a], z[a + 1], t)]
        names += ["linear", "spherical"]
        # a model of p(x | y) keeps the first one's class all the way
        labels += [] if y is None else [y[a].repeat(2 * len(t))]
    images = subject.decode(torch.cat(walks), torch.cat(labels) if labels else None)
    ends = "encodings of held-out images" if subject.encodes else "draws of the prior"
    norms = [float(walk[len(t) // 2].norm()) for walk in walks]
    caption = (
        f"Four pairs of {ends} in {subject.latent} dimensions. Norm of the middle, mean over "
        "pairs: linear "
        f"{np.mean(norms[::2]):.2f}, spherical {np.mean(norms[1::2]):.2f}; of the ends "
        f"{float(z.norm(dim=1).mean()):.2f}; "
        f"of the prior about {math.sqrt(subject.latent):.2f}."
    )
    if subject.model.conditional:
        caption += " Both ends are decoded with the class of the left one."
    title = subject.title("Interpolation", "4 pairs")
    return sheet_of(
        subject, title, caption, images, len(t), names, [f"{float(s):.2f}" for s in t], ("t", "")
    )
