"""Configurations: every shipped one is valid, and bad input gets one line that says what would be right."""

from __future__ import annotations

import copy
import dataclasses
import json
import re

import pytest
import yaml
from conftest import CONFIGS

from genbench.config.annotations import GROUPS
from genbench.config.check import check_config
from genbench.config.config import Config
from genbench.config.find import configs, find_config
from genbench.config.former import NEUTRAL
from genbench.config.keys import changes
from genbench.config.recipe import load_config
from genbench.config.tree import leaves_of, set_key
from genbench.errors import InputError
from genbench.runs.build import build
from genbench.suites.suite import load_suite
from genbench.system.yaml12 import dump_yaml

RECIPE = "digits/vae"


def complaint(*overrides: str, name: str = RECIPE) -> str:
    with pytest.raises(InputError) as error:
        build(load_config(name, overrides))
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bijection", "nets.mlp.MLP", "is no Bijection; "),
        ("bijection.net", "nets.bijections.nice.NICE", "is no network; "),
        ("bijection.net", "model.GenerativeModel", "is no network; "),
        ("optimizer", "nets.mlp.MLP", "is no optimizer; "),
        ("dequantiser", "nets.bijections.nice.NICE", "is no network; "),
        ("bijection", "nets.bijections.nice.NICEE", "mean 'genbench.nets.bijections.nice.NICE'?"),
    ],
)
def test_a_key_takes_the_kind_of_class_that_its_annotation_asks_for(key, value, message):
    line = complaint(f"model.{key}.class_path=genbench.{value}", name="digits/nice")
    assert message in line and f"model.{key}.class_path names 'genbench.{value}'" in line


@pytest.mark.parametrize(
    ("override", "right"),
    [
        ("game=hinge", "genbench.models.gan.games.Wasserstein"),
        ("generator=MLP", "genbench.nets.mlp.MLP"),
        ("optimizer=adam", "torch.optim.Adam"),
    ],
)
def test_a_word_where_a_class_is_asked_for_is_answered_with_the_classes(override, right):
    line = complaint(f"model.{override}", name="digits/gan")
    key, _, word = override.partition("=")
    assert f"model.{key} names a class, and {word!r} is none; " in line and right in line


@pytest.mark.parametrize("name", CONFIGS)
def test_recipes_resolve_and_their_resolved_form_resolves_to_itself(name):
    config = load_config(name)
    again = check_config(yaml.safe_load(yaml.safe_dump(config.resolved)), config.name, (), "again")
    assert again.resolved == config.resolved
    assert again.hash == config.hash
    assert not changes(config.resolved, again.resolved)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("budget.imagse=3", "unknown key budget.imagse; did you mean 'images'?"),
        ("sed=3", "unknown key sed; did you mean 'seed'?"),
        ("model.latnt=3", "unknown key model.latnt; did you mean 'latent'?"),
        ("model.encoder.wdth=3", "unknown key model.encoder.wdth; did you mean 'width'?"),
        ("model.spec=3", "unknown key spec"),
        ("data.batch_sz=3", "unknown key data.batch_sz; did you mean 'batch_size'?"),
        (
            "evaluations.mean.smaple={}",
            "unknown key evaluations.mean.smaple; did you mean 'sample'?",
        ),
        ("model.latent=abc", "model.latent is the text 'abc'; right is a whole number"),
        ("model.optimizer.lr=fast", "model.optimizer.lr is the text 'fast'; right is a number"),
        (
            "model.likelihood_model=no-such-word",
            "model.likelihood_model is no-such-word; right is one of 'logistic', 'gaussian', 'bernoulli'",
        ),
        ("model.latent=0", "latent is at least 1, not 0"),
        ("budget.images=-1", "budget.images is at least 0, not -1"),
        ("data.batch_size=0", "data.batch_size is at least 1, not 0"),
        ("optimization.clip_norm=-1", "optimization.clip_norm is positive, not -1"),
        ("seed=-1", "seed is at least 0 and below 2^63, not -1"),
        ("seed=99999999999999999999", "seed is at least 0 and below 2^63"),
        ("model.beta=.nan", "model.beta is nan, not a finite number"),
        ("name=a/b", "the name 'a/b' is part of a file name"),
        ("evaluations.x@y={}", "the name 'x@y' is part of a file name"),
        (
            "evaluations.mean.sample.decoder=nonsense",
            "evaluations.mean.sample.decoder is nonsense; right is one of 'sample', 'mean'",
        ),
        ("evaluations.mean.log_prob.Q=2", "unknown option Q; choose from: K"),
        (
            "evaluations.mean.log_prob.K=two",
            "evaluations.mean.log_prob.K is the text 'two'; right is a whole number",
        ),
        ("budget=", "--budget is empty: write --budget=VALUE"),
        ("budget=null", "budget is a group of settings: images"),
        ("model.optimizer.lr=-1", "model.optimizer: Invalid learning rate: -1"),
        ("model.optimizer.betas=[2, 3]", "model.optimizer: Invalid beta parameter"),
        ("model.encoder.width=0", "model.encoder: width is at least 1, not 0"),
        ("model.encoder.stages=4", "stages = 4 does not fit images of 8 x 8"),
        ("model.likelihood_model=bernoulli", "bernoulli needs data of 2 levels, not 17"),
        (
            "model.class_path=genbench.models.vae.vae.VEA",
            "did you mean 'genbench.models.vae.vae.VAE'?",
        ),
        (
            "data.class_path=genbench.data.digits.Digit",
            "did you mean 'genbench.data.digits.Digits'?",
        ),
        (
            "model.encoder.class_path=genbench.nets.conv.ConvEncodr",
            "did you mean 'genbench.nets.conv.ConvEncoder'?",
        ),
        ("model.class_path=os.system", "outside the trusted modules (genbench, torch.optim)"),
        ("model.encoder=os.system", "outside the trusted modules"),
        ("model.encoder.norm=subprocess.run", "outside the trusted modules"),
        ("model=3", "model.class_path is missing"),
        ("model.encoder=null", "genbench.models.vae.vae.VAE needs encoder"),
        ("budget", "override 'budget' has no value"),
        ("budget.images.more=3", "images is a value, not a group"),
    ],
)
def test_bad_values_get_one_line_that_says_what_would_be_right(override, says):
    assert says in complaint(override)


