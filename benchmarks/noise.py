"""What differences between sample metrics mean: measured on images of the training split that play the samples.

    python benchmarks/noise.py digits mnist cifar10 [--out leaderboards]

For every data set, by the extractor that the package ships for it, against the test split:

    bias        FID of n held-out training images for several n, ten draws each: what a perfect model would get, and its spread
    changes     the same n images spoilt: every class dropped in turn, and Gaussian noise of several widths added to the pixels

Writes <out>/noise/<data>.json; `genbench table --write` makes <out>/README.md of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

from genbench.data.commands import named
from genbench.data.images import ImageData
from genbench.metrics.extractor import Extractor, load_extractor
from genbench.metrics.features import Features, sample_metrics
from genbench.rng import Rng
from genbench.system.json_files import write_json
from genbench.system.locations import project_root

SIZES = (100, 200, 500, 719, 1_000, 2_000, 5_000, 10_000)
DRAWS = 10
METRICS = (
    "fid",
    "fid_infinity",
    "is",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "class_recall",
)
# standard deviation of the noise, in shares of the grey scale
NOISE = (1 / 64, 1 / 32, 1 / 16, 1 / 8)
CHUNK = 256


def features(x: Tensor, extractor: Extractor) -> Features:
    """Features of images, uint8 (N, C, H, W)."""
    parts = [extractor(rows) for rows in x.split(CHUNK)]
    return Features(torch.cat([h for h, _ in parts]), torch.cat([logits for _, logits in parts]))


def summary(values: list[float]) -> dict[str, float | None]:
    """Mean and standard deviation."""
    return {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else None}


def draws(n: int, images: int, purpose: str) -> list[Tensor]:
    """Indices of n of so many images, drawn without replacement, ten times or once where n is all of them."""
    rng = Rng(0, range(DRAWS if n < images else 1)).split(purpose)
    return [order[:n] for order in rng.bits((images,)).argsort(dim=1, stable=True)]


def bias(train: Features, reference: Features) -> list[dict[str, object]]:
    """FID, and FID extrapolated, of n training images."""
    rows = []
    for n in (n for n in SIZES if n <= len(train.features)):
        found = []
        for k, index in enumerate(draws(n, len(train.features), "bias")):
            rng = Rng(k, range(15)).split("errors")
            found.append(
                sample_metrics(_rows(train, index), reference, ("fid", "fid_infinity"), rng)
            )
        rows.append(
            {
                "n": n,
                **{
                    name: summary([one[name][0] for one in found])
                    for name in ("fid", "fid_infinity")
                },
            }
        )
    return rows


def changes(
    data: ImageData, extractor: Extractor, n: int, reference: Features
) -> list[dict[str, object]]:
    """Metrics of n training images, as they are and spoilt."""
    x, y = data.tensors("train")
    _, labels = data.tensors("test")
    assert y is not None

    def measured(images: list[Tensor], name: str) -> dict[str, object]:
        found = [
            sample_metrics(
                features(part, extractor),
                reference,
                METRICS,
                Rng(k, range(15)).split("errors"),
                labels,
            )
            for k, part in enumerate(images)
        ]
        return {
            "change": name,
            **{metric: summary([one[metric][0] for one in found]) for metric in METRICS},
        }

    three = draws(n, len(x), "changes")[:3]
    rows = [measured([x[index] for index in three], "none")]
    kept = [torch.nonzero(y != label).flatten() for label in y.unique()]
    dropped = [
        x[rows_of[draws(n, len(rows_of), f"without {k}")[0]]] for k, rows_of in enumerate(kept)
    ]
    rows.append(measured(dropped, "one class dropped (mean over the classes)"))
    for width in NOISE:
        rows.append(
            measured(
                [spoilt(x[index], width, data.spec.levels, k) for k, index in enumerate(three)],
                noise_name(width),
            )
        )
    return rows


def spoilt(x: Tensor, width: float, levels: int, seed: int) -> Tensor:
    """Images with Gaussian noise of a share of the grey scale, rounded and cut to the scale."""
    noise = Rng(seed, range(len(x))).split("pixel noise").normal(x.shape[1:])
    return (x + width * (levels - 1) * noise).round().clamp(0, levels - 1).to(torch.uint8)


def noise_name(width: float) -> str:
    return f"pixel noise, sd 1/{round(1 / width)} of the scale"


def _rows(found: Features, index: Tensor) -> Features:
    return Features(found.features[index], found.logits[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, default=project_root() / "leaderboards")
    given = parser.parse_args()
    for name in given.data:
        data = named(name)
        extractor = load_extractor(name, levels=data.spec.levels)
        test, train = (features(data.tensors(split)[0], extractor) for split in ("test", "train"))
        n = min(2_000, len(data.tensors("train")[0]) * 5 // 6)
        write_json(
            given.out / "noise" / f"{name}.json",
            {
                "data": name, "data_hash": data.content_hash, "extractor": extractor.name, "extractor_hash": extractor.hash,
                "train_images": len(train.features), "reference_images": len(test.features), "draws": DRAWS, "n": n,
                "bias": bias(train, test), "changes": changes(data, extractor, n, test),
            },
        )  # fmt: skip
        print(given.out / "noise" / f"{name}.json", flush=True)


if __name__ == "__main__":
    main()
