"""A tree with TFLite Micro's layout and just enough of its public API to be built and run: its Invoke() copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.graph import Graph, Node, Options, QParams, Tensor
from export.write.to_tflite import to_tflite

_INTERPRETER = """
#pragma once
#include <cstddef>
#include <cstdint>
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
struct TfLiteTensor { int8_t *data; };
namespace tflite {
template <class T> T *GetTensorData(TfLiteTensor *tensor) { return tensor->data; }
class MicroInterpreter {
  public:
    MicroInterpreter(const Model *, const Known &known, uint8_t *arena, size_t size);
    TfLiteStatus AllocateTensors();
    TfLiteStatus Invoke();
    TfLiteTensor *input(size_t) { return &input_; }
    TfLiteTensor *output(size_t) { return &output_; }
    size_t arena_used_bytes() const { return 1234; }
  private:
    TfLiteTensor input_, output_;
    size_t size_;
};
}
"""
_RESOLVER = """
#pragma once
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
struct TFLMRegistration { int kernel; };
namespace tflite {
TFLMRegistration Register_MAX_POOL_2D_INT8();
struct Known { int kernels = 0; };
template <unsigned N> struct MicroMutableOpResolver : Known {
    TfLiteStatus AddMaxPool2D(const TFLMRegistration &r) {
        kernels += r.kernel;
        return N == 1 ? kTfLiteOk : kTfLiteError;
    }
};
}
"""
_SOURCE = """
#include "tensorflow/lite/micro/micro_interpreter.h"
namespace tflite {
MicroInterpreter::MicroInterpreter(const Model *, const Known &known, uint8_t *arena, size_t size)
    : input_{reinterpret_cast<int8_t *>(arena)}, output_{input_.data + 512}, size_(known.kernels ? size : 0) {}
TfLiteStatus MicroInterpreter::AllocateTensors() { return size_ >= NEEDED ? kTfLiteOk : kTfLiteError; }
TfLiteStatus MicroInterpreter::Invoke() {
    for (int i = 0; i < 192; i++) output_.data[i] = input_.data[i] ADDED;
    return kTfLiteOk;
}
}
"""
_FILES = {
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": _RESOLVER,
    "tensorflow/lite/micro/micro_interpreter.h": _INTERPRETER,
    "tensorflow/lite/micro/micro_interpreter.cc": _SOURCE,
    "tensorflow/lite/micro/micro_interpreter_test.cc": "#error this is no part of the library",
    "tensorflow/lite/micro/debug_log.cc": '#error "the harness has its own"',
    "tensorflow/lite/micro/kernels/pooling.cc": """
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
TFLMRegistration tflite::Register_MAX_POOL_2D_INT8() { return {1}; }
""",
    "tensorflow/lite/micro/kernels/conv.cc": "#error the model has no convolution",
    "tensorflow/lite/schema/schema_generated.h": """
#pragma once
namespace tflite { struct Model; inline const Model *GetModel(const void *m) { return static_cast<const Model *>(m); } }
""",
    "third_party/flatbuffers/include/flatbuffers/flatbuffers.h": "",
    "third_party/gemmlowp/fixedpoint/fixedpoint.h": "",
    "third_party/ruy/ruy/profiler/instrumentation.h": "",
}


def copying_model() -> bytes:
    """A maximum of one value each: the output is the input, 8 x 8 x 3."""
    scale = QParams(np.array([0.1], np.float32), np.array([0]))
    tensors = {name: Tensor(name, (1, 8, 8, 3), "int8", scale) for name in ("x", "y")}
    return to_tflite(Graph((Node("MAX_POOL_2D", "pool", ("x",), ("y",), Options((1, 1))),), tensors, ("x",), ("y",)))


def write_tiny_tflm(root: Path, added: str = "", needed: str = "1024") -> Path:
    """A tree whose Invoke() copies 192 values, each with `added` behind it, and which needs so many bytes of arena."""
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ADDED", added).replace("NEEDED", needed))
    return root


def write_tiny_cmsis_nn(root: Path) -> Path:
    """To a tree, kernels for CMSIS-NN, and a CMSIS-NN of one function."""
    files = {
        "third_party/cmsis_nn/Include/arm_nnfunctions.h": "int arm_one(void);",
        "third_party/cmsis_nn/Source/PoolingFunctions/arm_one.c": "int arm_one(void) { return 1; }",
        "third_party/cmsis_nn/Source/PoolingFunctions/arm_one_f16.c": "#error not for int8",
        "tensorflow/lite/micro/kernels/cmsis_nn/pooling.cc": """
#ifdef CMSIS_NN
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
extern "C" {
#include "Include/arm_nnfunctions.h"
}
TFLMRegistration tflite::Register_MAX_POOL_2D_INT8() { return {arm_one()}; }
#endif
""",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "tensorflow/lite/micro/kernels/pooling.cc").unlink()
    return root
