"""Files of one's own that were changed, damaged or taken away: named in one line, and never believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warm
import yaml

from genbench.cli.main import main
from genbench.cluster.queue import jobs
from genbench.errors import Diverged, InputError, Stopped
from genbench.evaluation.evaluate import evaluate, record_divergence
from genbench.leaderboard import records_in
from genbench.leaderboard.gallery import figures
from genbench.leaderboard.noise_study import noise_text
from genbench.leaderboard.reproductions import read_list
from genbench.runs.build import build, open_run
from genbench.runs.find import find_runs
from genbench.runs.folder import Run
from genbench.runs.weights import load_weights, save_weights
from genbench.suites.manifest import read_manifest
from genbench.suites.suite import load_suite
from genbench.system.files import (
    check_target,
    file_digest,
    files_below,
    write_atomic,
    write_once,
)
from genbench.system.json_files import digest
from genbench.system.lock import in_use, lock
from genbench.system.temporary import folder_beside
from genbench.tracking.metrics_file import read_metrics
from genbench.training.train import train

RECIPE = "digits/gmm"
TRAINED = "digits/vae"


def edit(path: Path, key: str, value: object) -> None:
    """Change one key, such as a.b.c, of a file of YAML or JSON; state.json gets the digest of what it
    then says, so that what it says is looked at.
    """
    tree = (
        json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    )
    group = tree
    *above, last = key.split(".")
    for name in above:
        group = group[name]
    group[last] = value
    if path.name == "state.json":
        del tree["digest"]
        tree["digest"] = digest(tree)
    path.write_text(json.dumps(tree) if path.suffix == ".json" else yaml.safe_dump(tree))


def refused(capsys, *arguments: object) -> str:
    """The one line with which a command refuses."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("genbench: ")
    assert not said.out
    return said.err


@pytest.fixture
def run(trained) -> Run:
    return trained(RECIPE, "budget.images=0")


# --- config.yaml --------------------------------------------------------------------------------------------------------------


EDITS = [
    ("seed", 7),
    ("name", "better"),
    ("model.components", 3),
    ("budget.images", 99),
    ("evaluations", {"other": {}}),
    ("protocol", "digits"),
    ("optimization.ema_half_life", 5),
    ("trainer.devices", 2),
]


@pytest.mark.parametrize(("key", "value"), EDITS, ids=[key for key, _ in EDITS])
def test_a_config_that_was_changed_after_training_is_believed_by_no_command(
    run, key, value, tmp_path, capsys
):
    edit(run.path / "config.yaml", key, value)
    out = ("--out", tmp_path / "out")
    for command in (
        ("evaluate", run.path, *out),
        ("sample", run.path, "-o", tmp_path / "x.png"),
        ("explore", run.path),
    ):
        line = refused(capsys, *command)
        assert f"{run.path}/config.yaml was changed since training wrote it: {key}" in line
    assert not (tmp_path / "out").exists() and not (tmp_path / "x.png").exists()


def test_folders_and_the_dashboard_may_change_in_a_config(run, tmp_path):
    for key, value in (("run_dir", None), ("wandb.project", "other")):
        edit(run.path / "config.yaml", key, value)
    moved = run.path.rename(tmp_path / "moved")
    assert open_run(moved).config.wandb.project == "other"


def test_training_does_not_follow_a_config_that_was_changed_by_hand(tiny, trained):
    """Not even where the command says the same: the weights so far are of the other one."""
    run = trained(TRAINED, "budget.images=64")
    before = (run.path / "config.yaml").read_text()
    edit(run.path / "config.yaml", "optimization.warmup_images", 640)
    changed = tiny(TRAINED, "budget.images=128", "optimization.warmup_images=640")
    with pytest.raises(
        InputError,
        match=r"config\.yaml was changed since training wrote it: optimization\.warmup_images was",
    ):
        train(changed)
    (run.path / "config.yaml").unlink()
    with pytest.raises(
        InputError, match=r"holds a run of another configuration: optimization\.warmup_images was"
    ):
        train(changed)
    (run.path / "config.yaml").write_text(before)
    assert train(tiny(TRAINED, "budget.images=128")).state()["images_seen"] == 128


def test_a_kill_between_config_and_note_is_healed_by_the_same_command(tiny, trained):
    run = trained(TRAINED, "budget.images=64")
    run.write_config(
        tiny(TRAINED, "budget.images=128", "evaluations.k8.log_prob.K=8")
    )  # and killed
    with pytest.raises(InputError, match=r"budget\.images was 64, is now 128; .*k8"):
        open_run(run.path)
    assert (
        train(tiny(TRAINED, "budget.images=128", "evaluations.k8.log_prob.K=8")).state()[
            "images_seen"
        ]
        == 128
    )
    assert "k8" in open_run(run.path).config.evaluations


def test_a_run_that_noted_no_configuration_is_measured_once_it_is_vouched_for(
    run, tmp_path, capsys
):
    weights = run.weights.read_bytes()
    edit(run.path / "state.json", "config", None)
    line = refused(capsys, "evaluate", run.path, "--out", tmp_path / "out")
    assert "did not note its configuration" in line
    command = re.search(r"it is, genbench (.*) notes it", line)[1].split()
    assert main(command) == 0
    assert run.weights.read_bytes() == weights
    assert evaluate(run, "default", tmp_path / "out").exists()


