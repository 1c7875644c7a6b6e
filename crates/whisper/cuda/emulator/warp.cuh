// The functions of ../kernels/on_gpu/warp.cuh for a CPU, by what the threads of a warp show each other.

#pragma once

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

inline Word to_halves(float first, float second)
{
    return emulator::narrow(first) | Word(emulator::narrow(second)) << 16;
}

inline float to_float(Half half) { return emulator::wide(half); }

inline float2 to_floats(Word halves)
{
    return {emulator::wide(emulator::half_of(halves, 0)), emulator::wide(emulator::half_of(halves, 1))};
}

// Each lane shows its values of A and B, two rows of two and one of two, and works out its four values of C.
inline void multiply_add(float (&c)[4], Word a0, Word a1, Word b)
{
    using namespace emulator;
    const unsigned group = lane() / 4, pair = lane() % 4 * 2;
    const float2 upper = to_floats(a0), lower = to_floats(a1), right = to_floats(b);
    const Shown own = {{upper.x, upper.y, lower.x, lower.y, right.x, right.y}, nullptr};
    together("product", own, [&](const Shown *all) {
        for (unsigned i = 0; i < 4; i++) {
            float sum = 0;
            for (unsigned k = 0; k < 8; k++)
                sum += all[group * 4 + k / 2].values[i / 2 * 2 + k % 2] * all[(pair + i % 2) * 4 + k / 2].values[4 + k % 2];
            c[i] += sum;
        }
        return 0;
    });
}

namespace emulator {

inline Half half_at(const Shown &shown, int column) { return static_cast<const Half *>(shown.row)[column]; }

template <bool turned>
void load_matrices(Word (&matrices)[4], const Half *row)
{
    const int group = lane() / 4, pair = lane() % 4 * 2;
    if (reinterpret_cast<size_t>(row) % 16)
        fail("a row of a matrix is not at a multiple of 16 bytes", "load of matrices");
    together(turned ? "load of turned matrices" : "load of matrices", {{}, row}, [&](const Shown *all) {
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
