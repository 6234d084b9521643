/* See drmad.h. Compile with -ffp-contract=off and without -ffast-math. */
#include "drmad.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int drmad_fused;

static float memory[1 << 20];
size_t scratch_used;

float *scratch(size_t n) {
    float *x = memory + scratch_used;
    scratch_used += n;
    if (scratch_used > sizeof memory / sizeof *memory) abort();
    memset(x, 0, n * sizeof *x);
    return x;
}

float mul_add(float a, float b, float c) { return drmad_fused ? fmaf(a, b, c) : a * b + c; }

static uint32_t bits(float x) {
    uint32_t word;
    memcpy(&word, &x, 4);
    return word;
}

static float from_bits(uint32_t word) {
    float x;
    memcpy(&x, &word, 4);
    return x;
}

/* Sums */

typedef struct { float lane[32]; } Tree;

static float fold(Tree *t) {
    for (int half = 16; half > 0; half /= 2)
        for (int j = 0; j < half; j++) t->lane[j] += t->lane[j + half];
    return t->lane[0];
}

float sum(size_t n, const float *x) {
    Tree t = {{0}};
    for (size_t i = 0; i < n; i++) t.lane[i % 32] += x[i];
    return fold(&t);
}

float dot(size_t n, const float *x, const float *y) {
    Tree t = {{0}};
    for (size_t i = 0; i < n; i++) t.lane[i % 32] = mul_add(x[i], y[i], t.lane[i % 32]);
    return fold(&t);
}

static double product(size_t n, const float *x, const float *y) {
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)x[i] * (double)y[i];
    return s;
}

double norm(size_t n, const float *x) { return sqrt(product(n, x, x)); }

double cosine(size_t n, const float *x, const float *y) {
    double m = sqrt(product(n, x, x)) * sqrt(product(n, y, y));
    return m > 0 ? product(n, x, y) / m : 0;
}

int all_finite(size_t n, const float *x) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

void matmul(int form, size_t rows, size_t inner, size_t columns, int accumulate, const float *a, const float *b, float *c) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float acc = accumulate ? c[i * columns + j] : 0;
            for (size_t k = 0; k < inner; k++)
                acc = mul_add(form == TN ? a[k * rows + i] : a[i * inner + k],
                              form == NT ? b[j * inner + k] : b[k * columns + j], acc);
            c[i * columns + j] = acc;
        }
}

void sparse_shifted(size_t rows, size_t columns, float mean, const float *w, const float *bias, float *y) {
    memset(y, 0, columns * sizeof *y);
    add_rows(rows, columns, w, y);
    for (size_t c = 0; c < columns; c++) y[c] = mul_add(-mean, y[c], bias[c]);
}

void sparse_product(size_t n, const uint32_t *indices, const float *values, size_t columns, const float *w, float *y) {
    for (size_t i = 0; i < n; i++) add_scaled(columns, values[i], w + indices[i] * columns, y);
}

void sparse_outer(size_t n, const uint32_t *indices, const float *values, size_t columns, const float *d, float *g) {
    for (size_t i = 0; i < n; i++) add_scaled(columns, values[i], d, g + indices[i] * columns);
}

/* Scaled copies and sums */

void add_scaled(size_t n, float a, const float *x, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = mul_add(a, x[i], y[i]);
}

void scale(size_t n, float a, const float *x, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = a * x[i];
}

void add_outer(size_t rows, const float *a, size_t columns, const float *x, float *y) {
    for (size_t r = 0; r < rows; r++) add_scaled(columns, a[r], x, y + r * columns);
}

void combine(size_t rows, const float *a, size_t columns, const float *x, float *y) {
    memset(y, 0, columns * sizeof *y);
    for (size_t r = 0; r < rows; r++) add_scaled(columns, a[r], x + r * columns, y);
}

void add_to_rows(size_t rows, float a, size_t columns, const float *x, float *y) {
    for (size_t r = 0; r < rows; r++) add_scaled(columns, a, x, y + r * columns);
}

void add_rows(size_t rows, size_t columns, const float *x, float *y) {
    for (size_t i = 0; i < rows * columns; i++) y[i % columns] += x[i];
}

void repeat(size_t n, const float *x, size_t places, float *y) {
    for (size_t i = 0; i < places; i++) y[i] = x[i % n];
}

void scale_rows(size_t rows, size_t columns, const float *a, const float *x, float *y) {
    for (size_t r = 0; r < rows; r++) scale(columns, a[r], x + r * columns, y + r * columns);
}

void add_scaled_rows(size_t rows, size_t columns, const float *a, const float *x, float *y) {
    for (size_t r = 0; r < rows; r++) add_scaled(columns, a[r], x + r * columns, y + r * columns);
}

void add_row_sums(size_t rows, size_t columns, const float *x, float *h) {
    for (size_t r = 0; r < rows; r++) h[r] += columns == 1 ? x[r] : sum(columns, x + r * columns);
}

void add_row_dots(size_t rows, size_t columns, const float *x, const float *y, float *h) {
    for (size_t r = 0; r < rows; r++)
        if (columns == 1) h[r] = mul_add(x[r], y[r], h[r]);
        else h[r] += dot(columns, x + r * columns, y + r * columns);
}

void add_scaled_products(size_t rows, size_t columns, const float *s, const float *d, const float *g, const float *z,
                         const float *h_u, float *h_d, float *m) {
    for (size_t r = 0; r < rows; r++) {
        Tree t = {{0}};
        for (size_t c = 0; c < columns; c++) {
            size_t i = r * columns + c;
            float *lane = columns == 1 ? &m[r] : &t.lane[c % 32];
            *lane = mul_add(z[i], h_u[i], mul_add(d[i], g[i], *lane));
            h_d[i] = mul_add(s[r], h_u[i], h_d[i]);
        }
        if (columns != 1) m[r] += fold(&t);
    }
}

void weights(uint32_t i, uint32_t n, float by[2]) {
    if (i > n) i = n;
    by[0] = (float)(n - i) / (float)n;
    by[1] = (float)i / (float)n;
}

void between(uint32_t i, uint32_t n, size_t p, const float *x0, const float *x1, float *y) {
    float by[2];
    weights(i, n, by);
    for (size_t k = 0; k < p; k++) y[k] = i == 0 ? x0[k] : i >= n ? x1[k] : mul_add(by[1], x1[k], by[0] * x0[k]);
}

void bend(const double g[2], uint32_t n, size_t p, const float *x0, const float *x1, const float *f0, const float *f1, float *y) {
    float chord = (float)(-(g[0] + g[1]) / n), g0 = (float)g[0], g1 = (float)g[1];
    for (size_t k = 0; k < p; k++) y[k] = mul_add(g0, f0[k], mul_add(g1, f1[k], mul_add(chord, x1[k] - x0[k], y[k])));
}

/* Elementary functions */

static float horner(int n, const uint32_t *c, float x) {
    float s = from_bits(c[0]);
    for (int i = 1; i < n; i++) s = mul_add(s, x, from_bits(c[i]));
    return s;
}

