/* drmad's kernels and whole runs in C99, after docs/porting.md: its sections, in its order. */
#ifndef DRMAD_H
#define DRMAD_H

#include <stddef.h>
#include <stdint.h>

/* The arithmetic: 0 plain, 1 fused. */
extern int drmad_fused;

/* Memory for intermediate results: zeros, given back by setting the mark to what it was. */
extern size_t scratch_used;
float *scratch(size_t n);

float mul_add(float a, float b, float c);

/* Sums */
float sum(size_t n, const float *x);
float dot(size_t n, const float *x, const float *y);
double norm(size_t n, const float *x);
double cosine(size_t n, const float *x, const float *y);
int all_finite(size_t n, const float *x);
enum { NN, TN, NT };
void matmul(int form, size_t rows, size_t inner, size_t columns, int accumulate, const float *a, const float *b, float *c);
void sparse_shifted(size_t rows, size_t columns, float mean, const float *w, const float *bias, float *y);
void sparse_product(size_t n, const uint32_t *indices, const float *values, size_t columns, const float *w, float *y);
void sparse_outer(size_t n, const uint32_t *indices, const float *values, size_t columns, const float *d, float *g);

/* Scaled copies and sums */
void add_scaled(size_t n, float a, const float *x, float *y);
void scale(size_t n, float a, const float *x, float *y);
void add_outer(size_t rows, const float *a, size_t columns, const float *x, float *y);
void combine(size_t rows, const float *a, size_t columns, const float *x, float *y);
void add_to_rows(size_t rows, float a, size_t columns, const float *x, float *y);
void add_with_rest(size_t n, const float *x, float *y, float *rest);
void add_rows(size_t rows, size_t columns, const float *x, float *y);
void repeat(size_t n, const float *x, size_t places, float *y);
void scale_rows(size_t rows, size_t columns, const float *a, const float *x, float *y);
void add_scaled_rows(size_t rows, size_t columns, const float *a, const float *x, float *y);
void add_row_sums(size_t rows, size_t columns, const float *x, float *h);
void add_row_dots(size_t rows, size_t columns, const float *x, const float *y, float *h);
void add_scaled_products(size_t rows, size_t columns, const float *s, const float *d, const float *g, const float *z,
                         const float *h_u, float *h_d, float *m);
void weights(uint32_t i, uint32_t n, float by[2]);
void between(uint32_t i, uint32_t n, size_t p, const float *x0, const float *x1, float *y);
void bend(const double g[2], uint32_t n, size_t p, const float *x0, const float *x1, const float *f0, const float *f1, float *y);

/* Elementary functions */
float exp_of(float x);
float ln_of(float x);
float ln_1p_of(float x);
float tanh_of(float x);
float probit_of(float q);
float power_of(float x, uint32_t n);
void tanh_adjoint(size_t n, const float *y, float *d);
void tanh_adjoint_r(size_t n, const float *y, const float *r_y, float *d, float *r_d);
void softmax(size_t rows, size_t classes, float *z, float *p, float *log_sums);
void softmax_r(size_t rows, size_t classes, const float *p, float *r);

/* Steps: `by` is the rate and the momentum */
typedef struct { float rate, momentum; } Step;
void momentum_step(Step by, size_t n, const float *g, float *v, float *w);
void momentum_adjoint(Step by, size_t n, const float *d_w, float *d_v, float *d_g);
void momentum_undo(Step by, size_t n, const float *g, float *v, float *w);
void nesterov_step(Step by, size_t n, const float *g, float *v, float *w);
Step nesterov_adjoint(Step by, size_t n, const float *g, const float *v, const float *d_w, float *d_v, float *d_g);
typedef struct { uint32_t t; float rate, b1, b2, eps, decay; } Adam;
void adam_step(Adam by, size_t n, const float *g, float *m, float *s, float *w);
Step adam_adjoint(Adam by, size_t p, const float *g, const float *m, const float *n, const float *w, float *d_w, float *d_m,
                  float *d_n, float *d_g);
