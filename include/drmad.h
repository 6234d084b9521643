/* drmad: hypergradients in constant memory. Made from capi/src by cbindgen: do not edit.
 *
 * Manual: docs/c.md. Every function but drmad_error_text, drmad_version and drmad_abi returns 0 or a
 * negative code of drmad_error, looks at all its arguments before it writes, and leaves every result as it
 * was unless it returns 0. All memory is the caller's; nothing is allocated and nothing is global. */


#ifndef DRMAD_H
#define DRMAD_H

#include <stddef.h>
#include <stdint.h>

/* No tail (drmad_method). */
#define DRMAD_TAIL_NONE SIZE_MAX

// The version of the structs. It changes where a struct or the meaning of a field does; codes and
// functions do not.
#define DRMAD_ABI 1

// Numbers in full, not as differences of a few levels.
#define DRMAD_LEVELS_FULL 1

// What every function returns. A code's number and meaning never change; there may be new ones.
enum drmad_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done.
  DRMAD_ERROR_NONE = 0,
  // A pointer that is needed is null.
  DRMAD_ERROR_NULL = -1,
  // A pointer is not a multiple of its type's alignment.
  DRMAD_ERROR_MISALIGNED = -2,
  // A buffer has another length than it must have, or too short a one.
  DRMAD_ERROR_LENGTH = -3,
  // A buffer that is written overlaps another one.
  DRMAD_ERROR_OVERLAP = -4,
  // A size is beyond the address space.
  DRMAD_ERROR_SIZE = -5,
  // A size, a number of steps, of examples or of elements is 0.
  DRMAD_ERROR_EMPTY = -6,
  // An enumeration or a flag has a value that it does not know.
  DRMAD_ERROR_ENUM = -7,
  // A number that is read is infinite or not a number.
  DRMAD_ERROR_NOT_FINITE = -8,
  // A number is outside its range.
  DRMAD_ERROR_RANGE = -9,
  // An index, a label or an example does not exist.
  DRMAD_ERROR_INDEX = -10,
  // Indices do not ascend.
  DRMAD_ERROR_ORDER = -11,
  // A training, or the way back through it, left the finite numbers.
  DRMAD_ERROR_DIVERGED = -12,
  // A number does not fit its fixed-point integer.
  DRMAD_ERROR_OVERFLOW = -13,
  // A linear system's residual left all bounds.
  DRMAD_ERROR_UNSOLVED = -14,
  // A combination that does not exist.
  DRMAD_ERROR_UNSUPPORTED = -15,
  // There is no point to project onto.
  DRMAD_ERROR_EMPTY_SET = -16,
  // This library was built without the fused arithmetic.
  DRMAD_ERROR_LEFT_OUT = -17,
  // The struct is of another version of the header.
  DRMAD_ERROR_ABI = -18,
  // A fault in the library itself.
  DRMAD_ERROR_INTERNAL = -128,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_error drmad_error;
#else
typedef int32_t drmad_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a multiply-add is rounded. For each of them results have the same bits on every machine.
enum drmad_rounding
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // A product and a sum, each rounded: for devices.
  DRMAD_ROUNDING_PLAIN = 0,
  // Every multiply-add is one rounding: for hosts.
  DRMAD_ROUNDING_FUSED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_rounding drmad_rounding;
#else
typedef int32_t drmad_rounding;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which operand of a matrix product is transposed. All are row-major as stored.
enum drmad_operands
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `a` is rows x inner, `b` is inner x columns.
  DRMAD_OPERANDS_NN = 0,
  // `a` is inner x rows, `b` is inner x columns.
  DRMAD_OPERANDS_TN = 1,
  // `a` is rows x inner, `b` is columns x inner.
  DRMAD_OPERANDS_NT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_operands drmad_operands;
