// The functions of ../on_gpu/warp.cuh, and what they stand on of CUDA, for a CPU. All threads of a block are there, as contexts
// of one thread of the system; each runs until it has to wait for the others of its block or warp.
//
//     launch(grid, threads, order, kernel)      runs the kernel block by block
//
// Threads wait for their warp in everything that a warp does together, and each says there what it does: threads that
// are not at the same place end the program, as do threads that wait for ever. Warps run one after the other, each until
// it has to wait for the block, and the threads of a warp likewise, forwards or backwards: what one reads and another
// writes without a wait between them comes out wrong in one of the two orders.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(...)
// One for all threads of the block that is running.
#define __shared__ static

using std::max;
using std::min;

struct float2 { float x, y; };
struct Dim { unsigned x = 1, y = 1, z = 1; };
inline Dim threadIdx, blockIdx, gridDim;

using Word = unsigned;
using Half = unsigned short;
struct alignas(16) Halves { Word words[4]; };

enum class Order { forwards, backwards };

namespace emulator {

constexpr int lanes = 32;
constexpr size_t stack_size = 256 << 10;

enum class Waits { not_at_all, for_warp, for_block, for_nobody_any_more };

struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[stack_size]};
    Waits waits = Waits::not_at_all;
    const char *doing = "";
};

// What each lane of the warps of a block shows to the others.
struct Shown { Word words[2]; const Half *row; float value; };

inline ucontext_t scheduler;
inline std::vector<Thread> threads;
inline std::vector<Shown> shown;
inline std::function<void()> kernel;

[[noreturn]] inline void fail(const char *what, const char *doing)
{
    std::fprintf(stderr, "block (%u, %u, %u), thread %u, %s: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, doing, what);
    std::abort();
}

inline void wait(Waits what, const char *doing)
{
    const unsigned own = threadIdx.x;
    threads[own].waits = what;
    threads[own].doing = doing;
    swapcontext(&threads[own].context, &scheduler);
}

// Lets the lanes of each warp look at what all of them show, and lets none go on before all have looked.
template <class Look>
auto together(const char *doing, const Shown &own, Look look)
{
    Shown *warp = &shown[threadIdx.x / lanes * lanes];
    warp[threadIdx.x % lanes] = own;
    wait(Waits::for_warp, doing);
    auto seen = look(warp);
    wait(Waits::for_warp, doing);
    return seen;
}

inline void run_thread()
{
    kernel();
    wait(Waits::for_nobody_any_more, "the end");
}

// Wakes threads first to last if all of them wait for the same.
inline bool wake(size_t first, size_t last, Waits what)
{
    for (size_t i = first; i < last; i++)
        if (threads[i].waits != what)
            return false;
    for (size_t i = first; i < last; i++) {
        if (std::strcmp(threads[i].doing, threads[first].doing)) {
            threadIdx.x = i;
            fail("other threads are somewhere else", threads[i].doing);
        }
        threads[i].waits = Waits::not_at_all;
    }
    return true;
}

// Until its threads wait for other warps.
inline void run_warp(size_t first, Order order)
{
    do {
        for (size_t i = 0; i < lanes; i++) {
            const size_t own = first + (order == Order::forwards ? i : lanes - 1 - i);
            if (threads[own].waits != Waits::not_at_all)
                continue;
            threadIdx.x = own;
            swapcontext(&scheduler, &threads[own].context);
        }
    } while (wake(first, first + lanes, Waits::for_warp));
}

inline void run_block(size_t count, Order order)
{
    threads.resize(count);
    shown.resize(count);
    for (Thread &thread : threads) {
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get();
        thread.context.uc_stack.ss_size = stack_size;
        thread.context.uc_link = nullptr;
        thread.waits = Waits::not_at_all;
        makecontext(&thread.context, run_thread, 0);
    }
    do {
        for (size_t i = 0; i < count; i += lanes)
            run_warp(order == Order::forwards ? i : count - lanes - i, order);
    } while (wake(0, count, Waits::for_block));
    for (size_t i = 0; i < count; i++)
        if (threads[i].waits != Waits::for_nobody_any_more) {
            threadIdx.x = i;
            fail("waits for threads that never come", threads[i].doing);
        }
}

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

inline void launch(Dim grid, unsigned threads, Order order, std::function<void()> kernel)
{
    emulator::kernel = std::move(kernel);
    gridDim = grid;
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
                emulator::run_block(threads, order);
}

inline void __syncthreads() { emulator::wait(emulator::Waits::for_block, "__syncthreads"); }

// Each lane works out its four values of C from the fragments that all lanes show.
inline void multiply_add(float (&c)[4], Word a0, Word a1, Word b)
{
    using namespace emulator;
    const int group = threadIdx.x % lanes / 4, pair = threadIdx.x % 4 * 2;
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

template <bool turned>
void load_matrices(Word (&matrices)[4], const Half *row)
{
    const int group = threadIdx.x % lanes / 4, pair = threadIdx.x % 4 * 2;
    if (reinterpret_cast<size_t>(row) % 16)
        fail("a row of a matrix is not at a multiple of 16 bytes", "load of matrices");
    together(turned ? "load of turned matrices" : "load of matrices", {{}, row, 0}, [&](const Shown *all) {
        for (int matrix = 0; matrix < 4; matrix++) {
            const Shown *rows = all + 8 * matrix;
            const Half first = turned ? rows[pair].row[group] : rows[group].row[pair];
            const Half second = turned ? rows[pair + 1].row[group] : rows[group].row[pair + 1];
            matrices[matrix] = first | Word(second) << 16;
        }
        return 0;
    });
}

}

inline void load_matrices(Word (&matrices)[4], const Half *row) { emulator::load_matrices<false>(matrices, row); }
inline void load_matrices_turned(Word (&matrices)[4], const Half *row) { emulator::load_matrices<true>(matrices, row); }

inline float of_lane(float value, int bits)
{
    const int other = (threadIdx.x % emulator::lanes) ^ bits;
    return emulator::together("exchange", {{}, nullptr, value}, [&](const emulator::Shown *all) { return all[other].value; });
}

inline float power_of_two(float exponent) { return std::exp2(exponent); }

inline Word to_halves(float first, float second)
{
    return emulator::narrow(first) | Word(emulator::narrow(second)) << 16;
}

inline float2 to_floats(Word halves)
{
    return {emulator::wide(emulator::half_of(halves, 0)), emulator::wide(emulator::half_of(halves, 1))};
}
