/* What a program in C can get wrong with whole operations, one fault at a time: each has its code, and leaves
 * every result as it was. Every buffer is a block of its own of just the length that is told, so that a
 * sanitizer sees the first element beyond it; capi/run builds this with two of them. Returns nonzero where
 * something is wrong. (The kernels' faults, each argument's, are in tests/refusals.rs.) */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drmad.h"

enum { INPUTS = 3, HIDDEN = 4, CLASSES = 2, EXAMPLES = 6, TRAIN = 4, STEPS = 5 };
enum { P = (INPUTS + 1) * HIDDEN + (HIDDEN + 1) * CLASSES, H = 2 };

/* A good call, all of it in blocks. */
typedef struct call {
    size_t *widths;
    float *features, *h, *rate, *momentum, *log_scale, *d_h, *w;
    uint8_t *labels;
    uint32_t *valid, *memory;
    size_t memory_len;
    drmad_run *run;
    drmad_method *method;
    drmad_result *results;
} call;

static void *block(size_t bytes) {
    void *memory = malloc(bytes);
    if (!memory) exit(2);
    return memset(memory, 0x5a, bytes);
}

static const float MARK = 77.0f;
static int wrong, faults;

static float *number(float x) {
    float *place = block(sizeof *place);
    *place = x;
    return place;
}

static call good(void) {
    call c = {
        .widths = block(3 * sizeof(size_t)), .features = block(EXAMPLES * INPUTS * sizeof(float)),
        .h = block(H * sizeof(float)), .rate = number(0.5f), .momentum = number(0.75f), .log_scale = number(-0.5f),
        .d_h = block(H * sizeof(float)), .w = block(P * sizeof(float)), .labels = block(EXAMPLES),
        .valid = block(2 * sizeof(uint32_t)), .run = block(sizeof(drmad_run)),
        .method = block(sizeof(drmad_method)), .results = block(sizeof(drmad_result)),
    };
    c.widths[0] = INPUTS, c.widths[1] = HIDDEN, c.widths[2] = CLASSES;
    for (int i = 0; i < EXAMPLES * INPUTS; i++) c.features[i] = (float)(i * 7 % 11) / 8 - 0.5f;
    for (int i = 0; i < EXAMPLES; i++) c.labels[i] = (uint8_t)(i % CLASSES);
    c.valid[0] = 4, c.valid[1] = 5;
    for (int i = 0; i < H; i++) c.h[i] = 0.01f, c.d_h[i] = MARK;
    for (int i = 0; i < P; i++) c.w[i] = MARK;
    *c.run = (drmad_run){
        .abi = DRMAD_ABI, .arithmetic = DRMAD_ROUNDING_FUSED, .widths = c.widths, .widths_len = 3,
        .features = c.features, .labels = c.labels, .examples = EXAMPLES, .train = TRAIN,
        .valid = c.valid, .valid_len = 2, .batch = 3, .penalty = {DRMAD_SHARE_LAYER, 1}, .h = c.h, .h_len = H,
        .rates = c.rate, .rates_len = 1, .momenta = c.momentum, .momenta_len = 1, .steps = STEPS,
        .log_scales = c.log_scale, .log_scales_len = 1,
    };
    *c.method = (drmad_method){.path = DRMAD_PATH_TAPE};
    *c.results = (drmad_result){.d_h = c.d_h, .d_h_len = H, .w = c.w, .w_len = P, .valid_loss = MARK};
    if (drmad_hypergradient_required_len(c.run, c.method, c.results, &c.memory_len) != 0) exit(2);
    c.memory = block(c.memory_len * sizeof(uint32_t));
    return c;
}

