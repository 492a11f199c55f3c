r"""Canonical Inception-v3 of 2015: the network behind published Fréchet inception distances and
inception scores.

    h = the 2048 averages before the last layer     Fréchet and kernel distance, precision, recall
    l = W h, without the bias                       inception score, as published (Salimans et al. 2016; the bias was left out there)

The network, its bilinear resize to 299x299 as TensorFlow 1 did it (no antialiasing, corners not
aligned) and (x - 128) / 128 are those of torch-fidelity, converted from the original graph. Another
computation, such as torchvision's Inception or an antialiased resize (Parmar et al. 2022), gives
other values.

References:
    Szegedy et al. (2015), Rethinking the Inception architecture for computer vision.
        arXiv:1512.00567
    Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium. arXiv:1706.08500
    Parmar, Zhang, Zhu (2022), On aliased resizing and surprising subtleties in GAN evaluation.
        arXiv:2104.11222
"""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

__all__ = ["Inception"]


class Inception(nn.Module):
    """torch-fidelity's Inception-v3, float32.

    Args:
        state: Weights of the network by their names.
        features: Length F of the feature vector, 2048.
        classes: Number of class scores K, 1008: 1000 of ImageNet and 8 that were never trained.
    """

    def __init__(self, state: dict[str, Tensor], features: int = 2048, classes: int = 1008) -> None:
        super().__init__()
        if (features, classes) != (2048, 1008):
            raise ValueError(
                f"Inception: features and classes are 2048 and 1008, not {features} and {classes}"
            )
        # torch-fidelity unpickles everything that a file holds. It is therefore given a file that
        # was written from tensors just now.
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        with torch.random.fork_rng(devices=[]):
            self.net = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], file)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels, uint8 (B, 3, H, W) of 256 levels -> features, float32 (B, 2048), and logits,
        float32 (B, 1008).
        """
        h, logits = self.net(x)
        return h, logits
