"""YAML as genbench reads it: the core schema of YAML 1.2, without values that are read as something
else than they look like.

    text        on, off, yes, no, 1:30, 2026-11-28 and every key of a mapping
    numbers     decimal, so that 010 is 10; 0x1F and 0o17 as in YAML 1.2; 1e-3 is a number; 64_000 is 64000, an extension
    refused     a key given twice, anchors and aliases, tags, and nesting of more than 32 levels

A number or a truth value keeps the text that it was read from, since a text may look like one:
`name: 010` names a model "010".
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from genbench.errors import InputError, reason
from genbench.system.files import read_regular

__all__ = [
    "Decimal",
    "Integer",
    "Truth",
    "check_yaml_name",
    "dump_yaml",
    "files_read",
    "key_lines",
    "load_yaml",
    "parse_yaml",
    "plain",
    "read_yaml",
    "written_text",
]

# Deeper YAML is no configuration, and would exhaust the stack of the code that walks through it.
_DEEPEST = 32
_FILES_READ: set[Path] = set()
_DIGITS = r"[0-9]+(_[0-9]+)*"

# This is the schema of section 10.3.2 of YAML 1.2.2, with underscores between digits.
_SCHEMA = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": rf"[-+]?{_DIGITS}|0o[0-7]+|0x[0-9a-fA-F]+",
    "tag:yaml.org,2002:float": (
        rf"[-+]?(\.{_DIGITS}|{_DIGITS}(\.({_DIGITS})?)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}


class Integer(int):
    """A whole number, and the text that it was read from."""

    text: str


class Decimal(float):
    """A number with a point or an exponent, and the text that it was read from."""

    text: str


class Truth(int):
    """True or false, and the text that it was read from."""

    text: str


class _Refused(yaml.MarkedYAMLError):
    """YAML that says something twice, or something that cannot be kept."""


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node of the document. Refuses anchors, aliases, tags and deep nesting."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                problem="anchors and aliases are not taken: write the values out",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(
                problem="tags are not taken", problem_mark=event.start_mark
            )
        if self.depth == _DEEPEST:
            raise yaml.composer.ComposerError(
                problem=f"it is nested more than {_DEEPEST} deep", problem_mark=event.start_mark
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        """A mapping; its keys are texts, each given once."""
        lines: dict[str, int] = {}
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(problem="a key is a text", problem_mark=key_node.start_mark)
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in lines:
                raise _Refused(
                    problem=f"the key {key} is given twice, first in line {lines[key]}",
                    problem_mark=key_node.start_mark,
                )
            lines[key] = line
            content[key] = self.construct_object(value_node, deep=True)
        return content

    def sequence(self, node: yaml.SequenceNode) -> list[Any]:
        """A list."""
        return [self.construct_object(value, deep=True) for value in node.value]

    def integer(self, node: yaml.ScalarNode) -> Integer:
        """A whole number: decimal, 0o octal or 0x hexadecimal."""
        text = node.value.replace("_", "")
        prefix = text[:2]
        base = {"0o": 8, "0x": 16}.get(prefix, 10)
        try:
            number = Integer(int(text, base))
        except ValueError:
            # Python reads at most 4,300 digits.
            raise _Refused(
                problem="a number of too many digits", problem_mark=node.start_mark
            ) from None
        number.text = node.value
        return number

    def decimal(self, node: yaml.ScalarNode) -> Decimal:
        """A number with a point or an exponent, an infinity, or NaN."""
        text = node.value.replace("_", "").lower()
        number = Decimal(text.replace(".inf", "inf").replace(".nan", "nan"))
        number.text = node.value
        return number

    def truth(self, node: yaml.ScalarNode) -> Truth:
        """True or false."""
        value = Truth(node.value.lower() == "true")
        value.text = node.value
        return value


# The resolvers of YAML 1.1 are removed.
_Loader.yaml_implicit_resolvers = {}


for _tag, _pattern in _SCHEMA.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), None)


_Loader.yaml_constructors = {
    "tag:yaml.org,2002:null": lambda loader, node: None,
    "tag:yaml.org,2002:bool": _Loader.truth,
    "tag:yaml.org,2002:int": _Loader.integer,
    "tag:yaml.org,2002:float": _Loader.decimal,
    "tag:yaml.org,2002:str": lambda loader, node: str(node.value),
    "tag:yaml.org,2002:map": _Loader.mapping,
    "tag:yaml.org,2002:seq": _Loader.sequence,
    None: yaml.SafeLoader.construct_undefined,
}


class _Dumper(yaml.SafeDumper):
    """Quotes each text that YAML 1.1 or 1.2 would read as something else."""


for _tag, _pattern in _SCHEMA.items():
    _Dumper.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), None)


def check_yaml_name(path: Path, kind: str, shipped_ones: str) -> None:
    """Refuse a file of another kind by its name, before it is read as YAML.

    Args:
        path: The file.
        kind: What it should be, such as "recipe".
        shipped_ones: Where to look for those that come with genbench.

    Raises:
        InputError: The name ends in neither .yaml nor .yml nor .json, which YAML includes.
    """
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise InputError(
            f"{path} is no {kind}: that is a file of YAML, whose name ends in .yaml; {shipped_ones}"
        )


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text; its numbers and truth values know their `text`.

    Args:
        text: One document.
        origin: What the error calls it: a path, or an option.

    Raises:
        InputError: It is not YAML, or holds what is not taken.
    """
    try:
        return _copied(_value_of(text))
    except yaml.YAMLError as error:
        if isinstance(error, _Refused) and error.problem_mark is not None:
            raise InputError(
                f"{origin}, line {error.problem_mark.line + 1}: {error.problem}"
            ) from None
        raise InputError(f"{origin} is not YAML: {_in_words(error)}") from None


