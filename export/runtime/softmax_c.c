/* Softmax of each row: gemmlowp's fixed-point arithmetic, with the exponentials in a table. */
#include "nn_kernels.h"

static int32_t saturate(int64_t x) {
    return x > INT32_MAX ? INT32_MAX : (x < INT32_MIN ? INT32_MIN : (int32_t)x);
}

/* 1 / (1 + x) of Q0.31 in [0, 1), as Q0.31: three Newton-Raphson steps. */
static int32_t reciprocal(int32_t x) {
    const int64_t sum = (int64_t)x + INT32_MAX;
    const int32_t half = (int32_t)((sum + (sum >= 0 ? 1 : -1)) / 2);
    int32_t y = 1515870810 + nn_high_mul(half, -1010580540); /* 48/17 - 32/17 x, Q2.29 */
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 29) - nn_high_mul(half, y);
        y += saturate((int64_t)nn_high_mul(y, error) * 4);
    }
    return saturate((int64_t)y * 2);
}

/* share / 2^shift, rounded; the shift of a short row is below 32, that of a long one is not. */
static int32_t round_share(int32_t share, int32_t shift) {
    return shift > 31 ? 0 : nn_round_shift(share, shift);
}

void nn_softmax_c(const nn_softmax *p, const int8_t *in, int8_t *out) {
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t largest = -128;
        for (int32_t i = 0; i < p->columns; i++) {
            largest = in[i] > largest ? in[i] : largest;
        }
        int32_t sum = 0; /* Q12.19 */
        for (int32_t i = 0; i < p->columns; i++) {
            sum += nn_round_shift(p->exponentials[largest - in[i]], 12);
        }
        int32_t headroom = 0;
        while (((uint32_t)sum << headroom) < 0x80000000u) {
            headroom++;
        }
        const int32_t scale = reciprocal((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
        const int32_t shift = 12 - headroom + 31 - 8;
        for (int32_t i = 0; i < p->columns; i++) {
            const int32_t share = nn_high_mul(scale, p->exponentials[largest - in[i]]);
            out[i] = (int8_t)nn_clamp(round_share(share, shift) - 128, -128, 127);
        }
        in += p->columns;
        out += p->columns;
    }
}
