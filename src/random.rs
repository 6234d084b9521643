//! Random numbers without state: each is a function of a seed and of where it is used.
//!
//! Batches need no storage, initial weights can be made again when they are wanted, and no thread,
//! rank or device can change them. The generator is ChaCha with 8 rounds; its stream is the
//! use, its position the index. Normal numbers are `probit` of a uniform one, so that one
//! word gives one number. Positions have 68 bits, so uses share no number before 2^62 epochs, nor
//! before 2^64 weights or examples drawn. Seeds that belong to another one are [`mix`]ed from it.
//!
//! Refused: cryptography, the last digits of the tails (a uniform number has 24 bits, so no
//! normal one exceeds 5.4), and 2^32 things to draw from and more.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::{Error, check_index, check_len};
use crate::group::Groups;
use crate::kernels::math::probit;
use crate::scalar::{Plain, Scalar};

/// What a random number is used for: uses of one seed never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Weights = 1,
    Batches = 2,
    Choice = 3,
}

/// The seed of what the counters number, such as a meta-iteration and a draw of it: each with numbers
/// of its own, where seeds that are added up share theirs.
///
/// From `s = f(seed)` every counter `c` in turn makes `s = f(s ^ c)`, with the output function of
/// SplitMix64 (Steele, Lea and Flood 2014; the constants are Stafford's variant 13), all modulo 2^64:
///
/// ```text
/// f(x):  z = x + 9e3779b97f4a7c15        z = (z ^ z >> 30) bf58476d1ce4e5b9
///        z = (z ^ z >> 27) 94d049bb133111eb                   f = z ^ z >> 31
/// ```
///
/// `f` is a permutation, so seeds that differ in any bit, or in one counter alone, never meet; others
/// do as random numbers of 64 bits do.
///
/// ```
/// use drmad::random::mix;
/// const SEED: u64 = mix(1, &[20, 3]);
/// assert_eq!(SEED, 0xbc54_b360_d605_1758);
/// assert_eq!(mix(0, &[]), 0xe220_a839_7b1d_cdaf); // SplitMix64's first output from 0
/// ```
pub const fn mix(seed: u64, counters: &[u64]) -> u64 {
    let (mut mixed, mut rest) = (permuted(seed), counters);
    while let [counter, after @ ..] = rest {
        (mixed, rest) = (permuted(mixed ^ *counter), after);
    }
    mixed
}

/// The output of SplitMix64 that follows the state `x`.
const fn permuted(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The generator of a seed and a use, at word `position`.
fn generator(seed: u64, stream: Stream, position: u128) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream as u64);
    generator.set_word_pos(position);
    generator
}

/// A number below `n` from a word, by the high half of a product; `n` < 2^32 keeps the bias below
/// `n` in 2^32.
fn below(generator: &mut ChaCha8Rng, n: u64) -> u64 {
    (u64::from(generator.next_u32()) * n) >> 32
}

/// How many things there are to draw from, if [`below`] can tell so many apart.
fn drawable(what: &'static str, n: usize) -> Result<u64, Error> {
    match u32::try_from(n) {
        Ok(n) => Ok(u64::from(n)),
        Err(_) => Err(Error::Range {
            what,
            value: n as f64,
            least: 0.0,
            greatest: f64::from(u32::MAX),
        }),
    }
}

/// A uniform number in (-1/2, 1/2): the middle of one of 2^24 intervals. Both operations are exact,
/// and no number is an end, where a normal one would be infinite.
fn centred(word: u32) -> f32 {
    ((word >> 8) as f32 - 8_388_607.5) * (1.0 / 16_777_216.0)
}

/// Where training begins: the weights `w_0`, by pieces.
///
/// Paths ask for `w_0` when they need it. A slice answers from memory, [`Normal`] from its seed.
pub trait InitialWeights<S> {
    /// Writes `w_0[first ..]` to `out`.
    fn fill(&self, first: usize, out: &mut [S]);

    /// How many weights there are.
    fn weights(&self) -> usize;

    /// Numbers it keeps in memory for that.
    fn floats(&self) -> usize;
}

impl<S: Copy> InitialWeights<S> for &[S] {
    fn fill(&self, first: usize, out: &mut [S]) {
        for (out, w) in out.iter_mut().zip(self.iter().skip(first)) {
            *out = *w;
        }
    }

    fn weights(&self) -> usize {
        self.len()
    }

    fn floats(&self) -> usize {
        self.len()
    }
}

/// `w_0 = exp(s_group) N(0, 1)`, made from a seed whenever it is asked for.
///
/// ```
/// use drmad::group::Groups;
/// use drmad::random::{Normal, InitialWeights};
/// let start = Normal { seed: 7, groups: Groups::global(100), log_scales: &[-3.0f32] };
/// let (mut all, mut some) = ([0.0; 100], [0.0; 10]);
/// start.fill(0, &mut all);
/// start.fill(40, &mut some);
/// assert_eq!(all[40..50], some);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Normal<'a, S> {
    /// The seed.
    pub seed: u64,
    /// Which weights share a scale; a weight in no group starts at 0.
    pub groups: Groups<'a>,
    /// The logarithm `s` of each group's scale; a group without one starts at 0.
    pub log_scales: &'a [S],
}

