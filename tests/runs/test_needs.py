"""Runs that others need: found or named, never trained by surprise, no part of the model that learns from them, and in the record."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from test_leaderboard import make

from genbench.cli.main import main
from genbench.cluster.site import load_cluster
from genbench.cluster.submit import submit
from genbench.config.check import check_config
from genbench.config.find import find_config
from genbench.config.recipe import load_config
from genbench.errors import InputError, Stopped
from genbench.evaluation.evaluate import evaluate
from genbench.leaderboard import render_tables
from genbench.records.parts import Need
from genbench.records.record import Record
from genbench.records.store import records_in
from genbench.rng import Rng
from genbench.runs.build import build, build_model, open_run
from genbench.runs.folder import Run
from genbench.runs.weights import save_weights
from genbench.suites.bench import bench
from genbench.suites.plan import lacking, plan_suite
from genbench.suites.suite import load_suite
from genbench.system.files import file_digest
from genbench.system.progress import Lines
from genbench.system.yaml12 import load_yaml
from genbench.training.train import train

REFLOW, TEACHER = "points2d/reflow", "points2d/flow_matching"
SHORT = ("budget.images=64", "needs.teacher.budget.images=48")


def complaint(name: str, *overrides: str) -> str:
    with pytest.raises(InputError) as error:
        build(load_config(name, overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


# --- configurations -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "override", "says"),
    [
        (
            REFLOW,
            "needs.teacher=points2d/flow_matchng",
            "needs.teacher: no configuration 'points2d/flow_matchng'; did you mean",
        ),
        (REFLOW, "needs.teacher=points2d/reflow", "needs itself"),
        (
            REFLOW,
            "needs.teacher=points2d/vae",
            "needs.teacher is a VAE, without transport; FlowMatching learns from a teacher that "
            "Transports (conditional, transport), such as FlowMatching",
        ),
        (
            REFLOW,
            "needs.teacher=digits/flow_matching",
            "needs.teacher is about other data: its data.class_path is",
        ),
        (
            REFLOW,
            "needs.teacher.data.cloud=two_moons",
            None,
        ),  # what the run itself says of its data holds for both
        (
            REFLOW,
            "needs.techer=points2d/flow_matching",
            "needs.techer: FlowMatching has no argument techer; it learns from teacher that "
            "Transports (conditional, transport), such as FlowMatching",
        ),
        (
            REFLOW,
            "needs=null",
            "reflow=10 learns from a finished run: needs.teacher names the recipe of one that "
            "Transports (conditional, transport)",
        ),
        (REFLOW, "needs=5", "needs maps a name to a recipe"),
        (REFLOW, "needs.teacher.needs=5", "needs maps a name to a recipe"),
        (
            REFLOW,
            "needs.teacher.model.net.wdth=5",
            "needs.teacher: unknown key model.net.wdth; did you mean 'width'?",
        ),
        (REFLOW, "model.reflow=-1", "reflow is at least 0"),
        (
            REFLOW,
            "needs.teacher.seed=3",
            "has the seed of the run that needs it; --seed=3 sets both",
        ),
        (TEACHER, "needs.teacher=points2d/flow_matching", "needs itself"),
        (REFLOW, "model.reflow=0", "reflow=0 learns from no other run"),
        (TEACHER, "needs.teacher=points2d/vae", "without transport"),
        (
            "points2d/vae",
            "needs.teacher=points2d/gan",
            "needs.teacher: VAE has no argument teacher; it learns from no other run",
        ),
    ],
)
def test_what_is_needed_is_checked_before_anything_is_trained(name, override, says):
    if says is None:
        assert (
            load_config(name, [override.removeprefix("needs.teacher.")])
            .needs["teacher"]
            .resolved["data"]["cloud"]
            == "two_moons"
        )
        says = "needs.teacher is about other data: its data.cloud is two_moons, here it is eight_gaussians"
    assert says in complaint(name, override)


def test_a_circle_of_recipes_is_named(tmp_path):
    recipe = load_config(REFLOW).resolved
    for here, there in (("a", "b"), ("b", "a")):
        tree = {**recipe, "needs": {"teacher": str(tmp_path / f"{there}.yaml")}}
        (tmp_path / f"{here}.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(tree))))
    assert f"a.yaml needs itself, by way of {tmp_path / 'b.yaml'}" in complaint(
        str(tmp_path / "a.yaml")
    )


def test_a_needed_run_has_the_seed_and_the_data_of_the_one_that_needs_it():
    config = load_config(REFLOW, ["seed=3", "data.root=/d", "data.batch_size=8"])
    teacher = config.needs["teacher"]
    assert (teacher.name, teacher.seed, teacher.resolved["data"]["root"]) == (
        "flow_matching",
        3,
        "/d",
    )
    assert teacher.resolved["data"]["batch_size"] == 256
    plain = load_config(TEACHER, ["seed=3", "data.root=/d"])
    assert teacher.resolved == plain.resolved and teacher.hash == plain.hash
    tree = json.loads(json.dumps(config.resolved))
    assert check_config(tree, "reflow", (), "again") == config
    tree["needs"]["teacher"]["seed"] = 4
    with pytest.raises(InputError, match="a needed run has that of the run that needs it, 3"):
        check_config(tree, "reflow", (), "again")


def test_a_file_that_says_another_seed_for_what_it_needs_is_refused(tmp_path):
    tree = json.loads(json.dumps(load_config(REFLOW, ["seed=3"]).resolved))
    path = tmp_path / "reflow.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert (
        load_config(path).needs["teacher"].seed == 3
        and load_config(path, ["seed=5"]).needs["teacher"].seed == 5
    )
    tree["needs"]["teacher"]["seed"] = 4
    path.write_text(yaml.safe_dump(tree))
    assert (
        "needs.teacher has the seed 4; a needed run has that of the run that needs it, 3"
        in complaint(str(path))
    )


def test_another_teacher_is_another_configuration_and_none_is_the_same_as_before():
    assert "needs" not in load_config(TEACHER).resolved
    base = load_config(REFLOW)
    for free in (
        "seed=3",
        "needs.teacher.run_dir=/x",
        "wandb.mode=offline",
        "needs.teacher.wandb.mode=offline",
    ):
        assert load_config(REFLOW, [free]).hash == base.hash
    for bound in (
        "needs.teacher.budget.images=5",
        "needs.teacher.model.net.width=8",
        "needs.teacher=%s",
    ):
        copy = load_config(
            REFLOW, [bound % "configs/points2d/flow_matching.yaml" if "%" in bound else bound]
        )
        assert (copy.hash == base.hash) == ("%" in bound)


# --- training -----------------------------------------------------------------------------------------------------------------


def test_a_missing_run_is_named_with_the_command_that_makes_it(tiny, tmp_path, capsys):
    given = [
        "--wandb.mode=disabled",
        "--seed=2",
        *(f"--{key}" for key in SHORT if "teacher.budget" not in key),
    ]
    common = [
        "train",
        "-c",
        REFLOW,
        "--smoke",
        *given,
        f"--needs.teacher.run_dir={tmp_path / 'teacher'}",
    ]
    budget = [f"--{key}" for key in SHORT if "teacher.budget" in key]
    reflow = [*common, *budget, f"--run_dir={tmp_path / 'run'}"]
    assert main(reflow) == 2
    line = capsys.readouterr().err
    assert (
        line.count("\n") == 1
        and "is not finished (not begun); first: genbench train -c points2d/flow_matching " in line
    )
    assert not (tmp_path / "run").exists()
    command = line.strip().partition("first: genbench ")[2].split()
    assert sorted(command[3:]) == [
        "--budget.images=48",
        f"--run_dir={tmp_path / 'teacher'}",
        "--seed=2",
        "--smoke",
    ]
    assert main([*command, "--wandb.mode=disabled"]) == 0
    assert main(reflow) == 0
    # a larger budget is training that was not done, a smaller one another run
    capsys.readouterr()
    assert (
        main([*common, "--needs.teacher.budget.images=96", f"--run_dir={tmp_path / 'other'}"]) == 2
    )
    said = capsys.readouterr().err
    assert "is not finished (done, 48 images)" in said
    as_it_is = said.partition("as it is: ")[2].split()[0]
    assert main([*common, as_it_is, f"--run_dir={tmp_path / 'taken'}"]) == 0
    capsys.readouterr()
    assert (
        main([*common, "--needs.teacher.budget.images=16", f"--run_dir={tmp_path / 'other'}"]) == 2
    )
    assert "it is another run: budget.images was 48, is now 16" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def cut_at(images: int):
    def report(seen: int, loss: float | None) -> None:
        if seen == images:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    return report


def test_a_run_that_learns_from_another_resumes_is_measured_without_it_and_says_what_it_cost(
    tiny, tmp_path
):
    often = (*SHORT, "trainer.log_every=16", "trainer.checkpoint_every=16", "data.levels=16")
    cut, whole = (tiny(REFLOW, *often, folder=folder) for folder in ("cut", "whole"))
    teacher = train(whole.needs["teacher"])
    with pytest.raises(Stopped):
        train(cut, cut_at(32))
    runs = [train(config) for config in (cut, whole)]
    assert runs[0].weights.read_bytes() == runs[1].weights.read_bytes()
    state, _ = runs[0].newest_checkpoint()
    assert set(state["model"]) == set(
        open_run(teacher).model.state_dict()
    )  # the same network, and no teacher beside it
    shutil.rmtree(teacher.path)
    assert train(whole).path == runs[1].path  # done is done
    path = evaluate(runs[1], "heun20", tmp_path / "out")
    record = Record.from_json(path.read_text())
    assert (
        record.needs["teacher"].config_hash == whole.needs["teacher"].hash
        and record.needs["teacher"].images_seen == 48
    )
    assert record.images_in_all == 64 + 48 and record.cost.images_seen == 64
    assert record.cost.parameters == sum(p.numel() for p in open_run(runs[1]).model.parameters())
    assert str(tmp_path) not in path.read_text()
    assert "112 (with teacher)" in render_tables(tmp_path / "out", "md")
    assert "needs" not in replace(record, needs={}).to_dict()


def test_training_learns_from_the_recorded_weights_of_a_teacher_that_stays_as_it_is(
    tiny, monkeypatch
):
    config = tiny(REFLOW, *SHORT)
    recorded = open_run(train(config.needs["teacher"])).model.state_dict()
    models = []

    def built(*arguments):
        models.append(build_model(*arguments))
        return models[-1]

    monkeypatch.setattr("genbench.training.train.build_model", built)
    run = train(config)
    (student,) = models
    initial = build(config)[1].teacher.state_dict()
    for name, weights in student.teacher.state_dict().items():
        assert torch.equal(weights, recorded[name])
    assert any(not torch.equal(initial[name], recorded[name]) for name in recorded)
    assert not student.teacher.training
    assert not any(p.requires_grad for p in student.teacher.parameters())
    # measured without it: what would use it does not compute
    model = open_run(run).model
    rng = Rng(0, range(4))
    assert model.sample(rng).shape == (4, 1, 1, 2)
    with pytest.raises((RuntimeError, NotImplementedError)):
        model.loss(torch.zeros(4, 1, 1, 2, dtype=torch.uint8), None, rng)


def test_a_prior_is_measured_with_the_codes_that_it_was_trained_on(tiny):
    config = tiny("digits/vqvae-prior", "budget.images=64", "needs.tokenizer.budget.images=64")
    with pytest.raises(InputError, match=r"needs\.tokenizer, .* is not finished \(not begun\)"):
        train(config)
    assert not Path(config.resolved["run_dir"]).exists()
    tokenizer = train(config.needs["tokenizer"])
    run = train(config)
    model = open_run(run).model
    weights = open_run(tokenizer).model
    assert torch.equal(model.tokenizer.codebook, weights.codebook)
    assert not any("tokenizer" in name for name in model.state_dict())
    with torch.no_grad():
        weights.codebook.mul_(2)
    save_weights(weights, tokenizer.weights)
    state = {**tokenizer.state(), "weights_hash": file_digest(tokenizer.weights)}
    tokenizer.write_state(**state)
    with pytest.raises(InputError, match=r"was begun with other weights of needs\.tokenizer"):
        open_run(run)
    shutil.rmtree(tokenizer.path)
    with pytest.raises(InputError, match=r"needs\.tokenizer, .* is not finished \(not begun\)"):
        open_run(run)


def test_a_teacher_that_was_trained_again_is_another(tiny):
    config = tiny(REFLOW, *SHORT, "trainer.log_every=16")
    train(config.needs["teacher"])
    with pytest.raises(Stopped):
        train(config, cut_at(32))
    teacher = Run(Path(config.needs["teacher"].resolved["run_dir"]))
    shutil.rmtree(teacher.path)
    with pytest.raises(InputError, match=r"is not finished \(not begun\)"):
        train(config)
    train(config.needs["teacher"])
    run = Run(Path(config.resolved["run_dir"]))
    state = run.state()
    state["needs"]["teacher"]["weights_hash"] = "0" * 64
    run.write_state(**state)
    with pytest.raises(InputError, match=r"was begun with other weights of needs\.teacher"):
        train(config)


def test_a_folder_of_a_run_with_a_teacher_is_refused_to_one_without(tiny):
    config = tiny(REFLOW, *SHORT, "trainer.log_every=16")
    train(config.needs["teacher"])
    with pytest.raises(Stopped):
        train(config, cut_at(32))
    place = [f"run_dir={config.resolved['run_dir']}", "wandb.mode=disabled"]
    alone = load_config(
        REFLOW, [*place, "budget.images=64", "model.reflow=0", "needs=null"], smoke=True
    )
    with pytest.raises(
        InputError, match=r"holds a run of another configuration: model\.reflow was"
    ):
        train(alone)


def test_a_student_of_labels_refuses_a_teacher_without_before_anything_is_written(tiny, tmp_path):
    recipe = load_yaml(find_config("digits/flow_matching")) | {
        "needs": {"teacher": "digits/flow_matching"}
    }
    (tmp_path / "student.yaml").write_text(yaml.safe_dump(recipe))
    config = tiny(
        str(tmp_path / "student.yaml"),
        "model.conditional=true",
        "model.reflow=1",
        "needs.teacher.budget.images=16",
    )
    train(config.needs["teacher"])
    with pytest.raises(
        InputError,
        match=r"the teacher is a model of p\(x\); --needs\.teacher\.model\.conditional=true",
    ):
        train(config)
    assert not Path(config.resolved["run_dir"]).exists()


@pytest.mark.slow
def test_the_paths_of_reflow_are_straighter_than_those_of_its_teacher(tiny, tmp_path, capsys):
    """Where few steps of Euler end, against where the curve ends: mean squared distances on points of the plane."""
    given = [f"{need}{key}" for need in ("", "needs.teacher.") for key in
             ("budget.images=60_000", "model.net.width=64", "optimization.ema_half_life=5_000", "wandb.mode=disabled")]  # fmt: skip
    places = [f"run_dir={tmp_path / 'reflow'}", f"needs.teacher.run_dir={tmp_path / 'teacher'}"]
    config = load_config(REFLOW, [*given, *places, "model.reflow=5"])
    models = [open_run(train(one)).model for one in (config.needs["teacher"], config)]
    x_0 = Rng(0, range(2_000)).normal((1, 1, 2))
    for steps in (1, 2, 4):
        errors = []
        for model in models:
            *_, end = model.trajectory(x_0, steps=40)
            *_, few = model.trajectory(x_0, solver="euler", steps=steps)
            errors.append(float(((few - end) ** 2).mean()))
        with capsys.disabled():
            print(
                f"\n{steps} steps of Euler: teacher off by {errors[0]:.4f}, reflow by {errors[1]:.4f}",
                end="",
            )
        assert errors[1] < errors[0] / 3


# --- suites -------------------------------------------------------------------------------------------------------------------


def suite_file(folder: Path, entries: str, seeds: str = "[0]") -> Path:
    path = folder / "tiny.yaml"
    rough = "evaluations.heun20: {sample: {solver: euler, steps: 2}, log_prob: {solver: euler, steps: 2}}"
    small = "budget.images: 48, data.batch_size: 16, data.levels: 16, model.net.width: 4"
    overrides = f"{{wandb.mode: disabled, trainer.curve_images: 0, {small}, {rough}}}"
    path.write_text(
        f"out: {folder / 'out'}\nseeds: {seeds}\noverrides: {overrides}\nentries: {entries}\n"
    )
    return path


ENTRY = "{config: points2d/reflow, evaluations: [heun20], overrides: {model.reflow: 1}}"


def chain(folder: Path) -> str:
    """An entry of a reflow of a reflow."""
    tree = json.loads(json.dumps(load_config(REFLOW).resolved))
    for key in ("run_dir", "seed"):
        del tree[key]
    (folder / "again.yaml").write_text(yaml.safe_dump({**tree, "needs": {"teacher": REFLOW}}))
    return f"{{config: {folder / 'again.yaml'}, evaluations: [heun20]}}"


def test_a_suite_trains_what_its_runs_need_first_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.evaluation.evaluate.measure_speed", lambda *_, **__: SPEED)
    suite = load_suite(suite_file(tmp_path, f"[{ENTRY}]"))
    said = Lines()
    bench(suite, said)
    assert said.steps == 4  # teacher, reflow, its evaluation, tables
    (record,) = (record for record in records_in(suite.out) if record.model != "noise-floor")
    teacher = suite.runs / "points2d" / "flow_matching" / "s0"
    assert record.needs["teacher"].weights_hash == Run(teacher).state()["weights_hash"]
    assert (
        Run(teacher).config().resolved["model"]["net"]["width"] == 4
    )  # by the overrides for every run
    shutil.rmtree(teacher)
    again = Lines()
    bench(suite, again)
    assert again.steps == 1 and not teacher.exists()  # nothing lacks it


SPEED = {"images_per_second": 1.0, "batch": 1, "latency_seconds": 1.0, "network_evaluations": 1, "repeats": 1,
         "peak_memory_bytes": 1, "device": "-"}  # fmt: skip


def order(suite) -> list[tuple[str, int, bool]]:
    return [
        (plan.config.name, plan.config.seed, bool(plan.variants))
        for plan in lacking(plan_suite(suite, "cpu"))
    ]


def test_needed_runs_come_first_whatever_the_order_of_the_entries(tmp_path):
    again = chain(tmp_path)
    suite = load_suite(
        suite_file(tmp_path, f"[{again}, {{config: {TEACHER}, overrides: {{model.net.depth: 1}}}}]")
    )
    assert order(suite) == [("flow_matching", 0, True), ("reflow", 0, False), ("again", 0, True)]
    (first, _, last) = plan_suite(suite, "cpu")
    deepest = last.config.needs["teacher"].needs["teacher"]
    assert (
        deepest.resolved == first.config.resolved and deepest.resolved["model"]["net"]["depth"] == 1
    )


def test_a_suite_that_would_train_two_teachers_in_one_folder_is_refused(tmp_path):
    entry = ENTRY.replace("model.reflow: 1", "needs.teacher.model.net.depth: 2")
    with pytest.raises(
        InputError,
        match=r"needs another points2d/flow_matching seed 0 as its teacher.*depth was 4, is now 2",
    ):
        plan_suite(load_suite(suite_file(tmp_path, f"[{{config: {TEACHER}}}, {entry}]")), "cpu")


def test_what_needs_a_run_that_diverged_is_named_and_the_suite_goes_on(tmp_path, capsys):
    bad = f"{{config: {TEACHER}, overrides: {{model.optimizer.lr: 1e30, optimization.clip_norm: null}}}}"
    suite = load_suite(suite_file(tmp_path, f"[{bad}, {ENTRY}]"))
    for steps in (5, 1):  # final: a second time nothing is tried
        said = Lines()
        bench(suite, said)
        line = "not evaluated: points2d/reflow seed 0: points2d/flow_matching seed 0, which it needs, diverged"
        assert line in capsys.readouterr().err and said.steps == steps
    first, *others = submit(suite, load_cluster("default"), dry_run=True)
    assert "0 to submit" in first and others[0] == line and "genbench table" in others[1]
    assert {record.model: record.status for record in records_in(suite.out)} == {
        "flow_matching": "diverged",
        "noise-floor": "done",
    }


def test_a_need_of_two_names_is_counted_once():
    teacher = Need("c", "w", images_seen=1_000, train_seconds=10.0)
    other = Need("d", "v", images_seen=200, train_seconds=2.0)
    (record,) = make(fid=(1.0,))
    needing = dataclasses.replace(
        record, needs={"teacher": teacher, "critic": other, "critic.teacher": teacher}
    )
    assert needing.images_in_all == record.cost.images_seen + 1_200
    assert needing.seconds_in_all == record.cost.train_seconds + 12
