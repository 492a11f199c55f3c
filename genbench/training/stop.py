"""Signals that ask a training to stop."""

from __future__ import annotations

import signal
import threading
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import distributed

__all__ = ["StopRequest"]


class StopRequest:
    """A signal asks, the loop obeys at the next batch: nothing is ever saved inside a handler."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """From here on."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._handle) for number in self._SIGNALS}

    def release(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, _: Any) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self, trainer: Trainer) -> bool:
        """Whether any process was asked to stop; a collective decision."""
        asked = self.signal is not None
        if trainer.world_size == 1:
            return asked
        flag = torch.tensor(float(asked), device=trainer.strategy.root_device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag)
