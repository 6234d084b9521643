// exp, ln, ln_1p and tanh: the definitions of kernels/math.rs, which says how they work and where they end.
#pragma once
#include "base.cuh"

constexpr float ROUND = 12582912.0f;
constexpr float LN_2_HIGH = 0.69314575f;
constexpr float LN_2_LOW = 1.4286068e-6f;
constexpr float LOG2_E = 1.44269504088896340735992468100189214f;

// Written as two comparisons, so that a NaN stays one.
__device__ __forceinline__ float clamp(float x, float low, float high) {
    x = x > high ? high : x;
    return x < low ? low : x;
}

__device__ __forceinline__ float power_of_two(i32 n) {
    return __uint_as_float((u32)(n + 127) << 23);
}

__device__ __forceinline__ float exp_of(float x) {
    x = clamp(x, -104.0f, 89.0f);
    float t = mul_add(x, LOG2_E, ROUND);
    float n = t - ROUND;
    float r = mul_add(n, -LN_2_HIGH, x);
    r = mul_add(n, -LN_2_LOW, r);
    float q = mul_add(1.4035589e-3f, r, 8.372288e-3f);
    q = mul_add(q, r, 4.1665524e-2f);
    q = mul_add(q, r, 1.6666488e-1f);
    q = mul_add(q, r, 0.5f);
    float p = 1.0f + mul_add(r * r, q, r);
    i32 whole = (i32)(__float_as_uint(t) - __float_as_uint(ROUND));
    i32 half = whole >> 1;
    return p * power_of_two(half) * power_of_two(whole - half);
}

__device__ __forceinline__ float ln_of(float x) {
    constexpr u32 TWO_THIRDS = 0x3f2aaaabu;
    bool subnormal = x < 1.17549435e-38f;
    float scaled = subnormal ? x * 16777216.0f : x;
    u32 i = __float_as_uint(scaled) - TWO_THIRDS;
    float e = (float)((i32)i >> 23) + (subnormal ? -24.0f : 0.0f);
    float f = __uint_as_float((i & 0x007fffffu) + TWO_THIRDS) - 1.0f;
    float q = mul_add(-1.24527864e-1f, f, 1.4073578e-1f);
    q = mul_add(q, f, -1.2277915e-1f);
    q = mul_add(q, f, 1.3987944e-1f);
    q = mul_add(q, f, -1.6674304e-1f);
    q = mul_add(q, f, 2.0011681e-1f);
    q = mul_add(q, f, -2.499991e-1f);
    q = mul_add(q, f, 3.333318e-1f);
    q = mul_add(q, f, -0.5f);
    float l = f + mul_add(f * f, q, e * LN_2_LOW);
    float y = mul_add(e, LN_2_HIGH, l);
    float infinity = __uint_as_float(0x7f800000u);
    y = x < infinity ? y : x;
    y = x < 0.0f ? __uint_as_float(0x7fc00000u) : y;
    return x == 0.0f ? -infinity : y;
}

// ln(1 + x) for x from 0 on.
__device__ __forceinline__ float ln_1p_of(float x) {
    float u = 1.0f + x, lost = (u - 1.0f) - x;
    return ln_of(u) - lost / u;
}

__device__ __forceinline__ float tanh_of(float x) {
    x = clamp(x, -10.0f, 10.0f);
    float y = x * x;
    float p = mul_add(-1.2050981e-7f, y, -3.5885438e-5f);
    p = mul_add(p, y, -9.514188e-4f);
    p = mul_add(p, y, 5.353361e-2f);
    p = mul_add(p, y, 0.828125f);
    float q = mul_add(7.7901996e-7f, y, 3.2885044e-4f);
    q = mul_add(q, y, 2.58843e-2f);
    q = mul_add(q, y, 4.6715993e-1f);
    q = mul_add(q, y, 1.0f);
    return clamp(x * (0.171875f + p / q), -1.0f, 1.0f);
}

// y = tanh x: d (1 - y^2), and the tangent of that.
__device__ __forceinline__ float tanh_slope(float y) { return mul_add(-y, y, 1.0f); }
__device__ __forceinline__ float tanh_adjoint_r(float y, float r_y, float d, float r_d) {
    float bend = -(y + y) * r_y;
    return mul_add(bend, d, r_d * tanh_slope(y));
}
