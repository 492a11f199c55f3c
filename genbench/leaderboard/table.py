"""Boards as Markdown, CSV and LaTeX.

A cell reads `mean ± sd` over training seeds, or the mean alone where there is one seed. Likelihoods carry their kind, and are in
bits per dimension, or in nats per image where the data has two levels:

    2.94       exact                <= 3.12    bound: the truth is at most this
    ~ 2.99     estimate             –          none

Bold and lead marks are those of `genbench.leaderboard.board`. CSV is one line per quantity and row, with its protocol, in full
precision: quantities of different protocols share no column that could be compared by accident.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genbench.errors import InputError, nearest
from genbench.files import canonical_json, write_atomic
from genbench.leaderboard.board import (
    Board,
    Mark,
    Row,
    Summary,
    boards,
    diversity_metric,
    likelihood_unit,
    metric_info,
    quality,
    quality_metric,
    quality_words,
    relative_spread,
    speed_words,
    stability_words,
)
from genbench.leaderboard.record import NOISE_FLOOR, LikelihoodKind, Protocol, Record, records_in

__all__ = [
    "COMMAND", "FLOOR_SPREAD", "FORMER", "LEGEND", "Cell", "Column", "Format", "Line", "Table", "board_table", "board_text", "board_title",
    "comparison_table", "facts",
    "load_boards", "render", "render_tables", "write_board",
]  # fmt: skip

Format = Literal["md", "csv", "latex"]
COMMAND = "genbench table"
NONE = "–"
FORMER = (
    "former protocol, all trainings evaluated with one seed: intervals leave out sampling noise, and nothing is called best"
)
FLOOR_SPREAD = (
    "The ± of the noise floor is over random draws from the one training split, one a seed: the larger a share of the split they are, "
    "the more they overlap, and the less they spread beside fresh images."
)
LEGEND = (
    "Mean ± standard deviation over training seeds; one seed: the value alone. A seed on another kind of processor, which rounds "
    "otherwise, is another training: for a GAN that moves a metric as much as another seed does.",
    "Bold: better than every other row, by a 95 % interval over the training seeds, with no diverged run and as many seeds as the "
    "protocol asks for; genbench compare gives the intervals. Every training is evaluated by a seed of its own, so that the spread "
    "holds the noise of sampling; the reference images are common to all rows, and what other images would change is in no interval.",
    "Likelihood of integer images in bits per dimension, of binarised ones in nats per image: 2.94 exact, <= 3.12 an upper "
    "bound, ~ 2.99 an estimate, – none. Bold only where it is proved: an exact value under a rival's bound proves nothing. "
    "Italic: the lowest figure of its kind, which is no proof.",
    "Beside a likelihood: its dequantisation and options, such as K weights; network evaluations per image where they are more "
    "than one; and the standard error over repeats with other noise, where there were any.",
    "Finer steps: the integral behind a likelihood was taken in steps, and half the step, or ten times the tolerance, moves it by so "
    "much, on 64 images, which is more than its digits show.",
    "Images/s at the batch size where they are largest. Extrapolated: a whole call would have taken too long, so a part of its network "
    "evaluations was timed, and of one image the same part and the whole.",
    "A likelihood is the model's, whatever sampler makes the samples of its row. DDIM, ancestral sampling without its last noise and "
    "a VAE's mean images (vae@mean) follow other distributions than the one whose likelihood stands beside them.",
    "Stability: standard deviation over mean of the quality metric over training seeds; where the mean is within two errors of zero "
    "that ratio is noise, and the standard deviation stands there alone.",
    "Given labels: a model of p(x given y), told the class in training and for every sample, by the classes' shares of the training "
    "split; it is ranked among its like, not among models of p(x).",
    "Foreign: images that another tool made, scored by the same protocol; of their cost, speed and likelihood nothing is known.",
    "Noise floor: as many training images as there are samples, scored like samples. Not ranked. A shipped extractor has learnt from "
    "training images, and sees them a little otherwise than fresh ones. " + FLOOR_SPREAD,
)
_PREFIX: dict[LikelihoodKind, str] = {"exact": "", "bound": "<= ", "estimate": "~ "}


@dataclass(frozen=True)
class Cell:
    """One cell: its text, what it sorts by, its mark, and words that stand below it."""

    text: str
    sort: float | str | None = None
    mark: Mark = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its head, "lower" or "higher" where it is ranked, and whether it holds words."""

    title: str
    better: Literal["lower", "higher"] | None = None
    words: bool = False


