// What the two compilers of these sources see alike: NVRTC, and a C++ compiler that emulates a GPU
// (tests/emulated/emulation.h). One multiply-add, in the arithmetic that FUSED names; nothing is contracted into one unasked.
#pragma once

#ifndef DRMAD_EMULATED
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;

// The most threads of a block. Twice as many blocks share a processor as registers would otherwise allow.
#define MOST_THREADS 256
#define BOUNDED __launch_bounds__(MOST_THREADS, 2)

// What is long is compiled once, and not again wherever it is called.
#define CALLED __device__ __noinline__

// The shared memory of a block, whose size the launch gives.
#define SHARED(type, name) extern __shared__ type name[]

// While a thread waits for what others write.
__device__ __forceinline__ void pause() { __nanosleep(20); }

__device__ __forceinline__ float mul_add(float a, float b, float c) {
#if FUSED
    return __fmaf_rn(a, b, c);
#else
    return __fadd_rn(__fmul_rn(a, b), c);
#endif
}
#endif
