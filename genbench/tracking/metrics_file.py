"""The metrics file of a run, metrics.jsonl: one line of JSON per log point."""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from genbench.system.files import stop_if_disk_full, write_atomic
from genbench.system.json_files import parse_json
from genbench.system.typed import Count, read_value

__all__ = ["MetricsFile", "cut_metrics", "read_metrics"]

log = logging.getLogger(__name__)


class MetricsFile(Logger):
    """Appends one line of JSON per log point, with the images seen under `images`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        """Empty, since a run has one file."""
        return ""

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: the configuration has a file of its own."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a line.

        Args:
            metrics: Values by their names.
            step: Images seen.
        """
        with stop_if_disk_full(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"images": step, **metrics}) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file. Damaged ones are left out, and a warning counts them.

    Args:
        path: The file, which may not exist.

    Returns:
        Each line as a mapping with `images`, and values by their names.
    """
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    damaged: list[int] = []
    content = path.read_bytes().decode(errors="replace")
    for number, text in enumerate(content.split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = parse_json(text)
            read_value(dict[str, float], line)
            read_value(Count, line.get("images"))
            lines.append(line)
        except ValueError:
            damaged.append(number)
    if damaged:
        log.warning(
            "%s: %d damaged lines are left out, the first of them line %d",
            path,
            len(damaged),
            damaged[0],
        )
    return lines


def cut_metrics(path: Path, images: int) -> None:
    """Remove the lines after a checkpoint, which training is about to log again.

    Args:
        path: The metrics file.
        images: Images seen at the checkpoint.
    """
    kept = [line for line in read_metrics(path) if line["images"] <= images]
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in kept))
