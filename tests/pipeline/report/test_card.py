from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import pytest
from reports import (
    CONFIG,
    CORRUPTIONS,
    HOSTILE,
    LABELS,
    firmware_report,
    hostile_report,
    report_with_finalists,
    sample_audit,
    sample_report,
)

from pipeline.layers import changed, configured
from pipeline.report.card import render_card


def test_names_cannot_become_markup_in_the_card() -> None:
    card = render_card(hostile_report(), [HOSTILE], CONFIG)
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\.", "", card))
    assert "<script" not in outside_code
    assert "\n# head" not in card, "a line break in a name starts no heading"
    columns = 0
    for before, line in itertools.pairwise(card.splitlines()):
        if line.startswith("|"):
            here = len(re.findall(r"(?<!\\)\|", line))
            columns = columns if before.startswith("|") else here
            assert here == columns, line


def test_the_card_tells_input_robustness_limits_and_files() -> None:
    card = render_card(sample_report(), LABELS, CONFIG)
    facts = [
        "int8, NHWC, 1 × 32 × 32 × 3",
        "q = pixel − 128",
        "scale 1/128, zero point 0",
        "method `area`",
        "airplane, automobile, bird, cat",
        "| TFLite int8 | 89.64 % |",
        "| mCE | null | null |",
        "| mean error | 31.27 % | 31.84 % |",
        "Source of the corrupted images: generated",
        "10,000 test images under 8 corruptions",
        "+0.57 percentage points",
        "| peak SRAM | 61.44 kB | 81.92 kB | 75 % |",
        "| latency | 83.4 ms (61.2 to 112 ms) | 100 ms | 83 % |",
        "SAM",
        "Seed: 7",
        "Only this run's audit opened the test set",
        "CIFAR-10 states no licence",
        "7 of the 15 standard corruptions did not run",
        "`glass_blur`, `motion_blur`, `snow`, `frost`, `fog`, `elastic_transform`, `jpeg_compression`",
        "| `gaussian_noise` | 24.6 | 39.1 | 53.7 | 66.2 | 80.8 |",
        "| `model/model.int8.tflite` | `" + "a1" * 32 + "` |",
    ]
    assert [fact for fact in facts if fact not in card] == []


def test_the_card_tells_what_the_firmware_was_measured_to_take() -> None:
    card = " ".join(render_card(firmware_report(), LABELS, CONFIG).split())
    assert "flash 116.6 kB, RAM 38.3 kB (arena 37.8 kB, stack 500 B), 9.69 M instructions for one image" in card
    assert "0 of 20 inputs differ from integer interpreter" in card


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"preset": "quick"},
            "sharpness-aware minimization (SAM) on training images, epochs: 1, from the supernet's weights.",
        ),
        ({"preset": "release"}, "SGD, and sharpness-aware minimization (SAM) in the last 33 % on training images"),
        ({"optimizer": "sgd", "augment": "augmix"}, "SGD without SAM on training images, with AugMix, epochs: 8"),
        ({"finetune_epochs": 0}, "none; the supernet's weights with batch norms recalibrated"),
        ({"protocol": "paper"}, "adaptive SAM (ASAM)"),
        ({"optimizer": "asam"}, "SGD, and adaptive SAM (ASAM) in the last 25 % on training images, epochs: 8"),
    ],
)
def test_the_card_tells_how_the_net_was_fine_tuned(changes: dict[str, Any], said: str) -> None:
    config = configured({"target": "cortex-m7", **changes})
    assert f"Fine-tuning: {said}" in render_card(sample_report(), LABELS, config)


def test_the_card_of_few_pictures_says_that_adamw_trained() -> None:
    few = sample_report(dataset={"name": "mine", "sha256": "d4" * 32, "train": 900})
    said = "AdamW, and sharpness-aware minimization (SAM) in the last 25 % on training images, as many of them as 8"
    assert f"Fine-tuning: {said} epochs of CIFAR-10 have, at most 100 times each" in render_card(few, LABELS, CONFIG)


def test_the_card_tells_of_finalists_and_not_of_a_front_that_the_net_is_not_on() -> None:
    card = render_card(report_with_finalists(), LABELS, CONFIG)
    assert "24 pixels 17.6 %, trained 14.7 %; 32 pixels 21.4 %, trained 13.8 %." in card
    assert "this is one of them" not in card
    plain = render_card(sample_report(), LABELS, CONFIG)
    assert "this is one of them" in plain
    assert "Finalists" not in plain


def _quantized(method: str, steps: Sequence[str] = ()) -> dict[str, Any]:
    attempts = [
        {"method": "minmax", "accuracy": 0.87, "steps": []},
        {"method": "post-training", "accuracy": 0.88, "steps": [{"name": name, "error": 0.1} for name in steps]},
        {"method": "qat", "accuracy": 0.89, "steps": [{"name": name, "error": 0.1} for name in steps]},
    ]
    counts = {"calibration_images": 512, "validation_images": 5000}
    return {"method": method, **counts, "float_accuracy": 0.9, "attempts": attempts}


_STEPS = ("minmax", "equalization", "mse of a", "percentile-99.9 of b", "bias correction")

_POST_TRAINING = (
    "ranges from 512 training images (least and greatest value, equalization, narrower for 2 groups of tensors, "
    "bias correction)"
)


@pytest.mark.parametrize(
    ("method", "steps", "said"),
    [
        ("minmax", _STEPS, "ranges from 512 training images (least and greatest value)."),
        ("post-training", _STEPS, f"{_POST_TRAINING}."),
        ("post-training", ("minmax",), "ranges from 512 training images (least and greatest value)."),
        (
            "qat",
            _STEPS,
            f"{_POST_TRAINING}, then quantization-aware training of the weights on training images, with SAM, "
            "epochs: 3; the ranges stayed.",
        ),
    ],
)
def test_the_card_tells_how_the_net_became_int8(method: str, steps: Sequence[str], said: str) -> None:
    config = changed(CONFIG, {"finetune_epochs": 10})
    card = render_card(sample_report(quantization=_quantized(method, steps)), LABELS, config)
    assert f"Quantization: int8, per-channel weights, {said}\n" in card


def test_the_card_says_only_what_holds_for_other_data_and_a_smaller_audit() -> None:
    fifteen = [
        *CORRUPTIONS,
        "glass_blur",
        "motion_blur",
        "snow",
        "frost",
        "fog",
        "elastic_transform",
        "jpeg_compression",
    ]
    mce = {"float": 0.3, "int8": 0.31}
    value = sample_audit(corruptions=[*fifteen, "saturate"], mce=mce, images=500) | {"device": None}
    digits = {"name": "digits", "sha256": "d4" * 32, "train": 45_000}
    full = render_card(sample_report(dataset=digits, audit=value), LABELS, CONFIG)
    assert "CIFAR" not in full
    assert "All 15 standard corruptions ran" in full
    assert "no part of mCE: `saturate`" in full
    assert "| mCE | 30.00 % | 31.00 % |" in full
    assert "device's own" not in full
    assert "500 of the 10,000" in render_card(sample_report(audit=value), LABELS, CONFIG)
