"""What the libraries underneath do wrong in silence, and genbench steps around: each test fails where the step is taken back.

Seen with lightning 2.6 and torch 2.15. Steps that the mathematics tests would miss are tested there: global order of gathered
features (test_layout), the resize and the data type of Inception (test_inception), float64 statistics (test_metrics), resumption
(test_train, test_resume), wandb (test_wandb), slow imports (test_cli).
"""

from __future__ import annotations

import os
import re
import signal
import warnings
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.environments import SLURMEnvironment
from safetensors.torch import load_file
from torch import nn

import genbench
from genbench.config.settings import TrainerSettings
from genbench.data.digits import Digits
from genbench.errors import Stopped
from genbench.evaluation.evaluate import evaluate
from genbench.metrics.extractor import load_extractor
from genbench.metrics.frechet import fid
from genbench.models.vae.vae import VAE
from genbench.nets.net import Net
from genbench.runs.build import build
from genbench.runs.folder import Run
from genbench.tracking.metrics_file import read_metrics
from genbench.training.ema import EMA
from genbench.training.precision import prepare_nets
from genbench.training.train import train
from genbench.training.trainer import make_trainer

RECIPE = "digits/vae"
ROOT = Path(genbench.__file__).parent
SOURCES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def used(pattern: str) -> list[str]:
    return [name for name, text in SOURCES.items() if re.search(pattern, text, re.MULTILINE)]


def trainer(config, run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about the machine, which a run keeps in its log
        return make_trainer(config, run, [], [])


# --- numbers ------------------------------------------------------------------------------------------------------------------


def test_nothing_is_averaged_by_self_log():
    """With unequal counts per rank it floors a counter: 38.5 for a mean of 35."""
    assert not used(r"self\.log\(|self\.log_dict\(|sync_dist")


def test_lightning_puts_no_sampler_of_its_own_around_the_data(tiny, tmp_path):
    """It pads what is evaluated and shuffles what is trained on."""
    connector = trainer(tiny(RECIPE), Run(tmp_path))._accelerator_connector
    assert connector.use_distributed_sampler is False


def test_features_are_not_those_of_autocast():
    images, extractor = Digits().tensors("test")[0][:64], load_extractor("digits")
    plain = extractor(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = extractor(images)
    assert all(torch.equal(a, b) for a, b in zip(plain, cast))


def test_float32_features_far_from_the_origin_keep_their_distance():
    """Sums in float32 lose the variance of 1e4 + noise."""
    h = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 500, 4))).float() + 1e4
    assert fid(*h) == pytest.approx(fid(*(h.double() - h.double().mean((0, 1)))), rel=1e-6)


def test_no_judge_is_part_of_the_model_that_it_judges(tiny):
    """It would go to training mode and into the checkpoint."""
    run = train(tiny(RECIPE, "budget.images=32"))
    names = set(load_file(run.weights))
    assert names == set(build(tiny(RECIPE))[1].state_dict())
    assert not isinstance(load_extractor("digits"), nn.Module)


def test_models_are_measured_where_gradients_can_be_taken(tiny, tmp_path, monkeypatch):
    """Inference mode breaks densities that differentiate: of an ordinary differential equation, or by Langevin steps."""
    seen, sample = [], VAE.sample

    @wraps(sample)  # its options are read from its signature
    def watched(self, rng, *arguments, **options):
        with torch.enable_grad():
            x = torch.ones(1, requires_grad=True)
            seen.append(
                float(torch.autograd.grad((x * next(self.parameters()).flatten()[0]).sum(), x)[0])
                is not None
            )
        assert not torch.is_inference_mode_enabled()
        assert not next(self.parameters()).is_inference()
        return sample(self, rng, *arguments, **options)

    monkeypatch.setattr(VAE, "sample", watched)
    assert not trainer(tiny(RECIPE), Run(tmp_path)).validate_loop.inference_mode
    run = train(tiny(RECIPE, "budget.images=64", "trainer.preview_every=32"))
    in_training = len(seen)
    evaluate(run, "mean", tmp_path)
    assert 0 < in_training < len(seen)


# --- moving averages ------------------------------------------------------------------------------------------------------------


class Watch(Callback):
    """The weights after every step."""

    def __init__(self) -> None:
        self.weights = []

    def on_train_batch_end(self, trainer, model, *_):
        self.weights.append([p.detach().clone() for p in model.parameters()])


def test_the_average_of_a_game_counts_every_step_of_every_player(tiny, monkeypatch):
    """A counter of optimizer steps, such as Lightning's, is always even here, and counts a batch twice."""
    watch, begin = Watch(), EMA.begin

    def beginning(self, model, state):
        begin(self, model, state)
        watch.start = [average.clone() for average in self.average]

    monkeypatch.setattr(EMA, "begin", beginning)
    made = genbench.training.train.make_callbacks
    kept = []

    def callbacks(*arguments):
        kept.append(made(*arguments))
        return kept[0]

    monkeypatch.setattr(genbench.training.train, "make_callbacks", callbacks)
    construct = genbench.training.train.make_trainer
    monkeypatch.setattr(
        genbench.training.train,
        "make_trainer",
        lambda c, r, calls, logs: construct(c, r, [*calls, watch], logs),
    )
    run = train(
        tiny(
            "points2d/gan",
            "budget.images=128",
            "data.batch_size=16",
            "optimization.ema_half_life=4",
            "trainer.log_every=1",
        )
    )
    assert len(watch.weights) == 8  # the budget is of images, whoever steps
    assert [line["images"] for line in read_metrics(run.metrics) if "seconds" in line][-1] == 128
    expected = watch.start
    for step, weights in enumerate(watch.weights, 1):
        keep = 0.5 ** (16 / min(4, step * 16 / 20))
        expected = [keep * old + (1 - keep) * new for old, new in zip(expected, weights)]
    for found, wanted in zip(kept[0].ema.average, expected):
        torch.testing.assert_close(found, wanted)