def test_nothing_untrusted_is_imported(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n\nclass Net: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "--trust trap" in complaint("model.encoder.class_path=trap.Net")
    assert "--trust trap" in complaint("model.encoder=trap.Net")
    assert "outside" in complaint("model.encoder.class_path=genbenchmark.Net")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no settings"),
        ("data: {class_path: genbench.data.digits.Digits", "is not YAML"),
        ("just text", "holds no settings"),
        ("data: {}\nmodel: {}", "data.class_path is missing"),
        ("\x00\x01", "is not YAML"),
    ],
)
def test_bad_files_are_named(tmp_path, content, says):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    line = complaint(name=str(path))
    assert says in line
    assert str(path) in line


def test_a_missing_recipe_suggests_the_nearest():
    assert "did you mean 'digits/vae'?" in complaint(name="digits/vea")
    assert set(configs()) == set(CONFIGS)


def test_small_floats_are_numbers_and_overrides_are_yaml():
    config = load_config(
        RECIPE,
        [
            "model.optimizer.lr=1e-5",
            "wandb.tags=[a, b]",
            "optimization.clip_norm=null",
            "budget.images=1_000",
        ],
    )
    assert config.resolved["model"]["optimizer"]["lr"] == 1e-5
    assert config.wandb.tags == ["a", "b"]
    assert config.optimization.clip_norm is None
    assert config.budget.images == 1000


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("seed", "010", 10),
        ("data.batch_size", "064", 64),
        ("run_dir", "runs/try #2", "runs/try #2"),
        ("run_dir", "2026-11-28", "2026-11-28"),
        ("run_dir", "[a", "[a"),
        ("run_dir", "a: b", "a: b"),
        ("run_dir", "null", None),
        ("data.root", "010", "010"),
        ("wandb.project", "2026", "2026"),
        ("wandb.project", "null", "null"),
        ("wandb.group", "null", None),
        ("wandb.mode", "disabled", "disabled"),
        ("wandb.tags", "[010, on, 1e3]", ["010", "on", "1e3"]),
        ("evaluations.mean.sample.decoder", "sample", "sample"),
        ("evaluations.50.sample.decoder", "mean", "mean"),
    ],
)
def test_a_text_is_taken_letter_by_letter_in_an_option_and_in_a_file(key, text, expected, tmp_path):
    tree = load_config(RECIPE, [f"{key}={text}"]).resolved
    for part in key.split("."):
        tree = tree[part]
    assert tree == expected


