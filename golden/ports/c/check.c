/* check FILE...: computes every golden vector again in both arithmetics and compares all words. Prints how
   many files passed; fails where one did not, or is of a kernel that the port does not know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drmad.h"

/* The file: a flat object of strings without escapes, each value words in hex. */
typedef struct { char key[64]; uint32_t *words; size_t len; int compared; } Entry;

static Entry entries[64];
static size_t count;
static char kernel[64];
static const char *file;
static int differences;

static void die(const char *what, const char *name) {
    fprintf(stderr, "%s: %s %s\n", file, what, name);
    exit(1);
}

/* What stands between the next two quotation marks from *at on; NULL after the last. */
static char *next_string(char **at) {
    char *start = strchr(*at, '"'), *end = start ? strchr(start + 1, '"') : NULL;
    if (!end) return NULL;
    *end = 0;
    *at = end + 1;
    return start + 1;
}

static void load(void) {
    FILE *f = fopen(file, "rb");
    if (!f) die("cannot open", "");
    static char text[1 << 20];
    size_t len = fread(text, 1, sizeof text - 1, f);
    text[len] = 0;
    fclose(f);
    while (count > 0) free(entries[--count].words);
    kernel[0] = 0;
    char *at = text, *key, *value;
    while ((key = next_string(&at)) && (value = next_string(&at))) {
        if (strlen(key) >= sizeof kernel || strlen(value) / 9 >= 1 << 20) die("too long", key);
        if (strcmp(key, "kernel") == 0) {
            if (strlen(value) >= sizeof kernel) die("too long", value);
            strcpy(kernel, value);
            continue;
        }
        if (count == sizeof entries / sizeof *entries) die("too many entries", key);
        Entry *e = &entries[count++];
        *e = (Entry){.words = malloc(strlen(value) / 2 + 8)};
        strcpy(e->key, key);
        for (char *end; *value; value = end) {
            e->words[e->len++] = (uint32_t)strtoul(value, &end, 16);
            if (end == value) die("no words in", key);
        }
    }
}

static Entry *find(const char *role, const char *type, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "%s %s %s", role, type, name);
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].key, key) == 0) return &entries[i];
    return NULL;
}

/* Inputs: copies, so that a kernel may change them. */
static Entry *input(const char *type, const char *name) {
    Entry *e = find("in", type, name);
    if (!e) die("no input", name);
    return e;
}

static size_t len(const char *name) { return input("f32", name)->len; }

static float *numbers(const char *name) {
    Entry *e = input("f32", name);
    float *x = scratch(e->len);
    memcpy(x, e->words, e->len * sizeof *x);
    return x;
}

static float number(const char *name) { return *numbers(name); }
static const uint32_t *words(const char *name) { return input("u32", name)->words; }
static uint32_t word(const char *name) { return *words(name); }
static uint64_t high_first(const uint32_t *w) { return (uint64_t)w[0] << 32 | w[1]; }
static uint64_t long_word(const char *name) { return high_first(input("u64", name)->words); }

/* Results. */
static void compare(const char *type, const char *name, size_t n, const uint32_t *got) {
    Entry *e = find("out", type, name);
    if (!e) e = find(drmad_fused ? "fused" : "plain", type, name);
    if (!e) die("no result", name);
    e->compared = 1;
    for (size_t i = 0; i < n || i < e->len; i++)
        if (i >= n || i >= e->len || got[i] != e->words[i]) {
            fprintf(stderr, "%s: %s, %s: word %zu of %zu differs\n", file, drmad_fused ? "fused" : "plain", name, i, e->len);
            differences++;
            return;
        }
}

static void f32s(const char *name, size_t n, const float *x) {
    static uint32_t got[1 << 16];
    memcpy(got, x, n * sizeof *x);
    compare("f32", name, n, got);
}
static void f32(const char *name, float x) { f32s(name, 1, &x); }
static void u32s(const char *name, size_t n, const uint32_t *x) { compare("u32", name, n, x); }
static void i32s(const char *name, size_t n, const int32_t *x) { compare("i32", name, n, (const uint32_t *)x); }
static void f64(const char *name, double x) {
    uint64_t b;
    memcpy(&b, &x, 8);
    uint32_t both[2] = {(uint32_t)(b >> 32), (uint32_t)b};
    compare("f64", name, 2, both);
}

/* Kernels */

