#ifndef BOARD_H
#define BOARD_H

void board_put(const char *text);
void board_exit(int code);
/* 0 where all is well. */
int board_main(void);

#endif