def test_a_divergence_is_not_recorded_under_another_name(tiny, tmp_path):
    config = tiny(TRAINED, "budget.images=320", "model.optimizer.lr=1e30")
    with pytest.raises(Diverged):
        train(config)
    run = Run(Path(config.resolved["run_dir"]))
    edit(run.path / "config.yaml", "seed", 7)
    with pytest.raises(InputError, match="seed was 0, is now 7"):
        record_divergence(run, tmp_path / "out")
    edit(run.path / "config.yaml", "seed", 0)
    edit(run.path / "state.json", "config", None)
    with pytest.raises(InputError, match="did not note its configuration"):
        record_divergence(run, tmp_path / "out")
    with pytest.raises(Diverged):
        train(config)
    assert record_divergence(run, tmp_path / "out")


# --- state.json ---------------------------------------------------------------------------------------------------------------


NEED = {"config_hash": "1" * 64, "weights_hash": "2" * 64, "images_seen": 64, "train_seconds": 1.0}
STATES = [
    ("status", "finished", "status is 'finished', not one of"),
    ("images_seen", -5, "images_seen is -5, not at least 0"),
    ("images_seen", "64", "images_seen is '64', not an integer"),
    (
        "images_seen",
        2**62,
        "images_seen is 4611686018427387904, not at most 4,611,686,018,427,387,903",
    ),
    ("finalize_images", 1.5, "finalize_images is 1.5, not an integer"),
    ("seconds", "fast", "seconds is 'fast', not a finite number"),
    ("seconds", -1, "seconds is -1, not from 0 to 3,153,600,000"),
    ("seconds", 3.2e9, "seconds is 3200000000.0, not from 0 to 3,153,600,000"),
    ("device", 3, "device is 3, not a text"),
    (
        "device",
        "a\nb",
        "device is 'a\\nb', not a text of at most 200 characters that can be printed on one line",
    ),
    ("device", "\x1b[31mred", "device is '\\x1b[31mred', not a text of at most 200"),
    ("device", "x" * 201, "device is 'xxxx"),
    ("diverged_at", 64, "diverged_at is 64, where the status is 'done'"),
    ("status", "diverged", "diverged_at is None, where the status is 'diverged'"),
    ("data_hash", None, "data_hash is null, where training notes the hash of its images"),
    (
        "needs",
        {"teacher": NEED},
        "needs.teacher is in one of needs and config, and not in the other",
    ),
    (
        "config.needs",
        {"teacher": {}},
        "needs.teacher is in one of needs and config, and not in the other",
    ),
    (
        "needs",
        {"teacher": {**NEED, "weights_hash": "abc"}},
        "needs.teacher.weights_hash is 'abc', not a SHA-256",
    ),
    ("config", {}, "config.name is missing"),
    ("config.model", "VAE", "config.model is 'VAE', not a group of fields"),
    ("config.seed", -1, "config.seed is -1, not at least 0"),
    ("config.name", "", "config.name is '', not a text that is not empty"),
    ("diverged_at", [], "diverged_at is [], not an integer"),
    ("weights_hash", "abc", "weights_hash is 'abc', not a SHA-256"),
    ("data_hash", 5, "data_hash is 5, not a SHA-256"),
    ("needs", [], "needs is [], not a group of fields"),
    ("needs", {"teacher": {}}, "needs.teacher.config_hash is missing"),
    ("config", "digits", "config is 'digits', not a group of fields"),
    ("more", 1, "unknown key more"),
]


@pytest.mark.parametrize(
    ("key", "value", "says"), STATES, ids=[f"{i}-{key}" for i, (key, _, _) in enumerate(STATES)]
)
def test_a_state_of_other_types_is_refused_by_every_command(
    run, key, value, says, tmp_path, capsys
):
    edit(run.path / "state.json", key, value)
    for command in (
        ("evaluate", run.path, "--out", tmp_path / "out"),
        ("train", "-c", run.path / "config.yaml", f"--run_dir={run.path}"),
    ):
        line = refused(capsys, *command)
        assert f"{run.path}/state.json is damaged: {says}" in line


@pytest.mark.parametrize(
    ("key", "value"),
    [("seconds", 1.0), ("finalize_images", 7), ("device", "eight H200"), ("digest", "0" * 64)],
)
def test_a_state_that_was_edited_is_believed_by_no_command(run, key, value, tmp_path, capsys):
    path = run.path / "state.json"
    weights = run.weights.read_bytes()
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, key: value}))
    for command in (
        ("evaluate", run.path, "--out", tmp_path / "out"),
        ("train", "-c", run.path / "config.yaml", f"--run_dir={run.path}"),
    ):
        line = refused(capsys, *command)
        assert f"{path} is damaged: its digest is not that of its content, which was edit" in line
    assert not (tmp_path / "out").exists()
    path.unlink()
    assert main(list(map(str, command))) == 0
    assert open_run(run.path).run.state()["seconds"] != 1.0
    assert run.weights.read_bytes() == weights


