// The best token of each row of logits, and what its probability is made of.
//
//   best_tokens    logits: (rows, vocab) in halves, mask: (vocab), added to them: 0, or −∞ for tokens that may not be said;
//                  out: (rows, 3): the first of the tokens whose logit is highest, that logit, and the logarithm of the
//                  sum of all logits' exponentials. vocab is the token where no logit is a number.
//
// Check: crates/whisper/cuda/check-kernels.

#include "warp.cuh"

constexpr int threads_of_best = 1024;

// A logit and its token. Tokens are exact in f32 up to 2^24.
struct Candidate {
    float logit, token;

    __device__ void rather(Candidate other)
    {
        if (other.logit > logit || (other.logit == logit && other.token < token))
            *this = other;
    }
};

// A block for each row.
extern "C" __global__ void __launch_bounds__(threads_of_best)
    best_tokens(const Half *logits, const float *mask, float *out, unsigned vocab)
{
    constexpr float log2_e = 1.4426950408889634f;
    constexpr int warps_of_best = threads_of_best / 32;
    __shared__ Candidate candidates[warps_of_best];
    __shared__ float sums[warps_of_best];
    const Half *row = logits + size_t(blockIdx.x) * vocab;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

    Candidate best = {-INFINITY, float(vocab)};
    for (unsigned token = threadIdx.x; token < vocab; token += threads_of_best)
        best.rather({to_float(row[token]) + mask[token], float(token)});
#pragma unroll
    for (int bits = 1; bits < 32; bits *= 2)
        best.rather({of_lane(best.logit, bits), of_lane(best.token, bits)});
    if (lane == 0)
        candidates[warp] = best;
    __syncthreads();
    for (int i = 0; i < warps_of_best; i++)
        best.rather(candidates[i]);

    float sum = 0;
    for (unsigned token = threadIdx.x; token < vocab; token += threads_of_best)
        sum += power_of_two((to_float(row[token]) + mask[token] - best.logit) * log2_e);
#pragma unroll
    for (int bits = 1; bits < 32; bits *= 2)
        sum += of_lane(sum, bits);
    if (lane == 0)
        sums[warp] = sum;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    float total = 0;
    for (int i = 0; i < warps_of_best; i++)
        total += sums[i];
    float *found = out + 3 * size_t(blockIdx.x);
    found[0] = best.token;
    found[1] = best.logit;
    found[2] = best.logit + logf(total);
}