static void check_reduce(void) {
    size_t n = len("x");
    float *x = numbers("x"), *y = numbers("y");
    f32("sum", sum(n, x));
    f32("dot", dot(n, x, y));
    f64("norm", norm(n, x));
    f64("cosine", cosine(n, x, y));
    uint32_t finite = all_finite(n, y);
    u32s("all_finite", 1, &finite);
}

static void check_all_finite(void) {
    uint32_t finite = all_finite(len("x"), numbers("x"));
    u32s("all_finite", 1, &finite);
}

static void check_matmul(void) {
    size_t rows = word("rows"), inner = word("inner"), columns = word("columns");
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        float *c = numbers("c");
        matmul(word("form"), rows, inner, columns, accumulate, numbers("a"), numbers("b"), c);
        f32s(accumulate ? "accumulated" : "product", rows * columns, c);
    }
}

static void check_sparse(void) {
    size_t columns = len("y"), n = len("values");
    float *w = numbers("w"), *y = numbers("y"), *start = scratch(columns), *into = numbers("y"), *outer = numbers("w");
    sparse_shifted(len("w") / columns, columns, number("mean"), w, numbers("bias"), start);
    f32s("shifted", columns, start);
    sparse_product(n, words("indices"), numbers("values"), columns, w, into);
    f32s("product", columns, into);
    sparse_outer(n, words("indices"), numbers("values"), columns, y, outer);
    f32s("outer", len("w"), outer);
}

static void check_add_scaled(void) {
    size_t n = len("x");
    float *x = numbers("x"), *y = numbers("y"), *scaled = scratch(n);
    add_scaled(n, number("a"), x, y);
    f32s("y", n, y);
    scale(n, number("a"), x, scaled);
    f32s("scaled", n, scaled);
}

static void check_rows(void) {
    size_t n = len("x"), rows = len("a");
    float *a = numbers("a"), *x = numbers("x"), *y = numbers("y");
    add_outer(rows, a, n, x, y);
    f32s("add_outer", rows * n, y);
    float *out = scratch(n);
    combine(rows, a, n, numbers("y"), out);
    f32s("combine", n, out);
    add_to_rows(rows, number("alpha"), n, x, y = numbers("y"));
    f32s("add_to_rows", rows * n, y);
    repeat(rows, a, 11, out);
    f32s("repeat", 11, out);
    add_rows(81 / rows, rows, x, a);
    f32s("add_rows", rows, a);
}

static void check_by_rows(void) {
    size_t columns = word("columns"), rows = len("a"), n = rows * columns;
    float *a = numbers("a"), *x = numbers("x"), *y = numbers("y"), *h, *out = scratch(n);
    scale_rows(rows, columns, a, x, out);
    f32s("scale_rows", n, out);
    add_scaled_rows(rows, columns, a, x, out = numbers("y"));
    f32s("add_scaled_rows", n, out);
    add_row_dots(rows, columns, x, y, h = numbers("h"));
    f32s("add_row_dots", rows, h);
    add_row_sums(rows, columns, x, h = numbers("h"));
    f32s("add_row_sums", rows, h);
    add_scaled_products(rows, columns, a, numbers("d"), y, x, numbers("h_u"), out = numbers("y"), h = numbers("h"));
    f32s("products_h_d", n, out);
    f32s("products_m", rows, h);
}

static void check_between(void) {
    size_t n = len("x0");
    float by[2], *y = scratch(n);
    weights(word("i"), word("n"), by);
    f32s("weights", 2, by);
    between(word("i"), word("n"), n, numbers("x0"), numbers("x1"), y);
    f32s("y", n, y);
}

static void check_bend(void) {
    const uint32_t *w = input("f64", "g")->words;
    uint64_t both[2] = {high_first(w), high_first(w + 2)};
    double g[2];
    memcpy(g, both, sizeof g);
    float *y = numbers("y");
    bend(g, word("n"), len("y"), numbers("x0"), numbers("x1"), numbers("f0"), numbers("f1"), y);
    f32s("y", len("y"), y);
}

static void each(const char *x_name, float f(float)) {
    size_t n = len(x_name);
    float *x = numbers(x_name);
    for (size_t i = 0; i < n; i++) x[i] = f(x[i]);
    f32s("y", n, x);
}
static void check_exp(void) { each("x", exp_of); }
static void check_ln(void) { each("x", ln_of); }
static void check_tanh(void) { each("x", tanh_of); }
static void check_probit(void) { each("q", probit_of); }

