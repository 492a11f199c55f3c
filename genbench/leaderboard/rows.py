"""Rows of a board: the records of one configuration, their means and spreads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from genbench.errors import InputError
from genbench.leaderboard.intervals import Interval, paired, welch
from genbench.leaderboard.summary import Summary, summarise
from genbench.records.parts import Likelihood, LikelihoodKind, ProtocolIdentity, Speed
from genbench.records.record import Record
from genbench.system.json_files import canonical_json, digest

__all__ = ["Mark", "Row", "RowKey", "likelihood_unit", "make_row", "row_key"]

Mark = Literal["", "best", "lead"]


@dataclass(frozen=True)
class Row:
    """One model, variant, configuration and class of device over its training seeds.

    Attributes:
        label: <model>[@variant], with as much of the configuration's hash and the device as tells
            two rows apart.
        records: One per training seed, sorted by seed.
    """

    label: str
    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The record of the smallest seed, for what all records of the row share."""
        return self.records[0]

    @property
    def family(self) -> str:
        """Family of the model."""
        return self.first.family

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds of all runs."""
        return tuple(record.seed for record in self.records)

    @property
    def finished(self) -> tuple[int, ...]:
        """Training seeds of the runs that did not diverge."""
        return tuple(record.seed for record in self.records if record.status == "done")

    @property
    def diverged(self) -> int:
        """How many of the runs diverged."""
        return sum(record.status == "diverged" for record in self.records)

    @property
    def model_key(self) -> tuple[str, str]:
        """What was trained, whatever the options of its evaluation."""
        return self.first.model, self.first.provenance.config_hash

    @property
    def conditional(self) -> bool:
        """Whether it is a model of p(x | y): told labels in training and for its samples."""
        model = self.first.provenance.config.get("model")
        if isinstance(model, dict) and model.get("conditional"):
            return True
        return any(likelihood.conditional for likelihood in self.likelihoods)

    def difference(self, other: Row, summary: Summary, other_summary: Summary) -> Interval | None:
        """The 95 % interval of the difference of two means. Samplers of the same weights are paired
        by seed.

        Args:
            other: The row to compare with.
            summary: A quantity of this row.
            other_summary: The same quantity of the other row.

        Returns:
            The interval of mean(summary) - mean(other_summary); None where it cannot be known.
        """
        of_one_model = (
            self.model_key == other.model_key
            and self.finished == other.finished
            and summary.n == other_summary.n
        )
        interval = paired if of_one_model else welch
        return interval(summary.values, other_summary.values)

    # --- quality and likelihood ---

    def metric(self, name: str) -> Summary | None:
        """A metric over the seeds; None where no run has it."""
        measured = [record.metrics[name] for record in self.records if name in record.metrics]
        return summarise([(metric.value, metric.error) for metric in measured])

    def nll(self, conditional: bool = False) -> Summary | None:
        """-log p(x), or -log p(x | y), in the unit of its board; None where no run has it."""
        unit = self.unit
        return summarise(
            [
                (x.bits_per_dim * unit, None if x.stderr is None else x.stderr * unit)
                for x in self.likelihoods
                if x.conditional is conditional
            ]
        )

    @property
    def nll_repeats(self) -> tuple[int, float] | None:
        """How often the likelihood was measured with other noise, and the mean standard error over
        those repeats in the unit of the board; None where nothing was repeated.
        """
        repeated = [x for x in self.likelihoods if x.repeat_error is not None]
        if not repeated:
            return None
        errors = [x.repeat_error * self.unit for x in repeated if x.repeat_error is not None]
        return repeated[0].repeats, fmean(errors)

    @property
    def nll_evaluations(self) -> Summary | None:
        """Network evaluations per image behind a likelihood; None where they were not counted."""
        counts = [x.network_evaluations for x in self.likelihoods]
        known = tuple(count for count in counts if count is not None)
        if known:
            return Summary(known)
        return None

    @property
    def nll_step_error(self) -> float | None:
        """The largest change of a likelihood under finer steps of its solver, in the unit of the
        board; None where it was not measured.
        """
        return self.largest_step_error(self.unit)

    @property
    def nll_shared_error(self) -> float | None:
        """The largest standard error of a normalising constant that was estimated, in the unit of
        the board; None without.
        """
        errors = [x.shared_error for x in self.likelihoods if x.shared_error is not None]
        return max((error * self.unit for error in errors), default=None)

    @property
    def kl_step_error(self) -> float | None:
        """The largest change of KL(data || model) under finer steps, in nats, which is that of the
        likelihood; None without steps.
        """
        return self.largest_step_error(math.prod(self.first.protocol.shape) * math.log(2))

    def largest_step_error(self, unit: float) -> float | None:
        """The largest change of bits per dimension under finer steps, times a unit; None without."""
        errors = [x.step_error for x in self.likelihoods if x.step_error is not None]
        return max((error * unit for error in errors), default=None)

    @property
    def kind(self) -> LikelihoodKind | None:
        """What kind of number the likelihood is; None without a likelihood."""
        if self.likelihoods:
            return self.likelihoods[0].kind
        return None

    @property
    def likelihoods(self) -> list[Likelihood]:
        """The likelihoods of the runs that have one."""
        return [record.likelihood for record in self.records if record.likelihood]

    @property
    def unit(self) -> float:
        """One bit per dimension in the unit of the board."""
        protocol = self.first.protocol
        if likelihood_unit(protocol) == "nats":
            return math.prod(protocol.shape) * math.log(2)
        return 1.0

    # --- speed and cost ---

    @property
    def speeds(self) -> list[Speed]:
        """The speeds of the runs that were timed."""
        return [record.speed for record in self.records if record.speed]

    @property
    def speed_device(self) -> str | None:
        """Name of the device that was timed; None where none was."""
        return " / ".join(sorted({speed.device for speed in self.speeds})) or None

    @property
    def batches(self) -> tuple[int, int] | None:
        """Smallest and largest batch at which sampling was fastest; None where it was not timed."""
        batches = [speed.batch for speed in self.speeds]
        if batches:
            return min(batches), max(batches)
        return None

    @property
    def evaluations_timed(self) -> int | None:
        """The fewest network evaluations of a call that speeds are extrapolated from; None where
        whole calls were timed.
        """
        counts = [speed.evaluations_timed for speed in self.speeds]
        return min((count for count in counts if count is not None), default=None)

    @property
    def images_per_second(self) -> Summary | None:
        """Images per second at the best batch size."""
        return self.timed(lambda speed: speed.images_per_second)

    @property
    def latency_seconds(self) -> Summary | None:
        """Seconds for one image at batch size 1."""
        return self.timed(lambda speed: speed.latency_seconds)

    @property
    def network_evaluations(self) -> Summary | None:
        """Sequential network evaluations per sample."""
        return self.timed(lambda speed: speed.network_evaluations)

    @property
    def peak_memory_bytes(self) -> Summary | None:
        """Largest memory in use while sampling, in bytes."""
        return self.timed(lambda speed: speed.peak_memory_bytes)

    def timed(self, quantity: Callable[[Speed], float]) -> Summary | None:
        """A quantity of the speed over seeds; None where nothing was timed."""
        return summarise([(quantity(speed), None) for speed in self.speeds])

    @property
    def train_seconds(self) -> Summary:
        """Seconds of training, with those of the runs that were needed first."""
        return Summary(tuple(record.seconds_in_all for record in self.records))


def likelihood_unit(protocol: ProtocolIdentity) -> Literal["nats", "bits/dim"]:
    """How likelihoods are printed: nats per image of binarised data, bits per dimension of any
    other.
    """
    if protocol.levels == 2:
        return "nats"
    return "bits/dim"


RowKey = tuple[str, str, str, str, str]
"""Model, variant, hash of the configuration, class of device, and hash of the options."""


def row_key(record: Record) -> RowKey:
    """What the records of a row share."""
    options = digest([record.sample_options, record.log_prob_options])[:6]
    config_hash = record.provenance.config_hash
    return record.model, record.variant, config_hash, record.device_class, options


def make_row(key: RowKey, keys: list[RowKey], records: tuple[Record, ...]) -> Row:
    """A row with a label that tells it from all others of its board.

    Args:
        key: What its records share.
        keys: The keys of all rows of the board.
        records: The records, sorted by seed.

    Raises:
        InputError: The records contradict each other.
    """
    model, variant, config, device, options = key
    namesakes = [other for other in keys if other[:2] == key[:2]]
    remarks = [config[:6], device, f"options {options}"]
    needed = [len({other[place] for other in namesakes}) > 1 for place in (2, 3, 4)]
    parts = [remark for remark, is_needed in zip(remarks, needed) if is_needed]
    label = f"{model}@{variant}" if variant else model
    if parts:
        label = f"{label} ({', '.join(parts)})"
    check_row(label, records)
    return Row(label, records)


def check_row(label: str, records: tuple[Record, ...]) -> None:
    """Check that the values of some records can be averaged.

    Raises:
        InputError: Two have one seed, or they differ in family or in the meaning of a likelihood.
    """
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
            f"likelihoods of {label} are of different kinds or options "
            f"and cannot be averaged: {sorted(meanings)}"
        )
