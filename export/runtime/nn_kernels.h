/* The kernels. `in` and `out` lie in the arena; `scratch` is as large as the planner was told. */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include "nn.h"

typedef struct {
    int16_t in_h, in_w, channels;
    int16_t out_h, out_w;
    uint8_t kernel_h, kernel_w;
    uint8_t stride_h, stride_w;
    uint8_t pad_top, pad_left;
    int8_t out_min, out_max;
} nn_pool;

typedef struct {
    const int32_t *exponentials; /* of 0, -1, .. -255 input steps: Q0.31, 0 where TFLite's exponential vanishes */
    int16_t rows, columns;
} nn_softmax;

/* out = rescale((a - zero_a) * (b - zero_b)) */
typedef struct {
    int32_t multiplier;
    int8_t shift;
    int8_t zero_a, zero_b, out_zero;
    int8_t out_min, out_max;
} nn_mul;

typedef struct {
    int32_t pixels, channels;
    int32_t multiplier; /* 1 / pixels is in it */
    int8_t shift;
    int8_t in_zero, out_zero;
} nn_mean;

typedef struct {
    int16_t in_h, in_w, in_c;
    int16_t out_h, out_w, out_c;
    int16_t before_h, before_w, before_c;
    int8_t value;
} nn_pad;

/* With `add`, which may be 0, each value is added to `residual`, which may be `out`, before it is written. */
void nn_conv_c(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
               void *scratch);
void nn_conv_dsp(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
                 void *scratch);
void nn_fc_dsp(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
               void *scratch);
void nn_conv_mve(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
                 void *scratch);
void nn_conv_host(const nn_conv *p, const nn_add *add, const int8_t *in, const int8_t *residual, int8_t *out,
                  void *scratch);

/* With stride 1 and an output of the input's shape, `out` may be `in`, but for the last three. */
void nn_depthwise_c(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);
void nn_depthwise_3x3_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);
void nn_depthwise_5x5_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);
void nn_depthwise_7x7_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);
void nn_depthwise_taps_dsp(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);
void nn_depthwise_mve(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);
void nn_depthwise_host(const nn_conv *p, const int8_t *in, int8_t *out, void *scratch);

/* Element by element: `out` may be `a`, or `b` where that is as long. `b` is repeated until `a` ends. */
void nn_add_c(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count);
void nn_add_dsp(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count);
void nn_add_tensors_mve(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count);
void nn_add_host(const nn_add *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count);
void nn_mul_c(const nn_mul *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t count, int32_t b_count);

/* `table` has the output of each input from -128 up; `out` may be `in`. */
void nn_lookup_c(const int8_t *table, const int8_t *in, int8_t *out, int32_t count);

void nn_average_pool_c(const nn_pool *p, const int8_t *in, int8_t *out);
void nn_max_pool_c(const nn_pool *p, const int8_t *in, int8_t *out);
void nn_mean_c(const nn_mean *p, const int8_t *in, int8_t *out);
void nn_pad_c(const nn_pad *p, const int8_t *in, int8_t *out);

/* `rows` rows of `row` bytes to the starts of rows of `to_row` bytes. */
void nn_copy_rows_c(const int8_t *in, int8_t *out, int32_t rows, int32_t row, int32_t to_row);
void nn_softmax_c(const nn_softmax *p, const int8_t *in, int8_t *out);

#endif
