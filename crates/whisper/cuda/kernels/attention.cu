// Attention on a GPU whose scores are never in memory: online softmax over blocks of keys, as in FlashAttention (Dao et
// al., 2022). Values are halves; products, softmax and sums are in f32. Queries are scaled already.
//
//   attend_to_all_32, _64        every position of a window to all of them, for the encoder
//   attend_few_32, _64           a few queries to what lies in the slots of a shelf: a decoder's tokens to the audio
//   append_and_attend_32, _64    a few tokens to those before them, whose keys and values lie there, and to themselves
//
// 32 and 64 are halves of a head. Check: crates/whisper/cuda/check-kernels.

#include "warp.cuh"

constexpr float log2_of_e = 1.4426950408889634f;

// A warp has 16 queries, as many as a matrix product has rows.
constexpr int warps = 4;
constexpr int queries_of_block = 16 * warps;
constexpr int keys_of_block = 64;
// On one multiprocessor at least: so many registers are left that none is spilled, and twelve warps hide each other's waits.
constexpr int blocks_at_once = 3;
// Halves of a load.
constexpr int load = 8;
// Rows of shared memory lie so far apart that the eight rows of a matrix are in different banks.
constexpr int gap = 8;

// The same rows of keys and of values on their way from the window to shared memory: they wait in registers while the
// block before them is computed.
template <int width>
struct Loads {
    static constexpr int loads_of_row = width / load;
    static constexpr int count = keys_of_block * loads_of_row / (32 * warps);
    Halves loads[count];

    static __device__ int row(int index) { return (threadIdx.x + 32 * warps * index) / loads_of_row; }
    static __device__ int column(int index) { return (threadIdx.x + 32 * warps * index) % loads_of_row * load; }

    // Zeros where the window has ended.
    __device__ void read(const Half *from, size_t stride, int rows)
    {
#pragma unroll
        for (int i = 0; i < count; i++)
            loads[i] = row(i) < rows ? *reinterpret_cast<const Halves *>(from + row(i) * stride + column(i)) : Halves{};
    }

    __device__ void write(Half (*to)[width + gap]) const
    {
#pragma unroll
        for (int i = 0; i < count; i++)
            *reinterpret_cast<Halves *>(&to[row(i)][column(i)]) = loads[i];
    }
};

// What a lane knows of its queries: those of rows group and group + 8 of its warp.
template <int width>
struct Attended {
    float values[width / 8][4] = {};
    float highest[2] = {-INFINITY, -INFINITY};
    float sum[2] = {};

    // Takes in the scores of one block, and leaves there what the values are multiplied with.
    __device__ void weigh(float (&scores)[keys_of_block / 8][4])
    {
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float now = highest[row];
#pragma unroll
            for (auto &tile : scores)
                now = fmaxf(now, fmaxf(tile[2 * row], tile[2 * row + 1]));
            now = fmaxf(now, of_lane(now, 1));
            now = fmaxf(now, of_lane(now, 2));
            float kept = power_of_two((highest[row] - now) * log2_of_e);
            highest[row] = now;
            sum[row] *= kept;
#pragma unroll
            for (auto &tile : values) {
                tile[2 * row] *= kept;
                tile[2 * row + 1] *= kept;
            }
#pragma unroll
            for (auto &tile : scores)
#pragma unroll
                for (int i = 2 * row; i < 2 * row + 2; i++) {
                    tile[i] = power_of_two((tile[i] - now) * log2_of_e);
                    sum[row] += tile[i];
                }
        }
    }

    __device__ void write(Half *to, size_t stride, int rows)
    {
        int group = threadIdx.x % 32 / 4, pair = threadIdx.x % 4 * 2;
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float all = sum[row];
            all += of_lane(all, 1);
            all += of_lane(all, 2);
            if (group + 8 * row >= rows)
                continue;
            Half *own = to + (group + 8 * row) * stride + pair;
#pragma unroll
            for (int tile = 0; tile < width / 8; tile++)
                *reinterpret_cast<Word *>(own + 8 * tile) = to_halves(values[tile][2 * row] / all, values[tile][2 * row + 1] / all);
        }
    }
};

