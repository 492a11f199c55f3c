"""Evaluation: one run, one record; the numbers mean what they say."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import genbench
from genbench.cli.main import main
from genbench.config.check import check_config
from genbench.config.protocol import load_protocol, protocol_file
from genbench.config.recipe import load_config
from genbench.data.digits import Digits
from genbench.data.points2d import Points2d
from genbench.errors import GenbenchError, InputError
from genbench.evaluation import draw as drawing
from genbench.evaluation import evaluate as evaluation
from genbench.evaluation.draw import draw
from genbench.evaluation.evaluate import evaluate, record_divergence
from genbench.evaluation.noise_floor import noise_floor
from genbench.evaluation.resolve import resolve_protocol, resolve_run, row_hash
from genbench.metrics.extractor import load_extractor
from genbench.metrics.frechet import frechet_distance, moments
from genbench.records.contents import FOREIGN
from genbench.records.parts import Cost
from genbench.records.record import Record
from genbench.records.store import records_in, write_record
from genbench.runs.build import Loaded, open_run
from genbench.runs.folder import Run
from genbench.training.train import train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tiny):
    return train(tiny("digits/vae", "budget.images=160"))


def test_a_record_says_what_was_measured(run, tmp_path):
    path = evaluate(run, "mean", tmp_path)
    record = Record.from_json(path.read_text())
    assert (record.model, record.variant, record.family, record.seed, record.status) == (
        "vae",
        "mean",
        "vae",
        0,
        "done",
    )
    assert record.protocol.generated_images == record.protocol.reference_images == 719
    assert record.sample_options == {"decoder": "mean"}
    assert record.likelihood.kind == "bound"
    assert math.isclose(
        sum(record.likelihood.terms.values()), record.likelihood.bits_per_dim, rel_tol=1e-9
    )
    assert record.speed.network_evaluations == 1
    assert record.cost.images_seen == 160
    # a model of p(x) names no classes
    assert set(record.metrics) == set(load_protocol("digits").metrics) - {"accuracy"}
    assert "root" not in record.provenance.config["data"]
    assert str(tmp_path) not in path.read_text()
    before = path.read_bytes()
    evaluate(run, "mean", tmp_path)
    assert path.read_bytes() == before  # immutable
    assert (tmp_path / "pictures" / "digits" / f"{path.stem}.png").exists()


def test_a_command_reads_everything_once_for_all_variants(tiny, tmp_path, monkeypatch):
    """Extractor, data, model, weights and records of the row: read once, not once per variant."""
    run = train(tiny("digits/vae", "budget.images=160", "evaluations.k2.log_prob.K=2"))
    speed = {"images_per_second": 1.0, "batch": 1, "latency_seconds": 1.0, "repeats": 1}
    monkeypatch.setattr(
        evaluation,
        "measure_speed",
        lambda *_, **__: {**speed, "network_evaluations": 1, "peak_memory_bytes": 1, "device": "-"},
    )
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        module, _, function = name.rpartition(".")
        real = getattr(importlib.import_module(module), function)

        def noted(*arguments, **options):
            counted[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(name, noted)

    once = (
        "genbench.evaluation.resolve.load_extractor",
        "genbench.evaluation.resolve.load_protocol",
        "genbench.evaluation.resolve.reference_of",
        "genbench.evaluation.resolve.row_hash",
        "genbench.evaluation.evaluate.open_run",
        "genbench.runs.build.build_data",
        "genbench.runs.build.build_model",
        "genbench.runs.build.load_weights",
    )
    for name in (*once, "genbench.evaluation.evaluate.score_samples"):
        count(name)
    assert main(["evaluate", str(run.path), "--out", str(tmp_path / "out")]) == 0
    assert {record.variant for record in records_in(tmp_path / "out")} == {"", "mean", "k2"}
    assert counted == {
        **dict.fromkeys(once, 1),
        "genbench.evaluation.evaluate.score_samples": 3,
    }


def test_its_numbers_are_those_of_the_model(run, tmp_path):
    record = Record.from_json(evaluate(run, "default", tmp_path).read_text())
    model, data, extractor = genbench.load(run.path), Digits(), load_extractor("digits")
    with torch.no_grad():
        seed = load_protocol("digits").seed_of(0)
        images = torch.cat([x for _, x in draw(open_run(run.path), 719, seed, 256, {}, "cpu")])
        test, _ = data.tensors("test")
        bits = -model.log_prob(test) / (64 * math.log(2))
    fid = frechet_distance(*moments(extractor(images)[0]), *moments(extractor(test)[0]))
    assert record.metrics["fid"].value == pytest.approx(fid, rel=1e-9)
    assert record.likelihood.images == len(test) == 719
    assert record.likelihood.stderr == pytest.approx(float(bits.std()) / math.sqrt(719), rel=0.2)
    # other noise, same mean: within the error that the record states
    assert abs(record.likelihood.bits_per_dim - float(bits.mean())) < 4 * record.likelihood.stderr


def test_every_training_is_evaluated_by_a_seed_of_its_own(run, tmp_path, monkeypatch):
    """The same weights as two trainings: all that is drawn differs, samples, noise in log_prob and halves for errors."""
    protocol = load_protocol("digits")
    seeds = {
        (e, s): replace(protocol, evaluation_seed=e).seed_of(s) for e in range(3) for s in range(50)
    }
    assert len(set(seeds.values())) == 150 and not set(seeds.values()) & set(range(50))
    assert seeds[0, 0] == 3639533564 and seeds[0, 1] == 3106893997
    drawn: dict[str, list] = {}
    measured_in = {"draw": drawing, "measure_likelihood": evaluation, "score_samples": evaluation}
    for name, module in measured_in.items():
        real = getattr(module, name)

        def noted(*arguments, name=name, real=real, **options):
            drawn.setdefault(name, []).append(arguments)
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, noted)
    records = {}
    for variant in ("default", "mean"):
        records[variant] = Record.from_json(evaluate(run, variant, tmp_path).read_text())
    assert {arguments[2] for arguments in drawn["draw"]} == {
        seeds[0, 0]
    }  # samplers of the same weights are compared in pairs
    assert {arguments[3].evaluation_seed for arguments in drawn["measure_likelihood"]} == {
        seeds[0, 0]
    }
    assert {arguments[1].protocol.evaluation_seed for arguments in drawn["score_samples"]} == {
        seeds[0, 0]
    }
    assert (
        records["default"].protocol.evaluated_by == "own seeds"
        and records["default"].protocol.evaluation_seed == 0
    )
    # the same weights under the name of another training
    loaded = open_run(run)
    config = replace(loaded.config, resolved={**loaded.config.resolved, "seed": 1})
    monkeypatch.setattr(evaluation, "open_run", lambda *_: loaded._replace(config=config))
    other = Record.from_json(evaluate(run.path, "default", tmp_path).read_text())
    assert other.seed == 1 and other.id == records["default"].id
    assert other.metrics["fid"].value != records["default"].metrics["fid"].value
    assert other.likelihood.nats != records["default"].likelihood.nats
    assert other.likelihood.nats == pytest.approx(records["default"].likelihood.nats, rel=0.02)


@pytest.mark.parametrize("chunk", [1, 50, 719])
def test_samples_do_not_depend_on_the_chunk(run, chunk):
    loaded = open_run(run.path)
    loaded.model.double()
    with torch.no_grad():
        whole = torch.cat([x for _, x in draw(loaded, 100, 0, 100, {}, "cpu")])
        parts = torch.cat([x for _, x in draw(loaded, 100, 0, chunk, {}, "cpu")])
    assert torch.equal(whole, parts)


def test_the_noise_floor_is_training_images_against_the_reference(tmp_path):
    paths = [noise_floor(Digits(), seed, tmp_path) for seed in (0, 1)]
    floors = [Record.from_json(path.read_text()).metrics["fid"].value for path in paths]
    assert 0 < min(floors) < max(floors) < 3
    assert {record.model for record in records_in(tmp_path)} == {"noise-floor"}


def test_points_are_measured_against_the_exact_table(tiny, tmp_path, double):
    config = tiny(
        "points2d/made", "data.levels=16", "budget.images=16000", "model.optimizer.lr=0.01"
    )
    run = train(config)
    record = Record.from_json(evaluate(run, "default", tmp_path).read_text())
    data, model = Points2d(levels=16), genbench.load(run.path)
    x = (
        torch.cartesian_prod(torch.arange(16), torch.arange(16))
        .to(torch.uint8)
        .reshape(-1, 1, 1, 2)
    )
    p, log_q = data.table.ravel(), model.log_prob(x).detach().numpy()
    kl = float((p * (np.log(np.where(p > 0, p, 1)) - log_q)).sum())
    assert record.metrics["kl"].value == pytest.approx(kl, abs=1e-9)
    assert 0 <= kl < 1
    cross_entropy = record.likelihood.nats
    assert cross_entropy == pytest.approx(data.entropy + kl, abs=0.1)


def test_a_diverged_run_has_a_record_that_says_so(tiny, tmp_path):
    from genbench.errors import Diverged

    config = tiny("digits/vae", "model.optimizer.lr=1e30", "optimization.clip_norm=null")
    with pytest.raises(Diverged):
        train(config)
    path, _ = record_divergence(Run(tmp_path / "run"), tmp_path)
    record = Record.from_json(path.read_text())
    assert record.status == "diverged"
    assert record.diverged_at is not None
    assert not record.metrics


def test_a_probability_that_is_not_finite_names_its_image(run, tmp_path, monkeypatch):
    from genbench.models.vae.vae import VAE

    real = VAE.terms

    def broken(self, x, y=None, rng=None, K=1):
        terms = real(self, x, y, rng, K)
        return {
            **terms,
            "kl": torch.where(
                (x == Digits().tensors("test")[0][300]).flatten(1).all(1), torch.inf, terms["kl"]
            ),
        }

    monkeypatch.setattr(VAE, "terms", broken)
    with pytest.raises(GenbenchError, match="test image 300 is -inf"):
        evaluate(run, "default", tmp_path)
    assert not (tmp_path / "records").exists()


def test_bad_input_is_named(run, tmp_path):
    with pytest.raises(InputError, match="did you mean 'mean'"):
        evaluate(run, "maen", tmp_path)
    with pytest.raises(InputError, match="no run in"):
        evaluate(tmp_path / "nowhere", "default", tmp_path)
    run.weights.write_bytes(run.weights.read_bytes()[:-50])
    with pytest.raises(InputError, match="is not what training wrote"):
        evaluate(run, "default", tmp_path)
    run.write_state(**{**run.state(), "status": "stopped"})
    with pytest.raises(InputError, match="is not finished"):
        open_run(run.path)


def test_a_loaded_model_works_as_in_the_contract(run):
    from genbench.rng import Rng

    model = genbench.load(run.path)
    images = model.sample(Rng(0, range(3)))
    assert images.dtype == torch.uint8
    assert model.log_prob(images).shape == (3,)
    assert not model.training


def test_other_options_are_another_record(tiny, tmp_path):
    run = train(tiny("digits/vae", "budget.images=160"))
    first = evaluate(run, "mean", tmp_path)
    run = train(tiny("digits/vae", "budget.images=160", "evaluations.mean.sample.decoder=sample"))
    second = evaluate(run, "mean", tmp_path)
    assert first != second
    assert Record.from_json(second.read_text()).sample_options == {"decoder": "sample"}


def test_no_inception_score_without_class_scores(monkeypatch):
    silent = replace(load_extractor("digits"), classes=0)
    monkeypatch.setattr("genbench.evaluation.resolve.load_extractor", lambda *_, **__: silent)
    with pytest.raises(
        InputError, match="measures is, which needs class scores; extractor digits has none"
    ):
        resolve_protocol(load_protocol("digits"), Digits())
    resolved = resolve_protocol(replace(load_protocol("digits"), metrics=("fid",)), Digits())
    assert resolved.identity.extractor_hash == silent.hash


def test_a_protocol_that_does_not_fit_the_data_is_refused(tiny, tmp_path):
    run = train(tiny("digits/vae", "budget.images=160", "protocol=points2d"))
    with pytest.raises(InputError, match="which needs points2d; not digits"):
        evaluate(run, "mean", tmp_path)


@pytest.mark.parametrize(
    "net",
    [(), ("class_path=genbench.nets.resnet.ResNet", "width=4", "blocks=1")],
    ids=["uniform", "variational"],
)
def test_dequantised_densities_say_so(net, tiny, tmp_path, request):
    config = tiny(
        "digits/realnvp", "budget.images=160", *(f"model.dequantiser.{setting}" for setting in net)
    )
    record = Record.from_json(evaluate(train(config), "default", tmp_path).read_text())
    kind = request.node.callspec.id
    assert (record.likelihood.kind, record.likelihood.dequantisation) == ("bound", kind)
    assert ("dequantiser" in record.likelihood.terms) == (kind == "variational")
    assert record.likelihood.network_evaluations == 1
    assert record.likelihood.defaults == {"K": 1}


def test_repeats_of_a_protocol_are_in_the_record(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "genbench.evaluation.resolve.load_protocol",
        lambda name: replace(load_protocol("digits"), repeats=3),
    )
    record = Record.from_json(evaluate(run, "default", tmp_path).read_text())
    assert record.protocol.repeats == record.likelihood.repeats == 3
    assert 0 < record.likelihood.repeat_error < record.likelihood.stderr
    assert record.protocol.identity["repeats"] == 3


def test_an_argument_that_came_later_with_its_default_does_not_make_a_run_another_one(
    run, tmp_path
):
    new = evaluate(run, "default", tmp_path)
    record, tree = (
        Record.from_json(new.read_text()),
        json.loads(new.read_text())["provenance"]["config"],
    )
    del tree["model"][
        "conditional"
    ]  # as a version would have written it that did not know the argument
    older = dataclasses.replace(
        record, provenance=dataclasses.replace(record.provenance, config=tree, config_hash="0" * 64)
    )
    new.unlink()
    assert expected_record(run, tmp_path) == new
    path = write_record(tmp_path, older)
    assert path != new
    assert expected_record(run, tmp_path) == evaluate(run, "default", tmp_path) == path
    # with another value it is another run
    tree["model"]["beta"] = 2.0
    path.unlink()
    write_record(tmp_path, older)
    assert expected_record(run, tmp_path) == new


def test_a_row_keeps_the_hash_of_its_first_record(tmp_path):
    """Two records of one configuration under two hashes; images of another tool under its name, and
    another model whose name begins with it."""
    path = min((ROOT / "leaderboards" / "records" / "digits").glob("vae-s0-*.json"))
    record = Record.from_json(path.read_text())
    config = check_config(record.provenance.config, "vae", (), "record")

    def write(record, digit, year):
        provenance = replace(record.provenance, config_hash=64 * digit)
        time = f"{year}-01-01T00:00:00+00:00"
        write_record(tmp_path, replace(record, provenance=provenance, evaluated_at=time))

    loaded = Loaded(Run(tmp_path), config, Digits(), torch.nn.Module())
    assert row_hash(loaded, tmp_path) == config.hash
    write(record, "a", 2022)
    write(record, "f", 2021)
    foreign = replace(
        record, family=FOREIGN, density="-", likelihood=None, speed=None, cost=Cost(0, 0, 0.0, "-"),
        sample_options={}, sample_defaults={}, log_prob_options={},
        provenance=replace(record.provenance, config={"samples": 64 * "0"}, weights_hash=None),
    )  # fmt: skip
    write(foreign, "0", 2020)
    write(replace(record, model="vae-other"), "1", 2020)
    assert row_hash(loaded, tmp_path) == 64 * "f"


def expected_record(run, out):
    """Where the record of the default evaluation lies, whether it is there or not."""
    return resolve_run(open_run(run), out, ["default"]).targets[0].path


def test_one_scored_image_has_no_standard_error(run, tmp_path, monkeypatch):
    one = dataclasses.replace(load_protocol("digits"), scored_images=1)
    monkeypatch.setattr("genbench.evaluation.resolve.load_protocol", lambda name: one)
    likelihood = Record.from_json(evaluate(run, "default", tmp_path).read_text()).likelihood
    assert (likelihood.images, likelihood.stderr) == (1, None)


def test_a_tolerance_out_of_reach_is_one_line(tiny, tmp_path):
    """Where options are refused by what they compute, and not before training."""
    option = "evaluations.heun20={log_prob: {solver: dopri5, tolerance: 1e-30}}"
    impossible = ("points2d/flow_matching", "budget.images=160", option)
    message = "dopri5 does not reach tolerance 1e-30"
    with pytest.raises(InputError, match=rf"log_prob options .*: {message}"):
        train(tiny(*impossible, "trainer.preview_every=40", folder="preview"))
    run = train(tiny(*impossible))
    with pytest.raises(InputError, match=f"log_prob options: {message}"):
        evaluate(run, "heun20", tmp_path)


def test_a_conditional_model_is_scored_given_its_labels(tiny, tmp_path):
    record = Record.from_json(
        evaluate(
            train(tiny("points2d/made", "data.levels=16", "model.conditional=true")),
            "default",
            tmp_path,
        ).read_text()
    )
    assert record.likelihood.conditional
    data, model = Points2d(levels=16), genbench.load(tmp_path / "run")
    x, y = data.tensors("test")
    with torch.no_grad():
        assert record.likelihood.nats == pytest.approx(
            -float(model.log_prob(x, y).double().mean()), rel=1e-6
        )
        # the table is that of sum_y p(y) p(x | y)
        universe = (
            torch.cartesian_prod(torch.arange(16), torch.arange(16))
            .to(torch.uint8)
            .reshape(-1, 1, 1, 2)
        )
        frequency = torch.bincount(data.tensors("train")[1]) / 20_000
        q = sum(
            f * model.log_prob(universe, torch.full((256,), k)).double().exp()
            for k, f in enumerate(frequency)
        )
    p = torch.tensor(data.table.ravel())
    kl = float((p * (p.clamp(min=1e-300).log() - q.log())).sum())
    assert record.metrics["kl"].value == pytest.approx(kl, abs=1e-6)


def test_a_protocol_of_a_recipe_lies_beside_its_file(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "recipes", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
        (place / "mine.yaml").write_text(protocol_file("digits").read_text())
    (elsewhere / "other.yaml").write_text(protocol_file("digits").read_text())
    recipe = folder / "recipe.yaml"
    recipe.write_text("base: digits/vae\nprotocol: mine.yaml\n")
    (elsewhere / "built.yaml").write_text("base: ../recipes/recipe.yaml\n")
    monkeypatch.chdir(elsewhere)
    assert load_config(recipe).resolved["protocol"] == str(folder / "mine.yaml")
    assert load_config("built.yaml").resolved["protocol"] == str(folder / "mine.yaml")
    assert load_config(recipe, ["protocol=mine.yaml"]).resolved["protocol"] == str(
        elsewhere / "mine.yaml"
    )
    recipe.write_text("base: digits/vae\nprotocol: other.yaml\nsmoke: {protocol: mine.yaml}\n")
    assert load_config(recipe).resolved["protocol"] == str(elsewhere / "other.yaml")
    assert load_config(recipe, smoke=True).resolved["protocol"] == str(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("text", "arrays", "says"),
    [
        ("metrics: [energy_distance]", None, "measures energy_distance, which needs points2d; not"),
        ("metrics: [fid]\nextractor: digits\nstatistics: x.npz", None, "no statistics file"),
        (
            "metrics: [fid]\nextractor: digits\nstatistics: x.npz",
            {"mu": np.zeros(32)},
            "not an .npz file with the arrays mu and sigma",
        ),
        (
            "metrics: [fid]\nextractor: digits\nstatistics: x.npz",
            {"mu": np.zeros(3), "sigma": np.eye(3)},
            "is about 3 features; extractor digits has 32",
        ),
        ("metrics: [fid]\nextractor: mnist", None, "extractor mnist sees images of (1, 28, 28)"),
        ("metrics: [is]\nextractor: dinov2", None, "extractor dinov2 has none"),
    ],
    ids=["energy", "no file", "no sigma", "other features", "shape", "no scores"],
)
def test_a_protocol_that_can_never_measure_a_run_is_found_before_training(
    text, arrays, says, tmp_path, capsys
):
    protocol = tmp_path / "p.yaml"
    protocol.write_text(f"images: 40\n{text}\n")
    if arrays is not None:
        (tmp_path / "data" / "statistics").mkdir(parents=True)
        np.savez(tmp_path / "data" / "statistics" / "x.npz", **arrays)
    before = sorted(tmp_path.rglob("*"))
    given = ("-c", "digits/vae", "--smoke", f"--data.root={tmp_path / 'data'}")
    placed = (f"--run_dir={tmp_path / 'run'}", f"--protocol={protocol}")
    assert main(["train", *given, *placed]) == 2
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_protocol_by_path(tiny, tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text(protocol_file("digits").read_text().replace("images: 719", "images: 40"))
    monkeypatch.chdir(tmp_path)
    config = tiny("digits/vae", "protocol=mine.yaml")
    assert config.resolved["protocol"] == str(path)
    protocol = load_protocol(config.resolved["protocol"])
    assert (protocol.name, protocol.images) == ("mine", 40)
    assert dataclasses.replace(protocol, name="digits", images=719) == load_protocol("digits")
    for name, says in (("other.yaml", "no protocol file"), ("digit", "did you mean 'digits'?")):
        with pytest.raises(InputError, match=says):
            load_protocol(name)
    (tmp_path / "a b.yaml").write_text(path.read_text())
    with pytest.raises(InputError, match="names boards"):
        load_protocol("a b.yaml")
