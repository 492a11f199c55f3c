"""How often a page of claims calls anything if no claim is true or false.

    python benchmarks/claims.py [pages]

Every quantity of every row has the same mean, over training seeds of the spread that the row has; the
entries of configs/claims/, their tests and the correction are those of the page. Rows spread by 2 to 20 %,
a factor of ten between them, but for the quality of samples, of which spreads are compared too. Claims about one
row alone are left out, as there are no equal rows in them, and data sets of which there are no records yet. Shares of pages with a
verdict stand beside the 5 % that are promised, for three and five seeds, normal and log-normal values.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from genbench.leaderboard.board import Board
from genbench.leaderboard.claims.claim import Claim, load_claims
from genbench.leaderboard.claims.claim_settings import Settings, load_settings
from genbench.leaderboard.claims.decision import decide
from genbench.leaderboard.claims.evidence import Evidence
from genbench.leaderboard.claims.verdict import Verdict
from genbench.leaderboard.rows import Row
from genbench.records.curve import Curve, CurvePoint
from genbench.records.parts import Likelihood, Metric
from genbench.records.record import Record
from genbench.records.store import read_record
from genbench.system.locations import project_root

Draw = Callable[[float, float, int, bool], np.ndarray]
MEAN = 0.5


def draws(kind: str, generator: np.random.Generator) -> Draw:
    """A function of mean, spread, number of values, and whether the logarithms have one mean in all rows."""

    def normal(mean: float, spread: float, n: int, _: bool) -> np.ndarray:
        return mean * (1 + spread * generator.normal(size=n))

    def log_normal(mean: float, spread: float, n: int, of_logarithms: bool) -> np.ndarray:
        shift = 0.0 if of_logarithms else spread**2 / 2
        return mean * np.exp(spread * generator.normal(size=n) - shift)

    return {"normal": normal, "log-normal": log_normal}[kind]


def templates() -> dict[str, Record]:
    """One record of every data set that claims are about, whose numbers are replaced."""
    found = {}
    for folder in sorted((project_root() / "leaderboards" / "records").iterdir()):
        path = next(
            path for path in sorted(folder.glob("*.json")) if "noise-floor" not in path.name
        )
        record = read_record(path)
        protocol = replace(record.protocol, evaluated_by="own seeds")
        found[folder.name] = replace(record, protocol=protocol, metrics={}, likelihood=None)
    return found


def compares_rows(claim: Claim) -> bool:
    """Whether a claim sets a row beside others."""
    return any(comparison.rivals for comparison in claim.entry.compare.values())


def labels_of(claims: list[Claim], settings: Settings) -> dict[tuple[str, str], set[str]]:
    """The rows that claims compare, by folder and data set."""
    rows: dict[tuple[str, str], set[str]] = {}
    for claim in claims:
        for dataset, comparison in claim.entry.compare.items():
            names = (comparison.subject, *comparison.rivals)
            labels = {settings.label(dataset, name) for name in names}
            rows.setdefault((claim.entry.folder, dataset), set()).update(labels)
    return rows


def simulated_row(
    template: Record, label: str, seeds: int, draw: Draw, spread: Callable[[], float]
) -> Row:
    """A row whose every quantity has the mean of all rows.

    Args:
        template: A record of the data set.
        label: <model>[@variant].
        seeds: Number of training seeds.
        draw: Draws values.
        spread: Draws the spread of a quantity of this row.
    """
    model, _, variant = label.partition("@")
    quality = draw(MEAN, 0.1, seeds, True)
    shares = {name: draw(MEAN, spread(), seeds, False) for name in template.protocol.metrics}
    bits, kl, reconstruction = (draw(MEAN, spread(), seeds, False) for _ in range(3))
    speed, latency, seconds = (draw(MEAN, spread(), seeds, True) for _ in range(3))
    curve = draw(MEAN, 0.1, 8 * seeds, True).reshape(seeds, 8)
    records = []
    for i in range(seeds):
        metrics = {name: Metric(float(abs(values[i])), None) for name, values in shares.items()}
        for name in ("fid", "energy_distance"):
            if name in metrics:
                metrics[name] = Metric(float(quality[i]), None)
        metrics.pop("is", None)  # never below 1, and of no claim
        terms = {"kl": float(kl[i]), "reconstruction": float(reconstruction[i])}
        likelihood = Likelihood(
            "exact", float(bits[i]), None, float(bits[i]), 10, None, False, {}, terms
        )
        points = tuple(CurvePoint(k + 1, float(value)) for k, value in enumerate(curve[i]))
        records.append(
            replace(
                template,
                model=model,
                variant=variant,
                seed=i,
                metrics=metrics,
                likelihood=likelihood,
                density="explicit",
                speed=replace(
                    template.speed,
                    images_per_second=float(speed[i]),
                    latency_seconds=float(latency[i]),
                ),
                cost=replace(template.cost, images_seen=1, train_seconds=float(seconds[i])),
                provenance=replace(template.provenance, config_hash=model),
                curve=Curve("fid", 10, 10, "", points),
            )
        )
    return Row(label, tuple(records))


def pages(seeds: int, kind: str, count: int, seed: int = 0) -> Iterator[list[Verdict]]:
    """The verdicts of simulated pages.

    Args:
        seeds: Number of training seeds of every row.
        kind: normal or log-normal.
        count: Number of pages.
        seed: Of the simulation.
    """
    generator = np.random.default_rng(seed)
    draw = draws(kind, generator)
    claims = [claim for claim in load_claims() if compares_rows(claim)]
    settings = replace(load_settings(), seeds={}, other_seeds=seeds)
    bases = templates()
    groups = {
        (folder, dataset): labels
        for (folder, dataset), labels in labels_of(claims, settings).items()
        if dataset in bases
    }

    def spread() -> float:
        return math.exp(generator.uniform(math.log(0.02), math.log(0.2)))

    for _ in range(count):
        evidence = Evidence(Path("/nowhere"), settings)
        for (folder, dataset), labels in sorted(groups.items()):
            base = bases[dataset]
            rows = [simulated_row(base, label, seeds, draw, spread) for label in sorted(labels)]
            board = Board(base.protocol, tuple(rows), ())
            evidence.boards_read.setdefault(folder, []).append(board)
        yield decide(
            [
                (claim, finding)
                for claim in claims
                for finding in claim.test.findings(claim.entry, evidence)
            ]
        )


def called(page: list[Verdict]) -> list[Verdict]:
    """The verdicts of a page that call something by a test."""
    return [
        verdict
        for verdict in page
        if verdict.finding.is_tested and verdict.outcome in ("supported", "contradicted")
    ]


def main(count: int = 500) -> None:
    """Print a table of the shares of pages that call anything."""
    print("| Seeds | Values | Hypotheses | Pages | Pages with a verdict |")
    print("| ---: | :--- | ---: | ---: | ---: |")
    for seeds in (3, 5):
        for kind in ("normal", "log-normal"):
            hypotheses = 0
            wrong = 0
            for page in pages(seeds, kind, count):
                hypotheses = 2 * sum(verdict.finding.is_tested for verdict in page)
                wrong += bool(called(page))
            share = wrong / count
            error = math.sqrt(share * (1 - share) / count)
            print(
                f"| {seeds} | {kind} | {hypotheses} | {count} | "
                f"{100 * share:.1f} ± {100 * error:.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
