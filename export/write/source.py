"""Layers -> C99 text: model.h, model.c."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from export.graph import Graph, Tensor
from export.ops.integers import scale, zero_point
from export.ops.layer import Constant, Layer, Struct

MADE_BY = "made by flatnas-deploy"  # in the first line of model.h
_LINE = 100  # characters of a line of array values


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the header tells besides the graph's own facts."""

    sha256: str
    version: str
    arena_bytes: int
    labels: tuple[str, ...] = ()


def model_header(graph: Graph, facts: ModelFacts) -> str:
    """`model.h`: the API, and the facts that an application needs, as constants."""
    x, y = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    labels = (
        "\n/* What each output value is about, in order. */\nextern const char *const model_labels[MODEL_LABELS];\n"
        if facts.labels
        else ""
    )
    return f"""/* A neural network as C99, {MADE_BY} {facts.version}. Do not edit: make it again.
 *
 *     int8_t *pixels = model_input();       fill MODEL_INPUT_BYTES values, NHWC
 *     model_run();
 *     const int8_t *scores = model_output();
 *
 * The input lies in the arena, and model_run() may write over it: fill it anew before each run. The output is valid
 * until then. A value q stands for scale * (q - zero point). Nothing is allocated; nothing but the arena is written.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define MODEL_GENERATOR_VERSION "{facts.version}"
#define MODEL_TFLITE_SHA256 "{facts.sha256}"

/* The one buffer that the model works in. It is static, unless MODEL_ARENA_EXTERNAL is defined for model.c: then the
 * application defines `int8_t model_arena[MODEL_ARENA_BYTES]`, aligned to 16 bytes, where it likes. */
#define MODEL_ARENA_BYTES {facts.arena_bytes}

{_tensor_facts("INPUT", x)}
{_tensor_facts("OUTPUT", y)}
{f"#define MODEL_LABELS {len(facts.labels)}" if facts.labels else ""}
int8_t *model_input(void);
void model_run(void);
const int8_t *model_output(void);
{labels}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _tensor_facts(name: str, tensor: Tensor) -> str:
    sides = "".join(f"#define MODEL_{name}_{axis} {side}\n" for axis, side in _named_sides(tensor.shape))
    return (
        f"{sides}#define MODEL_{name}_BYTES {prod(tensor.shape)}\n"
        f"#define MODEL_{name}_SCALE {scale(tensor)!r}f\n"
        f"#define MODEL_{name}_ZERO_POINT {_literal(zero_point(tensor))}\n"
    )


def _named_sides(shape: tuple[int, ...]) -> Iterable[tuple[str, int]]:
    names = {4: ("HEIGHT", "WIDTH", "CHANNELS"), 2: ("VALUES",)}.get(len(shape), ())
    return zip(names, shape[1:], strict=False)


def model_source(graph: Graph, layers: Sequence[Layer], facts: ModelFacts, offsets: tuple[int, int]) -> str:
    """`model.c`: constants and one call per layer.

    Args:
        offsets: of the input and of the output in the arena.
    """
    labels = (
        "const char *const model_labels[MODEL_LABELS] = {\n"
        + "".join(f"    {_string(label)},\n" for label in facts.labels)
        + "};\n\n"
        if facts.labels
        else ""
    )
    return f"""/* Made by flatnas-deploy {facts.version} from the TFLite file with the sha256 in model.h. */
#include "model.h"

#include "nn_kernels.h"

#ifdef MODEL_ARENA_EXTERNAL
extern int8_t model_arena[MODEL_ARENA_BYTES];
#else
#ifndef MODEL_ARENA_STORAGE
#define MODEL_ARENA_STORAGE static
#endif
MODEL_ARENA_STORAGE int8_t model_arena[MODEL_ARENA_BYTES] __attribute__((aligned(16)));
#endif

/* Called after each layer, for whoever wants to look on. */
#ifndef MODEL_LAYER_DONE
#define MODEL_LAYER_DONE(index, output, bytes)
#endif

{labels}{"".join(_definitions(layer) for layer in layers)}int8_t *model_input(void) {{
    return model_arena + {offsets[0]};
}}

const int8_t *model_output(void) {{
    return model_arena + {offsets[1]};
}}

void model_run(void) {{
{"".join(_call(i, layer) for i, layer in enumerate(layers))}}}
"""


def _definitions(layer: Layer) -> str:
    parts = [f"/* {_comment(layer.title)} */\n"]
    parts += [_array(layer.name, constant) for constant in layer.constants]
    parts += [_struct(layer.name, struct) for struct in layer.structs]
    return "".join(parts) + "\n"


def _array(layer: str, constant: Constant) -> str:
    values = [_literal(int(v)) for v in np.asarray(constant.values).reshape(-1)]
    lines, line = [], ""
    for value in values:
        if len(line) + len(value) + 2 > _LINE:
            lines.append(line.rstrip())
            line = ""
        line += f"{value}, "
    lines.append(line.rstrip(", "))
    body = "\n    ".join(lines)
    return f"static const {constant.ctype} {layer}_{constant.suffix}[{len(values)}] NN_ALIGNED = {{\n    {body}\n}};\n"


def _struct(layer: str, struct: Struct) -> str:
    name = f"{layer}_{struct.suffix}" if struct.suffix else layer
    fields = "".join(f"    .{key} = {_literal(v) if isinstance(v, int) else v},\n" for key, v in struct.fields.items())
    return f"static const {struct.ctype} {name} = {{\n{fields}}};\n"


def _call(index: int, layer: Layer) -> str:
    calls = "".join(f"    {layer.kernel.function}({', '.join(arguments)});\n" for arguments in layer.calls)
    return f"{calls}    MODEL_LAYER_DONE({index}, {layer.output_at}, {prod(layer.output.shape)})\n"


def _literal(value: int) -> str:
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def _comment(text: str) -> str:
    return text.replace("*/", "* /")


def _string(text: str) -> str:
    """A C string of any label: quotes escaped, what is not ASCII as octal UTF-8."""
    plain = {ord(c) for c in map(chr, range(32, 127)) if c not in '"\\?'}
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'
