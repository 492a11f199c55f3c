"""Files of one's own that were changed, damaged or taken away: named in one line, and never believed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from genbench.cli import main
from genbench.errors import Diverged, InputError
from genbench.evaluate import evaluate, record_divergence
from genbench.run import Run, open_run
from genbench.train import train

RECIPE = "digits/gmm"
TRAINED = "digits/vae"


def edit(path: Path, key: str, value: object) -> None:
    """Change one key, such as a.b.c, of a file of YAML or JSON."""
    tree = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    group = tree
    *above, last = key.split(".")
    for name in above:
        group = group[name]
    group[last] = value
    path.write_text(json.dumps(tree) if path.suffix == ".json" else yaml.safe_dump(tree))


def refused(capsys, *arguments: object) -> str:
    """The one line with which a command refuses."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("genbench: ")
    assert not said.out
    return said.err


@pytest.fixture
def run(tiny) -> Run:
    return train(tiny(RECIPE, "budget.images=0"))


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
def test_a_config_that_was_changed_after_training_is_believed_by_no_command(run, key, value, tmp_path, capsys):
    edit(run.path / "config.yaml", key, value)
    out = ("--out", tmp_path / "out")
    for command in (("evaluate", run.path, *out), ("sample", run.path, "-o", tmp_path / "x.png"), ("explore", run.path)):
        line = refused(capsys, *command)
        assert f"{run.path}/config.yaml was changed since training wrote it: {key}" in line
    assert not (tmp_path / "out").exists() and not (tmp_path / "x.png").exists()


def test_folders_and_the_dashboard_may_change_in_a_config(run, tmp_path):
    for key, value in (("run_dir", None), ("wandb.project", "other")):
        edit(run.path / "config.yaml", key, value)
    moved = run.path.rename(tmp_path / "moved")
    assert open_run(moved).config.wandb.project == "other"


def test_training_does_not_follow_a_config_that_was_changed_by_hand(tiny):
    """Not even where the command says the same: the weights so far are of the other one."""
    run = train(tiny(TRAINED, "budget.images=64"))
    before = (run.path / "config.yaml").read_text()
    edit(run.path / "config.yaml", "optimization.warmup_images", 640)
    changed = tiny(TRAINED, "budget.images=128", "optimization.warmup_images=640")
    with pytest.raises(InputError, match=r"config\.yaml was changed since training wrote it: optimization\.warmup_images was"):
        train(changed)
    (run.path / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"holds a run of another configuration: optimization\.warmup_images was"):
        train(changed)
    (run.path / "config.yaml").write_text(before)
    assert train(tiny(TRAINED, "budget.images=128")).state()["images_seen"] == 128


def test_a_kill_between_config_and_note_is_healed_by_the_same_command(tiny):
    run = train(tiny(TRAINED, "budget.images=64"))
    run.write_config(tiny(TRAINED, "budget.images=128", "evaluations.k8.log_prob.K=8"))  # and killed
    with pytest.raises(InputError, match=r"budget\.images was 64, is now 128; .*k8"):
        open_run(run.path)
    assert train(tiny(TRAINED, "budget.images=128", "evaluations.k8.log_prob.K=8")).state()["images_seen"] == 128
    assert "k8" in open_run(run.path).config.evaluations


def test_a_run_that_noted_no_configuration_is_measured_once_it_is_vouched_for(run, tmp_path, capsys):
    weights = run.weights.read_bytes()
    edit(run.path / "state.json", "config", None)
    line = refused(capsys, "evaluate", run.path, "--out", tmp_path / "out")
    assert "did not note its configuration" in line
    command = re.search(r"it is, genbench (.*) notes it", line)[1].split()
    assert main(command) == 0
    assert run.weights.read_bytes() == weights
    assert evaluate(run, "", tmp_path / "out").exists()


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


STATES = [
    ("status", "finished", "status is 'finished', not one of"),
    ("images_seen", -5, "images_seen is -5, not at least 0"),
    ("images_seen", "64", "images_seen is '64', not an integer"),
    ("images_seen", 2**62, "images_seen is 4611686018427387904, not at least 0"),
    ("finalize_images", 1.5, "finalize_images is 1.5, not an integer"),
    ("seconds", "fast", "seconds is 'fast', not a finite number"),
    ("seconds", -1, "seconds is -1, not at least 0"),
    ("device", 3, "device is 3, not a text"),
    ("diverged_at", [], "diverged_at is [], not an integer"),
    ("weights_hash", "abc", "weights_hash is 'abc', not a SHA-256"),
    ("data_hash", 5, "data_hash is 5, not a text"),
    ("needs", [], "needs is [], not a group of fields"),
    ("needs", {"teacher": {}}, "needs.teacher.config_hash is missing"),
    ("config", "digits", "config is 'digits', not a group of fields"),
    ("more", 1, "more is not a field of it"),
]


@pytest.mark.parametrize(("key", "value", "says"), STATES, ids=[f"{key}-{value}" for key, value, _ in STATES])
def test_a_state_of_other_types_is_refused_by_every_command(run, key, value, says, tmp_path, capsys):
    edit(run.path / "state.json", key, value)
    for command in (
        ("evaluate", run.path, "--out", tmp_path / "out"),
        ("train", "-c", run.path / "config.yaml", f"--run_dir={run.path}"),
    ):
        line = refused(capsys, *command)
        assert f"{run.path}/state.json is damaged: {says}" in line


@pytest.mark.parametrize("images", [0, 32, 96])
def test_images_that_the_budget_does_not_make_are_refused(images, tiny):
    run = train(tiny(TRAINED, "budget.images=50", "data.batch_size=32"))
    assert open_run(run).run.state()["images_seen"] == 64
    edit(run.path / "state.json", "images_seen", images)
    with pytest.raises(InputError, match=rf"says {images} images, where a budget of 50 in batches of 32 makes 64"):
        open_run(run)


def test_weights_without_a_hash_are_not_believed(run):
    edit(run.path / "state.json", "weights_hash", None)
    with pytest.raises(InputError, match="is not what training wrote, by its hash"):
        open_run(run)
