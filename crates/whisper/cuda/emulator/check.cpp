// Runs the CUDA kernels on a CPU and compares them with plain loops in f64, over odd shapes, both orders of
// threads, and values that are no numbers. Ends with 1 and says which case failed, or with 0 and how many were right.

#include "warp.cuh"
#include "../kernels/attention.cu"
#include "../kernels/best.cu"
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

// before: tokens that each slot has already; nothing for one that takes no part.
template <int width>
static void check_append(int heads, int capacity, int queries, const std::vector<int> &before, Order order)
{
    const size_t slots = before.size(), all = heads * width, shelf = size_t(heads) * capacity * width;
    const std::vector<Half> qkv = random_halves(slots * queries * 3 * all, 1);
    std::vector<Half> keys = random_halves(slots * shelf, 1), values = random_halves(slots * shelf, 1);
    std::vector<unsigned> seen;
    for (const int own : before)
        for (int query = 0; query < queries; query++)
            seen.push_back(own < 0 ? 0 : own + query + 1);
    std::vector<Half> expected_keys = keys, expected_values = values, out(slots * queries * all, narrow(99));
    launch({unsigned(heads), unsigned(queries), unsigned(slots)}, {threads_of_few}, order, [&] {
        append_and_attend<width>(qkv.data(), keys.data(), values.data(), seen.data(), out.data(), capacity);
    });
    char name[200];
    for (size_t row = 0; row < slots * queries; row++)
        for (int head = 0; head < heads; head++) {
            const size_t slot = row / queries, start = slot * shelf + size_t(head) * capacity * width;
            const Half *own = qkv.data() + row * 3 * all + head * width;
            if (seen[row]) {
                std::copy_n(own + all, width, &expected_keys[start + (seen[row] - 1) * width]);
                std::copy_n(own + 2 * all, width, &expected_values[start + (seen[row] - 1) * width]);
            }
            std::snprintf(name, sizeof name, "append_and_attend_%d, %d queries, row %zu, head %d, which sees %u",
                width, queries, row, head, seen[row]);
            compare(name, attend(own, &expected_keys[start], &expected_values[start], width, seen[row], width),
                out.data() + row * all + head * width);
        }
    if (keys != expected_keys || values != expected_values) {
        std::fprintf(stderr, "append_and_attend_%d puts keys and values somewhere else\n", width);
        std::exit(1);
    }
}

static void check_best(std::vector<float> logits, int vocab, const std::vector<int> &forbidden, Order order)
{
    std::vector<Half> halves;
    for (float &logit : logits)
        logit = wide(halves.emplace_back(narrow(logit)));
    std::vector<float> mask(vocab), out(logits.size() / vocab * 3, 99);
    for (const int token : forbidden)
        mask[token] = -INFINITY;
    launch({unsigned(logits.size() / vocab)}, {threads_of_best}, order, [&] {
        best_tokens(halves.data(), mask.data(), out.data(), vocab);
    });
    for (size_t row = 0; row < logits.size() / vocab; row++) {
        int best = vocab;
        double total = 0;
        const auto logit = [&](int token) { return double(logits[row * vocab + token]) + mask[token]; };
        for (int token = 0; token < vocab; token++)
            if (!std::isnan(logit(token)) && (best == vocab || logit(token) > logit(best)))
                best = token;
        for (int token = 0; token < vocab; token++)
            total += std::exp(logit(token) - (best == vocab ? 0 : logit(best)));
        const float *found = &out[3 * row];
        const double highest = best == vocab ? -INFINITY : logit(best), sum = highest + std::log(total);
        const bool same_sum = std::isnan(total) ? std::isnan(found[2]) : std::abs(found[2] - sum) < 1e-4;
        if (found[0] != best || found[1] != highest || !same_sum) {
            std::fprintf(stderr, "best_tokens, row %zu of %d: %g, %g, %g instead of %d, %g, %g\n",
                row, vocab, found[0], found[1], found[2], best, highest, sum);
            std::exit(1);
        }
        right++;
    }
}

static void check_best_tokens(Order order)
{
    std::vector<float> random;
    for (const Half half : random_halves(3 * 5003, 4))
        random.push_back(wide(half));
    check_best(random, 5003, {0, 7, 1024, 5002}, order);
    // Of equal ones the first; one that is no number has no part in the choice, but in the sum.
    check_best({1, 5, 9, 5, -1, 2, 2, 2, 2, 2, NAN, 0, 3, 3, 1, NAN, NAN, NAN, NAN, NAN}, 5, {2}, order);
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
        check_append<width>(2, 9, 1, {0, 8, -1, 3}, order);
        check_append<width>(3, 300, 4, {0, 296, -1, 255}, order);
    }
}

int main()
{
    check_width<32>();
    check_width<64>();
    for (const Order order : {Order::forwards, Order::backwards}) {
        check_best_tokens(order);
        for (const char *name : {"finish", "finish_gelu", "finish_add"})
            for (const int rows : {1, 3, 40})
                check_finish(name, rows, 72, order);
    }
    std::printf("%d results of the CUDA kernels are right\n", right);
    return 0;
}
