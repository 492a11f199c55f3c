"""Records, the rules of comparison, and what is written from them. No model is trained: the records are made up."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import importlib.util
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from genbench.cli.main import main
from genbench.errors import InputError
from genbench.leaderboard import (
    axes,
    build,
    formats,
    frame,
    label_places,
    noise_study,
    page,
    plots,
    record_path,
    records_in,
    render_tables,
    row_cells,
    table,
    write_board,
    write_record,
)
from genbench.leaderboard import cells as cell_texts
from genbench.leaderboard.board import boards
from genbench.leaderboard.compare import compare_rows
from genbench.leaderboard.summary import Summary
from genbench.leaderboard.words import quality_words, relative_spread, speed_words, stability_words
from genbench.metrics.card import card_file, read_card
from genbench.records.consistency import contradictions
from genbench.records.curve import Curve, CurvePoint
from genbench.records.parts import (
    Cost,
    Likelihood,
    Metric,
    Need,
    ProtocolIdentity,
    Provenance,
    Speed,
)
from genbench.records.record import Record, content_digest, record_id
from genbench.records.store import picture_path, read_record
from genbench.system.json_files import digest
from genbench.system.typed import read_value

PROTOCOL = ProtocolIdentity(
    "digits", "digits", "d" * 64, "test", (1, 8, 8), 17, 719, 719, "digits", "e" * 64, 0, 64,
    ("fid", "is", "kid", "precision", "recall", "density", "coverage"), evaluated_by="own seeds",
)  # fmt: skip
POINTS = dataclasses.replace(
    PROTOCOL, name="points2d", dataset="points2d", shape=(1, 1, 2), levels=256, generated_images=2000, reference_images=10_000,
    extractor=None, extractor_hash=None, metrics=("energy_distance", "modes_covered", "high_quality", "kl"),
)  # fmt: skip


def make(
    model="vae", fid=(20.0,), family="vae", variant="", kind=None, bits=(), recall=0.6, speed=1000.0, nfe=1, diverged=(),
    protocol=PROTOCOL, config="cccccccc", device="one core", density=None, conditional=False, options=None, sampler=None,
):  # fmt: skip
    """One record per value of the quality metric; seeds 0, 1, 2, … The other metrics have the value recall, or one a seed."""
    found = []
    if density is None:
        density = "explicit" if kind else "implicit"
    is_run = density != "-"
    for seed, value in enumerate(fid):
        dead = seed in diverged
        others = recall[seed] if isinstance(recall, tuple) else recall
        values = dict.fromkeys(protocol.metrics, others) | {protocol.metrics[0]: value}
        if "is" in values:
            values["is"] += 1  # it is never below 1
        if density != "explicit":
            values.pop("kl", None)
        likelihood = None
        if kind and not dead:
            b = bits[seed % len(bits)]
            likelihood = Likelihood(
                kind,
                b,
                0.01,
                b * math.prod(protocol.shape) * math.log(2),
                protocol.reference_images,
                None,
                conditional,
                options or {},
                {"rate": b / 4, "distortion": 3 * b / 4},
            )
        found.append(
            Record(
                dataset=protocol.dataset, model=model, family=family, variant=variant, seed=seed, device_class="cpu",
                status="diverged" if dead else "done", density=density, protocol=protocol,
                metrics={} if dead else {name: Metric(v, None) for name, v in values.items()}, likelihood=likelihood,
                sample_options=sampler or {}, log_prob_options=options or {},
                diverged_at=12_800 if dead else None, evaluated_at="2026-01-01T00:00:00+00:00",
                speed=Speed(speed * (1 + 0.02 * seed), 256, 2 / speed, nfe, 10**8, device, 5) if speed and not dead else None,
                cost=Cost(150_000, 12_800 if dead else 200_000, 60.0 + seed, device) if is_run else Cost(0, 0, 0.0, "-"),
                provenance=Provenance(
                    "f" * 40, False, {"seed": seed}, config * 8, "a" * 64 if is_run and not dead else None, {"torch": "2.15"}
                ),
            )
        )  # fmt: skip
    return found


def lecture(protocol=PROTOCOL, scale=1.0):
    """All five families, three seeds each, a variant, a diverged run and the noise floor; metrics are multiplied by scale."""

    def bound(*bits):
        return {"kind": "bound", "bits": bits}

    implicit, steps = {"density": "implicit"}, {"variant": "ddim50", "sampler": {"steps": 50}}
    rows = [
        ("vae", (44.1, 46.0, 43.2), "vae", 0.42, 42_000, 1, bound(2.31, 2.30, 2.33)),
        (
            "iwae",
            (39.5, 41.0, 40.2),
            "vae",
            0.45,
            41_000,
            1,
            {"options": {"K": 64}, **bound(2.21, 2.22, 2.20)},
        ),
        ("dcgan", (19.5, 31.2, 24.0), "gan", 0.31, 51_000, 1, {"diverged": (1,), **implicit}),
        ("wgan-gp", (22.5, 24.2, 23.0), "gan", 0.38, 50_400, 1, implicit),
        (
            "pixelcnn",
            (28.8, 29.4, 30.1),
            "autoregressive",
            0.61,
            35,
            64,
            {"kind": "exact", "bits": (2.08, 2.09, 2.08)},
        ),
        ("realnvp", (61.0, 58.2, 63.9), "flow", 0.5, 9_800, 1, bound(2.52, 2.55, 2.50)),
        ("ddpm", (9.8, 10.1, 9.6), "diffusion", 0.66, 19, 500, bound(2.19, 2.20, 2.18)),
        ("ddpm", (12.5, 12.9, 12.3), "diffusion", 0.63, 188, 50, steps | bound(2.19, 2.20, 2.18)),
        (
            "flow-matching",
            (11.0, 10.2, 11.4),
            "diffusion",
            0.65,
            110,
            100,
            {"kind": "estimate", "bits": (2.12, 2.14, 2.11)},
        ),
        ("noise-floor", (4.2,), "-", 0.72, None, 1, {"density": "-"}),
    ]
    found = []
    for i, (model, fid, family, middle, speed, nfe, more) in enumerate(rows):
        recall = tuple(middle + 0.002 * ((i + seed) % 3 - 1) for seed in range(3))
        found += make(
            model,
            fid,
            family,
            recall=recall,
            speed=speed,
            nfe=nfe,
            protocol=protocol,
            config=model,
            **more,
        )
    return [
        dataclasses.replace(
            r, metrics={k: Metric(m.value * scale, None) for k, m in r.metrics.items()}
        )
        for r in found
    ]


def write(out, records):
    for record in records:
        write_record(out, record)


@pytest.fixture
def out(tmp_path):
    write(tmp_path, lecture() + lecture(POINTS, scale=0.01))
    return tmp_path


# --- records --------------------------------------------------------------------------------------------------------------


def test_a_record_survives_its_file(tmp_path):
    for record in lecture():
        path = write_record(tmp_path, record)
        assert Record.from_json(path.read_text()) == record
        assert (
            path.name
            == f"{record.model}{'@' * bool(record.variant)}{record.variant}-s{record.seed}-{record.id}.json"
        )
    assert len(records_in(tmp_path)) == len(lecture())


def test_the_id_is_of_configuration_protocol_variant_and_device_but_not_of_the_seed():
    a, b = make(fid=(1.0, 2.0))
    other = [
        make(config="zzzzzzzz")[0],
        make(variant="k64")[0],
        make(protocol=dataclasses.replace(PROTOCOL, evaluation_seed=1))[0],
        dataclasses.replace(a, device_class="cuda"),
    ]
    assert a.id == b.id
    assert len({r.id for r in [a, *other]}) == 5


def test_a_record_is_never_overwritten(tmp_path):
    first = make(fid=(20.0,))[0]
    path = write_record(tmp_path, first)
    before = path.read_bytes()
    assert write_record(tmp_path, make(fid=(30.0,))[0]) == path
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("cost"), "cost is missing"),
        (lambda t: t["protocol"].pop("chunk"), "protocol.chunk is missing"),
        (lambda t: t.update(nice=1), "unknown key nice"),
        (lambda t: t["protocol"].update(shape=[1, 8]), "protocol.shape"),
        (lambda t: t.update(status="ok"), "status is 'ok', not one of done, diverged"),
        (lambda t: t.update(seed="0"), "seed is '0', not an integer"),
        (lambda t: t.update(seed=True), "seed is True, not an integer"),
        (
            lambda t: t["metrics"]["fid"].update(value=None),
            "metrics.fid.value is None, not a finite number",
        ),
        (
            lambda t: t["metrics"].update(fidd={"value": 1.0, "error": None}),
            "metrics.fidd is not a metric of the protocol",
        ),
        (lambda t: t.update(schema=3), "schema is 3"),
        (lambda t: t.update(schema=1), "schema is 1, of records without a digest"),
        (lambda t: t.pop("schema"), "no record of genbench"),
        (lambda t: t["protocol"].update(evaluation_seed=7), "the record was edited"),
        (lambda t: t.update(diverged_at=3), "diverged_at is 3 in a record whose status is 'done'"),
        (lambda t: t.update(status="diverged", diverged_at=3), "neither metrics nor a likelihood"),
        (lambda t: t.update(model="../vae"), "model is '../vae'"),
        (lambda t: t.update(evaluated_at="yesterday"), "yesterday"),
        (
            lambda t: t["likelihood"].update(kind="guess"),
            "likelihood.kind is 'guess', not one of exact, bound, estimate",
        ),
        (
            lambda t: t["likelihood"].update(bits_per_dim=-0.5),
            "likelihood.bits_per_dim is -0.5, not at least 0",
        ),
        (lambda t: t["likelihood"].update(images=0), "likelihood.images is 0, not at least 1"),
        (
            lambda t: t["metrics"]["fid"].update(value=-5.0),
            "metrics.fid.value is -5.0, not at least -0.01",
        ),
        (
            lambda t: t["metrics"]["fid"].update(error=-1.0),
            "metrics.fid.error is -1.0, not at least 0",
        ),
        (
            lambda t: t["metrics"]["recall"].update(value=1.5),
            "metrics.recall.value is 1.5, not from 0 to 1",
        ),
        (lambda t: t["metrics"]["is"].update(value=0.0), "metrics.is.value is 0.0, not at least"),
        (lambda t: t["cost"].update(images_seen=-5), "cost.images_seen is -5, not at least 0"),
        (
            lambda t: t["cost"].update(train_seconds=-1),
            "cost.train_seconds is -1, not from 0 to 3,153,600,000",
        ),
        (
            lambda t: t["speed"].update(images_per_second=0),
            "speed.images_per_second is 0, not above 0",
        ),
        (
            lambda t: t["protocol"].update(generated_images=0),
            "protocol.generated_images is 0, not at least 1",
        ),
        (lambda t: t.update(seed=10**400), "seed is an integer of more than 60 digits"),
        (
            lambda t: t["cost"].update(train_seconds=10**400),
            "cost.train_seconds is an integer of more than 60 digits",
        ),
    ],
)
def test_a_bad_record_is_refused_in_one_line_that_names_it(change, says):
    tree = make(kind="exact", bits=(2.0,))[0].to_dict()
    change(tree)
    text = json.dumps({**tree, "digest": content_digest(tree)})
    with pytest.raises(InputError, match=re.escape(says)) as error:
        Record.from_json(text, "some/file.json")
    assert str(error.value).startswith("some/file.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "path",
    ["metrics.fid.value", "likelihood.bits_per_dim", "cost.images_seen", "speed.latency_seconds"],
)
def test_a_value_that_is_changed_by_hand_is_noticed(path):
    tree = make(fid=(104.98,), kind="exact", bits=(2.0,))[0].to_dict()
    group = tree
    *above, last = path.split(".")
    for key in above:
        group = group[key]
    group[last] *= 9
    with pytest.raises(InputError, match=r"digest is .*: the record was edited"):
        Record.from_json(json.dumps(tree))
    del tree["digest"]
    with pytest.raises(InputError, match="digest is missing: the record was edited"):
        Record.from_json(json.dumps(tree))


def several(kind: str = "bound") -> dict[str, Any]:
    """The file of a record that says everything twice."""
    protocol = dataclasses.replace(PROTOCOL, scored_images=500, repeats=1 if kind == "exact" else 5)
    record = make(
        variant="k8",
        kind=kind,
        bits=(2.0,),
        options={"K": 8},
        sampler={"steps": 3},
        protocol=protocol,
    )[0]
    noted = {
        "images": 500,
        "repeats": protocol.repeats,
        "repeat_error": None if kind == "exact" else 0.01,
    }
    evaluations = {"default": {}, "k8": {"sample": {"steps": 3}, "log_prob": {"K": 8}}}
    needs = {"teacher": {"seed": 0, "needs": {"critic": {"seed": 0}}}}
    config = {"seed": 0, "protocol": "digits", "evaluations": evaluations, "needs": needs}
    need = Need("1" * 64, "2" * 64, 10, 1.0)
    return dataclasses.replace(
        record,
        curve=Curve("fid", 64, 100, "", (CurvePoint(5, 9.0), CurvePoint(10, 7.0))),
        likelihood=dataclasses.replace(record.likelihood, defaults={"chunk": 4}, **noted),
        provenance=dataclasses.replace(record.provenance, config=config),
        needs={"teacher": need, "teacher.critic": need},
        sample_defaults={"guidance": 0.0},
    ).to_dict()


def diverged() -> dict[str, Any]:
    """The file of the record of a run that diverged."""
    return make(density="explicit", diverged=(0,))[0].to_dict()


def floor() -> dict[str, Any]:
    """The file of a noise floor."""
    protocol = dataclasses.replace(PROTOCOL, metrics=("fid", "memorisation"))
    record = make("noise-floor", family="-", density="-", speed=None, protocol=protocol)[0]
    return dataclasses.replace(record, metrics={"fid": Metric(2.0, None)}).to_dict()


def foreign() -> dict[str, Any]:
    """The file of a record of another tool's images."""
    return make("other", family="foreign", density="-", speed=None)[0].to_dict()


