r"""Sentences of a small probabilistic grammar about coloured digits, such as "two red sevens above a
blue three", whose probabilities are exactly known.

A rule A -> a_1 a_2 ... of probability p replaces a symbol A by words and other symbols; a sentence
is what the symbol "sentence" becomes, and its probability the product of those of the rules used:

    sentence  ->  things                    0.3   |   things place things        0.7
    things    ->  "a" colour digit          0.4   |   number colour digits       0.6
    number    ->  "two" 0.5  |  "three" 0.3  |  "four" 0.2
    colour    ->  "red" 0.4  |  "blue" 0.3  |  "green" 0.2  |  "yellow" 0.1
    place     ->  "above" 0.5  |  "below" 0.3  |  "beside" 0.2

and a digit from "zero" to "nine", in the plural after a number. No rule leads back to its symbol,
so the language is finite, 76,960 sentences, and is listed; no sentence has two derivations. So the
entropy, log p of every line and KL(p || model) follow from a table, as for points of the plane.

A line is an image of shape (1, 1, L) whose levels are characters. Behind its sentence it is filled
up with full stops, which no sentence has.

References:
    Booth, Thompson (1973), Applying probability measures to abstract languages. IEEE Transactions
    on Computers C-22. doi:10.1109/T-C.1973.223746
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from genbench.data.decoded import Arrays, Split
from genbench.data.images import ImageData
from genbench.rng import Rng
from genbench.spec import Labels, Spec, Text
from genbench.system.json_files import digest

__all__ = ["RULES", "Grammar", "Rules", "language"]

# Each symbol has rules, which are pairs of a probability and a text of words and symbols. What has
# no rules is a word.
Rules = Mapping[str, Sequence[tuple[float, str]]]

_DIGITS = {
    "zero": 0.04, "one": 0.06, "two": 0.08, "three": 0.1, "four": 0.1,
    "five": 0.1, "six": 0.1, "seven": 0.2, "eight": 0.12, "nine": 0.1,
}  # fmt: skip

RULES: Rules = {
    "SENTENCE": ((0.3, "THINGS"), (0.7, "THINGS PLACE THINGS")),
    "THINGS": ((0.4, "a COLOUR DIGIT"), (0.6, "NUMBER COLOUR DIGITS")),
    "NUMBER": ((0.5, "two"), (0.3, "three"), (0.2, "four")),
    "COLOUR": ((0.4, "red"), (0.3, "blue"), (0.2, "green"), (0.1, "yellow")),
    "PLACE": ((0.5, "above"), (0.3, "below"), (0.2, "beside")),
    "DIGIT": tuple((p, digit) for digit, p in _DIGITS.items()),
    "DIGITS": tuple(
        (p, f"{digit}es" if digit == "six" else f"{digit}s") for digit, p in _DIGITS.items()
    ),
}

# The longest sentence, "three yellow sevens beside three yellow sevens", has this many characters.
_LENGTH = 46
_PADDING = "."
_COLOURS = tuple(colour for _, colour in RULES["COLOUR"])
_ALPHABET = _PADDING + " abdefghilnorstuvwxyz"


class Grammar(ImageData):
    """Draws of sentences: 20,000 for training, 2,000 for validation, 10,000 for testing.

    The label of a sentence is its first colour.

    Args:
        root: Folder for decoded arrays. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Sentences per optimizer step, over all processes.
    """

    name = "grammar"
    spec = Spec((1, 1, _LENGTH), len(_ALPHABET), Labels(len(_COLOURS)), Text(_ALPHABET, _PADDING))
    sizes = (20_000, 2_000, 10_000)
    needs_folder = False

    @property
    def class_names(self) -> list[str]:
        return list(_COLOURS)

    @cached_property
    def sentences(self) -> dict[str, float]:
        """p of every sentence of the language; the sum is 1."""
        return language(RULES, "SENTENCE")

    @cached_property
    def source(self) -> dict[str, object]:
        """The source, with the hash of the distribution: sentences from another one are no copy."""
        return {**super().source, "distribution": digest(self.sentences)}

    @property
    def entropy(self) -> float:
        """Entropy of a sentence, in nats: no model's mean -log p(x) can be lower."""
        p = np.array(list(self.sentences.values()))
        return float(-(p * np.log(p)).sum())

    def known_log_prob(self, x: Tensor) -> Tensor:
        log_p = []
        for line in x.flatten(1).tolist():
            p = self.sentences.get(self._sentence(line), 0.0)
            log_p.append(math.log(p) if p > 0 else -math.inf)
        return torch.tensor(log_p, dtype=torch.float64)

    def lines(self, sentences: Sequence[str]) -> np.ndarray:
        """Sentences as images, integers (N, 1, 1, L)."""
        looks = Text(_ALPHABET, _PADDING)
        rows = [looks.levels_of(sentence.ljust(_LENGTH, _PADDING)) for sentence in sentences]
        return np.array(rows, dtype=np.uint8)[:, None, None]

    def decode(self) -> dict[Split, Arrays]:
        return {
            split: self._draw(split, n)
            for split, n in zip(get_args(Split), self.sizes, strict=True)
        }

    def _draw(self, split: Split, n: int) -> Arrays:
        """Draw n sentences by the inverse distribution function, as images, with their labels.

        The seed is 0, always: it is part of the data set.
        """
        bits = Rng(0, range(n)).split(f"grammar/{split}").bits((2,)).numpy()
        u = (bits[:, 0] * 2.0**21 + (bits[:, 1] >> 11) + 0.5) * 2.0**-53
        sentences = list(self.sentences)
        cdf = np.cumsum(list(self.sentences.values()))
        rows = np.searchsorted(cdf, u).clip(max=len(sentences) - 1)
        drawn = [sentences[row] for row in rows]
        labels = [_COLOURS.index(sentence.split()[1]) for sentence in drawn]
        return self.lines(drawn), np.array(labels, dtype=np.int64)

    def _sentence(self, line: Sequence[int]) -> str:
        """What a line says; full stops within it stay."""
        text = "".join(_ALPHABET[k] for k in line)
        return text.rstrip(_PADDING)


def language(rules: Rules, start: str) -> dict[str, float]:
    """Every sentence of a grammar without recursion, with its probability.

    Args:
        rules: The grammar.
        start: The symbol that sentences are derived from; a word derives itself.

    Raises:
        ValueError: A sentence has two derivations.

    Examples:
        >>> language({"S": ((0.5, "a N"), (0.5, "N")), "N": ((0.9, "b"), (0.1, "c"))}, "S")
        {'a b': 0.45, 'a c': 0.05, 'b': 0.45, 'c': 0.05}
    """
    if start not in rules:
        return {start: 1.0}
    sentences: dict[str, float] = {}
    for p, expansion in rules[start]:
        phrases = [(p, "")]
        for symbol in expansion.split():
            parts = language(rules, symbol)
            phrases = [
                (p * q, f"{phrase} {part}".strip())
                for p, phrase in phrases
                for part, q in parts.items()
            ]
        for probability, phrase in phrases:
            if phrase in sentences:
                raise ValueError(f"{phrase!r} has two derivations from {start}")
            sentences[phrase] = probability
    return sentences
