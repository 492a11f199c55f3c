"""Commands about one run: train, sample, evaluate, explore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genbench.cli.device import find_device
from genbench.errors import InputError, nearest

__all__ = ["run_evaluate", "run_explore", "run_sample", "run_train"]


def run_train(given: Any) -> None:
    from genbench.config.recipe import load_config

    config = load_config(given.config, given.overrides, given.trust, given.smoke)
    from genbench.system.processes import settle_torch

    settle_torch()
    from genbench.runs.build import build

    data, model = build(config)  # an impossible value ends the command before anything is written
    from genbench.config.protocol import load_protocol
    from genbench.errors import Diverged
    from genbench.evaluation.evaluate import record_divergence
    from genbench.runs.folder import run_folder
    from genbench.system.launch import is_primary
    from genbench.system.locations import project_root
    from genbench.system.progress import reporter
    from genbench.training.train import check_fit, train

    check_fit(config, data, model)
    if config.resolved["protocol"]:
        load_protocol(config.resolved["protocol"])
    if given.dry_run:
        from genbench.system.yaml12 import dump_yaml

        print(dump_yaml({"name": config.name, **config.resolved}), end="")
        return
    folder = run_folder(config, data.name)
    folder.refuse_links()
    before = folder.state()
    with reporter() as report:
        report.step(f"train {config.name} seed {config.seed}", config.budget.images)
        try:
            run = train(config, report.progress)
        except Diverged:
            out = given.out or project_root() / "runs"
            record_divergence(folder, out, tuple(given.trust), find_device("auto"))
            raise
    state = run.state()
    if is_primary():
        again = (before["status"], before["images_seen"]) == ("done", state["images_seen"])
        images = state["images_seen"] + state["finalize_images"]
        did = f"{'was done before' if again else 'done'}, {images:,} images in {state['seconds']:.0f} s"
        print(f"{run.path}: {did}. Next: genbench evaluate {run.path}")


def run_sample(given: Any) -> None:
    import numpy as np
    import torch

    from genbench.data.commands import numbered_name
    from genbench.data.pictures import check_folder, output_kind, save_folder, save_grid
    from genbench.evaluation.draw import draw
    from genbench.runs.build import open_run
    from genbench.system.files import check_target

    kind = output_kind(given.out)
    if kind == "folder":
        check_folder(given.out, given.n)
    if not given.out.is_dir():
        check_target(given.out)
    loaded = open_run(given.run, given.trust, find_device(given.device))
    variant = (
        "" if given.variant == "default" and "" in loaded.config.evaluations else given.variant
    )
    if given.variant == "default" and "" not in loaded.config.evaluations:
        variant = next(iter(loaded.config.evaluations))
    if variant not in loaded.config.evaluations:
        raise InputError(
            f"no evaluation {variant!r}; {nearest(variant, loaded.config.evaluations)}"
        )
    label = None
    of_class = ""
    if given.label is not None:
        if not loaded.model.conditional:
            raise InputError(f"--label {given.label}: labels are not for a model of p(x)")
        label = loaded.data.label_of(given.label)
        of_class = f", class {numbered_name(label, loaded.data.classes[label])}"
    options = loaded.config.evaluations[variant].sample
    device = find_device(given.device)
    with torch.no_grad():
        parts = [
            x.cpu().numpy()
            for _, x in draw(loaded, given.n, given.seed, given.batch, options, device, label)
        ]
    images = np.concatenate(parts)
    spec = loaded.data.spec
    if kind == "folder":
        save_folder(images, spec, given.out)
    elif kind == "grid":
        save_grid(images, spec, given.out)
    else:
        import io

        from genbench.system.files import write_atomic

        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images, levels=spec.levels)
        write_atomic(given.out, buffer.getvalue())
    print(f"{given.out}: {len(images)} images of {loaded.config.name}, seed {given.seed}{of_class}")


def run_evaluate(given: Any) -> None:
    foreign = {f"--{key}": getattr(given, key) for key in ("samples", "data", "name")}
    if (given.run is None) != all(foreign.values()) or (
        given.run is not None and any(foreign.values())
    ):
        raise InputError(
            "genbench evaluate RUN, or genbench evaluate --samples PATH --data NAME --name LABEL"
        )
    if given.run is not None and any(
        value is not None for value in (given.protocol, given.seed, given.root)
    ):
        raise InputError(
            "--protocol, --seed and --root are about --samples; a run has its own in its configuration"
        )
    if given.samples is not None and given.variant is not None:
        raise InputError("--variant is about a run; images of another tool have none")
    from genbench.leaderboard import render_tables
    from genbench.system.locations import project_root
    from genbench.system.processes import rank

    out = given.out or project_root() / "runs"
    written = _evaluate_samples(given, out) if given.samples else _evaluate_run(given, out)
    if rank() == 0:
        print("\n".join(map(str, written)), end="\n\n")
        print(render_tables(out, "md"), end="")


def _evaluate_run(given: Any, out: Path) -> list[Path]:
    from genbench.evaluation.evaluate import evaluate
    from genbench.runs.folder import find_run
    from genbench.system.processes import join

    run = find_run(given.run)
    variants = (
        list(run.config(given.trust).evaluations)
        if given.variant is None
        else [given.variant.replace("default", "")]
    )
    device = join(given.devices, given.num_nodes, find_device(given.device))
    return [evaluate(run, variant, out, tuple(given.trust), device) for variant in variants]


def _evaluate_samples(given: Any, out: Path) -> list[Path]:
    from genbench.data.commands import named
    from genbench.evaluation.foreign import evaluate_samples
    from genbench.system.processes import join

    data = named(given.data, given.root)
    device = join(given.devices, given.num_nodes, find_device(given.device))
    return [
        evaluate_samples(
            given.samples, data, given.name, out, given.seed or 0, given.protocol, device
        )
    ]


def run_explore(given: Any) -> None:
    from genbench.explore import explore

    device = find_device(given.device)
    for line in explore(
        given.run, tuple(given.only), given.seed, given.label, given.out, tuple(given.trust), device
    ):
        print(line, flush=True)
