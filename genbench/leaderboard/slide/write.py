"""The slide alone, as a file for somebody's own lecture: `genbench table --slide`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genbench.errors import InputError, nearest
from genbench.leaderboard.claims import verdicts
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.slide.grid import Slide, make_slide
from genbench.leaderboard.slide.html import slide_datasets
from genbench.leaderboard.slide.latex_frame import slide_latex
from genbench.leaderboard.slide.plan import slide_plan
from genbench.leaderboard.slide.png import slide_png
from genbench.leaderboard.slide.powerpoint import slide_pptx
from genbench.leaderboard.slide.svg import slide_svg
from genbench.system.files import write_atomic

__all__ = ["SLIDE_FORMATS", "slide_of", "write_slide"]

SLIDE_FORMATS: dict[str, Callable[[Slide], str | bytes]] = {
    "svg": slide_svg,
    "png": slide_png,
    "pptx": slide_pptx,
    "latex": slide_latex,
}


def slide_of(out: Path, dataset: str | None = None) -> Slide:
    """The slide of a leaderboard's folder.

    Args:
        out: Folder with records/.
        dataset: The data set; None: the one on which most families of the slide were measured.

    Raises:
        InputError: A record is bad, or no family of the slide was measured on the data set.
    """
    boards = load_boards(out)
    known = slide_datasets(boards)
    if not known:
        raise InputError(
            f"{out / 'records'} has no row that configs/claims.yaml lets stand for a family"
        )
    if dataset is None:
        dataset = known[0]
    if dataset not in known:
        raise InputError(
            f"no family of the slide was measured on {dataset!r}; {nearest(dataset, known)}"
        )
    return make_slide(slide_plan(), verdicts(out), boards, dataset)


def write_slide(out: Path, path: Path | None, format: str, dataset: str | None = None) -> Path:
    """Write the slide into a file.

    Args:
        out: Folder with records/.
        path: The file; None: slide.svg, .png, .pptx or .tex in the working folder.
        format: A format of `SLIDE_FORMATS`.
        dataset: The data set; None: the one on which most families of the slide were measured.

    Returns:
        The file.

    Raises:
        InputError: A record is bad, or the format is not one of a slide, or needs a package that is
            not installed; nothing is written.
    """
    if format not in SLIDE_FORMATS:
        raise InputError(f"a slide has no format {format!r}; {nearest(format, SLIDE_FORMATS)}")
    if path is None:
        path = Path("slide.tex" if format == "latex" else f"slide.{format}")
    write_atomic(path, SLIDE_FORMATS[format](slide_of(out, dataset)))
    return path
