"""With one fixed Gaussian for the pixels, the ELBO is an autoencoder's squared error and a KL.

    p(x | z) = N(f(z), sigma^2 I),  z = m(x) + s(x) eps:

    -ELBO = |x - f(z)|^2 / (2 sigma^2) + KL(q(z | x) || p(z)) + D/2 log(2 pi sigma^2)

sigma is the weight between the two: a small one makes an autoencoder, a large one leaves the prior. The constant has no
gradient. Encoder and decoder are networks with random weights, since it holds for any.

Reference:
    Kingma, Welling (2014), Auto-encoding variational Bayes, section 2.3. arXiv:1312.6114
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, GREEN, ORANGE, one_panel
from genbench.formulas.likelihood import gaussian_kl, gaussian_log_density, sum_dims
from genbench.rng import Rng

__all__ = ["demonstrate"]

D = 16
LATENT = 4
IMAGES = 60


def network(inputs: int, outputs: int, seed: int) -> nn.Sequential:
    """Two layers, with weights that are a function of the seed."""
    net = nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, outputs)).double()
    for k, weights in enumerate(net.parameters()):
        noise = Rng(seed, [0]).split("weights", k).normal(weights.shape)[0]
        weights.data.copy_(0.3 * noise)
    return net


def demonstrate(seed: int = 0) -> Demonstration:
    """Both sides for sixty images and three sigmas, and the gradients of both.

    Args:
        seed: Seed of images, weights and noise.
    """
    rng = Rng(seed, range(IMAGES), torch.float64)
    x = rng.split("x").normal((D,))
    eps = rng.split("eps").normal((LATENT,))
    encoder = network(D, 2 * LATENT, seed + 1)
    decoder = network(LATENT, D, seed + 2)
    m, log_s = encoder(x).chunk(2, dim=1)
    z = m + log_s.exp() * eps
    zero = torch.zeros_like(m)
    kl = sum_dims(gaussian_kl(m, log_s, zero, zero))
    squared_error = sum_dims((x - decoder(z)) ** 2)
    weights = [*encoder.parameters(), *decoder.parameters()]
    figure, axes = one_panel("|x - f(z)|^2 / (2 sigma^2) + KL, nats", "-ELBO, nats")
    looks = ((0.5, BLUE, "s"), (1.0, GREEN, "o"), (2.0, ORANGE, "^"))
    values = []
    for sigma, colour, marker in looks:
        log_sigma = torch.full_like(x, math.log(sigma))
        minus_elbo = kl - sum_dims(gaussian_log_density(x, decoder(z), log_sigma))
        loss = squared_error / (2 * sigma**2) + kl
        constant = D / 2 * math.log(2 * math.pi * sigma**2)
        name = f"-ELBO - loss at sigma = {sigma:g}"
        values.append(exact(name, (minus_elbo - loss).mean(), constant))
        label = f"sigma = {sigma:g}, constant {constant:.1f}"
        ends = torch.stack([loss.min(), loss.max()]).detach()
        axes.plot(ends, ends + constant, color=colour, linewidth=1)
        axes.plot(loss.detach(), minus_elbo.detach(), marker, color=colour, label=label)
        if sigma == 1:
            values.append(exact("its spread over images", (minus_elbo - loss).std(), 0))
            difference = largest_difference(minus_elbo.sum(), loss.sum(), weights)
            values.append(exact("largest difference of gradients", difference, 0))
    axes.legend()
    return Demonstration(
        title="With a fixed Gaussian the ELBO is an autoencoder's loss and a KL",
        formula="-ELBO = |x - f(z)|^2 / (2 sigma^2) + KL(q(z | x) || p(z)) + D/2 log(2 pi sigma^2)",
        sentence=(
            "Every image lies on a line of slope 1: minus the ELBO is the squared error over "
            "2 sigma^2, the KL, and a number that depends on sigma alone."
        ),
        values=tuple(values),
        figure=figure,
    )


def largest_difference(a: Tensor, b: Tensor, weights: list[nn.Parameter]) -> Tensor:
    """The largest difference of an entry of the gradients of a and b."""
    of_a = torch.autograd.grad(a, weights, retain_graph=True)
    of_b = torch.autograd.grad(b, weights, retain_graph=True)
    return torch.stack([(u - v).abs().max() for u, v in zip(of_a, of_b)]).max()
