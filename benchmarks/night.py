"""A suite's night as a picture: runs on a SLURM cluster of two nodes that are cut by whatever cuts runs, and what they come to.

    python benchmarks/night.py FOLDER          # as root, with slurm-wlm and munge; ten minutes on two quiet cores
    python benchmarks/night.py FOLDER --draw   # the picture again, from FOLDER/night.json

The cluster is that of the tests: two nodes on this machine. Ten small runs, three at once, are submitted as `genbench bench SUITE
--slurm` does it. Once a second their states are noted, as `genbench list` gives them, and one run after the other is disturbed when it
is a good way through its training: see DISTURBANCES. What has failed is submitted again by the same command. At last the suite is run
once more, by `genbench bench` on this machine and undisturbed, and every record is compared: all numbers but those of time.

Writes FOLDER/night.json, night.svg and night.png, and exits with 1 if a record differs. The pictures are functions of night.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genbench.system.files import last_line
from genbench.system.json_files import write_json
from genbench.system.locations import project_root

sys.path.insert(0, str(project_root() / "tests"))
from slurm_node import CPUS, NODES, Nodes, cluster, lacking

# images of training: some ten seconds on a quiet core
ENTRIES: list[dict[str, Any]] = [
    {"config": "points2d/vae", "budget.images": 500_000},
    {"config": "points2d/gan", "budget.images": 500_000},
    {"config": "points2d/realnvp", "budget.images": 200_000},
    {"config": "points2d/ddpm", "evaluations": ["ddim50"], "budget.images": 400_000},
    {"config": "points2d/flow_matching", "evaluations": ["heun20"], "budget.images": 200_000},
    {"config": "points2d/made", "budget.images": 300_000},
    {"config": "points2d/gmm"},
    {"config": "digits/vae", "evaluations": ["mean"], "budget.images": 12_000},
    # far too large a step, noticed when it is half through
    {
        "config": "digits/realnvp",
        "budget.images": 6_400,
        "model.optimizer.lr": 1e3,
        "trainer.log_every": 3_200,
    },
    {"config": "digits/pixelcnn", "budget.images": 40_000},
]
LIMIT, SHARE = 3, 0.4  # runs at once; of its images that a run has seen when it is disturbed
# of which run; what is done; what the picture says
DISTURBANCES = {
    "points2d/vae": ("requeue", "scontrol requeue"),
    "points2d/realnvp": ("warn", "scancel --signal=USR1, the warning before a preemption"),
    "points2d/ddpm": ("kill", "kill -9 of its process"),
    "points2d/flow_matching": ("drain", "its node is drained, for a minute"),
    "digits/vae": ("die", "its node dies, and is back after a minute"),
    "digits/pixelcnn": ("limit", "its time limit comes near, and the warning before it"),
}
AWAY = 60  # seconds that a node is drained or down

# from light to dark
STATES = {
    "pending": "#e3e0da",
    "preempted": "#f4b942",
    "running": "#5aa5dc",
    "failed": "#e0483e",
    "done": "#14573a",
    "diverged": "#3a1259",
}
NODE_STATES = {
    "up": {"facecolor": "#e3e0da"},
    "drained": {"facecolor": "white", "edgecolor": "#555555", "hatch": "///"},
    "down": {"facecolor": "#222222"},
}
MEANING = {
    "preempted": "preempted: waits to go on",
    "failed": "failed: until it is submitted again",
}


def suite_file(folder: Path, name: str) -> Path:
    """The suite, with everything in <folder>/<name>."""
    entries = [
        {key: entry[key] for key in ("config", "evaluations") if key in entry} for entry in ENTRIES
    ]
    for tree, entry in zip(entries, ENTRIES):
        tree["overrides"] = {key: value for key, value in entry.items() if "." in key}
    path = folder / f"{name}.yaml"
    write_json(
        path,
        {"out": str(folder / name), "overrides": {"wandb.mode": "disabled"}, "entries": entries},
    )  # JSON is YAML
    return path


# --- the night ------------------------------------------------------------------------------------------------------------


class Night:
    """What happens while the suite runs."""

    def __init__(self, nodes: Nodes, suite: Any) -> None:
        from genbench.cluster.site import Cluster
        from genbench.cluster.submit import submit

        site = Cluster("night", array_limit=LIMIT, options=("--signal=USR1@15",))
        self.nodes, self.suite, self._submit = nodes, suite, lambda: list(submit(suite, site))
        self.start, self.samples, self.events = (
            time.monotonic(),
            list[dict[str, Any]](),
            list[dict[str, Any]](),
        )
        self._left, self._later = dict(DISTURBANCES), list[tuple[float, Callable[[], None]]]()
        self.budgets = {
            f"{config.resolved['data']['class_path'].split('.')[-2]}/{config.name}": config.budget.images
            for config, _ in suite.pairs()
        }

    def now(self) -> float:
        return round(time.monotonic() - self.start, 1)

    def note(self, run: str, what: str) -> None:
        """An event of the picture; without a run, it is one of all."""
        self.events.append({"seconds": self.now(), "run": run, "what": what})
        print(f"{self.now():6.1f} s  {run:<24} {what}", flush=True)

    def spend(self, seconds: float) -> None:
        """Until every run has ended well or diverged, and the tables are written."""
        self._submit()
        self.start = time.monotonic()
        self.note("", "submitted")
        while self.now() < seconds:
            states = self._sample()
            for run in [run for run in self._left if states.get(run) == "running"]:
                if self._images(run) >= SHARE * self.budgets[run]:
                    self._disturb(run)
            for at, act in [waiting for waiting in self._later if waiting[0] <= self.now()]:
                self._later.remove((at, act))
                act()
            if states.get("tables") in ("done", "failed") and not set(states.values()) & {
                "pending",
                "running",
                "preempted",
            }:
                if set(states.values()) <= {"done", "diverged"} and not self._later:
                    return
                if "failed" in states.values() and not self._later:
                    self.note("", "submitted again")
                    self._submit()
            time.sleep(1)
        raise SystemExit(f"not done after {seconds} s")

    def _sample(self) -> dict[str, str]:
        from genbench.cluster.queue import jobs

        found = {
            "/".join(Path(job.run_dir).parts[-3:-1]): job.state for job in jobs(self.suite.runs)
        }
        folder = max((self.suite.runs / "slurm").glob("night-*"))
        queued = self.nodes.said("squeue", "--noheader", f"--name={folder.name}", "--format=%K %T")
        tables = [line.split()[1] for line in queued.splitlines() if line.startswith("N/A")]
        if tables:
            found["tables"] = "pending" if tables[0] == "PENDING" else "running"
        else:
            found["tables"] = (
                "done" if "index.html" in last_line(folder / "tables.log") else "failed"
            )
        hosts = {f"node {k}": condition(self.nodes.state(node)) for k, node in enumerate(NODES, 1)}
        self.samples.append({"seconds": self.now(), "states": found, "nodes": hosts})
        return found

    def _images(self, run: str) -> int:
        from genbench.tracking.metrics_file import read_metrics

        lines = read_metrics(self.suite.runs / run / "s0" / "metrics.jsonl")
        return max((line["images"] for line in lines), default=0)

    def _job(self, run: str) -> str | None:
        """Number of a run's job, and its node, if it is at work."""
        k = next(i for i, entry in enumerate(ENTRIES) if entry["config"] == run)
        queued = self.nodes.said(
            "squeue", "--noheader", "--array", "--states=RUNNING", "--format=%K %A %N"
        ).splitlines()
        return next((line.partition(" ")[2] for line in queued if line.split()[0] == str(k)), None)

    def _ask(self, *command: str) -> None:
        """Without waiting for an answer, which scancel tries for a minute to get from a busy node."""
        subprocess.Popen(command, env=self.nodes.environment)

    def _disturb(self, run: str) -> None:
        found = self._job(run)
        if found is None:  # it has just ended
            return
        (job, node), (what, text) = found.split(), self._left.pop(run)
        self.note(run, text)
        if what == "requeue":
            self._ask("scontrol", "requeue", job)
        elif what == "warn":
            self._ask(
                "scancel", "--signal=USR1", f"{job}.0"
            )  # the step: for a job, scancel tries until it is told that it worked
        elif what == "limit":
            began = next(
                sample["seconds"]
                for sample in self.samples
                if sample["states"].get(run) == "running"
            )
            self._ask(
                "scontrol",
                "update",
                f"jobid={job}",
                f"timelimit={int((self.now() - began) / 60) + 2}",
            )
        elif what == "kill":
            lock = json.loads((self.suite.runs / run / "s0" / "lock").read_text())
            os.kill(lock["pid"], signal.SIGKILL)
        elif what == "drain":
            self._ask("scontrol", "update", f"nodename={node}", "state=drain", "reason=maintenance")
            self._later.append(
                (
                    self.now() + AWAY,
                    lambda: self._ask("scontrol", "update", f"nodename={node}", "state=resume"),
                )
            )
        else:
            self.nodes.die(node)
            self._later.append((self.now() + AWAY, lambda: self.nodes.start(node)))


