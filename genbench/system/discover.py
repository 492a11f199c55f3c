"""The classes that a package offers, found by reading its files: there is no registry."""

from __future__ import annotations

import ast

from genbench.system.locations import shipped

__all__ = ["leaf_classes"]


def leaf_classes(package: str, base: str) -> dict[str, str]:
    """Find the classes of a package that are derived from a base and that no other class of it is
    derived from. Nothing is imported.

    Args:
        package: A package of genbench, such as "models".
        base: Name of the base class.

    Returns:
        Class path -> first line of the documentation.
    """
    folder = shipped("genbench", package)
    entries = {}
    bases = dict[str, set[str]]()
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(("genbench", package, *path.relative_to(folder).with_suffix("").parts))
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                entries[node.name] = (
                    f"{module}.{node.name}",
                    (ast.get_docstring(node) or "").split("\n")[0],
                )
                bases[node.name] = {ast.unparse(parent) for parent in node.bases}
    derived = set[str]()
    parents = {base}
    while parents:
        parents = {name for name, named in bases.items() if named & parents}
        derived |= parents
    leaves = derived - set[str]().union(*bases.values())
    return dict(entry for name, entry in entries.items() if name in leaves)
