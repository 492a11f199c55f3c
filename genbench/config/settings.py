"""The settings that every configuration has besides its `data` and its `model`.

`genbench train --help` prints them, with the meanings in the docstrings below.
Progress is counted in images everywhere, so that a run means the same at any batch size and on any
number of devices.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from genbench.optimization import Optimization, require

__all__ = [
    "Budget",
    "Evaluation",
    "TrainerSettings",
    "WandbSettings",
    "argument_meanings",
    "argument_table",
]


@dataclass(frozen=True)
class Budget:
    """How much a run trains.

    Args:
        images: Training images over all players and processes; rounded up to whole batches. May be
            raised later. 0 where nothing is learnt by gradients.
    """

    images: int = 100_000

    def __post_init__(self) -> None:
        require(self.images >= 0, f"budget.images is at least 0, not {self.images}")


@dataclass(frozen=True)
class TrainerSettings:
    """Where and how a run computes. Nothing here changes what is computed, up to rounding.

    Args:
        accelerator: cuda if there is one, else cpu; others only when asked for.
        devices: Processes per node, one device each.
        num_nodes: Nodes.
        accumulate: Parts into which each process splits its share of a batch, to hold one part of
            it in memory at a time. The steps, their images and their noise stay the same.
        precision: float32, or bfloat16 inside the networks (losses and evaluation stay in float32).
        compile: Compile the networks.
        checkpoint_every: Images between checkpoints; null: a tenth of the budget.
        log_every: Images between lines of the metrics file; null: a hundredth of the budget.
        preview_every: Images between sample grids and validation losses; null: a quarter of the
            budget.
        curve_images: Samples by which the quality is measured after every eighth of the budget,
            against validation images; 0: it is not.
    """

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1
    num_nodes: int = 1
    accumulate: int = 1
    precision: Literal["fp32", "bf16-mixed"] = "fp32"
    compile: bool = False
    checkpoint_every: int | None = None
    log_every: int | None = None
    preview_every: int | None = None
    curve_images: int = 256

    def __post_init__(self) -> None:
        at_least_one = (
            "devices",
            "num_nodes",
            "accumulate",
            "checkpoint_every",
            "log_every",
            "preview_every",
        )
        for name in at_least_one:
            value = getattr(self, name)
            require(value is None or value > 0, f"trainer.{name} is at least 1, not {value}")
        images = self.curve_images
        require(
            images == 0 or images > 1,
            f"trainer.curve_images is at least 2, or 0 for no curve, not {images}",
        )


@dataclass(frozen=True)
class WandbSettings:
    """The run's page on Weights & Biases. Logging never ends a run.

    Args:
        mode: auto is online where a key is configured, else offline.
        project: Project.
        entity: Team or user; null: the default one.
        group: Runs that are averaged together; null: <dataset>/<model>, its seeds.
        tags: Further tags.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "genbench"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """How a row of the table samples and scores.

    Args:
        sample: Options of the model's `sample`.
        log_prob: Options of the model's `log_prob`.
    """

    sample: dict[str, Any] = field(default_factory=dict)
    log_prob: dict[str, Any] = field(default_factory=dict)


def argument_meanings(documented: type) -> dict[str, str]:
    """The meaning of each argument, from the Args block of a class's docstring.

    Args:
        documented: The class.

    Returns:
        One line per argument, by its name.
    """
    block = inspect.cleandoc(documented.__doc__ or "").partition("Args:\n")[2]
    meanings: dict[str, str] = {}
    indent = len(block) - len(block.lstrip(" "))
    for line in block.splitlines():
        text = line.strip()
        if not text:
            break
        if len(line) - len(line.lstrip(" ")) == indent:
            name, _, meaning = text.partition(": ")
            meanings[name] = meaning
        else:
            name = next(reversed(meanings))
            meanings[name] += f" {text}"
    return meanings


def argument_table() -> str:
    """Every key of a configuration with its default and its meaning, one line each."""
    groups = {
        "budget": Budget,
        "optimization": Optimization,
        "trainer": TrainerSettings,
        "wandb": WandbSettings,
    }
    lines = list(_FIRST_LINES)
    for group, settings in groups.items():
        for name, meaning in argument_meanings(settings).items():
            default = getattr(settings, name, [])
            if not isinstance(default, str):
                default = json.dumps(default)  # The default is written as in YAML.
            lines.append(f"{group}.{name} = {default}: {meaning}")
    lines += _LAST_LINES
    return "\n".join(f"  {line}" for line in lines)


_FIRST_LINES = (
    "seed = 0: the run's seed",
    "run_dir = runs/<dataset>/<model>/s<seed>: where everything of the run lies",
    (
        "protocol = the data set's name: configs/protocols/<protocol>.yaml, or a path that ends in "
        ".yaml, by which the run is evaluated"
    ),
    (
        "data.class_path, data.root = ~/.cache/genbench, data.batch_size (over all processes), …: "
        "a class of genbench.data"
    ),
    (
        "model.class_path, model.…: a class of genbench.models and its arguments; nets and"
        " optimizers likewise"
    ),
)
_LAST_LINES = (
    (
        "needs.<name> = none: the recipe of a run that must be finished first, such as"
        " needs.teacher; needs.<name>.…: its keys"
    ),
    (
        "evaluations.<variant>.sample, .log_prob: options by which a row of the table samples and "
        "scores"
    ),
    (
        "name = the recipe's file name: the model's name in tables; in a file also base: a recipe"
        " that it builds on"
    ),
    "smoke: overrides that shrink the run to seconds, as `--smoke` applies them",
)
