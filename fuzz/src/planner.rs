//! Every length that is planned with, for whatever sizes: none overflows, and a greater training never
//! needs less.

use drmad::Fused;
use drmad::forward::Forward;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Trainer, Workspace};
use drmad::kernels::matmul::{Form, MatMul};
use drmad::models::{Inputs, Pass};
use drmad::objective::dual_required_len;
use drmad::outer::Adam;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Plan, Quantised, Reversible, Tail, Tape,
    Truncated,
};
use drmad::schedule::Optimizer;
use drmad::tuner::Tuner;

use crate::bytes::Bytes;

/// Sizes, momenta and widths.
pub fn planner(data: &[u8]) {
    let mut bytes = Bytes(data);
    let optimizer = [Optimizer::HeavyBall, Optimizer::Nesterov, Optimizer::ADAM][bytes.one_of(3)];
    let (weights, steps, rows) = (bytes.size(), bytes.size(), bytes.size());
    let (slots, scratch, hypers) = (bytes.size(), bytes.size(), bytes.size());
    let (momentum, schedule) = (bytes.float(), bytes.flag());
    let plans = |more: usize| {
        let weights = weights.saturating_add(more);
        let tables = schedule.then_some((hypers, steps));
        let row = Quantised::<11>::state_len(weights, rows);
        let path = Tape::<f32>::state_len(weights, steps, slots);
        [
            Workspace::<f32>::required_len(weights, scratch, optimizer, schedule),
            Trainer::<Fused, f64>::state_len(weights, hypers, optimizer, tables, path),
            Tape::<f32>::required_len(weights, steps, slots),
            path,
            Checkpoints::<f32>::required_len(weights, rows, slots),
            Checkpoints::<f64>::state_len(weights, rows, slots),
            Reversible::required_len(weights, steps, momentum),
            Reversible::state_len(weights, steps, momentum),
            Full::<f32>::required_len(weights, rows),
            Full::<f64>::state_len(weights, rows),
            Quantised::<3>::required_len(weights, rows),
            Quantised::<255>::required_len(weights, rows),
            row,
            Hats::<f32, &[f32], Quantised<'_, 11>>::state_len(rows, row),
            Knots::<f32, &[f32], Quantised<'_, 11>>::state_len(row, Some(row)),
            Legendre::<f32>::required_len(weights, rows),
            Legendre::<f32>::state_len(weights, rows),
            Tail::<Tape<'_, f32>>::state_len(path),
            Truncated::<Tape<'_, f32>>::state_len(path),
            Forward::<'_, f32>::required_len(weights, hypers, optimizer, slots, scratch),
            Tuner::<f32>::state_len(weights, rows, Adam::<f32>::state_len(weights)),
            Tuner::<f32>::need(weights).len(),
            dual_required_len(weights, hypers, scratch),
        ]
    };
    let (less, more) = (plans(0), plans(bytes.size()));
    for (i, (less, more)) in less.iter().zip(more).enumerate() {
        assert!(*less <= more, "plan {i}: {less} and {more}");
    }
    let _ = (
        Plan::published(steps),
        Plan::every(steps),
        Grid::spacing(rows),
    );

    let form = [Form::Nn, Form::Tn, Form::Nt][bytes.one_of(3)];
    let (rows, inner, columns) = (bytes.size(), bytes.size(), bytes.size());
    let _ = MatMul {
        form,
        rows,
        inner,
        columns,
        accumulate: false,
    }
    .required_len();

    let widths: Vec<usize> = (0..bytes.one_of(6)).map(|_| bytes.size()).collect();
    let inputs = [Inputs::Gathered, Inputs::Sparse, Inputs::Given][bytes.one_of(3)];
    let network = Pass {
        layout: Layout::Layers(&widths),
        microbatch: bytes.size(),
        inputs,
    };
    let _ = (
        network.weights(),
        network.scratch_len(),
        network.second_order_scratch_len(),
    );
    let by = [
        Granularity::Global,
        Granularity::Layer,
        Granularity::Tensor,
        Granularity::Unit,
        Granularity::Parameter,
    ][bytes.one_of(5)];
    let layout = match bytes.flag() {
        true => Layout::Layers(&widths),
        false => Layout::Flat(weights),
    };
    let groups = Groups {
        layout,
        by,
        biases: bytes.flag(),
    };
    let mut end = 0;
    for block in groups.blocks() {
        assert_eq!(block.start, end);
        end = end.saturating_add(block.len());
        assert!(block.hyper.is_none_or(|first| first <= groups.len()));
    }
    assert_eq!(end, groups.weights());
}
