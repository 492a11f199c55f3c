"""Reduced precision and compilation of the networks of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from genbench.config.settings import TrainerSettings
from genbench.model import GenerativeModel
from genbench.nets.net import Net

__all__ = ["prepare_nets"]


def prepare_nets(model: GenerativeModel, settings: TrainerSettings) -> None:
    """Set the precision of a model's networks, and compile them, as the settings say.

    This concerns the networks alone: losses and log-determinants stay in float32, uncompiled.

    Args:
        model: The model; its networks change in place.
        settings: `precision` and `compile` are read.
    """
    for net in _outermost_nets(model):
        if settings.precision == "bf16-mixed":
            _autocast_in_training(net)
        if settings.compile:
            net.compile()


def _outermost_nets(module: nn.Module) -> Iterator[Net]:
    """The networks of a module that are not parts of other networks."""
    for child in module.children():
        if isinstance(child, Net):
            yield child
        else:
            yield from _outermost_nets(child)


def _autocast_in_training(net: Net) -> None:
    """Let a network compute in bfloat16 in training mode, with float32 outputs."""
    forward = net.forward

    def in_bf16(x: Tensor, *args: Any) -> Tensor:
        if not net.training:
            return forward(x, *args)
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return forward(x, *args).float()

    net.forward = in_bf16  # type: ignore[assignment, method-assign]