static void many(float f(float)) {
    int32_t first = (int32_t)input("i32", "first")->words[0];
    float scale = number("scale");
    uint64_t sum = 0;
    for (uint32_t i = 0; i < word("count"); i++) {
        float y = f((float)(first + 2 * (int32_t)i) * scale);
        uint32_t bits;
        memcpy(&bits, &y, 4);
        sum += (2 * (uint64_t)i + 1) * bits;
    }
    uint32_t both[2] = {(uint32_t)(sum >> 32), (uint32_t)sum};
    compare("u64", "sum", 2, both);
}
static void check_many_exp(void) { many(exp_of); }
static void check_many_ln(void) { many(ln_of); }
static void check_many_tanh(void) { many(tanh_of); }
static void check_many_probit(void) { many(probit_of); }

static void check_power(void) {
    float *x = numbers("x");
    for (size_t i = 0; i < len("x"); i++) x[i] = power_of(x[i], words("n")[i]);
    f32s("y", len("x"), x);
}

static void check_tanh_adjoint(void) {
    size_t n = len("y");
    float *d = numbers("d"), *r_d = numbers("r_d"), *alone = numbers("d");
    tanh_adjoint(n, numbers("y"), alone);
    f32s("d", n, alone);
    tanh_adjoint_r(n, numbers("y"), numbers("r_y"), d, r_d);
    f32s("d", n, d);
    f32s("r_d", n, r_d);
}

static void check_softmax(void) {
    size_t classes = word("classes"), rows = len("z") / classes;
    float *z = numbers("z"), *r = numbers("r"), *p = scratch(rows * classes), *log_sums = scratch(rows);
    softmax(rows, classes, z, p, log_sums);
    f32s("z", rows * classes, z);
    f32s("p", rows * classes, p);
    f32s("log_sums", rows, log_sums);
    softmax_r(rows, classes, p, r);
    f32s("r", rows * classes, r);
}

static Step by(void) { return (Step){number("rate"), number("momentum")}; }

static void check_momentum_step(void) {
    float *v = numbers("v"), *w = numbers("w");
    (strcmp(kernel, "nesterov_step") ? momentum_step : nesterov_step)(by(), len("g"), numbers("g"), v, w);
    f32s("v", len("v"), v);
    f32s("w", len("w"), w);
}

static void check_momentum_adjoint(void) {
    size_t n = len("d_w");
    float *d_v = numbers("d_v"), *d_g = scratch(n);
    momentum_adjoint(by(), n, numbers("d_w"), d_v, d_g);
    f32s("d_v", n, d_v);
    f32s("d_g", n, d_g);
}

static void check_momentum_undo(void) {
    float *v = numbers("v"), *w = numbers("w");
    momentum_undo(by(), len("g"), numbers("g"), v, w);
    f32s("v", len("v"), v);
    f32s("w", len("w"), w);
}

static void check_nesterov_adjoint(void) {
    size_t n = len("d_w");
    float *d_v = numbers("d_v"), *d_g = scratch(n);
    Step both = nesterov_adjoint(by(), n, numbers("g"), numbers("v"), numbers("d_w"), d_v, d_g);
    f32("d_rate", both.rate);
    f32("d_momentum", both.momentum);
    f32s("d_v", n, d_v);
    f32s("d_g", n, d_g);
}

static Adam adam(void) {
    return (Adam){word("t"), number("rate"), number("b1"), number("b2"), number("eps"), number("decay")};
}

static void check_adam_step(void) {
    size_t p = len("g");
    float *m = numbers("m"), *n = numbers("n"), *w = numbers("w");
    adam_step(adam(), p, numbers("g"), m, n, w);
    f32s("m", p, m);
    f32s("n", p, n);
    f32s("w", p, w);
}

static void check_adam_adjoint(void) {
    size_t p = len("g");
    float *d_w = numbers("d_w"), *d_m = numbers("d_m"), *d_n = numbers("d_n"), *d_g = scratch(p);
    Step both = adam_adjoint(adam(), p, numbers("g"), numbers("m"), numbers("n"), numbers("w"), d_w, d_m, d_n, d_g);
    f32("d_rate", both.rate);
    f32("d_b1", both.momentum);
    f32s("d_w", p, d_w);
    f32s("d_m", p, d_m);
    f32s("d_n", p, d_n);
    f32s("d_g", p, d_g);
}

