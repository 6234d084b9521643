// A whole training, and the sweep back over it (train.rs, sweep.rs, hypergradient.rs), by the heavy ball.
#pragma once
#include "path.cuh"

// What became of a replica.
enum Code : u32 {
    DONE,
    LOSS,              // these are no longer finite:
    LAST_WEIGHTS,
    VALID_LOSS,
    VALID_GRADIENT,
    DIRECT_TERM,
    ADJOINT,
    HYPERGRADIENT,
};

struct Status {
    u32 code, step;
    u32 bad;    // whether some thread has seen a number that is not finite
    u32 flag;   // what one thread decides for all
};

// One training with all that it needs; every pointer is to its own or to shared memory of the device.
struct Replica {
    Network net;
    Loss training, validation;
    Batches batches, sweep_batches;
    Schedule schedule;
    Path path;
    Vectors x;
    Scratch scratch;
    const float* h;
    float* losses;                 // of each step
    float* valid_loss;
    float *d_h, *d_rates, *d_momenta;  // the last two null where nobody asks for them
    Status* status;
    u32* arrived;                  // the team's barrier
    u32 steps, validated;

    __device__ bool wants_schedule() const { return d_rates != nullptr; }
};

// Whether all n numbers are finite. Followed by a barrier.
__device__ inline bool all_finite(Team& team, Status* status, const float* x, u32 n) {
    bool bad = false;
    team.each(n, [&](u32 i) { bad = bad || !finite(x[i]); });
    if (bad) status->bad = 1;
    team.sync();
    bool result = *(volatile u32*)&status->bad == 0;
    team.sync();
    return result;
}

__device__ inline void fail(const Team& team, Status* status, u32 code, u32 step) {
    if (team.leads()) {
        status->step = step;
        status->code = code;
    }
}

// v <- gamma v - (1 - gamma) g, w <- w + alpha v. Not followed by a barrier.
__device__ inline void move(const Team& team, const Schedule& schedule, u32 t, const float* g, float* v, float* w) {
    const float *rates = schedule.rates_of(t), *momenta = schedule.momenta_of(t);
    each_weight(team, schedule.groups, [&](u32 i, i32 j) {
        if (j < 0) return;
        float momentum = momenta[j];
        v[i] = mul_add(momentum - 1.0f, g[i], momentum * v[i]);
        w[i] = mul_add(rates[j], v[i], w[i]);
    });
}

// d_v <- d_v + alpha d_w, d_g <- -(1 - gamma) d_v, d_v <- gamma d_v. Not followed by a barrier.
__device__ inline void move_back(const Team& team, const Schedule& schedule, u32 t, float rate_scale, const float* d_w,
                                 float* d_v, float* d_g) {
    const float *rates = schedule.rates_of(t), *momenta = schedule.momenta_of(t);
    each_weight(team, schedule.groups, [&](u32 i, i32 j) {
        if (j < 0) return;
        float momentum = momenta[j], d = mul_add(rates[j] * rate_scale, d_w[i], d_v[i]);
        d_g[i] = (momentum - 1.0f) * d;
        d_v[i] = momentum * d;
    });
}

// w <- w - alpha v. Not followed by a barrier.
__device__ inline void undo_weights(const Team& team, const Schedule& schedule, u32 t, const float* v, float* w) {
    const float* rates = schedule.rates_of(t);
    each_weight(team, schedule.groups, [&](u32 i, i32 j) {
        if (j >= 0) w[i] = mul_add(-rates[j], v[i], w[i]);
    });
}

// v <- (v + (1 - gamma) g) / gamma. Not followed by a barrier.
__device__ inline void undo_velocity(const Team& team, const Schedule& schedule, u32 t, const float* g, float* v) {
    const float* momenta = schedule.momenta_of(t);
    each_weight(team, schedule.groups, [&](u32 i, i32 j) {
        if (j >= 0) v[i] = (1.0f / momenta[j]) * mul_add(1.0f - momenta[j], g[i], v[i]);
    });
}

__device__ inline void walk(Team& team, const Replica& r) {
    u32 p = r.net.weights;
    const Vectors& x = r.x;
    Course course = {0, false, 0, 0};
    team.each(p, [&](u32 i) {
        x.w[i] = x.w0[i];
        x.v[i] = 0.0f;
    });
    team.sync();
    for (u32 t = 0; t < r.steps; t += 1) {
        if (t == r.path.seen_from + r.path.tail_from) finish(team, r.path, course, p, x);
        record(team, r.path, course, p, t, x);
        float loss = gradient(team, r.net, r.training, r.batches, r.scratch, t, x.w, r.h, x.g, nullptr);
        if (team.leads()) {
            r.losses[t] = loss;
            if (!finite(loss)) r.status->flag = 1;
        }
        move(team, r.schedule, t, x.g, x.v, x.w);
        team.sync();
        if (*(volatile u32*)&r.status->flag) return fail(team, r.status, LOSS, t);
    }
    if (!all_finite(team, r.status, x.w, p) || !all_finite(team, r.status, x.v, p)) {
        return fail(team, r.status, LAST_WEIGHTS, r.steps);
    }
    if (r.path.seen_from + r.path.tail_from == r.steps) finish(team, r.path, course, p, x);
}