def implicit() -> dict[str, Any]:
    """The file of a record of a model without a density."""
    return make("gan", family="gan", protocol=POINTS)[0].to_dict()


def exact() -> dict[str, Any]:
    """The file of a record of an exact likelihood."""
    return several("exact")


def seal_again(tree: dict[str, Any]) -> str:
    """The text of an edited record by somebody who knows how its id and its digest are made."""
    protocol = read_value(ProtocolIdentity, tree["protocol"])
    options = (
        tree["variant"],
        tree["sample_options"],
        tree["log_prob_options"],
        tree["device_class"],
    )
    tree["id"] = record_id(tree["provenance"]["config_hash"], protocol, *options)
    return json.dumps({**tree, "digest": content_digest(tree)})


FORGED = [
    # likelihood
    (
        several,
        "likelihood.terms.rate",
        0.9,
        "likelihood.terms add up to 2.4, but likelihood.bits_per_dim is 2.0",
    ),
    (
        several,
        "likelihood.bits_per_dim",
        1.9,
        "likelihood.terms add up to 2.0, but likelihood.bits_per_dim is 1.9",
    ),
    (several, "likelihood.nats", 80.0, "likelihood.nats is 80.0, which is 1.80"),
    (
        several,
        "likelihood.options",
        {"K": 9},
        "likelihood.options is {'K': 9}, but log_prob_options is {'K': 8}",
    ),
    (
        several,
        "likelihood.defaults",
        {"K": 1},
        "K is among the options of likelihood that were given, and among",
    ),
    (several, "likelihood.images", 719, "likelihood.images is 719, but by the protocol it is 500"),
    (several, "likelihood.repeats", 4, "likelihood.repeats is 4, but by the protocol it is 5"),
    (
        several,
        "likelihood.repeat_error",
        None,
        "likelihood.repeat_error is None, but likelihood.repeats is 5",
    ),
    (several, "likelihood.stderr", None, "likelihood.stderr is None, but likelihood.images is 500"),
    (exact, "likelihood.repeats", 5, "likelihood.repeats is 5, but by the protocol it is 1"),
    # metrics
    (several, "metrics", {}, "metrics.fid is missing"),
    (
        implicit,
        "metrics.kl",
        {"value": 0.1, "error": None},
        "metrics.kl is there, but density is 'implicit'",
    ),
    (
        floor,
        "metrics.memorisation",
        {"value": 0.1, "error": None},
        "metrics.memorisation is there, but density is '-', model noise-f",
    ),
    (foreign, "metrics", {}, "metrics.fid is missing, but density is '-', model other"),
    (several, "likelihood", None, "density is 'explicit', but likelihood is null"),
    (several, "density", "implicit", "density is 'implicit', but likelihood is there"),
    # what it is about
    (several, "density", "-", "density is '-', but the model is vae of the family 'vae'"),
    (floor, "density", "implicit", "density is 'implicit', but the model is noise-floor"),
    (several, "family", "-", "family is '-', but the model is vae"),
    (foreign, "family", "gan", "density is '-', but the model is other of the family 'gan'"),
    (
        several,
        "provenance.weights_hash",
        None,
        "provenance.weights_hash is None, but the run has status done",
    ),
    (diverged, "provenance.weights_hash", "a" * 64, "but the run has status diverged"),
    (foreign, "cost.images_seen", 5, "cost is not zero, but the images are another tool's"),
    (diverged, "speed", several()["speed"], "speed was measured, but the run has status diverged"),
    (diverged, "cost.images_seen", 200_000, "cost.images_seen is 200000, but diverged_at is 12800"),
    # configuration
    (several, "seed", 7, "seed is 7, but provenance.config.seed is 0"),
    (several, "provenance.config.seed", 7, "seed is 0, but provenance.config.seed is 7"),
    (
        several,
        "provenance.config.protocol",
        "likelihood",
        "protocol.name is 'digits', but provenance.config.protocol is 'likelihood'",
    ),
    (
        several,
        "variant",
        "k9",
        "variant is 'k9', but provenance.config.evaluations has 'default', 'k8'",
    ),
    (
        several,
        "sample_options",
        {"steps": 4},
        "sample_options is {'steps': 4}, but provenance.config.evaluations.k8.sample is {'ste",
    ),
    (
        several,
        "sample_defaults",
        {"steps": 3},
        "steps is among the options of sample that were given, and among",
    ),
    (
        several,
        "needs",
        {},
        "needs has none, but provenance.config.needs has 'teacher', 'teacher.critic'",
    ),
    (
        several,
        "needs.teacher.config_hash",
        "vae",
        "needs.teacher.config_hash is 'vae', not a SHA-256",
    ),
    # curve
    (several, "curve.metric", "kid", "curve.metric is 'kid', but by the protocol it is 'fid'"),
    (several, "curve.points.1.value", -1.0, "curve has -1.0 at 10 images"),
    (several, "curve.points.1.images_seen", 10**9, "curve ends at 1000000000 images, but cost.im"),
    # protocol
    (
        several,
        "protocol.extractor_hash",
        None,
        "protocol.extractor is 'digits', but protocol.extractor_hash is None",
    ),
    (
        several,
        "protocol.statistics",
        "x.npz",
        "protocol.statistics is 'x.npz', but protocol.statistics_hash is None",
    ),
    (
        several,
        "protocol.reference_images",
        0,
        "protocol.reference_images is 0, but protocol.statistics is None",
    ),
    (several, "protocol.metrics", ["fid", "fid"], "protocol.metrics names a metric twice"),
]


