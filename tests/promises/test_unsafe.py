"""Nothing that comes from elsewhere runs: each is refused with one line and exit code 2, and what it would have done is not done."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import json
import os
import pickle
import signal
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

import genbench
from genbench.cli.main import main
from genbench.cluster.site import load_cluster
from genbench.config.recipe import load_config
from genbench.data.cifar10 import CIFAR10, read_archive
from genbench.data.containers import open_container
from genbench.data.digits import Digits
from genbench.data.fetch import download
from genbench.data.mnist import read_amat, read_idx
from genbench.data.pictures import save_folder
from genbench.errors import InputError
from genbench.metrics.frechet import load_statistics
from genbench.records.record import Record, content_digest
from genbench.records.store import records_in, write_record
from genbench.runs.folder import Run
from genbench.spec import Spec
from genbench.suites.suite import load_suite
from genbench.system.typed import read_value
from genbench.tracking.wandb_log import WandbLog
from genbench.training.train import train

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


@contextmanager
def cheaply(mib: int = 64, seconds: float = 5.0):
    """What happens inside takes little memory, that of arrays included, and little time."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mib << 20
    assert took < seconds


@contextmanager
def within(seconds: int = 20):
    """What happens inside ends, even if it waits for a file that nobody writes."""

    def end(*_: object) -> None:
        pytest.fail("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- named pipes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.zip", "x"])
def test_pictures_are_not_read_from_a_named_pipe(name, tmp_path, capsys):
    path = tmp_path / name
    os.mkfifo(path)
    right = "a folder of pictures, a zip of them, an npz or an npy file is right"
    with within():
        message = refused(
            capsys, "data", "import", path, "--name", "ff", "--size", 8, "--root", tmp_path / "data"
        )
        assert message == f"genbench: {path}: it is no regular file; {right}\n"
        assert f"{path}: it is no regular file; {right}" in foreign(capsys, path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x-idx3-ubyte", read_idx),
        ("x-idx3-ubyte.gz", read_idx),
        ("x.amat", read_amat),
        ("x.tar.gz", read_archive),
        ("x.npz", load_statistics),
        ("a", lambda path: download((), path, "0" * 64, "sha256")),
        ("b", lambda path: download((path.as_uri(),), path.with_name("new"), "0" * 64, "sha256")),
    ],
)
def test_what_is_published_is_not_read_from_a_named_pipe(name, read, tmp_path):
    path = tmp_path / name
    os.mkfifo(path)
    with within(), pytest.raises((InputError, OSError), match="it is no regular file") as error:
        read(path)
    assert str(path) in one_line(error)
    assert list(tmp_path.iterdir()) == [path]


def test_samples_are_not_compared_with_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "000000.png")
    with within(), pytest.raises(OSError, match="it is no regular file"):
        save_folder(np.zeros((1, 1, 8, 8), np.uint8), Spec((1, 8, 8), 17), tmp_path)


# --- configurations -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        "model.class_path=os.system",
        "model.class_path=torch.hub.load",
        "model.class_path=genbench.cli.main.main",
        "model.class_path=genbench.nets.mlp.MLP",
        "model.class_path=torch.optim.Adam",
        "model.class_path=[os.system]",
        "model.class_path={a: os.system}",
        "data.class_path=genbench.cli.main.main",
        "data.class_path=genbench.models.vae.vae.VAE",
        "model.optimizer=genbench.cli.main.main",
        "model.optimizer={class_path: genbench.cli.main.main, arguments: [list]}",
        "model.optimizer={class_path: genbench.system.files.write_atomic, path: OWNED, content: owned}",
        "model.optimizer={class_path: genbench.tracking.wandb_log.urlopen, url: 'http://127.0.0.1:9/'}",
        "model.optimizer={class_path: torch.optim.swa_utils.update_bn}",
        "model.optimizer={class_path: torch.optim.Adam, init_args: {lr: 0.1, foreach: os.system}}",
        "model.optimizer.class_path=torch.optim.optimizer.os.system",
        "model.encoder={class_path: genbench.system.files.write_atomic, path: OWNED, content: owned}",
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
    refused(
        capsys, "train", "-c", RECIPE, "--smoke", f"--{override}", f"--run_dir={tmp_path / 'run'}"
    )
    assert not list(tmp_path.iterdir())


