"""Arguments of commands, checked while they are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from genbench.errors import InputError

__all__ = ["Parser", "amount", "natural", "overrides", "path_argument", "positive"]


class Parser(argparse.ArgumentParser):
    """One line per error; no abbreviations, which would swallow overrides; no option twice, of
    which one would be lost.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **settings})
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog.removeprefix('genbench').strip()} {message}".strip())


class _StoreOnce(argparse.Action):
    """Keep an option's value; a second one is refused."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given: set[str] = vars(namespace).setdefault("options_given", set())
        if option_string is not None and self.dest in given:
            parser.error(f"{'/'.join(self.option_strings)} is given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def path_argument(text: str) -> Path:
    from genbench.system.locations import expand_home

    return expand_home(text)


def amount(text: str) -> float:
    try:
        value = float(text.replace("_", ""))
        if value > 0 and (value < 1 or value == int(value)):
            return value
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither a number of pictures nor a share between 0 and 1"
    )


def positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number >= 0")
    return int(text)


def overrides(rest: Sequence[str]) -> list[str]:
    for argument in rest:
        if not argument.startswith("--") or "=" not in argument:
            raise InputError(f"genbench train: {argument!r} is not an override; write --key=value")
    return [argument[2:] for argument in rest]
