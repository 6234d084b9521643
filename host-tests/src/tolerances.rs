//! Every tolerance of the tests and of `drmad check`, with its reason. What is not here is compared
//! bit for bit. Errors are relative to the largest magnitude of the vector compared; of exact methods to
//! each entry, or to what its terms add up to where that is more: a sum is known to a share of its terms'
//! magnitudes and not of itself. Where these are not known, a floor stands for them, and never more than
//! the largest magnitude of the vector.

/// The share of the largest magnitude of a vector below which an entry in f64 is not held to be known on
/// its own: it may be a sum whose terms, of the order of the largest, cancel to a thousandth.
pub const FLOOR: f64 = 1e-3;
/// The same of derivatives by examples in f32, whose tolerance is that of some tens of roundings: sums over
/// units of both signs, of which .059 is seen.
pub const FLOOR_F32: f64 = 1.0 / 16.0;
/// The same of hypergradients in f32, of one kind: sums over all weights and steps, of both signs, of which
/// .19 is seen by the initial scales of a network on images, and .34 by scales of layers.
pub const FLOOR_F32_SWEEP: f64 = 3.0 / 8.0;
/// What fourth-order differences of losses of order 1 make of their rounding, times the step: one and a
/// half losses go into a step, and each is wrong by some four roundings. It is the same for small
/// derivatives and great ones, which those that are smaller cannot show beyond it.
pub const DIFFERENCED_LOSSES: f64 = 6.0 * F64_ROUNDING;

/// Half a unit in the last place of an f32 near 1: the relative error of one rounding.
pub const F32_ROUNDING: f64 = 5.960_464_477_539_063e-8;
/// The same of an f64.
pub const F64_ROUNDING: f64 = 1.110_223_024_625_156_5e-16;

/// One heavy-ball step or adjoint in f32: four roundings, of numbers no larger than the largest
/// intermediate one.
pub const MOMENTUM_F32: f64 = 4.0 * F32_ROUNDING;
/// `exp` in f32, good to one unit in the last place, and the rounding of the product by it.
pub const SCALED_F32: f64 = 3.0 * F32_ROUNDING;
/// Quantising: half a step, and the roundings of the scale, its inverse, the product by it and the
/// product on the backward pass, each relative to codes of at most 127.
pub const HALF_A_STEP: f64 = 0.5 + 4.0 * 127.0 * F32_ROUNDING;

/// Central differences in f64 with a step of 1e-5: 1e-10 times a third derivative of order 10, and
/// an error of 1e-16 in the losses divided by the step.
pub const CENTRAL_DIFFERENCES: f64 = 1e-8;
/// The step that goes with it.
pub const CENTRAL_STEP: f64 = 1e-5;
/// Two hand-derived formulas in f64 for one number: some hundred roundings that do not pile up.
pub const SAME_FORMULA_F64: f64 = 1e-13;
/// The same in f32: the sums over 12 examples and 7 inputs, and `tanh` and `exp`, each good to a
/// few units in the last place, through four layers.
pub const SAME_FORMULA_F32: f64 = 64.0 * F32_ROUNDING;

/// Fourth-order differences of a whole training in f64 with a step of 2e-4: 1.6e-15 times a thirtieth
/// of a fifth derivative, which some weights drive to 1e5, and 1e-16 / 2e-4 from the rounding of
/// losses of order 1.
pub const WHOLE_TRAINING: f64 = 1e-10;
/// The step that goes with it.
pub const WHOLE_TRAINING_STEP: f64 = 2e-4;
/// The same for optimizers of which Adam is one, whose root near 0 makes fifth derivatives greater: 5e-10 is seen.
pub const WHOLE_TRAINING_OF_RULES: f64 = 1e-8;
/// Forward mode through a whole training in f64 against the sweep, or the training itself against
/// nested loops: exact but for some hundred roundings a step, which mostly cancel.
pub const TWO_EXACT_METHODS: f64 = 1e-13;
/// A closed form of 30 steps in f64 against the sweep: as above, the powers of matrices adding a
/// rounding a step.
pub const CLOSED_FORM: f64 = 1e-13;
/// Velocities by `(w_t - w_{t-1}) / rate` in f64: the difference of two weights of order 1 that are
/// .01 apart has lost two digits.
pub const DIFFERENCED_VELOCITIES: f64 = 1e-13;
/// The floor that goes with it: each velocity is off by as much, be it great or small, and so are the
/// derivatives that add them up.
pub const DIFFERENCED_VELOCITIES_FLOOR: f64 = 1.0 / 256.0;
/// A training of some tens of steps and its sweep in f32 against f64: the rounding of a step (some
/// units in the last place) may grow with the training by a factor of ten.
pub const F32_SWEEP: f64 = 1e-5;

