"""Boards as CSV, one number a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from genbench.leaderboard.board import Board
from genbench.leaderboard.row_cells import likelihood_meaning
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import metric_info
from genbench.records.record import Record

__all__ = ["csv_lines"]

_CSV_HEAD = [
    "protocol", "dataset", "protocol_name", "split", "generated_images", "reference_images", "extractor", "extractor_hash",
    "evaluation_seed", "model", "variant", "family", "config_hash", "device_class", "seeds", "diverged", "quantity", "kind",
    "mean", "sd", "n", "error", "device",
]  # fmt: skip


def csv_lines(found: Sequence[Board]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_HEAD, lineterminator="\n")
    writer.writeheader()
    for board in found:
        for row in (*board.rows, *board.floor):
            for quantity, kind, summary, device in _quantities(board, row):
                if summary is not None:
                    numbers = {
                        "mean": summary.mean,
                        "sd": summary.sd,
                        "n": summary.n,
                        "error": summary.error,
                    }
                    writer.writerow(
                        _csv_row(board, row)
                        | numbers
                        | {"quantity": quantity, "kind": kind, "device": device}
                    )
    return text.getvalue()


def _csv_row(board: Board, row: Row) -> dict[str, object]:
    p = board.protocol
    first = row.first
    return {
        "protocol": p.hash, "dataset": p.dataset, "protocol_name": p.name, "split": p.split, "extractor": p.extractor,
        "generated_images": p.generated_images, "reference_images": p.reference_images, "extractor_hash": p.extractor_hash,
        "evaluation_seed": p.evaluation_seed, "model": first.model, "variant": first.variant, "family": row.family,
        "config_hash": first.provenance.config_hash, "device_class": first.device_class,
        "seeds": " ".join(map(str, row.seeds)), "diverged": row.diverged,
    }  # fmt: skip


def _quantities(
    board: Board, row: Row
) -> Iterable[tuple[str, str | None, Summary | None, str | None]]:
    for name in board.protocol.metrics:
        yield (
            name,
            _kind_text(row) if metric_info(name).of_likelihood else None,
            row.metric(name),
            None,
        )
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
    yield (
        "train_seconds",
        None,
        row.train_seconds,
        " / ".join(sorted({record.cost.device for record in row.records})),
    )


def _kind_text(row: Row) -> str:
    """Kind and what belongs to it: "bound, uniform dequantisation"."""
    return ", ".join(filter(None, [row.kind, likelihood_meaning(row)]))


def _cost(records: tuple[Record, ...], value: Callable[[Record], float]) -> Summary:
    return Summary(tuple(float(value(record)) for record in records))
