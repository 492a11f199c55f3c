r"""The small classifiers behind the shipped feature extractors, and their training.

    h = phi(x)                   the features: `features` smooth units, the last hidden layer
    l = W h + b                  logits; p(y | x) = softmax(l)
    minimise over (phi, W, b)    -E sum_y q(y) log p(y | T x),    q = (1 - eps) onehot + eps/K  (Szegedy et al. 2015, sec. 7)

T is a random rotation, scaling, shift and mirroring. A classifier trained on the data itself knows
these images better than one trained on photographs, and needs no download. It sees the training
split only.

`python -m genbench.metrics.classifier configs/features/digits.yaml` trains what the card says,
writes the weights and prints the two lines of the card that depend on them.

References:
    He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition. arXiv:1512.03385
    Szegedy et al. (2015), Rethinking the Inception architecture for computer vision.
    arXiv:1512.00567
"""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.data.images import ImageData
from genbench.errors import GenbenchError, InputError, nearest
from genbench.formulas.pixels import to_real
from genbench.metrics.card import Recipe, read_card
from genbench.rng import Rng
from genbench.spec import Shape
from genbench.system.discover import leaf_classes
from genbench.system.files import file_digest, write_atomic
from genbench.system.locations import shipped

__all__ = ["Classifier", "ResidualClassifier", "accuracy", "augment", "fit_classifier", "main"]


class Classifier(nn.Module):
    """Three 3x3 convolutions, the second and third at stride 2, then two dense layers. The
    activation is SiLU, so that the features are smooth.

    Args:
        shape: (C, H, W) of an image.
        classes: Number of classes K.
        width: Channels of the first convolution; the others have twice as many.
        features: Length F of the feature vector.
    """

    def __init__(self, shape: Shape, classes: int, width: int = 16, features: int = 32) -> None:
        super().__init__()
        channels, height, length = shape
        self.convolutions = nn.ModuleList(
            (
                nn.Conv2d(channels, width, 3, padding=1),
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            )
        )
        self.dense = nn.Linear(2 * width * math.ceil(height / 4) * math.ceil(length / 4), features)
        self.head = nn.Linear(features, classes)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Reals in [-1, 1] of shape (B, C, H, W) -> features (B, F) and logits (B, K)."""
        for convolution in self.convolutions:
            v = F.silu(convolution(v))
        h = F.silu(self.dense(v.flatten(1)))
        return h, self.head(h)


class ResidualClassifier(nn.Module):
    """Three stages of 3x3 convolutions at full, half and quarter size, the last two with a residual
    block (He et al. 2016); the largest value over all positions; batch normalisation before every
    SiLU.

    Args:
        shape: (C, H, W) of an image.
        classes: Number of classes K.
        width: Channels of the first stage, doubled at every halving.
        features: Length F of the feature vector, 4 x width.
    """

    def __init__(self, shape: Shape, classes: int, width: int = 24, features: int = 96) -> None:
        super().__init__()
        if features != 4 * width:
            raise ValueError(
                f"ResidualClassifier: features is 4 x width = {4 * width}, not {features}"
            )
        self.first = _unit(shape[0], width, 1)
        self.halvings = nn.ModuleList((_unit(width, 2 * width, 2), _unit(2 * width, 4 * width, 2)))
        self.blocks = nn.ModuleList(
            nn.Sequential(_unit(w, w, 1), _unit(w, w, 1)) for w in (2 * width, 4 * width)
        )
        self.head = nn.Linear(features, classes)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Reals in [-1, 1] of shape (B, C, H, W) -> features (B, F) and logits (B, K)."""
        v = self.first(v.contiguous(memory_format=torch.channels_last))
        for halving, block in zip(self.halvings, self.blocks):
            v = halving(v)
            v = v + block(v)
        h = v.amax((2, 3))
        return h, self.head(h)


