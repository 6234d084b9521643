/* What docs/c.md says of the caller's modes: rounding to nearest and subnormal numbers kept give the bits, and
 * neither is set or looked at by the library. Prints which of the two sums below have the bits that they must.
 * With an argument the program rounds upwards; linked with -ffast-math it flushes subnormal numbers. */
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "drmad.h"

/* y + 1 x, in bits. */
static uint32_t sum(float x, float y) {
    uint32_t bits;
    if (drmad_add_scaled(DRMAD_ROUNDING_PLAIN, 1.0f, &x, &y, 1) != 0) {
        return 0xffffffffu;
    }
    memcpy(&bits, &y, sizeof bits);
    return bits;
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1 && fesetround(FE_UPWARD) != 0) {
        return 1;
    }
    /* 1 + 2^-30 is 1 to nearest; 2^-140 + 2^-140 = 2^-139 is subnormal. */
    printf("rounding %s, ", sum(0x1p-30f, 1.0f) == 0x3f800000u ? "right" : "wrong");
    printf("subnormal %s\n", sum(0x1p-140f, 0x1p-140f) == 0x00000400u ? "right" : "wrong");
    return 0;
}