def test_a_state_of_a_version_that_noted_no_digest_is_read(run):
    path = run.path / "state.json"
    content = json.loads(path.read_text())
    del content["digest"], content["config"]
    path.write_text(json.dumps(content))
    assert run.state()["seconds"] == content["seconds"]


def test_a_state_whose_digest_was_removed_is_believed_by_no_command(run, tmp_path, capsys):
    path = run.path / "state.json"
    content = json.loads(path.read_text())
    del content["digest"]
    path.write_text(json.dumps({**content, "seconds": 9999}))
    for command in (
        ("evaluate", run.path, "--out", tmp_path / "out"),
        ("train", "-c", run.path / "config.yaml", f"--run_dir={run.path}"),
    ):
        line = refused(capsys, *command)
        assert f"{path} is damaged: digest is missing, where a configuration is noted" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("seed", 7, "seed was 0, is now 7"),
        ("model.optimizer.lr", 0.5, "model.optimizer.lr was 0.002, is now 0.5"),
    ],
    ids=["seed", "lr"],
)
def test_a_config_that_the_checkpoint_belies_is_measured_by_no_command(
    key, value, says, begun, tmp_path, capsys
):
    edit(begun.path / "config.yaml", key, value)
    edit(begun.path / "state.json", f"config.{key}", value)
    before = contents(begun)
    for command in (
        ("evaluate", begun.path, "--out", tmp_path / "out"),
        ("sample", begun.path, "-o", tmp_path / "x.png"),
    ):
        line = refused(capsys, *command)
        assert f"{begun.checkpoints}: the newest is of another configuration: {says}; conf" in line
    assert contents(begun) == before
    assert not (tmp_path / "out").exists() and not (tmp_path / "x.png").exists()


def test_images_that_the_checkpoint_has_not_seen_are_refused(begun):
    edit(begun.path / "config.yaml", "budget.images", 128)
    edit(begun.path / "state.json", "config.budget.images", 128)
    edit(begun.path / "state.json", "images_seen", 128)
    with pytest.raises(InputError, match=r"says 128 images, but the newest of .* has seen 64"):
        open_run(begun)


@pytest.mark.parametrize("state", ["removed", "damaged", "of a former version"])
def test_a_finished_run_without_what_a_checkpoint_notes_is_measured(state, begun):
    (path,) = begun.checkpoints.glob("*.ckpt")
    if state == "of a former version":
        of_former_version(begun, *ORIGIN)
    elif state == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    before = contents(begun)
    assert open_run(begun).config.seed == 0
    assert contents(begun) == before


@pytest.mark.parametrize("images", [0, 32, 96])
def test_images_that_the_budget_does_not_make_are_refused(images, trained):
    run = trained(TRAINED, "budget.images=50", "data.batch_size=32")
    assert open_run(run).run.state()["images_seen"] == 64
    edit(run.path / "state.json", "images_seen", images)
    with pytest.raises(
        InputError, match=rf"says {images} images, where a budget of 50 in batches of 32 makes 64"
    ):
        open_run(run)


def test_weights_without_a_hash_are_not_believed(run):
    edit(run.path / "state.json", "weights_hash", None)
    with pytest.raises(InputError, match="is not what training wrote, by its hash"):
        open_run(run)


# --- checkpoints --------------------------------------------------------------------------------------------------------------


def double(tree: dict, key: str) -> None:
    tree[key] = tree[key] * 2


FORGERIES = {
    "more images than the budget has": (
        lambda s: s.update(images_seen=2**62 - 2**62 % 32),
        2**62,
        "images_seen is 4611686018427387904",
    ),
    "images beyond the end": (
        lambda s: s.update(images_seen=160),
        160,
        "not a multiple of 32 up to 128",
    ),
    "half a batch": (lambda s: s.update(images_seen=80), 80, "not a multiple of 32 up to 128"),
    "another count than its name": (
        lambda s: None,
        96,
        "it is of image 64, and not of that in its name",
    ),
    "a count that is a text": (
        lambda s: s.update(images_seen="64"),
        64,
        "images_seen is '64', not an integer",
    ),
    "one average": (lambda s: s.update(ema=s["ema"][:1]), 64, "ema has 1 tensors"),
    "averages of another shape": (lambda s: s["ema"].reverse(), 64, r"ema[0] is not a tensor"),
    "an average that is not finite": (
        lambda s: s["ema"][0].fill_(float("nan")),
        64,
        "ema[0] is not finite",
    ),
    "no optimizer": (lambda s: s["optimizers"].clear(), 64, "optimizers has 0 entries, not 1"),
    "another rate": (
        lambda s: double(s["optimizers"][0]["param_groups"][0], "initial_lr"),
        64,
        "optimizers[0] has initial_lr",
    ),
    "other moments": (
        lambda s: s["optimizers"][0]["state"][0]["exp_avg"].fill_(float("inf")),
        64,
        "optimizers[0] holds what",
    ),
    "a negative time": (
        lambda s: s["keeper"].update(seconds=-1.0),
        64,
        "keeper.seconds is -1.0, not at least 0",
    ),
    "a configuration that is none": (
        lambda s: s.update(config="digits"),
        64,
        "config is 'digits', not",
    ),
    "a configuration without names": (
        lambda s: s.update(config={0: 7}),
        64,
        "config is {0: 7}, not",
    ),
    "a hash of images that is none": (
        lambda s: s.update(data_hash="digits"),
        64,
        "data_hash is 'digits', not a SHA-256",
    ),
    "a needed run that its configuration does not name": (
        lambda s: s.update(needs={"teacher": "0" * 64}),
        64,
        "needs has ['teacher'], not []",
    ),
    "sums that are none": (
        lambda s: s["keeper"].update(sums={"loss": 1}, counts={"loss": 1}),
        64,
        "keeper.sums.loss is not a number",
    ),
}


