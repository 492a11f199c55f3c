"""Nothing that comes from elsewhere runs: each is refused with one line and exit code 2, and what it would have done is not done."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import pickle
import struct
import time
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

import genbench
from genbench.cli import main
from genbench.config import load_config
from genbench.data.containers import open_container
from genbench.data.digits import Digits
from genbench.errors import InputError
from genbench.leaderboard.record import records_in
from genbench.run import Run
from genbench.slurm import load_cluster
from genbench.suite import load_suite
from genbench.train import train

RECIPE = "digits/vae"


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def refused(capsys, *arguments: object) -> str:
    """The one line with which a command refuses."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("genbench: ")
    assert not said.out
    return said.err


# --- configurations -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        "model.class_path=os.system",
        "model.class_path=torch.hub.load",
        "model.class_path=genbench.cli.main",
        "model.class_path=genbench.nets.mlp.MLP",
        "model.class_path=torch.optim.Adam",
        "model.class_path=[os.system]",
        "model.class_path={a: os.system}",
        "data.class_path=genbench.cli.main",
        "data.class_path=genbench.models.vae.vae.VAE",
        "model.optimizer=genbench.cli.main",
        "model.optimizer={class_path: genbench.cli.main, arguments: [list]}",
        "model.optimizer={class_path: genbench.files.write_atomic, path: OWNED, content: owned}",
        "model.optimizer={class_path: genbench.loggers.urlopen, url: 'http://127.0.0.1:9/'}",
        "model.optimizer={class_path: torch.optim.swa_utils.update_bn}",
        "model.optimizer={class_path: torch.optim.Adam, init_args: {lr: 0.1, foreach: os.system}}",
        "model.optimizer.class_path=torch.optim.optimizer.os.system",
        "model.encoder={class_path: genbench.files.write_atomic, path: OWNED, content: owned}",
        "model.encoder=[{class_path: os.system}]",
        "model.encoder={class_path: genbench.nets.mlp.MLP, dict_kwargs: {width: os.system}}",
        "model.encoder=my-module.Net",
        "model.encoder=mödule.Net",
        "model.__path__=/etc/passwd",
        "evaluations={mean: {sample: {decoder: os.system}}}",
    ],
)
def test_a_configuration_calls_no_function_and_names_only_what_fits(override, tmp_path, capsys):
    owned = tmp_path / "owned"
    override = override.replace("OWNED", str(owned))
    refused(capsys, "train", "-c", RECIPE, "--smoke", f"--{override}", f"--run_dir={tmp_path / 'run'}")
    assert not list(tmp_path.iterdir())


def test_a_configuration_is_plain_yaml(tmp_path, capsys):
    (tmp_path / "evil.yaml").write_text(f"model: !!python/object/apply:os.mkdir ['{tmp_path / 'owned'}']\n")
    assert "is not YAML" in refused(capsys, "train", "-c", tmp_path / "evil.yaml")
    assert not (tmp_path / "owned").exists()


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(12))
DEEP = {
    "flow": "a: " + "[" * 100_000,
    "blocks": "\n".join(" " * i + "a:" for i in range(2_000)),
    "lists": "a:\n" + "- " * 10_000,
}


@pytest.mark.parametrize("content", [LAUGHS, "a: &a [1, *a]\n", *DEEP.values()], ids=["laughs", "a circle", *DEEP])
@pytest.mark.parametrize("read", [load_config, load_suite, load_cluster])
def test_yaml_that_unfolds_or_never_ends_is_refused_at_once(read, content, tmp_path):
    (tmp_path / "evil.yaml").write_text(content)
    began = time.process_time()
    with pytest.raises(InputError, match=r"aliases are not taken|nested more than 32 deep") as error:
        read(str(tmp_path / "evil.yaml"))
    assert str(error.value).startswith(f"{tmp_path}/evil.yaml is not YAML: ") and "\n" not in str(error.value)
    assert time.process_time() - began < 2


def test_an_override_that_unfolds_is_refused(capsys):
    assert "aliases are not taken" in refused(capsys, "train", "-c", RECIPE, "--wandb.tags=[&a [x], *a, *a]")


