"""Figures: the geometry of walks through latent space, neighbours against brute force, and which figures a model gets."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from genbench.capabilities import Latent
from genbench.cli.main import main
from genbench.data.importing import Import, import_images
from genbench.explore import FIGURES, explore
from genbench.explore.latent import (
    class_means,
    gaussian_quantiles,
    lattice,
    linear,
    plane,
    principal_directions,
    spherical,
    walks_of,
)
from genbench.explore.neighbours import histograms
from genbench.explore.sheet import DRAWING, legible, sheet, style
from genbench.explore.subject import NotPossible, Subject
from genbench.formulas.priors import Bernoulli, Codes, Logistic, Normal, Prior, Uniform
from genbench.metrics.nearest import nearest_rows
from genbench.rng import Rng
from genbench.runs.build import open_run
from genbench.system.locations import project_root
from genbench.training.train import train

PICTURES = {"samples", "neighbours"}
LATENT = {"manifold", "traversals", "interpolation"}
ENCODED = {"reconstructions", "arithmetic", "tsne"}


def normal(n, d):
    return Rng(0, range(n), torch.float64).normal((d,))


# --- latent space ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("walk", [linear, spherical])
def test_a_walk_begins_and_ends_at_its_latents(walk):
    a, b = normal(2, 7)
    z = walk(a, b, torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64))
    assert torch.allclose(z[0], a, atol=1e-14) and torch.allclose(z[2], b, atol=1e-14)


def test_the_spherical_walk_keeps_the_norm_and_turns_at_a_steady_rate():
    a, b = torch.nn.functional.normalize(normal(2, 7), dim=1) * 3
    z = spherical(a, b, torch.linspace(0, 1, 9, dtype=torch.float64))
    assert torch.allclose(z.norm(dim=1), torch.full((9,), 3.0, dtype=torch.float64))
    angles = torch.acos((z[1:] * z[:-1]).sum(1) / 9)
    assert torch.allclose(angles, torch.acos(torch.dot(a, b) / 9) / 8 * torch.ones_like(angles))
    assert float(linear(a, b, torch.tensor([0.5], dtype=torch.float64)).norm()) < 2.9


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_the_spherical_walk_along_one_line_is_straight(factor):
    a = normal(1, 5)[0]
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert torch.equal(spherical(a, factor * a, t), linear(a, factor * a, t))


def test_quantiles_cut_the_gaussian_into_equal_shares():
    q = gaussian_quantiles(8)
    shares = [0.5 * (1 + math.erf(float(z) / math.sqrt(2))) for z in q]
    assert np.allclose(shares, (np.arange(8) + 0.5) / 8)


def test_the_lattice_is_in_reading_order_with_the_second_axis_upwards():
    mean, scale = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 3.0]).double()
    z = plane(mean, torch.eye(2).double(), scale, 3).view(3, 3, 2)
    q = gaussian_quantiles(3)
    for row in range(3):
        for column in range(3):
            assert torch.allclose(z[row, column], torch.stack((1 + q[column], 2 + 3 * q[2 - row])))


def test_all_pairs_of_two_lists_are_in_reading_order_with_the_second_upwards():
    pairs = lattice(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 6.0])).tolist()
    assert pairs == [[1, 6], [2, 6], [1, 5], [2, 5]]


def test_spherical_walks_of_other_priors_are_those_of_their_noise():
    a, b = normal(2, 7)
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    for prior in (Normal(), Logistic(), Uniform()):
        straight, turning = walks_of(prior)
        z = turning.between(prior.from_normal(a), prior.from_normal(b), t)
        assert torch.allclose(prior.to_normal(z), spherical(a, b, t), atol=1e-10)
        assert torch.equal(straight.between(a, b, t), linear(a, b, t))


class Circle(Prior):
    """Points of a circle: reals whose entries are not independent."""

    name = "a circle"

    def draw(self, rng, shape):
        return torch.nn.functional.normalize(rng.normal(shape))


def test_a_prior_of_dependent_entries_has_no_spherical_walk():
    assert [walk.name for walk in walks_of(Circle())] == ["linear"]


def test_principal_directions_are_those_of_the_covariance():
    z = normal(200, 5) * torch.tensor([1.0, 4.0, 2.0, 0.1, 0.5]).double()
    mean, directions, scale = principal_directions(z)
    values, vectors = torch.linalg.eigh(torch.cov(z.T))
    assert torch.allclose(scale.square(), values.flip(0)[:2])
    assert torch.allclose(
        (directions * vectors.flip(1)[:, :2].T).sum(1).abs(), torch.ones(2).double()
    )
    assert torch.allclose(mean, z.mean(0))
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_class_means_are_means_of_each_class():
    z, y = normal(6, 3), torch.tensor([0, 1, 0, 3, 3, 3])
    means = class_means(z, y, 4)
    assert torch.allclose(means[[0, 1, 3]], torch.stack((z[[0, 2]].mean(0), z[1], z[3:].mean(0))))
    assert means[2].isnan().all()


# --- neighbours -----------------------------------------------------------------------------------------------------------


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr("genbench.metrics.nearest._CHUNK", 13)
    queries, reference = normal(9, 6), Rng(1, range(50), torch.float64).normal((6,))
    distances, rows = nearest_rows(queries, reference, 3)
    expected = (
        NearestNeighbors(n_neighbors=3, algorithm="brute")
        .fit(reference.numpy())
        .kneighbors(queries.numpy())
    )
    assert np.allclose(distances.numpy(), expected[0]) and np.array_equal(rows.numpy(), expected[1])


def test_a_copy_has_distance_zero_and_the_first_of_two_equal_rows_wins():
    reference = normal(20, 4).repeat(2, 1)
    distances, rows = nearest_rows(reference[[4, 27]], reference, 1)
    assert (distances == 0).all() and rows[:, 0].tolist() == [4, 7]


# --- figures of runs ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    """t-SNE of a thousand points takes seconds."""
    monkeypatch.setattr("genbench.explore.tsne._PLACED", 60)


def made(lines):
    return {line.partition(":")[0] for line in lines if "not possible" not in line}


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("digits/vae", PICTURES | LATENT | ENCODED),
        ("digits/gan", PICTURES | LATENT),
        ("digits/pixelcnn", PICTURES),
        ("points2d/vae", {"points", "encodings"}),
        ("points2d/ddpm", {"points", "forward", "reverse"}),
        ("points2d/ebm", {"points", "reverse"}),
    ],
)
def test_a_run_gets_the_figures_of_what_it_offers(trained, tmp_path, recipe, expected):
    levels = ["data.levels=16"] if "points2d" in recipe else []
    run, out = trained(recipe, *levels), tmp_path / "page"
    lines = list(explore(run, out=out))
    assert [line.partition(":")[0] for line in lines] == list(FIGURES)
    assert made(lines) == expected
    dataset, model = recipe.split("/")
    here, there = run.path / "explore", out / "explore" / dataset
    assert {path.name for path in here.iterdir()} == {
        f"{f}.{e}" for f in expected for e in ("png", "svg")
    } | {"captions.json"}
    captions = json.loads((there / "captions.json").read_text())
    assert set(captions) == {f"{model}-{figure}" for figure in expected}
    for figure in expected:
        entry = captions[f"{model}-{figure}"]
        assert (
            entry["model"] == model
            and entry["seed"] == 0
            and entry["drawing"] == DRAWING
            and entry["caption"]
        )
        assert (
            entry["command"]
            == f"genbench explore runs/{dataset}/{model}/s0 --only {figure} --seed 0"
        )
        for end, most in (("png", 300), ("svg", 500)):
            content = (here / f"{figure}.{end}").read_bytes()
            assert content == (there / f"{model}-{figure}.{end}").read_bytes()
            assert len(content) < most * 1024


# as folders may be called: an everyday name, long ones, one with dollars, one without letters in the font, and wide ones
NAMES = [
    "cat",
    "a mean $5 or $6",
    "\N{CJK UNIFIED IDEOGRAPH-732B}",
    "American bulldog of the north",
    "American bulldog of the south",
]
NAMES += ["M" * (3 + k) for k in range(35)]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Images of forty classes: eight of each, of the seventh and of those after the thirtieth sixteen."""
    folder, rng = tmp_path_factory.mktemp("zoo"), np.random.default_rng(0)
    for k, name in enumerate(sorted(NAMES)):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(16 if k == 6 or k > 30 else 8):
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(
                folder / "photos" / name / f"{i}.png"
            )
    list(import_images(Import(folder / "photos", "zoo", 8, test=120, root=folder)))
    return folder