@pytest.mark.parametrize(
    ("name", "most"), [("is", 10.0), ("class_modes", 10.0), ("class_modes_kl", math.log(10))]
)
def test_metrics_of_class_scores_are_at_most_what_the_classes_of_the_extractor_allow(name, most):
    card = read_card(card_file("digits"))
    protocol = dataclasses.replace(PROTOCOL, metrics=(name,), extractor_hash=card.sha256)

    def text(value: float, **others: Any) -> str:
        record = make("gan", family="gan", protocol=dataclasses.replace(protocol, **others))[0]
        return dataclasses.replace(record, metrics={name: Metric(value, None)}).to_json()

    assert Record.from_json(text(most))
    with pytest.raises(
        InputError, match=rf"metrics\.{name}\.value is 100\.0, but extractor digits"
    ):
        Record.from_json(text(100.0))
    # nothing says how many classes an extractor has that is not the one of the card
    assert Record.from_json(text(100.0, extractor_hash="1" * 64))
    assert Record.from_json(text(100.0, extractor="theirs"))


@pytest.mark.parametrize("whole", [several, exact, diverged, floor, foreign, implicit])
def test_a_record_that_says_the_same_twice_is_read(whole):
    assert Record.from_json(seal_again(whole())).to_dict() == whole()


@pytest.mark.parametrize(
    ("whole", "path", "value", "says"), FORGED, ids=[f"{w.__name__}-{p}" for w, p, _, _ in FORGED]
)
def test_a_forged_record_with_a_right_digest_contradicts_itself(whole, path, value, says):
    tree = whole()
    group = tree
    *above, last = path.split(".")
    for key in above:
        group = group[int(key) if isinstance(group, list) else key]
    group[last] = value
    if path == "protocol.metrics":
        tree["metrics"] = {"fid": tree["metrics"]["fid"]}
    with pytest.raises(InputError, match=re.escape(says)):
        Record.from_json(seal_again(tree))


def test_no_committed_record_contradicts_itself():
    committed = Path(__file__).parents[2] / "leaderboards"
    files = sorted((committed / "records").glob("*/*.json"))
    assert len(files) >= 100
    assert len(records_in(committed)) == len(files)


def test_a_record_under_the_name_of_another_is_none(tmp_path):
    """A suite would take it for the record that is lacking."""
    path = write_record(tmp_path, make()[0])
    copy = path.with_name(path.name.replace("-s0-", "-s1-"))
    copy.write_bytes(path.read_bytes())
    with pytest.raises(
        InputError, match=rf"a record of this content is named records/digits/{path.name}"
    ):
        read_record(copy)


def test_a_key_that_stands_twice_is_refused():
    text = make(fid=(104.98,))[0].to_json()
    with pytest.raises(InputError, match="the key 'status' stands twice"):
        Record.from_json(text.replace('"status": "done"', '"status": "diverged", "status": "done"'))


def test_records_of_schema_1_are_sealed_once_and_say_so(tmp_path):
    """A digest that was removed from a newer record is not made again, by whatever schema it is given."""
    sealing = load_script("seal_records")
    record, edited = make(fid=(104.98, 20.0))
    paths = [write_record(tmp_path, one) for one in (record, edited)]
    old = {key: value for key, value in record.to_dict().items() if key != "digest"}
    paths[0].write_text(json.dumps({**old, "schema": 1}))
    with pytest.raises(InputError, match=r"schema is 1.*seal_records\.py"):
        records_in(tmp_path)
    whole = paths[1].read_bytes()
    assert sealing.seal(tmp_path) == [paths[0]]
    found = {one.seed: one for one in records_in(tmp_path)}
    assert found[0].sealed_at and dataclasses.replace(found[0], sealed_at=None) == record
    assert found[1].sealed_at is None and paths[1].read_bytes() == whole
    assert sealing.seal(tmp_path) == []
    tree = json.loads(whole)
    tree["metrics"]["fid"]["value"] = 904.98
    paths[1].write_text(json.dumps({**tree, "schema": 1}))
    with pytest.raises(InputError, match="has a digest, which no record of schema 1 had"):
        sealing.seal(tmp_path)
    del tree["digest"]
    paths[1].write_text(json.dumps(tree))
    assert sealing.seal(tmp_path) == []
    with pytest.raises(InputError, match="digest is missing"):
        records_in(tmp_path)


