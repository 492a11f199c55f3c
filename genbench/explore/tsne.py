"""The figure of latents in the plane.

References:
    van der Maaten, Hinton (2008), Visualizing data using t-SNE. JMLR 9
"""

from __future__ import annotations

from genbench.explore.drawing import Drawing
from genbench.explore.scatter import draw_by_label
from genbench.explore.subject import NotPossible, Subject
from genbench.formulas.priors import Codes

__all__ = ["tsne"]

# At most this many latents are placed, because t-SNE of more takes long.
_PLACED = 1_000


def tsne(subject: Subject) -> Drawing:
    """t-SNE of the latents of held-out images, by label.

    Raises:
        NotPossible: The model has no latents, at most two or discrete ones, or there are fewer than
            10 held-out images.
    """
    from sklearn.manifold import TSNE

    if isinstance(subject.latent.prior, Codes):
        raise NotPossible("codes have no distances")
    if subject.latent.dims < 3:
        raise NotPossible(f"{subject.latent.dims} latents need no t-SNE")
    z, y = subject.encodings
    z = z[:_PLACED]
    y = y[:_PLACED] if y is not None and subject.spec.classes else None
    if len(z) < 10:
        raise NotPossible(f"only {len(z)} held-out images")
    perplexity = min(30.0, (len(z) - 1) / 3)
    method = TSNE(random_state=subject.seed % 2**32, perplexity=perplexity, init="pca")
    place = method.fit_transform(z.double().cpu().numpy())
    title = subject.title("t-SNE of latents", f"n = {len(z):,}")
    caption = (
        f"Encodings of {len(z):,} held-out images in {subject.latent.dims} dimensions, placed by"
        f" t-SNE (perplexity {perplexity:.0f}); labels did not take part. Neighbourhoods mean"
        " something, distances and sizes of clusters do not."
    )
    names = ("first coordinate (no unit)", "second coordinate (no unit)")
    return draw_by_label(subject, title, caption, place, y, names)
