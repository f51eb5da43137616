/* Loops that compilers vectorize, for the model on a PC: the same integers, sixteen at a time. */
#ifndef NN_HOST_H
#define NN_HOST_H

#include "nn.h"

/* Requantize the sums of one pixel; shifts are at least 1 and sums leave room for what is added to them. */
static inline void nn_finish_host(const nn_conv *p, const int32_t *restrict sums, int8_t *restrict out) {
    const int32_t zero = p->out_zero, low = p->out_min, high = p->out_max;
    const int32_t *restrict bias = p->bias, *restrict multiplier = p->multiplier;
    const int8_t *restrict shift = p->shift;
    const int32_t channels = p->out_c;
    for (int32_t c = 0; c < channels; c++) {
        const int32_t x = nn_high_mul(sums[c] + bias[c], multiplier[c]);
        const int32_t rounded = (x + (x >> 31) + (1 << (shift[c] - 1))) >> shift[c];
        out[c] = (int8_t)nn_clamp(rounded + zero, low, high);
    }
}

static inline int32_t nn_shift_host(int32_t x, int32_t shift) {
    const int32_t any = shift > 0 ? -1 : 0;
    return (x + ((x >> 31) & any) + ((1 << shift) >> 1)) >> shift;
}

/* Sums of two rows; no shift is to the left, and none of the last is above 22. */
static inline void nn_add_row_host(const nn_add *p, const int8_t *restrict a, const int8_t *restrict b,
                                   int8_t *restrict out, int32_t count) {
    const nn_add q = *p;
    for (int32_t i = 0; i < count; i++) {
        const int32_t x = nn_high_mul((a[i] - q.zero_a) * (1 << NN_ADD_LEFT_SHIFT), q.multiplier_a);
        const int32_t y = nn_high_mul((b[i] - q.zero_b) * (1 << NN_ADD_LEFT_SHIFT), q.multiplier_b);
        const int32_t sum = nn_high_mul(nn_shift_host(x, q.shift_a) + nn_shift_host(y, q.shift_b), q.multiplier_out);
        out[i] = (int8_t)nn_clamp(nn_shift_host(sum, q.shift_out) + q.out_zero, q.out_min, q.out_max);
    }
}

#endif
