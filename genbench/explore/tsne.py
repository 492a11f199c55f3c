"""The figure of latents in the plane.

References:
    van der Maaten, Hinton (2008), Visualizing data using t-SNE. JMLR 9
"""

from __future__ import annotations

import numpy as np

from genbench.explore.drawing import Drawing
from genbench.explore.sheet import MARKERS, OTHERS, PALETTE, literal, panel, sheet
from genbench.explore.subject import NotPossible, Subject

__all__ = ["coloured_classes", "tsne"]

# latents that are placed: t-SNE of more takes long
_PLACED = 1_000


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
    method = TSNE(random_state=subject.seed % 2**32, perplexity=perplexity, init="pca")
    place = method.fit_transform(z.double().cpu().numpy())
    title = subject.title("t-SNE of latents", f"n = {len(z):,}")
    caption = (
        f"Encodings of {len(z):,} held-out images in {subject.latent} dimensions, placed by t-SNE "
        f"(perplexity {perplexity:.0f}); labels "
        "did not take part. Neighbourhoods mean something, distances and sizes of clusters do not."
    )
    if subject.model.conditional:
        caption += " The model is given the labels, so its latents need not tell them."
    labels = np.zeros(len(z), dtype=int) if y is None else y.cpu().numpy()
    coloured, others = coloured_classes(labels)
    if others:
        share = f"the {len(coloured)} most frequent of the {len(coloured) + others} classes here"
        caption += f" In colour, {share}; the others small and light grey."
    figure = sheet(title, caption)
    axes = panel(figure, 0.07, 0.73, 0.21, 0.66)
    names = subject.class_names()
    for k, i in coloured.items():
        of_class = place[labels == k]
        name = "" if y is None else literal(f"y = {names[k]}")
        axes.scatter(
            of_class[:, 0],
            of_class[:, 1],
            s=36,
            c=PALETTE[i],
            marker=MARKERS[i],
            linewidths=0,
            alpha=0.8,
            label=name,
        )
    if others:
        rest = place[~np.isin(labels, list(coloured))]
        name = f"{others} other class{'es' * (others > 1)}"
        axes.scatter(rest[:, 0], rest[:, 1], s=20, c=OTHERS, linewidths=0, zorder=0.5, label=name)
    # distances along both axes are one measure
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="first coordinate (no unit)", ylabel="second coordinate (no unit)")
    if y is not None:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, markerscale=1.5)
    return Drawing(figure, title, caption)


def coloured_classes(labels: np.ndarray) -> tuple[dict[int, int], int]:
    """Choose the classes that get a colour and a marker of their own.

    Where all labels are below the number of colours, a label has always the same colour. Else the
    most frequent classes get one.

    Args:
        labels: int (N,).

    Returns:
        The number of the colour by class, and the number of the other classes.
    """
    if labels.max() < len(PALETTE):
        return {k: k for k in np.unique(labels).tolist()}, 0
    classes, counts = np.unique(labels, return_counts=True)
    most = sorted(classes[np.argsort(-counts, kind="stable")][: len(PALETTE)].tolist())
    return {k: i for i, k in enumerate(most)}, len(classes) - len(most)