def test_a_configuration_is_plain_yaml(tmp_path, capsys):
    (tmp_path / "evil.yaml").write_text(
        f"model: !!python/object/apply:os.mkdir ['{tmp_path / 'owned'}']\n"
    )
    assert "is not YAML" in refused(capsys, "train", "-c", tmp_path / "evil.yaml")
    assert not (tmp_path / "owned").exists()


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(12)
)
DEEP = {
    "flow": "a: " + "[" * 100_000,
    "blocks": "\n".join(" " * i + "a:" for i in range(2_000)),
    "lists": "a:\n" + "- " * 10_000,
}


@pytest.mark.parametrize(
    "content", [LAUGHS, "a: &a [1, *a]\n", *DEEP.values()], ids=["laughs", "a circle", *DEEP]
)
@pytest.mark.parametrize("read", [load_config, load_suite, load_cluster])
def test_yaml_that_unfolds_or_never_ends_is_refused_at_once(read, content, tmp_path):
    (tmp_path / "evil.yaml").write_text(content)
    began = time.process_time()
    with pytest.raises(
        InputError, match=r"aliases are not taken|nested more than 32 deep"
    ) as error:
        read(str(tmp_path / "evil.yaml"))
    assert str(error.value).startswith(f"{tmp_path}/evil.yaml is not YAML: ") and "\n" not in str(
        error.value
    )
    assert time.process_time() - began < 2


def test_an_override_that_unfolds_is_refused(capsys):
    assert "aliases are not taken" in refused(
        capsys, "train", "-c", RECIPE, "--wandb.tags=[&a [x], *a, *a]"
    )


def test_a_run_names_no_more_than_a_recipe_may(tiny, tmp_path, capsys):
    run = train(tiny(RECIPE, "budget.images=32"))
    path = run.path / "config.yaml"
    path.write_text(
        path.read_text().replace("genbench.models.vae.vae.VAE", "genbench.cli.main.main")
    )
    assert "is no model" in refused(capsys, "evaluate", run.path, "--out", tmp_path / "out")
    assert "is no model" in refused(capsys, "sample", run.path, "-o", tmp_path / "x.png")


# --- checkpoints and weights --------------------------------------------------------------------------------------------------


def plant(run: Run, content: bytes, images: int = 999_999) -> None:
    """A checkpoint whose name says what its content is."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    (
        run.checkpoints / f"{images:012d}-{hashlib.sha256(content).hexdigest()[:16]}.ckpt"
    ).write_bytes(content)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def packed(content: bytes) -> bytes:
    """The same checkpoint, compressed: torch would read it, whatever it unpacks to."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as plain,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    assert len(buffer.getvalue()) < len(content) / 100
    assert torch.equal(
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)["model"], torch.zeros(2**18)
    )
    return buffer.getvalue()


def test_checkpoints_that_were_not_written_here_are_passed_over(tiny, tmp_path, caplog):
    """A pickle's payload, a payload among tensors, and tensors of something else."""
    config, owned = tiny(RECIPE, "budget.images=64"), tmp_path / "owned"
    run = Run(Path(config.resolved["run_dir"]))
    evil = [
        pickle.dumps(Payload(owned)),
        saved({"model": Payload(owned)}),
        saved({"model": {}}),
        saved([1, 2]),
    ]
    evil.append(packed(saved({"model": torch.zeros(2**18)})))
    for i, content in enumerate(evil):
        plant(run, content, 999_999 + i)
    assert train(config).state()["status"] == "done"
    assert not owned.exists()
    assert caplog.text.count("is not a checkpoint of genbench") == len(evil)