def condition(state: str) -> str:
    """What matters of a node's state: up, drained (it takes no more) or down (it does not answer)."""
    return (
        "down"
        if "down" in state or state.endswith("*")
        else "drained"
        if "drain" in state
        else "up"
    )


def different(night: Path, calm: Path) -> list[str]:
    """Records that are not those of the undisturbed suite: names of both sides, times and places aside."""
    from genbench.records.store import records_in

    sides = []
    for out in (night, calm):
        trees = {
            f"{r.dataset}/{r.model}{'@' * bool(r.variant)}{r.variant}": r.to_dict()
            for r in records_in(out)
        }
        for tree in trees.values():
            del tree["cost"]["train_seconds"], tree["evaluated_at"], tree["digest"], tree["speed"]
            tree["provenance"]["config"].pop("run_dir", None)
        sides.append(trees)
    return sorted(
        name
        for name in sides[0].keys() | sides[1].keys()
        if sides[0].get(name) != sides[1].get(name)
    )


# --- the picture ----------------------------------------------------------------------------------------------------------


def spans(
    samples: list[dict[str, Any]], part: str, name: str
) -> Iterator[tuple[str, float, float]]:
    """(state, from, to) of a row, from what was seen once a second; the last one is drawn out a little."""
    seen = [(sample["seconds"], sample[part].get(name)) for sample in samples] + [
        (1.03 * samples[-1]["seconds"], None)
    ]
    start, state = seen[0]
    for seconds, now in seen[1:]:
        if now != state:
            if state is not None:
                yield state, start, seconds
            start, state = seconds, now


