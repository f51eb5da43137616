/* Depthwise convolution of any window by SMLABB, for shapes that depthwise_dsp.c has no planes for.
 *
 * The taps of one pixel are added up for four channels at a time. Weights are packed as [taps][channels], channels
 * padded to a multiple of four. SXTB16 unpacks channels 0 and 2, then 1 and 3.
 */
#include "nn_dsp.h"
#include "nn_kernels.h"

NN_INLINE int8_t finished(nn_requantization *q, nn_finish finish, int32_t sum) {
    const nn_channel channel = nn_next_channel(q);
    return (int8_t)nn_requantize_dsp(channel, finish, sum + channel.bias);
}

/* Four channels from `c` on. */
NN_INLINE void four(const int8_t *const *taps, int32_t count, int32_t c, const int8_t *weights, int32_t step,
                    nn_requantization *q, nn_finish finish, int8_t *out) {
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    const int8_t *from = weights + c;
    for (; count > 0; count--) {
        const uint32_t x = *(const nn_loose_word *)(const void *)(*taps++ + c);
        const uint32_t w = *(const nn_word *)(const void *)from;
        const uint32_t x_even = nn_even_bytes(x), x_odd = nn_odd_bytes(x);
        const uint32_t w_even = nn_even_bytes(w), w_odd = nn_odd_bytes(w);
        s0 = __smlabb((int32_t)x_even, (int32_t)w_even, s0);
        s1 = __smlabb((int32_t)x_odd, (int32_t)w_odd, s1);
        s2 = __smlatt((int32_t)x_even, (int32_t)w_even, s2);
        s3 = __smlatt((int32_t)x_odd, (int32_t)w_odd, s3);
        from += step;
    }
    out[0] = finished(q, finish, s0);
    out[1] = finished(q, finish, s1);
    out[2] = finished(q, finish, s2);
    out[3] = finished(q, finish, s3);
}

NN_INLINE int32_t sum_one(const int8_t *const *taps, int32_t count, int32_t c, const int8_t *weights, int32_t step) {
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += taps[i][c] * weights[i * step + c];
    }
    return sum;
}

void nn_depthwise_taps_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    const nn_finish finish = nn_finish_of(p);
    const int32_t channels = p->in_c, step = (channels + 3) & ~3, count = p->kernel_h * p->kernel_w;
    const int8_t **taps = scratch;
    int8_t *zeros = (int8_t *)(taps + count);
    for (int32_t i = 0; i < channels; i++) {
        zeros[i] = p->in_zero;
    }
    for (int32_t oy = 0; oy < p->out_h; oy++) {
        for (int32_t ox = 0; ox < p->out_w; ox++) {
            nn_find_taps(p, in, oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, zeros, taps);
            nn_requantization q = nn_requantization_of(p);
            int32_t c = 0;
            for (; c + 4 <= channels; c += 4) {
                four(taps, count, c, p->weights, step, &q, finish, out + c);
            }
            for (; c < channels; c++) {
                out[c] = finished(&q, finish, sum_one(taps, count, c, p->weights, step));
            }
            out += channels;
        }
    }
}
