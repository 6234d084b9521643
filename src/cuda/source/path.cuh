// Where were the weights at step t? The paths of path/*.rs, which have their mathematics.
//
// All threads of a team follow the same course: what a path keeps count of is in each thread's registers, and
// its vectors are the team's.
#pragma once
#include "loss.cuh"

enum Kind : u32 { TAPE, CHECKPOINTS, LINE, HATS, REVERSED };

// The schedule of the heavy ball: a table has a number for each group, or for each step and group.
struct Schedule {
    Groups groups;
    const float* rates;
    const float* momenta;
    u32 rates_len, momenta_len;

    __device__ u32 row(u32 len, u32 t) const { return len == groups.hypers ? 0 : t * groups.hypers; }
    __device__ const float* rates_of(u32 t) const { return rates + row(rates_len, t); }
    __device__ const float* momenta_of(u32 t) const { return momenta + row(momenta_len, t); }
};

struct Path {
    float* storage;       // of the tape and the checkpoints; of hats in full
    u32* codes;           // of quantised hats
    u32* marks;           // of the checkpoints: the step of each snapshot
    const u32* knots;     // of hats: K + 1 steps
    const float* factors; // of hats: K + 1 of each: u, what b and what the row before is multiplied by
    u32 kind;
    u32 trained;          // the steps of the training
    u32 back;             // those that the sweep takes
    u32 first;            // the first of them that is taken back where they are the last ones (`spread` 0)
    u32 spread;           // 0: the last steps; 1: the first ones, of the published line
    u32 seen_from;        // the first step that the path sees
    u32 tail_from;        // the step, of those that it sees, from which on it runs backwards
    float rate_scale;
    u32 slots;            // vectors of what the optimizer remembers, beside the weights
    u32 snapshots, intervals, levels;

    __device__ u32 seen() const { return trained - seen_from; }
    // The step of the training that step s of the sweep takes back.
    __device__ u32 step(u32 s) const { return spread ? s : first + s; }
};

// Takes a training step, or its gradient, again; the vectors of the team.
struct Vectors {
    float *w, *v, *g, *d_w, *d_v, *d_g;
    float *spare_a, *spare_b;  // in the sweep; while training the adjoints serve
    const float* w0;
};

// ---- quantised rows (kernels/quantise.rs, path/rows.rs)

constexpr float MAGIC = 12582912.0f;
constexpr u32 MOST = 88;

struct Digits {
    u32 levels, in_a_word, packed;
    __device__ explicit Digits(u32 levels) : levels(levels) {
        in_a_word = levels == 3 ? 20 : levels == 7 ? 11 : levels == 11 ? 9 : levels == 15 ? 8 : 4;
        packed = (79 / in_a_word) + 1;
    }
    __device__ u32 block() const { return packed * in_a_word; }
    __device__ u32 words() const { return packed + 1; }
};

// Block `b` of row k, from 1.
__device__ __forceinline__ u32* code_of(const Path& path, const Digits& digits, u32 weights, u32 k, u32 b) {
    u32 blocks = (weights + digits.block() - 1) / digits.block();
    return path.codes + ((u64)(k - 1) * blocks + b) * digits.words();
}

// The number at place i of a block, added to x.
__device__ __forceinline__ float decoded(const Digits& digits, const u32* code, u32 i, float x) {
    u32 rest = code[1 + i / digits.in_a_word];
    for (u32 n = i % digits.in_a_word; n > 0; n -= 1) rest /= digits.levels;
    i32 q = (i32)(rest % digits.levels) - (i32)(digits.levels / 2);
    return mul_add(__uint_as_float(code[0]), (float)q, x);
}

// The weight i of row k, where row 0 is `initial`.
__device__ __forceinline__ float row_at(const Path& path, u32 weights, u32 k, u32 i, const float* initial) {
    if (path.levels == 0) return k == 0 ? initial[i] : path.storage[(u64)(k - 1) * weights + i];
    Digits digits(path.levels);
    u32 b = i / digits.block(), inside = i % digits.block();
    float x = initial[i];
    for (u32 row = 1; row <= k; row += 1) {
        x = decoded(digits, code_of(path, digits, weights, row, b), inside, x);
    }
    return x;
}

