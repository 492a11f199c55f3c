"""genbench: seven families of deep generative models, one harness, one measured table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench.runs.build import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Importing torch and lightning takes seconds, so they are imported only when a model is asked
    # for.
    if name == "load":
        from genbench.runs.build import load

        return load
    raise AttributeError(f"module 'genbench' has no attribute {name!r}")
