/* Sum of two int8 tensors for a PC, a block at a time, as `out` may be `a` or `b`. */
#include "nn_host.h"
#include "nn_kernels.h"

enum { BLOCK = 256 };

void nn_add_host(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count) {
    int8_t sums[BLOCK];
    for (int32_t done = 0; done < count; done += b_count) {
        for (int32_t i = 0; i < b_count; i += BLOCK) {
            const int32_t block = b_count - i < BLOCK ? b_count - i : BLOCK;
            nn_add_row_host(p, a + done + i, b + i, sums, block);
            for (int32_t j = 0; j < block; j++) {
                out[done + i + j] = sums[j];
            }
        }
    }
}