def test_a_checkpoint_of_another_model_is_refused(tiny, tmp_path):
    other = train(tiny(RECIPE, "model.latent=5", "budget.images=64", folder="other"))
    config = tiny(RECIPE, "budget.images=64")
    state, _ = other.newest_checkpoint()
    state["config"] = config.decisive
    plant(Run(Path(config.resolved["run_dir"])), saved(state))
    with pytest.raises(InputError, match="the newest is of another model") as error:
        train(config)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_run_is_refused(tiny):
    """Copied into a new folder, and into that of a run which notes its own configuration."""
    other = train(tiny(RECIPE, "seed=7", "budget.images=64", folder="other"))
    (copied,) = other.checkpoints.glob("000000000064-*.ckpt")
    config = tiny(RECIPE, "budget.images=64")
    run = Run(Path(config.resolved["run_dir"]))
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / copied.name).write_bytes(copied.read_bytes())
    with pytest.raises(InputError, match="of another configuration: seed was 7, is now 0"):
        train(config)
    assert not (run.path / "state.json").exists() and not (run.path / "config.yaml").exists()
    (run.checkpoints / copied.name).unlink()
    train(config)
    before = (run.path / "state.json").read_bytes()
    for path in run.checkpoints.glob("*.ckpt"):
        path.unlink()
    (run.checkpoints / copied.name).write_bytes(copied.read_bytes())
    with pytest.raises(InputError, match="of another configuration: seed was 7, is now 0"):
        train(tiny(RECIPE, "budget.images=128"))
    assert (run.path / "state.json").read_bytes() == before


CONFIGS = {
    "another seed": ({"seed": 7}, "seed was 7, is now 0"),
    "a budget that is no number": ({"budget.images": "64"}, "budget.images was 64, is now 64"),
    "a larger budget": ({"budget.images": 2**40}, f"budget.images was {2**40}, is now 64"),
    "a key of its own": ({"model.secret": True}, "model.secret was True, is now absent"),
    "a text of several lines": ({"name": "a\nb\n" * 1000}, "name was a b a b"),
}


@pytest.mark.parametrize(("changes", "says"), CONFIGS.values(), ids=CONFIGS)
def test_a_forged_checkpoint_of_another_configuration_is_refused(changes, says, tiny):
    """Its hash is right, and its weights fit."""
    config = tiny(RECIPE, "budget.images=64")
    run = train(config)
    state, _ = run.newest_checkpoint()
    for path in run.checkpoints.glob("*.ckpt"):
        path.unlink()
    run.weights.unlink()
    plant(run, saved({**state, "config": {**config.decisive, **changes}}), 64)
    before = (run.path / "state.json").read_bytes()
    with pytest.raises(InputError) as error:
        train(config)
    line = one_line(error)
    assert f"the newest is of another configuration: {says}" in line and len(line) < 1000
    assert (run.path / "state.json").read_bytes() == before


def test_a_configuration_of_tensors_is_set_aside(tiny, caplog):
    config = tiny(RECIPE, "budget.images=64")
    run = train(config)
    weights = run.weights.read_bytes()
    state, _ = run.newest_checkpoint()
    run.weights.unlink()
    plant(run, saved({**state, "config": {**config.decisive, "seed": torch.zeros(2)}}))
    assert train(config).weights.read_bytes() == weights
    assert caplog.text.count("is not a checkpoint of genbench") == 1


HEADERS = {
    "longer than the file": struct.pack("<Q", 2**60) + b"{}",
    "tensors beyond the file": struct.pack("<Q", 58)
    + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,999999]}}'[:58],
    "a pickle": pickle.dumps({"a": 1}),
    "nothing": b"",
    "other tensors": save({"a": torch.zeros(3)}),
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_weights_that_are_none_are_refused(content, tiny, tmp_path, capsys):
    run = train(tiny(RECIPE, "budget.images=32"))
    run.weights.write_bytes(content)
    assert "is not what training wrote" in refused(
        capsys, "sample", run.path, "-o", tmp_path / "x.png"
    )
    run.write_state(**{**run.state(), "weights_hash": hashlib.sha256(content).hexdigest()})
    assert "model.safetensors cannot be loaded" in refused(
        capsys, "sample", run.path, "-o", tmp_path / "x.png"
    )


def test_weights_that_training_did_not_write_are_refused(tiny, tmp_path, capsys):
    run = train(tiny(RECIPE, "budget.images=32"))
    run.weights.write_bytes(
        save({name: value + 1 for name, value in load_file(run.weights).items()})
    )
    assert "is not what training wrote" in refused(
        capsys, "evaluate", run.path, "--out", tmp_path / "out"
    )


