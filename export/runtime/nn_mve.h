/* Requantization and addition of four values at a time, for the Helium kernels. */
#ifndef NN_MVE_H
#define NN_MVE_H

#include <arm_mve.h>

#include "nn.h"

/* nn_rescale for shifts of at least 1, given as their negatives. */
NN_INLINE int32x4_t nn_rescale_mve(int32x4_t x, int32x4_t multiplier, int32x4_t negative_shift) {
    x = vqrdmulhq_s32(x, multiplier);
    x = vaddq_s32(x, vshrq_n_s32(x, 31)); /* VRSHL rounds ties up, TFLite away from zero */
    return vrshlq_s32(x, negative_shift);
}

/* A layer's requantization, in registers: stores of bytes could else change what `nn_conv` says. */
typedef struct {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t zero, low, high;
} nn_requantization;

NN_INLINE nn_requantization nn_requantization_of(const nn_conv *p) {
    const nn_requantization q = {p->bias, p->multiplier, p->shift, p->out_zero, p->out_min, p->out_max};
    return q;
}

/* Requantize the sums of four channels from `c` on, those that `lanes` has. */
NN_INLINE int32x4_t nn_finish_mve(nn_requantization q, int32_t c, int32x4_t sums, mve_pred16_t lanes) {
    const int32x4_t bias = vldrwq_z_s32(q.bias + c, lanes);
    const int32x4_t multiplier = vldrwq_z_s32(q.multiplier + c, lanes);
    const int32x4_t shift = vnegq_s32(vldrbq_z_s32(q.shift + c, lanes));
    int32x4_t x = nn_rescale_mve(vaddq_s32(sums, bias), multiplier, shift);
    x = vaddq_n_s32(x, q.zero);
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(q.low)), vdupq_n_s32(q.high));
}

NN_INLINE int32x4_t nn_summand_mve(int32x4_t value, int32_t zero, int32_t multiplier, int32_t shift) {
    int32x4_t x = vqrdmulhq_n_s32(vshlq_n_s32(vsubq_n_s32(value, zero), NN_ADD_LEFT_SHIFT), multiplier);
    if (shift > 0) {
        x = vaddq_s32(x, vshrq_n_s32(x, 31));
    }
    return vrshlq_n_s32(x, -shift);
}

/* nn_add_one of four values; no shift is to the left. */
NN_INLINE int32x4_t nn_add_mve(const nn_add *p, int32x4_t a, int32x4_t b) {
    int32x4_t x = vaddq_s32(nn_summand_mve(a, p->zero_a, p->multiplier_a, p->shift_a),
                            nn_summand_mve(b, p->zero_b, p->multiplier_b, p->shift_b));
    x = vqrdmulhq_n_s32(x, p->multiplier_out);
    x = vaddq_s32(x, vshrq_n_s32(x, 31));
    x = vaddq_n_s32(vrshlq_n_s32(x, -p->shift_out), p->out_zero);
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(p->out_min)), vdupq_n_s32(p->out_max));
}

/* Bytes in vectors; they don't overlap. */
NN_INLINE int8_t *nn_copy_mve(int8_t *to, const int8_t *from, int32_t count) {
    int8_t *const end = to + count;
    for (; count > 0; count -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)count);
        vstrbq_p_s8(to, vldrbq_z_s8(from, lanes), lanes);
        to += 16;
        from += 16;
    }
    return end;
}

NN_INLINE int8_t *nn_fill_mve(int8_t *to, int8_t value, int32_t count) {
    int8_t *const end = to + count;
    for (; count > 0; count -= 16) {
        vstrbq_p_s8(to, vdupq_n_s8(value), vctp8q((uint32_t)count));
        to += 16;
    }
    return end;
}

#endif