@dataclass(frozen=True)
class Line:
    """A row of cells, its family (for the colour), and whether it is the noise floor."""

    cells: tuple[Cell, ...]
    family: str
    floor: bool = False


@dataclass(frozen=True)
class Table:
    """What every format prints."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def load_boards(out: Path) -> list[Board]:
    """The boards of a leaderboard's folder.

    Raises:
        InputError: A record is bad, or there is none.
    """
    found = boards(records_in(out))
    if not found:
        raise InputError(f"no records in {out / 'records'}: evaluate a run first")
    return found


def render_tables(out: Path, format: Format = "md") -> str:
    """What the `table` command prints."""
    return render(load_boards(out), format)


def write_board(out: Path, dataset: str) -> Path:
    """Write <out>/<dataset>.md, atomically."""
    every = load_boards(out)
    found = [board for board in every if board.protocol.dataset == dataset]
    if not found:
        raise InputError(f"no records of {dataset!r}; {nearest(dataset, {board.protocol.dataset for board in every})}")
    path = out / f"{dataset}.md"
    write_atomic(path, board_text(dataset, found))
    return path


def board_text(dataset: str, found: Sequence[Board]) -> str:
    """The content of <dataset>.md."""
    head = f"<!-- Generated by `{COMMAND}` from the records; edit nothing here. -->\n\n# {_markdown(dataset)}\n\n"
    return head + render(found, "md")


def render(found: Sequence[Board], format: Format = "md") -> str:
    """Boards as text, each under a header that says how it was measured."""
    if format == "csv":
        return _csv(found)
    if format not in ("md", "latex"):
        raise InputError(f"no format {format!r}; {nearest(format, ('md', 'csv', 'latex'))}")
    one = _board_markdown if format == "md" else _board_latex
    legend = _markdown_list(LEGEND) if format == "md" else _latex_comments(LEGEND)
    return "\n\n".join([*(one(board) for board in found), legend]) + "\n"


# --- what a board says --------------------------------------------------------------------------------------------------


def facts(board: Board) -> list[tuple[str, str]]:
    """The header of a board: everything that a reader needs to know to compare it with another."""
    p, runs = board.protocol, [record for row in board.rows for record in row.records]
    extractor = f"{p.extractor} (sha256 {(p.extractor_hash or '')[:8]})" if p.extractor else "none"
    reference = f"{p.reference_images:,} images of the {p.split} split"
    if p.statistics:
        reference = f"the statistics in {p.statistics} ({(p.statistics_hash or '')[:8]})"
    shape, trained = "×".join(map(str, p.shape)), [record for record in runs if record.cost.device != "-"]
    return [
        ("Protocol", f"{p.name} ({p.hash[:8]})"),
        ("Data", f"{p.dataset} ({p.data_hash[:8]}), {shape}, {p.levels} levels"),
        ("Samples", f"{p.generated_images:,} generated against {reference}"),
        ("Extractor", extractor),
        (
            "Evaluation",
            f"{_seeding(p)}, chunks of {p.chunk:,}" + (f", {p.repeats} repeats" if p.repeats > 1 else ""),
        ),
        ("Training seeds", ", ".join(map(str, sorted({record.seed for record in runs}))) or NONE),
        ("Budget", f"{_range(record.cost.images_seen for record in trained)} training images seen"),
        ("Trained on", _names(record.cost.device for record in trained)),
        ("Timed on", _names(record.speed.device for record in runs if record.speed)),
    ]


def _seeding(protocol: Protocol) -> str:
    if protocol.is_former:
        return f"seed {protocol.evaluation_seed} for all trainings (former protocol: intervals leave out sampling noise)"
    return f"every training by its own seed, from {protocol.evaluation_seed} and the training seed"


def board_title(board: Board) -> str:
    """What stands above a board: its protocol's name, what tells it from namesakes, and that it is of the former protocol."""
    words = filter(None, [board.apart, FORMER if board.protocol.is_former else ""])
    return " ".join([f"protocol {board.protocol.name}", *(f"({word})" for word in words)])