# --- images -------------------------------------------------------------------------------------------------------------------


def foreign(capsys, path: Path, out: Path, name: str = "theirs") -> str:
    return refused(
        capsys, "evaluate", "--samples", path, "--data", "digits", "--name", name, "--out", out
    )


def test_samples_unpickle_nothing(tmp_path, capsys):
    np.savez(tmp_path / "evil.npz", images=np.array([Payload(tmp_path / "owned")], dtype=object))
    assert "it holds Python objects, which are never unpickled; right are" in foreign(
        capsys, tmp_path / "evil.npz", tmp_path / "out"
    )
    assert not (tmp_path / "owned").exists() and not (tmp_path / "out").exists()


def test_samples_stay_in_their_zip(tmp_path, capsys):
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "png")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../owned.png", picture.getvalue())
    assert "points out of the zip" in foreign(capsys, tmp_path / "evil.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.zip"]


def test_samples_read_no_file_that_a_zip_names(tmp_path, capsys):
    """An entry that is a link is its target's name, and no picture."""
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "link.png" in foreign(capsys, tmp_path / "evil.zip", tmp_path / "out")


def png(width: int, height: int) -> bytes:
    """A picture that says that it is so large, and has the pixels of a small one."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(9 * 8))),
        (b"IEND", b""),
    ]
    whole = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


@pytest.mark.parametrize("size", [(60_000, 60_000), (12_000, 12_000), (2**31 - 1, 1)])
def test_a_picture_that_says_that_it_is_huge_is_not_unpacked(size, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(*size))
    with cheaply():
        assert "a.png" in foreign(capsys, tmp_path / "in", tmp_path / "out")
    command = [
        "data",
        "import",
        tmp_path / "in",
        "--name",
        "own",
        "--size",
        "8",
        "--root",
        tmp_path / "data",
    ]
    with cheaply():
        assert "none of 1 pictures can be used" in refused(capsys, *command)
    assert not (tmp_path / "data").exists()


def test_pictures_are_not_handed_to_other_programs(tmp_path, monkeypatch, capsys):
    """Pillow would open PostScript under any name, and have Ghostscript run it."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it runs"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"
    )
    assert "cannot identify" in foreign(capsys, tmp_path / "in", tmp_path / "out")


def test_an_endless_file_among_pictures_is_not_read(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "a.png").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "in" / "b.png").symlink_to("/dev/zero")
    with cheaply():
        assert "b.png: neither a file nor a folder" in foreign(
            capsys, tmp_path / "in", tmp_path / "out"
        )
    (tmp_path / "in" / "b.png").unlink()
    with cheaply():
        assert "has more than 256 MiB" in foreign(capsys, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ('{"labels": [["../../etc/passwd", 0], ["../a.png", 0]]}', "it has no label for a.png"),
        ('{"labels": ' + "[" * 100_000, "dataset.json"),
        ('{"labels": [' + "[]," * 1_000_000, "it has 2 MiB, for 1 pictures"),
        ('{"labels": [["a.png", 1e999]]}', "1e999 is not a finite number"),
        ('{"labels": [["a.png", 999999999]]}', "a class is a number"),
    ],
)
def test_a_card_names_pictures_of_its_folder_alone(card, says, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "dataset.json").write_text(card)
    command = [
        "data",
        "import",
        tmp_path / "in",
        "--name",
        "own",
        "--size",
        "8",
        "--root",
        tmp_path / "data",
    ]
    with cheaply():
        assert says in refused(capsys, *command)


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.data.arrays.LARGEST_BYTES", 2**20)
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((5_000, 32, 32), np.uint8))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it is being unpacked"))
    with pytest.raises(InputError, match=r"bomb\.npz: it would unpack to 4 MiB") as error:
        open_container(tmp_path / "bomb.npz")
    assert "\n" not in str(error.value)


