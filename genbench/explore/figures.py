r"""The figures, each a function from a subject to a drawing. Which a run gets follows from what its
model and its data offer.

A figure that is not to be had raises `NotPossible` with the reason. Latents are denoted z, x' =
decode(encode(x)).

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114 (manifold)
    White (2016), Sampling generative networks. arXiv:1609.04468 (spherical interpolation, four
    corners) Radford, Metz, Chintala (2016), Unsupervised representation learning with DCGANs.
    arXiv:1511.06434 (arithmetic) van der Maaten, Hinton (2008), Visualizing data using t-SNE. JMLR
    9
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from torch import Tensor

from genbench.capabilities import Diffuses, HasTrajectory
from genbench.config.protocol import load_protocol
from genbench.errors import InputError
from genbench.explore.latent import (
    class_means,
    gaussian_quantiles,
    linear,
    plane,
    principal_directions,
    spherical,
)
from genbench.explore.sheet import MARKERS, OTHERS, PALETTE, literal, mosaic, panel, sheet
from genbench.explore.subject import NotPossible, Subject
from genbench.metrics.extractor import load_extractor
from genbench.metrics.nearest import nearest_rows

__all__ = ["FIGURES", "Drawing"]

_TIMES = 9
_PLACED = 1_000


class Drawing(NamedTuple):
    """A figure, with the words on it."""

    figure: Figure
    title: str
    caption: str


def samples(subject: Subject) -> Drawing:
    """Samples, a row per class where the model is one of p(x | y)."""
    subject.need_pictures()
    x, y, columns = subject.samples
    title = subject.title("Samples", f"n = {len(x)}")
    caption = "Independent draws of p(x), not selected."
    rows: list[str] = []
    if y is not None:
        caption = "Independent draws of p(x | y), not selected; each row is one class y."
        caption += _first_classes(subject, "rows") if subject.label is None else ""
        names = subject.class_names()
        rows = [literal(f"y = {names[int(k)]}") for k in y[::columns]]
    return _sheet_of(subject, title, caption, x, columns, rows, left=0.16)


def reconstructions(subject: Subject) -> Drawing:
    """x above decode(encode(x))."""
    subject.need_pictures()
    x, y = subject.held_out(36)
    columns = min(12, len(x))
    x, y = x[: len(x) // columns * columns], None if y is None else y[: len(x) // columns * columns]
    back = subject.decode(subject.encode(x, y), y)
    rows = torch.stack(
        (x.unflatten(0, (-1, columns)), back.unflatten(0, (-1, columns))), 1
    ).flatten(0, 2)
    error = float((x.double() - back.double()).square().mean().sqrt()) / (subject.spec.levels - 1)
    title = subject.title("Reconstructions", f"n = {len(x)}")
    caption = (
        f"Held-out images x above x' = decode(encode(x)), through {subject.latent} latents for {subject.spec.dims} pixels. "
        f"Root mean square error {error:.3f} of the range from black to white."
    )
    return _sheet_of(subject, title, caption, rows, columns, ["x", "x'"] * (len(x) // columns))


def manifold(subject: Subject) -> Drawing:
    """Images over a plane of latent space, at the quantiles of the Gaussian; between four draws
    where no plane is preferred.
    """
    subject.need_pictures()
    n = 12
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
    y = _one_label(subject, len(z))
    title = subject.title("Latent manifold", f"{n} x {n} latents")
    caption = f"{where}, decoded at the {n} Gaussian quantiles {_range(gaussian_quantiles(n))} standard deviations along each axis."
    if y is not None:
        caption += f" Class y = {subject.class_names()[int(y[0])]}."
    axes_names = (f"first {axis}, in sd", f"second {axis}, in sd")
    ticks = _signed(gaussian_quantiles(n))
    return _sheet_of(
        subject, title, caption, subject.decode(z, y), n, ticks[::-1], ticks, axes_names
    )


def _between_corners(subject: Subject, n: int) -> Drawing:
    """White (2016): four draws at the corners. Two latents of many change little, and the middle of
    a Gaussian of many dimensions is nowhere near its draws; spherical walks keep their norm.
    """
    draws, _ = subject.starts(4, "manifold")
    t = torch.linspace(0, 1, n, dtype=draws.dtype, device=draws.device)
    left = spherical(draws[0], draws[2], t)
    right = spherical(draws[1], draws[3], t)
    z = torch.cat([spherical(a, b, t) for a, b in zip(left, right, strict=True)])
    y = _one_label(subject, len(z))
    title = subject.title("Latent manifold", f"{n} x {n} latents")
    caption = (
        f"Four draws of the prior in {subject.latent} dimensions at the corners, and spherical walks between them: s of the way "
        f"from left to right, t of the way down. Norms are from {float(z.norm(dim=1).min()):.2f} to "
        f"{float(z.norm(dim=1).max()):.2f}; of the prior about {math.sqrt(subject.latent):.2f}."
    )
    if y is not None:
        caption += f" Class y = {subject.class_names()[int(y[0])]}."
    ticks = [f"{v:.2f}" for v in t.tolist()]
    return _sheet_of(subject, title, caption, subject.decode(z, y), n, ticks, ticks, ("s", "t"))


def traversals(subject: Subject) -> Drawing:
    """One latent varied per row, the others those of one image."""
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
    return _sheet_of(
        subject,
        title,
        caption,
        subject.decode(rows, labels),
        13,
        names,
        _signed(steps),
        ("value of $z_i$", ""),
    )


def interpolation(subject: Subject) -> Drawing:
    """Straight and spherical walks between pairs of latents."""
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
        f"Four pairs of {ends} in {subject.latent} dimensions. Norm of the middle, mean over pairs: linear "
        f"{np.mean(norms[::2]):.2f}, spherical {np.mean(norms[1::2]):.2f}; of the ends {float(z.norm(dim=1).mean()):.2f}; "
        f"of the prior about {math.sqrt(subject.latent):.2f}."
    )
    if subject.model.conditional:
        caption += " Both ends are decoded with the class of the left one."
    title = subject.title("Interpolation", "4 pairs")
    return _sheet_of(
        subject, title, caption, images, len(t), names, [f"{float(s):.2f}" for s in t], ("t", "")
    )


def arithmetic(subject: Subject) -> Drawing:
    """An image moved towards other classes: by means of latents, or by exchanging y."""
    subject.need_pictures()
    classes = min(10, subject.need_labels())
    x, y = subject.held_out(6)
    z = subject.encode(x, y)
    assert y is not None
    target = torch.arange(classes, device=z.device)
    if subject.model.conditional:
        moved = z.repeat_interleave(classes, 0)
        labels = target.repeat(len(x))
        caption = (
            "Latents keep what labels do not say: each held-out image x is encoded with its own label a and decoded with "
            "the label b above."
        )
    else:
        codes, code_labels = subject.data.tensors("train", subject.device)
        assert code_labels is not None
        if len(code_labels[:5000].unique()) < subject.need_labels():
            raise NotPossible("a class has no training image")
        means = class_means(
            subject.encode(codes[:5000], code_labels[:5000]),
            code_labels[:5000],
            subject.need_labels(),
        )
        moved = (z[:, None] + means[target] - means[y][:, None]).flatten(0, 1)
        labels = None
        caption = (
            "Each held-out image x of class a is moved towards class b: decode(z + m_b - m_a), with m_k the mean latent of "
            f"the training images of class k (of {min(5000, len(codes))} images)."
        )
    changed = subject.decode(moved, labels).unflatten(0, (len(x), classes))
    images = torch.cat((x[:, None], subject.decode(z, y)[:, None], changed), 1).flatten(0, 1)
    title = subject.title("Attribute arithmetic", f"{len(x)} images, {classes} classes")
    rows = subject.class_names(150)
    columns = subject.class_names(105)[:classes]
    # a column is as wide as an image
    space = " " if max(map(len, columns)) <= 3 else "\n"
    names = ["x", "x'", *(literal(f"b ={space}{name}") for name in columns)]
    caption += _first_classes(subject, "columns")
    return _sheet_of(
        subject,
        title,
        caption,
        images,
        classes + 2,
        [literal(f"a = {rows[int(k)]}") for k in y],
        names,
        left=0.13,
    )


def neighbours(subject: Subject) -> Drawing:
    """Nearest training images of samples, by pixels and by features, beside the distances of
    held-out images.
    """
    subject.need_pictures()
    x, _, _ = subject.samples
    train, _ = subject.data.tensors("train", subject.device)
    test, _ = subject.held_out(500)
    title = subject.title("Nearest training images", f"n = {len(x)}")
    spaces = {
        "pixels": lambda images: images.flatten(1).double() / (subject.spec.levels - 1)
    } | _feature_space(subject)
    shown = x[:: max(1, len(x) // 6)][:6]
    k = 3
    parts = [shown[:, None]]
    distances = {}
    for name, embed in spaces.items():
        there = embed(train).cpu()
        _, rows = nearest_rows(embed(shown).cpu(), there, k)
        parts.append(train[rows.to(train.device)])
        distances[name] = [
            nearest_rows(embed(some).cpu(), there, 1)[0][:, 0].numpy() for some in (x, test)
        ]
    medians = "; ".join(
        f"{name} {np.median(a):.2f} against {np.median(b):.2f}"
        for name, (a, b) in distances.items()
    )
    caption = (
        f"Samples and the {k} nearest of {len(train):,} training images. Median distance to the nearest, samples against "
        f"{len(test)} held-out images: {medians}. Samples much nearer than held-out images would be copies."
    )
    figure = sheet(title, caption)
    images = torch.cat(parts, 1).flatten(0, 1).cpu().numpy()
    names = [
        "sample",
        *(f"{nth} by\n{name}" for name in spaces for nth in ("1st", "2nd", "3rd")[:k]),
    ]
    mosaic(
        panel(figure, 0.03, 0.45, 0.14, 0.7), images, subject.spec, 1 + k * len(spaces), (), names
    )
    for i, (name, (of_samples, of_test)) in enumerate(distances.items()):
        _histograms(figure, i, len(spaces), name, of_samples, of_test)
    return Drawing(figure, title, caption)


def tsne(subject: Subject) -> Drawing:
    """t-SNE of the latents of held-out images, by label."""
    from sklearn.manifold import TSNE

    z, y = subject.encodings
    if subject.latent < 3:
        raise NotPossible(f"{subject.latent} latents need no t-SNE")
    z = z[:_PLACED]
    y = None if y is None else y[:_PLACED]
    if len(z) < 10:
        raise NotPossible(f"only {len(z)} held-out images")
    perplexity = min(30.0, (len(z) - 1) / 3)
    place = TSNE(
        random_state=subject.seed % 2**32, perplexity=perplexity, init="pca"
    ).fit_transform(z.double().cpu().numpy())
    title = subject.title("t-SNE of latents", f"n = {len(z):,}")
    caption = (
        f"Encodings of {len(z):,} held-out images in {subject.latent} dimensions, placed by t-SNE (perplexity {perplexity:.0f}); labels "
        "did not take part. Neighbourhoods mean something, distances and sizes of clusters do not."
    )
    if subject.model.conditional:
        caption += " The model is given the labels, so its latents need not tell them."
    labels = np.zeros(len(z), dtype=int) if y is None else y.cpu().numpy()
    coloured, others = _told_apart(labels)
    if others:
        share = f"the {len(coloured)} most frequent of the {len(coloured) + others} classes here"
        caption += f" In colour, {share}; the others small and light grey."
    figure = sheet(title, caption)
    axes = panel(figure, 0.07, 0.73, 0.21, 0.66)
    names = subject.class_names()
    for k, i in coloured.items():
        some = place[labels == k]
        name = "" if y is None else literal(f"y = {names[k]}")
        axes.scatter(
            some[:, 0],
            some[:, 1],
            s=36,
            c=PALETTE[i],
            marker=MARKERS[i],
            linewidths=0,
            alpha=0.8,
            label=name,
        )
    if others:
        some = place[~np.isin(labels, list(coloured))]
        name = f"{others} other class{'es' * (others > 1)}"
        axes.scatter(some[:, 0], some[:, 1], s=20, c=OTHERS, linewidths=0, zorder=0.5, label=name)
    # distances along both axes are one measure
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="first coordinate (no unit)", ylabel="second coordinate (no unit)")
    if y is not None:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, markerscale=1.5)
    return Drawing(figure, title, caption)


def forward(subject: Subject) -> Drawing:
    """x_0 -> x_T."""
    model = subject.model
    if not isinstance(model, Diffuses):
        raise NotPossible(f"{subject.kind} has no forward process")
    times = [round(i * model.T / (_TIMES - 1)) for i in range(_TIMES)]
    x, _ = subject.held_out(2_000 if subject.is_points else 6)
    x_0 = model.to_real(x)
    eps = subject.rng(len(x), "forward").normal(subject.spec.shape)
    states = [x_0] + [
        model.diffuse(x_0, torch.full((len(x),), t, device=x.device), eps) for t in times[1:]
    ]
    title = subject.title("Forward process", f"n = {len(x):,}, T = {model.T}")
    caption = "Held-out images x_0 on their way to noise x_T, with the same noise at every time; values beyond black and white are cut."
    return _strip(subject, title, caption, states, [f"t = {t}" for t in times])


def reverse(subject: Subject) -> Drawing:
    """x_T -> x_0 by the model."""
    model = subject.model
    if not isinstance(model, HasTrajectory):
        raise NotPossible(f"{subject.kind} has no chain of reals that its sampler walks down")
    n = 1_000 if subject.is_points else 6
    rng = subject.rng(n, "sample")
    y = model.conditional and (
        torch.full((n,), subject.label, device=subject.device)
        if subject.label is not None
        else subject.data.draw_labels(rng)
    )
    start = rng.normal(subject.spec.shape)
    states = [
        start,
        *model.trajectory(start, rng, y if isinstance(y, Tensor) else None, **subject.options),
    ]
    steps = len(states) - 1
    # the end is where something happens that can be seen: half of the pictures are of its last
    # fifth
    shares = (0, 0.25, 0.5, 0.65, 0.8, 0.87, 0.93, 0.97, 1)
    kept = sorted({round(share * steps) for share in shares})
    uneven = ", not evenly spaced" if len({b - a for a, b in pairwise(kept)}) > 1 else ""
    title = subject.title("Reverse process", f"n = {n:,}, {steps} steps")
    options = ", ".join(f"{name} = {value}" for name, value in subject.options.items())
    caption = (
        f"From noise to samples: the sampler's state after so many steps{uneven}; values beyond black and white are "
        f"cut.{f' Sampler: {options}.' if options else ''}"
    )
    return _strip(subject, title, caption, [states[i] for i in kept], [f"step {i}" for i in kept])


def points(subject: Subject) -> Drawing:
    """True density, model density and samples of points of the plane."""
    table = subject.data.known_components
    if table is None or not subject.is_points:
        raise NotPossible("the data are not points of the plane with a known density")
    truth = table.sum(0)
    L = subject.spec.levels
    n = 5_000
    rng = subject.rng(n, "sample")
    x = subject.sample(n, subject.data.draw_labels(rng)).cpu().numpy()[:, 0, 0]
    model = _density(subject)
    title = subject.title("Densities and samples", f"n = {n:,}")
    caption = f"p(x) of the {L} x {L} cells, on one scale, which ends at the highest of the true ones; samples as drawn."
    if model is None:
        caption += f" {subject.kind} has no density."
    else:
        kl = float(
            (
                truth * (np.log(np.where(truth > 0, truth, 1)) - np.log(np.maximum(model, 1e-300)))
            ).sum()
        )
        sign = {"exact": "=", "bound": "<="}.get(
            str(subject.model.likelihood_kind(**subject.log_prob_options)), "~"
        )
        caption += (
            f" KL(p || model) {sign} {kl:.3f} nats; the model's table sums to {model.sum():.3f}."
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


FIGURES: dict[str, Callable[[Subject], Drawing]] = {
    figure.__name__: figure
    for figure in (
        samples, reconstructions, manifold, traversals, interpolation, arithmetic, neighbours, tsne, forward, reverse, points,
    )
}  # fmt: skip


# --- what figures share ---------------------------------------------------------------------------


def _sheet_of(
    subject: Subject,
    title: str,
    caption: str,
    x: Tensor,
    columns: int,
    rows: list[str],
    names: list[str] | None = None,
    axes: tuple[str, str] = ("", ""),
    left: float = 0.1,
) -> Drawing:
    """A sheet that holds one mosaic; labels of its rows go left of `left`."""
    figure = sheet(title, caption)
    mosaic(
        panel(figure, left, 0.96 - left, 0.13, 0.73),
        x.cpu().numpy(),
        subject.spec,
        columns,
        rows,
        names or [],
        axes,
    )
    return Drawing(figure, title, caption)


def _first_classes(subject: Subject, places: str) -> str:
    """What a caption adds where figures have rows or columns for the first ten classes alone."""
    classes = subject.need_labels()
    if classes > 10:
        return f" The {places} are the first 10 of {classes} classes, by label."
    return ""


def _told_apart(labels: np.ndarray) -> tuple[dict[int, int], int]:
    """Classes that get a colour and a marker -> which; and how many others there are.

    Labels below ten have always the same.
    """
    if labels.max() < len(PALETTE):
        return {k: k for k in np.unique(labels).tolist()}, 0
    classes, counts = np.unique(labels, return_counts=True)
    most = sorted(classes[np.argsort(-counts, kind="stable")][: len(PALETTE)].tolist())
    return {k: i for i, k in enumerate(most)}, len(classes) - len(most)


def _one_label(subject: Subject, n: int) -> Tensor | None:
    """One class for all latents of a model of p(x | y)."""
    if subject.model.conditional:
        return torch.full((n,), subject.label or 0, device=subject.device)
    return None


def _range(q: Tensor) -> str:
    return f"from {float(q[0]):+.2f} to {float(q[-1]):+.2f}"


def _signed(values: Tensor) -> list[str]:
    """Labels with the sign of mathematics, and none at zero."""
    return [
        f"{v:+.1f}".replace("-", "\N{MINUS SIGN}") if round(v, 1) else "0" for v in values.tolist()
    ]


def _feature_space(subject: Subject) -> dict[str, Callable[[Tensor], Tensor]]:
    """The protocol's extractor, where there is one and its weights are here."""
    name = load_protocol(subject.config.resolved["protocol"] or subject.data.protocol).extractor
    if name is None:
        return {}
    try:
        extractor = load_extractor(
            name, subject.device, subject.data.spec.levels, subject.data.root
        )
    except InputError:
        return {}
    return {
        "features": lambda images: torch.cat([extractor(part)[0] for part in images.split(512)])
    }


