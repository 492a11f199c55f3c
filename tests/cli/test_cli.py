"""The command line as a user meets it."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import functools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genbench.cli.arguments import _StoreOnce
from genbench.cli.main import build_parser, main
from genbench.config.annotations import GROUPS
from genbench.config.former import NEUTRAL
from genbench.config.recipe import load_config
from genbench.data.pictures import save_folder
from genbench.errors import InputError, Stopped
from genbench.models.vae.vae import VAE
from genbench.spec import Spec
from genbench.training.train import train


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "genbench", *arguments], capture_output=True, text=True, check=False
    )


def seconds_of_children() -> float:
    """Seconds of the processor that ended child processes have used."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["train", "--help"], ["table", "--help"], ["bench", "--help"]],
)
def test_help_and_lists_answer_at_once_and_import_nothing_heavy(arguments):
    code = (
        "import sys; from genbench.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'lightning', 'numpy', 'wandb'} & set(sys.modules)"
    )
    best = 9.0
    for _ in range(3):  # the best of three, by the processor's clock: other tests share the machine
        start = seconds_of_children()
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        best = min(best, seconds_of_children() - start)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert best < 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["trian"], 2, "invalid choice"),
        (["train"], 2, "-c/--config"),
        (["train", "-c", "digits/vea"], 2, "did you mean 'digits/vae'?"),
        (["train", "-c", "digits/vae", "seed=3"], 2, "write --key=value"),
        (["sample", "nowhere", "-o", "x.png"], 2, "no run in 'nowhere'"),
        (["sample", "nowhere", "-n", "-3", "-o", "x.png"], 2, "not a positive number"),
        (["evaluate", "nowhere"], 2, "no run in 'nowhere'"),
        (["evaluate", "nowhere", "--varient", "x"], 2, "unknown argument --varient"),
        (["bench", "quickstrat"], 2, "did you mean 'quickstart'?"),
        (["table", "nowhere"], 2, "has no records/"),
        (
            ["sample", "nowhere", "-n", "1000000000000", "-o", "x"],
            2,
            "1000000000000 is more than 1,000,000: samples beyond them are those of another --seed",
        ),
        (
            ["sample", "nowhere", "--batch", "1000000000000", "-o", "x"],
            2,
            "1000000000000 is more than 1,000,000: a batch lies in memory as a whole",
        ),
        (
            ["sample", "nowhere", "-o", "new.png/"],
            2,
            "right is new.png, or a folder without .png",
        ),
        (["sample", "nowhere", "-o", "new.npz/."], 2, "right is new.npz, or a folder without .npz"),
        (["data", "show", "digits", "-o", "x.png/"], 2, "right is x.png, or a folder"),
        (["table", ".", "--slide", "-o", "x.svg/"], 2, "right is x.svg, or a folder"),
        (["sample", "nowhere", "-o", "exp.v2/"], 2, "no run in 'nowhere'"),
        (["sample", "nowhere", "-o", "x.jpg"], 2, "a .png file (grid), an .npz file, or a folder"),
        (["train", "-c", "digits/vae", "--protocol=digit"], 2, "did you mean 'digits'?"),
        (["train", "-c", "digits/vae", "--run_dir=/proc/none"], 2, "/proc/none"),
        (["train", "-c", "digits/vae", "--data.root=/proc/none"], 2, "/proc/none"),
        (["evaluate", "nowhere", "--device", "meta"], 2, "no run in"),
        (["data", "fetch-weights", "inceptoin"], 2, "did you mean 'inception'?"),
        (["data", "fetch-weights", "digits"], 2, "needs no download"),
    ],
)
def test_bad_commands_end_in_one_line(arguments, code, says, tmp_path, capsys):
    if arguments[0] == "train" and not any(word.startswith("--run_dir") for word in arguments):
        arguments = [
            *arguments,
            f"--run_dir={tmp_path / 'run'}",
        ]  # that of the checkout may hold another configuration
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["train", "-c", "digits/vae", "-c", "digits/gan"], "-c/--config"),
        (["train", "-c", "digits/vae", "--config", "digits/vae"], "-c/--config"),
        (["train", "-c", "digits/vae", "--seed=1", "--seed=2"], "--seed"),
        (
            ["train", "-c", "digits/vae", "--model.latent=1", "--seed=2", "--model.latent=2"],
            "--model.latent",
        ),
        (["sample", "run", "-n", "3", "-n", "4", "-o", "x.png"], "-n"),
        (["sample", "run", "-o", "x.png", "--out", "y.png"], "-o/--out"),
        (["evaluate", "run", "--variant", "a", "--variant", "b"], "--variant"),
        (["bench", "quickstart", "--cluster", "a", "--cluster", "b"], "--cluster"),
        (["explore", "run", "--seed", "1", "--seed", "2"], "--seed"),
        (["table", "--format", "md", "--format", "csv"], "--format"),
        (["compare", "a", "b", "--dataset", "x", "--dataset", "y"], "--dataset"),
        (["data", "list", "--root", "a", "--root", "b"], "--root"),
        (["wandb", "dashboard", "--data", "a", "--data", "b"], "--data"),
    ],
)
def test_an_option_given_twice_is_refused(arguments, option, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert f"{option} is given twice" in captured.err
    assert captured.err.count("\n") == 1


def test_every_option_of_every_command_that_keeps_one_value_keeps_the_first():
    def options(parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    yield from options(command)
            elif action.option_strings:
                yield action

    kinds = {type(action) for action in options(build_parser())}
    assert kinds == {
        _StoreOnce,
        argparse._AppendAction,
        argparse._StoreTrueAction,
        argparse._HelpAction,
    }


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["train", "-c"], "recipe"),
        (["bench"], "suite"),
        (["bench", "quickstart", "--slurm", "--dry-run", "--cluster"], "file of a cluster"),
    ],
)
def test_a_file_of_another_kind_is_named_as_such(arguments, kind, tmp_path, capsys):
    """Markdown has what YAML calls anchors, and a message about those would say nothing."""
    path = tmp_path / "README.md"
    path.write_text("*emphasis*: anchors\n")
    assert main([*arguments, str(path)]) == 2
    errors = capsys.readouterr().err
    assert f"{path} is no {kind}: that is a file of YAML, whose name ends in .yaml; " in errors
    assert errors.count("\n") == 1


