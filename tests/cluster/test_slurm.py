"""Jobs on a SLURM cluster: their text, and (marker `slurm`) themselves, on a cluster of two nodes that the tests start and stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import absent
from lightning.pytorch.plugins.environments import SLURMEnvironment
from safetensors.torch import load_file
from slurm_node import CPUS, NODES, Nodes, cluster, lacking

from genbench.cli.main import main
from genbench.cluster.queue import jobs
from genbench.cluster.script import Array, prepare, ranges, script
from genbench.cluster.site import Cluster, load_cluster
from genbench.cluster.submit import submit
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.records.store import records_in
from genbench.runs.folder import Run
from genbench.suites.bench import bench
from genbench.suites.manifest import read_manifest
from genbench.suites.suite import Suite, load_suite
from genbench.system.files import file_digest, last_line
from genbench.system.launch import check_layout, is_primary
from genbench.system.locations import project_root
from genbench.system.progress import Lines
from genbench.tracking.metrics_file import read_metrics

VAE = "{config: digits/vae, evaluations: [mean], overrides: {model.encoder.width: 4, model.decoder.width: 4}}"
TASKS, ACROSS = ("--nodes=1", "--ntasks-per-node=2"), ("--nodes=2", "--ntasks-per-node=1")
TWO_TASKS = "{trainer.devices: 2, trainer.accelerator: cpu}"
TEACHER = "config: points2d/flow_matching"
REFLOW = "{config: points2d/reflow, evaluations: [heun20], overrides: {data.levels: 16, model.net.width: 4, model.reflow: 1}}"
DIVERGING = "{config: digits/vae, evaluations: [default], overrides: {model.optimizer.lr: 1e30, optimization.clip_norm: null}}"


def suite_file(folder: Path, entries: str, name: str = "tiny", seeds: str = "[0]") -> Path:
    overrides = (
        "{wandb.mode: disabled, budget.images: 160, data.batch_size: 16, trainer.curve_images: 0}"
    )
    path = folder / f"{name}.yaml"
    path.write_text(
        f"out: {folder / name}\nseeds: {seeds}\noverrides: {overrides}\nentries: {entries}\n"
    )
    return path


# --- text -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([3], "3"), ([0, 1, 2, 5], "0-2,5"), ([4, 2, 3, 9, 8], "2-4,8-9"), ([0, 2], "0,2")],
)
def test_array_indices(numbers, text):
    assert ranges(numbers) == text


@pytest.mark.parametrize(
    "path", sorted((project_root() / "slurm").glob("*.sbatch")), ids=lambda path: path.stem
)
def test_batch_scripts_are_bash_by_hand_and_filled_in(path, tmp_path):
    text = script(
        path.read_text(),
        ["--gres=gpu:2"],
        ["module load python"],
        ["apptainer", "exec", "a b.sif", "genbench"],
    )
    (tmp_path / "filled.sbatch").write_text(text)
    for file in (path, tmp_path / "filled.sbatch"):
        assert subprocess.run(["bash", "-n", str(file)], check=False).returncode == 0
    lines = text.splitlines()
    # sbatch stops reading options at the first command
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert lines[first] == "module load python" and lines.index("#SBATCH --gres=gpu:2") < first
    assert (
        "genbench=(apptainer exec 'a b.sif' genbench)" in lines
        and "genbench=(genbench)" not in lines
    )


def test_commands_of_a_site(tmp_path):
    site = Cluster(
        "site",
        partition="gpu",
        gres="gpu:{devices}",
        cpus=4,
        array_limit=8,
        options=("--exclusive",),
    )
    submission = prepare(
        tmp_path / "100%", site, {(2, 3)}, [Array((0, 1, 4)), Array((5,), (1, "16_2"))], ("17",)
    )
    folder = str(tmp_path / "100%")
    first, second = (
        submission.array(array, {0: "18", 1: "18", 4: "18"}) for array in submission.arrays
    )
    assert first == [
        "sbatch",
        "--parsable",
        "--array=0-1,4%8",
        f"{folder}/suite.sbatch",
        f"{folder}/manifest.json",
    ]
    assert second[2:5] == [
        "--array=5%8",
        "--dependency=afterok:18_1:16_2",
        "--kill-on-invalid-dep=yes",
    ]
    assert submission.tables(["20", "21"])[2] == "--dependency=afterany:20:21:17"
    wanted = {
        "partition=gpu",
        "gres=gpu:2",
        "cpus-per-task=4",
        "nodes=3",
        "ntasks-per-node=2",
        "exclusive",
        "job-name=100%",
    }
    assert {f"#SBATCH --{option}" for option in wanted} <= set(
        submission.files["suite.sbatch"].splitlines()
    )
    assert f"#SBATCH --output={tmp_path}/100%%/%a.log" in submission.files["suite.sbatch"]
    assert "#SBATCH --gres=gpu:1" in submission.files["tables.sbatch"]
    with pytest.raises(InputError, match="2 x 1"):
        prepare(tmp_path, site, {(1, 1), (2, 1)}, [Array((0, 1))])


def test_shipped_clusters_are_valid():
    names = [path.stem for path in (project_root() / "configs" / "cluster").glob("*.yaml")]
    assert "default" in names
    assert {load_cluster(name).name for name in names} == set(names)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("partitoin: gpu", "did you mean 'partition'?"),
        ("time: 24:00:00 # a day\ntime: 1", "line 2: the key time is given twice"),
        ("time: [24]", "a word, such as 24:00:00"),
        ("cpus: 0", "at least 1"),
        ("cpus: true", "an integer"),
        ("setup: module load python", "a list of texts"),
        ("options: [exclusive]", "an option of sbatch"),
        ('partition: "gpu --wrap=x"', "a word"),
        ("device: gpu", "one of cpu, cuda"),
    ],
)
def test_wrong_settings_of_a_site_are_one_line(tmp_path, text, says):
    (tmp_path / "site.yaml").write_text(text + "\n")
    with pytest.raises(InputError) as error:
        load_cluster(str(tmp_path / "site.yaml"))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_words_of_a_site_are_texts(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("time: 24:00:00\npartition: 010\nmem: 32_000\naccount: on\ncpus: 010\n")
    site = load_cluster(str(path))
    assert (site.time, site.partition, site.mem, site.account, site.cpus) == (
        "24:00:00",
        "010",
        "32_000",
        "on",
        10,
    )


def test_a_dry_run_prints_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    path = suite_file(tmp_path, f"[{VAE}]")
    assert main(["bench", str(path), "--slurm", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert (
        "sbatch --parsable --array=0 " in out
        and "--dependency=afterany:ARRAY" in out
        and "#SBATCH --requeue" in out
    )
    assert main(["bench", str(path), "--slurm"]) == 2
    assert "no sbatch on the PATH" in capsys.readouterr().err
    assert main(["bench", str(path), "--cluster", "gpu"]) == 2
    assert sorted(tmp_path.iterdir()) == [path]


def test_data_that_are_not_here_are_named_before_anything_is_submitted(tmp_path, capsys):
    entry = f"{{config: mnist/vae-small, overrides: {{data.root: {tmp_path / 'data'}}}}}"
    assert main(["bench", str(suite_file(tmp_path, f"[{entry}]")), "--slurm", "--dry-run"]) == 2
    assert "genbench data fetch mnist" in capsys.readouterr().err


def fake_sbatch(folder: Path, monkeypatch) -> list[str]:
    """A cluster that takes jobs and never runs them; the lines of what was submitted."""
    (folder / "bin").mkdir()
    for name, text in {
        "sbatch": f'echo "$@" >> {folder}/submitted; n=$(wc -l < {folder}/submitted); echo "$n"',
        "squeue": f"cat {folder}/queue",
    }.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    (folder / "queue").write_text("")


# as squeue says it: two runs, and the tables, which are no array
QUEUED = "{name}|0|RUNNING|0|1|\n{name}|1|PENDING|1|1|\n{name}|N/A|PENDING|0|2|\n"


def test_runs_in_the_queue_are_not_submitted_twice(tmp_path, monkeypatch):
    fake_sbatch(tmp_path, monkeypatch)
    path = suite_file(tmp_path, f"[{VAE}, {{config: points2d/vae}}]")
    suite, site = load_suite(path), load_cluster("default")
    assert "2 to submit" in next(iter(list(submit(suite, site))))
    (folder,) = (suite.runs / "slurm").glob("tiny-*")
    (tmp_path / "queue").write_text(QUEUED.format(name=folder.name) + "other|0|PENDING|0|7|\n")
    assert [(Path(job.run_dir).parent.parent.name, job.state) for job in jobs(tmp_path)] == [
        ("digits", "running"),
        ("points2d", "preempted"),
    ]
    assert list(submit(suite, site)) == ["tiny: 2 runs, 0 done, 2 in the queue, 0 to submit"]
    # one of them failed: it goes again, and the tables wait for the other as well
    (tmp_path / "queue").write_text(f"{folder.name}|0|RUNNING|0|1|\n")
    (folder / "1.log").write_text("starting\nout of memory\n\n")
    assert [(job.state, job.line) for job in jobs(tmp_path)] == [
        ("running", ""),
        ("failed", "out of memory"),
    ]
    assert "1 in the queue, 1 to submit" in next(iter(list(submit(suite, site))))
    lines = (tmp_path / "submitted").read_text().splitlines()
    assert [line.split()[1] for line in lines] == [
        "--array=0-1", "--dependency=afterany:1", "--array=1", "--dependency=afterany:3:1"
    ]  # fmt: skip
    (folder / "1.json").write_text('{"status": "diverged"}')
    (tmp_path / "queue").write_text("")
    assert sorted(job.state for job in jobs(tmp_path)) == [
        "failed",
        "failed",
    ]  # by the later submission


def test_runs_wait_for_those_that_they_need_and_for_no_others(tmp_path, monkeypatch):
    fake_sbatch(tmp_path, monkeypatch)
    suite, site = (
        load_suite(suite_file(tmp_path, f"[{VAE}, {REFLOW}]", seeds="[0, 1]")),
        load_cluster("default"),
    )
    said = list(submit(suite, site))
    assert "6 to submit" in said[0] and said[2].startswith("job 2: runs 2 after 1; logs")
    (folder,) = (suite.runs / "slurm").glob("tiny-*")
    waits, alone = "--kill-on-invalid-dep=yes", ("suite.sbatch", "tables.sbatch")

    def submitted() -> list[list[str]]:
        lines = (line.split()[1:-1] for line in (tmp_path / "submitted").read_text().splitlines())
        return [[word for word in line if Path(word).name not in alone] for line in lines]

    assert submitted() == [
        ["--array=0-1,3-4"],
        ["--array=2", "--dependency=afterok:1_1", waits],
        ["--array=5", "--dependency=afterok:1_4", waits],
        ["--dependency=afterany:1:2:3"],
    ]
    # the teacher of seed 0 still works, that of seed 1 failed, and their pupils were cancelled
    (tmp_path / "queue").write_text(f"{folder.name}|1|RUNNING|0|1|\n")
    assert sorted(job.state for job in jobs(tmp_path)) == ["failed"] * 5 + ["running"]
    list(submit(suite, site))
    assert submitted()[4:] == [
        ["--array=0,3-4"],
        ["--array=2", "--dependency=afterok:1_1", waits],
        ["--array=5", "--dependency=afterok:5_4", waits],
        ["--dependency=afterany:5:6:7:1"],
    ]


def test_a_refusal_in_the_middle_leaves_what_was_submitted(tmp_path, monkeypatch):
    fake_sbatch(tmp_path, monkeypatch)
    refusing = (
        tmp_path / "bin" / "sbatch"
    ).read_text() + '[[ "$n" == 1 ]] || { echo "no dependencies here" >&2; exit 1; }\n'
    (tmp_path / "bin" / "sbatch").write_text(refusing)
    suite = load_suite(suite_file(tmp_path, f"[{REFLOW}]"))
    with pytest.raises(InputError, match="no dependencies here"):
        list(submit(suite, load_cluster("default")))
    (folder,) = (suite.runs / "slurm").glob("tiny-*")
    (tmp_path / "queue").write_text(f"{folder.name}|0|PENDING|0|1|\n")
    assert [(job.array, job.task, job.state) for job in jobs(tmp_path)] == [
        ("1", 0, "pending"),
        ("", 1, "failed"),
    ]


@pytest.mark.parametrize("refused", ["--dependency=after", "killed"])
def test_tables_that_were_not_submitted_are_submitted_while_runs_are_queued(
    tmp_path, monkeypatch, refused
):
    """Since sbatch refused them, or the command was killed just after the array: nothing but the queue knows its number."""
    fake_sbatch(tmp_path, monkeypatch)
    suite, site, taking = (
        load_suite(suite_file(tmp_path, f"[{VAE}]")),
        load_cluster("default"),
        tmp_path / "bin" / "sbatch",
    )
    text = taking.read_text()
    taking.write_text(
        text.replace(
            "echo", f'[[ "$*" == *{refused}* ]] && {{ echo "no more jobs" >&2; exit 1; }}\necho', 1
        )
    )
    if refused == "killed":
        next(lines := submit(suite, site))
        next(lines)
        lines.close()
    else:
        with pytest.raises(InputError, match="no more jobs"):
            list(submit(suite, site))
    taking.write_text(text)
    (folder,) = (suite.runs / "slurm").glob("tiny-*")
    (tmp_path / "queue").write_text(f"{folder.name}|0|PENDING|0|1|\n")
    assert list(submit(suite, site, ["mine"]))[1:] == ["job 2: tables, after all"]
    last = (tmp_path / "submitted").read_text().splitlines()[-1].split()
    assert last[1:] == [
        "--dependency=afterany:1",
        f"{folder}/tables.sbatch",
        f"{folder}/manifest.json",
        "--trust",
        "mine",
    ]
    with (tmp_path / "queue").open("a") as queue:
        queue.write(f"{folder.name}|N/A|PENDING|0|2|\n")
    assert len(list(submit(suite, site))) == 1


def test_what_is_trusted_is_said_on_the_command_line_of_every_job_and_not_in_the_manifest(
    tmp_path, monkeypatch, capsys
):
    fake_sbatch(tmp_path, monkeypatch)
    (tmp_path / "mine.py").write_text("from genbench.models.vae.vae import VAE as Mine\n")
    recipe = (project_root() / "configs" / "digits" / "vae.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(recipe.replace("genbench.models.vae.vae.VAE", "mine.Mine"))
    monkeypatch.syspath_prepend(tmp_path)
    suite = load_suite(suite_file(tmp_path, f"[{{config: {tmp_path / 'mine.yaml'}}}]"))
    list(submit(suite, load_cluster("default"), ["mine"]))
    submitted = (tmp_path / "submitted").read_text().splitlines()
    assert len(submitted) == 2 and all(
        line.endswith("manifest.json --trust mine") for line in submitted
    )
    (manifest,) = (suite.runs / "slurm").glob("*/manifest.json")
    tree = json.loads(manifest.read_text())
    assert "trust" not in tree
    manifest.write_text(json.dumps({**tree, "trust": ["mine"]}))
    assert main(["bench", str(manifest), "--task", "0"]) == 2
    assert "unknown key trust" in capsys.readouterr().err
    manifest.write_text(json.dumps(tree))
    assert read_manifest(manifest, ("mine",)).trust == ("mine",)
    for path in (
        project_root() / "slurm" / "suite.sbatch",
        project_root() / "slurm" / "tables.sbatch",
    ):
        assert 'bench "$@"' in path.read_text()


def test_a_refusal_of_sbatch_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    fake_sbatch(tmp_path, monkeypatch)
    (tmp_path / "bin" / "sbatch").write_text(
        "#!/bin/bash\necho 'sbatch: error: invalid partition' >&2; exit 1\n"
    )
    suite = load_suite(suite_file(tmp_path, f"[{VAE}]"))
    with pytest.raises(InputError, match="invalid partition"):
        list(submit(suite, load_cluster("default")))
    assert not list((suite.runs / "slurm").glob("*/manifest.json"))


def test_one_run_of_a_manifest_and_the_tables_of_half_a_suite(tmp_path, monkeypatch, capsys):
    fake_sbatch(tmp_path, monkeypatch)
    suite = load_suite(suite_file(tmp_path, f"[{VAE}, {{config: points2d/vae}}]"))
    list(submit(suite, load_cluster("default")))
    (manifest,) = (suite.runs / "slurm").glob("*/manifest.json")
    assert read_manifest(manifest).label(1) == "points2d/vae seed 0"
    assert main(["bench", str(manifest), "--task", "2"]) == 2
    assert main(["bench", str(manifest), "--task", "0"]) == 0
    assert (manifest.parent / "0.json").exists()
    capsys.readouterr()
    assert main(["bench", str(manifest), "--tables"]) == 1
    said = capsys.readouterr().err
    assert "not evaluated: points2d/vae seed 0 (not begun)" in said and "1 of 2 runs" in said
    assert "vae" in (suite.out / "digits.md").read_text()


def test_a_job_without_its_data_stops_before_it_trains(tmp_path, monkeypatch, capsys):
    fake_sbatch(tmp_path, monkeypatch)
    entry = "{config: mnist/vae-small, overrides: {data.root: %s}}"
    suite = load_suite(suite_file(tmp_path, f"[{VAE}]"))
    list(submit(suite, load_cluster("default")))
    (manifest,) = (suite.runs / "slurm").glob("*/manifest.json")
    elsewhere = load_suite(suite_file(tmp_path, f"[{entry % (tmp_path / 'none')}]", "elsewhere"))
    ((config, _),) = elsewhere.pairs()
    tree = json.loads(manifest.read_text())
    tree["runs"][0]["config"]["data"] = config.resolved["data"]
    manifest.write_text(json.dumps(tree))
    assert main(["bench", str(manifest), "--task", "0"]) == 2
    assert "genbench data fetch mnist" in capsys.readouterr().err
    assert not Path(tree["runs"][0]["config"]["run_dir"]).exists()


def test_what_is_not_a_manifest_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # no queue
    folder = tmp_path / "slurm" / "one"
    folder.mkdir(parents=True)
    for text in ("[1]", "[" * 100_000):
        (folder / "manifest.json").write_text(text)
        assert main(["bench", str(folder / "manifest.json"), "--task", "0"]) == 2
        assert "is not a manifest" in capsys.readouterr().err
        with pytest.raises(InputError, match=r"is damaged \(.*\); remove its folder"):
            jobs(tmp_path)
    assert main(["bench", str(tmp_path / "absent.json"), "--task", "0"]) == 2
    assert "Traceback" not in capsys.readouterr().err


# --- layouts --------------------------------------------------------------------------------------------------------------

STEP = {
    "SLURM_JOB_ID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NUM_NODES": "1",
}
BATCH = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2"}


@pytest.fixture
def started_by(monkeypatch):
    """Set what a launcher leaves in the environment, and nothing else of that kind."""

    def start(**variables: str) -> None:
        for name in list(os.environ):
            if name.startswith("SLURM_") or name in (
                "RANK",
                "LOCAL_RANK",
                "NODE_RANK",
                "WORLD_SIZE",
                "MASTER_ADDR",
            ):
                monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    start()
    return start


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "says"),
    [
        (STEP, 1, 1, "srun started 2 tasks on 1 nodes, for 1 device on 1 node"),
        (STEP, 1, 2, "right is srun --nodes=2 --ntasks-per-node=1"),
        (STEP, 2, 1, "not --ntasks-per-node=2"),
        (STEP | {"SLURM_NTASKS_PER_NODE": "2"}, 2, 1, None),
        (BATCH, 2, 1, "put srun before the command"),
        (BATCH, 1, 1, "the SLURM job has 2 tasks"),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "1"}, 1, 1, None),
        (BATCH | {"SLURM_JOB_NAME": "interactive"}, 2, 1, None),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "3"}, 2, 1, "torchrun started 3 processes"),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"}, 2, 2, None),
        ({}, 1, 2, "no cluster started this command"),
        ({}, 4, 1, None),
    ],
)
def test_layouts(started_by, variables, devices, nodes, says):
    started_by(**variables)
    if says is None:
        check_layout(devices, nodes)
    else:
        with pytest.raises(InputError) as error:
            check_layout(devices, nodes)
        assert says in str(error.value)


def test_a_wrong_layout_stops_training_and_evaluation_before_they_begin(
    started_by, tmp_path, capsys
):
    started_by(**BATCH)
    run = tmp_path / "run"
    assert (
        main(["train", "-c", "digits/vae", "--smoke", "--trainer.devices=2", f"--run_dir={run}"])
        == 2
    )
    assert "put srun before the command" in capsys.readouterr().err and not run.exists()


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        (STEP | {"SLURM_PROCID": "0"}, True),
        (STEP | {"SLURM_PROCID": "1"}, False),
        (BATCH | {"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
    ],
)
def test_one_process_is_the_first(started_by, variables, first):
    started_by(**variables)
    assert is_primary() is first


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu7", "gpu7"), ("gpu[003-004,007]", "gpu003"), ("a,b[1-2]", "a"), ("a[2,4],b[1-2]", "a2")],
)
def test_processes_meet_on_the_first_node_at_a_port_of_their_job(
    started_by, monkeypatch, nodes, first
):
    """By Lightning. A job of an array has a number of its own, so jobs that share nodes do not share ports."""
    ports = set()
    for number in ("70123", "70124"):
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        started_by(
            **STEP
            | {
                "SLURM_JOB_ID": number,
                "SLURM_NTASKS": "2",
                "SLURM_NTASKS_PER_NODE": "1",
                "SLURM_NODELIST": nodes,
            }
        )
        environment = SLURMEnvironment(auto_requeue=False)
        assert environment.main_address == first
        ports.add(environment.main_port)
    assert ports == {15123, 15124}


# --- a real cluster -------------------------------------------------------------------------------------------------------

SLOW = """
import os, time
from pathlib import Path
from genbench.models.vae.vae import VAE

