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
    size_t widths[3];
    float features[EXAMPLES * INPUTS], h[9], rate, momentum, log_scale;
    uint8_t labels[EXAMPLES];
    uint32_t valid[EXAMPLES - TRAIN];
    drmad_run run;
} small;

static void small_run(small *s, int32_t scale, int32_t penalty, const float *h, size_t h_len) {
    memset(s, 0, sizeof *s);
    s->widths[0] = INPUTS;
    s->widths[1] = HIDDEN;
    s->widths[2] = CLASSES;
    EXPECT(drmad_normal(7, 0.0f, 0, s->features, EXAMPLES * INPUTS) == 0);
    for (int i = 0; i < EXAMPLES; i++) s->labels[i] = s->features[i * INPUTS] > s->features[i * INPUTS + 1];
    for (uint32_t i = TRAIN; i < EXAMPLES; i++) s->valid[i - TRAIN] = i;
    memcpy(s->h, h, h_len * sizeof *h);
    s->rate = 0.5f;
    s->momentum = 0.75f;
    s->log_scale = -0.5f;
    drmad_run run = {
        .abi = DRMAD_ABI, .arithmetic = DRMAD_ROUNDING_FUSED, .widths = s->widths, .widths_len = 3,
        .features = s->features, .labels = s->labels, .examples = EXAMPLES, .train = TRAIN,
        .valid = s->valid, .valid_len = EXAMPLES - TRAIN, .batch = 8, .batch_seed = 1,
        .scale = {scale, 0}, .penalty = {penalty, 1}, .h = s->h, .h_len = h_len,
        .rates = &s->rate, .rates_len = 1, .momenta = &s->momentum, .momenta_len = 1, .steps = T,
        .w0_seed = 2, .log_scales = &s->log_scale, .log_scales_len = 1,
    };
    s->run = run;
}

static float trained_loss(const drmad_run *run) {
    size_t words = 0;
    float w[WEIGHTS], loss = NAN;
    EXPECT(drmad_train_required_len(run, &words) == 0);
    uint32_t *memory = malloc(words * sizeof *memory);
    EXPECT(drmad_train(run, memory, words, w, WEIGHTS, &loss) == 0);
    free(memory);
    return loss;
}

/* The derivative by one number, central and of fourth order. Losses below 1 are good to some 1e-7, which a
 * step of .02 makes 1e-5, and the .004 that the penalties' larger higher derivatives ask for 4e-5. */
static double difference(const drmad_run *run, float *x, float step) {
    const float at = *x;
    double loss[4];
    for (int i = 0; i < 4; i++) {
        static const float places[] = {-2.0f, -1.0f, 1.0f, 2.0f};
        *x = at + places[i] * step;
        loss[i] = trained_loss(run);
    }
    *x = at;
    return (loss[0] - 8 * loss[1] + 8 * loss[2] - loss[3]) / (12 * (double)step);
}

static void expect_near(const char *what, double got, double want) {
    if (!(fabs(got - want) <= 1e-4 + 1e-3 * fabs(want))) {
        fprintf(stderr, "%s: %.7f, and %.7f by finite differences\n", what, got, want);
        wrong = 1;
    }
}

static void hypergradients(void) {
    static const float scales[] = {1.0f, 0.8f, 1.2f, 1.1f, 0.9f, 1.0f, 0.7f};
    static const float penalties[] = {0.03f, 0.05f};
    static const float both[] = {0.9f, 0.02f};
    static const struct {
        int32_t scale, penalty;
        const float *h;
        size_t h_len;
    } kinds[] = {
        {DRMAD_SHARE_UNIT, DRMAD_SHARE_NONE, scales, 7},
        {DRMAD_SHARE_NONE, DRMAD_SHARE_LAYER, penalties, 2},
        {DRMAD_SHARE_GLOBAL, DRMAD_SHARE_GLOBAL, both, 2},
    };
    static const int32_t exact[] = {DRMAD_PATH_TAPE, DRMAD_PATH_CHECKPOINTS};
    for (size_t kind = 0; kind < 3; kind++) {
        small s;
        small_run(&s, kinds[kind].scale, kinds[kind].penalty, kinds[kind].h, kinds[kind].h_len);
        drmad_size sizes;
        EXPECT(drmad_sizes(&s.run, &sizes) == 0);
        EXPECT(sizes.weights == WEIGHTS && sizes.hypers == kinds[kind].h_len);
        float before[9], d_rate = 0, d_momentum = 0, d_log_scale = 0;
        for (size_t i = 0; i < 2; i++) {
            float d_h[9] = {0};
            drmad_method method = {.path = exact[i], .size = 4};
            drmad_result results = {
                .d_h = d_h, .d_h_len = s.run.h_len, .d_rates = &d_rate, .d_rates_len = 1,
                .d_momenta = &d_momentum, .d_momenta_len = 1, .d_log_scales = &d_log_scale, .d_log_scales_len = 1,
            };
            size_t words = 0;
            EXPECT(drmad_hypergradient_required_len(&s.run, &method, &results, &words) == 0);
            uint32_t *memory = malloc(words * sizeof *memory);
            EXPECT(drmad_hypergradient(&s.run, &method, memory, words, &results) == 0);
            EXPECT(results.steps_back == T && results.valid_loss == trained_loss(&s.run));
            /* One word less is refused. */
            EXPECT(drmad_hypergradient(&s.run, &method, memory, words - 1, &results) == DRMAD_ERROR_LENGTH);
            free(memory);
            EXPECT(i == 0 || memcmp(before, d_h, sizeof d_h) == 0);
            memcpy(before, d_h, sizeof d_h);
        }
        for (size_t i = 0; i < s.run.h_len; i++) {
            float step = i < sizes.scales ? 0.02f : 0.004f;
            expect_near("d_h", before[i], difference(&s.run, &s.h[i], step));
        }
        expect_near("d_rates", d_rate, difference(&s.run, &s.rate, 0.02f));
        expect_near("d_momenta", d_momentum, difference(&s.run, &s.momentum, 0.02f));
        expect_near("d_log_scales", d_log_scale, difference(&s.run, &s.log_scale, 0.02f));
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
    static const float h[] = {0.03f, 0.05f};
    small s;
    small_run(&s, DRMAD_SHARE_NONE, DRMAD_SHARE_LAYER, h, 2);
    drmad_method method = {0};
    drmad_result results = {.d_h = to, .d_h_len = 2};
    size_t words = 0;
    int32_t code = drmad_hypergradient_required_len(&s.run, &method, &results, &words);
    uint32_t *memory = malloc(words * sizeof *memory);
    if (code == 0) code = drmad_hypergradient(&s.run, &method, memory, words, &results);
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
