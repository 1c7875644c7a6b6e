// The functions of ../kernels/on_gpu/warp.cuh for a CPU, by what the threads of a warp show each other.

#pragma once

#include <array>
#include <cmath>

#include "threads.hpp"

#define __global__
#define __device__
#define __launch_bounds__(...)
// One for all threads of the block that is running.
#define __shared__ static

using std::max;
using std::min;

struct float2 { float x, y; };

using Word = unsigned;
using Half = unsigned short;
struct alignas(16) Halves { Word words[4]; };

namespace emulator {

inline float wide(Half half)
{
    _Float16 value;
    std::memcpy(&value, &half, sizeof value);
    return value;
}

inline Half narrow(float wide)
{
    const _Float16 value = static_cast<_Float16>(wide);
    Half half;
    std::memcpy(&half, &value, sizeof half);
    return half;
}

inline Half half_of(Word word, int index) { return index ? word >> 16 : word & 0xffff; }

}

// Each lane works out its four values of C from the fragments that all lanes show.
inline void multiply_add(float (&c)[4], Word a0, Word a1, Word b)
{
    using namespace emulator;
    const int group = lane() / 4, pair = lane() % 4 * 2;
    const auto product = [&](int row, int column, const Shown *a, const Shown *b) {
        float sum = 0;
        for (int k = 0; k < 8; k++) {
            const Half left = half_of(a[row % 8 * 4 + k / 2].words[row / 8], k % 2);
            const Half right = half_of(b[column * 4 + k / 2].words[0], k % 2);
            sum += wide(left) * wide(right);
        }
        return sum;
    };
    const auto copy = [](const Shown *warp) {
        std::array<Shown, lanes> all;
        std::copy_n(warp, lanes, all.begin());
        return all;
    };
    const auto left = together("left side of a product", {{a0, a1}, nullptr, 0}, copy);
    const auto right = together("right side of a product", {{b, 0}, nullptr, 0}, copy);
    for (int i = 0; i < 4; i++)
        c[i] += product(group + i / 2 * 8, pair + i % 2, left.data(), right.data());
}

namespace emulator {

inline Half half_at(const Shown &shown, int column) { return static_cast<const Half *>(shown.row)[column]; }

template <bool turned>
void load_matrices(Word (&matrices)[4], const Half *row)
{
    const int group = lane() / 4, pair = lane() % 4 * 2;
    if (reinterpret_cast<size_t>(row) % 16)
        fail("a row of a matrix is not at a multiple of 16 bytes", "load of matrices");
    together(turned ? "load of turned matrices" : "load of matrices", {{}, row, 0}, [&](const Shown *all) {
        for (int matrix = 0; matrix < 4; matrix++) {
            const Shown *rows = all + 8 * matrix;
            const Half first = turned ? half_at(rows[pair], group) : half_at(rows[group], pair);
            const Half second = turned ? half_at(rows[pair + 1], group) : half_at(rows[group], pair + 1);
            matrices[matrix] = first | Word(second) << 16;
        }
        return 0;
    });
}

}

inline void load_matrices(Word (&matrices)[4], const Half *row) { emulator::load_matrices<false>(matrices, row); }
inline void load_matrices_turned(Word (&matrices)[4], const Half *row) { emulator::load_matrices<true>(matrices, row); }

inline float power_of_two(float exponent) { return std::exp2(exponent); }

inline Word to_halves(float first, float second)
{
    return emulator::narrow(first) | Word(emulator::narrow(second)) << 16;
}

inline float to_float(Half half) { return emulator::wide(half); }

inline float2 to_floats(Word halves)
{
    return {emulator::wide(emulator::half_of(halves, 0)), emulator::wide(emulator::half_of(halves, 1))};
}
