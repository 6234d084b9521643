/* Every kernel, and whole trainings with their sweeps, by the inputs of golden/ (tests/golden/main.rs):
 * SplitMix64 noise, exact in float. No library is needed, so that the same file runs anywhere. Compile it
 * with -ffp-contract=off: a compiler that fuses the products here would change the inputs. */
#include "vectors.h"

#include "drmad.h"

#define COUNT(x) (sizeof(x) / sizeof((x)[0]))
#define CHECK(call)                                                                                       \
    do {                                                                                                  \
        int32_t code_ = (call);                                                                           \
        if (code_ != 0 && failed_line == 0) {                                                             \
            failed_line = __LINE__;                                                                       \
            failed_code = code_;                                                                          \
        }                                                                                                 \
    } while (0)

static int failed_line;
static int32_t failed_code;

/* ---- noise ---- */

static uint64_t noise_state;

static void noise(uint64_t seed) { noise_state = seed; }

static uint64_t noise_word(void) {
    noise_state += 0x9e3779b97f4a7c15u;
    uint64_t z = (noise_state ^ (noise_state >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void numbers(float *x, size_t n, float scale) {
    for (size_t i = 0; i < n; i++) {
        float unit = (float)(noise_word() >> 40) / 8388608.0f - 1.0f;
        x[i] = scale * unit;
    }
}

/* ---- lines ---- */

static void (*put_line)(const char *);
static uint64_t all_lines;

static const uint64_t FNV_START = 0xcbf29ce484222325u;

static uint64_t fnv(uint64_t hash, uint8_t byte) { return (hash ^ byte) * 0x100000001b3u; }

static char *text(char *to, const char *from) {
    while (*from) *to++ = *from++;
    return to;
}

static char *hex(char *to, uint64_t x, int digits) {
    while (digits-- > 0) *to++ = "0123456789abcdef"[(x >> (4 * digits)) & 15];
    return to;
}

static char *decimal(char *to, size_t n) {
    char digits[20];
    int len = 0;
    do digits[len++] = (char)('0' + n % 10);
    while (n /= 10);
    while (len > 0) *to++ = digits[--len];
    return to;
}

static void put_words(const char *name, const char *what, const char *arithmetic, const uint32_t *x, size_t n) {
    char line[256], *to = line;
    to = text(text(to, name), what);
    to = text(text(text(to, " "), arithmetic), " ");
    if (n <= 16) {
        for (size_t i = 0; i < n; i++) {
            if (i > 0) *to++ = ' ';
            to = hex(to, x[i], 8);
        }
    } else {
        uint64_t hash = FNV_START;
        for (size_t i = 0; i < n; i++)
            for (int byte = 0; byte < 4; byte++) hash = fnv(hash, (uint8_t)(x[i] >> (8 * byte)));
        to = text(to, "fnv1a64:");
        to = decimal(to, n);
        *to++ = ':';
        to = hex(to, hash, 16);
    }
    *to = 0;
    for (const char *c = line; *c; c++) all_lines = fnv(all_lines, (uint8_t)*c);
    all_lines = fnv(all_lines, '\n');
    put_line(line);
}

#define MOST 2048
static uint32_t bits[MOST];

static void put(const char *name, const char *what, const char *arithmetic, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        union {
            float number;
            uint32_t word;
        } one;
        one.number = x[i];
        bits[i] = one.word;
    }
    put_words(name, what, arithmetic, bits, n);
}

static const char *const NAMES[] = {"plain", "fused"};

/* ---- kernels ---- */

#define N 203

static float x[N], y[N], z[N], v[N], w[N], d[N], a[7], out[MOST], arguments[MOST];
static float first[N], second[N], third[N], packed[2048];

static void copy(float *to, const float *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}

static void products(int32_t by) {
    static const struct {
        const char *name;
        int32_t operands;
        size_t rows, inner, columns;
    } all[] = {
        {"matmul_nn_7x13x61", DRMAD_OPERANDS_NN, 7, 13, 61}, {"matmul_nn_3x40x2", DRMAD_OPERANDS_NN, 3, 40, 2},
        {"matmul_tn_7x13x61", DRMAD_OPERANDS_TN, 7, 13, 61}, {"matmul_tn_3x40x2", DRMAD_OPERANDS_TN, 3, 40, 2},
        {"matmul_nt_7x13x61", DRMAD_OPERANDS_NT, 7, 13, 61}, {"matmul_nt_3x40x2", DRMAD_OPERANDS_NT, 3, 40, 2},
    };
    static float left[120], right[793], sums[427];
    for (size_t i = 0; i < COUNT(all); i++) {
        drmad_product shape = {all[i].operands, 1, all[i].rows, all[i].inner, all[i].columns};
        size_t len = 0;
        noise(201);
        numbers(left, shape.rows * shape.inner, 1.0f);
        numbers(right, shape.inner * shape.columns, 1.0f);
        numbers(sums, shape.rows * shape.columns, 1.0f);
        CHECK(drmad_matmul_required_len(&shape, &len));
        CHECK(len <= COUNT(packed) ? 0 : DRMAD_ERROR_LENGTH);
        CHECK(drmad_matmul(by, &shape, left, right, sums, packed, len));
        put(all[i].name, "", NAMES[by], sums, shape.rows * shape.columns);
    }
}

static void functions(int32_t by) {
    size_t n = 0;
    for (int i = -1000; i <= 1000; i++) arguments[n++] = (float)i / 10.0f;
    arguments[n++] = -0.0f;
    arguments[n++] = 1.17549435e-38f;
    arguments[n++] = 3.40282347e+38f;
    arguments[n++] = -3.40282347e+38f;
    union {
        uint32_t word;
        float number;
    } infinity = {0x7f800000};
    arguments[n++] = infinity.number;
    CHECK(drmad_exp(by, arguments, out, n));
    put("exp", "", NAMES[by], out, n);
    for (size_t i = 0; i < n; i++) out[i] = 0.1f * arguments[i];
    CHECK(drmad_tanh(by, out, n));
    put("tanh", "", NAMES[by], out, n);
    /* The magnitude: -0 has one, too. */
    for (size_t i = 0; i < n; i++) arguments[i] = arguments[i] > 0 ? arguments[i] : 0.0f - arguments[i];
    CHECK(drmad_ln(by, arguments, out, n));
    put("ln", "", NAMES[by], out, n);
}

static void kernels(int32_t by) {
    const char *const name = NAMES[by];
    noise(200);
    numbers(x, N, 1.0f);
    numbers(y, N, 3.0f);
    numbers(z, N, 0.1f);
    numbers(a, 7, 1.0f);

    copy(v, x, N);
    copy(w, y, N);
    CHECK(drmad_momentum_step(by, 0.3f, 0.9f, z, v, w, N));
    put("momentum_step_v", "", name, v, N);
    put("momentum_step_w", "", name, w, N);
    copy(v, x, N);
    CHECK(drmad_momentum_adjoint(by, 0.3f, 0.9f, y, v, d, N));
    put("momentum_adjoint_d_v", "", name, v, N);
    put("momentum_adjoint_d_g", "", name, d, N);

    CHECK(drmad_between(by, 3, 7, x, y, out, N));
    put("between_3_of_7", "", name, out, N);
    copy(out, y, N);
    CHECK(drmad_add_scaled(by, 0.3f, x, out, N));
    put("add_scaled", "", name, out, N);
    copy(out, y, N);
    CHECK(drmad_add_scaled_rows(by, 7, 29, a, x, out));
    put("add_scaled_rows", "", name, out, N);
    copy(out, a, 3);
    CHECK(drmad_add_row_dots(by, 3, 67, x, y, out));
    put("add_row_dots", "", name, out, 3);
    copy(out, z, N);
    CHECK(drmad_add_row_dots(by, N, 1, x, y, out));
    put("add_row_dots_of_one", "", name, out, N);
    CHECK(drmad_dot(by, x, y, N, out));
    put("dot", "", name, out, 1);
    CHECK(drmad_dot(by, x, y, 33, out));
    put("dot_of_33", "", name, out, 1);

    products(by);
    functions(by);

    copy(first, x, N);
    CHECK(drmad_tanh(by, first, N));
    copy(d, y, N);
    CHECK(drmad_tanh_adjoint(by, first, d, N));
    put("tanh_adjoint", "", name, d, N);
    copy(d, y, N);
    copy(second, z, N);
    CHECK(drmad_tanh_adjoint_r(by, first, z, d, second, N));
    put("tanh_adjoint_r", "", name, second, N);
    copy(second, y, N);
    CHECK(drmad_softmax(by, 7, 29, second, first, out));
    put("softmax", "", name, first, N);
    put("softmax_shifted", "", name, second, N);
    put("softmax_log_sums", "", name, out, 7);
    copy(third, x, N);
    CHECK(drmad_softmax_r(by, 7, 29, first, third));
    put("softmax_r", "", name, third, N);
}

static void rules(int32_t by) {
    const char *const name = NAMES[by];
    static float n[N], d_v[N], d_n[N], d_w[N], before[N];
    noise(205);
    numbers(x, N, 1.0f); /* the gradient */
    numbers(v, N, 1.0f);
    numbers(w, N, 3.0f);
    numbers(n, N, 1.0f);
    for (size_t i = 0; i < N; i++) n[i] = n[i] * n[i];
    numbers(d_v, N, 1.0f);
    numbers(d_n, N, 1.0f);
    numbers(d_w, N, 1.0f);

    copy(first, v, N);
    copy(second, w, N);
    CHECK(drmad_nesterov_step(by, 0.3f, 0.9f, x, first, second, N));
    put("nesterov_step_v", "", name, first, N);
    put("nesterov_step_w", "", name, second, N);
    CHECK(drmad_nesterov_by_step(by, 0.3f, 0.9f, v, x, d_w, d_v, out, N));
    put("nesterov_by_step", "", name, out, 2);
    copy(before, d_v, N);
    CHECK(drmad_nesterov_adjoint(by, 0.3f, 0.9f, d_w, before, d, N));
    put("nesterov_adjoint_d_v", "", name, before, N);
    put("nesterov_adjoint_d_g", "", name, d, N);

    drmad_adam adam = {4, 0.3f, 0.9f, 0.99f, 1e-4f, 0.1f};
    copy(first, v, N);
    copy(second, n, N);
    copy(third, w, N);
    CHECK(drmad_adam_step(by, &adam, x, first, second, third, N));
    put("adam_step_m", "", name, first, N);
    put("adam_step_n", "", name, second, N);
    put("adam_step_w", "", name, third, N);
    CHECK(drmad_adam_by_step(by, &adam, x, v, n, w, d_w, d_v, out, N));
    put("adam_by_step", "", name, out, 2);
    CHECK(drmad_adam_adjoint(by, &adam, x, v, n, d_w, d_v, d_n, d, N));
    put("adam_adjoint_d_w", "", name, d_w, N);
    put("adam_adjoint_d_m", "", name, d_v, N);
    put("adam_adjoint_d_n", "", name, d_n, N);
    put("adam_adjoint_d_g", "", name, d, N);
}

static void quantised(uint32_t levels) {
    char name[32];
    uint32_t code[32];
    size_t block = 0, words = 0;
    CHECK(drmad_quantise_block(levels, &block, &words));
    noise(202);
    numbers(x, block, 0.1f);
    CHECK(drmad_quantise(levels, x, block, code, words));
    *text(decimal(text(name, "encode_"), levels), "_levels") = 0;
    put_words(name, "", "any", code, words);
    *text(decimal(text(name, "decode_"), levels), "_levels") = 0;
    for (int32_t by = DRMAD_ROUNDING_PLAIN; by <= DRMAD_ROUNDING_FUSED; by++) {
        noise(203);
        numbers(y, block, 1.0f);
        CHECK(drmad_dequantise(by, levels, code, words, y, block));
        put(name, "", NAMES[by], y, block);
    }
}

static void kernels_in_any_arithmetic(void) {
    noise(200);
    numbers(x, N, 1.0f);
    noise(204);
    numbers(a, 7, 1.0f);
    CHECK(drmad_sum(x, N, out));
    put("sum", "", "any", out, 1);
    CHECK(drmad_scale(0.3f, x, out, N));
    put("scale", "", "any", out, N);
    CHECK(drmad_scale_rows(7, 29, a, x, out));
    put("scale_rows", "", "any", out, N);
    copy(out, a, 7);
    CHECK(drmad_add_row_sums(7, 29, x, out));
    put("add_row_sums", "", "any", out, 7);
    for (size_t i = 0; i < 28; i++) out[i] = a[i % 7];
    CHECK(drmad_add_rows(7, 28, x, out));
    put("add_rows", "", "any", out, 28);
    quantised(3);
    quantised(7);
    quantised(11);
    quantised(15);
    quantised(255);
    uint32_t batch[16];
    CHECK(drmad_batch(1, 100, 7, batch, 16));
    put_words("batch", "", "any", batch, 16);
    CHECK(drmad_normal(2, -1.0f, 0, out, N));
    put("normal", "", "any", out, N);
}

/* ---- whole trainings ---- */

#define P 74
#define STEPS 20
#define TENSORS 6

/* The hyperparameters, block after block, and where the blocks begin. */
enum { SCALES = 0, PENALTIES = SCALES + 15, RATES = PENALTIES + TENSORS, MOMENTA = RATES + STEPS * TENSORS, H = MOMENTA + TENSORS };

static float features[12 * 6], h[H], initial[P], losses[STEPS];
static uint8_t labels[12];
static uint32_t memory[8192];

static void learnable(void) {
    static float teacher[6 * 3];
    noise(1);
    numbers(teacher, COUNT(teacher), 1.0f);
    noise(2);
    numbers(features, COUNT(features), 1.0f);
    for (size_t i = 0; i < 12; i++) {
        float best = 0.0f;
        for (uint8_t class = 0; class < 3; class++) {
            float score = 0.0f;
            for (size_t j = 0; j < 6; j++) {
                float term = features[6 * i + j] * teacher[3 * j + class];
                score = score + term;
            }
            if (class == 0 || score >= best) {
                best = score;
                labels[i] = class;
            }
        }
    }
}

static void note_loss(void *context, size_t step, float loss) { ((float *)context)[step] = loss; }

static const float LOW[TENSORS] = {0.5f, 0.6f, 0.7f, 0.8f, 0.9f, 0.0f};
static const float HIGH[TENSORS] = {0.8f, 0.85f, 0.9f, 0.95f, 0.875f, 0.9f};

static drmad_training small(int32_t by) {
    static const drmad_layer layers[] = {
        {DRMAD_KIND_DENSE, 5}, {DRMAD_KIND_TANH, 0}, {DRMAD_KIND_DENSE, 4}, {DRMAD_KIND_TANH, 0}, {DRMAD_KIND_DENSE, 3},
    };
    static const drmad_tuned tuned[] = {
        {DRMAD_WHAT_SCALE, DRMAD_BY_UNIT, 0, DRMAD_PARAMETRISATION_NATURAL},
        {DRMAD_WHAT_PENALTY, DRMAD_BY_TENSOR, 0, DRMAD_PARAMETRISATION_NATURAL},
        {DRMAD_WHAT_RATE, DRMAD_BY_TENSOR, 1, DRMAD_PARAMETRISATION_NATURAL},
        {DRMAD_WHAT_MOMENTUM, DRMAD_BY_TENSOR, 0, DRMAD_PARAMETRISATION_NATURAL},
    };
    drmad_training training = {
        .abi = DRMAD_ABI, .arithmetic = by, .inputs = 6, .layers = layers, .layers_len = COUNT(layers),
        .train = {.len = 8, .features = features, .labels = labels},
        .valid = {.len = 4, .features = features + 8 * 6, .labels = labels + 8},
        .tuned = tuned, .tuned_len = COUNT(tuned), .h = h, .h_len = H,
        .momentum = HIGH[0], .batch = 5, .microbatch = 4, .steps = STEPS, .seed = 3,
        .initial = initial, .initial_len = P, .each = note_loss, .context = losses,
    };
    return training;
}

/* Checks that the memory is enough; returns its words. */
static size_t words(const drmad_training *training, const drmad_method *method) {
    drmad_size sizes = {0, 0, 0};
    CHECK(drmad_sizes(training, method, &sizes));
    CHECK(sizes.memory <= COUNT(memory) && sizes.weights == P ? 0 : DRMAD_ERROR_LENGTH);
    return sizes.memory;
}

static float train(const drmad_training *training, const drmad_method *method, float *to) {
    float loss = 0;
    CHECK(drmad_train(training, method, memory, words(training, method), to, P, &loss));
    return loss;
}

static void sweep(const char *name, const drmad_training *training, const drmad_method *method, int whole) {
    static float d_h[H], d_w0[P], trained[P];
    const char *const arithmetic = NAMES[training->arithmetic];
    drmad_result results = {.d_h = d_h, .d_h_len = H, .d_w0 = d_w0, .d_w0_len = P};
    CHECK(drmad_hypergradient(training, method, memory, words(training, method), &results));
    if (whole) {
        put(name, "_losses", arithmetic, losses, STEPS);
        float loss = train(training, method, trained);
        CHECK(loss == results.valid_loss ? 0 : DRMAD_ERROR_INTERNAL);
        put(name, "_w_T", arithmetic, trained, P);
        put(name, "_valid_loss", arithmetic, &loss, 1);
    }
    put(name, "_d_h", arithmetic, d_h, RATES);
    put(name, "_d_w_0", arithmetic, d_w0, P);
    put(name, "_d_rates", arithmetic, d_h + RATES, MOMENTA - RATES);
    put(name, "_d_momenta", arithmetic, d_h + MOMENTA, H - MOMENTA);
}

/* Implicit differentiation at weights that were trained otherwise: a training that begins with them and stays
 * there. (It knows no derivative by rates and momenta, so that these are not tuned here.) */
static void implicit(const drmad_training *trained_by) {
    static float d_h[RATES], trained[P];
    drmad_method tape = {.name = DRMAD_METHOD_NAME_TAPE}, method = {.name = DRMAD_METHOD_NAME_IMPLICIT, .size = 6, .damping = 1.0f};
    train(trained_by, &tape, trained);
    drmad_training there = *trained_by;
    there.tuned_len = 2;
    there.h_len = RATES;
    there.rate = 0;
    there.steps = 1;
    there.initial = trained;
    drmad_result results = {.d_h = d_h, .d_h_len = RATES};
    CHECK(drmad_hypergradient(&there, &method, memory, words(&there, &method), &results));
    put("conjugate_gradients", "_d_h", NAMES[there.arithmetic], d_h, RATES);
}

static void trainings(int32_t by) {
    learnable();
    CHECK(drmad_normal(4, -0.5f, 0, initial, P));
    noise(210);
    numbers(h + SCALES, PENALTIES - SCALES, 0.3f);
    numbers(h + PENALTIES, RATES - PENALTIES, 1.0f);
    for (size_t i = PENALTIES; i < RATES; i++) h[i] = h[i] - 5.0f;
    CHECK(drmad_value(by, DRMAD_PARAMETRISATION_LOG, h, RATES));
    numbers(h + RATES, MOMENTA - RATES, 0.2f);
    for (size_t i = RATES; i < MOMENTA; i++) h[i] = 0.5f + h[i];

    static const struct {
        const char *name;
        int whole;
        const float *momenta;
        drmad_method method;
    } all[] = {
        {"tape", 1, LOW, {.name = DRMAD_METHOD_NAME_TAPE}},
        {"line", 0, LOW, {.name = DRMAD_METHOD_NAME_LINE}},
        {"hats_11_levels", 0, LOW, {.name = DRMAD_METHOD_NAME_HATS, .size = 4, .spacing = 1.5f, .tail = DRMAD_TAIL_NONE}},
        {"reversible", 1, HIGH, {.name = DRMAD_METHOD_NAME_REVERSIBLE}},
        {"reversed", 0, HIGH, {.name = DRMAD_METHOD_NAME_REVERSED}},
        {"hats_11_levels_tail", 0, HIGH, {.name = DRMAD_METHOD_NAME_HATS, .size = 4, .spacing = 1.5f, .tail = 8}},
        {"last_steps", 0, HIGH, {.name = DRMAD_METHOD_NAME_TAPE, .last = 8}},
        {"knots_255_levels", 0, HIGH, {.name = DRMAD_METHOD_NAME_KNOTS, .size = 4, .levels = 255}},
        {"hermite_255_levels", 0, HIGH, {.name = DRMAD_METHOD_NAME_HERMITE, .size = 4, .levels = 255}},
        {"legendre", 0, HIGH, {.name = DRMAD_METHOD_NAME_LEGENDRE, .size = 5}},
        {"checkpoints", 0, LOW, {.name = DRMAD_METHOD_NAME_CHECKPOINTS, .size = 4}},
    };
    drmad_training training = small(by);
    for (size_t i = 0; i < COUNT(all); i++) {
        copy(h + MOMENTA, all[i].momenta, TENSORS);
        sweep(all[i].name, &training, &all[i].method, all[i].whole);
    }
    /* With the low momenta of the last. */
    implicit(&training);

    drmad_method tape = {.name = DRMAD_METHOD_NAME_TAPE};
    training.optimizer = DRMAD_OPTIMIZER_NESTEROV;
    sweep("nesterov", &training, &tape, 1);

    for (size_t i = RATES; i < MOMENTA; i++) h[i] = h[i] * 0.0625f;
    training.optimizer = DRMAD_OPTIMIZER_ADAM;
    training.b2 = 0.99f;
    training.eps = 1e-4f;
    training.decay = 0.1f;
    sweep("adam", &training, &tape, 1);
}

uint64_t vectors(void (*to)(const char *line), int *line, int32_t *code) {
    put_line = to;
    all_lines = FNV_START;
    failed_line = 0;
    failed_code = 0;
    for (int32_t by = DRMAD_ROUNDING_PLAIN; by <= DRMAD_ROUNDING_FUSED; by++) {
        kernels(by);
        rules(by);
        trainings(by);
    }
    kernels_in_any_arithmetic();
    *line = failed_line;
    *code = failed_code;
    return failed_line == 0 ? all_lines : 0;
}
