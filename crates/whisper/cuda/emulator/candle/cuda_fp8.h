// Numbers that Candle's kernels name on every GPU, and that nothing here computes in.

#pragma once

#include "cuda_fp16.h"

struct __nv_fp8_e4m3 {
    unsigned char __x;

    __nv_fp8_e4m3() = default;
    template <class Number>
    explicit __nv_fp8_e4m3(Number) { std::abort(); }
};

constexpr int __NV_E4M3 = 0;
inline __half __nv_cvt_fp8_to_halfraw(unsigned char, int) { std::abort(); }
