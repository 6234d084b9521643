// The threads that work on one replica, and the phases that they go through together.
//
// A phase is a loop over independent outputs, of which each thread takes every size-th; between two phases
// stands a barrier. No output depends on how many threads there are, so the team's size changes no bit. A sum
// has one order wherever it is computed: over 32 lanes, which are a warp, and a fixed tree (kernels/reduce.rs).
//
// Refused: atomic sums, whose order is that of arrival.
#pragma once
#include "base.cuh"

constexpr u32 LANES = 32;

struct Team {
    u32 rank;      // of this thread
    u32 size;      // threads, a multiple of LANES
    u32 blocks;    // that they are spread over
    u32* arrived;  // of several blocks: how many have come to a barrier, since the launch
    u32 due;       // how many must have come for this one to open

    // Team number `team` of teams of `blocks` blocks each.
    __device__ Team(u32 blocks, u32* arrived) : blocks(blocks), arrived(arrived), due(0) {
        rank = (blockIdx.x % blocks) * blockDim.x + threadIdx.x;
        size = blocks * blockDim.x;
    }

    // Whatever any of them wrote before, all of them see after.
    __device__ void sync() {
        __syncthreads();
        if (blocks == 1) return;
        due += blocks;
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrived, 1u);
            // The difference is right where the count has run over, too.
            while ((i32)(*(volatile u32*)arrived - due) < 0) pause();
            __threadfence();
        }
        __syncthreads();
    }

    // f(i) for i < n, each by one thread. Not followed by a barrier.
    template <class F>
    __device__ __forceinline__ void each(u32 n, F f) const {
        for (u32 i = rank; i < n; i += size) f(i);
    }

    // f(i) for i < n, each by one warp.
    template <class F>
    __device__ __forceinline__ void each_warp(u32 n, F f) const {
        for (u32 i = rank / LANES; i < n; i += size / LANES) f(i);
    }

    __device__ bool leads() const { return rank == 0; }
};

// sum_i over n terms, where sum = add(i, sum): term i goes to lane i % LANES. All threads of a warp call it, and
// all of them get the result.
template <class F>
__device__ __forceinline__ float lanes(u32 n, F add) {
    float sum = 0.0f;
    for (u32 i = threadIdx.x % LANES; i < n; i += LANES) sum = add(i, sum);
    for (u32 half = LANES / 2; half > 0; half /= 2) sum = sum + __shfl_down_sync(~0u, sum, half);
    return __shfl_sync(~0u, sum, 0);
}

// sum_i x_i y_i.
__device__ __forceinline__ float dot(const float* x, const float* y, u32 n) {
    return lanes(n, [&](u32 i, float sum) { return mul_add(x[i], y[i], sum); });
}

__device__ __forceinline__ bool finite(float x) {
    return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u;
}

// A running sum with what it lacks (reduce.rs).
struct Total {
    float sum, rest;
    __device__ void add(float x) {
        x = x + rest;
        float after = sum + x, of_x = after - sum;
        rest = (sum - (after - of_x)) + (x - of_x);
        sum = after;
    }
    __device__ float value() const { return sum + rest; }
};
