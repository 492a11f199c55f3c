"""One process of a distributed run: trains every configuration that it is given, and writes what it ended with.

python ddp_worker.py OUT DEVICES NAME [NAME ...]      under LOCAL_RANK, MASTER_ADDR, MASTER_PORT

What a configuration needs is one that came before it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

import genbench.training.train
from genbench.config.find import find_config
from genbench.config.recipe import load_config, written_out

# these draw previews and a curve on the way: two whose state that touches, a game, and a model that is finished after training
SHOWN = {"digits-binary/rbm", "digits/autoencoder", "digits/gan", "points2d/vae"}


def short(name: str) -> tuple[str, ...]:
    """Overrides of a configuration's training."""
    drawn = ("trainer.preview_every=1000000",)
    if name in SHOWN:
        drawn = ("trainer.preview_every=160", "trainer.curve_images=8")
    return ("budget.images=320", "data.batch_size=16", *drawn)


def main(out: Path, devices: int, names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    rank, finish, broadcast = (
        int(os.environ.get("LOCAL_RANK", 0)),
        genbench.training.train.finish,
        torch.distributed.broadcast,
    )
    broadcasts: list[int] = []

    def counted(*arguments, **options):
        broadcasts.append(1)
        return broadcast(*arguments, **options)

    torch.distributed.broadcast = counted
    for name in names:
        broadcasts.clear()
        folder = out / name.replace("/", "-")

        def keep(writer, data, model, callbacks, device, folder=folder):
            folder.mkdir(parents=True, exist_ok=True)
            state = {
                "raw": {k: v.clone() for k, v in model.state_dict().items()},
                "average": list(callbacks.ema.average),
            }
            state["broadcasts"] = len(broadcasts)
            finish(writer, data, model, callbacks, device)
            torch.save(state, folder / f"rank{rank}.pt")

        genbench.training.train.finish = keep
        overrides = [f"trainer.devices={devices}", "wandb.mode=disabled", "trainer.accelerator=cpu"]
        overrides += [f"run_dir={folder}/run", *short(name)]
        for need, needed in written_out(find_config(name)).get("needs", {}).items():
            its = (f"run_dir={out}/{needed.replace('/', '-')}/run", *short(needed))
            overrides += [f"needs.{need}.{key}" for key in its]
        config = load_config(name, overrides, smoke=True)
        genbench.training.train.train(config)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