def test_integer_buffers_are_copied_and_never_averaged(tiny):
    """Averaged and truncated, a permutation is none."""
    _, model = build(tiny(RECIPE))
    model.register_buffer("order", torch.arange(256))
    ema = EMA(100)
    model.resume_at(10_000)
    ema.begin(model, None)
    model.order.copy_(torch.arange(256).flip(0))
    model.resume_at(10_016)
    ema.on_train_batch_end(None, model)
    with ema.applied(model):
        assert torch.equal(model.order, torch.arange(256).flip(0))


def test_what_is_recorded_is_the_average_and_what_goes_on_is_not(tiny):
    run = train(tiny(RECIPE, "budget.images=160", "optimization.ema_half_life=100"))
    state, _ = run.newest_checkpoint()
    recorded = load_file(run.weights)
    names = [name for name, _ in build(tiny(RECIPE))[1].named_parameters()]
    assert all(
        torch.equal(recorded[name], average)
        for name, average in zip(names, state["ema"], strict=True)
    )
    assert not all(torch.equal(recorded[name], state["model"][name]) for name in names)


def test_a_signal_while_the_average_is_in_place_saves_the_right_weights(tiny, monkeypatch):
    """During a preview the model holds the average: saved then, the two would be exchanged."""
    settings = ("budget.images=160", "trainer.preview_every=80", "optimization.ema_half_life=100")
    whole, sample = train(tiny(RECIPE, *settings, folder="whole")).weights.read_bytes(), VAE.sample

    def interrupted(self, rng, *arguments, **options):
        if self.images_seen == 80:
            os.kill(os.getpid(), signal.SIGTERM)
        return sample(self, rng, *arguments, **options)

    config = tiny(RECIPE, *settings)
    monkeypatch.setattr(VAE, "sample", interrupted)
    with pytest.raises(Stopped, match="at image 80 of 160"):
        train(config)
    monkeypatch.undo()
    assert train(config).weights.read_bytes() == whole


# --- several processes and clusters -----------------------------------------------------------------------------------------------


def test_the_reducer_of_ddp_is_plain_and_never_armed(tiny, tmp_path):
    """Looking for unused parameters costs half of every step of a game; two optimizers need it only under `manual_backward`."""
    made = trainer(tiny(RECIPE, "trainer.devices=2", "trainer.accelerator=cpu"), Run(tmp_path))
    assert made.strategy._ddp_kwargs == {"broadcast_buffers": False}
    # metrics and demonstrations fit small networks of their own, on one process
    assert not [
        name
        for name in used(r"manual_backward\(|\.backward\(")
        if not name.startswith(("metrics/", "demos/"))
    ]


@pytest.fixture
def slurm(monkeypatch):
    for name, value in {
        "JOB_ID": "7",
        "NTASKS": "1",
        "PROCID": "0",
        "LOCALID": "0",
        "NODEID": "0",
        "JOB_NAME": "test",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(SLURMEnvironment, "detect", staticmethod(lambda: True))


def test_requeueing_is_not_lightnings(slurm, tiny, tmp_path):
    """It saves inside the signal handler, wherever the run is."""
    assert (
        trainer(tiny(RECIPE), Run(tmp_path))._accelerator_connector.cluster_environment.auto_requeue
        is False
    )


def test_checkpoints_of_another_job_are_not_picked_up(slurm, tiny, tmp_path, monkeypatch):
    """Lightning loads the newest hpc_ckpt of the working folder, whoever wrote it."""
    monkeypatch.chdir(tmp_path)
    torch.save(
        {"state_dict": {}, "epoch": 3, "global_step": 99, "pytorch-lightning_version": "2.6.0"},
        tmp_path / "hpc_ckpt_1.ckpt",
    )
    run = train(tiny(RECIPE, "budget.images=64"))
    assert run.state()["images_seen"] == 64


# --- configuration, speed, dependencies -------------------------------------------------------------------------------------------


def test_nothing_but_plain_values_and_tensors_is_saved(tiny):
    """Hyperparameters that hold paths or dataclasses can only be unpickled."""
    assert not used(
        r"save_hyperparameters|save_checkpoint\(.*weights_only|ModelCheckpoint|EMAWeightAveraging|CSVLogger"
    )


def test_only_networks_are_compiled(tiny, monkeypatch):
    """The compiler fails on 32-bit arithmetic in int64 tensors, which is what random numbers are made of here."""
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, *_, **__: compiled.append(self))
    _, model = build(tiny("digits/ddpm"))
    prepare_nets(model, TrainerSettings(compile=True))
    assert compiled and all(isinstance(net, Net) for net in compiled)


def test_oracles_are_for_tests_alone_and_bad_releases_are_left_out():
    """flow_matching is not free for all uses, nflows is unmaintained, FID of torcheval and torchmetrics is another number."""
    oracles = "zuko|normflows|diffusers|prdc|cleanfid|pytorch_fid|flow_matching|nflows|torcheval|torchmetrics\\.image"
    assert not used(rf"^\s*(from|import) ({oracles})\b")
    required = (ROOT.parent / "pyproject.toml").read_text()
    assert '"lightning>=2.6,!=2.6.2,!=2.6.3"' in required  # malicious uploads
