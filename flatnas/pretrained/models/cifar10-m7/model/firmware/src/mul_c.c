/* Product of two int8 tensors. */
#include "nn_kernels.h"

void nn_mul_c(const nn_mul *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count) {
    for (; count > 0; count -= b_count) {
        for (int32_t i = 0; i < b_count; i++) {
            const int32_t product = (*a++ - p->zero_a) * (b[i] - p->zero_b);
            const int32_t x = nn_rescale(product, p->multiplier, p->shift) + p->out_zero;
            *out++ = (int8_t)nn_clamp(x, p->out_min, p->out_max);
        }
    }
}
