"""What a key of a configuration may hold, by the signatures of the classes that it names.

A key that is a text by its annotation (`str`, or a `Literal` of texts) takes what the user wrote,
letter by letter; any other takes the value that YAML reads there. null is taken where the
annotation has None, or the default is None.
"""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genbench.config.settings import Budget, Evaluation, TrainerSettings, WandbSettings
from genbench.optimization import Optimization
from genbench.system.yaml12 import plain, written_text

__all__ = [
    "GROUPS",
    "annotation",
    "described",
    "is_text",
    "members",
    "parameters",
    "settled",
    "takes_null",
    "takes_text",
]

GROUPS: dict[str, Any] = {
    "budget": Budget,
    "optimization": Optimization,
    "trainer": TrainerSettings,
    "wandb": WandbSettings,
}
_TOP: dict[str, Any] = {
    "seed": int,
    "name": str | None,
    "recipe": str | None,
    "run_dir": str | None,
    "protocol": str | None,
    "base": str,
}


def annotation(tree: dict[str, Any], key: Sequence[str], trusted: Sequence[str]) -> Any:
    """The annotation of a key; Any where there is no such key.

    Args:
        tree: The configuration. Its class paths decide what the keys beside them are.
        key: Its parts, such as ("model", "optimizer", "lr").
        trusted: Packages that may be imported for a signature.
    """
    first, *rest = key
    if first == "needs" and len(rest) > 1:
        needed = (tree.get("needs") or {}).get(rest[0])
        if isinstance(needed, dict):
            return annotation(needed, rest[1:], trusted)
        return Any
    if first in ("data", "model"):
        return _argument(tree.get(first), rest, trusted)
    if first in GROUPS and len(rest) == 1:
        return get_type_hints(GROUPS[first]).get(rest[0], Any)
    if first in GROUPS:
        return _argument(tree.get(first), rest, trusted)
    if first == "evaluations":
        return _option(tree, rest, trusted)
    if rest:
        return Any
    return _TOP.get(first, Any)


def _option(tree: dict[str, Any], key: Sequence[str], trusted: Sequence[str]) -> Any:
    """The annotation of an option of an evaluation, or of an argument of the class that it names.

    Args:
        tree: The configuration.
        key: Below `evaluations`, such as ("heun10", "sample", "steps"); the name of an evaluation
            may have dots, and then be several parts.
        trusted: Packages that may be imported for a signature.
    """
    methods = [i for i, part in enumerate(key) if i and part in Evaluation.__dataclass_fields__]
    if not methods or len(key) < methods[0] + 2:
        return Any
    method, name, *rest = key[methods[0] :]
    if rest:
        evaluation = (tree.get("evaluations") or {}).get(".".join(key[: methods[0]]))
        options = evaluation.get(method) if isinstance(evaluation, dict) else None
        return _argument(options, [name, *rest], trusted)
    model = tree.get("model")
    path = model.get("class_path") if isinstance(model, dict) else None
    return parameters(path, method, tuple(trusted)).get(name, Any)


def _argument(node: Any, key: Sequence[str], trusted: Sequence[str]) -> Any:
    """The annotation of an argument of the class that a node names, or of a class below it."""
    if not key or not isinstance(node, dict):
        return Any
    if len(key) > 1:
        return _argument(node.get(key[0]), key[1:], trusted)
    if key[0] == "class_path":
        return str
    return parameters(node.get("class_path"), "__init__", tuple(trusted)).get(key[0], Any)


@cache
def parameters(class_path: Any, method: str, trusted: tuple[str, ...]) -> dict[str, Any]:
    """The annotations of a method's parameters, by their names.

    Args:
        class_path: The class.
        method: `__init__`, or a method that takes options: `sample` or `log_prob`.
        trusted: Packages that may be imported.

    Returns:
        The annotations, which have None where the default is None. The result is empty if the class
        is not trusted or does not exist.
    """
    if not isinstance(class_path, str) or not class_path.startswith(
        tuple(f"{package}." for package in trusted)
    ):
        return {}
    module, _, name = class_path.rpartition(".")
    try:
        owner = getattr(importlib.import_module(module), name)
        if method != "__init__":
            method = owner.options_method(method)
        function = getattr(owner, method)
        hints = get_type_hints(function)
        defaults = {
            key: parameter.default
            for key, parameter in inspect.signature(function).parameters.items()
        }
    except (ImportError, AttributeError, NameError, TypeError, ValueError):
        return {}  # The code that makes the object says what is wrong.
    return {
        key: hint | None if defaults.get(key, hint) is None else hint for key, hint in hints.items()
    }


