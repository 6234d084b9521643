//! How a training lies in a device's memory: the tables and buffers of a replica, each cut from one [`Arena`].
//!
//! The same cuts measure and write, so what a replica costs in memory is known before any is allocated. Refused: every
//! size that a kernel could not count ([`counted`]), before that, too.

use std::vec::Vec;

use super::Error;
use super::arena::Arena;
use super::layout::{self, counted, product};
use super::replica::{Images, Inputs, Loss, Recall, Replica, Tuned, Way};
use super::way::Costs;
use crate::group::{Groups, Layout};
use crate::models::BLOCK;
use crate::random::Batches;
use crate::schedule::Schedule;
use crate::wrap::Strength;

/// Where a replica's results lie.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) replica: layout::Replica,
    pub(super) costs: Costs,
}

impl Images<'_> {
    fn place(&self, arena: &mut Arena<'_>) -> Result<layout::Images, Error> {
        let mut images = layout::Images {
            labels: arena.share(self.labels)?,
            chosen: arena.share(self.chosen)?,
            count: counted("chosen images", self.chosen.len())?,
            mean: self.mean,
            ..layout::Images::default()
        };
        match &self.inputs {
            Inputs::Pixels(pixels) => images.pixels = arena.share(pixels)?,
            Inputs::Features(features) => images.features = arena.share(features)?,
            Inputs::Lists(pixels, lists) => {
                let (starts, indices, bytes) = lists.parts();
                images.pixels = arena.share(pixels)?;
                images.starts = arena.share(starts)?;
                images.indices = arena.share(indices)?;
                images.bytes = arena.share(bytes)?;
            }
        }
        Ok(images)
    }
}

