/* Depthwise convolution by SMLAD, for square kernels of 3, 5 or 7 and strides of 1 or 2.
 *
 * A channel is copied to a padded plane of int16, where horizontal neighbours lie in one word. Four outputs of a row are
 * computed at once; those at an odd column need the weights shifted by one, so each row of w has two forms:
 *
 *     even  (w0 w1) (w2 w3) .. (wk 0)
 *     odd   (0 w0) (w1 w2) ..
 *
 * As the whole channel was read before any of it is written, `out` may be `in` where the shapes are equal.
 */
#include "nn_dsp.h"
#include "nn_kernels.h"

enum { MAX_KERNEL = 7 };

/* Copy one channel, or two where there is a second, into planes of padded rows. */
static void copy_planes(const nn_conv *p, const int8_t *in, int32_t pitch, int32_t rows, int32_t planes, int16_t *plane) {
    const uint32_t zeros = (uint32_t)(uint16_t)p->in_zero * 0x10001u;
    nn_word *words = (nn_word *)(void *)plane;
    for (int32_t i = planes * rows * pitch / 2; i > 0; i--) {
        *words++ = zeros;
    }
    const int32_t channels = p->in_c;
    int16_t *row = plane + p->pad_top * pitch + p->pad_left;
    const int32_t height = p->in_h < rows - p->pad_top ? p->in_h : rows - p->pad_top;
    const int32_t width = p->in_w < pitch - p->pad_left ? p->in_w : pitch - p->pad_left;
    for (int32_t y = 0; y < height; y++) {
        const int8_t *from = in + y * p->in_w * channels;
        int16_t *a = row, *b = row + rows * pitch;
        if (planes == 2) {
            for (int32_t x = width; x > 0; x--) {
                *a++ = from[0];
                *b++ = from[1];
                from += channels;
            }
        } else {
            for (int32_t x = width; x > 0; x--) {
                *a++ = *from;
                from += channels;
            }
        }
        row += pitch;
    }
}

/* Both forms of one channel's weights: per row kernel + 1 words, even and odd in turn. */
static void spread_weights(const int8_t *weights, int32_t kernel, uint32_t *words) {
    for (int32_t y = 0; y < kernel; y++) {
        int32_t before = 0;
        for (int32_t x = 0; x < kernel; x += 2) {
            const int32_t w = weights[x], next = x + 1 < kernel ? weights[x + 1] : 0;
            *words++ = ((uint32_t)w & 0xffffu) | ((uint32_t)next << 16);
            *words++ = ((uint32_t)before & 0xffffu) | ((uint32_t)w << 16);
            before = next;
        }
        weights += kernel;
    }
}

/* Sums of one row of outputs, four at a time; as many as that gives, so `sums` has room for a multiple of four. */
NN_INLINE void sum_row(int32_t kernel, int32_t stride, const int16_t *plane, int32_t pitch, const uint32_t *weights,
                       int32_t bias, int32_t width, int32_t *sums) {
    const int32_t pairs = (kernel + 1) / 2;
    for (; width > 0; width -= 4) {
        int32_t s0 = bias, s1 = bias, s2 = bias, s3 = bias;
        const int16_t *from = plane;
        const uint32_t *w = weights;
        for (int32_t ky = 0; ky < kernel; ky++) {
            const nn_word *x = (const nn_word *)(const void *)from;
#pragma GCC unroll 4
            for (int32_t i = 0; i < pairs; i++) {
                if (stride == 1) {
                    s0 = nn_smlad(x[i], w[2 * i], s0);
                    s1 = nn_smlad(x[i], w[2 * i + 1], s1);
                    s2 = nn_smlad(x[i + 1], w[2 * i], s2);
                    s3 = nn_smlad(x[i + 1], w[2 * i + 1], s3);
                } else {
                    s0 = nn_smlad(x[i], w[2 * i], s0);
                    s1 = nn_smlad(x[i + 1], w[2 * i], s1);
                    s2 = nn_smlad(x[i + 2], w[2 * i], s2);
                    s3 = nn_smlad(x[i + 3], w[2 * i], s3);
                }
            }
            w += 2 * pairs;
            from += pitch;
        }
        plane += 4 * stride;
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        sums += 4;
    }
}

/* Requantize and store a row of one channel. */
static void finish_row(nn_finish finish, nn_channel q, const int32_t *sums, int32_t width, int32_t step, int8_t *out) {
    if (finish == NN_RELU) {
        for (; width > 0; width--) {
            *out = (int8_t)nn_requantize_dsp(q, NN_RELU, *sums++);
            out += step;
        }
    } else {
        for (; width > 0; width--) {
            *out = (int8_t)nn_requantize_dsp(q, NN_CLAMP, *sums++);
            out += step;
        }
    }
}

/* A layer whose kernel is known when this is compiled. */
NN_INLINE void depthwise(int32_t kernel, const nn_conv *p, const int8_t *in, int8_t *out, int16_t *planes) {
    uint32_t weights[MAX_KERNEL * (MAX_KERNEL + 1)];
    nn_requantization q = nn_requantization_of(p);
    const nn_finish finish = nn_finish_of(p);
    const int32_t stride = p->stride_h, channels = p->out_c, width = p->out_w, height = p->out_h;
    const int32_t rows = (height - 1) * stride + kernel;
    const int32_t pitch = ((width + 3) & ~3) * stride + kernel - 1; /* what four outputs read beyond the last one, too */
    int32_t *const sums = (int32_t *)(void *)(planes + (channels > 1 ? 2 : 1) * rows * pitch);
    for (int32_t c = 0; c < channels; c++) {
        const int16_t *plane = planes + (c & 1) * rows * pitch;
        if ((c & 1) == 0) {
            copy_planes(p, in + c, pitch, rows, c + 1 < channels ? 2 : 1, planes);
        }
        spread_weights(p->weights + c * kernel * kernel, kernel, weights);
        const nn_channel channel = nn_next_channel(&q);
        for (int32_t y = 0; y < height; y++) {
            if (stride == 1) {
                sum_row(kernel, 1, plane, pitch, weights, channel.bias, width, sums);
            } else {
                sum_row(kernel, 2, plane, pitch, weights, channel.bias, width, sums);
            }
            finish_row(finish, channel, sums, width, channels, out + y * width * channels + c);
            plane += stride * pitch;
        }
    }
}

void nn_depthwise_3x3_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    depthwise(3, p, in, out, scratch);
}

void nn_depthwise_5x5_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    depthwise(5, p, in, out, scratch);
}

void nn_depthwise_7x7_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    depthwise(7, p, in, out, scratch);
}