def of_the_zoo(tiny, zoo, *overrides, folder="run"):
    data = [
        "data.class_path=genbench.data.imported.Imported",
        "data.name=zoo",
        f"data.root={zoo}",
        "protocol=likelihood",
    ]
    return train(tiny("digits/vae", *data, *overrides, folder=folder))


def test_names_of_classes_are_legible_and_no_two_alike():
    names = [
        "cat",
        "\N{CJK UNIFIED IDEOGRAPH-732B}",
        "American bulldog of the north",
        "American bulldog of the south",
        "a\nb",
    ]
    names += ["x" * 300, "x" * 200, "$a$"]
    cat, number, north, south, *others = legible(names, 150)
    assert (cat, number, others) == ("cat", "1", ["4", "5", "6", "$a$"])
    for short, name in ((north, names[2]), (south, names[3])):
        start, _, end = short.partition("\N{HORIZONTAL ELLIPSIS}")
        assert name.startswith(start) and name.endswith(end) and 12 <= len(short) <= 16
    assert legible(["American bulldog"], 184) == ["American bulldog"]


def test_of_forty_classes_the_ten_most_frequent_have_a_colour(tiny, zoo, monkeypatch):
    monkeypatch.setattr("genbench.explore.tsne._PLACED", 120)
    subject = Subject(open_run(of_the_zoo(tiny, zoo)))
    with torch.no_grad(), style():
        figure, _, caption, _ = FIGURES["tsne"](subject)
        _, y = subject.encodings
    counts = np.bincount(y, minlength=40)
    most = sorted(np.argsort(-counts, kind="stable")[:10])
    others = int((counts > 0).sum()) - 10
    (axes,) = figure.axes
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(entries) == 11 and entries[-1] == f"{others} other classes"
    assert f"the 10 most frequent of the {10 + others} classes" in caption
    looks = {
        (tuple(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.tobytes())
        for dots in axes.collections
    }
    assert len(looks) == 11
    assert [len(dots.get_offsets()) for dots in axes.collections[:-1]] == [counts[k] for k in most]
    assert sum(len(dots.get_offsets()) for dots in axes.collections) == 120


@pytest.mark.parametrize("label", [None, 0])
def test_figures_call_classes_by_their_names_and_say_which_are_shown(tiny, zoo, label):
    subject = Subject(open_run(of_the_zoo(tiny, zoo, "model.conditional=true")), label=label)
    first = legible(sorted(NAMES), 184)[0]
    assert first.startswith("America")
    with torch.no_grad(), style():
        for name, start in (("samples", "y = "), ("arithmetic", "b =")):
            figure, _, caption, _ = FIGURES[name](subject)
            labels = [text for text, _ in words(figure) if text.startswith(start)]
            assert len(labels) == (6 if name == "samples" and label == 0 else 10)
            assert (f"of {len(NAMES)} classes, by label" in caption) == (
                name == "arithmetic" or label is None
            )
        assert f"Class y = {first}." in FIGURES["manifold"](subject).caption
        assert f"y = {first}" in [text for text, _ in words(FIGURES["samples"](subject).figure)]


@pytest.mark.slow
def test_no_words_of_forty_classes_are_cut_or_cover_others(tiny, zoo, monkeypatch):
    monkeypatch.setattr("genbench.explore.tsne._PLACED", 120)
    every = PICTURES | LATENT | ENCODED
    few = PICTURES | {
        "reconstructions",
        "arithmetic",
    }  # too few held-out images of one class for the others
    conditional = ["model.conditional=true"]
    for overrides, label, expected in (
        ([], None, every),
        (conditional, None, every),
        (conditional, 30, few),
    ):
        subject = Subject(
            open_run(of_the_zoo(tiny, zoo, *overrides, folder=zoo / str(len(overrides)))),
            label=label,
        )
        check_words(subject, expected)


@pytest.mark.parametrize(
    ("place", "here", "there"),
    [
        ("mine/vae 2", "'mine/vae 2'", "'mine/vae 2'"),
        ("../elsewhere/run", "{}/elsewhere/run", "runs/digits/vae/s0"),
        ("linked/run", "linked/run", "linked/run"),
    ],
)
def test_captions_have_the_command_that_draws_the_figure_again(
    trained, tmp_path, monkeypatch, place, here, there
):
    root, page = tmp_path / "checkout", tmp_path / "page"
    root.mkdir()
    (tmp_path / "disk").mkdir()
    (root / "linked").symlink_to(tmp_path / "disk")
    monkeypatch.setattr("genbench.explore.command.project_root", lambda: root)
    run = trained("digits/vae", folder=root / place)
    list(explore(run, ("samples",), seed=4, label=3, out=page, trust=("my.models", "mine")))
    words = "genbench explore {} --only samples --seed 4 --label 3 --trust my.models --trust mine"
    captions = [json.loads((run.path / "explore" / "captions.json").read_text())["samples"]]
    captions += [
        json.loads((page / "explore" / "digits" / "captions.json").read_text())["vae-samples"]
    ]
    assert [entry["command"] for entry in captions] == [
        words.format(here.format(tmp_path)),
        words.format(there),
    ]


@pytest.mark.parametrize(("steps", "said"), [(3, False), (50, True)])
def test_a_chain_is_called_uneven_where_it_is(trained, monkeypatch, steps, said):
    subject = Subject(open_run(trained("digits/ddpm")))
    monkeypatch.setattr(
        subject.model,
        "trajectory",
        lambda x, rng, y=None, **options: (x for _ in range(steps)),
        raising=False,
    )
    with torch.no_grad(), style():
        assert ("evenly" in FIGURES["reverse"](subject).caption) == said


def test_means_of_latents_move_an_image_and_do_not_make_it_another(trained):
    with torch.no_grad(), style():
        caption = FIGURES["arithmetic"](Subject(open_run(trained("digits/vae")))).caption
    assert "moved towards class b: decode(z + m_b - m_a)" in caption and "becomes" not in caption


@pytest.mark.parametrize("n", [1, 2])
def test_the_legend_of_distances_is_crossed_by_no_line(n):
    with style():
        figure = sheet("title", "caption")
        for i in range(n):
            # high everywhere, and low in between
            histograms(
                figure,
                i,
                n,
                "pixels",
                np.repeat(np.arange(30.0), 2),
                np.repeat(np.arange(30.0)[::2], 3),
            )
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw_without_rendering()
        assert len(figure.axes) == n
        for axes in figure.axes:
            assert len(axes.patches) > 0
            box = axes.get_legend().get_window_extent(renderer)
            assert box.x1 <= 1600 and box.y0 > axes.get_window_extent(renderer).y1 - 1
            for line in axes.patches:
                assert (
                    not line.get_transform()
                    .transform_path(line.get_path())
                    .intersects_bbox(box, filled=False)
                )


def words(figure):
    """Every text of a figure that is drawn, with its box in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    axes = [
        (axis, sorted(axis.get_view_interval()))
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
    ]
    ticks = [
        tick
        for axis, (low, high) in axes
        for tick in axis.get_major_ticks()
        if not low <= tick.get_loc() <= high
    ]
    beyond = {label for tick in ticks for label in (tick.label1, tick.label2)}
    texts = [
        text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()
    ]
    return [
        (text.get_text(), text.get_window_extent(renderer)) for text in texts if text not in beyond
    ]


@pytest.mark.parametrize(
    ("recipe", "levels", "expected"),
    [
        ("digits/vae", [], PICTURES | LATENT | ENCODED),
        ("digits/gan", ["model.conditional=true"], PICTURES | LATENT),
        ("points2d/ddpm", ["data.levels=16"], {"points", "forward", "reverse"}),
    ],
)
def test_no_words_are_cut_or_cover_others(trained, recipe, levels, expected):
    check_words(Subject(open_run(trained(recipe, *levels))), expected)


def check_words(subject, expected):
    """Of every figure that the model offers."""
    drawn = set()
    for name, draw in FIGURES.items():
        with torch.no_grad(), style(), suppress(NotPossible):
            figure = draw(subject).figure
            drawn.add(name)
            found = words(figure)
            assert len(found) >= 2
            for i, (text, box) in enumerate(found):
                assert box.x0 >= 0 and box.x1 <= 1600 and box.y0 >= 0 and box.y1 <= 900, (
                    name,
                    text,
                )
                for other, its in found[:i]:
                    assert not (
                        min(box.x1, its.x1) > max(box.x0, its.x0) + 1
                        and min(box.y1, its.y1) > max(box.y0, its.y0) + 1
                    ), (name, text, other)
    assert drawn == expected


@pytest.mark.parametrize("recipe", ["digits/flow_matching", "digits/ddpm"])
def test_the_strip_of_a_sampler_ends_at_its_samples(trained, recipe, monkeypatch):
    subject, shown = Subject(open_run(trained(recipe))), []
    monkeypatch.setattr(
        "genbench.explore.processes.sheet_of",
        lambda _s, _t, _c, x, columns, *rest: shown.append((x, columns)),
    )
    with torch.no_grad():
        FIGURES["reverse"](subject)
        ((x, columns),) = shown
        assert torch.equal(x.unflatten(0, (-1, columns))[:, -1], subject.sample(6, None))


def test_distances_in_a_t_sne_are_the_same_along_both_axes(trained):
    subject = Subject(open_run(trained("digits/vae")))
    with torch.no_grad(), style():
        figure = FIGURES["tsne"](subject).figure
    figure.draw_without_rendering()
    (axes,) = figure.axes
    square = axes.transData.transform([(0, 0), (1, 0), (0, 1)])
    assert square[1, 0] - square[0, 0] == pytest.approx(square[2, 1] - square[0, 1])


def test_the_same_run_gives_the_same_bytes_and_another_seed_others(trained):
    run = trained("digits/vae")

    def drawn(seed):
        list(explore(run, ("samples", "tsne", "neighbours"), seed))
        return {path.name: path.read_bytes() for path in (run.path / "explore").iterdir()}

    first = drawn(0)
    assert drawn(0) == first
    other = drawn(1)
    assert other.keys() == first.keys() and len(first) == 7
    assert all(content != first[name] for name, content in other.items())


def test_a_conditional_model_shows_classes_and_exchanges_them(trained):
    run = trained("digits/vae", "model.conditional=true")
    lines = list(explore(run, ("samples", "arithmetic", "interpolation", "manifold"), label=3))
    assert made(lines) == {"samples", "arithmetic", "interpolation", "manifold"}
    captions = json.loads((run.path / "explore" / "captions.json").read_text())
    assert "p(x | y)" in captions["samples"]["caption"] and captions["samples"]["command"].endswith(
        "--label 3"
    )
    assert "y = 3" in captions["manifold"]["caption"]


def declare(model, latent):
    """Make a model declare other latents; None: it declares none."""
    kind = type(model)
    declared = property(lambda self: self.undeclared if latent is None else latent)
    model.__class__ = type(kind.__name__, (kind,), {"latent": declared})


def of_latents(trained, latent, recipe="digits/vae"):
    """A run whose model declares other latents, and the latents that it is made to decode."""
    subject = Subject(open_run(trained(recipe, f"model.latent={latent.dims}")))
    decoded = []
    decode = subject.model.decode

    def flat(z, y=None):
        decoded.append(z)
        return decode(z.flatten(1), y)

    declare(subject.model, latent)
    subject.model.decode = flat
    if hasattr(subject.model, "encode"):
        encode = subject.model.encode
        subject.model.encode = lambda x, y=None: encode(x, y).unflatten(1, latent.shape)
    return subject, decoded


@pytest.mark.parametrize("prior", [Normal(), Uniform(), Logistic()])
def test_two_latents_are_decoded_at_the_quantiles_of_the_declared_prior(trained, prior):
    subject, decoded = of_latents(trained, Latent((1, 2), prior))
    with torch.no_grad(), style():
        caption = FIGURES["manifold"](subject).caption
        figure = FIGURES["encodings"](subject).figure
    z = torch.cat(decoded)
    assert z.shape == (144, 1, 2)
    share = torch.special.ndtr(prior.to_normal(z.double())).view(12, 12, 2)
    expected = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    assert torch.allclose(share[:, :, 0], expected.expand(12, 12), atol=1e-6)
    assert torch.allclose(share[:, :, 1], expected.flip(0)[:, None].expand(12, 12), atol=1e-6)
    assert ("standard deviations" in caption) == isinstance(prior, Normal)
    (axes,) = figure.axes
    draws, *classes = axes.collections
    y = subject.encodings[1]
    assert len(draws.get_offsets()) == len(y)
    assert [len(dots.get_offsets()) for dots in classes] == y.bincount().tolist()
    assert np.abs(draws.get_offsets()).max() < (1 if isinstance(prior, Uniform) else 20)


def test_one_latent_is_varied_over_the_quantiles_of_its_prior(trained):
    subject, decoded = of_latents(trained, Latent((3,), Uniform()))
    with torch.no_grad(), style():
        caption = FIGURES["traversals"](subject).caption
    z = torch.cat(decoded).double().view(3, 13, 3)
    order = subject.encodings[0].std(0).argsort(descending=True)
    scores = torch.linspace(-3, 3, 13, dtype=torch.float64)
    for row, i in enumerate(order.tolist()):
        assert torch.allclose(z[row, :, i], 2 * torch.special.ndtr(scores) - 1, atol=1e-6)
    assert "U(-1, 1)" in caption


def test_draws_start_where_the_prior_is(trained):
    subject, decoded = of_latents(trained, Latent((40,), Uniform()), "digits/gan")
    with torch.no_grad(), style():
        for figure in ("interpolation", "manifold"):
            FIGURES[figure](subject)
    for z in decoded:
        assert z.abs().max() < 1


@pytest.mark.parametrize("prior", [Bernoulli(), Codes(9)])
def test_latents_that_are_no_reals_get_no_walks(trained, prior):
    subject, _ = of_latents(trained, Latent((3, 2), prior))
    drawn = set()
    for name in LATENT | ENCODED | {"encodings"}:
        with torch.no_grad(), style(), suppress(NotPossible):
            FIGURES[name](subject)
            drawn.add(name)
    placed = set() if isinstance(prior, Codes) else {"tsne"}
    assert drawn == {"reconstructions"} | placed


def test_a_model_whose_latents_are_others_than_it_declares_is_named(trained):
    subject = Subject(open_run(trained("digits/vae")))
    declare(subject.model, Latent((5,), Normal()))
    with pytest.raises(ValueError, match=r"VAE encodes into \(12,\) and declares \(5,\)"):
        FIGURES["reconstructions"](subject)


def test_a_model_that_does_not_declare_its_latents_has_no_figures_of_them(trained):
    subject = Subject(open_run(trained("digits/vae")))
    declare(subject.model, None)
    with pytest.raises(NotPossible, match="VAE does not declare its latents"):
        FIGURES["manifold"](subject)


def test_the_corners_of_a_manifold_without_an_encoder_are_draws_of_the_prior(trained):
    subject = Subject(open_run(trained("digits/gan")))
    shown = []
    subject.decode = lambda z, y: shown.append(z) or torch.zeros(len(z), 1, 8, 8, dtype=torch.uint8)
    with torch.no_grad(), style():
        FIGURES["manifold"](subject)
    (z,) = shown
    draws, _ = subject.starts(4, "manifold")
    z = z.unflatten(0, (12, 12))
    assert torch.allclose(z[[0, 0, -1, -1], [0, -1, 0, -1]], draws, atol=1e-5)
    assert z.norm(dim=-1).min() > 0.9 * draws.norm(dim=1).min()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "sample"], "samples"),
        (["--label", "10"], "labels are from 0 to 9"),
    ],
)
def test_bad_input_is_one_line(trained, capsys, given, said):
    run = trained("digits/vae")
    assert main(["explore", str(run.path), *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not (run.path / "explore").exists()


def test_committed_figures_are_of_this_drawing():
    paths = list((project_root() / "leaderboards" / "explore").glob("*/captions.json"))
    assert paths
    for path in paths:
        drawn = {
            name: entry.get("drawing", 1) for name, entry in json.loads(path.read_text()).items()
        }
        assert set(drawn) == {picture.stem for picture in path.parent.glob("*.png")}
        old = [name for name, version in drawn.items() if version != DRAWING]
        assert not old, (
            f"{path.parent}: draw again with the commands of captions.json and --out leaderboards: {old}"
        )


def test_damaged_captions_are_named(trained, capsys):
    run = trained("digits/vae")
    (run.path / "explore").mkdir()
    (run.path / "explore" / "captions.json").write_text("{")
    assert main(["explore", str(run.path), "--only", "samples"]) == 2
    assert "captions.json is damaged" in capsys.readouterr().err


def test_where_figures_go_is_checked_before_one_is_drawn(trained, tmp_path, capsys, monkeypatch):
    run = trained("digits/vae")
    (tmp_path / "page").write_text("")
    for figure in FIGURES:
        monkeypatch.setitem(FIGURES, figure, lambda subject: pytest.fail("a figure was drawn"))
    assert main(["explore", str(run.path), "--out", str(tmp_path / "page")]) == 2
    message = capsys.readouterr().err
    assert message.endswith(f"cannot be written: {tmp_path / 'page'} is no folder\n")
    assert message.count("\n") == 1
    (run.path / "explore").write_text("")
    assert main(["explore", str(run.path)]) == 2
    assert f"cannot be written: {run.path / 'explore'} is no folder" in capsys.readouterr().err


def test_no_run_is_one_line(tmp_path, capsys):
    assert main(["explore", str(tmp_path)]) == 2
    assert "no run in" in capsys.readouterr().err
