/* Eight dot products at once: four columns (pixels) of int16 with two rows (channels) of int8, by SMLAD.
 *
 * void nn_dot_4x2_dsp(const uint32_t *columns, const int8_t *weights, int32_t pairs, const int32_t *bias, int32_t *sums)
 *
 * columns: per pair of steps four words, one of each pixel, of two int16 each
 * weights: per pair of steps one word [a0, b0, a1, b1]: two steps of channels a and b
 * pairs:   an even number of pairs, at least 2
 * bias:    of the two channels
 * sums:    the four sums of channel a, then the four of channel b
 *
 * In assembly, because the fourteen registers that this needs are all there are and compilers spill some:
 * 13 instructions for 16 multiply-accumulates.
 */
    .syntax unified
    .thumb
    .section .text.nn_dot_4x2_dsp, "ax", %progbits
    .global nn_dot_4x2_dsp
    .type nn_dot_4x2_dsp, %function
    .p2align 2

    .macro pair
    ldr     r12, [r1], #4
    ldrd    r2, r3, [r0], #8
    sxtb16  lr, r12
    sxtb16  r12, r12, ror #8
    smlad   r4, lr, r2, r4
    smlad   r5, lr, r3, r5
    smlad   r8, r12, r2, r8
    smlad   r9, r12, r3, r9
    ldrd    r2, r3, [r0], #8
    smlad   r6, lr, r2, r6
    smlad   r7, lr, r3, r7
    smlad   r10, r12, r2, r10
    smlad   r11, r12, r3, r11
    .endm

nn_dot_4x2_dsp:
    push    {r4-r11, lr}
    ldrd    r4, r8, [r3]
    add     r3, r0, r2, lsl #4
    push    {r3}
    mov     r5, r4
    mov     r6, r4
    mov     r7, r4
    mov     r9, r8
    mov     r10, r8
    mov     r11, r8
    tst     r2, #2
    bne     2f
1:  pair
    pair
2:  pair
    pair
    ldr     r2, [sp]
    cmp     r0, r2
    bne     1b
    ldr     r0, [sp, #40]
    stmia   r0, {r4-r11}
    add     sp, sp, #4
    pop     {r4-r11, pc}
    .size nn_dot_4x2_dsp, . - nn_dot_4x2_dsp
