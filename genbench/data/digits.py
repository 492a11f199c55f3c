"""Scikit-learn's 1,797 scanned digits: 8x8 pixels, 17 grey levels, 10 classes; and binary draws of
them.

They come with scikit-learn: there is no download. A grey level is the number of black ones among
the 4 x 4 pixels of a scan in black and white. So a binary pixel b ~ Bernoulli(x / 16) is one of the
16, drawn at random: the binarisation by sampling that is usual for MNIST has a literal meaning here.

References:
    Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository (its test part)
    Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
        (binarisation by sampling)
    Burda, Grosse, Salakhutdinov (2016), Importance weighted autoencoders. arXiv:1509.00519
        (anew for each training image)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.data.decoded import Arrays, Split
from genbench.data.draws import binarise
from genbench.data.images import ImageData
from genbench.rng import Rng
from genbench.spec import Labels, Spec

__all__ = ["BinaryDigits", "Digits"]


class Digits(ImageData):
    """898 training, 180 validation and 719 test images, stratified by class.

    The arguments are those of `ImageData`.
    """

    name = "digits"
    spec = Spec((1, 8, 8), levels=17, y=Labels(10))
    sizes = (898, 180, 719)
    needs_folder = False

    def decode(self) -> dict[Split, Arrays]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        y = digits.target.astype(np.int64)
        rest, test_rows = train_test_split(
            np.arange(len(y)), test_size=719, stratify=y, random_state=0
        )
        train_rows, val_rows = train_test_split(
            rest, test_size=180, stratify=y[rest], random_state=0
        )
        x = digits.images.astype(np.uint8)[:, None]
        return {
            "train": (x[train_rows], y[train_rows]),
            "val": (x[val_rows], y[val_rows]),
            "test": (x[test_rows], y[test_rows]),
        }


class BinaryDigits(ImageData):
    """The digits with binary pixels, 1 with probability x / 16: drawn anew whenever a training image
    is dealt, and once, by seed 0, for validation and test.

    Image i of a split is the same digit in both data sets. The arguments are those of `ImageData`.
    """

    name = "digits-binary"
    spec = Spec((1, 8, 8), levels=2, y=Labels(10))
    sizes = Digits.sizes
    needs_folder = False

    def decode(self) -> dict[Split, Arrays]:
        splits: dict[Split, Arrays] = {}
        for split, (x, y) in self._grey.decode().items():
            rng = Rng(0, range(len(x))).split(f"digits-binary/{split}")
            splits[split] = (binarise(torch.tensor(x), rng, Digits.spec.levels).numpy(), y)
        return splits

    def training(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        return self._grey.tensors("train", device)

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        return binarise(x, rng, Digits.spec.levels)

    @property
    def _grey(self) -> Digits:
        """The digits in grey levels: 16 times the probabilities of the draws."""
        return Digits(str(self.root), self.batch_size)
