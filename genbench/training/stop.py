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
    """Turns SIGINT, SIGTERM and SIGUSR1 into a flag that the training loop reads between batches.

    Handlers never write files. A second SIGINT is a KeyboardInterrupt.

    Attributes:
        signal: The last signal that arrived; None before.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Install the signal handlers, if this is the main thread."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._handle) for number in self._SIGNALS}

    def release(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, _: Any) -> None:
        """Note a signal; the handler of all three."""
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self, trainer: Trainer) -> bool:
        """Whether any process was asked to stop.

        All processes call this at the same batch, and get the same answer.

        Args:
            trainer: Knows the processes and their devices.
        """
        asked = self.signal is not None
        if trainer.world_size == 1:
            return asked
        flag = torch.tensor(float(asked), device=trainer.strategy.root_device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag)