def rewrite(path: Path, state: dict, images: int) -> Path:
    """Save a checkpoint beside another one, under the name that its content and `images` make."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:16]
    target = path.with_name(f"{images:012d}-{digest}.ckpt")
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(("forge", "images", "says"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_checkpoint_with_a_right_hash_is_set_aside(
    forge, images, says, tiny, trained, caplog
):
    small = (
        "data.batch_size=32",
        "optimization.ema_half_life=32",
        "model.encoder.width=8",
        "model.decoder.width=8",
    )
    whole = trained(TRAINED, "budget.images=128", *small, folder="whole").weights.read_bytes()
    run = trained(TRAINED, "budget.images=64", *small)
    (path,) = run.checkpoints.glob("000000000064-*.ckpt")
    state = torch.load(path, weights_only=True)
    forge(state)
    forged = rewrite(path, state, images)
    if images == 64:
        path.rename(path.with_suffix(".kept"))
    caplog.clear()
    done = train(tiny(TRAINED, "budget.images=128", *small))
    assert (
        says in caplog.text
        and caplog.text.count("does not fit this run") + caplog.text.count("in its name") == 1
    )
    assert not forged.exists() and forged.with_suffix(".damaged").exists()
    assert done.weights.read_bytes() == whole


# small steps; a log line for each tells where training goes on
STEPS = (
    "data.batch_size=16",
    "trainer.log_every=16",
    "model.optimizer.lr=0.002",
    "optimization.warmup_images=0",
)
OTHER_CONFIGS = [
    ("seed", 7, "seed was 0, is now 7"),
    ("name", "better", "name was vae, is now better"),
    ("model.optimizer.lr", 0.5, "model.optimizer.lr was 0.002, is now 0.5"),
    ("optimization.warmup_images", 640, "optimization.warmup_images was 0, is now 640"),
    ("budget.images", 32, "budget.images was 64, is now 32"),
]


def contents(run: Run) -> dict[str, bytes]:
    """Every file of a run but the log."""
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name != "log.txt"]
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


def of_former_version(run: Run, *absent: str) -> None:
    """Make a run's one checkpoint one of a version that did not note these entries in it."""
    (path,) = run.checkpoints.glob("*.ckpt")
    state = torch.load(path, weights_only=True)
    for entry in absent:
        del state[entry]
    path.unlink()
    rewrite(path, state, state["images_seen"])


@pytest.fixture
def begun(trained) -> Run:
    """A run of 64 images with one checkpoint, at their end."""
    run = trained(TRAINED, "budget.images=64", "trainer.checkpoint_every=64", *STEPS)
    assert len(list(run.checkpoints.glob("*.ckpt"))) == 1
    return run


def goes_on(config) -> int:
    """The first image count that a training logs."""
    counts = []
    train(config, lambda images, loss: counts.append(images))
    return counts[0]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    OTHER_CONFIGS,
    ids=[key for key, _, _ in OTHER_CONFIGS],
)
def test_without_its_state_a_run_does_not_go_on_under_another_config(
    begun,
    key,
    value,
    says,
    capsys,
):
    (begun.path / "state.json").unlink()
    edit(begun.path / "config.yaml", key, value)
    before = contents(begun)
    command = ("train", "-c", begun.path / "config.yaml", f"--run_dir={begun.path}")
    for _ in range(2):  # the first leaves nothing behind that the second believes
        line = refused(capsys, *command)
        assert f"{begun.checkpoints}: the newest is of another configuration: {says}; train" in line
        assert contents(begun) == before


@pytest.mark.parametrize("files", [("state.json",), ("state.json", "config.yaml")], ids=len)
def test_without_its_state_a_run_goes_on_under_its_own_config(begun, files, tiny, trained):
    for name in files:
        (begun.path / name).unlink()
    steps = ("budget.images=128", "trainer.checkpoint_every=64", *STEPS)
    with pytest.raises(InputError, match="seed was 0, is now 7"):
        train(tiny(TRAINED, "seed=7", *steps))
    assert goes_on(tiny(TRAINED, *steps)) == 80
    undisturbed = trained(TRAINED, *steps, folder="undisturbed")
    assert begun.weights.read_bytes() == undisturbed.weights.read_bytes()