def test_a_run_names_no_more_than_a_recipe_may(tiny, tmp_path, capsys):
    run = train(tiny(RECIPE, "budget.images=32"))
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("genbench.models.vae.vae.VAE", "genbench.cli.main"))
    assert "is no model" in refused(capsys, "evaluate", run.path, "--out", tmp_path / "out")
    assert "is no model" in refused(capsys, "sample", run.path, "-o", tmp_path / "x.png")


# --- checkpoints and weights --------------------------------------------------------------------------------------------------


def plant(run: Run, content: bytes, images: int = 999_999) -> None:
    """A checkpoint whose name says what its content is."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    (run.checkpoints / f"{images:012d}-{hashlib.sha256(content).hexdigest()[:16]}.ckpt").write_bytes(content)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_checkpoints_that_were_not_written_here_are_passed_over(tiny, tmp_path, caplog):
    """A pickle's payload, a payload among tensors, and tensors of something else."""
    config, owned = tiny(RECIPE, "budget.images=64"), tmp_path / "owned"
    run = Run(Path(config.resolved["run_dir"]))
    evil = [pickle.dumps(Payload(owned)), saved({"model": Payload(owned)}), saved({"model": {}}), saved([1, 2])]
    for i, content in enumerate(evil):
        plant(run, content, 999_999 + i)
    assert train(config).state()["status"] == "done"
    assert not owned.exists()
    assert caplog.text.count("is not a checkpoint of genbench") == len(evil)


def test_a_checkpoint_of_another_model_is_refused(tiny, tmp_path):
    other = train(tiny(RECIPE, "model.latent=5", "budget.images=64", folder="other"))
    config = tiny(RECIPE, "budget.images=64")
    state, _ = other.newest_checkpoint()
    plant(Run(Path(config.resolved["run_dir"])), saved(state))
    with pytest.raises(InputError, match="the newest is of another model") as error:
        train(config)
    assert "\n" not in str(error.value)


HEADERS = {
    "longer than the file": struct.pack("<Q", 2**60) + b"{}",
    "tensors beyond the file": struct.pack("<Q", 58) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,999999]}}'[:58],
    "a pickle": pickle.dumps({"a": 1}),
    "nothing": b"",
    "other tensors": save({"a": torch.zeros(3)}),
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_weights_that_are_none_are_refused(content, tiny, tmp_path, capsys):
    run = train(tiny(RECIPE, "budget.images=32"))
    run.weights.write_bytes(content)
    assert "model.safetensors cannot be loaded" in refused(capsys, "sample", run.path, "-o", tmp_path / "x.png")


def test_weights_that_training_did_not_write_are_refused(tiny, tmp_path, capsys):
    run = train(tiny(RECIPE, "budget.images=32"))
    run.weights.write_bytes(save({name: value + 1 for name, value in load_file(run.weights).items()}))
    assert "is not what training wrote" in refused(capsys, "evaluate", run.path, "--out", tmp_path / "out")


# --- images -------------------------------------------------------------------------------------------------------------------


def foreign(capsys, path: Path, out: Path, name: str = "theirs") -> str:
    return refused(capsys, "evaluate", "--samples", path, "--data", "digits", "--name", name, "--out", out)


def test_samples_unpickle_nothing(tmp_path, capsys):
    np.savez(tmp_path / "evil.npz", images=np.array([Payload(tmp_path / "owned")], dtype=object))
    assert "allow_pickle=False" in foreign(capsys, tmp_path / "evil.npz", tmp_path / "out")
    assert not (tmp_path / "owned").exists() and not (tmp_path / "out").exists()


def test_samples_stay_in_their_zip(tmp_path, capsys):
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "png")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../owned.png", picture.getvalue())
    assert "points out of the zip" in foreign(capsys, tmp_path / "evil.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.zip"]


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.data.containers._LARGEST_BYTES", 2**20)
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((5_000, 32, 32), np.uint8))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it is being unpacked"))
    with pytest.raises(InputError, match=r"bomb\.npz: it would unpack to 4 MiB") as error:
        open_container(tmp_path / "bomb.npz")
    assert "\n" not in str(error.value)


