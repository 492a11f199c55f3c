"""The machine that a measurement is made on: the name of its processor and the memory in use."""

from __future__ import annotations

import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["cpu_name", "device_name", "reset_peak", "resident_bytes"]


def device_name(device: torch.device | str) -> str:
    """The name of a GPU; of a CPU its model and the number of threads in use."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    plural = "s" if threads > 1 else ""
    return f"{cpu_name()}, {threads} thread{plural}"


def cpu_name() -> str:
    """The model of the CPU as the system names it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    if names:
        return names[0]
    return platform.processor() or platform.machine()


def reset_peak() -> None:
    """Restart the kernel's record of this process's peak memory, where that is possible (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident_bytes() -> int:
    """Peak of the resident memory of this process, in bytes.

    It is the peak since `reset_peak`, or since the process began where that cannot be restarted.
    """
    with suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":  # macOS counts in bytes, Linux in kilobytes.
        return peak
    return 1024 * peak
