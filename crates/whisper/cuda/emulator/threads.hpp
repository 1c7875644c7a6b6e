// The threads of a GPU, on a CPU. All threads of a block are there, as contexts of one thread of the system; each runs
// until it has to wait for the others of its block or warp.
//
//     launch(grid, block, order, kernel)      runs the kernel block by block
//
// Threads wait for their warp in everything that a warp does together, and each says there what it does: threads that
// are not at the same place end the program, as do threads that wait for ever. Warps run one after the other, each until
// it has to wait for the block, and the threads of a warp likewise, forwards or backwards: what one reads and another
// writes without a wait between them comes out wrong in one of the two orders.

#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#ifndef __x86_64__
#error "the switch below is written for x86-64"
#endif

struct Dim { unsigned x = 1, y = 1, z = 1; };
inline Dim threadIdx, blockIdx, blockDim, gridDim;

enum class Order { forwards, backwards };

// Keeps the registers that a call must leave alone, and the stack pointer, in *from; goes on as `to` was kept.
extern "C" void switch_stacks(void **from, void *to);
asm(".text\n"
    ".weak switch_stacks\n"
    ".type switch_stacks, @function\n"
    "switch_stacks:\n"
    "push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, (%rdi)\n"
    "mov %rsi, %rsp\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
    "ret\n"
    ".size switch_stacks, . - switch_stacks\n");

namespace emulator {

constexpr unsigned lanes = 32;
constexpr size_t stack_size = 64 << 10;

enum class Waits { not_at_all, for_warp, for_block, for_nobody_any_more };

struct Thread {
    void *at = nullptr;
    std::unique_ptr<char[]> stack{new char[stack_size]};
    Waits waits = Waits::not_at_all;
    const char *doing = "";
};

// What each lane of a warp shows to the others.
struct Shown { float values[6]; const void *row; };

inline void *scheduler;
inline std::vector<Thread> threads;
inline std::vector<Shown> shown;
inline std::function<void()> kernel;
// Of the thread that runs, in its block.
inline unsigned own;

inline unsigned lane() { return own % lanes; }

inline void be(unsigned thread)
{
    own = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y};
}

[[noreturn]] inline void fail(const char *what, const char *doing)
{
    std::fprintf(stderr, "block (%u, %u, %u), thread %u, %s: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, own, doing, what);
    std::abort();
}

inline void wait(Waits what, const char *doing)
{
    Thread &thread = threads[own];
    thread.waits = what;
    thread.doing = doing;
    switch_stacks(&thread.at, scheduler);
}

// Lets the lanes of each warp look at what all of them show, and lets none go on before all have looked.
template <class Look>
auto together(const char *doing, const Shown &mine, Look look)
{
    Shown *warp = &shown[own / lanes * lanes];
    warp[lane()] = mine;
    wait(Waits::for_warp, doing);
    auto seen = look(warp);
    wait(Waits::for_warp, doing);
    return seen;
}

inline void run_thread()
{
    kernel();
    wait(Waits::for_nobody_any_more, "the end");
    __builtin_trap();
}

inline void prepare(Thread &thread)
{
#ifdef __SANITIZE_ADDRESS__
    // What the thread before it left there.
    ASAN_UNPOISON_MEMORY_REGION(thread.stack.get(), stack_size);
#endif
    // Six registers and where to go on, after which the stack is as behind a call.
    void **top = reinterpret_cast<void **>(thread.stack.get() + stack_size) - 1;
    top[-1] = reinterpret_cast<void *>(run_thread);
    thread.at = top - 7;
    thread.waits = Waits::not_at_all;
}

// Wakes threads first to last if all of them that are left wait for the same.
inline bool wake(unsigned first, unsigned last, Waits what)
{
    const char *doing = nullptr;
    for (unsigned i = first; i < last; i++) {
        if (threads[i].waits == Waits::for_nobody_any_more)
            continue;
        if (threads[i].waits != what)
            return false;
        if (doing && std::strcmp(threads[i].doing, doing)) {
            be(i);
            fail("other threads are somewhere else", threads[i].doing);
        }
        doing = threads[i].doing;
    }
    for (unsigned i = first; i < last; i++)
        if (threads[i].waits == what)
            threads[i].waits = Waits::not_at_all;
    return doing;
}

// Until its threads wait for other warps.
inline void run_warp(unsigned first, unsigned last, Order order)
{
    do {
        for (unsigned i = first; i < last; i++) {
            const unsigned thread = order == Order::forwards ? i : last - 1 - (i - first);
            if (threads[thread].waits != Waits::not_at_all)
                continue;
            be(thread);
            switch_stacks(&scheduler, threads[thread].at);
        }
    } while (wake(first, last, Waits::for_warp));
}

inline void run_block(unsigned count, Order order)
{
    for (unsigned i = 0; i < count; i++)
        prepare(threads[i]);
    const unsigned warps = (count + lanes - 1) / lanes;
    do {
        for (unsigned i = 0; i < warps; i++) {
            const unsigned first = (order == Order::forwards ? i : warps - 1 - i) * lanes;
            run_warp(first, std::min(first + lanes, count), order);
        }
    } while (wake(0, count, Waits::for_block));
    for (unsigned i = 0; i < count; i++)
        if (threads[i].waits != Waits::for_nobody_any_more) {
            be(i);
            fail("waits for threads that never come", threads[i].doing);
        }
}

}

inline void launch(Dim grid, Dim block, Order order, std::function<void()> kernel)
{
    emulator::kernel = std::move(kernel);
    gridDim = grid;
    blockDim = block;
    const unsigned count = block.x * block.y * block.z;
    if (emulator::threads.size() < count) {
        emulator::threads.resize(count);
        emulator::shown.resize(count + emulator::lanes);
    }
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
                emulator::run_block(count, order);
}

inline void __syncthreads() { emulator::wait(emulator::Waits::for_block, "__syncthreads"); }

// What the lane whose number differs in these bits has.
inline float of_lane(float value, int bits)
{
    const unsigned other = emulator::lane() ^ bits;
    return emulator::together("exchange", {{value}, nullptr}, [&](const emulator::Shown *all) { return all[other].values[0]; });
}
