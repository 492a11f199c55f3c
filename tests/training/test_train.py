"""Training: the same command again resumes, and nothing that happens in between shows in the result."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import warm

from genbench.config.recipe import load_config
from genbench.data.images import ImageData
from genbench.errors import Diverged, InputError, Stopped
from genbench.evaluation.evaluate import new_record
from genbench.evaluation.resolve import resolve_run
from genbench.models.classical.gmm import GMM
from genbench.models.vae.vae import VAE
from genbench.runs.build import build, load, open_run
from genbench.runs.folder import Run
from genbench.steps import average_over_processes
from genbench.system.lock import lock
from genbench.tracking.metrics_file import cut_metrics, read_metrics
from genbench.training.ema import EMA
from genbench.training.log_file import log_to_file
from genbench.training.precision import prepare_nets
from genbench.training.train import check_fit, train

EXAMPLE = "digits/vae"


def interrupt_at(images: int):
    """What a scheduler does: a signal in the middle of an epoch."""

    def report(seen: int, loss: float | None) -> None:
        if seen == images:
            os.kill(os.getpid(), signal.SIGTERM)

    return report


def outcome(run: Run) -> tuple[dict[str, torch.Tensor], dict, list[dict]]:
    """Everything that a run ends with, without its seconds."""
    state, damaged = run.newest_checkpoint()
    assert state is not None
    assert not damaged
    state["keeper"].pop("seconds")
    lines = [
        {k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(run.metrics)
    ]
    return load(run.path).state_dict(), state, lines


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


# plain training, a game with batch normalisation, a state per image, and a fit in a pass; test_resume.py asks it of every recipe, as a
# longer test
@pytest.mark.parametrize("name", [EXAMPLE, "digits/gan", "digits-binary/rbm", "points2d/gmm"])
def test_resumed_from_mid_epoch_equals_uninterrupted_bit_for_bit(name, tiny):
    often = (
        "trainer.log_every=1",
        "trainer.checkpoint_every=160",
        "trainer.preview_every=320",
        "optimization.ema_half_life=100",
        "budget.images=320",
    )
    whole = train(tiny(name, *often, folder="whole"))
    cut = tiny(name, *often, folder="cut")
    if not build(cut)[1].players():  # no epoch to be cut in
        assert train(cut).weights.read_bytes() == whole.weights.read_bytes()
        return
    for images in (112, 208):
        with pytest.raises(Stopped, match="the same command goes on"):
            train(cut, interrupt_at(images))
    assert same(outcome(train(cut)), outcome(whole))


def test_killed_at_any_moment_resumes_to_the_same_end(tiny, tmp_path):
    command = [
        sys.executable,
        "-m",
        "genbench",
        "train",
        "-c",
        EXAMPLE,
        "--smoke",
        "--wandb.mode=disabled",
        "--budget.images=1600",
    ]
    command += ["--trainer.checkpoint_every=160", f"--run_dir={tmp_path / 'killed'}"]
    for enough in (160, 800):
        process = warm.Popen(command)
        deadline = time.monotonic() + 90
        while (
            _newest(tmp_path / "killed") < enough
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        process.kill()  # SIGKILL: no handler runs
        process.wait()
    assert _newest(tmp_path / "killed") >= 800
    assert warm.run(command).returncode == 0
    whole = train(
        tiny(
            EXAMPLE,
            "budget.images=1600",
            "trainer.checkpoint_every=160",
            "trainer.preview_every=null",
            folder="whole",
        )
    )
    assert same(outcome(Run(tmp_path / "killed")), outcome(whole))


def _newest(folder: Path) -> int:
    return max(
        (int(path.stem.split("-")[0]) for path in (folder / "checkpoints").glob("0*.ckpt")),
        default=0,
    )


def test_a_finished_run_is_left_alone_and_a_larger_budget_goes_on(tiny, trained):
    first = trained(EXAMPLE, "budget.images=320")
    before = first.weights.stat().st_mtime_ns
    train(tiny(EXAMPLE, "budget.images=320"))
    assert first.weights.stat().st_mtime_ns == before
    longer = train(tiny(EXAMPLE, "budget.images=640"))
    assert longer.state()["images_seen"] == 640
    whole = trained(EXAMPLE, "budget.images=640", folder="whole")
    assert same(load(longer.path).state_dict(), load(whole.path).state_dict())


def test_another_configuration_is_refused_with_its_differences(tiny, trained):
    run = trained(EXAMPLE, "budget.images=160")
    before = (run.path / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"model\.latent was 12, is now 5"):
        train(tiny(EXAMPLE, "budget.images=160", "model.latent=5"))
    with pytest.raises(InputError, match=r"budget\.images was 160, is now 80"):
        train(tiny(EXAMPLE, "budget.images=80"))
    assert (run.path / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tiny, trained, damage, caplog):
    often = ("trainer.checkpoint_every=80", "trainer.log_every=16", "budget.images=480")
    cut = tiny(EXAMPLE, *often)
    with pytest.raises(Stopped):
        train(cut, interrupt_at(256))
    run = Run(Path(cut.resolved["run_dir"]))
    newest = sorted(run.checkpoints.glob("*.ckpt"))[-1]
    content = newest.read_bytes()
    newest.write_bytes(
        {"truncate": content[:-100], "flip": content[:500] + b"?" + content[501:], "empty": b""}[
            damage
        ]
    )
    reported = []
    train(cut, lambda images, loss: reported.append(images))
    assert "is damaged" in caplog.text
    assert (
        reported[0] == 256
    )  # the checkpoint before is at 240; a restart from nothing would begin with 16
    newest.unlink(missing_ok=True)
    assert same(outcome(run), outcome(trained(EXAMPLE, *often, folder="whole")))


def test_a_checkpoint_that_would_run_code_is_passed_over(tmp_path):
    import hashlib
    import pickle

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    content = pickle.dumps(Payload())
    run = Run(tmp_path)
    run.checkpoints.mkdir()
    (run.checkpoints / f"{16:012d}-{hashlib.sha256(content).hexdigest()[:16]}.ckpt").write_bytes(
        content
    )
    state, damaged = run.newest_checkpoint()
    assert state is None
    assert len(damaged) == 1
    assert not (tmp_path / "owned").exists()


def test_a_loss_that_is_not_finite_stops_and_is_final(tiny, monkeypatch):
    """The loss of the batch at image 400 is NaN, between the checkpoints at 320 and 480, of which the first is kept."""
    config = tiny(
        EXAMPLE,
        "budget.images=640",
        "trainer.checkpoint_every=160",
        "trainer.log_every=160",
        "data.batch_size=16",
    )
    loss = VAE.loss

    def broken(self, x, y, rng):
        losses = loss(self, x, y, rng)
        return losses if self.images_seen != 400 else {**losses, "loss": losses["loss"] * torch.nan}

    monkeypatch.setattr(VAE, "loss", broken)
    with pytest.raises(Diverged, match=r"in the batch at image 400"):
        train(config)
    run = Run(Path(config.resolved["run_dir"]))
    state = run.state()
    assert (state["status"], state["diverged_at"]) == ("diverged", 400)
    good, _ = run.newest_checkpoint()
    assert good["images_seen"] == 320
    assert all(torch.isfinite(v).all() for v in good["model"].values())
    with pytest.raises(Diverged, match="final"):
        train(config)


def test_weights_that_are_not_finite_are_not_kept(tiny, monkeypatch):
    """The last step before a checkpoint breaks them; its loss was finite, and nothing is logged there."""
    config = tiny(
        EXAMPLE,
        "budget.images=640",
        "trainer.checkpoint_every=160",
        "trainer.log_every=640",
        "data.batch_size=16",
    )

    def broken(self, name, losses):
        if self.images_seen == 320:
            next(self.parameters()).data.fill_(torch.inf)

    monkeypatch.setattr(VAE, "after_step", broken)
    with pytest.raises(Diverged):
        train(config)
    run = Run(Path(config.resolved["run_dir"]))
    good, _ = run.newest_checkpoint()
    assert good["images_seen"] == 160
    assert [path.name[:12] for path in run.checkpoints.glob("*.ckpt")] == [f"{160:012d}"]


def test_the_last_two_checkpoints_are_kept(tiny):
    run = train(
        tiny(EXAMPLE, "budget.images=480", "trainer.checkpoint_every=160", "data.batch_size=16")
    )
    assert [int(path.name[:12]) for path in sorted(run.checkpoints.glob("*.ckpt"))] == [320, 480]


@pytest.mark.parametrize("override", ["clip_norm=0.5", "ema_half_life=7", "warmup_images=48"])
def test_another_way_of_optimization_is_refused(override, tiny, trained):
    config = trained(EXAMPLE, "budget.images=160").config()
    other = tiny(EXAMPLE, "budget.images=160", f"optimization.{override}")
    key, _, value = override.partition("=")
    with pytest.raises(InputError, match=rf"optimization\.{key} was .*, is now {value}"):
        train(other)
    assert other.hash != config.hash


def test_seconds_of_training_go_on_after_an_interruption(tiny, monkeypatch):
    """By a clock that ticks at every look: what was spent before is in every later line, and in the end."""
    ticks = itertools.count()
    monkeypatch.setattr(
        "genbench.training.metrics_logger.time",
        SimpleNamespace(perf_counter=lambda: float(next(ticks))),
    )
    config = tiny(
        EXAMPLE,
        "budget.images=320",
        "trainer.log_every=16",
        "trainer.checkpoint_every=160",
        "data.batch_size=16",
    )
    with pytest.raises(Stopped):
        train(config, interrupt_at(240))
    run = Run(Path(config.resolved["run_dir"]))
    before = run.state()["seconds"]
    assert before > 10
    train(config)
    lines = read_metrics(run.metrics)
    seconds = [line["seconds"] for line in lines]
    assert len({line["images"] for line in lines}) == 20
    assert all(a < b for a, b in itertools.pairwise(seconds))
    assert min(line["seconds"] for line in lines if line["images"] > 240) > before
    assert run.state()["seconds"] > seconds[-1] > before


def test_a_folder_in_use_is_refused_and_a_dead_owner_is_not_an_owner(tiny, tmp_path):
    config = tiny(EXAMPLE, "budget.images=32")
    with lock(tmp_path / "run"), pytest.raises(Stopped, match="in use"):
        train(config)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    import socket

    (tmp_path / "run" / "lock").write_text(
        json.dumps({"host": socket.gethostname(), "pid": dead.pid, "started": "1"})
    )
    assert train(config).state()["status"] == "done"
    assert not (tmp_path / "run" / "lock").exists()


def test_a_full_disk_stops_and_the_same_command_resumes(tiny, trained, monkeypatch):
    often = ("trainer.checkpoint_every=160", "budget.images=480")
    config = tiny(EXAMPLE, *often)
    replace, full = Path.replace, [False]

    def replaced(self: Path, target: Path) -> Path:
        if full[0] and target.suffix == ".ckpt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    def fill(images: int, loss: float | None) -> None:
        full[0] = images >= 240

    monkeypatch.setattr(Path, "replace", replaced)
    with pytest.raises(Stopped, match="disk full"):
        train(config, fill)
    assert not list(Path(config.resolved["run_dir"]).rglob("*.tmp"))
    full[0] = False
    assert same(outcome(train(config)), outcome(trained(EXAMPLE, *often, folder="whole")))


def test_a_batch_that_processes_cannot_share_is_refused(tiny):
    with pytest.raises(InputError, match="divisible by their number, 3"):
        train(tiny(EXAMPLE, "trainer.devices=3"))


def test_metrics_are_cut_at_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"images": 16, "loss": 1.0}\n{"images": 32, "loss": 2.0}\n{"images": 48, "lo')
    cut_metrics(path, 32)
    assert [line["images"] for line in read_metrics(path)] == [16, 32]
    cut_metrics(path, 16)
    assert path.read_text() == '{"images": 16, "loss": 1.0}\n'


def test_the_average_has_its_half_life_in_images(tiny, double):
    """Weights that jump from 0 to 1: after one half-life the average is one half, whatever the batch size."""
    for batch in (10, 50):
        _, model = build(tiny(EXAMPLE))
        torch.nn.utils.vector_to_parameters(
            torch.zeros(sum(p.numel() for p in model.parameters())), model.parameters()
        )
        ema = EMA(100)
        model.resume_at(10**6)  # late enough for the full half-life
        ema.begin(model, None)
        torch.nn.utils.vector_to_parameters(
            torch.ones(sum(p.numel() for p in model.parameters())), model.parameters()
        )
        for count in range(batch, 101, batch):
            model.resume_at(10**6 + count)
            ema.on_train_batch_end(None, model)
        torch.testing.assert_close(ema.average[0], torch.full_like(ema.average[0], 0.5))
        with ema.applied(model):
            assert torch.equal(next(model.parameters()), ema.average[0])
        assert float(next(model.parameters()).detach().mean()) == 1


def test_the_average_forgets_the_start_early(tiny, double):
    """At 1,000 images the half-life is 50, however long it is to be: 100 images leave a quarter of what was there before."""
    _, model = build(tiny(EXAMPLE))
    torch.nn.utils.vector_to_parameters(
        torch.zeros(sum(p.numel() for p in model.parameters())), model.parameters()
    )
    ema = EMA(10**9)
    model.resume_at(900)
    ema.begin(model, None)
    torch.nn.utils.vector_to_parameters(
        torch.ones(sum(p.numel() for p in model.parameters())), model.parameters()
    )
    model.resume_at(1000)
    ema.on_train_batch_end(None, model)
    torch.testing.assert_close(ema.average[0], torch.full_like(ema.average[0], 0.75))


def test_initial_weights_are_a_function_of_the_seed():
    states = []
    for seed in (0, 0, 1):
        torch.rand(7)  # the global generator does not matter, and is not touched
        before = torch.get_rng_state()
        states.append(build(load_config(EXAMPLE, [f"seed={seed}"], smoke=True))[1].state_dict())
        assert torch.equal(before, torch.get_rng_state())
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_bf16_changes_the_networks_and_not_the_losses(tiny):
    runs = [
        train(tiny(EXAMPLE, f"trainer.precision={p}", "budget.images=160", folder=p))
        for p in ("fp32", "bf16-mixed")
    ]
    weights = [load(run.path).state_dict() for run in runs]
    assert not same(*weights)
    assert all(v.dtype == torch.float32 for v in weights[1].values())
    first = [read_metrics(run.metrics)[0]["loss"] for run in runs]
    assert first[0] == pytest.approx(first[1], rel=0.05)


def test_bf16_is_for_training_alone(tiny):
    """Networks in evaluation, as for previews, give what they give in float32, bit for bit."""
    config = tiny(EXAMPLE, "trainer.precision=bf16-mixed")
    (data, plain), (_, model) = build(config), build(config)
    prepare_nets(model, config.trainer)
    x = data.tensors("val")[0][:8]
    with torch.no_grad():
        assert not torch.equal(model.train().log_prob(x), plain.train().log_prob(x))
        assert torch.equal(model.eval().log_prob(x), plain.eval().log_prob(x))


def test_finalize_sees_every_training_image_and_they_are_counted(tiny):
    """Also those of a last batch that is not full; every pass has the same images and streams."""
    data, model = build(tiny("digits/gmm", "data.batch_size=100"))
    x, y = data.tensors("train")
    passes = data.finalize_batches(model)
    for n in (1, 2):
        batches = list(passes)
        assert [len(batch.x) for batch in batches] == [100] * (len(x) // 100) + [len(x) % 100]
        assert len(x) % 100 > 0
        images = torch.cat([batch.x for batch in batches])
        assert sorted(image.numpy().tobytes() for image in images) == sorted(
            image.numpy().tobytes() for image in x
        )
        assert (
            torch.bincount(torch.cat([batch.y for batch in batches])).tolist()
            == torch.bincount(y).tolist()
        )
        assert passes.images == n * len(x)
        bits = torch.cat([batch.rng.bits() for batch in batches])
        assert len(torch.unique(bits)) > len(x) - 2


def test_images_of_finalize_are_part_of_the_cost(tiny, monkeypatch):
    config, handed = tiny("points2d/gmm"), []
    finalize = GMM.finalize

    def counted(self, batches, rng):
        finalize(self, batches, rng)
        handed.append(batches.images)

    monkeypatch.setattr(GMM, "finalize", counted)
    run = train(config)
    assert handed[0] >= len(build(config)[0].arrays("train")[0])
    assert (run.state()["images_seen"], run.state()["finalize_images"]) == (0, handed[0])
    evaluation = resolve_run(open_run(run), run.path / "out")
    record = new_record(evaluation, evaluation.targets[0], status="done")
    assert record.cost.images_seen == handed[0]
    run.write_state(**{**run.state(), "images_seen": 320})
    record = new_record(evaluation, evaluation.targets[0], status="done")
    assert record.cost.images_seen == 320 + handed[0]


def test_a_divergence_in_the_last_step_is_one(tiny):
    """The last loss is finite, the weights after it are not: nothing of it may be recorded as done."""
    config = tiny(
        EXAMPLE, "model.optimizer.lr=1e30", "optimization.clip_norm=null", "budget.images=16"
    )
    with pytest.raises(Diverged):
        train(config)
    assert not Run(Path(config.resolved["run_dir"])).weights.exists()


def test_damaged_weights_are_made_again(tiny, trained):
    run = trained(EXAMPLE, "budget.images=160")
    whole = run.weights.read_bytes()
    run.weights.write_bytes(whole[:-50])
    assert train(tiny(EXAMPLE, "budget.images=160")).weights.read_bytes() == whole


def test_damaged_checkpoints_do_not_crowd_out_good_ones(tiny):
    often = ("trainer.checkpoint_every=160", "budget.images=480")
    cut = tiny(EXAMPLE, *often)
    with pytest.raises(Stopped):
        train(cut, interrupt_at(400))
    run = Run(Path(cut.resolved["run_dir"]))
    for path in run.checkpoints.glob("*.ckpt"):
        path.write_bytes(b"?")
    with pytest.raises(Stopped):
        train(cut, interrupt_at(176))
    state, damaged = run.newest_checkpoint()
    assert state["images_seen"] == 176
    assert not damaged


@pytest.mark.parametrize("content", ["{}", '{"status": "running"}'])
def test_a_poor_state_file_is_survived(tiny, trained, content):
    run = trained(EXAMPLE, "budget.images=160")
    whole = run.weights.read_bytes()
    (run.path / "state.json").write_text(content)
    run.metrics.write_bytes(run.metrics.read_bytes() + b"\xff\xfe garbage\n5\n{}\n")
    assert train(tiny(EXAMPLE, "budget.images=160")).weights.read_bytes() == whole
    assert all("images" in line for line in read_metrics(run.metrics))


def test_a_state_that_says_done_and_not_on_which_images_is_removed_first(tiny, trained):
    run = trained(EXAMPLE, "budget.images=160")
    whole = run.weights.read_bytes()
    (run.path / "state.json").write_text('{"status": "done"}')
    with pytest.raises(
        InputError,
        match=r"state\.json is damaged: data_hash is null.*remove it, and training goes on",
    ):
        train(tiny(EXAMPLE, "budget.images=160"))
    (run.path / "state.json").unlink()
    assert train(tiny(EXAMPLE, "budget.images=160")).weights.read_bytes() == whole


def test_evaluations_may_be_added_to_a_finished_run(tiny, trained):
    run = trained(EXAMPLE, "budget.images=160")
    train(tiny(EXAMPLE, "budget.images=160", "evaluations.k8.log_prob.K=8"))
    assert "k8" in run.config().evaluations


def test_a_signal_after_the_last_batch_still_stops_what_follows(tiny):
    config = tiny(EXAMPLE, "budget.images=160")
    with pytest.raises(Stopped, match="was done"):
        train(config, interrupt_at(160))
    assert train(config).state()["status"] == "done"


def test_several_nodes_need_a_cluster(tiny, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(InputError, match="no cluster started this command"):
        train(tiny(EXAMPLE, "trainer.num_nodes=2"))


def test_players_take_turns_also_over_an_interruption(tiny):
    """Algorithm 1 with k = 2: two steps of D on fresh images, then one of G, wherever the run was cut."""
    config = tiny(
        "points2d/gan",
        "model.critic_steps=2",
        "trainer.log_every=16",
        "data.batch_size=16",
        "budget.images=128",
    )
    with pytest.raises(Stopped):
        train(config, interrupt_at(64))
    lines = read_metrics(train(config).metrics)
    turns = [key[0] for line in lines for key in line if key.endswith("/loss")]
    assert turns == list("ddgddgdd")


def test_a_run_refuses_other_images_under_the_same_name(tiny, monkeypatch):
    config = tiny(EXAMPLE, "budget.images=160")
    run = train(config)
    hash_before = run.state()["data_hash"]
    assert len(hash_before) == 64
    monkeypatch.setattr("genbench.data.digits.Digits.content_hash", "f" * 64)
    with pytest.raises(
        InputError,
        match=f"begun on other images: digits had the content hash {hash_before[:12]}, now it is ffff",
    ):
        train(config)
    with pytest.raises(InputError, match="begun on other images"):
        open_run(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_before_the_first_batch_stops_after_it(tiny, trained, monkeypatch, number):
    whole = trained(EXAMPLE, "budget.images=160", folder="whole").weights.read_bytes()
    config = tiny(EXAMPLE, "budget.images=160")
    with monkeypatch.context() as patch, pytest.raises(Stopped, match="at image 16 of 160"):
        patch.setattr(VAE, "on_fit_start", lambda self: os.kill(os.getpid(), number))
        train(config)
    assert train(config).weights.read_bytes() == whole


def test_a_signal_during_finalize_lets_it_end_and_stops_then(tiny, monkeypatch):
    """EM of a model without players is one long `finalize`."""
    finalize = GMM.finalize

    def interrupted(self, batches, rng):
        os.kill(os.getpid(), signal.SIGTERM)
        finalize(self, batches, rng)

    monkeypatch.setattr(GMM, "finalize", interrupted)
    config, before = tiny("digits/gmm"), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="was done"):
        train(config)
    assert signal.getsignal(signal.SIGTERM) is before
    assert train(config).state()["status"] == "done"


def test_a_model_that_learns_by_gradients_needs_a_budget(tiny):
    with pytest.raises(
        InputError, match=r"budget\.images is at least 1 for a model that learns by gradients"
    ):
        train(tiny(EXAMPLE, "budget.images=0"))


def test_a_rank_that_is_there_first_makes_the_folder_of_the_log(tmp_path):
    """Only rank 0 writes the run; another one may have something to say before it."""
    with log_to_file(tmp_path / "run" / "log.txt"):
        logging.getLogger("lightning.pytorch").warning("early")
    assert "early" in (tmp_path / "run" / "log.txt").read_text()


# a player, a game, a model that is fitted by `finalize`, images that are drawn anew, and pairs
@pytest.mark.parametrize(
    "name",
    [EXAMPLE, "points2d/gan", "digits/gmm", "mnist-dynamic/iwae", "digits-halves/pix2pix"],
)
def test_test_images_are_not_read_while_a_run_is_trained(name, tiny, monkeypatch):
    """Neither by training, nor by what is watched meanwhile, nor by `finalize`: they decide nothing, so they can select nothing."""
    config, read = (
        tiny(name, "trainer.preview_every=160", "trainer.log_every=160", "budget.images=320"),
        set(),
    )
    arrays = ImageData.arrays

    def watched(self, split):
        read.add(split)
        return arrays(self, split)

    monkeypatch.setattr(ImageData, "arrays", watched)
    run = train(config)
    assert "train" in read and "test" not in read
    if len(build(config)[1].players()) == 1:  # a game has no validation loss
        assert "val" in read  # so a watch on splits does see what is read
    assert run.state()["status"] == "done"


# --- how gradients become steps ---------------------------------------------------------------------------------------------


def rates(run: Run) -> list[float]:
    """The learning rate of every player in the last checkpoint."""
    state, _ = run.newest_checkpoint()
    return [group["lr"] for optimizer in state["optimizers"] for group in optimizer["param_groups"]]


@pytest.mark.parametrize("warmup", [512, 500])
def test_every_player_ends_its_warmup_at_its_rate(tiny, warmup):
    """Whoever's turn it is when the warm-up ends, in one go and over an interruption."""
    long = (
        "points2d/gan",
        f"optimization.warmup_images={warmup}",
        "budget.images=5120",
        "data.batch_size=256",
        "trainer.log_every=256",
    )
    assert rates(train(tiny(*long, folder="whole"))) == [1e-3, 1e-3]
    cut = tiny(*long, folder="cut")
    with pytest.raises(Stopped):
        train(cut, interrupt_at(256))
    assert rates(Run(Path(cut.resolved["run_dir"]))) == pytest.approx(
        [1e-3 * 256 / warmup] * 2, rel=1e-12
    )
    assert rates(train(cut)) == [1e-3, 1e-3]