@pytest.mark.parametrize("name", ["010", "on", "1e3", "true", "2026-11-28", "0x1F", "1_000"])
def test_a_name_is_a_text(name, tmp_path):
    assert load_config(RECIPE, [f"name={name}"]).name == name
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: {name}\nwandb: {{project: {name}, tags: [{name}]}}\n{find_config(RECIPE).read_text()}"
    )
    config = load_config(path)
    assert (config.name, config.wandb.project, config.wandb.tags) == (name, name, [name])
    (tmp_path / "again.yaml").write_text(dump_yaml({"name": config.name, **config.resolved}))
    again = load_config(tmp_path / "again.yaml")
    assert (again.name, again.resolved) == (name, config.resolved)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=null", "seed is null; right is a whole number"),
        ("seed=1e3", "seed is 1e3; right is a whole number"),
        ("seed=true", "seed is true; right is a whole number"),
        ("budget.images=1.5", "budget.images is 1.5; right is a whole number"),
        ("trainer.compile=1", "trainer.compile is 1; right is true or false"),
        ("model.latent=2.0", "model.latent is 2.0; right is a whole number"),
        ("model.beta=true", "model.beta is true; right is a number"),
        ("evaluations.mean.log_prob.K=2.5", "log_prob.K is 2.5; right is a whole number"),
        ("seed=", "--seed is empty: write --seed=VALUE"),
        ("seed=1:30", "seed is the text '1:30'; right is a whole number"),
        ("seed='10'", "seed is the text '10'; right is a whole number"),
        ("budget.images=null", "budget.images is null; right is a whole number"),
        ("data.batch_size=null", "data.batch_size is null; right is a whole number"),
        ("trainer.compile=yes", "trainer.compile is the text 'yes'; right is true or false"),
        (
            "trainer.accelerator=null",
            "trainer.accelerator is null; right is one of 'auto', 'cpu', 'cuda', 'mps'",
        ),
        ("wandb.tags=null", "wandb.tags is null; right is a list"),
        ("wandb.tags=[a, null]", "wandb.tags is null; right is a text"),
        ("model.latent=null", "model.latent is null; right is a whole number"),
        ("model.beta='1'", "model.beta is the text '1'; right is a number"),
        ("model.conditional=null", "model.conditional is null; right is true or false"),
        ("model.encoder.width=null", "model.encoder.width is null; right is a whole number"),
        ("model.optimizer.lr=null", "model.optimizer.lr is null; right is a number"),
        (
            "model.optimizer.betas=(0.5, 0.9)",
            "model.optimizer.betas is the text '(0.5, 0.9)'; right is a list such as [0.5, 0.9]",
        ),
        (
            "optimization.clip_norm='null'",
            "optimization.clip_norm is the text 'null'; right is a number or null",
        ),
        (
            "evaluations.mean.log_prob.K=null",
            "evaluations.mean.log_prob.K is null; right is a whole number",
        ),
        ("evaluations.mean=3", "evaluations maps names of rows to their options"),
        ("evaluations=null", "evaluations.NAME: null leaves one out"),
    ],
)
def test_null_and_texts_where_there_is_none_are_refused(override, says):
    assert says in complaint(override)


@pytest.mark.parametrize("name", ["digits/vae", "points2d/wgan-gp", "cifar10/ddpm"])
def test_no_key_takes_null_in_silence_unless_its_type_has_it(name):
    config = load_config(name)
    keys = [
        key
        for key, value in leaves_of(config.resolved)
        if value is not None and not key.startswith("needs.")
    ]
    for key in keys:
        tree = json.loads(json.dumps(config.resolved))
        set_key(tree, key, None)
        try:
            changed = dict(leaves_of(check_config(tree, config.name, (), "here").resolved))
        except InputError as error:
            assert "\n" not in str(error)
            continue
        nullable = (
            "run_dir",
            "protocol",
            "clip_norm",
            "_every",
            "root",
            "entity",
            "group",
            "foreach",
            "fused",
        )
        # an evaluation that is null is left out, and so are all
        assert (
            changed.get(key) is None if key.endswith(nullable) else key.startswith("evaluations")
        ), key


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["seed=1", "seed=2"], "--seed is given twice"),
        (["seed=1", "model.latent=3", "seed=1"], "--seed is given twice"),
        (
            ["optimization.clip_norm=1", "optimization={ema_half_life: 3}"],
            "--optimization would replace optimization.clip_norm",
        ),
    ],
)
def test_no_override_is_lost_to_a_later_one(overrides, says):
    assert says in complaint(*overrides)
    assert (
        load_config(
            RECIPE, ["optimization={ema_half_life: 3}", "optimization.clip_norm=1"]
        ).optimization.ema_half_life
        == 3
    )