#else
typedef int32_t drmad_operands;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where the weights were: what a method remembers of the training.
enum drmad_path
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // A least-squares fit by hat functions of time, the default.
  DRMAD_PATH_HATS = 0,
  // Every step: exact.
  DRMAD_PATH_TAPE = 1,
  // Some steps, the others are taken again: exact.
  DRMAD_PATH_CHECKPOINTS = 2,
  // The bits that a step in fixed point loses: exact, of that training.
  DRMAD_PATH_REVERSIBLE = 3,
  // Nothing: a straight line from the first weights to the last (DrMAD as its formula says).
  DRMAD_PATH_LINE = 4,
  // The same as DrMAD's published code has it.
  DRMAD_PATH_LINE_PUBLISHED = 5,
  // Some points, with lines between them.
  DRMAD_PATH_KNOTS = 6,
  // Some points, with cubics between them.
  DRMAD_PATH_HERMITE = 7,
  // A least-squares fit by polynomials of time.
  DRMAD_PATH_LEGENDRE = 8,
  // Nothing: runs backwards in floating point, good for some steps.
  DRMAD_PATH_REVERSED = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_path drmad_path;
#else
typedef int32_t drmad_path;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How many weights share a number.
enum drmad_share
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // There is no such hyperparameter. For rates and initial scales, which there must be: one for all.
  DRMAD_SHARE_NONE = 0,
  // All of them.
  DRMAD_SHARE_GLOBAL = 1,
  // Those of a layer.
  DRMAD_SHARE_LAYER = 2,
  // Those of a weight matrix, and those of a vector of biases.
  DRMAD_SHARE_TENSOR = 3,
  // The weights that leave one input of a layer; the biases leave the constant input.
  DRMAD_SHARE_UNIT = 4,
  // None: each has its own.
  DRMAD_SHARE_PARAMETER = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_share drmad_share;
#else
typedef int32_t drmad_share;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a gradient moves the weights.
enum drmad_moves
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
  DRMAD_MOVES_HEAVY_BALL = 0,
  // The same with a look ahead.
  DRMAD_MOVES_NESTEROV = 1,
  // Adam with decoupled decay; the momentum is `b1`.
  DRMAD_MOVES_ADAM = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_moves drmad_moves;
#else
typedef int32_t drmad_moves;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How implicit differentiation solves its linear system.
enum drmad_solve
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Conjugate gradients.
  DRMAD_SOLVE_CONJUGATE_GRADIENTS = 0,
  // The Neumann series.
  DRMAD_SOLVE_NEUMANN = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_solve drmad_solve;
#else
typedef int32_t drmad_solve;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A convex set.
enum drmad_convex
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `x_i >= 0`.
  DRMAD_CONVEX_NON_NEGATIVE = 0,
  // `low <= x_i <= high`.
  DRMAD_CONVEX_BOX = 1,
  // `x_i >= 0, sum x = total`.
  DRMAD_CONVEX_SIMPLEX = 2,
  // `sum |x| <= total`.
  DRMAD_CONVEX_L1_BALL = 3,
  // `low <= x_i <= high, sum x <= total`.
  DRMAD_CONVEX_CAPPED_BOX = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_convex drmad_convex;
#else
typedef int32_t drmad_convex;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a hyperparameter without bounds is of its value.
enum drmad_parameter
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The logarithm, of what is positive.
  DRMAD_PARAMETER_LOG = 0,
  // The logit, of what lies between 0 and 1.
  DRMAD_PARAMETER_LOGIT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_parameter drmad_parameter;
#else
typedef int32_t drmad_parameter;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The constants of a step of Adam.
typedef struct {
  // The step, from 0.
  uint32_t t;
  // The rate.
  float rate;
  // How much of the first moment stays, in [0, 1).
  float b1;
  // How much of the second moment stays, in [0, 1).
  float b2;
  // What is added to the root, at least `2^-55 / sqrt(1 - b2)`: 8.8e-16 for .999.
  float eps;
  // How much a weight shrinks, divided by the rate (PyTorch's `weight_decay` of `AdamW`), at least 0.
  float decay;
} drmad_adam;

// The shape of a matrix product `c (rows x columns) = a b`.
typedef struct {
  // One of `drmad_operands`.
  int32_t operands;
  // 1 to add to `c`, 0 to overwrite it.
  int32_t accumulate;
  // Rows of `c`.
  size_t rows;
  // Length of each sum.
  size_t inner;
  // Columns of `c`.
  size_t columns;
} drmad_product;

// The constants of a step in fixed point.
typedef struct {
  // The momentum: the nearest fraction with a denominator of at most 1024 is taken.
  float momentum;
  // The rate.
  float rate;
  // Bits of a weight that are a fraction, 1 to 30; 26 serves most trainings.
  uint32_t weight_bits;
  // Bits of a velocity that are a fraction, 1 to 30; 28 serves most trainings.
  uint32_t velocity_bits;
} drmad_turn;