@pytest.mark.parametrize(("key", "goes"), [("warmup_images", True), ("ema_half_life", False)])
def test_a_checkpoint_from_before_a_setting_goes_on_where_the_setting_is_at_its_default(
    begun, key, goes, tiny
):
    """Of a run with an average of its weights and without a warm-up."""
    (path,) = begun.checkpoints.glob("*.ckpt")
    state = torch.load(path, weights_only=True)
    del state["config"][f"optimization.{key}"]
    path.unlink()
    rewrite(path, state, state["images_seen"])
    config = tiny(TRAINED, "budget.images=128", "trainer.checkpoint_every=64", *STEPS)
    if goes:
        assert goes_on(config) == 80
    else:
        with pytest.raises(InputError, match=r"optimization\.ema_half_life was 0, is now"):
            train(config)


@pytest.mark.parametrize("status", ["done", "diverged"])
def test_what_is_final_is_not_vouched_for_under_another_config(begun, status, capsys):
    diverged_at = {"done": None, "diverged": 64}[status]
    state = {**begun.state(), "status": status, "diverged_at": diverged_at, "config": None}
    begun.write_state(**state)
    edit(begun.path / "config.yaml", "seed", 7)
    before = contents(begun)
    line = refused(capsys, "train", "-c", begun.path / "config.yaml", f"--run_dir={begun.path}")
    assert "the newest is of another configuration: seed was 0, is now 7" in line
    assert contents(begun) == before


ORIGIN = ("config", "data_hash", "needs")


@pytest.mark.parametrize(
    ("absent", "noted"),
    [
        (ORIGIN, "no config and no data_hash and no needs"),
        (ORIGIN[1:], "no data_hash and no needs"),
    ],
    ids=len,
)
def test_a_checkpoint_of_a_former_version_is_believed_beside_a_state_that_notes_more(
    absent, noted, begun, tiny
):
    of_former_version(begun, *absent)
    steps = ("budget.images=128", "trainer.checkpoint_every=64", *STEPS)
    state = (begun.path / "state.json").read_bytes()
    (begun.path / "state.json").unlink()
    before = contents(begun)
    for _ in range(2):
        says = f"noted {noted} in it, and state.json notes none either; restore state.json, or"
        with pytest.raises(InputError, match=re.escape(says)):
            train(tiny(TRAINED, *steps))
        assert contents(begun) == before
    (begun.path / "state.json").write_bytes(state)
    assert goes_on(tiny(TRAINED, *steps)) == 80


def test_a_finished_run_of_a_former_version_can_be_vouched_for(begun, tiny):
    of_former_version(begun, *ORIGIN)
    edit(begun.path / "state.json", "config", None)
    weights = begun.weights.read_bytes()
    train(tiny(TRAINED, "budget.images=64", "trainer.checkpoint_every=64", *STEPS))
    assert begun.weights.read_bytes() == weights
    assert open_run(begun.path).config.seed == 0


def test_without_its_state_a_run_does_not_go_on_over_other_images(begun, tiny, monkeypatch):
    config = tiny(TRAINED, "budget.images=128", "trainer.checkpoint_every=64", *STEPS)
    begun_on = begun.state()["data_hash"]
    (begun.path / "state.json").unlink()
    before = contents(begun)
    with monkeypatch.context() as patch:
        patch.setattr("genbench.data.digits.Digits.content_hash", "f" * 64)
        says = f"the newest is of other images: they had the content hash {begun_on[:12]}, now it"
        for _ in range(2):
            with pytest.raises(InputError, match=says) as error:
                train(config)
            assert "\n" not in str(error.value)
            assert contents(begun) == before
    assert goes_on(config) == 80


def test_a_checkpoint_of_other_images_is_refused_beside_a_state_of_these(begun, tiny):
    """As where a checkpoint was copied from another folder."""
    (path,) = begun.checkpoints.glob("*.ckpt")
    state = torch.load(path, weights_only=True)
    path.unlink()
    rewrite(path, {**state, "data_hash": "f" * 64}, 64)
    before = contents(begun)
    with pytest.raises(
        InputError, match=r"the newest is of other images: they had .* ffffffffffff"
    ):
        train(tiny(TRAINED, "budget.images=128", "trainer.checkpoint_every=64", *STEPS))
    assert contents(begun) == before


def test_a_state_that_is_removed_while_training_runs_is_written_again(tiny):
    steps = ("budget.images=64", "trainer.checkpoint_every=32", *STEPS)
    config = tiny(TRAINED, *steps)
    run = Run(Path(config.resolved["run_dir"]))
    whole = train(tiny(TRAINED, *steps, folder="whole"))

    def remove(images: int, loss: float | None) -> None:
        if images in (16, 64):
            (run.path / "state.json").unlink()

    train(config, remove)
    fields = ("status", "images_seen", "device", *ORIGIN)
    state, expected = run.state(), whole.state()
    expected["config"]["run_dir"] = str(run.path)
    assert [state[field] for field in fields] == [expected[field] for field in fields]


