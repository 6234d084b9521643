/* The interface from C on a host: the golden vectors, a hypergradient against finite differences, refusals,
 * and threads. Prints the vectors' lines and last their hash; returns nonzero where something is wrong. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drmad.h"
#include "vectors.h"

static int wrong;

#define EXPECT(condition)                                                                                 \
    do {                                                                                                  \
        if (!(condition)) {                                                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                               \
            wrong = 1;                                                                                    \
        }                                                                                                 \
    } while (0)

static void print(const char *line) { puts(line); }

/* ---- a small network, its hypergradient, and the same by finite differences ---- */

enum { EXAMPLES = 24, TRAIN = 16, INPUTS = 3, HIDDEN = 4, CLASSES = 2, T = 30 };
enum { WEIGHTS = (INPUTS + 1) * HIDDEN + (HIDDEN + 1) * CLASSES };

typedef struct small {
    drmad_layer layers[3];
    drmad_tuned tuned[4];
    float features[EXAMPLES * INPUTS], h[10];
    uint8_t labels[EXAMPLES];
    drmad_training training;
} small;

/* The blocks by `by`, with `h` in the parametrisation of each. */
static void small_training(small *s, const drmad_tuned *tuned, size_t tuned_len, const float *h) {
    memset(s, 0, sizeof *s);
    s->layers[0] = (drmad_layer){DRMAD_KIND_DENSE, HIDDEN};
    s->layers[1] = (drmad_layer){DRMAD_KIND_TANH, 0};
    s->layers[2] = (drmad_layer){DRMAD_KIND_DENSE, CLASSES};
    memcpy(s->tuned, tuned, tuned_len * sizeof *tuned);
    EXPECT(drmad_normal(7, 0.0f, 0, s->features, EXAMPLES * INPUTS) == 0);
    for (int i = 0; i < EXAMPLES; i++) s->labels[i] = s->features[i * INPUTS] > s->features[i * INPUTS + 1];
    s->training = (drmad_training){
        .abi = DRMAD_ABI, .arithmetic = DRMAD_ROUNDING_FUSED, .inputs = INPUTS, .layers = s->layers, .layers_len = 3,
        .train = {.len = TRAIN, .features = s->features, .labels = s->labels},
        .valid = {.len = EXAMPLES - TRAIN, .features = s->features + TRAIN * INPUTS, .labels = s->labels + TRAIN},
        .tuned = s->tuned, .tuned_len = tuned_len, .h = s->h,
        .rate = 0.5f, .momentum = 0.75f, .batch = 8, .steps = T, .seed = 1, .log_scale = -0.5f,
    };
    drmad_size sizes = {0, 0, 0};
    drmad_method hats = {0};
    EXPECT(drmad_sizes(&s->training, &hats, &sizes) == 0 && sizes.weights == WEIGHTS && sizes.hypers <= 10);
    s->training.h_len = sizes.hypers;
    memcpy(s->h, h, sizes.hypers * sizeof *h);
}

/* The words that a method needs, and memory of that size. */
static uint32_t *memory_for(const drmad_training *training, const drmad_method *method, size_t *words) {
    drmad_size sizes = {0, 0, 0};
    EXPECT(drmad_sizes(training, method, &sizes) == 0);
    *words = sizes.memory;
    return malloc(sizes.memory * sizeof(uint32_t));
}

static float trained_loss(const drmad_training *training) {
    drmad_method tape = {.name = DRMAD_METHOD_NAME_TAPE};
    size_t words = 0;
    float w[WEIGHTS], loss = NAN;
    uint32_t *memory = memory_for(training, &tape, &words);
    EXPECT(drmad_train(training, &tape, memory, words, w, WEIGHTS, &loss) == 0);
    free(memory);
    return loss;
}

/* The derivative by one number, central and of fourth order. Losses below 1 are good to some 1e-7, which a
 * step of .02 makes 1e-5. */
static double difference(const drmad_training *training, float *x) {
    const float at = *x, step = 0.02f;
    double loss[4];
    for (int i = 0; i < 4; i++) {
        static const float places[] = {-2.0f, -1.0f, 1.0f, 2.0f};
        *x = at + places[i] * step;
        loss[i] = trained_loss(training);
    }
    *x = at;
    return (loss[0] - 8 * loss[1] + 8 * loss[2] - loss[3]) / (12 * (double)step);
}

