"""What an audit can tell about the causes, given which files it has: int8 TFLite, QDQ ONNX, float ONNX."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatnas.data.dataset import Images, choose_images
from pipeline.audits.cache import Cache
from pipeline.audits.images import CLEAN, AuditImages, Ints
from pipeline.audits.predictions import Progress
from pipeline.audits.result import CalibrationTrial, LayerNoise
from pipeline.audits.subject import Subject
from pipeline.audits.workers import run_inside
from pipeline.errors import PipelineError

_LAYER_IMAGES = 64  # per corruption
_LAYER_SEVERITY = 5  # ranges are clipped most where the corruption is strongest
_CALIBRATION_IMAGES = 256  # behind a float ONNX that is quantized to be looked into
_TRIAL_IMAGES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """The files and pictures of an audit.

    Attributes:
        indices: of the test pictures audited, with their labels.
        train: calibration pictures are drawn from it.
    """

    subjects: Mapping[str, Subject]
    images: AuditImages
    indices: Ints
    labels: Ints
    corruptions: Sequence[str]
    train: Images
    store: Cache

    def check(self, layers: bool, trials: bool) -> None:
        """Refuse what these files can't tell, before anything is computed.

        Raises:
            PipelineError: no int8 model to look into; no float ONNX, and an int8 file no longer knows what was lost.
        """
        if not (layers or trials) or self._float_onnx() is not None:
            return
        if trials:
            raise PipelineError(
                "--calibration quantizes the float model anew, and an int8 file can't be: "
                "give a float ONNX as MODEL or --baseline, or a run directory"
            )
        if self.subjects["model"].path.suffix.lower() != ".tflite":
            raise PipelineError("--layers needs an int8 TFLite file, or a float ONNX as MODEL or --baseline")

    def layers(self, progress: Progress) -> tuple[LayerNoise, ...]:
        """Noise and saturation of each activation of the int8 model; `check` has passed."""
        chosen = self.indices[choose_images(self.labels, _LAYER_IMAGES, 0)]
        pictures = {"clean": self.images.pictures(CLEAN, chosen)}
        for done, name in enumerate(self.corruptions):
            progress(done, len(self.corruptions), name)
            pictures[name] = self.images.pictures((name, _LAYER_SEVERITY), chosen)
        floats, model = self._float_onnx(), self.subjects["model"]
        with tempfile.TemporaryDirectory(prefix="pipeline-layers-") as folder:
            files = {name: str(Path(folder, f"{name}.npy")) for name in pictures}
            for name, pixels in pictures.items():
                np.save(files[name], pixels)
            qdq = None if floats is None else str(self._quantized(floats, Path(folder)))
            job = {"model": (floats or model).to_json(), "qdq": qdq, "pictures": files}
            steps = list(pictures)
            found = run_inside(
                {"quantize": [], "layers": job},
                {(floats or model).kind},
                lambda name: progress(steps.index(name), len(steps), name),
            )
        return tuple(LayerNoise(**record) for record in found)

    def layers_warning(self) -> list[str]:
        """Whose layers `layers` tells of, where that is not the audited file."""
        floats = self._float_onnx()
        if floats is None or self._qdq_onnx() is not None:
            return []
        told = f"the layers are those of {floats.path.name} quantized anew by our rules"
        if floats is self.subjects["model"]:
            return [told]
        beside = self.subjects["model"].path.with_suffix(".onnx").name
        return [f"{told}; for those of the audited file put its QDQ ONNX beside it as {beside}"]

    def trials(self, sizes: Sequence[int], progress: Progress) -> tuple[CalibrationTrial, ...]:
        """The float ONNX quantized anew from sets of calibration pictures; `check` has passed."""
        from pipeline.audits.calibration import calibration_trials

        floats = self._float_onnx()
        assert floats is not None
        some = choose_images(self.labels, _TRIAL_IMAGES, 0)
        seen = self.indices[some], self.labels[some]
        found = calibration_trials(
            floats, self.train, sizes, self.images, *seen, self.corruptions, self.store, progress
        )
        return tuple(found)

    def _float_onnx(self) -> Subject | None:
        return next((s for s in self._onnx() if not _is_quantized(s)), None)

    def _qdq_onnx(self) -> bytes | None:
        """A QDQ ONNX among the files, or the one beside a run's TFLite file."""
        found = next((s for s in self._onnx() if _is_quantized(s)), None)
        beside = Subject(self.subjects["model"].path.with_suffix(".onnx"))
        if found is None and self.subjects["model"].path.suffix == ".tflite" and beside.path.is_file():
            found = beside
        return None if found is None else found.content()

    def _onnx(self) -> list[Subject]:
        return [s for s in self.subjects.values() if s.path.suffix.lower() == ".onnx"]

    def _quantized(self, floats: Subject, folder: Path) -> Path:
        """The QDQ ONNX of a float ONNX: the one that is here, else one made from training pictures."""
        from pipeline.audits.calibration import quantized_in_child

        content = self._qdq_onnx()
        if content is None:
            pictures = self.train.subset(_CALIBRATION_IMAGES).pixels_nhwc
            return quantized_in_child(floats, [pictures], folder, lambda _: None)[0]
        path = folder / "qdq.onnx"
        path.write_bytes(content)
        return path


def _is_quantized(subject: Subject) -> bool:
    from export.run.activations import quantized_tensors

    return bool(quantized_tensors(subject.content()))
