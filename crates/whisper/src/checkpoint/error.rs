//! Why a checkpoint cannot be loaded.

use std::{error::Error, io, path::PathBuf};

/// A checkpoint that cannot be loaded. Every variant names the file and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The directory is not there.
    #[error("model directory {} does not exist: check the path, or download the model first", path.display())]
    DirectoryMissing {
        /// The path asked for.
        path: PathBuf,
    },

    /// A file that every checkpoint has is not there.
    #[error("{} is missing: {remedy}", path.display())]
    FileMissing {
        /// Where it should be.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },

    /// A file is there but cannot be read.
    #[error("{} cannot be read: check its permissions and the disk", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// What Git LFS leaves where a file was not fetched.
    #[error(
        "{} is only a pointer of Git LFS, the file itself was not fetched: run `git lfs pull` in its folder, or download the file from the hub", path.display()
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },

    /// A folder that holds more than one of what is loaded.
    #[error("{} has several {what}: give the path of one of {found}", path.display())]
    Several {
        /// The folder.
        path: PathBuf,
        /// What there are several of.
        what: &'static str,
        /// Their names.
        found: String,
    },

    /// A list of words that does not fit the weights.
    #[error("{} lists {found} tokens, the weights have {expected}: take both files from one checkpoint", path.display())]
    VocabularySize {
        /// The list.
        path: PathBuf,
        /// In the list.
        found: usize,
        /// In the weights.
        expected: usize,
    },

    /// A file of words of OpenAI's that is another.
    #[error("{}: line {line} is no word in base64 and its number: take the file of the package openai-whisper", path.display())]
    Words {
        /// The file.
        path: PathBuf,
        /// Its first line is 1.
        line: usize,
    },

    /// A file is not the JSON that it should be.
    #[error("{} is not valid: download the checkpoint again", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },

    /// A value in a configuration file that this program cannot serve.
    #[error("{} says {field} is {found}, which should be {expected}: use a Whisper checkpoint that says so", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What is possible.
        expected: String,
    },

    /// The index of the shards names something that is not a file of the same directory.
    #[error("{} names the shard {shard:?}, which is not a plain file name: download the checkpoint again", path.display())]
    ShardName {
        /// The index file.
        path: PathBuf,
        /// What it names.
        shard: String,
    },

    /// A weight file whose header cannot be understood, or which is cut short.
    #[error("{} is not a whole safetensors file: download it again", path.display())]
    Header {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },

    /// A weight file of another form than safetensors that cannot be understood, or is cut short.
    #[error("{} cannot be read as a {form}", path.display())]
    Damaged {
        /// The weight file.
        path: PathBuf,
        /// What it should be: `CTranslate2 model`.
        form: &'static str,
        /// What is wrong with it, and what to do: the error of its reader.
        source: Box<dyn Error + Send + Sync>,
    },

    /// A whole file that this program cannot serve.
    #[error("{} is {what}: {remedy}", path.display())]
    NotServed {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },

    /// A tensor that the configuration asks for is in no weight file.
    #[error("{} has no tensor {tensor}: the weights and config.json belong to different models, or the file is no Whisper checkpoint", path.display())]
    TensorMissing {
        /// The (first) weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },

    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor {tensor} has shape {found:?}, the configuration asks for {expected:?}: take all files from one checkpoint", path.display())]
    TensorShape {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },

    /// A tensor has a number type that is not read.
    #[error("{}: tensor {tensor} holds {found}, which is not read: use a checkpoint in f32, f16 or bf16", path.display())]
    TensorType {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// In the file.
        found: String,
    },

    /// A tensor has more or fewer bytes than its shape and type ask for.
    #[error("{}: tensor {tensor} has another length than its shape says: the file is damaged, download it again", path.display())]
    TensorLength {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },

    /// A weight is NaN or infinite.
    #[error("{}: tensor {tensor} holds {found} at index {index}: the file is damaged or its training failed, use another checkpoint", path.display())]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Flat index of the first such weight.
        index: usize,
        /// The value.
        found: f32,
    },

    /// A file of packed weights that is not to be used. The checkpoint is, instead of it.
    #[error("{} cannot be used: {reason}", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },

    /// The weights do not fit on the device, or it failed.
    #[error("tensor {tensor} cannot be put on the device: check its free memory")]
    Device {
        /// The tensor.
        tensor: String,
        /// What Candle said.
        source: candle_core::Error,
    },

    /// A GPU that does nothing more for this process, after a kernel of this program's own.
    #[error(
        "the GPU stopped in a kernel of this program's own: load the model without them (--fused-kernels false), and please report this"
    )]
    OwnKernels {
        /// What Candle said.
        source: candle_core::Error,
    },

    /// There is no such device.
    #[error("the device cannot be opened")]
    NoDevice {
        /// Which, and why.
        source: crate::device::DeviceError,
    },

    /// A weight that f16 cannot hold.
    #[error(
        "tensor {tensor} holds {found} at index {index}, which f16 cannot hold: take the precision f32"
    )]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Flat index of the first such weight.
        index: usize,
        /// The value.
        found: f32,
    },

    /// A precision that the device does not have.
    #[error(
        "{device} cannot compute in {precision}: int8 is for the CPU and f16 for a GPU, f32 and auto are for both"
    )]
    Precision {
        /// The device.
        device: String,
        /// The precision asked for.
        precision: &'static str,
    },

    /// The tokenizer cannot be read.
    #[error(
        "the tokenizer of {origin} cannot be read (tokenizer.json, or vocab.json and merges.txt): take the files that belong to the checkpoint"
    )]
    Tokenizer {
        /// Directory or name of the checkpoint.
        origin: String,
        /// What the tokenizer said.
        source: tokenizers::Error,
    },

    /// A token without which nothing can be decoded is not named anywhere.
    #[error(
        "neither the tokenizer nor generation_config.json of {origin} has the token {token}: is it a Whisper checkpoint?"
    )]
    SpecialTokenMissing {
        /// Directory or name of the checkpoint.
        origin: String,
        /// The token.
        token: &'static str,
    },

    /// The threads for the model cannot be started.
    #[error("threads for the model cannot be started")]
    Threads {
        /// What rayon said.
        source: rayon::ThreadPoolBuildError,
    },
}
