"""Figures of one run that a lecturer projects: what a trained model does, seen from every side that
it offers.
"""

from genbench.explore.command import explore
from genbench.explore.figures import FIGURES

__all__ = ["FIGURES", "explore"]
