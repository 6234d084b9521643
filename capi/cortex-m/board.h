#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>

void board_put(const char *text);
void board_exit(int code);
/* Bytes of stack used so far, up to 256 KiB. */
size_t board_stack(void);
/* 0 where all is well. */
int board_main(void);

#endif
