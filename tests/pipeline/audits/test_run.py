"""Whole audits of small models, through the worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from export.graph import ExportError
from flatnas.corruptions import corrupt
from flatnas.data.dataset import choose_images
from flatnas.data.digits import load_digits
from flatnas.errors import DataError
from pipeline import AuditRequest, Subject, audit
from pipeline.audits.cache import Cache
from pipeline.audits.chance import near_chance
from pipeline.audits.images import CLEAN, AuditImages, variants
from pipeline.audits.predictions import Request, predict, predict_all
from pipeline.audits.run import cache_folder
from pipeline.audits.subject import normalised_range
from pipeline.audits.worker import UnusableAnswerError, answers
from pipeline.audits.workers import Task, run_inside, run_tasks
from pipeline.errors import PipelineError

FEW = ("contrast", "fog")
SHARED = os.environ.get("PIPELINE_SHARED")


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


def own_answers(model: Path, variant: tuple[str, int], indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The classes as onnxruntime gives them, called directly."""
    import onnxruntime as ort

    pixels = load_digits().test.pixels_nhwc[indices]
    if variant != CLEAN:
        pixels = corrupt(pixels, *variant, indices)
    x = ((pixels.astype(np.float32) - 128) / 128).transpose(0, 3, 1, 2)
    session = ort.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    classes: npt.NDArray[np.int64] = session.run(None, {session.get_inputs()[0].name: x})[0].argmax(1)
    return classes


def test_an_audit_tells_the_errors_that_the_runtime_called_directly_makes(digit_models: Any) -> None:
    test = load_digits().test
    indices = choose_images(test.labels, 60, 0)
    found = audit(digit_models.float_onnx, request=AuditRequest(dataset="digits", limit=60, corruptions=FEW))
    assert found.predictions.indices.tolist() == indices.tolist()
    for row, variant in enumerate(variants(FEW)):
        expected = own_answers(digit_models.float_onnx, variant, indices)
        assert found.predictions.predictions["model"].classes[row].tolist() == expected.tolist()
    result = found.result
    errors = (own_answers(digit_models.float_onnx, ("fog", 4), indices) != test.labels[indices]).mean()
    assert result.robustness.per_corruption["fog"]["model"][3] == errors
    assert result.accuracy["model"] > 0.8
    assert result.warnings == ()
    assert result.robustness.mce == {"model": None}
    assert "delta" not in result.to_json()["robustness"]


def test_int8_beside_float_is_paired_and_the_devices_arithmetic_is_told(digit_models: Any) -> None:
    found = audit(
        digit_models.int8_tflite,
        digit_models.float_onnx,
        request=AuditRequest(
            dataset="digits", limit=60, corruptions=FEW, device_images=100, layers=True, calibration_sizes=[4, 32]
        ),
    )
    result = found.result
    assert result.robustness.delta is not None
    assert abs(result.robustness.delta.mean) < 0.05
    assert result.comparison is not None
    assert set(result.comparison.mcnemar) == set(FEW)
    assert result.device is not None
    assert result.device.images == 100
    assert result.device.disagreement < 0.1
    assert result.layers is not None
    assert result.warnings == (
        "the layers are those of float.onnx quantized anew by our rules; for those of the audited file put its QDQ "
        "ONNX beside it as int8.onnx",
    )
    by_name = {layer.name: layer for layer in result.layers}
    scores = by_name["scores"]
    assert scores.sqnr_db is not None
    assert scores.sqnr_db["clean"] > 20  # some 8 bits are kept
    assert set(scores.saturated) == {"clean", *FEW}
    trials = result.calibration_trials
    assert trials is not None
    assert [(t.images, t.seed, t.mixture) for t in trials[:4]] == [
        (4, 0, "stratified"),
        (4, 1, "stratified"),
        (4, 2, "stratified"),
        (32, 0, "stratified"),
    ]
    assert {t.mixture for t in trials} == {"stratified", "one class", "half corrupted"}
    assert max(t.accuracy for t in trials) > 0.8


