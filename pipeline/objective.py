"""What a run's search minimises, and its selection weighs."""

from __future__ import annotations

from flatnas import paper
from flatnas.search import Objective
from pipeline.config import RunConfig


def run_objective(config: RunConfig) -> Objective:
    """F_AR at the run's alpha and sigmas against MACs, or what the published protocol has."""
    return paper.objective(config.alpha) if config.protocol == "paper" else Objective(config.alpha, config.sigmas)
