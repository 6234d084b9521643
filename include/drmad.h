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

// The most layers of a network, activations among them.
#define DRMAD_MOST_LAYERS 32

// Numbers in full, not as differences of a few levels.
#define DRMAD_LEVELS_FULL 1

// Bytes that are enough for the name of any hyperparameter, with the zero at its end.
#define DRMAD_NAME_LEN 96

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
  // A training, or the backward pass through it, left the finite numbers.
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

// What a layer of a network is. An activation follows a dense layer, and the last layer is dense.
enum drmad_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Each output is a weighted sum of all inputs and a bias.
  DRMAD_KIND_DENSE = 0,
  // The hyperbolic tangent.
  DRMAD_KIND_TANH = 1,
  // What is negative becomes 0.
  DRMAD_KIND_RELU = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_kind drmad_kind;
#else
typedef int32_t drmad_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The loss of a network's outputs.
enum drmad_loss
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Softmax and cross-entropy.
  DRMAD_LOSS_CROSS_ENTROPY = 0,
  // Half the squared distance to the target.
  DRMAD_LOSS_SQUARED_ERROR = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_loss drmad_loss;
#else
typedef int32_t drmad_loss;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the hyperparameters of a block are.
enum drmad_what
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `c` in a penalty `c z^2`. Biases have one by tensor and by parameter alone.
  DRMAD_WHAT_PENALTY = 0,
  // `s` in `w = s z`. Training moves `z`. Biases have one by tensor and by parameter alone.
  DRMAD_WHAT_SCALE = 1,
  // The rate of a step. PyTorch's `lr` is this times 1 - momentum, but for Adam.
  DRMAD_WHAT_RATE = 2,
  // The momentum of a step, in [0, 1); of Adam `b1`.
  DRMAD_WHAT_MOMENTUM = 3,
  // The logarithm of the standard deviation of initial weights.
  DRMAD_WHAT_INITIAL_SCALE = 4,
  // The weight of a training example's loss.
  DRMAD_WHAT_EXAMPLE_WEIGHT = 5,
  // The inputs of the training examples, in place of those that are given with them.
  DRMAD_WHAT_INPUT = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_what drmad_what;
#else
typedef int32_t drmad_what;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which weights share a hyperparameter. What belongs to examples takes no notice of it.
enum drmad_by
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // All of them.
  DRMAD_BY_GLOBAL = 0,
  // Those of a layer.
  DRMAD_BY_LAYER = 1,
  // Those of a weight matrix, and those of a vector of biases.
  DRMAD_BY_TENSOR = 2,
  // The weights that leave one input of a layer; the biases leave the constant input.
  DRMAD_BY_UNIT = 3,
  // None: each has its own.
  DRMAD_BY_PARAMETER = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_by drmad_by;
#else
typedef int32_t drmad_by;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a hyperparameter is of the value that it stands for.
enum drmad_parametrisation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The logarithm of rates, scales, initial scales and penalties, the logit of momenta, and what belongs to
  // examples itself.
  DRMAD_PARAMETRISATION_DEFAULT = 0,
  // The value itself.
  DRMAD_PARAMETRISATION_NATURAL = 1,
  // The logarithm, of what is positive.
  DRMAD_PARAMETRISATION_LOG = 2,
  // The logit, of what lies between 0 and 1.
  DRMAD_PARAMETRISATION_LOGIT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_parametrisation drmad_parametrisation;
#else
typedef int32_t drmad_parametrisation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a gradient moves the weights.
enum drmad_optimizer
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
  DRMAD_OPTIMIZER_HEAVY_BALL = 0,
  // The same with a look ahead.
  DRMAD_OPTIMIZER_NESTEROV = 1,
  // Adam with decoupled decay; the momentum is `b1`.
  DRMAD_OPTIMIZER_ADAM = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_optimizer drmad_optimizer;
#else
typedef int32_t drmad_optimizer;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A backward pass: where the weights were, or how to do without.
enum drmad_method_name
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // A least-squares fit by hat functions of time, the default.
  DRMAD_METHOD_NAME_HATS = 0,
  // Every step: exact.
  DRMAD_METHOD_NAME_TAPE = 1,
  // Some steps, the others are taken again: exact.
  DRMAD_METHOD_NAME_CHECKPOINTS = 2,
  // The bits that a step in fixed point loses: exact, of that training.
  DRMAD_METHOD_NAME_REVERSIBLE = 3,
  // Nothing: a straight line from the first weights to the last (DrMAD as its formula says).
  DRMAD_METHOD_NAME_LINE = 4,
  // The same as DrMAD's published code has it.
  DRMAD_METHOD_NAME_LINE_PUBLISHED = 5,
  // Some points, with lines between them.
  DRMAD_METHOD_NAME_KNOTS = 6,
  // Some points, with cubics between them.
  DRMAD_METHOD_NAME_HERMITE = 7,
  // A least-squares fit by polynomials of time.
  DRMAD_METHOD_NAME_LEGENDRE = 8,
  // Nothing: runs backwards in floating point, good for some steps.
  DRMAD_METHOD_NAME_REVERSED = 9,
  // Forward mode, a tangent for each of at most 64 hyperparameters: exact.
  DRMAD_METHOD_NAME_FORWARD = 10,
  // Implicit differentiation at the last weights by conjugate gradients.
  DRMAD_METHOD_NAME_IMPLICIT = 11,
  // The same by a Neumann series.
  DRMAD_METHOD_NAME_NEUMANN = 12,
  // The direct term alone, the weights taken for constants.
  DRMAD_METHOD_NAME_DIRECT = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum drmad_method_name drmad_method_name;