// The integers of some weights: three buffers of the call's `n`.
typedef struct {
  // The weights.
  int32_t *w;
  // The velocities.
  int32_t *v;
  // What the momentum has cut off, below 2^21; greater ones are to be spilled first.
  uint32_t *x;
} drmad_fixed;

// Adam's constants, and the steps it has taken. `.rate` alone need be set: the others are the defaults
// where they are 0.
typedef struct {
  // The rate: about the size of a step.
  float rate;
  // How much of the first moment stays, in [0, 1); 0 is .9.
  float b1;
  // How much of the second moment stays, in [0, 1); 0 is .999.
  float b2;
  // What keeps the quotient finite, above 0; 0 is 1e-12.
  float eps;
  // Steps taken; each call adds one.
  uint32_t taken;
} drmad_outer;

// A convex set with its bounds, which may be infinite; those it has no use for are not looked at.
typedef struct {
  // One of `drmad_convex`.
  int32_t set;
  // The least number.
  float low;
  // The greatest number.
  float high;
  // The sum, or the greatest one.
  float total;
} drmad_set;

// A map from weights to hyperparameters.
typedef struct {
  // One of `drmad_share`.
  int32_t by;
  // 1 where biases belong to a group. Otherwise no hyperparameter touches them, no rate trains them, and
  // no initial scale moves them from 0.
  int32_t biases;
} drmad_grouping;

// A training of a tanh network with softmax loss. Set it to zeros, then what is wanted.
typedef struct {
  // DRMAD_ABI.
  uint32_t abi;
  // One of `drmad_rounding`.
  int32_t arithmetic;
  // Inputs, hidden units ..., classes.
  const size_t *widths;
  // How many of these: at least 2.
  size_t widths_len;
  // Inputs, examples x the first width; NULL where there are pixels.
  const float *features;
  // Inputs as bytes, each `byte / 255 - mean`; NULL where there are features.
  const uint8_t *pixels;
  // The mean of pixels.
  float mean;
  // The class of each example.
  const uint8_t *labels;
  // Examples there are.
  size_t examples;
  // The first so many of them are trained on.
  size_t train;
  // Those that the validation loss is of.
  const uint32_t *valid;
  // How many of these.
  size_t valid_len;
  // Examples in a batch.
  size_t batch;
  // Examples that are worked through at once: memory against speed, and part of the numerics; 0 is a
  // batch.
  size_t chunk;
  // The seed of the batches.
  uint64_t batch_seed;
  // Which weights share a scale.
  drmad_grouping scale;
  // Which weights share a penalty that is tuned.
  drmad_grouping penalty;
  // The coefficient of a fixed penalty on all weights; 0 where a penalty is tuned.
  float l2;
  // The scales, then the penalties.
  const float *h;
  // How many: `hypers` of `drmad_sizes`.
  size_t h_len;
  // One of `drmad_moves`.
  int32_t rule;
  // Adam's; 0 is .999.
  float b2;
  // Adam's; 0 is 1e-8.
  float eps;
  // AdamW's, which each step multiplies by the rate, as PyTorch does.
  float decay;
  // Which weights share a rate and a momentum. By NONE it is one for all, biases too.
  drmad_grouping groups;
  // A rate for each group, or steps x groups; PyTorch's is this times 1 - momentum, but for Adam.
  const float *rates;
  // How many.
  size_t rates_len;
  // A momentum in [0, 1) for each group, or steps x groups.
  const float *momenta;
  // How many.
  size_t momenta_len;
  // The steps, below 2^32.
  size_t steps;
  // The initial weights; NULL where they are drawn from a seed.
  const float *w0;
  // How many.
  size_t w0_len;
  // The seed they are drawn from.
  uint64_t w0_seed;
  // Which of them share a scale. By NONE it is one for all, biases too.
  drmad_grouping w0_groups;
  // The logarithm of each scale.
  const float *log_scales;
  // How many.
  size_t log_scales_len;
  // Told the training loss before each step, where it is not NULL. It must return, and touch none of
  // the call's buffers.
  void (*each)(void *context, size_t step, float loss);
  // What it is told first.
  void *context;
} drmad_run;