def test_every_argument_of_every_command_refuses_an_empty_text():
    """A variable of the shell that is not set is no default."""

    def arguments(parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    yield from arguments(command)
            elif action.nargs != 0:
                yield parser, action

    checked = list(arguments(build_parser()))
    for parser, action in checked:
        with pytest.raises(argparse.ArgumentError, match="it is empty; give a value"):
            parser._get_value(action, "")
    assert len(checked) > 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "-c", "digits/vae", "--run_dir="], "--run_dir is empty: write --run_dir=VALUE"),
        (["train", "-c", "digits/vae", "--name="], "--name is empty"),
        (["train", "-c", "digits/vae", "--data.root="], "--data.root is empty"),
        (["train", "-c", "digits/vae", "--protocol="], "--protocol is empty"),
        (["train", "-c", "digits/vae", "--wandb.project="], "--wandb.project is empty"),
        (["train", "-c", "digits/vae", "--trainer.log_every="], "null is there for none"),
        (["train", "-c", "digits/vae", "--out", ""], "train argument --out: it is empty"),
        (["evaluate", "", "--out", "x"], "evaluate argument run: it is empty"),
        (["evaluate", "run", "--out", ""], "evaluate argument --out: it is empty"),
        (["sample", "run", "--out="], "sample argument -o/--out: it is empty"),
        (["explore", "run", "--only", ""], "explore argument --only: it is empty"),
        (["data", "list", "--root", ""], "data list argument --root: it is empty"),
        (["table", ""], "table argument out: it is empty"),
        (["wandb", "sync", ""], "wandb sync argument folder: it is empty"),
    ],
)
def test_an_empty_option_is_not_the_default(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["run_dir", "protocol", "data.root", "wandb.entity"])
def test_an_empty_text_in_a_recipe_is_not_the_default(key, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"base": "digits/vae", key: ""}))
    with pytest.raises(InputError, match=f"mine.yaml: {key} is empty; give a value, or leave it"):
        load_config(path)
    assert load_config(path, [f"{key}=null"]).resolved["seed"] == 0


