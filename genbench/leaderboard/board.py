r"""Which numbers may stand in one table, and which of them may be called best.

A board holds the records of one protocol: every field equal. A row of it is one model, variant, configuration (without its
seed) and class of device, over its training seeds:

    x_1, ..., x_n    the value of each run that finished
    m = 1/n sum_s x_s                        never the minimum
    sd^2 = 1/(n-1) sum_s (x_s - m)^2         the spread over training seeds; unknown for n = 1
    e = sd, for n = 1 the error of the measurement itself, and 0 where that is unknown too

Row a *beats* row b in a metric if the 95 % interval of m_a - m_b lies on the better side of zero (`genbench.leaderboard.intervals`):
the rule of `genbench compare`, by which one seed beats nothing. A row is *best* if it beats every
other row, none of its runs diverged, and it has the seeds that the protocol asks for: a mean over survivors wins nothing, though
it can keep others from winning. The noise floor is printed, not ranked.

On a board of the former protocol all trainings were evaluated with one seed. There the spread over trainings leaves out the noise of
sampling, so that no row beats another.

Likelihoods are printed in nats per image where the data has two levels, else in bits per dimension; a board has one of the two.
They are claims of different strength about the truth b of a model, given the printed value v:

    exact      b = v
    bound      b <= v
    estimate   b = v up to an error of either sign

so a beats b only if a is exact or a bound, b is exact, and the interval of v_a - v_b lies below zero. In particular an exact value
under a rival's bound proves nothing. Besides, the lowest of several values of one kind is marked as *lead*: the lowest figure,
which is no claim about the models. p(x) and p(x | y) are different columns. Speeds are compared on one device only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby
from statistics import fmean, stdev
from typing import Literal

from genbench.errors import InputError
from genbench.files import canonical_json, digest
from genbench.leaderboard.intervals import Interval, paired, welch
from genbench.leaderboard.record import NOISE_FLOOR, Likelihood, LikelihoodKind, Protocol, Record

__all__ = [
    "FAMILIES", "MAY_BE_CHANCE", "METRICS", "Board", "Mark", "MetricInfo", "Row", "Summary", "boards", "diversity_metric",
    "likelihood_unit", "metric_info", "quality", "quality_metric", "quality_words", "relative_spread", "speed_words", "stability_words",
]  # fmt: skip

Mark = Literal["", "best", "lead"]
# a difference that the 95 % interval over training seeds does not tell from none
MAY_BE_CHANCE = "may be chance"
FAMILIES = ("classical", "vae", "gan", "autoregressive", "flow", "flow_matching", "diffusion")


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is printed and ranked.

    Attributes:
        title: Column head.
        better: Which direction is better, or None: not ranked.
        digits: Decimals.
        of_likelihood: It is computed from log p(x), and so is of the same kind: an upper bound where that is a lower one.
    """

    title: str
    better: Literal["lower", "higher"] | None
    digits: int
    of_likelihood: bool = False


METRICS = {
    "fid": MetricInfo("FID", "lower", 2),
    "fid_infinity": MetricInfo("FID∞", "lower", 2),
    "is": MetricInfo("IS", "higher", 2),
    "kid": MetricInfo("KID", "lower", 4),
    "precision": MetricInfo("Precision", "higher", 3),
    "recall": MetricInfo("Recall", "higher", 3),
    "density": MetricInfo("Density", None, 3),  # of neighbours: 1 for the data itself, above 1 is no better
    "coverage": MetricInfo("Coverage", "higher", 3),
    "class_recall": MetricInfo("Recall of the worst class", "higher", 3),
    "memorisation": MetricInfo("Memorisation", None, 3),  # 0.05 for fresh data, 1 for copies: neither end is better
    "energy_distance": MetricInfo("Energy distance", "lower", 4),
    "modes_covered": MetricInfo("Modes covered", "higher", 1),
    "high_quality": MetricInfo("High quality", "higher", 3),
    "kl": MetricInfo("KL(data ‖ model)", "lower", 4, of_likelihood=True),
}


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
        return stdev(self.values) if self.n > 1 else None

    @property
    def is_near_zero(self) -> bool:
        """Whether it is a value at or below zero, or a mean within two errors of zero: its ratios and relative spread are noise."""
        return min(self.values) <= 0 or (self.error is not None and self.mean <= 2 * self.error)

    @property
    def spread(self) -> float:
        """e of the module's docstring."""
        return self.sd if self.sd is not None else self.error or 0.0


