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
    static const size_t widths[] = {2, 4, 2};
    static const float x[] = {0, 0, 0, 1, 1, 0, 1, 1, 0.1f, 0.9f, 0.9f, 0.8f};
    static const uint8_t y[] = {0, 1, 1, 0, 1, 0};
    static const uint32_t valid[] = {4, 5};
    static const float h[] = {0.01f, 0.02f}, rate = 0.5f, momentum = 0.9f, log_scale = 0.0f;
    static uint32_t memory[1024];
    float d_h[2] = {0, 0};
    drmad_run run = {
        .abi = DRMAD_ABI, .widths = widths, .widths_len = 3,
        .features = x, .labels = y, .examples = 6, .train = 4, .valid = valid, .valid_len = 2, .batch = 4,
        .penalty = {DRMAD_SHARE_LAYER, 1}, .h = h, .h_len = 2,
        .rates = &rate, .rates_len = 1, .momenta = &momentum, .momenta_len = 1, .steps = 50,
        .log_scales = &log_scale, .log_scales_len = 1,
    };
    drmad_method hats = {0};
    drmad_result results = {.d_h = d_h, .d_h_len = 2};
    int32_t code = drmad_hypergradient(&run, &hats, memory, sizeof memory / sizeof *memory, &results);
    if (code != 0) {
        board_put(drmad_error_text(code));
        return 1;
    }
    /* This build has left the fused arithmetic out, and says so. */
    run.arithmetic = DRMAD_ROUNDING_FUSED;
    if (drmad_hypergradient(&run, &hats, memory, sizeof memory / sizeof *memory, &results) != DRMAD_ERROR_LEFT_OUT)
        return 1;
    board_put("stack of one hypergradient, in bytes: ");
    put_number(board_stack());
    board_put("\n");
    return d_h[0] != 0 && d_h[1] != 0 && results.steps_back == 50 ? 0 : 1;
}
