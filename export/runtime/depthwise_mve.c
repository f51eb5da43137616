/* Depthwise convolution by Helium: four channels at a time; weights are packed as [taps][channels]. */
#include "nn_kernels.h"
#include "nn_mve.h"

void nn_depthwise_mve(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch) {
    const int32_t channels = p->in_c;
    int8_t *const zeros = scratch;
    nn_fill_mve(zeros, p->in_zero, channels);
    const int8_t *taps[256];
    const nn_requantization q = nn_requantization_of(p);
    const int32_t count = p->kernel_h * p->kernel_w;
    for (int32_t oy = 0; oy < p->out_h; oy++) {
        for (int32_t ox = 0; ox < p->out_w; ox++) {
            const int8_t **tap = taps;
            for (int32_t ky = 0; ky < p->kernel_h; ky++) {
                const int32_t y = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
                for (int32_t kx = 0; kx < p->kernel_w; kx++) {
                    const int32_t x = ox * p->stride_w - p->pad_left + kx * p->dilation_w;
                    const int32_t inside = y >= 0 && y < p->in_h && x >= 0 && x < p->in_w;
                    *tap++ = inside ? in + (y * p->in_w + x) * channels : zeros;
                }
            }
            for (int32_t c = 0; c < channels; c += 4) {
                const mve_pred16_t lanes = vctp32q((uint32_t)(channels - c));
                const int8_t *w = p->weights + c;
                int32x4_t sums = vdupq_n_s32(0);
                for (int32_t i = 0; i < count; i++) {
                    sums = vaddq_s32(sums, vmulq_s32(vldrbq_z_s32(taps[i] + c, lanes), vldrbq_z_s32(w, lanes)));
                    w += channels;
                }
                vstrbq_p_s32(out + c, nn_finish_mve(q, c, sums, lanes), lanes);
            }
            out += channels;
        }
    }
}
