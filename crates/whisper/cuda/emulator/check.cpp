// Runs the CUDA kernels on a CPU and compares them with plain loops in f64, over odd shapes, both orders of
// threads, and values that are no numbers. Ends with 1 and says which case failed, or with 0 and how many were right.

#include "warp.cuh"
#include "../kernels/attention.cu"
#include "../kernels/finish.cu"

#include <random>

using emulator::narrow;
using emulator::wide;

static std::mt19937 generator(7);
static int right = 0;

static std::vector<Half> random_halves(size_t count, float spread)
{
    std::normal_distribution<float> normal(0, spread);
    std::vector<Half> halves(count);
    for (Half &half : halves)
        half = narrow(normal(generator));
    return halves;
}

// Attention of one query; rows of keys and values lie `stride` halves apart.
static std::vector<double> attend(const Half *query, const Half *keys, const Half *values, size_t stride, int count, int width)
{
    std::vector<double> scores(count), out(width);
    for (int key = 0; key < count; key++)
        for (int i = 0; i < width; i++)
            scores[key] += double(wide(query[i])) * wide(keys[key * stride + i]);
    const double highest = count ? *std::max_element(scores.begin(), scores.end()) : 0;
    double sum = 0;
    for (double &score : scores)
        sum += score = std::exp(score - highest);
    for (int key = 0; key < count; key++)
        for (int i = 0; i < width; i++)
            out[i] += scores[key] / sum * wide(values[key * stride + i]);
    return out;
}

// Halves have eleven bits; weights and results are rounded to them.
static void compare(const char *name, const std::vector<double> &expected, const Half *found)
{
    for (size_t i = 0; i < expected.size(); i++) {
        const double off = std::abs(wide(found[i]) - expected[i]);
        if (!(off <= 2e-3 + 2e-3 * std::abs(expected[i]))) {
            std::fprintf(stderr, "%s: value %zu is %g instead of %g\n", name, i, wide(found[i]), expected[i]);
            std::exit(1);
        }
    }
    right++;
}

template <int width>
static std::vector<Half> run_all(const std::vector<Half> &qkv, int windows, int positions, int heads, Order order)
{
    std::vector<Half> out(qkv.size() / 3, narrow(99));
    const unsigned blocks = (positions + queries_of_block - 1) / queries_of_block;
    launch({blocks, unsigned(heads), unsigned(windows)}, {32 * warps}, order, [&] {
        attend_to_all<width>(qkv.data(), out.data(), positions);
    });
    return out;
}

template <int width>
static void check_all(int windows, int positions, int heads, float spread, Order order)
{
    const size_t all = size_t(heads) * width, stride = 3 * all;
    const std::vector<Half> qkv = random_halves(windows * positions * stride, spread);
    const std::vector<Half> out = run_all<width>(qkv, windows, positions, heads, order);
    char name[200];
    for (int window = 0; window < windows; window++)
        for (int query = 0; query < positions; query++)
            for (int head = 0; head < heads; head++) {
                const Half *start = qkv.data() + size_t(window) * positions * stride + head * width;
                std::snprintf(name, sizeof name, "attend_to_all_%d, %d windows of %d, %d heads: window %d, query %d, head %d",
                    width, windows, positions, heads, window, query, head);
                compare(name, attend(start + query * stride, start + all, start + 2 * all, stride, positions, width),
                    out.data() + (size_t(window) * positions + query) * all + head * width);
            }
}

// One value that is no number, of a query, a key and a value: it shows wherever it takes part, and nowhere else.
template <int width>
static void check_no_number(int part, Order order)
{
    const int positions = 70, position = 66;
    std::vector<Half> qkv = random_halves(2 * positions * 3 * width, 1);
    qkv[(positions + position) * 3 * width + part * width + 3] = narrow(NAN);
    const std::vector<Half> out = run_all<width>(qkv, 2, positions, 1, order);
    for (size_t i = 0; i < out.size(); i++) {
        const size_t query = i / width;
        const bool expected = query >= size_t(positions) && (part == 0 ? query == positions + position : part == 1 || i % width == 3);
        if (std::isnan(wide(out[i])) != expected) {
            std::fprintf(stderr, "attend_to_all_%d: part %d of a position is no number, value %zu is %g\n", width, part, i, wide(out[i]));
            std::exit(1);
        }
    }
    right++;
}

