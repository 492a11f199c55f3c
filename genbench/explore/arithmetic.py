"""The figure of attribute arithmetic: an image moved towards other classes.

References:
    Radford, Metz, Chintala (2016), Unsupervised representation learning with DCGANs.
    arXiv:1511.06434
"""

from __future__ import annotations

import torch

from genbench.explore.drawing import Drawing, first_classes, sheet_of
from genbench.explore.latent import class_means
from genbench.explore.sheet import literal
from genbench.explore.subject import NotPossible, Subject

__all__ = ["arithmetic"]

# The mean latents of the classes are computed from the encodings of at most this many training
# images.
_ENCODED = 5000


def arithmetic(subject: Subject) -> Drawing:
    """Held-out images moved towards other classes.

    The latent of an image is shifted by the difference of two mean latents, those of the other class
    and of its own. A model of p(x | y) decodes the same latent with another label.

    Raises:
        NotPossible: Images are no pictures, there are no labels or no latents of reals, or a class
            has no training image.
    """
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
            "Latents keep what labels do not say: each held-out image x is encoded with its own "
            "label a and decoded with "
            "the label b above."
        )
    else:
        subject.need_reals()
        codes, code_labels = subject.data.tensors("train", subject.device)
        assert code_labels is not None
        codes = codes[:_ENCODED]
        code_labels = code_labels[:_ENCODED]
        if len(code_labels.unique()) < subject.need_labels():
            raise NotPossible("a class has no training image")
        encodings = subject.encode(codes, code_labels)
        means = class_means(encodings, code_labels, subject.need_labels())
        moved = (z[:, None] + means[target] - means[y][:, None]).flatten(0, 1)
        labels = None
        caption = (
            "Each held-out image x of class a is moved towards class b: decode(z + m_b - m_a), "
            "with m_k the mean latent of "
            f"the training images of class k (of {len(codes)} images)."
        )
    changed = subject.decode(moved, labels).unflatten(0, (len(x), classes))
    images = torch.cat((x[:, None], subject.decode(z, y)[:, None], changed), 1).flatten(0, 1)
    title = subject.title("Attribute arithmetic", f"{len(x)} images, {classes} classes")
    rows = subject.class_names(150)
    columns = subject.class_names(105)[:classes]
    # A column is as wide as an image, so that a long name goes on a line of its own.
    space = " " if max(map(len, columns)) <= 3 else "\n"
    names = ["x", "x'", *(literal(f"b ={space}{name}") for name in columns)]
    caption += first_classes(subject, "columns")
    return sheet_of(
        subject,
        title,
        caption,
        images,
        classes + 2,
        [literal(f"a = {rows[int(k)]}") for k in y],
        names,
        left=0.13,
    )