static void check_tangent(void) {
    size_t n = len("g");
    const float *g[2] = {numbers("g"), numbers("g_dot")};
    float *v[2] = {numbers("v"), numbers("v_dot")}, *w[2] = {numbers("w"), numbers("w_dot")};
    Dual rate = {number("rate"), number("rate_dot")}, momentum = {number("momentum"), number("momentum_dot")};
    (strcmp(kernel, "nesterov_tangent") ? momentum_tangent : nesterov_tangent)(rate, momentum, n, g, v, w);
    f32s("v_dot", n, v[1]);
    f32s("w_dot", n, w[1]);
}

static void check_adam_tangent(void) {
    size_t p = len("g");
    const float *g[2] = {numbers("g"), numbers("g_dot")};
    float *m[2] = {numbers("m"), numbers("m_dot")}, *n[2] = {numbers("n"), numbers("n_dot")};
    float *w[2] = {numbers("w"), numbers("w_dot")};
    adam_tangent(adam(), number("rate_dot"), number("b1_dot"), p, g, m, n, w);
    f32s("m_dot", p, m[1]);
    f32s("n_dot", p, n[1]);
    f32s("w_dot", p, w[1]);
}

static uint32_t got[1 << 14];

static void check_chacha8(void) {
    for (uint32_t i = 0; i < word("count"); i++)
        got[i] = random_word(long_word("seed"), long_word("stream"), long_word("position") + i);
    u32s("words", word("count"), got);
}

static void check_mix(void) {
    const Entry *e = input("u64", "counters");
    uint64_t counters[16];
    size_t n = e->len / 2;
    if (n > 16) die("too many", "counters");
    for (size_t i = 0; i < n; i++) counters[i] = high_first(e->words + 2 * i);
    uint64_t mixed = mix(long_word("seed"), n, counters);
    uint32_t both[2] = {(uint32_t)(mixed >> 32), (uint32_t)mixed};
    compare("u64", "mixed", 2, both);
}

static void check_batches(void) {
    uint32_t size = word("size"), steps = word("steps");
    for (uint32_t t = 0; t < steps; t++) batch_of(long_word("seed"), word("examples"), size, t, got + t * size);
    u32s("batches", size * steps, got);
}

static void check_choose(void) {
    static uint32_t pool[1 << 12];
    choose(long_word("seed"), word("pool"), pool, word("count"), got);
    u32s("chosen", word("count"), got);
}

static Groups groups(const char *name) {
    char by[32], biases[32];
    snprintf(by, sizeof by, "%s_by", name);
    snprintf(biases, sizeof biases, "%s_biases", name);
    return groups_of(input("u32", "widths")->len - 1, words("widths"), word(by), word(biases));
}

static void check_groups(void) {
    static int32_t map[1 << 12];
    Groups g = groups("groups");
    for (const Block *b = g.blocks; b < g.blocks + g.count; b++)
        for (size_t i = 0; i < b->rows * b->columns; i++)
            map[b->start + i] = b->first < 0 ? -1 : b->first + (int32_t)(i / b->columns);
    i32s("map", g.weights, map);
}

static void check_normal(void) {
    Groups g = groups("groups");
    size_t first = word("first"), n = word("count"), group = word("group");
    float *w0 = scratch(g.weights), *part = scratch(n), *d = scratch(g.hypers), *w_dot = scratch(g.weights);
    initial_weights(long_word("seed"), &g, numbers("log_scales"), 0, g.weights, w0);
    f32s("w0", g.weights, w0);
    initial_weights(long_word("seed"), &g, numbers("log_scales"), first, n, part);
    f32s("part", n, part);
    int arithmetic = drmad_fused;
    drmad_fused = 0;
    for (const Block *b = g.blocks; b < g.blocks + g.count; b++) {
        if (b->first < 0) continue;
        add_row_dots(b->rows, b->columns, w0 + b->start, numbers("d_w") + b->start, d + b->first);
        for (size_t i = 0; i < b->rows * b->columns; i++)
            if (b->first + i / b->columns == group) w_dot[b->start + i] = w0[b->start + i];
    }
    drmad_fused = arithmetic;
    f32s("d_log_scales", g.hypers, d);
    f32s("w_dot", g.weights, w_dot);
}

static void check_grid(void) {
    for (uint32_t k = 0; k <= word("intervals"); k++) got[k] = knot(word("steps"), word("intervals"), number("spacing"), k);
    u32s("knots", word("intervals") + 1, got);
}

static Objective objective(void) {
    return (Objective){.depth = input("u32", "widths")->len - 1, .microbatch = word("microbatch"), .widths = words("widths"),
                       .labels = words("labels"), .x = numbers("x"), .scaled = word("scaled"),
                       .penalty = word("penalty"), .scales = groups("scales"), .penalties = groups("penalties")};
}