// What a run's buffers must hold.
typedef struct {
  // Weights.
  size_t weights;
  // Hyperparameters: scales, then penalties.
  size_t hypers;
  // Of these the scales.
  size_t scales;
  // Groups of rates and momenta.
  size_t groups;
  // Scales of the initial weights.
  size_t log_scales;
} drmad_size;

// A reverse method. All zeros are the default: hats, 8 of them, in 11 levels, with a tail.
typedef struct {
  // One of `drmad_path`.
  int32_t path;
  // Levels of hats and knots: 3, 7, 11, 15, 255 or DRMAD_LEVELS_FULL; 0 is 11 for hats and 255 for
  // knots.
  uint32_t levels;
  // How many hats, snapshots, intervals or polynomials; 0 is 8 hats, 10 snapshots, 32 intervals, 16
  // polynomials.
  size_t size;
  // The power of the spacing of hats, 0.1 to 10; 0 is the one that serves their number best.
  float spacing;
  // The last steps that are run backwards, before a path that does not take the steps itself; 0 is as many as
  // the momentum allows for hats, and none for the others; DRMAD_TAIL_NONE is none.
  size_t tail;
  // Only so many last steps are taken back; 0 is all.
  size_t last;
} drmad_method;

// Where results go. A NULL is not wanted; the last four are written in the struct itself.
typedef struct {
  // The hypergradient: the derivative of the validation loss by `h`.
  float *d_h;
  // As many as `h`.
  size_t d_h_len;
  // The derivative by the rates.
  float *d_rates;
  // As many as these.
  size_t d_rates_len;
  // The derivative by the momenta.
  float *d_momenta;
  // As many as these.
  size_t d_momenta_len;
  // The derivative by the initial weights; by those before the last steps where only these are taken
  // back.
  float *d_w0;
  // As many as there are weights.
  size_t d_w0_len;
  // The derivative by the logarithms of the initial scales, where the weights are drawn from a seed and
  // all steps are taken back.
  float *d_log_scales;
  // As many as these.
  size_t d_log_scales_len;
  // The trained weights.
  float *w;
  // As many as there are.
  size_t w_len;
  // The validation loss.
  float valid_loss;
  // Steps that were taken back; of implicit differentiation its iterations.
  size_t steps_back;
  // Of implicit differentiation: how far the solution is off, relatively.
  float residual;
  // Of implicit differentiation: the length of the training gradient. The hypergradient is exact where
  // it is 0.
  float slope;
} drmad_result;

// Settings of implicit differentiation.
typedef struct {
  // One of `drmad_solve`.
  int32_t solver;
  // The rate of the series.
  float rate;
  // The most iterations, each one second-order product over all training examples.
  size_t iterations;
  // The residual, relative to the right-hand side, at which they end.
  float tolerance;
  // What is added to the diagonal of the Hessian.
  float damping;
} drmad_system;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, such as "0.1.0": a static string.
const char *drmad_version(void);

// The library's DRMAD_ABI, to be compared with the header's.
uint32_t drmad_abi(void);

// What a code means and what to do about it: a static string.
const char *drmad_error_text(int32_t code);

// The heavy ball's step: `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
int32_t drmad_momentum_step(int32_t arithmetic,
                            float rate,
                            float momentum,
                            const float *g,
                            float *v,
                            float *w,
                            size_t n);

// That step back, for the adjoints: `d_v <- d_v + rate d_w`, `d_g = -(1 - momentum) d_v`,
// `d_v <- momentum d_v`.
int32_t drmad_momentum_adjoint(int32_t arithmetic,
                               float rate,
                               float momentum,
                               const float *d_w,
                               float *d_v,
                               float *d_g,
                               size_t n);

// Nesterov's step: `v <- momentum v - (1 - momentum) g`, `w <- w + rate (momentum v - (1 - momentum) g)`.
int32_t drmad_nesterov_step(int32_t arithmetic,
                            float rate,
                            float momentum,
                            const float *g,
                            float *v,
                            float *w,
                            size_t n);

// That step back, for the adjoints; writes the direction `d_g`.
int32_t drmad_nesterov_adjoint(int32_t arithmetic,
                               float rate,
                               float momentum,
                               const float *d_w,
                               float *d_v,
                               float *d_g,
                               size_t n);

