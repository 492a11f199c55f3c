"""Plain values of JSON and YAML against types: the one reader for every file that is read back.

A dataclass is the schema of a mapping. Every field without a default is required, and none may be
added; a field's type says what its value may be:

    str, int, float, bool      of exactly that type; an integer is taken for a float; NaN and infinities are refused
    Literal["a", "b"]          one of these values
    X | None                   X, or null
    tuple[X, ...], dict[str, X], list[X]
    Annotated[X, rule]         X by a rule below
    Any                        any value, as it is

    Range(0, 1)                a number between 0 and 1, both included
    Pattern(p, words)          a text that the regular expression p matches whole
    OneLine()                  a text that can be printed on one line
    Filled()                   a list that is not empty

Where YAML has a number and a text is wanted, the text is that of the file: `name: 010` is "010".
What depends on several fields is for `__post_init__`.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from genbench.errors import InputError, nearest
from genbench.system.files import read_text
from genbench.system.json_files import parse_json
from genbench.system.yaml12 import plain, read_yaml, written_text

__all__ = [
    "Amount",
    "Count",
    "Filled",
    "Line",
    "Natural",
    "OneLine",
    "Pattern",
    "Range",
    "Seconds",
    "Sha256",
    "Share",
    "Text",
    "read_json_as",
    "read_value",
    "read_yaml_as",
]

T = TypeVar("T")
_type_hints = cache(get_type_hints)  # This takes longer than to read a record.

_LARGEST = 2**62 - 1  # More than any count of images, bytes or seconds.
# This is a hundred years, longer than anything that is measured.
_LONGEST_SECONDS = 100 * 365 * 24 * 3600


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included, that are larger than `above`."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value > self.above

    def __str__(self) -> str:
        high = f"{self.high:,}" if self.high >= 1e6 else f"{self.high:g}"
        if self.above > -math.inf and self.high < math.inf:
            return f"above {self.above:g} and at most {high}"
        if self.above > -math.inf:
            return f"above {self.above:g}"
        if self.high == math.inf:
            return f"at least {self.low:g}" if self.low > -math.inf else "any number"
        if self.low == -math.inf:
            return f"at most {high}"
        return f"from {self.low:g} to {high}"


@dataclass(frozen=True)
class Pattern:
    """Texts that a regular expression matches whole, and what they are called."""

    expression: str
    words: str

    def __contains__(self, text: str) -> bool:
        return re.fullmatch(self.expression, text) is not None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class OneLine:
    """Texts that a terminal and a table show as they are: printable, on one line, and not too long."""

    longest: int = 200

    def __contains__(self, text: str) -> bool:
        return text.isprintable() and len(text) <= self.longest

    def __str__(self) -> str:
        return f"a text of at most {self.longest} characters that can be printed on one line"


@dataclass(frozen=True)
class Filled:
    """Lists that are not empty."""

    def __contains__(self, values: Sequence[Any]) -> bool:
        return len(values) > 0

    def __str__(self) -> str:
        return "a list of at least one"


# There are two rules, so that a message names only the one that is broken: the upper one hardly
# ever is.
Count = Annotated[int, Range(low=0), Range(high=_LARGEST)]
Natural = Annotated[int, Range(low=1), Range(high=_LARGEST)]
Amount = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Seconds = Annotated[float, Range(0, _LONGEST_SECONDS)]
Text = Annotated[str, Pattern(r"(?s).*\S.*", "a text that is not empty")]
Line = Annotated[str, OneLine()]
Sha256 = Annotated[str, Pattern(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]


def read_value(
    kind: Any, value: Any, where: str = "", known: Mapping[str, Any] = types.MappingProxyType({})
) -> Any:
    """Read a plain value as a value of a type.

    Args:
        kind: The type, as in the docstring of this module.
        value: What a file holds.
        where: Name of the value in messages, such as `cost.images_seen`; empty for a whole file.
        known: Fields of a dataclass that the caller gives, and the file must not.

    Raises:
        ValueError: One line that names the field, its value, and what would be right.
    """
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is Annotated:
        return _read_annotated(arguments[0], arguments[1:], value, where)
    if is_dataclass(kind):
        return _read_fields(kind, value, where, known)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return read_value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        readings = (plain(value), written_text(value))
        for choice in arguments:
            if any(type(reading) is type(choice) and reading == choice for reading in readings):
                return choice
        return _fail(where, f"one of {', '.join(str(a) or repr(a) for a in arguments)}", value)
    if origin is tuple and isinstance(value, list):
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(each) == len(value):
            return tuple(
                read_value(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(each, value))
            )
    if origin is list and isinstance(value, list):
        return [read_value(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        prefix = f"{where}." if where else ""
        if any(type(key) is not str for key in value):
            _fail(where, "a group whose keys are texts", value)
        return {key: read_value(arguments[1], v, f"{prefix}{key}") for key, v in value.items()}
    if kind is Any:
        return value
    return _read_scalar(kind, value, where)


def _read_scalar(kind: Any, value: Any, where: str) -> Any:
    """A text, a number or a truth value."""
    scalar: Any = written_text(value) if kind is str else plain(value)
    if kind is float and type(scalar) in (int, float) and _is_finite(scalar):
        return float(scalar)
    if type(scalar) is kind and kind is not float:
        return scalar
    return _fail(where, _name(kind), value)


def read_yaml_as(kind: type[T], path: Path, **known: Any) -> T:
    """Read a file of YAML as a value of a type.

    Args:
        kind: A dataclass.
        path: The file.
        **known: Fields that the caller gives, and the file must not.

    Returns:
        A value of that type.

    Raises:
        InputError: It cannot be read, is not YAML, or is not of that type.
    """
    try:
        value: T = read_value(kind, read_yaml(path), known=known)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {one_line(str(error))}") from None
    return value


def read_json_as(kind: type[T], path: Path, cure: str) -> T:
    """Read a file of JSON as a value of a type.

    Args:
        kind: The type, such as a dataclass.
        path: The file.
        cure: What to do about a damaged file: the end of the message.

    Returns:
        A value of that type.

    Raises:
        FileNotFoundError: There is none.
        InputError: It cannot be read, or is not of that type.
    """
    try:
        value: T = read_value(kind, parse_json(read_text(path)))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {one_line(str(error))}; {cure}") from None
    return value


def one_line(text: str) -> str:
    """A message without line breaks."""
    return " ".join(text.split())


def _read_annotated(kind: Any, rules: Sequence[Any], value: Any, where: str) -> Any:
    """A value of a type that also keeps every rule."""
    # The rule about texts says more than a message that the value is no text.
    if kind is str and written_text(value) is None:
        _fail(where, str(rules[0]), value)
    result = read_value(kind, value, where)
    for rule in rules:
        if result not in rule:
            _fail(where, str(rule), value)
    return result


def _read_fields(kind: Any, value: Any, where: str, known: Mapping[str, Any]) -> Any:
    """A group of fields as a dataclass."""
    names = [f.name for f in fields(kind) if f.name not in known]
    if not isinstance(value, dict):
        _fail(where, f"a group of {', '.join(names)}", value)
    prefix = f"{where}." if where else ""
    optional = {
        f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING
    }
    for key in value:
        if key not in names:
            raise ValueError(f"unknown key {prefix}{_short(str(key))}; {nearest(str(key), names)}")
    for name in names:
        if name not in value and name not in optional:
            raise ValueError(f"{prefix}{name} is missing")
    hints = _type_hints(kind, include_extras=True)
    contents = {
        name: read_value(hints[name], value[name], prefix + name) for name in names if name in value
    }
    try:
        return kind(**known, **contents)
    except ValueError as error:
        if not where:
            raise
        raise ValueError(f"{where}: {error}") from None


def _is_finite(value: float) -> bool:
    """Whether a number is a finite float."""
    try:
        return math.isfinite(value)
    except OverflowError:  # The integer is too large for a float.
        return False


def _fail(where: str, wanted: str, value: Any) -> NoReturn:
    """Raise the ValueError that says what a value is, and what would be right."""
    raise ValueError(f"{where or 'it'} is {_shown(value)}, not {wanted}")


def _shown(value: Any) -> str:
    """A value as it may stand in a message."""
    value = plain(value)
    # Python refuses to print an integer of more than 4,300 digits.
    if type(value) is int and value.bit_length() > 200:
        return "an integer of more than 60 digits"
    return _short(repr(value))


def _short(text: str) -> str:
    """At most 60 characters in one line."""
    text = one_line(text)
    if len(text) <= 60:
        return text
    return text[:57] + "..."


def _name(kind: Any) -> str:
    """What a value of a type is called in messages."""
    scalars = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false"}
    if kind in scalars:
        return scalars[kind]
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} values"
    if origin in (tuple, list):
        return f"a list of {_plural(arguments[0])}"
    if origin is dict:
        return "a group of fields"
    return str(kind)


def _plural(kind: Any) -> str:
    """What values of a type are called in messages."""
    base = kind
    if get_origin(kind) is Annotated:
        base = get_args(kind)[0]
    if is_dataclass(base):
        return f"groups of {', '.join(f.name for f in fields(base))}"
    return {str: "texts", int: "integers", float: "finite numbers"}.get(base, "values")
