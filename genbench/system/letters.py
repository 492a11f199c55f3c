"""Signs beyond ASCII, and their replacements for an output whose encoding lacks them."""

from __future__ import annotations

__all__ = ["PLAIN", "with_letters_of"]

# Tables, messages and bars print these signs.
PLAIN = {
    "±": "+-",
    "×": "x",
    "‖": "||",
    "∞": "inf",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "→": "->",
    "←": "<-",
    "↓": "v",
    "↑": "^",
    "·": ".",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}


def with_letters_of(encoding: str, text: str) -> str:
    """A text in which every sign of `PLAIN` that an encoding lacks is replaced.

    In a table the signs are replaced before the columns are laid out, since a replacement may be
    wider than its sign.

    Args:
        encoding: Name of the encoding.
        text: The text.

    >>> with_letters_of("ascii", "FID ↓ 2.1 ± 0.3"), with_letters_of("utf-8", "FID ↓")
    ('FID v 2.1 +- 0.3', 'FID ↓')
    """
    for sign, plain in PLAIN.items():
        if sign in text and not sign.encode(encoding, "ignore"):
            text = text.replace(sign, plain)
    return text