def board_table(board: Board) -> Table:
    """Every quantity of every row."""
    makers = _columns(board)
    lines = [Line(tuple(make(row) for _, make in makers), row.family) for row in board.rows]
    floor = [_floor_line(row, makers, 2 + len(board.protocol.metrics)) for row in board.floor]
    return Table("Every measurement", tuple(column for column, _ in makers), (*lines, *(floor or [_no_floor(makers)])))


def comparison_table(board: Board) -> Table:
    """The comparison of the lectures, in words from numbers: quality, diversity, likelihood, speed, stability, density."""
    quality, diversity = quality_metric(board.protocol), diversity_metric(board.protocol)
    makers: list[_Maker] = [(Column("Model", words=True), lambda row: Cell(row.label, row.label, note=_kind(row)))]
    for metric, title in ((quality, "Sample quality"), (diversity, "Diversity")):
        if metric is not None:
            info = metric_info(metric)
            makers.append((Column(f"{title}: {info.title}", info.better), _judged(board, metric)))
    makers.append(
        (Column(f"Likelihood: {likelihood_unit(board.protocol)}", "lower"), lambda row: _likelihood_words(board, row))
    )
    makers.append((Column("Sampling: images/s", "higher"), lambda row: _speed_cell(board, row)))
    makers.append((Column("Network evaluations"), lambda row: _plain(row.network_evaluations)))
    makers.append((Column("Stability: sd/mean over seeds", "lower"), lambda row: _stability_cell(board, row)))
    makers.append((Column("Density", words=True), _density_cell))
    lines = [Line(tuple(make(row) for _, make in makers), row.family) for row in board.rows]
    floor = [_floor_line(row, makers, len(makers)) for row in board.floor]
    return Table("Comparison", tuple(column for column, _ in makers), (*lines, *(floor or [_no_floor(makers)])))


_Maker = tuple[Column, Callable[[Row], Cell]]


def _columns(board: Board) -> list[_Maker]:
    makers: list[_Maker] = [(Column("Model", words=True), _name_cell), (Column("Family", words=True), _family_cell)]
    for name in board.protocol.metrics:
        info = metric_info(name)
        makers.append((Column(info.title, info.better), _metric_cell(board, name)))
    for conditional in board.conditional:
        title = f"{likelihood_unit(board.protocol)} {'p(x | y)' if conditional else 'p(x)'}"
        makers.append((Column(title, "lower"), _nll_cell(board, conditional)))
    return [
        *makers,
        (Column("Images/s", "higher"), lambda row: replace(_rough(row.images_per_second), note=_batch_words(row))),
        (Column("Latency ms", "lower"), lambda row: _rough(row.latency_seconds, 1000)),
        (Column("Network evaluations"), lambda row: _plain(row.network_evaluations)),
        (Column("Peak MiB", "lower"), lambda row: _plain(row.peak_memory_bytes, 2**-20)),
        (Column("Parameters"), _cost_cell(lambda row: _counts(record.cost.parameters for record in row.records))),
        (Column("Images seen"), _cost_cell(lambda row: _with_needs(row, _counts(r.images_in_all for r in row.records)))),
        (Column("Train s"), _cost_cell(lambda row: _with_needs(row, _rough(row.train_seconds)))),
        (Column("Seeds"), lambda row: _seeds_cell(board, row)),
        (Column("Diverged"), lambda row: Cell(f"{row.diverged} of {len(row.records)}", row.diverged)),
    ]


def _seeds_cell(board: Board, row: Row) -> Cell:
    n = len(row.records)
    return Cell(f"{n} of {board.protocol.seeds}" if board.lacks(row) else str(n), n)


def _cost_cell(make: Callable[[Row], Cell]) -> Callable[[Row], Cell]:
    """Nothing is known of what foreign images cost."""
    return lambda row: make(row) if row.first.cost.device != "-" else Cell(NONE)


def _with_needs(row: Row, cell: Cell) -> Cell:
    """A cost that is also that of the runs that were needed first says so."""
    return replace(cell, note=f"with {', '.join(row.first.needs)}") if row.first.needs else cell


def _floor_line(row: Row, makers: list[_Maker], measured: int) -> Line:
    """The noise floor has quality, but no likelihood, speed or cost."""
    cells = [replace(make(row), note="") for _, make in makers[:measured]]
    return Line((*cells, *(Cell(NONE) for _ in makers[measured:])), row.family, floor=True)


