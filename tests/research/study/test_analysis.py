"""What a study concludes, on populations whose answer is known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from flatnas.corruptions import CORRUPTIONS
from flatnas.search.measured import Evaluation, Flatness, Measured
from flatnas.space.spaces import mcu_space
from hardware_profiles.cost.latency import Interval
from hardware_profiles.footprint import Footprint
from pipeline.values import read_value
from research.study.analysis import conclusions, correlation, kendall, partial, sam_against_sgd, spearman
from research.study.pages import study_screen, write_study
from research.study.records import Member, Outcome, Study

RNG = np.random.default_rng(0)
SPACE = mcu_space(10)


def outcome(error: float, int8_mce: float) -> Outcome:
    severities = {c: {"float": (0.1,) * 5, "int8": (0.01 * i,) * 5} for i, c in enumerate(CORRUPTIONS)}
    return Outcome(
        validation_error={"float": error, "int8": error},
        test_error={"float": error, "int8": error},
        mce={"float": error + 0.2, "int8": int8_mce},
        source="generated",
        per_corruption=severities,
    )


def members(n: int = 40) -> list[Member]:
    """R decides the mCE beside the clean error; SAM always gains two points over SGD."""
    found = []
    for arch in (SPACE.sample(RNG) for _ in range(n)):
        error, r = RNG.uniform(0.1, 0.3), RNG.uniform(0.0, 0.1)
        latency = Interval(1, 2, 3)
        cost = Footprint(
            runtime="tflm",
            params=int(RNG.integers(1e4, 1e5)),
            macs=int(RNG.integers(1e6, 1e7)),
            flash_bytes=1,
            sram_bytes=1,
            latency_ms=latency,
        )
        flatness = (Flatness("gaussian-0.05", r, r, r), Flatness("int4", RNG.uniform(), 0, 1))
        before = Evaluation(Measured(arch, error, flatness), cost)
        mce = error + 0.2 + r
        after = {"inherited": outcome(error, mce), "sgd": outcome(error, mce), "sam": outcome(error, mce - 0.02)}
        found.append(Member(before=before, after=after))
    return found


MEMBERS = members()


def test_spearman_is_scipys_and_the_partial_one_follows_the_textbook() -> None:
    x, y, z = RNG.normal(size=(3, 50))
    x, y = x + z, y + z + 0.3 * x
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    assert partial(x, y, z) == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    assert partial(x, y, z, z**3) == pytest.approx(partial(x, y, z))  # what ranks alike takes nothing more away
    assert partial(x, y, z, -z) == pytest.approx(partial(x, y, z))
    assert spearman(np.ones(5), np.arange(5.0)) == 0.0
    tied = RNG.integers(0, 9, (2, 50)).astype(float)
    assert kendall(*tied) == pytest.approx(kendalltau(*tied).statistic)


def test_an_interval_covers_what_the_population_has() -> None:
    covered = 0
    for seed in range(40):
        x = np.random.default_rng(seed).normal(size=(2, 40))
        x[1] += x[0]  # Pearson 0.707; Spearman of such normals is 6 / pi * asin(0.707 / 2) = 0.690
        low, high = correlation(spearman, list(x), seed).ci95
        covered += low <= 0.690 <= high
    assert covered >= 34


def test_what_decides_the_mce_is_found_and_what_is_random_is_not() -> None:
    found = {p.predictor: p for p in conclusions(MEMBERS, "sgd").of_mce}
    r, noise = found["R, gaussian-0.05"], found["R, int4"]
    assert r.beyond is not None
    assert noise.beyond is not None
    assert r.beyond.ci95[0] > 0.6
    assert noise.beyond.ci95[0] < 0 < noise.beyond.ci95[1]
    assert found["clean error"].alone.rho > 0.6
    assert found["clean error"].beyond is None
    of_loss = {p.predictor: p for p in conclusions(MEMBERS, "sgd").of_loss}
    assert of_loss["R, gaussian-0.05"].alone.rho == pytest.approx(1)  # the rest of the mCE cancels


def test_the_searchs_objective_is_a_predictor_for_each_weight_of_the_clean_error() -> None:
    found = {p.predictor: p.alone.rho for p in conclusions(MEMBERS, "sgd").of_mce}
    by_alpha = {alpha: found[f"F_AR, alpha {alpha:g}, gaussian-0.05"] for alpha in (0.1, 0.5, 0.9)}
    # The mCE weighs error and R alike; so does F_AR at alpha = 0.8, since its norm is 0.2 / 0.05 here.
    assert by_alpha[0.9] > max(found["clean error"], by_alpha[0.5]) > by_alpha[0.1]
    assert "F_AR, alpha 0.5, int4" not in found, "a rounding is no sigma"


def test_trained_subnets_are_ranked_against_their_inherited_weights() -> None:
    assert conclusions(MEMBERS, "inherited").inherited_tau is None
    tau = conclusions(MEMBERS, "sam").inherited_tau
    assert tau is not None
    assert tau.rho == pytest.approx(1)
    hardest = list(conclusions(MEMBERS, "sam").hardest)
    assert hardest[0] == list(CORRUPTIONS)[-1]


def test_sam_is_compared_with_sgd_on_the_same_subnets() -> None:
    by_name = {d.what: d for d in sam_against_sgd(MEMBERS)}
    assert by_name["int8 mCE"].mean == pytest.approx(-0.02)
    assert by_name["int8 mCE"].ci95[1] < 0
    assert by_name["int8 clean error"].mean == 0
    only = [replace(m, after={"sgd": m.after["sgd"]}) for m in MEMBERS]
    assert sam_against_sgd(only) == ()


def test_a_study_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    study = Study(
        target="cortex-m7",
        dataset="cifar10",
        seed=0,
        finetune_epochs=2,
        audit_images=100,
        supernet_sha256="0" * 64,
        members=tuple(MEMBERS),
        conclusions={t: conclusions(MEMBERS, t) for t in ("inherited", "sam")},
        sam_against_sgd=sam_against_sgd(MEMBERS),
    )
    write_study(study, tmp_path)
    assert read_value(Study, tmp_path / "study.json") == study
    text = (tmp_path / "STUDY.md").read_text()
    assert "| int8 mCE | −2.00 (−2.00 to −2.00) |" in text
    assert re.search(r"\| R, gaussian-0.05 \| \+0\.\d\d \(", text)
    assert "Kendall's tau between the error with inherited weights and after training: +1.00 (+1.00 to +1.00)" in text
    assert "R, int4" in (tmp_path / "sam.svg").read_text()
    assert study_screen(study).renderables