def load_script(name: str):
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", [["table"], ["table", "--write"], ["compare", "vae", "dcgan"]])
def test_records_behind_a_link_to_nothing_are_missed(out, capsys, command):
    (out / "records" / "pairs").symlink_to(out / "unmounted")
    (out / "records" / ".#digits").symlink_to("editor@host.1")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*")}
    folder = ["--out", str(out)] if command[0] == "compare" else [str(out)]
    assert main([*command, *folder]) == 2
    errors = capsys.readouterr().err
    assert f"{out}/records/pairs is a link to {out}/unmounted, where nothing is" in errors
    assert errors.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in out.glob("*")} == before
    (out / "records" / "pairs").unlink()
    assert main([*command, *folder]) == 0


@pytest.mark.parametrize(
    "bad",
    ["", "{", "[]", "null", '"text"', "NaN", '{"schema": NaN}', "[" * 100_000, b"\xff\xfe\x00"],
)
def test_one_corrupt_file_stops_everything_and_nothing_is_written(out, bad):
    victim = sorted((out / "records").rglob("*.json"))[3]
    victim.write_bytes(bad if isinstance(bad, bytes) else bad.encode())
    before = sorted(out.rglob("*"))
    with pytest.raises(InputError, match=re.escape(str(victim))) as error:
        build(out)
    assert "\n" not in str(error.value)
    assert sorted(out.rglob("*")) == before


def test_tables_remove_what_killed_ones_left_and_nothing_that_is_being_written(out):
    folders = [out, *(out / "records").iterdir()]
    left = [folder / ".index.html.0123abcd.tmp" for folder in folders]
    fresh = [folder / ".index.html.89abcdef.tmp" for folder in folders]
    for path in (*left, *fresh):
        path.write_text("half")
    for path in left:
        os.utime(path, (0, 0))
    build(out)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in fresh)


def test_truncation_anywhere_is_noticed():
    text = make(kind="bound", bits=(2.0,))[0].to_json()
    for length in range(0, len(text) - 2, 37):
        with pytest.raises(InputError):
            Record.from_json(text[:length])


def test_infinity_is_not_a_number_even_where_json_allows_it():
    text = make(fid=(123.25,))[0].to_json()
    for bad in ("Infinity", "NaN", "1e999"):
        with pytest.raises(InputError, match="finite"):
            Record.from_json(text.replace("123.25", bad))


def test_a_copied_record_would_count_twice_and_is_refused(tmp_path):
    path = write_record(tmp_path, make()[0])
    (path.parent / "copy.json").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"copy\.json.*is named records/digits/vae-s0-"):
        records_in(tmp_path)


def test_the_path_is_known_before_anything_is_measured(tmp_path):
    record = make(variant="k64")[0]
    assert write_record(tmp_path, record) == record_path(
        tmp_path, "digits", "vae", "k64", 0, record.id
    )


# --- rules of comparison -----------------------------------------------------------------------------------------------------


def test_means_and_sample_standard_deviations_are_those_of_numpy():
    values = tuple(np.random.default_rng(0).normal(30, 5, 7).tolist())
    summary = boards(make(fid=values))[0].rows[0].metric("fid")
    np.testing.assert_allclose(
        [summary.mean, summary.sd], [np.mean(values), np.std(values, ddof=1)], rtol=1e-13
    )
    assert summary.n == 7
    assert Summary((1.0,)).sd is None


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(ProtocolIdentity) if f.name != "dataset"]
)
def test_records_whose_protocols_differ_in_any_field_never_share_a_table(field):
    value = getattr(PROTOCOL, field)
    changed = {
        int: lambda v: v + 1,
        str: lambda v: v + "x",
        tuple: lambda v: (*v[:-1], 9) if isinstance(v[-1], int) else v[:-1],
        type(None): lambda v: 1_000,
    }
    other = dataclasses.replace(PROTOCOL, **{field: changed[type(value)](value)})
    records = make() + [
        dataclasses.replace(r, metrics={"fid": Metric(5.0, None)})
        for r in make("gan", protocol=other)
    ]
    assert [
        [row.label for row in board.rows]
        for board in sorted(boards(records), key=lambda b: b.protocol != PROTOCOL)
    ] == [
        ["vae"],
        ["gan"],
    ]


def test_records_without_a_metric_that_came_later_keep_their_ids_and_share_a_table_with_others():
    later = dataclasses.replace(
        PROTOCOL, metrics=(*PROTOCOL.metrics[:3], "mind", *PROTOCOL.metrics[3:])
    )
    assert later.hash == PROTOCOL.hash
    older, newer = make("vae", (9.0, 9.1)), make("gan", (5.0, 5.1), protocol=later)
    (board,) = boards(older + newer)
    assert board.protocol.metrics == later.metrics
    assert {row.label: row.metric("mind") is not None for row in board.rows} == {
        "vae": False,
        "gan": True,
    }
    # in any order of the records
    assert boards(newer + older) == [board]
    # a record that was asked for it and lacks it is none
    newer[0].metrics.pop("mind")
    assert list(contradictions(newer[0])) == [
        "metrics.mind is missing, but density is 'implicit', model gan"
    ]


def test_rows_are_told_apart_by_variant_configuration_and_device():
    cuda = [dataclasses.replace(r, device_class="cuda") for r in make(config="aaaaaaaa")]
    records = (
        make(config="aaaaaaaa")
        + make(config="bbbbbbbb")
        + make(config="aaaaaaaa", variant="k64")
        + cuda
    )
    assert [row.label for row in boards(records)[0].rows] == [
        "vae (aaaaaa, cpu)",
        "vae (aaaaaa, cuda)",
        "vae (bbbbbb, cpu)",
        "vae@k64",
    ]


def test_seeds_of_one_row_must_differ_and_mean_the_same():
    with pytest.raises(InputError, match="same training seed"):
        boards(make() + make())
    mixed = make(fid=(1.0, 2.0), kind="exact", bits=(2.0,))
    mixed[1] = dataclasses.replace(
        mixed[1], likelihood=dataclasses.replace(mixed[1].likelihood, kind="bound")
    )
    with pytest.raises(InputError, match="different kinds"):
        boards(mixed)


def mark(records, metric="fid"):
    board = boards(records)[0]
    return {row.label: board.mark(row, metric) for row in board.rows}


def test_best_needs_a_lead_beyond_the_spread_and_no_diverged_run():
    wide, far, narrow = (18.0, 20.0, 22.0), (40.0, 40.5, 41.0), (21.9, 22.0, 22.1)
    assert mark(make("a", wide) + make("b", far)) == {"a": "best", "b": ""}
    assert mark(make("a", wide) + make("b", narrow)) == {"a": "", "b": ""}
    assert mark(make("a", wide) + make("b", (60.0,))) == {
        "a": "",
        "b": "",
    }  # one seed: its spread is unknown
    assert mark(make("a", (*wide, 0.0), diverged=(3,)) + make("b", far)) == {"a": "", "b": ""}
    assert mark(make("a", wide)) == {"a": ""}  # best of one is nothing
    high, low = make("a", wide, recall=(0.7, 0.71, 0.69)), make("b", wide, recall=(0.6, 0.61, 0.59))
    assert mark(high + low, "recall") == {"a": "best", "b": ""}
    assert mark(high + low, "density") == {"a": "", "b": ""}
    assert mark(make("a", wide) + make("b", far) + make("noise-floor", (1.0,), "-")) == {
        "a": "best",
        "b": "",
    }


def test_the_mean_decides_and_never_the_minimum():
    board = boards(make("lucky", (1.0, 60.0, 60.0)) + make("steady", (20.0, 20.1, 19.9)))[0]
    row = {r.label: r for r in board.rows}
    assert row["lucky"].metric("fid").mean == pytest.approx(121 / 3)
    assert quality_words(board, row["steady"], "fid") == "lowest, may be chance"


