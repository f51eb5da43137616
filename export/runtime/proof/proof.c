/* Runs a model on an emulated core, by semihosting: inputs.bin in, proof.bin out.
 *
 * inputs.bin  two words: number of inputs, index of the input whose layers are written; then the inputs
 * proof.bin   words: ticks of CALIBRATION instructions, stack bytes, arena bytes, number of layers, ticks of each layer;
 *             then every output in turn, the one input's after its layers' outputs
 *
 * A tick is SysTick's; with QEMU's `-icount shift=0` an instruction takes a nanosecond of virtual time, and what a tick
 * is in instructions follows from the calibration.
 */
#include "layer_hook.h"
#include "model.h"

enum { OPEN = 0x01, CLOSE = 0x02, WRITE = 0x05, READ = 0x06, EXIT = 0x20, EXIT_CODE = 0x20026 };
enum { READ_BINARY = 1, WRITE_BINARY = 5 };
enum { MAX_LAYERS = 512, PAINTED_BYTES = 16384, CALIBRATION = 1000000 };
enum { CAN_NOT_READ = 3, CAN_NOT_WRITE = 4, LONGER_THAN_THE_COUNTER = 5 };

#define PAINT 0xA5C3A5C3u
#define SYSTICK ((volatile uint32_t *)0xE000E010u) /* control, reload, current */
#define COUNTED_TO_ZERO (1u << 16)                 /* of control */
#ifndef PROOF_ARENA_BYTES
#define PROOF_ARENA_BYTES MODEL_ARENA_BYTES
#endif

typedef uint32_t word;

static enum { NOTHING, TICKS, OUTPUTS } watched;
static word ticks[MAX_LAYERS];
static word layers, last_tick;
static word output_file;

int main(void);
void proof_exit(int32_t code);

static word semihost(word operation, const void *argument) {
    register word r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void proof_exit(int32_t code) {
    const word arguments[2] = {EXIT_CODE, (word)code};
    semihost(EXIT, arguments);
    for (;;) {
    }
}

static word open_file(const char *name, word length, word mode) {
    const word arguments[3] = {(word)(uintptr_t)name, mode, length};
    return semihost(OPEN, arguments);
}

static void read_all(word file, void *to, word bytes) {
    const word arguments[3] = {file, (word)(uintptr_t)to, bytes};
    if (semihost(READ, arguments) != 0) {
        proof_exit(CAN_NOT_READ);
    }
}

static void write_all(const void *from, word bytes) {
    const word arguments[3] = {output_file, (word)(uintptr_t)from, bytes};
    if (semihost(WRITE, arguments) != 0) {
        proof_exit(CAN_NOT_WRITE);
    }
}

static word now(void) {
    return SYSTICK[2];
}

static word ticks_since(word start, word end) {
    return (start - end) & 0xFFFFFFu; /* SysTick counts down */
}

void proof_layer_done(const int8_t *output, int32_t bytes) {
    if (watched == TICKS && layers < MAX_LAYERS) {
        ticks[layers++] = ticks_since(last_tick, now());
        last_tick = now();
    } else if (watched == OUTPUTS) {
        write_all(output, (word)bytes);
    }
}

static word calibrate(void) {
    word count = CALIBRATION / 2;
    const word start = now();
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b\n" : "+l"(count) : : "cc");
    return ticks_since(start, now());
}

/* Paint the stack below this function, run, and see how far down the paint is gone. */
static word stack_bytes(void) {
    word stack;
    __asm__ volatile("mov %0, sp" : "=r"(stack));
    volatile word *const bottom = (volatile word *)(uintptr_t)(stack - PAINTED_BYTES);
    for (word i = 0; i < PAINTED_BYTES / sizeof(word); i++) {
        bottom[i] = PAINT;
    }
    model_run();
    word left = 0;
    while (left < PAINTED_BYTES / sizeof(word) && bottom[left] == PAINT) {
        left++;
    }
    return PAINTED_BYTES - left * (word)sizeof(word);
}

static int8_t input[MODEL_INPUT_BYTES];

static void fill_input(void) {
    int8_t *const to = model_input();
    for (word i = 0; i < MODEL_INPUT_BYTES; i++) {
        to[i] = input[i];
    }
}

int main(void) {
    static const char in_name[] = "inputs.bin", out_name[] = "proof.bin";
    const word file = open_file(in_name, sizeof in_name - 1, READ_BINARY);
    output_file = open_file(out_name, sizeof out_name - 1, WRITE_BINARY);
    word header[2];
    read_all(file, header, sizeof header);
    SYSTICK[1] = 0xFFFFFFu;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
    const word calibration = calibrate();
    fill_input();
    SYSTICK[2] = 0;
    watched = TICKS;
    last_tick = now();
    model_run();
    watched = NOTHING;
    if (layers == 1 && SYSTICK[0] & COUNTED_TO_ZERO) {
        proof_exit(LONGER_THAN_THE_COUNTER);
    }
    SYSTICK[0] = 0;
    fill_input();
    const word facts[4] = {calibration, stack_bytes(), PROOF_ARENA_BYTES, layers};
    write_all(facts, sizeof facts);
    write_all(ticks, layers * (word)sizeof(word));
    for (word i = 0; i < header[0]; i++) {
        read_all(file, input, MODEL_INPUT_BYTES);
        fill_input();
        watched = i == header[1] ? OUTPUTS : NOTHING;
        model_run();
        watched = NOTHING;
        write_all(model_output(), MODEL_OUTPUT_BYTES);
    }
    return 0;
}
