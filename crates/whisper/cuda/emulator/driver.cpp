// A driver (libcuda.so.1) whose GPU is the CPU: memory is the host's, and kernels are those that were compiled for it, by
// the names that the PTX has which it is given. It is as strict as it can be:
//
//   - new memory is full of values that are no numbers, and writes beside it are found when it is freed
//   - copies must stay within what was allocated
//   - a kernel must be in the PTX of its module, with arguments of the same sizes, and is given no more threads than it
//     was compiled for
//
// What is wrong is said on standard error, and ends the process. With EMULATED_GPU_COUNTS in the environment, how often
// each kernel was started is said at the end, and what else the driver was asked for;
// with EMULATED_GPU_MIB, that is all the memory there is.

#include <cuda.h>

#include <mutex>
#include <regex>

#include "kernels.hpp"

namespace {

constexpr size_t guard = 256;
constexpr unsigned char no_number = 0xff, beside = 0xfe;

struct Module { std::string ptx; };
struct Function { std::string name; const Kernel *kernel; size_t most_threads; };

std::mutex one_at_a_time;
std::map<CUdeviceptr, size_t> allocated;
size_t taken = 0;
std::map<std::string, long> counts;
thread_local CUcontext current = nullptr;

template <class... Values>
[[noreturn]] void fail(const char *format, Values... values)
{
    std::fprintf(stderr, "emulated GPU: ");
    std::fprintf(stderr, format, values...);
    std::fprintf(stderr, "\n");
    std::abort();
}

// Some address that is none of anybody's.
template <class Handle>
Handle a_handle() { return reinterpret_cast<Handle>(new char); }

void counted(const char *asked)
{
    std::lock_guard lock(one_at_a_time);
    counts[asked]++;
}

size_t all_memory()
{
    static const char *limit = std::getenv("EMULATED_GPU_MIB");
    static const size_t bytes = size_t(limit ? std::atol(limit) : 4096) << 20;
    return bytes;
}

/// Whether a setting names this kernel, or the beginning of its name.
bool is_named(const char *setting, const std::string &kernel)
{
    const char *beginning = std::getenv(setting);
    return beginning && kernel.starts_with(beginning);
}

CUresult allocate(CUdeviceptr *at, size_t size)
{
    std::lock_guard lock(one_at_a_time);
    if (size == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (taken + size > all_memory())
        return CUDA_ERROR_OUT_OF_MEMORY;
    taken += size;
    char *memory = static_cast<char *>(std::aligned_alloc(guard, (size + 3 * guard - 1) / guard * guard));
    std::memset(memory, beside, guard);
    std::memset(memory + guard, no_number, size);
    std::memset(memory + guard + size, beside, guard);
    *at = reinterpret_cast<CUdeviceptr>(memory + guard);
    allocated[*at] = size;
    return CUDA_SUCCESS;
}

CUresult release(CUdeviceptr at)
{
    std::lock_guard lock(one_at_a_time);
    const auto found = allocated.find(at);
    if (found == allocated.end())
        fail("%p is freed, and was not allocated", reinterpret_cast<void *>(at));
    const unsigned char *memory = reinterpret_cast<unsigned char *>(at);
    for (size_t i = 0; i < guard; i++)
        if (memory[-1 - long(i)] != beside || memory[found->second + i] != beside)
            fail("something was written beside an allocation of %zu bytes", found->second);
    taken -= found->second;
    allocated.erase(found);
    std::free(reinterpret_cast<char *>(at) - guard);
    return CUDA_SUCCESS;
}

// The host's view of device memory, which must be so large.
void *memory(CUdeviceptr at, size_t size)
{
    std::lock_guard lock(one_at_a_time);
    auto found = allocated.upper_bound(at);
    if (found == allocated.begin() || (--found, at + size > found->first + found->second))
        fail("%zu bytes at %p are not in one allocation", size, reinterpret_cast<void *>(at));
    return reinterpret_cast<void *>(at);
}

// Of a kernel in PTX: the sizes of its arguments, and `.maxntid`, or 1024.
std::pair<std::vector<size_t>, size_t> declared(const std::string &ptx, size_t at)
{
    const size_t end = ptx.find('{', at);
    const std::string head = ptx.substr(at, end - at);
    std::vector<size_t> sizes;
    static const std::regex argument("\\.param( \\.align \\d+)? \\.[a-z](\\d+)[^,\\[)]*(\\[(\\d+)\\])?");
    for (std::sregex_iterator found(head.begin(), head.end(), argument), none; found != none; ++found)
        sizes.push_back(std::stoul((*found)[2]) / 8 * ((*found)[4].matched ? std::stoul((*found)[4]) : 1));
    static const std::regex limit("\\.maxntid (\\d+)");
    std::smatch threads;
    return {sizes, std::regex_search(head, threads, limit) ? std::stoul(threads[1]) : 1024};
}

// To be said at the end.
struct Counts {
    ~Counts()
    {
        if (std::getenv("EMULATED_GPU_COUNTS"))
            for (const auto &[name, count] : counts)
                std::fprintf(stderr, "%8ld %s\n", count, name.c_str());
    }
} at_the_end;

}

extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *version) { *version = CUDA_VERSION; return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int) { *device = 0; return CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *name, int size, CUdevice) { std::snprintf(name, size, "emulated"); return CUDA_SUCCESS; }
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) { *bytes = all_memory(); return CUDA_SUCCESS; }

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice)
{
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 7; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 5; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 1; break;
    default: fail("attribute %d of the device is not known here", attribute);
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice)
{
    static const CUcontext primary = a_handle<CUcontext>();
    *context = primary;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { current = context; return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *context) { *context = current; return CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return CUDA_SUCCESS; }
CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    std::lock_guard lock(one_at_a_time);
    *total = all_memory();
    *free = *total - taken;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned) { *stream = a_handle<CUstream>(); return CUDA_SUCCESS; }
