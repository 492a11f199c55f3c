"""Plain values, as JSON and YAML hold them, against types: the one reader for every file that is read back.

A dataclass is the schema of a mapping. Every field without a default is required, and none may be added; a field's type says what
its value may be:

    str, int, float, bool      of exactly that type; an integer is taken for a float; NaN and infinities are refused
    Literal["a", "b"]          one of these values
    X | None                   X, or null
    tuple[X, ...], dict[str, X], list[X]
    Annotated[X, Range(0, 1)]  a number between 0 and 1, both included
    Annotated[X, Pattern(p)]   a text that the regular expression p matches whole
    Any                        any plain value

What depends on several fields is checked by the dataclass itself, in `__post_init__`, which raises ValueError.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from genbench.errors import InputError, nearest
from genbench.files import parse_json, read_text

__all__ = [
    "Amount",
    "Count",
    "Natural",
    "Pattern",
    "Range",
    "Sha256",
    "Share",
    "parse_json",
    "read_json_as",
    "read_value",
]

T = TypeVar("T")
# more than any count of images, bytes or seconds, and still an integer of every file format
_LARGEST = 2**62 - 1


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included, that are larger than `above`."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value > self.above

    def __str__(self) -> str:
        if self.above > -math.inf:
            return f"above {self.above:g}"
        return f"at least {self.low:g}" if self.high >= _LARGEST else f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Pattern:
    """Texts that a regular expression matches whole, and what they are called."""

    expression: str
    words: str


Count = Annotated[int, Range(0, _LARGEST)]
Natural = Annotated[int, Range(1, _LARGEST)]
Amount = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Sha256 = Annotated[str, Pattern(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]


def read_value(kind: Any, value: Any, where: str = "") -> Any:
    """A plain value as a value of a type.

    Args:
        kind: The type, as in the docstring of this module.
        value: What a file holds.
        where: Name of the value in messages, such as `cost.images_seen`; empty for a whole file.

    Raises:
        ValueError: One line that names the field, its value, and what would be right.
    """
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is Annotated:
        return _read_annotated(arguments[0], arguments[1:], value, where)
    if is_dataclass(kind):
        return _read_fields(kind, value, where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return read_value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if any(type(value) is type(a) and value == a for a in arguments):
            return value
        return _fail(where, f"one of {', '.join(str(a) or repr(a) for a in arguments)}", value)
    if origin is tuple and isinstance(value, list):
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(each) == len(value):
            return tuple(read_value(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(each, value)))
    if origin is list and isinstance(value, list):
        return [read_value(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        prefix = f"{where}." if where else ""
        if any(type(key) is not str for key in value):
            _fail(where, "a group whose keys are texts", value)
        return {key: read_value(arguments[1], v, f"{prefix}{key}") for key, v in value.items()}
    if kind is float and type(value) in (int, float) and _is_finite(value):
        return float(value)
    if kind is Any or (type(value) is kind and kind is not float):
        return value
    return _fail(where, _name(kind), value)


def read_json_as(kind: type[T], path: Path, cure: str) -> T:
    """A file of JSON as a value of a type.

    Args:
        kind: The type, such as a dataclass.
        path: The file.
        cure: What to do about a damaged file: the end of the message.

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
    result = read_value(kind, value, where)
    for rule in rules:
        if isinstance(rule, Range) and result not in rule:
            _fail(where, str(rule), value)
        if isinstance(rule, Pattern) and not re.fullmatch(rule.expression, result):
            _fail(where, rule.words, value)
    return result


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        _fail(where, "a group of fields", value)
    prefix = f"{where}." if where else ""
    names = [f.name for f in fields(kind)]
    optional = {f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING}
    for name in names:
        if name not in value and name not in optional:
            raise ValueError(f"{prefix}{name} is missing")
    for key in value:
        if key not in names:
            raise ValueError(f"{prefix}{_short(str(key))} is not a field of it; {nearest(str(key), names)}")
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{name: read_value(hints[name], value[name], prefix + name) for name in names if name in value})


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False


def _fail(where: str, wanted: str, value: Any) -> NoReturn:
    raise ValueError(f"{where or 'it'} is {_shown(value)}, not {wanted}")


def _shown(value: Any) -> str:
    """A value as it may stand in a message: an integer of a million digits is not printed at all."""
    if type(value) is int and value.bit_length() > 200:
        return "an integer of more than 60 digits"
    return _short(repr(value))


def _short(text: str) -> str:
    """At most 60 characters in one line."""
    text = one_line(text)
    return text if len(text) <= 60 else text[:57] + "..."


def _name(kind: Any) -> str:
    plain = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false"}
    groups = {tuple: "a list of the right length", list: "a list", dict: "a group of fields"}
    return plain.get(kind) or groups.get(get_origin(kind), str(kind))
