"""Arguments of commands, checked while they are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from genbench.errors import InputError

__all__ = [
    "Parser",
    "add_device",
    "add_trust",
    "amount",
    "at_most",
    "file_argument",
    "natural",
    "overrides",
    "path_argument",
    "positive",
]

# Commands write files with these endings where a user says.
_FILES = (".npz", ".png", ".pptx", ".svg", ".tex")


class Parser(argparse.ArgumentParser):
    """A parser of a command's arguments.

    An error is one line. Options cannot be abbreviated, since an override such as --model.latent
    could be taken for one; none may be given twice, since one of the two would be lost; and no
    argument is empty, which a variable of the shell is where it is not set.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **settings})
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """The value of one word. The words of a command are left to the parser of that command."""
        if not arg_string and not isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(action, "it is empty; give a value, or leave it out")
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog.removeprefix('genbench').strip()} {message}".strip())


class _StoreOnce(argparse.Action):
    """Keep the value of an option, and refuse a second one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        options: set[str] = vars(namespace).setdefault("options_given", set())
        if option_string is not None and self.dest in options:
            parser.error(f"{'/'.join(self.option_strings)} is given twice")
        options.add(self.dest)
        setattr(namespace, self.dest, values)


def add_trust(command: argparse.ArgumentParser) -> None:
    """Add the option --trust to a command that reads a configuration."""
    command.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that a class_path may name",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the option --device to a command that computes."""
    command.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: cuda if there is one)"
    )


def path_argument(text: str) -> Path:
    """Read a path, in which `~` is the home folder.

    Raises:
        InputError: There is no such home folder.
    """
    from genbench.system.locations import expand_home

    return expand_home(text)


def file_argument(text: str) -> Path:
    """Read the path of a file that is written. A folder is meant by a slash at the end.

    Raises:
        InputError: It ends in a slash, but its name is that of a file.
    """
    path = path_argument(text)
    if text.endswith(("/", "/.")) and path.suffix.lower() in _FILES and not path.is_dir():
        raise InputError(
            f"{text} is called as a {path.suffix} file is, and its slash says that it is a folder: "
            f"right is {path}, or a folder without {path.suffix}"
        )
    return path


def at_most(limit: int, cure: str) -> Callable[[str], int]:
    """A reader of an integer from 1 to a limit.

    Args:
        limit: The largest number.
        cure: What is right instead of a larger one.
    """

    def read(text: str) -> int:
        number = positive(text)
        if number > limit:
            raise argparse.ArgumentTypeError(f"{text} is more than {limit:,}: {cure}")
        return number

    return read


def amount(text: str) -> float:
    """Read a number of pictures, at least 1, or a share of them, between 0 and 1.

    A number with a point is a share: 1.0 could be meant as all pictures or as one.
    """
    try:
        value = float(text.replace("_", ""))
        if 0 < value < 1 or (value >= 1 and value == int(value) and "." not in text):
            return value
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither a number of pictures nor a share between 0 and 1; a number has no"
        " point"
    )


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def natural(text: str) -> int:
    """Read an integer of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number >= 0")
    return int(text)


def overrides(rest: Sequence[str]) -> list[str]:
    """Read arguments --key=value as overrides.

    Raises:
        InputError: An argument has another form.
    """
    for argument in rest:
        if not argument.startswith("--") or "=" not in argument:
            raise InputError(f"genbench train: {argument!r} is not an override; write --key=value")
    return [argument[2:] for argument in rest]
