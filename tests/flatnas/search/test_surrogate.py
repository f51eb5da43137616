"""Surrogates on what a released search measured, not on an objective made up for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

from flatnas.search.candidates import Candidates
from flatnas.search.surrogate import fit_surrogate
from flatnas.space.arch import Arch
from flatnas.space.lowering import lower
from flatnas.space.spaces import mcu_space
from hardware_profiles.footprint import footprint
from hardware_profiles.profile import load_profile
from pipeline.models import released_models

SPACE, PROFILE = mcu_space(10), load_profile("cortex-m7")


@pytest.mark.parametrize(("of", "least_tau"), [("clean error", 0.8), ("R", 0.5)])
def test_held_out_subnets_of_the_released_search_are_ranked(of: str, least_tau: float) -> None:
    path = released_models()["cifar10-m7-24px"] / "search/evaluations.jsonl"
    lines = [json.loads(line)["measured"] for line in path.read_text().splitlines()][:72]
    candidates = Candidates(SPACE, lambda arch: footprint(lower(SPACE, arch), PROFILE), lambda cost: [0.0], 0)
    X = candidates.features([Arch.from_json(line["arch"]) for line in lines])
    y = np.array([line["clean_error"] if of == "clean error" else line["flatness"][0]["r"] for line in lines])
    assert fit_surrogate(X, y, seed=0).tau > least_tau
