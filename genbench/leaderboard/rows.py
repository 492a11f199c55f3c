"""Rows of a board: the records of one configuration, their means and spreads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from genbench.errors import InputError
from genbench.leaderboard.intervals import Interval, paired, welch
from genbench.records.parts import Likelihood, LikelihoodKind, ProtocolIdentity
from genbench.records.record import Record
from genbench.system.json_files import canonical_json, digest

__all__ = ["Mark", "Row", "RowKey", "Summary", "likelihood_unit", "make_row", "mean", "row_key"]

Mark = Literal["", "best", "lead"]


@dataclass(frozen=True)
class Summary:
    """One quantity of a row over its training seeds.

    Attributes:
        values: One per run that finished, in the order of the seeds.
        error: Mean error of the single measurements, None where one is unknown.
    """

    values: tuple[float, ...]
    error: float | None = None

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over training seeds."""
        if self.n > 1:
            return stdev(self.values)
        return None

    @property
    def is_near_zero(self) -> bool:
        """Whether it is a value at or below zero, or a mean within two errors of zero: its ratios
        and relative spread are noise.
        """
        return min(self.values) <= 0 or (self.error is not None and self.mean <= 2 * self.error)

    @property
    def spread(self) -> float:
        """e of the module's docstring."""
        if self.sd is not None:
            return self.sd
        return self.error or 0.0


@dataclass(frozen=True)
class Row:
    """One model, variant, configuration and class of device over its training seeds.

    Attributes:
        label: <model>[@variant], with as much of the configuration's hash and the device as tells
            two rows apart.
        records: Sorted by seed.
    """

    label: str
    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def family(self) -> str:
        return self.first.family

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.seed for record in self.records)

    @property
    def diverged(self) -> int:
        """How many of the runs diverged."""
        return sum(record.status == "diverged" for record in self.records)

    @property
    def model_key(self) -> tuple[str, str]:
        """What was trained, whatever the options of its evaluation."""
        return self.first.model, self.first.provenance.config_hash

    def difference(self, other: Row, mine: Summary, theirs: Summary) -> Interval | None:
        """The interval of the mean of one quantity less that of another row; samplers of the same
        weights are paired by seed.
        """
        of_one_model = (
            self.model_key == other.model_key
            and self.finished == other.finished
            and mine.n == theirs.n
        )
        return (paired if of_one_model else welch)(mine.values, theirs.values)

    @property
    def finished(self) -> tuple[int, ...]:
        """Seeds of the runs that did not diverge."""
        return tuple(record.seed for record in self.records if record.status == "done")

    @property
    def conditional(self) -> bool:
        """Whether it is a model of p(x | y): given labels, in training and for its samples."""
        model = self.first.provenance.config.get("model")
        return bool(isinstance(model, dict) and model.get("conditional")) or any(
            x.conditional for x in self._likelihoods
        )

    def metric(self, name: str) -> Summary | None:
        """A metric over the seeds."""
        found = [record.metrics[name] for record in self.records if name in record.metrics]
        return _summary([(metric.value, metric.error) for metric in found])

    def nll(self, conditional: bool = False) -> Summary | None:
        """-log p(x), or -log p(x | y), in the unit of its board."""
        found = [x for x in self._likelihoods if x.conditional is conditional]
        return _summary(
            [
                (x.bits_per_dim * self._unit, None if x.stderr is None else x.stderr * self._unit)
                for x in found
            ]
        )

    @property
    def nll_repeats(self) -> tuple[int, float] | None:
        """Repeats with other noise, and the mean error over them in the unit of the board; None
        where nothing was repeated.
        """
        found = [
            (x.repeats, x.repeat_error * self._unit)
            for x in self._likelihoods
            if x.repeat_error is not None
        ]
        if found:
            return (found[0][0], fmean(error for _, error in found))
        return None

    @property
    def nll_evaluations(self) -> Summary | None:
        """Network evaluations per image behind a likelihood."""
        found = [
            x.network_evaluations for x in self._likelihoods if x.network_evaluations is not None
        ]
        if found:
            return Summary(tuple(found))
        return None

    @property
    def nll_step_error(self) -> float | None:
        """The largest move of a likelihood under finer steps, in the unit of the board; None where
        it was not measured.
        """
        return max(
            (x.step_error * self._unit for x in self._likelihoods if x.step_error is not None),
            default=None,
        )

    @property
    def kl_step_error(self) -> float | None:
        """The largest move in nats of KL(data || model) under finer steps, which is that of the
        likelihood; None without steps.
        """
        nats = math.prod(self.first.protocol.shape) * math.log(2)
        return max(
            (x.step_error * nats for x in self._likelihoods if x.step_error is not None),
            default=None,
        )

    @property
    def batches(self) -> tuple[int, int] | None:
        """Smallest and largest batch at which sampling was fastest."""
        found = [record.speed.batch for record in self.records if record.speed]
        if found:
            return (min(found), max(found))
        return None

    @property
    def evaluations_timed(self) -> int | None:
        """The fewest network evaluations of a call that speeds are extrapolated from; None where
        whole calls were timed.
        """
        speeds = [record.speed for record in self.records if record.speed]
        return min(
            (s.evaluations_timed for s in speeds if s.evaluations_timed is not None), default=None
        )

    @property
    def kind(self) -> LikelihoodKind | None:
        """What kind of number the likelihood is."""
        if self._likelihoods:
            return self._likelihoods[0].kind
        return None

    @property
    def images_per_second(self) -> Summary | None:
        return _summary(
            [(record.speed.images_per_second, None) for record in self.records if record.speed]
        )

    @property
    def latency_seconds(self) -> Summary | None:
        return _summary(
            [(record.speed.latency_seconds, None) for record in self.records if record.speed]
        )

    @property
    def network_evaluations(self) -> Summary | None:
        return _summary(
            [(record.speed.network_evaluations, None) for record in self.records if record.speed]
        )

    @property
    def peak_memory_bytes(self) -> Summary | None:
        return _summary(
            [(record.speed.peak_memory_bytes, None) for record in self.records if record.speed]
        )

    @property
    def train_seconds(self) -> Summary:
        """With those of the runs that it needed."""
        return Summary(tuple(record.seconds_in_all for record in self.records))

    @property
    def speed_device(self) -> str | None:
        """Name of the device that was timed."""
        return (
            " / ".join(sorted({record.speed.device for record in self.records if record.speed}))
            or None
        )

    @property
    def _unit(self) -> float:
        """What a bit per dimension is in the unit of the board."""
        protocol = self.first.protocol
        if likelihood_unit(protocol) == "nats":
            return math.prod(protocol.shape) * math.log(2)
        return 1.0

    @property
    def _likelihoods(self) -> list[Likelihood]:
        return [record.likelihood for record in self.records if record.likelihood]


