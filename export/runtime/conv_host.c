/* Convolution for a PC: eight pixels by sixteen channels at a time.
 *
 * Products are summed as float, where every partial sum is an integer below 2^24, and so exact: fused multiply-adds
 * are what PCs have most of. Weights are packed as [channels / 16][steps][16].
 */
#include "nn_host.h"
#include "nn_kernels.h"

enum { PIXELS = 8, CHANNELS = 16 };

typedef float floats __attribute__((vector_size(4 * CHANNELS)));
typedef int32_t ints __attribute__((vector_size(4 * CHANNELS), aligned(4), may_alias));
typedef int8_t bytes __attribute__((vector_size(CHANNELS), aligned(1), may_alias));

static float *fill(float *to, float value, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        to[i] = value;
    }
    return to + count;
}

static float *copy(float *to, const int8_t *from, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
    return to + count;
}

/* The window at (y, x) as kernel_h * kernel_w * in_c values; without dilation. */
static void gather(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, float *to) {
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = x + p->kernel_w > p->in_w ? p->in_w - x : p->kernel_w;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, y++) {
        if (y < 0 || y >= p->in_h) {
            to = fill(to, p->in_zero, p->kernel_w * p->in_c);
        } else {
            to = fill(to, p->in_zero, first * p->in_c);
            to = copy(to, in + (y * p->in_w + x + first) * p->in_c, (end - first) * p->in_c);
            to = fill(to, p->in_zero, (p->kernel_w - end) * p->in_c);
        }
    }
}

/* Sums of sixteen channels of all pixels, `stride` values apart. */
static void multiply(const float *windows, const int8_t *weights, int32_t steps, int32_t *sums, int32_t stride) {
    floats tile[PIXELS] = {{0}};
    for (int32_t k = 0; k < steps; k++) {
        const floats w = __builtin_convertvector(((const bytes *)(const void *)weights)[k], floats);
        for (int32_t i = 0; i < PIXELS; i++) {
            tile[i] += windows[i * steps + k] * w;
        }
    }
    for (int32_t i = 0; i < PIXELS; i++) {
        *(ints *)(void *)(sums + i * stride) = __builtin_convertvector(tile[i], ints);
    }
}

void nn_conv_host(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
                  void *scratch) {
    const int32_t steps = p->kernel_h * p->kernel_w * p->in_c;
    const int32_t padded = (p->out_c + CHANNELS - 1) / CHANNELS * CHANNELS;
    float *const windows = scratch;
    int32_t *const sums = (int32_t *)(void *)(windows + PIXELS * steps);
    int8_t *const row = (int8_t *)(sums + PIXELS * padded);
    int8_t *const sum = row + padded;
    const int32_t pixels = p->out_h * p->out_w;
    int32_t oy = 0, ox = 0;
    for (int32_t i = 0; i < PIXELS * steps; i++) {
        windows[i] = 0;
    }
    for (int32_t done = 0; done < pixels; done += PIXELS) {
        const int32_t count = pixels - done < PIXELS ? pixels - done : PIXELS;
        for (int32_t i = 0; i < count; i++) {
            gather(p, in, oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, windows + i * steps);
            if (++ox == p->out_w) {
                ox = 0;
                oy++;
            }
        }
        for (int32_t c = 0; c < padded; c += CHANNELS) {
            multiply(windows, p->weights + c * steps, steps, sums + c, padded);
        }
        for (int32_t i = 0; i < count; i++) {
            if (add != 0) {
                nn_finish_host(p, sums + i * padded, row);
                nn_add_row_host(add, residual, row, sum, p->out_c); /* out may be residual */
                for (int32_t c = 0; c < p->out_c; c++) {
                    out[c] = sum[c];
                }
            } else {
                nn_finish_host(p, sums + i * padded, out);
            }
            out += p->out_c;
            residual += p->out_c;
        }
    }
}
