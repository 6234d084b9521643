// An entry point for each kernel that golden vectors are of: buffers go in and come out in the order of the
// vector's file (docs/porting.md), and a team computes them, by the very functions that the replicas use. What they
// read and write of the buffers is what check.rs has in its table: whoever changes one changes the other.
#pragma once
#include "run.cuh"

struct Buffer {
    u64 address;
    u32 count, unused;
};

struct Vector {
    const Buffer *in, *out;
    u32* arrived;
    u32 blocks, unused;
};

// What an entry point sees of a vector.
struct Case {
    const Vector& vector;
    __device__ float* f(u32 i) const { return (float*)vector.in[i].address; }
    __device__ u32* u(u32 i) const { return (u32*)vector.in[i].address; }
    __device__ float* to(u32 i) const { return (float*)vector.out[i].address; }
    __device__ u32* to_words(u32 i) const { return (u32*)vector.out[i].address; }
    __device__ u32 count(u32 i) const { return vector.in[i].count; }
};

#define CHECK(name) \
    __device__ void name##_of(Team& team, const Case& x); \
    extern "C" __global__ void BOUNDED check_##name(const void* args) { \
        const Vector& vector = *(const Vector*)args; \
        Team team(vector.blocks, vector.arrived); \
        name##_of(team, Case{vector}); \
    } \
    __device__ void name##_of(Team& team, const Case& x)

__device__ inline void copy(const Team& team, u32 n, const float* x, float* y) {
    team.each(n, [&](u32 i) { y[i] = x[i]; });
}

// One group of all n weights, whose rate and momentum are the first two inputs.
__device__ inline Schedule one_step(const Case& x, const Block& all) {
    return {{&all, 1, 1}, x.f(0), x.f(1), 1, 1};
}

CHECK(momentum_step) {
    u32 n = x.count(2);
    Block all = {0, 1, n, 0};
    copy(team, n, x.f(3), x.to(0));
    copy(team, n, x.f(4), x.to(1));
    team.sync();
    move(team, one_step(x, all), 0, x.f(2), x.to(0), x.to(1));
}

CHECK(momentum_adjoint) {
    u32 n = x.count(2);
    Block all = {0, 1, n, 0};
    copy(team, n, x.f(3), x.to(0));
    team.sync();
    move_back(team, one_step(x, all), 0, 1.0f, x.f(2), x.to(0), x.to(1));
}

CHECK(momentum_undo) {
    u32 n = x.count(2);
    Block all = {0, 1, n, 0};
    copy(team, n, x.f(4), x.to(0));
    copy(team, n, x.f(3), x.to(1));
    team.sync();
    undo_weights(team, one_step(x, all), 0, x.f(3), x.to(0));
    undo_velocity(team, one_step(x, all), 0, x.f(2), x.to(1));
}

CHECK(between) {
    u32 i = x.u(0)[0], n = x.u(1)[0];
    if (team.leads()) {
        Ends ends(i, n);
        x.to(0)[0] = ends.a, x.to(0)[1] = ends.b;
    }
    between(team, x.count(2), i, n, x.f(2), x.f(3), x.to(1));
}

CHECK(exp) {
    team.each(x.count(0), [&](u32 i) { x.to(0)[i] = exp_of(x.f(0)[i]); });
}

CHECK(ln) {
    team.each(x.count(0), [&](u32 i) { x.to(0)[i] = ln_of(x.f(0)[i]); });
}

CHECK(tanh) {
    team.each(x.count(0), [&](u32 i) { x.to(0)[i] = tanh_of(x.f(0)[i]); });
}

CHECK(tanh_adjoint) {
    team.each(x.count(0), [&](u32 i) {
        float y = x.f(0)[i], r_y = x.f(1)[i], d = x.f(2)[i], r_d = x.f(3)[i];
        x.to(0)[i] = d * tanh_slope(y);
        x.to(1)[i] = tanh_adjoint_r(y, r_y, d, r_d);
    });
}

