// What the 32 threads of a warp do together, and arithmetic that C++ has no words for. One instruction each, of compute
// capability 7.5. The kernels use nothing else of CUDA but thread numbers, __shared__ and __syncthreads: ../../emulator/warp.cuh
// has the same functions for a CPU.
//
// Who holds what is in "Matrix Fragments for mma.m16n8k8" and "ldmatrix" of the PTX ISA. Of a lane, group is its number
// by 4, and pair twice its number modulo 4:
//
//     A (16 × 8 halves)   word 0: row group, columns pair and pair + 1; word 1: row group + 8
//     B (8 × 8 halves)    rows pair and pair + 1, column group
//     C (16 × 8 floats)   0 and 1: row group, columns pair and pair + 1; 2 and 3: row group + 8

#pragma once

#include <cuda_fp16.h>

using Word = unsigned;                // two halves, the first one in the low bits
using Half = unsigned short;          // the bits of one
struct alignas(16) Halves { Word words[4]; };

// c += a · b, in f32.
__device__ inline void multiply_add(float (&c)[4], Word a0, Word a1, Word b)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(b));
}

// Four matrices of 8 × 8 halves: lane l says where row l % 8 of matrix l / 8 is, 16 bytes in shared memory. Of each
// matrix it gets columns pair and pair + 1 of row group.
__device__ inline void load_matrices(Word (&matrices)[4], const Half *row)
{
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address)
                 : "memory");
}

// The same, turned: rows pair and pair + 1 of column group.
__device__ inline void load_matrices_turned(Word (&matrices)[4], const Half *row)
{
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address)
                 : "memory");
}

// What the lane whose number differs in these bits has.
__device__ inline float of_lane(float value, int bits)
{
    return __shfl_xor_sync(0xffffffff, value, bits);
}

// 2 to this power, off by 2 in 2^22; 0 of −∞.
__device__ inline float power_of_two(float exponent)
{
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(exponent));
    return power;
}

__device__ inline Word to_halves(float first, float second)
{
    __half2 both = __floats2half2_rn(first, second);
    return *reinterpret_cast<Word *>(&both);
}

__device__ inline float to_float(Half half)
{
    return __half2float(__ushort_as_half(half));
}

__device__ inline float2 to_floats(Word halves)
{
    return __half22float2(*reinterpret_cast<__half2 *>(&halves));
}
