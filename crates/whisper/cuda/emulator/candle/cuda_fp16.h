// What Candle's kernels take from CUDA, for a CPU: everything that they find in cuda_fp16.h, and what nvcc knows by itself.

#pragma once

#include <assert.h>
#include <math.h>
#include <cstdint>

#include "../threads.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

using std::max;
using std::min;
inline unsigned max(unsigned a, int b) { return std::max(a, unsigned(b)); }

struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }

// Each operation rounds, as on a GPU.
struct __half {
    _Float16 value;

    __half() = default;
    template <class Number>
    __half(Number number) : value(static_cast<_Float16>(static_cast<float>(number))) {}
    explicit operator bool() const { return value != 0; }
    operator float() const { return value; }
    explicit operator double() const { return value; }
    explicit operator uint8_t() const { return static_cast<uint8_t>(static_cast<float>(value)); }
    explicit operator uint32_t() const { return static_cast<uint32_t>(static_cast<float>(value)); }
    explicit operator int64_t() const { return static_cast<int64_t>(static_cast<float>(value)); }
};

#define OF_HALVES(sign)                                                                             \
    inline __half operator sign(__half a, __half b) { return float(a) sign float(b); }              \
    inline __half &operator sign##=(__half &a, __half b) { return a = a sign b; }
OF_HALVES(+)
OF_HALVES(-)
OF_HALVES(*)
OF_HALVES(/)
#undef OF_HALVES
#define OF_HALVES(sign)                                                                             \
    inline bool operator sign(__half a, __half b) { return float(a) sign float(b); }
OF_HALVES(==)
OF_HALVES(!=)
OF_HALVES(<)
OF_HALVES(>)
OF_HALVES(<=)
OF_HALVES(>=)
#undef OF_HALVES
inline __half operator-(__half a) { return -float(a); }

inline __half __float2half(float a) { return a; }
inline float __half2float(__half a) { return a; }
inline bool __hisnan(__half a) { return std::isnan(float(a)); }
inline __half __habs(__half a) { return std::fabs(float(a)); }
inline __half __hmax_nan(__half a, __half b) { return __hisnan(a) ? a : __hisnan(b) ? b : a > b ? a : b; }
inline __half __hmin_nan(__half a, __half b) { return __hisnan(a) ? a : __hisnan(b) ? b : a < b ? a : b; }
inline __half hcos(__half a) { return std::cos(float(a)); }
inline __half hsin(__half a) { return std::sin(float(a)); }
inline __half hexp(__half a) { return std::exp(float(a)); }
inline __half hlog(__half a) { return std::log(float(a)); }
inline __half hsqrt(__half a) { return std::sqrt(float(a)); }
inline unsigned short __half_as_ushort(__half a) { unsigned short bits; std::memcpy(&bits, &a, 2); return bits; }
inline __half __ushort_as_half(unsigned short bits) { __half a; std::memcpy(&a, &bits, 2); return a; }

inline float rsqrtf(float a) { return 1 / std::sqrt(a); }
inline float normcdff(float a) { return std::erfc(-a / std::sqrt(2.0f)) / 2; }
inline double normcdf(double a) { return std::erfc(-a / std::sqrt(2.0)) / 2; }
inline unsigned __float_as_uint(float a) { unsigned bits; std::memcpy(&bits, &a, 4); return bits; }
inline int __float_as_int(float a) { return __float_as_uint(a); }
inline float __uint_as_float(unsigned bits) { float a; std::memcpy(&a, &bits, 4); return a; }
inline float __int_as_float(int bits) { return __uint_as_float(bits); }
inline long long __double_as_longlong(double a) { long long bits; std::memcpy(&bits, &a, 8); return bits; }
inline double __longlong_as_double(long long bits) { double a; std::memcpy(&a, &bits, 8); return a; }

template <class Number>
Number __shfl_xor_sync(unsigned, Number value, int bits, int = 32) { return of_lane(float(value), bits); }

// Nothing comes between.
template <class Number, class Other>
Number atomicAdd(Number *at, Other value) { const Number before = *at; *at += Number(value); return before; }
template <class Number, class Other>
Number atomicMin(Number *at, Other value) { const Number before = *at; *at = std::min(before, Number(value)); return before; }
template <class Number, class Other>
Number atomicMax(Number *at, Other value) { const Number before = *at; *at = std::max(before, Number(value)); return before; }
template <class Number, class Other>
Number atomicCAS(Number *at, Number expected, Other value)
{
    const Number before = *at;
    if (before == expected)
        *at = Number(value);
    return before;
}
