"""Pages that are made and not written: README, contributing, the glossary, the API by room.

mkdocs calls the functions `on_...` of this file. A room is a file at the top of genbench/ or a
folder, and has one page with every module in it: no list of modules is kept by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "genbench"
GLOSSARY = "Words of the house"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: what is read first, then the rooms of the package."""
    config.nav = [
        {"genbench": "index.md"},
        {"Extending": "extending.md"},
        {"Glossary": "glossary.md"},
        {"Contributing": "contributing.md"},
        {"API": [{name: f"api/{name}.md"} for name in rooms()]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    readme = (ROOT / "README.md").read_text()
    pages = {
        "index.md": with_known_links(readme),
        "glossary.md": with_known_links(section(readme, GLOSSARY)),
        "contributing.md": with_known_links((ROOT / "CONTRIBUTING.md").read_text()),
    }
    for name, modules in rooms().items():
        pages[f"api/{name}.md"] = api_page(name, modules)
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def rooms() -> dict[str, list[str]]:
    """The rooms of the package by name, each with its modules by dotted name."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if module != "genbench" and not is_empty(path):
            found.setdefault(parts[1], []).append(module)
    del found["__main__"]
    return found


def is_empty(path: Path) -> bool:
    """Whether a file only marks a folder as a package."""
    return path.name == "__init__.py" and len(path.read_text().splitlines()) <= 1


def api_page(name: str, modules: list[str]) -> str:
    """The page of a room: a heading, and a directive of mkdocstrings for each of its modules."""
    return "\n\n".join([f"# {name}", *(f"::: {module}" for module in modules)]) + "\n"


def section(text: str, title: str) -> str:
    """A section of a page, up to the next heading of its level."""
    body = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if body is None:
        raise ValueError(f"README.md has no section {title!r}")
    return f"# {title}\n{body[1]}"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of a written page to files that are no pages: the text stays."""
    if page.file.generated_by is None:
        return re.sub(r"\[([^\]\n]*)\]\(\.\./[^)\s]+\)", r"\1", markdown)
    return markdown


def with_known_links(text: str) -> str:
    """Links into docs/ lead to its pages; of other relative links, the text stays."""

    def link(match: re.Match[str]) -> str:
        title, target = match.groups()
        if target.startswith(("http://", "https://", "#")):
            return match[0]
        if target.startswith("docs/"):
            return f"[{title}]({target.removeprefix('docs/')})"
        if target == "CONTRIBUTING.md":
            return f"[{title}](contributing.md)"
        return title

    return re.sub(r"\[([^\]\n]*)\]\(([^)\s]+)\)", link, text)
