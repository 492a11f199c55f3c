"""Two processes against one, with one thread each: how much faster training is, and what it loses to talk.

    python benchmarks/ddp.py [digits/vae digits/ddpm digits/gan ...]      # two quiet cores

    efficiency = (images/s of two processes) / (2 x images/s of one)

once with the same global batch, of which each of the two has half, and once with twice the batch, of which each has as much as the one.
The part of a step that does not depend on the batch counts against the first alone. Both train by `genbench train`'s own function, the
two over gloo on this machine; start and end are left out. They take turns, and the medians over the rounds count. Two processes look
for a stop request every 16 batches, which is a collective of one number. What that look costs is measured with it at every batch and
without it: a sixteenth of the difference is what a batch pays.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile

STEPS, ROUNDS = 200, 5
NEVER = 10**9


class Team:
    """Processes of this script that train together, again and again."""

    def __init__(self, size: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        common = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "NODE_RANK": "0",
            "OMP_NUM_THREADS": "1",
        }
        self.ranks = [
            subprocess.Popen(
                [sys.executable, __file__, "--rank", str(size)],
                env={**os.environ, **common, "LOCAL_RANK": str(rank)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL, text=True,
            )
            for rank in range(size)
        ]  # fmt: skip

    def seconds(self, name: str, batch: int, every: int) -> float:
        """Per step of this global batch, with a look for a stop request at every so many batches."""
        with tempfile.TemporaryDirectory() as folder:
            for process in self.ranks:
                assert process.stdin is not None
                process.stdin.write(f"{name} {batch} {every} {folder}\n")
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

    from genbench.config.recipe import load_config
    from genbench.tracking.metrics_file import read_metrics
    from genbench.training.checkpointer import Checkpointer
    from genbench.training.train import train

    torch.set_num_threads(1)
    for line in sys.stdin:
        name, of, every, folder = line.split()
        batch, Checkpointer.AGREE_EVERY = int(of), int(every)
        images = (STEPS + STEPS // 10) * batch
        settings = {
            "run_dir": f"{folder}/run", "wandb.mode": "disabled", "trainer.devices": size, "trainer.accelerator": "cpu",
            "data.batch_size": batch, "budget.images": images, "trainer.log_every": images // 11,
            "trainer.preview_every": 10 * images, "trainer.checkpoint_every": 10 * images,
        }  # fmt: skip
        run = train(load_config(name, [f"{key}={value}" for key, value in settings.items()]))
        first, *_, last = read_metrics(run.metrics)
        print(
            (last["seconds"] - first["seconds"]) / ((last["images"] - first["images"]) / batch),
            flush=True,
        )


def main(names: list[str]) -> None:
    from genbench.config.recipe import load_config
    from genbench.training.checkpointer import Checkpointer

    one, two, every = Team(1), Team(2), Checkpointer.AGREE_EVERY
    for name in names:
        batch = load_config(name).resolved["data"]["batch_size"]
        cases = (
            (one, batch, every),
            (two, batch, every),
            (two, 2 * batch, every),
            (two, batch, 1),
            (two, batch, NEVER),
        )
        rounds = [[team.seconds(name, *case) for team, *case in cases] for _ in range(ROUNDS + 1)][
            1:
        ]  # the first one warms up
        alone, halves, both, always, never = (statistics.median(times) for times in zip(*rounds))
        print(
            f"{name}: one process {batch / alone:,.0f} images/s ({alone * 1e3:.2f} ms a step of {batch}); "
            f"two, {batch // 2} each: {batch / halves:,.0f} ({halves * 1e3:.2f} ms), efficiency {alone / halves / 2:.0%}; "
            f"{batch} each: {2 * batch / both:,.0f} ({both * 1e3:.2f} ms), efficiency {alone / both:.0%}; "
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
