/* TFLite Micro behind model.h: proof.c drives a user's own build of it as it drives the generated sources.
 *
 * Only its public C++ API is called. Of the build: PEER_ARENA_BYTES, what the interpreter may use; peer_operators.h, a
 * line PEER_OPERATOR(Conv2D, CONV_2D_INT8) for each of the model's operators; model.tflite, which is taken into flash.
 */
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <new>

#include "model.h"
#include "peer.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
[[noreturn]] void proof_exit(int32_t code);
void proof_layer_done(const int8_t *output, int32_t bytes);
[[noreturn]] void abort();
[[noreturn]] void __cxa_pure_virtual();
void DebugLog(const char *format, va_list arguments);
int DebugVsnprintf(char *buffer, size_t size, const char *format, va_list arguments);
extern const unsigned char peer_model[];
}

__asm__(".section .rodata.peer_model, \"a\"\n"
        ".balign 16\n"
        ".global peer_model\n"
        "peer_model: .incbin \"model.tflite\"\n"
        ".previous\n");

namespace {

enum { NO_OPERATOR = 6, NO_ROOM = 7, DID_NOT_RUN = 8, ABORTED = 9 };

#define PEER_OPERATOR(method, registration) +1
constexpr unsigned operators = 0
#include "peer_operators.h"
    ;
#undef PEER_OPERATOR

using Resolver = tflite::MicroMutableOpResolver<operators>;
using Interpreter = tflite::MicroInterpreter;

alignas(16) __attribute__((section(".arena"))) uint8_t arena[PEER_ARENA_BYTES];
alignas(Resolver) unsigned char resolver_storage[sizeof(Resolver)];
alignas(Interpreter) unsigned char interpreter_storage[sizeof(Interpreter)];
Interpreter *interpreter;

void set_up() {
    Resolver &resolver = *new (resolver_storage) Resolver;
    bool known = true;
#define PEER_OPERATOR(method, registration) \
    known = known && resolver.Add##method(tflite::Register_##registration()) == kTfLiteOk;
#include "peer_operators.h"
#undef PEER_OPERATOR
    if (!known) {
        proof_exit(NO_OPERATOR);
    }
    interpreter = new (interpreter_storage) Interpreter(tflite::GetModel(peer_model), resolver, arena, sizeof arena);
    if (interpreter->AllocateTensors() != kTfLiteOk) {
        proof_exit(NO_ROOM);
    }
}

} // namespace

int8_t *model_input(void) {
    if (interpreter == nullptr) {
        set_up();
    }
    return tflite::GetTensorData<int8_t>(interpreter->input(0));
}

void model_run(void) {
    if (interpreter->Invoke() != kTfLiteOk) {
        proof_exit(DID_NOT_RUN);
    }
    proof_layer_done(model_output(), MODEL_OUTPUT_BYTES);
}

const int8_t *model_output(void) {
    return tflite::GetTensorData<int8_t>(interpreter->output(0));
}

uint32_t peer_arena_bytes(void) {
    return static_cast<uint32_t>(interpreter->arena_used_bytes());
}

/* What an application has of its own, so that libc's abort, printf and the demangler stay out of the flash. */
void abort() {
    proof_exit(ABORTED);
}

void __cxa_pure_virtual() {
    proof_exit(ABORTED);
}

void DebugLog(const char *, va_list) {}

int DebugVsnprintf(char *, size_t, const char *, va_list) {
    return 0;
}

void operator delete(void *) noexcept {}
void operator delete(void *, size_t) noexcept {}
