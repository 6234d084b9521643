// Matrix products (kernels/matmul.rs): one accumulator an output, the inner index ascending.
//
//     c_ij = put(i, j, start(i, j) + sum_k a_ik b_kj [+ sum_k a'_ik b'_kj])
//
// Small products are computed from the cache by tiles of 4 x 4 outputs a thread; large ones by tiles of a
// block, whose operands pass through shared memory. Which of them is a matter of speed alone.
#pragma once
#include "team.cuh"

enum Form { NN, TN, NT };

struct Operands {
    const float* a;
    const float* b;
};

struct Shape {
    u32 rows, inner, columns;
};

template <Form form>
__device__ __forceinline__ float of_a(const float* a, const Shape& s, u32 i, u32 k) {
    return form == TN ? a[(u64)k * s.rows + i] : a[(u64)i * s.inner + k];
}
template <Form form>
__device__ __forceinline__ float of_b(const float* b, const Shape& s, u32 k, u32 j) {
    return form == NT ? b[(u64)j * s.inner + k] : b[(u64)k * s.columns + j];
}

// Outputs of a thread in each direction.
constexpr u32 TILE = 4;

template <Form form, class Start, class Put>
__device__ __forceinline__ void small_product(
    const Team& team, const Shape& s, const Operands* operands, u32 count, Start start, Put put) {
    // The columns of a tile lie apart, so that those of neighbouring threads lie side by side.
    u32 tiles_across = (s.columns + TILE - 1) / TILE, tiles_down = (s.rows + TILE - 1) / TILE;
    team.each(tiles_across * tiles_down, [&](u32 tile) {
        u32 i0 = tile / tiles_across * TILE, j0 = tile % tiles_across;
        float sum[TILE][TILE];
        u32 row[TILE], column[TILE];
#pragma unroll
        for (u32 x = 0; x < TILE; x += 1) {
            // What is beyond the edge computes the last output again and does not put it.
            row[x] = i0 + x < s.rows ? i0 + x : s.rows - 1;
            column[x] = j0 + x * tiles_across < s.columns ? j0 + x * tiles_across : s.columns - 1;
        }
#pragma unroll
        for (u32 x = 0; x < TILE; x += 1) {
#pragma unroll
            for (u32 y = 0; y < TILE; y += 1) sum[x][y] = start(row[x], column[y]);
        }
        for (u32 o = 0; o < count; o += 1) {
            const float *a = operands[o].a, *b = operands[o].b;
            for (u32 k = 0; k < s.inner; k += 1) {
                float left[TILE], right[TILE];
#pragma unroll
                for (u32 x = 0; x < TILE; x += 1) {
                    left[x] = of_a<form>(a, s, row[x], k);
                    right[x] = of_b<form>(b, s, k, column[x]);
                }
#pragma unroll
                for (u32 x = 0; x < TILE; x += 1) {
#pragma unroll
                    for (u32 y = 0; y < TILE; y += 1) sum[x][y] = mul_add(left[x], right[y], sum[x][y]);
                }
            }
        }
#pragma unroll
        for (u32 x = 0; x < TILE; x += 1) {
#pragma unroll
            for (u32 y = 0; y < TILE; y += 1) {
                u32 i = i0 + x, j = j0 + y * tiles_across;
                if (i < s.rows && j < s.columns) put(i, j, sum[x][y]);
            }
        }
    });
}

// The tile of a block, and the piece of the inner index that lies in shared memory at a time.
constexpr u32 SIDE = 128, DEPTH = 8, PER_THREAD = 8;
// Two pieces; a row of one is padded against bank conflicts.
constexpr u32 STRIDE = SIDE + 4;
constexpr u32 SHARED_NUMBERS = 2 * DEPTH * STRIDE;