def test_a_player_below_its_rate_is_brought_to_it_on_resume(tiny, monkeypatch):
    """Checkpoints of a time when the rate was set for one player only."""
    config = tiny(
        "points2d/gan",
        "optimization.warmup_images=64",
        "data.batch_size=64",
        "budget.images=320",
        "trainer.log_every=64",
    )
    load_state_dict = torch.optim.Adam.load_state_dict

    def stale(self, state):
        load_state_dict(self, state)
        self.param_groups[0]["lr"] = 5e-4

    with pytest.raises(Stopped):
        train(config, interrupt_at(128))
    monkeypatch.setattr(torch.optim.Adam, "load_state_dict", stale)
    assert rates(train(config)) == [1e-3, 1e-3]


def moved(run: Run, config) -> list[float]:
    """By how much every player's parameters differ from their initial values, L2 norms."""
    begin, end = build(config)[1], load(run.path)
    return [
        float(
            sum((a - b).square().sum() for a, b in zip(p.parameters, q.parameters)).detach().sqrt()
        )
        for p, q in zip(begin.players().values(), end.players().values())
    ]


@pytest.mark.parametrize("name", [EXAMPLE, "points2d/gan"])
def test_a_long_gradient_is_cut_to_the_norm_that_is_asked_for(name, tiny):
    """By plain gradient descent with rate 1, one step of each player."""
    steps = 2 if name == "points2d/gan" else 1
    sgd = ("model.optimizer={class_path: torch.optim.SGD, lr: 1.0}", f"budget.images={16 * steps}", "data.batch_size=16",
           "optimization.ema_half_life=0", "optimization.warmup_images=0")  # fmt: skip
    free, cut = (
        tiny(name, *sgd, f"optimization.clip_norm={norm}", folder=f"clip{norm}")
        for norm in ("null", "0.001")
    )
    lengths = moved(train(free), free)
    assert all(length > 0.01 for length in lengths)
    assert moved(train(cut), cut) == pytest.approx([1e-3] * steps, rel=1e-3)


