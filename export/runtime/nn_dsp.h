/* The DSP extension's instructions that compilers don't derive from C, and requantization by SMMLAR. */
#ifndef NN_DSP_H
#define NN_DSP_H

#include <arm_acle.h>

#include "nn.h"

typedef uint32_t __attribute__((may_alias)) nn_word; /* two int16 or four int8 */

/* Bytes 0 and 2 as int16. */
static inline uint32_t nn_even_bytes(uint32_t x) {
    return (uint32_t)__sxtb16(x);
}

/* Bytes 1 and 3 as int16. */
static inline uint32_t nn_odd_bytes(uint32_t x) {
    uint32_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
    return y;
}

/* nn_high_mul(x, m) for `twice` = 2 * m - 2^32: x + x * twice / 2^32. */
static inline int32_t nn_high_mul_twice(int32_t x, int32_t twice) {
    int32_t y;
    __asm__("smmlar %0, %1, %2, %1" : "=r"(y) : "r"(x), "r"(twice));
    return y;
}

/* How a sum becomes an int8 value; fixed per call, so that only its own instructions are left. */
typedef enum {
    NN_RELU,     /* clamped at out_min = out_zero = -128 and at 127: rounding of negative sums does not show */
    NN_SATURATE, /* clamped at -128 and 127 */
    NN_CLAMP     /* clamped at out_min and out_max */
} nn_finish;

static inline nn_finish nn_finish_of(const nn_conv *p) {
    if (p->out_max != 127 || p->out_min != -128) {
        return NN_CLAMP;
    }
    return p->out_zero == -128 ? NN_RELU : NN_SATURATE;
}

/* What rounds to shift bits and adds the zero point; shift is at least 1. */
static inline int32_t nn_rounding(const nn_conv *p, int32_t shift) {
    return (int32_t)((uint32_t)(2 * p->out_zero + 1) << (shift - 1));
}

static inline int32_t nn_requantize_dsp(const nn_conv *p, nn_finish finish, int32_t sum, int32_t twice,
                                        int32_t rounding, int32_t shift) {
    int32_t x = nn_high_mul_twice(sum, twice);
    if (finish != NN_RELU) {
        x += x >> 31;
    }
    x = (x + rounding) >> shift;
    return finish == NN_CLAMP ? nn_clamp(x, p->out_min, p->out_max) : __ssat(x, 8);
}

#endif
