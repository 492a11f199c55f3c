"""Names of measurements on a dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench.records.parts import LikelihoodKind
    from genbench.records.record import Record

__all__ = ["likelihood_name", "summary"]


def summary(record: Record, plain: bool = True) -> dict[str, Any]:
    """The measurements of a record by their names on a dashboard.

    The names are `metrics/fid`, `likelihood/kind`, `speed/images_per_second`, `cost/...`. Those of
    a variant are `<variant>/metrics/fid` and so on.

    Args:
        record: One evaluation.
        plain: Whether the names without a variant are given too, as for the first evaluation of a
            configuration, so that every run has them.
    """
    measured: dict[str, Any] = {"status": record.status}
    for name, metric in record.metrics.items():
        measured[f"metrics/{name}"] = float(metric.value)
        if metric.error is not None:
            measured[f"metrics/{name}_error"] = float(metric.error)
    for part in ("likelihood", "speed"):
        measurement = getattr(record, part)
        if measurement is None:
            continue
        values = vars(measurement)
        measured |= {
            f"{part}/{name}": value
            for name, value in values.items()
            if isinstance(value, str | int | float)
        }
        measured |= {
            f"{part}/terms/{name}": value for name, value in values.get("terms", {}).items()
        }
    likelihood = record.likelihood
    if likelihood is not None:
        # The value is given once more under the name of its kind, since kinds do not share a panel.
        name = likelihood_name(likelihood.kind, likelihood.conditional)
        measured[name] = likelihood.bits_per_dim
    prefixes = []
    if plain:
        prefixes.append("")
    if record.variant:
        prefixes.append(f"{record.variant}/")
    named = {f"{prefix}{name}": value for prefix in prefixes for name, value in measured.items()}
    return named | {f"cost/{name}": value for name, value in vars(record.cost).items()}


def likelihood_name(kind: LikelihoodKind, conditional: bool) -> str:
    """The name of the bits/dim of a kind of likelihood.

    Args:
        kind: exact, bound or estimate.
        conditional: Whether it is that of p(x | y).
    """
    group = "likelihood"
    if conditional:
        group = "likelihood_given_labels"
    return f"{group}/{kind}_bits_per_dim"