// seen: of each query of each slot.
template <int width>
static void check_few(int heads, int capacity, const std::vector<std::vector<unsigned>> &seen, Order order)
{
    const size_t slots = seen.size(), queries = seen[0].size(), shelf = size_t(heads) * capacity * width;
    const std::vector<Half> keys = random_halves(slots * shelf, 1), values = random_halves(slots * shelf, 1);
    std::vector<unsigned> all_seen;
    for (const auto &own : seen)
        all_seen.insert(all_seen.end(), own.begin(), own.end());
    // Beside each other as a layer gives them, and head by head as they are split.
    for (const bool split : {false, true}) {
        const unsigned slot_stride = queries * heads * width, query_stride = split ? width : heads * width,
                       head_stride = split ? queries * width : width;
        const std::vector<Half> wanted = random_halves(slots * slot_stride, 1);
        std::vector<Half> out(wanted.size(), narrow(99));
        launch({unsigned(heads), unsigned(queries), unsigned(slots)}, {threads_of_few}, order, [&] {
            attend_few<width>(wanted.data(), keys.data(), values.data(), all_seen.data(), out.data(),
                slot_stride, query_stride, head_stride, capacity);
        });
        char name[200];
        for (size_t slot = 0; slot < slots; slot++)
            for (size_t query = 0; query < queries; query++)
                for (int head = 0; head < heads; head++) {
                    std::snprintf(name, sizeof name, "attend_few_%d, slot %zu, query %zu, head %d, which sees %u",
                        width, slot, query, head, seen[slot][query]);
                    const size_t start = slot * shelf + size_t(head) * capacity * width;
                    compare(name,
                        attend(wanted.data() + slot * slot_stride + query * query_stride + head * head_stride,
                            keys.data() + start, values.data() + start, width, seen[slot][query], width),
                        out.data() + ((slot * queries + query) * heads + head) * width);
                }
    }
}

static Halves *loads_of(std::vector<Half> &halves) { return reinterpret_cast<Halves *>(halves.data()); }

static void check_finish(const char *name, int rows, int width, Order order)
{
    const std::vector<Half> product = random_halves(rows * width, 2);
    std::vector<Half> bias = random_halves(width, 2), other = random_halves(rows * width, 2), out = product;
    const bool has_gelu = !std::strcmp(name, "finish_gelu"), has_other = !std::strcmp(name, "finish_add");
    const unsigned loads = rows * width / load;
    launch({(loads + threads_of_finish - 1) / threads_of_finish}, {threads_of_finish}, order, [&] {
        const auto kernel = has_gelu ? finish_gelu : has_other ? finish_add : finish;
        kernel(loads_of(out), loads_of(bias), has_other ? loads_of(other) : nullptr, width / load, loads);
    });
    std::vector<double> expected;
    for (int i = 0; i < rows * width; i++) {
        const double x = double(wide(product[i])) + wide(bias[i % width]) + (has_other ? wide(other[i]) : 0);
        expected.push_back(has_gelu ? x / 2 * (1 + std::erf(x / std::sqrt(2.0))) : x);
    }
    compare(name, expected, out.data());
}

template <int width>
static void check_width()
{
    for (const Order order : {Order::forwards, Order::backwards}) {
        for (const int positions : {1, 2, 15, 63, 64, 65, 130})
            check_all<width>(1, positions, 1, 1, order);
        check_all<width>(2, 75, 3, 1, order);
        // One key has all the weight.
        check_all<width>(1, 100, 1, 6, order);
        for (const int part : {0, 1, 2})
            check_no_number<width>(part, order);
        check_few<width>(2, 9, {{1}, {9}, {0}}, order);
        check_few<width>(1, 700, {{700, 699}, {31, 333}}, order);
    }
}

int main()
{
    check_width<32>();
    check_width<64>();
    for (const Order order : {Order::forwards, Order::backwards})
        for (const char *name : {"finish", "finish_gelu", "finish_add"})
            for (const int rows : {1, 3, 40})
                check_finish(name, rows, 72, order);
    std::printf("%d results of the CUDA kernels are right\n", right);
    return 0;
}
