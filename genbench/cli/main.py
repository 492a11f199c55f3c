"""The command line.

Heavy libraries are imported only inside the command that needs them, so that help and lists answer
at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from genbench.cli.arguments import Parser, overrides
from genbench.cli.bench import add_bench
from genbench.cli.claims import add_claims
from genbench.cli.data import add_data
from genbench.cli.demo import add_demo
from genbench.cli.evaluate import add_evaluate
from genbench.cli.explore import add_explore
from genbench.cli.output import print_anything, to_terminal
from genbench.cli.sample import add_sample
from genbench.cli.tables import add_tables
from genbench.cli.train import add_train
from genbench.cli.wandb import add_wandb
from genbench.errors import GenbenchError, InputError, Stopped, Unwritable
from genbench.system.printable import as_one_line

__all__ = ["build_parser", "main"]

_BEGIN = """to begin with:
  genbench bench quickstart      seven families on small digits, compared on one page: minutes
  genbench list                  models, configurations, suites, and runs with their state
  genbench train -c digits/vae   one model; at its end stands the command that measures it
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: Words after `genbench`; None: those of the process.

    Returns:
        The exit code: 0 done, 2 bad input, 3 diverged, 75 stopped: the same command resumes.
    """
    print_anything()
    logging.getLogger("genbench").addHandler(to_terminal())
    try:
        parser = build_parser()
        if not (sys.argv[1:] if words is None else words):
            parser.print_help()
            return 0
        arguments, rest = parser.parse_known_args(words)
        if rest and arguments.command != "train":
            raise InputError(
                f"genbench {arguments.command}: unknown argument {rest[0]}; see genbench"
                f" {arguments.command} --help"
            )
        if arguments.command == "train":
            arguments.overrides = overrides(rest)
        arguments.act(arguments)
    except BrokenPipeError:
        # The reader of the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except GenbenchError as error:
        complain(str(error))
        return error.exit_code
    except Unwritable as error:
        complain(str(error))
        return InputError.exit_code
    except OSError as error:  # A path cannot be read or written.
        complain(f"{error.filename or 'a file'}: {error.strerror or error}")
        return InputError.exit_code
    except KeyboardInterrupt:
        print("genbench: interrupted; the same command goes on", file=sys.stderr)
        return Stopped.exit_code
    return 0


def complain(message: str) -> None:
    """Print why a command ends, in one line on stderr."""
    print(f"genbench: {as_one_line(message)}", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; each command adds its own arguments."""
    parser = Parser(
        prog="genbench",
        description="Deep generative models, trained on the same data and measured by one harness.",
        epilog=_BEGIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    add_train(commands)
    add_sample(commands)
    add_evaluate(commands)
    add_bench(commands)
    add_explore(commands)
    add_tables(commands)
    add_claims(commands)
    add_demo(commands)
    add_data(commands)
    add_wandb(commands)
    return parser
