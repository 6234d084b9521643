// How hyperparameters map to weights (group.rs), and the loops over weights and over rows of them.
#pragma once
#include "team.cuh"

// A matrix of weights with one hyperparameter for each row; hyper < 0 for none.
struct Block {
    u32 start, rows, columns;
    i32 hyper;
};

struct Groups {
    const Block* blocks;
    u32 count;
    u32 hypers;
};

// f(i, j) for each weight i and its hyperparameter j, or -1. Not followed by a barrier.
template <class F>
__device__ __forceinline__ void each_weight(const Team& team, const Groups& groups, F f) {
    for (u32 b = 0; b < groups.count; b += 1) {
        Block block = groups.blocks[b];
        if (block.columns == 1 && block.hyper >= 0) {
            team.each(block.rows, [&](u32 i) { f(block.start + i, block.hyper + (i32)i); });
        } else {
            team.each(block.rows * block.columns, [&](u32 i) {
                f(block.start + i, block.hyper < 0 ? -1 : block.hyper + (i32)(i / block.columns));
            });
        }
    }
}

// h_j = one(i, j, h_j) for a row of one weight i, and h_j += many(start, columns, j) for a longer one, which a
// warp computes. Rows that share a hyperparameter come in the order of their blocks: the same warp takes them all.
// Not followed by a barrier.
template <class One, class Many>
__device__ __forceinline__ void each_row(const Team& team, const Groups& groups, float* h, One one, Many many) {
    u32 warps = team.size / LANES, warp = team.rank / LANES;
    for (u32 b = 0; b < groups.count; b += 1) {
        Block block = groups.blocks[b];
        if (block.hyper < 0) continue;
        u32 first = (u32)block.hyper;
        if (block.columns == 1 && block.rows > 1) {
            team.each(block.rows, [&](u32 i) { h[first + i] = one(block.start + i, first + i, h[first + i]); });
            continue;
        }
        for (u32 row = (warp + warps - first % warps) % warps; row < block.rows; row += warps) {
            u32 start = block.start + row * block.columns, j = first + row;
            bool writes = threadIdx.x % LANES == 0;
            if (block.columns == 1) {
                if (writes) h[j] = one(start, j, h[j]);
            } else {
                float sum = many(start, block.columns, j);
                if (writes) h[j] = h[j] + sum;
            }
        }
    }
}
