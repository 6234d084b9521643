//! Objectives, whole: every model on every kind of examples, and every wrapper.

use super::*;

/// All that the trait has.
fn all<O: Objective>(x: In<'_, '_>, objective: &O) {
    let [w, h, g, d_h, scratch, d, h_d, m_d, w_dot, h_dot] = &mut x.f;
    let batch = &*x.words[0];
    let at = At { w, h, batch };
    if let Some(loss) = put(&mut x.failed, objective.loss(at, scratch)) {
        x.x[0] = loss;
    }
    let d_h = x.flag.then_some(&mut **d_h);
    if let Some(loss) = put(&mut x.failed, objective.gradient(at, g, d_h, scratch)) {
        x.x[1] = loss;
    }
    let g_wanted = x.flag.then_some(&mut **g);
    let out = Products {
        g: g_wanted,
        h_d,
        m_d,
    };
    put(&mut x.failed, objective.second_order(at, d, out, scratch));
    let along = Directions {
        count: x.n[7],
        w: w_dot,
        h: h_dot,
    };
    put(&mut x.failed, along.check(objective, g, h_d));
    for (w_dot, h_dot) in along.rows() {
        x.n[6] += w_dot.len() + h_dot.len();
    }
    put(
        &mut x.failed,
        objective.tangents(at, along, g, h_d, scratch),
    );
    x.n[0] = objective.weights()
        + objective.hypers()
        + objective.scratch_len()
        + objective.loss_scratch_len()
        + objective.second_order_scratch_len()
        + objective.tangents_scratch_len(x.n[1]);
    objective.visit_blocks(&mut |_, len| x.n[2] += len);
}

/// The same through a pointer, as a training calls it.
fn pointed(x: In<'_, '_>, objective: &dyn objective::Differentiable<Plain, f32>) {
    let [w, h, g, d_h, scratch, d, h_d, m_d, w_dot, h_dot] = &mut x.f;
    let batch = &*x.words[0];
    let at = At { w, h, batch };
    if let Some(loss) = put(&mut x.failed, objective.loss(at, scratch)) {
        x.x[0] = loss;
    }
    let d_h = x.flag.then_some(&mut **d_h);
    put(&mut x.failed, objective.gradient(at, g, d_h, scratch));
    let out = Products { g: None, h_d, m_d };
    put(&mut x.failed, objective.second_order(at, d, out, scratch));
    let along = Directions {
        count: x.n[7],
        w: w_dot,
        h: h_dot,
    };
    put(
        &mut x.failed,
        objective.tangents(at, along, g, h_d, scratch),
    );
    x.n = [
        objective.weights(),
        objective.hypers(),
        objective.scratch_len(),
        objective.loss_scratch_len(),
        objective.second_order_scratch_len(),
        objective.tangents_scratch_len(x.n[1]),
        0,
        0,
    ];
}

fn features<'s>(x: &[f32], labels: &'s [u8], width: usize) -> Features<'s> {
    // SAFETY: lives as long as the input, which outlives the objective.
    let x = unsafe { core::slice::from_raw_parts(x.as_ptr(), x.len()) };
    Features { x, labels, width }
}

/// The examples of an operation, taken out of its input.
fn given<'a>(x: In<'_, 'a>) -> (Features<'a>, &'a [usize], usize) {
    let (numbers, labels) = (
        core::mem::take(&mut x.f[9]),
        core::mem::take(&mut x.bytes[0]),
    );
    (features(numbers, labels, x.n[3]), x.widths, x.n[4])
}

/// The network on some examples.
fn net<'a, D: drmad::models::Examples>(
    x: In<'_, 'a>,
    examples: D,
    widths: &'a [usize],
    microbatch: usize,
) -> Option<Mlp<'a, D, Plain>> {
    put(
        &mut x.failed,
        Mlp::<_, Plain>::new(examples, widths, microbatch),
    )
}

fn all_of_net<'a, D: drmad::models::Examples>(x: In<'_, 'a>, examples: D) {
    let (widths, microbatch) = (x.widths, x.n[4]);
    if let Some(net) = net(x, examples, widths, microbatch) {
        let most = x.n[5];
        all(x, &net.with_batches_of(most));
    }
}

/// `(w_0 - h_0)^2` of however many there are.
struct First(usize, usize);

