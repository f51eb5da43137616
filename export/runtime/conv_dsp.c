/* Convolution by SMLAD: four pixels are gathered as int16 columns, then two channels at a time are multiplied.
 *
 * The columns' order is that of the packed weights: in groups of four steps, steps 0 and 2, then 1 and 3, as SXTB16
 * unpacks them. With `add`, each value is added to `residual`, which may be `out` itself, before it is written.
 */
#include "nn_dsp.h"
#include "nn_kernels.h"

enum { PIXELS = 4 };

void nn_dot_4x2_dsp(const uint32_t *columns, const int8_t *weights, int32_t pairs, const int32_t *bias, int32_t *sums);

/* Append `count` bytes, a multiple of four, to one of the interleaved columns. */
static inline uint32_t *expand(uint32_t *column, const int8_t *bytes, int32_t count) {
    const nn_word *source = (const nn_word *)(const void *)bytes;
    for (; count >= 16; count -= 16) {
        for (int32_t i = 0; i < 4; i++) {
            const uint32_t x = source[i];
            column[2 * PIXELS * i] = nn_even_bytes(x);
            column[2 * PIXELS * i + PIXELS] = nn_odd_bytes(x);
        }
        source += 4;
        column += 8 * PIXELS;
    }
    for (; count > 0; count -= 4) {
        const uint32_t x = *source++;
        column[0] = nn_even_bytes(x);
        column[PIXELS] = nn_odd_bytes(x);
        column += 2 * PIXELS;
    }
    return column;
}

static inline uint32_t *fill(uint32_t *column, uint32_t halves, int32_t count) {
    for (; count > 0; count -= 2) {
        *column = halves;
        column += PIXELS;
    }
    return column;
}

/* The window at (y, x) as one column; the input's channels are a multiple of four. */
static void gather_words(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, uint32_t *column) {
    const uint32_t zeros = (uint32_t)(uint16_t)p->in_zero * 0x10001u;
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = x + p->kernel_w > p->in_w ? p->in_w - x : p->kernel_w;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, y++) {
        if (y < 0 || y >= p->in_h) {
            column = fill(column, zeros, p->kernel_w * p->in_c);
        } else {
            column = fill(column, zeros, first * p->in_c);
            column = expand(column, in + (y * p->in_w + x + first) * p->in_c, (end - first) * p->in_c);
            column = fill(column, zeros, (p->kernel_w - end) * p->in_c);
        }
    }
}

/* The same for any number of channels, through a buffer of bytes. */
static void gather_bytes(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, uint32_t *column, int8_t *bytes) {
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = x + p->kernel_w > p->in_w ? p->in_w - x : p->kernel_w;
    int8_t *to = bytes;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, y++) {
        const int32_t inside = (y < 0 || y >= p->in_h) ? 0 : (end - first) * p->in_c;
        const int32_t before = inside ? first * p->in_c : p->kernel_w * p->in_c;
        const int8_t *from = in + (y * p->in_w + x + first) * p->in_c;
        for (int32_t i = 0; i < before; i++) {
            *to++ = p->in_zero;
        }
        for (int32_t i = 0; i < inside; i++) {
            *to++ = from[i];
        }
        for (int32_t i = before + inside; i < p->kernel_w * p->in_c; i++) {
            *to++ = p->in_zero;
        }
    }
    const int32_t steps = (int32_t)(to - bytes);
    expand(column, bytes, (steps + 3) & ~3); /* what lies behind the last byte meets zero weights */
}

/* Requantize the sums of one channel for `count` pixels, add and store them. */
static inline void store(const nn_conv *p, nn_finish finish, const nn_add *add, int32_t c, const int32_t *sums,
                         int32_t count, int8_t *out, const int8_t *residual) {
    const int32_t twice = p->multiplier[c];
    const int32_t shift = p->shift[c];
    const int32_t rounding = nn_rounding(p, shift);
    for (int32_t i = 0; i < count; i++) {
        int32_t x = nn_requantize_dsp(p, finish, sums[i], twice, rounding, shift);
        if (add != 0) {
            x = nn_add_one(add, residual[i * p->out_c + c], x);
        }
        out[i * p->out_c + c] = (int8_t)x;
    }
}

static inline void multiply(const nn_conv *p, nn_finish finish, const nn_add *add, const uint32_t *columns,
                            int32_t pairs, int32_t count, int8_t *out, const int8_t *residual) {
    const int8_t *weights = p->weights;
    int32_t sums[2 * PIXELS];
    for (int32_t c = 0; c < p->out_c; c += 2) {
        nn_dot_4x2_dsp(columns, weights, pairs, p->bias + c, sums);
        weights += 4 * pairs;
        if (count == PIXELS) {
            store(p, finish, add, c, sums, PIXELS, out, residual);
        } else {
            store(p, finish, add, c, sums, count, out, residual);
        }
        if (c + 1 < p->out_c) {
            if (count == PIXELS) {
                store(p, finish, add, c + 1, sums + PIXELS, PIXELS, out, residual);
            } else {
                store(p, finish, add, c + 1, sums + PIXELS, count, out, residual);
            }
        }
    }
}

void nn_conv_dsp(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
                 void *scratch) {
    uint32_t *columns = scratch;
    const int32_t steps = p->kernel_h * p->kernel_w * p->in_c;
    const int32_t pairs = ((steps + 3) & ~3) / 2;
    int8_t *bytes = (int8_t *)(columns + PIXELS * pairs);
    const nn_finish finish = nn_finish_of(p);
    const int32_t pixels = p->out_h * p->out_w;
    int32_t oy = 0, ox = 0;
    for (int32_t done = 0; done < pixels; done += PIXELS) {
        const int32_t count = pixels - done < PIXELS ? pixels - done : PIXELS;
        for (int32_t i = 0; i < count; i++) {
            const int32_t y = oy * p->stride_h - p->pad_top, x = ox * p->stride_w - p->pad_left;
            if (p->in_c % 4 == 0) {
                gather_words(p, in, y, x, columns + i);
            } else {
                gather_bytes(p, in, y, x, columns + i, bytes);
            }
            if (++ox == p->out_w) {
                ox = 0;
                oy++;
            }
        }
        if (add != 0) {
            multiply(p, NN_CLAMP, add, columns, pairs, count, out, residual);
            residual += PIXELS * p->out_c;
        } else if (finish == NN_RELU) {
            multiply(p, NN_RELU, 0, columns, pairs, count, out, 0);
        } else if (finish == NN_SATURATE) {
            multiply(p, NN_SATURATE, 0, columns, pairs, count, out, 0);
        } else {
            multiply(p, NN_CLAMP, 0, columns, pairs, count, out, 0);
        }
        out += PIXELS * p->out_c;
    }
}