# --- names --------------------------------------------------------------------------------------------------------------------


def test_a_label_is_text_wherever_it_is_shown(tmp_path, capsys):
    x = np.concatenate([Digits().arrays(split)[0] for split in ("train", "test")])
    np.savez(tmp_path / "theirs.npz", images=x, levels=17)
    evil, out = '<img src=x onerror="alert(1)">', tmp_path / "out"
    given = ["--samples", str(tmp_path / "theirs.npz"), "--data", "digits", "--name", evil, "--out", str(out)]
    assert main(["evaluate", *given]) == 0
    assert [record.model for record in records_in(out)] == [evil]
    capsys.readouterr()
    assert main(["table", str(out), "--write"]) == 0
    for text in (capsys.readouterr().out, (out / "digits.md").read_text(), (out / "index.html").read_text()):
        assert "img src=x" in text and "<img src=x" not in text.replace("\\<img", "")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "../up", "a/b", ".hidden", "two\nlines", "noise-floor", ""])
def test_a_label_that_is_no_file_name_is_refused(name, tmp_path, capsys):
    np.savez(tmp_path / "theirs.npz", images=np.zeros((2_000, 8, 8), np.uint8), levels=17)
    foreign(capsys, tmp_path / "theirs.npz", tmp_path / "out", name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.npz"]


# --- links --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [".", "checkpoints", "metrics.jsonl", "log.txt", "lock", "previews"])
def test_a_run_writes_and_deletes_nothing_through_a_link(link, tiny, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for i in range(4):
        (elsewhere / f"{i}.ckpt").write_text("somebody's")
    config = tiny(RECIPE, "budget.images=64")
    run = Path(config.resolved["run_dir"])
    if link != ".":
        run.mkdir()
    (run / link if link != "." else run).symlink_to(elsewhere)
    line = refused(capsys, "train", "-c", RECIPE, "--smoke", "--wandb.mode=disabled", f"--run_dir={run}")
    assert f"is a link to {elsewhere}" in line
    assert sorted(path.name for path in elsewhere.iterdir()) == [f"{i}.ckpt" for i in range(4)]


def test_a_link_to_a_run_is_not_measured_and_folders_above_may_be_links(tiny, tmp_path, capsys):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    run = train(tiny(RECIPE, "budget.images=32", folder="runs/one"))
    assert run.weights.exists()
    (tmp_path / "best").symlink_to(run.path)
    assert "is a link to" in refused(capsys, "sample", tmp_path / "best", "-o", tmp_path / "x.png")
    assert main(["sample", str(run.path), "-n", "1", "-o", str(tmp_path / "x.png")]) == 0


# --- the code itself ----------------------------------------------------------------------------------------------------------


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    """Every call of a.b.c() in the package whose name ends so."""
    return [(path, call) for path, call, function in every_call() if f".{function}".endswith(f".{name}")]


@cache
def every_call() -> list[tuple[Path, ast.Call, str]]:
    found = []
    for path in sorted(Path(genbench.__file__).parent.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        found += [(path, call, ast.unparse(call.func)) for call in calls]
    return found


def test_the_package_unpickles_nothing_but_tensors():
    def options(name: str) -> set[tuple[str, str]]:
        return {(k.arg, ast.unparse(k.value)) for _, call in calls(name) for k in call.keywords if k.arg}

    assert all("weights_only=True" in ast.unparse(call) for _, call in calls("torch.load")) and calls("torch.load")
    assert all("allow_pickle=False" in ast.unparse(call) for _, call in calls("np.load")) and calls("np.load")
    assert all("Loader=_Loader" in ast.unparse(call) for _, call in calls("yaml.load"))
    for name in ("pickle.load", "pickle.loads", "eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "load_module"):
        assert not [call for _, call in calls(name) if ast.unparse(call.func) == name], name
    assert ("shell", "True") not in options("subprocess.run") | options("subprocess.Popen") | options("run") | options("Popen")
    # one place reads a published pickle, with a reader that admits arrays and plain containers
    assert [path.name for path in Path(genbench.__file__).parent.rglob("*.py") if "pickle.Unpickler)" in path.read_text()] == [
        "cifar10.py"
    ]
