"""Whoever changes one file of a run, and mends the manifest, is found out by another file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import pipeline
from pipeline.files import sha256_of, write_json
from pipeline.models import released_models
from pipeline.runs.manifest import write_manifest

MODEL, REPORT, INT8 = "model/model.json", "report.json", "model/model.int8.tflite"
OTHER = "cifar10-resnet8-budget-augmix"
Manipulation = Callable[[Path], object]


def problems(directory: Path) -> list[str]:
    result = CliRunner().invoke(pipeline, ["verify", str(directory)], standalone_mode=False)
    assert result.exception is None, result.exception
    lines: list[str] = result.stdout.splitlines()
    assert result.return_value == (1 if "agree with each other" not in lines[0] else 0)
    return lines if result.return_value else []


def edited(path: str, *keys: str | int, value: Any) -> Manipulation:
    """Another value in a JSON file."""

    def edit(directory: Path) -> None:
        content = json.loads((directory / path).read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        assert place[keys[-1]] != value
        place[keys[-1]] = value
        write_json(directory / path, content)

    return edit


def replaced(path: str, old: str, new: str) -> Manipulation:
    """Another text in a file."""

    def replace(directory: Path) -> None:
        text = (directory / path).read_text()
        assert old in text
        (directory / path).write_text(text.replace(old, new))

    return replace


def of_another(path: str) -> Manipulation:
    """The same file of another run."""
    return lambda directory: shutil.copy(released_models()[OTHER] / path, directory / path)


def without(path: str) -> Manipulation:
    return lambda directory: (directory / path).unlink()


def added(path: str) -> Manipulation:
    return lambda directory: ((directory / path).parent.mkdir(exist_ok=True), (directory / path).write_bytes(b"x"))


def several(*manipulations: Manipulation) -> Manipulation:
    return lambda directory: [manipulate(directory) for manipulate in manipulations]


def flipped(path: str) -> Manipulation:
    """One bit of a file is another."""

    def flip(directory: Path) -> None:
        content = bytearray((directory / path).read_bytes())
        content[len(content) // 2] ^= 1
        (directory / path).write_bytes(content)

    return flip


def linked(directory: Path) -> None:
    """A link stands for the file, whose content is the same until somebody changes it elsewhere."""
    shutil.move(directory / INT8, directory.parent / "elsewhere")
    (directory / INT8).symlink_to(directory.parent / "elsewhere")


def doubled_key(directory: Path) -> None:
    """Which of two values a reader takes is up to the reader."""
    text = (directory / REPORT).read_text()
    (directory / REPORT).write_text(text.replace('"passed": true', '"passed": false, "passed": true'))


def model_of_another_told_everywhere_but_in_the_graph(directory: Path) -> None:
    """The swapped file's hash stands wherever the old one stood."""
    old = sha256_of(directory / INT8)
    of_another(INT8)(directory)
    new = sha256_of(directory / INT8)
    for path in (MODEL, REPORT, "run.json", "MODEL_CARD.md", "model/firmware/src/model.h"):
        before = sha256_of(directory / path)
        replaced(path, old, new)(directory)
        for teller in (REPORT, "run.json", "MODEL_CARD.md"):
            text = (directory / teller).read_text()
            (directory / teller).write_text(text.replace(before, sha256_of(directory / path)))