def bits_marks(*rows):
    records = [
        r for name, kind, bits in rows for r in make(name, kind=kind, bits=bits, fid=(1.0, 1.0))
    ]
    board = boards(records)[0]
    return {row.label: board.nll_mark(row) for row in board.rows}


def test_an_exact_value_under_a_rivals_bound_proves_nothing():
    exact, bound, estimate = (
        ("ar", "exact", (2.0, 2.01)),
        ("vae", "bound", (2.5, 2.51)),
        ("ode", "estimate", (2.6, 2.61)),
    )
    assert bits_marks(exact, bound) == {"ar": "", "vae": ""}
    assert bits_marks(exact, estimate) == {"ar": "", "ode": ""}
    # a bound below an exact value is a proof, and so is exact against exact
    assert bits_marks(exact, ("vae", "bound", (1.5, 1.51))) == {"ar": "", "vae": "best"}
    assert bits_marks(exact, ("ar2", "exact", (2.2, 2.21))) == {"ar": "best", "ar2": ""}
    assert bits_marks(exact, ("ar2", "exact", (2.2, 2.21)), bound) == {
        "ar": "lead",
        "ar2": "",
        "vae": "",
    }
    # the lower of two bounds is only the lower figure; an estimate proves nothing
    assert bits_marks(bound, ("flow", "bound", (2.4, 2.41))) == {"vae": "", "flow": "lead"}
    assert bits_marks(exact, ("ode", "estimate", (1.0, 1.01))) == {"ar": "", "ode": ""}


def test_two_samplers_of_one_model_are_no_rivals_in_likelihood():
    two = (1.0, 1.1)
    likelihood = {"kind": "exact", "bits": (2.0, 2.01)}
    records = make("ddpm", two, **likelihood) + make("ddpm", two, variant="ddim", **likelihood)
    records += make("vae", two, kind="exact", bits=(3.0,), config="vae")
    board = boards(records)[0]
    assert {row.label: board.nll_mark(row) for row in board.rows} == {
        "ddpm": "best",
        "ddpm@ddim": "best",
        "vae": "",
    }


def test_a_row_without_the_seeds_that_the_protocol_asks_for_is_not_called_best():
    three = dataclasses.replace(PROTOCOL, seeds=3)
    for protocol, best in ((PROTOCOL, "best"), (three, "")):
        rows = make("a", (1.0, 1.0), protocol=protocol) + make(
            "b", (9.0, 9.1, 9.2), protocol=protocol
        )
        (board,) = boards(rows)
        assert board.mark(board.rows[0], "fid") == best
    text = formats.render([board])
    assert " 2 of 3 |" in text and " 3 |" in text


def test_words_follow_from_the_numbers():
    board = boards(lecture())[0]
    row = {r.label: r for r in board.rows}
    assert quality_words(board, row["ddpm"], "fid") == "lowest, may be chance"
    assert (
        quality_words(board, row["flow-matching"], "fid") == "1.1 times the lowest, may be chance"
    )
    assert quality_words(board, row["vae"], "fid") == "4.5 times the lowest"
    assert (
        quality_words(board, row["dcgan"], "fid")
        == "2.2 times the lowest, may be chance, finished runs only"
    )
    assert quality_words(board, row["ddpm"], "recall") == "best"
    assert quality_words(board, row["pixelcnn"], "recall") == "92 % of the best"
    assert speed_words(board, row["vae"]) == "1.2 times slower"
    assert speed_words(board, row["ddpm"]) == "2,700 times slower"
    assert speed_words(board, row["dcgan"]) == "fastest"
    assert speed_words(board, row["wgan-gp"]) == "within 5 % of the fastest"
    assert relative_spread(board, row["dcgan"]) == pytest.approx(
        np.std((19.5, 24.0), ddof=1) / 21.75
    )
    assert stability_words(row["dcgan"]) == "1 of 3 diverged"
    assert stability_words(row["vae"]) == "0 of 3 diverged"
    assert stability_words(board.floor[0]) == "one seed: not measured"


def with_error(records, error):
    return [
        dataclasses.replace(r, metrics={k: Metric(m.value, error) for k, m in r.metrics.items()})
        for r in records
    ]


def test_the_spread_of_a_distance_near_zero_is_not_set_in_relation_to_it():
    """An unbiased distance of 0.001, -0.002, 0.004 has a mean of 0.001: sd / mean would be 300 %, and says nothing of training."""
    near = make("near", (0.001, -0.002, 0.004), protocol=POINTS)
    small = with_error(make("small", (0.003, 0.001, 0.002), protocol=POINTS), 0.001)
    clear = with_error(make("clear", (0.03, 0.01, 0.02), protocol=POINTS), 0.001)
    (board,) = boards([*near, *small, *clear])
    row = {row.label: row for row in board.rows}
    assert [relative_spread(board, row[label]) for label in ("near", "small", "clear")] == [
        None,
        None,
        pytest.approx(0.5),
    ]
    cell = {label: row_cells.stability_cell(board, row[label]) for label in row}
    assert (cell["near"].text, cell["near"].note) == (
        "sd 0.003",
        "mean near 0, no ratio, 0 of 3 diverged",
    )
    assert (cell["small"].text, cell["clear"].text) == ("sd 0.001", "50 %")
    # nor are the others so many times a lowest distance that is itself near zero
    assert (
        quality_words(board, row["clear"], "energy_distance") == "behind the lowest, may be chance"
    )


def test_boards_of_one_name_say_in_words_how_they_differ(tmp_path):
    other = dataclasses.replace(PROTOCOL, chunk=512, extractor_hash="f" * 64, repeats=5)
    former = dataclasses.replace(PROTOCOL, evaluated_by="one seed")
    write(tmp_path, make("vae") + make("vae", protocol=other) + make("vae", protocol=POINTS))
    titles = [table.board_title(board) for board in formats.load_boards(tmp_path)]
    assert sorted(titles) == [
        "protocol digits (extractor hash eeeeeeee, chunk 64, repeats 1)",
        "protocol digits (extractor hash ffffffff, chunk 512, repeats 5)",
        "protocol points2d",
    ]
    for text in (
        render_tables(tmp_path, "md"),
        page.page_text(formats.load_boards(tmp_path), tmp_path),
    ):
        assert "protocol digits (extractor hash ffffffff, chunk 512, repeats 5)" in text
    write(tmp_path, make("vae", protocol=former))
    title = table.board_title(formats.load_boards(tmp_path)[-2])
    assert title.startswith(
        "protocol digits (extractor hash eeeeeeee, chunk 64, repeats 1) (former protocol, all trainings"
    )


def test_the_noise_floor_is_reached_only_by_a_spread_that_resolves_it():
    def words(fid):
        board = boards(make("a", fid) + make("noise-floor", (4.0,), "-"))[0]
        return quality_words(board, board.rows[0], "fid")

    assert words((4.0, 4.3)) == words((3.0, 3.1)) == "at the noise floor"
    assert words((5.0, 5.1)) == ""
    assert words((1.0, 21.0)) == ""  # 11 ± 14 says nothing


def test_speeds_are_compared_on_one_device_only():
    board = boards(
        make("a", speed=10.0) + make("b", speed=2.0) + make("c", speed=999.0, device="GPU")
    )[0]
    assert [speed_words(board, row) for row in board.rows] == ["fastest", "5 times slower", ""]


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (980.0, ["fastest", "within 5 % of the fastest"]),
        (500.0, ["fastest, may be chance", "half as fast, may be chance"]),
        (10.0, ["fastest", "100 times slower"]),
    ],
)
def test_of_one_seed_a_speed_must_be_far_from_another(speed, words):
    board = boards(make("a", (1.0,), speed=1000.0) + make("b", (1.0,), speed=speed))[0]
    assert [speed_words(board, row) for row in board.rows] == words


