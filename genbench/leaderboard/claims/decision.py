"""Verdicts: every claim on every data set, corrected over the whole page.

Every (claim, data set, budget) that is measured has two hypotheses, support and contradiction.
Holm's procedure runs over all of them together, so that a page on which no claim is true or false
calls anything with a probability of at most 5 %. Exact quantities have no error and no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genbench.leaderboard.claims.claim import Claim, load_claims
from genbench.leaderboard.claims.claim_settings import Settings, load_settings
from genbench.leaderboard.claims.evidence import Evidence
from genbench.leaderboard.claims.finding import Finding
from genbench.leaderboard.claims.statistics import ERROR_RATE, holm
from genbench.leaderboard.claims.verdict import OUTCOMES, Outcome, Verdict

__all__ = ["decide", "verdicts"]


def verdicts(
    out: Path, claims: Sequence[Claim] | None = None, settings: Settings | None = None
) -> list[Verdict]:
    """The verdict on every claim and data set, contradictions first.

    Args:
        out: Folder with records/.
        claims: The claims; None: those of configs/claims.
        settings: Representatives and numbers of seeds; None: those of configs/claims.yaml.

    Raises:
        InputError: An entry or a record is bad.
    """
    evidence = Evidence(out, settings or load_settings())
    if claims is None:
        claims = load_claims()
    pairs = [
        (claim, finding)
        for claim in claims
        for finding in claim.test.findings(claim.entry, evidence)
    ]
    return sorted(decide(pairs), key=lambda verdict: OUTCOMES.index(verdict.outcome))


def decide(pairs: Sequence[tuple[Claim, Finding]]) -> list[Verdict]:
    """Correct for the number of hypotheses, and decide.

    Args:
        pairs: Every claim with each of its findings.
    """
    tested = [i for i, (_, finding) in enumerate(pairs) if finding.is_tested]
    sides = [(i, is_support) for i in tested for is_support in (True, False)]
    p_values = [p_value(pairs[i][1], is_support) for i, is_support in sides]
    adjusted = dict(zip(sides, holm(p_values)))
    decided = [
        Verdict(
            claim=claim,
            finding=finding,
            outcome=outcome(finding, adjusted.get((i, True)), adjusted.get((i, False))),
            adjusted_support=adjusted.get((i, True)),
            adjusted_contradiction=adjusted.get((i, False)),
        )
        for i, (claim, finding) in enumerate(pairs)
    ]
    return [replace(one, disagrees=disagreements(one, decided)) for one in decided]


def p_value(finding: Finding, is_support: bool) -> float:
    """The p value of one side of a finding that is tested."""
    value = finding.p_support if is_support else finding.p_contradiction
    if value is None:
        return 1.0
    return value


def outcome(finding: Finding, support: float | None, contradiction: float | None) -> Outcome:
    """The outcome of a finding.

    Args:
        finding: The measurement.
        support: Adjusted p value of the support; None for an exact quantity.
        contradiction: The same of the contradiction.
    """
    if not finding.is_measured:
        return "not measured"
    if finding.is_exact:
        support = finding.p_support
        contradiction = finding.p_contradiction
    if contradiction is not None and contradiction <= ERROR_RATE:
        return "contradicted"
    if support is not None and support <= ERROR_RATE:
        return "supported"
    return "not resolved"


def disagreements(verdict: Verdict, every: Sequence[Verdict]) -> tuple[str, ...]:
    """Budgets under which the same claim on the same data set is resolved the other way.

    Args:
        verdict: A verdict.
        every: All of them.
    """
    resolved: set[Outcome] = {"supported", "contradicted"}
    return tuple(
        other.budget or "as the recipes train"
        for other in every
        if other.claim.id == verdict.claim.id
        and other.dataset == verdict.dataset
        and {other.outcome, verdict.outcome} == resolved
    )
