/* Average of each window, padding not counted, rounded half away from zero. */
#include "nn_kernels.h"

static int8_t average(const nn_pool *p, const int8_t *in, int32_t y, int32_t x, int32_t c) {
    int32_t sum = 0, count = 0;
    for (int32_t ky = y < 0 ? 0 : y; ky < y + p->kernel_h && ky < p->in_h; ky++) {
        for (int32_t kx = x < 0 ? 0 : x; kx < x + p->kernel_w && kx < p->in_w; kx++) {
            sum += in[(ky * p->in_w + kx) * p->channels + c];
            count++;
        }
    }
    sum = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
    return (int8_t)nn_clamp(sum, p->out_min, p->out_max);
}

void nn_average_pool_c(const nn_pool *p, const int8_t *in, int8_t *out) {
    for (int32_t oy = 0; oy < p->out_h; oy++) {
        for (int32_t ox = 0; ox < p->out_w; ox++) {
            for (int32_t c = 0; c < p->channels; c++) {
                *out++ = average(p, in, oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, c);
            }
        }
    }
}
