"""Classes of pictures by a card, dataset.json, as EDM and StyleGAN write it:

    {"labels": [[path, class], ...]}    or    {"labels": null}

A card decides the classes of the folder that it lies in, whatever folders the pictures lie in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json import JSONDecodeError
from pathlib import Path, PurePosixPath
from typing import Any

from genbench.data.labelling import NO_LABELS, PictureLabels, as_word, composed, numbered, printable
from genbench.errors import InputError
from genbench.system.json_files import parse_json
from genbench.system.typed import read_value

__all__ = ["CARD", "card_labels"]

CARD = "dataset.json"
# A dataset.json has at most _CARD_BYTES bytes, and _CARD_BYTES_EACH more for every picture: parsed,
# it takes ten times as much memory.
_CARD_BYTES = 2**20
_CARD_BYTES_EACH = 2**10


def card_labels(
    origin: Path, cards: dict[str, Callable[[], bytes]], names: Sequence[str]
) -> PictureLabels:
    """Classes of pictures by the cards of a container. Each card names pictures below its folder.

    Args:
        origin: The container, for messages.
        cards: Path of each dataset.json -> function that reads its bytes.
        names: Paths of the pictures. Either all of them have labels or none.

    Raises:
        InputError: A dataset.json is no such card, gives a picture two classes, or leaves one out.
    """
    label_of: dict[str, Any] = {}
    without = []
    for card, read in cards.items():
        try:
            labels = _read_card(read(), PurePosixPath(card).parent, len(names))
            for name, label in (labels or {}).items():
                if label_of.setdefault(name, label) != label:
                    raise ValueError(f"{printable(name)} has two classes")
        except (ValueError, OSError) as error:
            raise InputError(_card_error(origin, card, str(error))) from None
        if labels is None:
            without.append(card)
    if not label_of:
        return NO_LABELS
    card = next(card for card in cards if card not in without)
    try:
        absent = next((name for name in names if composed(name) not in label_of), None)
        if absent is not None:
            raise ValueError(f"it has no label for {printable(absent)}")
        return numbered({name: label_of[composed(name)] for name in names})
    except ValueError as error:
        raise InputError(_card_error(origin, card, str(error))) from None


def _read_card(content: bytes, folder: PurePosixPath, pictures: int) -> dict[str, int] | None:
    """The classes of the pictures that a card names.

    Args:
        content: The bytes of dataset.json.
        folder: The folder that it lies in.
        pictures: Number of pictures of the container.

    Returns:
        Path of a picture -> number of its class; None where the card says that there are none.

    Raises:
        ValueError: It is too large or no such card, or it gives a picture two classes.
    """
    if len(content) > _CARD_BYTES + _CARD_BYTES_EACH * pictures:
        raise ValueError(f"it has {len(content) >> 20:,} MiB, for {pictures:,} pictures")
    try:
        tree = parse_json(content)
    except (JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON") from None
    if not isinstance(tree, dict) or "labels" not in tree:
        raise ValueError("it has no 'labels'")
    if tree["labels"] is None:
        return None
    labels: dict[str, int] = {}
    for path, label in read_value(list[tuple[str, int]], tree["labels"], "labels"):
        name = composed(str(folder / path.replace("\\", "/")))
        if labels.setdefault(name, label) != label:
            raise ValueError(f"{printable(name)} has two classes")
    return labels


def _card_error(origin: Path, card: str, message: str) -> str:
    """The message about a card that cannot be used, with the ways out."""
    return (
        f"{origin}: {printable(card)}: {message}; it should say the class of each picture, "
        '{"labels": [["a.png", 0], ...]}; if it is of another tool, leave it out: --leave-out'
        f" {as_word(card)}"
    )
