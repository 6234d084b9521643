/* The golden vectors by way of C: what vectors.c computes, on a host and on a microcontroller alike. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>

/* Hands each line, as it stands in golden/, to `put`, and returns the 64-bit FNV-1a hash of all lines with
 * their ends. Where a call is refused it returns 0, and `*line` and `*code` say which and why. */
uint64_t vectors(void (*put)(const char *line), int *line, int32_t *code);

#endif