impl drmad::objective::Loss for First {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        self.0
    }

    fn hypers(&self) -> usize {
        self.1
    }

    fn loss<S: drmad::Scalar>(&self, at: At<'_, S>) -> Result<S, Error> {
        let (Some(w), Some(h)) = (at.w.first(), at.h.first()) else {
            return Err(Error::EmptyBatch);
        };
        Ok((*w - *h) * (*w - *h))
    }
}

operations! {
    by_loss(x) {
        let objective = ByLoss(First(x.n[3], x.n[4]));
        x.n[5] = drmad::objective::gradient_len(x.n[3], x.n[4]);
        all(x, &objective);
    }
    network_check(x) {
        let network = Network { inputs: x.n[0], layers: x.layers, loss: x.loss };
        put(&mut x.failed, network.check());
        let dense = network.layout().dense(x.n[1]);
        x.n[2] = network.weights() + network.outputs() + dense.map_or(0, |dense| dense.outputs);
    }
    mlp_of_a_network(x) {
        let (examples, ..) = given(x);
        let network = Network { inputs: x.n[3], layers: x.layers, loss: x.loss };
        let microbatch = x.n[4];
        if let Some(net) = put(&mut x.failed, Mlp::<_, Plain>::of(network, examples, microbatch)) {
            all(x, &net);
        }
    }
    described_network(x) {
        let (examples, ..) = given(x);
        let training = x.training();
        if let Some(losses) = put(&mut x.failed, training.losses::<Plain>(&examples, &examples)) {
            let on = losses.on::<f32>();
            x.n[1] = on.training.weights() + losses.validation.pointer::<f32>().hypers();
            let [w, outputs, scratch, h, ..] = &mut x.f;
            put(&mut x.failed, losses.validation.predict(w, x.words[0], outputs, scratch));
            put(&mut x.failed, training.predict(&losses.validation, h, w, outputs, scratch));
            if let Some(loss) = put(&mut x.failed, training.loss::<Plain>(&examples)) {
                all(x, &loss);
            }
            if let Some(loss) = put(&mut x.failed, training.validation_loss::<Plain>(&examples)) {
                all(x, &loss);
            }
        }
    }
    described_network_of_examples(x) {
        let (examples, ..) = given(x);
        let training = x.training();
        if let Some([loss, validation]) = put(&mut x.failed, training.losses_of::<Plain, _>(examples, examples)) {
            all(x, &loss);
            all(x, &validation);
        }
    }
    quadratic(x) {
        let curvatures = core::mem::take(&mut x.f[9]);
        all(x, &Quadratic::<Plain>::new(curvatures));
    }
    logistic(x) {
        let (examples, _, classes) = given(x);
        if let Some(logistic) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            let most = x.n[5];
            all(x, &logistic.with_batches_of(most));
        }
    }
    mlp_on_features(x) { let (examples, ..) = given(x); all_of_net(x, examples); }
    mlp_on_pixels(x) {
        let [bytes, labels, _] = core::mem::take(&mut x.bytes);
        let chosen = core::mem::take(&mut x.words[4]);
        let examples = Pixels { bytes, labels, width: x.n[3], chosen, mean: x.x[0] };
        all_of_net(x, examples);
    }
    mlp_on_sparse_pixels(x) {
        let [bytes, labels, _] = core::mem::take(&mut x.bytes);
        let [_, _, _, starts, chosen] = core::mem::take(&mut x.words);
        let indices = core::mem::take(&mut x.shorts);
        if let Some(images) = put(&mut x.failed, SparseImages::new(x.n[3], starts, indices, bytes)) {
            let examples = SparsePixels { images, labels, chosen, mean: x.x[0] };
            all_of_net(x, examples);
        }
    }
    mlp_on_weighted(x) {
        let (inner, ..) = given(x);
        all_of_net(x, Weighted { inner });
    }
    mlp_on_soft_labels(x) {
        let (inner, ..) = given(x);
        let classes = x.n[5];
        all_of_net(x, SoftLabels { inner, classes });
    }
    mlp_on_smoothed(x) {
        let (inner, ..) = given(x);
        let (classes, by_label) = (x.n[5], x.flag);
        all_of_net(x, Smoothed { inner, classes, by_label });
    }
    mlp_on_learned_inputs(x) { let (inner, ..) = given(x); all_of_net(x, LearnedInputs { inner }); }
    mlp_on_examples_beside(x) {
        let (inner, ..) = given(x);
        let hypers = x.n[5];
        all_of_net(x, Beside { inner, hypers });
    }
    network_scratch_len(x) {
        let inputs = if x.flag { Inputs::Sparse } else { Inputs::Given };
        let network = Pass { layout: Layout::Layers(x.widths), microbatch: x.n[0], inputs };
        x.n[1] = network.weights();
        x.n[2] = network.scratch_len();
        x.n[3] = network.second_order_scratch_len();
        x.n[5] = network.sums_len(x.n[0], x.n[1], x.n[2]);
        x.n[4] = objective::dual_required_len(x.n[0], x.n[1], x.n[2]);
    }
    mlp_predict(x) {
        let (examples, widths, microbatch) = given(x);
        if let Some(net) = net(x, examples, widths, microbatch) {
            let [w, out, scratch, ..] = &mut x.f;
            put(&mut x.failed, net.predict(w, x.words[0], out, scratch));
            x.n[0] = net.layout().weights() + net.examples().width;
        }
    }
    sparse_images_pack_get(x) {
        let [_, _, _, starts, _] = core::mem::take(&mut x.words);
        let [images, bytes, _] = core::mem::take(&mut x.bytes);
        let indices = core::mem::take(&mut x.shorts);
        x.n[0] = SparseImages::required_len(images);
        if let Some(images) = put(&mut x.failed, SparseImages::pack(x.n[1], images, starts, indices, bytes)) {
            x.n[1] = images.len() + images.width();
            x.flag = images.is_empty();
            if let Some((indices, bytes)) = put(&mut x.failed, images.get(x.n[2])) {
                x.n[2] = indices.len() + bytes.len();
            }
        }
    }
    wrap_l2_tuned(x) {
        let (examples, _, classes) = given(x);
        let strength = Strength::Tuned(x.groups());
        if let Some(inner) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            all(x, &L2::new(inner, strength));
        }
    }
    wrap_l1_tuned(x) {
        let (examples, _, classes) = given(x);
        let strength = Strength::Tuned(x.groups());
        if let Some(inner) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            all(x, &L1::new(inner, strength));
        }
    }
    wrap_scaled(x) {
        let (examples, _, classes) = given(x);
        let groups = x.groups();
        if let Some(inner) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            all(x, &Scaled { inner, groups });
        }
    }
    wrap_psd(x) {
        let (examples, _, classes) = given(x);
        if let Some(inner) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            all(x, &DropNegativeCurvature { inner });
        }
    }
    wrap_coupled(x) {
        let (examples, _, classes) = given(x);
        let coupling = x.coupling;
        x.n[7] = x.tasks.len() + x.tasks.couplings();
        x.flag = x.tasks.is_empty();
        x.n[6] = x.tasks.coupling(x.n[0], x.n[1]).unwrap_or(0);
        if let Some(inner) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            all(x, &Coupled { inner, coupling });
        }
    }
    objective_through_a_pointer(x) {
        let (examples, _, classes) = given(x);
        if let Some(objective) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            pointed(x, &objective);
        }
    }
    objective_by_dual_numbers(x) {
        let (examples, _, classes) = given(x);
        if let Some(objective) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            let [w, h, d, h_d, m_d, scratch, ..] = &mut x.f;
            let at = At { w, h, batch: x.words[0] };
            let out = Products { g: None, h_d, m_d };
            put(&mut x.failed, objective::by_dual_numbers(&objective, at, d, out, scratch));
            x.n[0] = objective::dual_scratch_len(&objective);
        }
    }
    objective_tangents_by_dual_numbers(x) {
        let (examples, _, classes) = given(x);
        if let Some(objective) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            let [w, h, w_dot, h_dot, g, g_dot, scratch, ..] = &mut x.f;
            let at = At { w, h, batch: x.words[0] };
            let along = Directions { count: x.n[7], w: w_dot, h: h_dot };
            put(
                &mut x.failed,
                objective::tangents_by_dual_numbers(&objective, at, along, g, g_dot, scratch),
            );
        }
    }
    check_objective(x) {
        let (examples, _, classes) = given(x);
        if let Some(objective) = put(&mut x.failed, Logistic::<_, Plain>::new(examples, classes)) {
            let [d, e, q, scratch, w] = &mut x.wide;
            let at = At { w, h: &[], batch: x.words[0] };
            let probes = Probes { d, e, q, step: x.y[0] };
            x.n[0] = check::required_len(&objective);
            put(
                &mut x.failed,
                check::objective(&objective, at, probes, scratch, &mut |deviation| {
                    x.y[1] += deviation.error();
                }),
            );
        }
    }
}