def test_a_second_audit_runs_no_model_and_a_subset_is_taken_from_the_whole(digit_models: Any, tmp_path: Path) -> None:
    model = tmp_path / "float.onnx"
    model.write_bytes(digit_models.float_onnx.read_bytes())
    first = audit(model, request=AuditRequest(dataset="digits", corruptions=FEW))
    again, part = (
        _without_workers(
            lambda limit=limit: audit(model, request=AuditRequest(dataset="digits", corruptions=FEW, limit=limit))
        )
        for limit in (None, 40)
    )
    assert again.result == first.result
    columns = np.searchsorted(first.predictions.indices, part.predictions.indices)
    whole = first.predictions.predictions["model"].classes[:, columns]
    assert (part.predictions.predictions["model"].classes == whole).all()


def _without_workers(call: Any) -> Any:
    """Call it where no Python can be started."""
    real, sys.executable = sys.executable, "/nowhere/python"
    try:
        return call()
    finally:
        sys.executable = real


def test_a_model_whose_facts_left_the_cache_is_asked_again(digit_models: Any, tmp_path: Path) -> None:
    model = tmp_path / "float.onnx"
    model.write_bytes(digit_models.float_onnx.read_bytes())
    first = audit(model, request=AuditRequest(dataset="digits", corruptions=FEW, limit=30))
    facts = list(cache_folder().rglob("*-facts.npy"))
    assert facts
    for file in facts:
        file.unlink()
    again = audit(model, request=AuditRequest(dataset="digits", corruptions=FEW, limit=30))
    assert again.result.to_json() == first.result.to_json()


def test_changed_bytes_or_another_runtime_are_other_predictions(digit_models: Any, tmp_path: Path) -> None:
    base = Subject(digit_models.int8_tflite)
    (tmp_path / "changed.tflite").write_bytes(base.path.read_bytes() + b"x")
    subjects = [
        base,
        replace(base, path=tmp_path / "changed.tflite"),
        replace(base, runner="litert-reference"),
        replace(base, input_range=(0.0, 1.0)),
        replace(base, layout="nchw"),
    ]
    assert len({subject.key() for subject in subjects}) == 5


def test_weights_in_another_file_are_read_and_are_part_of_the_model(
    digit_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch's exporter writes them; onnxruntime alone would look for them in the current directory."""
    import onnx

    model = onnx.load(digit_models.float_onnx)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=100)
    monkeypatch.chdir("/")
    apart = audit(
        tmp_path / "m.onnx", request=AuditRequest(dataset="digits", limit=20, corruptions=("fog",), layers=True)
    )
    whole = audit(digit_models.float_onnx, request=AuditRequest(dataset="digits", limit=20, corruptions=("fog",)))
    assert apart.result.robustness == whole.result.robustness
    before = Subject(tmp_path / "m.onnx").key()
    weights = bytearray((tmp_path / "m.onnx.data").read_bytes())
    weights[3] ^= 1
    (tmp_path / "m.onnx.data").write_bytes(weights)
    assert Subject(tmp_path / "m.onnx").key() != before
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(ExportError, match=r"m\.onnx: its weights in other files can't be read: .*m\.onnx\.data"):
        Subject(tmp_path / "m.onnx").key()


@pytest.mark.parametrize("batch", [7, "hard-coded"])
def test_a_fixed_number_of_pictures_is_filled_up_and_a_hard_coded_one_is_kept_to(
    digit_models: Any, tmp_path: Path, batch: int | str
) -> None:
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(digit_models.float_onnx)
    if batch == "hard-coded":  # says N, and reshapes to one row
        reshape = helper.make_node("Reshape", ["map", "row"], ["flat"], name="flatten")
        model.graph.node.insert(1, reshape)
        del model.graph.node[2]
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 10]), "row"))
    else:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, tmp_path / "m.onnx")
    asked = AuditRequest(dataset="digits", limit=30, corruptions=("fog",))
    fixed, free = (audit(path, request=asked) for path in (tmp_path / "m.onnx", digit_models.float_onnx))
    assert fixed.result.robustness == free.result.robustness