def test_the_home_folder_is_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(RECIPE, ["run_dir=~/runs/a b", "data.root=~"])
    assert config.resolved["run_dir"] == f"{tmp_path}/runs/a b"
    assert config.resolved["data"]["root"] == str(tmp_path)
    assert "write the whole path" in complaint("run_dir=~nobody-of-this-name/runs")


def test_a_suite_is_read_like_a_recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "suite.yaml"
    path.write_text(
        "out: ~/out\nruns: 010\nseeds: [010]\noverrides: {wandb.project: 2026, budget.images: 0640}\n"
        "entries:\n  - {config: digits/vae, evaluations: [50], overrides: {name: 1e3, evaluations.50: {sample: {decoder: mean}}}}\n"
    )
    suite = load_suite(path)
    ((config, variants),) = suite.pairs()
    assert suite.out == tmp_path / "out"
    assert suite.runs.name == "010"
    assert (config.seed, config.budget.images, config.wandb.project) == (10, 640, "2026")
    assert (config.name, variants) == ("1e3", ("50",))


def test_the_hash_is_of_what_decides_the_weights():
    base = load_config(RECIPE)
    for free in (
        "seed=7",
        "run_dir=elsewhere",
        "wandb.project=x",
        "trainer.devices=2",
        "data.root=elsewhere",
    ):
        assert load_config(RECIPE, [free]).hash == base.hash
    for bound in (
        "model.latent=7",
        "budget.images=7",
        "data.batch_size=7",
        "trainer.precision=bf16-mixed",
        "model.optimizer.lr=7",
    ):
        assert load_config(RECIPE, [bound]).hash != base.hash


def test_what_may_change_on_an_existing_run():
    base = load_config(RECIPE).resolved
    for allowed in (
        "wandb.project=x",
        "trainer.devices=2",
        "data.root=elsewhere",
        "budget.images=10_000_000",
    ):
        assert not changes(base, load_config(RECIPE, [allowed]).resolved)
    for refused in ("model.latent=7", "budget.images=7", "seed=5", "trainer.compile=true"):
        assert len(changes(base, load_config(RECIPE, [refused]).resolved)) == 1


# where a run computes, who watches, what is measured of it afterwards: nothing else may change on an existing run
MAY_CHANGE = {
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.accumulate",
    "trainer.curve_images", "wandb.mode", "wandb.project", "wandb.entity", "wandb.group", "wandb.tags",
    "data.root", "run_dir", "protocol",
}  # fmt: skip


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def with_another(tree, key):
    """A copy of a tree in which one value is another."""
    changed = copy.deepcopy(tree)
    *path, last = key.split(".")
    node = changed
    for part in path:
        node = node[part]
    node[last] = "another" if node[last] != "another" else "yet another"
    return changed


def without(tree, key):
    """A copy of a tree that lacks a key."""
    changed = copy.deepcopy(tree)
    *path, last = key.split(".")
    node = changed
    for part in path:
        node = node[part]
    del node[last]
    return changed


def test_what_may_change_of_the_settings_is_among_them():
    settings = {
        f"{group}.{field.name}"
        for group, kind in GROUPS.items()
        for field in dataclasses.fields(kind)
    }
    assert settings - set(NEUTRAL) <= set(leaves(load_config(RECIPE).resolved))
    assert {key for key in MAY_CHANGE if key.partition(".")[0] in GROUPS} <= settings


