/* Fully connected layer, or convolution of one pixel, by SMLAD: one column of int16, four channels at a time.
 *
 * Weights are packed as [channels / 4][steps / 4][4 channels][4 steps], padded with zeros. The column has the order in
 * which SXTB16 unpacks four steps: 0 and 2, then 1 and 3.
 */
#include "nn_dsp.h"
#include "nn_kernels.h"

/* The input as a column; what follows its last byte meets zero weights. */
static void expand(const int8_t *in, int32_t steps, uint32_t *column) {
    for (; steps >= 4; steps -= 4) {
        const uint32_t x = *(const nn_loose_word *)(const void *)in;
        *column++ = nn_even_bytes(x);
        *column++ = nn_odd_bytes(x);
        in += 4;
    }
    if (steps > 0) {
        uint32_t x = 0;
        for (int32_t i = 0; i < steps; i++) {
            x |= (uint32_t)(uint8_t)in[i] << (8 * i);
        }
        column[0] = nn_even_bytes(x);
        column[1] = nn_odd_bytes(x);
    }
}

NN_INLINE int32_t multiply(uint32_t weights, uint32_t even, uint32_t odd, int32_t sum) {
    return nn_smlad(nn_odd_bytes(weights), odd, nn_smlad(nn_even_bytes(weights), even, sum));
}

void nn_fc_dsp(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
               void *scratch) {
    const uint32_t *const column = scratch;
    const int32_t steps = p->kernel_h * p->kernel_w * p->in_c;
    expand(in, steps, scratch);
    const nn_word *w = (const nn_word *)(const void *)p->weights;
    nn_requantization q = nn_requantization_of(p);
    for (int32_t left = p->out_c; left > 0; left -= 4) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        const uint32_t *x = column;
        for (int32_t i = (steps + 3) / 4; i > 0; i--) {
            const uint32_t even = x[0], odd = x[1];
            s0 = multiply(w[0], even, odd, s0);
            s1 = multiply(w[1], even, odd, s1);
            s2 = multiply(w[2], even, odd, s2);
            s3 = multiply(w[3], even, odd, s3);
            x += 2;
            w += 4;
        }
        const int32_t sums[4] = {s0, s1, s2, s3};
        for (int32_t i = 0; i < left && i < 4; i++) {
            const nn_channel channel = nn_next_channel(&q);
            int32_t value = nn_requantize_dsp(channel, NN_CLAMP, sums[i] + channel.bias);
            if (add != 0) {
                value = nn_add_one_dsp(add, *residual++, value);
            }
            *out++ = (int8_t)value;
        }
    }
}