// The change of the weights in step t becomes the velocity after it. Not followed by a barrier.
__device__ inline void to_velocity(const Team& team, const Schedule& schedule, u32 t, float* v) {
    const float* rates = schedule.rates_of(t);
    each_weight(team, schedule.groups, [&](u32 i, i32 j) {
        if (j >= 0) v[i] = v[i] / rates[j];
    });
}

// The velocity before step t of the path on a straight piece of n steps. Not followed by a barrier.
__device__ inline void slope(Team& team, const Replica& r, u32 t, u32 n, const float* left, const float* right,
                             float* v) {
    u32 p = r.net.weights;
    if (t == 0) {
        team.each(p, [&](u32 i) { v[i] = 0.0f; });
        return;
    }
    team.each(p, [&](u32 i) { v[i] = (right[i] - left[i]) / (float)n; });
    // Weights change hands.
    team.sync();
    to_velocity(team, r.schedule, r.path.seen_from + t - 1, v);
}

// Runs step `t` of the training backwards, from `v` after it to the weights and velocity before. Followed by a
// barrier.
__device__ inline void undo(Team& team, const Replica& r, u32 t, float* w, float* v, float* g) {
    undo_weights(team, r.schedule, t, v, w);
    team.sync();
    gradient(team, r.net, r.training, r.sweep_batches, r.scratch, t, w, r.h, g, nullptr);
    undo_velocity(team, r.schedule, t, g, v);
    team.sync();
}

// Writes the weights before step s of the sweep, and the velocity where it is wanted. Followed by a barrier.
__device__ inline void recall(Team& team, const Replica& r, Course& course, u32 s) {
    const Path& path = r.path;
    const Vectors& x = r.x;
    u32 p = r.net.weights;
    bool wants_v = r.wants_schedule();
    // The step as the path counts.
    u32 t = path.spread ? s : path.first + s - path.seen_from;
    if (path.kind == REVERSED || (!path.spread && t >= path.tail_from)) {
        undo(team, r, path.seen_from + t, x.w, wants_v ? x.v : x.spare_a, x.spare_b);
        return;
    }
    if (!path.spread && t + 1 == path.tail_from && path.tail_from < path.seen()) {
        // The reversal has left here what its training ended with.
        if (wants_v) team.each(p, [&](u32 i) { x.spare_a[i] = x.v[i]; });
        team.sync();
        open(team, path, course, p, x);
    }
    switch (path.kind) {
    case TAPE: {
        const float* from = path.storage + (u64)t * p * (1 + path.slots);
        team.each(p, [&](u32 i) {
            x.w[i] = from[i];
            if (wants_v) x.v[i] = from[p + i];
        });
        break;
    }
    case CHECKPOINTS: {
        float *v = wants_v ? x.v : x.spare_a, *g = x.spare_b;
        while (course.taken > 0 && *(volatile u32*)&path.marks[course.taken - 1] > t) course.taken -= 1;
        u32 at = *(volatile u32*)&path.marks[course.taken - 1];
        const float* from = path.storage + (u64)(course.taken - 1) * p * (1 + path.slots);
        team.each(p, [&](u32 i) {
            x.w[i] = from[i];
            v[i] = from[p + i];
        });
        team.sync();
        while (at < t) {
            u32 next = next_snapshot(path, course.taken, at, t);
            for (; at < next; at += 1) {
                u32 step = path.seen_from + at;
                gradient(team, r.net, r.training, r.sweep_batches, r.scratch, step, x.w, r.h, g, nullptr);
                move(team, r.schedule, step, g, v, x.w);
                team.sync();
            }
            if (at < t) {
                store(team, path, p, course.taken, x.w, v);
                if (team.leads()) path.marks[course.taken] = at;
                course.taken += 1;
                team.sync();
            }
        }
        return;
    }
    case LINE: {
        u32 n = path.spread ? path.back : path.tail_from;
        between(team, p, t, n, x.spare_b, x.spare_a, x.w);
        if (wants_v) slope(team, r, t, path.spread ? path.trained : n, x.spare_b, x.spare_a, x.v);
        break;
    }
    case HATS: {
        while (course.interval > 0 && t < path.knots[course.interval]) {
            course.interval -= 1;
            course.swapped = !course.swapped;
            float *left = x.spare_a, *right = x.spare_b;
            ends(course.swapped, left, right);
            coefficients(team, path, p, course.interval, right, left, x.w0);
            team.sync();
        }
        u32 start = path.knots[course.interval], length = path.knots[course.interval + 1] - start;
        float *left = x.spare_a, *right = x.spare_b;
        ends(course.swapped, left, right);
        between(team, p, t - start, length, left, right, x.w);
        if (wants_v) slope(team, r, t, length, left, right, x.v);
        break;
    }
    default: break;
    }
    team.sync();
}

