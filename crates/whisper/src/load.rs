//! From the files of a checkpoint to a model: by what an earlier start kept of it, if that can be used.

use std::{
    cell::RefCell,
    io, panic,
    path::PathBuf,
    thread::{self, ScopedJoinHandle},
};

use candle_core::Device;
use kernels::Level;

use crate::{
    checkpoint::{Checkpoint, LoadError, Packing},
    model::{Kept, Model},
    precision::Precision,
};

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// CPU threads; 0 for one per core.
    pub threads: usize,
    /// Of weights and arithmetic.
    pub precision: Precision,
    /// Highest vector instructions of the kernels, which a benchmark lowers; `None` for the best of the CPU. What
    /// Candle computes is not limited by it.
    pub level: Option<Level>,
    /// Whether int8 weights are kept, as the kernels read them, in a file beside the checkpoint's where its folder can
    /// be written to. Later loads then need not read and round the whole checkpoint.
    pub keep_packed: bool,
    /// Whether a GPU computes with kernels of this program's own too, after a check that they give what Candle's give.
    pub fused: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            precision: Precision::default(),
            level: None,
            keep_packed: false,
            fused: true,
        }
    }
}

/// What became of packed weights when a model was loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum PackedWeights {
    /// They were not to be kept, or the model has none.
    None,
    /// An earlier start had kept them, and they were read.
    Read,
    /// They were kept for later starts.
    Kept {
        /// The file.
        path: PathBuf,
        /// Why the one that was there before could not be used, if there was one.
        unusable: Option<LoadError>,
    },
    /// They could not be kept.
    NotKept {
        /// Why.
        error: io::Error,
    },
}

/// A model, the SHA-256 of its weight files, and what became of its packed weights.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    device: &Device,
    options: LoadOptions,
) -> Result<(Model, String, PackedWeights), LoadError> {
    let level = options.level.unwrap_or_else(Level::best);
    let load = |kept: Kept<'_>| {
        Model::load_kept(
            checkpoint,
            device,
            options.precision,
            level,
            options.fused,
            kept,
        )
    };
    if !(options.keep_packed && Model::is_packed(device, options.precision, level)) {
        let (model, sha256) = with_sha256(checkpoint, || load(Kept::No))?;
        return Ok((model, sha256, PackedWeights::None));
    }
    let read = checkpoint.packed().and_then(|packed| {
        let read = |packed| Ok((load(Kept::Read(&packed))?, packed.sha256().to_owned()));
        packed.map(read).transpose()
    });
    let unusable = match read {
        Ok(Some((model, sha256))) => return Ok((model, sha256, PackedWeights::Read)),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    let packing = checkpoint.begin_packing().map(|new| new.map(RefCell::new));
    let kept = match &packing {
        Ok(Some(packing)) => Kept::Write(packing),
        Ok(None) | Err(_) => Kept::No,
    };
    let (model, sha256) = with_sha256(checkpoint, || load(kept))?;
    let finish = |packing: Option<RefCell<Packing>>| {
        packing
            .map(|packing| packing.into_inner().finish(&sha256, model.parameters()))
            .transpose()
    };
    let packed = match packing.and_then(finish) {
        Ok(None) => PackedWeights::None,
        Ok(Some(path)) => PackedWeights::Kept { path, unusable },
        Err(error) => PackedWeights::NotKept { error },
    };
    Ok((model, sha256, packed))
}

/// The sum takes as long as the weights of a small model, and needs nothing of them.
fn with_sha256(
    checkpoint: &Checkpoint,
    load: impl FnOnce() -> Result<Model, LoadError>,
) -> Result<(Model, String), LoadError> {
    thread::scope(|scope| {
        let sha256 = scope.spawn(|| checkpoint.sha256());
        let model = load();
        let sha256 = outcome(sha256);
        Ok((model?, sha256))
    })
}

/// What a thread found; if it panicked, so does this.
pub(crate) fn outcome<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}