@dataclass(frozen=True)
class Row:
    """One model, variant, configuration and class of device over its training seeds.

    Attributes:
        label: <model>[@variant], with as much of the configuration's hash and the device as tells two rows apart.
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
        """The interval of the mean of one quantity less that of another row; samplers of the same weights are paired by seed."""
        of_one_model = self.model_key == other.model_key and self.finished == other.finished and mine.n == theirs.n
        return (paired if of_one_model else welch)(mine.values, theirs.values)

    @property
    def finished(self) -> tuple[int, ...]:
        """Seeds of the runs that did not diverge."""
        return tuple(record.seed for record in self.records if record.status == "done")

    @property
    def conditional(self) -> bool:
        """Whether it is a model of p(x | y): given labels, in training and for its samples."""
        model = self.first.provenance.config.get("model")
        return bool(isinstance(model, dict) and model.get("conditional")) or any(x.conditional for x in self._likelihoods)

    def metric(self, name: str) -> Summary | None:
        """A metric over the seeds."""
        found = [record.metrics[name] for record in self.records if name in record.metrics]
        return _summary([(metric.value, metric.error) for metric in found])

    def nll(self, conditional: bool = False) -> Summary | None:
        """-log p(x), or -log p(x | y), in the unit of its board."""
        found = [x for x in self._likelihoods if x.conditional is conditional]
        return _summary([(x.bits_per_dim * self._unit, None if x.stderr is None else x.stderr * self._unit) for x in found])

    @property
    def nll_repeats(self) -> tuple[int, float] | None:
        """Repeats with other noise, and the mean error over them in the unit of the board; None where nothing was repeated."""
        found = [(x.repeats, x.repeat_error * self._unit) for x in self._likelihoods if x.repeat_error is not None]
        return (found[0][0], fmean(error for _, error in found)) if found else None

    @property
    def nll_evaluations(self) -> Summary | None:
        """Network evaluations per image behind a likelihood."""
        found = [x.network_evaluations for x in self._likelihoods if x.network_evaluations is not None]
        return Summary(tuple(found)) if found else None

    @property
    def nll_step_error(self) -> float | None:
        """The largest move of a likelihood under finer steps, in the unit of the board; None where it was not measured."""
        return max((x.step_error * self._unit for x in self._likelihoods if x.step_error is not None), default=None)

    @property
    def kl_step_error(self) -> float | None:
        """The largest move in nats of KL(data || model) under finer steps, which is that of the likelihood; None without steps."""
        nats = math.prod(self.first.protocol.shape) * math.log(2)
        return max((x.step_error * nats for x in self._likelihoods if x.step_error is not None), default=None)

    @property
    def batches(self) -> tuple[int, int] | None:
        """Smallest and largest batch at which sampling was fastest."""
        found = [record.speed.batch for record in self.records if record.speed]
        return (min(found), max(found)) if found else None

    @property
    def evaluations_timed(self) -> int | None:
        """The fewest network evaluations of a call that speeds are extrapolated from; None where whole calls were timed."""
        speeds = [record.speed for record in self.records if record.speed]
        return min((s.evaluations_timed for s in speeds if s.evaluations_timed is not None), default=None)

    @property
    def kind(self) -> LikelihoodKind | None:
        """What kind of number the likelihood is."""
        return self._likelihoods[0].kind if self._likelihoods else None

    @property
    def images_per_second(self) -> Summary | None:
        return _summary([(record.speed.images_per_second, None) for record in self.records if record.speed])

    @property
    def latency_seconds(self) -> Summary | None:
        return _summary([(record.speed.latency_seconds, None) for record in self.records if record.speed])

    @property
    def network_evaluations(self) -> Summary | None:
        return _summary([(record.speed.network_evaluations, None) for record in self.records if record.speed])

    @property
    def peak_memory_bytes(self) -> Summary | None:
        return _summary([(record.speed.peak_memory_bytes, None) for record in self.records if record.speed])

    @property
    def train_seconds(self) -> Summary:
        """With those of the runs that it needed."""
        return Summary(tuple(record.seconds_in_all for record in self.records))

    @property
    def speed_device(self) -> str | None:
        """Name of the device that was timed."""
        return " / ".join(sorted({record.speed.device for record in self.records if record.speed})) or None

    @property
    def _unit(self) -> float:
        """What a bit per dimension is in the unit of the board."""
        protocol = self.first.protocol
        return math.prod(protocol.shape) * math.log(2) if likelihood_unit(protocol) == "nats" else 1.0

    @property
    def _likelihoods(self) -> list[Likelihood]:
        return [record.likelihood for record in self.records if record.likelihood]


@dataclass(frozen=True)
class Board:
    """The rows of one protocol.

    Attributes:
        protocol: How every row was measured.
        rows: Sorted by family and label, without the noise floor.
        floor: Rows of the noise floor; empty where it was not measured.
        apart: In what this protocol differs from another of the same name and data, in words; empty where there is none.
    """

    protocol: Protocol
    rows: tuple[Row, ...]
    floor: tuple[Row, ...]
    apart: str = ""

    @cached_property
    def conditional(self) -> tuple[bool, ...]:
        """Which likelihood columns there are: False for p(x), True for p(x | y)."""
        return tuple(c for c in (False, True) if c is False or any(row.nll(True) for row in self.rows))

    def lacks(self, row: Row) -> int:
        """How many training seeds of those that the protocol asks for a row does not have."""
        return max(0, self.protocol.seeds - len(row.records))

    def rows_like(self, row: Row) -> list[Row]:
        """The rows that one is ranked among: models of p(x), or of p(x | y), which are told more."""
        return [other for other in self.rows if other.conditional is row.conditional]

    @property
    def tests_differences(self) -> bool:
        """Whether an interval over training seeds covers all noise: not under the former protocol."""
        return not self.protocol.is_former

    def mark(self, row: Row, metric: str) -> Mark:
        """Whether the row is best in a metric."""
        info = metric_info(metric)
        if not self.tests_differences:
            return ""
        if info.of_likelihood and any(other.kind != "exact" for other in self.rows if other.metric(metric)):
            return ""  # below a rival's upper bound is no proof
        rivals = [other for other in self.rows_like(row) if other is not row and other.metric(metric)]
        if info.better is None or row.diverged or self.lacks(row) or row.metric(metric) is None or not rivals:
            return ""
        return "best" if all(_beats(row, other, metric) for other in rivals) else ""

    def nll_mark(self, row: Row, conditional: bool = False) -> Mark:
        """Whether the row is proved best in likelihood, or has the lowest value of its kind."""
        mine = row.nll(conditional)
        if mine is None or row.diverged or self.lacks(row):
            return ""
        rivals = [other for other in self.rows if other.model_key != row.model_key and other.nll(conditional)]
        if self.tests_differences and rivals and all(_proves_below(row, other, conditional) for other in rivals):
            return "best"
        alike = [nll for other in rivals if other.kind == row.kind and (nll := other.nll(conditional))]
        return "lead" if alike and all(mine.mean < nll.mean for nll in alike) else ""


def boards(records: Iterable[Record]) -> list[Board]:
    """One board per protocol, sorted by data set, name and hash of the protocol; those of the former protocol after the others.

    Raises:
        InputError: Records of one row contradict each other.
    """
    ordered = sorted(records, key=lambda r: (r.dataset, r.protocol.name, r.protocol.is_former, r.protocol.hash))
    found = [_board(list(group)) for _, group in groupby(ordered, key=lambda r: r.protocol.hash)]
    return [replace(board, apart=_apart(board, found)) for board in found]


def _apart(board: Board, every: Sequence[Board]) -> str:
    """What tells a board's protocol from others of the same name and data, but for the rule of seeds: "chunk 64, repeats 5"."""
    p = board.protocol
    namesakes = [o.protocol for o in every if (o.protocol.dataset, o.protocol.name) == (p.dataset, p.name)]
    names = [f.name for f in fields(p) if f.name != "evaluated_by" and len({getattr(other, f.name) for other in namesakes}) > 1]
    return ", ".join(f"{name.replace('_', ' ')} {_field_words(name, getattr(p, name))}" for name in names)


