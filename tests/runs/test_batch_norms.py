"""Batch normalisation in a model that never estimates its statistics is refused before it is trained."""

from __future__ import annotations

import pytest
import torch

from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.runs.batch_norms import check_batch_norms
from genbench.runs.build import build


def test_a_vae_with_batch_norm_would_evaluate_by_the_statistics_it_began_with():
    encoder = "model.encoder.class_path=genbench.nets.conv.ConvEncoder"
    for norm in ("group", "none"):
        build(load_config("digits/vae", [encoder, f"model.encoder.norm={norm}"], smoke=True))
    # free bits couple the images of a batch, and estimate nothing
    for more in ([], ["model.free_bits=0.1"]):
        with pytest.raises(InputError, match=r"VAE: \S+ is a BatchNorm, .*right is norm 'group'"):
            build(
                load_config("digits/vae", [encoder, "model.encoder.norm=batch", *more], smoke=True)
            )


@pytest.mark.parametrize("recipe", ["points2d/vae", "digits/gan"])
def test_layers_of_torch_that_keep_averages_are_refused(recipe):
    model = build(load_config(recipe, smoke=True))[1]
    check_batch_norms(model)
    model.added = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    with pytest.raises(InputError, match=r"added\.0 is a BatchNorm1d of torch"):
        check_batch_norms(model)
