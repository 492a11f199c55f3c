"""From a finished run to one record: samples, metrics, likelihood, speed, cost, provenance.

On several processes images are dealt out and gathered by `genbench.system.processes`; the record is
the same.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from genbench.config.instantiate import with_objects
from genbench.evaluation.draw import draw_samples, record_picture, save_picture
from genbench.evaluation.identity import Target, device_class, target
from genbench.evaluation.pending import discard_pending, read_pending, write_pending
from genbench.evaluation.provenance import new_provenance, now, portable_tree
from genbench.evaluation.score import score_samples
from genbench.metrics.likelihood import log_scores, log_table, measure_likelihood
from genbench.metrics.speed import measure_speed
from genbench.records.catalogue import metric_info
from genbench.records.parts import Cost, Need, Speed
from genbench.records.record import Record
from genbench.records.store import check_place, write_record
from genbench.runs.build import Loaded, build, open_run
from genbench.runs.folder import Run
from genbench.system.files import file_digest
from genbench.system.processes import agreed, first_alone, rank
from genbench.tracking.wandb_log import log_record

__all__ = ["evaluate", "record_divergence", "score"]


def evaluate(
    name: str | Path | Run,
    variant: str,
    out: Path,
    trust: tuple[str, ...] = (),
    device: str = "cpu",
) -> Path:
    """Measure a finished run and write its record and its sample grid.

    Args:
        name: The run.
        variant: Which of its configuration's evaluations; "" is the plain one.
        out: Folder with records/ and pictures/.
        trust: Modules outside genbench that its configuration may name.
        device: Where to compute.

    Returns:
        The record's file. An existing record is left as it is.
    """
    loaded = open_run(name, trust, device)
    goal = target(loaded, variant, out, device)
    path = goal.path
    if not agreed(path.exists()):
        scores = _scored(loaded, goal, out)
        with torch.no_grad(), first_alone() as first:
            if first:
                options = with_objects(goal.options.sample)
                speed = measure_speed(loaded.model, device, options, budget_seconds=20)
                timed = Speed(
                    **{
                        field.name: speed[field.name]
                        for field in fields(Speed)
                        if field.name in speed
                    }
                )
                record = replace(scores, speed=timed, evaluated_at=now())
                write_record(out, record)
                log_record(
                    loaded.config, loaded.run.path, record, path, record_picture(record, out)
                )
    if rank() == 0:
        discard_pending(loaded.run.path, path)
    return path


def score(
    name: str | Path | Run,
    variant: str,
    out: Path,
    trust: tuple[str, ...] = (),
    device: str = "cpu",
) -> None:
    """The part of `evaluate` that may go on beside other runs: all but the speed. What is measured
    waits in the run's folder.

    The arguments are those of `evaluate`, which measures the speed later and writes the record.
    """
    loaded = open_run(name, trust, device)
    goal = target(loaded, variant, out, device)
    if not agreed(goal.path.exists()):
        _scored(loaded, goal, out)


def _scored(loaded: Loaded, goal: Target, out: Path) -> Record:
    """The record without a speed: the one that waits, else measured, and then it waits."""
    path = goal.path
    device = goal.device
    evaluation = goal.options
    data = loaded.data
    model = loaded.model
    weights = file_digest(loaded.run.weights)
    blank = _record(loaded, goal, status="done", weights_hash=weights)
    waiting = read_pending(loaded.run.path, path, blank)
    if agreed(waiting is not None):
        return waiting or blank  # which of them matters to the first process alone
    check_place(out, blank.dataset, blank.model, goal.variant, blank.seed, blank.id)
    protocol = goal.protocol.of_training(loaded.config.seed)
    with torch.no_grad():
        images = draw_samples(loaded, evaluation, protocol, device)
        likelihood = None
        table = None
        log_q = None
        if model.likelihood is not None:
            likelihood = measure_likelihood(model, data, evaluation.log_prob, protocol, device)
            infos = [metric_info(name) for name in protocol.metrics]
            inputs = {need for info in infos if info.of_likelihood for need in info.inputs}
            if "known distribution" in inputs:
                table = log_table(model, data, evaluation.log_prob, protocol, device)
            if "known probabilities" in inputs:
                log_q = log_scores(model, data, evaluation.log_prob, protocol, device)
        truth = data.truth_of_samples(len(images), protocol.split, device)
        metrics = score_samples(images, data, protocol, device, table, truth, log_q)
    scores = replace(blank, metrics=metrics, likelihood=likelihood, evaluated_at=now())
    with first_alone() as first:
        if first:
            save_picture(images, data.spec, scores, out)
            write_pending(loaded.run.path, path, scores)
    return scores


def record_divergence(
    run: Run, out: Path, trust: tuple[str, ...] = (), device: str = "cpu"
) -> list[Path]:
    """Write what is known of a diverged run: that it diverged, and at which image.

    One record per evaluation.
    """
    config = run.recorded_config(trust)
    loaded = Loaded(run, config, *build(config))
    paths = []
    for variant in config.evaluations:
        goal = target(loaded, variant, out, device)
        diverged_at = run.state()["diverged_at"]
        record = _record(loaded, goal, status="diverged", diverged_at=diverged_at)
        paths.append(write_record(out, record))
        log_record(config, run.path, record, paths[-1], record_picture(record, out))
    return paths


def _record(
    loaded: Loaded, goal: Target, weights_hash: str | None = None, **measured: Any
) -> Record:
    """The record of an evaluation without measurements, and with those that are given by name."""
    config = loaded.config
    model = loaded.model
    state = loaded.run.state()
    options = goal.options
    blank: dict[str, Any] = {"metrics": {}, "likelihood": None, "speed": None, "diverged_at": None}
    return Record(
        dataset=loaded.data.name,
        model=config.name,
        family=config.family,
        variant=goal.variant,
        seed=config.seed,
        device_class=device_class(goal.device),
        density="explicit" if model.likelihood else "implicit",
        protocol=goal.identity,
        sample_options=options.sample,
        sample_defaults=model.defaults("sample", options.sample),
        log_prob_options=options.log_prob,
        cost=Cost(
            parameters=sum(p.numel() for p in model.parameters()),
            images_seen=state["images_seen"] + state["finalize_images"],
            train_seconds=round(state["seconds"], 1),
            device=state["device"],
        ),
        provenance=new_provenance(portable_tree(config.resolved), goal.config_hash, weights_hash),
        evaluated_at=now(),
        needs={name: Need(**facts) for name, facts in state["needs"].items()},
        **{**blank, **measured},
    )