// Writes a block of n differences: its scale, then its digits.
__device__ inline void encode(const Digits& digits, const float* x, u32 n, u32* code) {
    u32 greatest = digits.levels / 2;
    float m = (float)greatest, top = 0.0f;
    for (u32 i = 0; i < n; i += 1) {
        float size = __uint_as_float(__float_as_uint(x[i]) & 0x7fffffffu);
        top = size > top ? size : top;
    }
    float step = top / m, inverse = step > 1.17549435e-38f ? m / top : 0.0f;
    code[0] = __float_as_uint(step);
    for (u32 word = 0; word < digits.packed; word += 1) {
        u32 first = word * digits.in_a_word;
        if (first >= n) break;
        u32 end = first + digits.in_a_word < n ? first + digits.in_a_word : n, packed = 0;
        for (u32 i = end; i-- > first;) {
            float q = clamp(x[i] * inverse, -m, m) + MAGIC;
            packed = packed * digits.levels + (__float_as_uint(q) - __float_as_uint(MAGIC) + greatest);
        }
        code[1 + word] = packed;
    }
}

// ---- interpolation (kernels/interpolate.rs)

// The weights 1 - b and b of two ends, b = i / n.
struct Ends {
    float a, b;
    __device__ Ends(u32 i, u32 n) {
        i = i < n ? i : n;
        a = (float)(n - i) / (float)n, b = (float)i / (float)n;
    }
};

// y = (1 - b) x_0 + b x_1; exact at both ends. Not followed by a barrier.
__device__ inline void between(const Team& team, u32 weights, u32 i, u32 n, const float* x0, const float* x1,
                               float* y) {
    Ends ends(i, n);
    team.each(weights, [&](u32 k) {
        y[k] = i == 0 ? x0[k] : i >= n ? x1[k] : mul_add(ends.b, x1[k], ends.a * x0[k]);
    });
}

// What the next snapshot's place depends on (path/checkpoints.rs).
__device__ inline u64 next_beta(u64 beta, u64 s, u64 r) {
    u64 sum = s + r, rest = beta % r * sum / r;
    return beta / r * sum + rest;
}

__device__ inline u32 next_snapshot(const Path& path, u32 taken, u32 from, u32 end) {
    u64 s = path.snapshots - taken;
    if (s == 0) return end;
    s += 1;
    u64 l = (u64)(end - from) + 1, before = 0, last = 1, r = 1;
    for (;;) {
        u64 beta = next_beta(last, s, r);
        if (beta >= l) break;
        before = last, last = beta, r += 1;
    }
    u64 least = l - (last - before);
    return from + (u32)(last < least ? last : least);
}

// ---- the path itself

// What a path keeps count of.
struct Course {
    u32 interval;
    bool swapped;
    u32 taken, due;
};

__device__ __forceinline__ void ends(bool swapped, float*& a, float*& b) {
    if (swapped) {
        float* swap = a;
        a = b;
        b = swap;
    }
}

// Eliminates hat k, whose right-hand side is b. Not followed by a barrier.
CALLED void close_hat(const Team& team, const Path& path, u32 weights, u32 k, const float* b,
                                 const float* initial) {
    if (k == 0) return;
    u32 rows = path.intervals + 1;
    float by_b = path.factors[rows + k], by_last = path.factors[2 * rows + k];
    if (path.levels == 0) {
        team.each(weights, [&](u32 i) {
            float last = row_at(path, weights, k - 1, i, initial);
            path.storage[(u64)(k - 1) * weights + i] = mul_add(by_last, last, by_b * b[i]);
        });
        return;
    }
    Digits digits(path.levels);
    u32 block = digits.block();
    team.each((weights + block - 1) / block, [&](u32 n) {
        float difference[MOST];
        u32 first = n * block, here = weights - first < block ? weights - first : block;
        for (u32 i = 0; i < here; i += 1) {
            float last = row_at(path, weights, k - 1, first + i, initial);
            difference[i] = mul_add(by_last, last, by_b * b[first + i]) - last;
        }
        encode(digits, difference, here, code_of(path, digits, weights, k, n));
    });
}

