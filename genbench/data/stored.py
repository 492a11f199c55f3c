"""A data set as arrays: what it declares, how its files are decoded, and the copy that is read.

Where data lie is `genbench.data.location`, how arrays are kept `genbench.data.decoded`, what is
compared with the declaration `genbench.data.declaration`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from genbench.data.class_code import class_path
from genbench.data.declaration import check_arrays, check_declared, check_held_out, check_sizes
from genbench.data.decoded import Arrays, Card, Split, read_card, read_split, store, verified_card
from genbench.data.location import Download, data_root, has_default_root, is_read_only, private_root
from genbench.errors import InputError
from genbench.spec import Spec
from genbench.system.json_files import digest

__all__ = ["StoredImages"]

_log = logging.getLogger("genbench")


class StoredImages(LightningDataModule, ABC):
    """Integer images in three splits, decoded once.

    Attributes:
        root: Folder for source files and decoded arrays.
        name: Name of the data set, which no other has.
        spec: Shape, levels, y and looks of its images.
        sizes: Number of images for training, validation and testing; zeros where only the
            source files tell. Of data that are downloaded these are the published numbers, which
            other files in their place need not have; all other data are compared with them.
        published: Content hash of what was published under this name, if anything was.
        needs_folder: Whether there must be a folder for source files. Data that come with the
            package, or are computed, need none: without a home folder, each process decodes them
            into a temporary one of its own.
    """

    root: Path
    name: str
    spec: Spec
    sizes: tuple[int, int, int] = (0, 0, 0)
    published: str | None = None
    needs_folder = True
    _file_hashes: ClassVar[dict[str, str | None]] = {}

    @property
    def source_files(self) -> list[Path]:
        """The files that `decode` reads; none where the data comes with a package."""
        return []

    @property
    def downloads(self) -> list[Download]:
        """The files that `genbench data fetch` downloads."""
        return []

    @abstractmethod
    def decode(self) -> dict[Split, Arrays]:
        """Read the source files.

        Returns:
            For every split, integer images (N, C, H, W) and y as `spec.y` says, or None.

        Raises:
            InputError: A source file is not there, or damaged.
        """

    @property
    def source(self) -> dict[str, object]:
        """What decides the arrays, apart from the bytes of the source files and from the code: a
        plain JSON value. A class whose arguments change its images adds them here or to its name.
        """
        y = None if self.spec.y is None else asdict(self.spec.y)
        return {"name": self.name, "shape": self.spec.shape, "levels": self.spec.levels, "y": y}

    @property
    def identity(self) -> dict[str, object]:
        """What the card of the decoded copy says, and whose hash names its folder: `source`, and for
        a class outside genbench its class path with the content hashes of the files that define it.

        Raises:
            InputError: The class is defined in no file, so that an edit could not be noticed.
        """
        code = self._file_hashes
        if not code:
            return self.source
        owner = class_path(type(self))
        if None in code.values():
            raise InputError(
                f"{owner} is defined in no file, so that an edit of it could not be noticed; a "
                "class in a module is right"
            )
        return {**self.source, "class": owner, "code": code}

    def check_declared(self) -> None:
        """Check that name, spec and sizes are declared in the right form.

        Raises:
            InputError: One of them is missing or has another form.
        """
        spec = getattr(self, "spec", None)
        check_declared(class_path(type(self)), self.name, spec, self.sizes)

    @cached_property
    def folder(self) -> Path:
        """The decoded copy, which is made when it is first asked for.

        Raises:
            InputError: A source file is not there or damaged, its images are not what is declared,
                or the copy cannot be written.
            Stopped: The disk is full.
        """
        self.check_declared()
        if not self.is_decoded:
            self._store()
        return self._copy

    @property
    def is_decoded(self) -> bool:
        """Whether there is a decoded copy already."""
        return (self._copy / "card.json").exists()

    @property
    def _copy(self) -> Path:
        """The folder of the decoded copy, whether it exists yet or not."""
        if is_read_only(self.root):
            # The key holds the root, so that the copy is not mistaken for that of another root.
            key = digest([self.identity, str(self.root.resolve())])
            return self._default_root() / f"{self.name}-{key[:12]}"
        return self.root / f"{self.name}-{digest(self.identity)[:12]}"

    @classmethod
    def _default_root(cls) -> Path:
        """The folder for data where the configuration names none."""
        if cls.needs_folder or has_default_root():
            return data_root()
        return private_root()

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shape, levels, kind of y, images and y of every split, in order."""
        return self._card.hash

    @cached_property
    def _card(self) -> Card:
        """The card of the decoded copy, whose arrays have been compared with it."""
        return verified_card(self.folder, self.spec, self.identity)

    def arrays(self, split: Split) -> Arrays:
        """The arrays of a split, memory-mapped, and verified against their hash.

        Returns:
            Images, integers (N, C, H, W), and y as `spec.y` says, or None.

        Raises:
            InputError: A source file is not there, or the decoded copy is damaged.
        """
        _ = self._card  # This verifies the copy, once.
        return read_split(self.folder, self.spec, split)

    def tensors(
        self, split: Split, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor | None]:
        """The arrays of a split as tensors on a device."""
        x, y = self.arrays(split)
        images = torch.tensor(np.asarray(x), device=device)
        if y is None:
            return images, None
        return images, torch.tensor(np.asarray(y), device=device)

    def _store(self) -> None:
        """Decode the source files into their copy."""
        for path in self.source_files:
            if not path.exists():
                raise InputError(
                    f"no {path}; genbench data fetch {self.name}, or data.root: the folder that "
                    "has it"
                )
        store(self._copy, self.spec, self.identity, self._checked_arrays)
        if self.published not in (None, read_card(self._copy).hash):
            message = "%s: these are not the published images of %s, by their content hash"
            _log.warning(message, self.root, self.name)

    def _checked_arrays(self) -> dict[Split, Arrays]:
        """What `decode` gives, compared with what is declared."""
        owner = class_path(type(self))
        arrays = self.decode()
        check_arrays(owner, self.spec, arrays)
        if not self.downloads:
            check_sizes(owner, self.sizes, arrays)
        check_held_out(owner, arrays)
        return arrays
