/* Runs a model on many inputs in one call, for the host's runner. */
#include "model.h"

void model_run_batch(const int8_t *inputs, int8_t *outputs, int32_t count);

void model_run_batch(const int8_t *inputs, int8_t *outputs, int32_t count) {
    for (; count > 0; count--) {
        int8_t *const to = model_input();
        for (int32_t i = 0; i < MODEL_INPUT_BYTES; i++) {
            to[i] = *inputs++;
        }
        model_run();
        const int8_t *const from = model_output();
        for (int32_t i = 0; i < MODEL_OUTPUT_BYTES; i++) {
            *outputs++ = from[i];
        }
    }
}
