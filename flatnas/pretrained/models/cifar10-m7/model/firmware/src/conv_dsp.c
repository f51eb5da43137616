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
NN_INLINE uint32_t *expand(uint32_t *column, const int8_t *bytes, int32_t count) {
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

static int8_t *copy(int8_t *to, const int8_t *from, int32_t count) {
    for (; count >= 4; count -= 4) {
        *(nn_loose_word *)(void *)to = *(const nn_loose_word *)(const void *)from;
        to += 4;
        from += 4;
    }
    for (; count > 0; count--) {
        *to++ = *from++;
    }
    return to;
}

static int8_t *fill_bytes(int8_t *to, int8_t value, int32_t count) {
    for (; count > 0; count--) {
        *to++ = value;
    }
    return to;
}

/* The same for any number of channels, through a buffer of bytes. */
static void gather_bytes(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, uint32_t *column, int8_t *bytes) {
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = x + p->kernel_w > p->in_w ? p->in_w - x : p->kernel_w;
    int8_t *to = bytes;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, y++) {
        if (y < 0 || y >= p->in_h) {
            to = fill_bytes(to, p->in_zero, p->kernel_w * p->in_c);
        } else {
            to = fill_bytes(to, p->in_zero, first * p->in_c);
            to = copy(to, in + (y * p->in_w + x + first) * p->in_c, (end - first) * p->in_c);
            to = fill_bytes(to, p->in_zero, (p->kernel_w - end) * p->in_c);
        }
    }
    const int32_t steps = (int32_t)(to - bytes);
    expand(column, bytes, (steps + 3) & ~3); /* what lies behind the last byte meets zero weights */
}

NN_INLINE void store(nn_channel q, nn_finish finish, const nn_add *add, int32_t sum, int8_t *out,
                     const int8_t *residual) {
    int32_t x = nn_requantize_dsp(q, finish, sum);
    if (finish == NN_SUM) {
        x = nn_add_one_dsp(add, *residual, x);
    }
    *out = (int8_t)x;
}

/* All channels of `count` pixels, at most four. */
NN_INLINE void multiply(const nn_conv *p, nn_finish finish, const nn_add *add, const uint32_t *columns, int32_t pairs,
                        int32_t count, int8_t *out, const int8_t *residual) {
    const int8_t *weights = p->weights;
    const int32_t channels = p->out_c;
    nn_requantization q = nn_requantization_of(p);
    int32_t sums[2 * PIXELS];
    for (int32_t c = 0; c < channels; c++) {
        const int32_t *sum = sums + PIXELS * (c & 1);
        if ((c & 1) == 0) {
            nn_dot_4x2_dsp(columns, weights, pairs, q.bias, sums);
            weights += 4 * pairs;
        }
        const nn_channel channel = nn_next_channel(&q);
        int8_t *to = out++;
        const int8_t *from = residual++;
        if (count == PIXELS) {
            store(channel, finish, add, sum[0], to, from);
            store(channel, finish, add, sum[1], to + channels, from + channels);
            store(channel, finish, add, sum[2], to + 2 * channels, from + 2 * channels);
            store(channel, finish, add, sum[3], to + 3 * channels, from + 3 * channels);
        } else {
            for (int32_t i = 0; i < count; i++) {
                store(channel, finish, add, sum[i], to + i * channels, from + i * channels);
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
            const nn_add sum = *add;
            multiply(p, NN_SUM, &sum, columns, pairs, count, out, residual);
        } else if (finish == NN_RELU) {
            multiply(p, NN_RELU, 0, columns, pairs, count, out, residual);
        } else {
            multiply(p, NN_CLAMP, 0, columns, pairs, count, out, residual);
        }
        residual += PIXELS * p->out_c;
        out += PIXELS * p->out_c;
    }
}
