"""genbench sample: images of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench.cli.arguments import add_device, add_trust, at_most, file_argument, natural
from genbench.cli.device import find_device
from genbench.errors import InputError, nearest

if TYPE_CHECKING:
    from genbench.runs.build import Loaded

__all__ = ["add_sample", "run_sample"]

# A message shows at most this many letters of an alphabet.
_ALPHABET = 120
# One command draws at most this many images, whose files are numbered by six digits.
_MOST = 1_000_000


def add_sample(commands: Any) -> None:
    """Add the command sample."""
    sample = commands.add_parser("sample", help="sample from a finished run")
    sample.add_argument("run", help="run folder")
    sample.add_argument(
        "-n",
        type=at_most(_MOST, "samples beyond them are those of another --seed"),
        default=64,
        help="number of images (64)",
    )
    sample.add_argument(
        "-o",
        "--out",
        type=file_argument,
        required=True,
        help=(
            "grid.png, images.npz, or a folder for one PNG per image, pixel for pixel, or one text"
            " file per text: a new one, an empty one, or one that holds the same samples"
        ),
    )
    sample.add_argument(
        "--seed",
        type=natural,
        default=0,
        help="sample i is a function of the weights, this seed and i (0)",
    )
    sample.add_argument(
        "--variant",
        help=(
            "which of the configuration's evaluations gives the sampler's options (default, or the"
            " first where none has that name)"
        ),
    )
    sample.add_argument(
        "--label",
        metavar="NAME",
        help=(
            "the class of every image, of a conditional model: its name, or its number where no"
            " class has that name (by class frequencies)"
        ),
    )
    sample.add_argument(
        "--prompt",
        metavar="TEXT",
        help=(
            "the beginning of every text, which the model completes: an autoregressive model of"
            " text"
        ),
    )
    sample.add_argument(
        "--batch",
        type=at_most(_MOST, "a batch lies in memory as a whole"),
        default=256,
        help="images computed at once; changes none, but by an adaptive solver's tolerance (256)",
    )
    sample.set_defaults(act=run_sample)
    add_trust(sample)
    add_device(sample)


def run_sample(arguments: Any) -> None:
    """Draw images from a finished run, and write them as a grid, an npz file or a folder.

    Raises:
        InputError: The run, its evaluation, the label or the place of the output is wrong.
    """
    import numpy as np
    import torch

    from genbench.data.commands import numbered_name
    from genbench.data.labels import label_of
    from genbench.data.pairs import pairs_of_samples
    from genbench.data.pictures import (
        check_folder,
        output_kind,
        refuse_deep,
        save_folder,
        save_grid,
    )
    from genbench.evaluation.draw import draw
    from genbench.runs.build import open_run
    from genbench.system.files import check_target

    kind = output_kind(arguments.out)
    if kind == "folder":
        check_folder(arguments.out, arguments.n)
    if not arguments.out.is_dir():
        check_target(arguments.out)
    loaded = open_run(arguments.run, arguments.trust, find_device(arguments.device))
    if kind == "folder":
        refuse_deep(arguments.out, loaded.data.spec)
    evaluations = loaded.config.evaluations
    variant = arguments.variant or loaded.config.default_evaluation
    if variant not in evaluations:
        raise InputError(f"no evaluation {variant!r}; {nearest(variant, evaluations)}")
    label = None
    of_class = ""
    if arguments.label is not None:
        if not loaded.model.conditional:
            raise InputError(f"--label {arguments.label}: labels are not for a model of p(x)")
        label = label_of(loaded.data, arguments.label)
        of_class = f", class {numbered_name(label, loaded.data.class_names[label])}"
    options = loaded.config.evaluations[variant].sample
    beginning = (
        None if arguments.prompt is None else prompt_levels(loaded, arguments.prompt, options)
    )
    device = find_device(arguments.device)
    with torch.no_grad():
        parts = [
            x.cpu().numpy()
            for _, x in draw(
                loaded,
                arguments.n,
                arguments.seed,
                arguments.batch,
                options,
                device,
                label,
                beginning=beginning,
            )
        ]
    images = np.concatenate(parts)
    spec = loaded.data.spec
    columns = None
    if kind == "grid" and loaded.model.conditional and loaded.data.is_paired:
        images = pairs_of_samples(loaded.data, images)
        columns = 9
    if kind == "folder":
        save_folder(images, spec, arguments.out)
    elif kind == "grid":
        save_grid(images, spec, arguments.out, columns)
    else:
        import io

        from genbench.system.files import write_atomic

        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images, levels=spec.levels)
        write_atomic(arguments.out, buffer.getvalue())
    print(
        f"{arguments.out}: {arguments.n} images of {loaded.config.name}, seed {arguments.seed}{of_class}"
    )


def prompt_levels(loaded: Loaded, prompt: str, options: dict[str, Any]) -> list[int]:
    """The levels of the characters that every text begins with.

    Args:
        loaded: The run with its data and its model.
        prompt: The beginning.
        options: Options of the sampler.

    Raises:
        InputError: The data are no text, the model does not complete, or the prompt has too many
            characters, or one that the data do not have.
    """
    from genbench.capabilities import Completes
    from genbench.spec import Text

    looks = loaded.data.spec.looks
    if not isinstance(looks, Text):
        raise InputError(f"--prompt {prompt!r}: {loaded.data.name} is no text")
    if not isinstance(loaded.model, Completes) or options:
        raise InputError(f"--prompt {prompt!r}: {loaded.config.name} does not complete texts")
    if len(prompt) > loaded.data.spec.dims:
        raise InputError(
            f"--prompt has {len(prompt)} characters, and texts have {loaded.data.spec.dims}"
        )
    unknown = sorted(set(prompt) - set(looks.alphabet))
    if unknown:
        alphabet = repr(looks.alphabet)
        if len(alphabet) > _ALPHABET:
            alphabet = f"{alphabet[:_ALPHABET]}... ({len(looks.alphabet)} characters)"
        raise InputError(
            f"--prompt {prompt!r}: {unknown[0]!r} is no character of {loaded.data.name}, which has "
            f"{alphabet}"
        )
    if looks.padding and looks.padding in prompt:
        raise InputError(
            f"--prompt {prompt!r}: {looks.padding!r} fills texts of {loaded.data.name} up behind "
            "their end, and is in none of them"
        )
    return looks.levels_of(prompt)