static float clamp(float x, float low, float high) {
    x = x > high ? high : x;
    return x < low ? low : x;
}

static int32_t floor_shift(uint32_t word, int by) { /* of the signed number */
    return (int32_t)(word >> by | (word >> 31 ? ~(0xffffffffu >> by) : 0));
}

#define R from_bits(0x4b400000)
#define H from_bits(0x3f317200)
#define L from_bits(0x35bfbe8e)

static float power_of_two(int32_t j) { return from_bits((uint32_t)(j + 127) << 23); }

float exp_of(float x) {
    static const uint32_t Q[] = {0x3ab7f79f, 0x3c092bec, 0x3d2aa978, 0x3e2aaa33, 0x3f000000};
    x = clamp(x, -104, 89);
    float t = mul_add(x, from_bits(0x3fb8aa3b), R), n = t - R;
    uint32_t k = bits(t) - bits(R);
    float r = mul_add(n, -H, x);
    r = mul_add(n, -L, r);
    float p = 1 + mul_add(r * r, horner(5, Q, r), r);
    int32_t h = floor_shift(k, 1);
    return p * power_of_two(h) * power_of_two((int32_t)k - h);
}

float ln_of(float x) {
    static const uint32_t Q[] = {0xbdff0877, 0x3e101d0a, 0xbdfb73a3, 0x3e0f3c8e, 0xbe2abeb0,
                                 0x3e4ceb6c, 0xbe7fffc4, 0x3eaaaa77, 0xbf000000};
    int small = x < from_bits(0x00800000);
    uint32_t i = bits(small ? x * from_bits(0x4b800000) : x) - 0x3f2aaaab;
    float e = (float)floor_shift(i, 23) + (small ? -24.0f : 0.0f);
    float f = from_bits((i & 0x007fffff) + 0x3f2aaaab) - 1;
    float l = f + mul_add(f * f, horner(9, Q, f), e * L);
    float y = mul_add(e, H, l);
    if (!(x < INFINITY)) return x;
    return x < 0 ? NAN : x == 0 ? -INFINITY : y;
}

float tanh_of(float x) {
    static const uint32_t P[] = {0xb401657c, 0xb81683b2, 0xba7968a3, 0x3d5b460f, 0x3f540000};
    static const uint32_t Q[] = {0x35511dd8, 0x39ac698f, 0x3cd40b50, 0x3eef2f96, 0x3f800000};
    x = clamp(x, -10, 10);
    float y = x * x;
    return clamp(x * (from_bits(0x3e300000) + horner(5, P, y) / horner(5, Q, y)), -1, 1);
}

float probit_of(float q) {
    static const uint32_t N[] = {0x389067de, 0x3aee3a63, 0x3cb3af7a, 0x3e2c68b4, 0x3f5dd083, 0x40206c99};
    static const uint32_t D[] = {0x35ada323, 0x393c4555, 0x3af526d9, 0x3d03cdf4, 0x3dabc3ca, 0x3f800000};
    float a = fabsf(q), w = -ln_of((0.5f - a) * (0.5f + a) * 4);
    return a == 0.5f ? q * INFINITY : q * horner(6, N, w) / horner(6, D, w);
}

float power_of(float x, uint32_t n) {
    float y = 1;
    for (; n > 0; n >>= 1) {
        if (n & 1) y *= x;
        x *= x;
    }
    return y;
}

void tanh_adjoint(size_t n, const float *y, float *d) {
    for (size_t i = 0; i < n; i++) d[i] *= mul_add(-y[i], y[i], 1);
}

void tanh_adjoint_r(size_t n, const float *y, const float *r_y, float *d, float *r_d) {
    for (size_t i = 0; i < n; i++) {
        float slope = mul_add(-y[i], y[i], 1), bend = -(y[i] + y[i]) * r_y[i];
        r_d[i] = mul_add(bend, d[i], r_d[i] * slope);
        d[i] *= slope;
    }
}

float ln_1p_of(float x) {
    float u = 1 + x;
    return ln_of(u) - ((u - 1) - x) / u;
}

void softmax(size_t rows, size_t classes, float *z, float *p, float *log_sums) {
    for (size_t r = 0; r < rows; r++, z += classes, p += classes) {
        float top = z[0], sum = 0, others = 0;
        size_t first = classes;
        for (size_t c = 0; c < classes; c++) top = z[c] > top ? z[c] : top;
        for (size_t c = 0; c < classes; c++) {
            z[c] -= top;
            sum += p[c] = exp_of(z[c]);
            if (first == classes && z[c] == 0) first = c;
            if (c != first) others += p[c];
        }
        for (size_t c = 0; c < classes; c++) p[c] /= sum;
        log_sums[r] = ln_1p_of(others);
    }
}

void add_with_rest(size_t n, const float *x, float *y, float *rest) {
    for (size_t i = 0; i < n; i++) {
        float t = x[i] + rest[i], s = y[i] + t, of_t = s - y[i];
        rest[i] = (y[i] - (s - of_t)) + (t - of_t);
        y[i] = s;
    }
}

void softmax_r(size_t rows, size_t classes, const float *p, float *r) {
    for (size_t i = 0; i < rows; i++, p += classes, r += classes) {
        float mean = 0;
        for (size_t c = 0; c < classes; c++) mean = mul_add(p[c], r[c], mean);
        for (size_t c = 0; c < classes; c++) r[c] = p[c] * (r[c] - mean);
    }
}

/* Steps */

void momentum_step(Step by, size_t n, const float *g, float *v, float *w) {
    for (size_t i = 0; i < n; i++) {
        v[i] = mul_add(by.momentum - 1, g[i], by.momentum * v[i]);
        w[i] = mul_add(by.rate, v[i], w[i]);
    }
}

void momentum_adjoint(Step by, size_t n, const float *d_w, float *d_v, float *d_g) {
    for (size_t i = 0; i < n; i++) {
        float d = mul_add(by.rate, d_w[i], d_v[i]);
        d_g[i] = (by.momentum - 1) * d;
        d_v[i] = by.momentum * d;
    }
}

void momentum_undo(Step by, size_t n, const float *g, float *v, float *w) {
    float inverse = 1 / by.momentum;
    for (size_t i = 0; i < n; i++) {
        w[i] = mul_add(-by.rate, v[i], w[i]);
        v[i] = inverse * mul_add(1 - by.momentum, g[i], v[i]);
    }
}

void nesterov_step(Step by, size_t n, const float *g, float *v, float *w) {
    for (size_t i = 0; i < n; i++) {
        float push = (by.momentum - 1) * g[i];
        v[i] = mul_add(by.momentum, v[i], push);
        w[i] = mul_add(by.rate, mul_add(by.momentum, v[i], push), w[i]);
    }
}