CHECK(softmax) {
    u32 classes = x.u(0)[0], rows = x.count(1) / classes;
    team.each(rows, [&](u32 e) {
        float *z = x.to(0) + e * classes, *p = x.to(1) + e * classes, *r = x.to(3) + e * classes;
        for (u32 k = 0; k < classes; k += 1) z[k] = x.f(1)[e * classes + k];
        x.to(2)[e] = softmax_row(z, p, classes);
        softmax_row_r(p, x.f(2) + e * classes, classes, r);
    });
}

// sum, dot, norm and cosine (which are the host's), all_finite.
CHECK(reduce) {
    u32 n = x.count(0);
    const float *a = x.f(0), *b = x.f(1);
    if (team.rank < LANES) {
        float sum = lanes(n, [&](u32 i, float sum) { return sum + a[i]; }), both = dot(a, b, n);
        if (team.leads()) {
            x.to(0)[0] = sum;
            x.to(1)[0] = both;
        }
    }
    team.each(n, [&](u32 i) {
        if (!finite(b[i])) x.to_words(4)[0] = 0;
    });
}

CHECK(all_finite) {
    team.each(x.count(0), [&](u32 i) {
        if (!finite(x.f(0)[i])) x.to_words(0)[0] = 0;
    });
}

CHECK(matmul) {
    u32 form = x.u(0)[0];
    Shape shape = {x.u(1)[0], x.u(2)[0], x.u(3)[0]};
    Operands operands = {x.f(4), x.f(5)};
    const float* c = x.f(6);
    // Both ways, which must agree: where they do not, what comes out is no number.
    for (u32 accumulate = 0; accumulate < 2; accumulate += 1) {
        float* to = x.to(1 - accumulate);
        auto start = [&](u32 i, u32 j) { return accumulate ? c[i * shape.columns + j] : 0.0f; };
        auto put = [&](u32 i, u32 j, float sum) { to[i * shape.columns + j] = sum; };
        auto compare = [&](u32 i, u32 j, float sum) {
            if (__float_as_uint(to[i * shape.columns + j]) != __float_as_uint(sum)) {
                to[i * shape.columns + j] = __uint_as_float(0x7fc00000u);
            }
        };
        if (form == NN) small_product<NN>(team, shape, &operands, 1, start, put);
        if (form == TN) small_product<TN>(team, shape, &operands, 1, start, put);
        if (form == NT) small_product<NT>(team, shape, &operands, 1, start, put);
        team.sync();
        if (form == NN) large_product<NN>(team, shape, &operands, 1, start, compare);
        if (form == TN) large_product<TN>(team, shape, &operands, 1, start, compare);
        if (form == NT) large_product<NT>(team, shape, &operands, 1, start, compare);
        team.sync();
    }
}

CHECK(by_rows) {
    u32 columns = x.u(0)[0], rows = x.count(1), n = rows * columns;
    const float *a = x.f(1), *h = x.f(2), *z = x.f(3), *y = x.f(4), *d = x.f(5), *h_u = x.f(6);
    Block block = {0, rows, columns, 0};
    Groups groups = {&block, 1, rows};
    copy(team, n, y, x.to(1));
    for (u32 k = 2; k < 6; k += 1) copy(team, k == 4 ? n : rows, k == 4 ? y : h, x.to(k));
    team.sync();
    scaled(team, groups, a, z, x.to(0));
    each_weight(team, groups, [&](u32 i, i32 j) { x.to(1)[i] = mul_add(a[j], z[i], x.to(1)[i]); });
    add_row_dots(team, groups, z, y, x.to(2));
    each_row(team, groups, x.to(3), [&](u32 i, u32, float sum) { return sum + z[i]; },
             [&](u32 i, u32 n, u32) { return lanes(n, [&](u32 k, float sum) { return sum + z[i + k]; }); });
    add_scaled_products(team, groups, a, {d, y, z, h_u}, x.to(4), x.to(5));
}

CHECK(quantise) {
    Digits digits(x.u(0)[0]);
    u32 n = x.count(1);
    if (team.leads()) encode(digits, x.f(1), n, x.to_words(0));
    team.sync();
    team.each(n, [&](u32 i) { x.to(1)[i] = decoded(digits, x.to_words(0), i, x.f(2)[i]); });
}
