/* The input inside a larger tensor that is else filled with one value. */
#include "nn_kernels.h"

void nn_pad_c(const nn_pad *p, const int8_t *in, int8_t *out) {
    for (int32_t y = -p->before_h; y < p->out_h - p->before_h; y++) {
        for (int32_t x = -p->before_w; x < p->out_w - p->before_w; x++) {
            const int32_t row_inside = y >= 0 && y < p->in_h && x >= 0 && x < p->in_w;
            for (int32_t c = -p->before_c; c < p->out_c - p->before_c; c++) {
                *out++ = row_inside && c >= 0 && c < p->in_c ? *in++ : p->value;
            }
        }
    }
}
