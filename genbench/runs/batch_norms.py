"""A check that refuses batch normalisation where nothing estimates its statistics.

`genbench.nets.norm.BatchNorm` evaluates by statistics that a model's `finalize` fills in; a model
that does so `gathers_batch`, and the trainer knows it. In another model the layer would evaluate
by the mean 0 and the variance 1 that it began with. PyTorch's own layers keep averages on the side,
which belong to no weights in particular and differ between processes.
"""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.nets.norm import BatchNorm

__all__ = ["check_batch_norms"]


def check_batch_norms(model: GenerativeModel) -> None:
    """Check that batch normalisation stands only where its statistics are estimated.

    Raises:
        InputError: It stands elsewhere; the line names the layer.
    """
    for name, module in model.named_modules():
        layer = f"{type(model).__name__}: {name} is a {type(module).__name__}"
        if isinstance(module, _BatchNorm):
            raise InputError(
                f"{layer} of torch, which keeps averages that differ between processes; right is a"
                " GroupNorm or LayerNorm, or genbench.nets.norm.BatchNorm in a model that"
                " calibrates it"
            )
        if isinstance(module, BatchNorm) and not model.gathers_batch:
            raise InputError(
                f"{layer}, and the model never estimates the statistics that it evaluates by; "
                "right is norm 'group' or 'none'"
            )
