"""What logging to wandb offline costs per training step, at the recipe's budget and the default cadence of log points.

    python benchmarks/wandb_cost.py [digits/vae ...]

The same training with wandb offline and disabled, in turns; the seconds are those of the whole loop, previews and checkpoints left
out. The ratio of the medians is what counts; on a busy machine the spread of either is larger than the difference.
"""

from __future__ import annotations

import statistics
import sys
import tempfile

from genbench.config.recipe import load_config
from genbench.tracking.metrics_file import read_metrics
from genbench.training.train import train

ROUNDS = 8


def seconds_per_step(name: str, mode: str) -> float:
    """Between the first and the last of a hundred log points."""
    config = load_config(name)
    batch, images = config.resolved["data"]["batch_size"], config.budget.images
    with tempfile.TemporaryDirectory() as folder:
        settings = {"run_dir": f"{folder}/run", "wandb.mode": mode, "budget.images": images,
                    "trainer.preview_every": 10 * images, "trainer.checkpoint_every": 10 * images}  # fmt: skip
        run = train(load_config(name, [f"{key}={value}" for key, value in settings.items()]))
        first, *_, last = read_metrics(run.metrics)
    return (last["seconds"] - first["seconds"]) / ((last["images"] - first["images"]) / batch)


def main(names: list[str]) -> None:
    for name in names:
        pairs = []
        for _ in range(ROUNDS):
            modes = (
                ("offline", "disabled") if len(pairs) % 2 else ("disabled", "offline")
            )  # the machine may be warming up
            taken = {mode: seconds_per_step(name, mode) for mode in modes}
            pairs.append((taken["offline"], taken["disabled"]))
            print(
                f"{name}: {pairs[-1][0] * 1e3:.3f} ms offline, {pairs[-1][1] * 1e3:.3f} ms disabled",
                flush=True,
            )
        on, off = (statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        print(
            f"{name}: {on * 1e3:.3f} ms per step offline, {off * 1e3:.3f} disabled, ratio {on / off:.3f}, of pairs {ratio:.3f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits/vae"])
