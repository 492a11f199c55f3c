"""The metrics that a protocol asks for, each by the function of its own file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module

from genbench.errors import InputError, nearest
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples
from genbench.records.catalogue import metrics

__all__ = ["measure", "measure_of"]


def measure(samples: Samples, names: Sequence[str]) -> dict[str, Estimate]:
    """Metrics of samples. Only those that are asked for are computed.

    Args:
        samples: Generated images and what they are compared with.
        names: Names of metrics in the catalogue.

    Returns:
        For each name the value and its standard error.

    Raises:
        InputError: A metric is unknown or lacks what it needs; a feature is not finite; a value is
            outside the range of its metric.
    """
    functions = {name: measure_of(name) for name in names}
    return {name: checked(name, function(samples)) for name, function in functions.items()}


def checked(name: str, estimate: Estimate) -> Estimate:
    """A measured value that lies in the range of its metric.

    Raises:
        InputError: The value is outside this range, or is no finite number.
    """
    value = estimate[0]
    info = metrics()[name]
    if not math.isfinite(value) or value not in info.range:
        function = f"measure_{name} of genbench/metrics/{info.module}.py"
        raise InputError(f"{function} gave {value}: {info.title} is {info.range}")
    return estimate


def measure_of(name: str) -> Callable[[Samples], Estimate]:
    """The function that measures a metric: `measure_<name>` of the file that declares it.

    Raises:
        InputError: No file declares the metric, or the one that does cannot measure it.
    """
    known = metrics()
    if name not in known:
        raise InputError(f"no sample metric {name!r}; {nearest(name, known)}")
    module = import_module(f"genbench.metrics.{known[name].module}")
    if not hasattr(module, f"measure_{name}"):
        raise InputError(f"{module.__file__} declares {name} and has no function measure_{name}")
    function: Callable[[Samples], Estimate] = getattr(module, f"measure_{name}")
    return function