def test_a_users_own_modules_in_the_current_directory_do_not_take_the_place_of_ours(
    digit_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("export.py", "pipeline.py", "flatnas.py"):
        (tmp_path / name).write_text("raise SystemExit('a script of the user')\n")
    monkeypatch.chdir(tmp_path)
    assert (
        audit(
            digit_models.float_onnx, request=AuditRequest(dataset="digits", limit=23, corruptions=("fog",))
        ).result.warnings
        == ()
    )


def test_a_full_temporary_folder_is_one_line_with_what_to_do(digit_models: Any) -> None:
    """The system refuses to make a file longer, as it does on a full disk."""
    program = f"""
import resource, signal
from pipeline import AuditRequest, audit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
request = AuditRequest(dataset="digits", limit=11, corruptions=("snow",), cache_limit="0B")
audit({str(digit_models.float_onnx)!r}, request=request)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("pipeline.errors.PipelineError: can't write to ")
    assert last.endswith("; TMPDIR names another place")


def test_a_model_that_its_runtime_cannot_run_is_one_line(digit_models: Any, tmp_path: Path) -> None:
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(digit_models.float_onnx)
    # Looks up the place of the largest score in a table of one: black has it at 0, other pictures do not.
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", ["scores"], ["place"], axis=1, keepdims=1),
            helper.make_node("Gather", ["table", "place"], ["found"], axis=0),
            helper.make_node("Add", ["scores", "found"], ["out"]),
        ]
    )
    table = np.zeros(1 + own_black_class(digit_models.float_onnx), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    model.graph.output[0].name = "out"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(PipelineError, match=r"the model can't be run on the clean pictures: .*Gather") as refusal:
        audit(tmp_path / "m.onnx", request=AuditRequest(dataset="digits", limit=30, corruptions=("fog",)))
    assert "\n" not in str(refusal.value)


def own_black_class(model: Path) -> int:
    import onnxruntime as ort

    session = ort.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    black = np.full((1, 3, 32, 32), -1, np.float32)
    return int(session.run(None, {session.get_inputs()[0].name: black})[0].argmax())


def test_pictures_of_a_subset_are_those_of_the_whole_and_come_from_the_cache(tmp_path: Path) -> None:
    clean = load_digits().test.pixels_nhwc[:50]
    images = AuditImages(clean, 0, None, Cache(tmp_path, 10**8))
    some = np.array([3, 7, 30])
    expected = corrupt(clean[some], "frost", 2, some)
    np.testing.assert_array_equal(images.pictures(("frost", 2), some), expected)
    whole = images.pictures(("frost", 2), np.arange(50))
    np.testing.assert_array_equal(whole[some], expected)
    assert len(list(tmp_path.glob("frost-2-*"))) == 2
    marked = whole.copy()
    marked[7] = 9
    images.cache.save(images.key(("frost", 2), np.arange(50)), marked)
    assert (images.pictures(("frost", 2), some)[1] == 9).all()  # read, not made again
    other = AuditImages(clean, 1, None, Cache(tmp_path, 10**8))
    assert (other.pictures(("frost", 2), some) != expected).any()


@pytest.mark.slow  # corrupts 10,000 pictures five times
@pytest.mark.skipif(SHARED is None, reason="PIPELINE_SHARED is not set")
def test_official_files_are_verified_and_used_and_give_what_is_generated(tmp_path: Path) -> None:
    """Contrast draws nothing: the file made here is, byte for byte, the published one, and passes its check."""
    from flatnas.data.registry import load_dataset

    shared = Path(str(SHARED)) / "data"
    test = load_dataset("cifar10", shared).test
    every = np.arange(len(test))
    contents = {
        "contrast": np.concatenate([corrupt(test.pixels_nhwc, "contrast", s, every) for s in range(1, 6)]),
        "labels": np.tile(test.labels, 5).astype(np.uint8),
    }
    archives = [tmp_path / place / "CIFAR-10-C.tar" for place in "ab"]  # two machines
    for path in archives:
        path.parent.mkdir()
        with tarfile.open(path, "w") as tar:
            for name, array in contents.items():
                np.save(tmp_path / "x.npy", array)
                tar.add(tmp_path / "x.npy", f"CIFAR-10-C/{name}.npy")
    model = shared / "mlperf-tiny-resnet8" / "int8.tflite"
    asked = AuditRequest(limit=100, corruptions=("contrast",), device_images=0)
    (tmp_path / "a" / "cifar-10-binary.tar.xz").symlink_to(shared / "cifar-10-binary.tar.xz")
    (tmp_path / "b" / "cifar-10-binary.tar.xz").symlink_to(shared / "cifar-10-binary.tar.xz")
    official = [audit(model, request=asked, data_dir=path.parent) for path in archives]
    generated = audit(model, request=replace(asked, source="generated"), data_dir=shared)
    assert official[0].result.robustness.source == "official"
    assert official[0].predictions.pictures == official[1].predictions.pictures
    assert generated.result.robustness.source == "generated"
    assert official[0].result.robustness.per_corruption == generated.result.robustness.per_corruption
    with archives[0].open("r+b") as file:
        file.truncate(100_000_000)
    with pytest.raises(DataError, match=r"is cut off or damaged|is damaged"):
        audit(model, request=asked, data_dir=archives[0].parent)


def test_a_model_near_chance_is_told_what_it_expects(digit_models: Any) -> None:
    found = audit(
        digit_models.undeclared_onnx, request=AuditRequest(dataset="digits", limit=60, corruptions=("contrast",))
    )
    (warning,) = found.result.warnings
    assert "near chance" in warning
    assert "probably expects --input-range -1 1" in warning
    told = audit(
        Subject(digit_models.undeclared_onnx, input_range=(-1.0, 1.0)),
        request=AuditRequest(dataset="digits", limit=60, corruptions=("contrast",)),
    )
    assert told.result.accuracy["model"] > 0.8
    assert told.result.warnings == ()


def test_making_large_pictures_gives_signs_of_life_and_the_same_pictures(tmp_path: Path) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (5, 600, 600, 3), np.uint8)  # two to a block
    images = AuditImages(clean, 0, None, Cache(tmp_path, 0))
    signs: list[None] = []
    made = images.pictures(("gaussian_noise", 1), np.arange(5), lambda: signs.append(None))
    assert len(signs) == 3
    np.testing.assert_array_equal(made, corrupt(clean, "gaussian_noise", 1, range(5)))


def test_mean_and_std_are_the_range_per_channel_and_reach_an_int8_input(digit_models: Any) -> None:
    low, high = normalised_range((0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    assert low == (-1.0, -1.0, 0.0)
    assert high == (1.0, 3.0, 0.5)
    pixels = np.array([0, 128, 255], np.uint8).repeat(3).reshape(1, 1, 3, 3)
    floats = Subject(digit_models.float_onnx, input_range=(low, high)).load().encode(pixels)
    np.testing.assert_allclose(floats[0, :, 0, 0], [-1, -1, 0])
    np.testing.assert_allclose(floats[0, :, 0, 2], [1, 3, 0.5])
    # Scale 1/128: -1 is -128, 0.5 is 64, and 3 is beyond the end.
    integers = Subject(digit_models.int8_tflite, input_range=(low, high)).load().encode(pixels)
    assert integers.dtype == np.int8
    assert integers[0, 0, 0].tolist() == [-128, -128, 0]
    assert integers[0, 0, 2].tolist() == [127, 127, 64]


def test_logits_and_probabilities_give_the_same_confidence(digit_models: Any, tmp_path: Path) -> None:
    images = AuditImages(load_digits().test.pixels_nhwc, 0, None, Cache(tmp_path / "p", 0))
    subjects = {"a": Subject(digit_models.float_onnx), "b": Subject(digit_models.probabilities_onnx)}
    found = predict_all(subjects, images, np.arange(30), [], Cache(tmp_path / "s", 0), quiet, quiet)
    np.testing.assert_allclose(found["a"].confidence, found["b"].confidence, atol=1e-6)
    assert (found["a"].classes == found["b"].classes).all()


def test_probabilities_of_a_hundred_classes_in_eight_bits_are_taken_as_such() -> None:
    scores = np.full((2, 100), 0.001, np.float32)  # each rounds to 0 in steps of 1/256
    scores[:, 7] = 0.901
    found = answers((np.rint(scores * 256) / 256).astype(np.float32))
    assert found["confidence"] == pytest.approx(0.902, abs=0.001)


@pytest.mark.parametrize(
    ("classes", "accuracy", "guesses"), [(2, 0.55, True), (2, 0.9, False), (10, 0.15, True), (100, 0.3, False)]
)
def test_near_chance_depends_on_the_number_of_classes(classes: int, accuracy: float, guesses: bool) -> None:
    assert near_chance(accuracy, classes) is guesses


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UnusableAnswerError, match="2 of 3 answers hold NaN or infinity"):
        answers(np.array([[1, 2], [np.nan, 0], [np.inf, 0]], np.float32))


def test_nan_outputs_name_the_model_and_the_pictures(digit_models: Any, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(digit_models.float_onnx)
    weights = next(i for i in model.graph.initializer if i.name == "w")
    values = onnx.numpy_helper.to_array(weights).copy()
    values[:] = 3e38  # overflows to infinity
    weights.CopyFrom(onnx.numpy_helper.from_array(values, "w"))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(PipelineError, match=r"the model gives no usable scores on the clean pictures: .* NaN"):
        audit(tmp_path / "nan.onnx", request=AuditRequest(dataset="digits", limit=20, corruptions=("contrast",)))


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _answers_of(models: Mapping[str, Subject], silence_seconds: float = 60, told: Any = quiet) -> None:
    images = AuditImages(load_digits().test.pixels_nhwc, 0, None, Cache(Path("/nowhere"), 0))
    tasks = [Task(CLEAN, np.arange(20), tuple(models))]
    list(run_tasks(models, images, tasks, told, quiet, silence_seconds))


def test_a_runtime_that_crashes_is_one_line_with_model_and_signal(digit_models: Any) -> None:
    def crash(*_: object) -> None:
        os.kill(_children()[-1], signal.SIGSEGV)
        time.sleep(0.2)

    with pytest.raises(PipelineError, match=r"the runtime \(onnxruntime\) crashed while .*Segmentation fault"):
        _answers_of({"model": Subject(digit_models.float_onnx)}, told=crash)


def test_a_crash_while_the_layers_are_looked_into_is_one_line(digit_models: Any, tmp_path: Path) -> None:
    pictures = {"clean": str(tmp_path / "x.npy")}
    model = Subject(digit_models.int8_tflite)
    request = {"quantize": [], "layers": {"model": model.to_json(), "qdq": None, "pictures": pictures}}
    with pytest.raises(PipelineError, match=r"x\.npy"):
        run_inside(request, {"litert"}, quiet)
    os.mkfifo(tmp_path / "x.npy")  # nobody writes: the child waits for its pictures until it is killed
    before = _children()

    def kill() -> None:
        while not (born := [pid for pid in _children() if pid not in before]):
            time.sleep(0.01)
        os.kill(born[0], signal.SIGSEGV)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(PipelineError, match=r"the runtime \(litert\) crashed while looking into the model: Segm"):
        run_inside(request, {"litert"}, quiet)
    killer.join()


def test_a_runtime_that_hangs_is_stopped(digit_models: Any) -> None:
    before = _children()

    def stop(*_: object) -> None:
        os.kill(next(pid for pid in _children() if pid not in before), signal.SIGSTOP)

    with pytest.raises(PipelineError, match=r"no sign of life for 2 s from .*it was stopped"):
        _answers_of({"model": Subject(digit_models.float_onnx)}, silence_seconds=2, told=stop)
    assert [pid for pid in _children() if pid not in before] == []


def test_a_model_with_other_classes_is_refused_before_anything_is_run(digit_models: Any, tmp_path: Path) -> None:
    from PIL import Image

    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(8):
            noise = np.random.default_rng([ord(name), number]).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / "pictures" / name / f"{number}.png")
    with pytest.raises(PipelineError, match=r"the model has 10 classes, and .* has 2; audit it on the data"):
        audit(
            digit_models.float_onnx, request=AuditRequest(dataset=str(tmp_path / "pictures"), corruptions=("contrast",))
        )


def test_answers_computed_before_a_failure_are_kept(digit_models: Any, tmp_path: Path) -> None:
    images = AuditImages(load_digits().test.pixels_nhwc, 0, None, Cache(tmp_path / "p", 10**8))
    store = Cache(tmp_path / "s", 10**8)
    subjects = {"model": Subject(digit_models.float_onnx)}
    request = Request("model", ("contrast", 1), np.arange(10))
    first = predict(subjects, images, [request], store, quiet, quiet)
    again = _without_workers(lambda: predict(subjects, images, [request], store, quiet, quiet))
    assert (first[0] == again[0]).all()


def test_importing_and_running_an_audit_does_not_import_torch(digit_models: Any) -> None:
    program = (
        "import sys; from pipeline import AuditRequest, audit\n"
        "request = AuditRequest(dataset='digits', limit=10, corruptions=('contrast',))\n"
        f"audit({str(digit_models.float_onnx)!r}, request=request)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
