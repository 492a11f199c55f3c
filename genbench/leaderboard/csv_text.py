"""Boards as CSV, one number a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import join_words
from genbench.leaderboard.row_cells import likelihood_meaning
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import metric_info
from genbench.records.record import Record

__all__ = ["Quantity", "csv_lines", "quantities"]

HEAD = [
    "protocol",
    "dataset",
    "protocol_name",
    "split",
    "generated_images",
    "reference_images",
    "extractor",
    "extractor_hash",
    "evaluation_seed",
    "model",
    "variant",
    "family",
    "config_hash",
    "device_class",
    "seeds",
    "diverged",
    "quantity",
    "kind",
    "mean",
    "sd",
    "n",
    "error",
    "device",
]


class Quantity(NamedTuple):
    """One quantity of a row.

    Attributes:
        name: Name of the quantity.
        summary: Its values over seeds; None where it was not measured.
        kind: Kind of a likelihood.
        device: Device that was timed.
    """

    name: str
    summary: Summary | None
    kind: str | None = None
    device: str | None = None


def csv_lines(boards: Sequence[Board]) -> str:
    """Every quantity of every row of some boards, in full precision, under one head."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEAD, lineterminator="\n")
    writer.writeheader()
    for board in boards:
        for row in (*board.rows, *board.floor):
            origin = row_fields(board, row)
            for quantity in quantities(board, row):
                if quantity.summary is not None:
                    writer.writerow(origin | quantity_fields(quantity, quantity.summary))
    return text.getvalue()


def row_fields(board: Board, row: Row) -> dict[str, object]:
    """The fields that all quantities of a row share: how it was measured, and what it is.

    Args:
        board: Where the row stands.
        row: A row, or the noise floor.
    """
    protocol = board.protocol
    record = row.first
    names = ("split", "generated_images", "reference_images", "extractor", "extractor_hash")
    return {
        "protocol": protocol.hash,
        "dataset": protocol.dataset,
        "protocol_name": protocol.name,
        **{name: getattr(protocol, name) for name in names},
        "evaluation_seed": protocol.evaluation_seed,
        "model": record.model,
        "variant": record.variant,
        "family": row.family,
        "config_hash": record.provenance.config_hash,
        "device_class": record.device_class,
        "seeds": " ".join(map(str, row.seeds)),
        "diverged": row.diverged,
    }


def quantity_fields(quantity: Quantity, summary: Summary) -> dict[str, object]:
    """The fields of one quantity."""
    return {
        "quantity": quantity.name,
        "kind": quantity.kind,
        "mean": summary.mean,
        "sd": summary.sd,
        "n": summary.n,
        "error": summary.error,
        "device": quantity.device,
    }


def quantities(board: Board, row: Row) -> Iterator[Quantity]:
    """Every quantity of a row: metrics, likelihoods, speed and cost.

    Args:
        board: Where the row stands.
        row: A row, or the noise floor.
    """
    kind = kind_text(row)
    for name in board.protocol.metrics:
        of_likelihood = metric_info(name).of_likelihood
        yield Quantity(name, row.metric(name), kind if of_likelihood else None)
    unit = "nats" if likelihood_unit(board.protocol) == "nats" else "bits_per_dim"
    yield Quantity(unit, row.nll(False), kind)
    yield Quantity(f"{unit}_given_y", row.nll(True), kind)
    yield Quantity("likelihood_network_evaluations", row.nll_evaluations)
    device = row.speed_device
    yield Quantity("images_per_second", row.images_per_second, device=device)
    yield Quantity("latency_seconds", row.latency_seconds, device=device)
    yield Quantity("network_evaluations", row.network_evaluations)
    yield Quantity("peak_memory_bytes", row.peak_memory_bytes, device=device)
    yield Quantity("parameters", cost_summary(row, lambda record: record.cost.parameters))
    yield Quantity("images_seen", cost_summary(row, lambda record: record.images_in_all))
    devices = sorted({record.cost.device for record in row.records})
    yield Quantity("train_seconds", row.train_seconds, device=" / ".join(devices))


def kind_text(row: Row) -> str:
    """Kind of a likelihood, and what it depends on: "bound, uniform dequantisation"."""
    return join_words(row.kind or "", likelihood_meaning(row))


def cost_summary(row: Row, cost: Callable[[Record], float]) -> Summary:
    """A cost over seeds."""
    return Summary(tuple(float(cost(record)) for record in row.records))
