/* Sum of two int8 tensors, requantized by SMMLAR. */
#include "nn_dsp.h"
#include "nn_kernels.h"

void nn_add_dsp(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count) {
    const nn_add sum = *p;
    for (; count > 0; count -= b_count) {
        for (int32_t i = 0; i < b_count; i++) {
            *out++ = (int8_t)nn_add_one_dsp(&sum, *a++, b[i]);
        }
    }
}
