//! From the files of a checkpoint to a model: by what an earlier start kept of it, if that can be used.

use std::{cell::RefCell, panic, thread, thread::ScopedJoinHandle};

use candle_core::Device;

use crate::{
    Checkpoint, Level, LoadError, LoadOptions, Model,
    checkpoint::{PackedFile, Packing},
    model::Kept,
};

/// The model, and the SHA-256 of its weight files.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    device: &Device,
    options: LoadOptions,
) -> Result<(Model, String), LoadError> {
    let level = options.level.unwrap_or_else(Level::best);
    let load =
        |kept: Kept<'_>| Model::load_kept(checkpoint, device, options.precision, level, kept);
    let keeps = options.keep_packed && Model::is_packed(device, options.precision, level);
    if keeps && let Some(packed) = packed(checkpoint) {
        match load(Kept::Read(&packed)) {
            Ok(model) => return Ok((model, packed.sha256().to_owned())),
            Err(error) => tracing::warn!("{error}; reading the checkpoint instead"),
        }
    }
    let packing = if keeps {
        begin_packing(checkpoint)
    } else {
        None
    };
    let packing = packing.map(RefCell::new);
    // The sum takes as long as the weights of a small model, and needs nothing of them.
    let (model, sha256) = thread::scope(|scope| {
        let sha256 = scope.spawn(|| checkpoint.sha256());
        let model = load(packing.as_ref().map_or(Kept::No, Kept::Write));
        (model, outcome(sha256))
    });
    let model = model?;
    if let Some(packing) = packing {
        match packing.into_inner().finish(&sha256, model.parameters()) {
            Ok(path) => {
                tracing::info!(path = %path.display(), "kept the packed weights for the next start");
            }
            Err(error) => {
                tracing::warn!(%error, "the packed weights could not be kept, the next start will read the whole checkpoint again");
            }
        }
    }
    Ok((model, sha256))
}

/// What a thread found; if it panicked, so does this.
pub(crate) fn outcome<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}

fn packed(checkpoint: &Checkpoint) -> Option<PackedFile> {
    checkpoint.packed().unwrap_or_else(|error| {
        tracing::info!("{error}; it will be written again");
        None
    })
}

fn begin_packing(checkpoint: &Checkpoint) -> Option<Packing> {
    checkpoint.begin_packing().unwrap_or_else(|error| {
        // Often on purpose: a volume for reading only.
        tracing::debug!(%error, "packed weights are not kept, the checkpoint's folder cannot be written to");
        None
    })
}
