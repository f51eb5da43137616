/* What a Cortex-M needs before main(). */
#include <stdint.h>

extern uint32_t stack_top, data_load, data_start, data_end, bss_start, bss_end;
int main(void);
void proof_exit(int32_t code);
void reset_handler(void);

enum { FAULT = 99 };

static void fault_handler(void) {
    proof_exit(FAULT);
}

typedef union {
    void (*handler)(void);
    const void *stack;
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = &stack_top}, {reset_handler}, {fault_handler}, {fault_handler}, {fault_handler}, {fault_handler},
    {fault_handler}, {fault_handler}, {0}, {0}, {0}, {fault_handler}, {fault_handler}, {0}, {fault_handler},
    {fault_handler},
};

void reset_handler(void) {
#if __ARM_ARCH >= 7
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: vector units, before a compiler uses them */
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    for (volatile uint32_t *to = &data_start, *from = &data_load; to < &data_end;) {
        *to++ = *from++;
    }
    for (volatile uint32_t *to = &bss_start; to < &bss_end;) {
        *to++ = 0;
    }
    proof_exit(main());
}
