/* Depthwise convolution by Helium: eight channels at a time; weights are packed as [taps][channels]. */
#include "nn_kernels.h"
#include "nn_mve.h"

/* Sums of eight channels from `c` on, in order; of those that don't exist, anything. */
NN_INLINE void sum_taps(const int8_t *const *taps, const int8_t *weights, int32_t count, int32_t channels, int32_t c,
                        int32_t *sums) {
    int32x4x2_t pair = {{vdupq_n_s32(0), vdupq_n_s32(0)}}; /* of the even channels, and of the odd ones */
    const int8_t *w = weights + c;
    if (channels - c >= 8) {
        for (int32_t i = count; i > 0; i--) {
            const int16x8_t a = vldrbq_s16(*taps++ + c), b = vldrbq_s16(w);
            pair.val[0] = vaddq_s32(pair.val[0], vmullbq_int_s16(a, b));
            pair.val[1] = vaddq_s32(pair.val[1], vmulltq_int_s16(a, b));
            w += channels;
        }
    } else {
        const mve_pred16_t lanes = vctp16q((uint32_t)(channels - c));
        for (int32_t i = count; i > 0; i--) {
            const int16x8_t a = vldrbq_z_s16(*taps++ + c, lanes), b = vldrbq_z_s16(w, lanes);
            pair.val[0] = vaddq_s32(pair.val[0], vmullbq_int_s16(a, b));
            pair.val[1] = vaddq_s32(pair.val[1], vmulltq_int_s16(a, b));
            w += channels;
        }
    }
    vst2q_s32(sums, pair);
}

void nn_depthwise_mve(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    const int32_t channels = p->in_c;
    int8_t *const zeros = scratch;
    nn_fill_mve(zeros, p->in_zero, channels);
    const int8_t *taps[256];
    const nn_requantization q = nn_requantization_of(p);
    const int32_t count = p->kernel_h * p->kernel_w;
    for (int32_t oy = 0; oy < p->out_h; oy++) {
        for (int32_t ox = 0; ox < p->out_w; ox++) {
            nn_find_taps(p, in, oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, zeros, taps);
            for (int32_t c = 0; c < channels; c += 8) {
                int32_t sums[8];
                sum_taps(taps, p->weights, count, channels, c, sums);
                for (int32_t i = 0; i < 8 && c + i < channels; i += 4) {
                    const mve_pred16_t lanes = vctp32q((uint32_t)(channels - c - i));
                    vstrbq_p_s32(out + c + i, nn_finish_mve(q, c + i, vldrwq_s32(sums + i), lanes), lanes);
                }
            }
            out += channels;
        }
    }
}