@pytest.mark.parametrize(
    ("speeds", "chance", "words", "text"),
    [
        ((500.0, 490.0, 510.0), "", "half as fast", "500 ± 10"),
        ((900.0, 700.0, 200.0), ", may be chance", "1.7 times slower", "600 ± 360"),
    ],
)
def test_a_busy_machine_resolves_no_speed(speeds, chance, words, text):
    """Times over the seeds have a spread too, and it is printed."""
    fast, slow = make("a", (1.0, 1.0, 1.0), speed=1000.0), make("b", (1.0, 1.0, 1.0))
    slow = [
        dataclasses.replace(r, speed=dataclasses.replace(r.speed, images_per_second=s))
        for r, s in zip(slow, speeds)
    ]
    board = boards(fast + slow)[0]
    assert [speed_words(board, row) for row in board.rows] == [
        f"fastest{chance}",
        f"{words}{chance}",
    ]
    assert f"| {text} ({words}{chance}) |" in formats.render([board])


# --- tables ----------------------------------------------------------------------------------------------------------------


def cells(text, name):
    """The cells of a row in every Markdown table."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for line in lines for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_likelihood_prints_its_kind():
    records = [
        *make("ar", kind="exact", bits=(2.94,)),
        *make("vae", kind="bound", bits=(3.12,), options={"K": 64}),
        *make("ode", kind="estimate", bits=(2.99,)),
        *make("gan", density="implicit"),
        *make("three", fid=(1.0, 1.0, 1.0), kind="bound", bits=(3.0, 3.1, 3.2)),
    ]
    text = formats.render(boards(records), "md")
    assert "2.94" in cells(text, "ar")
    assert "<= 3.12 (K = 64)" in cells(text, "vae")
    assert "~ 2.99" in cells(text, "ode")
    assert "–" in cells(text, "gan")
    assert any("<= 3.10 ± 0.10" in cell for cell in cells(text, "three"))


def test_binarised_nats_and_bits_per_dimension_never_share_a_column():
    binary = dataclasses.replace(PROTOCOL, name="binary", levels=2)
    grey, two = (
        make("vae", kind="bound", bits=(2.0,)),
        make("vae", kind="bound", bits=(0.15,), protocol=binary),
    )
    found = boards(grey + two)
    assert [board.protocol.levels for board in found] == [2, 17]
    heads = [{column.title for column in table.board_table(board).columns} for board in found]
    assert "nats p(x)" in heads[0] and not any("bits/dim" in head for head in heads[0])
    assert "bits/dim p(x)" in heads[1] and not any("nats" in head for head in heads[1])
    nats = found[0].rows[0].nll()
    assert nats.mean == pytest.approx(two[0].likelihood.nats)
    assert nats.error == pytest.approx(0.01 * 64 * math.log(2))
    assert f"<= {nats.mean:.2f}" in cells(formats.render(found), "vae")
    assert "Likelihood: nats" in {
        column.title for column in table.comparison_table(found[0]).columns
    }
    lines = [
        line
        for line in csv.DictReader(io.StringIO(formats.render(found, "csv")))
        if "bound" in line["kind"]
    ]
    assert [(line["protocol_name"], line["quantity"]) for line in lines] == [
        ("binary", "nats"),
        ("digits", "bits_per_dim"),
    ]
    assert "nats (lower is better)" in plots.likelihood_plot(
        boards(two + make("b", kind="bound", bits=(0.2,), protocol=binary))[0]
    )


def test_what_a_likelihood_took_and_its_error_over_repeats_stand_beside_it():
    repeated = dataclasses.replace(PROTOCOL, repeats=5)
    records = make(
        "vae",
        fid=(1.0, 2.0),
        kind="estimate",
        bits=(2.0, 2.1),
        options={"K": 16},
        protocol=repeated,
    )
    took = {"dequantisation": "variational", "network_evaluations": 1600.0, "repeats": 5}
    records = [
        dataclasses.replace(
            r, likelihood=dataclasses.replace(r.likelihood, repeat_error=error, **took)
        )
        for r, error in zip(records, (0.001, 0.003))
    ]
    text = formats.render(
        boards(records + make("old", kind="bound", bits=(3.0,), protocol=repeated))
    )
    shown = "~ 2.05 ± 0.07 (variational dequantisation, K = 16, 1,600 network evaluations, ± 0.002 over 5 repeats)"
    assert shown in cells(text, "vae")
    assert "<= 3.00" in cells(text, "old")
    assert Record.from_json(records[0].to_json()) == records[0]
    assert repeated.hash != PROTOCOL.hash
    assert "from 0 and the training seed, chunks of 64, 5 repeats" in formats.render(
        boards(make("vae", protocol=repeated))
    )


def test_conditional_likelihoods_have_their_own_column():
    assert "p(x \\| y)" not in formats.render(boards(make(kind="exact", bits=(2.0,))), "md")
    records = make("a", kind="exact", bits=(2.0,)) + make(
        "b", kind="exact", bits=(1.5,), conditional=True
    )
    board = boards(records)[0]
    made = table.board_table(board)
    heads = [column.title for column in made.columns]
    places = [heads.index(title) for title in ("bits/dim p(x)", "bits/dim p(x | y)")]
    shown = {
        line.cells[0].text: tuple(line.cells[place].text for place in places) for line in made.lines
    }
    assert shown["a"] == ("2.00", "–")
    assert shown["b"] == ("–", "1.50")
    assert (
        board.nll_mark(board.rows[1], conditional=True) == ""
    )  # not best against another question


def test_models_that_are_given_labels_are_ranked_apart():
    plain = make("a", fid=(3.0, 3.1, 3.2), config="a") + make("b", fid=(9.0, 9.1, 9.2), config="b")
    told = make(
        "c", fid=(1.0, 1.1, 1.2), kind="exact", bits=(1.5, 1.6, 1.7), conditional=True, config="c"
    )
    alone, both = boards(plain)[0], boards(plain + told)[0]
    assert (
        [both.mark(row, "fid") for row in both.rows]
        == ["best", "", ""]
        == [*(alone.mark(row, "fid") for row in alone.rows), ""]
    )
    assert [row.conditional for row in both.rows] == [False, False, True]
    text = formats.render([both], "md")
    assert "c (vae, given labels) | 1.10 ± 0.10 |" in text
    assert "| a (vae) | **3.10 ± 0.10** (best) |" in text


def test_small_spreads_get_their_digits():
    assert cell_texts.value_cell(Summary((2.940, 2.944)), 2).text == "2.942 ± 0.003"
    assert cell_texts.value_cell(Summary((20.0, 30.0)), 2).text == "25.00 ± 7.07"
    assert cell_texts.value_cell(Summary((2.5,)), 2).text == "2.50"


def test_headers_say_how_it_was_measured(out):
    text = render_tables(out, "md")
    samples = (
        "719 generated against 719 images of the test split",
        "digits (sha256 eeeeeeee)",
        "Evaluation: every training by its own seed, from 0 ",
    )
    for fact in (
        *samples,
        "0, 1, 2",
        "one core",
        "200,000 training images seen",
        "1×8×8, 17 levels",
    ):
        assert fact in text
    assert "noise-floor" in formats.render(boards(make()), "md")  # printed as not measured


def test_csv_parses_back_with_the_same_numbers(out):
    lines = {}
    for line in csv.DictReader(io.StringIO(render_tables(out, "csv"))):
        key = line["protocol"], line["model"], line["variant"], line["quantity"]
        assert key not in lines
        lines[key] = line
    for board in formats.load_boards(out):
        for row in (*board.rows, *board.floor):
            key = board.protocol.hash, row.first.model, row.first.variant
            for name in board.protocol.metrics:
                if name == "kl" and row.first.density != "explicit":
                    assert (*key, name) not in lines
                    continue
                summary, line = row.metric(name), lines[*key, name]
                assert (float(line["mean"]), int(line["n"])) == (summary.mean, summary.n)
                assert (float(line["sd"]) if line["sd"] else None) == summary.sd
            bits, line = row.nll(), lines.get((*key, "bits_per_dim"))
            assert (bits is None) == (line is None)
            if bits:
                assert float(line["mean"]) == bits.mean
                assert line["kind"].split(",")[0] == row.kind


def test_names_are_escaped_in_every_format(tmp_path):
    evil = r"<script>|&_%$#{}~^*`[a](b)"
    write(tmp_path, make(evil, family="<b>&") + make("plain", fid=(9.0,)))
    build(tmp_path)
    markdown = render_tables(tmp_path, "md")
    assert r"\<script>\|\&\_%$#{}\~^\*\`\[a\](b)" in markdown
    tables = re.findall(r"(?:^\|.*\n?)+", markdown, re.M)
    assert len(tables) == 2
    assert all(
        len({len(re.split(r"(?<!\\)\|", line)) for line in t.splitlines()}) == 1 for t in tables
    )
    latex = "\n".join(
        line for line in render_tables(tmp_path, "latex").splitlines() if not line.startswith("%")
    )
    assert r"$<$script$>$$|$\&\_\%\$\#\{\}$\sim$\textasciicircum{}*`[a](b)" in latex
    html_text = (tmp_path / "index.html").read_text()
    assert "&lt;script&gt;" in html_text
    assert html_text.count("<script>") == 1  # the page's own
    assert "<b>" not in html_text


def test_latex_has_no_special_character_left(out):
    body = "\n".join(
        line for line in render_tables(out, "latex").splitlines() if not line.startswith("%")
    )
    assert not re.search(r"[±×–‖≤↓<>_](?![^$]*\$)|(?<!\\)[%#]", re.sub(r"\$[^$]*\$", "", body))
    assert r"$\leq$ 2.19 $\pm$ 0.01" in body
    for line in body.splitlines():
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) in (7, 18, 15)
    assert body.count(r"\begin{tabular}") == body.count(r"\end{tabular}") == 4


def test_unknown_formats_and_empty_folders_end_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no records in"):
        render_tables(tmp_path)
    write(tmp_path, make())
    with pytest.raises(InputError, match="did you mean 'latex'"):
        render_tables(tmp_path, "latexx")
    with pytest.raises(InputError, match="did you mean 'digits'"):
        write_board(tmp_path, "digit")


# --- plots and page ---------------------------------------------------------------------------------------------------------


def test_everything_regenerates_byte_for_byte_in_any_order(tmp_path):
    records = lecture() + lecture(POINTS, scale=0.01)
    contents = []
    for name, order in {
        "a": records,
        "b": records[::-1],
        "c": sorted(records, key=lambda r: (r.seed, r.model)),
    }.items():
        write(tmp_path / name, order)
        for _ in range(2 if name == "a" else 1):
            written = build(tmp_path / name)
            contents.append({path.name: path.read_bytes() for path in written})
    assert set(contents[0]) == {"digits.md", "points2d.md", "orders.md", "index.html"}
    assert all(content == contents[0] for content in contents)
    shuffled = records[::2] + records[1::2][::-1]
    assert formats.render(boards(records), "csv") == formats.render(boards(shuffled), "csv")


def test_write_board_is_what_build_writes(out):
    build(out)
    text = (out / "digits.md").read_text()
    assert write_board(out, "digits") == out / "digits.md"
    assert (out / "digits.md").read_text() == text
    assert "points2d" not in text


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [
            given[name]
            for name in ("src", "href", "srcset", "data", "action", "poster")
            if name in given
        ]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in ("meta", "link", "img", "br", "wbr", "input", "path", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "line"):
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing_from_elsewhere(out):
    (record,) = [
        r for r in records_in(out) if (r.dataset, r.variant, r.seed) == ("digits", "ddim50", 1)
    ]
    grid = picture_path(out, "digits", "ddpm", "ddim50", 1, record.id)
    grid.parent.mkdir(parents=True)
    grid.write_bytes(b"png")
    text = page.write_page(out).read_text()
    found = Page(text)
    assert found.open == []
    assert len(set(found.ids)) == len(found.ids)
    assert f"pictures/digits/ddpm%40ddim50-s1-{record.id}.png" in found.addresses
    for address in found.addresses:
        shown = address in ("data:,", f"pictures/digits/ddpm%40ddim50-s1-{record.id}.png")
        assert address.startswith("#") or shown or (out / unquote(address)).is_file()
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg\")", text)
    assert "pictures/digits/vae" not in text
    parts = (
        "Comparison on digits",
        '<img class="strip"',
        '<svg class="gb-plot',
        "Every measurement on digits",
        '<div class="grids">',
    )
    assert sorted(parts, key=text.index) == list(parts)


def test_plots_are_wellformed_and_draw_every_row():
    board = boards(lecture())[0]
    quality, likelihood, diversity = (
        ElementTree.fromstring(picture) for picture in plots.plots(board)
    )
    name = "{http://www.w3.org/2000/svg}"
    for drawn in (quality, diversity):
        labels = {e.text for e in drawn.iter(f"{name}text") if "label" in e.get("class", "")}
        assert labels == {row.label for row in board.rows}
    labels = {e.text for e in likelihood.iter(f"{name}text") if "label" in e.get("class", "")}
    assert labels == {row.label for row in board.rows if row.nll()}
    assert plots.quality_plot(boards(make(speed=None))[0]) is None
    assert plots.likelihood_plot(boards(make())[0]) is None


def test_axes_put_values_where_they_belong():
    axis = axes.Axis("", 1e-3, 1e1, True, ())
    assert axis.at(1e-1) == pytest.approx(0.5)
    assert axes.Axis("", 2.0, 6.0, False, ()).at(3.0) == pytest.approx(0.25)
    assert axis.at(0.0) == 0.0
    found = [Summary((0.0017, 0.0018)), Summary((40.0, 50.0))]
    made = axes.make_axis(found, "", None)
    assert made.log and made.low < 0.0017 and made.high > 50
    assert {"0.01", "1", "10"} <= {text for _, text in made.ticks}
    assert {"100k", "1M"} <= {
        text for _, text in axes.make_axis([Summary((9e3,)), Summary((2e6,))], "", None).ticks
    }
    assert not axes.make_axis([Summary((2.0,)), Summary((2.5,))], "", None).log
    assert not axes.make_axis([Summary((-1.0,)), Summary((25.0,))], "", None).log
    single = axes.make_axis([Summary((2.0,))], "", False)
    assert single.low < 2 < single.high and len(single.ticks) >= 2


@pytest.mark.parametrize("case", ["lecture", "pile", "column"])
def test_labels_never_cover_each_other_and_stay_inside(case):
    if case == "lecture":
        texts = [row.label for row in boards(lecture())[0].rows]
        centres = [(100.0 + 60 * i, 100.0 + 12 * (i % 3)) for i in range(len(texts))]
    elif case == "pile":  # ten models with one result
        texts, centres = [f"model-{i}@variant" for i in range(10)], [(400.0, 250.0)] * 10
    else:
        texts, centres = (
            [f"model-{i}" for i in range(12)],
            [(700.0, 100.0 + 12 * i) for i in range(12)],
        )
    markers = [label_places.Box(x - 9, y - 9, 18, 18) for x, y in centres]
    boxes = label_places.place_labels(centres, [frame.text_width(t) for t in texts], markers)
    for i, box in enumerate(boxes):
        assert all(box.overlap(other) == 0 for other in boxes[:i])
        assert box.x >= frame.LEFT and box.x + box.width <= frame.WIDTH - frame.RIGHT
        assert box.y >= frame.TOP and box.y + box.height <= frame.HEIGHT - frame.BOTTOM


@pytest.mark.parametrize(
    ("centres", "widths"),
    [
        ([(385.0, 238.0), (376.0, 205.0), (415.0, 239.0)], [60.0, 150.0, 99.0]),
        ([(426.0, 213.0), (380.0, 160.0), (367.0, 161.0)], [150.0, 60.0, 150.0]),
        (
            [(399.0, 165.0), (416.0, 172.0), (429.0, 210.0), (365.0, 193.0)],
            [99.0, 150.0, 99.0, 150.0],
        ),
    ],
)
def test_a_label_lies_beside_its_own_point(centres, widths):
    """Crowds, with error bars to both sides, where the least covering alone puts a label next to another model's point."""
    ink = [
        box
        for x, y in centres
        for box in (label_places.Box(x - 9, y - 9, 18, 18), label_places.Box(x - 50, y - 2, 100, 4))
    ]
    for i, box in enumerate(label_places.place_labels(centres, widths, ink)):
        assert (
            min(range(len(centres)), key=lambda k: math.dist(box.nearest(*centres[k]), centres[k]))
            == i
        )


