/* Dot products of three windows (pixels) with all channels, two at a time, by VMLADAVA under tail predication.
 *
 * void nn_dot_2x3_mve(const int8_t *const *windows, const int8_t *weights, int32_t steps, int32_t pairs, int32_t *sums)
 *
 * weights: rows of `steps` bytes, one per channel, an even number
 * pairs:   of channels, at least 1
 * sums:    per pair of channels: both of window 0, of window 1, of window 2
 *
 * In assembly, because VMLADAVA sums into even registers only and six of them leave compilers too few:
 * 12 instructions for 96 multiply-accumulates.
 */
    .syntax unified
    .thumb
    .section .text.nn_dot_2x3_mve, "ax", %progbits
    .global nn_dot_2x3_mve
    .type nn_dot_2x3_mve, %function
    .p2align 2

nn_dot_2x3_mve:
    push    {r4-r11, lr}
    sub     sp, sp, #20
    ldr     r11, [sp, #56]          /* sums */
    ldrd    r4, r5, [r0]
    strd    r4, r5, [sp]            /* windows 0 and 1 */
    ldr     r4, [r0, #8]
    strd    r4, r2, [sp, #8]        /* window 2, steps */
    str     r3, [sp, #16]           /* pairs left */
    mov     r12, r1
1:  ldrd    r1, r3, [sp]
    ldrd    r5, r9, [sp, #8]        /* r9: steps */
    mov     r7, r12
    wlstp.8 lr, r9, 3f
    add     r9, r9, r12
    mov     r0, #0
    mov     r2, #0
    mov     r4, #0
    mov     r6, #0
    mov     r8, #0
    mov     r10, #0
2:  vldrb.u8 q0, [r7], #16
    vldrb.u8 q1, [r9], #16
    vldrb.u8 q2, [r1], #16
    vmladava.s8 r0, q0, q2
    vmladava.s8 r2, q1, q2
    vldrb.u8 q3, [r3], #16
    vmladava.s8 r4, q0, q3
    vmladava.s8 r6, q1, q3
    vldrb.u8 q2, [r5], #16
    vmladava.s8 r8, q0, q2
    vmladava.s8 r10, q1, q2
    letp    lr, 2b
3:  strd    r0, r2, [r11], #8
    strd    r4, r6, [r11], #8
    strd    r8, r10, [r11], #8
    ldrd    r1, r3, [sp, #12]       /* steps, pairs left */
    add     r12, r12, r1, lsl #1
    subs    r3, r3, #1
    str     r3, [sp, #16]
    bne     1b
    add     sp, sp, #20
    pop     {r4-r11, pc}
    .size nn_dot_2x3_mve, . - nn_dot_2x3_mve