# --- needed runs ------------------------------------------------------------------------------------------------------------


STUDENT = "points2d/reflow"
STUDENT_STEPS = (
    "budget.images=64",
    "needs.teacher.budget.images=48",
    "trainer.log_every=16",
    "trainer.checkpoint_every=32",
)


def test_without_its_state_a_run_does_not_go_on_from_another_teacher(tiny):
    config = tiny(STUDENT, *STUDENT_STEPS)
    teacher = train(config.needs["teacher"])
    student = train(config)
    (student.path / "state.json").unlink()
    student.weights.unlink()
    longer = tiny(STUDENT, *STUDENT_STEPS[1:], "budget.images=128")
    before = contents(student)
    weights = teacher.weights.read_bytes()
    weights_hash = teacher.state()["weights_hash"]
    model = open_run(teacher).model
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    save_weights(model, teacher.weights)
    edit(teacher.path / "state.json", "weights_hash", file_digest(teacher.weights))
    for _ in range(2):
        with pytest.raises(InputError, match=r"newest is of other weights of needs\.teacher; rest"):
            train(longer)
        assert contents(student) == before
    teacher.weights.write_bytes(weights)
    edit(teacher.path / "state.json", "weights_hash", weights_hash)
    assert goes_on(longer) == 80
    assert student.state()["needs"]["teacher"]["weights_hash"] == weights_hash


def test_weights_that_vanish_while_a_finished_run_is_opened_are_made_again(tiny, monkeypatch):
    """By another process, between the first look at the folder and the one under its lock."""
    config = tiny(STUDENT, *STUDENT_STEPS)
    train(config.needs["teacher"])
    student = train(config)
    weights = student.weights.read_bytes()
    needs = student.state()["needs"]
    looks = []

    def is_done(run: Run, budget: int) -> bool:
        done = look(run, budget)
        if run == student and done:
            looks.append(run)
            student.weights.unlink()
        return done

    look = Run.is_done
    monkeypatch.setattr(Run, "is_done", is_done)
    train(config)
    assert looks == [student]
    assert student.weights.read_bytes() == weights
    assert student.state()["needs"] == needs


# --- what is no file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["lock", "metrics.jsonl", "state.json", "model.safetensors", "log.txt"]
)
def test_a_fifo_in_a_run_is_named_and_not_waited_for(name, run, tmp_path, capsys):
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    for command in (
        ("train", "-c", run.path / "config.yaml", f"--run_dir={run.path}"),
        ("evaluate", run.path, "--out", tmp_path / "out"),
    ):
        assert f"{run.path}/{name} is neither a file nor a folder; remove it" in refused(
            capsys, *command
        )
    assert read_metrics(run.metrics) == []
    if name == "lock":
        with pytest.raises(InputError, match="is not a lock of genbench"):
            in_use(run.path)


def test_weights_that_become_a_fifo_are_named_and_not_waited_for(run):
    """Also where that happens after the folder was looked through."""
    _, model = build(run.recorded_config())
    run.weights.unlink()
    os.mkfifo(run.weights)
    with pytest.raises(
        InputError, match=r"model\.safetensors cannot be loaded: it is no regular file"
    ):
        load_weights(model, run.weights, run.state()["weights_hash"])


def test_damaged_lines_of_the_metrics_are_counted(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    whole = '{"images": 16, "loss": 2.5}'
    bad = [
        "[" * 100_000,
        '{"images": -1}',
        '{"images": 16, "loss": "low"}',
        '{"images": 1.5}',
        '{"loss": 1}',
        "\x00",
        '{"images": 16, "lo',
    ]
    path.write_text("\n".join([whole, *bad, whole]) + "\n")
    assert read_metrics(path) == [{"images": 16, "loss": 2.5}] * 2
    assert f"{path}: {len(bad)} damaged lines are left out, the first of them line 2" in caplog.text


@pytest.mark.parametrize("key", ["out", "runs"])
@pytest.mark.parametrize("folder", ["", ".", "..", "runs/..", "/", '"a\\0b"'])
def test_a_suite_does_not_write_into_the_checkout_itself(key, folder, tmp_path):
    text = folder if folder.startswith('"') else json.dumps(folder)
    (tmp_path / "suite.yaml").write_text(f"{key}: {text}\nentries: [{{config: digits/gmm}}]\n")
    with pytest.raises(InputError, match=rf"suite\.yaml: {key} is .*such as runs/mine"):
        load_suite(tmp_path / "suite.yaml")


# --- links --------------------------------------------------------------------------------------------------------------------


def test_a_linked_folder_of_records_is_written_and_read(run, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "disk").mkdir()
    (out / "records").mkdir(parents=True)
    (out / "records" / "digits").symlink_to(tmp_path / "disk")
    assert main(["evaluate", str(run.path), "--out", str(out)]) == 0
    assert len(records_in(out)) == 1
    assert "gmm" in capsys.readouterr().out
    (tmp_path / "disk" / "loop").symlink_to(out)
    assert len(records_in(out)) == 1


def test_files_are_named_by_their_own_path_and_not_by_that_of_a_link_beside_them(tmp_path):
    """As wandb's `latest-run`."""
    (tmp_path / "b" / "run").mkdir(parents=True)
    (tmp_path / "b" / "run" / "a.json").write_text("")
    (tmp_path / "b" / "latest").symlink_to(tmp_path / "b" / "run")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "above").symlink_to(tmp_path)
    (tmp_path / "a" / "run").symlink_to(tmp_path / "b" / "run")
    assert files_below(tmp_path, "*.json") == [tmp_path / "b" / "run" / "a.json"]
    assert files_below(tmp_path / "a", "*.json") == [
        tmp_path / "a" / "above" / "b" / "run" / "a.json"
    ]
    assert files_below(tmp_path / "absent", "*.json") == []


