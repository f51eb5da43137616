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
#define MODEL_TFLITE_SHA256 "85be6d3349d1b3978a49889ec34185c3790872115d0b9566153cef45f5373751"

/* The one buffer that the model works in. It is static, unless MODEL_ARENA_EXTERNAL is defined for model.c: then the
 * application defines `int8_t model_arena[MODEL_ARENA_BYTES]`, aligned to 16 bytes, where it likes. */
#define MODEL_ARENA_BYTES 87616

#define MODEL_INPUT_HEIGHT 32
#define MODEL_INPUT_WIDTH 32
#define MODEL_INPUT_CHANNELS 3
#define MODEL_INPUT_BYTES 3072
#define MODEL_INPUT_SCALE 0.0078125f
#define MODEL_INPUT_ZERO_POINT 0

#define MODEL_OUTPUT_VALUES 10
#define MODEL_OUTPUT_BYTES 10
#define MODEL_OUTPUT_SCALE 0.036654163151979446f
#define MODEL_OUTPUT_ZERO_POINT -44

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
