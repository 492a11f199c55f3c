"""Encodings in records: those of the whole split in its order, of models that encode."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from genbench.config.protocol import load_protocol
from genbench.evaluation.encodings import encodings_of
from genbench.evaluation.evaluate import evaluate
from genbench.records.store import read_record
from genbench.runs.build import build, open_run
from genbench.training.train import train


def test_a_record_of_a_vae_has_its_active_units_and_its_rate(tiny, tmp_path):
    run = train(tiny("digits/vae", "protocol=digits-latents"))
    record = read_record(evaluate(run, "default", tmp_path))
    loaded = open_run(run)
    x, _ = loaded.data.tensors("test")
    with torch.no_grad():
        z = loaded.model.encode(x)
    assert record.metrics["active_units"].value == int((z.double().var(0) > 0.01).sum())
    # the rate of an image is the KL of its bits/dim
    bits = record.likelihood.terms["kl"] * math.prod(record.protocol.shape)
    assert math.isclose(record.metrics["kl_bits"].value, bits, rel_tol=1e-5)
    for chunk in (719, 100):
        protocol = replace(load_protocol("digits-latents"), chunk=chunk)
        with torch.no_grad():
            found = encodings_of(loaded.model, loaded.data, protocol, "cpu")
        torch.testing.assert_close(found["encodings"], z, rtol=1e-4, atol=1e-5)
        assert len(found["divergences"]) == len(x)


def test_what_a_model_lacks_is_left_out(tiny):
    protocol = load_protocol("digits-latents")
    with torch.no_grad():
        data, autoencoder = build(tiny("digits/autoencoder"))
        assert set(encodings_of(autoencoder, data, protocol, "cpu")) == {"encodings"}
        data, gan = build(tiny("digits/gan"))
        assert encodings_of(gan, data, protocol, "cpu") == {}
        data, vae = build(tiny("digits/vae"))
        assert encodings_of(vae, data, replace(protocol, metrics=()), "cpu") == {}