/// The gradient's length at which a training in f64 counts as converged: roundings of the order of
/// `F64_ROUNDING` in each of some tens of weights.
pub const CONVERGED: f64 = 1e-14;
/// A linear system in f64 with a condition below 20, solved to a residual of 1e-14 at the end of a
/// training that is `CONVERGED`: the product of these, and some roundings.
pub const SOLVED: f64 = 1e-12;
/// Fourth-order differences of gradients in f64 with a step of 1e-3: 1e-12 times a thirtieth of a
/// fifth derivative of order 10, and the rounding 1e-16 / 1e-3, beside residuals of at least 1e-3.
pub const HESSIAN_BY_DIFFERENCES: f64 = 1e-8;
/// The step that goes with it.
pub const HESSIAN_STEP: f64 = 1e-3;

/// Hats in f64 against their definition: a solve of a tridiagonal system whose condition is below
/// 20, of sums of up to 200 weights.
pub const HATS_F64: f64 = 1e-13;
/// Quantised hats against full ones, in units of half the coarsest quantisation step: an error of a
/// row goes into a coefficient with a factor of 1 + u, and through its neighbours with geometrically
/// falling ones; u is below .55.
pub const QUANTISED_HATS: f64 = 3.0;
/// Cosine between the hypergradients of eight 4-bit hats and of the tape on a training of 200 steps of a
/// small network: .992 on every machine, and no bit of it is left to chance.
pub const HATS_COSINE: f64 = 0.98;
/// Cosine between the hypergradients of a training of tens of steps in fixed point and in f32, whose
/// roundings are alike: the errors of the vectors are some 1e-6, and the angle is their square.
pub const REVERSIBLE_COSINE: f64 = 1.0 - 1e-9;
/// The share of storage beyond the information lost in a training of many steps: the bound on `x` is
/// whole, and so are its bytes.
pub const REVERSIBLE_SIZE: f64 = 0.03;

/// Running backwards in floating point, in units of the rounding that has grown by `1 / gamma` a step:
/// each step adds a few roundings of its own, of weights that are some times the largest velocity, and
/// they add up like a geometric series.
pub const REVERSED: f64 = 64.0;
/// The share by which the growth of that error a step may differ from `1 / gamma`: the objective's
/// curvature adds and takes away.
pub const REVERSED_GROWTH: f64 = 0.2;
/// How many times more than a random walk of single roundings the error at its reach may be: the
/// largest of some tens of weights, and several roundings a step.
pub const REVERSED_REACH: f64 = 3.0;

/// Fourth-order differences of the training down the valley in f64 with a step of 1e-6: losses of some
/// 500 rounded to 1e-13, beside derivatives whose greatest are 1e2 by momenta and 1e4 by rates.
pub const VALLEY_DIFFERENCES: f64 = 1e-8;
/// The step that goes with it.
pub const VALLEY_STEP: f64 = 1e-6;
/// Its hypergradients in f32, beside those of f64: the roundings of 50 steps, which the bends of the
/// valley make grow by a factor of some hundred.
pub const VALLEY_F32: f64 = 1e-5;

/// A projection in f64: the roundings of a sum of up to 100 numbers, beside the largest of them and
/// the sum itself.
pub const PROJECTION_F64: f64 = 1e-14;
/// `exp` and the logistic function in f32: an exponential good to one unit in the last place, a sum
/// and a quotient.
pub const PARAMETRISED_F32: f64 = 5.0 * F32_ROUNDING;

