"""What is audited: a model file, and how it is run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.runs.code import code_sha256

if TYPE_CHECKING:
    from export.run.runners import InputRange, Kind, Layout, Runner

_DISTRIBUTIONS: dict[str, str] = {  # whose version decides an answer
    "onnxruntime": "onnxruntime",
    "litert": "ai-edge-litert",
    "litert-reference": "ai-edge-litert",
    "tflm": "tflite-micro",
    "interpreter": "flatnas-deploy",
    "firmware": "flatnas-deploy",
}
WORKER = "pipeline.audits.worker"  # reaches the runners and what prepares their pictures


@dataclass(frozen=True, slots=True)
class Subject:
    """A model file under audit.

    Attributes:
        runner: the runtime; by default onnxruntime for .onnx and LiteRT for .tflite.
        input_range: real values of pixels 0 and 255, for all channels or for each; by default the file's own.
        layout: of the input; by default where its 3 channels are.
    """

    path: Path
    runner: Kind | None = None
    input_range: InputRange | None = None
    layout: Layout | None = None

    @property
    def kind(self) -> Kind:
        """The runtime that runs it."""
        return self.runner or ("onnxruntime" if self.path.suffix.lower() == ".onnx" else "litert")

    def existing(self) -> Subject:
        """This.

        Raises:
            PipelineError: its file isn't there.
        """
        if not self.path.is_file():
            raise PipelineError(f"there is no file {self.path}")
        return self

    def load(self) -> Runner:
        """The model, on one thread.

        Raises:
            ExportError: it can't be run.
        """
        from export.run.runners import load_runner

        return load_runner(self.path, self.runner, threads=1, input_range=self.input_range, layout=self.layout)

    def content(self) -> bytes:
        """The model's bytes; the weights that an ONNX may keep in other files are among them.

        Raises:
            ExportError: such a file can't be used.
            PipelineError: the model can't be read.
        """
        from export.run.runners import whole_model

        try:
            return whole_model(self.path)
        except OSError as error:
            raise PipelineError(f"can't read {self.path}: {error.strerror}") from error

    def sha256(self) -> str:
        """Of `content`: that of the file, unless its weights are in others."""
        return hashlib.sha256(self.content()).hexdigest()

    def key(self) -> str:
        """A hash of everything that its answers depend on, our code among it."""
        library = version(_DISTRIBUTIONS[self.kind])
        parts = [self.sha256(), self.kind, library, code_sha256(WORKER), self.input_range, self.layout]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """For the worker process."""
        return {
            "path": str(self.path),
            "runner": self.runner,
            "input_range": self.input_range,
            "layout": self.layout,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Subject:
        """The reverse of `to_json`."""
        levels = value["input_range"]
        low, high = (tuple(x) if isinstance(x, list) else x for x in levels) if levels else (None, None)
        input_range = None if low is None or high is None else (low, high)
        return Subject(Path(value["path"]), value["runner"], input_range, value["layout"])


def normalised_range(mean: tuple[float, ...], std: tuple[float, ...]) -> InputRange:
    """Real values of pixels 0 and 255 under (pixel / 255 - mean) / std, as training code writes it; per channel."""
    low, high = (tuple((end - m) / s for m, s in zip(mean, std, strict=True)) for end in (0.0, 1.0))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
