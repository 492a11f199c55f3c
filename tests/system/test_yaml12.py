"""YAML is read by the core schema of YAML 1.2: what looks like a text is a text, and nothing that was written is lost."""

from __future__ import annotations

import math

import pytest
import yaml

from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.suites.suite import load_suite
from genbench.system.yaml12 import dump_yaml, load_yaml, parse_yaml, plain, written_text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"a: [1",
            "while parsing a flow sequence, expected ',' or ']', but got '<stream end>', line 1",
        ),
        (b"a: *x", "anchors and aliases are not taken: write the values out, line 1, column 4"),
        (b"\na: b: c", "mapping values are not allowed here, line 2, column 5"),
        (b"a: \x00", "special characters are not allowed, at position 3"),
    ],
)
def test_an_error_names_its_line_and_nothing_of_the_reader(content, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_yaml(path)
    assert str(error.value).startswith(f"{path} is not YAML: ")
    assert message in str(error.value)
    assert "unicode string" not in str(error.value)
    assert "\n" not in str(error.value)


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1", encoding="utf-16")
    with pytest.raises(InputError, match=r"mine\.yaml: it is not UTF-8; save it as UTF-8$"):
        load_yaml(path)


def value(text: str) -> object:
    return plain(parse_yaml(text, "text"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("010", 10),
        ("064", 64),
        ("-007", -7),
        ("+5", 5),
        ("0x1F", 31),
        ("0o17", 15),
        ("64_000", 64000),
        ("1e-3", 1e-3),
        ("1e3", 1e3),
        ("0.50", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000.5", 1000.5),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_are_those_of_yaml_1_2(text, expected):
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        "1:30",
        "1:30:00",
        "190:20:30.15",
        "0b101",
        "1__0",
        "_1",
        "1_",
        "on",
        "Off",
        "yes",
        "NO",
        "y",
        "2026-11-28",
        "<<",
        "=",
    ],
)
def test_texts_that_yaml_1_1_reads_as_something_else(text):
    assert value(text) == text
    assert value(f"{text}: 1") == {text: 1}


def test_keys_are_texts():
    assert value("{010: a, true: b, 1.50: c, null: d}") == {
        "010": "a",
        "true": "b",
        "1.50": "c",
        "null": "d",
    }


def test_numbers_and_truth_values_know_what_was_written():
    tree = parse_yaml("{a: 010, b: True, c: 1.50, d: text, e: null, f: []}", "text")
    assert {key: written_text(item) for key, item in tree.items()} == {
        "a": "010", "b": "True", "c": "1.50", "d": "text", "e": None, "f": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "text, line 3: the key a is given twice, first in line 1"),
        (
            "a:\n  b: {c: 1,\n      c: 2}\n",
            "text, line 3: the key c is given twice, first in line 2",
        ),
        ("[1]: 2", "text, line 1: a key is a text"),
        ("a: !!int 3", "tags are not taken"),
        ("a: !b c", "tags are not taken"),
        (f"\na: {'9' * 5000}", "text, line 2: a number of too many digits"),
        ("a: 1\n---\nb: 2", "is not YAML"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text, says):
    with pytest.raises(InputError) as error:
        parse_yaml(text, "text")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


# of YAML 1.1 and 1.2, and what only looks like it
TEXTS = (
    "010", "1e3", "1e-5", "0o17", "0x1", "0b1", "on", "y", "1:30", "2026-11-28", "~", "", "null", "a: b", "a #b", "1_000", "TRUE", "<<",
    "=", ".5", "- a", "[a", "{", "!a", "&a", "*a", "two\nlines", " a ", "'", '"', "%a", "@a", "`", "é", "?", ":", "-", ".nan",
)  # fmt: skip


def test_what_is_written_is_read_back_by_this_reader_and_by_pyyaml():
    tree = {
        "texts": list(TEXTS),
        "keys": dict.fromkeys(TEXTS, 1),
        "numbers": [1e-5, 1e22, 1.0, 5e-324, 10, -3, True, False, None],
        "empty": [{}, []],
    }
    written = dump_yaml(tree)
    assert value(written) == tree
    assert list(map(type, value(written)["numbers"])) == list(map(type, tree["numbers"]))
    assert yaml.safe_load(written) == tree


@pytest.mark.parametrize("read", [load_config, load_suite, load_yaml])
def test_every_file_with_a_key_given_twice_is_refused(read, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("seed: 1\nbudget: {images: 100}\nseed: 2\n")
    with pytest.raises(
        InputError, match=r"twice\.yaml, line 3: the key seed is given twice, first in line 1$"
    ):
        read(path)
