"""Words of former versions, which are read as what they mean today, and keys that came later.

Configurations of older runs and records stay what they are, and their records still hold: a word is
read as another one only if both train the same weights, bit for bit. A key that came after the
first records stands in a resolved configuration only where it changes something, so that the hash
of a configuration without it is that of former versions.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NEUTRAL", "NEUTRAL_ARGUMENTS", "in_todays_words", "without_neutral"]

# Each former word of the GAN's `game` is mapped to the class that took its place.
_GAMES = {
    "non-saturating": "genbench.models.gan.games.NonSaturating",
    "minimax": "genbench.models.gan.games.Minimax",
    "wasserstein": "genbench.models.gan.games.Wasserstein",
}
_GAN = "genbench.models.gan.gan.GAN"
# RealNVP was a model of its own before it became a bijection of `Flow`.
_REALNVP = "genbench.models.flow.realnvp.RealNVP"
# Each model is mapped to the class of its only schedule, and to the arguments of that class that
# were keys of the model.
_SCHEDULED = {
    "genbench.models.flow_matching.flow_matching.FlowMatching": (
        "genbench.formulas.noise.Straight",
        ("sigma_min",),
    ),
    "genbench.models.diffusion.edm.EDM": (
        "genbench.formulas.noise.Karras",
        ("sigma_min", "sigma_max"),
    ),
}
# Each former word of DDPM's `schedule` is mapped to the class that took its place. Where it was
# left out, it was "linear".
_DDPM = "genbench.models.diffusion.ddpm.DDPM"
_CHAINS = {
    "linear": "genbench.formulas.noise.Linear",
    "cosine": "genbench.formulas.noise.Cosine",
}
# Each key that came later is mapped to the value at which a run is what it was before the key
# existed.
NEUTRAL = {"optimization.schedule": None}
# Each class is mapped to its arguments that came later, with such values.
_CONV = {"strided": True, "hidden": 0}
NEUTRAL_ARGUMENTS: dict[str, dict[str, Any]] = {
    "genbench.nets.conv.ConvEncoder": {**_CONV, "activation": "leaky_relu"},
    "genbench.nets.conv.ConvDecoder": {**_CONV, "activation": "relu"},
    "genbench.models.vae.autoencoder.Autoencoder": {"noise": 0.0, "sparsity": 0.0},
    "genbench.models.classical.rbm.RBM": {"conditional": False},
    "genbench.models.vae.vae.VAE": {
        "sigma": "pixel",
        "posterior": None,
        "prior": None,
        "N": 1,
        "free_bits": 0.0,
        "kl_warmup_images": 0,
    },
}


def in_todays_words(tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration in which former words are replaced by what took their place.

    Args:
        tree: As a user, a run folder or a record has it; it is not changed.

    >>> in_todays_words({"model": {"class_path": "genbench.models.gan.gan.GAN", "game": "minimax"}})
    {'model': {'class_path': 'genbench.models.gan.gan.GAN', 'game': {'class_path': 'genbench.models.gan.games.Minimax'}}}
    """
    model = tree.get("model")
    if not isinstance(model, dict):
        return tree
    if model.get("class_path") == _REALNVP:
        return {**tree, "model": _flow(model)}
    if model.get("class_path") in _SCHEDULED and "schedule" not in model:
        return {**tree, "model": _scheduled(model)}
    word = model.get("schedule", "linear")
    if model.get("class_path") == _DDPM and isinstance(word, str) and word in _CHAINS:
        return {**tree, "model": {**model, "schedule": {"class_path": _CHAINS[word]}}}
    game = model.get("game")
    if model.get("class_path") == _GAN and isinstance(game, str) and game in _GAMES:
        return {**tree, "model": {**model, "game": {"class_path": _GAMES[game]}}}
    return tree


def _flow(model: dict[str, Any]) -> dict[str, Any]:
    """The flow that a RealNVP is: its couplings belong to the bijection, and to the dequantiser too."""
    bijection = {"class_path": "genbench.nets.bijections.realnvp.RealNVP"}
    flow = {"class_path": "genbench.models.flow.flow.Flow"}
    for key, value in model.items():
        if key in ("net", "scales", "couplings", "alpha"):
            bijection[key] = value
        elif key != "class_path":
            flow[key] = value
    if model.get("dequantiser") is not None:
        flow["dequantiser_couplings"] = model.get("couplings", 4)
    return {**flow, "bijection": bijection}


def _scheduled(model: dict[str, Any]) -> dict[str, Any]:
    """A model whose schedule is a class. Keys of the model gave it, or it was the only one."""
    class_path, keys = _SCHEDULED[model["class_path"]]
    schedule = {key: model[key] for key in keys if key in model}
    rest = {key: value for key, value in model.items() if key not in keys}
    return {**rest, "schedule": {"class_path": class_path, **schedule}}


def without_neutral(resolved: dict[str, Any]) -> dict[str, Any]:
    """A resolved configuration without the keys that came later and change nothing.

    Args:
        resolved: Every key with its value; it is not changed.

    >>> model = {"class_path": "genbench.nets.conv.ConvDecoder", "width": 8, "hidden": 0}
    >>> without_neutral({"optimization": {"warmup_images": 0, "schedule": None}, "model": model})
    {'optimization': {'warmup_images': 0}, 'model': {'class_path': 'genbench.nets.conv.ConvDecoder', 'width': 8}}
    """
    for key, neutral in NEUTRAL.items():
        group, name = key.split(".")
        if resolved[group].get(name, neutral) == neutral:
            kept = {other: value for other, value in resolved[group].items() if other != name}
            resolved = {**resolved, group: kept}
    return {**resolved, "model": _without_neutral_arguments(resolved["model"])}


def _without_neutral_arguments(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    neutral = NEUTRAL_ARGUMENTS.get(tree.get("class_path", ""), {})
    return {
        key: _without_neutral_arguments(value)
        for key, value in tree.items()
        if key not in neutral or value != neutral[key]
    }
