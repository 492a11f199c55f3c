"""The figure of nearest training images, which shows whether samples are copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from genbench.config.protocol import load_protocol
from genbench.errors import InputError
from genbench.explore.drawing import Drawing
from genbench.explore.sheet import PALETTE, mosaic, panel, sheet
from genbench.explore.subject import Subject
from genbench.metrics.extractor import load_extractor
from genbench.metrics.nearest import nearest_rows

__all__ = ["feature_space", "histograms", "neighbours"]


def neighbours(subject: Subject) -> Drawing:
    """Samples and their nearest training images, by pixels and by features.

    Histograms beside them show the distances of samples, and of held-out images, to the nearest
    training image.

    Raises:
        NotPossible: Images are no pictures.
    """
    subject.need_pictures()
    x, _, _ = subject.samples
    train_images, _ = subject.data.tensors("train", subject.device)
    test, _ = subject.held_out(500)
    title = subject.title("Nearest training images", f"n = {len(x)}")
    white = subject.spec.levels - 1
    spaces = {"pixels": lambda images: images.flatten(1).double() / white}
    spaces |= feature_space(subject)
    shown = x[:: max(1, len(x) // 6)][:6]
    k = 3
    parts = [shown[:, None]]
    distances = {}
    for name, embed in spaces.items():
        references = embed(train_images).cpu()
        _, rows = nearest_rows(embed(shown).cpu(), references, k)
        parts.append(train_images[rows.to(train_images.device)])
        distances[name] = [
            nearest_rows(embed(images).cpu(), references, 1)[0][:, 0].numpy()
            for images in (x, test)
        ]
    medians = "; ".join(
        f"{name} {np.median(a):.2f} against {np.median(b):.2f}"
        for name, (a, b) in distances.items()
    )
    caption = (
        f"Samples and the {k} nearest of {len(train_images):,} training images. Median distance to the "
        "nearest, samples against "
        f"{len(test)} held-out images: {medians}. Samples much nearer than held-out images would "
        "be copies."
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
        histograms(figure, i, len(spaces), name, of_samples, of_test)
    return Drawing(figure, title, caption)


def feature_space(subject: Subject) -> dict[str, Callable[[Tensor], Tensor]]:
    """The extractor of the run's protocol by name; empty without an extractor or its weights.

    Returns:
        "features" and a function from images, integers (N, C, H, W), to features (N, F).
    """
    name = load_protocol(subject.config.resolved["protocol"] or subject.data.protocol).extractor
    if name is None:
        return {}
    try:
        extractor = load_extractor(
            name, subject.device, subject.data.spec.levels, subject.data.root
        )
    except InputError:
        return {}

    def embed(images: Tensor) -> Tensor:
        return torch.cat([extractor(part)[0] for part in images.split(512)])

    return {"features": embed}


def histograms(
    figure: Figure, i: int, n: int, name: str, of_samples: np.ndarray, of_test: np.ndarray
) -> None:
    """Draw the histograms of distances in one space, of samples and of held-out images.

    Args:
        figure: The sheet.
        i: Number of the space, from the top.
        n: Number of spaces, 1 or 2.
        name: Name of the space.
        of_samples: Distances of samples to their nearest training image.
        of_test: Distances of held-out images to their nearest training image.
    """
    bottom = 0.25
    height = 0.58
    if n > 1:
        bottom = 0.21 + (1 - i / (n - 1)) * 0.36
        height = 0.24
    axes = panel(figure, 0.56, 0.4, bottom, height)
    both = np.concatenate([of_samples, of_test])
    bins = np.linspace(both.min(), both.max() + 1e-9, 30)
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
    # The legend stands above the axes, because the lines may be anywhere inside.
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