/// Lines and cubics in f64 between given points against another form of them: some ten roundings,
/// the cubic's with factors that reach a fifth of the interval's length, beside values of order 1.
pub const INTERPOLANTS_F64: f64 = 1e-12;
/// Velocities by differences of polynomials of order 1 in f64, at the rate 1/2: some roundings of
/// numbers of order 10, none of them relative to the difference.
pub const DIFFERENCED_POLYNOMIALS: f64 = 1e-12;
/// The factor-weighted sum of four numbers of order 1 in f32 against f64: three roundings, and those
/// of three factors.
pub const BENT_F32: f64 = 8.0 * F32_ROUNDING;
/// Gram's polynomials by their recurrence in f64: some roundings a degree, each of them bounded, and
/// the sums of up to 2,001 products that compare them.
pub const ORTHONORMAL: f64 = 1e-12;
/// A fit by polynomials in f64 against the trajectory or the normal equations in powers of time, whose
/// condition is below 1e4 for six of them.
pub const LEGENDRE_F64: f64 = 1e-11;
/// Cosine between the hypergradients of 32 knots, or 16 polynomials, and of the tape on a training of
/// 200 steps: .970 of the polynomials, .981 of lines and .996 of cubics.
pub const INTERPOLANTS_COSINE: f64 = 0.96;

/// Grey levels of 255 by which a broad blot changes when its image is turned there and back: an
/// interpolation lowers a maximum by up to a quarter of its second difference, of 12 levels, both ways.
pub const TURNED_TWICE: u8 = 8;

/// How many standard deviations of their sampling distribution moments of 100,000 normal numbers
/// may lie off: beyond 4 is one seed in 16,000.
pub const SIGMAS: f64 = 4.0;

/// `drmad check`, central differences with step 1e-5 on a network of 5,000 weights: truncation 1e-10
/// and rounding 1e-11, beside derivatives that may cancel to a hundredth of their scale.
pub const CHECK_DIFFERENCES: f64 = 1e-6;
/// `<a, H b>` against `<b, H a>`: two orders of the same f64 sums.
pub const CHECK_SYMMETRY: f64 = 1e-11;
/// The R-operator against dual numbers: the same derivative by two programs, each some hundred f64
/// roundings deep.
pub const CHECK_DUAL: f64 = 1e-10;
/// The sweep against differences of whole trainings: as `CHECK_DIFFERENCES`, amplified by 60 steps.
pub const CHECK_TRAINING: f64 = 1e-5;
/// 1 - cosine of eight hats in full to the tape on that training: the fit's own error.
pub const CHECK_HATS: f64 = 0.02;
/// The same in 11 levels.
pub const CHECK_HATS_11_LEVELS: f64 = 0.03;
/// Implicit differentiation against the sweep over a training that has converged to the rounding of
/// an f64: two sums of some thousand terms with a condition of some tens.
pub const CHECK_IMPLICIT: f64 = 1e-11;
/// 1 - cosine of the training in fixed point to the tape: units of 2^-26 in weights of order 1, and 60
/// steps.
pub const CHECK_REVERSIBLE: f64 = 1e-9;

/// Slopes of a float32 training by central differences, relative: a step of this size changes the loss
/// in its third digit, of which float32 has about seven.
pub const EXPERIMENT_DIFFERENCES: f64 = 2e-2;
/// The step of those differences: large, since losses are rounded to float32 along the way.
pub const EXPERIMENT_STEP: f64 = 1e-2;
/// Fourth-order differences, with a step of 1/32, of losses in f32 that a whole training leads to: some
/// 1e-6 of the loss by the step, and a thirtieth of the step's fourth power times a fifth derivative of
/// order 100; the derivative is of the order of the loss.
pub const DRAWN_SLOPE: f64 = 1e-3;
/// Central differences of whole trainings in f32 with a step of .05 for dozens of weights of examples:
/// losses rounded to 1e-7, beside differences of some 1e-3, and the square of the step.
pub const DIFFERENCED_F32: f64 = 0.01;
/// The sum of weights projected in f32 beyond their total, beside it: each is rounded after the shift.
pub const PROJECTED_SUM_F32: f64 = 1e-6;
