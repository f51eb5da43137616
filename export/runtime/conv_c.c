/* Convolution in portable C: two pixels by two channels at a time. Also fully connected layers, as one pixel.
 *
 * Windows are gathered to `scratch` unless the kernel is 1x1 with stride 1. With `add`, each value is added to
 * `residual`, which may be `out` itself, before it is written.
 */
#include "nn_kernels.h"

/* The window at (y, x) as kernel_h * kernel_w * in_c bytes. */
static void gather(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, int8_t *to) {
    for (int32_t ky = 0; ky < p->kernel_h; ky++, y += p->dilation_h) {
        int32_t column = x;
        for (int32_t kx = 0; kx < p->kernel_w; kx++, column += p->dilation_w) {
            if (y < 0 || y >= p->in_h || column < 0 || column >= p->in_w) {
                for (int32_t i = 0; i < p->in_c; i++) {
                    *to++ = p->in_zero;
                }
            } else {
                const int8_t *from = in + (y * p->in_w + column) * p->in_c;
                for (int32_t i = 0; i < p->in_c; i++) {
                    *to++ = *from++;
                }
            }
        }
    }
}

static inline void store(const nn_conv *p, const nn_add *add, int32_t c, int32_t sum, int8_t *out,
                         const int8_t *residual) {
    const int32_t x = nn_rescale(sum, p->multiplier[c], p->shift[c]) + p->out_zero;
    const int8_t value = (int8_t)nn_clamp(x, p->out_min, p->out_max);
    out[c] = add != 0 ? nn_add_one(add, residual[c], value) : value;
}

/* All channels of two pixels; the second may be the first again. */
static void multiply(const nn_conv *p, const nn_add *add, const int8_t *first, const int8_t *second, int32_t steps,
                     int8_t *out, const int8_t *residual, int32_t pixels) {
    const int32_t next = (pixels - 1) * p->out_c;
    const int8_t *weights = p->weights;
    for (int32_t c = 0; c < p->out_c; c += 2) {
        const int32_t other = c + 1 < p->out_c ? 1 : 0;
        const int8_t *a = weights, *b = weights + other * steps;
        int32_t first_a = p->bias[c], first_b = p->bias[c + other], second_a = first_a, second_b = first_b;
        for (int32_t i = 0; i < steps; i++) {
            first_a += first[i] * a[i];
            first_b += first[i] * b[i];
            second_a += second[i] * a[i];
            second_b += second[i] * b[i];
        }
        store(p, add, c, first_a, out, residual);
        if (other) {
            store(p, add, c + 1, first_b, out, residual);
        }
        if (pixels == 2) {
            store(p, add, c, second_a, out + next, residual + next);
            if (other) {
                store(p, add, c + 1, second_b, out + next, residual + next);
            }
        }
        weights += 2 * steps;
    }
}

void nn_conv_c(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
               void *scratch) {
    const int32_t steps = p->kernel_h * p->kernel_w * p->in_c;
    const int32_t direct = p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1;
    int32_t oy = 0, ox = 0;
    int32_t left = p->out_h * p->out_w;
    while (left > 0) {
        const int32_t pixels = left > 1 ? 2 : 1;
        const int8_t *windows[2];
        for (int32_t i = 0; i < pixels; i++) {
            int8_t *const window = (int8_t *)scratch + i * steps;
            windows[i] = window;
            if (direct) {
                windows[i] = in;
                in += steps;
            } else {
                gather(p, in, oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, window);
            }
            if (++ox == p->out_w) {
                ox = 0;
                oy++;
            }
        }
        multiply(p, add, windows[0], windows[pixels - 1], steps, out, residual, pixels);
        out += pixels * p->out_c;
        residual += pixels * p->out_c;
        left -= pixels;
    }
}
