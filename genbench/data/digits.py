"""Scikit-learn's 1,797 scanned digits: 8x8 pixels, 17 grey levels, 10 classes.

They come with scikit-learn: there is no download.

Source: Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository (its test part).
"""

from __future__ import annotations

import numpy as np

from genbench.data.images import Arrays, ImageData, Split
from genbench.spec import Labels, Spec

__all__ = ["Digits"]


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
        rest, test = train_test_split(np.arange(len(y)), test_size=719, stratify=y, random_state=0)
        train, val = train_test_split(rest, test_size=180, stratify=y[rest], random_state=0)
        x = digits.images.astype(np.uint8)[:, None]
        return {"train": (x[train], y[train]), "val": (x[val], y[val]), "test": (x[test], y[test])}
