//! Trainings with each path, the methods that are no sweep, and saved states.

use super::*;

type Bowl<'a> = Quadratic<'a, Plain>;

fn schedule<'s>(
    optimizer: Optimizer,
    groups: Groups<'s>,
    rates: &'s [f32],
    momenta: &'s [f32],
) -> Schedule<'s, f32> {
    Schedule {
        groups,
        optimizer,
        rates,
        momenta,
    }
}

/// All that a run does with a path: there, back, by pieces, and its state saved and restored.
fn all(x: In<'_, '_>, path: &mut dyn Path<Plain, f32>) {
    let (groups, batches, optimizer, steps) = (x.groups(), x.batches(), x.optimizer, x.n[3]);
    let [
        curvatures,
        h,
        rates,
        momenta,
        w0,
        buffer,
        d_h,
        d_rates,
        d_momenta,
        _,
    ] = &mut x.f;
    let [batch, examples, ..] = &mut x.words;
    let bowl = Bowl::new(curvatures);
    let schedule = schedule(optimizer, groups, rates, momenta);
    let problem = InnerProblem {
        objective: &bowl,
        h,
        schedule,
        batches,
        steps,
    };
    let validation = Validation {
        objective: &bowl,
        examples,
    };
    let Some(workspace) = put(
        &mut x.failed,
        Workspace::new(buffer, x.n[4], optimizer, x.flag),
    ) else {
        return;
    };
    let schedule = x.flag.then_some((&mut **d_rates, &mut **d_momenta));
    let wanted = Wanted { d_h, schedule };
    x.n[5] = path.floats() + path.plan(steps).steps;
    let mut trainer = Trainer::new(path, workspace, batch, wanted);
    if x.flag {
        put(
            &mut x.failed,
            state::restore(x.bytes[0], &mut problem.state(&mut trainer, 0)),
        );
    }
    let w0 = &&**w0;
    let done = problem.advance(&mut trainer, w0, &validation, x.n[6], &mut |_, loss| {
        x.x[0] = loss
    });
    if let Some(Some(outcome)) = put(&mut x.failed, done) {
        x.x[1] = outcome.valid_loss;
    }
    put(
        &mut x.failed,
        state::save(0, &mut problem.state(&mut trainer, 0), x.bytes[1]),
    );
    x.n[7] = trainer.progress().walked;
    trainer.restart();
    let Trainer {
        path,
        workspace,
        batch,
        wanted,
        ..
    } = &mut trainer;
    put(
        &mut x.failed,
        problem.train(w0, *path, workspace, batch, &mut |_, _| ()),
    );
    let wanted = Wanted {
        d_h: wanted.d_h,
        schedule: wanted
            .schedule
            .as_mut()
            .map(|(rates, momenta)| (&mut **rates, &mut **momenta)),
    };
    if let Some(outcome) = put(
        &mut x.failed,
        problem.backward(&validation, *path, workspace, batch, wanted),
    ) {
        x.x[2] = outcome.valid_loss;
    }
}

/// Rows in full, in a place of their own.
fn rows<'a>(x: In<'_, 'a>) -> Option<Full<'a, f32>> {
    let storage = core::mem::take(&mut x.wide[4]);
    let storage = bytemuck_f32(storage);
    put(&mut x.failed, Full::new(x.n[4], x.n[5], storage))
}

/// Other numbers than the ones a run is given.
fn bytemuck_f32(x: &mut [f64]) -> &mut [f32] {
    // SAFETY: every bit pattern is a number of both.
    unsafe { core::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), 2 * x.len()) }
}

fn grid(x: In<'_, '_>) -> Grid {
    Grid {
        steps: x.n[0],
        intervals: x.n[1],
        spacing: x.x[5],
    }
}

fn other<'a>(x: In<'_, 'a>) -> &'a mut [f32] {
    bytemuck_f32(core::mem::take(&mut x.wide[3]))
}

type Eleven<'a> = Quantised<'a, 11>;

