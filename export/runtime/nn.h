/* What the kernels share: how a layer is described, and TFLite's integer requantization.
 *
 * Activations are int8 in NHWC order with N = 1; weights are int8 and symmetric. A layer's bias already holds
 * -input_zero_point * sum(weights), so that kernels accumulate plain products of stored values.
 *
 * Right shifts of negative numbers are arithmetic here, as on every compiler this is built with; nn.h checks it.
 */
#ifndef NN_H
#define NN_H

#include <stdint.h>

typedef char nn_right_shift_is_arithmetic[((-1 >> 1) == -1) ? 1 : -1];

#define NN_ALIGNED __attribute__((aligned(8))) /* so that LDRD may read it */

/* For functions whose constant arguments are to leave only the code that they need. */
#define NN_INLINE static inline __attribute__((always_inline))

/* A convolution, depthwise convolution or fully connected layer. */
typedef struct {
    const int8_t *weights;     /* in the order that the layer's kernel wants */
    const int32_t *bias;       /* one per output channel */
    const int32_t *multiplier; /* one per output channel: Q31, or twice that for the DSP kernels */
    const int8_t *shift;       /* one per output channel: to the right, negative is to the left */
    int16_t in_h, in_w, in_c;
    int16_t out_h, out_w, out_c;
    uint8_t kernel_h, kernel_w;
    uint8_t stride_h, stride_w;
    uint8_t dilation_h, dilation_w;
    uint8_t pad_top, pad_left;
    int8_t in_zero, out_zero;
    int8_t out_min, out_max;
} nn_conv;

/* out = rescale(rescale(a - zero_a) + rescale(b - zero_b)), as TFLite adds int8 tensors. */
typedef struct {
    int32_t multiplier_a, multiplier_b, multiplier_out;
    int8_t shift_a, shift_b, shift_out;
    int8_t zero_a, zero_b, out_zero;
    int8_t out_min, out_max;
} nn_add;

#define NN_ADD_LEFT_SHIFT 20

static inline int32_t nn_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : (x > high ? high : x);
}

/* round(x * multiplier / 2^31): gemmlowp's saturating rounding doubling high multiplication. */
static inline int32_t nn_high_mul(int32_t x, int32_t multiplier) {
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 30)) >> 31);
}

/* x / 2^shift, rounded half away from zero; 0 <= shift <= 31. */
static inline int32_t nn_round_shift(int32_t x, int32_t shift) {
    const int32_t mask = (int32_t)((1u << shift) - 1u);
    const int32_t half = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> shift) + ((x & mask) > half ? 1 : 0);
}

/* x * multiplier / 2^(31 + shift), rounded twice as TFLite Micro does. */
static inline int32_t nn_rescale(int32_t x, int32_t multiplier, int32_t shift) {
    if (shift < 0) {
        return nn_high_mul((int32_t)((uint32_t)x << -shift), multiplier);
    }
    return nn_round_shift(nn_high_mul(x, multiplier), shift);
}

/* Where each tap of a window at (y, x) lies in the input; where it lies outside, at `zeros`. */
NN_INLINE void nn_find_taps(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, const int8_t *zeros,
                            const int8_t **taps) {
    const int32_t dilation = p->dilation_w, step = dilation * p->in_c, kernel_w = p->kernel_w;
    for (int32_t ky = p->kernel_h; ky > 0; ky--) {
        const uint32_t width = (uint32_t)y < (uint32_t)p->in_h ? (uint32_t)p->in_w : 0;
        int32_t column = x, at = (y * p->in_w + x) * p->in_c;
        for (int32_t kx = kernel_w; kx > 0; kx--) {
            *taps++ = (uint32_t)column < width ? in + at : zeros;
            column += dilation;
            at += step;
        }
        y += p->dilation_h;
    }
}

/* One sum of two int8 values. */
static inline int8_t nn_add_one(const nn_add *p, int32_t a, int32_t b) {
    const int32_t x = nn_rescale((a - p->zero_a) * (1 << NN_ADD_LEFT_SHIFT), p->multiplier_a, p->shift_a);
    const int32_t y = nn_rescale((b - p->zero_b) * (1 << NN_ADD_LEFT_SHIFT), p->multiplier_b, p->shift_b);
    const int32_t sum = nn_rescale(x + y, p->multiplier_out, p->shift_out) + p->out_zero;
    return (int8_t)nn_clamp(sum, p->out_min, p->out_max);
}

#endif
