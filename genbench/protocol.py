"""A protocol says how a model is judged. Records of different protocols never share a table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from genbench.config import load_yaml
from genbench.data.images import Split
from genbench.errors import InputError, nearest
from genbench.files import project_root

__all__ = ["Protocol", "load_protocol"]

IMAGE_METRICS = ("fid", "is", "kid", "precision", "recall", "density", "coverage")
TABLE_METRICS = ("energy_distance", "modes_covered", "high_quality", "kl")


@dataclass(frozen=True)
class Protocol:
    """How a model is judged.

    Args:
        name: Name of its file in configs/protocols/.
        metrics: Which sample metrics; those of images need an extractor, those of a table a known distribution.
        images: Number of generated images.
        extractor: Card in configs/features/, or None.
        split: What is the reference.
        evaluation_seed: Seed of samples and of the noise in log_prob.
        chunk: Images computed at once: the same arithmetic on any number of processes.
        scored_images: The likelihood is that of the first so many images of the split; null: of all.
    """

    name: str
    metrics: tuple[str, ...]
    images: int
    extractor: str | None = None
    split: Split = "test"
    evaluation_seed: int = 0
    chunk: int = 256
    scored_images: int | None = None

    def __post_init__(self) -> None:
        for metric in self.metrics:
            if metric not in IMAGE_METRICS + TABLE_METRICS:
                raise InputError(
                    f"protocol {self.name}: no metric {metric!r}; {nearest(metric, IMAGE_METRICS + TABLE_METRICS)}"
                )
        if any(metric in IMAGE_METRICS for metric in self.metrics) and self.extractor is None:
            raise InputError(f"protocol {self.name}: {', '.join(self.metrics)} need an extractor")
        if self.images < 2 or self.chunk < 1 or (self.scored_images is not None and self.scored_images < 1):
            raise InputError(f"protocol {self.name}: images is at least 2, chunk and scored_images at least 1")


def load_protocol(name: str) -> Protocol:
    """A protocol of configs/protocols/.

    Raises:
        InputError: There is none of that name, or its file is not one.
    """
    folder = project_root() / "configs" / "protocols"
    known = {path.stem: path for path in folder.glob("*.yaml")}
    if name not in known:
        raise InputError(f"no protocol {name!r} in configs/protocols; {nearest(name, known)}")
    tree: dict[str, Any] = load_yaml(known[name])
    right = [field.name for field in fields(Protocol) if field.name != "name"]
    for key in tree:
        if key not in right:
            raise InputError(f"{known[name]}: unknown key {key}; {nearest(key, right)}")
    kinds: dict[str, type] = {"images": int, "chunk": int, "evaluation_seed": int, "scored_images": int, "metrics": list}
    for key, value in tree.items():
        if value is not None and not isinstance(value, kinds.get(key, str)):
            raise InputError(
                f"{known[name]}: {key} is {value!r}; right is {'a list' if key == 'metrics' else 'a whole number'}"
            )
    return Protocol(name, **{**tree, "metrics": tuple(tree.get("metrics", ()))})
