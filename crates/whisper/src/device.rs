//! Which device computes; the one place that knows whether CUDA was built in.

use candle_core::{Device, DeviceLocation};

#[cfg(feature = "cuda")]
mod cuda;

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

impl DeviceChoice {
    /// Whether this may turn out to be a GPU.
    pub fn may_be_gpu(self) -> bool {
        match self {
            Self::Auto => cfg!(feature = "cuda"),
            Self::Cpu => false,
            Self::Cuda(_) => true,
        }
    }
}

/// A device that was opened, and what there is to say about it.
#[derive(Debug)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// What it is, if it is a GPU.
    pub gpu: Option<Gpu>,
    /// Why [`DeviceChoice::Auto`] took the CPU, if this build could have used a GPU.
    pub no_gpu: Option<DeviceError>,
}

/// A GPU as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// What its maker calls it.
    pub name: String,
    /// Its compute capability.
    pub capability: Version,
    /// Release of the driver, such as `580.65.06`, where the system tells.
    pub driver: Option<String>,
    /// The newest CUDA that the driver can run.
    pub driver_cuda: Version,
    /// All of its memory.
    pub memory_bytes: u64,
    /// What no other program has taken of it.
    pub free_bytes: u64,
}

/// A compute capability, or a release of CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Before the point.
    pub major: u32,
    /// Behind the point.
    pub minor: u32,
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
    /// The library that a driver installs is not there.
    #[error(
        "there is no NVIDIA driver (libcuda.so.1 is not found): install one for CUDA {needed} or newer; a container must be given the GPU (docker run --gpus all); or use the CPU"
    )]
    NoDriver {
        /// What this build needs.
        needed: Version,
    },
    /// The driver is there, but does not work.
    #[error(
        "the NVIDIA driver does not start: see what nvidia-smi says, and restart the machine after an update of the driver; or use the CPU"
    )]
    Driver {
        /// What the driver said.
        source: DriverFault,
    },
    /// The driver is older than this build.
    #[error(
        "the NVIDIA driver is made for CUDA {found}, and this build needs {needed}: update the driver, build with an older CUDA, or use the CPU"
    )]
    DriverTooOld {
        /// The newest CUDA that the driver can run.
        found: Version,
        /// What this build needs.
        needed: Version,
    },
    /// The driver shows no such device to this process.
    #[error(
        "there is no cuda:{ordinal}, this process sees {count} NVIDIA devices: check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a container, NVIDIA_VISIBLE_DEVICES; or use the CPU"
    )]
    NoSuchDevice {
        /// The number of the device asked for.
        ordinal: usize,
        /// Devices that are visible.
        count: usize,
    },
    /// The device is older than the kernels.
    #[error(
        "cuda:{ordinal} has compute capability {found}, and this build is for {needed} and newer: build for {found}, or use the CPU"
    )]
    DeviceTooOld {
        /// The number of the device.
        ordinal: usize,
        /// What the device has.
        found: Version,
        /// The oldest that the kernels were compiled for.
        needed: Version,
    },
    /// The driver and the device are good, but Candle cannot work with them.
    #[error(
        "cuda:{ordinal} does not start: check its free memory, and that the program finds libcublas and libcurand of its CUDA release"
    )]
    CudaUnavailable {
        /// The number of the device asked for.
        ordinal: usize,
        /// What Candle said.
        source: candle_core::Error,
    },
}

/// What the driver itself reports.
pub type DriverFault = Box<dyn std::error::Error + Send + Sync>;

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError`] when a CUDA device was asked for by number and cannot be had.
    pub fn open(self) -> Result<Opened, DeviceError> {
        match self {
            Self::Cpu => Ok(Opened::cpu(None)),
            Self::Cuda(ordinal) => open_cuda(ordinal),
            Self::Auto => Ok(open_cuda(0).unwrap_or_else(|error| match error {
                // A build without CUDA is not expected to find a GPU.
                DeviceError::CudaNotBuilt { .. } => Opened::cpu(None),
                error => Opened::cpu(Some(error)),
            })),
        }
    }
}

impl Opened {
    fn cpu(no_gpu: Option<DeviceError>) -> Self {
        Self {
            device: Device::Cpu,
            gpu: None,
            no_gpu,
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

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Opened, DeviceError> {
    cuda::open(ordinal)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> Result<Opened, DeviceError> {
    Err(DeviceError::CudaNotBuilt { ordinal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_always_there() {
        let opened = DeviceChoice::Cpu.open().unwrap();
        assert_eq!(name(&opened.device), "cpu");
        assert!(opened.gpu.is_none() && opened.no_gpu.is_none());
    }

    #[test]
    fn auto_always_finds_a_device_and_says_why_it_is_no_gpu() {
        let opened = DeviceChoice::Auto.open().unwrap();
        let could = cfg!(feature = "cuda");
        match &*name(&opened.device) {
            "cpu" => assert_eq!(opened.no_gpu.is_some(), could),
            "cuda:0" => assert!(could && opened.gpu.is_some()),
            other => panic!("{other}"),
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_without_cuda_in_the_build_says_so() {
        let error = DeviceChoice::Cuda(1).open().unwrap_err();
        assert!(error.to_string().starts_with("cuda:1 was asked for"));
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let version = |major, minor| Version { major, minor };
        assert!(version(12, 9) < version(13, 0) && version(8, 9) < version(12, 0));
        assert_eq!(version(8, 6).to_string(), "8.6");
    }
}
