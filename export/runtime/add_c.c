/* Sum of two int8 tensors. */
#include "nn_kernels.h"

void nn_add_c(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count) {
    for (; count > 0; count -= b_count) {
        for (int32_t i = 0; i < b_count; i++) {
            *out++ = nn_add_one(p, *a++, b[i]);
        }
    }
}
