/* The two functions of libc that compilers call by themselves. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

void *memcpy(void *to, const void *from, size_t count) {
    volatile uint8_t *target = to;
    for (const uint8_t *source = from; count > 0; count--) {
        *target++ = *source++;
    }
    return to;
}

void *memset(void *to, int value, size_t count) {
    for (volatile uint8_t *target = to; count > 0; count--) {
        *target++ = (uint8_t)value;
    }
    return to;
}