// qkv: (windows * positions, 3 * heads * width), queries beside keys beside values; out: (windows * positions, heads *
// width). A block for every queries_of_block positions, head and window.
template <int width>
__device__ void attend_to_all(const Half *qkv, Half *out, int positions)
{
    alignas(16) __shared__ Half keys[keys_of_block][width + gap];
    alignas(16) __shared__ Half values[keys_of_block][width + gap];
    static_assert(queries_of_block == keys_of_block, "the queries come in through the room of the keys");

    const size_t all = gridDim.y * width, stride = 3 * all;
    const size_t window = size_t(blockIdx.z) * positions;
    const int first_query = blockIdx.x * queries_of_block, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const Half *queries_from = qkv + window * stride + blockIdx.y * width;
    const Half *keys_from = queries_from + all, *values_from = keys_from + all;

    Loads<width> next_keys, next_values;
    next_keys.read(queries_from + first_query * stride, stride, positions - first_query);
    next_keys.write(keys);
    __syncthreads();
    Word queries[width / 16][4];
#pragma unroll
    for (int step = 0; step < width / 16; step++)
        load_matrices(queries[step], &keys[16 * warp + lane % 16][16 * step + lane / 16 * 8]);

    Attended<width> attended;
    next_keys.read(keys_from, stride, positions);
    next_values.read(values_from, stride, positions);
    for (int first = 0; first < positions; first += keys_of_block) {
        __syncthreads();
        next_keys.write(keys);
        next_values.write(values);
        __syncthreads();
        const int next = first + keys_of_block;
        if (next < positions) {
            next_keys.read(keys_from + next * stride, stride, positions - next);
            next_values.read(values_from + next * stride, stride, positions - next);
        }

        float scores[keys_of_block / 8][4] = {};
#pragma unroll
        for (int tile = 0; tile < keys_of_block / 8; tile++)
#pragma unroll
            for (int part = 0; part < width / 32; part++) {
                Word own[4];
                load_matrices(own, &keys[8 * tile + lane % 8][32 * part + lane / 8 * 8]);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    Word(&query)[4] = queries[2 * part + i / 2];
                    multiply_add(scores[tile], query[i % 2 * 2], query[i % 2 * 2 + 1], own[i]);
                }
            }
        if (next > positions)
#pragma unroll
            for (int tile = 0; tile < keys_of_block / 8; tile++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (first + 8 * tile + lane % 4 * 2 + i % 2 >= positions)
                        scores[tile][i] = -INFINITY;
        attended.weigh(scores);
        // Of the scores of eight keys a lane has what it must have of them as the left side of the next product.
#pragma unroll
        for (int tile = 0; tile < keys_of_block / 8; tile++) {
            Word weights[2] = {to_halves(scores[tile][0], scores[tile][1]), to_halves(scores[tile][2], scores[tile][3])};
#pragma unroll
            for (int part = 0; part < width / 32; part++) {
                Word own[4];
                load_matrices_turned(own, &values[8 * tile + lane % 8][32 * part + lane / 8 * 8]);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    multiply_add(attended.values[4 * part + i], weights[0], weights[1], own[i]);
            }
        }
    }
    const int own_query = first_query + 16 * warp;
    attended.write(out + (window + own_query) * all + blockIdx.y * width, all, positions - own_query);
}

// Threads of a block of attend_few. A key is read by width / load lanes, so that all reads of a warp are neighbours.
constexpr int threads_of_few = 512;
// Keys whose reads are under way at once for each lane.
constexpr int keys_at_once = 4;

// Keys and values of one head, one below the other.
template <int width>
struct Shelved {
    const Half *keys, *values;

    __device__ const Half *key(int index) const { return keys + size_t(index) * width; }
    __device__ const Half *value(int index) const { return values + size_t(index) * width; }
};

// The first ones shelved, the others as a layer gives them: `stride` apart.
template <int width>
struct Appended {
    Shelved<width> before;
    int shelved;
    const Half *keys, *values;
    size_t stride;

