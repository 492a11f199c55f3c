"""The two tables of a board, which Markdown, CSV, LaTeX and the page print.

A cell reads `mean ± sd` over training seeds, or the mean alone where there is one seed. Likelihoods
carry their kind, and are in bits per dimension, or in nats per image where the data has two levels:

    2.94       exact                <= 3.12    bound: the truth is at most this
    ~ 2.99     estimate             –          none

Bold and lead marks are those of `genbench.leaderboard.board`. CSV is one line per quantity and row,
with its protocol, in full precision: quantities of different protocols share no column that could
be compared by accident.
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
    count_cell,
    join_names,
    plain_cell,
    range_text,
    rough_cell,
)
from genbench.leaderboard.row_cells import (
    batch_words,
    cost_cell,
    density_cell,
    empty_floor,
    family_cell,
    family_words,
    judged_cell,
    likelihood_cell,
    metric_cell,
    name_cell,
    nll_cell,
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
FORMER = (
    "former protocol, all trainings evaluated with one seed: intervals leave out sampling noise, "
    "and nothing is called best"
)
FLOOR_SPREAD = (
    "The ± of the noise floor is over random draws from the one training split, one a seed: the "
    "larger a share of the split they are, the more they overlap, and the less they spread "
    "beside fresh images."
)

# These notes stand below every board.
LEGEND = (
    (
        "Mean ± standard deviation over training seeds; one seed: the value alone. A seed on"
        " another kind of processor, which rounds otherwise, is another training: for a GAN that"
        " moves a metric as much as another seed does."
    ),
    (
        "Bold: better than every other row, by a 95 % interval over the training seeds, with no"
        " diverged run and as many seeds as the protocol asks for; genbench compare gives the"
        " intervals. Every training is evaluated by a seed of its own, so that the spread holds the"
        " noise of sampling; the reference images are common to all rows, and what other images"
        " would change is in no interval."
    ),
    (
        "Likelihood of integer images in bits per dimension, of binarised ones in nats per image: "
        "2.94 exact, <= 3.12 an upper bound, ~ 2.99 an estimate, – none. Bold only where it is "
        "proved: an exact value under a rival's bound proves nothing. Italic: the lowest figure of "
        "its kind, which is no proof."
    ),
    (
        "Beside a likelihood: its dequantisation and options, such as K weights; network"
        " evaluations per image where they are more than one; and the standard error over repeats"
        " with other noise, where there were any."
    ),
    (
        "Finer steps: the integral behind a likelihood was taken in steps, and half the step, or"
        " ten times the tolerance, moves it by so much, on 64 images, which is more than its digits"
        " show."
    ),
    (
        "Images/s at the batch size where they are largest. Extrapolated: a whole call would have "
        "taken too long, so a part of its network evaluations was timed, and of one image the same "
        "part and the whole."
    ),
    (
        "A likelihood is the model's, whatever sampler makes the samples of its row. DDIM,"
        " ancestral sampling without its last noise and a VAE's mean images (vae@mean) follow other"
        " distributions than the one whose likelihood stands beside them."
    ),
    (
        "Stability: standard deviation over mean of the quality metric over training seeds; where "
        "the mean is within two errors of zero that ratio is noise, and the standard deviation "
        "stands there alone."
    ),
    (
        "Given labels: a model of p(x given y), told the class in training and for every sample, by"
        " the classes' shares of the training split; it is ranked among its like, not among models"
        " of p(x)."
    ),
    (
        "Foreign: images that another tool made, scored by the same protocol; of their cost, speed "
        "and likelihood nothing is known."
    ),
    "Noise floor: as many training images as there are samples, scored like samples. Not ranked. "
    "A shipped extractor has learnt from training images, and sees them a little otherwise than "
    "fresh ones. " + FLOOR_SPREAD,
)


def facts(board: Board) -> list[tuple[str, str]]:
    """The header of a board: everything that a reader needs to know to compare it with another.

    Returns:
        Name and text of each fact.
    """
    protocol = board.protocol
    runs = [record for row in board.rows for record in row.records]
    trained = [record for record in runs if record.cost.device != "-"]
    seeds = sorted({record.seed for record in runs})
    shape = "×".join(map(str, protocol.shape))
    data = f"{protocol.dataset} ({protocol.data_hash[:8]}), {shape}, {protocol.levels} levels"
    evaluation = f"{seed_rule(protocol)}, chunks of {protocol.chunk:,}"
    if protocol.repeats > 1:
        evaluation = f"{evaluation}, {protocol.repeats} repeats"
    images_seen = range_text(record.cost.images_seen for record in trained)
    return [
        ("Protocol", f"{protocol.name} ({protocol.hash[:8]})"),
        ("Data", data),
        ("Samples", f"{protocol.generated_images:,} generated against {reference_text(protocol)}"),
        ("Extractor", extractor_text(protocol)),
        ("Evaluation", evaluation),
        ("Training seeds", ", ".join(map(str, seeds)) or NONE),
        ("Budget", f"{images_seen} training images seen"),
        ("Trained on", join_names(record.cost.device for record in trained)),
        ("Timed on", join_names(record.speed.device for record in runs if record.speed)),
    ]


def reference_text(protocol: ProtocolIdentity) -> str:
    """What samples are compared with."""
    if protocol.statistics:
        return f"the statistics in {protocol.statistics} ({(protocol.statistics_hash or '')[:8]})"
    return f"{protocol.reference_images:,} images of the {protocol.split} split"


def extractor_text(protocol: ProtocolIdentity) -> str:
    """Name of the feature extractor, and the first digits of the hash of its weights."""
    if not protocol.extractor:
        return "none"
    return f"{protocol.extractor} (sha256 {(protocol.extractor_hash or '')[:8]})"


def seed_rule(protocol: ProtocolIdentity) -> str:
    """Which seed every training is evaluated by."""
    seed = protocol.evaluation_seed
    if protocol.is_former:
        reason = "former protocol: intervals leave out sampling noise"
        return f"seed {seed} for all trainings ({reason})"
    return f"every training by its own seed, from {seed} and the training seed"


def board_title(board: Board) -> str:
    """What stands above a board: its protocol's name, what tells it from namesakes, and that it is
    of the former protocol.
    """
    title = f"protocol {board.protocol.name}"
    if board.apart:
        title = f"{title} ({board.apart})"
    if board.protocol.is_former:
        title = f"{title} ({FORMER})"
    return title


def board_table(board: Board) -> Table:
    """The table of every measurement of every row."""
    columns = all_columns(board)
    # The noise floor has a name, a family and metrics, but no likelihood, speed or cost.
    return make_table("Every measurement", board, columns, 2 + len(board.protocol.metrics))


def comparison_table(board: Board) -> Table:
    """The comparison of the lectures, in words from numbers: quality, diversity, likelihood, speed,
    stability, density.
    """
    columns = comparison_columns(board)
    return make_table("Comparison", board, columns, len(columns))


def make_table(title: str, board: Board, columns: list[Maker], floor_columns: int) -> Table:
    """A table of a board's rows, and of the noise floor below them.

    Args:
        title: Title of the table.
        board: The board.
        columns: Each column with the function that makes its cells.
        floor_columns: How many of the first columns the noise floor fills.
    """
    lines = [Line(tuple(make(row) for _, make in columns), row.family) for row in board.rows]
    floor = [floor_line(row, columns, floor_columns) for row in board.floor]
    if not floor:
        floor = [empty_floor(columns)]
    return Table(title, tuple(column for column, _ in columns), (*lines, *floor))


def floor_line(row: Row, columns: list[Maker], floor_columns: int) -> Line:
    """The line of a noise floor: the first columns are filled, without notes."""
    cells = [replace(make(row), note="") for _, make in columns[:floor_columns]]
    rest = [Cell(NONE) for _ in columns[floor_columns:]]
    return Line((*cells, *rest), row.family, floor=True)


def comparison_columns(board: Board) -> list[Maker]:
    """The columns of the comparison."""

    def model(row: Row) -> Cell:
        return Cell(row.label, row.label, note=family_words(row))

    columns: list[Maker] = [(Column("Model", words=True), model)]
    aspects = {
        "Sample quality": quality_metric(board.protocol),
        "Diversity": diversity_metric(board.protocol),
    }
    for aspect, metric in aspects.items():
        if metric is not None:
            info = metric_info(metric)
            column = Column(f"{aspect}: {info.title}", info.better)
            columns.append((column, judged_cell(board, metric)))
    unit = likelihood_unit(board.protocol)
    stability = Column("Stability: sd/mean over seeds", "lower")
    return [
        *columns,
        (Column(f"Likelihood: {unit}", "lower"), lambda row: likelihood_cell(board, row)),
        (Column("Sampling: images/s", "higher"), lambda row: speed_cell(board, row)),
        (Column("Network evaluations"), lambda row: plain_cell(row.network_evaluations)),
        (stability, lambda row: stability_cell(board, row)),
        (Column("Density", words=True), density_cell),
    ]


def all_columns(board: Board) -> list[Maker]:
    """The columns of every measurement."""
    columns: list[Maker] = [
        (Column("Model", words=True), name_cell),
        (Column("Family", words=True), family_cell),
    ]
    for name in board.protocol.metrics:
        info = metric_info(name)
        columns.append((Column(info.title, info.better), metric_cell(board, name)))
    unit = likelihood_unit(board.protocol)
    for conditional in board.conditional:
        variables = "x | y" if conditional else "x"
        column = Column(f"{unit} p({variables})", "lower")
        columns.append((column, nll_cell(board, conditional)))
    return [*columns, *speed_columns(), *cost_columns(board)]


def speed_columns() -> list[Maker]:
    """The columns of sampling speed."""

    def images(row: Row) -> Cell:
        return replace(rough_cell(row.images_per_second), note=batch_words(row))

    return [
        (Column("Images/s", "higher"), images),
        (Column("Latency ms", "lower"), lambda row: rough_cell(row.latency_seconds, 1000)),
        (Column("Network evaluations"), lambda row: plain_cell(row.network_evaluations)),
        (Column("Peak MiB", "lower"), lambda row: plain_cell(row.peak_memory_bytes, 2**-20)),
    ]


def cost_columns(board: Board) -> list[Maker]:
    """The columns of what training took.

    Args:
        board: The board, which knows how many seeds a row needs.
    """

    def parameters(row: Row) -> Cell:
        return count_cell(record.cost.parameters for record in row.records)

    def images_seen(row: Row) -> Cell:
        return with_needs(row, count_cell(record.images_in_all for record in row.records))

    def train_seconds(row: Row) -> Cell:
        return with_needs(row, rough_cell(row.train_seconds))

    def diverged(row: Row) -> Cell:
        return Cell(f"{row.diverged} of {len(row.records)}", row.diverged)

    return [
        (Column("Parameters"), cost_cell(parameters)),
        (Column("Images seen"), cost_cell(images_seen)),
        (Column("Train s"), cost_cell(train_seconds)),
        (Column("Seeds"), lambda row: seeds_cell(board, row)),
        (Column("Diverged"), diverged),
    ]
