/* A neural network as C99, made by flatnas-deploy 0.1.0. Do not edit: make it again.
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
extern "C" {
#endif

#define MODEL_GENERATOR_VERSION "0.1.0"
#define MODEL_TFLITE_SHA256 "3a394876a52f760c821811d4a3d80d82d992fe925ac5cba8020590c0d2dc2c33"

/* The one buffer that the model works in. It is static, unless MODEL_ARENA_EXTERNAL is defined for model.c: then the
 * application defines `int8_t model_arena[MODEL_ARENA_BYTES]`, aligned to 16 bytes, where it likes. */
#define MODEL_ARENA_BYTES 72656

#define MODEL_INPUT_HEIGHT 24
#define MODEL_INPUT_WIDTH 24
#define MODEL_INPUT_CHANNELS 3
#define MODEL_INPUT_BYTES 1728
#define MODEL_INPUT_SCALE 0.0078125f
#define MODEL_INPUT_ZERO_POINT 0

#define MODEL_OUTPUT_VALUES 10
#define MODEL_OUTPUT_BYTES 10
#define MODEL_OUTPUT_SCALE 0.03612428903579712f
#define MODEL_OUTPUT_ZERO_POINT -41

#define MODEL_LABELS 10
int8_t *model_input(void);
void model_run(void);
const int8_t *model_output(void);

/* What each output value is about, in order. */
extern const char *const model_labels[MODEL_LABELS];

#ifdef __cplusplus
}
#endif

#endif
