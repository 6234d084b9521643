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

enum { INPUTS = 3, HIDDEN = 4, CLASSES = 2, TRAIN = 4, VALID = 2, STEPS = 5 };
enum { P = (INPUTS + 1) * HIDDEN + (HIDDEN + 1) * CLASSES, H = 4 };

/* A good call, all of it in blocks. */
typedef struct call {
    drmad_layer *layers;
    drmad_tuned *tuned;
    float *features, *valid, *h, *d_h, *d_w0;
    uint8_t *labels, *valid_labels;
    uint32_t *memory;
    size_t memory_len;
    drmad_training *training;
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

static call good(void) {
    call c = {
        .layers = block(3 * sizeof(drmad_layer)), .tuned = block(3 * sizeof(drmad_tuned)),
        .features = block(TRAIN * INPUTS * sizeof(float)), .valid = block(VALID * INPUTS * sizeof(float)),
        .h = block(H * sizeof(float)), .d_h = block(H * sizeof(float)), .d_w0 = block(P * sizeof(float)),
        .labels = block(TRAIN), .valid_labels = block(VALID), .training = block(sizeof(drmad_training)),
        .method = block(sizeof(drmad_method)), .results = block(sizeof(drmad_result)),
    };
    c.layers[0] = (drmad_layer){DRMAD_KIND_DENSE, HIDDEN};
    c.layers[1] = (drmad_layer){DRMAD_KIND_TANH, 0};
    c.layers[2] = (drmad_layer){DRMAD_KIND_DENSE, CLASSES};
    c.tuned[0] = (drmad_tuned){.what = DRMAD_WHAT_PENALTY, .by = DRMAD_BY_LAYER};
    c.tuned[1] = (drmad_tuned){.what = DRMAD_WHAT_RATE, .parametrisation = DRMAD_PARAMETRISATION_NATURAL};
    c.tuned[2] = (drmad_tuned){.what = DRMAD_WHAT_MOMENTUM, .parametrisation = DRMAD_PARAMETRISATION_NATURAL};
    for (int i = 0; i < TRAIN * INPUTS; i++) c.features[i] = (float)(i * 7 % 11) / 8 - 0.5f;
    for (int i = 0; i < VALID * INPUTS; i++) c.valid[i] = (float)(i * 5 % 11) / 8 - 0.5f;
    for (int i = 0; i < TRAIN; i++) c.labels[i] = (uint8_t)(i % CLASSES);
    for (int i = 0; i < VALID; i++) c.valid_labels[i] = (uint8_t)(i % CLASSES);
    c.h[0] = c.h[1] = -4.5f, c.h[2] = 0.5f, c.h[3] = 0.75f;
    for (int i = 0; i < H; i++) c.d_h[i] = MARK;
    for (int i = 0; i < P; i++) c.d_w0[i] = MARK;
    *c.training = (drmad_training){
        .abi = DRMAD_ABI, .arithmetic = DRMAD_ROUNDING_FUSED, .inputs = INPUTS, .layers = c.layers, .layers_len = 3,
        .train = {.len = TRAIN, .features = c.features, .labels = c.labels},
        .valid = {.len = VALID, .features = c.valid, .labels = c.valid_labels},
        .tuned = c.tuned, .tuned_len = 3, .h = c.h, .h_len = H,
        .momentum = 0.5f, .batch = 3, .steps = STEPS, .log_scale = -0.5f,
    };
    *c.method = (drmad_method){.name = DRMAD_METHOD_NAME_TAPE};
    *c.results = (drmad_result){.d_h = c.d_h, .d_h_len = H, .d_w0 = c.d_w0, .d_w0_len = P, .valid_loss = MARK};
    drmad_size sizes = {0, 0, 0};
    if (drmad_sizes(c.training, c.method, &sizes) != 0) exit(2);
    c.memory_len = sizes.memory;
    c.memory = block(c.memory_len * sizeof(uint32_t));
    return c;
}

static void done(call *c, uint32_t *memory, float *d_h, float *d_w0) {
    void *all[] = {c->layers, c->tuned, c->features, c->valid, c->h, d_h, d_w0, c->labels, c->valid_labels,
        memory, c->training, c->method, c->results};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The fault, the code it must have, and the call with it. */
#define FAULT(want, fault) FAULT_OF(want, fault, c.training, c.method, c.memory, c.memory_len, c.results)
#define FAULT_OF(want, fault, ...)                                                                            \
    do {                                                                                                      \
        call c = good();                                                                                      \
        uint32_t *memory = c.memory;                                                                          \
        float *d_h = c.d_h, *d_w0 = c.d_w0;                                                                   \
        fault;                                                                                                \
        int32_t code = drmad_hypergradient(__VA_ARGS__);                                                      \
        if (code != (want)) {                                                                                 \
            fprintf(stderr, "hostile.c:%d: %s: %d (%s), not %d\n", __LINE__, #fault, (int)code,               \
                drmad_error_text(code), (int)(want));                                                         \
            wrong = 1;                                                                                        \
        }                                                                                                     \
        for (int i = 0; i < H; i++) wrong |= d_h[i] != MARK;                                                  \
        for (int i = 0; i < P; i++) wrong |= d_w0[i] != MARK;                                                 \
        done(&c, memory, d_h, d_w0);                                                                          \
        faults++;                                                                                             \
    } while (0)

static void hypergradients(void) {
    /* Null where something is needed. */
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, NULL, c.method, c.memory, c.memory_len, c.results);
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, c.training, NULL, c.memory, c.memory_len, c.results);
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, c.training, c.method, NULL, c.memory_len, c.results);
    FAULT_OF(DRMAD_ERROR_NULL, (void)0, c.training, c.method, c.memory, c.memory_len, NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->layers = NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->tuned = NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->train.features = NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->train.labels = NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->valid.features = NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->valid.labels = NULL);
    FAULT(DRMAD_ERROR_NULL, c.training->h = NULL);
    FAULT(DRMAD_ERROR_NULL, c.results->d_h = NULL);

    /* Nothing. */
    FAULT(DRMAD_ERROR_EMPTY, c.training->train.len = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.training->valid.len = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.training->batch = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.training->steps = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.training->inputs = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.training->layers_len = 0);
    FAULT(DRMAD_ERROR_EMPTY, c.layers[0].units = 0);

    /* Too much. */
    FAULT(DRMAD_ERROR_SIZE, c.layers[0].units = SIZE_MAX);
    FAULT(DRMAD_ERROR_SIZE, c.training->inputs = SIZE_MAX / 2);
    FAULT(DRMAD_ERROR_SIZE, c.training->layers_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_LENGTH, c.training->h_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_SIZE, c.results->d_h_len = SIZE_MAX);
    FAULT(DRMAD_ERROR_LENGTH, c.results->d_w0_len = P - 1);
    FAULT(DRMAD_ERROR_SIZE, c.memory_len = SIZE_MAX);

    /* Out of order: no struct that was set, memory that was never asked for, a length too short by one. */
    FAULT(DRMAD_ERROR_ABI, memset(c.training, 0, sizeof *c.training));
    FAULT(DRMAD_ERROR_ABI, c.training->abi = DRMAD_ABI + 1);
    FAULT(DRMAD_ERROR_LENGTH, c.memory_len = 0);
    FAULT(DRMAD_ERROR_LENGTH, c.memory_len -= 1);
    FAULT(DRMAD_ERROR_LENGTH, c.training->steps += 1000);

    /* Memory that is another's. */
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = c.h);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = c.features);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = c.d_w0);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)c.memory);
    FAULT(DRMAD_ERROR_OVERLAP, c.training->h = (float *)c.memory);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)(void *)c.results);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)(void *)c.training);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)(void *)c.layers);
    FAULT(DRMAD_ERROR_OVERLAP, c.results->d_h = (float *)(void *)c.tuned);
    FAULT(DRMAD_ERROR_MISALIGNED, c.results->d_h = (float *)(void *)((char *)c.d_h + 1));
    FAULT(DRMAD_ERROR_MISALIGNED, c.memory = (uint32_t *)(void *)((char *)c.memory + 2));

    /* Numbers that are none, and values that do not exist. */
    FAULT(DRMAD_ERROR_NOT_FINITE, c.features[11] = NAN);
    FAULT(DRMAD_ERROR_NOT_FINITE, c.valid[5] = NAN);
    FAULT(DRMAD_ERROR_NOT_FINITE, c.h[1] = INFINITY);
    FAULT(DRMAD_ERROR_NOT_FINITE, c.training->l2 = -INFINITY);
    FAULT(DRMAD_ERROR_RANGE, c.h[0] = 1000.0f);
    FAULT(DRMAD_ERROR_RANGE, c.h[3] = 1.0f);
    FAULT(DRMAD_ERROR_DIVERGED, c.h[2] = 1e38f);
    FAULT(DRMAD_ERROR_INDEX, c.labels[3] = CLASSES);
    FAULT(DRMAD_ERROR_INDEX, c.valid_labels[1] = CLASSES);
    FAULT(DRMAD_ERROR_ENUM, c.training->arithmetic = 2);
    FAULT(DRMAD_ERROR_ENUM, c.training->optimizer = -1);
    FAULT(DRMAD_ERROR_ENUM, c.training->loss = 2);
    FAULT(DRMAD_ERROR_ENUM, c.layers[1].kind = 3);
    FAULT(DRMAD_ERROR_ENUM, c.tuned[0].what = 7);
    FAULT(DRMAD_ERROR_ENUM, c.tuned[0].by = 5);
    FAULT(DRMAD_ERROR_ENUM, c.tuned[1].each_step = 2);
    FAULT(DRMAD_ERROR_ENUM, c.tuned[2].parametrisation = 4);
    FAULT(DRMAD_ERROR_ENUM, c.method->name = 14);
    FAULT(DRMAD_ERROR_UNSUPPORTED, c.tuned[2].what = DRMAD_WHAT_RATE);
    FAULT(DRMAD_ERROR_UNSUPPORTED, c.layers[2].kind = DRMAD_KIND_TANH; c.layers[2].units = 0);
}

int main(void) {
    /* Without a fault it works, in just these blocks. */
    call c = good();
    int32_t code = drmad_hypergradient(c.training, c.method, c.memory, c.memory_len, c.results);
    if (code != 0 || !isfinite(c.d_h[0]) || c.d_h[0] == MARK || c.d_w0[P - 1] == MARK) {
        fprintf(stderr, "hostile.c: the good call: %s\n", drmad_error_text(code));
        wrong = 1;
    }
    /* Weights of before in the place where the next are wanted: read and written. */
    float loss = MARK;
    code = drmad_valid_loss(c.training, (uint32_t *)(void *)c.d_w0, P, c.d_w0, P, &loss);
    wrong |= code != DRMAD_ERROR_OVERLAP || loss != MARK;
    wrong |= drmad_sizes(NULL, NULL, NULL) != DRMAD_ERROR_NULL;
    wrong |= drmad_sizes(c.training, c.method, NULL) != DRMAD_ERROR_NULL;
    done(&c, c.memory, c.d_h, c.d_w0);
    hypergradients();
    if (!wrong) printf("%d faults, each with its code\n", faults);
    return wrong;
}
