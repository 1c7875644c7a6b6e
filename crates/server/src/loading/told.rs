//! What the log tells of a model that was loaded.

use telemetry::chain;
use tracing::{info, warn};
use whisper::device::Opened;
use whisper::{Fused, Level, PackedWeights};

const MIB: u64 = 1 << 20;

/// Which GPU it is, or why it is none.
pub(super) fn device(opened: &Opened) {
    if let Some(gpu) = &opened.gpu {
        info!(
            gpu = gpu.name,
            compute_capability = %gpu.capability,
            driver = gpu.driver.as_deref().unwrap_or("unknown"),
            driver_cuda = %gpu.driver_cuda,
            memory_mib = gpu.memory_bytes / MIB,
            free_mib = gpu.free_bytes / MIB,
            "computing on a GPU"
        );
    }
    if let Some(reason) = &opened.no_gpu {
        info!(reason = chain(reason), "computing on the CPU");
    }
    if let (None, Some(refusal)) = (&opened.gpu, Level::amx_refusal()) {
        warn!(
            reason = chain(refusal),
            instead = %Level::best(),
            "this CPU has AMX, but the system keeps it from this process"
        );
    }
}

/// Whether a GPU computes with our own kernels.
pub(super) fn fused(fused: &Fused) {
    match fused {
        Fused::Used => info!("using this program's own kernels: they gave what Candle's give"),
        Fused::Wrong { kernel, off } => warn!(
            kernel,
            off,
            "not using this program's own kernels, since on this GPU one of them gave other numbers than Candle's: please report this"
        ),
        Fused::Failed { error } => warn!(
            reason = chain(error),
            "not using this program's own kernels, since they do not start on this GPU: please report this"
        ),
        _ => {}
    }
}

/// Whether the next start will be faster.
pub(super) fn packed(packed: &PackedWeights) {
    match packed {
        PackedWeights::Read => info!("read the weights as an earlier start had packed them"),
        PackedWeights::Kept { path, unusable } => info!(
            path = %path.display(),
            unusable = unusable.as_ref().map(|error| chain(error)),
            "kept the packed weights for the next start"
        ),
        // Often on purpose: a volume for reading only.
        PackedWeights::NotKept { error } => info!(
            reason = chain(error),
            "the packed weights are not kept, the next start packs them again"
        ),
        _ => {}
    }
}
