// What an experiment minimises: the network, of scaled weights or not (wrap/scaled.rs), with a penalty or not
// (wrap/penalty.rs), products of negative curvature dropped or not (wrap/curvature.rs).
//
// Its hyperparameters are those of the examples, then the scales, then the coefficients of the penalty.
#pragma once
#include "network.cuh"

enum Penalty : u32 { NONE, FIXED, TUNED };

struct Loss {
    Examples examples;
    Groups scales;     // none of them: plain weights
    Groups penalised;  // of a fixed penalty each block is one row, and all share hyperparameter 0
    u32 penalty;
    float coefficient;
    u32 hypers;
    u32 drop_negative_curvature;

    __device__ bool scaled() const { return scales.count > 0; }
    // Where its parts lie in h.
    __device__ u32 at_scales() const { return examples.hypers; }
    __device__ u32 at_penalty() const { return examples.hypers + scales.hypers; }
    __device__ float strength(const float* h, i32 j) const {
        return penalty == FIXED ? coefficient : h[at_penalty() + j];
    }
};

// Which examples are looked at: of a step, in an order for each epoch (random.rs), or the first ones.
struct Batches {
    const u64* epochs;  // stride and offset of each epoch; null for the first examples
    u32 size, examples;
};

// Writes the examples `first ..` of step t to the scratch. Followed by a barrier.
__device__ inline void take_examples(Team& team, const Images& images, const Batches& batches, const Scratch& s, u32 t,
                                     u32 first, u32 n) {
    team.each(n, [&](u32 e) {
        u64 k = first + e;
        if (batches.epochs) {
            u64 all = batches.examples, global = (u64)t * batches.size + k, epoch = global / all;
            k = (global % all * batches.epochs[2 * epoch] + batches.epochs[2 * epoch + 1]) % all;
        }
        s.example[e] = (u32)k;
        s.image[e] = images.chosen[k];
    });
    team.sync();
}

// f(piece) for each piece of a batch, and close() after each block; what is closed is there for all threads.
template <class F, class Close>
__device__ __forceinline__ void each_piece(Team& team, const Network& net, const Images& images, const Batches& batches,
                                           const Scratch& s, u32 t, F f, Close close) {
    float share = 1.0f / (float)batches.size;
    bool blocks = batches.size > BLOCK;
    for (u32 start = 0; start < batches.size; start += BLOCK) {
        u32 left = batches.size - start, end = start + (left < BLOCK ? left : BLOCK);
        for (u32 first = start; first < end; first += net.microbatch) {
            u32 n = end - first < net.microbatch ? end - first : net.microbatch;
            Piece piece = {n, share, first == start, !blocks && first + n == end};
            take_examples(team, images, batches, s, t, first, piece.n);
            f(piece);
        }
        if (blocks) {
            close();
            team.sync();
        }
    }
}

// The scaled vector x of weights. Not followed by a barrier.
__device__ inline void scaled(const Team& team, const Groups& groups, const float* scales, const float* x, float* y) {
    each_weight(team, groups, [&](u32 i, i32 j) { y[i] = j < 0 ? x[i] : scales[j] * x[i]; });
}

__device__ inline void rescale(const Team& team, const Groups& groups, const float* scales, float* x) {
    each_weight(team, groups, [&](u32 i, i32 j) {
        if (j >= 0) x[i] = scales[j] * x[i];
    });
}

// h_j += x . y over the members of group j. Not followed by a barrier.
__device__ inline void add_row_dots(const Team& team, const Groups& groups, const float* x, const float* y, float* h) {
    each_row(team, groups, h, [&](u32 i, u32, float sum) { return mul_add(x[i], y[i], sum); },
             [&](u32 i, u32 n, u32) { return dot(x + i, y + i, n); });
}

struct Factors {
    const float *d, *g, *z, *h_u;
};

// h_d += s h_u and m_j += d . g + z . h_u, by groups with the scales s. Not followed by a barrier.
__device__ inline void add_scaled_products(const Team& team, const Groups& groups, const float* scales,
                                           const Factors& of, float* h_d, float* m) {
    auto term = [&](u32 i, float sum) { return mul_add(of.z[i], of.h_u[i], mul_add(of.d[i], of.g[i], sum)); };
    each_row(team, groups, m, [&](u32 i, u32, float sum) { return term(i, sum); },
             [&](u32 i, u32 n, u32) { return lanes(n, [&](u32 k, float sum) { return term(i + k, sum); }); });
    each_weight(team, groups, [&](u32 i, i32 j) {
        h_d[i] = j < 0 ? h_d[i] + of.h_u[i] : mul_add(scales[j], of.h_u[i], h_d[i]);
    });
}