def _field_words(name: str, value: object) -> str:
    """A field of a protocol as text: hashes by their first digits."""
    if value is None:
        return "none"
    if name.endswith("hash"):
        return str(value)[:8]
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def likelihood_unit(protocol: Protocol) -> Literal["nats", "bits/dim"]:
    """How likelihoods are printed: nats per image of binarised data, bits per dimension of any other."""
    return "nats" if protocol.levels == 2 else "bits/dim"


def metric_info(name: str) -> MetricInfo:
    """A metric by name; one that is not known here is printed under its own name and not ranked."""
    return METRICS.get(name, MetricInfo(name, None, 4))


def quality_metric(protocol: Protocol) -> str | None:
    """The metric that stands for sample quality."""
    return next((name for name in ("fid", "energy_distance", "kl", "kid") if name in protocol.metrics), None)


def diversity_metric(protocol: Protocol) -> str | None:
    """The metric that stands for diversity."""
    return next((name for name in ("recall", "coverage", "modes_covered") if name in protocol.metrics), None)


# --- words, computed from numbers only ------------------------------------------------------------------------------------


def quality_words(board: Board, row: Row, metric: str) -> str:
    """Words such as "best", "1.9 times the best", "at the noise floor", and whether a difference may be chance."""
    mine = row.metric(metric)
    rivals = [other for other in board.rows_like(row) if other.metric(metric)]
    lower = metric_info(metric).better == "lower"
    if mine is None:
        return ""
    words = []
    if len(rivals) > 1 and metric_info(metric).better is not None:
        leader = (min if lower else max)(rivals, key=lambda other: _mean(other, metric))
        words.append(_rank_words(board, row, leader, metric))
    if any(_at_floor(mine, floor, lower) for f in board.floor if (floor := f.metric(metric))):
        words.append("at the noise floor")
    return ", ".join([*words, "finished runs only"] if row.diverged else words)


