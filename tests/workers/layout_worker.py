"""One process of several that evaluate finished runs together, by small protocols and without timing.

python layout_worker.py RUNS OUT DEVICES        under LOCAL_RANK, MASTER_ADDR, MASTER_PORT; RUNS/first and RUNS/others hold a run
                                                folder per recipe: those of `first` are measured by all metrics, and by three processes
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

import genbench.evaluation.evaluate
from genbench.config.protocol import Protocol, load_protocol
from genbench.data.images import ImageData
from genbench.evaluation.evaluate import evaluate
from genbench.runs.build import open_run
from genbench.system.processes import join, rank

# of 40 images, by the number of processes: three uneven chunks for two, and fewer chunks than three
CHUNKS = {1: (16, 32), 2: (16,), 3: (32,)}

# they need more images, or score a whole universe
LARGE = ("fid_infinity", "class_recall", "memorisation", "kl")


def small(data: ImageData, chunk: int, every_metric: bool = True) -> Protocol:
    """The protocol of the data, of 40 images: with its metrics, or with the first of them."""
    own = load_protocol(data.protocol)
    metrics = tuple(name for name in own.metrics if name not in LARGE)
    if not every_metric:
        metrics = metrics[:1]
    return Protocol("small", metrics, 40, own.extractor, chunk=chunk, scored_images=40)


def main(runs: Path, out: Path, devices: int) -> None:
    torch.set_num_threads(1)
    join(devices, 1, "cpu")
    speed = {
        "images_per_second": 1.0,
        "batch": 1,
        "latency_seconds": 1.0,
        "network_evaluations": 1,
        "repeats": 1,
    }
    genbench.evaluation.evaluate.measure_speed = lambda *_, **__: {
        **speed,
        "peak_memory_bytes": 1,
        "device": "-",
    }
    drawn: list[torch.Tensor] = []
    draw_samples = genbench.evaluation.evaluate.draw_samples

    def keep(*arguments: Any) -> torch.Tensor:
        drawn.append(draw_samples(*arguments))
        return drawn[-1]

    genbench.evaluation.evaluate.draw_samples = keep
    folders = sorted((runs / "first").iterdir())
    if devices < 3:
        folders += sorted((runs / "others").iterdir())
    for run in folders:
        loaded = open_run(run)
        variant = next(iter(loaded.config.evaluations))
        for chunk in CHUNKS[devices]:
            protocol = small(loaded.data, chunk, run.parent.name == "first")
            genbench.evaluation.resolve.protocol_of = lambda _, protocol=protocol: protocol
            evaluate(run, variant, out / f"chunk{chunk}" / run.name)
            if rank() == 0:
                torch.save(drawn[-1], out / f"chunk{chunk}" / run.name / "images.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
