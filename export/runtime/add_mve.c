/* Sum of two int8 tensors by Helium. */
#include "nn_kernels.h"
#include "nn_mve.h"

void nn_add_tensors_mve(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count) {
    for (int32_t done = 0; done < count; done += b_count) {
        for (int32_t i = 0; i < b_count; i += 4) {
            const mve_pred16_t lanes = vctp32q((uint32_t)(b_count - i));
            const int32x4_t x = vldrbq_z_s32(a + done + i, lanes), y = vldrbq_z_s32(b + i, lanes);
            vstrbq_p_s32(out + done + i, nn_add_mve(p, x, y), lanes);
        }
    }
}
