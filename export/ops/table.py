"""The operators that are known, one file each; others keep their names, and are refused by them."""

from __future__ import annotations

from collections.abc import Mapping

from export.ops.add import ADD
from export.ops.average_pool import AVERAGE_POOL_2D
from export.ops.concatenation import CONCATENATION
from export.ops.conv import CONV_2D
from export.ops.depthwise import DEPTHWISE_CONV_2D
from export.ops.fully_connected import FULLY_CONNECTED
from export.ops.hard_swish import HARD_SWISH
from export.ops.logistic import LOGISTIC
from export.ops.max_pool import MAX_POOL_2D
from export.ops.mean import MEAN
from export.ops.mul import MUL
from export.ops.onnx_writer import WriteFunction, WriteLayer
from export.ops.operator import OnnxForm, Operator
from export.ops.pad import PAD
from export.ops.quantize import DEQUANTIZE, QUANTIZE
from export.ops.relu import RELU, RELU6, RELU_0_TO_1
from export.ops.reshape import RESHAPE
from export.ops.softmax import SOFTMAX
from export.ops.tanh import TANH

_KNOWN = (
    CONV_2D,
    DEPTHWISE_CONV_2D,
    FULLY_CONNECTED,
    ADD,
    MUL,
    MEAN,
    AVERAGE_POOL_2D,
    MAX_POOL_2D,
    PAD,
    CONCATENATION,
    SOFTMAX,
    RELU,
    RELU6,
    RELU_0_TO_1,
    HARD_SWISH,
    LOGISTIC,
    TANH,
    QUANTIZE,
    DEQUANTIZE,
    RESHAPE,
)

OPERATORS: Mapping[str, Operator] = {operator.name: operator for operator in _KNOWN}
ONNX: Mapping[str, OnnxForm] = {name: form for operator in _KNOWN for name, form in operator.onnx.items()}
LAYERS: Mapping[str, WriteLayer] = {name: write for operator in _KNOWN for name, write in operator.layers.items()}
FUNCTIONS: Mapping[str, WriteFunction] = {
    name: write for operator in _KNOWN for name, write in operator.functions.items()
}