def draw(folder: Path) -> None:
    """night.svg and night.png."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    mpl.rcParams.update(
        {
            "svg.hashsalt": "night",
            "svg.fonttype": "none",
            "font.size": 13,
            "font.family": "DejaVu Sans",
        }
    )
    night = json.loads((folder / "night.json").read_text())
    samples, end = night["samples"], 1.03 * night["samples"][-1]["seconds"]
    rows = [entry["config"] for entry in ENTRIES] + ["tables"]
    marked = [event for event in night["events"] if event["run"]]
    figure, axis = plt.subplots(figsize=(16, 10), layout="constrained")

    for y, row in enumerate(rows):
        for state, start, stop in spans(samples, "states", row):
            thin = state in ("pending", "done", "diverged")  # nothing is done there
            axis.barh(y, stop - start, 0.34 if thin else 0.74, start, color=STATES[state])
            if state == "failed" and stop - start > 0.06 * end:
                axis.text(
                    (start + stop) / 2,
                    y,
                    "failed",
                    ha="center",
                    va="center",
                    fontsize=12,
                    color="white",
                    fontweight="bold",
                )
    below = len(rows) + 0.5
    for k, node in enumerate(samples[0]["nodes"]):
        for state, start, stop in spans(samples, "nodes", node):
            axis.barh(below + k, stop - start, 0.74, start, **NODE_STATES[state])
            if stop - start > 0.04 * end:
                ground = {
                    "facecolor": NODE_STATES[state]["facecolor"],
                    "edgecolor": "none",
                    "pad": 2,
                }
                ink = "white" if state == "down" else "#222222"
                axis.text(
                    (start + stop) / 2,
                    below + k,
                    state,
                    ha="center",
                    va="center",
                    fontsize=12,
                    color=ink,
                    bbox=ground,
                )
    for number, event in enumerate(marked, 1):
        y = rows.index(event["run"])
        axis.text(event["seconds"], y, str(number), ha="center", va="center", fontsize=12, fontweight="bold", zorder=4,
                  bbox={"boxstyle": "circle,pad=0.22", "facecolor": "white", "edgecolor": "black", "linewidth": 1.4})  # fmt: skip
    for event in (event for event in night["events"] if not event["run"]):
        axis.axvline(
            event["seconds"], color="#333333", linewidth=1.2, linestyle=(0, (4, 3)), zorder=3
        )
        axis.text(event["seconds"], -0.75, f" {event['what']}", ha="left", va="bottom", fontsize=12)

    axis.set_yticks(
        [*range(len(rows)), *(below + k for k in range(len(NODES)))], [*rows, *samples[0]["nodes"]]
    )
    axis.set_ylim(below + len(NODES) - 0.4, -1.5)
    axis.set_xlim(0, end)
    axis.set_xlabel("seconds since the suite was submitted")
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_title(
        f"A suite's night: {len(ENTRIES)} runs, at most {LIMIT} at once on two nodes, disturbed {len(marked)} times.\n{night['verdict']}",
        loc="left", fontsize=16, fontweight="bold", pad=14,
    )  # fmt: skip
    handles = [
        Patch(color=colour, label=MEANING.get(state, state)) for state, colour in STATES.items()
    ]
    notes = [f"{number}  {event['run']}: {event['what']}" for number, event in enumerate(marked, 1)]
    half = (len(notes) + 1) // 2
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=13
    )
    axis.text(
        0, -0.085, "\n".join(notes[:half]), transform=axis.transAxes, va="top", linespacing=1.5
    )
    axis.text(
        0.54, -0.085, "\n".join(notes[half:]), transform=axis.transAxes, va="top", linespacing=1.5
    )
    figure.savefig(folder / "night.svg", metadata={"Date": None, "Creator": None})
    figure.savefig(folder / "night.png", dpi=100, metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "folder", type=Path, help="new; for the cluster, the runs, and the pictures"
    )
    parser.add_argument("--draw", action="store_true", help="only draw what FOLDER/night.json says")
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.draw:
        draw(folder)
        return 0
    if why := lacking():
        raise SystemExit(why)
    (folder / "cluster").mkdir(parents=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    from genbench.suites.suite import load_suite

    suites = [load_suite(suite_file(folder, name)) for name in ("night", "calm")]
    with cluster(folder / "cluster") as nodes:
        os.environ["SLURM_CONF"] = nodes.environment["SLURM_CONF"]
        night = Night(nodes, suites[0])
        try:
            night.spend(3_600)
        finally:
            seen = {
                "samples": night.samples,
                "events": night.events,
                "cpus": CPUS,
                "verdict": "Not compared.",
            }
            write_json(folder / "night.json", seen)
    print("the undisturbed suite", flush=True)
    subprocess.run(
        [sys.executable, "-m", "genbench", "bench", str(folder / "calm.yaml"), "--device", "cpu"],
        check=True,
    )
    wrong = different(suites[0].out, suites[1].out)
    verdict = f"Records that differ from an undisturbed suite's: {', '.join(wrong)}." if wrong else (
        "In the morning every record equals that of an undisturbed suite, but for times."
    )  # fmt: skip
    write_json(folder / "night.json", {**seen, "verdict": verdict})
    draw(folder)
    print(verdict)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
