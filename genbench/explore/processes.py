"""Figures of diffusions: the way from an image to noise, and the sampler's way back."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from genbench.capabilities import Diffuses, HasTrajectory
from genbench.config.instantiate import with_objects
from genbench.explore.drawing import Drawing, sheet_of
from genbench.explore.sheet import PALETTE, sheet
from genbench.explore.subject import NotPossible, Subject

__all__ = ["forward", "reverse", "strip"]

# A strip of the forward process has this many columns.
_TIMES = 9


def forward(subject: Subject) -> Drawing:
    """Held-out images on their way to noise, x_0 -> x_T.

    Raises:
        NotPossible: The model has no forward process.
    """
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
    caption = (
        "Held-out images x_0 on their way to noise x_T, with the same noise at every time; values"
        " beyond black and white are cut."
    )
    return strip(subject, title, caption, states, [f"t = {t}" for t in times])


def reverse(subject: Subject) -> Drawing:
    """Noise on its way to samples, x_T -> x_0, by the model's sampler.

    Raises:
        NotPossible: The sampler has no states of reals.
    """
    model = subject.model
    if not isinstance(model, HasTrajectory):
        raise NotPossible(f"{subject.kind} has no chain of reals that its sampler walks down")
    n = 1_000 if subject.is_points else 6
    rng = subject.rng(n, "sample")
    y = None
    if model.conditional and subject.label is not None:
        y = torch.full((n,), subject.label, device=subject.device)
    elif model.conditional:
        y = subject.data.y_of_samples(rng)
    start = rng.normal(subject.spec.shape)
    states = [start, *model.trajectory(start, rng, y, **with_objects(subject.options))]
    steps = len(states) - 1
    # Most visible changes happen at the end, so that five of the nine pictures are of the last
    # fifth of the process.
    shares = (0, 0.25, 0.5, 0.65, 0.8, 0.87, 0.93, 0.97, 1)
    kept = sorted({round(share * steps) for share in shares})
    uneven = ", not evenly spaced" if len({b - a for a, b in pairwise(kept)}) > 1 else ""
    title = subject.title("Reverse process", f"n = {n:,}, {steps} steps")
    options = ", ".join(
        f"{name} = {value}" for name, value in with_objects(subject.options).items()
    )
    caption = (
        f"From noise to samples: the sampler's state after so many steps{uneven}; values beyond "
        "black and white are "
        f"cut.{f' Sampler: {options}.' if options else ''}"
    )
    return strip(subject, title, caption, [states[i] for i in kept], [f"step {i}" for i in kept])


def strip(
    subject: Subject, title: str, caption: str, states: list[Tensor], names: list[str]
) -> Drawing:
    """Draw the states of images at several times; columns are times.

    Args:
        subject: The run.
        title: Title of the sheet.
        caption: Sentences below it; "images" becomes "points" where the data are points.
        states: Reals (N, C, H, W) at every time.
        names: Names of the times.

    Returns:
        A grid with a row per image; scatter plots where images are points of the plane.
    """
    if not subject.is_points:
        x = torch.stack([subject.model.to_pixels(state) for state in states], 1)
        return sheet_of(subject, title, caption, x.flatten(0, 1), len(states), [], names)
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