Step nesterov_adjoint(Step by, size_t n, const float *g, const float *v, const float *d_w, float *d_v, float *d_g) {
    Tree rate = {{0}}, momentum = {{0}};
    for (size_t i = 0; i < n; i++) {
        float push = (by.momentum - 1) * g[i], next = mul_add(by.momentum, v[i], push);
        float d_u = by.rate * d_w[i], d = mul_add(by.momentum, d_u, d_v[i]);
        rate.lane[i % 32] += d_w[i] * mul_add(by.momentum, next, push);
        momentum.lane[i % 32] += mul_add(d, v[i] + g[i], d_u * (next + g[i]));
        d_g[i] = (by.momentum - 1) * (d + d_u);
        d_v[i] = by.momentum * d;
    }
    return (Step){fold(&rate), fold(&momentum)};
}

/* Pairs */

static Dual pair(float x, float dot) { return (Dual){x, dot}; }
static Dual add(Dual a, Dual b) { return pair(a.x + b.x, a.dot + b.dot); }
static Dual sub(Dual a, Dual b) { return pair(a.x - b.x, a.dot - b.dot); }
static Dual neg(Dual a) { return pair(-a.x, -a.dot); }
static Dual mul(Dual a, Dual b) { return pair(a.x * b.x, a.x * b.dot + a.dot * b.x); }
static Dual quotient(Dual a, Dual b) {
    float q = a.x / b.x;
    return pair(q, (a.dot - q * b.dot) / b.x);
}
static Dual root_of(Dual a) {
    float r = sqrtf(a.x);
    return pair(r, r == 0 ? 0 : a.dot / (r + r));
}
static Dual mul_add2(Dual a, Dual b, Dual c) {
    if (!drmad_fused) return add(mul(a, b), c);
    return pair(mul_add(a.x, b.x, c.x), mul_add(a.x, b.dot, mul_add(a.dot, b.x, c.dot)));
}

void momentum_tangent(Dual rate, Dual momentum, size_t n, const float *g[2], float *v[2], float *w[2]) {
    Dual share = sub(momentum, pair(1, 0));
    for (size_t i = 0; i < n; i++) {
        Dual next = mul_add2(share, pair(g[0][i], g[1][i]), mul(momentum, pair(v[0][i], v[1][i])));
        w[1][i] = mul_add2(rate, next, pair(w[0][i], w[1][i])).dot;
        v[1][i] = next.dot;
    }
}

void nesterov_tangent(Dual rate, Dual momentum, size_t n, const float *g[2], float *v[2], float *w[2]) {
    Dual share = sub(momentum, pair(1, 0));
    for (size_t i = 0; i < n; i++) {
        Dual push = mul(share, pair(g[0][i], g[1][i]));
        Dual next = mul_add2(momentum, pair(v[0][i], v[1][i]), push), u = mul_add2(momentum, next, push);
        w[1][i] = mul_add2(rate, u, pair(w[0][i], w[1][i])).dot;
        v[1][i] = next.dot;
    }
}

typedef struct { Dual rate, b1, b2, eps, decay, c1, c2, d_c1, kept; } Constants;
typedef struct { Dual m, n, root, under, u; } Moved;

static Dual power2(Dual x, uint32_t n) {
    Dual y = pair(1, 0);
    for (; n > 0; n >>= 1) {
        if (n & 1) y = mul(y, x);
        x = mul(x, x);
    }
    return y;
}

/* Adam is written once, on pairs: the first parts of a computation are those of numbers. */
static Constants constants(Adam by, float rate_dot, float b1_dot) {
    Dual one = pair(1, 0);
    Constants k;
    k.rate = pair(by.rate, rate_dot), k.b1 = pair(by.b1, b1_dot), k.b2 = pair(by.b2, 0);
    k.eps = pair(by.eps, 0), k.decay = pair(by.decay, 0);
    Dual before = power2(k.b1, by.t);
    k.c1 = quotient(one, sub(one, mul(before, k.b1)));
    k.c2 = quotient(one, sub(one, power2(k.b2, by.t + 1)));
    k.d_c1 = mul(mul(mul(k.c1, k.c1), pair((float)(by.t + 1), 0)), before);
    k.kept = sub(one, mul(k.rate, k.decay));
    return k;
}

static Moved adam_moved(const Constants *k, Dual g, Dual m, Dual n) {
    Dual one = pair(1, 0), zero = pair(0, 0);
    Moved to;
    to.m = mul_add2(k->b1, m, mul(sub(one, k->b1), g));
    to.n = mul_add2(k->b2, n, mul(mul(sub(one, k->b2), g), g));
    Dual s = mul(k->c2, to.n);
    to.root = s.x > 0 ? root_of(s) : zero;
    to.under = add(to.root, k->eps);
    to.u = quotient(mul(k->c1, to.m), to.under);
    return to;
}

static Dual adam_weight(const Constants *k, Dual u, Dual w) { return mul_add2(neg(k->rate), u, mul(k->kept, w)); }

void adam_step(Adam by, size_t p, const float *g, float *m, float *n, float *w) {
    Constants k = constants(by, 0, 0);
    for (size_t i = 0; i < p; i++) {
        Moved to = adam_moved(&k, pair(g[i], 0), pair(m[i], 0), pair(n[i], 0));
        m[i] = to.m.x, n[i] = to.n.x;
        w[i] = adam_weight(&k, to.u, pair(w[i], 0)).x;
    }
}

void adam_tangent(Adam by, float rate_dot, float b1_dot, size_t p, const float *g[2], float *m[2], float *n[2], float *w[2]) {
    Constants k = constants(by, rate_dot, b1_dot);
    for (size_t i = 0; i < p; i++) {
        Moved to = adam_moved(&k, pair(g[0][i], g[1][i]), pair(m[0][i], m[1][i]), pair(n[0][i], n[1][i]));
        m[1][i] = to.m.dot, n[1][i] = to.n.dot;
        w[1][i] = adam_weight(&k, to.u, pair(w[0][i], w[1][i])).dot;
    }
}

Step adam_adjoint(Adam by, size_t p, const float *g, const float *m, const float *n, const float *w, float *d_w, float *d_m,
                  float *d_n, float *d_g) {
    Constants k = constants(by, 0, 0);
    Tree rate = {{0}}, b1 = {{0}};
    float a = by.rate, c1 = k.c1.x, c2 = k.c2.x, twice = (1 - by.b2) + (1 - by.b2);
    for (size_t i = 0; i < p; i++) {
        Moved to = adam_moved(&k, pair(g[i], 0), pair(m[i], 0), pair(n[i], 0));
        float root = to.root.x, under = to.under.x, u = to.u.x, d_u = -a * d_w[i];
        float by_m = d_m[i] + d_u * c1 / under;
        float by_n = root > 0 ? d_n[i] - d_u * u * c2 / ((root + root) * under) : d_n[i];
        rate.lane[i % 32] += -(d_w[i] * mul_add(by.decay, w[i], u));
        b1.lane[i % 32] += mul_add(by_m, m[i] - g[i], -a * d_w[i] * to.m.x / under * k.d_c1.x);
        d_g[i] = mul_add(1 - by.b1, by_m, twice * g[i] * by_n);
        d_m[i] = by.b1 * by_m;
        d_n[i] = by.b2 * by_n;
        d_w[i] *= k.kept.x;
    }
    return (Step){fold(&rate), fold(&b1)};
}