#else
typedef int32_t drmad_method_name;
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

// A layer of a network.
typedef struct {
  // One of `drmad_kind`.
  int32_t kind;
  // Outputs of a dense layer; 0 of an activation.
  size_t units;
} drmad_layer;

// Examples: their inputs are features or pixels, what they are to come to is a label or targets.
typedef struct {
  // How many, below 2^32.
  size_t len;
  // Inputs, len x inputs of the network; NULL where there are pixels.
  const float *features;
  // Inputs as bytes, each `byte / 255 - mean`; NULL where there are features.
  const uint8_t *pixels;
  // The mean of pixels.
  float mean;
  // The class of each example; NULL where there are targets.
  const uint8_t *labels;
  // A number for each output, len x outputs of the network; NULL where there are labels.
  const float *targets;
} drmad_examples;

// A block of hyperparameters.
typedef struct {
  // One of `drmad_what`, each in one block at most.
  int32_t what;
  // One of `drmad_by`.
  int32_t by;
  // 1 where each step has its own, of rates and momenta: all of step 0, then those of step 1.
  int32_t each_step;
  // One of `drmad_parametrisation`.
  int32_t parametrisation;
} drmad_tuned;

// A training, and what of it is tuned: all that its result is a function of. Set it to zeros, then what is
// wanted.
typedef struct {
  // DRMAD_ABI.
  uint32_t abi;
  // One of `drmad_rounding`.
  int32_t arithmetic;
  // Numbers of an example.
  size_t inputs;
  // The layers of the network, the first one first.
  const drmad_layer *layers;
  // How many, at most DRMAD_MOST_LAYERS.
  size_t layers_len;
  // One of `drmad_loss`.
  int32_t loss;
  // The coefficient `c` of a penalty `c z^2` on all weights, where none is tuned.
  float l2;
  // What it is trained on. Batches walk through them with a stride: shuffle them first.
  drmad_examples train;
  // What the validation loss is of.
  drmad_examples valid;
  // What is tuned: the blocks of `h`, in their order.
  const drmad_tuned *tuned;
  // How many blocks.
  size_t tuned_len;
  // The hyperparameters.
  const float *h;
  // How many: `hypers` of `drmad_sizes`.
  size_t h_len;
  // One of `drmad_optimizer`.
  int32_t optimizer;
  // Adam's; 0 is .999.
  float b2;
  // Adam's; 0 is 1e-8.
  float eps;
  // AdamW's, which each step multiplies by the rate, as PyTorch does.
  float decay;
  // The rate, where it is not tuned. PyTorch's `lr` is this times 1 - momentum, but for Adam.
  float rate;
  // The momentum in [0, 1), where it is not tuned. Where it is, the least that memory is kept for.
  float momentum;
  // Examples in a batch.
  size_t batch;
  // Examples that are worked through at once: memory against speed, and part of the numerics; 0 is a batch.
  size_t microbatch;
  // The steps, below 2^32.
  size_t steps;
  // The seed of initial weights and batches.
  uint64_t seed;
  // The initial weights; NULL where they are drawn from the seed.
  const float *initial;
  // How many.
  size_t initial_len;
  // The logarithm of the standard deviation of those that are drawn, where it is not tuned.
  float log_scale;
  // Told the training loss before each step, where it is not NULL. It must return, and touch none of
  // the call's buffers.
  void (*each)(void *context, size_t step, float loss);
  // What it is told first.
  void *context;
} drmad_training;

// A method. All zeros are the default: hats, 8 of them, in 11 levels, with a tail. What a way has no use for is not
// looked at.
typedef struct {
  // One of `drmad_method_name`.
  int32_t name;
  // Levels of hats and knots: 3, 7, 11, 15, 255 or DRMAD_LEVELS_FULL; 0 is 11 for hats and 255 for
  // knots.
  uint32_t levels;
  // How many hats, snapshots, intervals, polynomials or iterations; 0 is 8 hats, 10 snapshots, 32 intervals, 16
  // polynomials, 20 iterations.
  size_t size;
  // The power of the spacing of hats, 0.1 to 10; 0 is the one that serves their number best.
  float spacing;
  // The last steps that are run backwards, before a path that does not take the steps itself; 0 is as many as
  // the momentum allows for hats, and none for the others; DRMAD_TAIL_NONE is none.
  size_t tail;
  // Only so many last steps are taken back; 0 is all.
  size_t last;
  // 1 where second-order products of negative curvature are left out, of a sweep.
  int32_t drops_negative_curvature;
  // The rate of the Neumann series; of the published line what rates are multiplied by, where 0 is 1.
  float rate;
  // The residual of implicit differentiation, relative to that of no iteration, at which it ends.
  float tolerance;
  // What it adds to the diagonal of the Hessian.
  float damping;
} drmad_method;

