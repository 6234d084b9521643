/* The least that tunes itself: one hypergradient of a small network by hats, in static memory. What a
 * program pays in flash for calling drmad_hypergradient at all. */
#include "board.h"
#include "drmad.h"

static void put_number(size_t n) {
    char text[24], *to = text + sizeof text;
    *--to = 0;
    do *--to = (char)('0' + n % 10);
    while (n /= 10);
    board_put(to);
}

int board_main(void) {
    static const drmad_layer layers[] = {{DRMAD_KIND_DENSE, 4}, {DRMAD_KIND_TANH, 0}, {DRMAD_KIND_DENSE, 2}};
    static const drmad_tuned tuned[] = {{.what = DRMAD_WHAT_PENALTY, .by = DRMAD_BY_LAYER}};
    static const float x[] = {0, 0, 0, 1, 1, 0, 1, 1}, valid_x[] = {0.1f, 0.9f, 0.9f, 0.8f}, h[] = {-4.6f, -3.9f};
    static const uint8_t y[] = {0, 1, 1, 0}, valid_y[] = {1, 0};
    static uint32_t memory[1024];
    float d_h[2] = {0, 0};
    drmad_training training = {
        .abi = DRMAD_ABI, .inputs = 2, .layers = layers, .layers_len = 3,
        .train = {.len = 4, .features = x, .labels = y}, .valid = {.len = 2, .features = valid_x, .labels = valid_y},
        .tuned = tuned, .tuned_len = 1, .h = h, .h_len = 2,
        .rate = 0.5f, .momentum = 0.9f, .batch = 4, .steps = 50,
    };
    drmad_method hats = {0};
    drmad_result results = {.d_h = d_h, .d_h_len = 2};
    int32_t code = drmad_hypergradient(&training, &hats, memory, sizeof memory / sizeof *memory, &results);
    if (code != 0) {
        board_put(drmad_error_text(code));
        return 1;
    }
    /* This build has left the fused arithmetic out, and says so. */
    training.arithmetic = DRMAD_ROUNDING_FUSED;
    if (drmad_hypergradient(&training, &hats, memory, sizeof memory / sizeof *memory, &results) != DRMAD_ERROR_LEFT_OUT)
        return 1;
    board_put("stack of one hypergradient, in bytes: ");
    put_number(board_stack());
    board_put("\n");
    return d_h[0] != 0 && d_h[1] != 0 && results.steps_back == 50 ? 0 : 1;
}