static void done(call *c, uint32_t *memory, float *d_h, float *w) {
    void *all[] = {c->widths, c->features, c->h, c->rate, c->momentum, c->log_scale, d_h, w, c->labels, c->valid,
        memory, c->run, c->method, c->results};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The fault, the code it must have, and the call with it. */
#define FAULT(want, fault) FAULT_OF(want, fault, c.run, c.method, c.memory, c.memory_len, c.results)
#define FAULT_OF(want, fault, ...)                                                                            \
    do {                                                                                                      \
        call c = good();                                                                                      \
        uint32_t *memory = c.memory;                                                                          \
        float *d_h = c.d_h, *w = c.w;                                                                         \
        fault;                                                                                                \
        int32_t code = drmad_hypergradient(__VA_ARGS__);                                                      \
        if (code != (want)) {                                                                                 \
            fprintf(stderr, "hostile.c:%d: %s: %d (%s), not %d\n", __LINE__, #fault, (int)code,               \
                drmad_error_text(code), (int)(want));                                                         \
            wrong = 1;                                                                                        \
        }                                                                                                     \
        for (int i = 0; i < H; i++) wrong |= d_h[i] != MARK;                                                  \
        for (int i = 0; i < P; i++) wrong |= w[i] != MARK;                                                    \
        done(&c, memory, d_h, w);                                                                             \
        faults++;                                                                                             \
    } while (0)

static void hypergradients(void) {
    /* Null where something is needed. */
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, NULL, c.method, c.memory, c.memory_len, c.results);
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, c.run, NULL, c.memory, c.memory_len, c.results);
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, c.run, c.method, NULL, c.memory_len, c.results);
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, c.run, c.method, c.memory, c.memory_len, NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->widths = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->features = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->labels = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->valid = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->h = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->rates = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->momenta = NULL);
    FAULT(DRMAD_ERROR_NULL, c.run->log_scales = NULL);
    FAULT(DRMAD_ERROR_NULL, c.results->d_h = NULL);

    /* Nothing. */
    FAULT(DRMAD_ERROR_EMPTY, c.run->examples = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.run->train = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.run->valid_len = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.run->batch = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.run->steps = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.widths[1] = 0);

    /* Too much. */
    FAULT(DRMAD_ERROR_SIZE, c.widths[1] = SIZE_MAX);
    FAULT(DRMAD_ERROR_SIZE, c.widths[0] = SIZE_MAX / 2);
    FAULT(DRMAD_ERROR_LENGTH, c.run->h_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_LENGTH, c.results->d_h_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_LENGTH, c.results->w_len = P - 1);
    FAULT(DRMAD_ERROR_SIZE, c.memory_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_SIZE, c.run->valid_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_RANGE, c.run->examples = TRAIN - 1);

    /* Out of order: no struct that was set, memory that was never asked for, a length too short by one. */
    FAULT(DRMAD_ERROR_ABI, memset(c.run, 0, sizeof *c.run));
    FAULT(DRMAD_ERROR_ABI, c.run->abi = DRMAD_ABI + 1);
    FAULT(DRMAD_ERROR_LENGTH, c.memory_len = 0);
    FAULT(DRMAD_ERROR_LENGTH, c.memory_len -= 1);
    FAULT(DRMAD_ERROR_LENGTH, c.run->steps += 1000);

    /* Memory that is another's. */
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = c.h);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = c.features);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = c.w);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)c.memory);
    FAULT(DRMAD_ERROR_OVERLAP, c.run->h = (float *)c.memory);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)(void *)c.results);
    FAULT(DRMAD_ERROR_MISALIGNED, c.results->d_h = (float *)(void *)((char *)c.d_h + 1));
    FAULT(DRMAD_ERROR_MISALIGNED, c.memory = (uint32_t *)(void *)((char *)c.memory + 2));

    /* Numbers that are none, and values that do not exist. */
    FAULT(DRMAD_ERROR_NOT_FINITE, c.features[17] = NAN);
    FAULT(DRMAD_ERROR_NOT_FINITE, c.h[1] = INFINITY);
    FAULT(DRMAD_ERROR_NOT_FINITE, *c.rate = -INFINITY);
    FAULT(DRMAD_ERROR_RANGE, *c.momentum = 1.0f);
    FAULT(DRMAD_ERROR_DIVERGED, *c.rate = 1e38f);
    FAULT(DRMAD_ERROR_INDEX, c.labels[5] = CLASSES);
    FAULT(DRMAD_ERROR_INDEX, c.valid[1] = EXAMPLES);
    FAULT(DRMAD_ERROR_ENUM, c.run->arithmetic = 2);
    FAULT(DRMAD_ERROR_ENUM, c.run->rule = -1);
    FAULT(DRMAD_ERROR_ENUM, c.run->penalty.by = 6);
    FAULT(DRMAD_ERROR_ENUM, c.run->penalty.biases = 2);
    FAULT(DRMAD_ERROR_ENUM, c.method->path = 10);
}

int main(void) {
    /* Without a fault it works, in just these blocks. */
    call c = good();
    int32_t code = drmad_hypergradient(c.run, c.method, c.memory, c.memory_len, c.results);
    if (code != 0 || !isfinite(c.d_h[0]) || c.d_h[0] == MARK || c.w[P - 1] == MARK) {
        fprintf(stderr, "hostile.c: the good call: %s\n", drmad_error_text(code));
        wrong = 1;
    }
    /* Weights of before in the place where the next are wanted: read and written. */
    float loss = MARK;
    code = drmad_valid_loss(c.run, c.w, P, (uint32_t *)(void *)c.w, P, &loss);
    wrong |= code != DRMAD_ERROR_OVERLAP || loss != MARK;
    wrong |= drmad_sizes(NULL, NULL) != DRMAD_ERROR_NULL || drmad_sizes(c.run, NULL) != DRMAD_ERROR_NULL;
    done(&c, c.memory, c.d_h, c.w);
    hypergradients();
    if (!wrong) printf("%d faults, each with its code\n", faults);
    return wrong;
}