def _no_floor(makers: list[_Maker]) -> Line:
    cells = [Cell(NONE) for _ in makers]
    cells[0] = Cell(NOISE_FLOOR, note="not measured")
    return Line(tuple(cells), "-", floor=True)


def _name_cell(row: Row) -> Cell:
    words = ["given labels" if row.conditional else "", _options(row.first.sample_options)]
    return Cell(row.label, row.label, note=", ".join(filter(None, words)))


def _family_cell(row: Row) -> Cell:
    return Cell(row.family, row.family)


def _kind(row: Row) -> str:
    return f"{row.family}, given labels" if row.conditional else row.family


def _density_cell(row: Row) -> Cell:
    return Cell(NONE if row.first.density == "-" else row.first.density, row.first.density)


def _metric_cell(board: Board, name: str) -> Callable[[Row], Cell]:
    info = metric_info(name)

    def cell(row: Row) -> Cell:
        prefix = _PREFIX[row.kind] if info.of_likelihood and row.kind else ""
        plain = _value(row.metric(name), info.digits, board.mark(row, name) if row in board.rows else "", prefix)
        if not info.of_likelihood or row.metric(name) is None:
            return plain
        return replace(plain, note=_step_words(row.kl_step_error, plain.text))

    return cell


def _judged(board: Board, name: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        plain = _metric_cell(board, name)(row)
        words = quality_words(board, row, name) if row in board.rows else ""
        return replace(plain, note=", ".join(filter(None, [words, plain.note])))

    return cell


def _nll_cell(board: Board, conditional: bool) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        nll, kind = row.nll(conditional), row.kind
        if nll is None or kind is None:
            return Cell(NONE)
        cell = _value(nll, 2, board.nll_mark(row, conditional) if row in board.rows else "", _PREFIX[kind])
        return replace(
            cell, note=", ".join(filter(None, [_meaning(row), _effort(row), _step_words(row.nll_step_error, cell.text)]))
        )

    return cell


def _likelihood_words(board: Board, row: Row) -> Cell:
    found = [(c, _nll_cell(board, c)(row)) for c in board.conditional if row.nll(c)]
    if not found:
        return Cell(NONE, note="none" if row.first.density == "implicit" else "not measured")
    conditional, cell = found[0]
    words = [str(row.kind), "proved best" if cell.mark == "best" else f"lowest {row.kind}" if cell.mark == "lead" else ""]
    words = words[1:] if cell.mark == "lead" else words
    return Cell(cell.text, cell.sort, cell.mark, ", ".join(filter(None, [*words, "p(x | y)" if conditional else ""])))


def _speed_cell(board: Board, row: Row) -> Cell:
    cell, words = _rough(row.images_per_second), speed_words(board, row)
    if row.evaluations_timed is not None:
        words = ", ".join(filter(None, [words, "extrapolated"]))
    devices = {other.speed_device for other in board.rows if other.speed_device}
    if len(devices) > 1 and row.speed_device:
        words = f"{words} on {row.speed_device}".strip()
    return Cell(cell.text, cell.sort, "", words)


def _stability_cell(board: Board, row: Row) -> Cell:
    relative = relative_spread(board, row)
    summary = quality(board, row)
    words = [stability_words(row)] if row in board.rows else []
    text = NONE
    if relative is not None:
        text = f"{100 * relative:.{0 if relative > 0.1 else 1}f} %"
    elif summary is not None and summary.sd is not None:
        text = f"sd {summary.sd:.2g}"
        words = ["mean near 0, no ratio", *words]
    return Cell(text, relative, note=", ".join(words))


def _meaning(row: Row) -> str:
    """What belongs to a likelihood besides its kind: "uniform dequantisation, K = 64"."""
    found = next((record.likelihood for record in row.records if record.likelihood), None)
    if found is None:
        return ""
    dequantisation = f"{found.dequantisation} dequantisation" if found.dequantisation else ""
    return ", ".join(filter(None, [dequantisation, _options(found.options)]))


def _effort(row: Row) -> str:
    """What a likelihood took and how far its noise is from settled: "64 network evaluations, ± 0.0021 over 8 repeats"."""
    evaluations, repeats = row.nll_evaluations, row.nll_repeats
    words = [f"{_plain(evaluations).text} network evaluations"] if evaluations and evaluations.mean > 1 else []
    words += [f"± {repeats[1]:.2g} over {repeats[0]} repeats"] if repeats else []
    return ", ".join(words)


def _step_words(error: float | None, text: str) -> str:
    """By how much finer steps of its solver move a value, where that shows in its text, "~ 6.35 ± 0.02"."""
    mean = text.partition(" ±")[0]
    unit = 10.0 ** -len(mean.partition(".")[2])
    return f"finer steps of its solver move it by {error:.2g}" if error is not None and error >= unit / 2 else ""


def _batch_words(row: Row) -> str:
    """At which batch images/s were found, and whether from parts of calls."""
    if row.batches is None:
        return ""
    smallest, largest = row.batches
    batch = f"batch {smallest:,}" if smallest == largest else f"batches {smallest:,} to {largest:,}"
    if row.evaluations_timed is None:
        return batch
    return f"{batch}, extrapolated from {row.evaluations_timed:,} network evaluations of a call"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {canonical_json(options[name])}" for name in sorted(options))


# --- numbers as text ------------------------------------------------------------------------------------------------------


def _value(summary: Summary | None, digits: int, mark: Mark = "", prefix: str = "") -> Cell:
    """Mean ± sd; as many decimals as show the first digit of the spread, at least `digits`, at most `digits` + 2."""
    if summary is None:
        return Cell(NONE)
    sd = summary.sd
    if sd:
        digits = max(digits, min(digits + 2, -math.floor(math.log10(sd))))
    text = f"{prefix}{summary.mean:,.{digits}f}" + (f" ± {sd:,.{digits}f}" if sd is not None else "")
    return Cell(text, summary.mean, mark)


def _plain(summary: Summary | None, scale: float = 1) -> Cell:
    """A mean to three significant digits."""
    if summary is None:
        return Cell(NONE)
    mean = scale * summary.mean
    return Cell(f"{float(f'{mean:.3g}'):,.0f}" if mean >= 100 or mean == int(mean) else f"{mean:.3g}", mean)


def _rough(summary: Summary | None, scale: float = 1) -> Cell:
    """Mean ± sd of something timed: the mean to three significant digits, the spread to its first two."""
    cell = _plain(summary, scale)
    if summary is None or summary.sd is None:
        return cell
    sd = scale * summary.sd
    return replace(cell, text=f"{cell.text} ± {float(f'{sd:.2g}'):,.0f}" if sd >= 10 else f"{cell.text} ± {sd:.2g}")


def _counts(values: Iterable[int]) -> Cell:
    values = list(values)
    return Cell(_range(values), max(values))


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return NONE if not found else f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _names(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values))) or NONE