/* Random numbers */

static uint32_t rotated(uint32_t x, int by) { return x << by | x >> (32 - by); }

static void quarter(uint32_t *s, int a, int b, int c, int d) {
    s[a] += s[b], s[d] = rotated(s[d] ^ s[a], 16);
    s[c] += s[d], s[b] = rotated(s[b] ^ s[c], 12);
    s[a] += s[b], s[d] = rotated(s[d] ^ s[a], 8);
    s[c] += s[d], s[b] = rotated(s[b] ^ s[c], 7);
}

uint32_t random_word(uint64_t seed, uint64_t stream, uint64_t position) {
    uint64_t block = position / 16;
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, s[16];
    for (int i = 0; i < 8; i++) {
        seed = seed * 0x5851f42d4c957f2du + 0xa17654e46fbe17f3u;
        uint32_t x = (uint32_t)(((seed >> 18) ^ seed) >> 27), by = (uint32_t)(seed >> 59);
        start[4 + i] = x >> by | x << (-by & 31);
    }
    start[12] = (uint32_t)block, start[13] = (uint32_t)(block >> 32);
    start[14] = (uint32_t)stream, start[15] = (uint32_t)(stream >> 32);
    memcpy(s, start, sizeof s);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) quarter(s, j, 4 + j, 8 + j, 12 + j);
        for (int j = 0; j < 4; j++) quarter(s, j, 4 + (j + 1) % 4, 8 + (j + 2) % 4, 12 + (j + 3) % 4);
    }
    return s[position % 16] + start[position % 16];
}