fn place_groups(
    arena: &mut Arena<'_>,
    groups: &Groups<'_>,
    fixed: bool,
) -> Result<layout::Groups, Error> {
    let blocks: Vec<layout::Block> = groups
        .blocks()
        .map(|block| {
            // A fixed coefficient is one for all, and each block one row of it.
            let (rows, columns, hyper) = match block.hyper {
                Some(_) if fixed => (1, block.len(), Some(0)),
                hyper => (block.rows, block.columns, hyper),
            };
            Ok(layout::Block {
                start: counted("weights", block.start)?,
                rows: counted("rows of a group's block", rows)?,
                columns: counted("columns of a group's block", columns)?,
                hyper: match hyper {
                    // What is counted has no sign.
                    Some(hyper) => counted("hyperparameters of a group", hyper)?.cast_signed(),
                    None => -1,
                },
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(layout::Groups {
        count: counted("blocks of a group", blocks.len())?,
        hypers: counted("hyperparameters of a group", groups.len())?,
        blocks: arena.write(&blocks)?,
    })
}

impl Loss<'_> {
    fn place(&self, arena: &mut Arena<'_>) -> Result<layout::Loss, Error> {
        let (penalty, coefficient, penalised) = match &self.penalty {
            None | Some(Strength::Off(_) | Strength::Nothing) => (0, 0.0, None),
            Some(Strength::Fixed(c, groups)) => (1, *c, Some(groups)),
            Some(Strength::Tuned(groups)) => (2, 0.0, Some(groups)),
        };
        let tuned = match self.tuned {
            Tuned::Nothing(_) => 0,
            Tuned::Weights => 1,
            Tuned::Inputs => 2,
        };
        let none = layout::Groups::default();
        Ok(layout::Loss {
            examples: layout::Examples {
                images: self.images.place(arena)?,
                tuned,
                hypers: counted("hyperparameters of the examples", self.of_examples())?,
            },
            scales: match &self.scales {
                Some(groups) => place_groups(arena, groups, false)?,
                None => none,
            },
            penalised: match penalised {
                Some(groups) => place_groups(arena, groups, penalty == 1)?,
                None => none,
            },
            penalty,
            coefficient,
            hypers: counted("hyperparameters", self.hypers())?,
            drop_negative_curvature: u32::from(self.drop_negative_curvature),
        })
    }
}

/// Places strides and offsets of all epochs that so many steps see.
fn place_batches(
    arena: &mut Arena<'_>,
    batches: &Batches,
    steps: usize,
) -> Result<layout::Batches, Error> {
    let seen = product([batches.size, steps]);
    let epochs = seen.div_ceil(batches.examples.max(1));
    let walks = || -> Vec<u64> {
        let pair = |epoch| {
            let (stride, offset) = batches.permutation(epoch);
            [stride, offset]
        };
        (0..epochs as u64).flat_map(pair).collect()
    };
    Ok(layout::Batches {
        epochs: arena.write_with(product([2, epochs]), walks)?,
        size: counted("examples of a batch", batches.size)?,
        examples: counted("examples", batches.examples)?,
    })
}

impl Replica<'_> {
    /// Cuts all that it needs.
    pub(super) fn place(&self, arena: &mut Arena<'_>) -> Result<Placed, Error> {
        let (p, steps) = (self.weights(), self.steps);
        let (mut start, mut before) = (0, 0);
        let mut layers = Vec::with_capacity(self.widths.len());
        for pair in self.widths.windows(2) {
            layers.push(layout::Layer {
                inputs: counted("inputs of a layer", pair[0])?,
                outputs: counted("outputs of a layer", pair[1])?,
                start: counted("weights", start)?,
                before: counted("units", before)?,
            });
            start = Layout::Layers(pair).weights().saturating_add(start);
            before = pair[0].saturating_add(before);
        }
        let units = (self.widths.iter()).fold(0usize, |sum, width| sum.saturating_add(*width));
        let net = layout::Network {
            layers: arena.write(&layers)?,
            depth: counted("layers", layers.len())?,
            // No piece is larger than the batches are.
            microbatch: counted("examples of a piece of a batch", self.microbatch)?,
            weights: counted("weights", p)?,
            units: counted("units", units)?,
        };
        let training = self.training.place(arena)?;
        let validation = self.validation.place(arena)?;
        let Schedule {
            groups,
            rates,
            momenta,
            ..
        } = &self.schedule;
        let back = self.way.is_some();
        let (path, costs) = match &self.way {
            Some(way) => way.place(self, arena)?,
            None => {
                let nowhere = Way {
                    recall: Recall::Nowhere,
                    tail: 0,
                    last: None,
                };
                nowhere.place(self, arena)?
            }
        };
        let vector = |arena: &mut Arena<'_>| arena.reserve::<f32>(p);
        let (w, v, g) = (vector(arena), vector(arena), vector(arena));
        let [d_w, d_v, d_g] = if back {
            [(); 3].map(|()| vector(arena))
        } else {
            [0; 3]
        };
        let [spare_a, spare_b] = match (back, self.wants_schedule) {
            (true, true) => [(); 2].map(|()| vector(arena)),
            _ => [v, g],
        };
        let x = layout::Vectors {
            w,
            v,
            g,
            d_w,
            d_v,
            d_g,
            spare_a,
            spare_b,
            w0: arena.write_with(p, || {
                let mut w0 = std::vec![0.0f32; p];
                self.initial.fill(0, &mut w0);
                w0
            })?,
        };
        let scratch = self.place_scratch(arena, units)?;
        let (wanted, hypers) = (back && self.wants_schedule, self.training.hypers());
        let status = arena.write(&[layout::Status::default()])?;
        let replica = layout::Replica {
            net,
            training,
            validation,
            batches: place_batches(arena, &self.batches, steps)?,
            sweep_batches: place_batches(arena, &self.sweep_batches, steps)?,
            schedule: layout::Schedule {
                groups: place_groups(arena, groups, false)?,
                rates: arena.write(rates)?,
                momenta: arena.write(momenta)?,
                rates_len: counted("rates", rates.len())?,
                momenta_len: counted("momenta", momenta.len())?,
            },
            path,
            x,
            scratch,
            h: arena.write(self.h)?,
            losses: arena.reserve::<f32>(steps),
            valid_loss: arena.reserve::<f32>(1),
            d_h: arena.reserve::<f32>(hypers),
            d_rates: if wanted {
                arena.reserve::<f32>(rates.len())
            } else {
                0
            },
            d_momenta: if wanted {
                arena.reserve::<f32>(momenta.len())
            } else {
                0
            },
            status,
            arrived: arena.write(&[0u32; 4])?,
            steps: counted("steps", steps)?,
            validated: counted("examples validated on", self.validated)?,
        };
        Ok(Placed { replica, costs })
    }

    fn place_scratch(&self, arena: &mut Arena<'_>, units: usize) -> Result<layout::Scratch, Error> {
        let (p, n) = (self.weights(), self.microbatch);
        let inputs = self.widths[0];
        let losses = [&self.training, &self.validation];
        let lists = losses.iter().any(|loss| {
            matches!(loss.images.inputs, Inputs::Lists(..)) && loss.tuned != Tuned::Inputs
        });
        let learned = losses.iter().any(|loss| loss.tuned == Tuned::Inputs);
        let scaled = losses.iter().any(|loss| loss.scales.is_some());
        // The widest adjoint there is: of a layer's outputs, and of the inputs where they have one.
        let adjoints = if learned {
            self.widths
        } else {
            &self.widths[1..]
        };
        let widest = product([2, n, adjoints.iter().copied().max().unwrap_or(0)]);
        let penalties = losses.iter().map(|loss| match loss.penalty {
            Some(Strength::Fixed(..)) => 1,
            Some(Strength::Tuned(groups)) => groups.len(),
            _ => 0,
        });
        // Batches of more than a block are summed with two more vectors for each that they are summed into.
        let gradients = self
            .validated
            .max(self.batches.size)
            .max(self.sweep_batches.size)
            > BLOCK;
        let products = self.sweep_batches.size > BLOCK;
        let of_examples = losses.map(Loss::of_examples).into_iter().max();
        let sums = |arena: &mut Arena<'_>, wanted| {
            arena.reserve::<f32>(if wanted { of_examples.unwrap_or(0) } else { 0 })
        };
        let vector =
            |arena: &mut Arena<'_>, wanted| arena.reserve::<f32>(if wanted { p } else { 0 });
        let each = |arena: &mut Arena<'_>| arena.reserve::<f32>(n);
        let columns = |arena: &mut Arena<'_>| arena.reserve::<f32>(self.widths[1]);
        Ok(layout::Scratch {
            example: arena.reserve::<u32>(n),
            image: arena.reserve::<u32>(n),
            counts: arena.reserve::<u32>(if lists { inputs } else { 0 }),
            lists: arena.reserve::<u32>(if lists { product([inputs, n]) } else { 0 }),
            a: arena.reserve::<f32>(product([n, units])),
            r_a: arena.reserve::<f32>(product([n, units - inputs])),
            d: arena.reserve::<f32>(widest),
            d_before: arena.reserve::<f32>(widest),
            log_sums: each(arena),
            losses: each(arena),
            shares: each(arena),
            pulled: each(arena),
            shifted: columns(arena),
            r_shifted: columns(arena),
            sums: columns(arena),
            w: vector(arena, scaled),
            u: vector(arena, scaled),
            h_u: vector(arena, scaled),
            g: vector(arena, scaled),
            dropped: vector(
                arena,
                losses.iter().any(|loss| loss.drop_negative_curvature),
            ),
            penalties: arena.reserve::<f32>(penalties.max().unwrap_or(0)),
            block_g: vector(arena, gradients),
            rest_g: vector(arena, gradients),
            block_h_d: vector(arena, products),
            rest_h_d: vector(arena, products),
            block_d_h: sums(arena, gradients),
            rest_d_h: sums(arena, gradients),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::super::replica::tests::of_widths;
    use super::*;

    /// Bytes that a replica needs, or why it cannot be counted.
    fn bytes(replica: &Replica<'_>) -> Result<u64, String> {
        let mut arena = Arena::measure();
        let measured = replica
            .check()
            .and_then(|()| replica.place(&mut arena).map(|_| arena.used()));
        measured.map_err(|error| error.to_string())
    }

    const MOST: usize = layout::MOST as usize;

    #[test]
    fn a_size_that_no_kernel_counts_is_refused_with_the_size_and_the_limit() {
        let refused = |what: &str, value: usize, replica: &Replica<'_>| {
            let told = bytes(replica).expect_err(what);
            let value = (value as f64).to_string();
            for word in [what, &value, "2147483647"] {
                assert!(told.contains(word), "{what} {value}: {told}");
            }
        };
        of_widths(&[2, 3, 2], |small| {
            assert!(bytes(&small).is_ok());
            for huge in [MOST + 1, u32::MAX as usize, 1 << 32, usize::MAX] {
                let steps = Replica {
                    steps: huge,
                    ..small
                };
                refused("steps", huge, &steps);
                let batches = Batches {
                    size: huge,
                    ..small.batches
                };
                refused("examples of a batch", huge, &Replica { batches, ..small });
                let sweep_batches = batches;
                let sweep = Replica {
                    sweep_batches,
                    ..small
                };
                refused("examples of a batch", huge, &sweep);
                let way = Some(Way {
                    recall: Recall::Checkpoints { snapshots: huge },
                    tail: 0,
                    last: None,
                });
                refused("number of snapshots", huge, &Replica { way, ..small });
            }
            for microbatch in [1 << 23, 1 << 24, 1 << 32, (1 << 56) + 1, usize::MAX] {
                let piece = microbatch.saturating_mul(256);
                refused(
                    "a piece of a batch",
                    piece,
                    &Replica {
                        microbatch,
                        ..small
                    },
                );
            }
            // As many hyperparameters as are said would have to be there.
            for beside in [1, u32::MAX as usize, 1 << 32, usize::MAX] {
                let mut many = small;
                many.training.tuned = Tuned::Nothing(beside);
                many.validation.tuned = Tuned::Nothing(beside);
                many.training.scales = Some(Groups::global(17));
                many.validation.scales = many.training.scales;
                let told = bytes(&many).unwrap_err();
                let wanted = beside.saturating_add(1);
                assert_eq!(told, std::format!("h: {wanted} numbers wanted, 0 given"));
            }
        });
        for (hidden, weights) in [
            (1 << 29, 5 * (1 << 29) + 2),
            (1 << 31, 5 * (1 << 31) + 2),
            // Products of 32 bits, and of 64, that begin again at 0.
            (1 << 32, 5 * (1 << 32) + 2),
            (usize::MAX / 2, usize::MAX),
            (usize::MAX, usize::MAX),
        ] {
            of_widths(&[2, hidden, 2], |wide| refused("weights", weights, &wide));
        }
        // Weights that can be counted, and a batch whose numbers cannot.
        of_widths(&[2, 1 << 28, 2], |wide| {
            let microbatch = 9;
            refused(
                "a piece of a batch",
                microbatch << 28,
                &Replica { microbatch, ..wide },
            );
        });
    }

    #[test]
    fn memory_is_measured_in_full_up_to_the_last_byte_that_can_be_addressed() {
        let way = |recall| {
            Some(Way {
                recall,
                tail: 0,
                last: None,
            })
        };
        of_widths(&[2, 3, 2], |small| {
            // In numbers of four bytes: 17 weights a step.
            let steps = MOST;
            let tape = bytes(&Replica { steps, ..small }).unwrap();
            let least = 4 * 17 * MOST as u64;
            // Beside it the losses and the epochs' walks: of 3 examples, 2 a step, twice.
            let beside = 4 * MOST as u64 + 2 * 16 * (2 * MOST as u64).div_ceil(3);
            assert!(
                (least + beside..least + beside + 10_000).contains(&tape),
                "{tape}"
            );
            let snapshots = way(Recall::Checkpoints { snapshots: MOST });
            let kept = bytes(&Replica {
                way: snapshots,
                ..small
            })
            .unwrap();
            let least = 4 * (2 * 17 + 1) * MOST as u64;
            assert!((least..least + 10_000).contains(&kept), "{kept}");
        });
        of_widths(&[2, 1 << 28, 2], |wide| {
            let (steps, microbatch) = (MOST, 1);
            let weights = 5 * (1 << 28) + 2u64;
            let tape = Replica {
                steps,
                microbatch,
                ..wide
            };
            // 4 bytes for each of 2^30.3 weights, 2^31 times, with and without velocities.
            let least = u128::from(weights) * 4 * MOST as u128;
            assert!(u64::try_from(least).is_ok() && u64::try_from(2 * least).is_err());
            assert!(u128::from(bytes(&tape).unwrap()) > least);
            let wants_schedule = true;
            let both = Replica {
                wants_schedule,
                ..tape
            };
            assert_eq!(bytes(&both), Ok(u64::MAX));
            let snapshots = 100;
            let way = way(Recall::Checkpoints { snapshots });
            let needed = bytes(&Replica {
                way,
                steps: 4,
                ..tape
            })
            .unwrap();
            assert!(needed > 2 * 4 * 100 * weights, "{needed}");
            assert!(needed < 2 * 4 * 120 * weights, "{needed}");
        });
    }

    #[test]
    fn a_layer_begins_where_those_before_it_end() {
        of_widths(&[2, 3, 5, 2], |replica| {
            let mut arena = Arena::measure();
            let placed = replica.place(&mut arena).unwrap().replica;
            assert_eq!((placed.net.weights, placed.net.units), (9 + 20 + 12, 12));
            assert_eq!(placed.net.depth, 3);
        });
    }
}
