"""What measurements are called on a dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench.records.parts import LikelihoodKind
    from genbench.records.record import Record

__all__ = ["likelihood_name", "summary"]


def summary(record: Record, plain: bool = True) -> dict[str, Any]:
    """A record's measurements under its own names: `metrics/fid`, `likelihood/kind`,
    `speed/images_per_second`, `cost/...`.

    Args:
        record: One evaluation.
        plain: It is the first of its configuration, so that its names stand alone, and every run
            has them; those of a variant are `<variant>/metrics/fid`, ... in any case.
    """
    measured: dict[str, Any] = {"status": record.status}
    for name, metric in record.metrics.items():
        measured[f"metrics/{name}"] = float(metric.value)
        if metric.error is not None:
            measured[f"metrics/{name}_error"] = float(metric.error)
    for part in ("likelihood", "speed"):
        values = vars(getattr(record, part)) if getattr(record, part) is not None else {}
        measured |= {
            f"{part}/{name}": value
            for name, value in values.items()
            if isinstance(value, str | int | float)
        }
        measured |= {
            f"{part}/terms/{name}": value for name, value in values.get("terms", {}).items()
        }
    if record.likelihood is not None:  # once more by its kind, since kinds do not share a panel
        measured[likelihood_name(record.likelihood.kind, record.likelihood.conditional)] = (
            record.likelihood.bits_per_dim
        )
    prefixes = ([""] if plain else []) + ([f"{record.variant}/"] if record.variant else [])
    found = {f"{prefix}{name}": value for prefix in prefixes for name, value in measured.items()}
    return found | {f"cost/{name}": value for name, value in vars(record.cost).items()}


def likelihood_name(kind: LikelihoodKind, conditional: bool) -> str:
    """Where `summary` has the bits/dim of a kind of likelihood: of p(x), or of p(x | y)."""
    return f"likelihood{'_given_labels' if conditional else ''}/{kind}_bits_per_dim"