static void check_objective(void) {
    Objective o = objective();
    size_t p = len("w"), n = input("u32", "batch")->len;
    float *w = numbers("w"), *h = numbers("h"), *g = scratch(p), *d_h = scratch(len("h")), *h_d = scratch(p), *m_d = scratch(len("h"));
    f32("loss", gradient(&o, 1, w, h, n, words("batch"), g, d_h));
    f32s("g", p, g);
    second_order(&o, w, h, n, words("batch"), numbers("d"), g, h_d, m_d);
    f32s("g", p, g);
    f32s("h_d", p, h_d);
    if (len("h") == 0) return;
    f32s("d_h", len("h"), d_h);
    f32s("m_d", len("h"), m_d);
}

static void check_objective_pixels(void) {
    Objective o = {.depth = input("u32", "widths")->len - 1, .microbatch = word("microbatch"), .widths = words("widths"),
                   .labels = words("labels"), .bytes = words("bytes"), .mean = number("mean"), .sparse = word("sparse")};
    size_t p = len("w"), n = input("u32", "batch")->len;
    float *w = numbers("w"), *g = scratch(p), *h_d = scratch(p);
    f32("loss", gradient(&o, 1, w, NULL, n, words("batch"), g, NULL));
    f32s("g", p, g);
    second_order(&o, w, NULL, n, words("batch"), numbers("d"), g, h_d, NULL);
    f32s("g", p, g);
    f32s("h_d", p, h_d);
}

static void check_quantise(void) {
    uint32_t levels = word("levels");
    float *y = numbers("y");
    encode(levels, len("x"), numbers("x"), got);
    u32s("code", block_words(levels), got);
    decode(levels, len("y"), got, y);
    f32s("y", len("y"), y);
}

static void check_ratio(void) {
    static uint32_t d[1 << 8], grow[1 << 8];
    size_t n = len("momentum");
    for (size_t i = 0; i < n; i++) {
        Ratio r = ratio_of(numbers("momentum")[i]);
        got[i] = r.n, d[i] = r.d, grow[i] = grown(r, words("bound")[i]);
    }
    u32s("n", n, got);
    u32s("d", n, d);
    u32s("grown", n, grow);
}

static void check_reversible_step(void) {
    static int32_t w[256], v[256];
    static uint32_t x[256], bytes[256];
    size_t n = len("g");
    uint32_t weight_bits = word("weight_bits"), velocity_bits = word("velocity_bits");
    float *start = numbers("start"), *g = numbers("g"), *new_w = scratch(n), *new_v = scratch(n);
    Turn turn = turn_of(by(), weight_bits, velocity_bits);
    memcpy(v, input("i32", "fixed_v")->words, n * sizeof *v);
    memcpy(x, words("x"), n * sizeof *x);
    for (size_t i = 0; i < n; i++) w[i] = fix(start[i], weight_bits);
    i32s("start", n, w);
    fixed_step(&turn, n, g, w, v, x);
    for (size_t i = 0; i < n; i++) new_w[i] = view(w[i], weight_bits), new_v[i] = view(v[i], velocity_bits);
    i32s("fixed_w", n, w);
    i32s("fixed_v", n, v);
    u32s("x", n, x);
    f32s("w", n, new_w);
    f32s("v", n, new_v);
    undo_move(&turn, n, v, w);
    undo_kick(&turn, n, g, v, x);
    for (size_t i = 0; i < n; i++) new_w[i] = view(w[i], weight_bits);
    f32s("undone_w", n, new_w);
    if (memcmp(v, input("i32", "fixed_v")->words, n * sizeof *v) || memcmp(x, words("x"), n * sizeof *x))
        die("the step undone is not", "undone");
    for (size_t i = 0; i < n; i++) bytes[i] = x[i] & 255, x[i] >>= 8;
    u32s("spilled_x", n, x);
    u32s("spilled_bytes", n, bytes);
}

