"""Runs that were logged offline are read back with wandb's own tool, `wandb leet inspect`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from genbench import dashboard
from genbench.cli import main
from genbench.evaluate import evaluate
from genbench.leaderboard.record import Record
from genbench.loggers import WandbLog, has_login, log_record, read_metrics, summary
from genbench.train import train

EXAMPLE = "digits/vae"
OFFLINE = ("wandb.mode=offline", "budget.images=160")


@pytest.fixture(autouse=True)
def no_login(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(WandbLog, "_unreachable", False)


def inspected(part: Path) -> list[dict]:
    """The entries of an offline run."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", str(part), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(entries: list[dict], kind: str) -> list[dict]:
    return [entry[kind] for entry in entries if entry["type"] == kind]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run and its two evaluations, without a usable home folder: config, run, records, and what each part says."""
    from genbench.config import load_config

    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/dev/null/none")
        config = load_config(EXAMPLE, [f"run_dir={folder / 'run'}", "wandb.tags=[mine]", *OFFLINE], smoke=True)
        run = train(config, suite="quick")
        paths = [evaluate(run, variant, folder / "out") for variant in config.evaluations]
    records = [Record.from_json(path.read_text(), path) for path in paths]
    (parts,) = dashboard.offline_runs(folder).values()
    return config, run, records, [inspected(part) for part in parts]


def test_training_and_evaluations_are_parts_of_one_run(logged):
    config, run, records, parts = logged
    assert len(parts) == 1 + len(records)
    begun = [of(part, "run")[0] for part in parts]
    identity = WandbLog(config, run.path, "digits").version
    for begin in begun:
        assert begin["run_id"] == identity
        assert begin["resume"] and begin["job_type"] == "train" and begin["project"] == "genbench"
        assert begin["run_group"] == "digits/vae" and begin["display_name"] == "digits/vae-s0"
        assert begin["tags"] == ["vae", "digits", "quick", "mine"]


def test_the_resolved_configuration_is_the_runs(logged):
    config, _, _, parts = logged
    given = of(parts[0], "run")[0]["config"]["update"]
    assert {key: given[key] for key in config.resolved} == json.loads(json.dumps(config.resolved))
    assert (given["family"], given["dataset"], given["config_hash"]) == ("vae", "digits", config.hash)


def test_images_are_the_only_x_axis_and_every_point_has_its_seconds(logged):
    _, run, records, parts = logged
    for part in parts:
        metrics = of(part, "metric")
        assert {metric.get("step_metric") for metric in metrics if metric.get("glob_name") == "*"} == {"images"}
        assert {metric.get("step_metric") for metric in metrics} <= {None, "images"}
        points = [entry["item"] for entry in of(part, "history")]
        assert points and all("images" in point for point in points)
    points = [entry["item"] for entry in of(parts[0], "history")]
    seconds = [point["seconds"] for point in points if "seconds" in point]
    assert seconds == sorted(seconds) and len(seconds) >= len(points) - 2  # a preview may come before the first log point
    losses = {point["images"]: point["loss"] for point in points if "loss" in point}
    # the file has them all; wandb at most ten a second, the first and the last in any case
    in_file = {line["images"]: line["loss"] for line in read_metrics(run.metrics) if "loss" in line}
    assert losses.items() <= in_file.items()
    assert {min(in_file), max(in_file)} <= losses.keys()
    assert any("val/bits_per_dim" in point for point in points)
    end = of(parts[1], "history")[-1]["item"]
    assert (end["images"], end["metrics/fid"]) == (records[0].cost.images_seen, records[0].metrics["fid"].value)


def test_the_summary_has_the_records_names(logged):
    _, _, records, parts = logged
    for record, part in zip(records, parts[1:]):
        found: dict = {}
        for entry in of(part, "summary"):
            found |= entry["update"]
        prefix = f"{record.variant}/" if record.variant else ""
        assert found[f"{prefix}metrics/fid"] == record.metrics["fid"].value
        assert found[f"{prefix}metrics/kid_error"] == record.metrics["kid"].error
        assert found[f"{prefix}likelihood/kind"] == record.likelihood.kind == "bound"
        assert found[f"{prefix}likelihood/bits_per_dim"] == record.likelihood.bits_per_dim
        assert found[f"{prefix}speed/images_per_second"] == pytest.approx(record.speed.images_per_second)
        assert (found["cost/parameters"], found[f"{prefix}status"]) == (record.cost.parameters, "done")
        assert prefix == "" or "metrics/fid" not in found


def test_one_grid_and_one_artifact_per_evaluation(logged):
    _, run, records, parts = logged
    for record, part in zip(records, parts[1:]):
        prefix = f"{record.variant}/" if record.variant else ""
        grids = [p for p in (path["path"] for entry in of(part, "files") for path in entry["files"]) if p.startswith("media")]
        assert len(grids) == 1 and grids[0].startswith(f"media/images/{prefix}evaluation/samples")
        (artifact,) = [
            request["log_artifact"]["artifact"] for request in of(part, "request") if "log_artifact" in request
        ] or of(part, "artifact")
        assert artifact["type"] == "record" and artifact["name"].endswith(record.id)
    staged = [path for path in (run.path / "wandb" / "files").rglob("*") if path.is_file()]
    assert any(record.id in path.read_text() for record in records for path in staged if "artifacts" in path.parts)


def test_the_first_evaluation_names_stand_alone_even_of_a_variant(logged):
    record = replace(logged[2][0], variant="ddim50")
    both = summary(record)
    assert both["metrics/fid"] == both["ddim50/metrics/fid"] == record.metrics["fid"].value
    assert "metrics/fid" not in summary(record, plain=False)


def test_the_id_is_of_the_configuration_and_seed_not_of_the_folder(tiny, tmp_path):
    def identity(*overrides: str, folder: str = "a") -> str:
        return WandbLog(tiny(EXAMPLE, *overrides), tmp_path / folder, "digits").version

    same = identity()
    assert identity(folder="b") == identity("wandb.project=other", "trainer.accelerator=cpu") == same
    others = {identity("seed=1"), identity("model.latent=3"), identity("budget.images=170")}
    assert len(others) == 3 and same not in others


def test_a_raised_budget_stays_on_its_page(tiny):
    run = train(tiny(EXAMPLE, *OFFLINE))
    train(tiny(EXAMPLE, "wandb.mode=offline", "budget.images=320"))
    (parts,) = dashboard.offline_runs(run.path.parent).values()
    assert len(parts) == 2 and len({of(inspected(part), "run")[0]["run_id"] for part in parts}) == 1


@pytest.mark.parametrize("how", ["import", "init", "log"])
def test_a_failure_of_wandb_is_one_line_and_the_run_goes_on(tiny, monkeypatch, caplog, how):
    def broken(*_, **__):
        raise RuntimeError("out of order")

    if how == "import":
        monkeypatch.setitem(sys.modules, "wandb", None)
    elif how == "init":
        monkeypatch.setattr("wandb.init", broken)
    else:
        monkeypatch.setattr("wandb.Run.log", broken)
    run = train(tiny(EXAMPLE, *OFFLINE))
    assert run.state()["status"] == "done" and read_metrics(run.metrics)
    assert [record.levelname for record in caplog.records if record.name.startswith("genbench")] == ["WARNING"]


def test_without_a_network_the_run_is_logged_offline(tiny, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(WandbLog, "_PATIENCE", 2.0)
    run = train(tiny(EXAMPLE, "wandb.mode=online", "budget.images=160"))
    assert run.state()["status"] == "done"
    assert sum("logging offline" in message for message in caplog.messages) == 1
    (parts,) = dashboard.offline_runs(run.path).values()
    assert of(inspected(parts[-1]), "history")


def test_disabled_writes_nothing(tiny, logged, tmp_path):
    config = tiny(EXAMPLE)
    log_record(config, tmp_path / "run", logged[2][0], tmp_path / "record.json", tmp_path / "grid.png")
    assert not (tmp_path / "run").exists()


# --- dashboard and sync ---------------------------------------------------------------------------------------------------


def test_without_a_login_the_dashboard_is_a_file(tmp_path, capsys):
    assert main(["wandb", "dashboard", "-o", str(tmp_path / "board.json")]) == 0
    assert "no wandb login" in capsys.readouterr().out
    written = json.loads((tmp_path / "board.json").read_text())
    sections = written["spec"]["section"]["panelBankConfig"]["sections"]
    panels = [panel for section in sections for panel in section["panels"]]
    curves = [panel["config"] for panel in panels if panel["viewType"] == "Run History Line Plot"]
    assert {curve["xAxis"] for curve in curves} == {"images", "seconds"}
    assert {(c["groupBy"], c["groupAgg"], c["groupArea"]) for c in curves} == {("group", "mean", "stddev")}
    text = json.dumps(panels)
    for name in ("val/bits_per_dim", "metrics/fid", "speed/images_per_second", "likelihood/bits_per_dim", "evaluation/samples"):
        assert name in text


def test_every_name_on_the_dashboard_is_logged(logged):
    """A panel of a name that nobody logs would stay empty in silence."""
    _, _, records, parts = logged
    names = {name for part in parts for entry in of(part, "history") for name in entry["item"]} | set(summary(records[0]))
    names |= {name.removesuffix("._type") for name in names}
    text = dashboard._json(dashboard.workspace("", "genbench"))
    shown = [
        name
        for name in ("val/bits_per_dim", "metrics/fid", "evaluation/samples", "samples", "cost/train_seconds")
        if name in text
    ]
    assert len(shown) == 5 and set(shown) <= names


def test_sync_needs_a_login(logged, capsys):
    assert main(["wandb", "sync", str(logged[1].path)]) == 2
    assert "no wandb login" in capsys.readouterr().err
    assert main(["wandb", "sync", str(logged[1].path / "nowhere")]) == 2


@pytest.fixture
def waiting(tmp_path):
    """A run folder with two parts that were logged offline."""
    run = tmp_path / "runs" / "s0"
    for time in ("20260101_000001", "20260101_000000"):
        part = run / "wandb" / f"offline-run-{time}-abc"
        part.mkdir(parents=True)
        (part / "run-abc.wandb").touch()
    return run


def test_sync_uploads_each_part_once(waiting, monkeypatch, capsys):
    (parts,) = dashboard.offline_runs(waiting).values()
    assert parts == sorted(parts) and len(parts) == 2
    commands = []

    def uploader(command, **_):
        commands.append(command)
        for part in map(Path, command[5:]):
            for path in part.glob("run-*.wandb"):
                path.with_name(f"{path.name}.synced").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(dashboard.subprocess, "run", uploader)
    assert main(["wandb", "sync", str(waiting)]) == 0
    assert commands == [[sys.executable, "-m", "wandb", "sync", "--yes", *map(str, parts)]]
    assert "uploaded, 2 parts" in capsys.readouterr().out
    assert main(["wandb", "sync", str(waiting)]) == 0 and len(commands) == 1
    assert "nothing to upload" in capsys.readouterr().out


def test_sync_says_what_was_refused_and_tries_again(waiting, monkeypatch, capsys):
    refused = subprocess.CompletedProcess([], 1, "", "wandb: Syncing\nwandb: ERROR permission denied\n")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(dashboard.subprocess, "run", lambda *_, **__: refused)
    assert main(["wandb", "sync", str(waiting)]) == 1
    printed = capsys.readouterr()
    assert "permission denied" in printed.out and "1 of 1 runs not uploaded" in printed.err
    assert dashboard.offline_runs(waiting)


def test_wandbs_own_tool_agrees_on_what_was_uploaded(waiting):
    """The mark that `sync` looks for is the one that `wandb sync` leaves and looks for."""
    (parts,) = dashboard.offline_runs(waiting).values()

    def listed() -> bool:
        command = [sys.executable, "-m", "wandb", "sync", "--dry-run", str(parts[0])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return parts[0].name in done.stdout + done.stderr

    assert listed()
    (file,) = parts[0].glob("run-*.wandb")
    file.with_name(f"{file.name}.synced").touch()
    assert not listed() and dashboard.offline_runs(waiting) == {waiting: parts[1:]}


def test_a_login_is_the_environments_or_netrcs(monkeypatch, tmp_path):
    assert not has_login()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    assert has_login()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_login()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert has_login()


def test_losses_come_at_most_twice_a_second_and_the_last_one_always(tiny, tmp_path, monkeypatch):
    clock, sent = [0.0], []
    monkeypatch.setattr("genbench.loggers.time.monotonic", lambda: clock[0])
    logger = WandbLog(tiny("digits/vae"), tmp_path, "digits")
    logger._failed = False
    logger._run = SimpleNamespace(log=sent.append, finish=lambda exit_code: None)
    for step in range(20):
        clock[0] = 0.05 * step
        logger.log_metrics({"loss": 1.0}, step)
    logger.log_metrics({"val/bits_per_dim": 2.0}, 20)
    logger.log_metrics({"loss": 1.0}, 21)
    logger.finalize("success")
    assert [row["images"] for row in sent] == [0, 10, 20, 21]
