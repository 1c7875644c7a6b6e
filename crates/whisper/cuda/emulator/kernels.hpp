// The kernels that were compiled for the emulated GPU, by name.

#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "threads.hpp"

struct Kernel {
    // Takes where each argument is, as the driver is given them.
    std::function<void(void **)> start;
    std::vector<size_t> sizes;
};

inline std::map<std::string, Kernel> &kernels()
{
    static std::map<std::string, Kernel> all;
    return all;
}

template <class... Arguments>
bool add_kernel(const char *name, void (*function)(Arguments...))
{
    auto start = [function](void **at) {
        // Copied, as a driver does: the caller's are its own again when the launch returns.
        [&]<size_t... index>(std::index_sequence<index...>) {
            function(*static_cast<std::remove_const_t<Arguments> *>(at[index])...);
        }(std::index_sequence_for<Arguments...>{});
    };
    kernels()[name] = {start, {sizeof(Arguments)...}};
    return true;
}
