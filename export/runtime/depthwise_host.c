/* Depthwise convolution for a PC: all channels of a pixel at a time; weights are packed as [taps][channels]. */
#include "nn_host.h"
#include "nn_kernels.h"

void nn_depthwise_host(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    const int32_t channels = p->in_c;
    int32_t *const restrict sums = scratch;
    int8_t *const zeros = (int8_t *)(sums + channels);
    for (int32_t c = 0; c < channels; c++) {
        zeros[c] = p->in_zero;
    }
    for (int32_t oy = 0; oy < p->out_h; oy++) {
        for (int32_t ox = 0; ox < p->out_w; ox++) {
            const int8_t *w = p->weights;
            for (int32_t c = 0; c < channels; c++) {
                sums[c] = 0;
            }
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                const int32_t y = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
                for (int32_t kx = 0; kx < p->kernel_w; kx++) {
                    const int32_t x = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
                    const int32_t inside = y >= 0 && y < p->in_h && x >= 0 && x < p->in_w;
                    const int8_t *from = inside ? in + (y * p->in_w + x) * channels : zeros;
                    for (int32_t c = 0; c < channels; c++) {
                        sums[c] += from[c] * w[c];
                    }
                    w += channels;
                }
            }
            nn_finish_host(p, sums, out);
            out += channels;
        }
    }
}
