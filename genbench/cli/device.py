"""The device of a command."""

from __future__ import annotations

from genbench.errors import InputError

__all__ = ["find_device"]


def find_device(choice: str) -> str:
    """The device that --device names, after a look whether it is there.

    Args:
        choice: auto, cpu, cuda, cuda:1, ... or mps. With auto a GPU is taken where there is one.

    Raises:
        InputError: There is no such device.
    """
    import torch

    from genbench.system.processes import settle_torch

    settle_torch()
    if choice == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "cpu"
    if choice.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {choice}: auto, cpu, cuda, cuda:1, ... or mps")
    try:
        torch.empty(1, device=choice)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {choice}: {str(error).splitlines()[0]}") from None
    return choice