// Adds `rate_scale` times d_w . v of each group's members to its place of a table. Not followed by a barrier.
__device__ inline void add_by_rates(const Team& team, const Groups& groups, const float* d_w, const float* v,
                                    float rate_scale, float* table) {
    each_row(team, groups, table,
             [&](u32 i, u32, float sum) { return sum + rate_scale * (mul_add(d_w[i], v[i], 0.0f) + 0.0f); },
             [&](u32 i, u32 n, u32) { return rate_scale * dot(d_w + i, v + i, n); });
}

// Adds (d_g . v + d_g . g) / (momentum - 1) likewise.
__device__ inline void add_by_momenta(const Team& team, const Groups& groups, const float* d_g, const float* v,
                                      const float* g, const float* momenta, float* table) {
    each_row(team, groups, table,
             [&](u32 i, u32 j, float sum) {
                 float both = (mul_add(d_g[i], v[i], 0.0f) + 0.0f) + (mul_add(d_g[i], g[i], 0.0f) + 0.0f);
                 return sum + both / (momenta[j] - 1.0f);
             },
             [&](u32 i, u32 n, u32 j) { return (dot(d_g + i, v + i, n) + dot(d_g + i, g + i, n)) / (momenta[j] - 1.0f); });
}

__device__ inline void sweep(Team& team, const Replica& r) {
    u32 p = r.net.weights;
    const Vectors& x = r.x;
    const Path& path = r.path;
    if (*(volatile u32*)&r.status->code != DONE) return;
    // Without a backward pass there are no adjoints.
    if (!x.d_w) return;
    Batches examples = {nullptr, r.validated, r.validated};
    float valid_loss = gradient(team, r.net, r.validation, examples, r.scratch, 0, x.w, r.h, x.d_w, r.d_h);
    if (team.leads()) {
        *r.valid_loss = valid_loss;
        if (!finite(valid_loss)) r.status->flag = 1;
    }
    team.sync();
    if (*(volatile u32*)&r.status->flag) return fail(team, r.status, VALID_LOSS, r.steps);
    if (!all_finite(team, r.status, x.d_w, p)) return fail(team, r.status, VALID_GRADIENT, r.steps);
    if (!all_finite(team, r.status, r.d_h, r.training.hypers)) return fail(team, r.status, DIRECT_TERM, r.steps);
    if (path.back == 0) return;
    team.each(p, [&](u32 i) {
        if (x.spare_a != x.v) x.spare_a[i] = x.v[i];
        x.d_v[i] = 0.0f;
        x.d_g[i] = 0.0f;
    });
    if (r.wants_schedule()) {
        team.each(r.schedule.rates_len, [&](u32 j) { r.d_rates[j] = 0.0f; });
        team.each(r.schedule.momenta_len, [&](u32 j) { r.d_momenta[j] = 0.0f; });
    }
    team.sync();
    Course course = {0, false, 0, 0};
    // Of a path with a tail the backward pass begins with the tail, and that of the published line at once.
    if (path.spread || path.tail_from == path.seen()) open(team, path, course, p, x);
    for (u32 s = path.back; s-- > 0;) {
        u32 t = path.step(s);
        const float* momenta = r.schedule.momenta_of(t);
        float* d_rates = r.wants_schedule() ? r.d_rates + r.schedule.row(r.schedule.rates_len, t) : nullptr;
        float* d_momenta = r.wants_schedule() ? r.d_momenta + r.schedule.row(r.schedule.momenta_len, t) : nullptr;
        if (r.wants_schedule()) {
            // The velocity here is still that after the step.
            add_by_rates(team, r.schedule.groups, x.d_w, x.v, path.rate_scale, d_rates);
            team.sync();
        }
        recall(team, r, course, s);
        move_back(team, r.schedule, t, path.rate_scale, x.d_w, x.d_v, x.d_g);
        team.sync();
        float* g = r.wants_schedule() ? x.g : nullptr;
        products(team, r.net, r.training, r.sweep_batches, r.scratch, t, x.w, r.h, x.d_g, x.d_w, r.d_h, g,
                 &r.status->flag);
        if (r.wants_schedule()) {
            add_by_momenta(team, r.schedule.groups, x.d_g, x.v, x.g, momenta, d_momenta);
            team.sync();
        }
        if (!all_finite(team, r.status, x.d_w, p)) return fail(team, r.status, ADJOINT, t);
    }
    bool good = all_finite(team, r.status, r.d_h, r.training.hypers);
    if (good && r.wants_schedule()) {
        good = all_finite(team, r.status, r.d_rates, r.schedule.rates_len) &&
               all_finite(team, r.status, r.d_momenta, r.schedule.momenta_len);
    }
    if (!good) fail(team, r.status, HYPERGRADIENT, 0);
}