def test_runs_below_a_linked_folder_are_found(run, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(run.path.parent)
    assert [found.path.name for found in find_runs(tmp_path / "runs")] == [run.path.name]


# --- where records go ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_takes_no_record_is_found_before_anything_is_measured(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        "genbench.evaluation.evaluate.draw_samples", lambda *_: pytest.fail("measured")
    )
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file is no folder" in refused(
        capsys, "evaluate", run.path, "--out", tmp_path / "file"
    )
    assert "is longer than the 255 bytes that may be used" in refused(
        capsys, "evaluate", run.path, "--out", tmp_path / ("x" * 256) / "out"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a superuser may write anywhere
    assert f"{tmp_path} is not for writing" in refused(
        capsys, "evaluate", run.path, "--out", tmp_path / "out"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]


# -s0-01234567.json, or @mean in front of it
@pytest.mark.parametrize(
    ("recipe", "most"), [("digits/gmm", 255 - 17), ("digits/vae", 255 - 17 - len("@mean"))]
)
def test_a_name_that_makes_a_name_of_a_file_too_long_is_found_before_training(recipe, most, capsys):
    assert main(["train", "-c", recipe, "--dry-run", f"--name={'x' * most}"]) == 0
    capsys.readouterr()
    for dry in ((), ("--dry-run",)):
        line = refused(capsys, "train", "-c", recipe, "--smoke", *dry, f"--name={'x' * (most + 1)}")
        assert "would have 256 bytes; names of files have at most 255" in line


def test_the_longest_name_of_a_record_is_written(tmp_path):
    path = tmp_path / f"{'ä' * 125}.json"
    check_target(path)
    write_atomic(path, "{}")
    assert write_once(path.with_suffix(".once"), "{}") and path.read_text() == "{}"
    with folder_beside(tmp_path / ("x" * 255)) as fresh:
        fresh.rename(tmp_path / ("x" * 255))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs a folder in which nobody can make a file"
)
@pytest.mark.parametrize("name", ["xx.png", "xx.npz", "xx"])
def test_what_cannot_be_written_is_called_by_its_own_name(run, capsys, name):
    assert f"genbench: /proc/{name} cannot be written: " in refused(
        capsys, "sample", run.path, "-n", 4, "-o", f"/proc/{name}"
    )


def test_a_lock_that_cannot_be_written_is_called_by_its_own_name():
    with (
        pytest.raises(OSError, match=r"^/proc/lock cannot be written: No such file or directory$"),
        lock(Path("/proc")),
    ):
        pass


def test_samples_go_to_a_file_of_a_long_name(run, tmp_path, capsys):
    assert main(["sample", str(run.path), "-n", "4", "-o", str(tmp_path / f"{'x' * 251}.png")]) == 0
    capsys.readouterr()
    assert "is longer than the 255 bytes that may be used" in refused(
        capsys, "sample", run.path, "-o", tmp_path / f"{'x' * 252}.png"
    )


# --- a folder that goes away --------------------------------------------------------------------------------------------------


def test_a_run_whose_folder_is_moved_away_stops_and_goes_on_in_its_new_place(tiny, tmp_path):
    small = ("budget.images=160", "trainer.log_every=16", "data.batch_size=16")
    whole = train(tiny(TRAINED, *small, folder="whole")).weights.read_bytes()
    config = tiny(TRAINED, *small, "trainer.checkpoint_every=16")
    path = Path(config.resolved["run_dir"])

    def move(images: int, loss: float | None) -> None:
        if images == 64:
            path.rename(tmp_path / "moved")

    with pytest.raises(Stopped, match="is no longer the folder that training began in"):
        train(config, move)
    assert not (path / "model.safetensors").exists() and not (path / "state.json").exists()
    (tmp_path / "moved" / "lock").unlink()  # of this process, which has not ended
    done = train(tiny(TRAINED, *small, "trainer.checkpoint_every=16", folder="moved"))
    assert done.state()["status"] == "done" and done.weights.read_bytes() == whole


# --- output -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_that_takes_few_letters_does_not_end_a_command(encoding):
    out = Path(__file__).parents[2] / "leaderboards"
    command = [sys.executable, "-m", "genbench", "table", str(out)]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False
    )
    assert done.returncode == 0 and not done.stderr
    text = done.stdout.decode(encoding)
    assert "| VAE" in text or "vae" in text
    assert "\\u" not in text and "\\x" not in text
    assert "FID v |" in text and "images/s ^ |" in text
    assert "FIDinf" in text or encoding == "cp1252" or "+-" in text