// The derivatives by the rate and by the momentum of Nesterov's step, to `d_step[0]` and `d_step[1]`:
// from velocity and gradient before the step and the adjoints after it.
int32_t drmad_nesterov_by_step(int32_t arithmetic,
                               float rate,
                               float momentum,
                               const float *v,
                               const float *g,
                               const float *d_w,
                               const float *d_v,
                               float *d_step,
                               size_t n);

// Adam's step of the moments `m` and `second`, and of the weights.
int32_t drmad_adam_step(int32_t arithmetic,
                        const drmad_adam *by,
                        const float *g,
                        float *m,
                        float *second,
                        float *w,
                        size_t n);

// That step back, for the adjoints: from gradient and moments before it; writes the direction `d_g`.
int32_t drmad_adam_adjoint(int32_t arithmetic,
                           const drmad_adam *by,
                           const float *g,
                           const float *m,
                           const float *second,
                           float *d_w,
                           float *d_m,
                           float *d_second,
                           float *d_g,
                           size_t n);

// The derivatives by the rate and by `b1` of Adam's step, to `d_step[0]` and `d_step[1]`: from what was
// before the step and the adjoints after it.
int32_t drmad_adam_by_step(int32_t arithmetic,
                           const drmad_adam *by,
                           const float *g,
                           const float *m,
                           const float *second,
                           const float *w,
                           const float *d_w,
                           const float *d_m,
                           float *d_step,
                           size_t n);

// `y = (1 - b) x0 + b x1` with `b = i / of`, exact at both ends.
int32_t drmad_between(int32_t arithmetic,
                      size_t i,
                      size_t of,
                      const float *x0,
                      const float *x1,
                      float *y,
                      size_t n);

// `y += a x`.
int32_t drmad_add_scaled(int32_t arithmetic, float a, const float *x, float *y, size_t n);

// `y = a x`: the same in both arithmetics.
int32_t drmad_scale(float a, const float *x, float *y, size_t n);

// `y_rc = a_r x_rc` of a matrix, rows x columns: the same in both arithmetics.
int32_t drmad_scale_rows(size_t rows, size_t columns, const float *a, const float *x, float *y);

// `y_rc += a_r x_rc` of a matrix, rows x columns.
int32_t drmad_add_scaled_rows(int32_t arithmetic,
                              size_t rows,
                              size_t columns,
                              const float *a,
                              const float *x,
                              float *y);

// `h_r += sum_c x_rc y_rc` of matrices, rows x columns: how a derivative by weights becomes one by
// hyperparameters.
int32_t drmad_add_row_dots(int32_t arithmetic,
                           size_t rows,
                           size_t columns,
                           const float *x,
                           const float *y,
                           float *h);

// `h_r += sum_c x_rc` of a matrix, rows x columns: the same in both arithmetics.
int32_t drmad_add_row_sums(size_t rows, size_t columns, const float *x, float *h);

// `y_c += sum_r x_rc` of a matrix, rows x columns: the same in both arithmetics.
int32_t drmad_add_rows(size_t rows, size_t columns, const float *x, float *y);

// The sum of a vector: the same in both arithmetics.
int32_t drmad_sum(const float *x, size_t n, float *result);

// The dot product of two vectors.
int32_t drmad_dot(int32_t arithmetic, const float *x, const float *y, size_t n, float *result);

// How many floats `drmad_matmul` packs `b` into.
int32_t drmad_matmul_required_len(const drmad_product *shape, size_t *len);

// A matrix product, each sum in ascending order.
int32_t drmad_matmul(int32_t arithmetic,
                     const drmad_product *shape,
                     const float *a,
                     const float *b,
                     float *c,
                     float *packed,
                     size_t packed_len);

// `y_c += sum_i x_i w_ic` for a sparse row `x` of `count` values at ascending `indices` and a matrix `w`,
// rows x columns.
int32_t drmad_sparse_product(int32_t arithmetic,
                             const uint16_t *indices,
                             const float *values,
                             size_t count,
                             const float *w,
                             size_t rows,
                             size_t columns,
                             float *y);