# one recipe of each family, a game without batch normalisation among them, and labels
SPLIT = (
    "digits/vae",
    "digits/ddpm",
    "digits/flow_matching",
    "digits/realnvp",
    "digits/pixelcnn-class",
    "points2d/wgan-gp",
)


@pytest.mark.parametrize("name", SPLIT)
def test_a_batch_in_parts_makes_the_same_steps(name, tiny, double):
    """In float64 to rounding: weights, averages, optimizers, counts and every line of the metrics file."""
    often = (
        "budget.images=160",
        "data.batch_size=16",
        "trainer.log_every=16",
        "optimization.warmup_images=0",
    )
    whole, state, lines = outcome(train(tiny(name, *often, folder="whole")))
    parts, state_of_parts, lines_of_parts = outcome(
        train(tiny(name, *often, "trainer.accumulate=4", folder="parts"))
    )
    start = build(tiny(name))[1].state_dict()
    assert max(float((whole[key] - start[key]).abs().max()) for key in whole) > 1e-3
    for key in whole:
        torch.testing.assert_close(parts[key], whole[key], rtol=0, atol=1e-8)
    assert state_of_parts["images_seen"] == state["images_seen"] == 160
    for part, average in zip(state_of_parts["ema"], state["ema"], strict=True):
        torch.testing.assert_close(part, average, rtol=0, atol=1e-8)
    assert [line.keys() for line in lines_of_parts] == [line.keys() for line in lines]
    for part, line in zip(lines_of_parts, lines):
        assert part == pytest.approx(line, rel=1e-6)