impl<S: Scalar> InitialWeights<S> for Normal<'_, S> {
    fn fill(&self, first: usize, out: &mut [S]) {
        let mut generator = generator(self.seed, Stream::Weights, first as u128);
        let (mut rest, mut next) = (out, first);
        for block in self.groups.blocks() {
            let scales = block.hypers(self.log_scales);
            // Blocks follow each other without a gap, so what is next lies in this one or beyond it.
            while let Some((row, left)) = block.row_of(next) {
                let Some(piece) = rest.split_off_mut(..left.min(rest.len())) else {
                    return;
                };
                if piece.is_empty() {
                    return;
                }
                next = next.saturating_add(piece.len());
                let scale = scales.get(row).map_or(S::ZERO, |s| s.exp::<Plain>());
                for out in piece {
                    let centred = centred(generator.next_u32());
                    *out = scale * S::from_f32(probit::<Plain>(centred));
                }
            }
        }
    }

    fn weights(&self) -> usize {
        self.groups.weights()
    }

    fn floats(&self) -> usize {
        0
    }
}

impl<S: Scalar> Normal<'_, S> {
    /// The derivative of the initial weights `w0` by the log scale of `group`: `w0` in the group, 0
    /// elsewhere.
    ///
    /// ```
    /// use drmad::{group::{Granularity, Groups, Layout}, random::Normal};
    /// let groups = Groups { layout: Layout::Flat(2), by: Granularity::Parameter, biases: false };
    /// let normal = Normal { seed: 1, groups, log_scales: &[0.0f32, 0.0] };
    /// let mut w_dot = [0.0; 2];
    /// normal.tangent(1, &[3.0, 4.0], &mut w_dot)?;
    /// assert_eq!(w_dot, [0.0, 4.0]);
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] for a buffer of another length, [`Error::Index`] where there is no such group.
    pub fn tangent(&self, group: usize, w0: &[S], w_dot: &mut [S]) -> Result<(), Error> {
        let (len, p) = (self.groups.len(), self.groups.weights());
        check_len("w0", w0, p)?;
        check_len("w_dot", w_dot, p)?;
        check_index("group", group, len)?;
        w_dot.fill(S::ZERO);
        for block in self.groups.blocks() {
            let Some(row) = block.hyper.and_then(|first| group.checked_sub(first)) else {
                continue;
            };
            let columns = block.columns.max(1);
            let here = block.of(w0).chunks_exact(columns).nth(row);
            let there = block.of_mut(w_dot).chunks_exact_mut(columns).nth(row);
            if let (Some(here), Some(there)) = (here, there) {
                there.copy_from_slice(here);
            }
        }
        Ok(())
    }

    /// The hypergradient by the log scales: `d_s_j = sum_i d_w_i w_0i` over the group.
    ///
    /// `w0` are the initial weights, `d_w` the derivative by them that the sweep leaves.
    ///
    /// # Errors
    /// [`Error::Length`] for a buffer of another length.
    pub fn adjoint(&self, w0: &[S], d_w: &[S], d_log_scales: &mut [S]) -> Result<(), Error> {
        check_len("w0", w0, self.groups.weights())?;
        check_len("d_w", d_w, self.groups.weights())?;
        check_len("d_log_scales", d_log_scales, self.groups.len())?;
        d_log_scales.fill(S::ZERO);
        for block in self.groups.blocks() {
            crate::kernels::accumulate::add_row_dots::<Plain, S>(
                block.columns,
                block.of(w0),
                block.of(d_w),
                block.hypers_mut(d_log_scales),
            );
        }
        Ok(())
    }
}

/// Where training begins, as a program has it that chooses at run time.
///
/// ```
/// use drmad::random::{Initial, InitialWeights};
/// let start = Initial::Given(&[1.0f32, 2.0]);
/// assert_eq!(start.weights(), 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Initial<'a, S> {
    /// Drawn from a seed.
    Drawn(Normal<'a, S>),
    /// At these weights.
    Given(&'a [S]),
}

impl<S: Scalar> InitialWeights<S> for Initial<'_, S> {
    fn fill(&self, first: usize, out: &mut [S]) {
        match self {
            Initial::Drawn(normal) => normal.fill(first, out),
            Initial::Given(w) => w.fill(first, out),
        }
    }

    fn weights(&self) -> usize {
        match self {
            Initial::Drawn(normal) => normal.weights(),
            Initial::Given(w) => w.weights(),
        }
    }

    fn floats(&self) -> usize {
        match self {
            Initial::Drawn(normal) => normal.floats(),
            Initial::Given(w) => w.floats(),
        }
    }
}

