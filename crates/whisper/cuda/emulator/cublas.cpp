// The products that Candle takes from cuBLAS (libcublas.so.13), by loops on the CPU.

#include <cublas_v2.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

struct Matrix {
    const void *values;
    cudaDataType type;
    // From a row to the next, and from a column to the next.
    long rows, columns;

    float at(long row, long column) const
    {
        const long index = row * rows + column * columns;
        if (type == CUDA_R_32F)
            return static_cast<const float *>(values)[index];
        return static_cast<const _Float16 *>(values)[index];
    }
};

// To be said at the end, as driver.cpp says how often kernels were started.
struct Products {
    long count = 0;
    ~Products()
    {
        if (std::getenv("EMULATED_GPU_COUNTS"))
            std::fprintf(stderr, "%8ld products\n", count);
    }
} products;

size_t size(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

// Columns lie one after the other, unless it is to be turned.
Matrix view(const void *values, cudaDataType type, cublasOperation_t turn, long leading, long batch, long stride)
{
    const char *own = static_cast<const char *>(values) + batch * stride * size(type);
    return turn == CUBLAS_OP_N ? Matrix{own, type, 1, leading} : Matrix{own, type, leading, 1};
}

}

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = reinterpret_cast<cublasHandle_t>(new char);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t, cublasOperation_t turn_a, cublasOperation_t turn_b, int m, int n, int k, const void *alpha,
    const void *a, cudaDataType type_a, int lda, long long stride_a, const void *b, cudaDataType type_b, int ldb,
    long long stride_b, const void *beta, void *c, cudaDataType type_c, int ldc, long long stride_c, int batches,
    cublasComputeType_t compute, cublasGemmAlgo_t)
{
    const bool is_known = (type_a == CUDA_R_32F || type_a == CUDA_R_16F) && type_b == type_a && type_c == type_a;
    if (!is_known || compute != CUBLAS_COMPUTE_32F || *static_cast<const float *>(alpha) != 1 || *static_cast<const float *>(beta) != 0) {
        std::fprintf(stderr, "emulated cuBLAS: a product of another kind\n");
        std::abort();
    }
    // As cuBLAS checks them.
    if (m <= 0 || n <= 0 || k <= 0 || lda < (turn_a == CUBLAS_OP_N ? m : k) || ldb < (turn_b == CUBLAS_OP_N ? k : n) || ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    products.count++;
    std::vector<float> left(size_t(m) * k), right(k);
    for (int batch = 0; batch < batches; batch++) {
        const Matrix own_a = view(a, type_a, turn_a, lda, batch, stride_a), own_b = view(b, type_b, turn_b, ldb, batch, stride_b);
        for (int row = 0; row < m; row++)
            for (int i = 0; i < k; i++)
                left[size_t(i) * m + row] = own_a.at(row, i);
        char *out = static_cast<char *>(c) + batch * stride_c * size(type_c);
        std::vector<float> sums(m);
        for (int column = 0; column < n; column++) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (int i = 0; i < k; i++) {
                const float factor = own_b.at(i, column);
                const float *own = &left[size_t(i) * m];
                for (int row = 0; row < m; row++)
                    sums[row] += own[row] * factor;
            }
            for (int row = 0; row < m; row++) {
                const size_t at = size_t(column) * ldc + row;
                if (type_c == CUDA_R_32F)
                    reinterpret_cast<float *>(out)[at] = sums[row];
                else
                    reinterpret_cast<_Float16 *>(out)[at] = sums[row];
            }
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}

}
