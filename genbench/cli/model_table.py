"""The README's tables of models, written from the classes and the recipes: `make figures`.

Between the two comments `<!-- models -->` and `<!-- /models -->` stand two tables: every model with
its family, its paper, what it can answer and its recipes; and the parts that recipes give to models
and that have papers of their own. What a model can answer is read from its class: a capability is
offered where the class has all members of its protocol (`genbench.capabilities.class_offers`).
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from genbench import capabilities
from genbench.cli.listing import first_reference, papers, short
from genbench.config.find import configs, find_config
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.spec import Image, Labels, Tokens
from genbench.system.files import write_atomic
from genbench.system.locations import project_root
from genbench.system.yaml12 import load_yaml

__all__ = ["readme_with_models", "tables"]

OPEN = "<!-- models -->"
CLOSE = "<!-- /models -->"
_BLOCK = re.compile(f"{OPEN}.*?{CLOSE}", re.DOTALL)

_SIGNS = {"exact": "log p exact", "bound": "bound of log p", "estimate": "estimate of log p"}
_CAPABILITIES = {
    "encode": capabilities.Encodes,
    "decode": capabilities.Decodes,
    "completions": capabilities.Completes,
    "codes": capabilities.Tokenizes,
    "steps of sampling": capabilities.HasTrajectory,
    "denoising": capabilities.Denoises,
    "classes": capabilities.Classifies,
    "energy": capabilities.HasEnergy,
}
_CONDITIONS = {Labels: "labels", Image: "images", Tokens: "texts"}
# A class names an author like this: "(Mao et al., equation 2)".
_CITED = re.compile(r"\(([A-Z]\w+)[^()]*?, (?:equation|section|eq\.)")
_ENTRY = re.compile(r"([A-Z][^():]*? \(\d{4}\), .+?\. arXiv:[\d.]+\d)")


class Recipe(NamedTuple):
    """A shipped recipe.

    Attributes:
        name: <dataset>/<model>.
        model: Its group `model`, in plain values.
    """

    name: str
    model: dict[str, Any]

    @property
    def link(self) -> str:
        """Its name as a link to its file."""
        return f"[{self.name.partition('/')[2]}](configs/{self.name}.yaml)"


def recipes() -> list[Recipe]:
    """One shipped recipe of every name: that of the smallest images, where several data sets have
    one. Names that end in -small are those of the same models with smaller budgets.
    """
    chosen: dict[str, Recipe] = {}
    order = {"digits": 0, "digits-binary": 1, "digits-halves": 1, "points2d": 2, "grammar": 2}
    for name in sorted(configs(), key=lambda name: order.get(name.partition("/")[0], 3)):
        model = name.partition("/")[2]
        if not model.endswith("-small"):
            chosen.setdefault(model, Recipe(name, model_group(name)))
    return sorted(chosen.values(), key=lambda recipe: recipe.name.partition("/")[2])


def model_group(name: str) -> dict[str, Any]:
    """The group `model` of a recipe. A recipe that builds on another is resolved first."""
    tree = load_yaml(find_config(name))
    if "base" in tree:
        tree = load_config(name).resolved
    return dict(tree["model"])


def tables() -> str:
    """Both tables, in Markdown."""
    known = recipes()
    lines = ["| family | model | paper | answers | recipes |", "| --- | --- | --- | --- | --- |"]
    for paper in papers():
        links = [recipe.link for recipe in known if recipe.model["class_path"] == paper.class_path]
        answers = ", ".join(answers_of(class_at(paper.class_path)))
        cells = [
            paper.family.replace("_", " "),
            f"`{paper.model}`",
            paper_text(paper.authors, paper.year, paper.arxiv),
            answers,
            ", ".join(links) or "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Networks, bijections and games that have papers of their own:", ""]
    lines += ["| part | paper | recipes |", "| --- | --- | --- |"]
    for class_path, links in parts(known).items():
        reference = reference_of(class_at(class_path))
        name = class_path.rpartition(".")[2]
        lines.append(f"| `{name}` | {paper_text(*reference)} | {', '.join(links)} |")
    return "\n".join(lines)


def class_at(class_path: str) -> type:
    """The class of a class path."""
    module, _, name = class_path.rpartition(".")
    kind: type = getattr(importlib.import_module(module), name)
    return kind


def answers_of(model: type) -> Iterator[str]:
    """What a model can answer, in words.

    Args:
        model: Class of a model.
    """
    yield "samples"
    kind = getattr(model, "likelihood", None)
    if kind is not None:
        yield _SIGNS[kind]
    for word, capability in _CAPABILITIES.items():
        if capabilities.class_offers(model, capability):
            yield word
    conditions = getattr(model, "conditions", ())
    arguments = " or ".join(_CONDITIONS[kind] for kind in conditions)
    if "conditional" in inspect.signature(model).parameters or Labels not in conditions:
        yield f"given {arguments}"


def parts(known: list[Recipe]) -> dict[str, list[str]]:
    """Class paths of the parts with papers of their own, each with links to its recipes.

    Args:
        known: The recipes.
    """
    links = defaultdict[str, list[str]](list)
    for recipe in known:
        own = reference_of(class_at(recipe.model["class_path"]))
        for part in recipe.model.values():
            path = part.get("class_path", "") if isinstance(part, dict) else ""
            if path.startswith(("genbench.nets.", "genbench.models.")):
                reference = reference_of(class_at(path))
                if reference not in (own, ("", "", "")) and recipe.link not in links[path]:
                    links[path].append(recipe.link)
    named = {path: names for path, names in links.items() if names}
    return dict(sorted(named.items(), key=lambda item: reference_of(class_at(item[0]))[1]))


def reference_of(kind: type) -> tuple[str, str, str]:
    """Authors, year and arXiv number of the paper of a class: the one that its docstring cites, else
    the first of its module.

    Args:
        kind: A class.
    """
    section = inspect.getdoc(sys.modules[kind.__module__]) or ""
    for ancestor in kind.__mro__:
        cited = _CITED.search(ancestor.__doc__ or "")
        if ancestor.__module__ == kind.__module__ and cited:
            entries = _ENTRY.findall(" ".join(section.partition("References:\n")[2].split()))
            for entry in entries:
                if entry.startswith(cited[1]):
                    section = f"References:\n{entry}"
            break
    authors, _, year, arxiv = first_reference(section)
    return authors, year, arxiv


def paper_text(authors: str, year: str, arxiv: str) -> str:
    """A paper in a cell, linked where it is at arXiv."""
    if arxiv:
        return f"[{short(authors)} {year}](https://arxiv.org/abs/{arxiv})"
    return f"{short(authors)} {year}"


def readme_with_models(text: str) -> str:
    """The README with its tables of models.

    Args:
        text: The README.

    Raises:
        InputError: It has no place for them.
    """
    written = tables()
    text, count = _BLOCK.subn(lambda _: f"{OPEN}\n{written}\n{CLOSE}", text)
    if count != 1:
        raise InputError(f"README.md has {count} places between {OPEN} and {CLOSE}; right is one")
    return text


def rewrite_readme(root: Path) -> None:
    """Write the tables into <root>/README.md.

    Args:
        root: Folder of the project.
    """
    path = root / "README.md"
    write_atomic(path, readme_with_models(path.read_text()))


if __name__ == "__main__":
    rewrite_readme(project_root())
    sys.stdout.write("README.md\n")
