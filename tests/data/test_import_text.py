"""A text of one's own: windows, splits, alphabet, what the training part lacks, and a model of it from the command line."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.cli.main import main
from genbench.data.commands import every
from genbench.data.import_text import windows_of
from genbench.data.imported import Imported
from genbench.runs.build import load
from genbench.spec import Text

SPLITS = ("train", "val", "test")
# 1,203 characters, of which the last 300 have a letter that the first 900 lack
TEXT = "the quick brown fox\n" * 45 + "jumped over\tit " * 20 + "end"


def run(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


def imported(tmp_path: Path, text: str, *options: object, name: str = "own") -> Imported:
    """A text that was imported in windows of ten characters."""
    (tmp_path / "own.txt").write_text(text, encoding="utf-8", newline="")
    at = ("--name", name, "--root", tmp_path, *(() if "--length" in options else ("--length", 10)))
    assert run("import", tmp_path / "own.txt", *at, *options) == 0
    return Imported(name, str(tmp_path))


def written(data: Imported, split: str) -> str:
    """The text that the windows of a split make, one behind the other."""
    x, _ = data.arrays(split)
    assert isinstance(data.spec.looks, Text)
    return "".join(data.spec.looks.read(line) for line in x.reshape(len(x), -1).tolist())


def test_windows_are_contiguous_parts_of_the_text_without_overlap(tmp_path):
    text = "".join(chr(97 + (7 * i + i // 26) % 26) for i in range(1_004))
    data = imported(tmp_path, text)
    assert data.sizes == (90, 5, 5)
    assert "".join(written(data, split) for split in SPLITS) == text[:1_000]
    assert written(data, "train") == text[:900]
    assert written(data, "test") == text[950:1_000]
    assert data.spec.shape == (1, 1, 10)
    assert data.spec.looks == Text("abcdefghijklmnopqrstuvwxyz")
    assert (data.spec.levels, data.spec.y, data.protocol) == (26, None, "likelihood")


def test_shares_and_numbers_of_windows(tmp_path):
    assert imported(tmp_path, TEXT, "--val", 7, "--test", 0.25).sizes == (83, 7, 30)


def test_every_character_stays_as_it_is(tmp_path):
    text = "\ufeff" + "a\r\n\tb\u00e9\U0001f600 \x0c" * 40
    data = imported(tmp_path, text, "--length", 9)
    # a byte-order mark at the beginning is none of the text
    assert written(data, "train") == text[1:][: 9 * data.sizes[0]]
    assert data.spec.looks.alphabet == "\t\n\x0c\r ab\u00e9\U0001f600"


def test_what_the_training_part_lacks_is_one_declared_level(tmp_path, capsys):
    data = imported(tmp_path, TEXT, "--val", 20, "--test", 20)
    out = capsys.readouterr().out
    text = TEXT[:1_200]
    train = text[: 10 * data.sizes[0]]
    assert set(train) == set(data.spec.looks.alphabet[:-1])
    assert list(data.spec.looks.alphabet[:-1]) == sorted(set(train))
    assert data.spec.looks.alphabet[-1] == "\ufffd"
    for split, start in zip(SPLITS, np.cumsum([0, *data.sizes])):
        part = text[10 * start :][: 10 * data.sizes[SPLITS.index(split)]]
        expected = "".join(c if c in train else "\ufffd" for c in part)
        assert written(data, split) == expected
        n = expected.count("\ufffd")
        assert data.source["text"]["unknown_counts"][SPLITS.index(split)] == n
        assert (n > 0) == (split != "train")
    assert "characters that the training part lacks ('\\t', 'd', 'j', 'm', 'p', 'v')" in out
    assert "likelihoods are those of the text so written" in out
    assert data.source["text"]["unknown"] == "\ufffd"
    assert (data.source["text"]["characters"], data.source["text"]["left_over"]) == (1_203, 3)


def test_a_text_that_has_the_replacement_character_gets_no_second_one():
    windows = windows_of("a\ufffdab" + "c\ufffd", 2, {"train": 2, "test": 1})
    assert windows.alphabet == "ab\ufffd"
    assert windows.arrays["test"][0].ravel().tolist() == [2, 2]
    assert windows.counts == {"train": 0, "test": 1}


def test_an_alphabet_of_more_than_256_characters_is_int32(tmp_path):
    text = "".join(chr(0x4E00 + i % 400) for i in range(4_000))
    data = imported(tmp_path, text)
    x, _ = data.arrays("train")
    assert x.dtype == np.int32 and x.max() == 399
    assert "".join(written(data, split) for split in SPLITS) == text


def test_the_same_text_is_there_already_and_another_one_is_refused(tmp_path, capsys):
    first = imported(tmp_path, "abcabcabac" * 20)
    imported(tmp_path, "abcabcabac" * 20)
    assert "was there already, the same" in capsys.readouterr().out
    # the same levels of another alphabet
    (tmp_path / "own.txt").write_text("xyzxyzxyxz" * 20)
    at = ("import", tmp_path / "own.txt", "--name", "own", "--root", tmp_path, "--length", 10)
    assert run(*at) == 2
    assert "holds another data set own" in capsys.readouterr().err
    assert run(*at, "--replace") == 0
    assert Imported("own", str(tmp_path)).spec.looks == Text("xyz")
    assert first.spec.looks == Text("abc")


def test_held_out_windows_that_are_learnt_too_are_counted(tmp_path, capsys):
    imported(tmp_path, "0123456789" * 100)
    assert "  10 windows for validation and testing are windows for training too" in (
        capsys.readouterr().out
    )


def test_a_text_is_listed_shown_and_never_flipped(tmp_path, capsys):
    imported(tmp_path, TEXT)
    assert "own" in {data.name for data in every(str(tmp_path))}
    assert run("show", "own", "--root", tmp_path, "-o", tmp_path / "own.png") == 0
    assert "own: shape 1x1x10, 23 levels, protocol likelihood" in capsys.readouterr().out
    assert (tmp_path / "own.png").stat().st_size > 1_000
    with pytest.raises(ValueError, match=r"data\.flip is about pictures; own is a text"):
        Imported("own", str(tmp_path), flip=True)


def test_a_card_whose_alphabet_lacks_a_character_is_damaged(tmp_path):
    imported(tmp_path, TEXT)
    path = tmp_path / "imported" / "own" / "card.json"
    card = json.loads(path.read_text())
    card["source"]["text"]["alphabet"] = "abc"
    path.write_text(json.dumps(card))
    with pytest.raises(ValueError, match="3 characters of 23 levels"):
        Imported("own", str(tmp_path))


REFUSED = {
    "empty": (b"", ["--length", 10], "own.txt is empty"),
    "only a mark": (b"\xef\xbb\xbf", ["--length", 10], "0 characters are 0 windows of 10, too few"),
    "short": (b"abcdefghij" * 2 + b"abc", ["--length", 10], "23 characters are 2 windows of 10"),
    "one character": (b"a" * 100, ["--length", 10], "1 different characters; 2 to 65,536"),
    "latin-1": ("caf\u00e9 ".encode("latin-1") * 20, ["--length", 10], "byte 0xe9 at 3 is not UTF-8"),
    "binary": (b"\x89PNG\r\n\x00\x00" * 20, ["--length", 10], "holds bytes of value 0"),
    "utf-16": ("abc".encode("utf-16") * 20, ["--length", 10], "holds bytes of value 0"),
    "length 1": (b"ab" * 100, ["--length", 1], "--length 1: characters of a window, at least 2"),
    "length 0": (b"ab" * 100, ["--length", 0], "not a positive number"),
    "no length": (b"ab" * 100, [], "--size --length is required"),
    "both": (b"ab" * 100, ["--length", 10, "--size", 8], "not allowed with"),
    "size": (b"ab" * 100, ["--size", 8], "a text is imported by --length L"),
    "channels": (b"ab" * 100, ["--length", 10, "--channels", "grey"], "--channels is about pictures"),
    "skip": (b"ab" * 100, ["--length", 10, "--skip-bad"], "--skip-bad is about pictures"),
    "white": (b"ab" * 100, ["--length", 10, "--white", 9], "--white is about pictures"),
    "no training": (b"ab" * 100, ["--length", 10, "--val", 12, "--test", 12], "too few"),
    "share": (b"ab" * 100, ["--length", 10, "--val", 2.5], "neither a number"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "says"), REFUSED.values(), ids=REFUSED)
def test_bad_texts_are_refused_in_one_line(content, options, says, tmp_path, capsys):
    (tmp_path / "own.txt").write_bytes(content)
    at = ("--name", "own", "--root", tmp_path / "root")
    assert run("import", tmp_path / "own.txt", *at, *options) == 2
    message = capsys.readouterr().err
    assert says in message
    assert message.count("\n") == 1
    assert not (tmp_path / "root").exists()


def test_a_folder_and_a_missing_file_are_no_texts(tmp_path, capsys):
    for path, says in ((tmp_path, "is a folder"), (tmp_path / "absent.txt", "No such file")):
        at = ("import", path, "--name", "own", "--root", tmp_path / "root", "--length", 10)
        assert run(*at) == 2
        message = capsys.readouterr().err
        assert says in message and "a file of text in UTF-8 is right" in message


def python_topics() -> Path:
    """A long text that every Python has: the help texts of the language."""
    found = importlib.util.find_spec("pydoc_data.topics")
    assert found is not None and found.origin is not None
    return Path(found.origin)


def test_a_transformer_learns_scores_and_completes_the_text_of_pydoc(tmp_path, capsys):
    at = ("--name", "topics", "--root", tmp_path, "--length", 32, "--test", 200, "--val", 100)
    assert run("import", python_topics(), *at) == 0
    data = Imported("topics", str(tmp_path))
    text = python_topics().read_bytes().decode()
    train = text[: 32 * data.sizes[0]]
    assert written(data, "train") == train
    folder = str(tmp_path / "run")
    options = [
        *("-c", "grammar/transformer", "--smoke", f"--run_dir={folder}"),
        "--data.class_path=genbench.data.imported.Imported",
        *("--data.name=topics", f"--data.root={tmp_path}", "--wandb.mode=disabled"),
        "--budget.images=3200",
    ]
    assert main(["train", *options]) == 0
    assert main(["evaluate", folder, "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out" / "records").rglob("*.json")
    likelihood = json.loads(path.read_text())["likelihood"]
    assert likelihood["kind"] == "exact"
    assert likelihood["images"] == 200

    # bits per character by hand, from the logits of every character given those before it
    model = load(folder)
    x, _ = data.tensors("test")
    with torch.no_grad():
        log_p = model.net(x).log_softmax(1).gather(1, x.long()[:, None])
    bits = -float(log_p.double().mean()) / math.log(2)
    assert likelihood["bits_per_dim"] == pytest.approx(bits, rel=1e-5)
    # less than by the frequencies of characters alone being equal
    assert bits < math.log2(data.spec.levels) - 1

    capsys.readouterr()
    sample = ["sample", folder, "-n", "8", "-o"]
    assert main([*sample, str(tmp_path / "texts"), "--prompt=The "]) == 0
    lines = [path.read_text() for path in sorted((tmp_path / "texts").iterdir())]
    assert len(lines) == 8
    assert all(line.startswith("The ") and len(line) == 33 for line in lines)
    assert len(set(lines)) > 1
    assert main([*sample, str(tmp_path / "others"), "--prompt=\u4e00"]) == 2
    message = capsys.readouterr().err
    assert "is no character of topics" in message and message.count("\n") == 1