def speed_words(board: Board, row: Row) -> str:
    """Words such as "fastest" and "12 times slower", among the rows that were timed on the same device, and whether the difference
    may be chance, by the spread of the timings over the seeds."""
    mine = row.images_per_second
    speeds = [x for other in board.rows if other.speed_device == row.speed_device and (x := other.images_per_second)]
    if mine is None or len(speeds) < 2:
        return ""
    fastest = max(speeds, key=lambda summary: summary.mean)
    ratio = fastest.mean / mine.mean
    if ratio < 1.05:  # timings repeat to a few per cent
        return "fastest" if ratio == 1 else "within 5 % of the fastest"
    # of logarithms, since a busy machine multiplies a time
    apart = welch([math.log(value) for value in fastest.values], [math.log(value) for value in mine.values])
    slower = "half as fast" if _times(ratio) == "twice" else f"{_times(ratio)} slower"
    return slower + ("" if apart is None or apart[0] > 0 else f", {MAY_BE_CHANCE}")


def quality(board: Board, row: Row) -> Summary | None:
    """The metric that stands for the quality of a row's samples."""
    metric = quality_metric(board.protocol)
    return row.metric(metric) if metric else None


def relative_spread(board: Board, row: Row) -> float | None:
    """sd / mean of the quality metric over training seeds; None for one seed, and for a distance near zero."""
    summary = quality(board, row)
    if summary is None or summary.sd is None or summary.is_near_zero:
        return None
    return summary.sd / summary.mean


def stability_words(row: Row) -> str:
    """How many runs diverged, and whether a spread over seeds was measured at all."""
    n = len(row.records)
    words = ["one seed: not measured"] if n == 1 else []
    return ", ".join([*words, f"{row.diverged} of {n} diverged"] if n > 1 or row.diverged else words)


def _rank_words(board: Board, row: Row, leader: Row, metric: str) -> str:
    lower = metric_info(metric).better == "lower"
    won = board.mark(leader, metric) == "best"
    untested = f", {MAY_BE_CHANCE}" if board.tests_differences else ""
    rivals = [rival for rival in board.rows_like(row) if rival is not row and rival.metric(metric)]
    if row is leader and any(_mean(rival, metric) == _mean(row, metric) for rival in rivals):
        return f"equal to the {'lowest' if lower else 'highest'}"
    if row is leader:
        return "best" if won else f"{'lowest' if lower else 'highest'}{untested}"
    top, mine = _mean(leader, metric), _mean(row, metric)
    name = "best" if won else "lowest" if lower else "highest"
    if mine == top:
        return f"equal to the {name}"
    summary = leader.metric(metric)
    has_ratio = top > 0 and mine > 0 and not (lower and summary is not None and summary.is_near_zero)
    words = f"{_compared(mine / top)} the {name}" if has_ratio else f"behind the {name}"
    return words if _beats(leader, row, metric) else f"{words}{untested}"


