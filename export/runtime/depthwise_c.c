/* Depthwise convolution in portable C, any kernel, stride, dilation and depth multiplier.
 *
 * A channel is copied to a padded plane before its outputs are written, so that `out` may be `in` where the shapes are
 * equal and the multiplier is 1.
 */
#include "nn_kernels.h"

static void copy_plane(const nn_conv *p, const int8_t *in, int32_t rows, int32_t pitch, int8_t *plane) {
    for (int32_t y = 0; y < rows; y++) {
        const int32_t from_y = y - p->pad_top;
        for (int32_t x = 0; x < pitch; x++) {
            const int32_t from_x = x - p->pad_left;
            const int32_t inside = from_y >= 0 && from_y < p->in_h && from_x >= 0 && from_x < p->in_w;
            *plane++ = inside ? in[(from_y * p->in_w + from_x) * p->in_c] : p->in_zero;
        }
    }
}

void nn_depthwise_c(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    int8_t *const plane = scratch;
    const int32_t rows = (p->out_h - 1) * p->stride_h + (p->kernel_h - 1) * p->dilation_h + 1;
    const int32_t pitch = (p->out_w - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1;
    const int32_t each = p->out_c / p->in_c;
    const int8_t *weights = p->weights;
    for (int32_t c = 0; c < p->out_c; c++) {
        if (c % each == 0) {
            copy_plane(p, in + c / each, rows, pitch, plane);
        }
        int8_t *to = out + c;
        for (int32_t oy = 0; oy < p->out_h; oy++) {
            for (int32_t ox = 0; ox < p->out_w; ox++) {
                const int8_t *x = plane + oy * p->stride_h * pitch + ox * p->stride_w;
                const int8_t *w = weights;
                int32_t sum = p->bias[c];
                for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
                        sum += x[kx * p->dilation_w] * *w++;
                    }
                    x += p->dilation_h * pitch;
                }
                sum = nn_rescale(sum, p->multiplier[c], p->shift[c]) + p->out_zero;
                *to = (int8_t)nn_clamp(sum, p->out_min, p->out_max);
                to += p->out_c;
            }
        }
        weights += p->kernel_h * p->kernel_w;
    }
}
