/* Included before model.c of the proof: tells proof.c of each finished layer. */
#include <stdint.h>

void proof_layer_done(const int8_t *output, int32_t bytes);

#define MODEL_LAYER_DONE(index, output, bytes) proof_layer_done(output, bytes);
