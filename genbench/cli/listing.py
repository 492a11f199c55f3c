"""What `genbench list` prints: models with their papers, recipes, suites, and runs with their
state. No model is imported.
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genbench.cluster.queue import Job, jobs
from genbench.config.find import configs
from genbench.errors import GenbenchError
from genbench.runs.find import find_runs
from genbench.system.discover import leaf_classes
from genbench.system.locations import project_root, shipped
from genbench.system.lock import in_use

__all__ = ["Paper", "class_lines", "lines", "papers"]

_WIDTH = 100

# An entry of a section References begins like this: authors (year), title. place of publication.
_REFERENCE = re.compile(
    r"(?P<authors>[^()]+) \((?P<year>\d{4})\), (?P<title>.+?)(?:\.|(?<=\?)) (?:arXiv:(?P<arxiv>[\d.]+\d))?"
)


class Paper(NamedTuple):
    """A model and the paper that it comes from: the first of the References in the docstring of its
    file.

    Attributes:
        class_path: Class of the model.
        authors: Last names, with commas between them.
        title: Title of the paper.
        year: Year of the paper.
        arxiv: Its number at arXiv; empty where it has none.
    """

    class_path: str
    authors: str
    title: str
    year: str
    arxiv: str

    @property
    def model(self) -> str:
        """Name of the class."""
        return self.class_path.rpartition(".")[2]

    @property
    def family(self) -> str:
        """Name of the folder of the family in genbench/models."""
        return self.class_path.split(".")[2]


def papers() -> list[Paper]:
    """Every model of genbench, sorted by year."""
    entries = []
    for class_path in leaf_classes("models", "GenerativeModel"):
        module = class_path.rpartition(".")[0]
        path = shipped(*module.split(".")).with_suffix(".py")
        reference = first_reference(ast.get_docstring(ast.parse(path.read_text())) or "")
        entries.append(Paper(class_path, *reference))
    return sorted(entries, key=lambda paper: (paper.year, paper.model))


def first_reference(docstring: str) -> tuple[str, str, str, str]:
    """Authors, title, year and arXiv number of the first entry of a section References; empty texts
    without one.
    """
    _, _, section = docstring.partition("References:\n")
    entry = _REFERENCE.match(" ".join(section.split()) + " ")
    if entry:
        return (entry["authors"], entry["title"], entry["year"], entry["arxiv"] or "")
    return ("", "", "", "")


def lines() -> Iterator[str]:
    """Models, recipes, suites and runs, each section under a line that names the command that takes
    its names.
    """
    yield "models (genbench list --classes: class paths of models, data sets and networks):"
    yield f"  {'model':<17} {'family':<15} {'year':<5} paper"
    for paper in papers():
        reference = textwrap.shorten(
            f"{short(paper.authors)}: {paper.title}", _WIDTH - 42, placeholder=" ..."
        )
        yield f"  {paper.model:<17} {paper.family:<15} {paper.year:<5} {reference}".rstrip()
    yield "configurations (genbench train -c DATA/NAME):"
    recipes = defaultdict(list)
    for name in configs():
        data, _, recipe = name.partition("/")
        recipes[data].append(recipe)
    for data, names in recipes.items():
        yield from folded(f"{data}/", names)
    yield "suites (genbench bench NAME):"
    yield from folded("", sorted(path.stem for path in shipped("configs", "suites").glob("*.yaml")))
    yield "runs:"
    runs = list(run_lines(project_root() / "runs"))
    yield from runs or ["  none yet"]


def class_lines() -> Iterator[str]:
    """Class paths with the first line of their documentation, as a configuration names them."""
    for title, package, base in (
        ("models", "models", "GenerativeModel"),
        ("data", "data", "ImageData"),
        ("networks", "nets", "Net"),
        ("bijections", "nets", "Bijection"),
        ("games", "models", "Game"),
        ("schedules of noise", "formulas", "Schedule"),
        ("samplers", "formulas", "Sampler"),
        ("learning-rate schedules", "formulas", "LearningRateSchedule"),
    ):
        yield f"{title}:"
        for path, summary in leaf_classes(package, base).items():
            yield f"  {path:<58} {summary}"


def short(authors: str) -> str:
    """One or two authors, or the first one and the others."""
    names = authors.split(", ")
    if len(names) < 3:
        return " and ".join(names)
    return f"{names[0]} et al."


def folded(head: str, names: list[str]) -> list[str]:
    """Names in as few lines as possible, to the right of a head.

    Args:
        head: Stands left of the first line; empty: the names are indented.
        names: The names.
    """
    begin = f"  {head:<17} " if head else "  "
    return textwrap.wrap(
        "  ".join(names),
        _WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_on_hyphens=False,
        break_long_words=False,
    )


def run_lines(folder: Path) -> Iterator[str]:
    """A line about every run below a folder, and about those that wait in the queue of a cluster."""
    submitted: dict[str, Job] = {}
    try:
        submitted = {job.run_dir: job for job in jobs(folder)}
    except GenbenchError as error:
        yield f"  submitted runs are not shown: {error}"
    for run in find_runs(folder):
        try:
            state = run.state()
            job = submitted.pop(str(run.path), None)
            status = (
                "stopped"
                if state["status"] == "running" and not in_use(run.path)
                else state["status"]
            )
            images = state["images_seen"] + state["finalize_images"]
            line = (
                f"{job.state if job else status:<9} {images:>12,} images {state['seconds']:>8.0f} s"
            )
            line += f"  {job.line}" if job and job.state == "failed" else ""
        except (GenbenchError, KeyError):
            line = "damaged state.json"
        yield f"  {run.path.relative_to(project_root())!s:<44} {line}"
    # These runs have not begun.
    for job in submitted.values():
        yield (
            f"  {os.path.relpath(job.run_dir, project_root()):<44} {job.state:<9} {job.line}".rstrip()
        )
