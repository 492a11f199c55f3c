"""Figures of images alone: samples and reconstructions."""

from __future__ import annotations

import torch

from genbench.data.pairs import pairs_of_samples
from genbench.explore.drawing import Drawing, first_classes, sheet_of
from genbench.explore.sheet import literal
from genbench.explore.subject import Subject

__all__ = ["reconstructions", "samples"]


def samples(subject: Subject) -> Drawing:
    """Samples; for a model of p(x | y) one row per class, or beside y and the true image of its pair.

    Raises:
        NotPossible: Images are no pictures.
    """
    subject.need_pictures()
    x, y, columns = subject.samples
    title = subject.title("Samples", f"n = {len(x)}")
    if y is not None and subject.data.is_paired:
        shown = pairs_of_samples(subject.data, x.cpu().numpy())
        caption = (
            "Triples of an image y, an independent draw of p(x | y), not selected, and the true x"
            " of the pair, of the first test images."
        )
        names = ["y", "sample", "true x"] * (columns // 3)
        return sheet_of(subject, title, caption, torch.from_numpy(shown), columns, [], names)
    caption = "Independent draws of p(x), not selected."
    rows: list[str] = []
    if y is not None:
        caption = "Independent draws of p(x | y), not selected; each row is one class y."
        if subject.label is None:
            caption += first_classes(subject, "rows")
        names = subject.class_names()
        rows = [literal(f"y = {names[int(k)]}") for k in y[::columns]]
    return sheet_of(subject, title, caption, x, columns, rows, left=0.16)


def reconstructions(subject: Subject) -> Drawing:
    """Held-out images x above their reconstructions decode(encode(x)).

    Raises:
        NotPossible: Images are no pictures, or the model has no latents.
    """
    subject.need_pictures()
    x, y = subject.held_out(36)
    columns = min(12, len(x))
    whole_rows = len(x) // columns * columns
    x = x[:whole_rows]
    y = None if y is None else y[:whole_rows]
    back = subject.decode(subject.encode(x, y), y)
    pairs = (x.unflatten(0, (-1, columns)), back.unflatten(0, (-1, columns)))
    rows = torch.stack(pairs, 1).flatten(0, 2)
    mean_square = (x.double() - back.double()).square().mean()
    error = float(mean_square.sqrt()) / (subject.spec.levels - 1)
    title = subject.title("Reconstructions", f"n = {len(x)}")
    caption = (
        f"Held-out images x above x' = decode(encode(x)), through {subject.latent.dims} latents for"
        f" {subject.spec.dims} pixels. Root mean square error {error:.3f} of the range from black"
        " to white."
    )
    return sheet_of(subject, title, caption, rows, columns, ["x", "x'"] * (len(x) // columns))
