"""Every path of a run directory."""

from __future__ import annotations

RUN = "run.json"  # configuration, versions, stages with their keys and hashes
MANIFEST = "manifest.json"  # of a finished directory; absent while it changes
WORK = ".work"  # unfinished work; not part of the result
LOCK = ".lock"  # empty; held by the process that works here
TIMINGS = "timings.json"  # seconds, which no two runs share; not part of the result
PLACES = "places.json"  # paths of this computer, where the run names some; not part of the result

LABELS = "search/labels.safetensors"  # a teacher's soft labels, where the run has some
SUPERNET = "search/supernet.safetensors"
EVALUATIONS = "search/evaluations.jsonl"
FRONT = "search/front.json"
FINALISTS = "search/finalists.json"

ARCH = "model/arch.json"
WEIGHTS = "model/weights.safetensors"
FLOAT_ONNX = "model/model.float.onnx"
INT8_ONNX = "model/model.int8.onnx"
QUANTIZATION = "model/quantization.json"
INT8_TFLITE = "model/model.int8.tflite"
FLOAT_TFLITE = "model/model.float.tflite"
FLOAT16_TFLITE = "model/model.float16.tflite"
DYNAMIC_TFLITE = "model/model.dynamic.tflite"
MODEL = "model/model.json"  # labels, input and output of the int8 file
FIRMWARE = "model/firmware"
PROOF = f"{FIRMWARE}/proof.json"

PARITY = "audit/parity.json"
AUDIT = "audit/audit.json"
PREDICTIONS = "audit/predictions.npz"

REPORT = "report.json"
PAGE = "report.html"
CARD = "MODEL_CARD.md"
ENVIRONMENT = "environment.json"  # all packages that were installed

SIGNATURE = "model.sig"  # of the manifest's files and the manifest, as these: made afterwards, so not in the manifest
SBOM = "sbom.cdx.json"
PROVENANCE = "provenance.intoto.json"
