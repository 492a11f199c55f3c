"""What the sample metrics of one evaluation cost, and their standard errors on top: CPU seconds at 64 features.

python benchmarks/metrics.py [--images 2000] [--reference 10000] [--features 64] [--threads 1]
"""

from __future__ import annotations

import argparse
import time

import torch

from genbench.metrics.features import Features, sample_metrics
from genbench.rng import Rng

PLAIN = ("fid", "is", "kid", "precision", "recall", "density", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (
        ("images", 2000),
        ("reference", 10_000),
        ("features", 64),
        ("threads", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    x = 1.05 * Rng(0, range(given.images)).split("x").normal((given.features,))
    r, train = (
        Rng(0, range(n)).split(f"{n}").normal((given.features,)) for n in (given.reference, 50_000)
    )
    sets, labels = (
        (Features(x, x[:, :10]), Features(r, r[:, :10])),
        torch.arange(given.reference) % 10,
    )
    for names in (
        PLAIN,
        *((name,) for name in PLAIN),
        ("fid_infinity",),
        ("class_recall",),
        ("memorisation",),
    ):
        seconds = []
        # fid_infinity needs 15 draws for its value alone
        for draws in (15 if "fid_infinity" in names else 1, 50):
            start = time.process_time()
            sample_metrics(*sets, names, Rng(0, range(draws)), labels, train)
            seconds.append(time.process_time() - start)
        print(
            f"{' '.join(names)}: {seconds[1]:.2f} s, of which errors {seconds[1] - seconds[0]:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
