"""A tour from Python: two families on points of the plane, trained, sampled, scored, compared.

python examples/tour.py          # about a minute on one CPU core; writes to runs/tour/

Every step is also a command: `genbench train`, `sample`, `evaluate`, `compare`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import genbench
from genbench.config.recipe import load_config
from genbench.evaluation.evaluate import evaluate
from genbench.formulas.pixels import bits_per_dim
from genbench.leaderboard.compare import compare
from genbench.records.record import Record
from genbench.records.store import read_record
from genbench.rng import Rng
from genbench.training.train import train


def train_and_score(recipe: str, seed: int, images: int, folder: Path) -> Record:
    """Train a recipe of points2d on a budget of `images` and measure it.

    The same call again reads what is there: a finished run is not trained twice.
    """
    run_dir = folder / recipe / f"s{seed}"
    config = load_config(
        f"points2d/{recipe}",
        [
            ("run_dir", str(run_dir)),
            ("seed", seed),
            ("budget.images", images),
            ("optimization.ema_half_life", images // 20),
            ("wandb.mode", "disabled"),
        ],
    )
    run = train(config)
    return read_record(evaluate(run, variant="default", out=folder))


def look_at(run_dir: Path) -> None:
    """Draw four points from a trained model and print them with their likelihoods."""
    model = genbench.load(run_dir)
    x = model.sample(Rng.of_samples(0, range(4)))
    # p(x) of integer points x on a grid of 256 x 256 cells; a GAN would raise a TypeError here
    bits = bits_per_dim(model.log_prob(x), model.spec.dims)
    for point, value in zip(x.flatten(1).tolist(), bits.tolist(), strict=True):
        print(f"  cell {point}: {value:.2f} bits/dim ({model.likelihood})")


def main(folder: Path = Path("runs/tour"), images: int = 200_000, seeds: int = 2) -> list[Record]:
    """The whole tour: a MADE, whose p(x) is exact, and a VAE, which bounds it from below."""
    records = []
    for recipe in ("made", "vae"):
        for seed in range(seeds):
            record = train_and_score(recipe, seed, images, folder)
            distance = record.metrics["energy_distance"].value
            print(f"{recipe}, seed {seed}: energy distance {distance:.4f}")
            records.append(record)
        look_at(folder / recipe / "s0")
    print("\n".join(compare(folder, "made", "vae")))
    return records


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
