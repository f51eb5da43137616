from __future__ import annotations

import numpy as np
import pytest

from export.prove.proof import Flash, Proof, Ram
from pipeline.audits.classifier import classifier_of
from pipeline.audits.predictions import Predictions
from pipeline.audits.request import AuditGates
from pipeline.audits.result import (
    AuditResult,
    Classifier,
    Delta,
    FallsBelow,
    Gate,
    Robustness,
)
from pipeline.config import GateSettings
from pipeline.gates import delta_gates, limit_gates, run_gates, search_warnings, usefulness_gates, usefulness_warnings
from pipeline.results.firmware import FirmwareProof
from pipeline.results.parity import ParityRow


def classified(*right_of: tuple[int, int]) -> Classifier:
    """Classes a, b, …, each with (right answers, pictures); wrong answers are those of the next class."""
    n = len(right_of)
    labels = np.repeat(np.arange(n), [images for _, images in right_of])
    predicted = labels.copy()
    for index, (right, images) in enumerate(right_of):
        wrong = np.flatnonzero(labels == index)[right:images]
        predicted[wrong] = (index + 1) % n
    sure = np.ones((1, len(labels)), np.float32)
    return classifier_of(Predictions(predicted[None], sure), labels, "abcdefgh"[:n], [])


def test_balanced_accuracy_is_the_mean_of_the_recalls() -> None:
    record = classified((6, 8), (1, 2))
    assert [(row.name, row.images, row.recall) for row in record.classes] == [("a", 8, 0.75), ("b", 2, 0.5)]
    assert record.balanced_accuracy == 0.625
    # variances with two right and two wrong added: (8/12)(4/12)/12 = 1/54 and (3/6)(3/6)/6 = 1/24
    half = 1.959964 * (1 / 54 + 1 / 24) ** 0.5 / 2
    assert record.ci95 == pytest.approx((0.625 - half, 0.625 + half))


def test_a_class_without_pictures_counts_nowhere() -> None:
    record = classified((3, 4), (0, 0))
    assert (record.classes[1].name, record.classes[1].images, record.classes[1].recall) == ("b", 0, None)
    assert record.balanced_accuracy == 0.75
    assert usefulness_warnings(record) == ["class 'b' has no test picture: nothing is known of it"]


@pytest.mark.parametrize("images", [(300, 20), (9, 9, 9), (1000,) * 8, (1, 1)])
def test_a_constant_net_never_passes(images: tuple[int, ...]) -> None:
    better, _ = usefulness_gates(classified((images[0], images[0]), *((0, n) for n in images[1:])))
    assert not better.passed
    assert better.limit == pytest.approx(1 / len(images))
    assert better.value < better.limit


def test_a_net_of_one_class_that_has_pictures_is_not_useful() -> None:
    assert not usefulness_gates(classified((50, 50), (0, 0)))[0].passed


def test_a_useful_net_passes_and_a_class_that_is_never_recognised_is_named() -> None:
    assert all(gate.passed for gate in usefulness_gates(classified((290, 300), (16, 20))))
    better, missed = usefulness_gates(classified((300, 300), (280, 300), (0, 20)))
    assert better.passed
    assert missed == Gate(name="classes never recognised", limit=0, value=1, note="c", passed=False)


def test_too_few_pictures_of_a_missed_class_are_a_warning() -> None:
    record = classified((300, 300), (280, 300), (0, 19))
    assert usefulness_gates(record)[1].passed
    assert usefulness_warnings(record) == ["class 'c' is never recognised, in 19 test pictures"]


def test_a_search_on_equal_errors_says_so() -> None:
    # standard error at 0.0625 of 80 pictures: sqrt(0.0625 * 0.9375 / 80) = 0.027; four of them are 0.108
    alike = search_warnings([0.0625] * 20, 80)
    assert alike == [
        "the 20 subnets measured have errors of 6.2% to 6.2% on 80 validation images: too alike for the search to "
        "choose between them"
    ]
    assert search_warnings([0.03, 0.09], 80)
    assert not search_warnings([0.01, 0.13], 80)
    assert search_warnings([0.0, 0.0], 80)


