"""Energy models of one or two pixels, whose densities are summed over a grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genbench.batch import image_buffers
from genbench.capabilities import HasEnergy, HasTrajectory
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.explore.points import density_table
from genbench.explore.subject import Subject
from genbench.formulas.langevin import langevin_step
from genbench.models.classical.ebm import EnergyModel
from genbench.nets.mlp import MLP
from genbench.rng import Rng
from genbench.runs.build import build, open_run
from genbench.spec import Spec

pytestmark = pytest.mark.usefixtures("double")
PIXEL = Spec((1, 1, 1), levels=16)


def energy_model(spec: Spec = PIXEL, **arguments) -> EnergyModel:
    """With a network that is far from constant."""
    torch.manual_seed(0)
    make = lambda inputs, outputs, cond: MLP(inputs, outputs, cond, width=16, depth=2)  # noqa: E731
    model = EnergyModel(
        spec, make, torch.optim.Adam, **{"scale": 0.7, "temperature": 0.8, **arguments}
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    return model


def streams(n: int, seed: int = 0) -> Rng:
    return Rng(seed, range(n), torch.float64)


# a grid on which the density of a pixel is summed: beyond it are less than 1e-9 of the mass
GRID = torch.linspace(-6, 6, 24_001, dtype=torch.float64).view(-1, 1, 1, 1)
SPACING = 12 / 24_000


def log_Z(model: EnergyModel) -> torch.Tensor:
    """By quadrature."""
    return (-model.energy_of_reals(GRID)).logsumexp(0) + math.log(SPACING)


def draws_of_the_density(model: EnergyModel, n: int) -> torch.Tensor:
    """By the inverse distribution function on the grid."""
    cdf = (-model.energy_of_reals(GRID)).softmax(0).cumsum(0).detach()
    u = streams(n, 3).uniform(())
    return GRID[torch.searchsorted(cdf, u).clamp(max=len(GRID) - 1)]


def test_the_energy_is_the_network_and_the_gaussian():
    model = energy_model()
    v = streams(5).normal(PIXEL.shape)
    expected = model.net(v)[:, 0] / 0.8 + v.flatten() ** 2 / (2 * 0.49)
    torch.testing.assert_close(model.energy_of_reals(v), expected)
    x = torch.tensor([0, 15], dtype=torch.uint8).view(2, 1, 1, 1)
    ends = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(model.energy(x), model.energy_of_reals(ends))


def test_gradient_is_that_of_the_likelihood_where_the_chains_have_reached_it():
    """-log p of uniform draws from the cells of two images, by quadrature."""
    n = 60_000
    model = energy_model(chains=n, steps=1, eps=1e-12, alpha=0.0, restart=0.0)
    x = torch.tensor([3, 11], dtype=torch.uint8).view(2, 1, 1, 1).repeat(n // 2, 1, 1, 1)
    middles = 2 * torch.tensor([3.0, 11.0]) / 15 - 1
    cells = middles[:, None] + torch.linspace(-1, 1, 2_001) / 15
    data = model.energy_of_reals(cells.view(-1, 1, 1, 1)).mean()
    parameters = [p for name, p in model.named_parameters() if name != "net.last.bias"]
    right = torch.autograd.grad(data + log_Z(model), parameters)
    model.chains.rows.copy_(draws_of_the_density(model, n))
    loss = model.loss(x, None, streams(n))["loss"]
    gradients = torch.autograd.grad(loss / 0.8, parameters)
    exact = torch.cat([g.flatten() for g in right])
    difference = torch.cat([g.flatten() for g in gradients]) - exact
    assert exact.abs().max() > 0.2
    assert difference.abs().max() < 0.02


def test_the_squares_of_both_energies_are_weighed_by_alpha():
    x = torch.tensor([3, 11], dtype=torch.uint8).view(2, 1, 1, 1).repeat(8, 1, 1, 1)
    plain, weighed = (energy_model(alpha=alpha, chains=16) for alpha in (0.0, 0.3))
    weighed.load_state_dict(plain.state_dict())
    losses = plain.loss(x, None, streams(16)), weighed.loss(x, None, streams(16))
    torch.testing.assert_close(losses[0]["loss"], losses[0]["difference"])
    torch.testing.assert_close(losses[0]["difference"], losses[1]["difference"])
    weighed.chains.write(1)
    width = 2 / 15
    v = plain.to_real(x) + width * (streams(16).uniform(PIXEL.shape) - 0.5)
    data = plain.net(v)
    model = plain.net(weighed.chains.rows)
    squares = (data.square() + model.square()).mean()
    torch.testing.assert_close(losses[1]["loss"], losses[1]["difference"] + 0.3 * squares)
    torch.testing.assert_close(losses[1]["difference"], data.mean() - model.mean())


def test_data_fill_their_cells():
    """Data of one level have the mean f of its cell."""
    n = 20_000
    model = energy_model(chains=n)
    x = torch.full((n, 1, 1, 1), 7, dtype=torch.uint8)
    found = model.loss(x, None, streams(n))["data"].item()
    cell = -1 / 15 + torch.linspace(-1, 1, 2_001) / 15
    energies = model.net(cell.view(-1, 1, 1, 1)).detach()
    assert abs(found - energies.mean().item()) < 4.5 * energies.std().item() / math.sqrt(n)
    # an end of the cell is rounded to its level
    assert model.to_pixels(cell[[1, -2]]).tolist() == [7, 7]


def test_chains_go_on_where_they_were_unless_they_begin_anew():
    n = 8
    x = torch.full((n, 1, 1, 1), 7, dtype=torch.uint8)
    model = energy_model(chains=n, steps=3, eps=0.01, restart=0.0)
    before = model.chains.rows.clone()
    model.loss(x, None, streams(n))
    assert torch.equal(model.chains.rows, before)
    model.chains.write(1)
    rng = streams(n)
    for shape in (PIXEL.shape, (1, 1, 1), PIXEL.shape):
        rng.uniform(shape)
    state = before
    for z in rng.normal((3, *PIXEL.shape)).unbind(1):
        state = langevin_step(model.energy_of_reals, state, 0.01, z)
    torch.testing.assert_close(model.chains.rows, state)
    # all anew: uniform noise, whatever the rows were
    n = 4_000
    x = torch.full((n, 1, 1, 1), 7, dtype=torch.uint8)
    fresh = energy_model(chains=n, steps=1, eps=1e-12, restart=1.0)
    fresh.chains.rows.fill_(50)
    fresh.loss(x, None, streams(n))
    fresh.chains.write(1)
    rows = fresh.chains.rows
    assert rows.abs().max() < 1.001
    assert abs(float(rows.var()) - 1 / 3) < 0.03
    # a share of them
    some = energy_model(chains=n, steps=1, eps=1e-12, restart=0.2)
    some.chains.rows.fill_(50)
    some.loss(x, None, streams(n))
    some.chains.write(1)
    share = float((some.chains.rows < 10).double().mean())
    assert abs(share - 0.2) < 4.5 * math.sqrt(0.16 / n)
    assert len(image_buffers(some)) == 1


def test_samples_of_a_constant_network_are_those_of_the_gaussian():
    """Whose variance has a closed form at any step size."""
    spec = Spec((1, 1, 2), levels=256)
    model = energy_model(spec, scale=0.2, eps=0.02).eval()
    torch.nn.init.zeros_(model.net.last.weight)
    n = 10_000
    start = streams(n).normal(spec.shape)
    *_, v = model.trajectory(start, streams(n, 1), steps=40)
    right = 0.04 / (1 - 0.02 / (2 * 0.04))
    assert abs(float(v.var()) - right) < 4.5 * right / math.sqrt(n)
    first = next(iter(model.trajectory(start, streams(n, 1), steps=1)))
    # uniform on [-1, 1], half of it, and the noise
    assert abs(float(first.var()) - (1 / 12 + 0.04)) < 0.01
    assert len(list(model.trajectory(start[:3], streams(3), steps=5))) == 5


def test_it_learns_two_levels():
    """Samples lie at both levels of the data."""
    model = energy_model(eps=6e-3, steps=5, chains=64, alpha=0.1)
    optimizer = torch.optim.Adam(model.parameters())
    x = torch.tensor([3, 12], dtype=torch.uint8).view(2, 1, 1, 1).repeat(32, 1, 1, 1)
    for step in range(160):
        optimizer.param_groups[0]["lr"] = 2e-2 * (1 - step / 160)
        rng = Rng(1, range(64 * step, 64 * step + 64), torch.float64)
        optimizer.zero_grad()
        model.loss(x, None, rng)["loss"].backward()
        optimizer.step()
        model.chains.write(1)
    samples = model.sample(Rng.of_samples(0, range(400), torch.float64), steps=100).flatten()
    near = ((samples.int() - 3).abs() <= 2) | ((samples.int() - 12).abs() <= 2)
    assert near.double().mean() > 0.8
    assert 0.2 < (samples < 8).double().mean() < 0.8


def test_it_offers_an_energy_and_a_trajectory_and_no_density():
    model = energy_model()
    assert isinstance(model, HasEnergy) and isinstance(model, HasTrajectory)
    assert model.likelihood is None


def test_the_figure_of_points_normalises_the_energy_over_all_cells(trained):
    torch.set_default_dtype(torch.float32)
    subject = Subject(open_run(trained("points2d/ebm", "data.levels=16")))
    with torch.no_grad():
        table = density_table(subject)
    assert table.sum() == pytest.approx(1)
    x = torch.tensor([[3, 9], [12, 5]], dtype=torch.uint8).view(2, 1, 1, 2)
    energies = subject.model.energy(x).detach()
    ratio = np.log(table[3, 9] / table[12, 5])
    assert ratio == pytest.approx(float(energies[1] - energies[0]), rel=1e-5)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.steps=0", "steps and chains are at least 1, not 0 and 2000"),
        (
            "model.eps=0.0",
            "eps, temperature and scale are positive and alpha is not negative, not 0, 1, 1",
        ),
        ("model.restart=1.5", "restart is a probability, not 1.5"),
    ],
)
def test_wrong_arguments_get_one_line(option, message):
    with pytest.raises(InputError, match=message) as error:
        build(load_config("points2d/ebm", [option], smoke=True))
    assert "\n" not in str(error.value)
