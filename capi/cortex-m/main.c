/* The golden vectors on a Cortex-M4F, from C: the same lines as on a host, or an error. EXPECTED is the hash
 * that the host's program printed. */
#include "board.h"
#include "drmad.h"
#include "vectors.h"

static void put(const char *line) {
    board_put(line);
    board_put("\n");
}

int board_main(void) {
    int line = 0;
    int32_t code = 0;
    uint64_t hash = vectors(put, &line, &code);
    if (hash == 0) {
        board_put("refused: ");
        put(drmad_error_text(code));
        return 1;
    }
    if (hash != EXPECTED) {
        put("other bits than the host's");
        return 1;
    }
    return 0;
}
