//! Why a file of whisper.cpp's cannot be read.

/// A file of whisper.cpp's that cannot be read. The path is the caller's to name.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GgmlError {
    /// It begins otherwise.
    #[error("it does not begin as a ggml file of whisper.cpp does")]
    Magic,

    /// It ends within its head.
    #[error("it ends within {part}: download it again")]
    Cut {
        /// Which part.
        part: &'static str,
    },

    /// A number of the shape that no model has.
    #[error(
        "it says {name} is {found}, which should be between 1 and 16 million: is it a Whisper model?"
    )]
    Size {
        /// The number.
        name: &'static str,
        /// What it says.
        found: usize,
    },

    /// Quantised by a whisper.cpp whose blocks were others.
    #[error(
        "its quantised blocks are of version {version}, only version 2 is read: quantise it again with a whisper.cpp of June 2023 or newer"
    )]
    OldBlocks {
        /// The version.
        version: u32,
    },

    /// It was made for another spectrogram.
    #[error(
        "it has mel filters of {mels} by {bins}, which should be {expected_mels} by 201: is it a Whisper model?"
    )]
    Filters {
        /// Mel bins.
        mels: usize,
        /// Bins of the spectrum.
        bins: usize,
        /// What its shape says.
        expected_mels: usize,
    },

    /// A vocabulary that does not fit the output matrix.
    #[error(
        "it has {found} text tokens, which should be between 1 and its n_vocab of {n_vocab}: download it again"
    )]
    Tokens {
        /// In the file.
        found: usize,
        /// What its shape says.
        n_vocab: usize,
    },

    /// What should be a tensor's head is none.
    #[error("there is no tensor at byte {at}: the file is damaged, download it again")]
    TensorHead {
        /// Position in the file.
        at: usize,
    },

    /// A tensor that does not lie within the file.
    #[error("tensor {tensor} {what}: download the file again")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: &'static str,
    },

    /// A type of numbers that whisper.cpp does not write.
    #[error(
        "tensor {tensor} has ggml's type {number}, which is not read: use f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0 or q2_k to q6_k"
    )]
    Type {
        /// The tensor.
        tensor: String,
        /// ggml's number of it.
        number: u32,
    },
}