# --- processes ----------------------------------------------------------------------------------------------------------------

LOSING = """
import os, signal, sys, time
import genbench.evaluation.evaluate
from genbench.cli.main import main
from genbench.system.processes import rank

lost, computing, run, out = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
sampled = genbench.evaluation.evaluate.draw_samples

def cut(*arguments):
    if rank() == lost:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(computing)
    return sampled(*arguments)

genbench.evaluation.evaluate.draw_samples = cut
sys.exit(main(["evaluate", run, "--out", out, "--devices", "2", "--device", "cpu"]))
"""


@pytest.mark.parametrize(
    "computing",
    [
        pytest.param(0, marks=pytest.mark.slow, id="in a collective"),
        pytest.param(60, id="computing"),
    ],
)
def test_an_evaluation_that_loses_a_process_ends_in_one_line(computing, run, tmp_path):
    script = tmp_path / "losing.py"
    script.write_text(LOSING)
    command = [
        sys.executable,
        str(script),
        "1",
        str(computing),
        str(run.path),
        str(tmp_path / "out"),
    ]
    done = warm.run(command)
    assert done.returncode == 75, done.stderr
    assert (
        done.stderr.splitlines()[-1]
        == "genbench: another process of this command ended; the same command goes on"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "records").exists()


# --- every other file that is read back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["[]", "{", "[" * 100_000, '{"a": 1, "a": 1}', '{"vae-samples": 3}', "\x00", "NaN"]
)
def test_damaged_captions_and_studies_are_named(content, tmp_path):
    (tmp_path / "explore" / "digits").mkdir(parents=True)
    (tmp_path / "explore" / "digits" / "vae-samples.png").write_bytes(b"")
    path = tmp_path / "explore" / "digits" / "captions.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(f"{path}: figures by name")):
        figures("digits", {}, tmp_path)
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "digits.json").write_text(content)
    with pytest.raises(InputError, match="not a study of benchmarks/noise"):
        noise_text([], tmp_path / "noise")


STUDIES = [
    ("n", "many"),
    ("n", -1),
    ("bias", []),
    ("bias", [{"n": 3}]),
    ("bias", [{"n": 3, "fid": {"mean": 0, "sd": 1}, "fid_infinity": {"mean": 0, "sd": 1}}]),
    ("changes", []),
    ("changes", [{"fid": {"mean": 1, "sd": 1}}]),
    ("changes", [{"change": "none", "fid": {"mean": 1, "sd": -1}}]),
    ("changes", [{"change": "none", "fid": {"mean": 1, "sd": 1}}, {"change": "noise"}]),
]


@pytest.mark.parametrize(("key", "value"), STUDIES)
def test_a_study_of_other_types_is_named(key, value, tmp_path):
    study = json.loads(
        (Path(__file__).parents[2] / "leaderboards" / "noise" / "digits.json").read_text()
    )
    (tmp_path / "digits.json").write_text(json.dumps({**study, key: value}))
    with pytest.raises(InputError, match=rf"not a study of benchmarks/noise\.py \({key}"):
        noise_text([], tmp_path)


MANIFEST = {"suite": "s", "out": "o", "device": "cpu", "runs": [], "tasks": []}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": [0]}, "tasks has 0, where there are 0 runs"),
        ({"tasks": [-1]}, "tasks[0] is -1, not at least 0"),
        ({"tasks": [True]}, "tasks[0] is True, not an integer"),
        ({"runs": [{"name": "x", "config": {}}]}, "runs[0].variants is missing"),
        ({"runs": "x"}, "runs is 'x'"),
        ({"out": None}, "out is None, not a text"),
        ({"device": 3}, "device is 3, not a text"),
    ],
)
def test_a_manifest_of_other_types_is_named(change, says, tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.cluster.queue._queue", dict)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**MANIFEST, **change}))
    with pytest.raises(InputError, match=re.escape(says)) as error:
        read_manifest(path)
    assert str(error.value).startswith(f"{path} is not a manifest")
    (tmp_path / "slurm" / "a").mkdir(parents=True)
    path.rename(tmp_path / "slurm" / "a" / "manifest.json")
    with pytest.raises(InputError, match="or what lies beside it is damaged"):
        jobs(tmp_path)


def test_a_lock_of_another_kind_is_no_lock(tmp_path):
    for content in (
        '{"host": "a", "host": "b", "pid": 1, "started": "1"}',
        "[" * 100_000,
        "NaN",
        "[]",
    ):
        (tmp_path / "lock").write_text(content)
        with pytest.raises(InputError, match="is not a lock of genbench"):
            in_use(tmp_path)


@pytest.mark.parametrize(
    "tree", [{"entries": 5}, {"entries": [], "not_reproduced": "x"}, {"entries": [3]}]
)
def test_a_list_of_published_figures_of_other_types_is_named(tree, tmp_path):
    path = tmp_path / "published.yaml"
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_list(path)
