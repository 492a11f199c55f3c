"""What every model promises, as functions that raise AssertionError where a model breaks it.

test_contract.py asks them of every recipe, test_broken_models.py of models that were broken on purpose. Statistical checks have
fixed seeds, and refuse what has a probability below 1e-6 where the model is right.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from scipy.stats import chi2, norm
from scipy.stats import t as student
from torch import Tensor, nn

from genbench.capabilities import Classifies
from genbench.model import GenerativeModel
from genbench.nets.bijections.coupling import Bijection
from genbench.rng import Rng
from genbench.spec import Spec

__all__ = [
    "bounds_are_ordered",
    "decoding_inverts_encoding",
    "exact_masses_add_up",
    "images_of",
    "jacobians_are_those_of_autograd",
    "kind_is_as_declared",
    "kinds_without_noise",
    "labels_reach_all_methods_alike",
    "mean_weights",
    "samples_have_the_masses",
    "streams_are_used_once",
    "universe",
]

UNLIKELY = 1e-6
# a universe of so many images is listed, of a larger one some are drawn
_LISTED = 256
_DRAWS = 24
_SAMPLES = 20_000
# the same where each takes the steps of a solver
_SOLVED_DRAWS = 8
_SOLVED_SAMPLES = 1_500
# coarse cells: of fewer images in one the error is not known
_CELLS = 256
_DRAWN_CELLS = 64
_PER_CELL = 16
# weights that are averaged before they are a draw, where a model averages them itself: few are far from their mean
_WEIGHTS = 16
# images drawn from a large universe
_IMAGES = 4_096
# of densities, which are skew: some are large beside the border
_DENSITY_IMAGES = 65_536
_SOLVED_IMAGES = 1_024
_BOUND_IMAGES = 256
# of every image of a listed universe: a total that is 3 % too large is told from chance
_BOUND_DRAWS = 96
_CHUNK = 4_096


# --- universes ------------------------------------------------------------------------------------------------------------


def universe(spec: Spec) -> Tensor:
    """All images of a shape, integers (levels^D, C, H, W)."""
    line = torch.arange(spec.levels, dtype=spec.dtype)
    return torch.cartesian_prod(*[line] * spec.dims).view(-1, *spec.shape)


class Images(NamedTuple):
    """Images over which masses are summed.

    Attributes:
        x: Integers (n, C, H, W).
        volume: Images of the universe for which each of them stands: 1 where all are listed.
    """

    x: Tensor
    volume: float

    @property
    def drawn(self) -> bool:
        """Whether they are a part of the universe, so that sums over them have an error."""
        return self.volume > 1


def images_of(spec: Spec, n: int) -> Images:
    """The universe where it is small, else n independent, uniform draws from it."""
    size = spec.levels**spec.dims
    if size <= _LISTED:
        return Images(universe(spec), 1.0)
    return Images(Rng(13, range(n)).integers(spec.levels, spec.shape).to(spec.dtype), size / n)


class Cells:
    """A partition of the universe: by some pixels spread over the image, each in one of a few ranges of levels.

    Args:
        spec: Shape and levels of the images.
        most: Number of cells, at most.
    """

    def __init__(self, spec: Spec, most: int = _CELLS) -> None:
        pixels = min(spec.dims, int(math.log2(most)))
        ranges = 2
        while ranges < spec.levels and (ranges + 1) ** pixels <= most:
            ranges += 1
        self.levels = spec.levels
        self.ranges = ranges
        self.positions = torch.linspace(0, spec.dims - 1, pixels).round().long()
        self.number = ranges**pixels

    def of(self, x: Tensor) -> Tensor:
        """The cell of every image, int64 (n,)."""
        digits = x.flatten(1)[:, self.positions].long() * self.ranges // self.levels
        return (digits * self.ranges ** torch.arange(len(self.positions))).sum(1)

    def sums(self, x: Tensor, values: Tensor) -> Tensor:
        """Of one value per image, (n,), the sum in every cell, float64 (cells,)."""
        return torch.zeros(self.number, dtype=torch.float64).index_add(
            0, self.of(x), values.double()
        )


def cells_for(images: Images, spec: Spec, samples: int) -> Cells:
    """A partition in whose cells samples, and images where they are drawn, are enough for their error to be known."""
    most = min(_CELLS, samples // _PER_CELL)
    if images.drawn:
        most = min(most, _DRAWN_CELLS, len(images.x) // (4 * _PER_CELL))
    return Cells(spec, most)


def at_the_border(model: GenerativeModel, x: Tensor) -> Tensor:
    """Whether an image has a pixel of the first or the last level, beyond which a dequantised density ends: bool (n,)."""
    if model.dequantisation is None:
        return torch.zeros(len(x), dtype=torch.bool)
    pixels = x.flatten(1)
    return ((pixels == 0) | (pixels == model.spec.levels - 1)).any(1)


def takes_steps(model: GenerativeModel, options: dict[str, Any]) -> bool:
    """Whether a score takes the steps of a solver."""
    return model.finer(**options) is not None


# --- bijections -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def decoding_inverts_encoding(model: GenerativeModel, x: Tensor, y: Tensor | None) -> None:
    """decode(encode(x)) = x, through as many latents as there are pixels."""
    z = model.encode(x, y)
    assert tuple(z.shape) == (len(x), model.spec.dims)
    assert torch.equal(model.decode(z, y), x)


def jacobians_are_those_of_autograd(model: GenerativeModel, x: Tensor, y: Tensor | None) -> None:
    """Every bijection that scores one image: its log-determinant is that of its Jacobian, its inverse undoes it. In float64."""
    calls = bijections_called(model, lambda: model.log_prob(x[:1], None if y is None else y[:1]))
    assert calls, (
        "no bijection is called: a flow is made of `Bijection`s, or its `forward` gives z and log|det dz/dv|"
    )
    for bijection, (v, *rest), (z, log_det) in calls:
        v = v.detach()

        def function(
            flat: Tensor, bijection: nn.Module = bijection, v: Tensor = v, rest: list[Any] = rest
        ) -> Tensor:
            return bijection(flat.view_as(v), *rest)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(function, v.flatten())
        name = type(bijection).__name__
        assert_near(
            log_det[0], torch.linalg.slogdet(jacobian).logabsdet, f"log-determinant of {name}"
        )
        if hasattr(bijection, "inverse"):
            with torch.no_grad():
                assert_near(bijection.inverse(z, *rest), v, f"inverse of {name}")
        gradients_are_those_of_the_values(bijection, v, rest)


def gradients_are_those_of_the_values(bijection: nn.Module, v: Tensor, rest: list[Any]) -> None:
    """What training differentiates, z and the log-determinant, changes along a direction of the weights as autograd says:
    with a part that is detached the values are right, and nothing learns them."""
    weights = [p for p in bijection.parameters() if p.requires_grad]
    if not weights:
        return
    rng = Rng(0, [0], torch.float64).split("direction")
    direction = [rng.split(str(i)).normal(p.shape)[0] for i, p in enumerate(weights)]
    length = sum(float(d.square().sum()) for d in direction) ** 0.5

    def values() -> tuple[Tensor, Tensor]:
        z, log_det = bijection(v, *rest)
        return z.cos().sum(), log_det.sum()

    @torch.no_grad()
    def moved(step: float) -> Tensor:
        kept = [p.clone() for p in weights]
        for p, d in zip(weights, direction, strict=True):
            p.add_(step / length * d)
        found = torch.stack(values())
        for p, old in zip(weights, kept, strict=True):
            p.copy_(old)
        return found

    slopes = (moved(1e-5) - moved(-1e-5)) / 2e-5
    for value, slope, what in zip(values(), slopes, ("z", "log-determinant"), strict=True):
        gradients: Sequence[Tensor | None] = [None] * len(weights)
        if value.requires_grad:
            gradients = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        found = sum(
            float((g * d).sum()) / length
            for g, d in zip(gradients, direction, strict=True)
            if g is not None
        )
        # the third derivative times 1e-10, and rounding of values of order 100 over 1e-5
        assert abs(found - float(slope)) < 1e-6 * (1 + abs(float(slope))), (
            f"gradient of the {what} of {type(bijection).__name__}: {found:g} along a direction in which it grows by {float(slope):g}"
        )


def bijections_called(
    model: GenerativeModel, call: Callable[[], object]
) -> list[tuple[nn.Module, tuple, tuple]]:
    """Bijections within the model, and the model where it is one, with arguments and results of their calls."""
    calls: list[tuple[nn.Module, tuple, tuple]] = []
    own_forward = type(model).forward not in (LightningModule.forward, nn.Module.forward)
    modules = [
        m for m in model.modules() if isinstance(m, Bijection) or (m is model and own_forward)
    ]
    handles = [m.register_forward_hook(lambda *called: calls.append(called)) for m in modules]
    try:
        with torch.no_grad():
            call()
    finally:
        for handle in handles:
            handle.remove()
    return calls


def assert_near(value: Tensor, right: Tensor, what: str) -> None:
    """Equal to 1e-8: a chain of some tens of float64 maps, each of moderate condition, loses 1e-12."""
    error = float((value - right).abs().max())
    assert error < 1e-8 * (1 + float(right.abs().max())), f"{what}: off by {error:g}"


# --- masses ---------------------------------------------------------------------------------------------------------------


def kind_is_as_declared(
    model: GenerativeModel, x: Tensor, y: Tensor | None, options: dict[str, Any]
) -> None:
    """`exact` does not depend on the stream. What is no mass of its own does, but for two kinds:

    a bound may leave terms of a sum out, as `bounds_are_ordered` asks of it, and an estimate may
    depend on what `finalize` has estimated.
    """
    rngs = [Rng(seed, range(len(x)), model.dtype).split("log_prob") for seed in (1, 2)]
    with torch.no_grad():
        first, second = (model.log_prob(x, y, rng, **options) for rng in rngs)
    kind = model.likelihood_kind(**options)
    if torch.equal(first, second):
        assert kind in kinds_without_noise(model)
    else:
        assert kind != "exact"


def kinds_without_noise(model: GenerativeModel) -> set[str]:
    """Kinds of a likelihood whose value is the same for all streams.

    A bound by dequantisation, or by K weights, is a draw.
    """
    kinds = {"exact"}
    if model.dequantisation is None and "K" not in model.options("log_prob"):
        kinds.add("bound")
    if model.shared_error() is not None:
        kinds.add("estimate")
    return kinds


def exact_masses_add_up(model: GenerativeModel, y: Tensor | None) -> None:
    """The probabilities of a universe sum to 1; tens of thousands of float64 additions lose less than 1e-11."""
    total = 0.0
    with torch.no_grad():
        for x in universe(model.spec).split(_CHUNK):
            total += float(model.log_prob(x, labels(y, len(x))).exp().sum())
    assert abs(total - 1) < 1e-10, f"probabilities of the universe add up to {total}"


def masses_are_means(model: GenerativeModel, options: dict[str, Any]) -> bool:
    """Whether E exp(log w) is a mass: of a probability, a dequantised density, an importance weight.

    A bound with neither of them, such as an ELBO of one draw whose divergence is in closed form, is lower.
    """
    exact = model.likelihood_kind(**options) == "exact"
    return exact or model.dequantisation is not None or "K" in model.options("log_prob")


def mean_weights(
    model: GenerativeModel, y: Tensor | None, options: dict[str, Any], images: Images
) -> tuple[Tensor, Tensor]:
    """E exp(log w) of every image, the mean of some draws, and the square of its error. float64 (n,) each."""
    if model.likelihood_kind(**options) == "exact":
        draws = 1
    elif images.drawn:
        # another image is as good as another draw
        draws = 1
    else:
        draws = (
            _SOLVED_DRAWS if takes_steps(model, options) else max(_DRAWS, _IMAGES // len(images.x))
        )
    if model.dequantisation is None and model.likelihood_kind(**options) != "exact":
        options = {**options, "K": max(_WEIGHTS, options.get("K", 1))}
    if "trace" in model.defaults("log_prob"):
        # by random probes it is unbiased in the logarithm of a weight, not in the weight
        options = {**options, "trace": "exact"}
    w = log_weights(model, y, options, images.x, draws).double().exp()
    mass = w.mean(0)
    if images.drawn:
        return mass, mass**2
    return mass, w.var(0) / draws if draws > 1 else torch.zeros_like(mass)


def log_weights(
    model: GenerativeModel,
    y: Tensor | None,
    options: dict[str, Any],
    x: Tensor,
    draws: int = _DRAWS,
) -> Tensor:
    """log_prob of every image by as many streams, (draws, n) nats."""
    every = x.repeat(draws, 1, 1, 1)
    rng = Rng(11, range(len(every)), model.dtype).split("log_prob")
    parts = []
    with torch.no_grad():
        for rows in torch.arange(len(every)).split(_CHUNK):
            parts.append(model.log_prob(every[rows], labels(y, len(rows)), rng[rows], **options))
    return torch.cat(parts).view(draws, len(x))


def samples_of(model: GenerativeModel, y: Tensor | None, options: dict[str, Any], n: int) -> Tensor:
    """n samples, integers (n, C, H, W)."""
    rng = Rng(12, range(n), model.dtype).split("sample")
    with torch.no_grad():
        parts = [
            model.sample(rng[rows], labels(y, len(rows)), **options)
            for rows in torch.arange(n).split(_CHUNK)
        ]
    return torch.cat(parts)


def samples_have_the_masses(
    model: GenerativeModel,
    y: Tensor | None,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
) -> None:
    """Chi-square of sample frequencies against mean weights, whose own error is counted; and the sum of all is 1.

    A dequantised density ends at the border, where samples beyond it are set: the images there are held against the samples
    from one side, together, and the inner ones from both.
    """
    if not masses_are_means(model, log_prob_options):
        return
    slow = takes_steps(model, log_prob_options)
    images = images_of(model.spec, number_of_images(model, slow))
    n = _SOLVED_SAMPLES if slow else _SAMPLES
    cells = cells_for(images, model.spec, n)
    drawn = samples_of(model, y, sample_options, n)

    each, each_variance = mean_weights(model, y, log_prob_options, images)
    outer = at_the_border(model, images.x)
    mass = images.volume * cells.sums(images.x, each * ~outer)
    variance = images.volume**2 * cells.sums(images.x, each_variance * ~outer)
    enough = cells.sums(images.x, ~outer) >= _PER_CELL * images.drawn
    outer_samples = at_the_border(model, drawn)
    counts = cells.sums(drawn, ~outer_samples)

    # the others together are one more cell, with what the mass lacks to 1
    common = enough & (n * mass >= 10)
    rest = 1 - mass[common].sum()
    p = torch.cat((mass[common], rest.clamp(min=0)[None]))
    count = torch.cat((counts[common], n - counts[common].sum()[None]))
    errors = torch.cat((variance[common], variance[common].sum()[None]))
    errors = errors + p * (1 - p) / n
    z2 = (count / n - p) ** 2 / errors.clamp(min=1 / n**2)
    assert len(z2) > 3, (
        "the samples lie in a few cells: nothing is tested; an untrained model of these parts must "
        "spread its samples over the images, as one whose entries begin with the prior's variance; or "
        "the masses are far off, as those of a flow with a wrong log-determinant"
    )
    statistic = float(z2.sum())
    assert chi2.sf(statistic, len(z2) - 1) > UNLIKELY, (
        f"chi-square {statistic:.0f} with {len(z2) - 1} degrees of freedom"
    )
    beyond = images.volume * each[outer].sum() - outer_samples.sum() / n
    spread = images.volume**2 * each_variance[outer].sum() + outer_samples.sum() / n**2
    assert beyond <= norm.isf(UNLIKELY) * spread.sqrt() + 1e-9, (
        "images at the border hold more than the samples there"
    )


def number_of_images(model: GenerativeModel, slow: bool) -> int:
    """How many are drawn from a large universe."""
    if slow:
        return _SOLVED_IMAGES
    return _IMAGES if model.dequantisation is None else _DENSITY_IMAGES


def bounds_are_ordered(
    model: GenerativeModel,
    y: Tensor | None,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
) -> None:
    """E log w <= E log of the mean of eight w, on average; both <= log mass in each cell; their masses add up to at most 1.

    The mass is how often samples are there, where `masses_are_means` says that samples and scores are of one law.
    """
    choices = [log_prob_options]
    if "K" in model.options("log_prob"):
        choices.append({**log_prob_options, "K": 8})
    if takes_steps(model, log_prob_options):
        one_step_is_below(model, y, log_prob_options)
    images = images_of(model.spec, _BOUND_IMAGES)
    draws = _SOLVED_DRAWS if images.drawn or takes_steps(model, log_prob_options) else _BOUND_DRAWS
    bounds = [log_weights(model, y, options, images.x, draws).double() for options in choices]
    if "K" in model.options("log_prob"):
        differences = (bounds[1] - bounds[0]).mean(1)
        error = float(differences.std()) / draws**0.5
        rise = float(differences.mean())
        assert rise >= -norm.isf(UNLIKELY) * error, f"eight weights are {-rise:g} nats below one"
    for options, bound in zip(choices, bounds):
        each = bound.mean(0).exp()
        variance = each**2 if images.drawn else each**2 * bound.var(0) / draws
        total = float(images.volume * each.sum())
        error = float(images.volume * variance.sum().sqrt())
        assert total <= 1 + norm.isf(UNLIKELY) * error, (
            f"the exponentials of the mean bound with {options} add up to {total}"
        )
        without_noise = not bound.var(0).any()
        if without_noise:
            assert total < 1, "a bound without noise leaves nothing out: it is exact"
        if masses_are_means(model, options) or without_noise:
            bound_is_below(model, y, sample_options, images, each, variance)


def one_step_is_below(model: GenerativeModel, y: Tensor | None, options: dict[str, Any]) -> None:
    """What a solver finds by one step is a bound too, or an estimate: below the mean weight by many steps, with the same noise."""
    images = images_of(model.spec, _BOUND_IMAGES)
    many = log_weights(model, y, options, images.x, _SOLVED_DRAWS).double()
    one = log_weights(model, y, {**options, "steps": 1}, images.x, _SOLVED_DRAWS).double()
    mass = many.exp().mean(0)
    excess = one.mean(0) - mass.log()
    # of first order in the weights
    error = (one - many.exp() / mass).std(0) / _SOLVED_DRAWS**0.5
    worst = float((excess / error).max())
    limit = student.isf(UNLIKELY / len(excess), _SOLVED_DRAWS - 1)
    assert worst < limit, f"a bound by one step is {worst:.1f} errors above the mass"


def bound_is_below(
    model: GenerativeModel,
    y: Tensor | None,
    sample_options: dict[str, Any],
    images: Images,
    each: Tensor,
    variance: Tensor,
) -> None:
    """In each cell the exponential of a bound, with the square of its error, is at most the frequency of samples."""
    n = _SAMPLES
    cells = cells_for(images, model.spec, n)
    drawn = samples_of(model, y, sample_options, n)
    frequency = cells.sums(drawn, torch.ones(n)) / n
    q = images.volume * cells.sums(images.x, each)
    errors = images.volume**2 * cells.sums(images.x, variance) + q * (1 - q).clamp(min=0) / n
    excess = (q - frequency) / errors.clamp(min=1 / n**2).sqrt()
    worst = float(excess.max())
    assert worst < norm.isf(UNLIKELY / len(q)), f"a bound is {worst:.1f} errors above the mass"


def labels(y: Tensor | None, n: int) -> Tensor | None:
    """One label, () -> (n,)."""
    return None if y is None else y.expand(n)


# --- streams --------------------------------------------------------------------------------------------------------------


def streams_are_used_once(
    model: GenerativeModel,
    x: Tensor,
    y: Tensor | None,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
) -> None:
    """Within a loss, a sample or a score no random number is drawn a second time, for one image or for two."""

    def rng() -> Rng:
        return Rng(5, range(len(x)), model.dtype)

    for name, player in model.players().items():
        with draws_counted() as drawn:
            player.loss(x, y, rng())
        assert_once(drawn, f"the loss of {name}")
    with torch.no_grad():
        with draws_counted() as drawn:
            model.sample(rng(), y, **sample_options)
        assert_once(drawn, "sample")
        if model.likelihood is None:
            return
        choices = [log_prob_options]
        kind = model.likelihood_kind(**log_prob_options)
        if kind != "exact" and "K" in model.options("log_prob"):
            choices.append({**log_prob_options, "K": 3})
        for options in choices:
            with draws_counted() as drawn:
                model.log_prob(x, y, rng(), **options)
            assert_once(drawn, f"log_prob with {options}")
    if len(choices) == 2:
        assert_once_per_draw(model, x, y, choices)


def assert_once_per_draw(
    model: GenerativeModel, x: Tensor, y: Tensor | None, choices: list[dict[str, Any]]
) -> None:
    """Three weights draw three times the numbers of one."""
    numbers = []
    for options in choices:
        with torch.no_grad(), draws_counted() as drawn:
            model.log_prob(x, y, Rng(5, range(len(x)), model.dtype), **options)
        numbers.append(len(drawn))
    assert numbers[1] == 3 * numbers[0], f"K = 1 and 3 draw {numbers} blocks of random numbers"


@contextmanager
def draws_counted() -> Iterator[Counter[tuple[int, int, int]]]:
    """How often each block of random numbers is made: (two words of the key, counter)."""
    counted: Counter[tuple[int, int, int]] = Counter()
    blocks = Rng._blocks

    def count(self: Rng, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first = self._drawn
        result = blocks(self, shape)
        for k0, k1 in self._key.T.tolist():
            counted.update((k0, k1, block) for block in range(first, self._drawn))
        return result

    Rng._blocks = count
    try:
        yield counted
    finally:
        Rng._blocks = blocks


def assert_once(drawn: Counter[tuple[int, int, int]], what: str) -> None:
    twice = sum(times > 1 for times in drawn.values())
    assert twice == 0, (
        f"{what}: {twice} of {len(drawn)} blocks of random numbers are used more than once"
    )


@contextmanager
def no_global_randomness() -> Iterator[None]:
    """Within it, nothing is drawn from the global generators of torch, numpy and Python."""
    before = global_states()
    yield
    for name, state in global_states().items():
        assert np.array_equal(state, before[name]), (
            f"something was drawn from the global generator of {name}"
        )


def global_states() -> dict[str, np.ndarray]:
    """The states of the global generators, by the name of their library."""
    numpy_state = np.random.get_state(legacy=False)["state"]
    return {
        "torch": torch.get_rng_state().numpy().copy(),
        "numpy": np.array([*numpy_state["key"], numpy_state["pos"]]),
        "Python": np.array(random.getstate()[1]),
    }


# --- labels ---------------------------------------------------------------------------------------------------------------


def labels_reach_all_methods_alike(
    model: GenerativeModel,
    x: Tensor,
    y: Tensor,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
) -> None:
    """The weights that only the loss of one class touches change samples and scores of that class, and of no other.

    Of a model without players, which `finalize` has fitted to images x with labels y: right labels score higher than shifted ones,
    and samples of a class score higher as that class.
    """
    if not model.players():
        fitted_labels_score_higher(model, x, y, sample_options, log_prob_options)
        return
    n = 8
    images = x[:n]
    classes = model.classes
    parameters = [p for player in model.players().values() for p in player.parameters]
    c = 1
    own = [weights_of_class(c, touched) for touched in touched_weights(model, images)]
    assert any(mask.any() for mask in own), "no weight is of one class alone"

    def values(c: int) -> list[Tensor]:
        every = torch.full((n,), c)
        with torch.no_grad():
            results = [model.sample(Rng(6, range(n), model.dtype), every, **sample_options)]
            if model.likelihood is not None:
                results.append(
                    model.log_prob(images, every, Rng(7, range(n), model.dtype), **log_prob_options)
                )
        return results

    before = [values(k) for k in range(classes)]
    originals = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for i, (p, mask) in enumerate(zip(parameters, own)):
            p.add_(3 * mask * Rng(i, [0], p.dtype).split("labels").normal(p.shape)[0])
    after = [values(k) for k in range(classes)]
    with torch.no_grad():
        for p, original in zip(parameters, originals):
            p.copy_(original)
    for k in range(classes):
        for name, old, new in zip(("sample", "log_prob"), before[k], after[k]):
            same = torch.equal(old, new)
            assert same == (k != c), (
                f"{name} of class {k} does{' not' if same else ''} change with weights of class {c}"
            )


def touched_weights(model: GenerativeModel, x: Tensor) -> list[Tensor]:
    """Which weights the images x of one class touch: whether the loss has a gradient there, bool (classes, *shape) for every parameter of
    every player.

    The loss of a model of p(x, y) draws labels of every class, so that log p(x | y) takes its place.
    """
    masks = []
    for player in model.players().values():
        rows = []
        for c in range(model.classes):
            y = torch.full((len(x),), c)
            rng = Rng(8, range(len(x)), model.dtype)
            joint = isinstance(model, Classifies)
            loss = -model.log_prob(x, y).mean() if joint else player.loss(x, y, rng)["loss"]
            gradients = torch.autograd.grad(loss, player.parameters, allow_unused=True)
            rows.append(
                [
                    torch.zeros_like(p) if g is None else g
                    for p, g in zip(player.parameters, gradients)
                ]
            )
        masks += [torch.stack(gradients) != 0 for gradients in zip(*rows)]
    return masks


def weights_of_class(c: int, touched: Tensor) -> Tensor:
    """The rows or columns of a parameter that belong to class c, bool: a block of as many as there are classes, one for each.

    Single weights do not tell: one that feeds a unit without effect on the other classes would tell otherwise when it is larger.
    """
    classes = len(touched)
    own = torch.zeros(touched.shape[1:], dtype=torch.bool)
    for dim in range(own.dim()):
        lines = (
            touched.movedim(dim + 1, 1).reshape(classes, touched.shape[dim + 1], -1).any(2).long()
        )  # (classes, lines)
        for first in range(lines.shape[1] - classes + 1):
            block = lines[:, first : first + classes]
            if (block.sum(0) == 1).all() and (block.sum(1) == 1).all():
                own.select(dim, first + int(block[c].argmax())).fill_(True)
    return own


@torch.no_grad()
def fitted_labels_score_higher(
    model: GenerativeModel,
    x: Tensor,
    y: Tensor,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
) -> None:
    rng = Rng(6, range(len(x)), model.dtype)
    for what, images in (("data", x), ("samples", model.sample(rng, y, **sample_options))):
        right, shifted = (
            float(model.log_prob(images, labels, rng.split("log_prob"), **log_prob_options).mean())
            for labels in (y, (y + 1) % model.classes)
        )
        assert right > shifted, (
            f"{what} have {right:.3f} nats with their labels, {shifted:.3f} with shifted ones"
        )