# --- Markdown --------------------------------------------------------------------------------------------------------------


def _board_markdown(board: Board) -> str:
    parts = [f"## {_markdown(board.protocol.dataset)}: {_markdown(board_title(board))}"]
    parts.append(_markdown_list(f"{name}: {value}" for name, value in facts(board)))
    for table in (comparison_table(board), board_table(board)):
        parts.append(f"### {table.title}\n\n{_markdown_table(table)}")
    return "\n\n".join(parts)


def _markdown_table(table: Table) -> str:
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}
    head = [_markdown(column.title) + arrow[column.better] for column in table.columns]
    rule = [":---" if column.words else "---:" for column in table.columns]
    body = [[_markdown_cell(cell) for cell in line.cells] for line in table.lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])


def _markdown_cell(cell: Cell) -> str:
    text, sign = _markdown(cell.text), {"best": "**", "lead": "*", "": ""}[cell.mark]
    return f"{sign}{text}{sign}" + (f" ({_markdown(cell.note)})" if cell.note else "")


def _markdown_list(items: Iterable[str]) -> str:
    return "\n".join(f"- {_markdown(item)}" for item in items)


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|&~])", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", escaped).replace(r"\~ ", "~ ")


# --- LaTeX -----------------------------------------------------------------------------------------------------------------

_LATEX = {
    "∞": r"$\infty$",
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"$\sim$", "<": r"$<$", ">": r"$>$", "|": r"$|$", "±": r"$\pm$", "×": r"$\times$",
    "–": "--", "‖": r"$\|$",
}  # fmt: skip


def _board_latex(board: Board) -> str:
    parts = [_latex_comments([f"{name}: {value}" for name, value in facts(board)])]
    parts += [_latex_table(table, board) for table in (comparison_table(board), board_table(board))]
    return "\n".join(parts)