USEFUL = classified((290, 300), (16, 20))


def audited(low: float = 0.0, high: float = 0.0, *, int8: float = 0.89) -> AuditResult:
    return AuditResult(
        dataset="two",
        seed=0,
        models={},
        accuracy={"float": 0.90, "onnx": 0.89, "int8": int8},
        classifier=USEFUL,
        robustness=Robustness(
            source="generated",
            images=320,
            corruptions=("fog",),
            mce={"float": None, "int8": None},
            mean_error={"float": 0.2, "int8": 0.21},
            ci95={},
            degradation={},
            per_corruption={"fog": {"float": (0.2,) * 5, "int8": (0.1, 0.1, 0.2, 0.2, 0.4)}},
            falls_below=FallsBelow(0.5, {}),
            delta=Delta((low + high) / 2, (low, high)),
        ),
        calibration={},
    )


def parity(*, holds: bool) -> ParityRow:
    return ParityRow(
        runner="tflm",
        max_abs_lsb=0,
        mismatches=0,
        n=1,
        top1_agreement=1.0,
        bound_lsb=0,
        beyond=0.0,
        holds=holds,
        first_difference=None,
    )


def proof(mismatches: int) -> FirmwareProof:
    core = Proof(
        core="cortex-m7",
        emulator="qemu",
        compiler="gcc",
        references=("tflm",),
        images=20,
        mismatches=mismatches,
        first_mismatch=None,
        instructions=1,
        flash_bytes=Flash.of(1, 1),
        ram_bytes=Ram.of(1, 1, 1),
        layers=(),
    )
    return FirmwareProof((core,))


def test_the_gates_of_a_run_look_at_the_end_of_the_interval() -> None:
    gates = run_gates([], audited(0.0, 0.02), [parity(holds=True)], proof(0), GateSettings())
    assert [gate.passed for gate in gates] == [True] * 7
    by_name = {gate.name: gate for gate in run_gates([], audited(-0.03, 0.021), [], None, GateSettings())}
    added = by_name["corruption error added by int8 (upper end)"]
    assert (added.value, added.limit, added.passed) == (0.021, 0.02, False)  # the mean is below 0
    assert len(by_name) == 6  # no firmware, no gate


def test_each_gate_of_a_run_fails_alone() -> None:
    def failed(*, int8: float = 0.89, holds: bool = True, mismatches: int = 0) -> list[str]:
        found = run_gates([], audited(int8=int8), [parity(holds=holds)], proof(mismatches), GateSettings())
        return [gate.name for gate in found if not gate.passed]

    assert failed() == []
    assert failed(int8=0.8899) == ["accuracy lost to int8"]
    assert failed(holds=False) == ["parity (runtimes out of bounds)"]
    assert failed(mismatches=1) == ["firmware (inputs that differ)"]


def test_limits_become_gates() -> None:
    limits = AuditGates(min_accuracy=0.9, min_recall={"b": 0.8, "a": 0.99}, max_mce=0.25, max_error={"fog": 0.2})
    gates = limit_gates(
        limits,
        accuracy=0.89,
        classifier=USEFUL,
        mce=0.25,
        per_corruption={"fog": [0.1, 0.1, 0.2, 0.2, 0.4]},
    )
    gates += delta_gates(Delta(mean=0.0, ci95=(-0.01, 0.011)), max_delta=0.01)
    assert [(g.name, g.value, g.asks, g.passed) for g in gates] == [
        ("accuracy", 0.89, "at least", False),
        ("recall of b", 0.8, "at least", True),
        ("recall of a", pytest.approx(290 / 300), "at least", False),
        ("mCE", 0.25, "at most", True),
        ("error under fog", pytest.approx(0.2), "at most", True),
        ("delta (upper end)", 0.011, "at most", False),
    ]
    assert limit_gates(AuditGates(), accuracy=0.1, classifier=None, mce=None, per_corruption={}) == []