def _at_floor(mine: Summary, floor: Summary, lower: bool) -> bool:
    excess = mine.mean - floor.mean if lower else floor.mean - mine.mean
    spread = math.hypot(mine.spread, floor.spread)
    # a spread as wide as the floor itself resolves nothing
    return excess <= 0 or (excess <= spread and spread < abs(floor.mean))


def _compared(ratio: float) -> str:
    """A ratio to the best of positive values, in words: "1.9 times", "3 % above", "92 % of"."""
    if ratio < 1:
        return f"{100 * ratio:.0f} % of"
    return f"{100 * (ratio - 1):.1g} % above" if ratio < 1.095 else _times(ratio)


def _times(ratio: float) -> str:
    """A ratio above 1 in words: "twice", "1.9 times", "2,700 times"."""
    text = f"{ratio:.2g}" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}"
    return "twice" if text == "2" else f"{text} times"


# --- rows -------------------------------------------------------------------------------------------------------------------


def _board(records: Sequence[Record]) -> Board:
    if len({record.protocol.hash for record in records}) != 1:
        raise InputError("records of different protocols never share a table")
    groups: dict[_RowKey, list[Record]] = {}
    for r in sorted(records, key=lambda r: (_row_key(r), r.seed)):
        groups.setdefault(_row_key(r), []).append(r)
    rows = [_row(key, list(groups), tuple(found)) for key, found in groups.items()]
    rows.sort(key=lambda row: (_family_order(row.family), row.label))
    floor = tuple(row for row in rows if row.first.model == NOISE_FLOOR)
    return Board(records[0].protocol, tuple(row for row in rows if row not in floor), floor)


_RowKey = tuple[str, str, str, str, str]


def _row_key(r: Record) -> _RowKey:
    """What the seeds of a row share."""
    options = digest([r.sample_options, r.log_prob_options])[:6]
    return r.model, r.variant, r.provenance.config_hash, r.device_class, options


def _row(key: _RowKey, keys: list[_RowKey], records: tuple[Record, ...]) -> Row:
    model, variant, config, device, options = key
    alike = [other for other in keys if other[:2] == key[:2]]
    parts = [config[:6]] if len({other[2] for other in alike}) > 1 else []
    parts += [device] if len({other[3] for other in alike}) > 1 else []
    parts += [f"options {options}"] if len({other[4] for other in alike}) > 1 else []
    label = f"{model}{'@' if variant else ''}{variant}" + (f" ({', '.join(parts)})" if parts else "")
    _check_row(label, records)
    return Row(label, records)


def _check_row(label: str, records: tuple[Record, ...]) -> None:
    seeds = [record.seed for record in records]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"two records of {label} have the same training seed: {seeds}")
    if len({record.family for record in records}) > 1:
        raise InputError(f"records of {label} disagree about the family")
    meanings = {
        canonical_json([x.kind, x.conditional, x.dequantisation, x.options]) for record in records if (x := record.likelihood)
    }
    if len(meanings) > 1:
        raise InputError(f"likelihoods of {label} are of different kinds or options and cannot be averaged: {sorted(meanings)}")


def _family_order(family: str) -> tuple[int, str]:
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), family)


def _summary(found: list[tuple[float, float | None]]) -> Summary | None:
    if not found:
        return None
    errors = [error for _, error in found if error is not None]
    return Summary(tuple(float(value) for value, _ in found), fmean(errors) if len(errors) == len(found) else None)


def _mean(row: Row, metric: str) -> float:
    summary = row.metric(metric)
    return summary.mean if summary else math.nan


def _beats(row: Row, other: Row, metric: str) -> bool:
    mine, theirs = row.metric(metric), other.metric(metric)
    if mine is None or theirs is None:
        return False
    if metric_info(metric).better == "lower":
        return _below(row.difference(other, mine, theirs))
    return _below(other.difference(row, theirs, mine))


def _below(interval: Interval | None) -> bool:
    return interval is not None and interval[1] < 0


def _proves_below(row: Row, other: Row, conditional: bool) -> bool:
    mine, theirs = row.nll(conditional), other.nll(conditional)
    if mine is None or theirs is None:
        return False
    return row.kind in ("exact", "bound") and other.kind == "exact" and _below(row.difference(other, mine, theirs))