// Writes the gradient at `z` to `g`, and where `d_h` is not null that by the hyperparameters to it. The leading
// thread gets the loss. Followed by a barrier.
CALLED float gradient(Team& team, const Network& net, const Loss& loss, const Batches& batches,
                                 const Scratch& s, u32 t, const float* z, const float* h, float* g, float* d_h) {
    const float* scales = h + loss.at_scales();
    u32 coefficients = loss.penalty == FIXED ? 1 : loss.penalised.hypers;
    if (loss.scaled()) scaled(team, loss.scales, scales, z, s.w);
    if (loss.penalty != NONE) team.each(coefficients, [&](u32 j) { s.penalties[j] = 0.0f; });
    if (d_h) team.each(loss.hypers, [&](u32 j) { d_h[j] = 0.0f; });
    bool blocks = batches.size > BLOCK;
    Sum sum_g(g, s.block_g, s.rest_g, net.weights, blocks);
    Sum sum_d_h(d_h, s.block_d_h, s.rest_d_h, loss.examples.hypers, blocks);
    sum_g.open(team);
    sum_d_h.open(team);
    if (blocks) team.each(net.weights, [&](u32 i) { g[i] = 0.0f; });
    // The pieces' examples come with a barrier.
    Total running = {0.0f, 0.0f};
    const float* w = loss.scaled() ? s.w : z;
    each_piece(
        team, net, loss.examples.images, batches, s, t,
        [&](const Piece& piece) {
            gradient_of_piece(team, net, loss.examples, s, piece, w, h, sum_g.here(), sum_d_h.here(), running);
        },
        [&] {
            sum_g.close(team);
            sum_d_h.close(team);
        });
    if (blocks) {
        sum_g.finish(team);
        sum_d_h.finish(team);
        team.sync();
        subtract_mean(team, net, loss.examples, g);
        team.sync();
    }
    float value = running.value() * (1.0f / (float)batches.size);
    if (loss.scaled()) {
        if (d_h) {
            add_row_dots(team, loss.scales, z, g, d_h + loss.at_scales());
            team.sync();
        }
        rescale(team, loss.scales, scales, g);
        team.sync();
    }
    if (loss.penalty != NONE) {
        each_weight(team, loss.penalised, [&](u32 i, i32 j) {
            if (j >= 0) g[i] = mul_add(loss.strength(h, j), z[i] + z[i], g[i]);
        });
        each_row(team, loss.penalised, s.penalties, [&](u32 i, u32, float sum) { return sum + z[i] * z[i]; },
                 [&](u32 i, u32 n, u32) {
                     return lanes(n, [&](u32 k, float sum) { return sum + z[i + k] * z[i + k]; });
                 });
        team.sync();
        if (team.rank < LANES) {
            float total = lanes(coefficients, [&](u32 j, float sum) {
                return mul_add(loss.strength(h, (i32)j), s.penalties[j], sum);
            });
            value = value + total;
        }
        if (d_h && loss.penalty == TUNED) {
            team.each(coefficients, [&](u32 j) { d_h[loss.at_penalty() + j] = s.penalties[j]; });
        }
        team.sync();
    }
    return value;
}

// Adds `H d` to `h_d` and `M d` to `m_d`, and where `g` is not null writes the gradient to it. Followed by a barrier.
CALLED void products(Team& team, const Network& net, const Loss& loss, const Batches& batches,
                                const Scratch& s, u32 t, const float* z, const float* h, const float* d, float* h_d,
                                float* m_d, float* g, u32* flag) {
    const float* scales = h + loss.at_scales();
    float* sum = loss.drop_negative_curvature ? s.dropped : h_d;
    if (loss.drop_negative_curvature) team.each(net.weights, [&](u32 i) { sum[i] = 0.0f; });
    const float *w = z, *u = d;
    float *h_u = sum, *inner_g = g;
    if (loss.scaled()) {
        w = s.w, u = s.u, h_u = s.h_u;
        if (!g) inner_g = s.g;
        scaled(team, loss.scales, scales, z, s.w);
        scaled(team, loss.scales, scales, d, s.u);
        team.each(net.weights, [&](u32 i) { s.h_u[i] = 0.0f; });
    }
    bool blocks = batches.size > BLOCK;
    Sum sum_g(inner_g, s.block_g, s.rest_g, net.weights, blocks);
    Sum sum_h_d(h_u, s.block_h_d, s.rest_h_d, net.weights, blocks);
    Sum sum_m_d(m_d, s.block_d_h, s.rest_d_h, loss.examples.hypers, blocks);
    sum_g.open(team);
    sum_h_d.open(team);
    sum_m_d.open(team);
    if (blocks && inner_g) team.each(net.weights, [&](u32 i) { inner_g[i] = 0.0f; });
    each_piece(
        team, net, loss.examples.images, batches, s, t,
        [&](const Piece& piece) {
            products_of_piece(team, net, loss.examples, s, piece, w, h, u, sum_h_d.here(), sum_m_d.here(),
                              sum_g.here());
        },
        [&] {
            sum_g.close(team);
            sum_h_d.close(team);
            sum_m_d.close(team);
        });
    if (blocks) {
        sum_g.finish(team);
        sum_h_d.finish(team);
        sum_m_d.finish(team);
        team.sync();
        if (inner_g) subtract_mean(team, net, loss.examples, inner_g);
        team.sync();
    }
    if (loss.scaled()) {
        add_scaled_products(team, loss.scales, scales, {d, inner_g, z, h_u}, sum, m_d + loss.at_scales());
        team.sync();
        if (g) {
            rescale(team, loss.scales, scales, g);
            team.sync();
        }
    }
    if (loss.penalty != NONE) {
        each_weight(team, loss.penalised, [&](u32 i, i32 j) {
            if (j < 0) return;
            float c = loss.strength(h, j);
            if (g) g[i] = mul_add(c, z[i] + z[i], g[i]);
            sum[i] = mul_add(c, 2.0f * d[i], sum[i]);
        });
        if (loss.penalty == TUNED) {
            each_row(team, loss.penalised, m_d + loss.at_penalty(),
                     [&](u32 i, u32, float m) { return mul_add(z[i] + z[i], d[i], m); },
                     [&](u32 i, u32 n, u32) {
                         return lanes(n, [&](u32 k, float m) { return mul_add(z[i + k] + z[i + k], d[i + k], m); });
                     });
        }
        team.sync();
    }
    if (loss.drop_negative_curvature) {
        if (team.rank < LANES) {
            float curvature = dot(d, sum, net.weights);
            if (team.leads()) *flag = curvature < 0.0f;
        }
        team.sync();
        bool dropped = *(volatile u32*)flag;
        team.sync();
        if (!dropped) team.each(net.weights, [&](u32 i) { h_d[i] = h_d[i] + sum[i]; });
        team.sync();
    }
}