def test_parts_of_a_batch_are_what_is_held_at_a_time(tiny, monkeypatch):
    sizes, loss = [], VAE.loss

    def watched(self, x, y, rng):
        sizes.append((len(x), len(rng), self.training))
        return loss(self, x, y, rng)

    monkeypatch.setattr(VAE, "loss", watched)
    train(tiny(EXAMPLE, "budget.images=32", "data.batch_size=16", "trainer.accumulate=4"))
    assert [size for size in sizes if size[2]] == [(4, 4, True)] * 8


def test_a_run_in_parts_resumes_bit_for_bit_and_may_change_their_number(tiny):
    often = (
        EXAMPLE,
        "trainer.log_every=1",
        "trainer.checkpoint_every=160",
        "budget.images=480",
        "data.batch_size=16",
    )
    whole = train(tiny(*often, "trainer.accumulate=2", folder="whole"))
    cut = tiny(*often, "trainer.accumulate=2", folder="cut")
    with pytest.raises(Stopped):
        train(cut, interrupt_at(208))
    assert same(outcome(train(cut)), outcome(whole))
    other = tiny(*often, folder="other")
    with pytest.raises(Stopped):
        train(other, interrupt_at(208))
    run = train(tiny(*often, "trainer.accumulate=4", folder="other"))
    assert run.state()["images_seen"] == 480
    assert tiny(*often).hash == tiny(*often, "trainer.accumulate=2").hash


