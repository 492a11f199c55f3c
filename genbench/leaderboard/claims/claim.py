r"""The entries of configs/claims/, one a claim.

    # configs/claims/gan-fast.yaml
    says: a GAN draws samples fast          the lecture's words, in ours
    family: gan                             row of the slide, or none
    word: sampling speed                    column of the slide, or none
    topic: generative adversarial networks  what the lecture is about
    quantity: images per second on one core
    compare:                                who is compared with whom, per data set
      digits: {subject: gan, rivals: [autoregressive, diffusion]}
    test: {class_path: genbench.leaderboard.claims.ratio.Ratio, quantity: images_per_second}
    support: ...                            one sentence each, written before looking at figures
    contradiction: ...

A subject or rival is a family, which its representative stands for, or the label of a row, such as
noise-floor. The file configs/claims.yaml names the representatives and the number of seeds.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from genbench.errors import InputError, nearest
from genbench.leaderboard.claims.claim_test import ClaimTest
from genbench.leaderboard.claims.entry import ClaimFile
from genbench.system.discover import leaf_classes
from genbench.system.locations import shipped
from genbench.system.typed import read_value, read_yaml_as

__all__ = ["Claim", "load_claims"]


@dataclass(frozen=True)
class Claim:
    """A claim of the lectures.

    Attributes:
        id: Name of its file, without .yaml.
        entry: What the file says.
        test: The test that decides.
    """

    id: str
    entry: ClaimFile
    test: ClaimTest

    @property
    def says(self) -> str:
        """The lecture's words, in ours."""
        return self.entry.says

    @property
    def family(self) -> str:
        """Row of the slide, or none."""
        return self.entry.family

    @property
    def word(self) -> str:
        """Column of the slide, or none."""
        return self.entry.word


def load_claims(folder: Path | None = None) -> list[Claim]:
    """Read all claims, sorted by name.

    Args:
        folder: Folder of their files; None: the shipped ones.

    Raises:
        InputError: One line that names the first bad file, and the key.
    """
    folder = folder or shipped("configs", "claims")
    return [read_claim(path) for path in sorted(folder.glob("*.yaml"))]


def read_claim(path: Path) -> Claim:
    """Read the claim in a file.

    Raises:
        InputError: One line that names the file and the key that is wrong.
    """
    entry = read_yaml_as(ClaimFile, path)
    try:
        test = make_test(entry.test)
        if test.compares_rows != bool(entry.compare):
            needed = "is missing" if test.compares_rows else "is not for this test"
            raise ValueError(f"compare {needed}")
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return Claim(path.stem, entry, test)


@cache
def test_classes() -> dict[str, str]:
    """The class paths of all tests, with the first line of their documentation."""
    return leaf_classes("leaderboard", "ClaimTest")


def make_test(node: dict[str, Any]) -> ClaimTest:
    """The test that an entry names.

    Args:
        node: class_path, and the arguments beside it.

    Raises:
        ValueError: There is no such test, or it does not take these arguments.
    """
    known = test_classes()
    class_path = node.get("class_path")
    if class_path not in known:
        raise ValueError(f"test.class_path is {class_path!r}; {nearest(str(class_path), known)}")
    module, _, name = str(class_path).rpartition(".")
    arguments = {key: value for key, value in node.items() if key != "class_path"}
    test: ClaimTest = read_value(getattr(importlib.import_module(module), name), arguments, "test")
    return test
