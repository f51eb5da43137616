"""The process that looks into models: it runs them with all their activations, which may crash a runtime too.

In comes one JSON value: models to quantize anew, and the layers to measure. Out go `did` messages, then `layers` and
`done`, or `failed`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audits.calibration import requantized
from pipeline.audits.layers import layers_of_onnx, layers_of_tflite
from pipeline.audits.subject import Subject
from pipeline.audits.worker import limit_memory, sender


def main() -> None:
    """Serve one request of the parent."""
    limit_memory()
    send = sender()
    request = json.loads(sys.stdin.readline())
    try:
        _serve(request, send)
    except Exception as error:  # the runtimes' exceptions share no public base
        send(failed=" ".join(f"{error}".split()) or type(error).__name__)


def _serve(request: dict[str, Any], send: Callable[..., None]) -> None:
    for job in request["quantize"]:
        content = requantized(Subject.from_json(job["float"]), np.load(job["pictures"]))
        Path(job["out"]).write_bytes(content)
        send(did="quantizing")
    if request["layers"] is not None:
        send(layers=[asdict(record) for record in _layers(request["layers"], lambda name: send(did=name))])
    send(done=True)


def _layers(job: dict[str, Any], alive: Callable[[str], None]) -> list[Any]:
    model = Subject.from_json(job["model"])
    pictures = {name: np.load(file) for name, file in job["pictures"].items()}
    if job["qdq"] is None:
        return layers_of_tflite(model, pictures, alive)
    return layers_of_onnx(model, Path(job["qdq"]).read_bytes(), pictures, alive)


if __name__ == "__main__":
    main()