typedef struct { float x, dot; } Dual;
void momentum_tangent(Dual rate, Dual momentum, size_t n, const float *g[2], float *v[2], float *w[2]);
void nesterov_tangent(Dual rate, Dual momentum, size_t n, const float *g[2], float *v[2], float *w[2]);
void adam_tangent(Adam by, float rate_dot, float b1_dot, size_t p, const float *g[2], float *m[2], float *n[2], float *w[2]);

/* Random numbers */
uint32_t random_word(uint64_t seed, uint64_t stream, uint64_t position);
uint64_t mix(uint64_t seed, size_t count, const uint64_t *counters);
void batch_of(uint64_t seed, uint32_t examples, uint32_t size, uint32_t t, uint32_t *batch);
void choose(uint64_t seed, uint32_t n, uint32_t *pool, uint32_t m, uint32_t *chosen);

/* Groups */
enum { BLOCKS = 32 };
typedef struct { size_t start, rows, columns; int first; } Block;
typedef struct { size_t count, weights; int hypers; Block blocks[BLOCKS]; } Groups;
Groups groups_of(size_t layers, const uint32_t *widths, uint32_t by, uint32_t biases);
void initial_weights(uint64_t seed, const Groups *groups, const float *log_scales, size_t first, size_t n, float *w);

/* Objectives */
typedef struct {
    size_t depth, microbatch; /* depth: layers */
    const uint32_t *widths, *labels;
    const float *x;
    const uint32_t *bytes; /* in place of x, less the mean; `sparse`: as sparse rows */
    float mean;
    int sparse, scaled, penalty; /* penalty: 0 none, 1 L1, 2 L2 */
    Groups scales, penalties;
} Objective;
/* `on`: with the penalty. */
float gradient(const Objective *o, int on, const float *w, const float *h, size_t n, const uint32_t *batch, float *g, float *d_h);
void second_order(const Objective *o, const float *w, const float *h, size_t n, const uint32_t *batch, const float *d, float *g,
                  float *h_d, float *m_d);

/* Quantised differences */
size_t block_len(uint32_t levels);
size_t block_words(uint32_t levels);
void encode(uint32_t levels, size_t n, const float *x, uint32_t *code);
void decode(uint32_t levels, size_t n, const uint32_t *code, float *y);

/* Fixed point */
typedef struct { uint32_t n, d; } Ratio;
typedef struct { Ratio by; double share; int64_t rate; int shift; uint32_t weight_bits, velocity_bits; } Turn;
Ratio ratio_of(double momentum);
uint32_t grown(Ratio by, uint32_t bound);
Turn turn_of(Step by, uint32_t weight_bits, uint32_t velocity_bits);
int32_t fix(double x, uint32_t bits);
float view(int32_t i, uint32_t bits);
void fixed_step(const Turn *by, size_t n, const float *g, int32_t *w, int32_t *v, uint32_t *x);
void undo_move(const Turn *by, size_t n, const int32_t *v, int32_t *w);
void undo_kick(const Turn *by, size_t n, const float *g, int32_t *v, uint32_t *x);

/* Runs */
uint32_t knot(uint32_t steps, uint32_t intervals, float spacing, uint32_t k);
enum { TAPE, LINE, HATS, REVERSIBLE };
typedef struct {
    Objective objective;
    const float *h;
    uint32_t steps, size, examples, valid_count;
    uint64_t batches_seed, initial_seed;
    const uint32_t *valid;
    Groups initial, schedule;
    const float *log_scales, *rates, *momenta;
    size_t rates_len, momenta_len, h_len;
    int path;
    uint32_t levels, intervals, weight_bits, velocity_bits;
    float spacing;
    /* Results. */
    float *w0, *losses, *w, valid_loss, *d_rates, *d_momenta, *d_h, *d_w;
} Run;
void run(Run *r);

#endif
