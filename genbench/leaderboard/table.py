"""Boards as Markdown, CSV and LaTeX.

A cell reads `mean ± sd` over training seeds, or the mean alone where there is one seed. Likelihoods
carry their kind, and are in bits per dimension, or in nats per image where the data has two levels:

    2.94       exact                <= 3.12    bound: the truth is at most this
    ~ 2.99     estimate             –          none

Bold and lead marks are those of `genbench.leaderboard.board`. CSV is one line per quantity and row,
with its protocol, in full
precision: quantities of different protocols share no column that could be compared by accident.
"""

from __future__ import annotations

from dataclasses import replace

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import (
    NONE,
    Cell,
    Column,
    Line,
    Maker,
    Table,
    batch_words,
    cost_cell,
    count_cell,
    density_cell,
    empty_floor,
    family_cell,
    join_names,
    judged_cell,
    kind_words,
    likelihood_cell,
    metric_cell,
    name_cell,
    nll_cell,
    plain_cell,
    range_text,
    rough_cell,
    seeds_cell,
    speed_cell,
    stability_cell,
    with_needs,
)
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.records.catalogue import diversity_metric, metric_info, quality_metric
from genbench.records.parts import ProtocolIdentity

__all__ = [
    "COMMAND",
    "FLOOR_SPREAD",
    "FORMER",
    "LEGEND",
    "board_table",
    "board_title",
    "comparison_table",
    "facts",
]

COMMAND = "genbench table"
FORMER = "former protocol, all trainings evaluated with one seed: intervals leave out sampling noise, and nothing is called best"
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


def facts(board: Board) -> list[tuple[str, str]]:
    """The header of a board: everything that a reader needs to know to compare it with another."""
    p = board.protocol
    runs = [record for row in board.rows for record in row.records]
    extractor = f"{p.extractor} (sha256 {(p.extractor_hash or '')[:8]})" if p.extractor else "none"
    reference = f"{p.reference_images:,} images of the {p.split} split"
    if p.statistics:
        reference = f"the statistics in {p.statistics} ({(p.statistics_hash or '')[:8]})"
    shape = "×".join(map(str, p.shape))
    trained = [record for record in runs if record.cost.device != "-"]
    return [
        ("Protocol", f"{p.name} ({p.hash[:8]})"),
        ("Data", f"{p.dataset} ({p.data_hash[:8]}), {shape}, {p.levels} levels"),
        ("Samples", f"{p.generated_images:,} generated against {reference}"),
        ("Extractor", extractor),
        (
            "Evaluation",
            f"{_seeding(p)}, chunks of {p.chunk:,}"
            + (f", {p.repeats} repeats" if p.repeats > 1 else ""),
        ),
        ("Training seeds", ", ".join(map(str, sorted({record.seed for record in runs}))) or NONE),
        (
            "Budget",
            f"{range_text(record.cost.images_seen for record in trained)} training images seen",
        ),
        ("Trained on", join_names(record.cost.device for record in trained)),
        ("Timed on", join_names(record.speed.device for record in runs if record.speed)),
    ]


def _seeding(protocol: ProtocolIdentity) -> str:
    if protocol.is_former:
        return f"seed {protocol.evaluation_seed} for all trainings (former protocol: intervals leave out sampling noise)"
    return f"every training by its own seed, from {protocol.evaluation_seed} and the training seed"


def board_title(board: Board) -> str:
    """What stands above a board: its protocol's name, what tells it from namesakes, and that it is
    of the former protocol.
    """
    words = filter(None, [board.apart, FORMER if board.protocol.is_former else ""])
    return " ".join([f"protocol {board.protocol.name}", *(f"({word})" for word in words)])


def board_table(board: Board) -> Table:
    """Every quantity of every row."""
    makers = _columns(board)
    lines = [Line(tuple(make(row) for _, make in makers), row.family) for row in board.rows]
    floor = [_floor_line(row, makers, 2 + len(board.protocol.metrics)) for row in board.floor]
    return Table(
        "Every measurement",
        tuple(column for column, _ in makers),
        (*lines, *(floor or [empty_floor(makers)])),
    )


def comparison_table(board: Board) -> Table:
    """The comparison of the lectures, in words from numbers: quality, diversity, likelihood, speed,
    stability, density.
    """
    quality = quality_metric(board.protocol)
    diversity = diversity_metric(board.protocol)
    makers: list[Maker] = [
        (Column("Model", words=True), lambda row: Cell(row.label, row.label, note=kind_words(row)))
    ]
    for metric, title in ((quality, "Sample quality"), (diversity, "Diversity")):
        if metric is not None:
            info = metric_info(metric)
            makers.append(
                (Column(f"{title}: {info.title}", info.better), judged_cell(board, metric))
            )
    makers.append(
        (
            Column(f"Likelihood: {likelihood_unit(board.protocol)}", "lower"),
            lambda row: likelihood_cell(board, row),
        )
    )
    makers.append((Column("Sampling: images/s", "higher"), lambda row: speed_cell(board, row)))
    makers.append((Column("Network evaluations"), lambda row: plain_cell(row.network_evaluations)))
    makers.append(
        (Column("Stability: sd/mean over seeds", "lower"), lambda row: stability_cell(board, row))
    )
    makers.append((Column("Density", words=True), density_cell))
    lines = [Line(tuple(make(row) for _, make in makers), row.family) for row in board.rows]
    floor = [_floor_line(row, makers, len(makers)) for row in board.floor]
    return Table(
        "Comparison",
        tuple(column for column, _ in makers),
        (*lines, *(floor or [empty_floor(makers)])),
    )


def _columns(board: Board) -> list[Maker]:
    makers: list[Maker] = [
        (Column("Model", words=True), name_cell),
        (Column("Family", words=True), family_cell),
    ]
    for name in board.protocol.metrics:
        info = metric_info(name)
        makers.append((Column(info.title, info.better), metric_cell(board, name)))
    for conditional in board.conditional:
        title = f"{likelihood_unit(board.protocol)} {'p(x | y)' if conditional else 'p(x)'}"
        makers.append((Column(title, "lower"), nll_cell(board, conditional)))
    return [
        *makers,
        (
            Column("Images/s", "higher"),
            lambda row: replace(rough_cell(row.images_per_second), note=batch_words(row)),
        ),
        (Column("Latency ms", "lower"), lambda row: rough_cell(row.latency_seconds, 1000)),
        (Column("Network evaluations"), lambda row: plain_cell(row.network_evaluations)),
        (Column("Peak MiB", "lower"), lambda row: plain_cell(row.peak_memory_bytes, 2**-20)),
        (
            Column("Parameters"),
            cost_cell(lambda row: count_cell(record.cost.parameters for record in row.records)),
        ),
        (
            Column("Images seen"),
            cost_cell(
                lambda row: with_needs(row, count_cell(r.images_in_all for r in row.records))
            ),
        ),
        (Column("Train s"), cost_cell(lambda row: with_needs(row, rough_cell(row.train_seconds)))),
        (Column("Seeds"), lambda row: seeds_cell(board, row)),
        (
            Column("Diverged"),
            lambda row: Cell(f"{row.diverged} of {len(row.records)}", row.diverged),
        ),
    ]


def _floor_line(row: Row, makers: list[Maker], measured: int) -> Line:
    """The noise floor has quality, but no likelihood, speed or cost."""
    cells = [replace(make(row), note="") for _, make in makers[:measured]]
    return Line((*cells, *(Cell(NONE) for _ in makers[measured:])), row.family, floor=True)
