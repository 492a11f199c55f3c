"""Two processes against one, with one thread each and the same global batch: how much faster training is, and what it loses to talk.

    python benchmarks/ddp.py [digits/vae digits/ddpm digits/gan ...]      # two quiet cores

    efficiency = (images/s of two processes) / (2 x images/s of one)

Both train by `genbench train`'s own function, the two over gloo on this machine; start and end are left out. They take turns, and the
medians over the rounds count. Two processes look for a stop request every 16 batches, which is a collective of one number. What that
look costs is measured with it at every batch and without it: a sixteenth of the difference is what a batch pays.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile

STEPS, ROUNDS = 300, 7
NEVER = 10**9


class Team:
    """Processes of this script that train together, again and again."""

    def __init__(self, size: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
        self.ranks = [
            subprocess.Popen(
                [sys.executable, __file__, "--rank", str(size)],
                env={**os.environ, **common, "LOCAL_RANK": str(rank)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL, text=True,
            )
            for rank in range(size)
        ]  # fmt: skip

    def seconds(self, name: str, every: int) -> float:
        """Per step, with a look for a stop request at every so many batches."""
        with tempfile.TemporaryDirectory() as folder:
            for process in self.ranks:
                assert process.stdin is not None
                process.stdin.write(f"{name} {every} {folder}\n")
                process.stdin.flush()
            assert self.ranks[0].stdout is not None
            return float(self.ranks[0].stdout.readline())

    def end(self) -> None:
        for process in self.ranks:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def rank(size: int) -> None:
    """One process of a team: trains what it is told, line by line, and says the seconds of a step."""
    import torch

    from genbench.callbacks import Keeper
    from genbench.config import load_config
    from genbench.loggers import read_metrics
    from genbench.train import train

    torch.set_num_threads(1)
    for line in sys.stdin:
        name, every, folder = line.split()
        Keeper._AGREE_EVERY = int(every)
        batch = load_config(name).resolved["data"]["batch_size"]
        images = (STEPS + STEPS // 10) * batch
        settings = {
            "run_dir": f"{folder}/run", "wandb.mode": "disabled", "trainer.devices": size, "trainer.accelerator": "cpu",
            "budget.images": images, "trainer.log_every": images // 11,
            "trainer.preview_every": 10 * images, "trainer.checkpoint_every": 10 * images,
        }  # fmt: skip
        run = train(load_config(name, [f"{key}={value}" for key, value in settings.items()]))
        first, *_, last = read_metrics(run.metrics)
        print((last["seconds"] - first["seconds"]) / ((last["images"] - first["images"]) / batch), flush=True)


def main(names: list[str]) -> None:
    from genbench.callbacks import Keeper
    from genbench.config import load_config

    one, two, every = Team(1), Team(2), Keeper._AGREE_EVERY
    for name in names:
        rounds = [
            (one.seconds(name, every), two.seconds(name, every), two.seconds(name, 1), two.seconds(name, NEVER))
            for _ in range(ROUNDS + 1)
        ][1:]  # the first one warms up
        alone, both, always, never = (statistics.median(times) for times in zip(*rounds))
        ratios = sorted(alone / both for alone, both, _, _ in rounds)
        batch = load_config(name).resolved["data"]["batch_size"]
        print(
            f"{name}, batch {batch}: one process {batch / alone:,.0f} images/s ({alone * 1e3:.2f} ms a step), "
            f"two {batch / both:,.0f} ({both * 1e3:.2f} ms): "
            f"{alone / both:.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}), efficiency {alone / both / 2:.0%}; "
            f"looks for a stop request: {(always - never) / every * 1e3:.3f} ms a step",
            flush=True,
        )
    one.end()
    two.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        rank(int(sys.argv[2]))
    else:
        main(sys.argv[1:] or ["digits/vae", "digits/ddpm", "digits/gan"])