static void check_run(void) {
    static const char *const NAMES[] = {"run_tape", "run_line", "run_hats", "run_reversible"};
    int path = 0;
    while (strcmp(kernel, NAMES[path])) path++;
    Run r = {.objective = objective(), .h = numbers("h"), .steps = word("steps"), .size = word("batches_size"),
             .examples = word("batches_examples"), .valid_count = (uint32_t)input("u32", "valid")->len,
             .batches_seed = long_word("batches_seed"), .initial_seed = long_word("initial_seed"), .valid = words("valid"),
             .initial = groups("initial"), .schedule = groups("schedule"), .log_scales = numbers("log_scales"),
             .rates = numbers("rates"), .momenta = numbers("momenta"), .rates_len = len("rates"),
             .momenta_len = len("momenta"), .h_len = len("h"), .path = path};
    if (path == HATS) r.levels = word("levels"), r.intervals = word("intervals"), r.spacing = number("spacing");
    if (path == REVERSIBLE) r.weight_bits = word("weight_bits"), r.velocity_bits = word("velocity_bits");
    if (path != HATS) r.levels = 11, r.intervals = 1, r.spacing = 1;
    size_t p = r.initial.weights;
    r.w0 = scratch(p), r.losses = scratch(r.steps), r.w = scratch(p), r.d_w = scratch(p);
    r.d_rates = scratch(r.rates_len), r.d_momenta = scratch(r.momenta_len), r.d_h = scratch(r.h_len);
    run(&r);
    for (uint32_t t = 0; t < r.steps; t++) batch_of(r.batches_seed, r.examples, r.size, t, got + t * r.size);
    u32s("batches", r.steps * r.size, got);
    f32s("w0", p, r.w0);
    f32s("losses", r.steps, r.losses);
    f32s("w_T", p, r.w);
    f32("valid_loss", r.valid_loss);
    f32s("d_rates", r.rates_len, r.d_rates);
    f32s("d_momenta", r.momenta_len, r.d_momenta);
    f32s("d_h", r.h_len, r.d_h);
    f32s("d_w0", p, r.d_w);
}

static const struct { const char *name; void (*check)(void); } KERNELS[] = {
    {"reduce", check_reduce}, {"all_finite", check_all_finite}, {"matmul", check_matmul}, {"sparse", check_sparse},
    {"add_scaled", check_add_scaled}, {"rows", check_rows}, {"by_rows", check_by_rows}, {"between", check_between},
    {"bend", check_bend}, {"exp", check_exp}, {"ln", check_ln}, {"tanh", check_tanh}, {"probit", check_probit},
    {"many_exp", check_many_exp}, {"many_ln", check_many_ln}, {"many_tanh", check_many_tanh},
    {"many_probit", check_many_probit}, {"power", check_power}, {"tanh_adjoint", check_tanh_adjoint}, {"softmax", check_softmax},
    {"momentum_step", check_momentum_step}, {"nesterov_step", check_momentum_step},
    {"momentum_adjoint", check_momentum_adjoint}, {"momentum_undo", check_momentum_undo},
    {"nesterov_adjoint", check_nesterov_adjoint}, {"momentum_tangent", check_tangent},
    {"nesterov_tangent", check_tangent}, {"adam_step", check_adam_step}, {"adam_adjoint", check_adam_adjoint},
    {"adam_tangent", check_adam_tangent}, {"chacha8", check_chacha8}, {"mix", check_mix}, {"batches", check_batches},
    {"choose", check_choose}, {"normal", check_normal}, {"groups", check_groups}, {"grid", check_grid},
    {"objective", check_objective}, {"objective_pixels", check_objective_pixels}, {"quantise", check_quantise}, {"ratio", check_ratio},
    {"reversible_step", check_reversible_step}, {"run_tape", check_run}, {"run_line", check_run},
    {"run_hats", check_run}, {"run_reversible", check_run},
};

int main(int argc, char **argv) {
    int passed = 0;
    for (int i = 1; i < argc; i++) {
        file = argv[i];
        load();
        differences = 0;
        void (*check)(void) = NULL;
        for (size_t k = 0; k < sizeof KERNELS / sizeof *KERNELS; k++)
            if (strcmp(KERNELS[k].name, kernel) == 0) check = KERNELS[k].check;
        if (!check) {
            fprintf(stderr, "%s: no kernel %s\n", file, kernel);
            continue;
        }
        for (drmad_fused = 0; drmad_fused < 2; drmad_fused++) {
            scratch_used = 0;
            check();
        }
        for (size_t e = 0; e < count; e++)
            if (strncmp(entries[e].key, "in ", 3) && !entries[e].compared) {
                fprintf(stderr, "%s: nothing compared with %s\n", file, entries[e].key);
                differences++;
            }
        passed += differences == 0;
    }
    printf("%d of %d vectors passed\n", passed, argc - 1);
    return argc < 2 || passed != argc - 1;
}
