/* Runs every model of a table on inputs from a file, its outputs to another: one program for many generated models. */
#include <stdint.h>
#include <stdio.h>

typedef struct {
    int8_t *(*input)(void);
    void (*run)(void);
    const int8_t *(*output)(void);
    int input_bytes, output_bytes;
} model;

#include "table.h"

int main(int count, char **arguments) {
    FILE *in = fopen(arguments[1], "rb"), *out = fopen(arguments[2], "wb");
    if (count != 3 || !in || !out) {
        return 2;
    }
    for (unsigned m = 0; m < sizeof models / sizeof *models; m++) {
        for (int i = 0; i < INPUTS; i++) {
            if (fread(models[m].input(), 1, (size_t)models[m].input_bytes, in) != (size_t)models[m].input_bytes) {
                return 3;
            }
            models[m].run();
            fwrite(models[m].output(), 1, (size_t)models[m].output_bytes, out);
        }
    }
    return fclose(out) || fclose(in);
}
