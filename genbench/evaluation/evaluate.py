"""From a finished run to its records: samples, metrics, likelihood, speed, cost, provenance.

`genbench evaluate` goes from command to record through these files, each of which is used once per
command but for the last five, which are used once per variant:

    cli/evaluate.py            the words of the command
    runs/build.py              `open_run`: configuration, data, model with the recorded weights
    evaluation/resolve.py      protocol, extractor, identity, and the file of every record
    evaluation/reference.py    features of the reference images
    evaluation/draw.py         samples
    evaluation/outputs.py      what the model says of other images, where a metric asks for it
    evaluation/score.py        their metrics, by metrics/measure.py; metrics/likelihood.py the likelihood
    evaluation/pending.py      the scores wait in the run's folder until the speed is measured
    metrics/speed.py           the speed
    records/store.py           the record; draw.py the picture beside it

Scores are kept apart from the speed because `genbench bench` scores runs side by side, and measures
speeds one at a time afterwards. `new_record` gives the record without measurements: by it scores
that wait are recognised, and it is what is known of a diverged run.

On several processes images are dealt out and gathered by `genbench.system.processes`, and the
record is the same: `agreed` makes all of them answer a question as the first one does, and
`first_alone` lets that one write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from genbench.config.instantiate import with_objects
from genbench.evaluation.draw import draw_samples, record_picture, save_picture
from genbench.evaluation.outputs import model_outputs
from genbench.evaluation.pending import discard_pending, read_pending, write_pending
from genbench.evaluation.provenance import new_provenance, now, portable_tree
from genbench.evaluation.resolve import RunEvaluation, Target, device_class, resolve_run
from genbench.evaluation.score import score_samples
from genbench.metrics.likelihood import measure_likelihood
from genbench.metrics.speed import measure_speed
from genbench.records.catalogue import curve_metric
from genbench.records.curve import Curve, logged_curve
from genbench.records.parts import Cost, Need, Speed, variant_of
from genbench.records.record import Record
from genbench.records.store import check_place, write_record
from genbench.runs.build import Loaded, build, measured_config, open_run
from genbench.runs.checkpoint_files import newest_contents
from genbench.runs.folder import Run
from genbench.system.processes import agreed, first_alone, rank
from genbench.tracking.metrics_file import read_metrics
from genbench.tracking.wandb_log import log_record

__all__ = ["evaluate", "evaluate_run", "record_divergence", "score_run"]


def evaluate(
    name: str | Path | Run,
    variant: str,
    out: Path,
    trust: Sequence[str] = (),
    device: str = "cpu",
) -> Path:
    """Measure one evaluation of a finished run; `evaluate_run` measures several.

    Args:
        name: The run.
        variant: Name of one of its configuration's evaluations, such as "default".
        out: Folder with records/ and pictures/.
        trust: Modules outside genbench that its configuration may name.
        device: Where to compute.

    Returns:
        The record's file. An existing record is left as it is.
    """
    return evaluate_run(name, out, [variant], trust, device)[0]


def evaluate_run(
    name: str | Path | Run,
    out: Path,
    variants: Sequence[str] | None = None,
    trust: Sequence[str] = (),
    device: str = "cpu",
) -> list[Path]:
    """Measure a finished run, and write its records and their sample grids.

    Args:
        name: The run.
        out: Folder with records/ and pictures/.
        variants: Names of some of its configuration's evaluations. None: all.
        trust: Modules outside genbench that its configuration may name.
        device: Where to compute.

    Returns:
        The records' files, one for each variant. Existing records are left as they are.
    """
    run = resolve_run(open_run(name, trust, device), out, variants, device)
    for target in run.targets:
        if not agreed(target.path.exists()):
            scores = scores_of(run, target)
            with torch.no_grad(), first_alone() as first:
                if first:
                    speed = speed_of(run, target)
                    publish(run, replace(scores, speed=speed, evaluated_at=now()))
        if rank() == 0:
            discard_pending(run.loaded.run.path, target.path)
    return [target.path for target in run.targets]


def score_run(
    name: str | Path | Run,
    out: Path,
    variants: Sequence[str] | None = None,
    trust: Sequence[str] = (),
    device: str = "cpu",
) -> None:
    """The part of `evaluate_run` that may go on beside other runs: all but the speed. What is
    measured waits in the run's folder.

    The arguments are those of `evaluate_run`, which measures the speed later and writes the
    records.
    """
    run = resolve_run(open_run(name, trust, device), out, variants, device)
    for target in run.targets:
        if not agreed(target.path.exists()):
            scores_of(run, target)


def scores_of(run: RunEvaluation, target: Target) -> Record:
    """The record without a speed: the one that waits in the folder of the run. Where none waits,
    the run is measured, and its record waits from then on.
    """
    folder = run.loaded.run.path
    weights = run.loaded.run.state()["weights_hash"]
    blank = new_record(run, target, status="done", weights_hash=weights)
    waiting = read_pending(folder, target.path, blank)
    if agreed(waiting is not None):
        # Which of the two it is matters to the first process alone.
        return waiting or blank
    check_place(run.out, blank.dataset, blank.model, blank.variant, blank.seed, blank.id)
    model = run.loaded.model
    data = run.loaded.data
    options = target.options
    protocol = run.resolved.protocol
    device = run.resolved.device
    with torch.no_grad():
        images = draw_samples(run.loaded, options, protocol, device)
        likelihood = None
        if model.likelihood is not None:
            likelihood = measure_likelihood(model, data, options.log_prob, protocol, device)
        truth = data.truth_of_samples(len(images), protocol.split, device)
        outputs = model_outputs(model, data, options.log_prob, protocol, device)
        metrics = score_samples(images, run.resolved, truth, outputs)
    scores = replace(blank, metrics=metrics, likelihood=likelihood, evaluated_at=now())
    with first_alone() as first:
        if first:
            save_picture(images, data.spec, scores, run.out)
            write_pending(folder, target.path, scores)
    return scores


def speed_of(run: RunEvaluation, target: Target) -> Speed:
    """How fast the model samples with the options of a variant."""
    options = with_objects(target.options.sample)
    speed = measure_speed(run.loaded.model, run.resolved.device, options, budget_seconds=20)
    names = [field.name for field in fields(Speed) if field.name in speed]
    return Speed(**{name: speed[name] for name in names})


def curve_of(run: RunEvaluation) -> Curve | None:
    """The quality of samples over the images seen, as the run's metrics file has it."""
    metric = curve_metric(run.resolved.protocol.metrics)
    if metric is None:
        return None
    lines = read_metrics(run.loaded.run.metrics)
    images, _ = run.loaded.data.arrays("val")
    variant = variant_of(next(iter(run.loaded.config.evaluations)))
    return logged_curve(lines, metric, len(images), variant)