@pytest.mark.parametrize("folder", ["a\nb", "a\x1b[2Jb", "a\x7f", "a\x00b"])
def test_folders_with_control_characters_are_one_line(folder, tmp_path, capsys):
    """A NUL cannot be an argument, but it can stand in a recipe."""
    (tmp_path / "mine.yaml").write_text(json.dumps({"base": "digits/vae", "run_dir": folder}))
    (tmp_path / "data.yaml").write_text(json.dumps({"base": "digits/vae", "data.root": folder}))
    (tmp_path / "base.yaml").write_text(json.dumps({"base": folder}))
    for arguments in (
        ["train", "-c", str(tmp_path / "mine.yaml")],
        ["train", "-c", str(tmp_path / "data.yaml")],
        ["train", "-c", str(tmp_path / "base.yaml")],
        ["train", "-c", folder],
        ["sample", folder, "-o", str(tmp_path / "x.png")],
        ["sample", "run", "-o", folder],
        ["evaluate", "run", "--out", folder],
        ["table", folder],
        ["data", "list", "--root", folder],
        ["data", "import", folder, "--name", "x", "--size", "8"],
    ):
        assert main(arguments) == 2, arguments
        message = capsys.readouterr().err
        assert f"{folder!r}: a path with control characters" in message
        assert message.count("\n") == 1


@pytest.mark.parametrize("form", ["sample", "sample png", "evaluate", "train", "run_dir", "recipe"])
@pytest.mark.parametrize(
    ("long", "says"),
    [
        ("x" * 300, "is longer than the 255 bytes that may be used; name a shorter one"),
        ("/".join(["x" * 200] * 20), "a path of at most 3,500 is right"),
    ],
)
def test_a_path_that_is_too_long_is_one_line(form, long, says, tmp_path, capsys):
    place = f"{tmp_path}/{long}"
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(json.dumps({"base": "digits/vae", "run_dir": place}))
    arguments = {
        "sample": ["sample", "run", "-o", place],
        "sample png": ["sample", "run", "-o", f"{place}.png"],
        "evaluate": ["evaluate", "run", "--out", place],
        "train": ["train", "-c", "digits/vae", "--smoke", "--out", place],
        "run_dir": ["train", "-c", "digits/vae", "--smoke", f"--run_dir={place}"],
        "recipe": ["train", "-c", str(recipe)],
    }
    assert main(arguments[form]) == 2
    message = capsys.readouterr().err
    assert says in message
    assert message.count("\n") == 1
    assert list(tmp_path.iterdir()) == [recipe]


def test_where_a_grid_goes_is_checked_before_data_are_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "genbench.data.digits.Digits.decode", lambda self: pytest.fail("data were read")
    )
    (tmp_path / "file").write_text("")
    arguments = ["data", "show", "digits", "--root", str(tmp_path / "data"), "-o"]
    assert main([*arguments, str(tmp_path / "file" / "grid.png")]) == 2
    assert capsys.readouterr().err.endswith(
        f"grid.png cannot be written: {tmp_path / 'file'} is no folder\n"
    )
    assert main([*arguments, str(tmp_path / ("x" * 300 + ".png"))]) == 2
    assert "is longer than the 255 bytes" in capsys.readouterr().err