def _histograms(
    figure: Figure, i: int, n: int, name: str, of_samples: np.ndarray, of_test: np.ndarray
) -> None:
    bottom = 0.21 + (1 - i / max(1, n - 1)) * 0.36 if n > 1 else 0.25
    axes = panel(figure, 0.56, 0.4, bottom, 0.24 if n > 1 else 0.58)
    bins = np.linspace(
        min(of_samples.min(), of_test.min()), max(of_samples.max(), of_test.max()) + 1e-9, 30
    )
    for values, label, colour, line in (
        (of_test, "held-out", PALETTE[1], "--"),
        (of_samples, "samples", PALETTE[0], "-"),
    ):
        weights = np.full(len(values), 1 / len(values))
        axes.hist(
            values,
            list(bins),
            weights=weights,
            histtype="step",
            linewidth=2.5,
            color=colour,
            linestyle=line,
            label=label,
        )
    unit = "white = 1" if name == "pixels" else "no unit"
    axes.set(xlabel=f"L2 distance to the nearest training image: {name}, {unit}", ylabel="share")
    # above the lines, which may be anywhere
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _strip(
    subject: Subject, title: str, caption: str, states: list[Tensor], names: list[str]
) -> Drawing:
    """Columns are times; rows are images, or one row of scatter plots where images are points."""
    if not subject.is_points:
        x = torch.stack([subject.model.to_pixels(state) for state in states], 1)
        return _sheet_of(subject, title, caption, x.flatten(0, 1), len(states), [], names)
    caption = caption.replace("images", "points").replace(
        "values beyond black and white are cut", "each panel is [-2, 2]^2"
    )
    figure = sheet(title, caption)
    columns = -(-len(states) // 2)
    for i, (state, name) in enumerate(zip(states, names, strict=True)):
        axes = figure.add_axes(
            (0.04 + 0.97 / columns * (i % columns), 0.53 - 0.38 * (i // columns), 0.17, 0.3)
        )
        place = state.reshape(-1, 2).cpu().numpy()
        axes.scatter(place[:, 0], place[:, 1], s=3, c=PALETTE[0], linewidths=0, rasterized=True)
        axes.set(
            xlim=(-2, 2),
            ylim=(-2, 2),
            xticks=[-1, 0, 1],
            yticks=[-1, 0, 1],
            aspect="equal",
            title=name,
        )
    return Drawing(figure, title, caption)


def _density(subject: Subject) -> np.ndarray | None:
    """The model's probability of every cell, (L, L); a mixture over training frequencies of y for a
    model of p(x | y).
    """
    model = subject.model
    L = subject.spec.levels
    if model.likelihood is None:
        return None
    x = (
        torch.cartesian_prod(torch.arange(L), torch.arange(L))
        .to(torch.uint8)
        .view(-1, 1, 1, 2)
        .to(subject.device)
    )
    _, labels = subject.data.arrays("train")
    weights = (
        np.bincount(labels, minlength=model.classes) / len(labels)
        if model.conditional and labels is not None
        else [1.0]
    )
    table = np.zeros(L * L)
    for k, weight in enumerate(weights):
        y = torch.full((4096,), k, device=subject.device)
        given = subject.log_prob_options
        parts = [
            model.log_prob(part, y[: len(part)] if model.conditional else None, **given)
            for part in x.split(4096)
        ]
        table += weight * torch.cat(parts).double().exp().cpu().numpy()
    return table.reshape(L, L)


def _plane(axes: Axes, title: str, levels: int) -> None:
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
