"""The claims of the lectures about families of models, each with a verdict from records.

An entry of configs/claims/ says what is claimed, who is compared with whom, and which test decides.
The code knows tests, not claims: another claim is another entry. `verdicts` is what the command,
claims.md and the page share.
"""

from __future__ import annotations

from genbench.leaderboard.claims.claim import Claim, load_claims
from genbench.leaderboard.claims.decision import verdicts
from genbench.leaderboard.claims.finding import Finding, Lack
from genbench.leaderboard.claims.verdict import Outcome, Verdict

__all__ = ["Claim", "Finding", "Lack", "Outcome", "Verdict", "load_claims", "verdicts"]