def test_the_home_folder_is_written_out_in_every_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = [
        "train",
        "-c",
        "digits/vae",
        "--smoke",
        "--wandb.mode=disabled",
        "--budget.images=160",
        "--run_dir=~/run",
    ]
    assert main(run) == 0
    assert main(["sample", "~/run", "-n", "4", "-o", "~/grid.png"]) == 0
    assert main(["sample", "~/run", "-n", "4", "-o", "~/images.npz"]) == 0
    assert main(["evaluate", "~/run", "--out", "~/out", "--variant", "mean"]) == 0
    assert main(["table", "~/out", "--write"]) == 0
    assert main(["explore", "~/run", "--only", "samples", "--out", "~/out"]) == 0
    assert main(["data", "show", "digits", "-o", "~/digits.png", "--root", "~/data"]) == 0
    capsys.readouterr()
    assert main(["data", "list", "--root", "~nobody-of-this-name"]) == 2
    assert "write the whole path" in capsys.readouterr().err
    (tmp_path / "suite.yaml").write_text("out: ~/bench\nentries: [{config: digits/gmm}]\n")
    assert main(["bench", "~/suite.yaml", "--task", "0"]) == 2  # no manifest
    assert main(["wandb", "dashboard", "-o", "~/dashboard.json"]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert {
        "run",
        "grid.png",
        "images.npz",
        "out",
        "digits.png",
        "data",
        "dashboard.json",
    } <= written
    assert "~" not in written


def test_every_key_of_the_help_of_train_exists_and_none_is_left_out(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = capsys.readouterr().out.partition("keys, each as --key=value:\n")[2].splitlines()
    keys = [line.strip().partition(" = ") for line in lines if re.match(r"  [a-z_.]+ = ", line)]
    settings = {
        f"{group}.{field.name}"
        for group, kind in GROUPS.items()
        for field in dataclasses.fields(kind)
    }
    assert {key for key, _, _ in keys} == settings | {"seed", "run_dir", "protocol", "name"}
    # the printed default is read as the default; what a text goes on with belongs to its key
    defaults = load_config("digits/vae").resolved
    for key, _, rest in keys:
        group, _, name = key.partition(".")
        if name:
            default = getattr(GROUPS[group](), name)
            group_settings = load_config(
                "digits/vae", [f"{key}={rest.partition(': ')[0]}"]
            ).resolved[group]
            # a key that came later is left out at its neutral value, so that former hashes hold
            assert group_settings.get(name, NEUTRAL.get(key, "missing")) == default, key
        else:
            assert key in defaults or key == "name"
    assert "0 where nothing is learnt by gradients." in next(
        rest for key, _, rest in keys if key == "budget.images"
    )


def test_train_sample_evaluate_table(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert (
        main(
            [
                "train",
                "-c",
                "digits/vae",
                "--smoke",
                f"--run_dir={run}",
                "--wandb.mode=disabled",
                "--budget.images=160",
            ]
        )
        == 0
    )
    assert "done, 160 images" in capsys.readouterr().out
    assert (
        main(["sample", run, "-n", "9", "-o", str(tmp_path / "grid.png"), "--variant", "mean"]) == 0
    )
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (3 * 52 + 4, 3 * 52 + 4)
    assert main(["sample", run, "-n", "9", "-o", str(tmp_path / "images.npz"), "--batch", "4"]) == 0
    with np.load(tmp_path / "images.npz") as file:
        assert file["images"].shape == (9, 1, 8, 8)
        assert int(file["levels"]) == 17
    assert main(["sample", run, "-n", "3", "-o", str(tmp_path / "folder")]) == 0
    assert len(list((tmp_path / "folder").glob("*.png"))) == 3
    assert main(["sample", run, "-n", "3", "-o", str(tmp_path / "x.gif")]) == 2
    assert main(["sample", run, "-n", "9", "-o", str(tmp_path / "UP.NPZ"), "--batch", "4"]) == 0
    assert (tmp_path / "UP.NPZ").read_bytes() == (tmp_path / "images.npz").read_bytes()
    assert main(["evaluate", run, "--out", str(tmp_path / "out"), "--variant", "mean"]) == 0
    capsys.readouterr()
    for form, expected in (("md", "| "), ("csv", ","), ("latex", "tabular")):
        assert main(["table", str(tmp_path / "out"), "--format", form]) == 0
        text = capsys.readouterr().out
        assert expected in text
        assert "mean" in text


def test_commands_that_are_printed_can_be_pasted(tmp_path, capsys):
    run = tmp_path / "try #2"
    arguments = ["train", "-c", "digits/vae", "--smoke", f"--run_dir={run}"]
    options = ["--wandb.mode=disabled", "--budget.images=32", "--trust", "json"]
    assert main([*arguments, *options]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(line.partition("Next: ")[2])
    assert words == ["genbench", "evaluate", str(run), "--trust", "json"]
    assert main(["evaluate", str(run), "--protocol", "my own.yaml"]) == 2
    assert "genbench train -c RECIPE '--protocol=my own.yaml' changes" in capsys.readouterr().err


@pytest.fixture(scope="module")
def numbered_run(tmp_path_factory):
    """A model of p(x | y) of classes that are called 1, 2, ..., 12."""
    folder = tmp_path_factory.mktemp("numbered")
    for k in range(1, 13):
        (folder / "photos" / str(k)).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (8, 8), 20 * k + i).save(folder / "photos" / str(k) / f"{i}.png")
    root = str(folder / "data")
    assert (
        main(
            [
                "data",
                "import",
                str(folder / "photos"),
                "--name",
                "numbers",
                "--size",
                "8",
                "--root",
                root,
            ]
        )
        == 0
    )
    data = [
        "--data.class_path=genbench.data.imported.Imported",
        "--data.name=numbers",
        f"--data.root={root}",
    ]
    model = [
        "--model.conditional=true",
        "--budget.images=160",
        "--wandb.mode=disabled",
        "--protocol=likelihood",
    ]
    assert (
        main(["train", "-c", "digits/vae", "--smoke", f"--run_dir={folder / 'run'}", *data, *model])
        == 0
    )
    return folder / "run"


def test_a_class_is_drawn_by_its_name(numbered_run, tmp_path, capsys, monkeypatch):
    given = []
    sample = VAE.sample

    @functools.wraps(sample)
    def noted(model, rng, y=None, **options):
        given.append(y.tolist())
        return sample(model, rng, y, **options)

    monkeypatch.setattr(VAE, "sample", noted)
    for name in ("10", "0", "12"):
        assert (
            main(
                [
                    "sample",
                    str(numbered_run),
                    "-n",
                    "3",
                    "-o",
                    str(tmp_path / "x.png"),
                    "--label",
                    name,
                ]
            )
            == 0
        )
    assert [set(labels) for labels in given] == [{9}, {0}, {11}]
    out = capsys.readouterr().out
    assert "seed 0, class 9 = 10\n" in out
    assert "seed 0, class 0 = 1\n" in out
    assert (
        main(
            ["sample", str(numbered_run), "-n", "3", "-o", str(tmp_path / "y.png"), "--label", "13"]
        )
        == 2
    )
    assert "--label '13': labels are from 0 to 11, or names of classes: " in capsys.readouterr().err
    given.clear()
    assert main(["explore", str(numbered_run), "--only", "samples", "--label", "10"]) == 0
    assert {label for labels in given for label in labels} == {9}
    captions = json.loads((numbered_run / "explore" / "captions.json").read_text())
    assert captions["samples"]["command"].endswith("--label 10")
    assert main(["explore", str(numbered_run), "--only", "samples", "--label", "0"]) == 0
    captions = json.loads((numbered_run / "explore" / "captions.json").read_text())
    assert captions["samples"]["command"].endswith("--label 0")


@pytest.mark.parametrize("name", ["plain", "exp.v2", "there.png", "linked"])
def test_samples_in_a_folder_are_those_of_one_command(
    numbered_run, tmp_path, capsys, monkeypatch, name
):
    folder = tmp_path / name
    if name == "there.png":
        folder.mkdir()
    if name == "linked":
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
    command = ["sample", str(numbered_run), "-o", str(folder)]
    assert main([*command, "-n", "5"]) == 0
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(first) == [f"{i:06d}.png" for i in range(5)]
    assert main([*command, "-n", "5"]) == 0  # the same again
    capsys.readouterr()
    assert main([*command, "-n", "5", "--seed", "1"]) == 2
    assert (
        f"--out {folder.resolve()} holds 5 other samples; a new or an empty folder is right"
        in capsys.readouterr().err
    )
    monkeypatch.setattr(
        "genbench.runs.build.open_run",
        lambda *_: pytest.fail("it is not refused before the model is loaded"),
    )
    for n in ("4", "6"):
        assert main([*command, "-n", n]) == 2
        assert (
            f"--out {folder} holds 5 other files; a new or an empty folder is right"
            in capsys.readouterr().err
        )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_samples_appear_all_at_once_or_not_at_all(tmp_path, monkeypatch):
    images, spec = np.zeros((3, 1, 8, 8), np.uint8), Spec((1, 8, 8), 17)
    write = Path.write_bytes

    def full(path, content):
        assert not (tmp_path / "out").exists()
        if path.name == "000002.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Stopped, match="disk full"):
        save_folder(images, spec, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file; a new or an empty folder is right"):
        save_folder(images, spec, tmp_path / "file")


def test_a_dry_run_prints_the_resolved_configuration_and_does_nothing(tmp_path, capsys):
    assert main(["train", "-c", "digits/vae", "--dry-run", f"--run_dir={tmp_path / 'run'}"]) == 0
    assert "class_path: genbench.models.vae.vae.VAE" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "override", "says"),
    [
        ("digits/vae", "data.batch_size=0", "data.batch_size is at least 1"),
        ("digits/vae", "budget.images=-1", "budget.images is at least 0"),
        (
            "digits/vae",
            "budget.images=0",
            "budget.images is at least 1 for a model that learns by gradients",
        ),
        ("digits/vae", "model.optimizer.lr=-1e-3", "model.optimizer: Invalid learning rate"),
        ("digits/vae", "model.likelihood_model=bernoulli", "levels"),
        ("digits/vae", "trainer.devices=3", "divisible by their number, 3"),
        ("digits/ddpm", "model.T=0", "T is at least"),
        ("digits/wgan-gp", "trainer.compile=true", "trainer.compile is false"),
        ("digits/vae", "protocol=digit", "did you mean 'digits'?"),
    ],
)
def test_a_dry_run_refuses_what_training_refuses_in_the_same_line(
    recipe, override, says, tmp_path, capsys
):
    command = [
        "train",
        "-c",
        recipe,
        "--wandb.mode=disabled",
        f"--run_dir={tmp_path / 'run'}",
        f"--{override}",
    ]
    assert main([*command, "--dry-run"]) == 2
    dry = capsys.readouterr()
    assert main(command) == 2
    assert capsys.readouterr() == dry
    assert not dry.out and dry.err.count("\n") == 1 and says in dry.err
    assert not (tmp_path / "run").exists()


def test_exit_codes_of_a_stopped_and_a_diverged_run(tmp_path, capsys):
    from genbench.system.lock import lock

    run = ["train", "-c", "digits/vae", "--smoke", "--wandb.mode=disabled", "--out", str(tmp_path)]
    with lock(tmp_path / "held"):
        assert main([*run, f"--run_dir={tmp_path / 'held'}"]) == 75
    assert "in use" in capsys.readouterr().err
    bad = [
        "--model.optimizer.lr=1e30",
        "--optimization.clip_norm=null",
        f"--run_dir={tmp_path / 'bad'}",
    ]
    assert main([*run, *bad]) == 3
    assert "are not finite in the batch at image" in capsys.readouterr().err
    assert len(list((tmp_path / "records").rglob("*.json"))) == 2


def test_a_corrupt_record_is_named(tiny, tmp_path, capsys):
    from genbench.evaluation.evaluate import evaluate

    path = evaluate(train(tiny("digits/vae", "budget.images=160")), "default", tmp_path)
    path.write_text(path.read_text()[:-40])
    assert main(["table", str(tmp_path)]) == 2
    assert path.name in capsys.readouterr().err


def test_training_says_which_extractor_its_evaluation_will_lack(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))
    train = ["train", "-c", "points2d/gmm", "--smoke", "--wandb.mode=disabled"]
    assert main([*train, f"--run_dir={tmp_path}/a", "--protocol=images"]) == 0
    note = capsys.readouterr().err
    assert "extractor inception, which is not here: genbench data fetch-weights inception" in note
    assert main([*train, f"--run_dir={tmp_path}/b"]) == 0
    assert "extractor" not in capsys.readouterr().err
