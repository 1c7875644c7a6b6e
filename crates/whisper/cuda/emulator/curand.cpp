// What Candle calls of cuRAND (libcurand.so.10) when a device is opened. Nothing draws random numbers on it.

#include <curand.h>

extern "C" {

curandStatus_t curandCreateGenerator(curandGenerator_t *generator, curandRngType_t)
{
    *generator = reinterpret_cast<curandGenerator_t>(new char);
    return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t, unsigned long long) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandSetStream(curandGenerator_t, cudaStream_t) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandDestroyGenerator(curandGenerator_t) { return CURAND_STATUS_SUCCESS; }

}