static uint64_t permuted(uint64_t x) {
    uint64_t z = x + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t mix(uint64_t seed, size_t count, const uint64_t *counters) {
    seed = permuted(seed);
    for (size_t i = 0; i < count; i++) seed = permuted(seed ^ counters[i]);
    return seed;
}

static uint64_t below(uint64_t n, uint32_t word) { return word * n >> 32; }

static uint64_t divisor(uint64_t a, uint64_t b) { return b == 0 ? a : divisor(b, a % b); }

void batch_of(uint64_t seed, uint32_t examples, uint32_t size, uint32_t t, uint32_t *batch) {
    uint64_t first = (uint64_t)t * size, n = examples;
    for (uint64_t i = first; i < first + size; i++) {
        uint64_t at = i / n * 64, offset = below(n, random_word(seed, 2, at)), stride = 0;
        for (int j = 1; j < 64 && divisor(stride, n) != 1; j++) stride = 1 + below(n, random_word(seed, 2, at + j));
        if (divisor(stride, n) != 1) stride = 1;
        *batch++ = (uint32_t)((i % n * stride + offset) % n);
    }
}

void choose(uint64_t seed, uint32_t n, uint32_t *pool, uint32_t m, uint32_t *chosen) {
    for (uint32_t i = 0; i < n; i++) pool[i] = i;
    for (uint32_t i = 0; i < m; i++) {
        uint32_t j = i + (uint32_t)below(n - i, random_word(seed, 3, i));
        chosen[i] = pool[j];
        pool[j] = pool[i];
        pool[i] = chosen[i];
    }
}

/* Groups */

Groups groups_of(size_t layers, const uint32_t *widths, uint32_t by, uint32_t biases) {
    Groups g = {0};
    int next = 0;
    for (size_t part = 0; part < 2 * layers; part++) {
        size_t l = part / 2, rows = part % 2 ? 1 : widths[l], columns = widths[l + 1];
        Block b = {g.weights, rows, columns, by == 0 ? 0 : by == 1 ? (int)l : next};
        if (by == 4) b.rows = rows * columns, b.columns = 1;
        else if (by != 3) b.rows = 1, b.columns = rows * columns;
        if (part % 2 && !biases) b.rows = 1, b.columns = columns, b.first = -1;
        else next = b.first + (int)b.rows;
        if (b.first >= 0 && next > g.hypers) g.hypers = next;
        if (g.count == BLOCKS) abort();
        g.blocks[g.count++] = b;
        g.weights += rows * columns;
    }
    return g;
}

void initial_weights(uint64_t seed, const Groups *groups, const float *log_scales, size_t first, size_t n, float *w) {
    int arithmetic = drmad_fused;
    drmad_fused = 0;
    for (const Block *b = groups->blocks; b < groups->blocks + groups->count; b++)
        for (size_t i = b->start; i < b->start + b->rows * b->columns; i++)
            if (i >= first && i < first + n) {
                float scale = b->first < 0 ? 0 : exp_of(log_scales[b->first + (i - b->start) / b->columns]);
                float q = ((float)(random_word(seed, 1, i) >> 8) - from_bits(0x4affffff)) * from_bits(0x33800000);
                w[i - first] = scale * probit_of(q);
            }
    drmad_fused = arithmetic;
}

/* Objectives */

/* The inputs of an example. */
static void inputs(const Objective *o, uint32_t example, float *x) {
    size_t first = example * o->widths[0];
    for (size_t i = 0; i < o->widths[0]; i++)
        x[i] = o->bytes ? mul_add((float)o->bytes[first + i], from_bits(0x3b808081), -o->mean) : o->x[first + i];
}

/* Its bytes that are not 0, as a sparse row; returns how many there are. */
static size_t sparse_row(const Objective *o, uint32_t example, uint32_t *indices, float *values) {
    size_t n = 0;
    for (uint32_t i = 0; i < o->widths[0]; i++) {
        uint32_t byte = o->bytes[example * o->widths[0] + i];
        if (byte == 0) continue;
        indices[n] = i;
        values[n++] = (float)byte * from_bits(0x3b808081);
    }
    return n;
}

enum { MOST_INPUTS = 1024 };

/* z = x W + b of layer l for m examples. */
static void affine(const Objective *o, size_t l, size_t m, const uint32_t *piece, const float *x, const float *w, float *z) {
    size_t in = o->widths[l], out = o->widths[l + 1], mark = scratch_used;
    const float *bias = w + in * out;
    if (l > 0 || !o->sparse) {
        repeat(out, bias, m * out, z);
        matmul(NN, m, in, out, 1, x, w, z);
        return;
    }
    uint32_t indices[MOST_INPUTS];
    float *values = scratch(in), *start = scratch(out);
    sparse_shifted(in, out, o->mean, w, bias, start);
    repeat(out, start, m * out, z);
    for (size_t e = 0; e < m; e++)
        sparse_product(sparse_row(o, piece[e], indices, values), indices, values, out, w, z + e * out);
    scratch_used = mark;
}

/* Adds x' d and the rows of d to matrix and biases in g; of sparse rows without the mean's part. */
static void add_gradient(const Objective *o, size_t l, size_t m, const uint32_t *piece, const float *x, const float *d, float *g) {
    size_t in = o->widths[l], out = o->widths[l + 1], mark = scratch_used;
    add_rows(m, out, d, g + in * out);
    if (l > 0 || !o->sparse) {
        matmul(TN, in, m, out, 1, x, d, g);
        return;
    }
    uint32_t indices[MOST_INPUTS];
    float *values = scratch(in);
    for (size_t e = 0; e < m; e++)
        sparse_outer(sparse_row(o, piece[e], indices, values), indices, values, out, d + e * out, g);
    scratch_used = mark;
}

/* Examples whose terms are added one after another. */
enum { BLOCK = 1024 };

/* The network; with `d` the second order beside the gradient. */
static float network(const Objective *o, const float *w, size_t n, const uint32_t *batch, float *g, const float *d, float *h_d) {
    size_t mark = scratch_used, depth = o->depth, weights = 0, most = o->microbatch;
    const uint32_t *k = o->widths;
    float *a[16], *ra[16] = {0}, *da[16], *rda[16];
    size_t at[16];
    if (depth > 15 || k[0] > MOST_INPUTS) abort();
    for (size_t l = 0; l <= depth; l++) {
        a[l] = scratch(most * k[l]), ra[l] = scratch(most * k[l]);
        da[l] = scratch(most * k[l]), rda[l] = scratch(most * k[l]);
        at[l] = weights;
        if (l < depth) weights += (k[l] + 1) * k[l + 1];
    }
    float *z = scratch(most * k[depth]), *log_sums = scratch(most);
    float share = 1 / (float)n, loss = 0, loss_rest = 0;
    memset(g, 0, weights * sizeof *g);
    /* Of a batch of several blocks: their sums, and what these lack; g and h_d are then a block's own. */
    float *sums[2] = {g, h_d}, *rests[2];
    if (n > BLOCK) {
        g = scratch(weights), h_d = scratch(weights);
        for (int i = 0; i < 2; i++) rests[i] = scratch(weights);
    }
    for (size_t first = 0, m; first < n; first += m) {
        size_t left = (n - first < BLOCK - first % BLOCK) ? n - first : BLOCK - first % BLOCK;
        m = left < most ? left : most;
        const uint32_t *piece = batch + first;
        for (size_t e = 0; e < m; e++) inputs(o, piece[e], a[0] + e * k[0]);
        for (size_t l = 0; l < depth; l++) {
            affine(o, l, m, piece, a[l], w + at[l], a[l + 1]);
            if (l + 1 < depth)
                for (size_t i = 0; i < m * k[l + 1]; i++) a[l + 1][i] = tanh_of(a[l + 1][i]);
        }
        size_t classes = k[depth];
        float *p = a[depth], *dz = da[depth];
        memcpy(z, p, m * classes * sizeof *z);
        softmax(m, classes, z, p, log_sums);
        for (size_t e = 0; e < m; e++) {
            uint32_t label = o->labels[piece[e]];
            float own = log_sums[e] - z[e * classes + label];
            add_with_rest(1, &own, &loss, &loss_rest);
            for (size_t c = 0; c < classes; c++) dz[e * classes + c] = (p[e * classes + c] - (c == label ? 1 : 0)) * share;
        }
        if (d)
            for (size_t l = 0; l < depth; l++) {
                affine(o, l, m, piece, a[l], d + at[l], ra[l + 1]);
                if (l > 0) matmul(NN, m, k[l], k[l + 1], 1, ra[l], w + at[l], ra[l + 1]);
                if (l + 1 < depth) tanh_adjoint(m * k[l + 1], a[l + 1], ra[l + 1]);
            }
        if (d) {
            softmax_r(m, classes, p, ra[depth]);
            scale(m * classes, share, ra[depth], rda[depth]);
        }
        for (size_t l = depth; l-- > 0;) {
            size_t in = k[l], out = k[l + 1];
            add_gradient(o, l, m, piece, a[l], da[l + 1], g + at[l]);
            if (l > 0) matmul(NT, m, out, in, 0, da[l + 1], w + at[l], da[l]);
            if (!d) {
                if (l > 0) tanh_adjoint(m * in, a[l], da[l]);
                continue;
            }
            add_gradient(o, l, m, piece, a[l], rda[l + 1], h_d + at[l]);
            if (l == 0 && o->sparse) {
                float *sums = scratch(out);
                add_rows(m, out, rda[l + 1], sums);
                add_to_rows(in, -o->mean, out, sums, h_d + at[l]);
            }
            if (l == 0) continue;
            matmul(TN, in, m, out, 1, ra[l], da[l + 1], h_d + at[l]);
            matmul(NT, m, out, in, 0, rda[l + 1], w + at[l], rda[l]);
            matmul(NT, m, out, in, 1, da[l + 1], d + at[l], rda[l]);
            tanh_adjoint_r(m * in, a[l], ra[l], da[l], rda[l]);
        }
        if (n > BLOCK && m == left) {
            float *blocks[2] = {g, h_d};
            for (int i = 0; i < (d ? 2 : 1); i++) {
                add_with_rest(weights, blocks[i], sums[i], rests[i]);
                memset(blocks[i], 0, weights * sizeof *g);
            }
        }
    }
    if (n > BLOCK) {
        add_rows(1, weights, rests[0], sums[0]);
        if (d) add_rows(1, weights, rests[1], sums[1]);
        g = sums[0];
    }
    if (o->sparse) add_to_rows(k[0], -o->mean, k[1], g + k[0] * k[1], g);
    scratch_used = mark;
    return (loss + loss_rest) * share;
}

/* y = s x by groups; a copy where there is none. */
static void scaled(const Groups *groups, const float *s, const float *x, float *y) {
    for (const Block *b = groups->blocks; b < groups->blocks + groups->count; b++)
        if (b->first >= 0) scale_rows(b->rows, b->columns, s + b->first, x + b->start, y + b->start);
        else memmove(y + b->start, x + b->start, b->columns * sizeof *y);
}

/* Everything but the penalty. */
static float inner(const Objective *o, const float *w, const float *h, size_t n, const uint32_t *batch, float *g, float *d_h,
                   const float *d, float *h_d, float *m_d) {
    if (!o->scaled) return network(o, w, n, batch, g, d, h_d);
    const Groups *s = &o->scales;
    size_t mark = scratch_used;
    float *real = scratch(s->weights), *u = scratch(s->weights), *h_u = scratch(s->weights);
    scaled(s, h, w, real);
    if (d) scaled(s, h, d, u);
    float loss = network(o, real, n, batch, g, d ? u : NULL, h_u);
    if (d_h) memset(d_h, 0, s->hypers * sizeof *d_h);
    for (const Block *b = s->blocks; b < s->blocks + s->count; b++) {
        size_t i = b->start;
        if (b->first < 0) {
            for (size_t c = 0; d && c < b->columns; c++) h_d[i + c] += h_u[i + c];
            continue;
        }
        if (d_h) add_row_dots(b->rows, b->columns, w + i, g + i, d_h + b->first);
        if (d)
            add_scaled_products(b->rows, b->columns, h + b->first, d + i, g + i, w + i, h_u + i, h_d + i, m_d + b->first);
    }
    scaled(s, h, g, g);
    scratch_used = mark;
    return loss;
}

static float value(int penalty, float w) { return penalty == 2 ? w * w : fabsf(w); }
static float slope(int penalty, float w) { return penalty == 2 ? w + w : w > 0 ? 1 : w < 0 ? -1 : 0; }

float gradient(const Objective *o, int on, const float *w, const float *h, size_t n, const uint32_t *batch, float *g, float *d_h) {
    float loss = inner(o, w, h, n, batch, g, d_h, NULL, NULL, NULL);
    if (!o->penalty) return loss;
    const Groups *c = &o->penalties;
    int before = o->scaled ? o->scales.hypers : 0;
    size_t mark = scratch_used;
    float *sums = scratch(c->hypers);
    h += before;
    for (const Block *b = c->blocks; on && b < c->blocks + c->count; b++)
        for (size_t r = 0; b->first >= 0 && r < b->rows; r++) {
            Tree t = {{0}};
            float *of = &sums[b->first + r];
            for (size_t j = 0; j < b->columns; j++) {
                size_t i = b->start + r * b->columns + j;
                *(b->columns == 1 ? of : &t.lane[j % 32]) += value(o->penalty, w[i]);
                g[i] = mul_add(h[b->first + r], slope(o->penalty, w[i]), g[i]);
            }
            if (b->columns != 1) *of += fold(&t);
        }
    if (on) loss += dot(c->hypers, h, sums);
    if (d_h) memcpy(d_h + before, sums, c->hypers * sizeof *sums);
    scratch_used = mark;
    return loss;
}

void second_order(const Objective *o, const float *w, const float *h, size_t n, const uint32_t *batch, const float *d, float *g,
                  float *h_d, float *m_d) {
    inner(o, w, h, n, batch, g, NULL, d, h_d, m_d);
    if (!o->penalty) return;
    const Groups *c = &o->penalties;
    int before = o->scaled ? o->scales.hypers : 0;
    float curvature = o->penalty == 2 ? 2 : 0;
    for (const Block *b = c->blocks; b < c->blocks + c->count; b++)
        for (size_t r = 0; b->first >= 0 && r < b->rows; r++) {
            Tree t = {{0}};
            float *of = &m_d[before + b->first + r], own = h[before + b->first + r];
            for (size_t j = 0; j < b->columns; j++) {
                size_t i = b->start + r * b->columns + j;
                float *lane = b->columns == 1 ? of : &t.lane[j % 32], by = slope(o->penalty, w[i]);
                g[i] = mul_add(own, by, g[i]);
                h_d[i] = mul_add(own, curvature * d[i], h_d[i]);
                *lane = mul_add(by, d[i], *lane);
            }
            if (b->columns != 1) *of += fold(&t);
        }
}

/* Quantised differences */

static size_t in_a_word(uint32_t levels) {
    return levels == 3 ? 20 : levels == 7 ? 11 : levels == 11 ? 9 : levels == 15 ? 8 : 4;
}

size_t block_words(uint32_t levels) { return 1 + (80 + in_a_word(levels) - 1) / in_a_word(levels); }

size_t block_len(uint32_t levels) { return (block_words(levels) - 1) * in_a_word(levels); }

void encode(uint32_t levels, size_t n, const float *x, uint32_t *code) {
    size_t k = in_a_word(levels);
    float m = (float)(levels / 2), top = 0;
    for (size_t i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    float step = top / m, inverse = step > from_bits(0x00800000) ? m / top : 0;
    memset(code, 0, block_words(levels) * sizeof *code);
    code[0] = bits(step);
    for (size_t i = n; i-- > 0;) {
        uint32_t q = bits(clamp(x[i] * inverse, -m, m) + R) - bits(R);
        code[1 + i / k] = code[1 + i / k] * levels + q + levels / 2;
    }
}

void decode(uint32_t levels, size_t n, const uint32_t *code, float *y) {
    size_t k = in_a_word(levels);
    float scale = from_bits(code[0]);
    uint32_t word = 0;
    for (size_t i = 0; i < n; i++, word /= levels) {
        if (i % k == 0) word = code[1 + i / k];
        y[i] = mul_add(scale, (float)((int32_t)(word % levels) - (int32_t)(levels / 2)), y[i]);
    }
}

/* Fixed point */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t nearest(double x) { return (int64_t)((x + 6755399441055744.0) - 6755399441055744.0); }

Ratio ratio_of(double momentum) {
    Ratio before = {1, 0}, last = {0, 1};
    for (double rest = momentum; rest > 0;) {
        double inverse = 1 / rest;
        uint32_t most = (1024 - before.d) / last.d;
        int fits = inverse < (double)most + 1;
        uint32_t digit = fits ? (uint32_t)inverse : most;
        Ratio next = {digit * last.n + before.n, digit * last.d + before.d};
        if (!fits) {
            double a = (double)next.n / next.d - momentum, b = (double)last.n / last.d - momentum;
            return fabs(a) < fabs(b) ? next : last;
        }
        before = last, last = next;
        rest = inverse - digit;
    }
    return last;
}

uint32_t grown(Ratio by, uint32_t bound) { return (uint32_t)(((uint64_t)bound + 1) * by.d / by.n); }

Turn turn_of(Step by, uint32_t weight_bits, uint32_t velocity_bits) {
    Turn t = {ratio_of(by.momentum), 0, 0, 0, weight_bits, velocity_bits};
    double alpha = ldexp(by.rate, (int)weight_bits - (int)velocity_bits);
    int e = -1023;
    if (alpha != 0) frexp(alpha, &e), e--;
    t.shift = 29 - e < 62 ? 29 - e : 62;
    t.rate = nearest(ldexp(alpha, t.shift));
    t.share = ldexp((double)(t.by.d - t.by.n) / t.by.d, (int)velocity_bits);
    return t;
}

int32_t fix(double x, uint32_t bits) { return (int32_t)nearest(ldexp(x, (int)bits)); }

float view(int32_t i, uint32_t bits) { return (float)ldexp(i, -(int)bits); }

static int32_t motion(const Turn *by, int32_t v) {
    int64_t unit = (int64_t)1 << by->shift;
    return (int32_t)floor_div((int64_t)v * by->rate + unit / 2, unit);
}

void fixed_step(const Turn *by, size_t n, const float *g, int32_t *w, int32_t *v, uint32_t *x) {
    int64_t num = by->by.n, den = by->by.d;
    for (size_t i = 0; i < n; i++) {
        int64_t q = floor_div(v[i], den), y = (int64_t)x[i] * den + (v[i] - q * den);
        x[i] = (uint32_t)(y / num);
        v[i] = (int32_t)(q * num + y % num - nearest((double)g[i] * by->share));
        w[i] += motion(by, v[i]);
    }
}

void undo_move(const Turn *by, size_t n, const int32_t *v, int32_t *w) {
    for (size_t i = 0; i < n; i++) w[i] -= motion(by, v[i]);
}

void undo_kick(const Turn *by, size_t n, const float *g, int32_t *v, uint32_t *x) {
    int64_t num = by->by.n, den = by->by.d;
    for (size_t i = 0; i < n; i++) {
        int64_t k = v[i] + nearest((double)g[i] * by->share), q = floor_div(k, num);
        int64_t y = (int64_t)x[i] * num + (k - q * num);
        x[i] = (uint32_t)(y / den);
        v[i] = (int32_t)(q * den + y % den);
    }
}

/* Runs */

uint32_t knot(uint32_t steps, uint32_t intervals, float spacing, uint32_t k) {
    if (k == 0 || k >= intervals) return k ? steps : 0;
    int arithmetic = drmad_fused;
    drmad_fused = 0;
    float share = (float)k / (float)intervals, power = exp_of(spacing * ln_of(share));
    drmad_fused = arithmetic;
    uint32_t step = (uint32_t)(power * (float)steps + 0.5f);
    if (step < k) step = k;
    return step < steps - (intervals - k) ? step : steps - (intervals - k);
}

enum { MOST_STEPS = 256, MOST_KNOTS = 16, MOST_SPILLS = 64, MOST_WEIGHTS = 256, MOST_ROWS = 4096, MOST_BATCH = 64 };

/* What a path remembers. */
typedef struct {
    float *seen_w, *seen_v;                     /* tape */
    float *left, *right, *u, *last, *x;         /* hats */
    uint32_t rows[MOST_ROWS], knots[MOST_KNOTS + 1], interval;
    int32_t w[MOST_WEIGHTS], v[MOST_WEIGHTS];   /* reversible */
    uint32_t lost[MOST_WEIGHTS], bound, spills, spilled_at[MOST_SPILLS];
    uint8_t bytes[MOST_SPILLS][MOST_WEIGHTS];
} Path;

typedef struct { size_t start, len, rate, momentum; Step by; } Piece;

/* The next piece of the schedule's groups at step t; 0 after the last. */
static int next_piece(const Run *r, uint32_t t, size_t *state, Piece *piece) {
    const Groups *s = &r->schedule;
    size_t skip = (*state)++;
    for (const Block *b = s->blocks; b < s->blocks + s->count; b++) {
        if (b->first < 0) continue;
        if (skip < b->rows) {
            size_t group = b->first + skip, later = t * s->hypers + group;
            piece->start = b->start + skip * b->columns;
            piece->len = b->columns;
            piece->rate = r->rates_len == (size_t)s->hypers ? group : later;
            piece->momentum = r->momenta_len == (size_t)s->hypers ? group : later;
            piece->by = (Step){r->rates[piece->rate], r->momenta[piece->momentum]};
            return 1;
        }
        skip -= b->rows;
    }
    return 0;
}

static void divide_by_rates(const Run *r, uint32_t t, float *v) {
    Piece piece;
    for (size_t state = 0; next_piece(r, t, &state, &piece);)
        for (size_t i = 0; i < piece.len; i++) v[piece.start + i] /= piece.by.rate;
}

static size_t row_words(const Run *r) {
    size_t block = block_len(r->levels);
    return (r->initial.weights + block - 1) / block * block_words(r->levels);
}

/* Row k as read, or with x (of row k) written. */
static void hats_row(const Run *r, Path *path, uint32_t k, float *row, const float *x) {
    size_t p = r->initial.weights, block = block_len(r->levels), words = block_words(r->levels);
    for (size_t i = 0, j = 0; i < p; i += block, j++) {
        size_t n = p - i < block ? p - i : block;
        memcpy(row + i, r->w0 + i, n * sizeof *row);
        for (uint32_t before = 1; before < k + (x == NULL); before++)
            decode(r->levels, n, path->rows + (before - 1) * row_words(r) + j * words, row + i);
        if (!x) continue;
        for (size_t e = i; e < i + n; e++) row[e] = x[e] - row[e];
        encode(r->levels, n, row + i, path->rows + (k - 1) * row_words(r) + j * words);
    }
}

static void close_hat(const Run *r, Path *path, uint32_t k, const float *b) {
    if (k == 0) return;
    double n = path->knots[k] - path->knots[k - 1];
    double before = (n * n - 1) / (6 * n), itself = (n - 1) * (2 * n - 1) / (6 * n), after = 0;
    if (k < r->intervals) {
        n = path->knots[k + 1] - path->knots[k];
        itself += (n + 1) * (2 * n + 1) / (6 * n);
        after = (n * n - 1) / (6 * n);
    } else itself += 1;
    double pivot = itself - before * (double)path->u[k - 1];
    path->u[k] = (float)(after / pivot);
    double share = 1 / (pivot * (1 + (double)path->u[k]));
    float by_b = (float)share, by_last = (float)(-before * (1 + (double)path->u[k - 1]) * share);
    hats_row(r, path, k - 1, path->last, NULL);
    for (size_t i = 0; i < r->initial.weights; i++) path->x[i] = mul_add(by_last, path->last[i], by_b * b[i]);
    hats_row(r, path, k, path->last, path->x);
}

static void swap(float **a, float **b) {
    float *c = *a;
    *a = *b;
    *b = c;
}

static void hats_see(const Run *r, Path *path, uint32_t t, const float *w) {
    size_t p = r->initial.weights;
    uint32_t j = path->interval, *knots = path->knots;
    if (t == knots[j + 1]) {
        close_hat(r, path, j, path->left);
        swap(&path->left, &path->right);
        memset(path->right, 0, p * sizeof *w);
        j = ++path->interval;
    }
    float by[2];
    weights(t - knots[j], knots[j + 1] - knots[j], by);
    if (j > 0) add_scaled(p, by[0], w, path->left);
    if (t > knots[j]) add_scaled(p, by[1], w, path->right);
}

static void hats_recall(const Run *r, Path *path, uint32_t t, float *w, float *v) {
    size_t p = r->initial.weights;
    while (t < path->knots[path->interval]) { /* `left` is the coefficient of this knot */
        uint32_t k = --path->interval;
        swap(&path->left, &path->right);
        hats_row(r, path, k, path->left, NULL);
        for (size_t i = 0; i < p; i++)
            path->left[i] = mul_add(-path->u[k], path->right[i], (1 + path->u[k]) * path->left[i]);
    }
    uint32_t start = path->knots[path->interval], n = path->knots[path->interval + 1] - start;
    between(t - start, n, p, path->left, path->right, w);
    for (size_t i = 0; i < p; i++) v[i] = (path->right[i] - path->left[i]) / (float)n;
}

static void view_all(const Run *r, const Path *path, float *w, float *v) {
    for (size_t i = 0; i < r->initial.weights; i++) {
        w[i] = view(path->w[i], r->weight_bits);
        if (v) v[i] = view(path->v[i], r->velocity_bits);
    }
}

static void reversible_step(const Run *r, Path *path, uint32_t t, const float *g, float *w, float *v) {
    while (path->bound >= 1u << 21) {
        if (path->spills == MOST_SPILLS) abort();
        for (size_t i = 0; i < r->initial.weights; i++) {
            path->bytes[path->spills][i] = (uint8_t)path->lost[i];
            path->lost[i] >>= 8;
        }
        path->spilled_at[path->spills++] = t;
        path->bound >>= 8;
    }
    uint32_t bound = 0;
    Piece piece;
    for (size_t state = 0; next_piece(r, t, &state, &piece);) {
        Turn turn = turn_of(piece.by, r->weight_bits, r->velocity_bits);
        size_t i = piece.start;
        fixed_step(&turn, piece.len, g + i, path->w + i, path->v + i, path->lost + i);
        if (grown(turn.by, path->bound) > bound) bound = grown(turn.by, path->bound);
    }
    path->bound = bound;
    view_all(r, path, w, v);
}

static void reversible_recall(const Run *r, Path *path, uint32_t t, const uint32_t *batch, float *w, float *v, float *g) {
    Piece piece;
    for (size_t state = 0; next_piece(r, t, &state, &piece);) {
        Turn turn = turn_of(piece.by, r->weight_bits, r->velocity_bits);
        undo_move(&turn, piece.len, path->v + piece.start, path->w + piece.start);
    }
    view_all(r, path, w, NULL);
    gradient(&r->objective, 1, w, r->h, r->size, batch, g, NULL);
    for (size_t state = 0; next_piece(r, t, &state, &piece);) {
        Turn turn = turn_of(piece.by, r->weight_bits, r->velocity_bits);
        size_t i = piece.start;
        undo_kick(&turn, piece.len, g + i, path->v + i, path->lost + i);
    }
    while (path->spills > 0 && path->spilled_at[path->spills - 1] == t) {
        path->spills--;
        for (size_t i = 0; i < r->initial.weights; i++) path->lost[i] = path->lost[i] << 8 | path->bytes[path->spills][i];
    }
    view_all(r, path, w, v);
}

/* Rate and momentum of the step that was taken. */
static Step taken(const Run *r, Step by) {
    if (r->path == REVERSIBLE) {
        Ratio ratio = ratio_of(by.momentum);
        by.momentum = (float)((double)ratio.n / ratio.d);
    }
    return by;
}

void run(Run *r) {
    static Path path;
    size_t mark = scratch_used, p = r->initial.weights, bytes = p * sizeof(float);
    const Objective *o = &r->objective;
    if (r->steps > MOST_STEPS || p > MOST_WEIGHTS || r->intervals > MOST_KNOTS || r->size > MOST_BATCH) abort();
    if (r->path == HATS && r->intervals * row_words(r) > MOST_ROWS) abort();
    memset(&path, 0, sizeof path);
    path.seen_w = scratch(r->path == TAPE ? p * r->steps : 0), path.seen_v = scratch(r->path == TAPE ? p * r->steps : 0);
    path.left = scratch(p), path.right = scratch(p), path.last = scratch(p), path.x = scratch(p);
    path.u = scratch(r->intervals + 1);
    for (uint32_t k = 0; k <= r->intervals; k++) path.knots[k] = knot(r->steps, r->intervals, r->spacing, k);
    float *w = scratch(p), *v = scratch(p), *g = scratch(p), *d_v = scratch(p), *d_g = scratch(p), *d_w = r->d_w;
    uint32_t batch[MOST_BATCH];
    Piece piece;

    initial_weights(r->initial_seed, &r->initial, r->log_scales, 0, p, r->w0);
    memcpy(w, r->w0, bytes);
    if (r->path == REVERSIBLE) {
        for (size_t i = 0; i < p; i++) path.w[i] = fix(w[i], r->weight_bits);
        view_all(r, &path, w, NULL);
    }
    for (uint32_t t = 0; t < r->steps; t++) {
        if (r->path == TAPE) memcpy(path.seen_w + t * p, w, bytes), memcpy(path.seen_v + t * p, v, bytes);
        if (r->path == HATS) hats_see(r, &path, t, w);
        batch_of(r->batches_seed, r->examples, r->size, t, batch);
        r->losses[t] = gradient(o, 1, w, r->h, r->size, batch, g, NULL);
        if (r->path == REVERSIBLE) reversible_step(r, &path, t, g, w, v);
        else
            for (size_t state = 0; next_piece(r, t, &state, &piece);)
                momentum_step(piece.by, piece.len, g + piece.start, v + piece.start, w + piece.start);
    }
    if (r->path == HATS) {
        close_hat(r, &path, r->intervals - 1, path.left);
        add_scaled(p, 1, w, path.right);
        close_hat(r, &path, r->intervals, path.right);
        path.interval = r->intervals;
        hats_row(r, &path, r->intervals, path.left, NULL);
    }
    memcpy(r->w, w, bytes);

    memset(r->d_h, 0, r->h_len * sizeof(float));
    r->valid_loss = gradient(o, 0, w, r->h, r->valid_count, r->valid, d_w, r->d_h);
    memset(r->d_rates, 0, r->rates_len * sizeof(float));
    memset(r->d_momenta, 0, r->momenta_len * sizeof(float));
    for (uint32_t t = r->steps; t-- > 0;) {
        for (size_t state = 0; next_piece(r, t, &state, &piece);)
            r->d_rates[piece.rate] += dot(piece.len, d_w + piece.start, v + piece.start);
        batch_of(r->batches_seed, r->examples, r->size, t, batch);
        if (r->path == TAPE) memcpy(w, path.seen_w + t * p, bytes), memcpy(v, path.seen_v + t * p, bytes);
        if (r->path == REVERSIBLE) reversible_recall(r, &path, t, batch, w, v, g);
        if (r->path == HATS) hats_recall(r, &path, t, w, v);
        if (r->path == LINE) {
            between(t, r->steps, p, r->w0, r->w, w);
            for (size_t i = 0; i < p; i++) v[i] = (r->w[i] - r->w0[i]) / (float)r->steps;
        }
        if (r->path == HATS || r->path == LINE) {
            if (t > 0) divide_by_rates(r, t - 1, v);
            else memset(v, 0, bytes);
        }
        for (size_t state = 0; next_piece(r, t, &state, &piece);)
            momentum_adjoint(taken(r, piece.by), piece.len, d_w + piece.start, d_v + piece.start, d_g + piece.start);
        second_order(o, w, r->h, r->size, batch, d_g, g, d_w, r->d_h);
        for (size_t state = 0; next_piece(r, t, &state, &piece);) {
            const float *of = d_g + piece.start;
            float both = dot(piece.len, of, v + piece.start) + dot(piece.len, of, g + piece.start);
            r->d_momenta[piece.momentum] += both / (taken(r, piece.by).momentum - 1);
        }
    }
    scratch_used = mark;
}
