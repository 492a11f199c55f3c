"""Images of more than 256 levels: codes of a tokenizer, long alphabets, grey values of 16 bits."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import CONFIGS, PUPILS

from genbench.batch import Batch, ImageBuffer
from genbench.cli.main import main
from genbench.config.instantiate import instantiate
from genbench.config.protocol import load_protocol
from genbench.config.recipe import load_config
from genbench.data.decoded import array_dtype
from genbench.data.images import ImageData
from genbench.data.importing import Import, import_images
from genbench.data.pictures import save_folder
from genbench.errors import InputError, Stopped
from genbench.evaluation.draw import model_samples
from genbench.evaluation.foreign import read_samples
from genbench.formulas.pixels import in_cell, quantise, to_pixels, to_real
from genbench.metrics.extractor import load_extractor
from genbench.metrics.log_densities import log_table
from genbench.model import GenerativeModel
from genbench.models.autoregressive.autoregressive import Autoregressive
from genbench.models.classical.gmm import GMM
from genbench.models.flow.flow import Flow
from genbench.models.vae.vqvae import VQVAE
from genbench.nets.bijections.nice import NICE
from genbench.nets.made import MADE
from genbench.nets.mlp import MLP
from genbench.nets.pixelcnn import GatedPixelCNN
from genbench.nets.transformer import Transformer
from genbench.rng import Rng
from genbench.runs.build import build, load
from genbench.runs.folder import Run
from genbench.spec import MAX_LEVELS, Image, Spec, pixel_dtype
from genbench.training.train import train

LEVELS = 300
ADAM = partial(torch.optim.Adam, lr=1e-3)
NETS = {
    "made": partial(MADE, width=16),
    "transformer": partial(Transformer, width=16, depth=1, heads=2),
    "pixelcnn": partial(GatedPixelCNN, width=4, layers=2),
}
POINTS = [name for name in CONFIGS if name.startswith("points2d/") and name not in PUPILS]


def all_images(spec: Spec) -> torch.Tensor:
    """Every image of a spec, (levels^D, C, H, W)."""
    values = torch.arange(spec.levels)
    return torch.cartesian_prod(*[values] * spec.dims).view(-1, *spec.shape).to(spec.dtype)


def moved(model: GenerativeModel, scale: float) -> GenerativeModel:
    """The model with noise on its weights, so that its probabilities differ."""
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(scale * Rng(i, [0], p.dtype).normal(p.shape)[0])
    return model.eval()


# --- pixels -------------------------------------------------------------------------------------------------------


def test_the_integer_type_is_the_smallest_that_holds_the_levels():
    for levels in (2, 256, 257, 512, MAX_LEVELS):
        x = torch.tensor([0, levels - 1]).to(pixel_dtype(levels))
        assert x.tolist() == [0, levels - 1]
        assert array_dtype(levels) == x.numpy().dtype
        assert Spec((1, 1, 2), levels).dtype == Image((1, 1, 2), levels).dtype == x.dtype
    assert pixel_dtype(256) == torch.uint8 != pixel_dtype(257)
    for levels in (1, MAX_LEVELS + 1):
        with pytest.raises(ValueError, match=f"levels of a pixel are 2 to 65,536, not {levels}"):
            Spec((1, 1, 2), levels)


@pytest.mark.parametrize("levels", [257, LEVELS, 32_769, MAX_LEVELS])
def test_reals_and_pixels_are_inverse_for_every_level_in_float32(levels):
    x = torch.arange(levels)
    assert torch.equal(to_pixels(to_real(x, levels), levels), x.to(pixel_dtype(levels)))
    for u in (0.0, 1e-9, 0.3, 0.999, 1.0):
        v = in_cell(x, levels, torch.full((levels,), u))
        assert torch.equal(quantise(v, levels), x.to(pixel_dtype(levels)))


# --- models -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2)])
@pytest.mark.parametrize("net", NETS)
def test_probabilities_of_an_autoregressive_model_sum_to_1(net, shape):
    model = moved(Autoregressive(Spec(shape, LEVELS), NETS[net], ADAM), 0.3)
    with torch.no_grad():
        log_p = torch.cat([model.log_prob(part) for part in all_images(model.spec).split(10_000)])
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-10)
    assert float(log_p.std()) > 0.01


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("net", NETS)
def test_samples_have_the_probabilities_of_all_levels(net):
    model = moved(Autoregressive(Spec((1, 1, 1), LEVELS), NETS[net], ADAM), 0.5)
    n = 30_000
    with torch.no_grad():
        p = model.log_prob(all_images(model.spec)).exp()
        x = model.sample(Rng(0, range(n)))
    assert x.dtype == torch.int32 and int(x.max()) > 255
    counts = torch.bincount(x.flatten(), minlength=LEVELS)
    common = n * p > 10
    chi2 = ((counts - n * p) ** 2 / (n * p))[common].sum()
    degrees = int(common.sum())
    assert degrees > 100
    assert chi2 < degrees + 5 * (2 * degrees) ** 0.5


@pytest.mark.usefixtures("double")
def test_completions_keep_a_beginning_of_high_levels():
    model = moved(Autoregressive(Spec((1, 1, 3), LEVELS), NETS["transformer"], ADAM), 0.3)
    x = model_samples(model, Rng(0, range(50)), None, {}, [299, 256])
    assert (x[:, 0, 0, :2] == torch.tensor([299, 256])).all()
    assert len(x[:, 0, 0, 2].unique()) > 20


@pytest.mark.usefixtures("double")
def test_a_flow_decodes_what_it_encodes_and_its_cells_have_their_volume():
    """Over all images, E exp(log w) adds up to the mass of the density in the cube: nearly 1, where 256 cells would give 1.17."""
    spec = Spec((1, 1, 2), LEVELS)
    model = Flow(spec, partial(NICE, couplings=2, net=partial(MLP, width=8, depth=2)), ADAM)
    x = all_images(spec)
    rng = Rng(0, range(len(x)))
    with torch.no_grad():
        assert torch.equal(model.decode(model.encode(x)), x)
        total = float(model.log_prob(x, None, rng).exp().sum())
        samples = model.sample(Rng(1, range(2_000)))
    v = samples.double() / (LEVELS - 1)
    inside = float(((v > 0) & (v < 1)).all(1).double().mean())
    assert samples.dtype == torch.int32 and int(samples.max()) > 255
    assert total == pytest.approx(1, abs=1 - inside + 0.01)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_cells_of_a_mixture_have_their_volume(covariance):
    """Far inside the cube, the masses of 300 cells add up to 1; by the volume of 256 levels, to 1.17."""
    model = GMM(Spec((1, 1, 1), LEVELS), components=3, covariance=covariance)
    centre = (0.3 * Rng(1, range(5_000)).normal(model.spec.shape) + 0.1).clamp(-0.99, 0.99)
    x = quantise((centre + 1) / 2, LEVELS)

    model.finalize([Batch(x, None, Rng(0, range(len(x))))], Rng(0, [0]))
    every = all_images(model.spec)
    with torch.no_grad():
        total = float(model.log_prob(every, None, Rng(0, range(LEVELS))).exp().sum())
        samples = model.sample(Rng(0, range(5_000)))
    assert total == pytest.approx(1, abs=5e-3)
    assert float(samples.double().mean()) == pytest.approx(float(x.double().mean()), abs=3)


@pytest.mark.parametrize("name", POINTS)
def test_every_model_of_points_takes_300_levels(name, tiny):
    tree = {**tiny(name).resolved["model"], "spec": asdict(Spec((1, 1, 2), LEVELS))}
    model = instantiate(GenerativeModel, tree)
    rng = Rng(0, range(64))
    x = (220 + rng.integers(80, model.spec.shape)).to(model.spec.dtype)
    for player in model.players().values():
        assert torch.isfinite(player.loss(x, None, rng)["loss"])
    model.eval()
    with torch.no_grad():
        samples = model.sample(rng)
        assert samples.dtype == torch.int32
        assert samples.min() >= 0 and samples.max() < LEVELS
        if model.likelihood is not None:
            assert torch.isfinite(model.log_prob(x, None, rng)).all()


def test_buffers_of_images_keep_high_levels():
    """Rows that a batch keeps are written in the type of the images."""
    buffer = ImageBuffer(torch.zeros(4, 2, dtype=pixel_dtype(LEVELS)))
    rng = Rng(0, [1, 2])
    buffer.keep(rng, torch.tensor([[299, 256], [0, 257]], dtype=torch.int32))
    buffer.write(world_size=1)
    assert buffer.read(rng).tolist() == [[299, 256], [0, 257]]


# --- data, runs, records ------------------------------------------------------------------------------------------


class Wide(ImageData):
    """Two pixels of 300 levels, the second near the first."""

    name = "wide"
    spec = Spec((1, 1, 2), LEVELS)
    sizes = (640, 64, 128)

    def decode(self):
        arrays = {}
        for split, n in zip(("train", "val", "test"), self.sizes):
            first = Rng(0, range(n)).split(split).integers(LEVELS, (1, 1, 1)).numpy()
            pair = np.concatenate((first, np.minimum(first + 1, LEVELS - 1)), axis=3)
            arrays[split] = (pair.astype(np.int32), None)
        return arrays


class Narrow(Wide):
    """The same, cut to 8 bits by mistake."""

    name = "narrow"

    def decode(self):
        return {split: (x.astype(np.uint8), y) for split, (x, y) in super().decode().items()}


def test_data_of_300_levels_are_stored_dealt_and_hashed(tmp_path):
    data = Wide(str(tmp_path), batch_size=640)
    x, _ = data.tensors("train")
    batch = next(data.batches(0, 640, 0, 1, torch.device("cpu"), torch.float32))
    assert x.dtype == batch.x.dtype == torch.int32
    assert int(x.max()) > 255
    assert torch.equal(batch.x.flatten(1).sort(0).values, x.flatten(1).sort(0).values)
    assert Wide(str(tmp_path)).content_hash == data.content_hash
    with pytest.raises(
        InputError, match=r"test_levels.Narrow: images for train are uint8; int32 is right"
    ):
        Narrow(str(tmp_path)).arrays("train")
    assert not list(tmp_path.glob("narrow*"))


@pytest.mark.usefixtures("double")
def test_the_table_of_a_universe_has_every_level(tmp_path):
    data = Wide(str(tmp_path))
    model = moved(Autoregressive(data.spec, NETS["made"], ADAM), 0.3)
    protocol = replace(load_protocol("likelihood"), chunk=10_000)
    with torch.no_grad():
        table = log_table(model, data, {}, protocol, "cpu")
    assert np.exp(table).sum() == pytest.approx(1, abs=1e-10)


@pytest.fixture
def wide(tmp_path):
    """The root of imported images of 2 x 2 pixels and 300 levels, and the options that name them."""
    images = Rng(0, range(400)).integers(LEVELS, (2, 2)).numpy().astype(np.int32)
    np.savez(tmp_path / "wide.npz", images=images, levels=LEVELS)
    lines = list(import_images(Import(tmp_path / "wide.npz", "wide", 2, tmp_path)))
    assert "protocol: likelihood  # extractors of photographs see 8 bits" in lines
    return (
        "data.class_path=genbench.data.imported.Imported",
        "data.name=wide",
        f"data.root={tmp_path}",
        "protocol=likelihood",
    )


def interrupt(seen: int, loss: float | None) -> None:
    """A signal in the middle of an epoch."""
    if seen == 112:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_resumes_samples_and_is_evaluated(wide, tmp_path, capsys):
    overrides = [
        *wide,
        "model.net.class_path=genbench.nets.transformer.Transformer",
        "model.net.width=8",
        "wandb.mode=disabled",
        "trainer.checkpoint_every=64",
        "budget.images=480",
        "data.batch_size=16",
    ]
    runs = []
    for folder in ("whole", "cut"):
        config = load_config("points2d/made", [*overrides, f"run_dir={tmp_path / folder}"])
        if folder == "cut":
            with pytest.raises(Stopped):
                train(config, interrupt)
        runs.append(train(config))
    whole, cut = (load(run.path).state_dict() for run in runs)
    assert all(torch.equal(whole[key], cut[key]) for key in whole)

    run = str(runs[0].path)
    assert main(["sample", run, "-n", "64", "-o", str(tmp_path / "x.npz")]) == 0
    samples = np.load(tmp_path / "x.npz")
    assert samples["images"].dtype == np.int32 and samples["levels"] == LEVELS
    assert samples["images"].max() > 255
    assert main(["sample", run, "-o", str(tmp_path / "grid.png")]) == 0
    assert main(["sample", run, "-o", str(tmp_path / "folder")]) == 2
    assert "images of 300 levels do not fit into PNGs of 8 bits" in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()
    assert main(["evaluate", run, "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out" / "records").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["protocol"]["levels"] == LEVELS
    assert 5 < record["likelihood"]["bits_per_dim"] < 12
    # what was sampled comes back as it was
    back = read_samples(tmp_path / "x.npz", Spec((1, 2, 2), LEVELS))
    assert np.array_equal(back.numpy(), samples["images"])


def test_512_codes_of_digits_and_their_prior_train_in_two_stages(tiny):
    config = tiny(
        "digits/vqvae-prior", "needs.tokenizer.model.K=512", "needs.tokenizer.budget.images=640"
    )
    for needed in config.needs.values():
        train(needed)
    run = train(config)
    _, model = build(config)
    assert model.tokenizer.codes.levels == model.net.levels == 512
    loaded = load(run.path)
    assert sum(p.numel() for p in loaded.net.parameters()) > 512
    assert Run(run.path).weights.exists()


@pytest.mark.usefixtures("double")
def test_a_prior_over_512_codes_is_a_distribution_that_reaches_them_all():
    net = partial(MLP, width=16, depth=2)
    tokenizer = VQVAE(Spec((1, 2, 2), 4), net, net, ADAM, K=512, grid=(1, 1), d=2)
    prior = moved(Autoregressive(tokenizer.codes, NETS["transformer"], ADAM), 0.3)
    z = all_images(tokenizer.codes)
    with torch.no_grad():
        log_p = prior.log_prob(z)
        samples = prior.sample(Rng(0, range(500)))
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-10)
    assert samples.dtype == tokenizer.codes.dtype == torch.int32
    assert int(samples.max()) > 255


# --- what is refused ----------------------------------------------------------------------------------------------


def test_extractors_of_8_bits_refuse_more_levels():
    with pytest.raises(InputError, match=r"^extractor digits sees 17 levels; the images have 300"):
        load_extractor("digits", levels=LEVELS)


def test_a_folder_of_pngs_refuses_more_levels(tmp_path):
    with pytest.raises(InputError, match=r"300 levels do not fit into PNGs of 8 bits"):
        save_folder(np.zeros((1, 1, 2, 2), np.int32), Spec((1, 2, 2), LEVELS), tmp_path / "out")


ARRAYS = {
    "uint8": (
        {"images": np.zeros((20, 2, 2), np.uint8), "levels": 300},
        "int32 .* 300 levels, not uint8",
    ),
    "int64": ({"images": np.zeros((20, 2, 2), np.int64), "levels": 300}, "not int64"),
    "no levels": ({"images": np.zeros((20, 2, 2), np.int32)}, "uint8 .* 256 levels, not int32"),
    "above": ({"images": np.full((20, 2, 2), 300, np.int32), "levels": 300}, "not 0 to 299"),
    "below": ({"images": np.full((20, 2, 2), -1, np.int32), "levels": 300}, "not 0 to 299"),
    "too many": (
        {"images": np.zeros((20, 2, 2), np.int32), "levels": 65_537},
        "2 to 65,536, not 65537",
    ),
    "size": ({"images": np.zeros((20, 4, 4), np.int32), "levels": 300}, "not resized"),
}


@pytest.mark.parametrize(("arrays", "says"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_another_type_are_refused(arrays, says, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=says) as error:
        list(import_images(Import(tmp_path / "x.npz", "x", 2, tmp_path)))
    assert "\n" not in str(error.value)


def test_colour_of_many_levels_is_not_made_grey(tmp_path):
    images = np.arange(20 * 12, dtype=np.int32).reshape(20, 2, 2, 3) + 50
    np.savez(tmp_path / "x.npz", images=images, levels=LEVELS)
    with pytest.raises(InputError, match="colour of 300 levels is not made grey"):
        list(import_images(Import(tmp_path / "x.npz", "x", 2, tmp_path, "grey")))
    list(import_images(Import(tmp_path / "x.npz", "x", 2, tmp_path)))


def test_samples_of_8_bits_are_none_of_300_levels(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 2, 2), np.uint8))
    with pytest.raises(InputError, match="its images have 256 levels; the data have 300"):
        read_samples(tmp_path / "x.npz", Spec((1, 2, 2), LEVELS))