/// Which examples each step trains on: a function of seed and step.
///
/// Each epoch walks through all examples once, from its own start and with its own stride, both
/// drawn from the seed; the stride is prime to the number of examples. That shuffles examples whose
/// order is already random without storing a permutation. A batch that reaches the end of an epoch
/// goes on into the next.
///
/// Sorted examples it does not shuffle: a stride near a simple fraction of their number stays with a few
/// classes for a whole batch. Batches of 50 from 1,000 examples in ten classes miss .43 classes each where
/// these are sorted, and .04 where they are shuffled. Whoever lends them shuffles them once, before ([`choose`] does).
///
/// ```
/// use drmad::random::Batches;
/// let batches = Batches { seed: 1, examples: 6, size: 3 };
/// let mut epoch = [0; 6];
/// batches.fill(0, &mut epoch[..3])?;
/// batches.fill(1, &mut epoch[3..])?;
/// epoch.sort();
/// assert_eq!(epoch, [0, 1, 2, 3, 4, 5]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Batches {
    /// The seed.
    pub seed: u64,
    /// How many examples there are to draw from.
    pub examples: usize,
    /// Examples in a batch.
    pub size: usize,
}

impl Batches {
    /// Writes the examples of step `t`.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] where the size is 0 or there are no examples, [`Error::Range`] for 2^32
    /// examples and more,
    /// [`Error::Length`] where `batch` has not `size` elements.
    pub fn fill(&self, t: usize, batch: &mut [u32]) -> Result<(), Error> {
        if self.size == 0 || self.examples == 0 {
            return Err(Error::EmptyBatch);
        }
        let n = drawable("number of examples", self.examples)?;
        check_len("batch", batch, self.size)?;
        // No training gets as far as 2^64 examples; one that asks for them gets some.
        let first = (t as u64).wrapping_mul(self.size as u64);
        let (mut epoch, mut place) = (first / n, first % n);
        let (mut stride, mut offset) = self.permutation(epoch);
        for example in batch {
            if place == n {
                (epoch, place) = (epoch.wrapping_add(1), 0);
                (stride, offset) = self.permutation(epoch);
            }
            *example = ((place * stride + offset) % n) as u32;
            place += 1;
        }
        Ok(())
    }

    /// Stride and start of an epoch.
    pub(crate) fn permutation(&self, epoch: u64) -> (u64, u64) {
        const WORDS: u64 = 64;
        let n = self.examples as u64;
        let position = u128::from(epoch) * u128::from(WORDS);
        let mut generator = generator(self.seed, Stream::Batches, position);
        let offset = below(&mut generator, n);
        for _ in 1..WORDS {
            let stride = 1 + below(&mut generator, n);
            if gcd(stride, n) == 1 {
                return (stride, offset);
            }
        }
        (1, offset)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Draws `chosen.len()` different numbers below `pool.len()` in random order: the first of a
/// Fisher-Yates shuffle of `pool`, which is overwritten.
///
/// # Errors
/// [`Error::Length`] where more are wanted than there are, [`Error::Range`] for a pool of 2^32 numbers
/// and more.
///
/// ```
/// let (mut pool, mut chosen) = ([0; 10], [0; 4]);
/// drmad::random::choose(3, &mut pool, &mut chosen)?;
/// chosen.sort();
/// assert!(chosen.windows(2).all(|pair| pair[0] < pair[1] && pair[1] < 10));
/// # Ok::<(), drmad::Error>(())
/// ```
pub fn choose(seed: u64, pool: &mut [u32], chosen: &mut [u32]) -> Result<(), Error> {
    let n = pool.len();
    let below_n = drawable("length of the pool", n)?;
    if chosen.len() > n {
        return Err(Error::Length {
            what: "pool",
            want: chosen.len(),
            got: n,
        });
    }
    for (i, p) in pool.iter_mut().enumerate() {
        *p = i as u32;
    }
    let mut generator = generator(seed, Stream::Choice, 0);
    for (i, chosen) in chosen.iter_mut().enumerate() {
        let j = i + below(&mut generator, below_n - i as u64) as usize;
        let (Some(here), Some(there)) = (pool.get(i).copied(), pool.get(j).copied()) else {
            return Ok(());
        };
        for (place, value) in [(j, here), (i, there)] {
            if let Some(place) = pool.get_mut(place) {
                *place = value;
            }
        }
        *chosen = there;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Error, centred, drawable};

    #[test]
    fn nothing_is_drawn_from_more_than_a_word_tells_apart() {
        let greatest = u32::MAX as usize;
        assert_eq!(drawable("pool", greatest), Ok(u64::from(u32::MAX)));
        for n in [greatest.saturating_add(1), usize::MAX] {
            let refused = drawable("pool", n);
            assert!(
                n == greatest
                    || matches!(refused, Err(Error::Range { value, .. }) if value == n as f64)
            );
        }
    }

    #[test]
    fn uniform_numbers_are_odd_about_their_middle_and_never_reach_an_end() {
        let of = |k: u32| centred(k << 8);
        let unit = 1.0 / 16_777_216.0;
        assert_eq!(of((1 << 24) - 1), 0.5 - 0.5 * unit);
        assert_eq!(of(0), -of((1 << 24) - 1));
        assert_eq!(of(1 << 23), 0.5 * unit);
        for k in [0, 1, 77, (1 << 23) - 2, (1 << 23) - 1] {
            assert_eq!(of(k), -of((1 << 24) - 1 - k));
            assert_eq!(of(k + 1) - of(k), unit);
        }
    }
}
