//! Opening a CUDA device, step by step, so that each thing that can be missing has its own sentence.
//!
//! The driver's functions are reached through cudarc, and are there even without a driver: `crates/whisper/cuda/late.c`.

use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};

use super::{DeviceError, Gpu, Opened, Version};

/// The CUDA that the kernels and libraries of this build are of. A driver refuses kernels of a newer one than its own.
const BUILT_WITH: u32 = sys::CUDA_VERSION;

/// The compute capability that the kernels were compiled for, as `75`. The driver makes newer ones of them.
const BUILT_FOR: Option<&str> = option_env!("CUDA_COMPUTE_CAP");

pub(super) fn open(ordinal: usize) -> Result<Opened, DeviceError> {
    let driver_cuda = start_driver(ordinal)?;
    check_count(ordinal)?;
    let context = CudaContext::new(ordinal).map_err(fault)?;
    let gpu = describe(&context, driver_cuda).map_err(fault)?;
    check_capability(ordinal, gpu.capability)?;
    // A stream of its own: Candle's other one is another for each thread, and weights are put there by one thread and
    // used by others.
    let device = Device::new_cuda_with_stream(ordinal)
        .and_then(without_events)
        .map_err(|source| DeviceError::CudaUnavailable { ordinal, source })?;
    Ok(Opened {
        device,
        gpu: Some(gpu),
        no_gpu: None,
    })
}

/// Otherwise each tensor has two events, each operation waits for those of what it reads and records its own, and for a
/// token of a small model the driver is asked for five times as much.
#[expect(
    unsafe_code,
    reason = "with more than one stream, tensors would be read before they are there"
)]
fn without_events(device: Device) -> candle_core::Result<Device> {
    // SAFETY: the device has one stream, for whatever thread, and nothing is on it yet; a stream keeps its order.
    unsafe { device.as_cuda_device()?.disable_event_tracking() };
    Ok(device)
}

/// Returns the newest CUDA that the driver can run.
fn start_driver(ordinal: usize) -> Result<Version, DeviceError> {
    let needed = release(BUILT_WITH);
    match result::init() {
        Ok(()) => {}
        Err(DriverError(sys::CUresult::CUDA_ERROR_STUB_LIBRARY)) => {
            return Err(DeviceError::NoDriver { needed });
        }
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
            return Err(DeviceError::NoSuchDevice { ordinal, count: 0 });
        }
        Err(error) => return Err(fault(error)),
    }
    let found = release(driver_version().map_err(fault)?);
    if found < needed {
        return Err(DeviceError::DriverTooOld { found, needed });
    }
    Ok(found)
}

fn check_count(ordinal: usize) -> Result<(), DeviceError> {
    let count = CudaContext::device_count().map_err(fault)?;
    let count = usize::try_from(count).unwrap_or(0);
    if ordinal < count {
        Ok(())
    } else {
        Err(DeviceError::NoSuchDevice { ordinal, count })
    }
}

fn check_capability(ordinal: usize, found: Version) -> Result<(), DeviceError> {
    match BUILT_FOR.and_then(capability) {
        Some(needed) if found < needed => Err(DeviceError::DeviceTooOld {
            ordinal,
            found,
            needed,
        }),
        _ => Ok(()),
    }
}

fn describe(context: &CudaContext, driver_cuda: Version) -> Result<Gpu, DriverError> {
    let (major, minor) = context.compute_capability()?;
    let (free, memory) = context.mem_get_info()?;
    Ok(Gpu {
        name: context.name()?,
        capability: Version {
            major: u32::try_from(major).unwrap_or(0),
            minor: u32::try_from(minor).unwrap_or(0),
        },
        driver: driver_release(),
        driver_cuda,
        memory_bytes: memory as u64,
        free_bytes: free as u64,
    })
}

/// The driver's own number; its functions tell the CUDA release only.
fn driver_release() -> Option<String> {
    let release = std::fs::read_to_string("/sys/module/nvidia/version").ok()?;
    Some(release.trim().to_owned())
}

#[expect(
    unsafe_code,
    reason = "cudarc has no safe function that asks a driver for its version"
)]
fn driver_version() -> Result<u32, DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes one integer, to where the pointer says, and keeps neither.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(u32::try_from(version).unwrap_or(0))
}

fn fault(error: DriverError) -> DeviceError {
    DeviceError::Driver {
        source: error.into(),
    }
}

/// As the driver counts: 13000 is 13.0, 12080 is 12.8.
fn release(number: u32) -> Version {
    Version {
        major: number / 1000,
        minor: number % 1000 / 10,
    }
}

/// Of `75`, `8.6` or `90a`.
fn capability(text: &str) -> Option<Version> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number: u32 = digits.parse().ok()?;
    Some(Version {
        major: number / 10,
        minor: number % 10,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_versions() {
        let shown = |version: Option<Version>| version.map(|version| version.to_string());
        assert_eq!(release(13000).to_string(), "13.0");
        assert_eq!(release(12080).to_string(), "12.8");
        assert_eq!(shown(capability("75")).as_deref(), Some("7.5"));
        assert_eq!(shown(capability("8.6")).as_deref(), Some("8.6"));
        assert_eq!(shown(capability("120a")).as_deref(), Some("12.0"));
        assert_eq!(shown(capability("native")), None);
    }
}