@pytest.mark.parametrize("name", ["digits/vae", "mnist/ddpm", "points2d/reflow"])
def test_every_key_that_decides_the_weights_is_refused_on_resume_and_changes_the_hash(name):
    config = load_config(name)
    found = [
        key for key in leaves(config.resolved) if not re.match(r"(needs\.\w+\.)?evaluations", key)
    ]
    assert len(found) > 25
    for key in found:
        own = re.sub(r"^needs\.\w+\.", "", key)
        other = with_another(config.resolved, key)
        if own in MAY_CHANGE or own == "recipe":
            assert not changes(config.resolved, other), key
            assert Config(name, other).hash == config.hash, key
        else:
            assert len(changes(config.resolved, other)) == 1, key
            assert (Config(name, other).hash != config.hash) == (own != "seed"), key
        absent = without(config.resolved, key)
        assert bool(changes(config.resolved, absent)) == (
            own not in MAY_CHANGE and own != "recipe"
        ), key


def test_a_wrong_option_is_not_blamed_on_the_file_alone(tmp_path):
    with pytest.raises(
        InputError,
        match=r"vae\.yaml with the options given: unknown key model\.latnt; did you mean 'latent'",
    ):
        load_config("digits/vae", ["model.latnt=3"])
    path = tmp_path / "wrong.yaml"
    path.write_text(find_config("digits/vae").read_text().replace("latent:", "latnt:"))
    with pytest.raises(InputError, match=r"wrong\.yaml: unknown key model\.latnt"):
        load_config(path)


@pytest.mark.parametrize(
    ("recipe", "word"), [("digits/gan", "non-saturating"), ("points2d/wgan-gp", "wasserstein")]
)
def test_former_words_are_the_same_configuration(recipe, word):
    """A run, a record or a file of a former version goes on being what it was."""
    config = load_config(recipe)
    former = copy.deepcopy(config.resolved)
    former["model"]["game"] = word
    same = check_config(former, config.name, (), recipe)
    assert same.hash == config.hash
    assert same.resolved == config.resolved
    assert load_config(recipe, [f"model.game={word}"]).hash == config.hash
    assert load_config(recipe, ["model.game=minimax"]).hash != config.hash


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "model.game.class_path=genbench.models.gan.games.LeastSquare",
            "did you mean 'genbench.models.gan.games.LeastSquares'",
        ),
        ("model.game.class_path=genbench.nets.mlp.MLP", "which is no Game"),
        ("model.generator.class_path=genbench.models.gan.games.KL", "which is no network;"),
    ],
)
def test_a_class_path_names_what_the_constructor_takes(override, says):
    assert says in complaint(override, name="digits/gan")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sampler=hein", r"sample\.sampler names a class, and 'hein' is none; .*Heun"),
        ("sampler={class_path: genbench.formulas.samplers.Hein}", "which does not exist; .*Heun"),
        ("sampler={class_path: genbench.nets.mlp.MLP}", "which is no Sampler; "),
        ("sampler={class_path: os.system}", r"outside the trusted modules .*Heun"),
        ("sampler={class_path: genbench.formulas.samplers.Stochastic, chrun: 1}", "chrun"),
        ("steps={class_path: genbench.formulas.samplers.Heun}", "steps"),
    ],
)
def test_a_sampler_of_an_evaluation_is_checked_before_it_is_made(override, says):
    with pytest.raises(InputError, match=says) as error:
        load_config("digits/edm", [f"evaluations.heun18.sample.{override}"])
    assert "\n" not in str(error.value)


def test_a_sampler_of_an_evaluation_changes_no_weights():
    config = load_config("digits/ddpm")
    sampler = {"class_path": "genbench.formulas.samplers.DDIM", "eta": 0.5}
    for name in ("own", "w1.5"):
        tree = copy.deepcopy(config.resolved)
        tree["evaluations"][name] = {"sample": {"sampler": sampler, "steps": 5}}
        other = check_config(tree, config.name, (), "here")
        assert other.hash == config.hash
        assert other.evaluations[name].sample == {"sampler": sampler, "steps": 5}


def test_a_name_that_is_near_to_none_is_refused_in_a_line_that_can_be_read():
    with pytest.raises(InputError) as error:
        find_config("nowhere.yaml")
    line = str(error.value)
    assert line.startswith(f"no configuration 'nowhere.yaml'; choose from {len(configs())}: ")
    assert line.endswith("(genbench list shows all)")
    assert len(line) < 200
