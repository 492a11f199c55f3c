"""PCA is the best linear autoencoder: gradients find the plane of the principal components, with tied weights too.

    x' = D E x,   D (n, d),   E (d, n):      minimum of the mean of |x - x'|^2   =   lambda_{d+1} + ... + lambda_n

over all D and E, where lambda are the eigenvalues of the covariance of x. It is reached where D E is the projection on
the span of the first d eigenvectors, and nowhere else is a minimum (Baldi & Hornik). D and E themselves are known but for
an invertible matrix, D C and C^{-1} E; tied weights, D = E^T, but for a rotation: E E^T = I.

The angle between two planes is the largest principal one. Gradients are those of automatic differentiation, and the
steps those of gradient descent with momentum on all points at once.

Reference:
    Baldi, Hornik (1989), Neural networks and principal component analysis: learning from examples without local minima.
    Neural Networks 2
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, GREY, ORANGE, panels
from genbench.nets.linear import Linear, transposed
from genbench.rng import Rng

__all__ = ["demonstrate"]

N = 6
d = 2
POINTS = 100
STEPS = 400
RATE = 0.02
MOMENTUM = 0.9
# The points have these standard deviations along axes that are then rotated.
SPREAD = torch.tensor([2.0, 1.5, 0.8, 0.6, 0.5, 0.4], dtype=torch.float64)


def points(seed: int) -> Tensor:
    """Gaussian points of mean 0, (POINTS, N)."""
    rng = Rng(seed, range(POINTS), torch.float64)
    rotation, _ = torch.linalg.qr(Rng(seed, range(N), torch.float64).split("axes").normal((N,)))
    x = rng.split("x").normal((N,)) * SPREAD @ rotation
    return x - x.mean(0)


def linear(inputs: int, outputs: int, seed: int) -> Linear:
    """A map without a shift, with small weights that are a function of the seed."""
    net = Linear((inputs,), (outputs,)).double()
    net.map.weight.data.copy_(0.2 * Rng(seed, [0]).normal((outputs, inputs))[0])
    net.map.bias.data.zero_()
    return net


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """The mean of |x - x'|^2."""
    return (x - reconstruction).square().sum(1).mean()


def largest_angle(A: Tensor, B: Tensor) -> Tensor:
    """The largest principal angle between the spans of the columns of A and B, (n, d) each, in radians."""
    P, _ = torch.linalg.qr(A)
    Q, _ = torch.linalg.qr(B)
    return torch.linalg.matrix_norm(Q - P @ (P.T @ Q), 2).clamp(max=1).asin()


def descent(x: Tensor, encoder: Linear, decoder: nn.Module, plane: Tensor) -> tuple[Tensor, Tensor]:
    """Errors and angles to a plane before each step and after the last, (STEPS + 1,) each."""
    weights = list(dict.fromkeys([*encoder.parameters(), *decoder.parameters()]))
    optimizer = torch.optim.SGD(weights, lr=RATE, momentum=MOMENTUM)
    errors = []
    angles = []
    for _ in range(STEPS + 1):
        optimizer.zero_grad()
        error = squared_error(x, decoder(encoder(x)))
        error.backward()
        errors.append(error.detach())
        angles.append(largest_angle(directions(encoder, decoder), plane))
        optimizer.step()
    return torch.stack(errors), torch.stack(angles)


@torch.no_grad()
def directions(encoder: Linear, decoder: nn.Module) -> Tensor:
    """The columns of D, (n, d)."""
    zero = torch.zeros(1, d, dtype=torch.float64)
    return (decoder(torch.eye(d, dtype=torch.float64)) - decoder(zero)).T


def demonstrate(seed: int = 0) -> Demonstration:
    """Two linear autoencoders, without and with tied weights, on a hundred points of six dimensions.

    Args:
        seed: Seed of points and weights.
    """
    x = points(seed)
    lambdas, vectors = torch.linalg.eigh(x.T @ x / POINTS)
    plane = vectors[:, -d:]
    left_out = lambdas[:-d].sum()
    figure, (error_axes, angle_axes) = panels(2)
    values = []
    free = linear(N, d, seed + 1)
    tied = linear(N, d, seed + 1)
    pairs = (
        ("D and E", free, linear(d, N, seed + 2), BLUE),
        ("tied, D = E^T", tied, transposed(tied).double(), ORANGE),
    )
    for name, encoder, decoder, colour in pairs:
        errors, angles = descent(x, encoder, decoder, plane)
        values.append(exact(f"largest principal angle to PCA, {name}", angles[-1], 0, 1e-6))
        values.append(exact(f"squared error, {name}", errors[-1], left_out))
        error_axes.plot(errors, color=colour, label=name)
        angle_axes.semilogy(angles, color=colour, label=name)
    E = tied.map.weight.detach()
    apart = (E @ E.T - torch.eye(d, dtype=torch.float64)).abs().max()
    values.append(exact("largest entry of E E^T - I, tied", apart, 0, 1e-6))
    error_axes.axhline(left_out, color=GREY, linestyle="--", label="PCA: variance left out")
    error_axes.set(xlabel="step", ylabel="mean of |x - x'|^2", ylim=(0, None))
    angle_axes.set(xlabel="step", ylabel="angle to the plane of PCA, radians")
    error_axes.legend()
    angle_axes.legend()
    return Demonstration(
        title="PCA is the best linear autoencoder",
        formula=(
            "min over D, E of the mean of |x - D E x|^2 = lambda_{d+1} + ... + lambda_n,   "
            "span D = span(u_1, ..., u_d)"
        ),
        sentence=(
            "Gradient descent on a linear autoencoder ends in the plane of the first principal "
            "components, with the variance outside it as its error, whether weights are tied or not."
        ),
        values=tuple(values),
        figure=figure,
    )