@pytest.mark.parametrize(
    ("name", "override", "line"),
    [
        (
            EXAMPLE,
            "trainer.accumulate=3",
            r"trainer\.accumulate is 3, which does not divide the 16 images",
        ),
        (EXAMPLE, "trainer.accumulate=0", r"trainer\.accumulate is at least 1, not 0"),
        (
            "digits/gan",
            "trainer.accumulate=2",
            r"trainer\.accumulate is 2, but this loss couples the images of a batch",
        ),
    ],
)
def test_a_batch_that_cannot_be_split_is_refused(name, override, line, tiny, tmp_path):
    with pytest.raises(InputError, match=line):
        train(tiny(name, "data.batch_size=16", override))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_couples_images_is_not_shared_unless_it_gathers_them(tiny, tmp_path):
    """Batch normalisation is over all processes; a model that couples its images otherwise is refused on several."""
    data, model = build(tiny("digits/gan", "trainer.devices=2"))
    check_fit(tiny("digits/gan", "trainer.devices=2"), data, model)
    coupled = "model.free_bits=0.1"
    with pytest.raises(
        InputError, match="ask for 2 processes, but this loss couples the images of a batch"
    ):
        train(tiny(EXAMPLE, "trainer.devices=2", coupled))
    assert not (tmp_path / "run").exists()
    assert train(tiny(EXAMPLE, "budget.images=32", coupled)).state()["status"] == "done"


