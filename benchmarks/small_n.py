"""Does a metric of few samples put models in the order that FID of many samples gives? MIND, FID and KID at several n.

    python benchmarks/small_n.py RUN RUN [RUN ...] [--most 5000]

RUN is the folder of a finished run; all are of one data set whose protocol has an extractor. From `most` samples of each model, n are
drawn ten times. The reference is the whole test split. Printed is, for every metric and n, how many of the ten draws put the
models in the order of FID of all samples, Kendall's tau between the two orders, and the means.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import combinations
from statistics import fmean

import torch
from torch import Tensor

from genbench.config.protocol import load_protocol
from genbench.config.settings import Evaluation
from genbench.evaluation.draw import draw_samples
from genbench.evaluation.reference import features_of, reference_of
from genbench.metrics.extractor import load_extractor
from genbench.metrics.frechet import fid
from genbench.metrics.kid import kernel_distance
from genbench.metrics.mind import mind
from genbench.rng import Rng
from genbench.runs.build import open_run

SIZES = (100, 200, 400, 719)
DRAWS = 10


def kid(x: Tensor, r: Tensor) -> float:
    """The kernel distance, without its error."""
    return kernel_distance(x, r)[0]


METRICS = {"FID": fid, "MIND": mind, "KID": kid}


def features(runs: list[str], most: int) -> tuple[dict[str, Tensor], Tensor]:
    """Features of so many samples of every run, by its model's name, and those of the test split."""
    sets = {}
    for folder in runs:
        loaded = open_run(folder)
        protocol = load_protocol(loaded.config.resolved["protocol"] or loaded.data.protocol)
        protocol = replace(protocol, metrics=("fid",), images=most)
        extractor = load_extractor(str(protocol.extractor))
        reference = reference_of(loaded.data, protocol, extractor, "cpu")["reference"].features
        seeded = protocol.of_training(loaded.config.seed)
        images = draw_samples(loaded, Evaluation(), seeded, "cpu")
        sets[loaded.config.name] = features_of(images, extractor, seeded, "cpu").features
    return sets, reference


def tau(a: list[float], b: list[float]) -> float:
    """Kendall's tau of two orders without ties."""
    pairs = list(combinations(range(len(a)), 2))
    same = sum((a[i] - a[j]) * (b[i] - b[j]) > 0 for i, j in pairs)
    return 2 * same / len(pairs) - 1


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Orders of models by metrics of few samples.")
    parser.add_argument("runs", nargs="+", help="folders of finished runs of one data set")
    parser.add_argument("--most", type=int, default=5_000, help="samples of each model")
    options = parser.parse_args()
    sets, reference = features(options.runs, options.most)
    whole = {
        name: [measure(x, reference) for x in sets.values()] for name, measure in METRICS.items()
    }
    truth = whole["FID"]
    print(
        f"| n | Metric | Draws in the order of FID at n = {options.most:,} | Mean tau | {' | '.join(sets)} |"
    )
    print(f"| ---: | :--- | ---: | ---: | {'---: | ' * len(sets)}")
    for n in (n for n in SIZES if n < options.most):
        orders = Rng(0, range(DRAWS)).split("few samples").bits((options.most,)).argsort(dim=1)
        for name, measure in METRICS.items():
            draws = [[measure(x[rows[:n]], reference) for x in sets.values()] for rows in orders]
            taus = [tau(values, truth) for values in draws]
            same = sum(value == 1 for value in taus)
            means = [f"{fmean(values):.3g}" for values in zip(*draws)]
            print(
                f"| {n} | {name} | {same} of {DRAWS} | {fmean(taus):.2f} | {' | '.join(means)} |",
                flush=True,
            )
    for name, values in whole.items():
        text = " | ".join(f"{value:.3g}" for value in values)
        print(f"| {options.most} | {name} | | {tau(values, truth):.2f} | {text} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
