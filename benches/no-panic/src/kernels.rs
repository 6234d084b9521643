//! Kernels, numbers, groups and optimizers.

use super::*;

operations! {
    momentum_step(x) { let [g, v, w, ..] = &mut x.f; momentum::step::<Plain, _>(x.by, g, v, w); }
    momentum_tangent(x) {
        let [g, g_dot, v, v_dot, w, w_dot, ..] = &mut x.f;
        let (v, w) = (Moving { x: v, dot: v_dot }, Moving { x: w, dot: w_dot });
        momentum::tangent::<Plain, _>(x.by_dual, [g, g_dot], v, w);
    }
    momentum_adjoint(x) { let [a, b, c, ..] = &mut x.f; momentum::adjoint::<Plain, _>(x.by, a, b, c); }
    momentum_undo_weights(x) { let [a, b, ..] = &mut x.f; momentum::undo_weights::<Plain, _>(x.by, a, b); }
    momentum_undo_velocity(x) { let [a, b, ..] = &mut x.f; momentum::undo_velocity::<Plain, _>(x.by, a, b); }
    momentum_rows(x) {
        let [g, v, w, rates, momenta, ..] = &mut x.f;
        let by = momentum::RowSteps { columns: x.n[0], rates, rate_scale: x.x[0], momenta };
        momentum::step_rows::<Plain, _>(by, g, v, w);
        momentum::adjoint_rows::<Plain, _>(by, g, v, w);
    }
    nesterov_rows(x) {
        let [g, v, w, rates, momenta, ..] = &mut x.f;
        let by = momentum::RowSteps { columns: x.n[0], rates, rate_scale: x.x[0], momenta };
        nesterov::step_rows::<Plain, _>(by, g, v, w);
        nesterov::adjoint_rows::<Plain, _>(by, g, v, w);
    }
    nesterov_step(x) { let [g, v, w, ..] = &mut x.f; nesterov::step::<Plain, _>(x.by, g, v, w); }
    nesterov_tangent(x) {
        let [g, g_dot, v, v_dot, w, w_dot, ..] = &mut x.f;
        let (v, w) = (Moving { x: v, dot: v_dot }, Moving { x: w, dot: w_dot });
        nesterov::tangent::<Plain, _>(x.by_dual, [g, g_dot], v, w);
    }
    nesterov_adjoint(x) { let [a, b, c, ..] = &mut x.f; nesterov::adjoint::<Plain, _>(x.by, a, b, c); }
    nesterov_by_step(x) {
        let [a, b, c, d, ..] = &mut x.f;
        x.by = nesterov::by_step::<Plain, _>(x.by, a, b, c, d);
    }
    adam_new(x) {
        if let Some(by) = put(&mut x.failed, adam::Step::new(x.n[0], x.x[0], x.x[1], x.x[2], x.x[3], x.x[4])) {
            x.adam = by;
        }
    }
    adam_least_eps_and_check(x) {
        x.x[0] = adam::least_eps(x.x[1]);
        put(&mut x.failed, adam::check(x.x[1], x.x[2], x.x[3]));
    }
    adam_second_too_great(x) {
        let [g, n, ..] = &mut x.f;
        let by = x.adam;
        let after = g.iter().zip(n.iter()).map(|(g, n)| by.second::<Plain>(*g, *n));
        x.n[0] = adam::too_great(by, after).unwrap_or(0);
    }
    adam_step(x) { let [g, m, n, w, ..] = &mut x.f; adam::step::<Plain, _>(x.adam, g, m, n, w); }
    adam_tangent(x) {
        let [g, g_dot, m, m_dot, n, n_dot, w, w_dot, ..] = &mut x.f;
        let (m, n) = (Moving { x: m, dot: m_dot }, Moving { x: n, dot: n_dot });
        adam::tangent::<Plain, _>(x.adam_dual, [g, g_dot], m, n, Moving { x: w, dot: w_dot });
    }
    adam_adjoint(x) {
        let [g, m, n, a, b, c, d, ..] = &mut x.f;
        adam::adjoint::<Plain, _>(x.adam, adam::Before { g, m, n }, a, b, c, d);
    }
    adam_by_step(x) {
        let [g, m, n, a, b, c, ..] = &mut x.f;
        x.by = adam::by_step::<Plain, _>(x.adam, adam::Before { g, m, n }, a, b, c);
    }
    accumulate_add_scaled(x) { let [a, b, ..] = &mut x.f; accumulate::add_scaled::<Plain, _>(x.x[0], a, b); }
    accumulate_scale(x) { let [a, b, ..] = &mut x.f; accumulate::scale(x.x[0], a, b); }
    accumulate_add_outer(x) { let [a, b, c, ..] = &mut x.f; accumulate::add_outer::<Plain, _>(a, b, c); }
    accumulate_combine(x) { let [a, b, c, ..] = &mut x.f; accumulate::combine::<Plain, _>(a, b, c); }
    accumulate_scale_rows(x) { let [a, b, c, ..] = &mut x.f; accumulate::scale_rows(x.n[0], a, b, c); }
    accumulate_scale_rows_in_place(x) { let [a, b, ..] = &mut x.f; accumulate::scale_rows_in_place(x.n[0], a, b); }
    accumulate_add_scaled_rows(x) {
        let [a, b, c, ..] = &mut x.f;
        accumulate::add_scaled_rows::<Plain, _>(x.n[0], a, b, c);
    }
    accumulate_add_row_dots(x) {
        let [a, b, c, ..] = &mut x.f;
        accumulate::add_row_dots::<Plain, _>(x.n[0], a, b, c);
    }
    accumulate_add_scaled_products(x) {
        let [s, d, g, z, h_u, h_d, m, ..] = &mut x.f;
        accumulate::add_scaled_products::<Plain, _>(x.n[0], s, Factors { d, g, z, h_u }, h_d, m);
    }
    accumulate_add_row_sums(x) { let [a, b, ..] = &mut x.f; accumulate::add_row_sums(x.n[0], a, b); }
    accumulate_add_rows(x) { let [a, b, ..] = &mut x.f; accumulate::add_rows(a, b); }
    accumulate_repeat(x) { let [a, b, ..] = &mut x.f; accumulate::repeat(a, b); }
    accumulate_add_to_rows(x) { let [a, b, ..] = &mut x.f; accumulate::add_to_rows::<Plain, _>(x.x[0], a, b); }
    activation_exp(x) { let [a, b, ..] = &mut x.f; activation::exp::<Plain, _>(a, b); }
    activation_tanh(x) { activation::tanh::<Plain, _>(x.f[0]); }
    activation_tanh_adjoint(x) { let [a, b, ..] = &mut x.f; activation::tanh_adjoint::<Plain, _>(a, b); }
    activation_tanh_adjoint_r(x) {
        let [a, b, c, d, ..] = &mut x.f;
        activation::tanh_adjoint_r::<Plain, _>(a, b, c, d);
    }
    activation_softmax(x) { let [a, b, c, ..] = &mut x.f; activation::softmax::<Plain, _>(x.n[0], a, b, c); }
    accumulate_add_with_rest(x) { let [a, b, c, ..] = &mut x.f; accumulate::add_with_rest(a, b, c); }
    activation_softmax_r(x) { let [a, b, ..] = &mut x.f; activation::softmax_r::<Plain, _>(x.n[0], a, b); }
    interpolate_weights(x) { (x.x[0], x.x[1]) = interpolate::weights(x.n[0], x.n[1]); }
    interpolate_between(x) {
        let [a, b, c, ..] = &mut x.f;
        interpolate::between::<Plain, _>(x.n[0], x.n[1], a, b, c);
    }
    interpolate_bend(x) {
        let [a, b, c, d, e, ..] = &mut x.f;
        interpolate::bend::<Plain, _>([x.y[0], x.y[1]], x.n[0], [a, b], [c, d], e);
    }
    math_exp(x) { x.x[0] = math::exp::<Plain>(x.x[0]); }
    math_ln_1p(x) { x.x[0] = math::ln_1p::<Plain, f32>(x.x[0]); }
    math_ln(x) { x.x[0] = math::ln::<Plain>(x.x[0]); }
    math_tanh(x) { x.x[0] = math::tanh::<Plain>(x.x[0]); }
    math_probit(x) { x.x[0] = math::probit::<Plain>(x.x[0]); }
    math_coarse_exp(x) { x.x[0] = math::coarse::exp(x.x[0]); }
    math_coarse_ln(x) { x.x[0] = math::coarse::ln(x.x[0]); }
    math_coarse_tanh(x) { x.x[0] = math::coarse::tanh(x.x[0]); }
    math_coarse_sqrt(x) { x.x[0] = math::coarse::sqrt(x.x[0]); }
    math_sqrt(x) { x.x[0] = drmad::Scalar::sqrt(x.x[0]); }
    math_power(x) { x.x[0] = math::power(x.x[0], x.n[0] as u32); }
    matmul_required_len(x) { x.n[0] = product(x).required_len(); }
    matmul_run(x) {
        let product = product(x);
        let [a, b, c, packed, ..] = &mut x.f;
        put(&mut x.failed, product.run::<Plain, _>(a, b, c, packed));
    }
    matmul_reference(x) {
        let product = product(x);
        let [a, b, c, ..] = &mut x.f;
        put(&mut x.failed, matmul::reference::<Plain, _>(&product, a, b, c));
    }
    quantise_block(x) { x.n[0] = quantise::block(x.n[0] as u32); }
    quantise_words(x) { x.n[0] = quantise::words(x.n[0] as u32); }
    quantise_encode_3(x) { quantise::encode::<3>(x.f[0], x.words[0]); }
    quantise_encode_11(x) { quantise::encode::<11>(x.f[0], x.words[0]); }
    quantise_encode_255(x) { quantise::encode::<255>(x.f[0], x.words[0]); }
    quantise_decode_3(x) { quantise::decode::<3, Plain, _>(x.words[0], x.f[0]); }
    quantise_decode_11(x) { quantise::decode::<11, Plain, _>(x.words[0], x.f[0]); }
    quantise_decode_255(x) { quantise::decode::<255, Plain, _>(x.words[0], x.f[0]); }
    reduce_total(x) {
        let mut total = reduce::Total::default();
        total.add(x.x[0]);
        x.x[0] = total.value();
    }
    reduce_sum(x) { x.x[0] = reduce::sum(x.f[0]); }
    reduce_dot(x) { x.x[0] = reduce::dot::<Plain, _>(x.f[0], x.f[1]); }
    reduce_all_finite(x) { x.flag = reduce::all_finite(x.f[0]); }
    reduce_cosine(x) { x.y[0] = reduce::cosine(x.f[0], x.f[1]); }
    reduce_norm(x) { x.y[0] = reduce::norm(x.f[0]); }
    reversible_bits(x) {
        let bits = bits(x);
        x.out = [
            bits.greatest_weight(),
            bits.greatest_velocity(),
            bits.weight_unit(),
            bits.velocity_unit(),
        ];
    }
    reversible_ratio(x) {
        if let Some(ratio) = Ratio::nearest(x.y[0]) {
            x.out[0] = ratio.value();
            x.n = [ratio.n() as usize, ratio.d() as usize, ratio.grow(x.n[2] as u32) as usize, 0, 0, 0, 0, 0];
        }
    }
    reversible_turn(x) {
        if let Some(turn) = Turn::new(x.ratio, x.y[0], bits(x)) { x.turn = turn; }
    }
    reversible_step(x) {
        let [g, fw, fv, ..] = &mut x.f;
        let [w, v] = &mut x.ints;
        let fixed = Fixed { w, v, x: x.words[0] };
        x.flag = reversible::step(&x.turn, g, fixed, fw, fv).is_ok();
    }
    reversible_undo_move(x) {
        let [v, w] = &mut x.ints;
        reversible::undo_move(&x.turn, v, w, x.f[0]);
    }
    reversible_undo_kick(x) { reversible::undo_kick(&x.turn, x.f[0], x.ints[0], x.words[0]); }
    reversible_spill(x) { reversible::spill(x.words[0], x.bytes[0]); }
    reversible_refill(x) { reversible::refill(x.words[0], x.bytes[0]); }
    reversible_view(x) { reversible::view(x.y[0], x.ints[0], x.f[0]); }
    reversible_fix(x) { x.flag = reversible::fix(bits(x), x.f[0], x.ints[0]).is_ok(); }
    sparse_shifted(x) { let [a, b, c, ..] = &mut x.f; sparse::shifted::<Plain, _>(x.x[0], a, b, c); }
    sparse_product(x) {
        let [values, b, c, ..] = &mut x.f;
        sparse::product::<Plain, _>(Row { indices: x.shorts, values }, b, c);
    }
    sparse_outer(x) {
        let [values, b, c, ..] = &mut x.f;
        sparse::outer::<Plain, _>(Row { indices: x.shorts, values }, b, c);
    }

    dual_numbers(x) {
        let [a, b, c] = &mut x.duals;
        for ((a, b), c) in a.iter_mut().zip(b.iter()).zip(c.iter()) {
            *a = Dual::new(b.value(), c.tangent()) * *b / *c - *a;
        }
    }
    dual_softmax(x) { let [a, b, c, ..] = &mut x.duals; activation::softmax::<Plain, _>(x.n[0], a, b, c); }

    dispatch_level_widest_force(x) {
        use drmad::kernels::dispatch::{Level, force, level};
        let (now, widest) = (level(), Level::widest());
        x.flag = now.is_available();
        x.n[0] = now.name().len();
        put(&mut x.failed, force(widest));
    }

    groups_len_weights_blocks(x) {
        let groups = x.groups();
        x.n[0] = groups.len() + groups.weights();
        for block in groups.blocks() {
            let [a, b, c, d, ..] = &mut x.f;
            x.n[1] += block.of(a).len() + block.of_mut(b).len() + block.len();
            x.flag |= block.row_of(x.n[1]) == Some((x.n[2], x.n[3]));
            x.n[2] += block.hypers(c).len() + block.hypers_mut(d).len();
            x.flag |= block.is_empty() | groups.is_empty();
        }
    }
    groups_member_inputs(x) {
        let groups = x.groups();
        x.n[1] = groups.layout.inputs();
        if let Some(member) = groups.member(x.n[0]) {
            x.n[2] = text(&member);
        }
    }
    groups_map(x) { let result = x.groups().map(x.longs); put(&mut x.failed, result); }
    random_normal_fill(x) {
        let groups = x.groups();
        let [scales, out, ..] = &mut x.f;
        Normal { seed: x.n[0] as u64, groups, log_scales: scales }.fill(x.n[1], out);
    }
    random_normal_tangent(x) {
        let groups = x.groups();
        let [scales, a, b, ..] = &mut x.f;
        let normal = Normal { seed: x.n[0] as u64, groups, log_scales: scales };
        put(&mut x.failed, normal.tangent(x.n[1], a, b));
    }
    random_normal_adjoint(x) {
        let groups = x.groups();
        let [scales, a, b, c, ..] = &mut x.f;
        let normal = Normal { seed: x.n[0] as u64, groups, log_scales: scales };
        put(&mut x.failed, normal.adjoint(a, b, c));
    }
    random_batches_fill(x) {
        let result = x.batches().fill(x.n[3], x.words[0]);
        put(&mut x.failed, result);
    }
    random_mix(x) { x.n[1] = random::mix(x.n[0] as u64, &[x.n[1] as u64, x.n[2] as u64]) as usize; }
    random_choose(x) {
        let [pool, chosen, ..] = &mut x.words;
        put(&mut x.failed, random::choose(x.n[0] as u64, pool, chosen));
    }

    outer_sgd_step(x) { let [h, d, ..] = &mut x.f; put(&mut x.failed, Sgd { rate: x.x[0] }.step(h, d)); }
    outer_sign_step(x) { let [h, d, ..] = &mut x.f; put(&mut x.failed, Sign { rate: x.x[0] }.step(h, d)); }
    outer_adam_new_step(x) {
        let [h, d, m, v, ..] = &mut x.f;
        if let Some(mut adam) = put(&mut x.failed, Adam::new(x.x[0], m, v)) {
            adam.taken = x.n[0] as u32;
            put(&mut x.failed, adam.step(h, d));
        }
    }
    outer_projected_step(x) {
        let [h, d, ..] = &mut x.f;
        let onto = &[(x.n[0]..x.n[1], x.projection)];
        let mut outer = Projected { inner: Sgd { rate: x.x[0] }, onto };
        put(&mut x.failed, outer.step(h, d));
    }
    outer_projection_check(x) { put(&mut x.failed, x.projection.check(x.n[0])); }
    outer_projection_project(x) { put(&mut x.failed, x.projection.project(x.f[0])); }
    outer_parametrisation_value(x) { x.parametrisation.value::<Plain, _>(x.f[0]); }
    outer_parametrisation_invert(x) { put(&mut x.failed, x.parametrisation.invert::<Plain, _>(x.f[0])); }
    activation_relu(x) {
        activation::relu::<f32>(x.f[0]);
        let [y, d, ..] = &mut x.f;
        activation::relu_adjoint::<f32>(y, d);
    }
    outer_parametrisation_pull_back(x) {
        let [a, b, ..] = &mut x.f;
        put(&mut x.failed, x.parametrisation.pull_back(a, b));
    }
}

fn product(x: In<'_, '_>) -> MatMul {
    MatMul {
        form: x.form,
        rows: x.n[0],
        inner: x.n[1],
        columns: x.n[2],
        accumulate: x.flag,
    }
}

fn bits(x: In<'_, '_>) -> Bits {
    Bits {
        weight: x.n[0] as u32,
        velocity: x.n[1] as u32,
    }
}