FIRST_GATE = {"name": "fits the budget (resources over)", "limit": 0.0, "value": 0.0, "passed": True}
UNMENDED: dict[str, tuple[Manipulation, str]] = {
    "a bit of the model": (flipped(INT8), f"changed: {INT8}"),
    "a file left out": (without("model/firmware/src/mul_c.c"), "missing: model/firmware/src/mul_c.c"),
    "a file added": (added("model/firmware/src/extra.c"), "not in the manifest: model/firmware/src/extra.c"),
    "a hidden file": (added(".profile"), "hidden: .profile"),
    "a file in a hidden folder": (added(".git/config"), "hidden: .git/config"),
    "a lock that holds something": (added(".lock"), "hidden: .lock"),
    "a link instead of the model": (linked, f"a link: {INT8}"),
    "a pipe": (lambda directory: os.mkfifo(directory / "audit/pipe"), "no regular file: audit/pipe"),
}
MENDED: dict[str, tuple[Manipulation, str]] = {
    "the model of another run": (of_another(INT8), f"{MODEL}: is of another {INT8}"),
    "the model and model.json of another run": (
        several(of_another(INT8), of_another(MODEL)),
        f"run.json: a stage wrote another {INT8}",
    ),
    "another model, with its hash wherever the old one stood": (
        model_of_another_told_everywhere_but_in_the_graph,
        f"{MODEL}: output is int8 [1, 10] at scale",
    ),
    "weights of another run": (of_another("model/weights.safetensors"), "lists another model/weights.safetensors"),
    "a model added to model/": (added("model/better.tflite"), f"{REPORT}: does not list model/better.tflite"),
    "a script added": (added("install.sh"), "run.json: no stage wrote install.sh"),
    "a file left out": (without("model/firmware/src/mul_c.c"), "wrote model/firmware/src/mul_c.c, which is not here"),
    "no report": (without(REPORT), f"{REPORT} is missing: a finished run has one"),
    "no card": (without("MODEL_CARD.md"), "MODEL_CARD.md is missing"),
    "no proof": (without("model/firmware/proof.json"), "proof.json is missing, and report.json tells of it"),
    "a better accuracy": (edited(REPORT, "audit", "accuracy", "int8", value=0.95), "audit.accuracy.int8 is 0.95"),
    "a better accuracy in the audit, too": (
        several(
            edited(REPORT, "audit", "accuracy", "int8", value=0.95),
            edited("audit/audit.json", "accuracy", "int8", value=0.95),
        ),
        "the value of the gate 'accuracy lost to int8' is -0.001, its numbers give -0.0581",
    ),
    "a better corruption error": (
        edited(REPORT, "audit", "robustness", "mce", "int8", value=0.1),
        "robustness.mce.int8 is 0.1",
    ),
    "another value of a gate": (edited(REPORT, "gates", 1, "value", value=-0.01), "the value of the gate 'accuracy"),
    "another limit of a gate": (edited(REPORT, "gates", 1, "limit", value=0.5), "the limit of the gate 'accuracy lost"),
    "another outcome of a gate": (edited(REPORT, "gates", 3, "passed", value=False), "its numbers say that it passed"),
    "no gates": (edited(REPORT, "gates", value=[]), "the gate 'parity (runtimes out of bounds)' is missing"),
    "a gate of one's own": (
        edited(REPORT, "gates", 0, "name", value="is certified"),
        "nothing asks for the gate 'is certified'",
    ),
    "a gate twice": (edited(REPORT, "gates", 1, value=FIRST_GATE), "two gates have one name"),
    "another verdict": (edited(REPORT, "passed", value=False), "passed is False, and no gate failed"),
    "a smaller budget": (edited(REPORT, "budget", "params", value=60_000), "fits is True, and params is over budget"),
    "a greater budget": (
        edited(REPORT, "budget", "flash_bytes", value=200_000),
        "budget.flash_bytes is 200,000, run.json asked for 98,496",
    ),
    "does not fit": (edited(REPORT, "fits", value=False), "fits is False, and nothing is over budget"),
    "fewer parameters": (edited(REPORT, "footprint", "params", value=10), f"footprint.params is 10, {INT8} has 63,274"),
    "less flash": (edited(REPORT, "footprint", "flash_bytes", value=9), "footprint.flash_bytes is 9"),
    "another operator": (edited(REPORT, "memory", 0, "macs", value=1), f"does not list the operators of {INT8}"),
    "a runtime that agrees": (edited("audit/parity.json", 3, "mismatches", value=0), f"{REPORT}: parity differs"),
    "a proof of more images": (edited("model/firmware/proof.json", "cores", 0, "images", value=9), "firmware.cores"),
    "another architecture": (edited("model/arch.json", "head", value=128), f"{REPORT}: arch.head is 64"),
    "another resolution": (
        several(edited("model/arch.json", "resolution", value=32), edited(REPORT, "arch", "resolution", value=32)),
        "arch.resolution is 32, model/model.json has an input of [1, 24, 24, 3]",
    ),
    "two labels changed over": (
        several(edited(MODEL, "labels", 3, value="dog"), edited(MODEL, "labels", 5, value="cat")),
        "MODEL_CARD.md: the classes should read '- Classes, in order: airplane, automobile, bird, dog, deer, cat",
    ),
    "a label more": (edited(MODEL, "labels", value=list("abcdefghijk")), "11 labels for outputs of shape [1, 10]"),
    "another input scale": (edited(MODEL, "input", "scale", value=0.5), f"{MODEL}: input is int8 [1, 24, 24, 3] at"),
    "another search": (edited(REPORT, "search", "evaluations", value=9_999), "search.evaluations is 9999"),
    "a front that was not measured": (
        several(
            edited(REPORT, "search", "front", 0, "measured", "clean_error", value=0.01),
            edited("search/front.json", "front", 0, "measured", "clean_error", value=0.01),
        ),
        "search.front has a subnet that search/evaluations.jsonl has not",
    ),
    "another seed": (
        edited("run.json", "config", "seed", value=7),
        f"{REPORT}: seed is '1', run.json has '7' (config)",
    ),
    "another target": (edited(REPORT, "target", value="cortex-m4"), "target is 'cortex-m4', run.json has 'cortex-m7'"),
    "another data set": (edited("run.json", "identity", "dataset", value="digits"), "run.json has 'digits' (identity)"),
    "sources of another model": (of_another("model/firmware/src/model.h"), f"model.h: is of another {INT8}"),
    "another figure on the card": (
        replaced("MODEL_CARD.md", "89.29 %", "99.29 %"),
        "MODEL_CARD.md: the verdict should",
    ),
    "another verdict on the card": (replaced("MODEL_CARD.md", "| passed |", "| **failed** |"), "MODEL_CARD.md: a gate"),
    "another hash on the card": (replaced("MODEL_CARD.md", "c5fcfa6ac0fd", "000000000000"), "MODEL_CARD.md: the hash"),
    "an audit of another model": (
        several(
            edited(REPORT, "audit", "models", "int8", "sha256", value="0" * 64),
            edited("audit/audit.json", "models", "int8", "sha256", value="0" * 64),
        ),
        f"{REPORT}: audit.models.int8 is another file than {INT8}",
    ),
    "a number without end": (
        edited(REPORT, "footprint", "latency_ms", "low", value=float("inf")),
        f"{REPORT} is not as a run writes it: it holds a number that is none",
    ),
    "a key twice": (doubled_key, f"{REPORT} is not as a run writes it: the key 'passed' stands there twice"),
    "a key of one's own": (
        replaced(REPORT, '"fits": true', '"fits": true, "certified": true'),
        f"{REPORT} is not as a run writes it: no key 'certified'",
    ),
    "no JSON": (replaced(REPORT, "{", "["), f"{REPORT} is not as a run writes it"),
    "brackets without end": (lambda d: (d / MODEL).write_text("[" * 200_000), f"{MODEL} is not as a run writes it"),
    "a record that is none": (
        edited("run.json", "stages", value="none"),
        "run.json is not as a run writes it: stages: input should be a valid tuple",
    ),
    "a limit that is none": (
        edited("run.json", "config", "gates", "min_accuracy", value="high"),
        "run.json is not as a run writes it: config.gates.min_accuracy",
    ),
    "a limit that was not kept": (
        edited("run.json", "config", "gates", "min_accuracy", value=0.95),
        f"{REPORT}: the gate 'accuracy' is missing",
    ),
}


@pytest.mark.parametrize("name", UNMENDED)
def test_a_change_is_found_by_the_manifest(name: str, run: Path) -> None:
    manipulate, line = UNMENDED[name]
    manipulate(run)
    assert any(problem.startswith(line) for problem in problems(run)), problems(run)


@pytest.mark.parametrize("name", MENDED)
def test_a_change_with_a_mended_manifest_is_found_by_another_file(name: str, run: Path) -> None:
    manipulate, line = MENDED[name]
    manipulate(run)
    write_manifest(run)
    assert any(line in problem for problem in problems(run)), problems(run)


def test_a_manifest_that_lists_paths_outside_opens_nothing_there(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["../outside"] = sha256_of(run / "run.json")
    write_json(run / "manifest.json", manifest)
    shutil.copy(run / "run.json", run.parent / "outside")
    assert problems(run) == ["missing: ../outside"]


def test_a_run_that_nobody_touched_has_no_problems_with_or_without_its_lock_and_seconds(run: Path) -> None:
    (run / ".lock").touch()
    write_json(run / "timings.json", {"audit": 1.0})
    assert problems(run) == []