static void hypergradients(void) {
    static const drmad_tuned units[] = {{.what = DRMAD_WHAT_SCALE, .by = DRMAD_BY_UNIT}};
    static const float of_units[] = {0.0f, -0.2f, 0.2f, 0.1f, -0.1f, 0.0f, -0.35f};
    static const drmad_tuned layers[] = {
        {.what = DRMAD_WHAT_RATE, .by = DRMAD_BY_LAYER}, {.what = DRMAD_WHAT_PENALTY, .by = DRMAD_BY_LAYER},
        {.what = DRMAD_WHAT_MOMENTUM, .by = DRMAD_BY_LAYER}, {.what = DRMAD_WHAT_INITIAL_SCALE, .by = DRMAD_BY_LAYER},
    };
    static const float of_layers[] = {-0.7f, -0.8f, -3.5f, -3.0f, 1.1f, 1.0f, -0.5f, -0.6f};
    static const struct {
        const drmad_tuned *tuned;
        size_t tuned_len;
        const float *h;
        const char *second;
    } kinds[] = {{units, 1, of_units, "scale, layer 1, unit 1"}, {layers, 4, of_layers, "rate, layer 2"}};
    static const drmad_method exact[] = {
        {.name = DRMAD_METHOD_NAME_TAPE}, {.name = DRMAD_METHOD_NAME_CHECKPOINTS, .size = 4}, {.name = DRMAD_METHOD_NAME_FORWARD},
    };
    for (size_t kind = 0; kind < 2; kind++) {
        small s;
        small_training(&s, kinds[kind].tuned, kinds[kind].tuned_len, kinds[kind].h);
        const drmad_training *training = &s.training;
        char name[DRMAD_NAME_LEN];
        EXPECT(drmad_hyper_name(training, 1, name, sizeof name) == 0 && strcmp(name, kinds[kind].second) == 0);
        float before[10] = {0};
        for (size_t i = 0; i < 3; i++) {
            float d_h[10] = {0};
            drmad_result results = {.d_h = d_h, .d_h_len = training->h_len};
            size_t words = 0;
            uint32_t *memory = memory_for(training, &exact[i], &words);
            EXPECT(drmad_hypergradient(training, &exact[i], memory, words, &results) == 0);
            EXPECT(results.valid_loss == trained_loss(training));
            /* One word less is refused. */
            EXPECT(drmad_hypergradient(training, &exact[i], memory, words - 1, &results) == DRMAD_ERROR_LENGTH);
            free(memory);
            EXPECT(i != 1 || memcmp(before, d_h, sizeof d_h) == 0);
            for (size_t j = 0; i == 2 && j < training->h_len; j++) EXPECT(fabsf(d_h[j] - before[j]) < 1e-5f);
            memcpy(before, d_h, sizeof d_h);
        }
        for (size_t j = 0; j < training->h_len; j++) {
            double want = difference(training, &s.h[j]);
            EXPECT(drmad_hyper_name(training, j, name, sizeof name) == 0);
            if (!(fabs(before[j] - want) <= 1e-4 + 1e-3 * fabs(want))) {
                fprintf(stderr, "%s: %.7f, and %.7f by finite differences\n", name, before[j], want);
                wrong = 1;
            }
        }
    }
}

/* ---- refused calls leave everything as it was ---- */

static void refusals(void) {
    float x[4] = {1, 2, 3, 4}, y[4] = {5, 6, 7, 8};
    const float before[4] = {5, 6, 7, 8};
    EXPECT(drmad_add_scaled(DRMAD_ROUNDING_PLAIN, 2, NULL, y, 4) == DRMAD_ERROR_NULL);
    EXPECT(drmad_add_scaled(DRMAD_ROUNDING_PLAIN, 2, x, y, 0) == DRMAD_ERROR_EMPTY);
    EXPECT(drmad_add_scaled(2, 2, x, y, 4) == DRMAD_ERROR_ENUM);
    EXPECT(drmad_add_scaled(DRMAD_ROUNDING_PLAIN, 2, y + 1, y, 3) == DRMAD_ERROR_OVERLAP);
    EXPECT(drmad_add_scaled(DRMAD_ROUNDING_PLAIN, 2, x, y, SIZE_MAX / 2) == DRMAD_ERROR_SIZE);
    EXPECT(drmad_add_scaled(DRMAD_ROUNDING_PLAIN, NAN, x, y, 4) == DRMAD_ERROR_NOT_FINITE);
    EXPECT(memcmp(y, before, sizeof y) == 0);
    EXPECT(drmad_add_scaled(DRMAD_ROUNDING_PLAIN, 2, x, y, 4) == 0 && y[3] == 16);
    EXPECT(drmad_abi() == DRMAD_ABI && strlen(drmad_version()) >= 5);
    EXPECT(strstr(drmad_error_text(DRMAD_ERROR_NULL), "null") != NULL);
    EXPECT(strstr(drmad_error_text(-99), "not a code") != NULL);
}

/* ---- many threads, the same bits ---- */

static void *one_thread(void *to) {
    static const drmad_tuned penalties[] = {{.what = DRMAD_WHAT_PENALTY, .by = DRMAD_BY_LAYER}};
    static const float h[] = {-3.5f, -3.0f};
    small s;
    small_training(&s, penalties, 1, h);
    drmad_method hats = {0};
    drmad_result results = {.d_h = to, .d_h_len = 2};
    size_t words = 0;
    uint32_t *memory = memory_for(&s.training, &hats, &words);
    int32_t code = drmad_hypergradient(&s.training, &hats, memory, words, &results);
    free(memory);
    return code == 0 ? to : NULL;
}

static void threads(void) {
    enum { THREADS = 8 };
    pthread_t ids[THREADS];
    float d_h[THREADS][2];
    for (int i = 0; i < THREADS; i++) EXPECT(pthread_create(&ids[i], NULL, one_thread, d_h[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *done = NULL;
        EXPECT(pthread_join(ids[i], &done) == 0 && done != NULL);
        EXPECT(memcmp(d_h[0], d_h[i], sizeof d_h[0]) == 0);
    }
}

int main(void) {
    int line = 0;
    int32_t code = 0;
    uint64_t hash = vectors(print, &line, &code);
    if (hash == 0) fprintf(stderr, "vectors.c:%d: %s\n", line, drmad_error_text(code));
    wrong |= hash == 0;
    printf("hash %016llx\n", (unsigned long long)hash);
    hypergradients();
    refusals();
    threads();
    return wrong;
}
