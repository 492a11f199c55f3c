"""The figure of two latents: encodings of held-out images, and draws of the prior."""

from __future__ import annotations

from genbench.explore.drawing import Drawing
from genbench.explore.scatter import draw_by_label
from genbench.explore.subject import NotPossible, Subject

__all__ = ["encodings"]


def encodings(subject: Subject) -> Drawing:
    """Encodings of held-out images in the plane of two latents, by label, over draws of the prior.

    Raises:
        NotPossible: The model has no two latents of reals, or does not encode.
    """
    prior = subject.need_reals()
    if subject.latent.dims != 2:
        raise NotPossible(f"{subject.latent.dims} latents are no plane; see tsne")
    z, y = subject.encodings
    draws = subject.latent.draw(subject.rng(len(z), "encodings")).flatten(1).cpu().numpy()
    title = subject.title("Encodings", f"n = {len(z):,}")
    caption = (
        f"Encodings of {len(z):,} held-out images, by label, over as many draws of the prior of"
        f" each latent, {prior.name}, in grey. What the decoder makes of draws far from every"
        " encoding is a guess."
    )
    names = ("first latent $z_1$", "second latent $z_2$")
    return draw_by_label(subject, title, caption, z.double().cpu().numpy(), y, names, draws)
