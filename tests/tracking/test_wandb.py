"""Runs that were logged offline are read back with wandb's own tool, `wandb leet inspect`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import warm

from genbench.cli.main import main
from genbench.evaluation.evaluate import evaluate
from genbench.records.record import Record
from genbench.records.store import records_in
from genbench.tracking import dashboard, server
from genbench.tracking.metrics_file import read_metrics
from genbench.tracking.names import summary
from genbench.tracking.server import has_login
from genbench.tracking.wandb_log import WandbLog, log_record
from genbench.training.train import train

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
    from genbench.config.recipe import load_config

    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/dev/null/none")
        config = load_config(
            EXAMPLE, [f"run_dir={folder / 'run'}", "wandb.tags=[mine]", *OFFLINE], smoke=True
        )
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
        assert (
            begin["run_group"] == f"digits/vae-{config.hash[:6]}"
            and begin["display_name"] == "digits/vae-s0"
        )
        assert begin["tags"] == ["vae", "digits", "quick", "mine"]


def test_the_resolved_configuration_is_the_runs(logged):
    config, _, _, parts = logged
    given = of(parts[0], "run")[0]["config"]["update"]
    assert {key: given[key] for key in config.resolved} == json.loads(json.dumps(config.resolved))
    assert (given["family"], given["dataset"], given["config_hash"]) == (
        "vae",
        "digits",
        config.hash,
    )


def test_images_are_the_only_x_axis_and_every_point_has_its_seconds(logged):
    _, run, records, parts = logged
    for part in parts:
        metrics = of(part, "metric")
        assert {
            metric.get("step_metric") for metric in metrics if metric.get("glob_name") == "*"
        } == {"images"}
        assert {metric.get("step_metric") for metric in metrics} <= {None, "images"}
        points = [entry["item"] for entry in of(part, "history")]
        assert points and all("images" in point for point in points)
    points = [entry["item"] for entry in of(parts[0], "history")]
    seconds = [point["seconds"] for point in points if "seconds" in point]
    assert (
        seconds == sorted(seconds) and len(seconds) >= len(points) - 2
    )  # a preview may come before the first log point
    losses = {point["images"]: point["loss"] for point in points if "loss" in point}
    # the file has them all; wandb at most ten a second, the first and the last in any case
    in_file = {line["images"]: line["loss"] for line in read_metrics(run.metrics) if "loss" in line}
    assert losses.items() <= in_file.items()
    assert {min(in_file), max(in_file)} <= losses.keys()
    assert any("val/bits_per_dim" in point for point in points)
    end = of(parts[1], "history")[-1]["item"]
    assert (end["images"], end["metrics/fid"]) == (
        records[0].cost.images_seen,
        records[0].metrics["fid"].value,
    )


def test_the_summary_has_the_records_names(logged):
    _, _, records, parts = logged
    for record, part in zip(records, parts[1:], strict=True):
        found: dict = {}
        for entry in of(part, "summary"):
            found |= entry["update"]
        prefix = f"{record.variant}/" if record.variant else ""
        assert found[f"{prefix}metrics/fid"] == record.metrics["fid"].value
        assert found[f"{prefix}metrics/kid_error"] == record.metrics["kid"].error
        assert found[f"{prefix}likelihood/kind"] == record.likelihood.kind == "bound"
        assert found[f"{prefix}likelihood/bits_per_dim"] == record.likelihood.bits_per_dim
        assert found[f"{prefix}speed/images_per_second"] == pytest.approx(
            record.speed.images_per_second
        )
        assert (found["cost/parameters"], found[f"{prefix}status"]) == (
            record.cost.parameters,
            "done",
        )
        assert prefix == "" or "metrics/fid" not in found


def test_one_grid_and_one_artifact_per_evaluation(logged):
    _, run, records, parts = logged
    for record, part in zip(records, parts[1:], strict=True):
        prefix = f"{record.variant}/" if record.variant else ""
        grids = [
            p
            for p in (path["path"] for entry in of(part, "files") for path in entry["files"])
            if p.startswith("media")
        ]
        assert len(grids) == 1 and grids[0].startswith(f"media/images/{prefix}evaluation/samples")
        (artifact,) = [
            request["log_artifact"]["artifact"]
            for request in of(part, "request")
            if "log_artifact" in request
        ] or of(part, "artifact")
        assert artifact["type"] == "record" and artifact["name"].endswith(record.id)
    staged = [path for path in (run.path / "wandb" / "files").rglob("*") if path.is_file()]
    assert any(
        record.id in path.read_text()
        for record in records
        for path in staged
        if "artifacts" in path.parts
    )


def test_the_first_evaluation_names_stand_alone_even_of_a_variant(logged):
    record = replace(logged[2][0], variant="ddim50")
    both = summary(record)
    assert both["metrics/fid"] == both["ddim50/metrics/fid"] == record.metrics["fid"].value
    assert "metrics/fid" not in summary(record, plain=False)


def test_the_id_is_of_the_configuration_and_seed_not_of_the_folder(tiny, tmp_path):
    def identity(*overrides: str, folder: str = "a") -> str:
        return WandbLog(tiny(EXAMPLE, *overrides), tmp_path / folder, "digits").version

    same = identity()
    assert (
        identity(folder="b") == identity("wandb.project=other", "trainer.accelerator=cpu") == same
    )
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
    assert [
        record.levelname for record in caplog.records if record.name.startswith("genbench")
    ] == ["WARNING"]


# --- compute nodes --------------------------------------------------------------------------------------------------------

ONLINE = {"WANDB_MODE": "online", "WANDB_API_KEY": "0" * 40}
LOGGING_OFFLINE = "logging offline, genbench wandb sync uploads it later"
OFF = "wandb is off for this run"
# of each: the environment, what is done to it, what is said of wandb, in one line, and whether the run is logged offline
NODES: dict[str, tuple[dict, str | None, str, bool]] = {
    "no key": ({}, None, "", True),
    "no key, but online is asked for": ({"WANDB_MODE": "online"}, None, LOGGING_OFFLINE, True),
    "no network": ({**ONLINE, "WANDB_BASE_URL": "http://127.0.0.1:9"}, None, LOGGING_OFFLINE, True),
    "a dead proxy": ({**ONLINE, "HTTPS_PROXY": "http://127.0.0.1:9"}, None, LOGGING_OFFLINE, True),
    "not installed": ({}, "hide wandb", OFF, False),
    "its service is killed": ({}, "kill its service", OFF, True),
    "a full home": ({"HOME": "FULL"}, None, "", True),
    "a home that is not for writing": ({"HOME": "READ-ONLY"}, None, "", True),
    "no space for wandb": ({}, None, OFF, False),
}
SMALL = [
    "--budget.images=160",
    "--data.batch_size=16",
    "--trainer.log_every=16",
    "--trainer.preview_every=80",
]
# what wandb would take from the environment of who runs the tests
NO_WANDB = {"WANDB_MODE": None, "WANDB_API_KEY": None, "WANDB_BASE_URL": None, "WANDB_DIR": None,
            "WANDB_DATA_DIR": None, "WANDB_CACHE_DIR": None, "WANDB_CONFIG_DIR": None, "WANDB_ARTIFACT_DIR": None}  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A function that trains and evaluates on a node: -> exit code, what was said, weights, metrics file and record, times aside.

    Temporary files go to a folder of its own.
    """
    folder = tmp_path_factory.mktemp("node")
    (folder / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    command = [sys.executable, str(Path(__file__).parents[1] / "workers" / "wandb_worker.py")]
    with warm.Server(command, environment) as server:

        def act(run: Path, environment: dict, do: str | None = None) -> tuple[int, str]:
            netrc = {"NETRC": str(folder / "netrc")}
            job = {
                "run": str(run),
                "overrides": SMALL,
                "environment": {**NO_WANDB, **netrc, **environment},
                "do": do,
            }
            code = server.ask(job)
            assert code is not None, server.errors()
            return code, Path(f"{run}.txt").read_text()

        act.temporary = folder / "tmp"
        yield act


def ended(run: Path) -> dict:
    """What a run ends with, times aside."""
    lines = [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in read_metrics(run / "metrics.jsonl")
    ]
    (record,) = records_in(Path(f"{run}-out"))
    tree = record.to_dict()
    del tree["cost"]["train_seconds"], tree["evaluated_at"], tree["digest"]
    return {"weights": (run / "model.safetensors").read_bytes(), "metrics": lines, "record": tree}


@pytest.fixture(scope="module")
def undisturbed(node, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert node(run, {"WANDB_MODE": "disabled"})[0] == 0
    return ended(run)


@contextmanager
def mounted(folder: Path, full: bool = True):
    """A file system of 64 KiB on a folder, full, or not for writing."""
    folder.mkdir(parents=True)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("mounting a file system of 64 KiB needs root")
    try:
        if full:
            with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("name", NODES)
def test_a_run_does_not_care_what_a_node_lacks(name, node, undisturbed, tmp_path):
    """Exit code 0, the same weights, metrics file and record, at most one line about wandb, and nothing left in /tmp."""
    environment, do, says, offline = NODES[name]
    run, places = tmp_path / "run", ExitStack()
    with places:
        if (home := environment.get("HOME")) is not None:
            places.enter_context(mounted(tmp_path / "home", full=home == "FULL"))
            environment = {**environment, "HOME": str(tmp_path / "home")}
        if name == "no space for wandb":
            places.enter_context(mounted(run / "wandb"))
        code, said = node(run, environment, do)
        assert code == 0, said
        assert ended(run) == undisturbed
        found = dashboard.offline_runs(tmp_path)
    lines = [line for line in said.splitlines() if "wandb" in line]
    # training and evaluation begin a part of their own each
    assert len(lines) <= 2 and bool(lines) == bool(says) and all(says in line for line in lines), (
        said
    )
    assert bool(found) == offline
    # but for the socket of a service that was killed
    assert not list(node.temporary.glob("tmp*wandb*"))


def test_a_run_that_was_killed_keeps_its_id_offline_too(node, undisturbed, tmp_path):
    """Every part, the one that a kill cut short too, can be read by wandb, and is of one run; together they lack no image."""
    run = tmp_path / "run"
    # what is written every 15 seconds is written at once, so that the killed part has something
    assert node(run, {"WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.05"}, "kill itself")[0] == -9
    assert list(
        (run / "wandb" / "files").glob("tmp*wandb-*")
    )  # wandb's own, which it could not remove
    code, said = node(run, {})
    assert code == 0, said
    assert ended(run) == undisturbed
    (parts,) = dashboard.offline_runs(tmp_path).values()
    entries = [inspected(part) for part in parts]
    assert len(parts) == 3  # killed, finished, evaluated
    begun = [of(part, "run")[0] for part in entries]
    assert {begin["run_id"] for begin in begun} == {
        json.loads((run / "wandb.json").read_text())["id"]
    }
    assert all(begin["resume"] for begin in begun)
    images = [{entry["item"]["images"] for entry in of(part, "history")} for part in entries]
    assert min(images[0]) == 16 and max(images[1]) == 160 and min(images[1]) <= max(images[0]) + 16
    assert not list((run / "wandb" / "files").glob("tmp*wandb-*"))
    assert not list(node.temporary.glob("tmp*wandb-*"))


def test_without_a_network_the_run_is_logged_offline(tiny, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(WandbLog, "_PATIENCE", 2.0)
    run = train(tiny(EXAMPLE, "wandb.mode=online", "budget.images=160"))
    assert run.state()["status"] == "done"
    assert sum("logging offline" in message for message in caplog.messages) == 1
    (parts,) = dashboard.offline_runs(run.path).values()
    assert of(inspected(parts[-1]), "history")


@pytest.mark.parametrize("how", ["silent", "slow"])
def test_a_server_that_says_nothing_is_waited_for_once_and_not_for_long(how, monkeypatch):
    """It accepts and is silent; or a name server is, of which no time limit knows."""
    if how == "silent":
        listening = socket.create_server(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
    else:
        monkeypatch.setattr(server, "urlopen", lambda *_, **__: time.sleep(5))
    began = time.monotonic()
    with pytest.raises(OSError, match=r"does not answer within|timed out"):
        server.reach_server(0.2)
    assert time.monotonic() - began < 3
    if how == "silent":
        listening.close()


def test_disabled_writes_nothing(tiny, logged, tmp_path):
    config = tiny(EXAMPLE)
    log_record(
        config, tmp_path / "run", logged[2][0], tmp_path / "record.json", tmp_path / "grid.png"
    )
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
    assert {(c["groupBy"], c["groupAgg"], c["groupArea"]) for c in curves} == {
        ("group", "mean", "stddev")
    }
    text = json.dumps(panels)
    for name in (
        "val/bits_per_dim",
        "metrics/fid",
        "speed/images_per_second",
        "evaluation/samples",
    ):
        assert name in text


def test_a_dashboard_of_data_without_records_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genbench.tracking.dashboard.project_root", lambda: tmp_path)
    for place in ("leaderboards/records/digits", "runs/mine/records/birds"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "vae-s0-12345678.json").touch()
    for data, says in (
        ("nosuch", "choose from: birds, digits"),
        ("digit", "did you mean 'digits'?"),
    ):
        assert main(["wandb", "dashboard", "--data", data]) == 2
        line = capsys.readouterr().err
        assert f"no records of the data '{data}' in {tmp_path}/leaderboards" in line
        assert line.endswith(f"; {says}\n")
    assert not (tmp_path / "wandb-dashboard.json").exists()


def test_the_dashboard_is_about_one_data_set_and_no_panel_mixes_kinds_of_likelihood(tmp_path):
    assert main(["wandb", "dashboard", "--data", "mnist", "-o", str(tmp_path / "board.json")]) == 0
    spec = json.loads((tmp_path / "board.json").read_text())["spec"]
    filters = json.dumps(spec["section"]["runSets"][0]["filters"])
    assert '{"section": "config", "name": "dataset"}, "op": "=", "value": "mnist"' in filters
    panels = [
        panel
        for section in spec["section"]["panelBankConfig"]["sections"]
        for panel in section["panels"]
    ]
    bars = [panel["config"]["metrics"] for panel in panels if panel["viewType"] == "Bar Chart"]
    kinds = [
        f"summary_metrics.likelihood{g}/{k}_bits_per_dim"
        for g in ("", "_given_labels")
        for k in ("exact", "bound", "estimate")
    ]
    assert [name for (name,) in bars] == kinds


def test_every_name_on_the_dashboard_is_logged(logged):
    """A panel of a name that nobody logs would stay empty in silence."""
    _, _, records, parts = logged
    names = {
        name for part in parts for entry in of(part, "history") for name in entry["item"]
    } | set(summary(records[0]))
    names |= {name.removesuffix("._type") for name in names}
    text = dashboard._json(dashboard.workspace("", "genbench", "digits"))
    shown = [
        name
        for name in (
            "val/bits_per_dim",
            "metrics/fid",
            "evaluation/samples",
            "samples",
            "cost/train_seconds",
            "likelihood/bound_bits_per_dim",
        )
        if name in text
    ]
    assert len(shown) == 6 and set(shown) <= names


def test_sync_needs_a_login(logged, capsys):
    assert main(["wandb", "sync", str(logged[1].path)]) == 2
    assert "no wandb login" in capsys.readouterr().err
    assert main(["wandb", "sync", str(logged[1].path / "nowhere")]) == 2


def test_sync_without_wandb_or_a_network_says_so_in_one_line(waiting, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(
        dashboard.subprocess, "run", lambda *_, **__: pytest.fail("wandb would try for long")
    )
    for address in ("http://127.0.0.1:9", "nonsense"):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        assert main(["wandb", "sync", str(waiting)]) == 1
        said = capsys.readouterr().err
        assert (
            said.count("\n") == 1
            and address in said
            and "try again where there is a network" in said
        )
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    assert main(["wandb", "sync", str(waiting)]) == 2
    assert "wandb is not installed" in capsys.readouterr().err


def test_a_part_that_was_killed_before_anything_was_written_waits_for_nothing(waiting):
    (parts,) = dashboard.offline_runs(waiting).values()
    (parts[0] / "run-abc.wandb").write_text("")
    assert dashboard.offline_runs(waiting) == {waiting: parts[1:]}


@pytest.fixture
def waiting(tmp_path):
    """A run folder with two parts that were logged offline."""
    run = tmp_path / "runs" / "s0"
    for stamp in ("20260101_000001", "20260101_000000"):
        part = run / "wandb" / f"offline-run-{stamp}-abc"
        part.mkdir(parents=True)
        (part / "run-abc.wandb").write_text("something")
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
    monkeypatch.setattr(dashboard, "reach_server", lambda: None)
    monkeypatch.setattr(dashboard.subprocess, "run", uploader)
    assert main(["wandb", "sync", str(waiting)]) == 0
    assert commands == [[sys.executable, "-m", "wandb", "sync", "--yes", *map(str, parts)]]
    assert "uploaded, 2 parts" in capsys.readouterr().out
    assert main(["wandb", "sync", str(waiting)]) == 0 and len(commands) == 1
    assert "nothing to upload" in capsys.readouterr().out


def test_sync_says_what_was_refused_and_tries_again(waiting, monkeypatch, capsys):
    refused = subprocess.CompletedProcess(
        [], 1, "", "wandb: Syncing\nwandb: ERROR permission denied\n"
    )
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(dashboard, "reach_server", lambda: None)
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
    monkeypatch.setattr("genbench.tracking.wandb_log.time.monotonic", lambda: clock[0])
    logger = WandbLog(tiny("digits/vae"), tmp_path, "digits")
    logger._failed = False
    logger._run = SimpleNamespace(log=sent.append, finish=lambda exit_code: None)
    for step in range(20):
        clock[0] = 0.05 * step
        logger.log_metrics({"loss": 1.0}, step)
    logger.log_metrics({"val/bits_per_dim": 2.0}, 20)
    logger.log_metrics({"loss": 1.0}, 21)
    monkeypatch.setattr(logger, "_image", lambda path: path)
    logger.log_picture("samples", tmp_path / "grid.png", 22, seconds=1.5)
    logger.log_metrics({"loss": 1.0}, 23)
    logger.finalize("success")
    # losses held back come before validation images and pictures, though the last ones were just sent
    assert [row["images"] for row in sent] == [0, 10, 19, 20, 21, 22, 23]


def test_a_login_that_cannot_be_read_is_none(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_bytes(b"machine api.wandb.ai password \xff")
    assert not has_login()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x")
    assert has_login()
    monkeypatch.setenv("WANDB_BASE_URL", "http://[bad")
    assert not has_login()