@lru_cache(maxsize=512)
def _value_of(text: str) -> Any:
    """The value of a YAML text, read once: recipes, claims and the configuration of a run are asked
    for again and again. To copy, not to change.
    """
    return yaml.load(text, Loader=_Loader)


def _copied(value: Any) -> Any:
    """A copy of mappings and lists; numbers and texts are never changed."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _in_words(error: yaml.YAMLError) -> str:
    """What a reader of YAML says, in one line, with the place in the text."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = [getattr(error, "context", None), getattr(error, "problem", None)]
    message = ", ".join(word for word in words if word)
    if mark is None or not message:
        return reason(error).replace(' in "<unicode string>",', ", at")
    return f"{message}, line {mark.line + 1}, column {mark.column + 1}"


def files_read() -> list[Path]:
    """Every YAML file that this process has read so far: suites, recipes, protocols and cards,
    wherever they lie.
    """
    return sorted(_FILES_READ)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; its numbers and truth values know their `text`.

    Raises:
        InputError: It cannot be read, is not YAML, or holds something else.
    """
    _FILES_READ.add(path.resolve())
    try:
        text = read_regular(path).decode()
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    except UnicodeDecodeError:
        raise InputError(f"cannot read {path}: it is not UTF-8; save it as UTF-8") from None
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise InputError(
            f"{path} holds no settings: a configuration is a YAML mapping of keys to values"
        )
    return tree


def key_lines(path: Path) -> list[tuple[tuple[str, ...], int]]:
    """Every key of a YAML file that `read_yaml` takes, with its line.

    Returns:
        The key with the groups around it, outermost first, as they are written; and its line, from
        1.
    """
    lines: list[tuple[tuple[str, ...], int]] = []

    def visit(node: yaml.Node | None, groups: tuple[str, ...]) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            keys = (*groups, key.value)
            lines.append((keys, key.start_mark.line + 1))
            visit(value, keys)

    visit(yaml.compose(read_regular(path).decode(), Loader=_Loader), ())
    return lines


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, in plain Python values.

    Raises:
        InputError: It cannot be read, is not YAML, or holds something else.
    """
    return dict(plain(read_yaml(path)))


def written_text(value: Any) -> str | None:
    """The text that a value was read from; None for what is no scalar, or null."""
    if isinstance(value, str):
        # The type is exactly str, whatever class the text had: YAML and JSON write no other.
        return str(value)
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text
    return None


def plain(value: Any) -> Any:
    """A value without the texts that its parts were read from."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Truth):
        return bool(value)
    if isinstance(value, Integer):
        return int(value)
    if isinstance(value, Decimal):
        return float(value)
    return value


def dump_yaml(tree: dict[str, Any]) -> str:
    """Plain values as YAML that `parse_yaml`, and YAML 1.1 too, reads as the same values."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False)