# --- published data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["a link", "a bomb", "a bomb before it", "a device"])
def test_an_archive_of_batches_holds_files_of_their_size(kind, tmp_path):
    folder = "cifar-10-batches-py"
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"{folder}/data_batch_1")
        if kind == "a link":
            member.type, member.linkname = tarfile.SYMTYPE, "../../../../etc/passwd"
        elif kind == "a device":
            member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 5
        else:
            member.size = 2**40
            member.name = member.name if kind == "a bomb" else "padding"
        archive.fileobj.write(
            member.tobuf()
        )  # a header alone, which addfile refuses to write from Python 3.13 on
    with cheaply(), pytest.raises(InputError, match=r"damaged .*cifar-10-python\.tar\.gz") as error:
        CIFAR10(str(tmp_path)).decode()
    assert ("would unpack to 1,048,576 MiB" in one_line(error)) == ("bomb" in kind)


def test_a_packed_idx_file_is_unpacked_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.data.mnist._LARGEST_BYTES", 2**20)
    (tmp_path / "x-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(2**25)))
    with cheaply(mib=8), pytest.raises(InputError, match="it has more than 1 MiB") as error:
        read_idx(tmp_path / "x-idx3-ubyte.gz")
    one_line(error)


def array_of(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """An .npy file that says that it is so large, and holds nothing."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue() + bytes(64)


@pytest.mark.parametrize("name", ["train-images.npy", "train-labels.npy", "card.json"])
@pytest.mark.parametrize("kind", ["objects", "huge", "deep", "link", "fifo"])
def test_decoded_data_that_are_none_are_refused(name, kind, tmp_path):
    path = Digits(str(tmp_path)).folder / name
    if kind == "objects":
        buffer = io.BytesIO()
        np.save(buffer, np.array([Payload(tmp_path / "owned")], dtype=object), allow_pickle=True)
        path.write_bytes(buffer.getvalue())
    elif kind == "huge":
        path.write_bytes(array_of((2**40, 1, 8, 8)))
    elif kind == "deep":
        path.write_text("[" * 10**6)
    elif kind == "fifo":
        path.unlink()
        os.mkfifo(path)
    else:
        path.unlink()
        path.symlink_to("/dev/zero")
    with cheaply(), pytest.raises(InputError, match="damaged data in") as error:
        Digits(str(tmp_path)).arrays("train")
    one_line(error)
    assert not (tmp_path / "owned").exists()


# --- statistics of another tool -----------------------------------------------------------------------------------------------


def npy(value: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


HALF = npy(np.eye(4)[0]), npy(np.eye(4))
STATISTICS = {
    "more features than fit": (HALF[0], array_of((2**40,), "<f8")),
    "a mean without end": (array_of((2**40,), "<f8"), HALF[1]),
    "another number of features": (HALF[0], npy(np.eye(5))),
    "NaN": (HALF[0], npy(np.full((4, 4), np.nan))),
    "complex numbers": (HALF[0], npy(np.eye(4) * 1j)),
    "texts": (npy(np.array(["x"] * 4)), HALF[1]),
    "no covariance": (HALF[0], npy(-np.eye(4))),
    "one array": (HALF[0], b""),
}


@pytest.mark.parametrize("arrays", STATISTICS.values(), ids=STATISTICS)
def test_statistics_that_are_none_are_refused(arrays, tmp_path):
    with zipfile.ZipFile(tmp_path / "theirs.npz", "w") as archive:
        for name, content in zip(("mu.npy", "sigma.npy"), arrays):
            archive.writestr(name, content)
    # numpy asks the system for as much as a header announces, touches none of it, and finds that the file has ended
    with cheaply(mib=2**24), pytest.raises(InputError, match=r"theirs\.npz: ") as error:
        load_statistics(tmp_path / "theirs.npz")
    one_line(error)


def test_statistics_unpickle_nothing_and_unpack_no_bomb(tmp_path):
    np.savez(
        tmp_path / "evil.npz",
        mu=np.array([Payload(tmp_path / "owned")], dtype=object),
        sigma=np.eye(1),
    )
    with pytest.raises(InputError, match="allow_pickle=False") as error:
        load_statistics(tmp_path / "evil.npz")
    one_line(error)
    assert not (tmp_path / "owned").exists()
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mu.npy", HALF[0])
        archive.writestr("sigma.npy", array_of((2**20, 2**20), "<f8"))
        archive.getinfo("sigma.npy").file_size = 2**43
    with cheaply(), pytest.raises(InputError, match="it would unpack to 8,388,608 MiB") as error:
        load_statistics(tmp_path / "bomb.npz")
    one_line(error)


# --- records ------------------------------------------------------------------------------------------------------------------

EXAMPLE = sorted(
    (Path(__file__).parents[2] / "leaderboards" / "records" / "digits").glob("vae-s0-*.json")
)[0]


@pytest.mark.parametrize(
    "kind", ["huge", "deep", "deep in it", "NaN", "infinite", "a long number", "no text", "a list"]
)
def test_a_record_that_is_none_is_refused(kind, tmp_path, capsys):
    path = tmp_path / "records" / "digits" / EXAMPLE.name
    path.parent.mkdir(parents=True)
    text = EXAMPLE.read_text()
    value = {
        "NaN": "NaN",
        "infinite": "1e999",
        "a long number": "9" * 10_000,
        "deep in it": "[" * 10**5 + "]" * 10**5,
    }.get(kind)
    whole = {"deep": "[" * 10**6, "a list": "[1]", "no text": "\udcff"}.get(kind, text)
    if value is not None:
        assert '"sample_options": {' in whole
        whole = (
            whole.replace('"sample_options": {', f'"sample_options": {{"x": {value}, ', 1)
            .replace(", \n }", "\n }")
            .replace(", }", "}")
        )
    path.write_bytes(whole.encode(errors="surrogateescape"))
    if kind == "huge":
        with path.open("r+b") as file:
            file.truncate(2**40)
    with cheaply(mib=200):
        assert path.name in refused(capsys, "table", tmp_path)


EVIL = "<img src=x onerror=alert(1)>"


def test_texts_of_a_record_are_texts_wherever_they_are_shown(tmp_path, capsys):
    """In every field that is a text of any kind: names of metrics, options and packages too."""

    def evil(value: object, where: str = "") -> object:
        if isinstance(value, dict):
            named = where in (
                "sample_options",
                "log_prob_options",
                "sample_defaults",
                "terms",
                "options",
                "defaults",
                "versions",
                "config",
            )
            plain = ("seed", "protocol", "evaluations", "needs")  # they decide what else is right
            return {
                f"{key}{EVIL}" if named and key not in plain else key: evil(v, key)
                for key, v in value.items()
            }
        if isinstance(value, list):
            return [evil(v, where) for v in value]
        kept = (
            "evaluated_at",
            "evaluated_by",
            "sealed_at",
            "status",
            "device_class",
            "density",
            "kind",
            "metrics",
        )
        is_text = isinstance(value, str) and where not in kept and not where.endswith("hash")
        return f"{value}{EVIL}" if is_text else value

    tree = json.loads(EXAMPLE.read_text())
    tree = {key: value for key, value in tree.items() if key not in ("schema", "id", "digest")}
    metrics = [f"{name}{EVIL}" for name in tree["protocol"]["metrics"]]
    tree = evil(tree)
    tree["provenance"]["config"]["evaluations"][tree["variant"]] = {}
    tree["protocol"]["metrics"] += metrics
    tree["metrics"] |= {name: {"value": 1.0, "error": 0.1} for name in metrics}
    record = read_value(Record, tree)
    path = write_record(tmp_path, record)
    assert "onerror" in path.name and "onerror" in record.protocol.dataset
    assert main(["table", str(tmp_path), "--write"]) == 0
    texts = [
        capsys.readouterr().out,
        (tmp_path / "index.html").read_text(),
        (tmp_path / f"{record.dataset}.md").read_text(),
    ]
    for text in texts:
        assert "onerror" in text and "<img src=x" not in text.replace("\\<img", "")


# --- names --------------------------------------------------------------------------------------------------------------------


def test_a_label_is_text_wherever_it_is_shown(tmp_path, capsys):
    """That of a record: the command takes no such name."""
    x = np.concatenate([Digits().arrays(split)[0] for split in ("train", "test")])
    np.savez(tmp_path / "theirs.npz", images=x, levels=17)
    evil, out = '<img src=x onerror="alert(1)">', tmp_path / "out"
    given = [
        "--samples",
        str(tmp_path / "theirs.npz"),
        "--data",
        "digits",
        "--name",
        "theirs",
        "--out",
        str(out),
    ]
    assert main(["evaluate", *given]) == 0
    (record,) = records_in(out)
    for path in (out / "records").rglob("*.json"):
        path.unlink()
    write_record(out, replace(record, model=evil))
    assert [record.model for record in records_in(out)] == [evil]
    capsys.readouterr()
    assert main(["table", str(out), "--write"]) == 0
    for text in (
        capsys.readouterr().out,
        (out / "digits.md").read_text(),
        (out / "index.html").read_text(),
    ):
        assert "img src=x" in text and "<img src=x" not in text.replace("\\<img", "")


@pytest.mark.parametrize("field", ["model", "family", "variant", "dataset", "protocol.name"])
def test_a_record_whose_names_steer_a_terminal_is_refused(field, tmp_path, capsys):
    tree = json.loads(EXAMPLE.read_text())
    group = tree
    *above, last = field.split(".")
    for key in above:
        group = group[key]
    group[last] = "\x1b[31mred"
    if field == "dataset":
        tree["protocol"]["dataset"] = group[last]
    path = tmp_path / "records" / "digits" / EXAMPLE.name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**tree, "digest": content_digest(tree)}))
    line = refused(capsys, "table", tmp_path)
    assert f"{field} is '\\x1b[31mred', not a text of at most 200" in line


def test_names_of_files_are_printable_in_messages(tmp_path, capsys):
    path = tmp_path / "records" / "digits" / "a\x1b[31m\nb-s0-00000000.json"
    path.parent.mkdir(parents=True)
    path.write_text(EXAMPLE.read_text())
    line = refused(capsys, "table", tmp_path)
    assert f"{path.parent}/a\\x1b[31m\\nb-s0-00000000.json: a record of this content is" in line
    assert line.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "<b>",
        "a b",
        "-x",
        "a\x1b[31m",
        "../up",
        "a/b",
        ".hidden",
        "two\nlines",
        "noise-floor",
        "",
    ],
)
def test_a_label_that_is_no_file_name_is_refused(name, tmp_path, capsys):
    np.savez(tmp_path / "theirs.npz", images=np.zeros((2_000, 8, 8), np.uint8), levels=17)
    foreign(capsys, tmp_path / "theirs.npz", tmp_path / "out", name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.npz"]


# --- links --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link", [".", "checkpoints", "metrics.jsonl", "log.txt", "lock", "previews"]
)
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
    line = refused(
        capsys, "train", "-c", RECIPE, "--smoke", "--wandb.mode=disabled", f"--run_dir={run}"
    )
    assert f"is a link to {elsewhere}" in line
    assert sorted(path.name for path in elsewhere.iterdir()) == [f"{i}.ckpt" for i in range(4)]


def test_a_run_with_a_link_is_neither_sampled_nor_measured_nor_drawn(tiny, tmp_path, capsys):
    """Its configuration, or what it has logged, would be somebody's file elsewhere."""
    run, elsewhere = train(tiny(RECIPE, "budget.images=32")), tmp_path / "elsewhere"
    for name in ("config.yaml", "state.json", "metrics.jsonl", "model.safetensors"):
        (run.path / name).rename(elsewhere)
        (run.path / name).symlink_to(elsewhere)
        for command in (
            ("sample", run.path, "-o", tmp_path / "x.png"),
            ("evaluate", run.path),
            ("explore", run.path),
        ):
            assert f"{name} is a link to {elsewhere}" in refused(capsys, *command)
        elsewhere.rename(run.path / name)


def test_a_link_to_a_run_is_not_measured_and_folders_above_may_be_links(tiny, tmp_path, capsys):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    run = train(tiny(RECIPE, "budget.images=32", folder="runs/one"))
    assert run.weights.exists()
    (tmp_path / "best").symlink_to(run.path)
    assert "is a link to" in refused(capsys, "sample", tmp_path / "best", "-o", tmp_path / "x.png")
    assert main(["sample", str(run.path), "-n", "1", "-o", str(tmp_path / "x.png")]) == 0


def test_an_id_of_a_run_is_no_path(tiny, tmp_path, caplog):
    """wandb makes a folder of the id that it finds in a run folder."""
    config = tiny(RECIPE)
    plain = WandbLog(config, tmp_path, "digits").version
    for evil in ("../../owned", "a/b", "", "x" * 200, {"a": 1}, "a\nb"):
        caplog.clear()
        (tmp_path / "wandb.json").write_text(json.dumps({"id": evil, "suite": "x"}))
        page = WandbLog(config, tmp_path, "digits")
        assert page.version == page.version == plain
        assert page.tags == ["vae", "digits"]
        (said,) = caplog.messages
        assert said.startswith(f"{tmp_path}/wandb.json is damaged: id is ")
        assert "not 1 to 64 letters, digits, _ and -; it is written anew" in said
        assert "\n" not in said
    caplog.clear()
    (tmp_path / "wandb.json").write_text(json.dumps({"id": "mine-1", "suite": ["x"]}))
    assert WandbLog(config, tmp_path, "digits").tags == ["vae", "digits"]
    assert "suite is ['x'], not a text" in caplog.text
    (tmp_path / "wandb.json").write_text(json.dumps({"id": "mine-1"}))
    assert WandbLog(config, tmp_path, "digits").version == "mine-1"


# --- the code itself ----------------------------------------------------------------------------------------------------------


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    """Every call of a.b.c() in the package whose name ends so."""
    return [
        (path, call) for path, call, function in every_call() if f".{function}".endswith(f".{name}")
    ]


@cache
def every_call() -> list[tuple[Path, ast.Call, str]]:
    found = []
    for path in sorted(Path(genbench.__file__).parent.rglob("*.py")):
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        found += [(path, call, ast.unparse(call.func)) for call in calls]
    return found


def test_the_package_unpickles_nothing_but_tensors():
    def options(name: str) -> set[tuple[str, str]]:
        return {
            (k.arg, ast.unparse(k.value)) for _, call in calls(name) for k in call.keywords if k.arg
        }

    assert all(
        "weights_only=True" in ast.unparse(call) for _, call in calls("torch.load")
    ) and calls("torch.load")
    assert all("allow_pickle=False" in ast.unparse(call) for _, call in calls("np.load")) and calls(
        "np.load"
    )
    assert all("Loader=_Loader" in ast.unparse(call) for _, call in calls("yaml.load")) and calls(
        "yaml.load"
    )
    for name in (
        "pickle.load",
        "pickle.loads",
        "eval",
        "exec",
        "os.system",
        "os.popen",
        "yaml.unsafe_load",
        "load_module",
    ):
        assert not [call for _, call in calls(name) if ast.unparse(call.func) == name], name
    assert ("shell", "True") not in options("subprocess.run") | options(
        "subprocess.Popen"
    ) | options("run") | options("Popen")
    # one place reads a published pickle, with a reader that admits arrays and plain containers
    assert [
        path.name
        for path in Path(genbench.__file__).parent.rglob("*.py")
        if "pickle.Unpickler)" in path.read_text()
    ] == ["cifar10.py"]


# --- optimised Python -----------------------------------------------------------------------------------------------------------


def narrows(test: ast.expr) -> bool:
    """Whether a condition only tells the type checker what is known: `x is not None`, `isinstance(x, T)`, or several of them."""
    if isinstance(test, ast.BoolOp):
        return all(map(narrows, test.values))
    if isinstance(test, ast.Compare):
        return isinstance(test.ops[0], ast.IsNot) and isinstance(test.comparators[0], ast.Constant)
    return (
        isinstance(test, ast.Call)
        and isinstance(test.func, ast.Name)
        and test.func.id == "isinstance"
    )


def test_no_check_is_lost_where_python_leaves_out_assertions():
    package = Path(genbench.__file__).parent
    asserted = [
        (path.name, node.lineno)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert) and not narrows(node.test)
    ]
    assert not asserted