def _unit(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


def augment(v: Tensor, recipe: Recipe, rng: Rng) -> Tensor:
    """T v: images in [-1, 1], each rotated, scaled, shifted and mirrored by its own stream; pixels
    that come in from outside the image are background, -1.
    """
    angle, size, *shifts = (2 * rng.uniform((4,)) - 1).unbind(1)
    if recipe.flip:
        v = torch.where(rng.split("flip").bits()[:, None, None, None] % 2 == 1, v.flip(3), v)
    angle = angle * math.radians(recipe.rotation)
    size = 1 + size * recipe.scale
    cos = size * angle.cos()
    sin = size * angle.sin()
    # The unit of affine_grid is half of the height or width of an image.
    across, down = (
        2 * recipe.shift * s / extent for s, extent in zip(shifts, (v.shape[3], v.shape[2]))
    )
    theta = torch.stack((torch.stack((cos, -sin, across), 1), torch.stack((sin, cos, down), 1)), 1)
    grid = F.affine_grid(theta, list(v.shape), align_corners=False)
    return F.grid_sample(v + 1, grid, align_corners=False) - 1


def fit_classifier(net: nn.Module, x: Tensor, y: Tensor, levels: int, recipe: Recipe) -> None:
    """Train in place, from the recipe's own initial weights.

    Args:
        net: The classifier; its present weights are overwritten.
        x: Images, integers (N, C, H, W).
        y: Labels, int64 (N,).
        levels: Grey levels of x.
        recipe: Images, rates, augmentations, seed.
    """
    _initialise(net.train(), Rng(recipe.seed, [0]).split("weights"))
    steps = math.ceil(recipe.images / recipe.batch_size)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = (
            recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        )
        rng = Rng(
            recipe.seed, range(step * recipe.batch_size, (step + 1) * recipe.batch_size)
        ).split("train")
        rows = rng.integers(len(x))
        _, logits = net(augment(to_real(x[rows], levels), recipe, rng.split("augment")))
        optimizer.zero_grad()
        F.cross_entropy(logits, y[rows], label_smoothing=recipe.label_smoothing).backward()
        optimizer.step()
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor, levels: int) -> float:
    """Fraction of the images x whose largest logit is at their label y, in the floating type of the
    weights.
    """
    dtype = next(net.parameters()).dtype
    right = [
        net(to_real(part, levels, dtype))[1].argmax(1) == labels
        for part, labels in zip(x.split(1000), y.split(1000))
    ]
    return torch.cat(right).double().mean().item()


def main(card: Path) -> None:
    """Train the classifier of a card, write its weights and print what the card has to say about
    them.
    """
    from safetensors.torch import save

    torch.set_num_threads(1)  # One thread adds numbers in a fixed order.
    plan = read_card(card)
    if plan.data is None or plan.recipe is None:
        raise InputError(f"{card}: a card that says how to train has data and a recipe")
    data = _data(plan.data, card)
    levels = plan.levels
    module, _, name = plan.class_path.rpartition(".")
    net: nn.Module = getattr(importlib.import_module(module), name)(**plan.arguments)
    x, y = data.tensors("train")
    x_test, y_test = data.tensors("test")
    if y is None or y_test is None or not data.spec.classes:
        raise InputError(f"{card}: a classifier learns from labels; {data.name} has none")
    fit_classifier(net, x, y, levels, plan.recipe)
    weights = shipped(plan.weights)
    write_atomic(weights, save(net.state_dict()))
    print(f"sha256: {file_digest(weights)}")
    print(f"test_accuracy: {accuracy(net.double(), x_test, y_test, levels):.4f}")


def _data(class_path: str, card: Path) -> ImageData:
    known = leaf_classes("data", "ImageData")
    if class_path not in known:
        raise InputError(f"{card}: data: no data set {class_path!r}; {nearest(class_path, known)}")
    module, _, name = class_path.rpartition(".")
    data: ImageData = getattr(importlib.import_module(module), name)()
    return data


@torch.no_grad()
def _initialise(net: nn.Module, rng: Rng) -> None:
    """He et al. (2015), arXiv:1502.01852, eq. 10: weights N(0, 2 / fan-in), biases 0. Each
    parameter is drawn from a stream of its own name. Normalisation layers keep the values that
    torch gives them.
    """
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            parameter.copy_(
                rng.split(name).normal(parameter.shape)[0] * math.sqrt(2 / parameter[0].numel())
            )
        elif name.endswith("bias"):
            parameter.zero_()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except GenbenchError as error:
        sys.exit(f"genbench.metrics.classifier: {error}")
