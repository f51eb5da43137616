/* How an application uses the model: fill the input, run, read the output. */
#include "model.h"

int main(void);

/* Where your picture comes from: MODEL_INPUT_BYTES values as the model takes them. */
static void take_picture(int8_t *pixels) {
    for (int32_t i = 0; i < MODEL_INPUT_BYTES; i++) {
        pixels[i] = 0;
    }
}

int main(void) {
    take_picture(model_input());
    model_run();
    const int8_t *const scores = model_output();
    int32_t best = 0;
    for (int32_t i = 1; i < MODEL_OUTPUT_BYTES; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    return (int)best; /* the class, as an exit code */
}