    __device__ const Half *key(int index) const
    {
        return index < shelved ? before.key(index) : keys + (index - shelved) * stride;
    }
    __device__ const Half *value(int index) const
    {
        return index < shelved ? before.value(index) : values + (index - shelved) * stride;
    }
};

// Attention of one query to the first `positions` of `from`, by all threads of a block; zeros where there is none.
template <int width, class From>
__device__ void attend_one(const Half *query, const From &from, int positions, Half *out)
{
    constexpr int lanes = width / load, keys_of_warp = 32 / lanes, all_warps = threads_of_few / 32;
    __shared__ float sums[all_warps], maxima[all_warps];
    __shared__ float parts[all_warps][width];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, own = lane % lanes * load;

    const Halves words = *reinterpret_cast<const Halves *>(query + own);
    float2 wanted[load / 2];
#pragma unroll
    for (int i = 0; i < load / 2; i++)
        wanted[i] = to_floats(words.words[i]);

    float highest = -INFINITY, sum = 0, attended[load] = {};
    constexpr int step = all_warps * keys_of_warp;
    // All lanes of a warp go round as often, for what they do together.
    for (int first = 0; first < positions; first += step * keys_at_once) {
        Halves own_keys[keys_at_once], own_values[keys_at_once];
        float scores[keys_at_once], now = highest;
#pragma unroll
        for (int i = 0; i < keys_at_once; i++) {
            const int key = first + i * step + warp * keys_of_warp + lane / lanes;
            const int there = min(key, positions - 1);
            own_keys[i] = *reinterpret_cast<const Halves *>(from.key(there) + own);
            own_values[i] = *reinterpret_cast<const Halves *>(from.value(there) + own);
        }
#pragma unroll
        for (int i = 0; i < keys_at_once; i++) {
            float score = 0;
#pragma unroll
            for (int j = 0; j < load / 2; j++) {
                const float2 pair = to_floats(own_keys[i].words[j]);
                score += wanted[j].x * pair.x + wanted[j].y * pair.y;
            }
#pragma unroll
            for (int bits = 1; bits < lanes; bits *= 2)
                score += of_lane(score, bits);
            const int key = first + i * step + warp * keys_of_warp + lane / lanes;
            scores[i] = key < positions ? score : -INFINITY;
            now = fmaxf(now, scores[i]);
        }
        // Of keys that are all behind the end nothing is kept, and nothing that is no number is made.
        const float base = now == -INFINITY ? 0 : now;
        const float kept = power_of_two((highest - base) * log2_of_e);
        highest = now;
        sum *= kept;
#pragma unroll
        for (float &value : attended)
            value *= kept;
#pragma unroll
        for (int i = 0; i < keys_at_once; i++) {
            const float weight = power_of_two((scores[i] - base) * log2_of_e);
            sum += weight;
#pragma unroll
            for (int j = 0; j < load / 2; j++) {
                const float2 pair = to_floats(own_values[i].words[j]);
                attended[2 * j] += weight * pair.x;
                attended[2 * j + 1] += weight * pair.y;
            }
        }
    }

    // The keys of a warp, then those of all warps.
    float most = highest;
#pragma unroll
    for (int bits = lanes; bits < 32; bits *= 2)
        most = fmaxf(most, of_lane(most, bits));
    const float kept = highest == -INFINITY ? 0 : power_of_two((highest - most) * log2_of_e);
    sum *= kept;
#pragma unroll
    for (int bits = lanes; bits < 32; bits *= 2)
        sum += of_lane(sum, bits);
#pragma unroll
    for (int i = 0; i < load; i++) {
        attended[i] *= kept;
#pragma unroll
        for (int bits = lanes; bits < 32; bits *= 2)
            attended[i] += of_lane(attended[i], bits);
        if (lane < lanes)
            parts[warp][own + i] = attended[i];
    }
    if (lane == 0) {
        sums[warp] = sum;
        maxima[warp] = most;
    }
    __syncthreads();
    if (threadIdx.x >= width / 2)
        return;
    most = -INFINITY;
    for (float maximum : maxima)
        most = fmaxf(most, maximum);
    float total = 0, first = 0, second = 0;
    for (int i = 0; i < all_warps; i++) {
        const float part = maxima[i] == -INFINITY ? 0 : power_of_two((maxima[i] - most) * log2_of_e);
        total += part * sums[i];
        first += part * parts[i][2 * threadIdx.x];
        second += part * parts[i][2 * threadIdx.x + 1];
    }
    const float share = positions > 0 ? 1 / total : 0;
    *reinterpret_cast<Word *>(out + 2 * threadIdx.x) = to_halves(first * share, second * share);
}

