"""Words of former versions that are read as what they mean today: configurations of older runs and
records stay what they are.
"""

from __future__ import annotations

from typing import Any

__all__ = ["in_todays_words"]

# class of the model, argument: its former words, with the classes that took their place
_FORMER_WORDS = {
    ("genbench.models.gan.gan.GAN", "game"): {
        "non-saturating": "genbench.models.gan.games.NonSaturating",
        "minimax": "genbench.models.gan.games.Minimax",
        "wasserstein": "genbench.models.gan.games.Wasserstein",
    },
}


def in_todays_words(tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration in which each former word is the class that took its place.

    Args:
        tree: As a user, a run folder or a record has it; it is not changed.

    >>> in_todays_words({"model": {"class_path": "genbench.models.gan.gan.GAN", "game": "minimax"}})
    {'model': {'class_path': 'genbench.models.gan.gan.GAN', 'game': {'class_path': 'genbench.models.gan.games.Minimax'}}}
    """
    model = tree.get("model")
    if not isinstance(model, dict):
        return tree
    current = dict(model)
    for (class_path, argument), classes in _FORMER_WORDS.items():
        word = model.get(argument)
        if model.get("class_path") == class_path and isinstance(word, str) and word in classes:
            current[argument] = {"class_path": classes[word]}
    return {**tree, "model": current}
