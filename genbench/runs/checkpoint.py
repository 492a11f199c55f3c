"""Whether a checkpoint fits a run. The hash in its name says only that it was written whole."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from genbench.config.check import check_config
from genbench.config.config import Config
from genbench.config.keys import changes
from genbench.config.tree import set_key
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.runs.origin import Origin
from genbench.system.typed import Amount, Natural, Sha256, one_line, read_value

__all__ = ["check_checkpoint", "check_noted", "largest_count"]


@dataclass(frozen=True)
class Content:
    """What a checkpoint holds.

    Attributes:
        images_seen: Training images over all players and processes.
        model: Parameters and buffers of the model by name.
        optimizers: The state of each player's optimizer.
        ema: Moving averages of the parameters, in their order; none without a half-life.
        keeper: Seconds of training, and the sums of losses since the last line of the metrics file.
        config: `Config.decisive` of the training that wrote it.
        data_hash: Content hash of the images.
        needs: SHA-256 of the recorded weights of each needed run, by name.

    The last three are None in the checkpoints of versions that did not note them.
    """

    images_seen: Natural
    model: dict[str, Any]
    optimizers: list[dict[str, Any]]
    ema: list[Any]
    keeper: Counters
    config: dict[str, Any] | None = None
    data_hash: Sha256 | None = None
    needs: dict[str, Sha256] | None = None


@dataclass(frozen=True)
class Counters:
    """What `genbench.training.metrics_logger.MetricsLogger` counts.

    Attributes:
        seconds: Seconds of training.
        sums: Sum of each loss since the last line of the metrics file.
        counts: Number of batches in each sum.
    """

    seconds: Amount
    sums: dict[str, Any]
    counts: dict[str, Natural]


def largest_count(budget: int, batch_size: int) -> int:
    """Images seen at the end of a budget, which is rounded up to whole batches.

    Args:
        budget: Training images.
        batch_size: Images of a step over all processes.

    >>> largest_count(50, 32)
    64
    """
    return batch_size * math.ceil(budget / batch_size)


def check_checkpoint(
    state: dict[str, Any], origin: Origin, model: GenerativeModel, batch_size: int
) -> None:
    """Check structure, shapes and ranges of a checkpoint against the model and the origin of its
    run.

    Args:
        state: Content of the file.
        origin: Configuration, images and needed runs of the run.
        model: The model of the run, with any weights.
        batch_size: Images of a step over all processes.

    Raises:
        InputError: It is of another configuration, other images, another needed run or another
            model.
        ValueError: Something else is not as training writes it; the message says what.
    """
    content: Content = read_value(Content, state)
    config = origin.config
    if content.config is not None:
        _check_configuration(content.config, config)
    if content.data_hash is not None:
        _check_images(content.data_hash, origin.data_hash)
    if content.needs is not None:
        _check_needs(content.needs, origin.needed_weights)
    _check_model(content.model, model)
    end = largest_count(config.budget.images, batch_size)
    if content.images_seen > end or content.images_seen % batch_size:
        raise ValueError(
            f"images_seen is {content.images_seen}, not a multiple of {batch_size} up to {end}"
        )
    parameters = list(model.parameters())
    averages = parameters if config.optimization.ema_half_life else []
    if len(content.ema) != len(averages):
        raise ValueError(f"ema has {len(content.ema)} tensors, not {len(averages)}")
    for i, (average, parameter) in enumerate(zip(content.ema, averages, strict=True)):
        _check_tensor(average, parameter, f"ema[{i}]")
    _check_optimizers(content.optimizers, model)
    if content.keeper.sums.keys() != content.keeper.counts.keys():
        raise ValueError("keeper.sums and keeper.counts are about other losses")
    for name, value in content.keeper.sums.items():
        if not (isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point()):
            raise ValueError(f"keeper.sums.{name} is not a number")


def check_noted(content: dict[str, Any], config: Config) -> None:
    """Check that a checkpoint is of a configuration. A checkpoint of a version that noted no
    configuration passes.

    Args:
        content: Content of the file.
        config: The configuration that a run is measured by.

    Raises:
        InputError: The checkpoint is of another configuration.
        ValueError: What it notes is no configuration.
    """
    noted = read_value(dict[str, Any] | None, content.get("config"), "config")
    if noted is not None:
        _check_configuration(noted, config)


def _check_configuration(noted: dict[str, Any], config: Config) -> None:
    """Refuse weights of a configuration that differs in more than a smaller budget."""
    differences = changes(noted, config.decisive)
    if differences:
        differences = changes(_of_today(noted, config), config.decisive)
    if differences:
        text = one_line("; ".join(differences))[:500]
        raise InputError(f"of another configuration: {text}; train with that one")


def _check_images(noted: str, data_hash: str) -> None:
    """Refuse weights that were trained on other images."""
    if noted != data_hash:
        raise InputError(
            f"of other images: they had the content hash {noted[:12]}, now it is {data_hash[:12]}; "
            "restore them"
        )


def _check_needs(noted: dict[str, str], needed_weights: dict[str, str]) -> None:
    """Refuse weights that were learnt from other runs."""
    if noted.keys() != needed_weights.keys():
        raise ValueError(f"needs has {sorted(noted)}, not {sorted(needed_weights)}")
    for name in sorted(noted):
        if noted[name] != needed_weights[name]:
            raise InputError(f"of other weights of needs.{name}; restore them")


def _of_today(noted: dict[str, Any], config: Config) -> dict[str, Any]:
    """What a checkpoint notes, as a version of today would note it: arguments that came later are
    at their defaults, and former words are what they mean.
    """
    tree: dict[str, Any] = {}
    try:
        for key, value in noted.items():
            set_key(tree, key, value)
        name = str(tree.pop("name", config.name))
        return check_config(tree, name, config.trust, "the checkpoint").decisive
    except InputError:
        # It is no configuration of today; the comparison says what differs.
        return noted


def _check_model(saved: dict[str, Any], model: GenerativeModel) -> None:
    state = model.state_dict()
    same = saved.keys() == state.keys() and all(
        isinstance(saved[name], Tensor) and saved[name].shape == value.shape
        for name, value in state.items()
    )
    if not same:
        try:
            copy.deepcopy(model).load_state_dict(saved)
            message = "other names or shapes"
        except (RuntimeError, TypeError) as error:
            message = one_line(str(error))[:200]
        raise InputError(f"of another model: {message}; remove it")
    trained = {name for name, _ in model.named_parameters()}
    for name, value in state.items():
        _check_tensor(saved[name], value, f"model.{name}", finite=name in trained)


def _check_tensor(value: Any, expected: Tensor, where: str, finite: bool = True) -> None:
    """Check type, shape and dtype of a value, and whether it is finite where it must be."""
    shape = tuple(expected.shape)
    if not isinstance(value, Tensor) or (value.shape, value.dtype) != (shape, expected.dtype):
        raise ValueError(f"{where} is not a tensor {shape} of {expected.dtype}")
    if finite and not torch.isfinite(value).all():
        raise ValueError(f"{where} is not finite")


def _check_optimizers(saved: list[dict[str, Any]], model: GenerativeModel) -> None:
    """Check that the optimizers of the model take the states, and that their settings agree."""
    optimizers: list[Optimizer] = model.configure_optimizers()
    if len(saved) != len(optimizers):
        raise ValueError(f"optimizers has {len(saved)} entries, not {len(optimizers)}")
    for i, (state, optimizer) in enumerate(zip(saved, optimizers, strict=True)):
        groups = optimizer.state_dict()["param_groups"]
        try:
            optimizer.load_state_dict(copy.deepcopy(state))
        except Exception as error:  # Anything may be raised by torch or by the optimizer.
            raise ValueError(f"optimizers[{i}]: {one_line(str(error))[:200]}") from None
        for expected, group in zip(groups, state["param_groups"], strict=True):
            # The learning rate is set at every step.
            for key in sorted((expected.keys() & group.keys()) - {"lr", "params"}):
                if expected[key] != group[key]:
                    raise ValueError(
                        f"optimizers[{i}] has {key} {group[key]!r}, not {expected[key]!r}"
                    )
        for value in _tensors(state["state"]):
            if not torch.isfinite(value).all():
                raise ValueError(f"optimizers[{i}] holds what is not finite")


def _tensors(tree: Any) -> Iterable[Tensor]:
    """The tensors among the values of nested mappings."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _tensors(value)