def test_a_preview_leaves_training_as_it_was(tiny):
    """A generator with batch normalisation: its mode, its statistics, its weights and its streams."""
    whole = [
        train(
            tiny(
                "digits/gan",
                "budget.images=320",
                f"trainer.preview_every={every}",
                folder=str(every),
            )
        )
        for every in (48, 10_000)
    ]
    assert len(list((whole[0].path / "previews").glob("*.png"))) == 6
    assert not list((whole[1].path / "previews").glob("*.png"))
    states = [outcome(run)[:2] for run in whole]
    notes = [checkpoint.pop("config") for _, checkpoint in states]
    assert [note.pop("trainer.preview_every") for note in notes] == [48, 10_000]
    assert same(notes[0], notes[1])
    assert same(states[0], states[1])


def test_gradients_are_means_over_processes(monkeypatch):
    """Not sums, which Adam hardly tells from them: of three processes with one, two and three times the same gradients."""
    gradients = [torch.randn(3, 2), torch.randn(4)]
    expected = [2 * gradient for gradient in gradients]
    monkeypatch.setattr("torch.distributed.all_reduce", lambda total: total.mul_(1 + 2 + 3))
    average_over_processes(gradients, 3)
    for gradient, mean in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, mean)


def test_seconds_of_finalize_are_part_of_the_cost(tiny):
    """A mixture has no others."""
    assert train(tiny("points2d/gmm")).state()["seconds"] > 0


def test_a_mean_of_losses_goes_on_after_an_interruption(tiny, monkeypatch):
    """The checkpoint is at image 112, between the log points 96 and 192: what was seen since 96 is in the next mean."""
    often = ("trainer.log_every=96", "budget.images=192")
    whole = read_metrics(train(tiny(EXAMPLE, *often, folder="whole")).metrics)
    cut = tiny(EXAMPLE, *often, folder="cut")

    def stop(model, name, losses):
        if model.images_seen == 112:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(VAE, "after_step", stop)
        train(cut)
    losses = [line["loss"] for line in whole if "loss" in line]
    again = [line["loss"] for line in read_metrics(train(cut).metrics) if "loss" in line]
    assert len(losses) == 2
    assert again == losses