CUresult cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned) { counted("cuStreamWaitEvent"); return CUDA_SUCCESS; }
CUresult cuEventCreate(CUevent *event, unsigned) { counted("cuEventCreate"); *event = a_handle<CUevent>(); return CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent, CUstream) { counted("cuEventRecord"); return CUDA_SUCCESS; }
CUresult cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
CUresult cuEventQuery(CUevent) { return CUDA_SUCCESS; }
CUresult cuEventDestroy_v2(CUevent) { counted("cuEventDestroy_v2"); return CUDA_SUCCESS; }

CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus *status)
{
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t size) { return allocate(at, size); }
CUresult cuMemAllocAsync(CUdeviceptr *at, size_t size, CUstream) { counted("cuMemAllocAsync"); return allocate(at, size); }
CUresult cuMemFree_v2(CUdeviceptr at) { return release(at); }
CUresult cuMemFreeAsync(CUdeviceptr at, CUstream) { counted("cuMemFreeAsync"); return release(at); }

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream)
{
    counted("cuMemcpyHtoDAsync_v2");
    std::memcpy(memory(to, size), from, size);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream)
{
    counted("cuMemcpyDtoHAsync_v2");
    std::memcpy(to, memory(from, size), size);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream)
{
    counted("cuMemcpyDtoDAsync_v2");
    std::memmove(memory(to, size), memory(from, size), size);
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t size, CUstream)
{
    counted("cuMemsetD8Async");
    std::memset(memory(at, size), value, size);
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    *module = reinterpret_cast<CUmodule>(new Module{static_cast<const char *>(image)});
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    counted("cuModuleGetFunction");
    std::lock_guard lock(one_at_a_time);
    static std::map<std::pair<CUmodule, std::string>, Function> known;
    const auto key = std::pair(module, std::string(name));
    if (!known.contains(key)) {
        const std::string &ptx = reinterpret_cast<Module *>(module)->ptx;
        const size_t at = ptx.find(std::string(".entry ") + name + "(");
        if (at == std::string::npos)
            return CUDA_ERROR_NOT_FOUND;
        const auto kernel = kernels().find(name);
        if (kernel == kernels().end())
            fail("kernel %s was not compiled for it", name);
        const auto [sizes, most_threads] = declared(ptx, at);
        if (sizes != kernel->second.sizes)
            fail("kernel %s has other arguments in PTX", name);
        known[key] = {name, &kernel->second, most_threads};
    }
    if (is_named("EMULATED_GPU_REFUSED", name))
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    *function = reinterpret_cast<CUfunction>(&known[key]);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(
    CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
    unsigned shared_bytes, CUstream, void **arguments, void **)
{
    std::lock_guard lock(one_at_a_time);
    const Function &wanted = *reinterpret_cast<Function *>(function);
    const Dim grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    const size_t threads = size_t(block.x) * block.y * block.z, blocks = size_t(grid.x) * grid.y * grid.z;
    if (threads == 0 || blocks == 0 || grid.y > 65535 || grid.z > 65535 || block.z > 64)
        return CUDA_ERROR_INVALID_VALUE;
    if (threads > wanted.most_threads)
        fail("kernel %s is given %zu threads, and was compiled for %zu", wanted.name.c_str(), threads, wanted.most_threads);
    if (shared_bytes)
        fail("kernel %s wants memory for each block, which nobody has here", wanted.name.c_str());
    counts[wanted.name]++;
    if (!is_named("EMULATED_GPU_WRONG", wanted.name))
        launch(grid, block, Order::forwards, [&] { wanted.kernel->start(arguments); });
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult, const char **text) { *text = "an error of the emulated GPU"; return CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult, const char **text) { *text = "an error of the emulated GPU"; return CUDA_SUCCESS; }

}
