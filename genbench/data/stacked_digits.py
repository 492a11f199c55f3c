"""Stacks of three digits, one in each colour channel: 1,000 modes, one for every three labels.

A stack holds three of scikit-learn's digits, drawn independently and uniformly from one split of
them, as the channels of an image of 8 x 8 pixels. Its label is 100 a + 10 b + c, where a, b and c are
the labels of its channels. All 1,000 labels are almost equally frequent, and so the number of labels
among samples says which share of the data a model has dropped.

The papers stack digits of MNIST, 28 x 28 pixels: their numbers of modes compare with no number here.

References:
    Metz, Poole, Pfau, Sohl-Dickstein (2017), Unrolled Generative Adversarial Networks.
    arXiv:1611.02163 (section 3.3.1)
    Srivastava, Valkov, Russell, Gutmann, Sutton (2017), VEEGAN. arXiv:1705.07761 (section 4.2)
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from genbench.data.decoded import Arrays, Split
from genbench.data.digits import Digits
from genbench.data.images import ImageData
from genbench.rng import Rng
from genbench.spec import Labels, Spec

__all__ = ["StackedDigits"]


class StackedDigits(ImageData):
    """20,000 training, 2,000 validation and 10,000 test stacks, each of the digits of its own split.

    No digit is in stacks of two splits. The draws have the seed 0: they are part of the data. The
    arguments are those of `ImageData`.
    """

    name = "stacked-digits"
    spec = Spec((3, 8, 8), levels=17, y=Labels(1000))
    sizes = (20_000, 2_000, 10_000)
    needs_folder = False

    def decode(self) -> dict[Split, Arrays]:
        digits = Digits(str(self.root)).decode()
        stacks: dict[Split, Arrays] = {}
        for split, n in zip(get_args(Split), self.sizes, strict=True):
            x, y = digits[split]
            assert y is not None
            rng = Rng(0, range(n)).split(f"stacked-digits/{split}")
            rows = rng.integers(len(x), (3,)).numpy()
            stacks[split] = (x[rows, 0], y[rows] @ np.array([100, 10, 1]))
        return stacks
