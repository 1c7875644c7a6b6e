//! Which device computes; the one place that knows whether CUDA was built in.

use candle_core::{Device, DeviceLocation};

/// The device that the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if CUDA was built in and one is there, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// This build has no CUDA.
    #[error(
        "cuda:{ordinal} was asked for, but this build has no CUDA in it: use the CPU, or a CUDA build"
    )]
    CudaNotBuilt {
        /// The number of the device asked for.
        ordinal: usize,
    },
    /// CUDA is built in, but the device does not start.
    #[error(
        "cuda:{ordinal} does not start: check that the driver is installed and the device visible to this process"
    )]
    CudaUnavailable {
        /// The number of the device asked for.
        ordinal: usize,
        /// What Candle said.
        source: candle_core::Error,
    },
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError`] when a CUDA device was asked for by number and cannot be had.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => cuda(ordinal),
            Self::Auto => Ok(cuda(0).unwrap_or_else(|error| {
                tracing::debug!(reason = %error, "computing on the CPU");
                Device::Cpu
            })),
        }
    }
}

/// What reports call the device: `cpu` or `cuda:0`.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_owned(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Device, DeviceError> {
    Device::new_cuda(ordinal).map_err(|source| DeviceError::CudaUnavailable { ordinal, source })
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::CudaNotBuilt { ordinal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_always_there() {
        assert_eq!(name(&DeviceChoice::Cpu.open().unwrap()), "cpu");
    }

    #[test]
    fn auto_always_finds_a_device() {
        let found = name(&DeviceChoice::Auto.open().unwrap());
        assert!(found == "cpu" || found == "cuda:0", "{found}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_without_cuda_in_the_build_says_so() {
        let error = DeviceChoice::Cuda(1).open().unwrap_err();
        assert!(error.to_string().starts_with("cuda:1 was asked for"));
    }
}
