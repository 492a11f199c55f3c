r"""A classifier of images of one channel, applied to every channel of an image by itself.

    h = (phi(v_1), ..., phi(v_C))                                features of the channels, one after the other
    log p(y_1, ..., y_C | v) = sum_c log p(y_c | v_c)            class scores: the K^C combinations of the
                                                                 channels' classes, in the order of counting

`phi` and p(y | v) are the features and the class probabilities of the classifier. Its weights are
used as they are; nothing is trained here.
"""

from __future__ import annotations

from torch import Tensor

from genbench.metrics.classifier import Classifier
from genbench.spec import Shape

__all__ = ["ChannelwiseClassifier"]


class ChannelwiseClassifier(Classifier):
    """Applies a `Classifier` of one channel, whose weights it takes, to images of several channels.

    Args:
        shape: (C, H, W) of an image.
        classes: Number of combinations K^C, where the classifier knows K classes.
        width: Channels of the classifier's first convolution.
        features: Length of the feature vector: C times that of the classifier.

    Raises:
        ValueError: `classes` is not a whole number to the power of C, or `features` is no multiple
            of C.
    """

    def __init__(self, shape: Shape, classes: int, width: int = 16, features: int = 96) -> None:
        channels, height, length = shape
        of_one = round(classes ** (1 / channels))
        if of_one**channels != classes or features % channels:
            raise ValueError(
                f"of {channels} channels, classes are a number to the power of {channels} and "
                f"features a multiple of it, not {classes} and {features}"
            )
        super().__init__((1, height, length), of_one, width, features // channels)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Reals in [-1, 1] of shape (B, C, H, W) -> features (B, F) and log p of all combinations of
        classes, (B, K^C).
        """
        B, C = v.shape[:2]
        h, logits = super().forward(v.flatten(0, 1).unsqueeze(1))
        log_p = logits.log_softmax(1).unflatten(0, (B, C))
        joint = log_p[:, 0]
        for c in range(1, C):
            joint = (joint[:, :, None] + log_p[:, c, None, :]).flatten(1)
        return h.reshape(B, -1), joint