class Slow(VAE):
    def loss(self, x, y, rng):
        if Path(os.environ["SLOW_WHILE"]).exists() and self.images_seen > 0:
            time.sleep(0.5)
        return super().loss(x, y, rng)
"""

# the order of a sum over processes shows in the last bits of float32
DOUBLE = """
import torch
from genbench.models.vae.vae import VAE

torch.set_default_dtype(torch.float64)

class Double(VAE):
    pass
"""


class Site:
    """A running cluster, a model that is slow while a file exists, and what it becomes when it is not disturbed."""

    def __init__(self, folder: Path, nodes: Nodes) -> None:
        self.folder, self.nodes, self.said = folder, nodes, nodes.said

    def wait(self, what: str, until: Callable[[], bool], seconds: float = 1500) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    f"{path}:\n{path.read_text()[-1000:]}" for path in self.folder.glob("*.log")
                )
                pytest.fail(f"waited in vain for {what}:\n{self.said('squeue')}\n{logs}")
            time.sleep(0.3)

    def ended(self, *numbers: str) -> bool:
        return not set(self.said("squeue", "--noheader", "--format=%A").split()) & set(numbers)

    def train(
        self, run: str, *arguments: str, options: tuple[str, ...] = (), model: str = "slow"
    ) -> str:
        """Train a model of this site in a job; returns its number."""
        config = [
            "-c",
            str(self.folder / f"{model}.yaml"),
            "--trust",
            model,
            "--smoke",
            "--wandb.mode=disabled",
        ]
        return self.submit(
            "train", run, *config, f"--run_dir={self.folder / run}", *arguments, options=options
        )

    def submit(self, file: str, name: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
        """Submit a script of slurm/ for this machine; returns the job's number."""
        template = (project_root() / "slurm" / f"{file}.sbatch").read_text()
        path = self.folder / f"{name}.sbatch"
        lines = [f"--output={self.folder}/{name}.log", *options]
        path.write_text(script(template, lines, [], [sys.executable, "-m", "genbench"]))
        return self.said("sbatch", "--parsable", str(path), *arguments).strip()

    def weights(self, run: str) -> str:
        return file_digest(Run(self.folder / run).weights)

    def exit_code(self, number: str) -> str:
        return self.said("scontrol", "show", "job", number).partition("ExitCode=")[2].split()[0]

    def log(self, run: str) -> str:
        path = self.folder / f"{run}.log"
        return path.read_text() if path.exists() else ""

    def trained(self, run: str, images: int = 32) -> bool:
        """Whether it has seen so many images."""
        path = Run(self.folder / run).metrics
        return path.exists() and any(line["images"] >= images for line in read_metrics(path))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if why := lacking():
        absent(why)
    folder = tmp_path_factory.mktemp("site")
    recipe = (
        (project_root() / "configs" / "points2d" / "vae.yaml").read_text().partition("smoke:")[0]
    )
    for name, text in {"slow.Slow": SLOW, "double.Double": DOUBLE}.items():
        module = name.partition(".")[0]
        (folder / f"{module}.py").write_text(text)
        (folder / f"{module}.yaml").write_text(
            recipe.replace("genbench.models.vae.vae.VAE", name)
            + "smoke: {budget.images: 4_096, data.batch_size: 16, trainer.log_every: 16}\n"
        )
    paths = os.pathsep.join([str(folder), str(project_root()), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("SLOW_WHILE", str(folder / "slow"))
        patch.setenv("PYTHONPATH", paths)
        (folder / "cluster").mkdir()
        with cluster(folder / "cluster") as nodes:
            patch.setenv("SLURM_CONF", nodes.environment["SLURM_CONF"])
            yield Site(folder, nodes)


@pytest.fixture(scope="module")
def undisturbed(site):
    """Weights of the slow model by one process that nothing disturbs."""
    from genbench.training.train import train

    overrides = [f"run_dir={site.folder / 'undisturbed'}", "wandb.mode=disabled"]
    train(load_config(site.folder / "slow.yaml", overrides, ["slow"], smoke=True))
    return site.weights("undisturbed")


@pytest.mark.slurm
def test_suites_on_nodes_that_are_drained_at_first(site, monkeypatch):
    """Two suites at once, a run that diverges, a run of two tasks, and their tables; a second submission adds nothing."""
    suites = [
        load_suite(
            suite_file(
                site.folder, f"[{VAE}, {DIVERGING.replace('digits/vae', 'points2d/vae')}]", "one"
            )
        ),
        load_suite(
            suite_file(site.folder, f"[{{config: points2d/vae, overrides: {TWO_TASKS}}}]", "two")
        ),
    ]
    site.said("scontrol", "update", f"nodename={','.join(NODES)}", "state=drain", "reason=test")
    for suite in suites:
        list(submit(suite, load_cluster("default")))
    time.sleep(3)
    assert {job.state for suite in suites for job in jobs(suite.runs)} == {"pending"}
    assert [
        "2 in the queue, 0 to submit" in line for line in submit(suites[0], load_cluster("default"))
    ] == [True]
    site.said("scontrol", "update", f"nodename={','.join(NODES)}", "state=resume")
    tables = [
        next((suite.runs / "slurm").glob("*/manifest.json")).with_name("tables.log")
        for suite in suites
    ]
    site.wait(
        "the tables",
        lambda: all(path.exists() and "index.html" in path.read_text() for path in tables),
    )
    states = {
        Path(job.run_dir).relative_to(site.folder).parts[:2]: job.state
        for suite in suites
        for job in jobs(suite.runs)
    }
    assert states == {
        ("one", "digits"): "done",
        ("one", "points2d"): "diverged",
        ("two", "points2d"): "done",
    }
    found = {
        (suite.name, record.model, record.status)
        for suite in suites
        for record in records_in(suite.out)
    }
    assert {
        ("one", "vae", "done"),
        ("one", "vae", "diverged"),
        ("two", "vae", "done"),
        ("two", "noise-floor", "done"),
    } <= found
    assert list(submit(suites[0], load_cluster("default"))) == [
        "one: 2 runs, 2 done, 0 in the queue, 0 to submit",
        f"nothing to submit; the tables, at once: genbench table {suites[0].out} --write",
    ]


@pytest.mark.slurm
def test_runs_that_others_need_on_a_real_cluster(site):
    """A teacher that is requeued in mid-training holds its pupil back until it is done; one that diverges takes its pupil along."""
    rough = "evaluations.heun20: {sample: {steps: 2}, log_prob: {steps: 2}}"
    long = f"{{{TEACHER}, overrides: {{data.levels: 16, budget.images: 8192, trainer.log_every: 16, {rough}}}}}"
    bad = f"{{{TEACHER}, overrides: {{data.levels: 16, model.optimizer.lr: 1e30, optimization.clip_norm: null}}}}"
    suites = [
        load_suite(suite_file(site.folder, f"[{REFLOW}, {long}]", "taught")),
        load_suite(
            suite_file(site.folder, f"[{REFLOW}, {bad}, {{config: points2d/vae}}]", "untaught")
        ),
    ]
    for suite in suites:
        list(submit(suite, load_cluster("default")))
    teacher = next(job for job in jobs(suites[0].runs) if "flow_matching" in job.run_dir)
    site.wait("the teacher", lambda: site.trained("taught/points2d/flow_matching/s0"))
    site.said("scontrol", "requeue", f"{teacher.array}_{teacher.task}")
    manifests = [next((suite.runs / "slurm").glob("*/manifest.json")) for suite in suites]
    tables = [path.with_name("tables.log") for path in manifests]
    site.wait(
        "the tables",
        lambda: all(path.exists() and "index.html" in path.read_text() for path in tables),
    )
    states = {
        Path(job.run_dir).relative_to(site.folder).parts[:3]: job.state
        for suite in suites
        for job in jobs(suite.runs)
    }
    assert states == {
        ("taught", "points2d", "flow_matching"): "done",
        ("taught", "points2d", "reflow"): "done",
        ("untaught", "points2d", "flow_matching"): "diverged",
        ("untaught", "points2d", "reflow"): "failed",
        ("untaught", "points2d", "vae"): "done",
    }
    why = "not evaluated: points2d/reflow seed 0: points2d/flow_matching seed 0, which it needs, diverged"
    assert why in tables[1].read_text()
    (record,) = (record for record in records_in(suites[0].out) if record.model == "reflow")
    assert record.needs["teacher"].images_seen == 8192


@pytest.mark.slurm
def test_jobs_that_are_cut_end_like_one_that_is_not(site, undisturbed):
    """By scontrol requeue, by the warning before the time limit, and by scancel with the same command again; and two tasks."""
    slow = site.folder / "slow"
    slow.touch()
    requeued, cancelled = site.train("requeued"), site.train("cancelled")
    # slurmctld looks every 30 s, and warns up to a minute before it should
    timed = site.train("timed", options=("--time=2", "--signal=USR1@15"))
    site.wait("training", lambda: site.trained("requeued") and site.trained("cancelled"))
    site.said("scontrol", "requeue", requeued)
    site.said("scancel", cancelled)
    site.wait("the end of what was cancelled", lambda: site.ended(cancelled))
    assert Run(site.folder / "cancelled").state()["status"] == "stopped"
    assert "requeued" not in site.log("cancelled")
    site.wait("the warning", lambda: "requeued: exit code 75" in site.log("timed"))
    slow.unlink()
    again = site.train("cancelled")
    two = site.train(
        "two", "--trainer.devices=2", "--trainer.accelerator=cpu", options=("--ntasks-per-node=2",)
    )
    site.wait("the end", lambda: site.ended(requeued, timed, again, two))
    for run in ("requeued", "timed", "cancelled"):
        assert Run(site.folder / run).state()["status"] == "done", site.log(run)
        assert site.log(run).count("stopped at image") >= 1, site.log(run)
        assert site.weights(run) == undisturbed
    assert site.log("two").count("done, 4,096 images") == 1, site.log("two")
    losses = [
        [
            line["loss"]
            for line in read_metrics(site.folder / run / "metrics.jsonl")
            if "loss" in line
        ]
        for run in ("two", "undisturbed")
    ]
    assert len(losses[0]) == 256 and losses[0] == pytest.approx(losses[1], rel=1e-3, abs=1e-4)


@pytest.mark.slurm
def test_two_tasks_and_two_nodes_measure_like_one_process(site, undisturbed):
    from genbench.evaluation.evaluate import evaluate

    run, records = site.folder / "undisturbed", {}
    arguments = [str(run), "--trust", "slow", "--variant", "default"]
    numbers = [
        site.submit(
            "evaluate",
            "tasks",
            *arguments,
            f"--out={site.folder}/measured/tasks",
            "--devices=2",
            options=TASKS,
        ),
        site.submit(
            "evaluate",
            "nodes",
            *arguments,
            f"--out={site.folder}/measured/nodes",
            "--num-nodes=2",
            options=ACROSS,
        ),
    ]
    evaluate(run, "default", site.folder / "measured" / "one", ("slow",))
    site.wait("the end", lambda: site.ended(*numbers))
    for out in ("one", "tasks", "nodes"):
        (records[out],) = records_in(site.folder / "measured" / out)
    one = records.pop("one")
    for other in records.values():
        assert one.id == other.id and one.likelihood.bits_per_dim == pytest.approx(
            other.likelihood.bits_per_dim, rel=1e-9
        )
        assert {name: metric.value for name, metric in one.metrics.items()} == pytest.approx(
            {name: metric.value for name, metric in other.metrics.items()}, rel=1e-9
        )


# --- two nodes ------------------------------------------------------------------------------------------------------------


@pytest.mark.slurm
def test_two_nodes_train_like_two_tasks_and_like_one_process(site):
    """In float64. And where the layout is another than the run's: one line, and nothing is written."""
    budget = ("--budget.images=640", "--trainer.accelerator=cpu")
    runs = {"one": (), "tasks": ("--trainer.devices=2",), "nodes": ("--trainer.num_nodes=2",)}
    options = {"one": (), "tasks": TASKS, "nodes": ACROSS}
    numbers = [
        site.train(f"by-{run}", *budget, *devices, options=options[run], model="double")
        for run, devices in runs.items()
    ]
    train = f"{sys.executable} -m genbench train -c {site.folder}/slow.yaml --trust slow --smoke --trainer.num_nodes=2"
    wrap = f"{train} --run_dir={site.folder}/no-srun"
    said = {
        site.train("idle-task", options=TASKS): ("idle-task", "srun started 2 tasks on 1 nodes, for 1 device on 1 node"),
        site.train("idle-node", options=ACROSS): ("idle-node", "srun started 2 tasks on 2 nodes, for 1 device on 1 node"),
        site.said("sbatch", "--parsable", *ACROSS, f"--output={site.folder}/no-srun.log", f"--wrap={wrap}").strip():
            ("no-srun", "a SLURM job without srun is one process, for 1 device on 2 nodes; put srun before the command"),
    }  # fmt: skip
    site.wait("the end", lambda: site.ended(*numbers, *said))
    ends = [load_file(Run(site.folder / f"by-{run}").weights) for run in runs]
    for end in ends[1:]:
        assert max(float((end[name] - ends[0][name]).abs().max()) for name in end) < 1e-6
    for number, (run, line) in said.items():
        assert line in site.log(run) and "Traceback" not in site.log(run)
        assert site.exit_code(number) == "2:0" and not (site.folder / run).exists()


def slow_suite(site: Site, name: str, seeds: list[int], overrides: str = "") -> Suite:
    """The slow model, once for every seed, with the budget of `undisturbed`."""
    path = site.folder / f"{name}.yaml"
    budget = "budget.images: 4_096, data.batch_size: 16, trainer.log_every: 16, trainer.checkpoint_every: 64, trainer.curve_images: 0"
    path.write_text(
        f"out: {site.folder / name}\nseeds: {seeds}\nentries: [{{config: {site.folder}/slow.yaml}}]\n"
        f"overrides: {{wandb.mode: disabled, trainer.accelerator: cpu, {budget}{overrides}}}\n"
    )
    return load_suite(path)


def logged(suite: Suite) -> dict[int, list[dict[str, Any]]]:
    """Of every run that has begun, by its seed: the lines of its metrics file, times aside."""
    return {
        int(path.parent.name[1:]): [
            {k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(path)
        ]
        for path in suite.runs.glob("*/*/s*/metrics.jsonl")
    }


def begun(suite: Suite) -> set[int]:
    """Seeds of the runs that have a checkpoint to go on from."""
    return {
        seed
        for seed, lines in logged(suite).items()
        if any(line["images"] >= 128 for line in lines)
    }


def states(suite: Suite) -> list[str]:
    """Of its runs, by seed."""
    return [job.state for job in sorted(jobs(suite.runs), key=lambda job: job.run_dir)]


def recorded(suite: Suite) -> dict[tuple[str, int], Any]:
    """Of every record, times and places aside."""
    trees = {(record.model, record.seed): record.to_dict() for record in records_in(suite.out)}
    for tree in trees.values():
        del tree["cost"]["train_seconds"], tree["evaluated_at"], tree["digest"], tree["speed"]
        tree["provenance"]["config"].pop("run_dir", None)
    return trees


@pytest.mark.slurm
def test_runs_over_both_nodes_at_once_do_not_meet(site):
    """Two tasks of an array on the same two nodes: each run finds its own processes, by a port of its own."""
    slow = site.folder / "slow"
    slow.touch()
    suite = slow_suite(site, "wide", [0, 1], ", trainer.num_nodes: 2")
    list(submit(suite, load_cluster("default"), ["slow"]))
    site.wait("both", lambda: begun(suite) == {0, 1})
    assert states(suite) == ["running"] * 2
    slow.unlink()
    site.wait("the end", lambda: not {"running", "pending"} & set(states(suite)))
    assert states(suite) == ["done"] * 2
    assert len({file_digest(path) for path in suite.runs.glob("*/*/s*/model.safetensors")}) == 2


@pytest.mark.slurm
def test_a_suite_outlives_a_node(site):
    """A run on each of two nodes; one node is drained, the other one dies with what runs on it. Four runs, each done once."""
    slow, (drained, dead) = site.folder / "slow", NODES
    slow.touch()
    suite, calm = (slow_suite(site, name, [0, 1, 2, 3]) for name in ("night", "calm"))
    list(submit(suite, Cluster("site", cpus=CPUS), ["slow"]))
    (folder,) = (suite.runs / "slurm").glob("night-*")
    site.wait("both nodes", lambda: begun(suite) == {0, 1})
    placed = site.said("squeue", "--noheader", "--array", "--states=RUNNING", "--format=%N %K")
    where = {node: int(k) for node, k in map(str.split, placed.splitlines())}
    lost, kept = where[dead], where[drained]
    site.said("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
    site.nodes.die(dead)
    site.wait("the loss", lambda: states(suite)[lost] == "preempted")
    assert dict(enumerate(states(suite))) == {
        kept: "running",
        lost: "preempted",
        2: "pending",
        3: "pending",
    }
    slow.unlink()
    site.wait("the run on the drained node", lambda: site.nodes.state(drained) == "drained")
    assert dict(enumerate(states(suite))) == {
        kept: "done",
        lost: "preempted",
        2: "pending",
        3: "pending",
    }
    site.said("scontrol", "update", f"nodename={drained}", "state=resume")
    site.wait("the tables", lambda: "index.html" in last_line(folder / "tables.log"))
    assert site.nodes.state(dead) == "down*" and states(suite) == ["done"] * 4
    site.nodes.start(dead)
    bench(calm, Lines(), trust=["slow"])
    assert len(recorded(suite)) == 8 and recorded(suite) == recorded(calm)
    assert logged(suite) == logged(calm)
    for k in range(4):  # once more after the loss, and no more often
        log = (folder / f"{k}.log").read_text()
        assert (log.count("train points2d/slow"), log.count("evaluate points2d/slow")) == (
            1 + (k == lost),
            1,
        )
