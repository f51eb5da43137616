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

NN_INLINE void channel(const nn_conv *p, int32_t kernel, int32_t stride, nn_finish finish, nn_channel q, int32_t pitch,
                           const int16_t *plane, const uint32_t *weights, int8_t *out) {
    const int32_t step = p->out_c, width = p->out_w, height = p->out_h;
    const int32_t pairs = (kernel + 1) / 2;
    for (int32_t oy = 0; oy < height; oy++) {
        const int16_t *start = plane + oy * stride * pitch;
        for (int32_t ox = 0; ox < width; ox += 4) {
            int32_t s0 = q.bias, s1 = q.bias, s2 = q.bias, s3 = q.bias;
            const int16_t *from = start;
            const uint32_t *w = weights;
            for (int32_t ky = 0; ky < kernel; ky++) {
                const nn_word *x = (const nn_word *)(const void *)from;
#pragma GCC unroll 4
                for (int32_t i = 0; i < pairs; i++) {
                    if (stride == 1) {
                        s0 = __smlad((int32_t)x[i], (int32_t)w[2 * i], s0);
                        s1 = __smlad((int32_t)x[i], (int32_t)w[2 * i + 1], s1);
                        s2 = __smlad((int32_t)x[i + 1], (int32_t)w[2 * i], s2);
                        s3 = __smlad((int32_t)x[i + 1], (int32_t)w[2 * i + 1], s3);
                    } else {
                        s0 = __smlad((int32_t)x[i], (int32_t)w[2 * i], s0);
                        s1 = __smlad((int32_t)x[i + 1], (int32_t)w[2 * i], s1);
                        s2 = __smlad((int32_t)x[i + 2], (int32_t)w[2 * i], s2);
                        s3 = __smlad((int32_t)x[i + 3], (int32_t)w[2 * i], s3);
                    }
                }
                w += 2 * pairs;
                from += pitch;
            }
            start += 4 * stride;
            s0 = nn_requantize_dsp(q, finish, s0);
            s1 = nn_requantize_dsp(q, finish, s1);
            s2 = nn_requantize_dsp(q, finish, s2);
            s3 = nn_requantize_dsp(q, finish, s3);
            out[0] = (int8_t)s0;
            if (ox + 3 < width) {
                out[step] = (int8_t)s1;
                out[2 * step] = (int8_t)s2;
                out[3 * step] = (int8_t)s3;
                out += 4 * step;
            } else {
                if (ox + 1 < width) {
                    out[step] = (int8_t)s1;
                }
                if (ox + 2 < width) {
                    out[2 * step] = (int8_t)s2;
                }
                out += (width - ox) * step;
            }
        }
    }
}

NN_INLINE void channels(const nn_conv *p, int32_t kernel, int32_t stride, nn_finish finish, const int8_t *in,
                            int8_t *out, int16_t *planes) {
    nn_requantization q = nn_requantization_of(p);
    uint32_t weights[MAX_KERNEL * (MAX_KERNEL + 1)];
    const int32_t rows = (p->out_h - 1) * stride + kernel;
    const int32_t pitch = (((p->out_w + 3) & ~3) - 1) * stride + kernel + 1; /* four outputs read one word more */
    for (int32_t c = 0; c < p->out_c; c += 2) {
        const int32_t count = c + 1 < p->out_c ? 2 : 1;
        copy_planes(p, in + c, pitch & ~1, rows, count, planes);
        for (int32_t i = 0; i < count; i++) {
            spread_weights(p->weights + (c + i) * kernel * kernel, kernel, weights);
            channel(p, kernel, stride, finish, nn_next_channel(&q), pitch & ~1, planes + i * rows * (pitch & ~1), weights, out + c + i);
        }
    }
}

#define FINISHED(kernel, stride)                                         \
    if (finish == NN_RELU) {                                             \
        channels(p, kernel, stride, NN_RELU, in, out, scratch);          \
    } else {                                                             \
        channels(p, kernel, stride, NN_CLAMP, in, out, scratch);         \
    }

void nn_depthwise_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    const nn_finish finish = nn_finish_of(p);
    switch (p->kernel_h * 2 + p->stride_h) {
    case 7:
        FINISHED(3, 1)
        break;
    case 8:
        FINISHED(3, 2)
        break;
    case 11:
        FINISHED(5, 1)
        break;
    case 12:
        FINISHED(5, 2)
        break;
    case 15:
        FINISHED(7, 1)
        break;
    default:
        FINISHED(7, 2)
        break;
    }
}