// `g_ic += x_i d_c` for a sparse row `x` as above and a matrix `g`, rows x columns.
int32_t drmad_sparse_outer(int32_t arithmetic,
                           const uint16_t *indices,
                           const float *values,
                           size_t count,
                           const float *d,
                           size_t rows,
                           size_t columns,
                           float *g);

// `y_c = bias_c - mean sum_i w_ic` for a matrix `w`, rows x columns: what a sparse product of inputs less
// their mean starts from.
int32_t drmad_sparse_shifted(int32_t arithmetic,
                             float mean,
                             const float *w,
                             const float *bias,
                             size_t rows,
                             size_t columns,
                             float *y);

// `y = exp(x)`; infinities are taken, NaN is refused.
int32_t drmad_exp(int32_t arithmetic, const float *x, float *y, size_t n);

// `y = ln(x)`; 0 and infinity are taken, what is below 0 or NaN is refused.
int32_t drmad_ln(int32_t arithmetic, const float *x, float *y, size_t n);

// `x <- tanh(x)`; infinities are taken, NaN is refused.
int32_t drmad_tanh(int32_t arithmetic, float *x, size_t n);

// `d <- d (1 - y^2)` for `y = tanh(x)`.
int32_t drmad_tanh_adjoint(int32_t arithmetic, const float *y, float *d, size_t n);

// Its R-pass: `r_d <- r_d (1 - y^2) - 2 y r_y d`, then `d <- d (1 - y^2)`.
int32_t drmad_tanh_adjoint_r(int32_t arithmetic,
                             const float *y,
                             const float *r_y,
                             float *d,
                             float *r_d,
                             size_t n);

// Softmax of each row of logits `z`, rows x classes, to `p`. Each row of `z` becomes itself less its greatest,
// and `ln sum exp z` of that goes to `log_sums`: `log_sum - z` is `-ln p`, and cancels nowhere.
int32_t drmad_softmax(int32_t arithmetic,
                      size_t rows,
                      size_t classes,
                      float *z,
                      float *p,
                      float *log_sums);

// Its R-pass: `r <- p (r - sum_k p_k r_k)` in each row of `p` and `r`, rows x classes.
int32_t drmad_softmax_r(int32_t arithmetic, size_t rows, size_t classes, const float *p, float *r);

// The most numbers in a block of so many levels (3, 7, 11, 15 or 255), and the words of its code.
int32_t drmad_quantise_block(uint32_t levels, size_t *numbers, size_t *words);

// Writes a block of at most as many numbers to its words of `code`, the scale first.
int32_t drmad_quantise(uint32_t levels, const float *x, size_t n, uint32_t *code, size_t code_len);

// Adds a block's numbers to `y`.
int32_t drmad_dequantise(int32_t arithmetic,
                         uint32_t levels,
                         const uint32_t *code,
                         size_t code_len,
                         float *y,
                         size_t n);

// The heavy ball's step in fixed point: the integers move, `w` and `v` get the nearest numbers.
// A step that overflows is refused as a whole, so it is taken twice: once to see whether it does.
int32_t drmad_reversible_step(const drmad_turn *turn,
                              const float *g,
                              const drmad_fixed *fixed,
                              float *w,
                              float *v,
                              size_t n);

// Takes back the motion of the weights in that step; `w` gets the nearest numbers.
int32_t drmad_reversible_undo_move(const drmad_turn *turn,
                                   const int32_t *fixed_v,
                                   int32_t *fixed_w,
                                   float *w,
                                   size_t n);

// Takes back the rest of that step, from its gradient at those weights.
int32_t drmad_reversible_undo_kick(const drmad_turn *turn,
                                   const float *g,
                                   int32_t *fixed_v,
                                   uint32_t *fixed_x,
                                   size_t n);

// Moves the lowest 8 bits of each `x` to `bytes`.
int32_t drmad_reversible_spill(uint32_t *x, uint8_t *bytes, size_t n);

// Takes them back.
int32_t drmad_reversible_refill(uint32_t *x, const uint8_t *bytes, size_t n);

// The integers with `fraction_bits` nearest to numbers.
int32_t drmad_reversible_fix(uint32_t fraction_bits, const float *x, int32_t *fixed, size_t n);

