/* A Cortex-M4F from its reset to main, and back to the debugger: vector table, memory, semihosting. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];

static uint32_t semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_put(const char *text) { semihosting(0x04, text); } /* SYS_WRITE0 */

void board_exit(int code) {
    /* SYS_EXIT: application exit is success, run-time error is failure. */
    semihosting(0x18, (const void *)(uintptr_t)(code == 0 ? 0x20026 : 0x20023));
    for (;;) {
    }
}

/* Whatever faults ends the program with an error, rather than hanging it. */
static void fault(void) {
    board_put("fault\n");
    board_exit(1);
}

/* The stack is painted below this function's frame, so that what it reached can be seen afterwards. */
enum { PAINTED = 1 << 18 };
static const uint32_t PAINT = 0x5afe57acu;

size_t board_stack(void) {
    const uint32_t *place = stack_top - PAINTED / 4;
    while (place < stack_top && *place == PAINT) place++;
    return (size_t)(stack_top - place) * 4;
}

void reset(void);
void reset(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the floating-point unit */
    __asm__ volatile("dsb\n isb" ::: "memory");
    for (uint32_t *to = data_start, *from = data_load; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    uint32_t *frame;
    __asm__ volatile("mov %0, sp" : "=r"(frame));
    for (uint32_t *to = stack_top - PAINTED / 4; to < frame;) *to++ = PAINT;
    board_exit(board_main());
}

/* The stack, then reset, NMI and the faults. */
__attribute__((section(".vectors"), used)) static const void *const table[16] = {
    stack_top, (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};
