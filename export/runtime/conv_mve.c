/* Convolution by Helium: three pixels by two channels at a time; windows are gathered unless the kernel is 1x1.
 *
 * With `add`, each value is added to `residual`, which may be `out` itself, before it is written.
 */
#include "nn_kernels.h"
#include "nn_mve.h"

enum { PIXELS = 3 };

void nn_dot_2x3_mve(const int8_t *const *windows, const int8_t *weights, int32_t steps, int32_t pairs, int32_t *sums);

/* The window at (y, x) as kernel_h * kernel_w * in_c bytes. */
static void gather(const nn_conv *p, const int8_t *in, int32_t y, int32_t x, int8_t *to) {
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = x + p->kernel_w > p->in_w ? p->in_w - x : p->kernel_w;
    const int32_t row = p->kernel_w * p->in_c;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, y++) {
        const int8_t *from = in + (y * p->in_w + x) * p->in_c;
        if (y < 0 || y >= p->in_h) {
            to = nn_fill_mve(to, p->in_zero, row);
        } else if (first == 0 && end == p->kernel_w) {
            to = nn_copy_mve(to, from, row);
        } else {
            to = nn_fill_mve(to, p->in_zero, first * p->in_c);
            to = nn_copy_mve(to, from + first * p->in_c, (end - first) * p->in_c);
            to = nn_fill_mve(to, p->in_zero, (p->kernel_w - end) * p->in_c);
        }
    }
}

/* Requantize, add and store all channels of one pixel; its sums lie in pairs, 2 * PIXELS apart. */
NN_INLINE void finish(nn_requantization q, int32_t channels, const nn_add *add, const int32_t *sums, int8_t *out,
                      const int8_t *residual) {
    const uint32x4_t offsets = {0, 4, 8 * PIXELS, 8 * PIXELS + 4};
    for (int32_t c = 0; c < channels; c += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(channels - c));
        int32x4_t x = nn_finish_mve(q, c, vldrwq_gather_offset_z_s32(sums + c * PIXELS, offsets, lanes), lanes);
        if (add != 0) {
            x = nn_add_mve(add, vldrbq_z_s32(residual + c, lanes), x);
        }
        vstrbq_p_s32(out + c, x, lanes);
    }
}

void nn_conv_mve(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
                 void *scratch) {
    const int32_t steps = p->kernel_h * p->kernel_w * p->in_c;
    const int32_t pairs = (p->out_c + 1) / 2;
    const int32_t direct = p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1;
    int32_t *const sums = scratch;
    int8_t *const gathered = (int8_t *)(sums + 2 * PIXELS * pairs);
    const nn_requantization q = nn_requantization_of(p);
    const int8_t *windows[PIXELS];
    int32_t oy = 0, ox = 0;
    for (int32_t left = p->out_h * p->out_w; left > 0; left -= PIXELS) {
        const int32_t count = left < PIXELS ? left : PIXELS;
        for (int32_t i = 0; i < PIXELS; i++) {
            if (i >= count) {
                windows[i] = windows[0];
            } else if (direct) {
                windows[i] = in;
                in += steps;
            } else {
                windows[i] = gathered + i * steps;
                gather(p, in, oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, gathered + i * steps);
                if (++ox == p->out_w) {
                    ox = 0;
                    oy++;
                }
            }
        }
        nn_dot_2x3_mve(windows, p->weights, steps, pairs, sums);
        for (int32_t i = 0; i < count; i++) {
            if (add != 0) {
                const nn_add sum = *add;
                finish(q, p->out_c, &sum, sums + 2 * i, out, residual);
            } else {
                finish(q, p->out_c, 0, sums + 2 * i, out, residual);
            }
            out += p->out_c;
            residual += p->out_c;
        }
    }
}