def likelihood_unit(protocol: ProtocolIdentity) -> Literal["nats", "bits/dim"]:
    """How likelihoods are printed: nats per image of binarised data, bits per dimension of any
    other.
    """
    if protocol.levels == 2:
        return "nats"
    return "bits/dim"


RowKey = tuple[str, str, str, str, str]


def row_key(r: Record) -> RowKey:
    """What the seeds of a row share."""
    options = digest([r.sample_options, r.log_prob_options])[:6]
    return r.model, r.variant, r.provenance.config_hash, r.device_class, options


def make_row(key: RowKey, keys: list[RowKey], records: tuple[Record, ...]) -> Row:
    model, variant, config, device, options = key
    alike = [other for other in keys if other[:2] == key[:2]]
    parts = [config[:6]] if len({other[2] for other in alike}) > 1 else []
    parts += [device] if len({other[3] for other in alike}) > 1 else []
    parts += [f"options {options}"] if len({other[4] for other in alike}) > 1 else []
    label = f"{model}{'@' if variant else ''}{variant}" + (
        f" ({', '.join(parts)})" if parts else ""
    )
    _check_row(label, records)
    return Row(label, records)


def _check_row(label: str, records: tuple[Record, ...]) -> None:
    seeds = [record.seed for record in records]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"two records of {label} have the same training seed: {seeds}")
    if len({record.family for record in records}) > 1:
        raise InputError(f"records of {label} disagree about the family")
    meanings = {
        canonical_json([x.kind, x.conditional, x.dequantisation, x.options])
        for record in records
        if (x := record.likelihood)
    }
    if len(meanings) > 1:
        raise InputError(
            f"likelihoods of {label} are of different kinds or options and cannot be averaged: {sorted(meanings)}"
        )


def _summary(found: list[tuple[float, float | None]]) -> Summary | None:
    if not found:
        return None
    errors = [error for _, error in found if error is not None]
    return Summary(
        tuple(float(value) for value, _ in found),
        fmean(errors) if len(errors) == len(found) else None,
    )


def mean(row: Row, metric: str) -> float:
    summary = row.metric(metric)
    if summary:
        return summary.mean
    return math.nan
