"""From a finished run to figures in its folder, and beside a page where that is asked for.

Each figure is a PNG and an SVG; captions.json holds the words on it and the command that draws it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from genbench.data.containers import printable
from genbench.data.labels import label_of, label_text
from genbench.errors import InputError, nearest
from genbench.explore.figures import FIGURES, Drawing
from genbench.explore.sheet import DRAWING, render, style
from genbench.explore.subject import NotPossible, Subject
from genbench.runs.build import open_run
from genbench.runs.folder import Run
from genbench.system.files import check_target, write_atomic
from genbench.system.json_files import read_json, write_json
from genbench.system.locations import project_root
from genbench.system.typed import read_value

__all__ = ["explore"]


def explore(
    name: str | Path | Run,
    only: tuple[str, ...] = (),
    seed: int = 0,
    label: str | int | None = None,
    out: Path | None = None,
    trust: tuple[str, ...] = (),
    device: str = "cpu",
) -> Iterator[str]:
    """Draw the figures of a finished run into its folder.

    Args:
        name: The run.
        only: Names of figures; empty: all.
        seed: Seed of samples and of the choice of held-out images.
        label: Class of the samples of a model of p(x | y), and of held-out images: a name or a
            number.
        out: Folder of a page, which gets the figures as <out>/explore/<dataset>/<model>-<figure>.
        trust: Modules outside genbench that the configuration may name.
        device: Where to compute.

    Yields:
        One line per figure, made or not possible.

    Raises:
        InputError: There is no such run, figure or label.
    """
    for figure in only:
        if figure not in FIGURES:
            raise InputError(f"no figure {figure!r}; {nearest(figure, FIGURES)}")
    loaded = open_run(name, trust, device)
    number = None if label is None else label_of(loaded.data, label)
    subject = Subject(loaded, seed, number, device)
    inside = _in_checkout(loaded.run.path)
    places = [(loaded.run.path / "explore", "", inside or str(loaded.run.path.resolve()))]
    if out is not None:
        # Other people read a page. It therefore names the usual folder of such a run, and not the
        # folder on this machine.
        usual = f"runs/{loaded.data.name}/{loaded.config.name}/s{loaded.config.seed}"
        places.append(
            (out / "explore" / loaded.data.name, f"{loaded.config.name}-", inside or usual)
        )
    for folder, prefix, _ in places:
        for figure in only or FIGURES:
            for ending in ("png", "svg"):
                check_target(folder / f"{prefix}{figure}.{ending}")
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
        for folder, prefix, place in places:
            _write(
                folder, prefix + figure, png, svg, _entry(subject, figure, drawing, place, trust)
            )
        files = [str(folder / f"{prefix}{figure}.png") for folder, prefix, _ in places]
        yield from map(printable, drawing.lines)
        yield f"{figure}: {', '.join(files)} and .svg"


def _in_checkout(folder: Path) -> str | None:
    """The path of a folder from the checkout; None outside it.

    runs/ may be a link to another disk, and counts as inside.
    """
    as_named = Path(os.path.abspath(folder))  # noqa: PTH100, since resolve() follows links
    for path in (as_named, folder.resolve()):
        if path.is_relative_to(project_root()):
            return str(path.relative_to(project_root()))
    return None


def _entry(
    subject: Subject, figure: str, drawing: Drawing, run: str, trust: tuple[str, ...]
) -> dict[str, str | int]:
    """The entry of captions.json: the words of a figure, and the command that draws it."""
    config = subject.config
    arguments = [run, "--only", figure, "--seed", str(subject.seed)]
    if subject.label is not None:
        arguments += ["--label", label_text(subject.data, subject.label)]
    for module in trust:
        arguments += ["--trust", module]
    return {
        "title": drawing.title,
        "caption": drawing.caption,
        "model": config.name,
        "seed": config.seed,
        "drawing": DRAWING,
        "command": shlex.join(["genbench", "explore", *arguments]),
    }


def _write(folder: Path, stem: str, png: bytes, svg: bytes, entry: dict[str, str | int]) -> None:
    """Write a figure, and its entry into captions.json."""
    write_atomic(folder / f"{stem}.png", png)
    write_atomic(folder / f"{stem}.svg", svg)
    path = folder / "captions.json"
    try:
        captions = read_value(dict[str, dict[str, Any]], read_json(path))
    except FileNotFoundError:
        captions = {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged ({error}); remove it, and draw the figures again"
        ) from None
    write_json(path, {**captions, stem: entry})
