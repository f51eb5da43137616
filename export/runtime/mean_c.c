/* Mean over height and width. */
#include "nn_kernels.h"

void nn_mean_c(const nn_mean *p, const int8_t *in, int8_t *out) {
    for (int32_t c = 0; c < p->channels; c++) {
        int32_t sum = -p->in_zero * p->pixels;
        for (int32_t i = 0; i < p->pixels; i++) {
            sum += in[i * p->channels + c];
        }
        *out++ = (int8_t)nn_clamp(nn_rescale(sum, p->multiplier, p->shift) + p->out_zero, -128, 127);
    }
}
