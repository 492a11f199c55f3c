"""One process of a distributed run: trains every configuration that it is given, and writes what it ended with.

python ddp_worker.py OUT DEVICES NAME [NAME ...]      under LOCAL_RANK, MASTER_ADDR, MASTER_PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

import genbench.train
from genbench.config import load_config


def main(out: Path, devices: int, names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    rank, finish = int(os.environ.get("LOCAL_RANK", 0)), genbench.train._finish
    for name in names:
        folder = out / name.replace("/", "-")

        def keep(run, config, data, model, callbacks, folder=folder):
            folder.mkdir(parents=True, exist_ok=True)
            state = {"raw": {k: v.clone() for k, v in model.state_dict().items()}, "average": list(callbacks[0].average)}
            finish(run, config, data, model, callbacks)
            torch.save(state, folder / f"rank{rank}.pt")

        genbench.train._finish = keep
        overrides = [f"run_dir={folder}/run", f"trainer.devices={devices}", "wandb.mode=disabled", "trainer.accelerator=cpu"]
        config = load_config(name, [*overrides, "budget.images=320", "data.batch_size=16"], smoke=True)
        genbench.train.train(config)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