template <Form form, class Start, class Put>
__device__ __forceinline__ void large_product(
    const Team& team, const Shape& s, const Operands* operands, u32 count, Start start, Put put) {
    SHARED(float, numbers);
    float *left = numbers, *right = numbers + DEPTH * STRIDE;
    constexpr u32 THREADS_ACROSS = SIDE / PER_THREAD, THREADS = THREADS_ACROSS * THREADS_ACROSS;
    u32 across = (s.columns + SIDE - 1) / SIDE, down = (s.rows + SIDE - 1) / SIDE;
    for (u32 tile = team.rank / blockDim.x; tile < across * down; tile += team.blocks) {
        u32 i0 = tile / across * SIDE, j0 = tile % across * SIDE;
        // With fewer threads than places each thread takes several, one pass after another; with more, some wait.
        for (u32 pass = 0; pass < THREADS; pass += blockDim.x) {
            u32 place = pass + threadIdx.x;
            bool works = place < THREADS;
            u32 x0 = place / THREADS_ACROSS, y0 = place % THREADS_ACROSS;
            float sum[PER_THREAD][PER_THREAD];
#pragma unroll
            for (u32 x = 0; x < PER_THREAD; x += 1) {
#pragma unroll
                for (u32 y = 0; y < PER_THREAD; y += 1) {
                    u32 i = i0 + x0 + x * THREADS_ACROSS, j = j0 + y0 + y * THREADS_ACROSS;
                    sum[x][y] = works && i < s.rows && j < s.columns ? start(i, j) : 0.0f;
                }
            }
            for (u32 o = 0; o < count; o += 1) {
                const float *a = operands[o].a, *b = operands[o].b;
                for (u32 k0 = 0; k0 < s.inner; k0 += DEPTH) {
                    u32 depth = s.inner - k0 < DEPTH ? s.inner - k0 : DEPTH;
                    __syncthreads();
                    for (u32 n = threadIdx.x; n < DEPTH * SIDE; n += blockDim.x) {
                        // Neighbouring threads read what lies side by side.
                        u32 ka = form == TN ? n / SIDE : n % DEPTH, i = form == TN ? n % SIDE : n / DEPTH;
                        u32 kb = form == NT ? n % DEPTH : n / SIDE, j = form == NT ? n / DEPTH : n % SIDE;
                        bool in_a = ka < depth && i0 + i < s.rows, in_b = kb < depth && j0 + j < s.columns;
                        left[ka * STRIDE + i] = in_a ? of_a<form>(a, s, i0 + i, k0 + ka) : 0.0f;
                        right[kb * STRIDE + j] = in_b ? of_b<form>(b, s, k0 + kb, j0 + j) : 0.0f;
                    }
                    __syncthreads();
                    if (!works) continue;
                    for (u32 k = 0; k < depth; k += 1) {
                        float u[PER_THREAD], v[PER_THREAD];
#pragma unroll
                        for (u32 x = 0; x < PER_THREAD; x += 1) {
                            u[x] = left[k * STRIDE + x0 + x * THREADS_ACROSS];
                            v[x] = right[k * STRIDE + y0 + x * THREADS_ACROSS];
                        }
#pragma unroll
                        for (u32 x = 0; x < PER_THREAD; x += 1) {
#pragma unroll
                            for (u32 y = 0; y < PER_THREAD; y += 1) sum[x][y] = mul_add(u[x], v[y], sum[x][y]);
                        }
                    }
                }
            }
            if (!works) continue;
#pragma unroll
            for (u32 x = 0; x < PER_THREAD; x += 1) {
#pragma unroll
                for (u32 y = 0; y < PER_THREAD; y += 1) {
                    u32 i = i0 + x0 + x * THREADS_ACROSS, j = j0 + y0 + y * THREADS_ACROSS;
                    if (i < s.rows && j < s.columns) put(i, j, sum[x][y]);
                }
            }
        }
    }
}

// From this many outputs on a block's tiles are worth their barriers.
constexpr u32 LARGE = 1u << 16;

// Not followed by a barrier.
template <Form form, class Start, class Put>
__device__ void product(
    const Team& team, const Shape& s, const Operands* operands, u32 count, Start start, Put put) {
    if ((u64)s.rows * s.columns >= LARGE) {
        large_product<form>(team, s, operands, count, start, put);
    } else {
        small_product<form>(team, s, operands, count, start, put);
    }
}
