"""A protocol says how a model is judged. Records of different protocols never share a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from genbench.data.decoded import Split
from genbench.data.location import among_data
from genbench.errors import InputError, nearest
from genbench.records.catalogue import metrics
from genbench.rng import Rng
from genbench.system.files import NAME
from genbench.system.locations import expand_home, shipped
from genbench.system.typed import Count, Natural, Range, Text, read_yaml_as

__all__ = ["Protocol", "load_protocol", "protocol_file"]


@dataclass(frozen=True)
class Protocol:
    """How a model is judged. The samplers are no part of it: they are the evaluations of a recipe.

    Args:
        name: Name of its file.
        metrics: Names of the sample metrics. Metrics of images need an extractor, and metrics of a
            table need a known distribution.
        images: Number of generated images.
        extractor: Card in configs/features/, or None.
        split: Split of the data that is the reference.
        evaluation_seed: With a training seed it gives the seed of that training's samples, of the
            noise in log_prob and of what metrics draw.
        chunk: Images computed at once: the same arithmetic on any number of processes.
        scored_images: The likelihood is that of the first so many images of the split; null: of
            all.
        repeats: How often a likelihood that is not exact is measured with other noise.
        statistics: An .npz file of another tool with mu and sigma, in statistics/ among the data
            (or its full path), that is the reference in place of a split.
        seeds: Number of training seeds that a row needs before it is called best.
    """

    name: str
    metrics: tuple[str, ...]
    images: Annotated[Natural, Range(2)]
    extractor: Text | None = None
    split: Split = "test"
    evaluation_seed: Count = 0
    chunk: Natural = 256
    scored_images: Natural | None = None
    repeats: Natural = 1
    statistics: Text | None = None
    seeds: Natural = 1

    def seed_of(self, training_seed: int) -> int:
        """The seed by which one training is evaluated: 32 bits, a function of `evaluation_seed` and
        the training seed.

        Trainings are evaluated by seeds of their own, so that the spread over the trainings of a
        row holds the noise of sampling too. All samplers of one training share the seed: their rows
        are compared in pairs. Two models share it where their training seeds are equal. Common
        noise can only make their values move together. Welch's interval assumes independent values,
        and is then too wide rather than too narrow.
        """
        return int(
            Rng(self.evaluation_seed, [training_seed]).split("evaluation of a training").bits()
        )

    def of_training(self, training_seed: int) -> Protocol:
        """This protocol with the seed of one training, by which samples, likelihoods and metrics
        are computed.
        """
        return replace(self, evaluation_seed=self.seed_of(training_seed))

    def statistics_file(self, root: Path | None = None) -> Path:
        """Where `statistics` lies, for data of a root."""
        assert self.statistics is not None
        return among_data(Path("statistics") / expand_home(self.statistics), root)

    def __post_init__(self) -> None:
        for name in self.metrics:
            self.check_metric(name)
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"a metric is named twice in {', '.join(self.metrics)}")

    def check_metric(self, name: str) -> None:
        """Check that a metric exists, and that the protocol has what it needs.

        Raises:
            ValueError: One line that names what is missing.
        """
        known = metrics()
        if name not in known:
            raise ValueError(f"metrics has no {name!r}; {nearest(name, known)}")
        info = known[name]
        if "training images" in info.inputs and self.split == "train":
            raise ValueError(f"{name} compares with held-out images, not with the split train")
        if "extractor" in info.inputs and self.extractor is None:
            raise ValueError(f"{', '.join(self.metrics)} need an extractor")
        if self.statistics is not None and not info.needs_moments_only:
            raise ValueError(f"{name} need reference images, not their statistics alone")
        if self.images < info.images:
            raise ValueError(f"{name} needs at least {info.images} images, not {self.images}")


def protocol_file(name: str) -> Path:
    """The file of a protocol.

    Raises:
        InputError: There is none.
    """
    if name.endswith(".yaml"):
        path = expand_home(name)
        if not path.is_file():
            raise InputError(f"no protocol file {path}")
        if not NAME.fullmatch(path.stem):
            raise InputError(
                f"{path}: the name {path.stem!r} names boards; letters, digits, and . _ + - are"
                " right"
            )
        return path
    known = {path.stem: path for path in shipped("configs", "protocols").glob("*.yaml")}
    if name not in known:
        raise InputError(
            f"no protocol {name!r} in configs/protocols; {nearest(name, known)}, or a path that"
            " ends in .yaml"
        )
    return known[name]


def load_protocol(name: str) -> Protocol:
    """A protocol of configs/protocols/ by its name, or of a file by its path, which ends in .yaml.

    Raises:
        InputError: There is none of that name, or its file is not one.
    """
    path = protocol_file(name)
    return read_yaml_as(Protocol, path, name=path.stem)