// c_k = (1 + u_k) x_k - u_k c_{k+1}; `after` is null for the last. Not followed by a barrier.
__device__ inline void coefficients(const Team& team, const Path& path, u32 weights, u32 k, const float* after,
                                    float* c, const float* initial) {
    float u = path.factors[k];
    team.each(weights, [&](u32 i) {
        float x = row_at(path, weights, k, i, initial);
        c[i] = after ? mul_add(-u, after[i], (1.0f + u) * x) : x;
    });
}

// Stores weights and velocity in a snapshot or a place of the tape. Not followed by a barrier.
__device__ inline void store(const Team& team, const Path& path, u32 weights, u32 place, const float* w,
                             const float* v) {
    float* to = path.storage + (u64)place * weights * (1 + path.slots);
    team.each(weights, [&](u32 i) {
        to[i] = w[i];
        if (path.slots) to[weights + i] = v[i];
    });
}

// Sees the weights and the velocity before step t. Followed by a barrier where another thread's part is read.
__device__ inline void record(Team& team, const Path& path, Course& course, u32 weights, u32 t, const Vectors& x) {
    if (t < path.seen_from) return;
    t -= path.seen_from;
    float *left = x.d_w, *right = x.d_v;
    if (t >= path.tail_from) return;
    switch (path.kind) {
    case TAPE: store(team, path, weights, t, x.w, x.v); return;
    case CHECKPOINTS:
        if (t == 0) course.taken = 0;
        if (t == 0 || t == course.due) {
            store(team, path, weights, course.taken, x.w, x.v);
            if (team.leads()) path.marks[course.taken] = t;
            course.taken += 1;
            course.due = next_snapshot(path, course.taken, t, path.tail_from);
        }
        return;
    case HATS: {
        if (t == 0) {
            course.interval = 0, course.swapped = false;
            team.each(weights, [&](u32 i) { left[i] = 0.0f, right[i] = 0.0f; });
        }
        u32 start = path.knots[course.interval], end = path.knots[course.interval + 1];
        if (t == end) {
            ends(course.swapped, left, right);
            // What other threads summed up lies before the barriers of the last gradient.
            close_hat(team, path, weights, course.interval, left, x.w0);
            team.sync();
            team.each(weights, [&](u32 i) { left[i] = 0.0f; });
            left = x.d_w, right = x.d_v;
            course.interval += 1;
            course.swapped = !course.swapped;
            start = end, end = path.knots[course.interval + 1];
        }
        ends(course.swapped, left, right);
        u32 length = end - start, into = t - start;
        Ends share(into, length);
        bool first = course.interval == 0;
        team.each(weights, [&](u32 i) {
            if (!first) left[i] = mul_add(share.a, x.w[i], left[i]);
            if (into > 0) right[i] = mul_add(share.b, x.w[i], right[i]);
        });
        return;
    }
    default: return;
    }
}

// Sees the weights after its last step. Not followed by a barrier: its rows are read in another launch.
__device__ inline void finish(Team& team, const Path& path, Course& course, u32 weights, const Vectors& x) {
    if (path.kind == HATS) {
        float *left = x.d_w, *right = x.d_v;
        ends(course.swapped, left, right);
        close_hat(team, path, weights, course.interval, left, x.w0);
        team.each(weights, [&](u32 i) { right[i] = mul_add(1.0f, x.w[i], right[i]); });
        team.sync();
        close_hat(team, path, weights, course.interval + 1, right, x.w0);
    }
}

// Sees the weights after its last step again, in the sweep. Not followed by a barrier: each thread reads what it
// wrote.
__device__ inline void open(Team& team, const Path& path, Course& course, u32 weights, const Vectors& x) {
    switch (path.kind) {
    case LINE:
        team.each(weights, [&](u32 i) {
            x.spare_a[i] = x.w[i];
            x.spare_b[i] = x.w0[i];
        });
        break;
    case HATS:
        course.interval = path.intervals, course.swapped = false;
        coefficients(team, path, weights, path.intervals, nullptr, x.spare_a, x.w0);
        break;
    case CHECKPOINTS: {
        // As many as the training has placed.
        course.taken = 0;
        u32 t = 0;
        while (course.taken < path.snapshots && t < path.tail_from) {
            course.taken += 1;
            t = next_snapshot(path, course.taken, t, path.tail_from);
        }
        break;
    }
    default: break;
    }
}
