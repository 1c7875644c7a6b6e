// What follows the product of a linear layer, in one pass over its result, where a library has one for each step. Values
// are halves, arithmetic is in f32 and rounded once.
//
//   finish         product + bias
//   finish_gelu    gelu(product + bias), the exact one
//   finish_add     other + product + bias
//
// product and other: (rows, width), bias: (width), width a multiple of 8. Check: crates/whisper/cuda/check-kernels.

#include "warp.cuh"

constexpr int threads_of_finish = 256;

enum class Then { nothing, gelu, add };

__device__ inline float gelu(float x)
{
    constexpr float root_of_half = 0.70710678f;
    return 0.5f * x * (1.0f + erff(x * root_of_half));
}

// A thread for every eight values, of which a row has `loads_of_row` and all rows `loads`.
template <Then then>
__device__ void finish_loads(Halves *product, const Halves *bias, const Halves *other, unsigned loads_of_row, unsigned loads)
{
    const unsigned at = blockIdx.x * threads_of_finish + threadIdx.x;
    if (at >= loads)
        return;
    Halves values = product[at];
    const Halves own_bias = bias[at % loads_of_row];
    const Halves others = then == Then::add ? other[at] : Halves{};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 pair = to_floats(values.words[i]);
        const float2 add = to_floats(own_bias.words[i]), more = to_floats(others.words[i]);
        pair.x += add.x + more.x;
        pair.y += add.y + more.y;
        if (then == Then::gelu) {
            pair.x = gelu(pair.x);
            pair.y = gelu(pair.y);
        }
        values.words[i] = to_halves(pair.x, pair.y);
    }
    product[at] = values;
}

#define NAMED(name, then)                                                                                             \
    extern "C" __global__ void __launch_bounds__(threads_of_finish)                                                   \
        name(Halves *product, const Halves *bias, const Halves *other, unsigned loads_of_row, unsigned loads)         \
    {                                                                                                                 \
        finish_loads<then>(product, bias, other, loads_of_row, loads);                                                      \
    }

NAMED(finish, Then::nothing)
NAMED(finish_gelu, Then::gelu)
NAMED(finish_add, Then::add)
