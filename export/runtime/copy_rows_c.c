/* Rows of one tensor into the wider rows of another: a part of a concatenation. */
#include "nn_kernels.h"

void nn_copy_rows_c(const int8_t *in, int8_t *out, int32_t rows, int32_t row, int32_t to_row) {
    for (; rows > 0; rows--) {
        for (int32_t i = 0; i < row; i++) {
            out[i] = *in++;
        }
        out += to_row;
    }
}