def settled(tree: dict[str, Any], trusted: Sequence[str]) -> dict[str, Any]:
    """A configuration in plain Python values, each as its annotation takes it.

    Args:
        tree: The configuration as YAML was read.
        trusted: Packages that may be imported for a signature.

    Raises:
        ValueError: A value is null, or a text in place of a list, where the annotation does not
            take it.
    """

    def settle(value: Any, key: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {part: settle(item, (*key, part)) for part, item in value.items()}
        return _settled(value, annotation(tree, key, trusted), ".".join(key))

    return {part: settle(value, (part,)) for part, value in tree.items()}


def _settled(value: Any, hint: Any, key: str) -> Any:
    """A value, or a list of values, as an annotation takes it."""
    if value is None and not takes_null(hint):
        raise ValueError(f"{key} is null; right is {described(hint)}")
    if isinstance(value, list):
        return [_settled(item, _element(hint, i), key) for i, item in enumerate(value)]
    text = written_text(value)
    if text is not None and is_text(hint):
        return text
    # A text that passed here would be read anew by jsonargparse, and by the rules of YAML 1.1.
    if isinstance(value, str) and not takes_text(hint):
        raise ValueError(f"{key} is the text {value!r}; right is {described(hint)}")
    number = plain(value)
    if not _takes_number(number, hint):
        raise ValueError(f"{key} is {text or number}; right is {described(hint)}")
    return number


def members(hint: Any) -> list[Any]:
    """The members of a union, without None; a type that is no union is its only member.

    >>> members(int | None), members(str)
    ([<class 'int'>], [<class 'str'>])
    """
    union = get_origin(hint) in (Union, types.UnionType)
    return [member for member in (get_args(hint) if union else (hint,)) if member is not type(None)]


def is_text(hint: Any) -> bool:
    """Whether the values of an annotation are texts, apart from null.

    >>> is_text(str | None), is_text(Literal["a", "b"]), is_text(int | str), is_text(Any)
    (True, True, False, False)
    """
    return all(
        member is str
        or (
            get_origin(member) is Literal
            and all(isinstance(value, str) for value in get_args(member))
        )
        for member in members(hint)
    )


def takes_text(hint: Any) -> bool:
    """Whether an annotation takes a text. One that has no plain type takes anything.

    >>> takes_text(int | str), takes_text(float), takes_text(list[str]), takes_text(Any)
    (True, False, False, True)
    """
    kinds = [get_origin(member) or member for member in members(hint) if _is_plain(member)]
    return not kinds or str in kinds or Literal in kinds


def _takes_number(value: Any, hint: Any) -> bool:
    """Whether an annotation takes a value, if that is a number or a truth value; others are judged
    elsewhere. One that has other than plain types takes anything.
    """
    kinds = [get_origin(member) or member for member in members(hint)]
    if type(value) not in (bool, int, float) or Literal in kinds:
        return True
    if not kinds or not all(_is_plain(member) for member in members(hint)):
        return True
    return type(value) in kinds or (type(value) is int and float in kinds)


def takes_null(hint: Any) -> bool:
    """Whether an annotation takes null. One that has no plain type takes anything.

    >>> takes_null(int | None), takes_null(int), takes_null(list[str]), takes_null(Any)
    (True, False, False, True)
    """
    union = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return type(None) in union or not any(_is_plain(member) for member in union)


def _is_plain(member: Any) -> bool:
    """Whether a type is one of those that YAML writes."""
    return (get_origin(member) or member) in (int, float, bool, str, list, tuple, dict, Literal)


def _element(hint: Any, i: int) -> Any:
    """The annotation of element i of a list or a tuple."""
    for member in members(hint):
        elements = get_args(member)
        if get_origin(member) is list or (get_origin(member) is tuple and elements[-1] is Ellipsis):
            return elements[0]
        if get_origin(member) is tuple and i < len(elements):
            return elements[i]
    return Any


def described(hint: Any) -> str:
    """An annotation in words.

    >>> described(int | None), described(Literal["fp32", "bf16-mixed"])
    ('a whole number or null', 'fp32 or bf16-mixed')
    >>> described(tuple[float, float])
    'a list such as [0.5, 0.9]'
    """
    words = [_described(member) for member in members(hint) if _is_plain(member)]
    return " or ".join([*words, "null"] if takes_null(hint) else words)


def _described(member: Any) -> str:
    """A plain type in words."""
    origin = get_origin(member) or member
    if origin is Literal:
        return " or ".join(map(str, get_args(member)))
    if origin is tuple:
        elements = get_args(member)
        example = "a, b"
        if any(float in members(element) for element in elements):
            example = ", ".join(["0.5", "0.9", "0.99"][: len(elements)])
        return f"a list such as [{example}]"
    return {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        list: "a list",
    }.get(origin, "a mapping")