operations! {
    path_tape(x) {
        let storage = other(x);
        if let Some(mut path) = put(&mut x.failed, Tape::new(x.n[0], x.n[1], x.n[2], storage)) {
            all(x, &mut path);
        }
    }
    path_checkpoints(x) {
        let (storage, marks) = (other(x), core::mem::take(&mut x.marks));
        let path = Checkpoints::new(x.n[0], x.n[1], x.n[2], storage, marks);
        if let Some(mut path) = put(&mut x.failed, path) {
            all(x, &mut path);
            x.n[0] = path.recomputed() as usize;
        }
        x.n[1] = Checkpoints::<f32>::least_recomputed(x.n[0], x.n[1]) as usize
            + Checkpoints::<f32>::most_repeated(x.n[0], x.n[1]) as usize;
    }
    path_checkpoints_online(x) {
        let (storage, marks) = (other(x), core::mem::take(&mut x.marks));
        if let Some(mut path) = put(&mut x.failed, Checkpoints::online(x.n[0], x.n[1], storage, marks)) {
            all(x, &mut path);
        }
    }
    path_reversible(x) {
        let storage = core::mem::take(&mut x.words[3]);
        if let Some(path) = put(&mut x.failed, Reversible::new(x.n[0], x.n[1], x.x[0], storage)) {
            let bits = Bits { weight: x.n[2] as u32, velocity: x.n[3] as u32 };
            if let Some(mut path) = put(&mut x.failed, path.with(bits)) {
                all(x, &mut path);
                x.flag = path.is_at_start();
                x.n[0] = path.weights().len() + path.velocities().len();
            }
        }
        x.n[1] = Reversible::required_len(x.n[0], x.n[1], x.x[0]);
    }
    path_line(x) {
        let initial = &*other(x);
        all(x, &mut Line::new(initial, x.n[0]).with(x.plan));
    }
    path_plan(x) {
        x.plan = if x.flag { Plan::every(x.n[0]) } else { Plan::published(x.n[0]) };
        x.plan.batches = if x.n[1] == 0 { Replayed::First } else { Replayed::Spread };
        x.n[2] = x.plan.step(x.n[3]);
    }
    path_knots(x) {
        let (initial, storage) = (&*other(x), core::mem::take(&mut x.words[3]));
        if let Some(rows) = put(&mut x.failed, Eleven::new(x.n[4], x.n[5], storage))
            && let Some(mut path) = put(&mut x.failed, Knots::<f32, _, _>::new(x.n[4], x.n[5], initial, rows))
        {
            all(x, &mut path);
        }
    }
    path_cubics(x) {
        let initial = &*other(x);
        let (storage, changes) = (core::mem::take(&mut x.words[3]), core::mem::take(&mut x.words[4]));
        if let Some(rows) = put(&mut x.failed, Eleven::new(x.n[4], x.n[5], storage))
            && let Some(changes) = put(&mut x.failed, Eleven::new(x.n[4], x.n[6], changes))
            && let Some(mut path) = put(
                &mut x.failed,
                Knots::<f32, _, _>::hermite(x.n[4], x.n[5], initial, rows, changes),
            )
        {
            all(x, &mut path);
        }
    }
    path_legendre(x) {
        let storage = other(x);
        if let Some(mut path) = put(&mut x.failed, Legendre::new(x.n[0], x.n[1], x.n[2], storage)) {
            all(x, &mut path);
        }
    }
    path_hats(x) {
        let (initial, storage) = (&*other(x), core::mem::take(&mut x.words[3]));
        let (knots, factors) = (grid(x), bytemuck_f32(core::mem::take(&mut x.wide[2])));
        if let Some(rows) = put(&mut x.failed, Eleven::new(x.n[4], x.n[5], storage))
            && let Some(mut path) = put(
                &mut x.failed,
                Hats::new(x.n[4], knots, initial, rows, factors),
            )
        {
            all(x, &mut path);
        }
    }
    path_hats_in_full(x) {
        let initial = &*other(x);
        let (knots, factors) = (grid(x), bytemuck_f32(core::mem::take(&mut x.wide[2])));
        if let Some(rows) = rows(x)
            && let Some(mut path) = put(
                &mut x.failed,
                Hats::new(x.n[4], knots, initial, rows, factors),
            )
        {
            all(x, &mut path);
        }
    }
    path_of_a_sweep(x) {
        let memory = other(x);
        let initial = core::mem::take(&mut x.f[9]);
        let log_scales = bytemuck_f32(core::mem::take(&mut x.wide[2]));
        let initial = if x.flag {
            Initial::Given(initial)
        } else {
            let groups = x.groups();
            Initial::Drawn(Normal { seed: x.n[0] as u64, groups, log_scales })
        };
        let path = x.sweep.path::<Plain, f32>(x.extent, initial, memory);
        if let Some(mut path) = put(&mut x.failed, path) {
            all(x, &mut path);
        }
    }
    path_of_a_sweep_in_f64(x) {
        let (memory, w) = (core::mem::take(&mut x.wide[3]), core::mem::take(&mut x.wide[2]));
        let path = x.sweep.path::<Plain, f64>(x.extent, Initial::Given(w), memory);
        if let Some(path) = put(&mut x.failed, path) {
            x.n[0] = path.floats();
        }
    }
    sweep_need_tail_is_exact(x) {
        let (sweep, of) = (x.sweep, x.extent);
        x.n[0] = sweep.need::<f32>(of).len();
        x.n[1] = sweep.need::<f64>(of).bytes();
        x.n[2] = sweep.recall.name().len();
        x.flag = sweep.is_exact();
        if let Some(tail) = put(&mut x.failed, sweep.tail(of)) {
            x.n[3] = tail;
        }
        x.sweep = Sweep::over(sweep.recall);
    }
    extent_of(x) {
        let (groups, optimizer) = (x.groups(), x.optimizer);
        let [rates, momenta, ..] = &mut x.f;
        x.extent = Extent::of(&schedule(optimizer, groups, rates, momenta), x.n[1], x.flag);
    }
    levels_of_count_need(x) {
        if let Some(levels) = Levels::of(x.n[0] as u32) {
            x.n[1] = levels.count() as usize;
            x.n[2] = levels.need::<f32>(x.n[3], x.n[4]).len();
            x.n[5] = levels.need::<f64>(x.n[3], x.n[4]).len();
        }
    }
    need_of_memory(x) {
        let [a, b, c, d, ..] = x.n;
        let both = Need::<f32>::numbers(a).and(Need::words(b)).times(c).or(Need::numbers(d));
        let wide = Need::<f64>::numbers(a).and(Need::words(b)).times(c).or(Need::numbers(d));
        x.flag = both.is_empty() || wide.is_empty();
        x.n = [both.len(), both.bytes(), wide.len(), wide.bytes(), a, b, c, d];
    }
    initial_weights(x) {
        let (groups, seed) = (x.groups(), x.n[0] as u64);
        let [w, log_scales, out, ..] = &mut x.f;
        let initial = if x.flag {
            Initial::Given(w)
        } else {
            Initial::Drawn(Normal { seed, groups, log_scales })
        };
        initial.fill(x.n[1], out);
        x.n[2] = initial.weights() + initial.floats();
    }
    path_grid(x) {
        let grid = grid(x);
        x.n[2] = grid.step(x.n[2]);
        x.x[0] = Grid::spacing(x.n[3]);
    }
    path_reversed(x) {
        let (groups, optimizer) = (x.groups(), x.optimizer);
        let [rates, momenta, ..] = &mut x.f;
        x.n[0] = Reversed::reach(&schedule(optimizer, groups, rates, momenta), x.n[1]);
        all(x, &mut Reversed);
    }
    path_tail(x) {
        let line = Line::new(&*other(x), x.n[0]);
        if let Some(mut path) = put(&mut x.failed, Tail::new(line, x.n[1], x.n[2])) {
            all(x, &mut path);
        }
    }
    path_truncated(x) {
        let storage = other(x);
        if let Some(tape) = put(&mut x.failed, Tape::new(x.n[0], x.n[1], x.n[2], storage))
            && let Some(mut path) = put(&mut x.failed, Truncated::new(tape, x.n[3], x.n[4]))
        {
            all(x, &mut path);
        }
    }
    path_truncated_early(x) {
        let storage = other(x);
        if let Some(tape) = put(&mut x.failed, Tape::new(x.n[0], x.n[1], x.n[2], storage))
            && let Some(mut path) = put(&mut x.failed, Truncated::early(tape, x.n[3], x.n[4]))
        {
            all(x, &mut path);
        }
    }
    planners_of_states(x) {
        let [a, b, c, d, ..] = x.n;
        x.n = [
            Tape::<f32>::state_len(a, b, c),
            Checkpoints::<f32>::state_len(a, b, c) + Legendre::<f32>::state_len(a, b),
            Reversible::state_len(a, b, x.x[0]),
            Full::<f32>::state_len(a, b) + Eleven::state_len(a, b),
            Knots::<f32, &[f32], Eleven<'_>>::state_len(a, Some(b)),
            Hats::<f32, &[f32], Eleven<'_>>::state_len(a, b),
            Trainer::<Plain, f32>::state_len(a, b, x.optimizer, x.flag.then_some((c, d)), d),
            Tuner::<f32>::state_len(a, b, c) + Tuner::<f32>::need(d).len() + Stepped::<f32>::state_len(a, b, x.optimizer, c),
        ];
    }
    schedule_step_each(x) {
        let (groups, optimizer) = (x.groups(), x.optimizer);
        let [rates, momenta, ..] = &mut x.f;
        let schedule = schedule(optimizer, groups, rates, momenta);
        x.by = schedule.step(x.n[0], x.n[1]);
        schedule.each(x.n[0], |block, by| x.n[2] += block.len() + by.rates.len());
        x.n[3] = optimizer.slots();
        x.flag = optimizer.recalls(x.flag);
    }
    workspace_new(x) {
        x.n[0] = Workspace::<f32>::required_len(x.n[0], x.n[1], x.optimizer, x.flag);
        if let Some(workspace) = put(&mut x.failed, Workspace::new(x.f[0], x.n[2], x.optimizer, x.flag)) {
            x.n[1] = workspace.scratch.len();
        }
    }
    run_check_direct(x) {
        let (groups, batches, optimizer) = (x.groups(), x.batches(), x.optimizer);
        let [curvatures, h, rates, momenta, buffer, d_h, ..] = &mut x.f;
        let [_, examples, ..] = &mut x.words;
    let bowl = Bowl::new(curvatures);
        let schedule = schedule(optimizer, groups, rates, momenta);
        let problem = InnerProblem { objective: &bowl, h, schedule, batches, steps: x.n[3] };
        put(&mut x.failed, problem.check());
        let validation = Validation { objective: &bowl, examples };
        if let Some(mut workspace) = put(&mut x.failed, Workspace::new(buffer, x.n[4], optimizer, x.flag))
            && let Some(loss) = put(&mut x.failed, problem.direct(&validation, &mut workspace, d_h))
        {
            x.x[0] = loss;
        }
        x.n[0] = drmad::hypergradient::scratch_len(&bowl, &bowl);
        x.n[1] = problem.scratch_len(&validation);
        x.n[2] = problem.forward_scratch_len(&validation, x.n[2]);
    }
    forward_all(x) {
        let (groups, batches, optimizer) = (x.groups(), x.batches(), x.optimizer);
        let [curvatures, h, rates, momenta, w0, buffer, d, ..] = &mut x.f;
        let [batch, examples, ..] = &mut x.words;
    let bowl = Bowl::new(curvatures);
        let schedule = schedule(optimizer, groups, rates, momenta);
        let problem = InnerProblem { objective: &bowl, h, schedule, batches, steps: x.n[3] };
        let validation = Validation { objective: &bowl, examples };
        let Some(mut forward) = put(&mut x.failed, Forward::new(buffer, &problem, x.wrt)) else { return };
        put(&mut x.failed, forward.start(&&**w0));
        forward.restart();
        let steps = x.n[5]..x.n[6];
        put(&mut x.failed, problem.forward(steps, &mut forward, batch, &mut |_, _| ()));
        if let Some(loss) = put(&mut x.failed, problem.hypergradient(&validation, &mut forward, d)) {
            x.x[0] = loss;
        }
        let [there, back, _] = &mut x.bytes;
        let mut training = Stepped { forward: &mut forward, t: &mut x.n[5], tag: 0 };
        put(&mut x.failed, state::save(1, &mut training, there));
        put(&mut x.failed, state::restore(back, &mut training));
        x.n[0] = drmad::forward::scratch_len(&bowl, &bowl, x.n[1]);
    }
    implicit_run(x) {
        let (groups, batches, optimizer) = (x.groups(), x.batches(), x.optimizer);
        let [curvatures, h, rates, momenta, buffer, d_h, ..] = &mut x.f;
        let [_, examples, training, ..] = &mut x.words;
    let bowl = Bowl::new(curvatures);
        let schedule = schedule(optimizer, groups, rates, momenta);
        let problem = InnerProblem { objective: &bowl, h, schedule, batches, steps: x.n[3] };
        let validation = Validation { objective: &bowl, examples };
        let settings = Implicit {
            examples: training,
            solver: x.solver,
            iterations: x.n[5],
            tolerance: x.x[0],
            damping: x.x[1],
        };
        if let Some(mut workspace) = put(&mut x.failed, Workspace::new(buffer, x.n[4], optimizer, x.flag))
            && let Some(solved) = put(&mut x.failed, problem.implicit(&validation, &settings, &mut workspace, d_h))
        {
            x.y[0] = solved.residual;
        }
        x.n[0] = drmad::implicit::scratch_len(&bowl, &bowl);
    }
    hypers_blocks_name_values(x) {
        let groups = x.groups();
        let hypers = Hypers { tuned: x.tuned, layout: groups.layout, examples: x.n[0], own: x.n[5], steps: x.n[1] };
        put(&mut x.failed, hypers.check());
        x.n[2] = hypers.len();
        x.flag = hypers.is_empty();
        for (block, range) in hypers.blocks() {
            x.n[3] += hypers.len_of(block) + range.len() + block.groups(hypers.layout).len();
        }
        if let Some((block, range)) = hypers.block(x.what) {
            x.n[4] = range.start;
            x.flag |= block.each_step;
        }
        x.named = hypers.name(x.n[5]);
        if let Some(name) = &x.named {
            x.n[6] = text(name);
        }
        put(&mut x.failed, hypers.values::<Plain, f32>(x.f[0]));
        put(&mut x.failed, hypers.values::<Plain, f64>(x.wide[0]));
    }
    tuned_new_what(x) {
        let block = Tuned::new(x.what, x.granularity);
        x.n[0] = block.groups(x.groups().layout).len() + x.what.name().len();
        x.flag = x.what.parametrisation().is_some();
    }
    training_plan(x) {
        let training = x.training();
        put(&mut x.failed, training.check());
        let hypers = training.hypers();
        x.n[0] = hypers.len() + training.layout().weights() + training.batches().size;
        x.n[1] = training.need::<f32>(x.method).len() + training.need::<f64>(x.method).len();
        x.n[2] = training.state_len::<f32>(x.method) + Values::<f32>::required_len(&training);
        x.n[3] = x.method.name().len() + x.method.sweep().state_len::<f32>(x.extent);
        x.flag = x.method.is_exact();
        let other = Training::of(Network { inputs: x.n[4], layers: x.layers, loss: x.loss }, x.n[5], x.n[6]);
        x.n[4] = Training::new(other.model, x.n[6], x.n[7]).hypers().len();
        let own = [Own::new(x.n[4], x.n[5], x.n[6]), Own::by_loss(x.n[4], x.n[5])];
        x.n[5] = own[0].scratch + own[1].second_order_scratch;
    }
    training_of_an_objective(x) {
        let training = x.training();
        let [curvatures, h, d_h, memory, w0, ..] = &mut x.f;
        let bowl = Bowl::new(curvatures);
        let on = On { training: &bowl, validation: &bowl, initial: x.flag.then_some(&**w0) };
        if let Some(outcome) = put(&mut x.failed, training.hypergradient(x.method, on, h, d_h, memory)) {
            x.x[0] = outcome.valid_loss;
        }
        if let Some(outcome) =
            put(&mut x.failed, training.observed(x.method, on, h, d_h, memory, &mut ()))
        {
            x.x[1] = outcome.valid_loss;
        }
    }
    training_without_a_way_back(x) {
        let training = x.training();
        let [curvatures, h, w, memory, w0, ..] = &mut x.f;
        let bowl = Bowl::new(curvatures);
        let on = On { training: &bowl, validation: &bowl, initial: x.flag.then_some(&**w0) };
        if let Some(loss) = put(&mut x.failed, training.train(x.method, on, h, w, memory, &mut ())) {
            x.x[0] = loss;
        }
        if let Some(loss) = put(&mut x.failed, training.valid_loss(on, h, w, memory)) {
            x.x[1] = loss;
        }
    }
    session_of_an_objective(x) {
        let (training, fresh) = (x.training(), x.batches());
        let [curvatures, h, d_h, memory, w0, ..] = &mut x.f;
        let bowl = Bowl::new(curvatures);
        let on = On { training: &bowl, validation: &bowl, initial: x.flag.then_some(&**w0) };
        let Some(mut session) = put(&mut x.failed, Session::new(training, x.sweep, on, h, memory)) else {
            return;
        };
        let [there, back, _] = &mut x.bytes;
        put(&mut x.failed, session.restore(x.n[6] as u64, back));
        put(&mut x.failed, session.advance(x.n[6], &mut |_, loss| x.x[0] = loss));
        put(&mut x.failed, session.save(1, x.n[6] as u64, there));
        put(&mut x.failed, session.hypergradient(d_h));
        x.n[0] = session.floats() + session.weights().len() + session.by_initial_weights().len();
        x.n[1] = session.progress().walked;
        let mut session = session.with_fresh_batches(fresh);
        let (w, scratch) = session.weights_and_scratch();
        x.n[3] = w.len() + scratch.len();
        if let Some(w) = put(&mut x.failed, session.train(&mut |_, _| ())) {
            x.n[2] = w.len();
        }
    }
    training_values(x) {
        let training = x.training();
        let [h, room, d, d_h, w, ..] = &mut x.f;
        if let Some(values) = put(&mut x.failed, Values::new::<Plain>(training, h, room)) {
            x.n[0] = values.h().len() + values.schedule().rates.len() + values.normal().log_scales.len();
            x.n[1] = values.initial(None).weights();
            put(&mut x.failed, values.pull_back(d, d_h));
            put(&mut x.failed, values.scale(w));
            if let Some(tables) = put(&mut x.failed, values.derivatives(d)) {
                x.n[2] = tables.h.len() + tables.rates.len() + tables.momenta.len() + tables.log_scales.len();
            }
        }
    }
    memory_buffer(x) {
        let mut buffer = Buffer::new("memory", &mut *x.f[0]);
        if let Some(numbers) = put(&mut x.failed, buffer.numbers(x.n[0])) {
            x.n[1] = numbers.len();
        }
        if let Some(words) = put(&mut x.failed, buffer.words(x.n[2])) {
            x.n[3] = words.len();
        }
    }
    tuner_round(x) {
        let (training, method) = (x.training(), x.method);
        let [h, m, v, room, history, memory, curvatures, initial, ..] = &mut x.f;
        let bowl = Bowl::new(curvatures);
        let on = On { training: &bowl, validation: &bowl, initial: x.flag.then_some(&**initial) };
        let Some(mut adam) = put(&mut x.failed, Adam::new(x.x[0], m, v)) else { return };
        let Some(tuner) = put(&mut x.failed, Tuner::new(h, &mut adam, room)) else { return };
        let mut tuner = tuner.with_history(history);
        if let Some(outcome) = put(&mut x.failed, tuner.round(&training, method, on, memory)) {
            x.x[1] = outcome.valid_loss;
        }
        if let Some(best) = tuner.best() {
            (x.n[0], x.n[1], x.x[2]) = (best.round, best.h.len(), best.loss);
        }
        x.n[2] = tuner.rounds() + tuner.h().len() + tuner.hypergradient().len() + tuner.history().len();
    }
    tuner_round_by(x) {
        let [h, m, v, room, d, ..] = &mut x.f;
        let Some(mut adam) = put(&mut x.failed, Adam::new(x.x[0], m, v)) else { return };
        let Some(mut tuner) = put(&mut x.failed, Tuner::new(h, &mut adam, room)) else { return };
        let loss = x.x[1];
        let round = tuner.round_by(&mut |_, d_h| {
            for (d_h, d) in d_h.iter_mut().zip(d.iter()) {
                *d_h = *d;
            }
            Ok(loss)
        });
        put(&mut x.failed, round);
        put(&mut x.failed, tuner.follow(loss, d));
    }
    tuner_state(x) {
        let [h, m, v, room, history, ..] = &mut x.f;
        let Some(mut adam) = put(&mut x.failed, Adam::new(x.x[0], m, v)) else { return };
        let Some(tuner) = put(&mut x.failed, Tuner::new(h, &mut adam, room)) else { return };
        let mut tuner = tuner.with_history(history).with_tag(x.n[0] as u64);
        let [there, back, _] = &mut x.bytes;
        put(&mut x.failed, state::save(1, &mut tuner, there));
        put(&mut x.failed, state::restore(back, &mut tuner));
        put(&mut x.failed, state::stream(1, &mut tuner, &mut |bytes| {
            x.n[1] += bytes.len();
            Ok(())
        }));
        if let Some(len) = put(&mut x.failed, state::len(&mut tuner)) {
            x.n[2] = len;
        }
        x.n[0] = tuner.rounds();
    }
    state_newest(x) {
        let [a, b, c] = &x.bytes;
        if let Some(found) = state::newest(&[a, b, c]) {
            (x.n[0], x.n[1]) = (found.slot, found.sequence as usize);
        }
    }
    state_crc32_digest(x) {
        x.n[0] = state::crc32(x.bytes[0]) as usize;
        x.n[1] = state::digest(x.f[0]) as usize;
    }
}
