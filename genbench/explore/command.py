"""From a run folder to figures in it, and beside the page where asked: PNG, SVG, and captions.json with the words and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from genbench.errors import InputError, nearest
from genbench.explore.figures import FIGURES, Drawing
from genbench.explore.sheet import render, style
from genbench.explore.subject import NotPossible, Subject
from genbench.files import write_atomic, write_json
from genbench.run import Run, open_run

__all__ = ["explore"]


def explore(
    name: str | Path | Run,
    only: tuple[str, ...] = (),
    seed: int = 0,
    label: int | None = None,
    out: Path | None = None,
    trust: tuple[str, ...] = (),
    device: str = "cpu",
) -> Iterator[str]:
    """Draw the figures of a finished run into its folder; yields one line per figure, made or not possible.

    Args:
        name: The run.
        only: Names of figures; none means all.
        seed: Of samples and of the choice of held-out images.
        label: Class of the samples of a model of p(x | y), and of held-out images.
        out: Folder of a page, which gets the figures as <out>/explore/<dataset>/<model>-<figure>.
        trust: Modules outside genbench that the configuration may name.
        device: Where to compute.

    Raises:
        InputError: No such run, figure or label.
    """
    for figure in only:
        if figure not in FIGURES:
            raise InputError(f"no figure {figure!r}; {nearest(figure, FIGURES)}")
    loaded = open_run(name, trust, device)
    subject = Subject(loaded, seed, label, device)
    places = [(loaded.run.path / "explore", "")]
    if out is not None:
        places.append((out / "explore" / loaded.data.name, f"{loaded.config.name}-"))
    for figure in only or FIGURES:
        try:
            with torch.no_grad(), style():
                drawing = FIGURES[figure](subject)
                png, svg = render(drawing.figure)
        except (TypeError, ValueError) as error:
            raise InputError(f"{figure}: {error}") from None
        except NotPossible as reason:
            yield f"{figure}: not possible: {reason}"
            continue
        entry = _entry(subject, figure, drawing)
        for folder, prefix in places:
            _write(folder, prefix + figure, png, svg, entry)
        yield f"{figure}: {', '.join(str(folder / f'{prefix}{figure}.png') for folder, prefix in places)} and .svg"


def _entry(subject: Subject, figure: str, drawing: Drawing) -> dict[str, str | int]:
    """The words of captions.json."""
    config = subject.config
    label = "" if subject.label is None else f" --label {subject.label}"
    run = f"runs/{subject.data.name}/{config.name}/s{config.seed}"
    return {
        "title": drawing.title,
        "caption": drawing.caption,
        "model": config.name,
        "seed": config.seed,
        "command": f"genbench explore {run} --only {figure} --seed {subject.seed}{label}",
    }


def _write(folder: Path, stem: str, png: bytes, svg: bytes, entry: dict[str, str | int]) -> None:
    write_atomic(folder / f"{stem}.png", png)
    write_atomic(folder / f"{stem}.svg", svg)
    path = folder / "captions.json"
    try:
        captions = json.loads(path.read_text()) if path.exists() else {}
        captions[stem] = entry
    except (ValueError, TypeError):
        raise InputError(f"{path} is damaged; remove it, and draw the figures again") from None
    write_json(path, captions)