// The numbers nearest to integers with `fraction_bits`.
int32_t drmad_reversible_view(uint32_t fraction_bits, const int32_t *fixed, float *x, size_t n);

// Numbers `first ..` of the normal ones that a seed stands for, times `exp(log_scale)`.
int32_t drmad_normal(uint64_t seed, float log_scale, size_t first, float *x, size_t n);

// The examples of step `t`, `n` of those below `examples`.
int32_t drmad_batch(uint64_t seed, size_t examples, size_t t, uint32_t *batch, size_t n);

// Draws `n` different numbers below `pool_len` in random order; `pool` is overwritten.
int32_t drmad_choose(uint64_t seed, uint32_t *pool, size_t pool_len, uint32_t *chosen, size_t n);

// `h <- h - rate sign(d_h)`.
int32_t drmad_outer_sign(float rate, const float *d_h, float *h, size_t n);

// `h <- h - rate d_h`.
int32_t drmad_outer_sgd(float rate, const float *d_h, float *h, size_t n);

// Adam's step of `h`, with its moments `m` and `second`, zeros at the start.
int32_t drmad_outer_adam(drmad_outer *adam, const float *d_h, float *m, float *second, float *h, size_t n);

// Moves `x` to the nearest point of a convex set.
int32_t drmad_project(const drmad_set *onto, float *x, size_t n);

// Hyperparameters become their values, in place: `exp(h)`, or `1 / (1 + exp(-h))`.
int32_t drmad_value(int32_t arithmetic, int32_t parameter, float *h, size_t n);

// Values become their hyperparameters, in place; those at a bound have none and are refused.
int32_t drmad_invert(int32_t arithmetic, int32_t parameter, float *x, size_t n);

// The derivative `d` by the values `x` becomes one by their hyperparameters, in place.
int32_t drmad_pull_back(int32_t parameter, const float *x, float *d, size_t n);

// The sizes that follow from a run's widths and groupings; nothing else of it is looked at.
int32_t drmad_sizes(const drmad_run *run, drmad_size *sizes);

// The words of memory that `drmad_hypergradient` needs for these results: it looks at the same arguments
// and refuses the same.
int32_t drmad_hypergradient_required_len(const drmad_run *run,
                                         const drmad_method *method,
                                         const drmad_result *results,
                                         size_t *words);

// Trains, and takes the derivative of the validation loss back through the training. The same arguments
// give the same bits, in any call and on any machine.
int32_t drmad_hypergradient(const drmad_run *run,
                            const drmad_method *method,
                            uint32_t *memory,
                            size_t memory_len,
                            drmad_result *results);

// The words of memory that `drmad_implicit` needs.
int32_t drmad_implicit_required_len(const drmad_run *run,
                                    const drmad_system *system,
                                    const drmad_result *results,
                                    size_t *words);

// Trains, and takes the derivative of the validation loss by implicit differentiation at the last weights.
int32_t drmad_implicit(const drmad_run *run,
                       const drmad_system *system,
                       uint32_t *memory,
                       size_t memory_len,
                       drmad_result *results);

// The words of memory that `drmad_train` needs.
int32_t drmad_train_required_len(const drmad_run *run, size_t *words);

// Trains: the last weights to `w`, the validation loss to `valid_loss`.
int32_t drmad_train(const drmad_run *run,
                    uint32_t *memory,
                    size_t memory_len,
                    float *w,
                    size_t w_len,
                    float *valid_loss);

// The words of memory that `drmad_valid_loss` needs.
int32_t drmad_valid_loss_required_len(const drmad_run *run, size_t *words);

// The validation loss at weights `w`, without training.
int32_t drmad_valid_loss(const drmad_run *run,
                         const float *w,
                         size_t w_len,
                         uint32_t *memory,
                         size_t memory_len,
                         float *valid_loss);

// The words of memory that `drmad_predict` needs.
int32_t drmad_predict_required_len(const drmad_run *run, size_t *words);

// The probabilities of the classes for the examples in `valid`, at weights `w`: valid_len x classes.
// Each piece is computed twice, so that nothing is written where one is not finite.
int32_t drmad_predict(const drmad_run *run,
                      const float *w,
                      size_t w_len,
                      uint32_t *memory,
                      size_t memory_len,
                      float *probabilities,
                      size_t probabilities_len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DRMAD_H */