// queries: query q of slot s has its head h at s * slot_stride + q * query_stride + h * head_stride. keys and values:
// (slots, heads, capacity, width). seen: (slots, queries), how many positions from the first a query sees; where that is
// none, zeros come out. out: (slots * queries, heads * width). A block for each head, query and slot.
template <int width>
__device__ void attend_few(
    const Half *queries, const Half *keys, const Half *values, const unsigned *seen, Half *out,
    unsigned slot_stride, unsigned query_stride, unsigned head_stride, unsigned capacity)
{
    const size_t head = blockIdx.x, query = blockIdx.y, slot = blockIdx.z, row = slot * gridDim.y + query;
    const size_t start = (slot * gridDim.x + head) * capacity * width;
    attend_one<width>(
        queries + slot * slot_stride + query * query_stride + head * head_stride,
        Shelved<width>{keys + start, values + start}, seen[row], out + (row * gridDim.x + head) * width);
}

// qkv: (slots * queries, 3 * heads * width), the tokens of a slot one after the other, each of which sees one more than
// the one before it; otherwise as attend_few. Puts keys and values of the tokens behind those that are shelved.
template <int width>
__device__ void append_and_attend(const Half *qkv, Half *keys, Half *values, const unsigned *seen, Half *out, unsigned capacity)
{
    const size_t head = blockIdx.x, query = blockIdx.y, slot = blockIdx.z, first_row = slot * gridDim.y, row = first_row + query;
    const size_t all = gridDim.x * width, stride = 3 * all, start = (slot * gridDim.x + head) * capacity * width;
    const Half *own = qkv + row * stride + head * width, *first = qkv + first_row * stride + head * width;
    const int positions = seen[row];
    // Other queries of the slot take it from where it comes from, so nobody waits for it.
    if (positions > 0 && threadIdx.x < width) {
        const size_t at = start + size_t(positions - 1) * width + threadIdx.x;
        keys[at] = own[all + threadIdx.x];
        values[at] = own[2 * all + threadIdx.x];
    }
    const Shelved<width> shelved{keys + start, values + start};
    attend_one<width>(
        own, Appended<width>{shelved, positions - 1 - int(query), first + all, first + 2 * all, stride}, positions,
        out + (row * gridDim.x + head) * width);
}

#define FOR_WIDTH(width)                                                                                              \
    extern "C" __global__ void __launch_bounds__(32 * warps, blocks_at_once)                                          \
        attend_to_all_##width(const Half *qkv, Half *out, int positions)                                              \
    {                                                                                                                 \
        attend_to_all<width>(qkv, out, positions);                                                                    \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(threads_of_few)                                                      \
        attend_few_##width(                                                                                           \
            const Half *queries, const Half *keys, const Half *values, const unsigned *seen, Half *out,               \
            unsigned slot_stride, unsigned query_stride, unsigned head_stride, unsigned capacity)                     \
    {                                                                                                                 \
        attend_few<width>(queries, keys, values, seen, out, slot_stride, query_stride, head_stride, capacity);        \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(threads_of_few)                                                      \
        append_and_attend_##width(                                                                                    \
            const Half *qkv, Half *keys, Half *values, const unsigned *seen, Half *out, unsigned capacity)            \
    {                                                                                                                 \
        append_and_attend<width>(qkv, keys, values, seen, out, capacity);                                             \
    }

FOR_WIDTH(32)
FOR_WIDTH(64)