def _latex_table(table: Table, board: Board) -> str:
    arrow = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}
    head = [_latex(column.title) + arrow[column.better] for column in table.columns]
    ranked = [[_latex_cell(cell) for cell in line.cells] for line in table.lines if not line.floor]
    floor = [[_latex_cell(cell) for cell in line.cells] for line in table.lines if line.floor]
    caption = f"{table.title}, {board.protocol.dataset}. " + "; ".join(f"{name}: {value}" for name, value in facts(board))
    lines = [r"\begin{table}", rf"\caption{{{_latex(caption)}}}", r"\begin{tabular}{" + _alignment(table) + "}", r"\toprule"]
    lines += [_latex_line(head), r"\midrule", *map(_latex_line, ranked), r"\midrule", *map(_latex_line, floor)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _alignment(table: Table) -> str:
    return "".join("l" if column.words else "r" for column in table.columns)


def _latex_line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text).replace("$<$=", r"$\leq$")
    text = {"best": rf"\textbf{{{text}}}", "lead": rf"\textit{{{text}}}", "": text}[cell.mark]
    return text + (f" ({_latex(cell.note)})" if cell.note else "")


def _latex_comments(items: Iterable[str]) -> str:
    return "\n".join(f"% {' '.join(item.split())}" for item in items)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


# --- CSV -------------------------------------------------------------------------------------------------------------------

_CSV_HEAD = [
    "protocol", "dataset", "protocol_name", "split", "generated_images", "reference_images", "extractor", "extractor_hash",
    "evaluation_seed", "model", "variant", "family", "config_hash", "device_class", "seeds", "diverged", "quantity", "kind",
    "mean", "sd", "n", "error", "device",
]  # fmt: skip


def _csv(found: Sequence[Board]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_HEAD, lineterminator="\n")
    writer.writeheader()
    for board in found:
        for row in (*board.rows, *board.floor):
            for quantity, kind, summary, device in _quantities(board, row):
                if summary is not None:
                    numbers = {"mean": summary.mean, "sd": summary.sd, "n": summary.n, "error": summary.error}
                    writer.writerow(_csv_row(board, row) | numbers | {"quantity": quantity, "kind": kind, "device": device})
    return text.getvalue()


def _csv_row(board: Board, row: Row) -> dict[str, object]:
    p, first = board.protocol, row.first
    return {
        "protocol": p.hash, "dataset": p.dataset, "protocol_name": p.name, "split": p.split, "extractor": p.extractor,
        "generated_images": p.generated_images, "reference_images": p.reference_images, "extractor_hash": p.extractor_hash,
        "evaluation_seed": p.evaluation_seed, "model": first.model, "variant": first.variant, "family": row.family,
        "config_hash": first.provenance.config_hash, "device_class": first.device_class,
        "seeds": " ".join(map(str, row.seeds)), "diverged": row.diverged,
    }  # fmt: skip


def _quantities(board: Board, row: Row) -> Iterable[tuple[str, str | None, Summary | None, str | None]]:
    for name in board.protocol.metrics:
        yield name, _kind_text(row) if metric_info(name).of_likelihood else None, row.metric(name), None
    unit = "nats" if likelihood_unit(board.protocol) == "nats" else "bits_per_dim"
    for conditional, name in ((False, unit), (True, f"{unit}_given_y")):
        yield name, _kind_text(row), row.nll(conditional), None
    yield "likelihood_network_evaluations", None, row.nll_evaluations, None
    yield "images_per_second", None, row.images_per_second, row.speed_device
    yield "latency_seconds", None, row.latency_seconds, row.speed_device
    yield "network_evaluations", None, row.network_evaluations, None
    yield "peak_memory_bytes", None, row.peak_memory_bytes, row.speed_device
    yield "parameters", None, _cost(row.records, lambda record: record.cost.parameters), None
    yield "images_seen", None, _cost(row.records, lambda record: record.images_in_all), None
    yield "train_seconds", None, row.train_seconds, " / ".join(sorted({record.cost.device for record in row.records}))


def _kind_text(row: Row) -> str:
    """Kind and what belongs to it: "bound, uniform dequantisation"."""
    return ", ".join(filter(None, [row.kind, _meaning(row)]))


def _cost(records: tuple[Record, ...], value: Callable[[Record], float]) -> Summary:
    return Summary(tuple(float(value(record)) for record in records))