def test_tables_do_not_need_torch(out):
    code = """
import sys, pathlib
from genbench.leaderboard import build
assert "jinja2" not in sys.modules
build(pathlib.Path(sys.argv[1]))
heavy = {"torch", "lightning", "matplotlib", "scipy.stats"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(out)], check=True)


def test_a_divergence_from_a_bound_is_a_bound_and_proves_nothing(tmp_path):
    only_kl = dataclasses.replace(POINTS, metrics=("kl",))
    exact = make(
        "made", (0.0199, 0.0201), "autoregressive", protocol=only_kl, kind="exact", bits=(6.2,)
    )
    write(
        tmp_path,
        exact + make("vae", (0.5, 0.5), "vae", protocol=only_kl, kind="bound", bits=(6.6,)),
    )
    text = render_tables(tmp_path, "md")
    assert "| <= 0.5000 ± 0.0000 |" in text
    assert "**0.0200 ± 0.0001**" not in text
    proved = tmp_path / "exact"
    write(
        proved,
        exact + make("other", (0.03, 0.03), "flow", protocol=only_kl, kind="exact", bits=(6.3,)),
    )
    assert "**0.0200 ± 0.0001**" in render_tables(proved, "md")


def test_the_committed_leaderboards_are_what_their_records_give(tmp_path):
    committed = Path(__file__).parents[2] / "leaderboards"
    shutil.copytree(committed, tmp_path / "out")
    written = build(tmp_path / "out")
    assert {path.name for path in written} == {path.name for path in committed.glob("*.*")} - {
        "published.yaml"
    }
    assert {"digits.md", "points2d.md", "mnist.md", "index.html"} <= {path.name for path in written}
    for path in written:
        assert path.read_bytes() == (committed / path.name).read_bytes()


def test_a_field_that_came_later_leaves_the_ids_of_older_records_alone():
    first = {
        f.name: getattr(PROTOCOL, f.name)
        for f in dataclasses.fields(ProtocolIdentity)
        if f.default is dataclasses.MISSING
    }
    assert len(first) == 13
    assert dataclasses.replace(PROTOCOL, evaluated_by="one seed").hash == digest(first)
    assert PROTOCOL.hash == digest({**first, "evaluated_by": "own seeds"})


def test_records_of_the_former_protocol_stand_apart_and_nothing_of_them_is_called_best(tmp_path):
    """All trainings of a row by one evaluation seed: the spread over trainings leaves out the noise of sampling."""
    former = dataclasses.replace(PROTOCOL, evaluated_by="one seed")
    write(tmp_path, lecture() + lecture(former))
    own, one = formats.load_boards(tmp_path)
    assert not own.protocol.is_former and one.protocol.is_former
    row, rival = (next(row for row in one.rows if row.label == label) for label in ("ddpm", "vae"))
    new, old = render_tables(tmp_path, "md").split("## digits: ")[1:]
    assert "**" in new and "former" not in new and "may be chance" in new
    assert old.startswith(
        "protocol digits (former protocol, all trainings evaluated with one seed: intervals leave out"
    )
    tables, _, _ = old.partition("- Mean ± standard")
    assert "**" not in tables and "best" not in tables.partition("\n")[2].replace(
        "nothing is called best", ""
    )
    assert "resolved" not in tables
    assert "(lowest)" in tables
    for comparison in compare_rows(one, row, rival):
        assert (comparison.verdict, comparison.reason[:15]) == ("not resolved", "former protocol")
    assert "former protocol" in page.page_text([own, one], tmp_path)
    text = "\n".join(noise_study.spread_paragraphs(one))
    assert "No difference is resolved" in text and text.count("| – |") == len(
        [r for r in one.rows if r.metric("fid").sd]
    )


def with_steps(records, error):
    likelihood = dataclasses.replace(records[0].likelihood, step_error=error)
    return [dataclasses.replace(r, likelihood=likelihood) for r in records]


@pytest.mark.parametrize(
    ("error", "words"),
    [(0.0049, ""), (0.0051, "finer steps of its solver move it by 0.0051"), (None, "")],
)
def test_a_likelihood_whose_steps_show_in_its_digits_says_so(error, words):
    """Two digits are printed of equal values: half of the last one is 0.005."""
    board = boards(
        with_steps(make("ode", (9.0, 9.1), "diffusion", kind="estimate", bits=(3.0,)), error)
    )[0]
    (line,) = table.board_table(board).lines[:1]
    (cell,) = (cell for cell in line.cells if cell.text.startswith("~ "))
    assert cell.text == "~ 3.00 ± 0.00"
    assert cell.note == words


def test_a_likelihood_by_an_estimated_constant_says_how_well_it_is_known():
    """The largest error of the seeds, in the unit of the board."""
    rows = make("rbm", (9.0, 9.1), "classical", kind="estimate", bits=(3.0,))
    for i, error in enumerate((0.003, 0.012)):
        likelihood = dataclasses.replace(rows[i].likelihood, shared_error=error)
        rows[i] = dataclasses.replace(rows[i], likelihood=likelihood)
    (line,) = table.board_table(boards(rows)[0]).lines[:1]
    (cell,) = (cell for cell in line.cells if cell.text.startswith("~ "))
    assert cell.note == "log Z is known to 0.01"


@pytest.mark.parametrize("error", [None, 1e-5, 0.005])
def test_a_divergence_from_a_likelihood_in_steps_has_the_error_of_the_steps(error):
    """Finer steps move both by the same nats: those of two pixels for KL, which has four digits."""
    records = with_steps(make("ode", (9.0, 9.1), "diffusion", kind="estimate", bits=(3.0,)), error)
    protocol = dataclasses.replace(records[0].protocol, shape=(1, 1, 2), metrics=("kl",))
    records = [
        dataclasses.replace(r, protocol=protocol, metrics={"kl": Metric(0.3, None)})
        for r in records
    ]
    (board,) = boards(records)
    words = (
        f"finer steps of its solver move it by {2 * math.log(2) * 0.005:.2g}"
        if error == 0.005
        else ""
    )
    (line,) = table.board_table(board).lines[:1]
    (cell,) = (cell for cell in line.cells if cell.text.startswith("~ 0.3"))
    assert cell.note == words
    assert words in formats.render([board], "md")


def test_a_record_without_an_error_of_steps_is_read():
    (record,) = make("ode", (9.0,), "diffusion", kind="estimate", bits=(3.0,))
    tree = record.to_dict()
    del tree["likelihood"]["step_error"], tree["speed"]["evaluations_timed"]
    assert Record.from_dict({**tree, "digest": content_digest(tree)}) == record


def test_images_per_second_say_their_batch_and_whether_they_are_extrapolated():
    records = make("slow", (9.0, 9.1), "diffusion")
    (line,) = table.board_table(boards(records)[0]).lines[:1]
    (cell,) = (cell for cell in line.cells if cell.note.startswith("batch"))
    assert cell.note == "batch 256"
    speed = dataclasses.replace(records[0].speed, batch=1024, evaluations_timed=24)
    (line,) = table.board_table(
        boards([dataclasses.replace(records[0], speed=speed), records[1]])[0]
    ).lines[:1]
    (cell,) = (cell for cell in line.cells if cell.note.startswith("batch"))
    assert cell.note == "batches 256 to 1,024, extrapolated from 24 network evaluations of a call"
