/* The DSP extension's instructions that ACLE lacks, and requantization by SMMLAR. */
#ifndef NN_DSP_H
#define NN_DSP_H

#include <arm_acle.h>

#include "nn.h"

typedef uint32_t __attribute__((may_alias)) nn_word; /* two int16 or four int8 */
typedef uint32_t __attribute__((may_alias, aligned(1))) nn_loose_word;

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

/* sum + the products of both halves. */
static inline int32_t nn_smlad(uint32_t x, uint32_t y, int32_t sum) {
    return __smlad((int32_t)x, (int32_t)y, sum);
}

/* nn_high_mul(x, m) for `twice` = 2 * m - 2^32: x + x * twice / 2^32. */
static inline int32_t nn_high_mul_twice(int32_t x, int32_t twice) {
    int32_t y;
    __asm__("smmlar %0, %1, %2, %1" : "=r"(y) : "r"(x), "r"(twice));
    return y;
}

/* How a sum becomes an int8 value; fixed per call, so that only its own instructions are left. */
typedef enum {
    NN_RELU,  /* clamped at out_min = out_zero = -128 and at 127: rounding of negative sums does not show */
    NN_CLAMP, /* clamped at out_min and out_max */
    NN_SUM    /* clamped, then added to a residual and clamped again */
} nn_finish;

static inline nn_finish nn_finish_of(const nn_conv *p) {
    return p->out_min == -128 && p->out_max == 127 && p->out_zero == -128 ? NN_RELU : NN_CLAMP;
}

/* What rounds to `shift` bits and adds `zero`; shift is at least 1. */
static inline int32_t nn_rounding(int32_t zero, int32_t shift) {
    return (int32_t)((uint32_t)(2 * zero + 1) << (shift - 1));
}

/* Where a layer's requantization stands: the next channel's numbers. */
typedef struct {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t zero, low, high;
} nn_requantization;

/* A channel's requantization, in registers. */
typedef struct {
    int32_t bias, twice, shift, rounding, low, high;
} nn_channel;

NN_INLINE nn_requantization nn_requantization_of(const nn_conv *p) {
    const nn_requantization q = {p->bias, p->multiplier, p->shift, p->out_zero, p->out_min, p->out_max};
    return q;
}

NN_INLINE nn_channel nn_next_channel(nn_requantization *q) {
    const int32_t shift = *q->shift++;
    const nn_channel channel = {*q->bias++, *q->multiplier++, shift, nn_rounding(q->zero, shift), q->low, q->high};
    return channel;
}

NN_INLINE int32_t nn_requantize_dsp(nn_channel q, nn_finish finish, int32_t sum) {
    int32_t x = nn_high_mul_twice(sum, q.twice);
    if (finish == NN_RELU) {
        return __ssat((x + q.rounding) >> q.shift, 8);
    }
    x += x >> 31;
    return nn_clamp((x + q.rounding) >> q.shift, q.low, q.high);
}

NN_INLINE int32_t nn_summand_dsp(int32_t value, int32_t zero, int32_t twice, int32_t shift) {
    int32_t x = nn_high_mul_twice((value - zero) * (1 << NN_ADD_LEFT_SHIFT), twice);
    x += x >> 31;
    return (x + (1 << (shift - 1))) >> shift;
}

/* nn_add_one for an nn_add with doubled multipliers and shifts of at least 1. */
NN_INLINE int32_t nn_add_one_dsp(const nn_add *p, int32_t a, int32_t b) {
    int32_t x = nn_summand_dsp(a, p->zero_a, p->multiplier_a, p->shift_a) +
                nn_summand_dsp(b, p->zero_b, p->multiplier_b, p->shift_b);
    x = nn_high_mul_twice(x, p->multiplier_out);
    x += x >> 31;
    x = (x + nn_rounding(p->out_zero, p->shift_out)) >> p->shift_out;
    return nn_clamp(x, p->out_min, p->out_max);
}

#endif