def publish(run: RunEvaluation, record: Record) -> Path:
    """Write a record, and show it on the page of its run; returns the record's file."""
    path = write_record(run.out, record)
    picture = record_picture(record, run.out)
    log_record(run.loaded.config, run.loaded.run.path, record, path, picture)
    return path


def record_divergence(
    run: Run, out: Path, trust: Sequence[str] = (), device: str = "cpu"
) -> list[Path]:
    """Write what is known of a diverged run: that it diverged, and at which image.

    One record per evaluation.
    """
    config = measured_config(run, newest_contents(run.checkpoints), trust)
    evaluation = resolve_run(Loaded(run, config, *build(config)), out, None, device)
    diverged_at = run.state()["diverged_at"]
    return [
        publish(
            evaluation,
            new_record(evaluation, target, status="diverged", diverged_at=diverged_at),
        )
        for target in evaluation.targets
    ]


def new_record(
    run: RunEvaluation, target: Target, weights_hash: str | None = None, **measured: Any
) -> Record:
    """The record of an evaluation without measurements, and with those that are given by name."""
    config = run.loaded.config
    model = run.loaded.model
    state = run.loaded.run.state()
    options = target.options
    blank: dict[str, Any] = {"metrics": {}, "likelihood": None, "speed": None, "diverged_at": None}
    return Record(
        dataset=run.loaded.data.name,
        model=config.name,
        family=config.family,
        variant=target.variant,
        seed=config.seed,
        device_class=device_class(run.resolved.device),
        density="explicit" if model.likelihood else "implicit",
        protocol=run.resolved.identity,
        sample_options=options.sample,
        sample_defaults=model.defaults("sample", options.sample),
        log_prob_options=options.log_prob,
        cost=Cost(
            parameters=sum(p.numel() for p in model.parameters()),
            images_seen=state["images_seen"] + state["finalize_images"],
            train_seconds=round(state["seconds"], 1),
            device=state["device"],
        ),
        provenance=new_provenance(portable_tree(config.resolved), run.config_hash, weights_hash),
        evaluated_at=now(),
        curve=curve_of(run),
        needs={name: Need(**facts) for name, facts in state["needs"].items()},
        **{**blank, **measured},
    )
