"""genbench data: list, fetch, import and show data sets."""

from __future__ import annotations

import sys
from typing import Any

from genbench.cli.arguments import Parser, amount, file_argument, path_argument, positive
from genbench.errors import InputError

__all__ = ["add_data"]


def add_data(commands: Any) -> None:
    """Add the command data and its actions."""
    data = commands.add_parser(
        "data", help="data sets: list, fetch, import one's own images or text, show"
    )
    actions = data.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=Parser
    )
    lister = actions.add_parser("list", help="every data set, its sizes, and whether it is here")
    lister.set_defaults(act=_data_list)

    fetch = actions.add_parser("fetch", help="download a published data set, checked by its hash")
    fetch.add_argument("name", help="as in genbench data list")
    fetch.add_argument(
        "--mirror",
        metavar="URL",
        help="a folder laid out like the data's root, instead of the publisher ($GENBENCH_MIRROR)",
    )
    fetch.set_defaults(act=_data_fetch)

    weights = actions.add_parser(
        "fetch-weights",
        help=(
            "download a published feature extractor into $GENBENCH_WEIGHTS, else weights/ among the"
            " data; checked by its hash"
        ),
    )
    weights.add_argument("name", help="a card in configs/features: inception, dinov2")
    weights.add_argument(
        "--mirror",
        metavar="URL",
        help="a folder with weights/FILE, instead of the publisher ($GENBENCH_MIRROR)",
    )
    weights.set_defaults(act=_data_fetch_weights)

    importer = actions.add_parser(
        "import",
        help="decode a folder or a zip of pictures, an npz file, or a text, into a data set",
    )
    importer.add_argument(
        "path",
        type=path_argument,
        help=(
            "folder (class folders give labels), zip, npz with images and labels, or npy; with"
            " --length a text in UTF-8"
        ),
    )
    importer.add_argument("--name", required=True, help="of the data set")
    kind = importer.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--size",
        type=positive,
        help=(
            "of pictures: height and width of the central square, reduced by Lanczos; never"
            " enlarged"
        ),
    )
    kind.add_argument(
        "--length",
        type=positive,
        metavar="L",
        help="of a text: characters of a window; the first 90 %% of the windows are for training",
    )
    importer.add_argument(
        "--channels",
        choices=("auto", "grey", "rgb"),
        default="auto",
        help="auto: grey if every picture is",
    )
    importer.add_argument(
        "--val",
        type=amount,
        help=(
            "held out for validation, a number or a share below 1 (0.1 of pictures, 0.05 of"
            " windows)"
        ),
    )
    importer.add_argument("--test", type=amount, help="held out for testing, likewise")
    importer.add_argument(
        "--skip-bad", action="store_true", help="leave out pictures that are damaged or too small"
    )
    importer.add_argument(
        "--leave-out", action="append", default=[], metavar="PATH",
        help="leave out a file or a folder, by its path inside the folder or zip; may be repeated",
    )  # fmt: skip
    importer.add_argument(
        "--no-classes",
        action="store_true",
        help="pictures without classes, whatever folders they lie in",
    )
    importer.add_argument(
        "--white",
        type=positive,
        metavar="LEVEL",
        help="the value of white in grey pictures of more than 8 bits (65535)",
    )
    importer.add_argument(
        "--replace", action="store_true", help="replace another data set of this name"
    )
    importer.set_defaults(act=_data_import)

    show = actions.add_parser(
        "show", help="a grid of images, counts, shape, levels and hash of a data set"
    )
    show.add_argument("name", help="as in genbench data list")
    show.add_argument(
        "-o",
        "--out",
        type=file_argument,
        help="where the grid goes, a .png file (runs/data, in the checkout or here)",
    )
    show.set_defaults(act=_data_show)
    for action in (lister, fetch, weights, importer, show):
        action.add_argument(
            "--root", help="folder of the data ($GENBENCH_DATA, else ~/.cache/genbench)"
        )


def _data_list(arguments: Any) -> None:
    """Print every data set."""
    from genbench.data.commands import lines

    for line in lines(arguments.root):
        print(line)


def _data_fetch(arguments: Any) -> None:
    """Download a published data set."""
    from genbench.data.commands import named
    from genbench.data.fetch import fetch

    for line in fetch(named(arguments.name, arguments.root), arguments.mirror):
        print(line, flush=True)


def _data_fetch_weights(arguments: Any) -> None:
    """Download the weights of a published feature extractor."""
    from genbench.metrics.extractor import fetch_weights

    for line in fetch_weights(arguments.name, arguments.mirror, arguments.root):
        print(line, flush=True)


def _data_import(arguments: Any) -> None:
    """Decode pictures, or a text, of one's own into a data set."""
    if arguments.length is None:
        _import_pictures(arguments)
    else:
        _import_text(arguments)


def _import_text(arguments: Any) -> None:
    """Import a text.

    Raises:
        InputError: An option about pictures is given, or the text cannot be imported.
    """
    from genbench.data.import_text import TextImport, import_text

    options = {
        "--channels": arguments.channels != "auto",
        "--skip-bad": arguments.skip_bad,
        "--leave-out": bool(arguments.leave_out),
        "--no-classes": arguments.no_classes,
        "--white": arguments.white is not None,
    }
    for option, is_given in options.items():
        if is_given:
            raise InputError(f"{option} is about pictures; --length is about a text")
    root = path_argument(arguments.root) if arguments.root else None
    plan = TextImport(
        arguments.path,
        arguments.name,
        arguments.length,
        root,
        arguments.val,
        arguments.test,
        arguments.replace,
    )
    for line in import_text(plan):
        print(line, flush=True)


def _import_pictures(arguments: Any) -> None:
    """Import pictures."""
    from genbench.data.importing import Import, import_images

    root = path_argument(arguments.root) if arguments.root else None
    plan = Import(
        arguments.path,
        arguments.name,
        arguments.size,
        root,
        arguments.channels,
        arguments.val,
        arguments.test,
        arguments.skip_bad,
        arguments.replace,
        arguments.white,
        not arguments.no_classes,
        tuple(arguments.leave_out),
    )

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            print(f"{done:,} pictures read", file=sys.stderr)

    for line in import_images(plan, progress):
        print(line, flush=True)


def _data_show(arguments: Any) -> None:
    """Write a grid of images of a data set, and print what it holds."""
    from genbench.data.commands import named, show

    for line in show(named(arguments.name, arguments.root), arguments.out):
        print(line)