// Lengths of a training's buffers.
typedef struct {
  // Weights.
  size_t weights;
  // Hyperparameters.
  size_t hypers;
  // Words of memory, for every operation on the training with the method.
  size_t memory;
} drmad_size;

// Where results go. A NULL is not wanted; the last four are written in the struct itself.
typedef struct {
  // The hypergradient: the derivative of the validation loss by `h`.
  float *d_h;
  // As many as `h`.
  size_t d_h_len;
  // The derivative by the initial weights, of a sweep; by those before the last steps where only these are
  // taken back.
  float *d_w0;
  // As many as there are weights.
  size_t d_w0_len;
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

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, such as "0.1.0": a static string.
const char *drmad_version(void);

// The library's DRMAD_ABI, to be compared with the header's.
uint32_t drmad_abi(void);

// What a code means and what to do about it: a static string.
const char *drmad_error_text(int32_t code);

// Lengths of the buffers of a training with a method. Nothing but the description is looked at: no example, no
// hyperparameter.
int32_t drmad_sizes(const drmad_training *training,
                    const drmad_method *method,
                    drmad_size *sizes);

// The name of hyperparameter `j`, such as "penalty, layer 1, unit 3", with a zero at its end. DRMAD_NAME_LEN bytes
// are enough for any.
int32_t drmad_hyper_name(const drmad_training *training,
                         size_t j,
                         char *name,
                         size_t name_len);

// A vector of the training's hyperparameters becomes their natural values, in place. Its own `h` is not looked at.
int32_t drmad_hyper_values(const drmad_training *training,
                           float *h,
                           size_t n);

// Trains, and takes the derivative of the validation loss by the hyperparameters.
int32_t drmad_hypergradient(const drmad_training *training,
                            const drmad_method *method,
                            uint32_t *memory,
                            size_t memory_len,
                            drmad_result *results);

// Trains as the method does: the trained weights to `w`, their validation loss to `valid_loss`.
int32_t drmad_train(const drmad_training *training,
                    const drmad_method *method,
                    uint32_t *memory,
                    size_t memory_len,
                    float *w,
                    size_t w_len,
                    float *valid_loss);

// The validation loss at weights `w`, without training. The memory of any method is enough.
int32_t drmad_valid_loss(const drmad_training *training,
                         uint32_t *memory,
                         size_t memory_len,
                         const float *w,
                         size_t w_len,
                         float *valid_loss);

// What the network says of each validation example at weights `w`: probabilities, or with squared error its
// outputs, valid.len x outputs of the network. The memory of any method is enough.
int32_t drmad_predict(const drmad_training *training,
                      uint32_t *memory,
                      size_t memory_len,
                      const float *w,
                      size_t w_len,
                      float *outputs,
                      size_t outputs_len);

// `h <- h - rate sign(d_h)`.
int32_t drmad_outer_sign(float rate, const float *d_h, float *h, size_t n);

// `h <- h - rate d_h`.
int32_t drmad_outer_sgd(float rate, const float *d_h, float *h, size_t n);

// Adam's step of `h`, with its moments `m` and `second`, zeros at the start.
int32_t drmad_outer_adam(drmad_outer *adam, const float *d_h, float *m, float *second, float *h, size_t n);

// Moves `x` to the nearest point of a convex set.
int32_t drmad_project(const drmad_set *onto, float *x, size_t n);

// Hyperparameters become their values, in place: `exp(h)`, or `1 / (1 + exp(-h))`.
int32_t drmad_value(int32_t arithmetic, int32_t parametrisation, float *h, size_t n);

// Values become their hyperparameters, in place; those at a bound have none and are refused.
int32_t drmad_invert(int32_t arithmetic, int32_t parametrisation, float *x, size_t n);

// The derivative `d` by the values `x` becomes one by their hyperparameters, in place.
int32_t drmad_pull_back(int32_t parametrisation, const float *x, float *d, size_t n);

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

// Numbers `first ..` of the normal ones that a seed stands for, times `exp(log_scale)`.
int32_t drmad_normal(uint64_t seed, float log_scale, size_t first, float *x, size_t n);

// The examples of step `t`, `n` of those below `examples`.
int32_t drmad_batch(uint64_t seed, size_t examples, size_t t, uint32_t *batch, size_t n);

// Draws `n` different numbers below `pool_len` in random order; `pool` is overwritten.
int32_t drmad_choose(uint64_t seed, uint32_t *pool, size_t pool_len, uint32_t *chosen, size_t n);

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

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DRMAD_H */
